# Copyright: pipework.containers contributors
# GNU General Public License v3.0+ (see LICENSE)
"""Netlink messages about the ports of bridges: their options and their VLANs. Plain bytes, without pyroute2."""
from __future__ import annotations

import struct
import typing as t

from . import _vlans

RTM_NEWLINK, RTM_DELLINK, RTM_SETLINK, RTM_GETVLAN = 16, 17, 19, 114
REQUEST, ACK, DUMP = 1, 4, 0x300
AF_UNSPEC, AF_BRIDGE = 0, 7
IFLA_LINKINFO, IFLA_AF_SPEC = 18, 26
IFLA_INFO_SLAVE_KIND, IFLA_INFO_SLAVE_DATA = 4, 5
IFLA_BRIDGE_VLAN_INFO = 2
RANGE_BEGIN, RANGE_END = 8, 16
BRIDGE_VLANDB_ENTRY, BRIDGE_VLANDB_ENTRY_INFO, BRIDGE_VLANDB_ENTRY_RANGE = 1, 1, 2
BRPORT = {"hairpin": 4, "learning": 8, "isolated": 33}  # IFLA_BRPORT_MODE, _LEARNING, _ISOLATED
ATTRIBUTE_TYPE = 0x3FFF


def attributes(data: bytes, at: int, end: int) -> t.Iterator[tuple[int, int, int]]:
    """Type, beginning and end of the value of each attribute."""
    while at + 4 <= end:
        length, kind = struct.unpack_from("=HH", data, at)
        if length < 4:
            return
        yield kind & ATTRIBUTE_TYPE, at + 4, at + length
        at += (length + 3) & ~3


def _attribute(kind: int, value: bytes) -> bytes:
    return struct.pack("=HH", 4 + len(value), kind) + value + bytes(-len(value) % 4)


def _about_link(kind: int, family: int, index: int, attrs: bytes) -> bytes:
    return struct.pack("=IHHIIBxHiII", 32 + len(attrs), kind, REQUEST | ACK, 0, 0, family, 0, index, 0, 0) + attrs


# -- options

def decode_options(link: bytes) -> dict[str, bool] | None:
    """A port's options, of a message of a dump of links; None for what is no port of a bridge."""
    for kind, at, end in attributes(link, 32, len(link)):
        if kind == IFLA_LINKINFO:
            info = {sort: (start, stop) for sort, start, stop in attributes(link, at, end)}
            start, stop = info.get(IFLA_INFO_SLAVE_KIND, (0, 0))
            if link[start:stop].rstrip(b"\0") == b"bridge" and IFLA_INFO_SLAVE_DATA in info:
                values = {sort: link[value] for sort, value, _stop in attributes(link, *info[IFLA_INFO_SLAVE_DATA])}
                return {name: bool(values[sort]) for name, sort in BRPORT.items() if sort in values}
    return None


def set_options(index: int, options: t.Mapping[str, bool]) -> bytes:
    """Changes options of an interface that is a port already."""
    data = b"".join(_attribute(BRPORT[name], bytes([value])) for name, value in sorted(options.items()))
    info = _attribute(IFLA_INFO_SLAVE_KIND, b"bridge\0") + _attribute(IFLA_INFO_SLAVE_DATA, data)
    return _about_link(RTM_NEWLINK, AF_UNSPEC, index, _attribute(IFLA_LINKINFO, info))


# -- VLANs

def set_vlans(index: int, vlans: t.Sequence[str]) -> list[bytes]:
    """Gives a port these VLANs and takes all others from it, whichever they are; what it keeps is not disturbed."""
    requests = []
    for kind, ranges in ((RTM_SETLINK, _vlans.read(vlans)), (RTM_DELLINK, _vlans.others(vlans))):
        if ranges:
            spec = b"".join(_vlan_info(*each) for each in ranges)
            requests.append(_about_link(kind, AF_BRIDGE, index, _attribute(IFLA_AF_SPEC, spec)))
    return requests


def _vlan_info(first: int, last: int, flags: int) -> bytes:
    if first == last:
        return _attribute(IFLA_BRIDGE_VLAN_INFO, struct.pack("=HH", flags, first))
    ends = ((flags | RANGE_BEGIN, first), (flags | RANGE_END, last))
    return b"".join(_attribute(IFLA_BRIDGE_VLAN_INFO, struct.pack("=HH", *end)) for end in ends)


def dump_vlans() -> bytes:
    """Those of all bridges and their ports."""
    return struct.pack("=IHHIIBxHI", 24, RTM_GETVLAN, REQUEST | DUMP, 0, 0, AF_BRIDGE, 0, 0)


def decode_vlans(dump: t.Iterable[bytes]) -> dict[int, tuple[str, ...]]:
    """By the index of the interface; one that has none is missing."""
    found: dict[int, dict[int, int]] = {}
    for raw in dump:
        flags = found.setdefault(struct.unpack_from("=I", raw, 20)[0], {})
        for kind, at, end in attributes(raw, 24, len(raw)):
            if kind == BRIDGE_VLANDB_ENTRY:
                entry = {sort: start for sort, start, _stop in attributes(raw, at, end)}
                flag, first = struct.unpack_from("=HH", raw, entry[BRIDGE_VLANDB_ENTRY_INFO])
                last = first
                if BRIDGE_VLANDB_ENTRY_RANGE in entry:
                    last, = struct.unpack_from("=H", raw, entry[BRIDGE_VLANDB_ENTRY_RANGE])
                flags.update(dict.fromkeys(range(first, last + 1), flag & (_vlans.PVID | _vlans.UNTAGGED)))
    return {index: _vlans.spell(flags) for index, flags in found.items()}
