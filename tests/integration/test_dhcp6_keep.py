# Copyright: pipework.containers contributors
# GNU General Public License v3.0+ (see LICENSE)
"""pipework_attach with dhcp6 and dhcp_keep: the lease is renewed, rebound, lost and got again, by a server that says
what it is told, and by a real one, dnsmasq."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import struct
import typing as t
from collections.abc import Iterator

import pytest

from ansible_collections.pipework.containers.plugins.module_utils._agent import install as agent_install
from ansible_collections.pipework.containers.plugins.module_utils._core.errors import PipeworkError
from ansible_collections.pipework.containers.plugins.module_utils._engine.run import run
from ansible_collections.pipework.containers.plugins.module_utils._ipam import dhcp6_message as dhcp6
from ansible_collections.pipework.containers.plugins.module_utils._jobs.attach import AttachJob
from tests.integration.keeping import LONG, alive, ended, is_over, keeper, kill, kinds, left, status
from tests.integration.lab import (
    CLONE_NEWNET,
    Host,
    Killed,
    Work,
    failing_at,
    followed,
    killed_at,
    unshare,
    wait_for,
    write,
)
from tests.integration.test_autoconf import lease_of, segment, server
from tests.integration.test_dhcp import BUILTIN, log, machine
from tests.integration.test_dhcp import playing as playing4
from tests.integration.test_dhcp_keep import MODE, say
from tests.integration.test_dhcp_keep import answers as answers4

pytestmark = pytest.mark.root
__all__ = ["segment"]

Given = dict[str, t.Any]
KEPT: Given = {"dhcp6": True, "dhcp_keep": True, "dhcp_timeout": 20}
OURS, OTHERS = bytes.fromhex("00010001329402000000"), bytes.fromhex("00010001329402000099")  # DUIDs of servers
HEARD = "/run/heard"  # the types of the messages that the server got, a byte each
OWN, ANOTHER, THIRD = "fd05::7", "fd05::9", "fd05::10"


@pytest.fixture
def keeping(segment: Host) -> Iterator[Host]:
    """A host on which no process is left at the end."""
    segment.call(say, "good")
    with ended(segment):
        yield segment


# -- a server that says what it is told


def answers(kind: int, asked: dhcp6.Message) -> Iterator[bytes]:
    with open(MODE, encoding="ascii") as handle:
        mode = handle.read()
    again = kind in (dhcp6.RENEW, dhcp6.REBIND)
    valid = {"short": 12, "long": 600}.get(mode, 40)
    times = (3, 5) if mode == "short" else (3, valid - 10)
    sort = dhcp6.ADVERTISE if kind == dhcp6.SOLICIT else dhcp6.REPLY
    good: Given = {"sort": sort, "valid": valid, "times": times}
    if mode == "silent" or kind in (dhcp6.RELEASE, dhcp6.DECLINE):
        return
    with open(HEARD, "rb") as heard_so_far:
        free = ANOTHER if dhcp6.DECLINE not in heard_so_far.read() else THIRD
    if mode == "hostile" and again:
        yield reply(asked, **good, xid=asked.xid ^ 1)
        yield reply(asked, **good, client=b"\0\4x")
        yield reply(asked, **good, server=OTHERS)
        yield reply(asked, **good, address=ANOTHER)
        yield reply(asked, **good, address="ff02::1:2")
        yield reply(asked, **{**good, "sort": dhcp6.ADVERTISE})
        yield reply(asked, **{**good, "valid": 0}, server=OTHERS)
        yield reply(asked, **good, status=1)
        yield reply(asked, **good)[:-3]
        yield b""
    elif mode == "elsewhere" and kind == dhcp6.REBIND:
        yield reply(asked, **good, server=OTHERS)
    elif mode == "elsewhere":
        return
    elif mode in ("unknown", "withdrawn") and again:
        yield reply(asked, **{**good, "valid": 0}, **({"status": 3} if mode == "unknown" else {}))
    elif mode in ("unknown", "withdrawn"):
        yield reply(asked, **good, address=free)
    else:
        yield reply(asked, **good)


def reply(
    asked: dhcp6.Message, sort: int, valid: int, times: tuple[int, int], xid: int | None = None, client: bytes = b"",
    server: bytes = OURS, address: str = OWN, status: int | None = None,
) -> bytes:  # fmt: skip
    inner = [(dhcp6.IAADDR, socket.inet_pton(socket.AF_INET6, address) + struct.pack("!II", valid, valid))]
    if status is not None:
        inner = [(dhcp6.STATUS, struct.pack("!H", status) + b"$(x)")]
    ia = asked.one(dhcp6.IA_NA)[:4] + struct.pack("!II", *times) + dhcp6.pack(inner)
    return dhcp6.encode(sort, asked.xid if xid is None else xid, [
        (dhcp6.CLIENTID, client or asked.one(dhcp6.CLIENTID)), (dhcp6.SERVERID, server), (dhcp6.IA_NA, ia),
    ])  # fmt: skip


def play() -> None:
    with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, b"br1")
        sock.bind(("::", dhcp6.SERVER_PORT))
        group = socket.inet_pton(socket.AF_INET6, dhcp6.GROUP) + struct.pack("@I", socket.if_nametoindex("br1"))
        sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_JOIN_GROUP, group)
        while True:
            data, sender = sock.recvfrom(2048)
            asked = dhcp6.decode(data)
            assert asked is not None
            with open(HEARD, "ab") as handle:
                handle.write(bytes([asked.kind]))
            for each in answers(asked.kind, asked):
                sock.sendto(each, sender)


@contextlib.contextmanager
def playing(host: Host) -> Iterator[None]:
    work: Work[None] = host.start(play)
    try:
        wait_for("the server", lambda: ":0223 " in host.sh("cat", "/proc/net/udp6"))
        yield
    finally:
        os.kill(work.pid, signal.SIGKILL)
        with contextlib.suppress(Killed):
            work.wait()
        host.call(lambda: os.unlink(HEARD) if os.path.exists(HEARD) else None)


def heard(host: Host) -> bytes:
    def look() -> bytes:
        with contextlib.suppress(FileNotFoundError), open(HEARD, "rb") as handle:
            return handle.read()
        return b""

    return host.call(look)


# -- looking


def shown(host: Host) -> dict[str, Given]:
    """The addresses without a prefix that the container has, and what the kernel says of them."""
    [link] = host.ip("-6", "address", "show", "dev", "eth1", ns="a")
    return {each["local"]: each for each in link.get("addr_info", ()) if each["prefixlen"] == 128}


def state(host: Host) -> Given:
    return status(host, "lease6")


def test_P21_B16_a_lease_is_renewed_and_given_back(keeping: Host) -> None:
    host, elsewhere = keeping, machine()
    with playing(host):
        before = host.snapshot()
        said = host.attach("a", check=True, **KEPT)
        host.assert_as(before)
        done = host.attach("a", **KEPT)
        assert kinds(said)[-2:] == [("create", "lease6"), ("create", "dhcp_keep")]
        assert followed(said, done) == ["address"]
        pid = lease_of(done)["keep"]["pid"]
        assert pid == keeper(host)
        assert lease_of(done)["keep"]["next"] < lease_of(done)["expires"]
        assert shown(host)[OWN]["valid_life_time"] <= 40
        host.call(say, "long")
        wait_for("more time", lambda: shown(host)[OWN]["valid_life_time"] > 100, LONG)
        assert shown(host)[OWN]["preferred_life_time"] > 100
        assert (dhcp6.RENEW in heard(host), dhcp6.REBIND in heard(host)) == (True, False)
        count = heard(host).count(dhcp6.RENEW)
        wait_for("the next one", lambda: heard(host).count(dhcp6.RENEW) > count, LONG)
        assert heard(host).count(dhcp6.SOLICIT) == heard(host).count(dhcp6.REQUEST) == 1
        again = host.attach("a", **KEPT)
        assert not again["changed"]
        assert lease_of(again)["keep"]["renewed"]
        assert host.addresses("eth1", ns="a") == [f"{OWN}/128"]
        assert len(host.call(os.listdir, "/run/pipework/dhcp")) == 1
        over = host.attach("a", state="absent")
        assert ("delete", "dhcp_keep") in kinds(over)
        assert ("delete", "lease6") in kinds(over)
        wait_for("the server to have it back", lambda: dhcp6.RELEASE in heard(host))
        is_over(host, pid)
    host.assert_as({**before, "run": host.snapshot()["run"]})
    assert machine() == elsewhere


def test_P21_B16_any_server_is_asked_when_ours_is_gone(keeping: Host) -> None:
    host = keeping
    host.call(say, "short")
    with playing(host):
        host.attach("a", **KEPT)
        host.call(say, "elsewhere")
        wait_for("the other one", lambda: state(host)["server"] == OTHERS.hex(), LONG)
        assert {dhcp6.RENEW, dhcp6.REBIND} <= set(heard(host))
        assert (list(shown(host)), heard(host).count(dhcp6.SOLICIT)) == ([OWN], 1)
        host.call(say, "good")
        done = host.attach("a", **KEPT)
        assert not done["changed"]
        assert lease_of(done)["server"] == OTHERS.hex()


def test_P21_B16_it_ends_without_an_answer_and_comes_back_with_the_server(keeping: Host) -> None:
    host = keeping
    host.call(say, "short")
    with playing(host):
        host.attach("a", **KEPT, addresses=["fd06::1/64"])
        host.call(say, "silent")
        seen: set[str] = set()

        def passes(wanted: str) -> bool:
            seen.add(state(host)["state"])
            return wanted in seen

        wait_for("its end", lambda: passes("selecting"), LONG)
        assert {"rebinding"} <= seen
        wait_for("the address to go", lambda: not shown(host), LONG)
        assert host.addresses("eth1", ns="a") == ["fd06::1/64"]
        host.call(say, "good")
        wait_for("it to come back", lambda: list(shown(host)) == [OWN], LONG)
        wait_for("a lease", lambda: state(host)["state"] == "bound", LONG)
        assert not host.attach("a", **KEPT, addresses=["fd06::1/64"])["changed"]


@pytest.mark.parametrize("how", ["unknown", "withdrawn"])
def test_P21_B16_a_server_that_does_not_know_it_any_more_gives_another_one(keeping: Host, how: str) -> None:
    host = keeping
    host.call(say, "long")
    with playing(host):
        host.attach("a", **KEPT, addresses=["fd06::1/64"])
        host.call(say, how)
        wait_for("another address", lambda: list(shown(host)) == [ANOTHER], LONG)
        host.call(say, "silent")
        wait_for("its lease", lambda: state(host)["address"] == ANOTHER, LONG)
        assert host.addresses("eth1", ns="a") == ["fd05::9/128", "fd06::1/64"]
        done = host.attach("a", **KEPT, addresses=["fd06::1/64"])
        assert not done["changed"]
        assert lease_of(done)["address"] == f"{ANOTHER}/128"


def test_P21_B16_an_address_that_somebody_has_is_declined(keeping: Host) -> None:
    host = keeping
    for where in ("all", "default"):
        host.call(write, f"/proc/sys/net/ipv6/conf/{where}/accept_dad", "1", ns="a")
    host.attach("b", addresses=[f"{ANOTHER}/64"])
    with playing(host):
        host.attach("a", **KEPT)
        host.call(say, "unknown")
        wait_for("one that nobody has", lambda: THIRD in shown(host), LONG)
        assert dhcp6.DECLINE in heard(host)
        host.call(say, "silent")
        wait_for("its lease", lambda: state(host)["address"] == THIRD, LONG)
        assert list(shown(host)) == [THIRD]


def outdated(host: Host, **params: t.Any) -> None:
    """A run of a collection of which the process was made in another way."""

    def there() -> None:
        agent_install.MADE_OF = ("_agent/loop",)
        run(AttachJob({"container": "a", "runtime": "netns", "host_interface": "br1", **params}))

    host.call(there)


def test_P21_P46_a_process_of_another_version_is_replaced_and_nothing_is_lost(keeping: Host) -> None:
    host = keeping
    wish: Given = {**KEPT, "link_local": True}
    host.call(say, "long")
    with playing(host):
        outdated(host, **wish)
        first = keeper(host)
        addresses = host.ip("address", "show", "dev", "eth1", ns="a")[0]["addr_info"]
        said = host.attach("a", check=True, **wish)
        done = host.attach("a", **wish)
        assert said["operations"] == done["operations"]
        assert kinds(done) == [("update", "dhcp_keep")]
        assert done["operations"][0]["before"]["program"] != done["operations"][0]["after"]["program"]
        assert keeper(host) != first
        assert not alive(first or 0)
        wait_for("it to be renewed by the new one", lambda: state(host)["renewed"], LONG)
        found = host.ip("address", "show", "dev", "eth1", ns="a")[0]["addr_info"]
        assert [each["local"] for each in found] == [each["local"] for each in addresses]
        assert (dhcp6.RELEASE in heard(host), heard(host).count(dhcp6.SOLICIT)) == (False, 1)
        assert status(host, "link_local")["state"] == "defending"


def test_P21_B14_what_others_say_changes_nothing(keeping: Host) -> None:
    host = keeping
    host.call(say, "long")
    with playing(host):
        host.attach("a", **KEPT)
        lease = host.sh("find", "/run/pipework/dhcp", "-name", "lease6", "-exec", "cat", "{}", "+")
        host.call(say, "hostile")
        wait_for("it to ask three times", lambda: heard(host).count(dhcp6.RENEW) >= 3, LONG)
        assert (state(host)["state"], state(host)["renewed"]) == ("renewing", None)
        assert host.sh("find", "/run/pipework/dhcp", "-name", "lease6", "-exec", "cat", "{}", "+") == lease
        assert host.addresses("eth1", ns="a") == [f"{OWN}/128"]
        assert heard(host).count(dhcp6.SOLICIT) == 1
        assert not host.attach("a", **KEPT)["changed"]


def test_P21_B16_the_next_run_starts_it_again(keeping: Host) -> None:
    host = keeping
    host.call(say, "long")
    with playing(host):
        host.attach("a", **KEPT)
        kill(host)
        said = host.attach("a", check=True, **KEPT)
        done = host.attach("a", **KEPT)
        assert said["operations"] == done["operations"]
        assert kinds(done) == [("update", "dhcp_keep")]
        assert (done["operations"][0]["before"]["running"], done["operations"][0]["after"]["running"]) == (False, True)
        wait_for("it to be renewed by the new one", lambda: state(host)["renewed"], LONG)
        pid = keeper(host)
        done = host.attach("a", **KEPT, dhcp_hostname="web1")
        assert kinds(done) == [("update", "lease6"), ("update", "dhcp_keep")]
        assert keeper(host) == pid
        done = host.attach("a", **{**KEPT, "dhcp_keep": False}, dhcp_hostname="web1")
        assert kinds(done) == [("delete", "dhcp_keep")]
        assert lease_of(done)["keep"] is None
        wait_for("its end", lambda: not alive(pid or 0), LONG)
        assert list(shown(host)) == [OWN]


def live() -> None:
    """A container that is a process."""
    unshare(CLONE_NEWNET)
    signal.pause()


@pytest.mark.parametrize("runtime", ["netns", "pid"])
def test_P21_B16_a_dead_containers_network_is_let_go(keeping: Host, runtime: str) -> None:
    host = keeping
    work = host.start(live) if runtime == "pid" else None
    name = str(work.pid) if work else "a"
    with playing(host):
        if work:
            known = {host.sh("readlink", "/proc/self/ns/net").strip(), os.readlink("/proc/self/ns/net")}
            wait_for("its network", lambda: os.readlink(f"/proc/{work.pid}/ns/net") not in known)
        host.attach(name, runtime=runtime, **KEPT, local_interface="end0")
        pid = keeper(host)
        assert pid is not None
        host.call(say, "silent")
        wait_for("it to be in the midst of asking", lambda: state(host)["state"] != "bound", LONG)
        if work:
            os.kill(work.pid, signal.SIGKILL)
            with pytest.raises(Killed):
                work.wait()
        else:
            host.end_guest(name)
        wait_for("the kernel to free it", lambda: host.link("end0") is None)
        is_over(host, pid)


def test_P21_P25_B16_both_families_have_one_directory_and_one_process(keeping: Host) -> None:
    host = keeping
    host.batch("address add 10.5.0.254/24 dev br1\n")
    with playing(host), playing4(host, answers4):
        done = host.attach("a", **BUILTIN, dhcp6=True, dhcp_keep=True)
        planned = [("create", "lease"), ("create", "lease6"), ("create", "dhcp_keep")]
        assert [each for each in kinds(done) if each in planned] == planned
        [place] = host.call(os.listdir, "/run/pipework/dhcp")
        files = sorted(host.call(os.listdir, f"/run/pipework/dhcp/{place}"))
        assert files == ["keep", "lease", "lease6", "status"]
        wait_for("both to be renewed", lambda: status(host)["renewed"] and state(host)["renewed"], LONG)
        assert host.addresses("eth1", ns="a") == ["10.5.0.7/24", "fd05::7/128"]
        assert not host.attach("a", **BUILTIN, dhcp6=True, dhcp_keep=True)["changed"]
        done = host.attach("a", dhcp6=False)
        assert kinds(done) == [("delete", "lease6"), ("update", "dhcp_keep"), ("delete", "address")]
        wait_for("the server to have it back", lambda: dhcp6.RELEASE in heard(host))
        assert sorted(host.call(os.listdir, f"/run/pipework/dhcp/{place}")) == ["keep", "lease", "status"]
        assert not host.attach("a", **BUILTIN, dhcp6=False, dhcp_keep=True)["changed"]
        host.call(say, "refuse")
        wait_for("the other one to be lost", lambda: not host.addresses("eth1", ns="a"), LONG)


def test_P21_B16_a_failure_or_a_kill_at_any_operation(keeping: Host) -> None:
    host = keeping
    host.call(say, "long")
    with playing(host):
        host.attach("a", **KEPT, state="absent")
        before = host.snapshot()
        steps = len(host.attach("a", check=True, **KEPT)["operations"]) + 1  # and its address
        for number in range(steps):
            with pytest.raises(PipeworkError, match="a failure was injected"):
                host.attach("a", step=failing_at(number), **KEPT)
            wait_for("nothing to be left", lambda: not left(host), LONG)
            host.assert_as({**before, "run": host.snapshot()["run"]}, f"operation {number}")
        for number in range(steps - 3, steps):
            with pytest.raises(Killed):
                host.attach("a", step=killed_at(number), **KEPT)
            host.attach("a", **KEPT)
            assert not host.attach("a", **KEPT)["changed"]
            pid = keeper(host)
            host.attach("a", state="absent")
            is_over(host, pid or 0)


def test_P21_B16_purge_gives_a_kept_lease_back(keeping: Host) -> None:
    host = keeping
    host.call(say, "long")
    with playing(host):
        host.attach("a", **KEPT)
        pid = keeper(host)
        done = host.run(runtime="netns", attachments=[], purge=True)
        assert {("delete", "dhcp_keep"), ("delete", "lease6")} <= set(kinds(done))
        wait_for("the server to have it back", lambda: dhcp6.RELEASE in heard(host))
        is_over(host, pid or 0)


def test_P21_B16_a_real_server_renews_it(keeping: Host) -> None:
    host = keeping
    with server(host, seconds="2m"):
        done = host.attach("a", **KEPT)
        own = lease_of(done)["address"].split("/")[0]
        wait_for("it to be renewed", lambda: state(host)["renewed"], 3 * LONG)
        assert "DHCPRENEW(br1)" in log(host)
        assert (list(shown(host)), state(host)["address"]) == ([own], own)
        assert not host.attach("a", **KEPT)["changed"]
