# Copyright: pipework.containers contributors
# GNU General Public License v3.0+ (see LICENSE)
"""pipework_attach with dhcp: a real server, dnsmasq, and one that says what no real one would."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import socket
import struct
import subprocess
import sys
import typing as t
from collections.abc import Iterator

import pytest

from ansible_collections.pipework.containers.plugins.module_utils._core.errors import PipeworkError
from ansible_collections.pipework.containers.plugins.module_utils._engine.run import run
from ansible_collections.pipework.containers.plugins.module_utils._ipam import dhcp4_message as dhcp
from ansible_collections.pipework.containers.plugins.module_utils._ipam import sandbox
from ansible_collections.pipework.containers.plugins.module_utils._ipam.external.client import HOOK, SAID
from ansible_collections.pipework.containers.plugins.module_utils._jobs.attach import AttachJob
from ansible_collections.pipework.containers.plugins.module_utils._jobs.commands import CommandsJob
from tests.conftest import unavailable
from tests.integration.lab import NETNS, Host, Killed, Work, failing_at, followed, killed_at, wait_for

pytestmark = pytest.mark.root
LOG = "/run/dnsmasq.log"
USUAL = ("3,10.5.0.254", "6,10.5.0.53", "15,example.org", "26,1400")
Given = dict[str, t.Any]
Said = list[tuple[int, dict[int, bytes], Given]]  # what a server says: type, options, and what else is odd about it
BUILTIN: Given = {"dhcp": "builtin", "dhcp_timeout": 20}
CLIENTS = ("builtin", "udhcpc", "dhclient", "dhcpcd")


@pytest.fixture
def segment(host: Host) -> Host:
    """A host with a bridge on which it has an address, and a port that stays."""
    host.batch("link add br1 address 02:00:00:00:05:fe type bridge\nlink set br1 up\n")
    host.batch("address add 10.5.0.254/24 dev br1\n")
    host.batch("link add stays type veth peer name other\nlink set stays master br1\nlink set stays up\n")
    return host


@contextlib.contextmanager
def server(host: Host, first: int = 100, last: int = 120, options: t.Sequence[str] = USUAL) -> Iterator[int]:
    """dnsmasq on br1, which gives addresses of IPv4."""
    more = [f"--dhcp-range=10.5.0.{first},10.5.0.{last},2m", "--no-ping", "--dhcp-authoritative"]
    more += [f"--dhcp-option={option}" for option in options]
    with running_dnsmasq(host, more) as pid:
        yield pid


@contextlib.contextmanager
def running_dnsmasq(
    host: Host, more: t.Sequence[str],
    ready: t.Sequence[str] = ("sockets bound exclusively to interface br1", "router advertisement on"),
) -> Iterator[int]:
    """dnsmasq on br1."""
    if shutil.which("dnsmasq", path="/usr/sbin:/usr/bin:/sbin:/bin") is None:
        unavailable("dnsmasq is not installed: sudo make setup-system")

    def start() -> int:
        words = ["--conf-file=/dev/null", "--no-daemon", "--port=0", "--bind-interfaces", "--interface=br1"]
        words += ["--pid-file=", "--dhcp-leasefile=/run/dnsmasq.leases"]
        words += ["--log-dhcp", f"--log-facility={LOG}", "--user=root", *more]
        with open(os.devnull, "r+b") as nothing:
            return subprocess.Popen(
                ["dnsmasq", *words], stdin=nothing, stdout=nothing, stderr=nothing, start_new_session=True
            ).pid

    pid = host.call(start)
    try:
        wait_for("dnsmasq", lambda: any(words in log(host) for words in ready))
        yield pid
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGTERM)
        wait_for("its end", lambda: not os.path.exists(f"/proc/{pid}"))
        host.call(lambda: [os.unlink(path) for path in (LOG, "/run/dnsmasq.leases") if os.path.exists(path)])


def log(host: Host) -> str:
    return host.sh("cat", LOG, check=False)


def machine() -> dict[str, t.Any]:
    """What a DHCP client of the usual sort would disturb."""
    folders = [path for path in ("/etc", "/var/lib/dhcp", "/var/lib/dhcpcd") if os.path.isdir(path)]
    with open("/etc/resolv.conf", encoding="utf-8") as handle:
        return {"resolv.conf": handle.read(), **{path: sorted(os.listdir(path)) for path in folders}}


def lease_of(result: Given) -> Given:
    return dict(result["attachments"][0]["lease"])


def asking(client: str) -> Given:
    """Options for a client."""
    if client != "builtin" and shutil.which(client, path="/usr/sbin:/usr/bin:/sbin:/bin") is None:
        unavailable(f"{client} is not installed: sudo make setup-system")
    return {"dhcp": client, "dhcp_timeout": 60}


@pytest.mark.parametrize("client", [pytest.param("builtin", marks=pytest.mark.any_kernel), *CLIENTS[1:]])
def test_P20_an_address_from_a_server_and_back(segment: Host, client: str) -> None:
    host, elsewhere, given = segment, machine(), {**asking(client), "gateway": ["dhcp"]}
    host.batch("link add eth0 type veth peer name far\nlink set far up\nlink set eth0 up\n", ns="a")
    host.batch("address add 10.9.0.1/24 dev eth0\nroute add default via 10.9.0.254 dev eth0\n", ns="a")
    routes = "121,172.16.9.0/24,10.5.0.1,192.0.2.77/32,198.51.100.1,0.0.0.0/0,10.5.0.254"
    with server(host, options=[*USUAL, routes]):
        before = host.snapshot()
        said = host.attach("a", check=True, **given)
        host.assert_as(before)
        assert said["attachments"][0]["lease"] is None
        done = host.attach("a", **given)
        assert said["operations"][-1]["kind"] == "lease"
        assert followed(said, done)[:2] == ["address", "route"]
        assert lease_of(done)["address"] in str(done["after"])
        lease = lease_of(done)
        assert lease["address"].startswith("10.5.0.1") and lease["address"].endswith("/24")
        assert (lease["server"], lease["router"], lease["mtu"]) == ("10.5.0.254", "10.5.0.254", 1400)
        assert (lease["dns"], lease["domain"]) == (["10.5.0.53"], "example.org") and lease["expires"]
        [shown] = host.ip("-4", "address", "show", "dev", "eth1", ns="a")[0]["addr_info"]
        assert shown["dynamic"] and 60 < shown["valid_life_time"] <= 120 and shown["broadcast"] == "10.5.0.255"
        assert f"{shown['local']}/{shown['prefixlen']}" == lease["address"]
        assert (host.link("eth1", ns="a") or {})["mtu"] == 1400
        found = host.routes("a", "route")
        assert "default via 10.5.0.254 dev eth1 proto 112" in found
        assert not any("default via 10.9" in line for line in found)
        assert "172.16.9.0/24 via 10.5.0.1 dev eth1 proto 112" in found
        assert "192.0.2.77 via 198.51.100.1 dev eth1 proto 112" in found  # a router outside gets a route of its own
        assert "198.51.100.1 dev eth1 proto 112 scope link" in found
        assert host.ok("ping", "-c", "1", "-w", "10", "-q", "10.5.0.254", ns="a")
        again = host.attach("a", **given)
        assert not again["changed"] and lease_of(again) == {**lease, "expires": lease_of(again)["expires"]}
        modes = host.sh("stat", "-c", "%a", "/run/pipework/dhcp").split()
        assert modes == ["700"]  # one directory for each attachment below it
        host.attach("a", state="absent")
        released = "DHCPRELEASE(br1) " + lease["address"].split("/")[0]
        wait_for("the server to have it back", lambda: released in log(host))
        host.assert_as({**before, "run": host.snapshot()["run"]})
        assert "dhcp" not in host.sh("find", "/run/pipework")
    assert machine() == elsewhere


@pytest.mark.parametrize("words", ["dhcp", "udhcpc:-x hostname:web1", "dhclient:-H web1", "dhcpcd:-h web1 -t 60"])
def test_P20_P22_P47_a_classic_line_that_asks_a_server(segment: Host, words: str) -> None:
    host, elsewhere = segment, machine()
    client = "builtin" if words == "dhcp" else words.partition(":")[0]
    asking(client)
    line: Given = {"runtime": "netns", "cmd": f"pipework br1 a '{words}' U:a"}
    with server(host):
        before = host.snapshot()
        said = host.run(job=CommandsJob, check=True, **line)
        done = host.run(job=CommandsJob, **line)
        assert "address" in followed(said, done)
        assert done["lines"][0]["options"]["dhcp"] == lease_of(done)["client"] == client
        assert f"client provides name: {'a' if client == 'builtin' else 'web1'}\n" in log(host)
        assert lease_of(done)["address"] in host.addresses("eth1", ns="a")
        assert host.ping("a", "10.5.0.254")
        assert not host.run(job=CommandsJob, **line)["changed"]
        host.attach("a", state="absent")
        host.assert_as({**before, "run": host.snapshot()["run"]})
    assert machine() == elsewhere


@pytest.mark.parametrize("client", CLIENTS)
def test_P22_P23_what_the_server_is_told(segment: Host, client: str) -> None:
    host, asked = segment, asking(client)
    with server(host):
        wish = ["requested-address=10.5.0.117"]
        first = host.attach("a", **asked, dhcp_options=wish)
        assert "client provides name: a\n" in log(host)
        assert lease_of(first)["address"] == "10.5.0.117/24"
        given = {**asked, "dhcp_hostname": "web1", "dhcp_options": [*wish, "vendor-class=shop"]}
        done = host.attach("a", **given)
        assert [(each["action"], each["kind"]) for each in done["operations"]] == [("update", "lease")]
        assert "client provides name: web1\n" in log(host) and "vendor class: shop\n" in log(host)
        assert lease_of(done)["address"] == "10.5.0.117/24"
        assert host.addresses("eth1", ns="a") == ["10.5.0.117/24"]
        assert not host.attach("a", **given)["changed"]
        moved = host.attach("a", **given, mac_address="02:00:00:00:05:01")
        assert [each["kind"] for each in moved["operations"]][:2] == ["link", "lease"]
        assert [(each["action"], each["name"]) for each in moved["operations"] if each["kind"] == "address"] == [
            ("create", f"netns:a/eth1 {lease_of(moved)['address']}"),
            ("delete", "netns:a/eth1 10.5.0.117/24"),
        ]
        assert [lease_of(moved)["address"]] == host.addresses("eth1", ns="a") != ["10.5.0.117/24"]  # which is taken


def test_P20_static_addresses_beside_a_lease_and_in_its_place(segment: Host) -> None:
    host = segment
    with server(host):
        host.attach("a", **BUILTIN, addresses=["10.7.0.1/24", "fd05::1/64"], gateway=["10.5.0.1", "fd05::fe"])
        leased = next(each for each in host.addresses("eth1", ns="a") if each.startswith("10.5"))
        assert host.addresses("eth1", ns="a") == sorted([leased, "10.7.0.1/24", "fd05::1/64"])
        assert "default via 10.5.0.1 dev eth1 proto 112" in host.routes("a", "route")  # what is said goes first
        host.attach("a", mtu=1300)  # says nothing about addresses
        assert leased in host.addresses("eth1", ns="a")
        host.attach("a", addresses=["10.7.0.1/24"])
        assert host.addresses("eth1", ns="a") == ["10.7.0.1/24"]
        assert "proto 112" not in str(host.routes("a", "route"))
        wait_for("the server to have it back", lambda: "DHCPRELEASE" in log(host))
        assert "dhcp" not in host.sh("find", "/run/pipework")


@pytest.mark.parametrize("client", CLIENTS)
def test_P20_no_server_is_an_error_that_says_what_was_sent(segment: Host, client: str) -> None:
    before, given = segment.snapshot(), {**asking(client), "dhcp_timeout": 3}
    words = r"create lease netns:a/eth1 failed: dhcp: no server gave an address within 3 s; sent were [1-5] "
    words += r"DHCPDISCOVER and 0 DHCPREQUEST from 02:00:00:00:05:02 as 'a'.* The \d+ operation\(s\) done before were "
    words += "taken back"
    with pytest.raises(PipeworkError, match=words):
        segment.attach("a", **given, mac_address="02:00:00:00:05:02")
    segment.assert_as(before)


def test_P20_an_exhausted_pool_takes_all_back_and_many_are_asked_for_at_once(segment: Host) -> None:
    host = segment
    host.add_guests("c")
    both = [{"container": "a"}, {"container": "b"}]
    common = {"runtime": "netns", "host_interface": "br1", "dhcp": "builtin", "dhcp_timeout": 3}
    with server(host, 100, 101):
        before = host.snapshot()
        with pytest.raises(PipeworkError, match=r"lease netns:[abc]/eth1 failed: .*no server gave an address"):
            host.run(**common, attachments=[*both, {"container": "c"}])
        host.assert_as({**before, "run": host.snapshot()["run"]})
        assert "dhcp" not in host.sh("find", "/run/pipework")
        wait_for("both to be given back", lambda: log(host).count("DHCPRELEASE") == 2)
        done = host.run(**common, attachments=both)
        assert len({each["lease"]["address"] for each in done["attachments"]}) == 2
        assert "no address available" in log(host)


@pytest.mark.parametrize("client", ["builtin", "udhcpc"])
def test_P20_a_failure_at_any_operation_leaves_what_was_there(segment: Host, client: str) -> None:
    host, given = segment, asking(client)
    with server(host):
        host.attach("a", **given, state="absent")
        before = host.snapshot()
        steps = 4 + 3  # those of the plan, and an address, its route and an MTU when the lease is there
        for number in range(steps):
            with pytest.raises(PipeworkError, match="a failure was injected"):
                host.attach("a", step=failing_at(number), **given)
            host.assert_as({**before, "run": host.snapshot()["run"]}, f"operation {number}")
            assert "dhcp" not in host.sh("find", "/run/pipework")
        for number in range(4, steps):
            with pytest.raises(Killed):
                host.attach("a", step=killed_at(number), **given)
            host.attach("a", **given)
            assert not host.attach("a", **given)["changed"]
            host.attach("a", state="absent")


# -- a server that says what it is told

GOOD = {
    dhcp.SERVER: bytes([10, 5, 0, 254]),
    dhcp.MASK: b"\xff\xff\xff\0",
    dhcp.SECONDS: struct.pack("!I", 600),
    dhcp.ROUTER: bytes([10, 5, 0, 254]),
}


def play(answers: t.Callable[[int], Said]) -> None:
    """Answers every message with those that are told for its type: type, options, and what else is odd about it."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, b"br1")
        sock.bind(("", 67))
        while True:
            heard = sock.recv(2048)
            at, kind = 240, 0
            while at < len(heard) and heard[at] != 255:
                kind = heard[at + 2] if heard[at] == dhcp.TYPE else kind
                at += 2 + heard[at + 1]
            for sort, options, odd in answers(kind):
                data = bytearray(heard[:240])
                data[0] = 2
                data[16:20] = odd.get("address", bytes([10, 5, 0, 7]))
                if "xid" in odd:
                    data[4:8] = odd["xid"]
                for code, value in {dhcp.TYPE: bytes([sort]), **options}.items():
                    for start in range(0, max(len(value), 1), 255):
                        data += bytes([code, len(value[start : start + 255])]) + value[start : start + 255]
                sock.sendto(bytes(data) + odd.get("end", b"\xff"), ("255.255.255.255", 68))


