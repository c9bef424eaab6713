# Copyright: pipework.containers contributors
# GNU General Public License v3.0+ (see LICENSE)
"""From shims and what the kernel shows to the objects that are wanted: above all, what moves from one interface to
another with all that hangs on it. Pure.

The new interface gets the addresses while the old one still has them, then the routes go over one by one, and only then
the old one loses its addresses: at no time is the host without an address or a route.
"""

from __future__ import annotations

import dataclasses
import ipaddress
import typing as t

from .._core.normalize import broadcast, family, stable_mac
from .._core.plan import Absent, Desired, KernelObject, State
from .._model.keys import link_key
from .._model.objects import HOST, OWNER_SHIM, PROTOCOL, Address, Device, Link, Route, default_metric
from .._model.observed import Facts
from .._model.route import ExactRoute
from .._model.sysctl import Sysctl
from .._routing.moved_rules import MovedRule, moved
from .._routing.routes_desired import Ground
from .options import MOVED, Site

ARP_IGNORE = "net.ipv4.conf.IFNAME.arp_ignore"
NOPREFIXROUTE = 0x200
SCOPE_LINK = 253
KERNEL, STATIC = 2, 4  # protocols of routes
LOCAL = 255  # table


@dataclasses.dataclass(frozen=True)
class LateSysctl(Sysctl):
    """One that is set when the mark that remembers its old value stands."""

    @property
    def order_kind(self) -> str:
        return "late_sysctl"


@dataclasses.dataclass
class Scene:
    """What is known of the host. ``moves``: from which interface to which. ``by_networkmanager``: of each shim, the
    routes that it makes for us."""

    facts: Facts
    ground: Ground
    rules: list[MovedRule]
    state: State
    moves: dict[str, str] = dataclasses.field(default_factory=dict)
    by_networkmanager: dict[str, set[str]] = dataclasses.field(default_factory=dict)

    def addresses(self, device: str) -> list[Address]:
        key = link_key(HOST, device)
        return [item for item in self.state.values() if isinstance(item, Address) and item.carrier == key]


def wanted(sites: t.Sequence[Site], scene: Scene) -> Desired:
    """All that is wanted of all shims. Raises PipeworkError."""
    found: list[KernelObject | Absent] = []
    for site in sites:
        if site.item.state == "absent":
            found += _absent(site, scene)
        else:
            found += _present(site, scene)
    for source, target in scene.moves.items():
        found += _moved_addresses(source, target, scene)
    found += _moved_routes(scene)
    found += moved(scene.rules, scene.moves)
    return {item.key: item for item in found}


def _present(site: Site, scene: Scene) -> t.Iterator[KernelObject | Absent]:
    parent, device = t.cast(Device, site.parent), site.device
    mac = site.item.mac_address or (stable_mac("shim", scene.facts.host_seed, site.name) if device is None else None)
    owner = OWNER_SHIM
    if site.moves:
        if not scene.addresses(parent.name) and not scene.addresses(site.name):
            raise site.item.refuse(
                f"addresses: {parent.name} has none that could move to {site.name}; for a shim with an address of its "
                "own say which, such as 192.168.1.250/32."
            )
        scene.moves[parent.name] = site.name
        old = _value(parent.name, scene)
        owner = str(device.owner) if device is not None and site.moved else f"{MOVED}{old}"
        # Or both answer who has the address, and the neighbours may send to the NIC what it hands to nobody.
        yield LateSysctl(HOST, parent.name, ARP_IGNORE, "1" if old == "0" else old)
    yield Link(HOST, parent.name, up=True)
    yield Link(
        HOST, site.name, type="macvlan", parent=parent.name, mac=mac, mtu=parent.mtu, up=True, owner=owner,
        settings={"mode": site.item.mode or "bridge"} if device is None or site.item.mode else None,
    )
    if not site.moves:
        theirs = {each.address.partition("/")[0] for each in scene.addresses(parent.name)}
        for each in site.item.addresses or ():
            if each.partition("/")[0] in theirs:
                raise site.item.refuse(
                    f"addresses: {each} is that of {parent.name}, which two interfaces cannot have; one of the shim's "
                    "own would be right, or no 'addresses', to move those of the NIC."
                )
        yield from _own(site, scene)


def _own(site: Site, scene: Scene) -> t.Iterator[KernelObject | Absent]:
    """The addresses of its own, and the routes to the containers."""
    listed = [Address(HOST, site.name, each, broadcast=broadcast(each)) for each in site.item.addresses or ()]
    routes: list[KernelObject] = []
    theirs = scene.by_networkmanager.get(site.name, ())
    mine = [
        route for route in scene.ground.routes if route.device == site.name
        and (route.protocol == PROTOCOL or (route.protocol == STATIC and route.destination in theirs))
    ]
    for prefix in site.item.routes:
        version = family(prefix)
        route = Route(
            HOST, version, prefix, metric=default_metric(version), device=site.name, protocol=PROTOCOL,
            scope=SCOPE_LINK if version == 4 else None,
        )
        _check_free(site, route, scene)
        protocol = next((each.protocol for each in mine if each.key == route.key), PROTOCOL)
        routes.append(ExactRoute.of(dataclasses.replace(route, protocol=protocol, type=1)))
    yield from listed
    yield from routes
    keys = {item.key for item in (*listed, *routes)}
    there: list[KernelObject] = [*scene.addresses(site.name), *mine]
    yield from (Absent(item.key) for item in there if item.key not in keys)


