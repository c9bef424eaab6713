# Copyright: pipework.containers contributors
# GNU General Public License v3.0+ (see LICENSE)
"""What a route shall be: the options of pipework_route, checked, and the object that is wanted. Pure.

A listed route is described as a whole: what its options do not say is as the kernel has it by itself. Only the device
of a gateway and the protocol are left open where they are not given.
"""

from __future__ import annotations

import dataclasses
import ipaddress
import typing as t

from .._core import normalize as norm
from .._core.errors import PipeworkError
from .._core.items import Item, Params, blaming, container_of
from .._grammar.cmd_option import said
from .._model import encap as model_encap
from .._model import route_names as words
from .._model.layer3 import PROTOCOL_ROUTE, Hop, Route, default_metric
from .._model.route import ExactRoute, same_hops

NO_WAY = (6, 7, 8, 9)
TOP_METRICS = ("mtu", "advmss")


def parse_command(words: object) -> t.Any:
    """A line of ip route, as the options that it means. Raises PipeworkError."""
    from .._grammar import ip_route  # which few runs need

    return ip_route.parse(words)


@dataclasses.dataclass(frozen=True)
class RouteItem(Item):
    """One item of ``routes``. ``given``: the fields that the options name, which is all that absent goes by."""

    container: str | None
    route: ExactRoute
    given: frozenset[str]
    runtime: str = "auto"
    runtime_user: str | None = None
    missing: str = "fail"  # or skip: what to do where the container is not there
    state: str = "present"
    where: str = ""  # how an error names the item
    verb: str = ""  # of a command line: add, append, prepend, change, replace, del, flush

    @property
    def title(self) -> str:
        return self.route.name

    @classmethod
    def from_params(cls, params: Params, where: str, names: words.Names, ns: bool = True) -> RouteItem:
        """Checks one item's options; raises PipeworkError. Without ``ns``: it is part of something with a container."""
        with blaming(where):
            verb, params = said(params, parse_command, ("table", "protocol"))
            state = params.get("state") or "present"
            if verb == "flush":
                params = {"destination": "default", **params}
            route, given = _route(params, names, state)
            place = t.cast("dict[str, t.Any]", container_of(params) if ns else {"container": None})
            return cls(route=route, given=given, state=state, where=where, verb=verb, **place)

    def matches(self, route: Route) -> bool:
        """Whether absent means this route."""
        want = self.route
        if self.verb == "flush":
            marked = "protocol" not in self.given or route.protocol == want.protocol
            return marked and (route.family, route.table) == (want.family, want.table)
        if (route.family, route.destination, route.table) != (want.family, want.destination, want.table):
            return False
        have, mine = ExactRoute.of(route).whole(), want.whole()
        for field in self.given:
            if field == "nexthops":
                if not same_hops(want.nexthops or (), route.nexthops or ()):
                    return False
            elif field == "metrics":
                if not set(mine["metrics"]) <= set(have["metrics"]):
                    return False
            elif field in ("metric", "origin", "tos"):
                if getattr(route, field) != getattr(want, field):
                    return False
            elif field in mine and have[field] != mine[field]:
                return False
        return True


def _route(params: Params, names: words.Names, state: str) -> tuple[ExactRoute, frozenset[str]]:
    def value(name: str) -> t.Any:
        found = params.get(name)
        return None if found in (None, "") else found

    if value("destination") is None:
        raise PipeworkError("destination: say where to: a prefix such as 10.0.0.0/8, an address, or 'default'.")
    version = _family(params)
    kind = words.word(value("type") or "unicast", words.TYPES, "type")
    options = {**{name: value(name) for name in TOP_METRICS}, **(value("metrics") or {})}
    metric = None if value("metric") is None else words.number(value("metric"), "metric")
    listed = enumerate(value("nexthops") or ())
    hops: tuple[Hop, ...] = tuple(_hop(hop, f"nexthops[{at}].", version) for at, hop in listed)
    gateway = _gateway(value("gateway"), "gateway", version)
    encap = model_encap.from_option(value("encap"))
    onlink = bool(params.get("onlink")) or None
    device = None if value("device") is None else _device(value("device"), "device")
    if hops:
        for option in ("gateway", "device", "onlink", "encap"):
            if value(option):
                raise PipeworkError(f"{option}: stands beside nexthops; each of these has its own.")
        if len(hops) == 1:  # which the kernel takes for a plain one
            gateway, device, _weight, onlink_, encap = hops[0]
            onlink, hops = onlink_ or None, ()
    route = ExactRoute(
        ns="", family=version, destination=words.prefix(value("destination"), "destination", version),
        table=words.usual_table(kind) if value("table") is None else names.table(value("table")),
        metric=metric or default_metric(version), gateway=gateway, device=device,
        scope=_scope(value("scope"), version, kind, bool(gateway or hops)),
        onlink=onlink, protocol=None if value("protocol") is None else names.protocol(value("protocol")), type=kind,
        source=None if value("source") is None else _source(value("source"), version),
        metrics=words.metrics(options, version) or None,
        preference=_preference(value("preference"), version), nexthops=hops or None, encap=encap,
        origin=_origin(value("source_prefix"), version),
        tos=0 if value("tos") is None else words.number(value("tos"), "tos", 255),
    )
    if state == "present":
        _check(route)
    fields = {"source_prefix": "origin", "mtu": "metrics", "advmss": "metrics"}
    given = {fields.get(name, name) for name in params if value(name) is not None}
    if route.gateway and "nexthops" in given:
        given = given - {"nexthops"} | {"gateway"}
    return route, frozenset(given)


