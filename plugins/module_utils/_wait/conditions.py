# Copyright: pipework.containers contributors
# GNU General Public License v3.0+ (see LICENSE)
"""What is waited for, and what is still missing to it in what the kernel shows. Pure."""
from __future__ import annotations

import dataclasses
import ipaddress
import typing as t

from .._core import normalize as norm
from .._core.errors import PipeworkError
from .._core.ineffective import refuse_idle
from .._core.items import Item, blaming, container_of, with_defaults
from .._model.objects import TABLE_KEPT, TABLE_MAIN, TABLE_WAITING, Device, Hop, Route
from .._model.seen import Seen

UNTIL = ("present", "carrier", "up", "addressed", "routed", "reachable", "absent")
SECONDS = 300.0
RTN_UNICAST, TABLE_LOCAL = 1, 255
ANSWERED = ("reachable", "permanent", "noarp")  # a neighbour that is known, or need not be asked for
ASKED = ("incomplete", "probe")  # the kernel is asking
Params = t.Mapping[str, t.Any]


@dataclasses.dataclass(frozen=True)
class Wait(Item):
    """One item of ``waits``. Without a container it is about the namespace that the module runs in."""

    container: str | None = None
    runtime: str = "auto"
    runtime_user: str | None = None
    interface: str = "eth1"
    until: str = "up"
    target: str | None = None
    where: str = ""  # how an error names the item: "waits[2]: "

    @property
    def title(self) -> str:
        return f"{self.container or 'host'}/{self.interface}"

    @property
    def reads(self) -> tuple[str, ...]:
        """What has to be read, beside the interface itself."""
        more = {"addressed": 1, "routed": 2, "reachable": 3}.get(self.until, 0)
        return ("addresses", "routes", "neighbours")[:more]

    @classmethod
    def from_params(cls, params: Params, where: str = "") -> Wait:
        """Checks one item's options; raises PipeworkError."""
        def given(name: str) -> t.Any:
            value = params.get(name)
            return None if value in (None, "") else value

        with blaming(where):
            alone = given("container") is None  # then the namespace that the module runs in is meant
            who = container_of({"runtime": "host"} if alone else params)
            until, target = given("until") or "up", given("target")
            if until not in UNTIL:
                raise PipeworkError(f"until: {until!r} is not one of {', '.join(UNTIL)}.")
            if (target is None) == (until == "reachable"):
                raise PipeworkError(
                    f"target: {target} has no meaning with 'until: {until}'; 'until: reachable' takes one." if target
                    else "target: 'until: reachable' needs the address that is to be reached, such as 192.168.1.254."
                )
            return cls(
                who["container"], str(who["runtime"]), who["runtime_user"],
                norm.interface_name(given("interface") or "eth1", "interface"), until,
                None if target is None else norm.address(target, "target"), where,
            )


def waits_from_params(params: Params) -> list[Wait]:
    """The list of items, or the one that the top-level options describe, which are the items' defaults."""
    items = params.get("waits")
    if items is None:
        return [Wait.from_params(params)]
    given = {name: value for name, value in params.items() if value is not None and name not in ("waits", "timeout")}
    found = []
    for number, item in enumerate(items):
        own = {name: value for name, value in (item or {}).items() if value is not None}
        if own.get("until", "reachable") != "reachable":
            own.setdefault("target", "")  # the default target is for those that have one
        found.append(Wait.from_params(with_defaults(given, own), where=f"waits[{number}]: "))
        refuse_idle(item, "waits", found[-1])
    return found


def timeout_of(params: Params) -> float:
    """Seconds; 0 looks once."""
    value = params.get("timeout")
    seconds = SECONDS if value is None else float(value)
    if not 0 <= seconds < 1e9:
        raise PipeworkError(f"timeout: {seconds:g} is not possible; seconds from 0 would be right.")
    return seconds


@dataclasses.dataclass(frozen=True)
class Sight:
    """What the kernel shows of one interface."""

    device: Device | None = None
    addresses: tuple[Seen, ...] = ()
    routes: tuple[Route, ...] = ()  # all that there are
    neighbours: t.Mapping[str, str] = dataclasses.field(default_factory=dict)  # their states, by address


def missing(wait: Wait, sight: Sight) -> str | None:
    """What is still missing, in words; None when there is nothing to wait for any more."""
    device = sight.device
    if wait.until == "absent":
        return None if device is None else "it is there"
    if device is None:
        return "there is no such interface"
    if wait.until == "present":
        return None
    if not device.up:
        return "it is not up"
    if not device.carrier:
        return "it has no carrier"
    if wait.until == "carrier":
        return None
    if not device.running:
        return "its operational state is not up"
    further = {"addressed": _unaddressed, "routed": _unrouted, "reachable": _unreachable}.get(wait.until)
    return further(wait, sight) if further else None


