# Copyright: pipework.containers contributors
# GNU General Public License v3.0+ (see LICENSE)
"""From listed routes and what the kernel shows to the routes that are wanted, and those that are not. Pure."""

from __future__ import annotations

import collections
import dataclasses
import ipaddress
import typing as t

from .._core.plan import Absent, KernelObject, Key
from .._model import route_names as words
from .._model.layer3 import (
    PROTOCOL,
    PROTOCOL_LISTED,
    PROTOCOL_ROUTE,
    TABLE_KEPT,
    TABLE_MAIN,
    TABLE_WAITING,
    Address,
    Hop,
    Route,
    default_metric,
)
from .._model.route import ExactRoute
from .default_route_owner import Seat
from .route_options import NO_WAY, RouteItem, ours

ATTACHED = (PROTOCOL, PROTOCOL_LISTED)
LOCAL, BROADCAST = words.TYPES["local"], words.TYPES["broadcast"]
Wanted = t.Union[KernelObject, Absent]


@dataclasses.dataclass
class Ground:
    """The routes of one namespace, and its devices. ``kernels``: what it made by itself, which is never touched."""

    label: str
    devices: t.Collection[str]
    routes: list[ExactRoute]
    kernels: list[ExactRoute]
    coming: list[ExactRoute] = dataclasses.field(default_factory=list)  # that the kernel will make
    seats: tuple[Seat, ...] = ()  # who has the default routes
    tentative: t.Collection[str] = ()  # addresses of IPv6 that the kernel does not go by yet

    def with_coming(self, wanted: t.Iterable[Wanted]) -> Ground:
        """With what the same run makes: interfaces and addresses."""
        devices, coming = set(self.devices), list(self.coming)
        for each in wanted:
            if isinstance(each, KernelObject) and each.KIND == "link" and each.ns == self.label:
                devices.add(each.name)
            elif isinstance(each, Address) and each.ns == self.label:
                interface = ipaddress.ip_interface(each.address)
                network, place = interface.network, (self.label, interface.version)
                coming.append(ExactRoute(*place, str(network), device=each.device))
                coming.append(ExactRoute(*place, str(ipaddress.ip_network(interface.ip)), type=LOCAL))
                if each.broadcast:
                    coming.append(ExactRoute(*place, f"{each.broadcast}/32", device=each.device, type=BROADCAST))
            elif isinstance(each, Route) and each.ns == self.label:
                coming.append(ExactRoute.of(each))
        return dataclasses.replace(self, devices=devices, coming=coming)

    @classmethod
    def of(cls, label: str, devices: t.Collection[str], routes: t.Iterable[Route]) -> Ground:
        every = [ExactRoute.of(route) for route in routes if route.table not in (TABLE_KEPT, TABLE_WAITING)]
        kernels = [route for route in every if route.protocol in words.OF_THE_KERNEL]
        made = [route for route in every if route.protocol not in words.OF_THE_KERNEL]
        there = collections.Counter(_spot(route) for route in made)
        count: collections.Counter[t.Any] = collections.Counter()
        numbered = []
        for route in made:  # anew, since the kernel's own do not count
            spot = _spot(route)
            count[spot] += 1
            numbered.append(dataclasses.replace(route, nth=count[spot] if there[spot] > 1 else 0))
        return cls(label, devices, numbered, kernels)


def wanted_routes(items: t.Sequence[RouteItem], ground: Ground) -> t.Iterator[Wanted]:
    """What the items of one namespace want. Raises PipeworkError for what cannot be."""
    present = [item for item in items if item.state == "present"]
    seen: dict[Key, RouteItem] = {}
    for item in present:
        key = dataclasses.replace(item.route, ns=ground.label).key
        if item.verb in ("append", "prepend"):
            continue
        other = seen.setdefault(key, item)
        if other is not item:
            raise item.refuse(
                f"destination: {item.title} is listed twice (also in {other.where.rstrip(': ')}); "
                "one of them needs another metric or table, or both are one with nexthops."
            )
    for item in items:
        if item.state == "absent":
            for route in going(item, ground):
                if route.key not in seen:
                    yield Absent(route.key)
    for item in present:
        check_way(item, ground, [other.route for other in present])
        found = place(item, ground)
        if found.protocol not in words.OF_THE_KERNEL:
            yield found


