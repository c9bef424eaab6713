# Copyright: pipework.containers contributors
# GNU General Public License v3.0+ (see LICENSE)
"""What the dumps of several namespaces mean together: which two ends are one pair, and whose it is."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from ansible_collections.pipework.containers.plugins.module_utils._model.keys import link_key, port_key
from ansible_collections.pipework.containers.plugins.module_utils._model.objects import (
    GROUP,
    HOST,
    UNFINISHED,
    Address,
    Device,
    Link,
    Nic,
    Port,
    Route,
    owner_of,
)
from ansible_collections.pipework.containers.plugins.module_utils._model.observed import Facts, whose

C, D = "netns:c1", "netns:c2"
OWNER = owner_of("netns", "c1", "1", "eth1")


def device(index: int, name: str, kind: str | None = None, **fields: Any) -> Device:
    return Device(index, name, kind, f"02:00:00:00:00:{index:02x}", 1500, fields.pop("up", True), **fields)


BR1 = device(3, "br1", "bridge", alias="pipework:auto", settings={"stp": False})
NEAR = device(4, "pw1", "veth", master=3, parent_index=2, parent_netnsid=7, alias=OWNER)
FAR = device(2, "eth1", "veth", parent_index=4, parent_netnsid=0, alias=OWNER)


def facts(host: list[Device], inside: list[Device], nsid: int | None = 7, **more: Any) -> Facts:
    named = {HOST: {d.name: d for d in host}, C: {d.name: d for d in inside}}
    return Facts(named, nsids={HOST: None, C: nsid}, **more)


def link(found: Facts, label: str, name: str) -> Link:
    item = found.state()[link_key(label, name)]
    assert isinstance(item, Link)
    return item


def test_P1_two_ends_are_one_pair() -> None:
    found = facts([BR1, NEAR], [FAR])
    state = found.state()
    assert state[port_key(C, "eth1")] == Port(HOST, f"{C}/eth1", "pw1", "br1", 1500, True, OWNER)
    far = link(found, C, "eth1")
    assert (far.type, far.peer, far.peer_mac, far.owner) == ("veth", "pw1", NEAR.mac, OWNER)
    assert found.ports_of("br1") == [NEAR]
    assert found.ports_of("br9") == []


@pytest.mark.parametrize(
    ("near", "far", "nsid"),
    [
        ({"parent_index": 9}, {}, 7),
        ({}, {"parent_index": 3}, 7),
        ({}, {"parent_index": None}, 7),
        ({"parent_netnsid": 8}, {}, 7),
        ({"parent_netnsid": None}, {}, 7),
        ({}, {}, None),
        ({}, {"parent_netnsid": None}, 7),
        ({"type": "macvlan"}, {}, 7),
        ({}, {"type": "vxlan"}, 7),
    ],
)
def test_B14_each_end_has_to_name_the_other_in_the_others_namespace(
    near: dict[str, Any], far: dict[str, Any], nsid: int | None
) -> None:
    found = facts([BR1, dataclasses.replace(NEAR, **near)], [dataclasses.replace(FAR, **far)], nsid)
    assert port_key(C, "eth1") not in found.state()
    assert link(found, C, "eth1").peer is None


def test_the_host_end_says_whose_a_pair_is() -> None:
    for near, far, owner in (
        ({"alias": None}, {}, None),
        ({}, {"alias": None}, UNFINISHED),
        ({"alias": None, "group": GROUP}, {}, OWNER),
        ({"alias": None, "group": GROUP}, {"alias": None}, UNFINISHED),
    ):
        found = facts([BR1, dataclasses.replace(NEAR, **near)], [dataclasses.replace(FAR, **far)])  # type: ignore[arg-type]
        assert link(found, C, "eth1").owner == owner
        assert (port_key(C, "eth1") in found.state()) == (owner is not None)


def test_runtime_host_has_both_ends_on_the_host() -> None:
    mine = owner_of(HOST, HOST, "1", "in0")
    near = device(4, "pw1", "veth", master=3, parent_index=5, alias=mine)
    far = device(5, "in0", "veth", parent_index=4, alias=mine)
    found = facts([BR1, near, far], [])
    ports = [item for item in found.state().values() if isinstance(item, Port)]
    assert [(port.guest, port.local_interface) for port in ports] == [("host/in0", "pw1")]
    assert link(found, HOST, "pw1").peer is None


def test_kinds_of_links_on_the_host() -> None:
    nic = Nic("eth2", 1500, None, True)
    found = facts(
        [
            BR1,
            device(5, "eth0"),
            device(6, "eth0m", "macvlan", parent_index=5),
            device(7, "dev7", alias=nic.pack(OWNER)),
            device(8, "mv0", "macvlan", parent_index=5, alias="pipework:host:host:1:mv0", settings={"mode": "vepa"}),
            device(9, "dummy0", "dummy"),
        ],
        [],
    )
    kinds = {name: link(found, HOST, name).type for name in found.host}
    assert kinds == {
        "br1": "bridge",
        "eth0": "nic",
        "eth0m": "nic",
        "dev7": "phys",
        "mv0": "macvlan",
        "dummy0": "nic",
    }
    assert link(found, HOST, "mv0").parent == "eth0"
    assert (link(found, HOST, "dev7").nic, link(found, HOST, "dev7").parent) == (nic, "eth2")
    assert link(found, HOST, "br1").settings == {"stp": False}


def test_a_macvlan_in_a_container_stands_on_a_nic_of_the_host() -> None:
    inside = device(2, "eth1", "macvlan", parent_index=5, parent_netnsid=0, alias=OWNER, settings={"mode": "bridge"})
    assert link(facts([device(5, "eth0")], [inside]), C, "eth1").parent == "eth0"


def test_addresses_and_routes_are_part_of_the_state() -> None:
    address = Address(C, "eth1", "10.0.0.1/24")
    route = Route(C, 4, "default", gateway="10.0.0.254", device="eth1")
    found = facts([], [FAR], addresses={C: [address]}, routes={C: [route]})
    state = found.state()
    assert state[address.key] == address
    assert state[route.key] == route
    assert all(key == item.key for key, item in state.items())


@pytest.mark.parametrize(
    ("host", "inside", "words"),
    [
        ([BR1, NEAR], FAR, "it belongs to another attachment (pipework:netns:c1:1:eth1)"),
        (
            [dataclasses.replace(BR1, name="docker0", alias=None), dataclasses.replace(NEAR, alias=None)],
            None,
            "Docker's",
        ),
        (
            [dataclasses.replace(BR1, name="br-1a2b", alias=None), dataclasses.replace(NEAR, alias=None)],
            None,
            "Docker's",
        ),
        (
            [BR1, dataclasses.replace(NEAR, alias=None)],
            None,
            "somebody else's veth, whose other end is pw1 on the bridge",
        ),
        ([dataclasses.replace(NEAR, alias=None, master=None)], None, "somebody else's veth, whose other end is pw1"),
        ([], device(2, "eth1", "dummy"), "it is somebody else's dummy"),
        ([], device(2, "eth1"), "it is somebody else's network card"),
        ([], device(2, "eth1", group=GROUP), "it belongs to another attachment (pipework:unfinished)"),
    ],
)
def test_words_for_whose_an_interface_is(host: list[Device], inside: Device | None, words: str) -> None:
    inside = inside or dataclasses.replace(FAR, alias=None)
    assert words in whose(facts(host, [inside]), C, inside)
