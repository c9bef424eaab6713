# Copyright: pipework.containers contributors
# GNU General Public License v3.0+ (see LICENSE)
"""VLANs of ports: what users write, how the model spells it, and the messages."""

from __future__ import annotations

import dataclasses
import struct
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyroute2.netlink.rtnl.ifinfmsg import ifinfmsg

from ansible_collections.pipework.containers.plugins.module_utils._attach.options import (
    Attachment,
    attachments_from_params,
)
from ansible_collections.pipework.containers.plugins.module_utils._bridge.desired import Bridge
from ansible_collections.pipework.containers.plugins.module_utils._core.errors import PipeworkError
from ansible_collections.pipework.containers.plugins.module_utils._engine.requests import REQUESTS
from ansible_collections.pipework.containers.plugins.module_utils._model import vlans as model_vlans
from ansible_collections.pipework.containers.plugins.module_utils._model.objects import HOST, Port
from ansible_collections.pipework.containers.plugins.module_utils._netlink import bridge_port, rtnl, wire

NO_TRUNK = "is not a VLAN ID; 1 to 4094, or a range such as 200-210, would be right."
FLAGS = st.sampled_from((0, model_vlans.UNTAGGED))
PORTS = st.builds(
    lambda many, pvid: {**many, **({pvid: model_vlans.PVID | model_vlans.UNTAGGED} if pvid else {})},
    st.dictionaries(st.integers(1, 4094), FLAGS, max_size=40),
    st.none() | st.integers(1, 4094),
)


def attachment(**options: Any) -> Attachment:
    return Attachment.from_params({"container": "a", "host_interface": "br1", **options})


@pytest.mark.parametrize(
    ("options", "vlans"),
    [
        ({}, None),
        ({"vlan": 10}, ("10 pvid untagged",)),
        ({"vlan": "4094"}, ("4094 pvid untagged",)),
        ({"vlan": 100, "vlan_trunks": [101, "200-210"]}, ("100 pvid untagged", "101", "200-210")),
        ({"vlan_trunks": ["7", "5", "6", "8-9"]}, ("5-9",)),
        ({"vlan": 7, "vlan_trunks": ["5-6", "8"]}, ("5-6", "7 pvid untagged", "8")),
        ({"vlan_trunks": ["1-4094"]}, ("1-4094",)),
        ({"vlan": 10, "vlan_trunks": []}, ("10 pvid untagged",)),
        ({"vlan_trunks": [" 5 - 6 "]}, ("5-6",)),
    ],
)
def test_P31_options_in_one_spelling(options: dict[str, Any], vlans: Any) -> None:
    assert attachment(**options).vlans == vlans


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"vlan": 0}, "vlan: '0' is not a VLAN ID; 1 to 4094 would be right."),
        ({"vlan": 4095}, "vlan: '4095' is not a VLAN ID; 1 to 4094 would be right."),
        ({"vlan": -1}, "vlan: '-1' is not a VLAN ID; 1 to 4094 would be right."),
        ({"vlan": "blue"}, "vlan: 'blue' is not a VLAN ID; 1 to 4094 would be right."),
        ({"vlan": "¹"}, "vlan: '¹' is not a VLAN ID; 1 to 4094 would be right."),
        ({"vlan": True}, "vlan: 'True' is not a VLAN ID; 1 to 4094 would be right."),
        ({"vlan_trunks": [0]}, f"vlan_trunks: '0' {NO_TRUNK}"),
        ({"vlan_trunks": ["0-5"]}, f"vlan_trunks: '0-5' {NO_TRUNK}"),
        ({"vlan_trunks": ["5-4095"]}, f"vlan_trunks: '5-4095' {NO_TRUNK}"),
        ({"vlan_trunks": ["5-"]}, f"vlan_trunks: '5-' {NO_TRUNK}"),
        ({"vlan_trunks": ["1-2-3"]}, f"vlan_trunks: '1-2-3' {NO_TRUNK}"),
        ({"vlan_trunks": ["red"]}, f"vlan_trunks: 'red' {NO_TRUNK}"),
        ({"vlan_trunks": ["5", ""]}, f"vlan_trunks: '' {NO_TRUNK}"),
        ({"vlan_trunks": ["210-200"]}, "vlan_trunks: '210-200' runs backwards; 200-210 would be right."),
        ({"vlan_trunks": ["5-9", "7"]}, "vlan_trunks: 7 and 5-9 overlap in 7; list each VLAN once."),
        ({"vlan_trunks": ["5", "5"]}, "vlan_trunks: 5 and 5 overlap in 5; list each VLAN once."),
        (
            {"vlan": 7, "vlan_trunks": ["5-9"]},
            "vlan_trunks: 7 is the VLAN of frames without a tag already (vlan); leave it out.",
        ),
        ({"vlan_trunks": []}, "vlan_trunks: an empty list leaves the port no VLAN at all; say 'vlan' as well."),
        (
            {"port": {"fast": True}},
            "port: fast is not an option of a port; isolated, hairpin, learning, mac_spoof_check are.",
        ),
    ],
)
def test_P31_what_cannot_be_is_refused(options: dict[str, Any], words: str) -> None:
    with pytest.raises(PipeworkError) as caught:
        attachment(**options)
    assert str(caught.value) == words


