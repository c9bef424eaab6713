# Copyright: pipework.containers contributors
# GNU General Public License v3.0+ (see LICENSE)
"""Routes and rules of attachments: a routing table of an interface's own, and what is listed. Pure.

What follows from ``table`` and ``gateway`` carries one protocol number, what is listed another: each is the whole set
of its interface where the option is given. A rule is an interface's if it leads to its table, or names the interface
or its address.
"""

from __future__ import annotations

import collections
import dataclasses
import ipaddress
import typing as t

from .._core.normalize import family, no_gateway, on_link
from .._core.plan import Absent, Key, State
from .._model import route_names as words
from .._model.objects import PROTOCOL, PROTOCOL_LISTED, TABLE_KEPT, TABLE_MAIN, TABLE_WAITING, Route, default_metric
from .._model.observed import Facts
from .._model.own_tables import MARKS, is_marked
from .._model.route import ExactRoute
from .._model.rule import Rule, made_by_kernel
from .._routing.route_options import NO_WAY, ours
from .._routing.routes_desired import reaches
from .._routing.rule_options import RuleItem
from .._routing.rules_desired import places
from . import dhcp6
from .context import Target, Wish
from .default_route import host_route
from .dhcp4 import grant_of, routes_of
from .options import Attachment
from .slaac import led_by_routers

LINK = words.SCOPES["link"]


@dataclasses.dataclass
class Site:
    """One interface of one namespace: what stands there of it, and what is wanted."""

    label: str
    interface: str
    routes: list[Route]  # of the namespace
    rules: list[Rule]
    addresses: set[str]  # without their length, those that go too
    table: int | None = None

    @property
    def tables(self) -> set[int]:
        found = {route.table for route in self.routes if is_marked(route) and route.device == self.interface}
        return found | ({self.table} if self.table not in (None, TABLE_MAIN) else set())

    def own_routes(self, protocol: int) -> list[Route]:
        tables = self.tables
        return [
            route for route in self.routes
            if route.protocol == protocol and route.table not in (TABLE_KEPT, TABLE_WAITING)
            and (route.device == self.interface or (route.device is None and route.table in tables))
        ]

    def own_rules(self, protocol: int) -> list[Rule]:
        return [rule for rule in self.rules if rule.protocol == protocol and self.has(rule)]

    def has(self, rule: Rule) -> bool:
        source = rule.source.partition("/")[0]
        return rule.table in self.tables or self.interface in (rule.iif, rule.oif) or source in self.addresses


def wish_routing(targets: t.Sequence[Target], facts: Facts, state: State, wish: Wish) -> None:
    """Adds to a wish what its attachments want of routes and rules. Raises PipeworkError for what cannot be."""
    state.update((rule.key, rule) for each in facts.rules.values() for rule in each)
    gone: dict[str, set[str]] = collections.defaultdict(set)
    for key, want in wish.desired.items():
        if isinstance(want, Absent) and key[0] == "link":
            gone[key[1]].add(key[2])
    items: dict[str, list[Attachment]] = collections.defaultdict(list)
    for target in targets:
        if target.label is not None and target.item.state == "present" and _speaks(target.item):
            items[target.label].append(target.item)
    for label in sorted({*gone, *items} & {*facts.devices}):
        for interface in sorted(gone[label]):
            _leave(_site(label, interface, facts), wish)
        listed: list[tuple[Attachment, RuleItem]] = []
        for item in sorted(items[label], key=lambda each: each.interface):
            site = _site(label, item.interface, facts, item)
            _refuse_shared(item, site, gone[label])
            routes = _routes(item, site, facts, state, wish)
            for route in routes.values():
                wish.want(route)
            listed += [(item, rule) for rule in _rules(item, site, _addresses(item, site, facts, state, wish))]
        if listed:
            _want_rules(listed, label, facts, wish)
        for item in items[label]:
            _clear(item, _site(label, item.interface, facts, item), wish)
    for key, want in wish.desired.items():
        if isinstance(want, ExactRoute) and key in state:
            state[key] = ExactRoute.of(t.cast(Route, state[key]))


def _speaks(item: Attachment) -> bool:
    return any(option is not None for option in (item.gateway, item.table, item.routes, item.rules))


def _site(label: str, interface: str, facts: Facts, item: Attachment | None = None) -> Site:
    have = {each.address for each in facts.addresses.get(label, ()) if each.device == interface}
    hosts = {address.partition("/")[0] for address in (*have, *((item.addresses if item else None) or ()))}
    return Site(
        label, interface, facts.routes.get(label, []), facts.rules.get(label, []), hosts, item.table if item else None,
    )


