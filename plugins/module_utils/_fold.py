# Copyright: pipework.containers contributors
# GNU General Public License v3.0+ (see LICENSE)
"""Lines of a script about routes and rules as one wish: the later one goes before the earlier about the same. Pure.

Run one after the other, ``route web1 add P via A`` and ``route web1 replace P via B`` leave the second. What a script's
own second line would fail at stays, so that it is refused.
"""
from __future__ import annotations

import dataclasses
import typing as t

from ._grammar import ip_route, ip_rule
from ._grammar.command import Command as Words

if t.TYPE_CHECKING:
    from ._commands import Command

GRAMMARS: dict[str, t.Any] = {"pipework_route": ip_route, "pipework_rule": ip_rule}
SETS = ("add", "replace", "change")
SPOT = ("destination", "metric", "tos", "source_prefix")  # where one route alone stands, with the table
OTHER_TABLE = ("local", "broadcast")  # types of routes that stand in the table local by themselves


@dataclasses.dataclass(frozen=True)
class Said:
    """One line, and what it says."""

    command: Command
    words: Words

    @property
    def spot(self) -> tuple[t.Any, ...]:
        """What it is about; lines about different ones do not meet."""
        params = self.words.params
        place = (self.command.line.module, self.command.line.params["container"], self.words.family)
        if self.command.line.module == "pipework_rule":
            return place
        table = params.get("table") or ("local" if params.get("type") in OTHER_TABLE else "main")
        return (*place, table, *(params.get(name) for name in SPOT))

    def fits(self, other: Said) -> bool:
        """Whether all that it says is said by another line too, as a deletion means what it names."""
        found = other.words.params
        return all(name in ("table", "family") or found.get(name) == value for name, value in self.words.params.items())

    def as_verb(self, verb: str, whole: bool = False) -> Said:
        """The same with another verb; ``whole``: about whatever stands in that place."""
        params = self.words.params
        if whole:
            params = {name: value for name, value in params.items() if name in (*SPOT, "table", "family")}
        words = dataclasses.replace(self.words, verb=verb, params=params)
        cmd = list(GRAMMARS[self.command.line.module].words_of(words))
        line = dataclasses.replace(self.command.line, params={**self.command.line.params, "cmd": cmd})
        return Said(dataclasses.replace(self.command, line=line), words)


def folded(commands: t.Sequence[Command]) -> list[Command]:
    """Those of one module that are left."""
    kept: list[Said] = []
    for command in commands:
        words = GRAMMARS[command.line.module].parse(command.line.params["cmd"])
        later: Said = Said(command, words)
        for earlier in [each for each in reversed(kept) if each.spot == later.spot]:
            meet = _rules if command.line.module == "pipework_rule" else _routes
            verb = meet(earlier, later)
            if verb is not None:
                kept.remove(earlier)
                taken = verb == "del" and earlier.words.verb in ("replace", "change")  # by which what stood there went
                later = later.as_verb(verb, taken) if taken or verb != later.words.verb else later
            elif command.line.module == "pipework_route":
                break
        kept.append(later)
    return [each.command for each in kept]


def _routes(earlier: Said, later: Said) -> str | None:
    """The verb of the later line where the earlier one goes; None where both stay."""
    first, second = earlier.words.verb, later.words.verb
    if second == "del" and (first in SETS and later.fits(earlier) or first == "del" and earlier.fits(later)):
        return "del"
    if second not in ("add", "replace"):
        return "replace" if second == "change" and first in SETS else None
    if first == "del":
        return "replace"
    if first not in SETS or second == "add" and earlier.words.params != later.words.params:
        return None
    return first if second == "add" else second


def _rules(earlier: Said, later: Said) -> str | None:
    """Rules stand beside each other: only the same one, or the one that is deleted, goes."""
    first, second = earlier.words.verb, later.words.verb
    if earlier.words.params == later.words.params and {first, second} <= {"add", "del"}:
        return second
    said = {name: value for name, value in later.words.params.items() if name != "family"}
    named = all(earlier.words.params.get(name) == value for name, value in said.items())
    return "del" if (first, second) == ("add", "del") and named else None
