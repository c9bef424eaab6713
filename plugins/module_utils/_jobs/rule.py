# Copyright: pipework.containers contributors
# GNU General Public License v3.0+ (see LICENSE)
"""The job behind pipework_rule: rules of policy routing in containers."""
from __future__ import annotations

import functools
import typing as t

from .._core.items import Params, container_of, items_of, purges, wholes_of
from .._core.plan import Absent, Desired, Plan, State
from .._engine.executors import Executors, Journal, Passes
from .._engine.run import Picture
from .._lookup.containers import Place, Whole, in_reach, open_guests
from .._model.layer3 import PROTOCOL_ROUTE
from .._model.route_names import FAMILIES
from .._model.rule import Rule, made_by_kernel
from .._netlink.namespaces import Namespaces
from .._netlink.rule import rules_of
from .._routing.rt_names import read_names
from .._routing.rule_options import RuleItem
from .._routing.rules_desired import places, wanted_rules


class RuleJob:
    """Desired rules, and the containers that they are in."""

    journal: Journal = Journal()
    passes: t.Callable[[], Passes] = Passes

    def __init__(self, params: Params) -> None:
        names = read_names()
        self.purge = purges(params, "rules")
        wholes = wholes_of(params, "rules", ("table", "protocol", "family"))
        read = functools.partial(RuleItem.from_params, names=names)
        self.items = self.listed = items_of(params, "rules", read, leave_out=wholes)
        self.guests: list[t.Any] = [*self.items, *(Whole(**t.cast("dict[str, t.Any]", who)) for who in wholes.values())]
        self.table: int | None = None
        self.families = {4, 6}
        self.protocol = PROTOCOL_ROUTE
        if self.purge:
            if params.get("table") is not None:
                self.table = names.table(params["table"])
            if params.get("protocol") is not None:
                self.protocol = names.protocol(params["protocol"])
            if params.get("family"):
                self.families = {FAMILIES[params["family"]]}
            if params.get("container") or params.get("runtime") == "host":
                self.guests.append(Whole(**t.cast("dict[str, t.Any]", container_of(params))))
        self.places: list[Place] = []
        self.found: dict[str, dict[int, Rule]] = {}  # by container, the rule of each of its items

    def open(self, namespaces: Namespaces) -> None:
        self.items, self.places = in_reach(self.listed, open_guests(self.guests, namespaces))

    def _of(self, label: str) -> list[RuleItem]:
        return [item for item, found in zip(self.items, self.places) if found.label == label]

    def picture(self, namespaces: Namespaces) -> Picture:
        state: State = {}
        desired: Desired = {}
        for label in dict.fromkeys(found.label for found in self.places if found.label is not None):
            there = rules_of(namespaces[label])
            state.update((rule.key, rule) for rule in there)
            wanted = wanted_rules(self._of(label), there, label)
            desired.update((each.key, each) for each in wanted)
            self.found[label] = places(self._of(label), there, label)
            if self.purge:
                stay = {each.key for each in self.found[label].values()} | set(desired)
                desired.update((rule.key, Absent(rule.key)) for rule in there if self._in_scope(rule, stay))
        return Picture(state, desired, set(desired))

    def _in_scope(self, rule: Rule, stay: t.Collection[t.Any]) -> bool:
        """Whether a purge takes a rule."""
        scoped = rule.family in self.families and self.table in (None, rule.table) and rule.protocol == self.protocol
        return scoped and rule.key not in stay and not made_by_kernel(rule)

    def executors(self) -> Executors:
        from .._engine import rules  # which a run that changes nothing does not need

        return rules.EXECUTORS

    def results(self, state: State) -> dict[str, t.Any]:
        shown = []
        for label, found in self.found.items():
            mine = [place for place in self.places[: len(self.items)] if place.label == label]
            shown += [(self.items.index(self._of(label)[at]), mine[at], rule) for at, rule in found.items()]
        return {"rules": [
            {"container": place.name, "runtime": place.runtime, **rule.said()}
            for _at, place, rule in sorted(shown, key=lambda each: each[0])
        ]}

    def finish(self, plan: Plan, namespaces: Namespaces, state: State) -> None:
        """Nobody has to be told about rules."""