@contextlib.contextmanager
def playing(host: Host, answers: t.Callable[[int], Said]) -> Iterator[None]:
    work: Work[None] = host.start(play, answers)
    try:
        wait_for("the server", lambda: ":0043 " in host.sh("cat", "/proc/net/udp"))
        yield
    finally:
        os.kill(work.pid, signal.SIGKILL)
        with contextlib.suppress(Killed):
            work.wait()


def both(options: dict[int, bytes], **odd: t.Any) -> t.Callable[[int], Said]:
    """The same in an offer and in an acknowledgement."""
    kinds = {dhcp.DISCOVER: dhcp.OFFER, dhcp.REQUEST: dhcp.ACK}
    return lambda kind: [(kinds[kind], {**GOOD, **options}, odd)] if kind in kinds else []


def refusing(kind: int) -> Said:
    return [(dhcp.OFFER, GOOD, {}) if kind == dhcp.DISCOVER else (dhcp.NAK, {**GOOD, dhcp.MESSAGE: b"$(x)\n"}, {})]


def changing(kind: int) -> Said:
    return [(dhcp.OFFER, GOOD, {}) if kind == dhcp.DISCOVER else (dhcp.ACK, GOOD, {"address": b"\x0a\x05\0\x09"})]


def processes(host: Host, ns: str) -> list[str]:
    """What runs in a guest's network."""

    def there() -> list[str]:
        found, own = [], os.stat("/proc/self/ns/net").st_ino
        for pid in (int(name) for name in os.listdir("/proc") if name.isdigit() and int(name) != os.getpid()):
            with contextlib.suppress(OSError):
                if os.stat(f"/proc/{pid}/ns/net").st_ino == own:
                    found.append(os.readlink(f"/proc/{pid}/exe"))
        return found

    return host.call(there, ns=ns)


