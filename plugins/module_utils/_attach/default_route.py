# Copyright: pipework.containers contributors
# GNU General Public License v3.0+ (see LICENSE)
"""The default routes of containers, after all that the attachments of a run say of them. Pure.

_routing/default_route_owner decides who has one. Here are the claims: of options, of leases, of interfaces that go;
and the ways to gateways.
"""
from __future__ import annotations

import collections
import dataclasses
import ipaddress
import typing as t

from .._core.normalize import family, on_link
from .._core.plan import Absent, Key
from .._model.keys import link_key
from .._model.objects import PROTOCOL, TABLE_MAIN, TABLE_WAITING, Address, Link, Route, default_metric, default_route
from .._routing.default_route_owner import Claim, Seat, changes, is_ours, settle
from .context import Scene, Target, Wish
from .dhcp4 import drops, grant_of, held
from .options import Attachment

SEATED = (TABLE_MAIN, TABLE_WAITING)
Listed = t.Sequence[tuple[str, Attachment]]  # with the labels of their containers


def listed(targets: t.Iterable[Target]) -> list[tuple[str, Attachment]]:
    """The attachments of containers that are there, with their labels."""
    return [(target.label, target.item) for target in targets if target.label is not None]


def wish_defaults(items: Listed, scene: Scene, wish: Wish, lost: t.Collection[Key] = ()) -> None:
    """Adds what is wanted of default routes, when all else of a run is known. ``lost``: whose leases have ended."""
    by_label: dict[str, list[Attachment]] = collections.defaultdict(list)
    for label, item in items:
        if item.state == "present":
            by_label[label].append(item)
    gone: dict[str, set[str]] = collections.defaultdict(set)
    for key, want in wish.desired.items():
        if isinstance(want, Absent) and key[0] == "link" and key in scene.state:
            gone[key[1]].add(key[2])
    routes: dict[str, list[Route]] = collections.defaultdict(list)
    for route in scene.state.values():
        if isinstance(route, Route) and (route.ns in by_label or route.ns in gone):
            routes[route.ns].append(route)
    coming: dict[Key, list[str]] = collections.defaultdict(list)
    for want in wish.desired.values():
        if isinstance(want, Address) and want.ns in by_label:
            coming[link_key(want.ns, want.device)].append(want.address)
    for label in sorted({*by_label, *gone}):
        ground = Ground(label, routes[label], gone[label], scene, wish, coming)
        _give_up_stranded(ground)
        for version in (4, 6):
            _of_family(version, by_label[label], ground, lost)


@dataclasses.dataclass
class Ground:
    """One container: its routes, the interfaces that go, and which addresses the others will have."""

    label: str
    routes: list[Route]
    gone: set[str]
    scene: Scene
    wish: Wish
    coming: t.Mapping[Key, list[str]]

    def addresses(self, interface: str, version: int) -> tuple[str, ...]:
        key = link_key(self.label, interface)
        stay = [
            each.address for each in self.scene.carried[key]
            if isinstance(each, Address) and not isinstance(self.wish.desired.get(each.key), Absent)
        ]
        return tuple(each for each in dict.fromkeys([*stay, *self.coming.get(key, ())]) if family(each) == version)

    def ours(self, interface: str, version: int) -> list[Route]:
        """Those of the main table that follow from ``gateway`` or a lease."""
        return [
            route for route in self.routes
            if route.protocol == PROTOCOL and route.table == TABLE_MAIN
            and (route.device, route.family) == (interface, version)
        ]

    def way(self, gateway: str, interface: str) -> Route | None:
        """To a gateway that no subnet of the interface holds."""
        version = family(gateway)
        if on_link(gateway, self.addresses(interface, version)):
            return None
        return host_route(self.label, gateway, interface)

    def reaches(self, route: Route) -> bool:
        """Whether a default route of ours that is there can stay, as far as its interface goes."""
        interface, gateway = str(route.device), route.gateway
        addresses = self.addresses(interface, route.family)
        if gateway is None or on_link(gateway, addresses):
            return True
        way = host_route(self.label, gateway, interface).key
        return bool(addresses) and way in self.scene.state and not isinstance(self.wish.desired.get(way), Absent)


def host_route(label: str, gateway: str, device: str) -> Route:
    """The way to a gateway that no subnet of the interface holds."""
    version = family(gateway)
    return Route(
        label, version, f"{gateway}/{32 if version == 4 else 128}", metric=default_metric(version), device=device,
        scope=253 if version == 4 else None, protocol=PROTOCOL,
    )


