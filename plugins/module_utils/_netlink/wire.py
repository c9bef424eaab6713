# Copyright: pipework.containers contributors
# GNU General Public License v3.0+ (see LICENSE)
"""Reads what pyroute2 has no classes for (RTM_GETVLAN, of kernel 5.6), and the three octets of a port that matter here:
to decode all forty attributes of each of a thousand ports would take ten times as long. Nothing is written here.
"""
from __future__ import annotations

import struct
import typing as t

from .._model import vlans

RTM_GETVLAN = 114
REQUEST, DUMP = 1, 0x300
AF_BRIDGE = 7
IFLA_PERM_ADDRESS, IFLA_PARENT_DEV_NAME = 54, 56
IFLA_LINK, IFLA_LINK_NETNSID = 5, 37
IFLA_AF_SPEC = 26
PARAMETERS = {2: 1, 10: 2}  # AF_INET: IFLA_INET_CONF, AF_INET6: IFLA_INET6_CONF
IFLA_LINKINFO, IFLA_INFO_SLAVE_KIND, IFLA_INFO_SLAVE_DATA = 18, 4, 5
BRIDGE_VLANDB_ENTRY, BRIDGE_VLANDB_ENTRY_INFO, BRIDGE_VLANDB_ENTRY_RANGE = 1, 1, 2
BRPORT = {"hairpin": 4, "learning": 8, "isolated": 33}  # IFLA_BRPORT_MODE, _LEARNING, _ISOLATED
BRPORT_IF_ON = {"neigh_suppress": 32}  # that only tunnels need: IFLA_BRPORT_NEIGH_SUPPRESS
ENOUGH = {BRIDGE_VLANDB_ENTRY_INFO: 4, BRIDGE_VLANDB_ENTRY_RANGE: 2}  # octets
ATTRIBUTE_TYPE = 0x3FFF


def attributes(data: bytes, at: int, end: int) -> t.Iterator[tuple[int, int, int]]:
    """Type, beginning and end of the value of each attribute; what does not fit ends them."""
    end = min(end, len(data))
    while at + 4 <= end:
        length, kind = struct.unpack_from("=HH", data, at)
        if length < 4 or at + length > end:
            return
        yield kind & ATTRIBUTE_TYPE, at + 4, at + length
        at += (length + 3) & ~3


def below(link: bytes) -> tuple[int | None, int | None]:
    """What an interface stands on, of a message of a dump of links: its index, and the number of its namespace."""
    found = {kind: struct.unpack_from("=i", link, at)[0] for kind, at, end in attributes(link, 32, len(link))
             if kind in (IFLA_LINK, IFLA_LINK_NETNSID) and end - at == 4}
    return found.get(IFLA_LINK), found.get(IFLA_LINK_NETNSID)


def hardware(link: bytes) -> tuple[str | None, str | None]:
    """The address that a NIC was made with and its name on its bus, of a message about it; None for what has none."""
    perm = bus = None
    for kind, at, end in attributes(link, 32, len(link)):
        if kind == IFLA_PERM_ADDRESS:
            perm = link[at:end].hex(":")
        elif kind == IFLA_PARENT_DEV_NAME:
            bus = link[at:end].rstrip(b"\0").decode("utf-8", "surrogateescape")
    return perm, bus


def parameters_of(link: bytes) -> bytes:
    """The values of an interface's parameters of both families, of a message about it."""
    found = b""
    for kind, at, end in attributes(link, 32, len(link)):
        if kind == IFLA_AF_SPEC:
            for family, start, stop in attributes(link, at, end):
                wanted, inner = PARAMETERS.get(family), attributes(link, start, stop)
                found += b"".join(link[first:last] for sort, first, last in inner if sort == wanted) + b"|"
    return found


def decode_options(link: bytes) -> dict[str, bool] | None:
    """A port's options, of a message of a dump of links; None for what is no port of a bridge."""
    for kind, at, end in attributes(link, 32, len(link)):
        if kind == IFLA_LINKINFO:
            info = {sort: (start, stop) for sort, start, stop in attributes(link, at, end)}
            start, stop = info.get(IFLA_INFO_SLAVE_KIND, (0, 0))
            if link[start:stop].rstrip(b"\0") == b"bridge" and IFLA_INFO_SLAVE_DATA in info:
                inner = attributes(link, *info[IFLA_INFO_SLAVE_DATA])
                values = {sort: link[value] for sort, value, stop in inner if stop > value}
                shown = {name: bool(values[sort]) for name, sort in BRPORT.items() if sort in values}
                return {**shown, **{name: True for name, sort in BRPORT_IF_ON.items() if values.get(sort)}}
    return None


def dump_vlans() -> bytes:
    """Those of all bridges and their ports."""
    return struct.pack("=IHHIIBxHI", 24, RTM_GETVLAN, REQUEST | DUMP, 0, 0, AF_BRIDGE, 0, 0)


def decode_vlans(dump: t.Iterable[bytes]) -> dict[int, tuple[str, ...]]:
    """By the index of the interface; one that has none is missing."""
    found: dict[int, dict[int, int]] = {}
    for raw in dump:
        if len(raw) < 24:
            continue
        flags = found.setdefault(struct.unpack_from("=I", raw, 20)[0], {})
        for kind, at, end in attributes(raw, 24, len(raw)):
            if kind == BRIDGE_VLANDB_ENTRY:
                inner = attributes(raw, at, end)
                entry = {sort: start for sort, start, stop in inner if stop - start >= ENOUGH.get(sort, 0)}
                if BRIDGE_VLANDB_ENTRY_INFO not in entry:
                    continue
                flag, first = struct.unpack_from("=HH", raw, entry[BRIDGE_VLANDB_ENTRY_INFO])
                last = first
                if BRIDGE_VLANDB_ENTRY_RANGE in entry:
                    last, = struct.unpack_from("=H", raw, entry[BRIDGE_VLANDB_ENTRY_RANGE])
                flags.update(dict.fromkeys(range(first, last + 1), flag & (vlans.PVID | vlans.UNTAGGED)))
    return {index: vlans.spell(flags) for index, flags in found.items()}