def _unaddressed(_wait: Wait, sight: Sight) -> str | None:
    return _unusable([seen for seen in sight.addresses if not seen.local]) or None


def _unusable(addresses: t.Sequence[Seen]) -> str:
    """Why none of some addresses can be used; empty where one can."""
    states = {seen.state: seen.address for seen in reversed(addresses)}
    if "usable" in states:
        return ""
    if "tentative" in states:
        return f"its address {states['tentative']} is still tentative: the kernel looks whether another machine has it"
    if "duplicate" in states:
        return f"its address {states['duplicate']} is a duplicate: another machine has it"
    if "deprecated" in states:
        return f"its address {states['deprecated']} is deprecated"
    return "it has no address"


def default_routes(wait: Wait, sight: Sight) -> list[Route]:
    """Those through the interface, in the main table."""
    return [
        route for route in sight.routes
        if route.destination == "default" and route.table == TABLE_MAIN and _through(route, wait.interface)
    ]


def _through(route: Route, interface: str) -> list[tuple[str | None]]:
    """The gateways of a route's paths through an interface, None for one on the link."""
    if route.type not in (None, RTN_UNICAST):
        return []
    paths = route.nexthops or (Hop(route.gateway, route.device),)
    return [(gateway,) for gateway, device, *_how in paths if device == interface]


def _unrouted(wait: Wait, sight: Sight) -> str | None:
    """A route is of no use while the addresses of its family cannot be used. Without any, it may need none."""
    words = "no default route leads through it"
    for route in default_routes(wait, sight):
        addresses = [seen for seen in sight.addresses if seen.family == route.family and not seen.local]
        words = _unusable(addresses) if addresses else ""
        if not words:
            return None
    return words


def next_hop(wait: Wait, sight: Sight) -> str | None:
    """Whom the interface has to ask for, to reach the target: itself, or a router. None where no route leads there."""
    target = ipaddress.ip_address(str(wait.target))
    best: tuple[int, int] | None = None
    hop = None
    for route in sight.routes:
        paths = _through(route, wait.interface)
        if not paths or route.table in (TABLE_KEPT, TABLE_WAITING, TABLE_LOCAL) or route.family != target.version:
            continue
        network = None if route.destination == "default" else ipaddress.ip_network(route.destination)
        if network is not None and target not in network:
            continue
        rank = (network.prefixlen if network else 0, -route.metric)
        if best is None or rank > best:
            best, hop = rank, paths[0][0] or str(target)
    return hop


def _unreachable(wait: Wait, sight: Sight) -> str | None:
    if any(seen.address.partition("/")[0] == wait.target and seen.state == "usable" for seen in sight.addresses):
        return None
    hop = next_hop(wait, sight)
    if hop is None:
        return f"no route leads to {wait.target} through it"
    if sight.neighbours.get(hop) in ANSWERED:
        return None
    who = hop if hop == wait.target else f"{hop}, the router to {wait.target},"
    return f"{who} does not answer"


def to_ask(wait: Wait, sight: Sight) -> tuple[str, bool] | None:
    """The neighbour that the kernel should ask for now, and whether it was known before; None where it need not."""
    if wait.until != "reachable" or sight.device is None or not (sight.device.running and missing(wait, sight)):
        return None
    hop = next_hop(wait, sight)
    state = sight.neighbours.get(hop or "")
    if hop is None or state in ASKED:
        return None
    # Without an address that it may use, IPv6 asks nobody, and tries again a second later only.
    if norm.family(hop) == 6 and not any(seen.family == 6 and seen.state == "usable" for seen in sight.addresses):
        return None
    return hop, state in ("stale", "delay")


def saw(wait: Wait, sight: Sight) -> dict[str, t.Any]:
    """What is returned of it."""
    device = sight.device
    found: dict[str, t.Any] = {"present": device is not None}
    if device is not None:
        found.update(carrier=device.carrier, up=device.running, mac_address=device.mac, mtu=device.mtu)
    if "addresses" in wait.reads:
        listed = [seen for seen in sight.addresses if not seen.local]
        found["addresses"] = [seen.address for seen in listed if seen.state == "usable"]
        found["unusable"] = {seen.address: seen.state for seen in listed if seen.state != "usable"}
    if "routes" in wait.reads:
        paths = [path for route in default_routes(wait, sight) for path in _through(route, wait.interface)]
        found["gateway"] = [gateway for (gateway,) in paths if gateway]
    if wait.target is not None:
        hop = next_hop(wait, sight)
        found.update(next_hop=hop, neighbour=sight.neighbours.get(hop or ""))
    return found
