# Copyright: pipework.containers contributors
# GNU General Public License v3.0+ (see LICENSE)
"""Netlink messages about neighbors that somebody has entered for good, made and read.

Not by pyroute2: it writes link-layer addresses of six bytes alone, and those of IPoIB have twenty.
"""
from __future__ import annotations

import ipaddress
import struct
import typing as t

from .._model.neighbor import PERMANENT, PROXY, Neighbor
from .wire import attributes

RTM_NEWNEIGH, RTM_DELNEIGH, RTM_GETNEIGH = 28, 29, 30
REQUEST, ACK, REPLACE, CREATE, DUMP = 1, 4, 0x100, 0x400, 0x300
AF_INET, AF_INET6 = 2, 10
NDA_DST, NDA_LLADDR = 1, 2
LENGTHS = {4: AF_INET, 16: AF_INET6}


def _message(kind: int, how: int, family: int = 0, index: int = 0, state: int = 0, flags: int = 0) -> bytes:
    return struct.pack("=IHHIIBxxxiHBB", 28, kind, how, 0, 0, family, index, state, flags, 0)


def dumps() -> list[bytes]:
    """Requests for all of them: the kernel shows those that are answered for only if asked so."""
    return [_message(RTM_GETNEIGH, REQUEST | DUMP), _message(RTM_GETNEIGH, REQUEST | DUMP, flags=PROXY)]


def decode_neighbor(raw: bytes, ns: str, names: t.Mapping[int, str]) -> Neighbor | None:
    """One that somebody entered for good; None for what the kernel has learnt."""
    family, index, state, flags = struct.unpack_from("=BxxxiHB", raw, 16)
    parts = {kind: raw[at:end] for kind, at, end in attributes(raw, 28, len(raw))}
    address = parts.get(NDA_DST, b"")
    proxy = bool(flags & PROXY)
    if index not in names or LENGTHS.get(len(address)) != family or not (proxy or state & PERMANENT):
        return None
    mac = None if proxy else parts.get(NDA_LLADDR, b"").hex(":") or None
    return Neighbor(ns, names[index], str(ipaddress.ip_address(address)), mac, proxy, flags & ~PROXY)


def new_neighbor(each: Neighbor, index: int) -> bytes:
    return _about(RTM_NEWNEIGH, REQUEST | ACK | CREATE | REPLACE, each, index)


def delete_neighbor(each: Neighbor, index: int) -> bytes:
    return _about(RTM_DELNEIGH, REQUEST | ACK, each, index)


def _about(kind: int, how: int, each: Neighbor, index: int) -> bytes:
    address = ipaddress.ip_address(each.address).packed
    head = _message(
        kind, how, LENGTHS[len(address)], index, PERMANENT, each.flags | (PROXY if each.proxy else 0),
    )
    tail = _attribute(NDA_DST, address) + (_attribute(NDA_LLADDR, bytes.fromhex(each.mac.replace(":", "")))
                                           if each.mac else b"")
    return struct.pack("=I", len(head) + len(tail)) + head[4:] + tail


def _attribute(kind: int, value: bytes) -> bytes:
    return struct.pack("=HH", 4 + len(value), kind) + value + bytes(-len(value) % 4)
