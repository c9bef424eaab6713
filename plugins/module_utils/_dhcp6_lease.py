# Copyright: pipework.containers contributors
# GNU General Public License v3.0+ (see LICENSE)
"""What an attachment wants of DHCPv6, and what a server has granted, checked before anything is done with it. Pure."""
from __future__ import annotations

import dataclasses
import hashlib
import ipaddress
import json
import struct
import typing as t

from . import _dhcp6_message as dhcp6
from . import _normalize as norm
from ._attachment import Attachment
from ._dhcp_lease import SERVERS_MAX, domain_name, hostname_of
from ._errors import PipeworkError
from ._facts import link_key
from ._model import Address
from ._plan import Absent, KernelObject, Key, State

if t.TYPE_CHECKING:
    from ._attach import Scene

SECONDS_MIN, FOREVER = 10, 0xFFFFFFFF
DUID_UUID = b"\0\4"


@dataclasses.dataclass(frozen=True)
class Lease6(KernelObject):
    """What was asked for and granted. Its address is an object of its own, when it is there."""

    KIND = "lease6"
    IDENTITY = ("ns", "device")
    HINTS = frozenset({"owner", "seconds", "grant"})

    device: str
    hostname: str | None = None
    duid: str | None = None  # hexadecimal
    owner: str | None = None  # the mark of its attachment
    seconds: float | None = None  # how long to ask for it
    grant: t.Any = None

    @property
    def name(self) -> str:
        return self.device

    @property
    def carrier(self) -> Key:
        return link_key(self.ns, self.device)

    def over(self, observed: KernelObject) -> KernelObject:
        changed = t.cast("Lease6", super().over(observed))
        return dataclasses.replace(changed, owner=self.owner, seconds=self.seconds)


@dataclasses.dataclass(frozen=True)
class Grant6:
    """A lease. Its times are on the clock that counts from the start of the host; None for ever."""

    address: str  # fd05::7, which is one of no prefix
    server: str  # its DUID, hexadecimal
    preferred: float | None = None
    expires: float | None = None
    dns: tuple[str, ...] = ()
    domain: str | None = None

    def left(self, now: float) -> int | None:
        """Whole seconds that it is valid for; None for ever."""
        return None if self.expires is None else int(self.expires - now)

    def pack(self, asked: t.Mapping[str, t.Any]) -> str:
        """As it is kept in a file, with what was asked for."""
        return json.dumps({"asked": asked, "grant": dataclasses.asdict(self)}, sort_keys=True)


def unpack(text: str) -> tuple[dict[str, t.Any], Grant6]:
    """A lease from its file. Raises ValueError for what is none."""
    try:
        held = json.loads(text)
        asked, grant = held["asked"], held["grant"]
        times = [None if grant[name] is None else float(grant[name]) for name in ("preferred", "expires")]
        address = usable(ipaddress.IPv6Address(str(grant["address"])).packed)
        if address is None:
            raise ValueError("no address")
        return {"hostname": str(asked["hostname"]), "duid": bytes.fromhex(asked["duid"]).hex()}, Grant6(
            address=address, server=bytes.fromhex(grant["server"]).hex(), preferred=times[0], expires=times[1],
            dns=tuple(norm.address(each, "lease") for each in grant["dns"]), domain=domain_name(grant["domain"] or ""),
        )
    except (PipeworkError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(str(error)) from None


# -- what a server says

def granted(message: dhcp6.Message, iaid: bytes, now: float) -> Grant6:
    """The lease in an answer. Raises PipeworkError where it is of no use; what is odd beside it is left out."""
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
            if address is not None and valid >= SECONDS_MIN and preferred <= valid:
                return Grant6(
                    address, server.hex(), preferred=None if preferred == FOREVER else now + preferred,
                    expires=None if valid == FOREVER else now + valid,
                    dns=tuple(_usables(message.one(dhcp6.DNS_SERVERS))[:SERVERS_MAX]),
                    domain=next(filter(None, map(domain_name, dhcp6.names(message.one(dhcp6.DOMAIN_LIST)))), None),
                )
        _refuse(next(iter(inner.get(dhcp6.STATUS, [])), b""))
    raise PipeworkError("dhcp6: a server answers without an address that can be used.")


def _refuse(value: bytes) -> None:
    code, words = dhcp6.status(value)
    if code != dhcp6.SUCCESS:
        raise PipeworkError(f"dhcp6: the server gives no address: {words!r} (status {code}).")


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


# -- what is wanted

def duid_of(seed: str, label: str, interface: str) -> bytes:
    """RFC 6355's kind, the same for an attachment each time, also when its container was made anew."""
    return DUID_UUID + hashlib.sha256(f"{seed} {label} {interface}".encode("utf-8", "surrogateescape")).digest()[:16]


def iaid_of(interface: str) -> bytes:
    return hashlib.sha256(interface.encode("utf-8", "surrogateescape")).digest()[:4]


def held(label: str, interface: str, state: State) -> Lease6 | None:
    return t.cast("Lease6 | None", state.get((Lease6.KIND, label, interface)))


def grant_of(item: Attachment, label: str, state: State) -> Grant6 | None:
    """The lease that an attachment has and keeps."""
    have = held(label, item.interface, state)
    return t.cast("Grant6 | None", have.grant) if have is not None and item.dhcp6 else None


def wanted_lease(
    item: Attachment, label: str, name: str, owner: str, scene: Scene,
) -> t.Iterator[KernelObject | Absent]:
    """The lease of an attachment, and its address."""
    have = held(label, item.interface, scene.state)
    grant = grant_of(item, label, scene.state)
    kept = f"{grant.address}/128" if grant is not None else None
    if item.dhcp6 is not None and (have is not None or item.dhcp6):
        for address in scene.carried[link_key(label, item.interface)]:
            lent = isinstance(address, Address) and address.valid is not None and address.address.endswith("/128")
            if lent and t.cast(Address, address).address != kept and (grant is not None or not item.dhcp6):
                yield Absent(address.key)
    if item.dhcp6 is False and have is not None:
        yield Absent(have.key)
    if not item.dhcp6:
        return
    yield Lease6(
        ns=label, device=item.interface, hostname=item.dhcp_hostname or hostname_of(name),
        duid=duid_of(scene.facts.host_seed, label, item.interface).hex(), owner=owner, seconds=item.dhcp_timeout,
        grant=have.grant if have else None,
    )
    if grant is not None and kept is not None:
        now = scene.facts.now
        preferred = None if grant.preferred is None else max(0, int(grant.preferred - now))
        yield Address(label, item.interface, kept, valid=grant.left(now), preferred=preferred)