def _leave(site: Site, wish: Wish) -> None:
    """What is not taken away by the kernel together with the interface."""
    for protocol in MARKS:
        for rule in site.own_rules(protocol):
            wish.want(Absent(rule.key))
        for route in site.own_routes(protocol):
            if route.device is None:
                wish.want(Absent(route.key))


def _refuse_shared(item: Attachment, site: Site, gone: t.Collection[str]) -> None:
    if item.table is None:
        return
    for route in site.routes:
        foreign = is_marked(route) and route.device not in (None, item.interface, *gone)
        if foreign and route.table == item.table:
            raise item.refuse(
                f"table: {item.table} is the routing table of {route.device} in {site.label}; "
                "each interface needs one of its own."
            )


def _addresses(item: Attachment, site: Site, facts: Facts, state: State, wish: Wish) -> list[str]:
    """Those that the interface will have, also by leases and routers."""
    stay = [
        each.address for each in facts.addresses.get(site.label, ())
        if each.device == item.interface and not isinstance(wish.desired.get(each.key), Absent)
    ]
    grant, grant6 = grant_of(item, site.label, state), dhcp6.grant_of(item, site.label, state)
    leased = ([grant.address] if grant else []) + ([f"{grant6.address}/128"] if grant6 else [])
    return list(dict.fromkeys([*(item.addresses or ()), *stay, *leased]))


def _gateways(item: Attachment, site: Site, facts: Facts, state: State) -> list[str]:
    """Those of the interface's own table: what the attachment says, else what its lease and routers say."""
    found = list(item.gateway or ())
    grant = grant_of(item, site.label, state)
    if grant is not None and grant.gateway and (item.gateway is None or item.gateway_dhcp):
        found += [] if any(family(each) == 4 for each in found) else [grant.gateway]
    router = facts.routers.get((site.label, item.interface)) if led_by_routers(item) else None
    return found if router is None else [*found, router]


def _routes(item: Attachment, site: Site, facts: Facts, state: State, wish: Wish) -> dict[Key, ExactRoute]:
    addresses = _addresses(item, site, facts, state, wish)
    found: dict[Key, ExactRoute] = {}
    if item.table is not None:
        for route in _own_table(item, site.label, addresses, _gateways(item, site, facts, state)):
            found.setdefault(route.key, route)
        for route in _of_lease(item, site.label, addresses, state):
            found.setdefault(route.key, route)
    for each in item.routes or ():
        route = ours(each.route, site.label, PROTOCOL_LISTED)
        if route.key in found:
            raise each.refuse(f"destination: {each.title} is made already, by 'table' and 'gateway', or listed twice.")
        found[route.key] = route
        there = next((o for o in site.routes if o.key == route.key), None)
        also = wish.desired.get(route.key)
        if also is not None and not isinstance(also, Absent):
            raise each.refuse(f"destination: {each.title} is wanted by two attachments of {site.label}; leave one out.")
        if there is not None and route.differences(there) and there not in site.own_routes(PROTOCOL_LISTED):
            through = f" through {there.device}" if there.device else ""
            raise each.refuse(
                f"destination: another route to {each.title}{through} is there already (protocol {there.protocol}); "
                "give a metric or a table."
            )
    for each in item.routes or ():
        _check_way(item, each.route, addresses, list(found.values()), each.refuse)
    return found


def _own_table(
    item: Attachment, label: str, addresses: t.Sequence[str], gateways: t.Sequence[str],
) -> t.Iterator[ExactRoute]:
    """The networks of the interface and its gateways, in its own table."""
    table = t.cast(int, item.table)

    def route(version: int, destination: str, **more: t.Any) -> ExactRoute:
        return ExactRoute(
            label, version, destination, table=table, metric=default_metric(version), device=item.interface,
            protocol=PROTOCOL, type=words.TYPES["unicast"], **more,
        )

    for address in addresses:
        interface = ipaddress.ip_interface(address)
        if interface.network.prefixlen < interface.max_prefixlen:
            source = {"source": str(interface.ip), "scope": LINK} if interface.version == 4 else {}
            yield route(interface.version, str(interface.network), **source)
    for gateway in gateways:
        version = family(gateway)
        if not (on_link(gateway, tuple(addresses)) or ipaddress.ip_address(gateway).is_link_local):
            yield route(version, f"{gateway}/{32 if version == 4 else 128}", scope=LINK if version == 4 else None)
        yield route(version, "default", gateway=gateway, scope=0 if version == 4 else None)


