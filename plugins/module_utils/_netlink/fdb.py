# Copyright: pipework.containers contributors
# GNU General Public License v3.0+ (see LICENSE)
"""Netlink messages about the forwarding tables of VXLAN links. What is read there may be ten thousand entries, whose
few attributes are read without pyroute2."""
from __future__ import annotations

import ipaddress
import struct
import typing as t

from .._model.fdb import PERMANENT, SELF, FdbEntry
from .rtnl import ACK, CREATE, DUMP, REQUEST, compose
from .wire import attributes

try:
    from pyroute2.netlink.rtnl.ifinfmsg import ifinfmsg
    from pyroute2.netlink.rtnl.ndmsg import ndmsg
except ImportError:  # said by _codec.require(), when it is needed
    pass

RTM_NEWNEIGH, RTM_DELNEIGH, RTM_GETNEIGH = 28, 29, 30
APPEND = 0x800
AF_BRIDGE = 7
NDA_DST, NDA_LLADDR, NDA_PORT, NDA_VNI, NDA_IFINDEX = 1, 2, 6, 7, 8


def dump_entries(index: int) -> bytes:
    """Those of one interface."""
    return compose(ifinfmsg, RTM_GETNEIGH, REQUEST | DUMP, [], family=AF_BRIDGE, index=index)


def decode_entry(raw: bytes, ns: str, device: str, index: int) -> FdbEntry | None:
    """An entry that somebody made; None for what is in the bridge's table, and for what was only learnt."""
    found, state, flags = struct.unpack_from("=iHB", raw, 20)
    parts = {kind: raw[at:end] for kind, at, end in attributes(raw, 28, len(raw))}
    if found != index or not flags & SELF or not state & PERMANENT or NDA_DST not in parts:
        return None
    port = struct.unpack(">H", parts[NDA_PORT])[0] if NDA_PORT in parts else 0
    vni, via = (struct.unpack("=I", parts[kind])[0] if kind in parts else 0 for kind in (NDA_VNI, NDA_IFINDEX))
    return FdbEntry(
        ns, device, parts[NDA_LLADDR].hex(":"), str(ipaddress.ip_address(parts[NDA_DST])), odd=(port, vni, via),
        state=state, flags=flags,
    )


def new_entry(entry: FdbEntry, index: int) -> bytes:
    """One more host for the address."""
    return _about(RTM_NEWNEIGH, REQUEST | ACK | CREATE | APPEND, entry, index)


def delete_entry(entry: FdbEntry, index: int) -> bytes:
    return _about(RTM_DELNEIGH, REQUEST | ACK, entry, index)


def _about(kind: int, how: int, entry: FdbEntry, index: int) -> bytes:
    attrs: list[tuple[str, t.Any]] = [("NDA_DST", entry.dst), ("NDA_LLADDR", entry.mac)]
    attrs += [(name, value) for name, value in zip(("NDA_PORT", "NDA_VNI", "NDA_IFINDEX"), entry.odd) if value]
    return compose(ndmsg, kind, how, attrs, family=AF_BRIDGE, ifindex=index, state=entry.state, flags=entry.flags)
