# Copyright: pipework.containers contributors
# GNU General Public License v3.0+ (see LICENSE)
"""Lines and routes about a default route that somebody has: it is remembered, and comes back. Pure.

A line is carried out, as the script does it; who the default route was taken from is told, with what says it once.
An item of pipework_route takes the place of a foreign one (an engine's), which comes back when the item goes.
"""
from __future__ import annotations

import dataclasses
import typing as t

from .._core.plan import Absent, Desired
from .._model.layer3 import PROTOCOL_ROUTE, TABLE_MAIN, Route, default_metric
from .default_route_owner import Seat, displacing, is_ours, made, unmade

if t.TYPE_CHECKING:
    from .route_options import RouteItem

NAMED = frozenset({"gateway", "device", "protocol", "nexthops"})


def around(seat: Seat, items: t.Sequence[RouteItem], wanted: Desired) -> tuple[Desired, list[str]]:
    """What is wanted besides the routes themselves, and warnings. ``wanted``: what the items want."""
    owner = seat.owner
    if owner is None or owner.key not in wanted:
        return _no_more_waiting(seat, items), []
    want = wanted[owner.key]
    mine = [item for item in items if (item.route.family, item.route.destination) == (owner.family, "default")]
    title = f"{mine[-1].where if mine else ''}destination"
    lines = any(item.verb for item in mine)
    if isinstance(want, Route) and is_ours(owner) and not is_ours(want):
        told = displacing(seat, title)
        return {each.key: each for each in made(seat, want)}, [told] if told else []
    if isinstance(want, Route) and not lines and _displaces(want, owner):
        return {each.key: each for each in made(seat, want)}, []
    if isinstance(want, Absent) and is_ours(owner):
        return {}, [
            f"{title}: the default route (IPv{seat.version}) of {seat.label} was that of its attachment {owner.device} "
            f"(via {owner.gateway}), which takes it back in its next run. 'gateway: []' for {owner.device} says once "
            "that it has none."
        ]
    going = [item for item in mine if item.state == "absent"]
    named = any(NAMED & item.given for item in going)
    if isinstance(want, Absent) and named and seat.stack and is_ours(seat.stack[-1]):
        return {each.key: each for each in unmade(seat)}, []
    if isinstance(want, Absent) and owner.protocol == PROTOCOL_ROUTE and not lines:
        if named or not going:  # else no default route at all is meant, now and in the next run
            return {each.key: each for each in unmade(seat)}, []
        return {each.key: Absent(each.key) for each in seat.stack if not is_ours(each)}, []
    return {}, []


def _displaces(want: Route, owner: Route) -> bool:
    return not is_ours(owner) and owner.protocol != PROTOCOL_ROUTE and bool(want.differences(owner))


def _no_more_waiting(seat: Seat, items: t.Sequence[RouteItem]) -> Desired:
    """Those that wait to come back, and are not to be there any more."""
    metric = default_metric(seat.version)
    going = [item for item in items if item.state == "absent" and not item.verb]
    return {
        each.key: Absent(each.key) for each in seat.stack if each.protocol == PROTOCOL_ROUTE
        and any(item.matches(dataclasses.replace(each, table=TABLE_MAIN, metric=metric)) for item in going)
    }
