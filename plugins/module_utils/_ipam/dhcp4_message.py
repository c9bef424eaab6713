# Copyright: pipework.containers contributors
# GNU General Public License v3.0+ (see LICENSE)
"""DHCP messages (RFC 2131, 2132) and the frames that carry them. Pure.

pyroute2's own classes are not used: they changed between the versions that are supported, do not know the routes of
RFC 3442, and stumble over options that are longer or shorter than they should be, as a hostile server may send them.
"""
from __future__ import annotations

import dataclasses
import struct
import typing as t

DISCOVER, OFFER, REQUEST, DECLINE, ACK, NAK, RELEASE = range(1, 8)
(
    MASK, ROUTER, DNS, HOSTNAME, DOMAIN, MTU, REQUESTED, SECONDS, OVERLOAD, TYPE, SERVER, WANTED, MESSAGE, MAX_SIZE,
    RENEWS, REBINDS, VENDOR, CLIENT, ROUTES, END,
) = (1, 3, 6, 12, 15, 26, 50, 51, 52, 53, 54, 55, 56, 57, 58, 59, 60, 61, 121, 255)
# The routes stand before the router (RFC 3442).
ASKED_FOR = bytes((MASK, ROUTES, ROUTER, DNS, DOMAIN, MTU, SECONDS, RENEWS, REBINDS))
COOKIE = b"\x63\x82\x53\x63"
HEADER = struct.Struct("!BBBBIHH4s4s4s4s16s64s128s4s")
BROADCAST = 0x8000
CLIENT_PORT, SERVER_PORT = 68, 67
UDP = 17  # the protocol's number
FIXED = {  # the only lengths that these have (RFC 2132)
    MASK: 4, MTU: 2, REQUESTED: 4, SECONDS: 4, OVERLOAD: 1, TYPE: 1, SERVER: 4, MAX_SIZE: 2, RENEWS: 4, REBINDS: 4,
}
SIZE_MIN = 300  # some relays and servers drop what is shorter, as BOOTP's messages were not
ANYWHERE, NOWHERE = b"\xff" * 4, b"\0" * 4
EVERYBODY = b"\xff" * 6


@dataclasses.dataclass(frozen=True)
class Message:
    """A server's answer. ``sender``: the MAC address that it came from."""

    xid: int
    mac: bytes
    address: bytes
    options: t.Mapping[int, bytes]
    sender: bytes = b""

    @property
    def kind(self) -> int | None:
        value = self.options.get(TYPE, b"")
        return value[0] if len(value) == 1 else None

    @property
    def server(self) -> bytes | None:
        return self.get(SERVER) or None

    @property
    def credible(self) -> bool:
        """Whether it comes from where a server can be: no machine sends from the MAC address of a group, or from none.

        Where a program asked and nothing was heard, there is no such address, or that of all."""
        return self.sender in (b"", EVERYBODY) or not self.sender[0] & 1 and any(self.sender)

    def get(self, code: int) -> bytes:
        """The value of an option, empty where it is not there, or of a length that it cannot have."""
        value = self.options.get(code, b"")
        return value if len(value) == FIXED.get(code, len(value)) else b""

    def number(self, code: int) -> int | None:
        """That of an option of a fixed length, None where there is none: its length is looked at before its value."""
        value = self.get(code)
        return int.from_bytes(value, "big") if value and code in FIXED else None

    def wrong(self, *codes: int) -> str:
        """Words about the first of these options that is of a length that it cannot have; empty where none is."""
        for code in codes:
            if self.options.get(code) and not self.get(code):
                return f"option {code} in {len(self.options[code])} bytes, where {FIXED[code]} would be right"
        return ""


def encode(kind: int, xid: int, mac: bytes, options: t.Mapping[int, bytes], ours: bytes = NOWHERE) -> bytes:
    """A client's message. Answers are to be broadcast: an interface that shares its MAC address hears no other."""
    flags = BROADCAST if ours == NOWHERE else 0
    data = HEADER.pack(
        1, 1, 6, 0, xid, 0, flags, ours, NOWHERE, NOWHERE, NOWHERE, mac.ljust(16, b"\0"), b"", b"", COOKIE
    )
    for code, value in {TYPE: bytes((kind,)), **options}.items():
        data += bytes((code, len(value))) + value
    return (data + bytes((END,))).ljust(SIZE_MIN, b"\0")


