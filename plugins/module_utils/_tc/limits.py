# Copyright: pipework.containers contributors
# GNU General Public License v3.0+ (see LICENSE)
"""The option ``bandwidth`` of pipework_tc, among what else one interface shall have. Pure."""
from __future__ import annotations

import typing as t

from .._core.errors import PipeworkError
from .._core.plan import Absent, Desired, KernelObject, State
from .._model.interfaces import Interfaces
from .actions import MARK
from .bandwidth import ATTACHMENT, MAKERS, TASK, Bandwidth, Place, limits_at, maker_of, wanted
from .filters import TcFilter
from .model import Qdisc, Timer, ours
from .options import TcItem
from .units import show_handle


def place_of(facts: Interfaces, label: str, name: str, title: str = "") -> Place:
    """An interface that is there, with its end on the host if both are of an attachment."""
    end = facts.host_end(label, facts.devices[label][name])
    return Place(title, label, name, end.name if end is not None and end.owner else None)


def stands_aside(item: TcItem, have: Qdisc, purge: bool) -> bool:
    """Whether a limit makes room for a qdisc: the item says that there is none to what is sent, or it is not listed."""
    maker = maker_of(have)
    return maker is not None and (item.bandwidth is not None or purge and maker == TASK)


def refuse(item: TcItem, have: Qdisc, does: str) -> PipeworkError:
    """The error about a limit in the way."""
    whose = "the limit of an attachment's bandwidth" if maker_of(have) == ATTACHMENT else "the limit of a bandwidth"
    return item.refuse(
        f"device: {item.title} has {whose}, {have.kind} {show_handle(have.handle or 0)}; 'bandwidth: {{}}' takes all "
        f"limits away, and 'force: true' {does} this one."
    )


def with_limits(item: TcItem, place: Place, state: State, found: Desired, purge: bool) -> None:
    """Adds to what the other options want what ``bandwidth`` does. PipeworkError for what cannot be."""
    for want in _wanted(item, place, state, purge):
        also = found.get(want.key)
        if also is None or isinstance(also, Absent):
            found[want.key] = want  # what others want stays: the place where both have filters, or their root
    there = [each for each in state.values() if isinstance(each, TcFilter) and each.above == place.door]
    marked = there and all(isinstance(found.get(each.key), Absent) and _is_marked(each) for each in there)
    stands = any(isinstance(want, TcFilter) and want.above == place.door for want in found.values())
    if marked and not stands:
        found.setdefault(place.door, Absent(place.door))


def _wanted(item: TcItem, place: Place, state: State, purge: bool) -> t.Iterator[KernelObject | Absent]:
    def may_replace(have: Qdisc) -> bool:
        return item.force or purge and ours(have.handle) and have.ns == place.label

    if item.state == "absent":
        makers = MAKERS if item.bandwidth is not None else (TASK,)
        gone = {have.key for have in limits_at(place, state, makers).values()}
        yield from (want for want in wanted(Bandwidth(), place, state) if want.key in gone)
        return
    limits = t.cast(Bandwidth, item.bandwidth)
    yield from wanted(limits, place, state, TASK, may_replace)
    have = state.get(place.queues[0])
    if limits.egress is not None and have is not None and maker_of(have) is None:
        yield Absent((Timer.KIND, place.label, place.interface))


def _is_marked(each: TcFilter) -> bool:
    return (each.owner or "").startswith(MARK)
