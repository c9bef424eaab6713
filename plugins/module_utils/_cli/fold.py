# Copyright: pipework.containers contributors
# GNU General Public License v3.0+ (see LICENSE)
"""Lines of a script about routes, rules and default gateways as one wish: the later one goes before the earlier. Pure.

Run one after the other, ``route web1 add P via A`` and ``route web1 replace P via B`` leave the second. What a script's
own second line would fail at is refused with the words that it would fail with.
"""
from __future__ import annotations

import dataclasses
import typing as t

from .._core.errors import PipeworkError
from .._core.normalize import family
from .._grammar import ip_route, ip_rule
from .._grammar.command import Command as Words
from .._routing.route_options import RouteItem
from .._routing.routes_desired import sentence
from .._routing.rule_options import RuleItem

if t.TYPE_CHECKING:
    from .._model.route_names import Names
    from .commands import Command

GRAMMARS: dict[str, t.Any] = {"pipework_route": ip_route, "pipework_rule": ip_rule}
SETS = ("add", "replace", "change")
BESIDE = ("append", "prepend")
SPOT = ("destination", "metric", "tos", "source_prefix", "table", "family")  # where one route alone stands


@dataclasses.dataclass(frozen=True)
class Said:
    """One line, and what it says. ``words``: None for the gateway of an attachment, which is a route too."""

    command: Command
    words: Words | None
    item: t.Any
    verb: str

    @classmethod
    def of(cls, command: Command, item: t.Any) -> Said:
        words = GRAMMARS[command.line.module].parse(command.line.params["cmd"], command.where)
        return cls(command, words, item, words.verb)

    @property
    def place(self) -> tuple[t.Any, ...]:
        """What it is about, roughly; lines about different ones do not meet."""
        thing = self.item.rule if isinstance(self.item, RuleItem) else self.item.route
        return (isinstance(self.item, RuleItem), self.command.line.params["container"], thing.family)

    @property
    def spot(self) -> tuple[t.Any, ...]:
        route = self.item.route
        return (route.table, route.destination, route.metric, route.origin, route.tos)

    def as_verb(self, verb: str, whole: bool = False) -> Said:
        """The same with another verb; ``whole``: about whatever stands in that place."""
        if self.words is None or verb == self.verb and not whole:
            return self
        params = self.words.params
        if whole:
            params = {name: value for name, value in params.items() if name in SPOT}
        words = dataclasses.replace(self.words, verb=verb, params=params)
        cmd = list(GRAMMARS[self.command.line.module].words_of(words))
        line = dataclasses.replace(self.command.line, params={**self.command.line.params, "cmd": cmd})
        return dataclasses.replace(self, command=dataclasses.replace(self.command, line=line), words=words, verb=verb)

    def refuse(self, words: str, other: Said) -> PipeworkError:
        return PipeworkError(f"{self.command.where}: {words.format(other.command.where)}.")


def of_gateway(command: Command, interface: str, names: Names) -> Said | None:
    """The default route of an attachment's line as a line of its own."""
    for gateway in command.line.params.get("gateway", ()):
        params = {
            "container": command.line.params["container"], "family": f"ipv{family(gateway)}", "destination": "default",
            "gateway": gateway, "device": interface,
        }
        return Said(command, None, RouteItem.from_params(params, command.where, names), "replace")
    return None


def without_gateway(command: Command) -> Command:
    params = {name: value for name, value in command.line.params.items() if name != "gateway"}
    return dataclasses.replace(command, line=dataclasses.replace(command.line, params=params))


def folded(lines: t.Sequence[Said]) -> list[Said]:
    """Those that are left, in the order of the lines that had the last word."""
    groups: dict[tuple[t.Any, ...], list[Said]] = {}
    arrived: dict[int, int] = {}
    for number, later in enumerate(lines):
        kept = groups.setdefault(later.place, [])
        meet = _rules if isinstance(later.item, RuleItem) else _routes
        last = meet(kept, later)
        if last is not None:
            kept.append(last)
            arrived[id(last)] = number
    return sorted((each for kept in groups.values() for each in kept), key=lambda each: arrived[id(each)])


# -- routes

