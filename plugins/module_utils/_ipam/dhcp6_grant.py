# Copyright: pipework.containers contributors
# GNU General Public License v3.0+ (see LICENSE)
"""What a DHCPv6 server has granted, checked before anything is done with it: anybody on a segment can answer. Pure."""
from __future__ import annotations

import dataclasses
import hashlib
import ipaddress
import json
import struct
import typing as t

from .._core import normalize as norm
from .._core.errors import ODD, PipeworkError
from .._core.strict_json import loads, number
from .._model.domain_name import domain_name
from . import dhcp6_message as dhcp6
from .dhcp4_grant import SERVERS_MAX

SECONDS_MIN, RENEW_MIN, FOREVER = 10, 3, 0xFFFFFFFF
DUID_UUID = b"\0\4"


@dataclasses.dataclass(frozen=True)
class Grant6:
    """A lease. Its times are on the clock that counts from the start of the host; None for ever."""

    address: str  # fd05::7, which is one of no prefix
    server: str  # its DUID, hexadecimal
    preferred: float | None = None
    expires: float | None = None
    dns: tuple[str, ...] = ()
    domain: str | None = None
    renews: float | None = None  # from when on the server is asked for more time,
    rebinds: float | None = None  # and any server is (RFC 8415, T1 and T2)

    @property
    def own(self) -> str:
        """As that of IPv4."""
        return self.address

    def same(self, other: Grant6) -> bool:
        """Whether it says the same, but for its time."""
        return self.address == other.address

    def left(self, now: float) -> int | None:
        """Whole seconds that it is valid for; None for ever."""
        return None if self.expires is None else int(self.expires - now)

    def pack(self, asked: t.Mapping[str, t.Any], owner: str = "", boot: str = "") -> str:
        """As it is kept in a file, with what was asked for, the mark of whose it is, and when the host started."""
        held = {"asked": asked, "grant": dataclasses.asdict(self), "owner": owner, **({"boot": boot} if boot else {})}
        return json.dumps(held, sort_keys=True)


def unpack(text: str) -> tuple[dict[str, t.Any], Grant6]:
    """A lease from its file. Raises ValueError for what is none."""
    try:
        held = loads(text)
        asked, grant = held["asked"], held["grant"]
        times = [None if grant[name] is None else number(grant[name]) for name in ("preferred", "expires")]
        address = usable(ipaddress.IPv6Address(str(grant["address"])).packed)
        if address is None:
            raise ValueError("no address")
        return {
            "hostname": str(asked["hostname"]), "duid": bytes.fromhex(asked["duid"]).hex(),
            "through": str(asked["through"]) if asked.get("through") else None,
        }, Grant6(
            address=address, server=bytes.fromhex(grant["server"]).hex(), preferred=times[0], expires=times[1],
            dns=tuple(norm.address(each, "lease") for each in grant["dns"]), domain=domain_name(grant["domain"] or ""),
            **{name: None if grant.get(name) is None else number(grant[name]) for name in ("renews", "rebinds")},
        )
    except (PipeworkError, *ODD) as error:
        raise ValueError(str(error)) from None


# -- what a server says

class Refused(PipeworkError):
    """A server has no address for this client, or not this one any more."""


def granted(message: dhcp6.Message, iaid: bytes, now: float, own: str | None = None) -> Grant6:
    """The lease in an answer; ``own``: for this address and no other.

    Raises PipeworkError where it is of no use, and Refused where the server says that there is none; what is odd beside
    it is left out.
    """
    server = message.one(dhcp6.SERVERID)
    if not 3 <= len(server) <= dhcp6.DUID_MAX:
        raise PipeworkError("dhcp6: a server answers without saying who it is.")
    _refuse(message.one(dhcp6.STATUS))
    ours = [value for value in message.options.get(dhcp6.IA_NA, []) if value[:4] == iaid and len(value) >= 12]
    for value in ours:
        inner = dhcp6.unpack(value[12:]) or {}
        for found in inner.get(dhcp6.IAADDR, []):
            address = usable(found[:16])
            preferred, valid = struct.unpack("!II", found[16:24]) if len(found) >= 24 else (0, 0)
            if address is None or own not in (None, address):
                continue
            if own is not None and valid == 0:
                raise Refused(f"dhcp6: the server takes {address} back.")
            if valid >= SECONDS_MIN and preferred <= valid:
                renews, rebinds = moments(struct.unpack_from("!II", value, 4), preferred, valid)
                return Grant6(
                    address, server.hex(), preferred=None if preferred == FOREVER else now + preferred,
                    expires=None if valid == FOREVER else now + valid,
                    dns=tuple(_usables(message.one(dhcp6.DNS_SERVERS))[:SERVERS_MAX]),
                    domain=next(filter(None, map(domain_name, dhcp6.names(message.one(dhcp6.DOMAIN_LIST)))), None),
                    renews=None if renews is None else now + renews, rebinds=None if rebinds is None else now + rebinds,
                )
        _refuse(next(iter(inner.get(dhcp6.STATUS, [])), b""))
    raise PipeworkError("dhcp6: a server answers without an address that can be used.")


def _refuse(value: bytes) -> None:
    if len(value) == 1:
        raise PipeworkError("dhcp6: the server sends a status in 1 byte, where 2 would be right; it is not used.")
    code, words = dhcp6.status(value)
    if code != dhcp6.SUCCESS:
        final = code in (dhcp6.NO_ADDRESS, dhcp6.NO_BINDING, dhcp6.NOT_ON_LINK)
        raise (Refused if final else PipeworkError)(f"dhcp6: the server gives no address: {words!r} (status {code}).")


def moments(said: tuple[int, ...], preferred: int, valid: int) -> tuple[int | None, int | None]:
    """In how many seconds to ask for more time: as the server says if that makes sense, else after a half and after
    four fifths of the time for which the address is preferred. Never for one that is given for ever."""
    if valid == FOREVER:
        return None, None
    renews, rebinds = said
    base = preferred or valid
    second = rebinds if RENEW_MIN <= rebinds < valid else max(RENEW_MIN, base * 4 // 5)
    return renews if RENEW_MIN <= renews <= second else max(RENEW_MIN, min(base // 2, second)), second


def usable(address: bytes) -> str | None:
    """An address that a machine can have and use beyond its link."""
    if len(address) != 16:
        return None
    found = ipaddress.IPv6Address(address)
    odd = found.is_multicast or found.is_unspecified or found.is_loopback or found.is_link_local
    return None if odd or found.ipv4_mapped is not None else str(found)


def _usables(value: bytes) -> list[str]:
    found = (ipaddress.IPv6Address(value[at:at + 16]) for at in range(0, len(value) - len(value) % 16, 16))
    return [str(each) for each in found if not (each.is_multicast or each.is_unspecified or each.is_loopback)]


# -- what a client calls itself

def duid_of(seed: str, label: str, interface: str) -> bytes:
    """RFC 6355's kind, the same for an attachment each time, also when its container was made anew."""
    return DUID_UUID + hashlib.sha256(f"{seed} {label} {interface}".encode("utf-8", "surrogateescape")).digest()[:16]


def iaid_of(interface: str) -> bytes:
    return hashlib.sha256(interface.encode("utf-8", "surrogateescape")).digest()[:4]
