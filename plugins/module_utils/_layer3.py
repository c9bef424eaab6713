# Copyright: pipework.containers contributors
# GNU General Public License v3.0+ (see LICENSE)
"""The addresses and routes of one attachment's interface, which are the same for all kinds. Pure."""

from __future__ import annotations

import dataclasses
import typing as t

from ._attachment import Attachment, check_gateways
from ._dhcp_lease import Grant
from ._items import blaming
from ._keys import link_key
from ._leases import drops, grant_of, held, routes_of
from ._model import PROTOCOL, TABLE_KEPT, TABLE_MAIN, Address, Route, default_metric, default_route
from ._normalize import MTU_MIN_IPV6, broadcast, family, on_link
from ._plan import Absent, KernelObject, Key

if t.TYPE_CHECKING:
    from ._attach import Scene


def layer3(item: Attachment, label: str, scene: Scene) -> t.Iterator[KernelObject | Absent]:
    """What an attachment wants of its interface, and Absent for what it does not want any more."""
    found = [o for o in scene.carried[link_key(label, item.interface)] if isinstance(o, Address)]
    have = [address for address in found if address.valid is None]
    lent = [address for address in found if address.valid is not None and family(address.address) == 4]
    listed = item.addresses or ()
    wanted = {each: Address(label, item.interface, each, broadcast=broadcast(each)) for each in listed}
    grant = grant_of(item, label, scene.state)
    if grant is not None:
        wanted[grant.address] = Address(
            label, item.interface, grant.address, broadcast=broadcast(grant.address), valid=grant.left(scene.facts.now),
        )
    yield from wanted.values()
    given_back = drops(item) and held(label, item.interface, scene.state) is not None
    if grant is not None or given_back:
        yield from (Absent(address.key) for address in lent if address.address not in wanted)
    if item.addresses is not None and not item.append:
        yield from (Absent(address.key) for address in have if address.address not in wanted)
        have = []
    reachable = tuple(wanted) + tuple(address.address for address in have)
    with blaming(item.where):  # also with the addresses that are there already
        check_gateways(item, reachable)
    if item.table is not None:  # the gateways are there, see _source_routing
        for version in (4, 6) if item.gateway is not None else ():
            yield from default_back(label, item.interface, version, scene)
        yield from (Absent(way.key) for way in _ways(item, label, scene))
    elif item.gateway is not None:
        yield from _gateways(item, label, reachable, scene, grant)
    elif grant is not None or given_back:
        lease = (grant.gateway,) if grant is not None and grant.gateway else ()
        if scene.defaults.get(label, item.interface) != item.interface:
            yield from _way_back(lease, label, item.interface, reachable, scene)
            lease = ()
        yield from _gateways(dataclasses.replace(item, gateway=lease), label, reachable, scene, grant, (4,))


def without_lease(item: Attachment, label: str, scene: Scene) -> t.Iterator[KernelObject | Absent]:
    """What goes with a lease that was lost; what is static stays."""
    found = [o for o in scene.carried[link_key(label, item.interface)] if isinstance(o, Address)]
    lent = (each for each in found if each.valid is not None and family(each.address) == 4)
    yield from (Absent(address.key) for address in lent)
    if item.gateway is None:
        static = tuple(address.address for address in found if address.valid is None)
        yield from _gateways(dataclasses.replace(item, gateway=()), label, static, scene, None, (4,))
        yield from _back_alone(label, item.interface, scene)


def _ways(item: Attachment, label: str, scene: Scene) -> list[Route]:
    """The ways to gateways that the main table has."""
    found = _our_routes(label, item.interface, scene) if item.gateway is not None else []
    return [route for route in found if route.destination != "default"]


