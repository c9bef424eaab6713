# Copyright: pipework.containers contributors
# GNU General Public License v3.0+ (see LICENSE)
"""What is ours on a container's interfaces and nobody listed. Pure.

Ours is what says so: a qdisc at the root with a handle of ours, all that hangs on it, the qdisc of a timer that runs,
and filters with the mark of a mirror. A qdisc with a handle that somebody chose, and what stands at ingress or clsact,
says nothing of its owner, and is left alone.
"""
from __future__ import annotations

import dataclasses
import typing as t

from ._facts import Facts, link_key
from ._model import HOST
from ._plan import Absent, Desired, KernelObject, State
from ._tc_filters import SIDES, TcFilter
from ._tc_mirror import COOKIE, spot_of
from ._tc_model import DOOR, ROOT, Qdisc, Timer, ours, qdisc_key
from ._tc_options import TcItem


def surplus(
    label: str, items: t.Sequence[TcItem], facts: Facts, state: State, desired: Desired,
) -> t.Iterator[KernelObject | Absent]:
    """Of all interfaces of one container. ``items``: those that are listed of it; ``desired``: what all items want."""
    rooted = {item.device for item in items if item.state == "present" and _has_a_root(item)}
    for name, device in facts.devices[label].items():
        if name not in rooted:
            yield from _root(label, name, state, desired)
        # A pair's end on the host has the mirror of the container at the other end.
        if label != HOST or device.type != "veth":
            yield from _mirror(label, name, facts, state, desired)


def _has_a_root(item: TcItem) -> bool:
    """Whether something is listed that stands at an interface's root, or hangs on what does."""
    qdiscs = [t.cast(Qdisc, each.item).parent for each in item.tree.qdiscs]
    filters = [t.cast(TcFilter, each.item).parent for each in item.tree.filters]
    return (
        item.root is not None and item.root.parent == ROOT or bool(item.tree.classes)
        or any(parent != DOOR for parent in qdiscs) or any(parent not in SIDES for parent in filters)
    )


def _root(label: str, name: str, state: State, desired: Desired) -> t.Iterator[KernelObject | Absent]:
    have, timer = state.get(qdisc_key(label, name, ROOT)), state.get((Timer.KIND, label, name))
    if isinstance(have, Qdisc):
        if have.key in desired or not (ours(have.handle) or _times(timer, have)):
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


def _mirror(label: str, name: str, facts: Facts, state: State, desired: Desired) -> t.Iterator[Absent]:
    here = spot_of(facts, label, name)
    if here is None:
        return
    door = qdisc_key(here.ns, here.device, DOOR)
    there = [each for each in state.values() if isinstance(each, TcFilter) and each.above == door]
    gone = [each for each in there if each.owner == COOKIE and each.key not in desired]
    yield from (Absent(each.key) for each in gone)
    if gone and len(gone) == len(there) and door not in desired:
        yield Absent(door)