def place(item: RouteItem, ground: Ground) -> ExactRoute:
    """The object that an item wants: one that stands already, changed or not, or a new one."""
    want = dataclasses.replace(item.route, ns=ground.label)
    there = [route for route in ground.routes if _spot(route) == _spot(want)]
    for route in there:
        if not want.differences(route):
            return route
    if item.verb in ("append", "prepend") and there:
        return _beside(item, want, there)
    if item.verb == "change" and not there:
        raise item.refuse(f"cmd: {item.title}: No such file or directory: no such route is there to be changed.")
    if item.verb == "add" and there and not _carried_out(item, there[0]):
        raise item.refuse(
            f"cmd: {item.title}: File exists: another route stands in its place ({sentence(there[0])}); "
            "'replace' takes its place."
        )
    for route in ground.kernels:
        if _spot(route) != _spot(want):
            continue
        if not want.differences(route):
            return route
        if want.family == 4 and not there:
            raise item.refuse(
                f"destination: in the place of {item.title} stands a route that the kernel made by itself "
                f"({sentence(route)}); choose another metric or table."
            )
    if there and there[0].protocol in ATTACHED and not _carried_out(item, there[0]):
        raise item.refuse(
            f"destination: {item.title} belongs to an attachment ({sentence(there[0])}); change it with "
            "pipework_attach, or choose another metric or table."
        )
    want = ours(want, ground.label)
    return dataclasses.replace(want, nth=there[0].nth) if there else want


def _carried_out(item: RouteItem, route: Route) -> bool:
    """A line about a default route that an attachment has is carried out, see displaced_default."""
    return bool(item.verb) and route.protocol == PROTOCOL and route.destination == "default" and \
        route.table == TABLE_MAIN and route.metric == default_metric(route.family)


def _beside(item: RouteItem, want: ExactRoute, there: list[ExactRoute]) -> ExactRoute:
    """One more route in the same place. In IPv6 the ways of such routes are those of one."""
    if want.family == 6 and want.gateway and there[0].type == want.type and (there[0].gateway or there[0].nexthops):
        first = there[0]
        hops = first.nexthops or (Hop(first.gateway, first.device, 1, bool(first.onlink), first.encap),)
        new = Hop(want.gateway, want.device, 1, bool(want.onlink), want.encap)
        if any(new == (hop if new.device else hop._replace(device=None)) for hop in hops):
            return first
        return dataclasses.replace(first, gateway=None, device=None, onlink=None, encap=None, nexthops=(*hops, new))
    if there[0].protocol in ATTACHED:
        raise item.refuse(f"cmd: {item.title} belongs to an attachment ({sentence(there[0])}).")
    number = len(there) + 1 if item.verb == "append" else -1
    return dataclasses.replace(ours(want, want.ns), nth=number)


def _spot(route: Route) -> tuple[t.Any, ...]:
    return (route.family, route.table, route.destination, route.metric, route.origin, route.tos)


def going(item: RouteItem, ground: Ground) -> list[ExactRoute]:
    """The routes that an absent item means. It is never guessed which one of others' routes that is."""
    found = [route for route in ground.routes if item.matches(route)]
    _refuse_kernels(item, found, ground)
    if item.verb == "flush":
        return [route for route in found if route.protocol not in ATTACHED]
    foreign = [route for route in found if route.protocol != PROTOCOL_ROUTE]
    if len(found) > 1 and foreign and "protocol" not in item.given:
        listed = "; ".join(f"{route.name}: {sentence(route)}" for route in found)
        raise item.refuse(
            f"destination: {len(found)} routes fit, not all of which were made here ({listed}); "
            "say which by metric, gateway, device or protocol."
        )
    attached = next((route for route in found if route.protocol in ATTACHED and not _carried_out(item, route)), None)
    if attached is not None:
        raise item.refuse(
            f"destination: {attached.name} belongs to an attachment ({sentence(attached)}); "
            "pipework_attach takes it away."
        )
    return found


def _refuse_kernels(item: RouteItem, found: t.Sequence[ExactRoute], ground: Ground) -> None:
    """A command that is to take away what the kernel made by itself does not get an ok for leaving it."""
    made = (*ground.kernels, *(route for route in ground.coming if route.protocol is route.type is None))
    kernels = [route for route in made if item.matches(route)]
    if kernels and (item.verb == "flush" or not found):
        what = "; ".join(f"{route.destination}: {sentence(route)}" for route in kernels[:3])
        what += ", …" if len(kernels) > 3 else ""
        option, thing = ("cmd", "command") if item.verb else ("destination", "item")
        raise item.refuse(
            f"{option}: the kernel made this by itself ({what}), for an address or by a router's word; it goes with "
            "that, and is left alone here. "
            + ("'flush table T proto P' takes others." if item.verb == "flush" else f"Leave the {thing} out.")
        )


