# Copyright: pipework.containers contributors
# GNU General Public License v3.0+ (see LICENSE)
"""Lines and routes about a default route that an attachment has: it is remembered, and has it back. Pure.

A line is carried out, as the script does it; who the default route was taken from is told, with what says it once.
"""
from __future__ import annotations

import typing as t

from .._core.plan import Absent, Desired
from .._model.layer3 import Route
from .default_route_owner import Seat, displacing, is_ours, made, unmade

if t.TYPE_CHECKING:
    from .route_options import RouteItem

NAMED = frozenset({"gateway", "device", "protocol", "nexthops"})


def around(seat: Seat, items: t.Sequence[RouteItem], wanted: Desired) -> tuple[Desired, list[str]]:
    """What is wanted besides the routes themselves, and warnings. ``wanted``: what the items want."""
    owner = seat.owner
    if owner is None or owner.key not in wanted:
        return {}, []
    want = wanted[owner.key]
    mine = [item for item in items if (item.route.family, item.route.destination) == (owner.family, "default")]
    title = f"{mine[-1].where if mine else ''}destination"
    if isinstance(want, Route) and is_ours(owner) and not is_ours(want):
        told = displacing(seat, title)
        return {each.key: each for each in made(seat, want)}, [told] if told else []
    if isinstance(want, Absent) and is_ours(owner):
        return {}, [
            f"{title}: the default route (IPv{seat.version}) of {seat.label} was that of its attachment {owner.device} "
            f"(via {owner.gateway}), which takes it back in its next run. 'gateway: []' for {owner.device} says once "
            "that it has none."
        ]
    named = any(NAMED & item.given for item in mine if item.state == "absent")
    if isinstance(want, Absent) and named and seat.stack and is_ours(seat.stack[-1]):
        return {each.key: each for each in unmade(seat)}, []
    return {}, []