def _family(params: Params) -> int:
    """As ip decides: by what is written, else IPv4."""
    if params.get("family"):
        return words.word(params["family"], words.FAMILIES, "family")
    destination = str(params["destination"])
    if any(c in destination for c in ".:/") or destination.isdigit():
        return words.version_of(destination)
    for name in ("gateway", "source", "source_prefix"):
        if params.get(name):
            return words.version_of(str(params[name]))
    first = next(iter(params.get("nexthops") or ()), None) or {}
    return words.version_of(str(first.get("gateway") or ""))


def _device(value: t.Any, option: str) -> str:
    return "lo" if str(value) == "lo" else norm.interface_name(value, option)


def _gateway(value: t.Any, option: str, version: int) -> str | None:
    if value is None:
        return None
    gateway = norm.gateway(value, option)
    if version == 6 and norm.family(gateway) == 4:
        raise PipeworkError(f"{option}: {gateway} is of IPv4; an IPv6 route needs a gateway of IPv6.")
    return gateway


def _hop(options: Params, option: str, version: int) -> Hop:
    gateway = _gateway(options.get("gateway"), f"{option}gateway", version)
    device = None if not options.get("device") else _device(options["device"], f"{option}device")
    if gateway is None and device is None:
        raise PipeworkError(f"{option.rstrip('.')}: needs a gateway or a device.")
    weight = words.number(options.get("weight") or 1, f"{option}weight", 256, 1)
    return Hop(gateway, device, weight, bool(options.get("onlink")), model_encap.from_option(options.get("encap")))


def _scope(value: t.Any, version: int, kind: int, has_gateway: bool) -> int | None:
    """What ip chooses where nothing is said. IPv6 has no scopes."""
    if version == 6:
        return None
    if value is not None:
        return words.scope(value)
    if words.TYPES["local"] == kind:
        return words.SCOPES["host"]
    link = kind in (words.TYPES["broadcast"], words.TYPES["multicast"])
    plain = kind == words.TYPES["unicast"] and not has_gateway
    return words.SCOPES["link"] if link or plain else words.SCOPES["global"]


def _source(value: t.Any, version: int) -> str:
    try:
        source = ipaddress.ip_address(str(value).strip())
    except ValueError:
        raise PipeworkError(f"source: {value!r} is not an IP address; one of the container's would be right.") from None
    if source.version != version:
        raise PipeworkError(f"source: {value} is of IPv{source.version}, but the route is of IPv{version}.")
    return norm.spelled(source)


def _origin(value: t.Any, version: int) -> str:
    if value is None:
        return ""
    if version == 4:
        raise PipeworkError("source_prefix: only IPv6 has routes by source; pipework_rule does it for IPv4.")
    found = words.prefix(value, "source_prefix", 6)
    return "" if found == "default" else found


def _preference(value: t.Any, version: int) -> int | None:
    if value is None:
        return None
    if version == 4:
        raise PipeworkError("preference: only IPv6 routes have it; IPv4 goes by metric.")
    return words.word(value, words.PREFERENCES, "preference") or None


def _check(route: ExactRoute) -> None:
    kind = words.named(t.cast(int, route.type), words.TYPES)
    if route.type in NO_WAY and (route.gateway or route.device or route.nexthops):
        raise PipeworkError(f"type: a route of type {kind} leads nowhere: leave out gateway, device and nexthops.")
    if route.type not in NO_WAY and not (route.gateway or route.device or route.nexthops):
        raise PipeworkError("gateway: say which way: a gateway, a device, or nexthops.")
    if route.family == 6 and route.type == words.TYPES["broadcast"]:
        raise PipeworkError("type: IPv6 has no broadcast.")
    if route.family == 6 and route.tos:
        raise PipeworkError("tos: only IPv4 has routes by TOS; pipework_rule does it for IPv6.")
    hops = route.nexthops or (Hop(route.gateway, route.device, 1, bool(route.onlink)),)
    for hop in hops:
        if hop.gateway and ipaddress.ip_address(hop.gateway).is_link_local and ":" in hop.gateway and not hop.device:
            raise PipeworkError(f"device: say through which one; {hop.gateway} is an address that every link has.")
        if hop.onlink and not (hop.gateway and hop.device):
            raise PipeworkError("onlink: needs a gateway and a device.")


def ours(route: ExactRoute, ns: str, protocol: int = PROTOCOL_ROUTE) -> ExactRoute:
    """The route in its place, with our mark if it has no other."""
    return dataclasses.replace(route, ns=ns, protocol=route.protocol or protocol)
