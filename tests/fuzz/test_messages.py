# Copyright: pipework.containers contributors
# GNU General Public License v3.0+ (see LICENSE)
"""What comes from a network or from the kernel: DHCP, DHCPv6, ARP, netlink."""

from __future__ import annotations

import dataclasses
import ipaddress
import struct
from pathlib import Path

from ansible_collections.pipework.containers.plugins.module_utils._agent import sockets
from ansible_collections.pipework.containers.plugins.module_utils._ipam import (
    dhcp4_grant,
    dhcp4_message,
    dhcp6_grant,
    dhcp6_message,
)
from ansible_collections.pipework.containers.plugins.module_utils._neighbour import arp, probe
from ansible_collections.pipework.containers.plugins.module_utils._netlink import rtnl, wire
from tests.fuzz.harness import BYTES, Target, fuzz, parameters, try_kept
from tests.fuzz.mutations import blobs

MAC = bytes.fromhex("020000000001")
IAID, DUID = b"\0\0\0\7", b"\0\4" + bytes(16)
ADDRESS = ipaddress.IPv4Address("10.5.0.7")
ROUTES = b"\x18\x0a\x06\x00\x0a\x05\x00\x01" + b"\x00\x0a\x05\x00\x01" + b"\x20\x0a\x07\x00\x01\x00\x00\x00\x00"


def said(options: list[tuple[int, bytes]]) -> bytes:
    """A DHCP server's answer."""
    fields = (2, 1, 6, 0, 7, 0, 0, bytes(4), ADDRESS.packed, bytes(4), bytes(4), MAC.ljust(16, b"\0"), b"", b"")
    data = dhcp4_message.HEADER.pack(*fields, dhcp4_message.COOKIE)
    return data + b"".join(bytes((code, len(value))) + value for code, value in options) + b"\xff"


def framed(data: bytes) -> bytes:
    """The same in an Ethernet frame, from the server's port."""
    udp = struct.pack("!HHHH", 67, 68, 8 + len(data), 0) + data
    return (
        MAC
        + b"\2"
        + bytes(5)
        + b"\x08\x00"
        + struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(udp), 0, 0, 64, 17, 0)
        + bytes(8)
        + udp
    )


ANSWERS = [
    said(
        [
            (53, b"\2"),
            (54, b"\x0a\x05\0\1"),
            (51, b"\0\0\x0e\x10"),
            (1, b"\xff\xff\xff\0"),
            (3, b"\x0a\x05\0\1"),
            (6, b"\x08\x08\x08\x08"),
            (15, b"example.org"),
            (26, b"\5\xdc"),
            (58, b"\0\0\0\x20"),
            (59, b"\0\0\0\x40"),
        ]
    ),
    said(
        [
            (53, b"\5"),
            (54, b"\x0a\x05\0\1"),
            (51, b"\xff\xff\xff\xff"),
            (121, ROUTES),
            (52, b"\3"),
            (0, b""),
            (15, b"a"),
        ]
    ),
    said([(53, b"\6"), (54, b"\x0a\x05\0\1"), (56, b"no")]),
    said([(53, b"\5"), (54, b"\x0a\x05\0\1"), *[(51, b"\x11" * 255)] * 8]),
]


def read_dhcp(data: bytes) -> None:
    """As a message, as a frame, and as what a client is seen to send."""
    dhcp4_message.asked(data, MAC)
    for message in (
        dhcp4_message.decode(data),
        dhcp4_message.unframe(data),
        dhcp4_message.unframe(framed(data[:32768])),
    ):
        if message is not None:
            assert isinstance((message.kind, message.server), tuple)
            message = dataclasses.replace(message, sender=message.sender or MAC)
            grant = dhcp4_grant.granted(message, 100.0)
            asked = {"client": "builtin", "hostname": "a", "options": ()}
            assert dhcp4_grant.unpack(grant.pack(asked))[1] == grant, (
                "a lease that is read otherwise than it is written"
            )
            assert grant.left(100.0) is None or int(str(grant.left(100.0))) > 0
            assert grant.domain is None or grant.domain.isascii() and grant.domain.isprintable()


def answer6(kind: int, inner: list[tuple[int, bytes]], extra: list[tuple[int, bytes]]) -> bytes:
    """A DHCPv6 server's answer."""
    association = IAID + struct.pack("!II", 60, 90) + dhcp6_message.pack(inner)
    return dhcp6_message.encode(kind, 7, [(1, DUID), (2, b"\0\3\0\1" + MAC), (3, association), *extra])


