# Copyright: pipework.containers contributors
# GNU General Public License v3.0+ (see LICENSE)
"""What the process that stays does in the network namespace of a container: sockets, and addresses of the kernel."""
from __future__ import annotations

import array
import contextlib
import errno
import fcntl
import os
import socket
import struct
import typing as t

from .._ipam import dhcp4_message as dhcp
from .._ipam import dhcp6_message as dhcp6
from .._neighbour import arp
from .host import Gone
from .record import Record

ETH_P_IP, SO_ATTACH_FILTER, FOREVER = 0x0800, 26, 0xFFFFFFFF
SIOCGIFINDEX = 0x8933
RTM_GETLINK, RTM_NEWADDR, RTM_DELADDR, RTM_GETADDR = 18, 20, 21, 22
REQUEST, ACK, REPLACE, CREATE, DUMP, NLMSG_ERROR, NLMSG_DONE = 1, 4, 0x100, 0x400, 0x300, 2, 3
IFA_ADDRESS, IFA_LOCAL, IFA_BROADCAST, IFA_CACHEINFO, RT_SCOPE_LINK = 1, 2, 4, 6, 253
# UDP over IPv4, no later fragment, to the client's port; as 'tcpdump -dd udp dst port 68' would say it
CLIENTS_ONLY = (
    (0x28, 0, 0, 12), (0x15, 0, 8, ETH_P_IP), (0x30, 0, 0, 23), (0x15, 0, 6, dhcp.UDP), (0x28, 0, 0, 20),
    (0x45, 4, 0, 0x1FFF), (0xB1, 0, 0, 14), (0x48, 0, 0, 16), (0x15, 0, 1, dhcp.CLIENT_PORT), (0x06, 0, 0, 0x40000),
    (0x06, 0, 0, 0),
)