def _of_lease(item: Attachment, label: str, addresses: t.Sequence[str], state: State) -> t.Iterator[ExactRoute]:
    """The routes that a server gives beside the default one, in the same table."""
    grant = grant_of(item, label, state)
    for route in routes_of(grant, label, item.interface) if grant is not None else ():
        ways = [route]
        if route.gateway and not on_link(route.gateway, tuple(addresses)):
            ways = [host_route(label, route.gateway, item.interface), route]
        for each in ways:
            yield ExactRoute.of(dataclasses.replace(
                each, table=t.cast(int, item.table), type=words.TYPES["unicast"]))


def _check_way(
    item: Attachment, route: ExactRoute, addresses: t.Sequence[str], also: t.Sequence[ExactRoute],
    refuse: t.Callable[[str], Exception],
) -> None:
    """That the gateways are on a network of the interface."""
    near = [other for other in also if other.device and not other.gateway and other.type not in NO_WAY]
    for gateway, onlink in [(hop.gateway, hop.onlink) for hop in route.nexthops or ()] + [
        (route.gateway, bool(route.onlink))
    ]:
        why = None if gateway is None else no_gateway(gateway, addresses)
        if why is not None:
            raise refuse(f"gateway: {why}")
        if gateway is None or onlink or gateway in (item.gateway or ()):
            continue
        if not on_link(gateway, tuple(addresses)) and not any(reaches(other, gateway) for other in near):
            nets = ", ".join(addresses) or "none"
            raise refuse(
                f"gateway: {gateway} is not on a network of {item.interface} (which has {nets}); "
                "'onlink: true' says that it is there all the same."
            )


# -- rules

def _rules(item: Attachment, site: Site, addresses: t.Sequence[str]) -> list[RuleItem]:
    """Those that are listed come first: they are the exceptions."""
    found = []
    for each in item.rules or ():
        if not site.has(each.rule):
            table = f"table ({item.table})" if item.table else "own table, if 'table' says which"
            raise each.refuse(
                f"table: a rule of {item.interface} leads to its {table}, or names it as iif or oif, or one of its "
                "addresses as source; else it could not be found again. pipework_rule makes any rule."
            )
        rule = dataclasses.replace(each.rule, protocol=each.rule.protocol or PROTOCOL_LISTED)
        found.append(dataclasses.replace(each, rule=rule))
    if item.table is not None:
        for address in sorted({address.partition("/")[0] for address in addresses}):
            version = family(address)
            rule = Rule(
                "", version, 0, PROTOCOL, source=f"{address}/{32 if version == 4 else 128}", table=item.table,
            )
            given = frozenset(("source", "table"))
            found.append(RuleItem(None, rule, given, where=f"{item.where}addresses: "))
    return found


def _want_rules(listed: t.Sequence[tuple[Attachment, RuleItem]], label: str, facts: Facts, wish: Wish) -> None:
    chosen = places([rule for _item, rule in listed], facts.rules.get(label, []), label)
    for rule in chosen.values():
        if not made_by_kernel(rule):
            wish.want(rule)


def _clear(item: Attachment, site: Site, wish: Wish) -> None:
    """What was made for the interface before and is not wanted any more. Options that are not given say nothing."""
    surplus: list[t.Any] = []
    if item.table is not None or item.gateway is not None:
        surplus += site.own_rules(PROTOCOL)
        surplus += [route for route in site.own_routes(PROTOCOL) if _given_up(item, route)]
    if item.routes is not None:
        surplus += site.own_routes(PROTOCOL_LISTED)
    if item.rules is not None:
        surplus += site.own_rules(PROTOCOL_LISTED)
    for each in surplus:
        if each.key not in wish.desired:
            wish.want(Absent(each.key))


def _given_up(item: Attachment, route: Route) -> bool:
    """The main table is seen to with the gateways. Without ``gateway``, the ways to it stay in the table."""
    if route.table == TABLE_MAIN:
        return False
    host = ipaddress.ip_network(route.destination).num_addresses == 1 if route.destination != "default" else True
    said = item.gateway is not None or (item.dhcp is not None if route.family == 4 else led_by_routers(item))
    return said or route.table != item.table or not host