def test_P31_addresses_may_be_the_same_in_different_vlans() -> None:
    def two(**second: Any) -> dict[str, Any]:
        first = {"container": "a", "addresses": ["10.0.0.1/24"], "vlan": 10}
        return {"host_interface": "br1", "attachments": [first, {**first, "container": "b", **second}]}

    assert len(attachments_from_params(two(vlan=20))) == 2
    with pytest.raises(PipeworkError, match=r"10\.0\.0\.1 is given to both"):
        attachments_from_params(two())


@pytest.mark.parametrize(("value", "settings"), [(0, 0), ("0", 0), (1, 1), ("4094", 4094)])
def test_P31_default_vlan_of_a_bridge(value: Any, settings: int) -> None:
    assert Bridge.from_params({"name": "br1", "default_pvid": value}).settings == {"default_pvid": settings}


@pytest.mark.parametrize("value", [-1, 4095, "none"])
def test_P31_default_vlan_that_cannot_be(value: Any) -> None:
    with pytest.raises(PipeworkError, match=r"default_pvid: .* is not a VLAN ID"):
        Bridge.from_params({"name": "br1", "default_pvid": value})


def _attribute(kind: int, value: bytes) -> bytes:
    return struct.pack("=HH", 4 + len(value), kind) + value + bytes(-len(value) % 4)


@given(PORTS)
def test_what_is_spelt_can_be_read(flags: dict[int, int]) -> None:
    vlans = model_vlans.spell(flags)
    assert {n: f for first, last, f in model_vlans.read(vlans) for n in range(first, last + 1)} == flags
    others = {n for first, last, _flags in model_vlans.others(vlans) for n in range(first, last + 1)}
    assert others == set(range(1, 4095)) - set(flags)
    assert model_vlans.native(vlans) == next((n for n, flag in flags.items() if flag & model_vlans.PVID), None)


@given(PORTS)
def test_what_is_sent_is_what_is_read_back(flags: dict[int, int]) -> None:
    """The kernel, played by a dictionary: whatever was there, the port has these VLANs afterwards."""
    have = dict.fromkeys(range(1, 60), 0)
    for raw in bridge_port.set_vlans(7, model_vlans.spell(flags)):
        message = ifinfmsg(raw)
        message.decode()
        assert (message["family"], message["index"], message["header"]["flags"]) == (7, 7, 5)
        first = None
        for entry in message.get_attr("IFLA_AF_SPEC").get_attrs("IFLA_BRIDGE_VLAN_INFO"):
            if entry["flags"] & bridge_port.RANGE_BEGIN:
                first = entry["vid"]
                continue
            begin = first if entry["flags"] & bridge_port.RANGE_END else entry["vid"]
            for number in range(begin, entry["vid"] + 1):
                if message["header"]["type"] == rtnl.RTM_DELLINK:
                    have.pop(number, None)
                else:
                    have[number] = entry["flags"] & (model_vlans.PVID | model_vlans.UNTAGGED)
    assert have == flags
    entries = b"".join(
        _attribute(1 | 0x8000, _attribute(1, struct.pack("=HH", flag | 1, number)))
        for number, flag in have.items()
    )
    dump = [struct.pack("=IHHIIBxHI", 24 + len(entries), 112, 2, 0, 0, 7, 0, 7) + entries] if have else []
    assert wire.decode_vlans(dump).get(7, ()) == model_vlans.spell(flags)


