# Copyright: pipework.containers contributors
# GNU General Public License v3.0+ (see LICENSE)
"""Virtual functions of cards: what is refused, what follows in which order, and what is kept until they come back."""

from __future__ import annotations

import struct
from typing import Any

import pytest

from ansible_collections.pipework.containers.plugins.module_utils._attach.options import Attachment
from ansible_collections.pipework.containers.plugins.module_utils._core.errors import PipeworkError
from ansible_collections.pipework.containers.plugins.module_utils._model.objects import HOST, Nic
from ansible_collections.pipework.containers.plugins.module_utils._model.sriov import Card, Function, Vf
from ansible_collections.pipework.containers.plugins.module_utils._model.sriov_record import VirtualFunction
from ansible_collections.pipework.containers.plugins.module_utils._netlink import rtnl, sriov
from tests.unit.test_attach import World, lines, owner

OWN = "52:54:00:00:00:07"
FULL = VirtualFunction("eth0", 3, OWN, 10, 2, True)
ASKED = {"container": "web1", "host_interface": "eth0", "vf": 3}


def world_of(function: Function | None = None, **alias: Any) -> tuple[World, dict[str, Card]]:
    world = World()
    world.inside("docker:web1", "lo0", "dummy")
    world.host("eth0", up=False)
    world.host("eth7", mac=OWN, **alias)
    found = function or Function(VirtualFunction("eth0", 3, "", 0, 0, True), "eth7", "igbvf")
    return world, {"eth0": Card({3: found}, 7)}


def plan_lines(world: World, cards: dict[str, Card], **options: Any) -> list[str]:
    world.cards = cards
    return lines(world, {**ASKED, **options})


@pytest.mark.parametrize("vf", [FULL, VirtualFunction("a|b%", 0), VirtualFunction("eth0", 63, "", 0, 0, False)])
def test_P15_a_function_is_kept_with_its_nic(vf: VirtualFunction) -> None:
    nic = Nic("eth7", 1500, OWN, False, ("10.0.0.1/24",), "my|alias", vf)
    assert Nic.unpack(nic.pack("pipework:docker:web1:1:eth1")) == ("pipework:docker:web1:1:eth1", nic)


@pytest.mark.parametrize(("options", "words"), [
    ({"vf": "first"}, "vf: 'first' is not the number of a virtual function; the first one is 0"),
    ({"vf": -1}, "vf: -1 is not the number"),
    ({"kind": "macvlan", "vf": 0}, "vf: kind macvlan has no virtual functions; kind sriov has"),
    ({"kind": "sriov"}, "vf: say which virtual function"),
])
def test_B7_wrong_options_are_refused(options: dict[str, Any], words: str) -> None:
    with pytest.raises(PipeworkError, match=words):
        Attachment.from_params({"container": "web1", "host_interface": "eth0", **options})


@pytest.mark.parametrize(("options", "words"), [
    ({"vf": 4}, r"vf: 4: eth0 has 1 virtual function\(s\), 0 to 3, of 7 .*'echo 5 > /sys/class/net/eth0/device/sriov"),
    ({"vf": 7}, r"vf: 7: eth0 has 1 .* of 7 that it can have\."),
    ({"host_interface": "eth7"}, "eth7 is not a card with virtual functions"),
    ({"port": {"isolated": True}}, "port: isolated: kind sriov has mac_spoof_check alone"),
    ({"vlan_trunks": ["10"]}, "vlan_trunks: kind sriov does not have it"),
    ({"kind": "phys", "vf": None, "vlan": 10}, "vlan: kind phys does not have it"),
])
def test_B7_what_the_card_has_not_is_refused(options: dict[str, Any], words: str) -> None:
    world, cards = world_of()
    with pytest.raises(PipeworkError, match=words):
        plan_lines(world, cards, **options)


@pytest.mark.parametrize(("function", "words"), [
    (Function(FULL, None, None), "vf: 3 of eth0 has no driver, and so no network interface"),
    (Function(FULL, None, "vfio-pci"), r"vf: 3 of eth0 has no network interface .* its driver \(vfio-pci\) makes none"),
    (Function(VirtualFunction("eth0", 3), "eth7", "x"), "vlan: the driver of eth0 does not set this"),
])
def test_B7_a_function_without_interface_or_vlan_is_refused(function: Function, words: str) -> None:
    world, cards = world_of(function)
    with pytest.raises(PipeworkError, match=words):
        plan_lines(world, cards, vlan=10)