def purged(
    items: t.Sequence[RouteItem], ground: Ground, tables: t.Collection[int] | None, protocol: int
) -> list[Absent]:
    """Those of these tables, or of all, and this protocol that nobody listed."""
    stay = {place(item, ground).key for item in items if item.state == "present"}
    return [
        Absent(route.key) for route in ground.routes
        if (tables is None or route.table in tables) and route.protocol == protocol and route.key not in stay
    ]


def check_way(item: RouteItem, ground: Ground, also: t.Sequence[Route] = ()) -> None:
    """That devices are there and gateways can be reached, before anything is touched."""
    route = item.route
    _check_source(item, ground)
    ways = route.nexthops or (Hop(route.gateway, route.device, onlink=bool(route.onlink)),)
    near = [each for each in (*ground.routes, *ground.kernels, *ground.coming, *also) if _leads_to_a_link(each)]
    for gateway, device, _weight, onlink, _encap in ways:
        if device is not None and device != "lo" and device not in ground.devices:
            known = ", ".join(sorted(ground.devices)) or "none"
            raise item.refuse(
                f"device: {device} does not exist in {ground.label} (which has {known}); "
                "pipework_attach makes interfaces."
            )
        _check_gateway(item, ground, gateway, device)
        if gateway is None or onlink or ipaddress.ip_address(gateway).is_link_local:
            continue
        if not any(reaches(each, gateway) and device in (None, each.device) for each in near):
            through = f" through {device}" if device else ""
            nets = ", ".join(sorted({f"{r.destination} on {r.device}" for r in near if _shown(r, gateway)})) or "none"
            raise item.refuse(
                f"gateway: {gateway} is not on a network of {ground.label}{through} (which has {nets}); attach it "
                "there first with pipework_attach, or say 'device' and 'onlink: true'."
            )


def _check_gateway(item: RouteItem, ground: Ground, gateway: str | None, device: str | None) -> None:
    """What the kernel keeps for itself is no router: its own addresses, and those that mean all on a network."""
    if gateway is None:
        return
    for each in (*ground.kernels, *ground.coming):
        if each.type == LOCAL and reaches(each, gateway):
            raise item.refuse(
                f"gateway: {gateway} is an address of {ground.label} itself; that of another machine would be right."
            )
        if each.type == BROADCAST and reaches(each, gateway) and device in (None, each.device):
            raise item.refuse(
                f"gateway: {gateway} is a broadcast address of {each.device}; that of a router would be right."
            )


def _check_source(item: RouteItem, ground: Ground) -> None:
    """The kernel takes only an address of the namespace for what packets are sent from."""
    source = item.route.source
    if source is None or source in ground.tentative:
        return
    local = [each for each in (*ground.kernels, *ground.coming, *ground.routes, item.route) if each.type == LOCAL]
    if any(reaches(each, source) for each in local):
        return
    mine = [each.destination.partition("/") for each in local if each.family == item.route.family]
    there = ", ".join(sorted({host for host, _slash, length in mine if length in ("32", "128")})) or "none"
    raise item.refuse(
        f"source: {source} is not an address of {ground.label} (which has {there}); pipework_attach gives addresses."
    )


def _shown(route: Route, gateway: str) -> bool:
    return words.version_of(gateway) == route.family and route.destination not in ("default", "fe80::/64", "ff00::/8")


def _leads_to_a_link(route: Route) -> bool:
    direct = not route.gateway and not route.nexthops and route.device is not None
    return direct and route.type in (None, words.TYPES["unicast"]) and route.device != "lo"


def reaches(route: Route, gateway: str) -> bool:
    """Whether a gateway lies in a route's destination."""
    if words.version_of(gateway) != route.family:
        return False
    return route.destination == "default" or ipaddress.ip_address(gateway) in ipaddress.ip_network(route.destination)


def sentence(route: ExactRoute) -> str:
    """A route in few words."""
    said = route.public()
    parts = [f"via {said['gateway']}"] if said.get("gateway") else []
    parts += [f"dev {said['device']}"] if said.get("device") else []
    parts += [str(said["type"])] if route.type in NO_WAY else []
    parts += ["nexthops"] if said.get("nexthops") else []
    return " ".join([*parts, f"protocol {said.get('protocol', 'unspec')}"])
