# Copyright: pipework.containers contributors
# GNU General Public License v3.0+ (see LICENSE)
"""What a DHCP server has granted, checked before anything is done with it: anybody on a segment can answer. Pure."""
from __future__ import annotations

import dataclasses
import ipaddress
import json
import re
import typing as t

from .._core import normalize as norm
from .._core.errors import ODD, PipeworkError
from .._core.plan import KernelObject, Key
from .._core.strict_json import loads, number
from .._model.domain_name import domain_name
from . import dhcp4_message as dhcp

SECONDS_MIN, RENEW_MIN, FOREVER = 10, 3, 0xFFFFFFFF
ALL = "ff:ff:ff:ff:ff:ff"  # where a server's own MAC address was not heard
MTU_MIN = 576  # what every host has to take (RFC 791)
ROUTES_MAX, SERVERS_MAX = 64, 8
VALUE_MAX = 64  # bytes
NAME_MAX = 256  # of what a server calls a domain, which is then too long to be one
NAMED = {
    "requested-address": dhcp.REQUESTED, "lease-time": dhcp.SECONDS, "vendor-class": dhcp.VENDOR,
    "client-id": dhcp.CLIENT,
}
OURS = (dhcp.HOSTNAME, dhcp.TYPE, dhcp.SERVER, dhcp.WANTED, dhcp.MAX_SIZE, dhcp.OVERLOAD, 0, dhcp.END)


class Helper(t.NamedTuple):
    """Where a helper container asks: beside which container of which user's engine, and from which image."""

    container: str
    user: str | None
    image: str


@dataclasses.dataclass(frozen=True)
class Lease(KernelObject):
    """What a DHCP client asked for and got. What it got becomes addresses and routes, when it is there."""

    KIND = "lease"
    IDENTITY = ("ns", "device")
    HINTS = frozenset({"owner", "seconds", "grant", "helper", "probe"})

    device: str
    client: str | None = None
    hostname: str | None = None
    options: tuple[str, ...] | None = None
    mac: str | None = None
    through: str | None = None  # the network that it is of: a bridge of the host or a NIC, and the VLAN
    owner: str | None = None  # the mark of its attachment
    seconds: float | None = None  # how long to ask for it
    grant: t.Any = None  # what was granted
    helper: Helper | None = None
    probe: bool = False  # whether it is asked who has what was granted

    @property
    def name(self) -> str:
        return self.device

    @property
    def asked(self) -> dict[str, t.Any]:
        """What was asked for, as it is kept with what was granted."""
        return {"client": self.client, "hostname": self.hostname, "options": list(self.options or ()),
                "through": self.through}

    def differences(self, observed: KernelObject) -> frozenset[str]:
        found = super().differences(observed)
        return found - {"through"} if t.cast("Lease", observed).through is None else found  # of earlier versions

    def over(self, observed: KernelObject) -> KernelObject:
        changed = t.cast("Lease", super().over(observed))
        hints = {name: getattr(self, name) for name in ("owner", "seconds", "helper", "probe")}
        return dataclasses.replace(changed, **hints)

    @property
    def carrier(self) -> Key:
        return ("link", self.ns, self.device)


@dataclasses.dataclass(frozen=True)
class Grant:
    """A lease. ``expires``: on the clock that counts from the start of the host; None for one without end."""

    address: str  # 192.168.1.7/24
    server: str
    server_mac: str
    mac: str
    expires: float | None = None
    gateway: str | None = None
    routes: tuple[tuple[str, str | None], ...] = ()  # destination and gateway
    mtu: int | None = None
    dns: tuple[str, ...] = ()
    domain: str | None = None
    renews: float | None = None  # from when on the server is asked for more time,
    rebinds: float | None = None  # and any server is (RFC 2131, T1 and T2)

    @property
    def own(self) -> str:
        """The address without its prefix."""
        return self.address.partition("/")[0]

    def same(self, other: Grant) -> bool:
        """Whether it says the same, but for its time."""
        said = ("address", "gateway", "routes", "mtu", "dns", "domain")
        return all(getattr(self, name) == getattr(other, name) for name in said)

    def left(self, now: float) -> int | None:
        """Whole seconds that it is valid for; None for ever."""
        return None if self.expires is None else int(self.expires - now)

    def pack(self, asked: t.Mapping[str, t.Any], owner: str = "", boot: str = "") -> str:
        """As it is kept in a file, with what was asked for, the mark of whose it is, and when the host started."""
        held = {"asked": asked, "grant": dataclasses.asdict(self), "owner": owner, **({"boot": boot} if boot else {})}
        return json.dumps(held, sort_keys=True)


