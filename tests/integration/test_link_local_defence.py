# Copyright: pipework.containers contributors
# GNU General Public License v3.0+ (see LICENSE)
"""pipework_attach with link_local: the address is defended between runs, and given up where that does not help."""

from __future__ import annotations

import os
import signal
import socket
import struct
import typing as t
from collections.abc import Iterator

import pytest

from ansible_collections.pipework.containers.plugins.module_utils._agent.link_local import MAX_CONFLICTS
from ansible_collections.pipework.containers.plugins.module_utils._attach.slaac import candidates
from ansible_collections.pipework.containers.plugins.module_utils._neighbour import arp as neighbour_arp
from tests.integration.keeping import LONG, alive, ended, is_over, keeper, kill, kinds, status
from tests.integration.lab import CLONE_NEWNET, Host, Killed, Listener, is_gratuitous_arp, unshare, wait_for

pytestmark = pytest.mark.root
MAC, RIVAL = "02:00:00:00:05:01", "02:00:00:00:05:66"
ZEROCONF: dict[str, t.Any] = {"link_local": True, "mac_address": MAC}
FIRST, SECOND = list(candidates(MAC))[:2]


@pytest.fixture
def segment(host: Host) -> Iterator[Host]:
    """A bridge, and a port of it through which others speak."""
    host.batch("link add br1 address 02:00:00:00:05:fe type bridge\nlink set br1 up\n")
    host.batch("link add stays type veth peer name other\nlink set stays master br1\nlink set stays up\n")
    host.batch("link set other up\n")
    with ended(host):
        yield host


def arp(host: Host, sender: str, address: str, asked: str = "0.0.0.0", kind: int = 1, mac: str = RIVAL) -> None:
    """A frame on the segment. ``mac``: that of the card that it comes from."""
    hardware = [bytes.fromhex(each.replace(":", "")) for each in (mac, sender)]
    frame = (
        b"\xff" * 6 + hardware[0] + neighbour_arp.HEAD + struct.pack("!H", kind) + hardware[1]
        + socket.inet_aton(address)
    )
    frame += bytes(6) + socket.inet_aton(asked)

    def send() -> None:
        with socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0) as sock:
            sock.sendto(frame.ljust(60, b"\0"), ("other", 0))

    host.call(send)


def held(host: Host, ns: str = "a") -> list[str]:
    shown = host.ip("-4", "address", "show", "dev", "eth1", ns=ns)
    return [address["local"] for each in shown for address in each.get("addr_info", ()) if "local" in address]


def state(host: Host) -> dict[str, t.Any]:
    return status(host, "link_local")


def answer(ear: Listener, address: str = FIRST) -> bool:
    """Whether somebody is told that the address is ours."""
    frames = ear.frames(LONG, lambda frame: is_gratuitous_arp(frame, MAC, address))
    return bool(frames) and is_gratuitous_arp(frames[-1], MAC, address)


@pytest.mark.parametrize("kind", [1, 2], ids=["announcement", "reply"])
def test_P46_who_takes_the_address_is_told(segment: Host, kind: int) -> None:
    host = segment
    before = host.snapshot()
    said = host.attach("a", check=True, **ZEROCONF)
    host.assert_as(before)
    done = host.attach("a", **ZEROCONF)
    assert done["operations"] == said["operations"]
    assert kinds(done)[-2:] == [("create", "link_local"), ("create", "dhcp_keep")]
    assert (held(host), state(host)["address"], state(host)["defended"]) == ([FIRST], FIRST, None)
    pid = keeper(host)
    ear = Listener(host, None, "other")
    arp(host, RIVAL, FIRST, FIRST, kind)
    assert answer(ear)
    wait_for("it to be said", lambda: state(host)["defended"], LONG)
    assert RIVAL in state(host)["error"]
    assert held(host) == [FIRST]
    assert not host.attach("a", **ZEROCONF)["changed"]
    assert keeper(host) == pid
    over = host.attach("a", state="absent")
    assert ("delete", "dhcp_keep") in kinds(over)
    is_over(host, pid or 0)
    host.assert_as(before)
    ear.close()


