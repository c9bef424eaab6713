# Copyright: pipework.containers contributors
# GNU General Public License v3.0+ (see LICENSE)
"""Addresses that somebody else has: found before they are used (IPv4), or while the kernel looks for them (IPv6)."""

from __future__ import annotations

import subprocess
import typing as t

import pytest

from ansible_collections.pipework.containers.plugins.module_utils._core.errors import PipeworkError
from ansible_collections.pipework.containers.plugins.module_utils._neighbour.probe import probe_frame
from tests.integration.lab import Host, Listener, failing_at, wait_for, write
from tests.integration.test_dhcp import CLIENTS, asking, log, server

pytestmark = pytest.mark.root
OURS = "10.1.0.1/24"


@pytest.fixture
def holder(host: Host) -> str:
    """The MAC address of b, which has both addresses on br1."""
    look_for_duplicates(host, "a")
    done = host.attach("b", addresses=[OURS, "fd01::1/64"])
    return str(done["attachments"][0]["mac_address"])


def look_for_duplicates(host: Host, ns: str) -> None:
    for where in ("all", "default"):
        host.call(write, f"/proc/sys/net/ipv6/conf/{where}/accept_dad", "1", ns=ns)


def flags(host: Host, ns: str) -> dict[str, set[str]]:
    """What the kernel says of the static IPv6 addresses of eth1."""
    shown = host.ip("-6", "address", "show", "dev", "eth1", "scope", "global", ns=ns)
    marks = ("tentative", "dadfailed")
    listed = [address for each in shown for address in each.get("addr_info", ()) if "local" in address]
    return {address["local"]: {mark for mark in marks if address.get(mark)} for address in listed}


@pytest.mark.any_kernel
def test_D6_an_address_of_somebody_else_is_not_taken(host: Host, holder: str) -> None:
    before = host.snapshot()
    words = rf"create address netns:a/eth1 10.1.0.1/24 failed: addresses: 10.1.0.1 is in use already, by {holder}; .*"
    words += "before were taken back"
    with pytest.raises(PipeworkError, match=words):
        host.attach("a", addresses=[OURS, "10.1.0.7/24"], gateway=["10.1.0.254"])
    host.assert_as(before)
    with pytest.raises(PipeworkError, match=r"fd01::1/64 of netns:a/eth1 is in use already: .*taken back"):
        host.attach("a", addresses=["10.1.0.7/24", "fd01::1/64"])
    host.assert_as(before)
    wish: dict[str, t.Any] = {"addresses": ["10.1.0.7/24", "fd01::7/64"], "gateway": ["10.1.0.254", "fd01::254"]}
    said = host.attach("a", check=True, **wish)
    done = host.attach("a", **wish)
    assert done["operations"] == said["operations"] and "claimed" not in str(done)
    assert flags(host, "a") == {"fd01::7": set()}  # usable, and not only there
    assert "default via 10.1.0.254 dev eth1 proto 112" in host.routes("a", "route")
    assert not host.attach("a", **wish)["changed"]
    taken = host.attach("a", addresses=[OURS], announce=False)  # who does not want to know
    assert taken["attachments"][0]["addresses"] == [OURS]


@pytest.mark.any_kernel
def test_D6_a_new_ipv6_address_is_the_source_of_a_route_as_soon_as_it_is_nobody_elses(host: Host) -> None:
    look_for_duplicates(host, "a")
    wish: dict[str, t.Any] = {"addresses": ["fd01::7/64"]}
    for number, gateway in enumerate(({}, {"gateway": "fd01::254"})):
        route = {"destination": f"fd02:{number}::/48", "source": "fd01::7", "device": "eth1", **gateway}
        said = host.attach("a", check=True, **wish, routes=[route])
        assert host.attach("a", **wish, routes=[route])["operations"] == said["operations"]
        assert "src fd01::7" in host.routes("a", "-6", "route", "show", route["destination"])[0]
        assert not host.attach("a", **wish, routes=[route])["changed"]
        host.attach("a", state="absent")


def test_D6_on_a_network_card(host: Host) -> None:
    host.sh("ip", "link", "add", "nic0", "type", "veth", "peer", "name", "eth1", "netns", "b")
    host.batch("link set eth1 up\naddress add 10.1.0.1/24 dev eth1\n", ns="b")
    host.batch("link set nic0 up\n")
    for kind in ("macvlan", "phys"):
        before = host.snapshot()
        with pytest.raises(PipeworkError, match=r"addresses: 10.1.0.1 is in use already, by [0-9a-f:]{17}"):
            host.attach("a", host_interface="nic0", kind=kind, addresses=[OURS])
        host.assert_as(before)


def test_D6_an_address_that_moves_within_a_run_is_nobody_elses(host: Host, holder: str) -> None:
    both = [{"container": "a", "addresses": ["10.1.0.2/24"]}, {"container": "b", "addresses": [OURS]}]
    host.run(runtime="netns", host_interface="br1", attachments=both)
    swapped = [{"container": "a", "addresses": [OURS]}, {"container": "b", "addresses": ["10.1.0.2/24"]}]
    host.run(runtime="netns", host_interface="br1", attachments=swapped)
    assert (host.addresses("eth1", ns="a"), host.addresses("eth1", ns="b")) == ([OURS], ["10.1.0.2/24"])
    moved = [{"container": "a", "state": "absent"}, {"container": "b", "addresses": [OURS]}]
    host.run(runtime="netns", host_interface="br1", attachments=moved)
    assert host.addresses("eth1", ns="b") == [OURS] and host.link("eth1", ns="a") is None


