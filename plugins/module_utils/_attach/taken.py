# Copyright: pipework.containers contributors
# GNU General Public License v3.0+ (see LICENSE)
"""Addresses and MAC addresses that others on the same segment have, as far as this host shows it. Pure.

Others are asked for IPv4 addresses too, and the kernel looks for IPv6 ones (see conflicts), but nobody answers to that
across macvlans in mode private and isolated ports, nor in check mode. A MAC address nobody is asked for.
"""
from __future__ import annotations

import typing as t

from .._core.items import Item
from .._core.plan import Absent, Desired, State
from .._model.keys import link_key, port_key
from .._model.objects import HOST, ON_A_NIC, Address, Link, Port
from .._model.observed import Facts
from .._model.ovs import OvsPort, port_row_key
from .segments import Look, Place, coming, place, vlan_of

if t.TYPE_CHECKING:
    from .desired import Target

TYPES = (*ON_A_NIC, "ipvtap", "vlan", "macsec", "veth")


class Comer(t.NamedTuple):
    """What an attachment brings to its segment."""

    item: Item
    title: str
    where: Place
    mac: str | None  # where it is to be compared
    addresses: tuple[str, ...]


class Holder(t.NamedTuple):
    """An interface on such a segment."""

    title: str
    where: Place
    mac: str | None
    addresses: tuple[str, ...]


def hosts_of(addresses: t.Iterable[Address]) -> tuple[str, ...]:
    """Without their prefix lengths."""
    return tuple(each.address.partition("/")[0] for each in addresses)


def comers(targets: t.Iterable[Target], facts: Facts, state: State, desired: Desired) -> list[Comer]:
    """Those with something to compare. A MAC address is, where somebody has chosen it; on a NIC see nic_users."""
    look = Look(state, desired)
    found = []
    for target in targets:
        item, label = target.item, str(target.label)
        asked = item.state == "present" and target.label is not None and (item.mac_address or item.addresses)
        where = place(label, item.interface, look) if asked else None
        if where is None or where.paired:
            continue
        key = link_key(label, item.interface)
        link, have = look(key), state.get(key)
        if where.bridged:
            stays = isinstance(have, Link) and have.mac == item.mac_address
            stays = stays and place(label, item.interface, Look(state)) == where
            mac = None if stays else item.mac_address
        else:
            mac = None
        alone = _isolated(label, item.interface, look) if where.bridged else isinstance(link, Link) and (
            link.type in ON_A_NIC)
        new = coming(target, look) if alone and item.announce else []
        if mac or new:
            hosts = tuple(each.partition("/")[0] for each in new)
            found.append(Comer(item, f"{label}/{item.interface}", where, mac, hosts))
    return found


def _isolated(label: str, interface: str, look: Look) -> bool:
    port = look(port_key(label, interface))
    row = look(port_row_key(str(port.local_interface))) if isinstance(port, Port) else None
    if isinstance(row, OvsPort):
        return bool(look.field(row, "isolated"))
    return isinstance(port, Port) and bool((look.field(port, "settings") or {}).get("isolated"))


def known(found: t.Iterable[Comer], facts: Facts, state: State, desired: Desired) -> list[Holder]:
    """Who is on their segments when all is done, in the namespaces that are open, and the host itself."""
    places, look = {each.where for each in found}, Look(state, desired)
    holders: list[Holder] = []
    if not places:
        return holders
    addresses: dict[tuple[str, str], list[Address]] = {}
    for key in dict.fromkeys((*state, *desired)):
        each = look(key) if key[0] == Address.KIND else None
        if isinstance(each, Address):
            addresses.setdefault((each.ns, each.device), []).append(each)
    for key in dict.fromkeys((*state, *desired)):
        link = look(key) if key[0] == Link.KIND else None
        where = place(link.ns, link.ifname, look) if isinstance(link, Link) else None
        if isinstance(link, Link) and where in places and where is not None:
            hosts = hosts_of(addresses.get((link.ns, link.ifname), ()))
            title = f"{link.ns}/{link.ifname}".removeprefix(f"{HOST}/")
            holders.append(Holder(title, where, look.field(link, "mac"), hosts))
    bridges: dict[str | None, list[Place]] = {}
    for where in places:
        bridges.setdefault(where.name, []).extend([where] if where.bridged else [])
    for device in facts.host.values() if bridges else ():
        for where in (*bridges.get(device.name, ()), *bridges.get(facts.bridge_under(device), ())):
            holders.append(Holder(device.name, where, device.mac, ()))
    return holders


def ends(found: t.Iterable[Comer], facts: Facts, desired: Desired) -> dict[int, Place]:
    """What others on their segments stand on, or have as their other ends: the host's interfaces, by index."""
    places = {each.where for each in found}
    names = {each.name for each in places if each.bridged}
    ports: dict[int, Place] = {
        facts.host[each.name].index: each for each in places if not each.bridged and each.name in facts.host
    }
    for device in facts.host.values() if names else ():
        bridge = facts.bridge_under(device)
        if bridge in names and not isinstance(desired.get(link_key(HOST, device.name)), Absent):
            row = facts.switch.ports.get(device.name) if facts.switch is not None else None
            where = Place(str(bridge), vlan_of(row.vlans if row is not None else facts.vlans_of(device)))
            if where in places:
                ports[device.index] = where
    return ports


def check(found: t.Sequence[Comer], holders: t.Iterable[Holder]) -> None:
    """Raises PipeworkError for what somebody has already."""
    macs: dict[tuple[Place, str], list[str]] = {}
    hosts: dict[tuple[Place, str], list[str]] = {}
    for holder in holders:
        if holder.mac is not None:  # as long as the kernel has not chosen one
            macs.setdefault((holder.where, holder.mac), []).append(holder.title)
        for address in holder.addresses:
            hosts.setdefault((holder.where, address), []).append(holder.title)
    for comer in found:
        for title in macs.get((comer.where, comer.mac), ()) if comer.mac is not None else ():
            if title != comer.title:
                raise comer.item.refuse(
                    f"mac_address: {comer.mac} is the address of {title} already, which is on {comer.where.name} too; "
                    "choose another one."
                )
        for address in comer.addresses:
            for title in hosts.get((comer.where, address), ()):
                if title != comer.title:
                    raise comer.item.refuse(
                        f"addresses: {address} is in use already, by {title}, which is on {comer.where.name} too; give "
                        f"{comer.title} another one, or use 'announce: false'."
                    )