def _of_family(version: int, items: t.Sequence[Attachment], ground: Ground, lost: t.Collection[Key]) -> None:
    label, wish = ground.label, ground.wish
    claims: list[Claim] = []
    for item in items:
        gateway, asks = _said(item, label, version, ground.scene, lost)
        asked = gateway != SILENT or version == 4 and item.dhcp is not None and item.gateway_metric is not None
        if gateway is not None and item.gateway_metric is not None and asked:
            _beside(item, version, gateway, ground)
            gateway = None if gateway else SILENT
        if gateway == SILENT:
            continue
        claims.append(Claim(item.interface, gateway, asks))
    seat = Seat.of(label, version, ground.routes)
    touched = {item.interface for item in items} - {claim.interface for claim in claims}
    cut_off = [
        route for route in (seat.owner, *seat.stack)
        if route is not None and is_ours(route) and route.device in touched and not ground.reaches(route)
    ]
    beside = [
        route for interface in sorted(touched) for route in ground.ours(interface, version)
        if route.destination == "default" and route.metric != default_metric(version) and not ground.reaches(route)
    ]
    if not (claims or ground.gone or cut_off or beside):
        return
    now, told, news = settle(seat, claims, lambda route: route.device in ground.gone or route in cut_off, ground.gone)
    wish.want_all(Absent(route.key) for route in beside)
    for route in [*cut_off, *beside]:
        wish.news.append(_cut_off(route, now, ground))
    wish.news += news
    wish.told += told
    wish.want_all(changes(seat, now, ground.gone))
    for claim in claims:
        has = now.of_device(claim.interface)
        way = ground.way(str(has.gateway), claim.interface) if has is not None else None
        if way is not None:
            wish.want(way)
    for interface in [claim.interface for claim in claims] + [str(route.device) for route in (*cut_off, *beside)]:
        for route in ground.ours(interface, version):
            if route.key not in wish.desired and (seat.owner is None or route.key != seat.owner.key):
                wish.want(Absent(route.key))


SILENT = ""  # nothing is said, and all stays as it is


def _said(
    item: Attachment, label: str, version: int, scene: Scene, lost: t.Collection[Key],
) -> tuple[str | None, bool]:
    """The gateway that an attachment wants in the main table, and whether it asks for it or only takes what is free."""
    if item.table is not None:
        return (SILENT if item.gateway is None and not (version == 4 and item.dhcp) else None), True
    grant = grant_of(item, label, scene.state) if version == 4 else None
    ended = link_key(label, item.interface) in lost
    if item.gateway is not None:
        static = next((gateway for gateway in item.gateway if family(gateway) == version), None)
        if static is not None or version == 6 or not item.gateway_dhcp:
            return static, True
        return (grant.gateway if grant is not None else None if ended else SILENT), True
    if version == 6:
        return SILENT, False
    if grant is not None:
        return grant.gateway, False
    given_back = drops(item) and held(label, item.interface, scene.state) is not None
    return (None if ended or given_back else SILENT), False


def _beside(item: Attachment, version: int, gateway: str, ground: Ground) -> None:
    """One of several default routes of the container. Its place is free before a lease says its gateway, too."""
    metric, label, wish = t.cast(int, item.gateway_metric), ground.label, ground.wish
    key = Route(label, version, "default", metric=metric).key
    want, have = wish.desired.get(key), ground.scene.state.get(key)
    other = have if want is None else want
    if isinstance(other, Route) and other.device not in (item.interface, *ground.gone):
        raise item.refuse(
            f"gateway_metric: {label} has a default route with metric {metric} already, through "
            f"{other.device or 'several ways'}; choose another one."
        )
    if gateway != SILENT:
        route = default_route(label, gateway, item.interface)
        wish.want(dataclasses.replace(route, metric=metric, preference=None))
        way = ground.way(gateway, item.interface)
        if way is not None:
            wish.want(way)


def _give_up_stranded(ground: Ground) -> None:
    """Routes through interfaces that are made anew, with gateways or sources that those do not have any more."""
    desired, state = ground.wish.desired, ground.scene.state
    anew: dict[str, list[Route]] = collections.defaultdict(list)
    for route in ground.routes:
        link, have = (desired.get(route.carrier), state.get(route.carrier)) if route.carrier else (None, None)
        if isinstance(link, Link) and have is not None and link.must_replace(have) and route.key not in desired:
            anew[link.ifname].append(route)
    for interface, routes in anew.items():
        addresses = {version: ground.addresses(interface, version) for version in (4, 6)}
        hosts = {each.partition("/")[0] for version in (4, 6) for each in addresses[version]}
        old = {each.address.partition("/")[0] for each in ground.scene.carried[link_key(ground.label, interface)]
               if isinstance(each, Address)} - hosts
        without_source = [route for route in routes if route.source in old]
        near = [each for each in routes if each.gateway is None and each not in without_source]
        for route in routes:
            seat = is_ours(route) and route.destination == "default" and route.table in SEATED
            nets, gateway = addresses[route.family], route.gateway
            near_by = gateway is None or on_link(gateway, nets) or bool(route.onlink) or bool(
                nets and [each for each in near if _holds(each, gateway)])
            if seat or near_by and route not in without_source:
                continue
            ground.wish.want(Absent(route.key))
            words = f"via {gateway}" if gateway else f"from {route.source}"
            ground.wish.news.append(
                f"interface: {route.ns}/{interface}: the route to {route.name} {words} is given up: the "
                f"interface is made anew and no more in its network (its addresses are {', '.join(nets) or 'none'})."
            )


def _holds(route: Route, gateway: str) -> bool:
    if route.destination == "default" or route.family != family(gateway):
        return False
    return ipaddress.ip_address(gateway) in ipaddress.ip_network(route.destination)


def _cut_off(route: Route, now: Seat, ground: Ground) -> str:
    nets = ", ".join(ground.addresses(str(route.device), route.family)) or "none"
    owner = now.owner
    goes = f"goes through {owner.device or 'several ways'} now" if owner is not None else "is gone"
    return (
        f"gateway: {route.ns}/{route.device}: {route.gateway} cannot be reached from its addresses any more (which are "
        f"{nets}), so its default route is given up; that of {route.ns} {goes}. 'gateway' names another one."
    )
