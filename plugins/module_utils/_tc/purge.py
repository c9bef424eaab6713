# Copyright: pipework.containers contributors
# GNU General Public License v3.0+ (see LICENSE)
"""What is ours on a container's interfaces and nobody listed. Pure.

Ours is what says so: a qdisc at the root with a handle of ours, all that hangs on it, the qdisc of a timer that runs,
limits with the mark of pipework_tc, and filters with that of a mirror. A qdisc with a handle that somebody chose, and
what stands at ingress or clsact, says nothing of its owner, and is left alone; so are limits that an attachment made.
"""
from __future__ import annotations

import dataclasses
import typing as t

from .._core.plan import Absent, Desired, KernelObject, Key, State
from .._model.interfaces import Interfaces
from .._model.keys import link_key
from .._model.layer3 import HOST
from .._model.objects import owner_fields
from .bandwidth import TASK, maker_of
from .filters import TcFilter
from .limits import place_of
from .mirror import COOKIE, spot_of
from .model import DOOR, ROOT, Qdisc, Timer, ours, qdisc_key
from .options import TcItem, at_the_root


def surplus(
    label: str, items: t.Sequence[TcItem], facts: Interfaces, state: State, desired: Desired,
) -> t.Iterator[KernelObject | Absent]:
    """Of all interfaces of one container. ``items``: those that are listed of it; ``desired``: what all items want."""
    rooted = {item.device for item in items if item.state == "present" and _has_a_root(item)}
    for name, device in facts.devices[label].items():
        # A pair's end on the host has what the container at the other end gets, and its mirrors.
        others = label == HOST and device.type == "veth"
        if name not in rooted:
            far = label == HOST and (owner_fields(device.owner) or (name,))[-1] != name
            yield from _root(label, name, state, desired, far)
        place = place_of(facts, label, name)
        if place.end is not None:
            waits = state.get(place.queues[1]) if place.queues[1] else None
            if maker_of(waits) == TASK and waits is not None and waits.key not in desired:
                yield Absent(waits.key)
        marks: dict[Key, set[str]] = {place.door: {TASK.cookie}}
        spot = spot_of(facts, label, name)
        if spot is not None and not others:
            marks.setdefault(qdisc_key(spot.ns, spot.device, DOOR), set()).add(COOKIE)
        for door, cookies in marks.items():
            yield from _filters(door, cookies, state, desired)


def _has_a_root(item: TcItem) -> bool:
    """Whether something is listed that stands at an interface's root, or hangs on what does."""
    return item.root is not None and item.root.parent == ROOT or any(at_the_root(item.tree))


def _root(
    label: str, name: str, state: State, desired: Desired, far: bool,
) -> t.Iterator[KernelObject | Absent]:
    have, timer = state.get(qdisc_key(label, name, ROOT)), state.get((Timer.KIND, label, name))
    if isinstance(have, Qdisc):
        limit = maker_of(have) == TASK and not far
        if have.key in desired or not (ours(have.handle) or limit or _times(timer, have)):
            return  # a timer that is about something else has its own end
        before = timer.restore if isinstance(timer, Timer) else None
        if before is not None and not ours(before.handle):
            yield dataclasses.replace(before, above=link_key(label, name))  # what the timer would bring back
        else:
            yield Absent(have.key)
    if timer is not None and timer.key not in desired:
        yield Absent(timer.key)


def _times(timer: KernelObject | None, root: Qdisc) -> bool:
    shown = root.public()
    known = timer.settings if isinstance(timer, Timer) else None
    return bool(known) and all(shown.get(name) == value for name, value in (known or {}).items())


def _filters(door: Key, marks: t.Collection[str], state: State, desired: Desired) -> t.Iterator[Absent]:
    there = [each for each in state.values() if isinstance(each, TcFilter) and each.above == door]
    gone = [each for each in there if each.owner in marks and each.key not in desired]
    yield from (Absent(each.key) for each in gone)
    if gone and len(gone) == len(there) and door not in desired:
        yield Absent(door)