@pytest.mark.parametrize("client", CLIENTS[1:])
def test_P21_P25_nothing_of_a_program_outlives_a_run_that_is_killed(segment: Host, client: str) -> None:
    given = asking(client)
    params = {"container": "a", "runtime": "netns", "host_interface": "br1", **given}
    work = segment.start(lambda: run(AttachJob(params)))
    with contextlib.ExitStack() as stack:
        stack.callback(lambda: os.kill(work.pid, signal.SIGKILL))
        name = os.path.basename(os.path.realpath(shutil.which(client, path="/usr/sbin:/sbin") or client))
        wait_for("the program", lambda: any(each.endswith(f"/{name}") for each in processes(segment, "a")), 30)
    with pytest.raises(Killed):
        work.wait()
    wait_for("its end", lambda: not processes(segment, "a"))


def test_P24_a_program_can_change_nothing(segment: Host) -> None:
    """What stands in the place of a client tries all that the usual hooks do, and worse."""
    host, before, elsewhere = segment, segment.snapshot(), machine()
    tries = [
        "ip address add 10.5.0.9/24 dev lo", "ip link set lo down", "ip route add 10.6.0.0/16 dev lo",
        "echo x >/etc/resolv.conf", "echo x >/etc/pipework-test", "mount -t tmpfs none /mnt", "hostname x",
        "sysctl -q net.ipv4.ip_forward=1", "test -e /run/netns", "ls /var/lib | grep .", "nsenter -t $PPID -m true",
    ]  # fmt: skip
    text = "".join(f"({each}) >/dev/null 2>&1 && echo '{each}'\n" for each in tries)

    def attempt() -> str:
        with open(f"{NETNS}/a", "rb") as handle:
            spec = {
                "parent": os.getpid(), "netns": handle.fileno(), "said": SAID, "files": {HOOK: [text, 0o755]},
                "argv": ["/bin/sh", "-c", f"{{ echo done; . {HOOK}; }} >{SAID}"],
            }  # fmt: skip
            done = subprocess.run(
                [sys.executable, "-I", "-S", sandbox.__file__], input=json.dumps(spec), pass_fds=[handle.fileno()],
                capture_output=True, text=True, check=False,
            )  # fmt: skip
        return done.stdout + done.stderr

    assert host.call(attempt) == "done\n"
    host.assert_as(before)
    assert machine() == elsewhere