def unpack(text: str) -> tuple[dict[str, t.Any], Grant]:
    """A lease from its file. Raises ValueError for what is none."""
    try:
        held = loads(text)
        asked, grant = held["asked"], held["grant"]
        expires = grant["expires"]
        found = Grant(
            address=str(norm.interface_address(grant["address"], "lease")),
            server=norm.address(grant["server"], "lease"),
            server_mac=ALL if grant["server_mac"] == ALL else norm.mac_address(grant["server_mac"]),
            mac=norm.mac_address(grant["mac"]),
            expires=None if expires is None else number(expires),
            gateway=None if grant["gateway"] is None else norm.address(grant["gateway"], "lease"),
            routes=tuple(_route(to, via) for to, via in grant["routes"]),
            mtu=None if grant["mtu"] is None else norm.mtu(grant["mtu"]),
            dns=tuple(norm.address(each, "lease") for each in grant["dns"]), domain=domain_name(grant["domain"] or ""),
            **{name: None if grant.get(name) is None else number(grant[name]) for name in ("renews", "rebinds")},
        )
        return {
            "client": str(asked["client"]), "hostname": str(asked["hostname"]),
            "options": tuple(str(option) for option in asked["options"]),
            "through": str(asked["through"]) if asked.get("through") else None,
        }, found
    except (PipeworkError, *ODD) as error:
        raise ValueError(str(error)) from None


def _route(to: t.Any, via: t.Any) -> tuple[str, str | None]:
    destination = "default" if to == "default" else str(ipaddress.IPv4Network(to))
    return destination, None if via is None else norm.address(via, "lease")


# -- what a server says

def granted(message: dhcp.Message, now: float) -> Grant:
    """The lease in an answer. Raises PipeworkError where it is of no use; what is odd beside it is left out."""
    wrong = message.wrong(dhcp.SERVER)
    server = unicast(message.server or b"")
    if server is None:
        raise PipeworkError(f"dhcp: a server answers without saying who it is{f' ({wrong})' if wrong else ''}.")
    if not message.credible:
        raise PipeworkError(
            f"dhcp: the server {server} answers from the MAC address {mac_text(message.sender)}, which no machine has."
        )
    wrong = message.wrong(dhcp.MASK)
    if wrong:
        raise PipeworkError(f"dhcp: the server {server} sends {wrong}; its answer is not used.")
    mask, text = message.get(dhcp.MASK), socket_text(message.address)
    try:
        length = ipaddress.IPv4Network(f"0.0.0.0/{socket_text(mask)}").prefixlen if len(mask) == 4 else 0
        address = norm.interface_address(f"{text}/{length or _classful(message.address)}", "dhcp")
        if unicast(message.address) is None or address is None or message.address == message.server:
            raise ValueError
    except (PipeworkError, ValueError):
        raise PipeworkError(
            f"dhcp: the server {server} gives {text} with the mask {socket_text(mask) or 'of no value'}, "
            "which cannot be the address of an interface."
        ) from None
    seconds = message.number(dhcp.SECONDS) or 0
    if seconds < SECONDS_MIN:
        wrong = message.wrong(dhcp.SECONDS)
        time = f"no valid time ({wrong})" if wrong else f"{seconds} s"
        raise PipeworkError(f"dhcp: the server {server} gives {address} for {time}, which is too short to use it.")
    routes = _classless(message.get(dhcp.ROUTES), text)
    routers = [each for each in _unicasts(message.get(dhcp.ROUTER)) if each != text]
    gateway: str | None = routers[0] if routers else None
    if routes is not None:  # then the router does not count
        gateway = next((via for to, via in routes if to == "default"), None)
    mtu = message.number(dhcp.MTU) or 0
    return Grant(
        address=address, server=server, server_mac=mac_text(message.sender) or ALL, mac=mac_text(message.mac),
        expires=None if seconds == FOREVER else now + seconds, gateway=gateway,
        routes=tuple((to, via) for to, via in routes or () if to != "default"),
        mtu=mtu if mtu >= MTU_MIN else None, dns=tuple(_unicasts(message.get(dhcp.DNS))[:SERVERS_MAX]),
        domain=domain_name(message.get(dhcp.DOMAIN)[:NAME_MAX].rstrip(b"\0").decode("ascii", "replace")),
        **_moments(message, seconds, now),
    )