def _routes(kept: list[Said], later: Said) -> Said | None:
    """What the later line becomes, if it is still needed; takes away those that it goes before."""
    near = list(kept)
    if later.verb == "flush":
        for each in near:
            if each.verb in (*SETS, *BESIDE) and later.item.matches(each.item.route):
                kept.remove(each)
        return later
    if later.verb == "del":
        return _deleted(kept, near, later)
    there = next((each for each in reversed(near) if each.verb in SETS and each.spot == later.spot), None)
    gone = next((each for each in reversed(near) if _covers(each, later)), None)
    if later.verb in BESIDE:
        return later
    if later.verb == "change" and there is None and gone is not None:
        words = "No such file or directory: {} takes the route away that is to be changed"
        raise later.refuse(words, gone)
    if there is not None:
        same = _same(there, later)
        if later.verb == "add" and not same:
            words = f"cmd: File exists: {{}} makes another route in its place ({sentence(there.item.route)})"
            raise later.refuse(f"{words}; 'replace' takes its place", there)
        if later.verb == "add" or same and there.words is None and later.words is not None:
            return None
        kept.remove(there)
        return later.as_verb("replace")
    if gone is not None and gone.verb == "del" and gone.spot == later.spot:
        kept.remove(gone)
    return later.as_verb("replace") if gone is not None else later


def _deleted(kept: list[Said], near: list[Said], later: Said) -> Said | None:
    """A deletion: of what the lines before have made, the first one that it means goes."""
    made = [each for each in near if each.verb in (*SETS, *BESIDE) and _means(later, each)]
    if made:
        first = min(made, key=lambda each: (each.item.route.metric, -near.index(each)))
        kept.remove(first)
        took = first.verb in ("replace", "change") and first.words is not None and first.spot == later.spot
        return later.as_verb("del", whole=took or first.words is None and first.spot == later.spot)
    for each in near:
        if each.verb == "del" and each.words is not None and later.words is not None and \
                each.words.params == later.words.params:
            kept.remove(each)
    return later


def _means(deletion: Said, made: Said) -> bool:
    route = made.item.route
    if route.device is None and "device" in deletion.item.given:
        route = dataclasses.replace(route, device=deletion.item.route.device)  # the kernel finds it
    return bool(deletion.item.matches(route))


def _covers(earlier: Said, later: Said) -> bool:
    """Whether the place of the later line is empty after the earlier one."""
    mine, theirs = earlier.item.route, later.item.route
    if earlier.verb == "flush":
        return mine.table == theirs.table and "protocol" not in earlier.item.given
    if earlier.verb != "del" or (mine.table, mine.destination) != (theirs.table, theirs.destination):
        return False
    return all(
        getattr(mine, name) == getattr(theirs, name) for name in ("metric", "tos", "origin")
        if name in earlier.item.given
    )


def _same(one: Said, other: Said) -> bool:
    """Whether both make the same route; an attachment's has its interface, which the other one may leave out."""
    mine, theirs = one.item.route, other.item.route
    if mine.device is None or theirs.device is None:
        device = mine.device or theirs.device
        mine, theirs = (dataclasses.replace(each, device=device) for each in (mine, theirs))
    return not mine.differences(theirs) and mine.protocol == theirs.protocol


# -- rules

def _rules(kept: list[Said], later: Said) -> Said | None:
    """Rules stand beside each other: only the same one, or the one that is deleted, goes."""
    near = list(kept)
    adds = [each for each in near if each.verb == "add"]
    if later.verb == "flush":
        for each in adds:
            if later.item.matches(each.item.rule):
                kept.remove(each)
        return later
    if later.verb == "add":
        for each in near:
            if each.verb == "add" and (each.item.rule, each.item.given) == (later.item.rule, later.item.given):
                return None  # which the kernel refuses, since it is there
            if each.verb == "del" and _params(each) == _params(later):
                kept.remove(each)
        return later
    if later.verb == "del":
        for each in near:
            if each.verb == "del" and _params(each) == _params(later):
                kept.remove(each)
        meant = [each for each in adds if later.item.matches(each.item.rule)]
        if meant:  # of those without a priority the last one stands first
            kept.remove(min(meant, key=lambda each: (each.item.rule.priority, -near.index(each))))
    return later


def _params(said: Said) -> t.Any:
    return said.words.params if said.words is not None else None
