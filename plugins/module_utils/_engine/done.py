# Copyright: pipework.containers contributors
# GNU General Public License v3.0+ (see LICENSE)
"""What a run has done in all its passes, and what there is then: the kernel and servers decide some of it. Pure."""
from __future__ import annotations

import dataclasses
import typing as t

from .._core.plan import KernelObject, Operation, Plan, State


def merged(plan: Plan, later: Plan) -> Plan:
    """The plan, and what followed from it. What is done once more to an object is part of what was done to it first."""
    found: list[Operation | None] = list(plan)
    places = {operation.key: at for at, operation in enumerate(plan)}
    for operation in later:
        at = places.get(operation.key)
        first = None if at is None else found[at]
        if at is None or first is None or first.action == "delete":
            places[operation.key] = len(found)
            found.append(operation)
        else:
            found[at] = _both(first, operation)
    return [each for each in found if each is not None]


def _both(first: Operation, then: Operation) -> Operation | None:
    """Two operations on one object as one; None where all is as it was."""
    if first.before == then.after:
        return None
    return Operation("create" if first.before is None else then.action, first.before, then.after)


def as_seen(planned: State, seen: State) -> State:
    """Objects as they were seen in the end, as far as something was said about them."""
    found = {key: _seen(planned[key], each) if key in planned else each for key, each in seen.items()}
    # One among its like (the routes of one place) is counted anew by whoever looks, and has another key then.
    found.update((key, each) for key, each in planned.items() if key not in seen and getattr(each, "nth", 0) < 0)
    return found


def _seen(planned: KernelObject, seen: KernelObject) -> KernelObject:
    values = {field: _said(value, seen.__dict__.get(field)) for field, value in planned.__dict__.items()}
    return dataclasses.replace(planned, **values)


def _said(value: t.Any, there: t.Any) -> t.Any:
    """What is there, without what the plan said nothing about; also in parts of a value, as next hops of a route."""
    if value is None:
        return None
    if isinstance(value, dict) and isinstance(there, dict):
        return {name: each for name, each in there.items() if name in value}
    if isinstance(value, tuple) and isinstance(there, tuple) and len(value) == len(there):
        parts = [_said(*pair) for pair in zip(value, there)]
        return value._make(parts) if hasattr(value, "_make") else tuple(parts)
    return there
