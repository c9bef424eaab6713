# Copyright: pipework.containers contributors
# GNU General Public License v3.0+ (see LICENSE)
"""Addresses that nobody lists: of a router's advertisements, of DHCPv6, and IPv4 link-local ones (RFC 3927). Pure."""
from __future__ import annotations

import dataclasses
import hashlib
import typing as t

from .._core.normalize import family
from .._core.plan import Absent, Desired, KernelObject, Key
from .._model.keys import link_key
from .._model.objects import Address
from .context import Scene, Target
from .dhcp6 import wanted_lease
from .options import Attachment

IPV6 = "net.ipv6.conf.IFNAME."
LISTENING = (  # 2: also where the container forwards packets
    (IPV6 + "disable_ipv6", "0"), (IPV6 + "accept_ra", "2"), (IPV6 + "autoconf", "1"),
)
DEAF = ((IPV6 + "accept_ra", "0"), (IPV6 + "autoconf", "0"))
PREFIX = "169.254."
CONFLICTS_MAX = 10  # RFC 3927


@dataclasses.dataclass(frozen=True)
class LinkLocal(KernelObject):
    """That an interface has an IPv4 link-local address. Which one, only the segment can tell."""

    KIND = "link_local"
    IDENTITY = ("ns", "device")
    HINTS = frozenset({"address", "owner"})

    device: str
    conflict: bool | None = None  # somebody else has it too
    address: str | None = None  # 169.254.7.1/16
    owner: str | None = None  # the mark of its attachment

    @property
    def name(self) -> str:
        return self.device

    @property
    def carrier(self) -> Key:
        return link_key(self.ns, self.device)

    def differences(self, observed: KernelObject) -> frozenset[str]:
        return frozenset({"conflict"} if t.cast("LinkLocal", observed).conflict else ())

    def over(self, observed: KernelObject) -> KernelObject:
        return self


def link_local_key(label: str, interface: str) -> Key:
    return (LinkLocal.KIND, label, interface)


def candidates(mac: str) -> t.Iterator[str]:
    """The addresses that an interface tries, the same each time: 169.254.1.0 to 169.254.254.255."""
    for number in range(CONFLICTS_MAX + 1):
        drawn = int.from_bytes(hashlib.sha256(f"{mac} {number}".encode()).digest()[:8], "big") % (254 * 256)
        yield f"{PREFIX}{drawn // 256 + 1}.{drawn % 256}"


def sysctls_of(item: Attachment) -> tuple[tuple[str, str], ...]:
    """The kernel parameters of an interface: those that are listed, and those that other options mean."""
    listed = item.sysctls or ()
    by_ra = {None: (), True: LISTENING, False: DEAF}[item.accept_ra]
    meant = dict((*by_ra, (IPV6 + "disable_ipv6", "0")) if item.dhcp6 else by_ra)
    for name, _value in listed:
        if name in meant:
            option = "accept_ra" if name in dict(by_ra) else "dhcp6"
            raise item.refuse(f"sysctls: {name} is what {option} sets; leave one of them out.")
    return (*listed, *meant.items())


def from_routers(item: Attachment, addresses: t.Iterable[t.Any]) -> list[Address]:
    """The addresses that an interface made of routers' advertisements. One of DHCPv6 has no prefix."""
    return [
        each for each in addresses
        if isinstance(each, Address) and each.device == item.interface and each.valid is not None
        and family(each.address) == 6 and not each.address.endswith("/128")
    ]


def led_by_routers(item: Attachment) -> bool:
    """Whether the default route of an interface's own table is what routers advertise."""
    static = item.gateway is not None and (not item.gateway or any(family(each) == 6 for each in item.gateway))
    return item.table is not None and bool(item.accept_ra or item.dhcp6) and not static


def wanted(
    item: Attachment, label: str, scene: Scene, target: Target, desired: Desired,
) -> t.Iterator[KernelObject | Absent]:
    """What becomes of such addresses."""
    yield from wanted_lease(item, label, target.name, target.owner, scene, desired)
    if item.accept_ra is False:
        on_it = scene.carried[link_key(label, item.interface)]
        yield from (Absent(address.key) for address in from_routers(item, on_it))
    if item.link_local is False:
        yield Absent(link_local_key(label, item.interface))
    if not item.link_local:
        return
    for address in scene.carried[link_key(label, item.interface)] if item.addresses is None or item.append else ():
        if isinstance(address, Address) and family(address.address) == 4:
            raise item.refuse(
                f"link_local: {item.interface} has the address {address.address}, and a link-local one is for "
                "interfaces without any other of IPv4; remove that one (addresses: []), or leave link_local out."
            )
    yield LinkLocal(label, item.interface, owner=target.owner)