def test_a_range_of_a_dump() -> None:
    entry = _attribute(1, struct.pack("=HH", 0, 200)) + _attribute(2, struct.pack("=H", 210))
    entries = _attribute(1, entry)
    header = struct.pack("=IHHIIBxHI", 24 + len(entries), 112, 2, 0, 0, 7, 0, 9)
    assert wire.decode_vlans([header + entries]) == {9: ("200-210",)}


@given(st.dictionaries(st.sampled_from(sorted(wire.BRPORT)), st.booleans(), min_size=1))
def test_B8_options_that_are_sent_are_read_back(options: dict[str, bool]) -> None:
    raw = bridge_port.set_options(7, options)
    assert wire.decode_options(raw) == options
    message = ifinfmsg(raw)
    message.decode()
    info = message.get_attr("IFLA_LINKINFO")
    assert info.get_attr("IFLA_INFO_SLAVE_KIND") == "bridge"
    sent = {slot[0]: slot[1] for slot in info.get_attr("IFLA_INFO_SLAVE_DATA")["attrs"]}
    names = {"hairpin": "IFLA_BRPORT_MODE", "learning": "IFLA_BRPORT_LEARNING", "isolated": "IFLA_BRPORT_ISOLATED"}
    assert sent == {names[name]: int(value) for name, value in options.items()}


def test_B8_what_is_no_port_of_a_bridge_has_no_options() -> None:
    bond = _attribute(4, b"bond\0") + _attribute(5, _attribute(33, b"\1"))
    assert wire.decode_options(bytes(32) + _attribute(18, bond)) is None
    assert wire.decode_options(bytes(32)) is None


class Names(dict[str, int]):
    """Stands for the host's namespace: the index of each interface."""

    def index(self, name: str) -> int:
        return self[name]


def test_P31_a_port_joins_without_being_up_in_a_vlan_that_is_not_its_own() -> None:
    """First the bridge, then options and VLANs, which only a port can have, and then it goes up."""
    port = Port(HOST, "netns:a/eth1", "pw1", "br1", 1500, True, "pipework:x", {"isolated": True}, ("10 pvid untagged",))
    requests = REQUESTS["port", "create"](None, port, {HOST: Names(pw1=7, br1=3)})  # type: ignore[arg-type]
    kinds = [struct.unpack_from("=H", raw, 4)[0] for _ns, raw in requests]
    ups = [struct.unpack_from("=II", raw, 24) for _ns, raw in requests]
    assert kinds == [19, 16, 19, 17, 19]  # SETLINK with the bridge, NEWLINK, SETLINK and DELLINK of VLANs, SETLINK up
    assert ups == [(0, 0)] * 4 + [(1, 1)]


def test_P31_a_live_change_is_about_the_vlans_alone() -> None:
    old = Port(HOST, "netns:a/eth1", "pw1", "br1", 1500, True, "pipework:x", {"isolated": True}, ("10 pvid untagged",))
    new = dataclasses.replace(old, vlans=("20 pvid untagged",))
    requests = REQUESTS["port", "update"](old, new, {HOST: Names(pw1=7, br1=3)})  # type: ignore[arg-type]
    assert [message for _ns, message in requests] == bridge_port.set_vlans(7, ("20 pvid untagged",))
