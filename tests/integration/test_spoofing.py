# Copyright: pipework.containers contributors
# GNU General Public License v3.0+ (see LICENSE)
"""B8: port option mac_spoof_check: what a container sends from another MAC address than its own goes nowhere."""

from __future__ import annotations

import json
import shutil
import socket
from collections.abc import Iterator
from typing import Any

import pytest

from ansible_collections.pipework.containers.plugins.module_utils._core.errors import PipeworkError
from ansible_collections.pipework.containers.plugins.module_utils._host import program
from tests.conftest import unavailable
from tests.integration.lab import Host, Listener, wait_for

pytestmark = pytest.mark.root
CHECKED = {"mac_spoof_check": True}
OTHER = "06:00:00:00:00:66"
MARK = b"pipework"
TABLE = ("nft", "list", "table", "netdev", "pipework")


def can_filter(host: Host) -> bool:
    """Whether nft and the kernel have what the check needs, as nft itself tells."""
    chain = "chain netdev probe c { type filter hook ingress device lo priority 0; }"
    return bool(shutil.which("nft")) and host.ok("nft", "-c", f"add table netdev probe; add {chain}")


@pytest.fixture
def any_host() -> Iterator[Host]:
    found = Host("a", "b", "c")
    yield found
    found.close()


@pytest.fixture
def host(any_host: Host) -> Host:
    if not can_filter(any_host):
        unavailable("nft, or a kernel with CONFIG_NF_TABLES_NETDEV")
    return any_host


def attach(host: Host, container: str, number: int, **more: Any) -> dict[str, Any]:
    """A check run, the run itself, which has to do the same, and a second one that has nothing to do."""
    params = {"addresses": [f"10.8.0.{number}/24"], **more}
    planned = host.attach(container, check=True, **params)
    done = host.attach(container, **params)
    assert planned["operations"] == done["operations"]
    assert not host.attach(container, **params)["changed"]
    return done


def kinds(done: dict[str, Any]) -> list[str]:
    return [f"{each['action']} {each['kind']}" for each in done["operations"]]


def mac_of(host: Host, guest: str) -> str:
    link = host.link("eth1", ns=guest)
    assert link is not None
    return str(link["address"])


def octets(mac: str) -> bytes:
    return bytes.fromhex(mac.replace(":", ""))


def send(host: Host, guest: str, frame: bytes) -> None:
    def work() -> None:
        with socket.socket(socket.AF_PACKET, socket.SOCK_RAW) as sock:
            sock.bind(("eth1", 0))
            sock.send(frame)

    host.call(work, ns=guest)


def arp(source: str, sender: str, target: str) -> bytes:
    """A question to all, with our mark behind it."""
    packet = bytes.fromhex("0001080006040001") + octets(sender) + socket.inet_aton("10.8.0.99")
    return b"\xff" * 6 + octets(source) + b"\x08\x06" + packet + bytes(6) + socket.inet_aton(target) + MARK


def plain(source: str, target: str = "ff:ff:ff:ff:ff:ff", ethertype: str = "88b5") -> bytes:
    return octets(target) + octets(source) + bytes.fromhex(ethertype) + MARK + bytes(40)


def passed(host: Host, sender: str, frames: list[bytes]) -> list[int]:
    """Which of the frames b hears. The last one has to arrive: what was to come before it has come by then."""
    ear = Listener(host, "b", "eth1")
    try:
        for number, frame in enumerate(frames):
            send(host, sender, frame + bytes([number]))
        end = bytes([len(frames) - 1])
        heard = ear.frames(10, lambda frame: MARK in frame and frame.endswith(end))
    finally:
        ear.close()
    return sorted(frame[-1] for frame in heard if MARK in frame)


def table(host: Host) -> str:
    return host.sh(*TABLE, check=False)