def test_P46_one_who_goes_on_gets_it_and_we_take_another_one(segment: Host) -> None:
    host = segment
    host.attach("a", **ZEROCONF)
    ear = Listener(host, None, "other")
    for _time in range(2):
        arp(host, RIVAL, FIRST, FIRST)
    assert answer(ear, SECOND)
    wait_for("the other one", lambda: held(host) == [SECOND], LONG)
    wait_for("it to be defended", lambda: state(host)["address"] == SECOND, LONG)
    done = host.attach("a", **ZEROCONF)
    assert not done["changed"]
    assert done["attachments"][0]["link_local"] == f"{SECOND}/16"
    arp(host, RIVAL, FIRST, FIRST)  # is nothing to us any more
    arp(host, RIVAL, SECOND, SECOND)
    assert answer(ear, SECOND)
    assert held(host) == [SECOND]
    ear.close()


def test_P46_what_is_no_conflict_changes_nothing(segment: Host) -> None:
    host = segment
    host.attach("a", **ZEROCONF)
    for _time in range(3):
        arp(host, MAC, FIRST, FIRST)  # our own, from wherever it comes
        arp(host, RIVAL, "169.254.9.9", FIRST)  # asks who has it
        arp(host, RIVAL, "0.0.0.0", FIRST)  # asks before it takes one
        arp(host, RIVAL, "169.254.9.9", "169.254.9.9", 2)
    ear = Listener(host, None, "other")
    arp(host, RIVAL, FIRST, FIRST)  # the first one, or it would be given up
    assert answer(ear)
    assert held(host) == [FIRST]
    assert state(host)["address"] == FIRST
    ear.close()


def test_P46_a_real_neighbour_that_took_it_keeps_it(segment: Host) -> None:
    host = segment
    host.attach("a", **ZEROCONF)
    host.batch(f"address add {FIRST}/16 dev other\naddress add {FIRST}/16 dev br1\n")
    for _time in range(2):  # it asks for others from there
        host.ok("ping", "-c", "1", "-W", "1", "-I", "br1", "-q", "169.254.9.9")
    wait_for("another one", lambda: held(host) not in ([], [FIRST]), LONG)
    assert host.ping("a", FIRST)


def live() -> None:
    """A container that is a process."""
    unshare(CLONE_NEWNET)
    signal.pause()


@pytest.mark.parametrize("runtime", ["netns", "pid"])
def test_P46_a_dead_containers_network_is_let_go(segment: Host, runtime: str) -> None:
    host = segment
    work = host.start(live) if runtime == "pid" else None
    name = str(work.pid) if work else "a"
    if work:
        known = {host.sh("readlink", "/proc/self/ns/net").strip(), os.readlink("/proc/self/ns/net")}
        wait_for("its network", lambda: os.readlink(f"/proc/{work.pid}/ns/net") not in known)
    host.attach(name, runtime=runtime, **ZEROCONF, local_interface="end0")
    pid = keeper(host)
    assert pid is not None
    assert state(host)["state"] == "defending"
    if work:
        os.kill(work.pid, signal.SIGKILL)
        with pytest.raises(Killed):
            work.wait()
    else:
        host.end_guest(name)
    wait_for("the kernel to free it", lambda: host.link("end0") is None)
    is_over(host, pid)


def passes(host: Host, port: str) -> bool:
    found = host.link(port)
    return found is not None and found["linkinfo"]["info_slave_data"]["state"] == "forwarding"


def test_P46_an_interface_that_goes_takes_its_defence_along(segment: Host) -> None:
    host = segment
    host.attach("a", **ZEROCONF, local_interface="end0")
    pid = keeper(host)
    host.batch("link set eth1 down\nlink set eth1 up\n", ns="a")
    ear = Listener(host, None, "other")
    wait_for("frames to pass", lambda: passes(host, "end0"))
    arp(host, RIVAL, FIRST, FIRST)
    assert answer(ear)
    host.batch("link del eth1\n", ns="a")
    is_over(host, pid or 0)
    ear.close()