def test_B7_the_card_is_up_first_and_the_function_down_until_all_is_set() -> None:
    world, cards = world_of()
    assert plan_lines(world, cards, vlan=10, mac_address="02:00:00:00:00:01", port={"mac_spoof_check": False}) == [
        "delete link eth7",
        "update link eth0: up False -> True",
        "create link docker:web1/eth1",
        "update vf eth0 vf 3: spoof_check True -> False, vlan 0 -> 10",
        "update link docker:web1/eth1: up False -> True",
        "create vf_address eth0 vf 3",
    ]


def test_P15_absent_frees_the_address_before_the_function_comes_home() -> None:
    world, cards = world_of(Function(VirtualFunction("eth0", 3, "02:00:00:00:00:01", 10, 0, False)))
    del world.devices[HOST][1]
    nic = Nic("eth7", 1500, OWN, False, vf=VirtualFunction("eth0", 3, "", 0, 0, True))
    world.inside("docker:web1", "eth1", mac="02:00:00:00:00:01", alias=nic.pack(owner("docker:web1")))
    expected = [
        "delete vf_address eth0 vf 3",
        "delete link docker:web1/eth1",
        "create link eth7",
        "update vf eth0 vf 3: spoof_check False -> True, vlan 10 -> 0",
        "update link eth7: ",
    ]
    assert plan_lines(world, cards, state="absent", host_interface=None, vf=None) == expected


def test_B7_the_next_container_gets_nothing_that_a_dead_one_left() -> None:
    nic = Nic("eth7", 1500, OWN, False, vf=VirtualFunction("eth0", 3, "", 0, 0, True))
    left = Function(VirtualFunction("eth0", 3, "02:00:00:00:00:01", 10, 0, False), "eth7", "igbvf")
    world, cards = world_of(left, alias=nic.pack(owner("docker:old")))
    found = plan_lines(world, cards)
    assert "delete vf_address eth0 vf 3" in found
    assert "update vf eth0 vf 3: spoof_check False -> True, vlan 10 -> 0" in found
    assert "create vf_address eth0 vf 3" not in found


def test_the_same_address_is_given_anew_when_the_function_moves() -> None:
    """Its interface could not get it otherwise."""
    same = VirtualFunction("eth0", 3, "02:00:00:00:00:01", 0, 0, True)
    world, cards = world_of(Function(same, "eth7", "igbvf"))
    found = plan_lines(world, cards, mac_address="02:00:00:00:00:01")
    assert found[0] == "delete vf_address eth0 vf 3"
    assert found[-1] == "create vf_address eth0 vf 3"


def test_what_is_said_about_functions_is_read() -> None:
    infos = [
        ("IFLA_VF_INFO", {"attrs": [
            ("IFLA_VF_MAC", {"vf": 3, "mac": OWN}), ("IFLA_VF_VLAN", {"vf": 3, "vlan": 10, "qos": 2}),
            ("IFLA_VF_SPOOFCHK", {"vf": 3, "spoofchk": 1}),
        ]}),
        ("IFLA_VF_INFO", {"attrs": [
            ("IFLA_VF_MAC", {"vf": 4, "mac": sriov.NO_MAC}),
            ("IFLA_VF_SPOOFCHK", {"vf": 4, "spoofchk": 0xFFFFFFFF}),
        ]}),
    ]
    raw = rtnl.about_link(rtnl.RTM_NEWLINK, 0, 2, [("IFLA_VFINFO_LIST", {"attrs": infos})])
    assert sriov.decode_vfs(raw, "eth0") == [FULL, VirtualFunction("eth0", 4)]
    assert sriov.decode_vfs(rtnl.about_link(rtnl.RTM_NEWLINK, 0, 2, []), "eth0") == []


def test_what_is_set_is_what_the_kernel_expects() -> None:
    raw = sriov.set_vf(2, 3, vlan=(10, 2))
    body = struct.pack("=HHHHHHIII", 24, 22, 20, 1, 16, 2, 3, 10, 2)
    assert raw[32:] == body
    assert Vf(HOST, "eth0", 3).name == "eth0 vf 3"
