# Copyright: pipework.containers contributors
# GNU General Public License v3.0+ (see LICENSE)
"""Which rules of policy routing named a NIC before it became a port of a bridge, and name it again afterwards. Pure.

A NIC's record has a mark for each: its family and priority, and where it named the NIC, as in ``4.500i``. A bridge that
stays may have rules of its own.
"""

from __future__ import annotations

import dataclasses
import typing as t

from .._core.plan import Absent
from .._model.rule import Rule, made_by_kernel
from .._routing.moved_rules import MovedRule

FIELDS = {"i": "iif", "o": "oif"}


def marks_of(name: str, rules: t.Iterable[Rule]) -> list[str]:
    """A mark for each rule that names an interface."""
    found = []
    for rule in rules:
        where = "".join(letter for letter, field in FIELDS.items() if getattr(rule, field) == name)
        if where and not made_by_kernel(rule):
            found.append(f"{rule.family}.{rule.priority}{where}")
    return list(dict.fromkeys(found))


def back(
    rules: t.Iterable[MovedRule], bridge: str, away: t.Mapping[str, t.Sequence[str]], stay: t.Collection[str],
) -> t.Iterator[MovedRule | Absent]:
    """The rules of NICs that leave a bridge. ``away``: their marks; ``stay``: those of NICs that do not leave."""
    for rule in rules:
        new = rule
        for name, marks in away.items():
            for mark in marks:
                place = mark.rstrip("io")
                if place == f"{rule.family}.{rule.priority}":
                    where = [FIELDS[letter] for letter in mark[len(place):]]
                    fields: dict[str, t.Any] = {field: name for field in where if getattr(rule, field) == bridge}
                    new = dataclasses.replace(new, **fields) if len(fields) == len(where) else new
        if new != rule:
            yield new
            if not set(marks_of(bridge, [rule])) & set(stay):
                yield Absent(rule.key)