def _gateways(
    item: Attachment, label: str, addresses: tuple[str, ...], scene: Scene, grant: Grant | None,
    versions: tuple[int, ...] = (4, 6),
) -> t.Iterator[KernelObject | Absent]:
    wanted: dict[Key, KernelObject] = {}
    for route in routes_of(grant, label, item.interface) if grant is not None else ():
        wanted[route.key] = route
        if route.gateway and not on_link(route.gateway, addresses):
            way = _host_route(label, route.gateway, item.interface)
            wanted[way.key] = way
    for gateway in item.gateway or ():
        default = default_route(label, gateway, item.interface)
        wanted[default.key] = default
        if not on_link(gateway, addresses):
            way = _host_route(label, gateway, item.interface)
            wanted[way.key] = way
        replaced = scene.route(default)
        if replaced is None or replaced.device == item.interface:
            continue
        if replaced.protocol != PROTOCOL or scene.route(_kept(label, family(gateway))) is None:
            kept = dataclasses.replace(replaced, table=TABLE_KEPT)
            wanted[kept.key] = kept
    yield from wanted.values()
    for version in versions:
        if version not in {family(gateway) for gateway in item.gateway or ()}:
            yield from default_back(label, item.interface, version, scene)
    for route in _our_routes(label, item.interface, scene):
        if route.key not in wanted and route.destination != "default" and route.family in versions:
            yield Absent(route.key)


def _way_back(
    gateways: tuple[str, ...], label: str, device: str, addresses: tuple[str, ...], scene: Scene,
) -> t.Iterator[Route]:
    """To the router of a default route that is kept, to come back when the one in its place goes."""
    there = (scene.route(_kept(label, 4)), scene.route(Route(label, 4, "default", metric=default_metric(4))))
    for gateway in gateways:
        kept = any(route is not None and (route.device, route.gateway) == (device, gateway) for route in there)
        if kept and not on_link(gateway, addresses):
            yield _host_route(label, gateway, device)


def _host_route(label: str, gateway: str, device: str) -> Route:
    """The way to a gateway that no subnet of the interface holds."""
    version = family(gateway)
    return Route(
        label, version, f"{gateway}/{32 if version == 4 else 128}", metric=default_metric(version), device=device,
        scope=253 if version == 4 else None, protocol=PROTOCOL,
    )


def _our_routes(label: str, device: str, scene: Scene) -> list[Route]:
    found = (o for o in scene.carried[link_key(label, device)] if isinstance(o, Route))
    return [route for route in found if route.protocol == PROTOCOL and route.table == TABLE_MAIN]


def _kept(label: str, version: int) -> Route:
    return Route(label, version, "default", table=TABLE_KEPT, metric=default_metric(version))


def default_back(label: str, device: str, version: int, scene: Scene) -> t.Iterator[KernelObject | Absent]:
    """Where our default route goes, the one that it replaced comes back."""
    default = Route(label, version, "default", metric=default_metric(version))
    ours = scene.route(default)
    kept = scene.route(_kept(label, version))
    if ours is None or ours.device != device or ours.protocol != PROTOCOL:
        if ours is not None and ours.protocol != PROTOCOL and kept is not None:
            yield Absent(kept.key)  # a run was killed between the two
        return
    if kept is not None and kept.device not in (None, device):
        yield dataclasses.replace(kept, table=TABLE_MAIN)
        yield Absent(kept.key)
    else:
        yield Absent(default.key)


def _back_alone(label: str, device: str, scene: Scene) -> t.Iterator[KernelObject | Absent]:
    """The same where the kernel has taken ours away with its last address."""
    kept = scene.route(_kept(label, 4))
    there = scene.route(Route(label, 4, "default", metric=default_metric(4)))
    if there is None and kept is not None and kept.device not in (None, device):
        yield dataclasses.replace(kept, table=TABLE_MAIN)
        yield Absent(kept.key)


def check_ipv6(item: Attachment, label: str, scene: Scene) -> None:
    """The kernel drops all IPv6 addresses of an interface whose MTU becomes too small for them."""
    if item.mtu is None or item.mtu >= MTU_MIN_IPV6:
        return
    for address in scene.carried[link_key(label, item.interface)]:
        if isinstance(address, Address) and family(address.address) == 6:
            raise item.refuse(
                f"mtu: {item.mtu} is too small for IPv6, which needs at least {MTU_MIN_IPV6}, and {item.interface} has "
                f"the address {address.address}; remove that one first."
            )