def test_P20_a_program_that_is_not_installed(segment: Host) -> None:
    asking("dhclient")
    segment.sh("mount", "--bind", "/dev/null", "/sbin/dhclient")
    before = segment.snapshot()
    words = r"dhcp: the program dhclient is not installed .* package isc-dhcp-client has it.* Nothing was changed"
    for check in (True, False):
        with pytest.raises(PipeworkError, match=words):
            segment.attach("a", dhcp="dhclient", check=check)
    segment.assert_as(before)


@pytest.mark.parametrize(
    ("answers", "words"),
    [
        (both({}, xid=b"\0\0\0\0"), "sent were [0-9]+ DHCPDISCOVER and 0 DHCPREQUEST"),
        (both({}, address=b"\x7f\0\0\x01"), "127.0.0.1 .* cannot be the address of an interface"),
        (both({dhcp.SECONDS: bytes(4)}), "too short"),
        (both({dhcp.SERVER: b"\xff\xff\xff\xff"}), "without saying who it is"),
        (both({}, end=b"\x0f\xffshort"), "and 0 DHCPREQUEST"),
        (refusing, r"refused it: '\$\(x\)\\n'"),
        (changing, "another address than it had offered"),
    ],
    ids=["xid", "loopback", "short", "nobody", "overlong", "refusing", "other"],
)
def test_P24_a_hostile_server_gets_nowhere(segment: Host, answers: t.Any, words: str) -> None:
    before = segment.snapshot()
    with playing(segment, answers), pytest.raises(PipeworkError, match=words):
        segment.attach("a", dhcp="builtin", dhcp_timeout=2)
    segment.assert_as({**before, "run": segment.snapshot()["run"]})


