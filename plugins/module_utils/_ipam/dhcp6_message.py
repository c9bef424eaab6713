# Copyright: pipework.containers contributors
# GNU General Public License v3.0+ (see LICENSE)
"""DHCPv6 messages (RFC 8415), as far as a client needs them that asks for one address. Pure.

pyroute2 has no classes for them.
"""
from __future__ import annotations

import dataclasses
import struct
import typing as t

SOLICIT, ADVERTISE, REQUEST, RENEW, REBIND, REPLY, RELEASE, DECLINE = 1, 2, 3, 5, 6, 7, 8, 9
(
    CLIENTID, SERVERID, IA_NA, IAADDR, ORO, ELAPSED, STATUS, DNS_SERVERS, DOMAIN_LIST, CLIENT_FQDN,
) = (1, 2, 3, 5, 6, 8, 13, 23, 24, 39)
SUCCESS, NO_ADDRESS, NO_BINDING, NOT_ON_LINK = 0, 2, 3, 4
GROUP, CLIENT_PORT, SERVER_PORT = "ff02::1:2", 546, 547  # All_DHCP_Relay_Agents_and_Servers
DUID_MAX = 130
LABEL_MAX, NAME_MAX = 63, 254

Options = dict[int, list[bytes]]


@dataclasses.dataclass(frozen=True)
class Message:
    """What a server says."""

    kind: int
    xid: int
    options: Options

    def one(self, code: int) -> bytes:
        """The value of an option that may be there once."""
        found = self.options.get(code, [])
        return found[0] if len(found) == 1 else b""


def encode(kind: int, xid: int, options: t.Sequence[tuple[int, bytes]]) -> bytes:
    return struct.pack("!I", kind << 24 | xid) + pack(options)


def pack(options: t.Sequence[tuple[int, bytes]]) -> bytes:
    return b"".join(struct.pack("!HH", code, len(value)) + value for code, value in options)


def decode(data: bytes) -> Message | None:
    """None for what is none."""
    options = unpack(data[4:]) if len(data) >= 4 else None
    if options is None:
        return None
    first, = struct.unpack_from("!I", data)
    return Message(first >> 24, first & 0xFFFFFF, options)


def unpack(data: bytes) -> Options | None:
    """Options by their number; None where they do not fit."""
    found: Options = {}
    at = 0
    while at < len(data):
        if at + 4 > len(data):
            return None
        code, length = struct.unpack_from("!HH", data, at)
        if at + 4 + length > len(data):
            return None
        found.setdefault(code, []).append(data[at + 4:at + 4 + length])
        at += 4 + length
    return found


def association(iaid: bytes, address: bytes | None = None) -> bytes:
    """The value of an IA_NA: what is asked for, or what is given back. Lifetimes are the server's business."""
    inner = pack([(IAADDR, address + bytes(8))]) if address else b""
    return iaid + bytes(8) + inner


def asking(
    kind: int, xid: int, duid: bytes, iaid: bytes, hostname: str, elapsed: float, address: bytes | None = None,
    server: bytes | None = None,
) -> bytes:
    """What a client says that wants an address, or more time for it. ``elapsed``: since it first asked, in seconds."""
    return encode(kind, xid, [
        (CLIENTID, duid), *([(SERVERID, server)] if server is not None else []),
        (ELAPSED, min(0xFFFF, int(elapsed * 100)).to_bytes(2, "big")), (IA_NA, association(iaid, address)),
        (ORO, b"".join(code.to_bytes(2, "big") for code in (DNS_SERVERS, DOMAIN_LIST))),
        (CLIENT_FQDN, fqdn(hostname)),
    ])


def status(value: bytes) -> tuple[int, str]:
    """A status code and its words."""
    if len(value) < 2:
        return SUCCESS, ""
    return int.from_bytes(value[:2], "big"), value[2:82].decode("utf-8", "replace")


def fqdn(hostname: str) -> bytes:
    """The value of a Client FQDN (RFC 4704): the server shall do what there is to do in DNS. Not qualified: no root."""
    labels = [label.encode("ascii", "replace")[:LABEL_MAX] for label in hostname.split(".") if label]
    return b"\x01" + b"".join(bytes((len(label),)) + label for label in labels)


def names(value: bytes) -> list[str]:
    """The domains of a list, in DNS's encoding, which knows no pointers here."""
    found: list[str] = []
    labels: list[str] = []
    at = 0
    while at < len(value):
        length = value[at]
        if length > LABEL_MAX or at + 1 + length > len(value):
            return found
        if length:
            labels.append(value[at + 1:at + 1 + length].decode("ascii", "replace"))
        elif labels:
            found.append(".".join(labels))
            labels = []
        at += 1 + length
    return found
