# Copyright: pipework.containers contributors
# GNU General Public License v3.0+ (see LICENSE)
"""rtnetlink messages that only who waits or borrows an address has to do with, by pyroute2's message classes."""
from __future__ import annotations

import contextlib
import dataclasses
import functools
import struct

from .._core.normalize import family
from .._model.device import Device
from .._model.layer3 import Address
from .._model.seen import Seen
from .namespaces import Netns
from .rtnl import (
    ACK,
    AF_INET,
    AF_INET6,
    CREATE,
    DUMP,
    IFA_F_DADFAILED,
    IFA_F_PERMANENT,
    REPLACE,
    REQUEST,
    RT_SCOPE_LINK,
    _message,
    decode_address,
    dump_addresses,
)

with contextlib.suppress(ImportError):  # said by _codec.require()
    from pyroute2.netlink.rtnl.ifaddrmsg import ifaddrmsg
    from pyroute2.netlink.rtnl.ndmsg import ndmsg

RTM_NEWNEIGH, RTM_GETNEIGH = 28, 30
NTF_USE = 1
STATES = {
    1: "incomplete", 2: "reachable", 4: "stale", 8: "delay", 16: "probe", 32: "failed", 64: "noarp", 128: "permanent",
}
NUD_PROBE = 16
IFA_F_OPTIMISTIC, IFA_F_DEPRECATED, IFA_F_TENTATIVE = 0x04, 0x20, 0x40


def decode_seen(raw: bytes) -> Seen:
    """Any address, with what it can be used for."""
    message = ifaddrmsg(raw)
    message.decode()
    attrs = {slot[0]: slot[1] for slot in message["attrs"]}.get
    flags = attrs("IFA_FLAGS") or message["flags"]
    tentative = flags & IFA_F_TENTATIVE and not flags & IFA_F_OPTIMISTIC
    state = (
        "duplicate" if flags & IFA_F_DADFAILED else "tentative" if tentative
        else "deprecated" if flags & IFA_F_DEPRECATED else "usable"
    )
    address = f"{attrs('IFA_LOCAL') or attrs('IFA_ADDRESS')}/{message['prefixlen']}"
    return Seen(address, state, local=message["family"] == AF_INET6 and message["scope"] >= RT_SCOPE_LINK)


def is_lent_address(raw: bytes, index: int, version: int = 4) -> bool:
    """One that the kernel will remove when its time is over."""
    family_, _length, flags, _scope, at = struct.unpack_from("=BBBBI", raw, 16)
    return bool(family_ == (AF_INET6 if version == 6 else AF_INET) and at == index and not flags & IFA_F_PERMANENT)


def decode_lent(raw: bytes, ns: str, name: str) -> Address:
    message = ifaddrmsg(raw)
    message.decode()
    index = message["index"]
    return dataclasses.replace(
        decode_address(raw, ns, {index: name}), valid=int(message.get_attr("IFA_CACHEINFO")["ifa_valid"])
    )


@functools.cache
def dump_neighbours(version: int) -> bytes:
    return _message(ndmsg, RTM_GETNEIGH, REQUEST | DUMP, [], family=AF_INET6 if version == 6 else AF_INET)


def index_of(raw: bytes) -> int:
    """The interface that a neighbour is seen through."""
    return int(struct.unpack_from("=i", raw, 20)[0])


def decode_neighbour(raw: bytes) -> tuple[str, str]:
    """A neighbour's address and state."""
    message = ndmsg(raw)
    message.decode()
    return str(message.get_attr("NDA_DST")), STATES.get(message["state"], "none")


def ask_for(address: str, index: int, known: bool) -> bytes:
    """Makes the kernel ask for a neighbour now: as for somebody new, or, of one that it knows, whether it is there."""
    return _message(
        ndmsg, RTM_NEWNEIGH, REQUEST | ACK | (REPLACE if known else CREATE), [("NDA_DST", address)],
        family=AF_INET6 if family(address) == 6 else AF_INET, ifindex=index,
        state=NUD_PROBE if known else 0, flags=0 if known else NTF_USE,
    )


def lent_addresses(netns: Netns, device: Device, version: int = 4) -> list[Address]:
    """The addresses of an interface that somebody gave to it for a time."""
    return [
        decode_lent(raw, netns.label, device.name)
        for raw in netns.dump(dump_addresses()) if is_lent_address(raw, device.index, version)
    ]
