# Copyright: pipework.containers contributors
# GNU General Public License v3.0+ (see LICENSE)
"""The job behind pipework_route: routes of containers, by structure or by the command line of ip route."""
from __future__ import annotations

import dataclasses
import functools
import typing as t

from .._core.items import Params, container_of, items_of, purges, wholes_of
from .._core.plan import Desired, Key, Plan, State
from .._engine.executors import Executors, Journal, Passes
from .._engine.run import Picture
from .._lookup.containers import Place, Whole, in_reach, open_guests
from .._model.layer3 import PROTOCOL_ROUTE, TABLE_MAIN
from .._model.route import ExactRoute
from .._netlink.namespaces import Namespaces
from .._netlink.route import routes_of
from .._routing.default_route_owner import Seat
from .._routing.displaced_default import around
from .._routing.route_options import RouteItem
from .._routing.routes_desired import Ground, place, purged, wanted_routes
from .._routing.rt_names import read_names


class RouteJob:
    """Desired routes, and the containers that they are in."""

    journal: Journal = Journal()
    passes: t.Callable[[], Passes] = Passes

    def __init__(self, params: Params) -> None:
        names = read_names()
        self.purge = purges(params, "routes")
        everywhere = self.purge and params.get("table") == "all"
        if everywhere:
            params = {**params, "table": None}  # no item's default
        wholes = wholes_of(params, "routes", ("table", "protocol"))
        read = functools.partial(RouteItem.from_params, names=names)
        self.items = self.listed = items_of(params, "routes", read, leave_out=wholes)
        self.guests: list[t.Any] = [*self.items, *(Whole(**t.cast("dict[str, t.Any]", who)) for who in wholes.values())]
        self.tables: set[int] | None = {item.route.table for item in self.items}  # None: all
        self.protocol = PROTOCOL_ROUTE
        if self.purge:
            if params.get("table") is not None:
                self.tables.add(names.table(params["table"]))
            self.tables = None if everywhere else self.tables or {TABLE_MAIN}
            if params.get("protocol") is not None:
                self.protocol = names.protocol(params["protocol"])
            if params.get("container") or params.get("runtime") == "host":
                self.guests.append(Whole(**t.cast("dict[str, t.Any]", container_of(params))))
        self.places: list[Place] = []
        self.coming: list[t.Any] = []  # what the same run makes besides, of which routes may be in need
        self.grounds: dict[str, Ground] = {}  # of the last picture
        self.told: dict[str, None] = {}

    def open(self, namespaces: Namespaces) -> None:
        self.items, self.places = in_reach(self.listed, open_guests(self.guests, namespaces))

    def picture(self, namespaces: Namespaces) -> Picture:
        state: State = {}
        desired: Desired = {}
        shown: set[Key] = set()
        for label in dict.fromkeys(found.label for found in self.places if found.label is not None):
            mine = [item for item, found in zip(self.items, self.places) if found.label == label]
            ground = self.grounds[label] = self._ground(namespaces, label, mine)
            state.update((route.key, route) for route in ground.routes)
            wanted = {each.key: each for each in wanted_routes(mine, ground)}
            if self.purge:
                wanted.update((gone.key, gone) for gone in purged(mine, ground, self.tables, self.protocol))
            for seat in ground.seats:
                state.update((route.key, route) for route in seat.stack)
                also, told = around(seat, mine, wanted)
                wanted.update(also)
                self.told.update(dict.fromkeys(told))
            desired.update(wanted)
        shown.update(desired)
        return Picture(state, desired, shown)

    def _ground(self, namespaces: Namespaces, label: str, items: t.Sequence[RouteItem]) -> Ground:
        names = {device.index: device.name for device in namespaces[label].devices().values()}
        every = routes_of(namespaces[label], names, every=True)
        ground = Ground.of(label, set(names.values()), every)
        ground.seats = tuple(Seat.of(label, version, every) for version in (4, 6))
        if any(":" in (item.route.source or "") for item in items):
            ground.tentative = {each.address.partition("/")[0] for each in namespaces[label].addresses(names)}
        return ground.with_coming(self.coming)

    def executors(self) -> Executors:
        from .._engine import routes  # which a run that changes nothing does not need

        return routes.EXECUTORS

    def results(self, state: State) -> dict[str, t.Any]:
        present = [(item, found) for item, found in zip(self.items, self.places) if item.state == "present"]
        told = {"warnings": list(self.told)} if self.told else {}
        return {"routes": [self._result(item, found, state) for item, found in present], **told}

    def _result(self, item: RouteItem, found: Place, state: State) -> dict[str, t.Any]:
        """One item of the returned ``routes``."""
        label = str(found.label)
        there = [route for route in state.values() if isinstance(route, ExactRoute) and route.ns == label]
        route = place(item, dataclasses.replace(self.grounds[label], routes=there))
        return {
            "container": found.name, "runtime": found.runtime, "family": f"ipv{route.family}",
            "destination": route.destination, "table": route.table, "metric": route.metric, **route.said(),
        }

    def finish(self, plan: Plan, namespaces: Namespaces, state: State) -> None:
        """Nobody has to be told about routes."""