def _check_free(site: Site, route: Route, scene: Scene) -> None:
    for other in (*scene.ground.routes, *scene.ground.kernels):
        if other.device != site.name and dataclasses.replace(route, nth=other.nth).key == other.key:
            raise site.item.refuse(
                f"routes: the host has a route to {route.destination} already, through {other.device or 'others'}; "
                "list the part of it that the containers have, such as 192.168.1.192/27, or their addresses."
            )


def _absent(site: Site, scene: Scene) -> t.Iterator[KernelObject | Absent]:
    if site.device is None:
        return
    if site.moved and site.parent is not None:
        scene.moves[site.name] = site.parent.name
        old = str(site.device.owner)[len(MOVED):]
        if _value(site.parent.name, scene) == "1":
            yield LateSysctl(HOST, site.parent.name, ARP_IGNORE, old)
    yield Absent(link_key(HOST, site.name))


def _value(device: str, scene: Scene) -> str:
    found = scene.state.get(Sysctl(HOST, device, ARP_IGNORE).key)
    return str(found.value) if isinstance(found, Sysctl) else "0"


def _moved_addresses(source: str, target: str, scene: Scene) -> t.Iterator[KernelObject | Absent]:
    for address in scene.addresses(source):
        flags = address.flags or 0
        if _network(address) is not None and not _has_prefix_route(address, scene):
            flags |= NOPREFIXROUTE  # somebody else made that route, and it moves as it is
        yield dataclasses.replace(address, device=target, flags=flags or None)
        yield Absent(address.key)


def _network(address: Address) -> str | None:
    """Where the kernel leads a route by itself when an address comes; None where it does not."""
    length = address.address.partition("/")[2]
    if length == "32" and address.peer is None:
        return None
    return str(ipaddress.ip_interface(f"{address.peer or address.address.partition('/')[0]}/{length}").network)


def _has_prefix_route(address: Address, scene: Scene) -> bool:
    network, version = _network(address), family(address.address)
    return not (address.flags or 0) & NOPREFIXROUTE and any(
        (route.destination, route.device, route.metric) == (network, address.device, 256 if version == 6 else 0)
        for route in scene.ground.kernels
    )


def _moved_routes(scene: Scene) -> t.Iterator[KernelObject | Absent]:
    names = scene.moves
    alone = {
        (address.device, _network(address))
        for source in names for address in scene.addresses(source) if not _has_prefix_route(address, scene)
    }
    made = [
        route for route in scene.ground.kernels
        if route.protocol == KERNEL and route.table != LOCAL and route.type == 1
        and (route.device, route.destination) in alone
    ]
    for route in (*scene.ground.routes, *made):
        scene.state.setdefault(route.key, route)
        moved = _elsewhere(route, names)
        if moved is not None and _is_there(moved, scene):
            yield Absent(route.key)
        elif moved is not None:
            yield moved


def _elsewhere(route: Route, names: t.Mapping[str, str]) -> ExactRoute | None:
    """A route with all that went through what moves; None where nothing did."""
    hops = tuple(hop._replace(device=names.get(str(hop.device), hop.device)) for hop in route.nexthops or ())
    device = names.get(str(route.device), route.device)
    if device == route.device and hops == (route.nexthops or ()):
        return None
    ways = {(hop.gateway, hop.device): hop for hop in reversed(hops)}
    if len(ways) == 1 < len(hops):  # what had moved came back, and is one more way to the kernel
        return ExactRoute.of(dataclasses.replace(
            route, nexthops=None, gateway=hops[0].gateway, device=hops[0].device, onlink=hops[0].onlink or None,
        ))
    return ExactRoute.of(dataclasses.replace(route, device=device, nexthops=hops or None))


def _is_there(route: ExactRoute, scene: Scene) -> bool:
    """Whether it has moved before, and who sets up the other interface has made it there once more."""
    return any(
        dataclasses.replace(route, nth=other.nth).key == other.key and not route.differences(other)
        for other in (*scene.ground.routes, *scene.ground.kernels) if other.device == route.device
    )


def check_doubles(sites: t.Sequence[Site]) -> None:
    """Each shim once, and each NIC's addresses to one of them."""
    names: dict[str, Site] = {}
    parents: dict[str, Site] = {}
    for site in sites:
        if names.setdefault(site.name, site) is not site:
            raise site.item.refuse(f"name: {site.name} is listed twice.")
        if site.moves and site.parent is not None and parents.setdefault(site.parent.name, site) is not site:
            other = parents[site.parent.name].name
            raise site.item.refuse(f"parent: the addresses of {site.parent.name} move to {other} already.")