@pytest.mark.oldest
def test_B8_only_frames_from_the_ports_own_address_pass(host: Host) -> None:
    attach(host, "a", 1)
    attach(host, "b", 2)
    mac = mac_of(host, "a")
    frames = [
        plain(OTHER), plain(OTHER, "01:80:c2:00:00:0e", "88cc"), arp(OTHER, OTHER, "10.8.0.2"),
        arp(mac, OTHER, "10.8.0.2"), plain(mac), arp(mac, mac, "10.8.0.2"),
    ]
    assert passed(host, "a", frames) == [0, 2, 3, 4, 5]

    done = attach(host, "a", 1, port=CHECKED)
    assert kinds(done) == ["create spoof_check"]
    assert done["operations"][0]["after"] == {"active": True, "mac": mac}
    host.sh("bridge", "fdb", "del", OTHER, "dev", done["attachments"][0]["local_interface"], "master")
    assert passed(host, "a", frames) == [4, 5]
    # What is sent to the bridge's own protocols (LLDP here) is never forwarded, but a bridge would learn from it.
    learned = [entry["mac"] for entry in json.loads(host.sh("bridge", "-j", "fdb", "show", "br", "br1"))]
    assert mac in learned and OTHER not in learned
    assert host.ping("a", "10.8.0.2") and host.ping("b", "10.8.0.1")


def test_B8_the_address_that_a_container_gives_itself_is_taken_back(host: Host) -> None:
    attach(host, "a", 1, port=CHECKED)
    attach(host, "b", 2)
    mac = mac_of(host, "a")
    host.sh("ip", "link", "set", "eth1", "address", OTHER, ns="a")
    assert not host.ok("ping", "-c", "1", "-W", "1", "10.8.0.2", ns="a")
    for port in (CHECKED, None):  # also where the option is not repeated
        host.sh("ip", "link", "set", "eth1", "address", OTHER, ns="a")
        assert kinds(attach(host, "a", 1, port=port)) == ["update link"]
        assert mac_of(host, "a") == mac
    assert host.ok("ping", "-c", "1", "-w", "10", "10.8.0.2", ns="a")


def test_B8_the_check_follows_the_wanted_address_and_name(host: Host) -> None:
    attach(host, "b", 2)
    attach(host, "a", 1, port=CHECKED, mac_address="06:00:00:00:00:0a")
    assert '"pipework:pw' in table(host) and "06:00:00:00:00:0a" in table(host)
    done = attach(host, "a", 1, port=CHECKED, mac_address="06:00:00:00:00:0b", local_interface="hosta")
    assert kinds(done) == ["delete spoof_check", "update link", "update port", "create spoof_check"]
    assert kinds(attach(host, "a", 1, mac_address="06:00:00:00:00:0c")) == ["update link", "update spoof_check"]
    assert 'device "hosta"' in table(host) and table(host).count("06:00:00:00:00:0c") == 2
    assert "06:00:00:00:00:0a" not in table(host) and table(host).count("chain") == 1
    assert host.ping("a", "10.8.0.2")
    assert passed(host, "a", [plain(OTHER), plain("06:00:00:00:00:0b"), plain("06:00:00:00:00:0c")]) == [2]

    attach(host, "a", 1, host_interface="br2")
    assert table(host).count("chain") == 1, "it stays with the port"
    assert kinds(attach(host, "a", 1, host_interface="br2", port={"mac_spoof_check": False})) == ["delete spoof_check"]
    assert table(host) == ""


def test_B8_a_new_interface_has_the_same_address_each_time(host: Host) -> None:
    before = host.snapshot()
    attach(host, "a", 1, port=CHECKED)
    attach(host, "b", 2, port=CHECKED)
    macs = mac_of(host, "a"), mac_of(host, "b")
    assert macs[0] != macs[1]
    for guest in "ab":
        assert "delete spoof_check" in kinds(host.attach(guest, state="absent"))
    host.assert_as(before)
    attach(host, "a", 1, port=CHECKED)
    assert mac_of(host, "a") == macs[0]