@pytest.mark.parametrize("client", CLIENTS[1:])
@pytest.mark.parametrize(
    "answers",
    [both({}, address=b"\x7f\0\0\x01"), refusing],
    ids=["loopback", "refusing"],
)
def test_P24_nor_where_a_program_asks(segment: Host, client: str, answers: t.Any) -> None:
    before, elsewhere, given = segment.snapshot(), machine(), {**asking(client), "dhcp_timeout": 3}
    words = r"(no server gave an address within 3 s|127.0.0.1 .* cannot be the address of an interface)"
    with playing(segment, answers), pytest.raises(PipeworkError, match=words):
        segment.attach("a", **given)
    segment.assert_as({**before, "run": segment.snapshot()["run"]})
    assert machine() == elsewhere


@pytest.mark.parametrize("client", CLIENTS)
def test_P24_what_is_odd_is_not_believed_and_the_address_is_used(segment: Host, client: str) -> None:
    given = asking(client)
    odd = {
        dhcp.DOMAIN: b"x;reboot",
        dhcp.HOSTNAME: b"`reboot`",
        dhcp.ROUTER: b"\x7f\0\0\x01" + bytes([203, 0, 113, 1]),
        dhcp.DNS: bytes([8, 8, 8, 8]) * (10 if client == "udhcpc" else 100),  # which takes no long messages
        dhcp.MTU: b"\0\x01",
        224: b"x" * (30 if client == "udhcpc" else 700),
    }
    wrong = (dhcp.NAK, GOOD, {"xid": b"\1\2\3\4"})
    with playing(segment, lambda kind: [wrong, *both(odd)(kind)]):
        lease = lease_of(segment.attach("a", **given))
    assert (lease["address"], lease["domain"], lease["mtu"]) == ("10.5.0.7/24", None, None)
    assert len(lease["dns"]) == 8
    found = segment.routes("a", "route")
    assert "default via 203.0.113.1 dev eth1 proto 112" in found  # by the same rules as 'gateway'
    assert "203.0.113.1 dev eth1 proto 112 scope link" in found


