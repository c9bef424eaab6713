# Copyright: pipework.containers contributors
# GNU General Public License v3.0+ (see LICENSE)
"""Tells the neighbours who has an address now: gratuitous ARP for IPv4, unsolicited neighbour advertisements for IPv6.

Nothing waits for them. IPv6 forbids speaking for an address whose duplicate detection has not ended, which takes a
second: the kernel itself sends that advertisement, when it is asked to (ndisc_notify).
"""
from __future__ import annotations

import concurrent.futures
import contextlib
import dataclasses
import socket
import struct
import typing as t

from ._netlink import Namespaces

ETH_P_ARP, ETH_P_IP, ARPHRD_ETHER, ARPOP_REQUEST = 0x0806, 0x0800, 1, 1
CLOSERS = 64  # closing a packet socket waits for the kernel's readers, 15 ms each: those waits can overlap


@dataclasses.dataclass(frozen=True)
class News:
    """An interface whose neighbours are to be told."""

    label: str
    interface: str
    mac: str
    addresses: tuple[str, ...]


def gratuitous_arp(mac: str, address: str) -> bytes:
    """The frame of RFC 5227's announcement, as the kernel sends it for a link that has come up."""
    hardware = bytes.fromhex(mac.replace(":", ""))
    ip = socket.inet_aton(address)
    arp = struct.pack("!HHBBH", ARPHRD_ETHER, ETH_P_IP, 6, 4, ARPOP_REQUEST) + hardware + ip + b"\0" * 6 + ip
    return b"\xff" * 6 + hardware + struct.pack("!H", ETH_P_ARP) + arp


def announce(news: t.Iterable[News], namespaces: Namespaces) -> None:
    """Sends what there is to tell. A failure is of no consequence: the neighbours find out by themselves, later."""
    used: list[socket.socket] = []
    for item in news:
        frames = [gratuitous_arp(item.mac, a.split("/")[0]) for a in item.addresses if ":" not in a]
        netns = namespaces[item.label]
        if len(frames) < len(item.addresses):
            netns.sysctl(f"net/ipv6/conf/{item.interface}/ndisc_notify", "1")
        if frames:
            with contextlib.suppress(OSError):
                used.append(netns.inside(lambda name=item.interface, out=frames: _send(name, out)))  # type: ignore[misc]
    if len(used) == 1:
        used[0].close()
    elif used:
        with concurrent.futures.ThreadPoolExecutor(CLOSERS) as pool:
            list(pool.map(socket.socket.close, used))


def _send(interface: str, frames: list[bytes]) -> socket.socket:
    packet = socket.socket(socket.AF_PACKET, socket.SOCK_RAW | socket.SOCK_CLOEXEC, 0)  # 0: it receives nothing
    with contextlib.suppress(OSError):
        for frame in frames:
            packet.sendto(frame, (interface, 0))  # not bound first, which would wait for the kernel's readers too
    return packet
