# Copyright: pipework.containers contributors
# GNU General Public License v3.0+ (see LICENSE)
"""P36: interfaces on IPoIB interfaces. What goes to the kernel is compared with iproute2's: see tests/kernel."""

from __future__ import annotations

import struct
from typing import Any

import pytest

from ansible_collections.pipework.containers.plugins.module_utils._attach.options import Attachment
from ansible_collections.pipework.containers.plugins.module_utils._cli.commands import commands_of, items_for
from ansible_collections.pipework.containers.plugins.module_utils._core.errors import PipeworkError
from ansible_collections.pipework.containers.plugins.module_utils._netlink import rtnl
from ansible_collections.pipework.containers.plugins.modules.pipework_attach import ITEM
from tests.unit.test_attach import World, created, lines, owner, plan_of

ASKED: dict[str, Any] = {"container": "web1", "host_interface": "ib0"}


def world_of(**settings: Any) -> World:
    world = World()
    parent = world.host("ib0", "ipoib", mac=None, ethernet=False, infiniband=True)
    world.inside("docker:web1", "lo0", "dummy")
    if settings:
        world.inside("docker:web1", "ib0", "ipoib", mac=None, ethernet=False, infiniband=True, settings=settings,
                     parent_index=parent.index, parent_netnsid=0, alias=owner("docker:web1", "ib0"))
    return world


@pytest.mark.parametrize(("options", "name"), [
    ({"kind": "ipoib", "host_interface": "eth5"}, "ib0"), ({"host_interface": "ib1"}, "ib0"),
    ({"host_interface": "ib1", "interface": "eth7"}, "eth7"), ({"host_interface": "ib1", "kind": "phys"}, "eth1"),
    ({"host_interface": "eth5"}, "eth1"),
])
def test_P5_the_default_name_is_ib0(options: dict[str, Any], name: str) -> None:
    assert Attachment.from_params({"container": "web1", **options}).interface == name


@pytest.mark.parametrize(("given", "key"), [
    ("0x8001", 0x8001), (0x8001, 0x8001), ("32769", 0x8001), ("0x1", 1), ("0X7FFF", 0x7FFF), ("0xffff", 0xFFFF),
])
def test_P36_partition_keys(given: Any, key: int) -> None:
    assert Attachment.from_params({**ASKED, "pkey": given}).pkey == key


@pytest.mark.parametrize("given", ["0", "0x0", "0x8000", "32768", "0x10000", "70000", "8001h", "-1", "key", "010"])
def test_P36_wrong_partition_keys_are_refused(given: str) -> None:
    with pytest.raises(PipeworkError, match=f"pkey: '{given}' is not a partition key; 0x0001 to 0xffff .* not 0x8000"):
        Attachment.from_params({**ASKED, "pkey": given})


@pytest.mark.parametrize("kind", ["auto", "ipoib"])
def test_P36_P44_it_is_made_on_the_hosts(kind: str) -> None:
    options = {**ASKED, "kind": kind, "pkey": "0x8001", "mode": "connected"}
    plan = plan_of(world_of(), options)
    made: Any = created(plan, "link")
    assert (made.type, made.ifname, made.parent) == ("ipoib", "ib0", "ib0")
    assert made.settings == {"pkey": 0x8001, "mode": "connected"}
    assert lines(world_of(pkey=0x8001, mode="connected"), options) == []


def test_P36_another_mode_in_place_another_key_anew() -> None:
    world = world_of(pkey=0x8001, mode="datagram")
    assert [line.split(":")[0] for line in lines(world, {**ASKED, "mode": "connected"})] == ["update link docker"]
    assert [line.split(":")[0] for line in lines(world, {**ASKED, "pkey": "0x8002"})] == [
        "delete link docker", "create link docker", "update link docker"]
    assert lines(world, {"container": "web1", "interface": "ib0", "state": "absent"}) == [
        "delete link docker:web1/ib0"]


@pytest.mark.parametrize(("options", "words"), [
    ({"mac_address": "02:00:00:00:00:01"}, "mac_address: 02:.*MACADDR configuration unsupported for IPoIB interfaces"),
    ({"mode": "bridge"}, "mode: 'bridge' is not a mode of ipoib; datagram, connected are"),
    ({"kind": "ipoib", "host_interface": "eth0"}, "eth0 is not an IPoIB interface"),
    ({"kind": "macvlan", "pkey": "0x1"}, "pkey: kind macvlan does not have it; kind ipoib has"),
    ({"kind": "macvlan"}, "ib0 is not an Ethernet interface"),
    ({"vlan": 10}, "vlan: kind ipoib does not have it"),
])
def test_P28_P36_what_cannot_be_is_refused(options: dict[str, Any], words: str) -> None:
    world = world_of()
    world.host("eth0")
    with pytest.raises(PipeworkError, match=words):
        plan_of(world, {**ASKED, **options})


def test_P36_what_the_kernel_shows_is_read() -> None:
    raw = bytearray(rtnl.new_link("ib0", "ipoib", settings={"pkey": 0x8001, "mode": "connected"}, parent=3))
    struct.pack_into("=H", raw, 18, rtnl.ARPHRD_INFINIBAND)
    device = rtnl.decode_device(bytes(raw))
    assert device.settings == {"pkey": 0x8001, "mode": "connected"}
    assert (device.infiniband, device.ethernet, device.mac, device.parent_index) == (True, False, None, 3)


def test_P47_the_classic_line_is_understood() -> None:
    [command] = commands_of({"cmd": "ib0 web1 10.1.1.1/24 @8001"})
    [item] = items_for([command], {}, ITEM)
    found = Attachment.from_params(item)
    assert (found.host_interface, found.interface, found.pkey) == ("ib0", "ib0", 0x8001)