def test_D6_what_an_ended_container_left_is_waited_for(host: Host, holder: str) -> None:
    def end() -> None:
        """Takes the holder away when it has been asked for the first time."""
        wanted = probe_frame(bytes.fromhex(mac.replace(":", "")), "10.1.0.1")
        frames = ear.frames(30, lambda frame: frame[:42] == wanted)
        assert frames and frames[-1][:42] == wanted
        subprocess.run(["ip", "link", "del", "eth1"], check=True)

    mac = host.attach("a", addresses=["10.1.0.7/24"])["attachments"][0]["mac_address"]
    ear = Listener(host, "b", "eth1")
    try:
        ending = host.start(end, ns="b")
        assert host.attach("a", addresses=[OURS])["attachments"][0]["addresses"] == [OURS]
        ending.wait()
    finally:
        ear.close()


def test_D6_a_duplicate_from_before_is_tried_again(host: Host, holder: str) -> None:
    wish: dict[str, t.Any] = {"addresses": ["fd01::1/64"]}
    host.attach("a", announce=False, **wish)
    wait_for("the kernel to find it", lambda: "dadfailed" in flags(host, "a")["fd01::1"])
    with pytest.raises(PipeworkError, match=r"fd01::1/64 of netns:a/eth1 is in use already"):
        host.attach("a", **wish)
    wait_for("it to be as before", lambda: "dadfailed" in flags(host, "a")["fd01::1"])
    host.attach("b", state="absent")
    said = host.attach("a", check=True, **wish)
    assert [each["action"] for each in said["operations"]] == ["delete", "create"]
    assert host.attach("a", **wish)["operations"] == said["operations"]
    assert flags(host, "a") == {"fd01::1": set()}
    assert not host.attach("a", **wish)["changed"]


def test_D6_a_failure_at_any_operation_leaves_what_was_there(host: Host, holder: str) -> None:
    wish: dict[str, t.Any] = {
        "addresses": ["10.1.0.7/24"], "gateway": ["10.9.9.9"], "table": "200", "sysctls": {},
        "routes": [{"destination": "10.2.0.0/16", "gateway": "10.1.0.254"}],
    }
    host.attach("a", state="absent")
    before = host.snapshot()
    steps = len(host.attach("a", check=True, **wish)["operations"])
    for number in range(steps):
        with pytest.raises(PipeworkError, match="a failure was injected"):
            host.attach("a", step=failing_at(number), **wish)
        host.assert_as(before, f"operation {number}")
    host.attach("a", **wish)
    assert not host.attach("a", **wish)["changed"]


@pytest.mark.parametrize("client", CLIENTS)
def test_D6_a_server_is_told_that_somebody_else_has_what_it_gave(host: Host, client: str) -> None:
    host.batch("link add br1 type bridge\nlink set br1 up\naddress add 10.5.0.254/24 dev br1\n")
    host.attach("b", addresses=["10.5.0.100/24"])
    wish: dict[str, t.Any] = {**asking(client), "dhcp_options": ["requested-address=10.5.0.100"]}
    with server(host, last=101):
        done = host.attach("a", **wish)
        assert done["attachments"][0]["lease"]["address"] == "10.5.0.101/24"
        assert "DHCPDECLINE(br1) 10.5.0.100" in log(host)
        host.attach("a", state="absent")
    with server(host, last=100):
        with pytest.raises(PipeworkError, match=r"The server 10.5.0.254 gave 10.5.0.100, which [0-9a-f:]{17} has"):
            host.attach("a", **{**wish, "dhcp_timeout": 3})
        assert host.attach("a", announce=False, **wish)["attachments"][0]["lease"]["address"] == "10.5.0.100/24"


def test_D6_an_address_that_the_container_has_itself(host: Host) -> None:
    host.attach("a", interface="eth2", addresses=[OURS], host_interface="br1")
    host.attach("b", addresses=["10.1.0.2/24"])  # somebody else is there
    before = host.snapshot()
    for check in (True, False):
        with pytest.raises(PipeworkError, match=r"10.1.0.1/24: netns:a has that address on its own eth2 already"):
            host.attach("a", addresses=[OURS], check=check)
        host.assert_as(before)
    host.attach("a", interface="eth3", addresses=["10.1.0.3/24"])
    one = {"container": "a", "runtime": "netns", "host_interface": "br1"}
    moved = [{**one, "interface": "eth2", "addresses": []}, {**one, "interface": "eth4", "addresses": [OURS]}]
    host.run(attachments=moved)  # eth3 answers for it, as long as eth2 has it
    assert (host.addresses("eth2", ns="a"), host.addresses("eth4", ns="a")) == ([], [OURS])
    assert not host.run(attachments=moved)["changed"]
