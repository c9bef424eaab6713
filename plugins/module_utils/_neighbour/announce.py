# Copyright: pipework.containers contributors
# GNU General Public License v3.0+ (see LICENSE)
"""Tells the neighbours who has an address now: gratuitous ARP for IPv4, unsolicited neighbour advertisements for IPv6.

Nothing waits for them. The kernel is asked to repeat both by itself when the interface comes up again or gets another
MAC address (arp_notify, ndisc_notify). IPv6 forbids speaking for an address before its duplicate detection has ended.
"""
from __future__ import annotations

import concurrent.futures
import contextlib
import dataclasses
import socket
import struct
import typing as t

from .._netlink.namespaces import Namespaces
from .arp import gratuitous_arp

ETH_P_IPV6 = 0x86DD
IPPROTO_ICMPV6, ND_NEIGHBOR_ADVERT, ND_NA_FLAG_OVERRIDE, ND_OPT_TARGET_LINKADDR = 58, 136, 0x20000000, 2
ALL_NODES = socket.inet_pton(socket.AF_INET6, "ff02::1")
ALL_ROUTERS, ND_ROUTER_SOLICIT = "ff02::2", 133
SOLICIT_PAUSE, UNTIL_OWN_ADDRESS = 4.0, 0.5  # seconds; RFC 4861's pause
CLOSERS = 64  # closing a packet socket waits for the kernel's readers, 15 ms each: those waits can overlap
NOTIFY = {4: "net/ipv4/conf/{}/arp_notify", 6: "net/ipv6/conf/{}/ndisc_notify"}


@dataclasses.dataclass(frozen=True)
class News:
    """An interface whose neighbours are to be told."""

    label: str
    interface: str
    mac: str
    addresses: tuple[str, ...]


def advertisement(mac: str, address: str) -> bytes:
    """The unsolicited advertisement of RFC 4861, as the kernel sends it after its duplicate detection."""
    hardware = bytes.fromhex(mac.replace(":", ""))
    ip = socket.inet_pton(socket.AF_INET6, address)
    body = ip + bytes((ND_OPT_TARGET_LINKADDR, 1)) + hardware
    head = struct.pack("!BBHI", ND_NEIGHBOR_ADVERT, 0, 0, ND_NA_FLAG_OVERRIDE)
    pseudo = ip + ALL_NODES + struct.pack("!II", len(head) + len(body), IPPROTO_ICMPV6)
    total = sum(struct.unpack(f"!{(len(pseudo) + len(head) + len(body)) // 2}H", pseudo + head + body))
    total = (total & 0xFFFF) + (total >> 16)
    total = (total & 0xFFFF) + (total >> 16)
    head = struct.pack("!BBHI", ND_NEIGHBOR_ADVERT, 0, ~total & 0xFFFF, ND_NA_FLAG_OVERRIDE)
    packet = struct.pack("!IHBB", 6 << 28, len(head) + len(body), IPPROTO_ICMPV6, 255) + ip + ALL_NODES
    return b"\x33\x33\0\0\0\x01" + hardware + struct.pack("!H", ETH_P_IPV6) + packet + head + body


def frames_of(mac: str, addresses: t.Iterable[str]) -> list[bytes]:
    """What is to be said about addresses."""
    hosts = [address.split("/")[0] for address in addresses]
    return [(advertisement if ":" in host else gratuitous_arp)(mac, host) for host in hosts]


def notifies(news: t.Iterable[News], namespaces: Namespaces) -> None:
    """Makes the kernel tell by itself, now and later."""
    for item in news:
        for version in sorted({6 if ":" in address else 4 for address in item.addresses}):
            namespaces[item.label].sysctl(NOTIFY[version].format(item.interface), "1")


def announce(news: t.Iterable[News], namespaces: Namespaces) -> None:
    """Sends what there is to tell. A failure is of no consequence: the neighbours find out by themselves, later."""
    used: list[socket.socket] = []
    for item in (each for each in news if each.addresses):
        frames = frames_of(item.mac, item.addresses)
        netns = namespaces[item.label]
        with contextlib.suppress(OSError):
            used.append(netns.inside(lambda name=item.interface, out=frames: _send(name, out)))  # type: ignore[misc]
    if len(used) == 1:
        used[0].close()
    elif used:
        with concurrent.futures.ThreadPoolExecutor(CLOSERS) as pool:
            list(pool.map(socket.socket.close, used))


def solicit(namespaces: Namespaces, place: t.Any) -> float:
    """Asks the routers of an interface's segment to say what they are; returns the seconds until it is time again."""
    def send() -> None:
        with socket.socket(socket.AF_INET6, socket.SOCK_RAW | socket.SOCK_CLOEXEC, socket.IPPROTO_ICMPV6) as sock:
            index = socket.if_nametoindex(place.interface)
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_HOPS, 255)
            sock.sendto(bytes((ND_ROUTER_SOLICIT, 0, 0, 0, 0, 0, 0, 0)), (ALL_ROUTERS, 0, 0, index))

    try:
        namespaces[place.label].inside(send)
    except OSError:
        return UNTIL_OWN_ADDRESS  # its own address is still being looked for
    return SOLICIT_PAUSE


def _send(interface: str, frames: list[bytes]) -> socket.socket:
    packet = socket.socket(socket.AF_PACKET, socket.SOCK_RAW | socket.SOCK_CLOEXEC, 0)  # 0: it receives nothing
    with contextlib.suppress(OSError):
        for frame in frames:
            packet.sendto(frame, (interface, 0))  # not bound first, which would wait for the kernel's readers too
    return packet