def decode(data: bytes) -> Message | None:
    """What a server says; None for what is no answer of one."""
    if len(data) < HEADER.size:
        return None
    op, hardware, length, _hops, xid, _secs, _flags, _ci, yours, _si, _gi, mac, sname, file, cookie = (
        HEADER.unpack_from(data)
    )
    if (op, hardware, length, cookie) != (2, 1, 6, COOKIE):
        return None
    options: dict[int, bytes] = {}
    if not _options(data[HEADER.size:], options):
        return None
    overload = options.get(OVERLOAD, b"\0")
    if len(overload) != FIXED[OVERLOAD]:
        return None
    for bit, field in ((1, file), (2, sname)):
        if overload[0] & bit and not _options(field, options):
            return None
    return Message(xid, mac[:6], yours, options)


def _options(data: bytes, found: dict[int, bytes]) -> bool:
    """Adds options, those in parts put together (RFC 3396). False where they do not fit into their field."""
    parts: dict[int, list[bytes]] = {}
    at = 0
    while at < len(data) and data[at] != END:
        if data[at] == 0:
            at += 1
            continue
        if at + 2 > len(data) or at + 2 + data[at + 1] > len(data):
            return False
        parts.setdefault(data[at], []).append(data[at + 2:at + 2 + data[at + 1]])
        at += 2 + data[at + 1]
    for code, values in parts.items():
        found[code] = found.get(code, b"") + b"".join(values)
    return True


def frame(data: bytes, mac: bytes, to: bytes = b"\xff" * 6, source: bytes = NOWHERE, target: bytes = ANYWHERE) -> bytes:
    """An Ethernet frame from the client's port to the server's."""
    length = 8 + len(data)
    udp = struct.pack("!HHHH", CLIENT_PORT, SERVER_PORT, length, 0)
    pseudo = source + target + struct.pack("!BBH", 0, UDP, length)
    udp = udp[:6] + struct.pack("!H", _sum(pseudo + udp + data) or 0xFFFF)
    ip = struct.pack("!BBHHHBBH", 0x45, 0, 20 + length, 0, 0, 64, UDP, 0) + source + target
    ip = ip[:10] + struct.pack("!H", _sum(ip)) + ip[12:]
    return to + mac + b"\x08\x00" + ip + udp + data


def unframe(raw: bytes) -> Message | None:
    """The message in a frame; None where there is none for a client."""
    if len(raw) < 42 or raw[12:14] != b"\x08\x00" or raw[14] >> 4 != 4 or raw[23] != UDP:
        return None
    at = 14 + (raw[14] & 15) * 4
    fragment, = struct.unpack_from("!H", raw, 20)
    if fragment & 0x3FFF or at < 34 or len(raw) < at + 8:
        return None
    source, target, length = struct.unpack_from("!HHH", raw, at)
    if (source, target) != (SERVER_PORT, CLIENT_PORT) or length < 8 or at + length > len(raw):
        return None
    found = decode(raw[at + 8:at + length]) if raw[6:12] != EVERYBODY else None
    return None if found is None else dataclasses.replace(found, sender=raw[6:12])


def asked(raw: bytes, mac: bytes) -> int | None:
    """The type of the message that a client sends with a frame; None where it is none of this client's."""
    at = 14 + (raw[14] & 15) * 4 if len(raw) > 14 else 0
    start = at + 8
    if raw[12:14] != b"\x08\x00" or raw[23:24] != bytes((UDP,)) or len(raw) < start + HEADER.size:
        return None
    if struct.unpack_from("!HH", raw, at) != (CLIENT_PORT, SERVER_PORT) or raw[start + 28:start + 34] != mac:
        return None
    options: dict[int, bytes] = {}
    _options(raw[start + HEADER.size:], options)
    value = options.get(TYPE, b"")
    return value[0] if len(value) == FIXED[TYPE] else None


def _sum(data: bytes) -> int:
    data += bytes(len(data) % 2)
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF
