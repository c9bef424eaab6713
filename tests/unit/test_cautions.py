# Copyright: pipework.containers contributors
# GNU General Public License v3.0+ (see LICENSE)
"""Warnings about what is done as it is told, and what others on a segment have: on hosts made by hand."""

from __future__ import annotations

import dataclasses
import time
from typing import Any

import pytest

from ansible_collections.pipework.containers.plugins.module_utils._attach import cautions, segments, taken
from ansible_collections.pipework.containers.plugins.module_utils._attach.desired import compile_wish
from ansible_collections.pipework.containers.plugins.module_utils._attach.options import attachments_from_params
from ansible_collections.pipework.containers.plugins.module_utils._attach.segments import Segments
from ansible_collections.pipework.containers.plugins.module_utils._core.errors import PipeworkError
from ansible_collections.pipework.containers.plugins.module_utils._core.plan import reconcile, simulate
from ansible_collections.pipework.containers.plugins.module_utils._model.objects import HOST, Address
from tests.unit.test_attach import WEB1, World, attached, simple, target


def warned(world: World, *items: dict[str, Any], **shared: Any) -> list[str]:
    """The warnings of a run, after which the same run has none."""
    targets = [target(world, item) for item in attachments_from_params({"attachments": items, **shared})]
    facts = world.facts()
    wish, state = compile_wish(targets, facts)
    found = list(cautions.of_attachments(targets, facts, state, wish.desired))
    later = simulate(state, reconcile(wish.desired, state))
    assert list(cautions.of_attachments(targets, facts, later, wish.desired)) == []
    return found


def on_a_lan() -> World:
    world = simple()
    world.address(HOST, "eth0", "192.168.7.2/24")
    world.address(HOST, "eth0", "2001:db8:7::2/64")
    world.address(HOST, "docker0", "172.17.0.1/16")
    return world


@pytest.mark.parametrize(
    ("address", "device"),
    [
        ("192.168.7.9/24", "eth0"),
        ("192.168.7.9/16", "eth0"),
        ("2001:db8:7::9/64", "eth0"),
        ("172.17.3.4/24", "docker0"),
        ("192.168.7.9/32", None),  # whoever gives one address alone knows why
        ("192.168.8.9/24", None),
        ("2001:db8:8::9/64", None),
    ],
)
def test_a_network_that_the_host_has_elsewhere(address: str, device: str | None) -> None:
    found = warned(on_a_lan(), {**WEB1, "addresses": [address]})
    assert [f"which the host has on {device}:" in words for words in found] == ([True] if device else [])


def test_what_is_on_the_same_network_as_the_hosts_address() -> None:
    """The bridge itself, its port, a macvlan beside it, the host's own attachment; not a VLAN, and not a VRF."""
    item = {**WEB1, "addresses": ["192.168.7.9/24"]}
    port, shim, vlan = on_a_lan(), simple(), on_a_lan()
    bridge = port.bridge()
    port.devices[HOST][0] = dataclasses.replace(port.devices[HOST][0], master=bridge.index)
    assert warned(port, item) == []
    bridge = shim.bridge()
    shim.host("mv0", "macvlan", parent_index=bridge.index)
    shim.address(HOST, "mv0", "192.168.7.3/24")
    assert warned(shim, item) == []
    nic = vlan.devices[HOST][0]
    vlan.host("eth0.7", "vlan", parent_index=nic.index)
    vlan.bridge()
    vlan.address(HOST, "eth0.7", "10.7.0.1/24")
    assert len(warned(vlan, {**item, "addresses": ["10.7.0.9/24"], "host_interface": "eth0", "kind": "macvlan"})) == 1
    apart = simple()
    vrf = apart.host("blue", "vrf")
    apart.host("eth5", master=vrf.index)
    apart.address(HOST, "eth5", "192.168.7.2/24")
    assert warned(apart, item) == []


def test_a_second_nic_may_lead_to_the_same_lan() -> None:
    """What stands on a NIC without an address may be on the LAN of another one; so may a bridge with such a port."""
    world = on_a_lan()
    world.host("eth1")
    item = {**WEB1, "addresses": ["192.168.7.9/24"], "host_interface": "eth1", "kind": "macvlan"}
    assert warned(world, item) == []
    world.address(HOST, "eth1", "10.9.0.2/24")
    assert len(warned(world, item)) == 1
    bridge = world.bridge()
    world.host("eth2", master=bridge.index)
    assert warned(world, {**item, "host_interface": "br1", "kind": "bridge"}) == []


def test_one_network_one_prefix_length() -> None:
    world = attached("10.1.0.1/24")
    world.pair("docker:db1", "eth1", "pw9", "br1")
    item = {**WEB1, "container": "db1"}
    [words] = warned(world, {**item, "addresses": ["10.1.0.2/16"]})
    assert "10.1.0.2/16 of db1/eth1 and 10.1.0.1/24 of docker:web1/eth1 are of one network on br1" in words
    for fine in ("10.1.0.2/24", "10.1.1.2/24", "10.1.0.2/32", "10.2.0.2/16", "fd01::2/64"):
        assert warned(world, {**item, "addresses": [fine]}) == []
    assert warned(world, {**item, "addresses": ["10.1.0.2/16"], "host_interface": "br2", "interface": "eth2"}) == []
    world.address(HOST, "br1", "10.3.0.1/25")
    assert "10.3.0.1/25 of the host's br1" in warned(world, {**item, "addresses": ["10.3.0.2/24"]})[0]