def _moments(message: dhcp.Message, seconds: int, now: float) -> dict[str, float | None]:
    """When to ask for more time: as the server says if that makes sense, else after a half and after seven eighths."""
    if seconds == FOREVER:
        return {"renews": None, "rebinds": None}
    first, second = (message.number(code) or 0 for code in (dhcp.RENEWS, dhcp.REBINDS))
    second = second if 0 < second < seconds else seconds * 7 // 8
    first = first if RENEW_MIN <= first < second else min(seconds // 2, second)
    return {"renews": now + first, "rebinds": now + second}


def mac_text(mac: bytes) -> str:
    return ":".join(f"{octet:02x}" for octet in mac)


def socket_text(address: bytes) -> str:
    return str(ipaddress.IPv4Address(address)) if len(address) == 4 else ""


def _classful(address: bytes) -> int:
    """What an address without a mask had in the days of classes (RFC 2131 leaves it to that)."""
    return 8 if address[0] < 128 else 16 if address[0] < 192 else 24


def unicast(address: bytes) -> str | None:
    """An address that a machine can have."""
    if len(address) != 4:
        return None
    found = ipaddress.IPv4Address(address)
    odd = found.is_multicast or found.is_unspecified or found.is_loopback or int(found) >> 28 == 15
    return None if odd else str(found)


def _unicasts(value: bytes) -> list[str]:
    found = (unicast(value[at:at + 4]) for at in range(0, len(value) - len(value) % 4, 4))
    return [address for address in found if address is not None]


def _classless(value: bytes | None, own: str) -> list[tuple[str, str | None]] | None:
    """Routes of RFC 3442; None where there are none, or they cannot be read."""
    if not value:
        return None
    found: dict[str, str | None] = {}
    at = 0
    while at < len(value) and len(found) <= ROUTES_MAX:
        length = value[at]
        octets = (length + 7) // 8
        if length > 32 or at + 1 + octets + 4 > len(value):
            return None
        network = ipaddress.IPv4Network((value[at + 1:at + 1 + octets].ljust(4, b"\0"), length), strict=False)
        via = value[at + 1 + octets:at + 5 + octets]
        gateway = unicast(via)
        at += 5 + octets
        # One by the interface itself may be a route; one of the loopback or to a group is none.
        usable = gateway not in (None, own) or via == dhcp.NOWHERE and length
        if usable and not (length and (network.is_loopback or network.is_multicast)):
            found.setdefault(str(network) if length else "default", gateway)
    return list(found.items())[:ROUTES_MAX]


# -- what is asked for

def hostname_of(container: str) -> str:
    """A container's name as a host's."""
    word = re.sub(r"[^A-Za-z0-9_-]+", "-", container.rpartition("/")[2])[:63].strip("-")
    return word or "container"


def check_hostname(value: t.Any) -> str:
    text = str(value)
    if domain_name(text) is None:
        raise PipeworkError(
            f"dhcp_hostname: {text!r} is not the name of a host; letters, digits and '-', such as web1, would be right."
        )
    return text


def check_options(values: t.Iterable[t.Any]) -> tuple[str, ...]:
    """``name=value`` or ``number=value`` each."""
    found = tuple(str(value) for value in values)
    codes = [option_of(each)[0] for each in found]
    for code, each in zip(codes, found):
        if codes.count(code) > 1:
            raise PipeworkError(f"dhcp_options: {each!r} says again what another one says; once would be right.")
    return found


def option_of(text: str) -> tuple[int, bytes]:
    """The number and value of an option: an address, seconds, hexadecimal after 0x, or text."""
    name, equals, value = text.partition("=")
    code = NAMED.get(name, int(name) if re.fullmatch("[0-9]{1,3}", name) else -1)
    if code in OURS and 0 < code < 255:
        instead = "'dhcp_hostname' says it" if code == dhcp.HOSTNAME else "leave it out"
        raise PipeworkError(f"dhcp_options: {text!r}: option {code} is sent by the client itself; {instead}.")
    if not equals or not value or not 0 < code < 255:
        raise PipeworkError(
            f"dhcp_options: {text!r} is not an option that can be sent; number=value, or one of "
            f"{', '.join(NAMED)} with '=' and its value, would be right (such as vendor-class=web)."
        )
    right = f"at most {VALUE_MAX} bytes"
    try:
        if code == dhcp.REQUESTED:
            right = "an address of IPv4, such as requested-address=192.168.1.50,"
            data = ipaddress.IPv4Address(value).packed
        elif code == dhcp.SECONDS:
            right = "a whole number of seconds, such as lease-time=3600,"
            data = int(value).to_bytes(4, "big")
        elif value.startswith("0x"):
            right = f"after 0x an even number of hex digits, for at most {VALUE_MAX} bytes, such as {name}=0x0abc,"
            data = bytes.fromhex(value[2:])
        else:
            data = value.encode("utf-8", "surrogateescape")
        if not 1 <= len(data) <= VALUE_MAX:
            raise ValueError
    except (ValueError, OverflowError):
        words = f"{value!r} is not a value of it; {right} would be right"
        raise PipeworkError(f"dhcp_options: {text!r}: {words}.") from None
    return code, data
