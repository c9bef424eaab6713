# Copyright: pipework.containers contributors
# GNU General Public License v3.0+ (see LICENSE)
"""Looks at what goes along with NICs that move: all of the host's routes, neighbors, lent addresses, who runs this."""
from __future__ import annotations

import typing as t

from .._delayed import ssh_session
from .._model.nic_port import kept_by_hand
from .._model.objects import HOST, Device
from .._model.observed import Facts
from .._netlink import link_down, neighbour
from .._netlink import route as netlink_route
from .._netlink.namespaces import Namespaces
from .options import Attachment


def observe_lending(namespaces: Namespaces, facts: Facts, moving: t.Sequence[Attachment]) -> None:
    """Adds to the facts what stands on the NICs that move, and on those that have come home by themselves."""
    host = namespaces[HOST]
    names = {device.index: device.name for device in facts.host.values()}
    facts.host_ways = netlink_route.routes_of(host, names, every=True)
    there = [
        device for device in facts.host.values()
        if facts.lent(device) is not None or any(_is_meant(device, item) for item in moving)
    ]
    for device in there:
        facts.addresses[HOST] += neighbour.lent_addresses(host, device)
    addresses = facts.addresses[HOST]
    have = facts.routes.setdefault(HOST, [])
    known = {route.key for route in have}
    have += [each for each in facts.host_ways if each.key not in known and kept_by_hand(each, addresses)]
    if there:
        facts.neighbors = link_down.neighbors_of(host, {device.index: device.name for device in there})
        facts.session = ssh_session.way(host, names)


def _is_meant(device: Device, item: Attachment) -> bool:
    """Whether a NIC may be the one that moves: of a virtual function only its card knows the name."""
    return item.vf is not None and device.type is None or item.host_interface in (device.name, f"mac:{device.mac}")
