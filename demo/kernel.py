# Copyright: pipework.containers contributors
# GNU General Public License v3.0+ (see LICENSE)
"""What the kernel shows of interfaces and addresses, here or in another namespace. No help from the collection."""
from __future__ import annotations

import contextlib
import ctypes
import os
import socket
import struct
from collections.abc import Iterator
from typing import Any

CLONE_NEWNS, CLONE_NEWUSER, CLONE_NEWNET = 0x00020000, 0x10000000, 0x40000000
MS_BIND, MS_REC, MS_PRIVATE = 0x1000, 0x4000, 0x40000
RTM_GETLINK, RTM_GETADDR = 18, 22
NLM_F_REQUEST, NLM_F_DUMP = 0x1, 0x300
NLMSG_ERROR, NLMSG_DONE = 2, 3
IFLA_ADDRESS, IFLA_IFNAME, IFLA_MTU, IFLA_LINK, IFLA_MASTER, IFLA_LINKINFO, IFLA_IFALIAS = 1, 3, 4, 5, 10, 18, 20
IFLA_INFO_KIND = 1
IFA_ADDRESS, IFA_LOCAL = 1, 2
IFF_UP, IFF_LOOPBACK = 0x1, 0x8

_libc = ctypes.CDLL(None, use_errno=True)


def call(name: str, *arguments: Any) -> None:
    """A function of libc that returns 0; raises OSError."""
    if getattr(_libc, name)(*arguments) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), name)


def mount(source: str, target: str, kind: str | None = None, flags: int = 0) -> None:
    call("mount", source.encode(), target.encode(), kind.encode() if kind else None, ctypes.c_ulong(flags), None)


@contextlib.contextmanager
def inside(path: str) -> Iterator[None]:
    """In the network namespace that this file is."""
    home, there = (os.open(each, os.O_RDONLY | os.O_CLOEXEC) for each in ("/proc/self/ns/net", path))
    try:
        call("setns", there, CLONE_NEWNET)
        yield
    finally:
        call("setns", home, CLONE_NEWNET)
        os.close(home)
        os.close(there)


def links() -> dict[int, dict[str, Any]]:
    """The interfaces but the loopback, by their index, with the addresses that have global scope."""
    found: dict[int, dict[str, Any]] = {}
    for body in _dump(RTM_GETLINK, 16):
        index, flags = struct.unpack_from("=iI", body, 4)
        if flags & IFF_LOOPBACK:
            continue
        fields = dict(_attributes(body, 16))
        info = dict(_attributes(fields.get(IFLA_LINKINFO, b"")))
        found[index] = {
            "name": _text(fields[IFLA_IFNAME]), "kind": _text(info.get(IFLA_INFO_KIND, b"")),
            "mac": fields.get(IFLA_ADDRESS, b"").hex(":"), "mtu": _number(fields[IFLA_MTU]), "up": bool(flags & IFF_UP),
            "alias": _text(fields.get(IFLA_IFALIAS, b"")), "master": _number(fields.get(IFLA_MASTER)),
            "link": _number(fields.get(IFLA_LINK)), "addresses": [],
        }
    for body in _dump(RTM_GETADDR, 8):
        family, length, _flags, scope, index = struct.unpack_from("=BBBBI", body)
        fields = dict(_attributes(body, 8))
        if index in found and scope == 0:
            address = socket.inet_ntop(family, fields.get(IFA_LOCAL) or fields[IFA_ADDRESS])
            found[index]["addresses"].append(f"{address}/{length}")
    return found


def _dump(kind: int, header: int) -> Iterator[bytes]:
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE) as kernel:
        kernel.bind((0, 0))
        kernel.send(struct.pack("=IHHII", 16 + header, kind, NLM_F_REQUEST | NLM_F_DUMP, 1, 0) + bytes(header))
        while True:
            data = kernel.recv(1 << 18)
            while data:
                length, answer = struct.unpack_from("=IH", data)
                if answer == NLMSG_DONE:
                    return
                if answer == NLMSG_ERROR:
                    number = -struct.unpack_from("=i", data, 16)[0]
                    raise OSError(number, os.strerror(number))
                yield data[16:length]
                data = data[(length + 3) & ~3:]


def _attributes(data: bytes, at: int = 0) -> Iterator[tuple[int, bytes]]:
    while at + 4 <= len(data):
        length, kind = struct.unpack_from("=HH", data, at)
        yield kind & 0x3FFF, data[at + 4:at + length]
        at += max((length + 3) & ~3, 4)


def _text(raw: bytes) -> str:
    return raw.rstrip(b"\0").decode("utf-8", "replace")


def _number(raw: bytes | None) -> int | None:
    return struct.unpack("=I", raw)[0] if raw else None
