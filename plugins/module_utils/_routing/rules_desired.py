# Copyright: pipework.containers contributors
# GNU General Public License v3.0+ (see LICENSE)
"""From listed rules and those that are there to the rules that are wanted, and those that go. Pure."""

from __future__ import annotations

import dataclasses
import typing as t

from .._core.errors import PipeworkError
from .._core.plan import Absent
from .._model.layer3 import PROTOCOL, PROTOCOL_LISTED, PROTOCOL_ROUTE
from .._model.rule import CONTENT, SELECTORS, Rule, made_by_kernel
from .rule_options import RuleItem, check_goto

MAIN = 32766  # the priority of the rule that leads to the main table
ATTACHED = (PROTOCOL, PROTOCOL_LISTED)


def wanted_rules(
    items: t.Sequence[RuleItem], there: t.Sequence[Rule], label: str, protocol: int = PROTOCOL_ROUTE,
) -> list[Rule | Absent]:
    """What the items of one namespace want, in their order: a rule that stands already, or a new one; and what goes."""
    found = places(items, there, label, protocol)
    stay = {rule.key for rule in found.values()}
    result: list[Rule | Absent] = []
    for item, rule in zip(items, (found.get(at) for at in range(len(items)))):
        if rule is None:
            result += [Absent(gone.key) for gone in going(item, there) if gone.key not in stay]
        elif not made_by_kernel(rule):
            result.append(rule)
            result += [Absent(old.key) for old in replaced(item, there, protocol) if old.key not in stay]
    return result


def places(
    items: t.Sequence[RuleItem], there: t.Sequence[Rule], label: str, protocol: int = PROTOCOL_ROUTE,
) -> dict[int, Rule]:
    """The rule of each item that is to be present, by its number in the list."""
    found: dict[int, Rule] = {}
    new: list[int] = []
    for at, item in enumerate(items):
        if item.state != "present":
            continue
        rule = standing(item, there)
        if rule is not None:
            found[at] = rule
            continue
        want = dataclasses.replace(item.rule, ns=label, protocol=item.rule.protocol or protocol)
        old = replaced(item, there, protocol)
        if "priority" not in item.given and old:
            want = dataclasses.replace(want, priority=old[0].priority)
        elif "priority" not in item.given:
            new.append(at)
        found[at] = want
    for version in (4, 6):
        chosen = [at for at in new if found[at].family == version]
        after = _after_those_before(items, found, chosen, there, version)
        found.update((at, dataclasses.replace(found[at], priority=priority)) for at, priority in after.items())
        chosen = [at for at in chosen if at not in after]
        first = free(there, version) - len(chosen) + 1
        for at, priority in zip(chosen, range(first, first + len(chosen))):
            if priority < 1:
                raise items[at].refuse("priority: none is free before the rules that are there; give one.")
            found[at] = dataclasses.replace(found[at], priority=priority)
    for at, rule in found.items():
        try:
            check_goto(rule)
        except PipeworkError as error:
            raise items[at].refuse(str(error)) from None
    _refuse_twice(items, found)
    return found


def _after_those_before(
    items: t.Sequence[RuleItem], found: t.Mapping[int, Rule], new: t.Collection[int], there: t.Sequence[Rule],
    version: int,
) -> dict[int, int]:
    """Priorities of new rules that come after a listed one which stands already, as where a run was killed half-way:
    before all that are there, as others come, they would change places with it."""
    fresh = set(new)
    listed = [
        at for at in sorted(found)
        if found[at].family == version and not items[at].verb and "priority" not in items[at].given
    ]
    standing = [(at, found[at].priority) for at in listed if at not in fresh]
    if not standing:
        return {}
    taken = {rule.priority for rule in there if rule.family == version}
    chosen: dict[int, int] = {}
    last = 0
    for at in listed:
        if at not in fresh:
            last = max(last, found[at].priority)
        elif last:
            end = min([MAIN, *(priority for other, priority in standing if other > at and priority > last)])
            place = next((number for number in range(last + 1, end) if number not in taken), None)
            if place is not None:
                chosen[at] = last = place
                taken.add(place)
    return chosen


def _refuse_twice(items: t.Sequence[RuleItem], found: t.Mapping[int, Rule]) -> None:
    seen: dict[t.Any, int] = {}
    for at, rule in found.items():
        if items[at].verb:
            continue
        priority = rule.priority if "priority" in items[at].given else None
        other = seen.setdefault((priority, rule.part(SELECTORS), rule.key if priority is not None else None), at)
        if other != at:
            raise items[at].refuse(
                f"priority: '{rule.sentence()}' selects the same packets as {items[other].where.rstrip(': ')}; "
                "give each a priority of its own."
            )


def free(there: t.Sequence[Rule], version: int) -> int:
    """The priority that the kernel would choose: the one before the second rule that it has."""
    known = sorted(rule.priority for rule in there if rule.family == version)
    return max(known[1] - 1, 0) if len(known) > 1 else 0


def standing(item: RuleItem, there: t.Sequence[Rule]) -> Rule | None:
    """A rule that says just what the item says."""
    fields = (*SELECTORS, *CONTENT, *(name for name in ("priority", "protocol") if name in item.given))
    same = [rule for rule in there if rule.part(fields) == item.rule.part(fields)]
    return next((rule for rule in same if rule.protocol == PROTOCOL_ROUTE), same[0] if same else None)


def replaced(item: RuleItem, there: t.Sequence[Rule], protocol: int) -> list[Rule]:
    """The rules of ours that select the same packets, in the same place where that is given, and do something else."""
    if item.verb:
        return []  # a command adds, whatever is there
    fields = (*SELECTORS, *(name for name in ("priority",) if name in item.given))
    marks = (item.rule.protocol or protocol, protocol)
    return [
        rule for rule in there
        if rule.protocol in marks and rule.part(fields) == item.rule.part(fields)
        and (rule.part(CONTENT) != item.rule.part(CONTENT) or rule.protocol != marks[0])
    ]


def going(item: RuleItem, there: t.Sequence[Rule]) -> list[Rule]:
    """The rules that an absent item means. It is never guessed which one of others' rules that is."""
    matching = [rule for rule in there if item.matches(rule)]
    found = [rule for rule in matching if not made_by_kernel(rule)]
    told = item.verb or "priority" in item.given  # without, it is about rules of that sort, whoever else has one
    kernels = [rule for rule in matching if made_by_kernel(rule)] if told else []
    if kernels and (item.verb == "flush" or not found):
        raise item.refuse(
            f"{'cmd' if item.verb else 'priority'}: the kernel made the rule {kernels[0].priority} "
            f"('{kernels[0].sentence()}') by itself; that is left alone here. Leave it out, or say by more words which "
            "rule it is."
        )
    if item.verb == "flush":
        return [rule for rule in found if rule.protocol not in ATTACHED]
    foreign = [rule for rule in found if rule.protocol != PROTOCOL_ROUTE]
    if len(found) > 1 and foreign and "protocol" not in item.given:
        listed = "; ".join(rule.name for rule in found)
        raise item.refuse(
            f"priority: {len(found)} rules fit, not all of which were made here ({listed}); "
            "say which by priority or protocol."
        )
    attached = next((rule for rule in found if rule.protocol in ATTACHED), None)
    if attached is not None:
        raise item.refuse(f"priority: '{attached.name}' belongs to an attachment; pipework_attach takes it away.")
    return found
