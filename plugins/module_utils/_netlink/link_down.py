# Copyright: pipework.containers contributors
# GNU General Public License v3.0+ (see LICENSE)
"""What the kernel drops when an interface has to go down for a moment, and how it comes back.

It drops all routes, permanent neighbors and addresses of IPv6; those of the interface itself (SLAAC, link-local) it
makes again. A run never takes an interface down otherwise than through this.
"""
from __future__ import annotations

import errno
import typing as t

from .._model.layer3 import Address, Route
from .._model.neighbor import Neighbor
from . import permanent_neighbor, rtnl
from . import route as netlink_route
from .kernel_error import KernelError
from .namespaces import Netns
from .neighbour import lent_addresses

LOCAL, RA = 255, 9  # table, protocol of what a router says once more


class Carried(t.NamedTuple):
    """What stands on one interface that the kernel does not make by itself."""

    name: str
    addresses: list[Address]
    routes: list[Route]
    neighbors: list[Neighbor]


def neighbors_of(netns: Netns, names: t.Mapping[int, str]) -> list[Neighbor]:
    """The permanent ones."""
    raws = [raw for request in permanent_neighbor.dumps() for raw in netns.dump(request)]
    found = (permanent_neighbor.decode_neighbor(raw, netns.label, names) for raw in raws)
    return [each for each in found if each is not None]


def carried(netns: Netns, index: int) -> Carried:
    """All of it, in the order in which it can come."""
    devices = netns.devices()
    device = next(each for each in devices.values() if each.index == index)
    names = {each.index: each.name for each in devices.values()}
    addresses = [each for each in netns.addresses(names) if each.device == device.name]
    addresses += [each for version in (4, 6) for each in lent_addresses(netns, device, version)]
    every = netlink_route.routes_of(netns, names, every=True)
    routes = [each for each in every if each.leads_through(device.name) and _lasts(each)]
    routes.sort(key=lambda each: (bool(each.gateway or each.nexthops), each.nth))
    return Carried(device.name, addresses, routes, neighbors_of(netns, {index: device.name}))


def _lasts(route: Route) -> bool:
    return route.table != LOCAL and route.protocol != RA


def through(netns: Netns, index: int, requests: list[bytes], up: bool) -> KernelError | None:
    """Does what an interface allows only while it is down; up again, it has all that it had. Returns an error."""
    before = carried(netns, index)
    error = _first(netns.send([rtnl.set_link(index, up=False), *requests]))
    if not up:
        return error
    error = _first([error, *netns.send([rtnl.set_link(index, up=True)])])
    missing = [each for each in _bring_back(netns, index, before) if each is None or each.errno != errno.EEXIST]
    return _first([error, *missing])  # what is there by now, the kernel has made again in the meantime


def _bring_back(netns: Netns, index: int, before: Carried) -> t.Iterator[KernelError | None]:
    """What is missing of it, whatever name the interface has by now."""
    def number(name: str) -> int:
        return index if name == before.name else netns.index(name)

    now = carried(netns, index)
    there = {each.address for each in now.addresses}
    yield from netns.send([
        rtnl.new_address(each, index) for each in before.addresses if each.address not in there
    ])
    have = {each.key for each in carried(netns, index).routes}  # with the addresses some come by themselves
    for route in before.routes:
        if route.key not in have:
            yield from netns.send([netlink_route.new_route(route, number)])
    known = {(each.address, each.proxy) for each in now.neighbors}
    yield from netns.send([
        permanent_neighbor.new_neighbor(each, index) for each in before.neighbors
        if (each.address, each.proxy) not in known
    ])


def _first(errors: t.Iterable[KernelError | None]) -> KernelError | None:
    return next((error for error in errors if error is not None), None)