def test_a_thousand_prefix_lengths_are_soon_compared() -> None:
    world = simple()
    items = []
    for number in range(1000):
        world.devices[f"docker:c{number}"] = []
        address = f"10.{number // 250}.{number % 250}.1/{24 if number else 8}"
        items.append({"container": f"c{number}", "host_interface": "br1", "addresses": [address]})
    targets = [target(world, item) for item in attachments_from_params({"attachments": items})]
    facts = world.facts()
    wish, state = compile_wish(targets, facts)
    began = time.process_time()
    found = list(cautions.of_attachments(targets, facts, state, wish.desired))
    assert time.process_time() - began < 3
    assert len(found) == 999 and all("10.0.0.1/8 of c0/eth1" in words for words in found)


def test_a_gateway_needs_an_address_of_its_family() -> None:
    [words] = warned(simple(), {**WEB1, "gateway": ["10.1.0.254"]})
    assert words.startswith("gateway: 10.1.0.254 of web1/eth1: the interface has no IPv4 address")
    assert warned(attached("10.1.0.1/24"), {**WEB1, "gateway": ["10.1.0.254"]}) == []
    assert len(warned(attached("fd01::1/64"), {**WEB1, "gateway": ["10.1.0.254"]})) == 1
    assert len(warned(simple(), {**WEB1, "gateway": ["fd01::fe"]})) == 1
    for more in ({"gateway": ["fe80::1"]}, {"gateway": ["fd01::fe"], "accept_ra": True}):
        assert warned(simple(), {**WEB1, **more}) == []


def test_who_leaves_a_network_without_a_word() -> None:
    world = attached("10.1.0.1/24")
    words = "web1/eth1 moved from br1 to br2; a second network needs another interface"
    assert warned(world, {**WEB1, "host_interface": "br2"}) == [words]
    assert warned(world, {**WEB1, "host_interface": "br2", "interface": "eth1"}) == []
    assert warned(world, {**WEB1, "host_interface": "br2"}, interface="eth1") == []
    assert warned(world, WEB1) == [] and warned(simple(), WEB1) == []
    nic = {**WEB1, "host_interface": "eth0", "kind": "macvlan"}
    assert warned(world, nic) == [words.replace("br2", "eth0")]


def test_a_bridges_own_address_is_looked_at_too() -> None:
    @dataclasses.dataclass
    class Port:
        name: str

    @dataclasses.dataclass
    class Bridge:
        name: str = "br1"
        state: str = "present"
        addresses: tuple[str, ...] = ("192.168.7.3/24", "10.4.0.1/24")
        ports: tuple[Port, ...] = ()

    facts = on_a_lan().facts()
    state = facts.state()
    [words] = segments.of_bridges([Bridge()], facts, state, {})
    assert words.startswith("addresses: 192.168.7.3/24 of br1 lies in 192.168.7.0/24, which the host has on eth0")
    assert list(segments.of_bridges([Bridge(ports=(Port("eth0"),))], facts, state, {})) == []
    there = {each.key: each for each in (Address(HOST, "br1", address) for address in Bridge.addresses)}
    assert list(segments.of_bridges([Bridge()], facts, {**state, **there}, {})) == []


def test_segments_follow_bridges_and_nics() -> None:
    world = simple()
    bridge = world.bridge()
    world.host("eth7", master=bridge.index)
    world.host("mv7", "macvlan", parent_index=world.devices[HOST][-1].index)
    segments = Segments(world.facts())
    assert segments.of("mv7") == segments.of("br1") != segments.of("eth0")
    assert segments.is_wider("br1", bridged=True) and not segments.is_wider("docker0", bridged=True)


MAC = "02:00:00:00:aa:01"


def refused(world: World, *items: dict[str, Any]) -> str:
    targets = [target(world, item) for item in attachments_from_params({"attachments": items})]
    facts = world.facts()
    wish, state = compile_wish(targets, facts)
    comers = taken.comers(targets, facts, state, wish.desired)
    try:
        taken.check(comers, taken.known(comers, facts, state, wish.desired))
    except PipeworkError as error:
        return str(error)
    return ""


def test_B19_a_mac_address_that_another_one_on_the_bridge_has() -> None:
    world = attached("10.1.0.1/24")
    eth1 = world.devices["docker:web1"][-1]
    world.pair("docker:db1", "eth0", "vethx", "docker0", ours=False)
    item = {**WEB1, "container": "db1", "mac_address": eth1.mac}
    assert f"{eth1.mac} is the address of docker:web1/eth1 already, which is on br1" in refused(world, item)
    assert refused(world, {**item, "host_interface": "br2"}) == ""
    assert refused(world, {**item, "mac_address": MAC}) == ""
    assert refused(world, item, {**WEB1, "mac_address": MAC}) == ""  # which gives it up in the same run
    assert refused(world, item, {"container": "web1", "state": "absent"}) == ""
    bridge = next(each for each in world.devices[HOST] if each.name == "br1")
    assert f"{bridge.mac} is the address of br1" in refused(world, {**item, "mac_address": bridge.mac})