@pytest.mark.oldest
def test_B8_P45_nothing_is_left_of_a_container_that_died(host: Host) -> None:
    attach(host, "b", 2)
    before = host.snapshot()
    attach(host, "a", 1, port=CHECKED, local_interface="hosta")
    host.end_guest("a")
    wait_for("the end of the port", lambda: "hosta" not in host.links())
    before.pop("a")
    before["run"].remove("/run/netns/a")
    host.attach("a", state="absent")
    host.assert_as(before)

    # Newer kernels keep the chain, and put it to the next interface of that name.
    host.add_guests("a")
    attach(host, "a", 1, port=CHECKED, local_interface="hosta", mac_address="06:00:00:00:00:0a")
    host.end_guest("a")
    wait_for("the end of the port", lambda: "hosta" not in host.links())
    host.add_guests("a")
    attach(host, "a", 1, port=CHECKED, local_interface="hosta", mac_address="06:00:00:00:00:0b")
    assert passed(host, "a", [plain("06:00:00:00:00:0a"), plain("06:00:00:00:00:0b")]) == [1]
    host.end_guest("a")
    wait_for("the end of the port", lambda: "hosta" not in host.links())
    host.sh("ip", "link", "add", "hosta", "type", "veth", "peer", "name", "theirs")
    host.attach("b", addresses=["10.8.0.2/24"])
    assert table(host) == "", "somebody else's interface has that name now"


def test_B11_purge_takes_the_checks_of_those_that_go(host: Host) -> None:
    before = host.snapshot()
    items = [{"container": name, "addresses": [f"10.8.0.{number}/24"]} for number, name in enumerate("abc", start=1)]
    given = {"runtime": "netns", "host_interface": "br1", "port": CHECKED}
    done = host.run(attachments=items, **given)
    assert kinds(done).count("create spoof_check") == 3
    host.run(attachments=items[:1], purge=True, **given)
    assert table(host).count("chain") == 1
    host.run(attachments=[], purge=True)
    host.assert_as(before)


def test_B8_what_others_have_in_the_table_stays(host: Host) -> None:
    host.sh("nft", "add table netdev pipework; add chain netdev pipework theirs; add rule netdev pipework theirs drop")
    host.sh("nft", "add chain netdev pipework from-x; add rule netdev pipework from-x drop")
    before = host.snapshot()
    attach(host, "a", 1, port=CHECKED)
    host.attach("a", state="absent")
    host.assert_as(before)


def test_B5_a_check_that_somebody_changed_is_put_right(host: Host) -> None:
    attach(host, "b", 2)
    attach(host, "a", 1, port=CHECKED, local_interface="hosta", mac_address="06:00:00:00:00:0a")
    whole = table(host)
    for damage in (
        "flush chain netdev pipework from-hosta",
        "insert rule netdev pipework from-hosta accept",
        "flush table netdev pipework; delete chain netdev pipework from-hosta",
    ):
        host.sh("nft", damage)
        assert table(host) != whole
        assert kinds(attach(host, "a", 1, port=CHECKED))[0].endswith(" spoof_check")
        assert table(host) == whole
    host.sh("nft", "flush chain netdev pipework from-hosta")
    host.attach("a", state="absent")
    assert table(host) == ""


def test_B8_a_name_that_no_rule_can_hold_is_refused(host: Host) -> None:
    before = host.snapshot()
    for name in ('a"b', "a*", "@a", "-a", "ä", "a b"[:1] + "$"):
        with pytest.raises(PipeworkError, match=r"^local_interface: .* letters, digits"):
            host.attach("a", local_interface=name, port=CHECKED)
    host.assert_as(before)


@pytest.mark.any_kernel
def test_B8_a_host_that_cannot_is_named(any_host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    before = any_host.snapshot()
    if not can_filter(any_host):
        for check in (True, False):
            with pytest.raises(PipeworkError) as caught:
                any_host.attach("a", port=CHECKED, check=check)
            assert str(caught.value).startswith("port: mac_spoof_check: ")
            assert "CONFIG_NF_TABLES_NETDEV" in str(caught.value) or not shutil.which("nft")
    monkeypatch.setattr(program, "PATH", "/nowhere")
    with pytest.raises(PipeworkError, match=r"port: mac_spoof_check: it needs the program nft .*Nothing was changed"):
        any_host.attach("a", port=CHECKED)
    any_host.assert_as(before)
    assert any_host.attach("a", addresses=["10.8.0.1/24"])["changed"], "the rest works without it"
