# Copyright: pipework.containers contributors
# GNU General Public License v3.0+ (see LICENSE)
"""Adds to what the kernel shows what attachments got from others: leases of both families, link-local addresses."""
from __future__ import annotations

import typing as t

from .._attach import slaac
from .._attach.dhcp6 import Lease6
from .._attach.options import Attachment
from .._model.observed import Facts
from .._netlink.namespaces import Namespaces
from .._netlink.neighbour import lent_addresses
from .._netlink.route import routes_of
from . import dhcp4_grant, dhcp6_grant
from . import store as files
from .dhcp4_grant import Lease

BY_ROUTERS = 9  # the protocol of routes that the kernel makes of advertisements
RANKS = {1: 0, 0: 1, 3: 2}  # their preference: high, medium, low


def observe_leases(namespaces: Namespaces, facts: Facts, label: str, device: str, owner: str, asked: bool) -> None:
    """Adds to the facts the lease of an attachment and, where there is or shall be one, the addresses that are lent."""
    facts.now = files.clock()
    there = facts.devices[label].get(device)
    held = files.held(owner, Lease.KIND, dhcp4_grant.unpack) if there is not None else None
    if there is None or not (held or asked):
        return
    if held is not None and held[1].mac == there.mac:
        facts.leases.append(Lease(label, device, mac=there.mac, owner=owner, grant=held[1], **held[0]))
    facts.addresses[label] += lent_addresses(namespaces[label], there)


def observe_autoconf(namespaces: Namespaces, facts: Facts, places: t.Iterable[tuple[str, Attachment, str]]) -> None:
    """Adds to the facts what interfaces got without anybody listing it, where that matters."""
    there = [(label, item, owner) for label, item, owner in places if item.interface in facts.devices[label]]
    for label, item, owner in there:
        held = files.held(owner, Lease6.KIND, dhcp6_grant.unpack)
        if held is not None:
            facts.now = files.clock()
            facts.unlisted.append(Lease6(label, item.interface, owner=owner, grant=held[1], **held[0]))
        if item.state == "present" and (held, item.dhcp6, item.accept_ra, item.table) != (None, None, None, None):
            facts.addresses[label] += lent_addresses(namespaces[label], facts.devices[label][item.interface], 6)
        if slaac.led_by_routers(item):
            observe_router(namespaces, facts, label, item.interface)
    zeroconf = [(label, item.interface, owner) for label, item, owner in there if item.link_local is not None]
    if zeroconf:
        from . import ipv4_link_local  # which few runs need

        facts.unlisted += ipv4_link_local.observe(namespaces, zeroconf)


def observe_router(namespaces: Namespaces, facts: Facts, label: str, interface: str) -> bool:
    """Adds to the facts the router that an interface has heard of; the one to be preferred where there are several."""
    names = {device.index: device.name for device in facts.devices[label].values()}
    found = [
        ((RANKS.get(route.preference or 0, 1), hop), hop)
        for route in routes_of(namespaces[label], names, every=True)
        if (route.family, route.destination, route.protocol) == (6, "default", BY_ROUTERS)
        for hop, device in (
            (route.gateway, route.device), *((each.gateway, each.device) for each in route.nexthops or ()))
        if hop and device == interface
    ]
    if found:
        facts.routers[label, interface] = str(min(found)[1])
    return bool(found)
