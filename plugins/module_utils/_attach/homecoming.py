# Copyright: pipework.containers contributors
# GNU General Public License v3.0+ (see LICENSE)
"""What stands on a NIC is packed before it moves into a container, and comes back with it. Pure.

While it is away, the host may have got other routes in the place of its own: those stay, with a word about it.
"""
from __future__ import annotations

import dataclasses
import ipaddress
import typing as t

from .._core.normalize import broadcast, family
from .._core.plan import Absent, KernelObject, State
from .._model.luggage import MOST, Luggage
from .._model.moved_address import MovedAddress
from .._model.nic_port import NicPort
from .._model.nic_record import NicRecord, PartedRoute
from .._model.objects import HOST, Address, Device, Hop, Nic, Route
from .._model.observed import Facts
from .._model.route import ExactRoute

if t.TYPE_CHECKING:
    from .._core.items import Item


def packed(item: Item, device: Device, facts: Facts) -> Luggage:
    """What stands on a NIC. Raises PipeworkError where that is more than can be remembered."""
    routes = tuple(each for each in facts.routes.get(HOST, ()) if each.leads_through(device.name))
    neighbors = tuple(each for each in facts.neighbors if each.device == device.name)
    if len(routes) + len(neighbors) > MOST:
        raise item.refuse(
            f"host_interface: {device.name} has {len(routes)} routes and {len(neighbors)} neighbors, more than the "
            f"{MOST} that are remembered until it comes home; take those away first that somebody else brings back."
        )
    bridge = facts.bridge_under(device)
    return Luggage(
        tuple(each for each in facts.addresses.get(HOST, ()) if each.device == device.name), routes, neighbors,
        bridge, device.port if bridge else None, facts.vlans_of(device) if bridge else None,
    )


def ranked(addresses: t.Sequence[Address]) -> list[MovedAddress]:
    """In the order in which the kernel had them: it shows those of IPv6 with the last one first."""
    found = []
    for version in (4, 6):
        there = [each for each in addresses if family(each.address) == version]
        found += [MovedAddress.of(each, rank) for rank, each in enumerate(there if version == 4 else reversed(there))]
    return found


def departs(device: Device, luggage: Luggage, state: State) -> t.Iterator[KernelObject]:
    """What a move has to do first. The state says in which order all comes back where it is taken back."""
    state.update((each.key, each) for each in ranked(luggage.addresses))
    if luggage.bridge:
        port = port_of(device.name, device.up, device.alias or "", luggage)
        state[port.key] = port
    for route in luggage.routes:
        hops = tuple(hop for hop in route.nexthops or () if hop.device != device.name)
        if hops:
            state[route.key] = PartedRoute.of(route)
            yield parted(route, hops)


def parted(route: Route, hops: t.Sequence[Hop]) -> PartedRoute:
    """A route with these hops alone."""
    if len(hops) > 1:
        return PartedRoute.of(dataclasses.replace(route, nexthops=tuple(hops)))
    [hop] = hops
    return PartedRoute.of(dataclasses.replace(
        route, nexthops=None, gateway=hop.gateway, device=hop.device, onlink=hop.onlink or None, encap=hop.encap,
    ))


def port_of(name: str, up: bool, alias: str | None, luggage: Luggage) -> NicPort:
    return NicPort(
        HOST, name, local_interface=name, bridge=luggage.bridge, up=up, owner=alias, settings=luggage.settings,
        vlans=luggage.vlans,
    )


def unpacked(nic: Nic, facts: Facts) -> t.Iterator[KernelObject | Absent]:
    """All that a NIC had, when it is home. What cannot be any more is said in the facts."""
    luggage = nic.luggage
    if luggage is None:
        yield from ranked([Address(HOST, nic.name, each, broadcast=broadcast(each)) for each in nic.addresses])
        return
    yield from ranked(luggage.addresses)
    if not luggage.comes_late:
        return
    have: dict[t.Any, Route] = {}
    for route in facts.routes.get(HOST, ()):
        have.setdefault(route.key, route)
    for route in luggage.routes:
        why = _in_the_way(route, have.get(route.key), nic) or _impossible(route, luggage, facts)
        if why is None:
            yield ExactRoute.of(route)
        else:
            facts.left_behind.append(f"The route {route.name} does not come home with {nic.name}, since {why}.")
    yield from luggage.neighbors
    if luggage.bridge:
        bridge = facts.host.get(luggage.bridge)
        if bridge is not None and bridge.type == "bridge":
            yield port_of(nic.name, nic.up, None, luggage)
        else:
            facts.left_behind.append(f"{nic.name} is no port of {luggage.bridge} any more, which is gone.")
    yield Absent(NicRecord(HOST, nic.name).key)


def _in_the_way(route: Route, there: Route | None, nic: Nic) -> str | None:
    """A route that the host has got in its place meanwhile."""
    if there is None or not ExactRoute.of(route).differences(there):
        return None
    hops = tuple(hop for hop in route.nexthops or () if hop.device != nic.name)
    if hops and not parted(route, hops).differences(there):
        return None  # what is left of it
    way = f" via {there.gateway}" if there.gateway else ""
    return f"the host has another one there by now{way}" + (f" through {there.device}" if there.device else "")


def _impossible(route: Route, luggage: Luggage, facts: Facts) -> str | None:
    """Why the kernel would not take it: what it needs has expired or gone meanwhile."""
    addresses = [*luggage.addresses, *facts.addresses.get(HOST, ())]
    if route.source and route.source not in {each.address.split("/")[0] for each in addresses}:
        return f"its source {route.source} is no address of the host any more"
    for hop in route.nexthops or (Hop(route.gateway, route.device, onlink=bool(route.onlink)),):
        if hop.device not in (None, "lo", *facts.host, *(each.device for each in luggage.addresses), route.device):
            return f"{hop.device} is gone"
        if hop.gateway and not hop.onlink and not _reached(hop.gateway, addresses, luggage, facts):
            return f"its gateway {hop.gateway} is on no network of the host any more"
    return None


def _reached(gateway: str, addresses: t.Iterable[Address], luggage: Luggage, facts: Facts) -> bool:
    there = ipaddress.ip_address(gateway)
    if there.is_link_local:
        return True
    networks = {each.address for each in addresses} | {f"{each.peer}/32" for each in addresses if each.peer}
    networks |= {
        each.destination for each in (*luggage.routes, *facts.routes.get(HOST, ()))
        if not each.gateway and not each.nexthops and each.destination != "default"
    }
    found = (ipaddress.ip_interface(each).network for each in networks)
    return any(each.version == there.version and there in each for each in found)