def test_P46_the_next_run_starts_it_again_and_another_one_ends_it(segment: Host) -> None:
    host = segment
    host.attach("a", **ZEROCONF)
    kill(host)
    said = host.attach("a", check=True, **ZEROCONF)
    done = host.attach("a", **ZEROCONF)
    assert said["operations"] == done["operations"]
    assert kinds(done) == [("update", "dhcp_keep")]
    assert (done["operations"][0]["before"]["running"], done["operations"][0]["after"]["running"]) == (False, True)
    ear = Listener(host, None, "other")
    arp(host, RIVAL, FIRST, FIRST)
    assert answer(ear)
    pid = keeper(host)
    said = host.attach("a", check=True, link_local=False)
    done = host.attach("a", link_local=False)
    assert said["operations"] == done["operations"]
    assert kinds(done) == [("delete", "dhcp_keep"), ("delete", "link_local")]
    is_over(host, pid or 0)
    assert not host.attach("a", link_local=False)["changed"]
    ear.close()


def test_P46_an_address_that_was_lost_while_nobody_looked_comes_back(segment: Host) -> None:
    host = segment
    host.attach("a", **ZEROCONF)
    host.attach("b", link_local=True)
    kill(host)
    host.batch(f"address del {FIRST}/16 dev eth1\n", ns="a")
    host.attach("b", link_local=True)  # starts it for both
    wait_for("a run of its own", lambda: held(host) == [FIRST], LONG)
    pid = keeper(host)
    host.run(runtime="netns", attachments=[], purge=True)
    wait_for("its end", lambda: not alive(pid or 0), LONG)


def test_P46_nobody_can_make_it_change_all_the_time(segment: Host) -> None:
    host = segment
    host.attach("a", **ZEROCONF)
    seen = [FIRST]

    def is_defended() -> bool:
        return bool(state(host)["address"] == seen[-1])

    def changes() -> bool:
        return held(host) not in ([], seen[-1:])

    for number in range(MAX_CONFLICTS + 1):
        wait_for("it to be defended", is_defended, LONG)
        for _time in range(2):
            arp(host, RIVAL, seen[-1], seen[-1])
        if number < MAX_CONFLICTS:
            wait_for("another one", changes, LONG)
            seen.extend(held(host))
    wait_for("it to be given up", lambda: not held(host), LONG)
    wait_for("it to be said", lambda: state(host)["state"] == "without an address", LONG)
    assert state(host)["next"]  # when the next one is taken
    assert len(set(seen[:6])) == 6
    done = host.attach("a", **ZEROCONF)  # who runs a playbook does not wait
    assert kinds(done) == [("create", "link_local")]
    assert held(host)


def test_P46_two_interfaces_of_a_container_on_one_bridge(segment: Host) -> None:
    """Its kernel answers for each address through both of them: that is nobody else."""
    host = segment
    host.attach("b", interface="eth1", addresses=["10.1.1.2/24"])
    pair = [{"container": "a", "interface": "eth1", "mac_address": MAC, "link_local": True},
            {"container": "a", "interface": "eth2", "link_local": True},
            {"container": "b", "interface": "eth2", "link_local": True}]
    listed = [{"runtime": "netns", "host_interface": "br1", **each} for each in pair]
    said = host.run(check=True, attachments=listed)
    done = host.run(attachments=listed)
    assert done["operations"] == said["operations"]
    assert len({each["link_local"] for each in done["attachments"]} - {None}) == 3
    assert not host.run(attachments=listed)["changed"]
    host.attach("a", interface="eth3", mac_address="02:00:00:00:05:03", addresses=["10.1.1.3/24"])  # comes later
    assert not host.run(attachments=listed)["changed"]
    for _time in range(3):
        arp(host, "02:00:00:00:05:03", FIRST, FIRST)  # as that kernel asks from there, from whichever address
    ear = Listener(host, None, "other")
    arp(host, RIVAL, FIRST, FIRST)  # the first one, or it would be given up
    assert answer(ear)
    assert FIRST in held(host) and not host.run(attachments=listed)["changed"]
    ear.close()