def check(record: Record) -> None:
    """Raises Gone where the interface is another one."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sock:
        request = struct.pack("16s24x", record.device.encode("utf-8", "surrogateescape"))
        try:  # if_nametoindex does not say whether there is none, or nothing could be asked
            index, = struct.unpack_from("=i", fcntl.ioctl(sock, SIOCGIFINDEX, request), 16)
        except OSError as error:
            if error.errno != errno.ENODEV:
                raise
            raise Gone from None
    if index != record.index:
        raise Gone


# -- sockets

def packets(
    record: Record, protocol: int, code: t.Sequence[tuple[int, int, int, int]], everywhere: bool = False,
) -> socket.socket:
    """Hears the frames that the filter lets through, from the first one on.

    ``everywhere``: on any interface, and for a moment any frame.
    """
    check(record)
    listening = socket.htons(protocol) if everywhere else 0
    packet = socket.socket(socket.AF_PACKET, socket.SOCK_RAW | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK, listening)
    try:
        steps = array.array("B", b"".join(struct.pack("=HBBI", *each) for each in code))
        program = struct.pack("@HP", len(code), steps.buffer_info()[0])
        packet.setsockopt(socket.SOL_SOCKET, SO_ATTACH_FILTER, program)
        if not everywhere:
            packet.bind((record.device, protocol))
    except OSError:
        packet.close()
        raise
    return packet


def dhcp_sockets(record: Record) -> list[socket.socket]:
    """The one to talk through, and one that has the port, or the kernel would refuse what a server sends there.

    An answer may come in by another interface of the container on the same segment, since its kernel says through each
    of them that it has the address.
    """
    packet = packets(record, ETH_P_IP, CLIENTS_ONLY, everywhere=True)
    port = socket.socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC)
    try:
        port.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        port.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, record.device.encode() + b"\0")
        port.bind(("", dhcp.CLIENT_PORT))
    except OSError:  # a client of the container's own has it
        port.close()
        return [packet]
    return [packet, port]


def dhcp6_sockets(record: Record) -> list[socket.socket]:
    check(record)
    sock = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, record.device.encode() + b"\0")
        sock.bind(("::", dhcp6.CLIENT_PORT))
    except OSError:
        sock.close()
        raise
    return [sock]


# -- addresses

def extend(record: Record, address: str, preferred: int | None, valid: int | None) -> None:
    """Gives an address more time. Raises OSError."""
    host, _slash, length = address.partition("/")
    version = socket.AF_INET6 if ":" in host else socket.AF_INET
    own, prefix = socket.inet_pton(version, host), int(length)
    times = [FOREVER if each is None else each for each in (preferred, valid)]
    attrs = [(IFA_LOCAL, own), (IFA_ADDRESS, own), (IFA_CACHEINFO, struct.pack("=IIII", *times, 0, 0))]
    if version == socket.AF_INET and prefix < 31:
        last = int.from_bytes(own, "big") | (1 << 32 - prefix) - 1
        attrs.append((IFA_BROADCAST, last.to_bytes(4, "big")))
    _change(RTM_NEWADDR, ACK | REPLACE | CREATE, struct.pack("=BBBBI", version, prefix, 0, 0, record.index), attrs)


def link_local(record: Record) -> str | None:
    """The link-local address of IPv4 that an interface has, without its prefix."""
    check(record)
    with _netlink() as sock:
        sock.send(struct.pack("=IHHIIBBBBI", 24, RTM_GETADDR, REQUEST | DUMP, 1, 0, socket.AF_INET, 0, 0, 0, 0))
        while True:
            for kind, raw in _messages(sock.recv(1 << 16)):
                if kind in (NLMSG_DONE, NLMSG_ERROR):
                    return None
                scope, index = struct.unpack_from("=xxxBI", raw, 16)
                own = _attributes(raw).get(IFA_LOCAL, b"") if (scope, index) == (RT_SCOPE_LINK, record.index) else b""
                if own.startswith(arp.LINK_LOCAL):
                    return socket.inet_ntoa(own)


def macs(record: Record) -> set[str]:
    """The MAC addresses of a container's interfaces."""
    check(record)
    found: set[str] = set()
    with _netlink() as sock:
        sock.send(struct.pack("=IHHIIBxHiII", 32, RTM_GETLINK, REQUEST | DUMP, 1, 0, 0, 0, 0, 0, 0))
        while True:
            for kind, raw in _messages(sock.recv(1 << 16)):
                if kind in (NLMSG_DONE, NLMSG_ERROR):
                    return found
                mac = _attributes(raw, 32).get(IFA_ADDRESS, b"")
                found.update([mac.hex(":")] if any(mac) else [])


def remove_link_local(record: Record, address: str) -> None:
    """Raises OSError."""
    body = struct.pack("=BBBBI", socket.AF_INET, 16, 0, RT_SCOPE_LINK, record.index)
    with contextlib.suppress(ProcessLookupError):
        _change(RTM_DELADDR, ACK, body, [(IFA_LOCAL, socket.inet_aton(address))])


def _change(kind: int, flags: int, body: bytes, attrs: t.Iterable[tuple[int, bytes]]) -> None:
    for code, value in attrs:
        body += struct.pack("=HH", 4 + len(value), code) + value
    with _netlink() as sock:
        sock.send(struct.pack("=IHHII", 16 + len(body), kind, REQUEST | flags, 1, 0) + body)
        answer = sock.recv(1 << 16)
    said, = struct.unpack_from("=H", answer, 4)
    number = -struct.unpack_from("=i", answer, 16)[0] if said == NLMSG_ERROR else errno.EPROTO
    if number:
        raise OSError(number, os.strerror(number))


def _netlink() -> socket.socket:
    sock = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, socket.NETLINK_ROUTE)
    sock.settimeout(10)
    return sock


def _messages(data: bytes) -> t.Iterator[tuple[int, bytes]]:
    at = 0
    while at + 16 <= len(data):
        length, kind = struct.unpack_from("=IH", data, at)
        yield kind, data[at:at + length]
        at += (max(length, 16) + 3) & ~3


def _attributes(raw: bytes, at: int = 24) -> dict[int, bytes]:
    found: dict[int, bytes] = {}
    while at + 4 <= len(raw):
        length, kind = struct.unpack_from("=HH", raw, at)
        found[kind] = raw[at + 4:at + length]
        at += (max(length, 4) + 3) & ~3
    return found