def test_P20_a_refusal_begins_anew_and_a_lease_that_ends_is_asked_for_again(segment: Host) -> None:
    refusals = [2]

    def answers(kind: int) -> Said:
        if kind == dhcp.REQUEST and refusals[0]:
            refusals[0] -= 1
            return [(dhcp.NAK, GOOD, {})]
        return both({dhcp.SECONDS: struct.pack("!I", 10)})(kind)

    with playing(segment, answers):
        first = segment.attach("a", **BUILTIN)
        assert lease_of(first)["address"] == "10.5.0.7/24"
        wait_for("the kernel to remove it", lambda: not segment.addresses("eth1", ns="a"), 60)
        again = segment.attach("a", **BUILTIN)
        assert [(each["action"], each["kind"]) for each in again["operations"]][:2] == [
            ("create", "lease"),
            ("create", "address"),
        ]
        assert segment.addresses("eth1", ns="a") == ["10.5.0.7/24"]


def test_P25_a_lease_file_that_somebody_changed_is_not_believed(segment: Host) -> None:
    host = segment
    with server(host):
        host.attach("a", **BUILTIN)
        path = host.sh("find", "/run/pipework/dhcp", "-name", "lease").strip()

        def spoil() -> None:
            with open(path, "w", encoding="utf-8") as handle:
                handle.write('{"asked": {}, "grant": {"address": "$(reboot)"}}')

        host.call(spoil)
        done = host.attach("a", **BUILTIN)
        assert [each["kind"] for each in done["operations"]] == ["lease"]
        assert not host.attach("a", **BUILTIN)["changed"]


@pytest.mark.kernel
def test_P20_interfaces_that_share_a_mac_address_get_different_leases(segment: Host) -> None:
    host = segment
    host.batch("link add nic type veth peer name cable\nlink set cable master br1\n")
    host.batch("link set cable up\nlink set nic up\n")
    host.add_guests("c")
    clients = {"a": "builtin", "b": "udhcpc", "c": "dhcpcd"}
    items = [{"container": a, **asking(b), "kind": "ipvlan", "host_interface": "nic"} for a, b in clients.items()]
    with server(host):
        done = host.run(runtime="netns", attachments=items)
        found = [each["lease"]["address"] for each in done["attachments"]]
        assert len(set(found)) == 3 and len({each["mac_address"] for each in done["attachments"]}) == 1
        assert not host.run(runtime="netns", attachments=items)["changed"]
