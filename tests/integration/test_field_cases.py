# Copyright: pipework.containers contributors
# GNU General Public License v3.0+ (see LICENSE)
"""Cases that other systems for container networks have met in the field, each on real kernel objects.

Others of this sort stand where they belong: trunks, access ports and isolation in tests/kernel/test_vlan.py, names on
the host in test_attach_bridge.py, runs that fail in test_faults.py.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from ansible_collections.pipework.containers.plugins.module_utils._core.errors import PipeworkError
from ansible_collections.pipework.containers.plugins.module_utils._jobs.bridge import BridgeJob
from tests.integration.lab import Host, refusal

pytestmark = pytest.mark.root
NIC = "link add nic0 address 06:00:00:00:00:01 type veth peer name lan0\nlink set lan0 up\nlink set nic0 up"


@pytest.fixture
def host() -> Iterator[Host]:
    found = Host("a", "b", "c")
    yield found
    found.close()


def mac_of(host: Host, name: str, ns: str | None = None) -> str:
    return str((host.link(name, ns=ns) or {})["address"])


def mtu_of(host: Host, name: str, ns: str | None = None) -> int:
    return int((host.link(name, ns=ns) or {})["mtu"])


# -- bridges


@pytest.mark.any_kernel
def test_P2_a_bridge_keeps_its_address_as_ports_come_and_go(host: Host) -> None:
    """By itself it takes the lowest of its ports', and containers have to ask for their gateway's address again."""
    host.attach("a", addresses=["10.1.0.1/24"])
    host.sh("ip", "address", "add", "10.1.0.254/24", "dev", "br1")
    kept = mac_of(host, "br1")
    assert host.ping("a", "10.1.0.254")
    host.batch("link add low0 address 02:00:00:00:00:01 type veth peer name low1\nlink set low0 master br1 up")
    host.attach("b", addresses=["10.1.0.2/24"])
    assert mac_of(host, "br1") == kept
    host.attach("a", state="absent")
    host.sh("ip", "link", "del", "low0")
    assert mac_of(host, "br1") == kept
    assert host.ping("b", "10.1.0.254")
    assert kept in host.sh("ip", "neigh", "show", "10.1.0.254", ns="b")


def test_P37_large_and_small_mtus_on_one_bridge(host: Host) -> None:
    """A bridge passes what its smallest port takes; containers that are given nothing get what it has."""
    host.run(job=BridgeJob, name="br1", mtu=9000)
    end = host.attach("a", addresses=["10.1.0.1/24"])["attachments"][0]["local_interface"]
    assert (mtu_of(host, "eth1", "a"), mtu_of(host, end)) == (9000, 9000)
    host.attach("b", addresses=["10.1.0.2/24"], mtu=1400)
    assert mtu_of(host, "eth1", "b") == 1400
    host.run(job=BridgeJob, name="br1", mtu=1400)
    host.attach("a", addresses=["10.1.0.1/24"])
    assert mtu_of(host, "eth1", "a") == mtu_of(host, "br1") == 1400
    assert host.ok("ping", "-c", "1", "-w", "10", "-s", "1372", "-M", "do", "10.1.0.2", ns="a")
    assert not host.attach("a", addresses=["10.1.0.1/24"])["changed"]
    assert not host.attach("b", addresses=["10.1.0.2/24"], mtu=1400)["changed"]


def test_B4_an_attachment_that_fails_leaves_no_bridge_no_port_and_no_address_behind(host: Host) -> None:
    before = host.snapshot()
    with pytest.raises(PipeworkError, match="taken back; everything is as it was"):
        host.attach("a", addresses=["10.1.0.1/24"], routes=[{"destination": "10.9.0.0/16", "source": "10.99.0.1"}])
    host.assert_as(before)
    host.attach("b", addresses=["10.1.0.1/24"])  # the address is free
    host.attach("b", state="absent")
    host.assert_as(before)


# -- NICs


@pytest.mark.any_kernel
def test_P13_an_interface_may_be_called_as_its_nic_on_the_host(host: Host) -> None:
    """Kernels before 6.15 want a name for a new interface that is free on the host too, wherever it is to be."""
    host.batch(NIC)
    before = host.snapshot()
    for kind in ("macvlan", "macvtap", "phys"):
        options: dict[str, Any] = {"host_interface": "nic0", "kind": kind, "interface": "nic0"}
        host.attach("a", addresses=["203.0.113.1/24"], **options)
        assert host.links("a") == ["nic0"]
        assert not host.attach("a", addresses=["203.0.113.1/24"], **options)["changed"]
        host.attach("a", state="absent", **options)
        host.assert_as(before, kind)


@pytest.mark.any_kernel
def test_P15_a_container_may_have_an_interface_of_the_nics_name(host: Host) -> None:
    """It is in the way neither as the NIC comes nor as it goes; nor is one of the host, of the name it had inside."""
    host.batch(NIC)
    host.sh("ip", "link", "add", "nic0", "type", "bridge", ns="a")
    host.sh("ip", "link", "add", "eth1", "type", "bridge")
    before = host.snapshot()
    host.attach("a", host_interface="nic0", kind="phys", addresses=["203.0.113.1/24"])
    assert (host.links("a"), host.links()) == (["eth1", "nic0"], ["eth1", "lan0"])
    host.attach("a", state="absent")
    host.assert_as(before)


def test_P15_absent_twice_and_a_name_that_is_taken_inside(host: Host) -> None:
    host.batch(NIC)
    host.sh("ip", "link", "add", "eth1", "type", "bridge", ns="a")
    before = host.snapshot()
    said = refusal(lambda: host.attach("a", host_interface="nic0", kind="phys"))
    assert said is not None and said.startswith("interface: eth1 exists in netns:a and is not ours")
    host.assert_as(before)
    options = {"host_interface": "nic0", "kind": "phys", "interface": "eth5"}
    host.attach("a", **options)
    assert host.attach("a", state="absent", **options)["changed"]
    assert not host.attach("a", state="absent", **options)["changed"]
    host.assert_as(before)


@pytest.mark.kernel
def test_P19_a_dummy_may_be_called_as_one_of_the_host(host: Host) -> None:
    host.batch("link add dummy0 type dummy\nlink set dummy0 up")
    before = host.snapshot()
    done = host.attach("a", host_interface="dummy", interface="dummy0", addresses=["10.9.9.9/32"])
    assert (done["attachments"][0]["kind"], host.links("a"), host.links()) == ("dummy", ["dummy0"], ["dummy0"])
    host.attach("b", host_interface="dummy0", interface="eth1")  # the classic script: an interface that exists
    assert (host.link("eth1", ns="b") or {})["linkinfo"]["info_kind"] == "macvlan"
    for name, interface in (("a", "dummy0"), ("b", "eth1")):
        host.attach(name, interface=interface, state="absent")
    host.assert_as(before)


# -- routing tables of their own


@pytest.mark.kernel
def test_P7_the_same_address_in_two_vrfs_of_one_container(host: Host) -> None:
    """The vrfs are the container's own affair: interfaces that it has put into them are kept there."""
    host.batch(
        "link add red type vrf table 10\nlink add blue type vrf table 20\nlink set red up\nlink set blue up", ns="a"
    )
    before = host.snapshot()
    items = [
        {"container": "a", "host_interface": "br1", "interface": "eth1", "addresses": ["10.7.0.1/24"]},
        {"container": "a", "host_interface": "br2", "interface": "eth2", "addresses": ["10.7.0.1/24"]},
        {"container": "b", "host_interface": "br1", "addresses": ["10.7.0.2/24"]},
        {"container": "c", "host_interface": "br2", "addresses": ["10.7.0.2/24"]},
    ]
    done = host.run(runtime="netns", attachments=items)
    host.batch("link set eth1 master red\nlink set eth2 master blue", ns="a")
    assert not host.run(runtime="netns", attachments=items)["changed"]
    for vrf, table, interface in (("red", "10", "eth1"), ("blue", "20", "eth2")):
        assert f"10.7.0.0/24 dev {interface}" in host.sh("ip", "route", "show", "table", table, ns="a")
        assert host.ok("ping", "-c", "1", "-w", "10", "-I", vrf, "10.7.0.2", ns="a")
    macs = {(each["container"], each["host_interface"]): each["mac_address"] for each in done["attachments"]}
    neighbours = host.sh("ip", "neigh", ns="a")
    assert f"dev eth1 lladdr {macs['b', 'br1']}" in neighbours and f"dev eth2 lladdr {macs['c', 'br2']}" in neighbours
    items[0]["addresses"] = ["10.7.0.9/24"]
    changed = host.run(runtime="netns", attachments=items)
    assert {each["kind"] for each in changed["operations"]} == {"address"}
    assert (host.link("eth1", ns="a") or {})["master"] == "red"
    host.run(runtime="netns", attachments=[], purge=True)
    host.assert_as(before)
