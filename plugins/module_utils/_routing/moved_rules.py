# Copyright: pipework.containers contributors
# GNU General Public License v3.0+ (see LICENSE)
"""Rules of policy routing that name an interface, and name another one when what they are about has moved. Pure.

The new rule is there before the old one goes. The kernel puts a new rule behind all that have its priority, so those
that move go in their order.
"""

from __future__ import annotations

import dataclasses
import typing as t

from .._core.order import RULE_RANKS
from .._core.plan import Absent
from .._model.rule import Rule, made_by_kernel


@dataclasses.dataclass(frozen=True)
class MovedRule(Rule):
    """``rank``: its place among all rules."""

    HINTS = Rule.HINTS | {"rank"}

    rank: int = 0

    @property
    def order_kind(self) -> str:
        return f"moved_rule {min(self.rank, RULE_RANKS - 1)}"

    def said(self) -> dict[str, t.Any]:
        return {name: value for name, value in super().said().items() if name != "rank"}


def ranked(rules: t.Iterable[Rule]) -> list[MovedRule]:
    """Rules as the kernel lists them."""
    return [MovedRule(**{**rule.__dict__, "rank": rank}) for rank, rule in enumerate(rules)]


def renamed(rule: MovedRule, names: t.Mapping[str, str]) -> MovedRule:
    """A rule about other interfaces."""
    return dataclasses.replace(rule, iif=names.get(rule.iif, rule.iif), oif=names.get(rule.oif, rule.oif))


def moved(rules: t.Iterable[MovedRule], names: t.Mapping[str, str]) -> t.Iterator[MovedRule | Absent]:
    """What is wanted of those that name an interface which is another one from now on."""
    for rule in rules:
        if not made_by_kernel(rule) and (rule.iif in names or rule.oif in names):
            yield renamed(rule, names)
            yield Absent(rule.key)


def overtaken(rules: t.Sequence[MovedRule], names: t.Mapping[str, str]) -> list[str]:
    """Words about rules that are looked at later than before, since others of their priority stay where they are."""
    found = []
    for rule in (each for each in moved(rules, names) if isinstance(each, MovedRule)):
        behind = [each for each in rules if (each.family, each.priority) == (rule.family, rule.priority)
                  and each.rank > rule.rank and renamed(each, names) == each]
        if behind:
            found.append(
                f"The rule of policy routing '{rule.sentence()}' stands behind the others of its priority "
                f"{rule.priority} now, such as '{behind[0].sentence()}': give each a priority of its own."
            )
    return found