OURS = ipaddress.IPv6Address("fd05::7").packed
ANSWERS6 = [
    answer6(7, [(5, OURS + struct.pack("!II", 300, 600))], [(23, OURS * 3), (24, b"\7example\3org\0\1a\0")]),
    answer6(2, [(13, b"\0\2no more")], [(13, b"\0\0")]),
    answer6(7, [(5, OURS + struct.pack("!II", 0xFFFFFFFF, 0xFFFFFFFF)), (5, OURS + bytes(8))], []),
]


def read_dhcp6(data: bytes) -> None:
    """With and without an address that is ours already."""
    message = dhcp6_message.decode(data)
    if message is not None:
        dhcp6_message.names(message.one(dhcp6_message.DOMAIN_LIST))
        grant = dhcp6_grant.granted(message, IAID, 100.0)
        asked = {"hostname": "a", "duid": DUID.hex()}
        assert dhcp6_grant.unpack(grant.pack(asked))[1] == grant, "a lease that is read otherwise than it is written"
        dhcp6_grant.granted(message, IAID, 100.0, own="fd05::7")


def read_arp(data: bytes) -> None:
    """By who probes, and by who defends."""
    arp.rival(data, MAC, ADDRESS.packed)
    probe.holder(data, MAC, str(ADDRESS))


ARP = [arp.gratuitous_arp("02:00:00:00:00:02", str(ADDRESS)), probe.probe_frame(MAC, str(ADDRESS))]


def attribute(kind: int, value: bytes) -> bytes:
    """One of netlink's, filled up."""
    return struct.pack("=HH", 4 + len(value), kind) + value + bytes(-len(value) % 4)


def message_of(kind: int, body: bytes) -> bytes:
    """One of netlink's."""
    return struct.pack("=IHHII", 16 + len(body), kind, 0, 1, 1) + body


PORT = attribute(18, attribute(4, b"bridge\0") + attribute(5, attribute(4, b"\1") + attribute(33, b"\0")))
LINKS = [
    message_of(
        16,
        struct.pack("=BxHiII", 0, 1, 7, 1, 0)
        + b"".join(
            (
                attribute(3, b"eth0\0"),
                attribute(5, struct.pack("=i", 9)),
                attribute(37, struct.pack("=i", 1)),
                attribute(1, MAC),
                PORT,
            )
        ),
    ),
    message_of(112, struct.pack("=BxxxI", 7, 9) + attribute(1, attribute(1, b"\2\0\1\0") + attribute(2, b"\x09\0"))),
]


def read_netlink(data: bytes) -> None:
    """Whatever is read without pyroute2. Who waits gets several messages at once."""
    wire.below(data)
    wire.decode_options(data)
    wire.decode_vlans([data])
    for _kind, raw in sockets._messages(data * 2):
        sockets._attributes(raw)
        sockets._attributes(raw, 32)


def read_names(data: bytes) -> None:
    """Names and aliases that a container has chosen, in a message as the kernel makes it."""
    name, _zero, alias = data.replace(b"/", b"").partition(b"\0")
    body = struct.pack("=BxHiII", 0, 1, 7, 1, 0) + attribute(3, name[:15] + b"\0") + attribute(20, alias[:255] + b"\0")
    device = rtnl.decode_device(message_of(16, body + attribute(18, attribute(1, name[:15] + b"\0"))))
    assert isinstance(device.name, str) and (device.alias is None or isinstance(device.alias, str))


TARGETS = [
    Target("dhcp", blobs(ANSWERS + [framed(each) for each in ANSWERS]), read_dhcp, form=BYTES),
    Target("dhcp6", blobs(ANSWERS6), read_dhcp6, form=BYTES),
    Target("arp", blobs(ARP), read_arp, (), form=BYTES),
    Target("netlink", blobs(LINKS), read_netlink, (), form=BYTES),
    Target(
        "names_of_links", blobs([b"eth0\0pipework:netns:a:1:eth0", b"\xff\xfe\n\0\x1b[2J"]), read_names, (), form=BYTES
    ),
]
kept, made_up = parameters(TARGETS)


@kept
def test_B17_what_was_stumbled_over_once(target: Target, path: Path) -> None:
    try_kept(target, path)


@made_up
def test_B17_no_message_ends_a_reader(target: Target) -> None:
    fuzz(target)
