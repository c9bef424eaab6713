# Copyright: pipework.containers contributors
# GNU General Public License v3.0+ (see LICENSE)
"""Copies of one interface's frames for another. Pure.

Where both interfaces are veths, their other ends are both on the host, and the kernel can copy from one to the other
there: what the container sends comes in at its host end, and what goes out of a host end comes in at the container.
So nothing is to be seen, or undone, in either container. A filter of ours is marked by the cookie of its action, and
has a priority of its own; it lets all frames go on to other filters.
"""
from __future__ import annotations

import dataclasses
import typing as t

from .._core.plan import Absent, KernelObject, State
from .._model.interfaces import Interfaces
from .._model.keys import link_key
from .._model.layer3 import HOST
from .actions import MARK, canonical_actions
from .filters import EGRESS, INGRESS, TcFilter
from .model import DOOR, Qdisc, qdisc_key
from .options import Mirror, TcItem

# Not the same on both sides: the kernel keeps the u32 filters of both in one table by their priority, and shows each
# side those of the other.
PRIORITIES = {INGRESS: 112, EGRESS: 113}
COOKIE = f"{MARK}:mirror"  # of 16 bytes at most


@dataclasses.dataclass(frozen=True)
class Spot:
    """Where an interface can be had hold of. ``turned``: from the other end of its pair, where in is out."""

    ns: str
    device: str
    turned: bool

    def side(self, direction: str) -> int:
        """Where frames pass that the container sends (egress), or gets."""
        return INGRESS if (direction == "egress") == self.turned else EGRESS


def spot_of(facts: Interfaces, label: str, name: str) -> Spot | None:
    """None where the interface is not there."""
    device = facts.devices[label].get(name)
    if device is None:
        return None
    end = facts.host_end(label, device) if label != HOST else None
    return Spot(HOST, end.name, True) if end is not None else Spot(label, name, False)


def wanted(item: TcItem, label: str, target: str, facts: Interfaces, state: State) -> t.Iterator[KernelObject | Absent]:
    """What makes the copies. PipeworkError where the kernel cannot."""
    mirror = t.cast(Mirror, item.mirror)
    here, there = spot_of(facts, label, item.device), spot_of(facts, target, mirror.interface)
    if here is None:
        return
    if there is None:
        has = ", ".join(sorted(facts.devices[target])[:8]) or "none but the loopback"
        raise item.refuse(f"mirror.to_interface: {mirror.interface} does not exist in {target} (which has {has}).")
    if (label, item.device) == (target, mirror.interface):
        raise item.refuse(f"mirror.to_interface: {mirror.interface} cannot have copies of itself.")
    if here.ns != there.ns:
        lame, which = (item.device, here) if here.ns != HOST else (mirror.interface, there)
        raise item.refuse(
            f"mirror: {which.ns}/{lame} has no end on the host, so that no frame can be copied between it and "
            f"{mirror.interface if which is here else item.device}; both have to be of kind bridge or veth, "
            "or in one container."
        )
    if there.ns != HOST or there.turned or target == HOST:
        yield from _filters(item, here, there, mirror, state)


def _filters(item: TcItem, here: Spot, there: Spot, mirror: Mirror, state: State) -> t.Iterator[KernelObject | Absent]:
    sides = {here.side(way) for way in ("ingress", "egress") if mirror.direction in ("both", way)}
    yield door(item, here, EGRESS in sides, state)
    given = {"kind": "mirred", "to": "egress mirror", "device": there.device, "control": "continue", "cookie": COOKIE}
    for side in (INGRESS, EGRESS):
        found = filter_of(here, side)
        if side in sides:
            yield dataclasses.replace(found, actions=canonical_actions([given]))
        else:
            yield Absent(found.key)


def filter_of(here: Spot, side: int) -> TcFilter:
    above = qdisc_key(here.ns, here.device, DOOR)
    return TcFilter(here.ns, here.device, side, priority=PRIORITIES[side], above=above)


def door(item: TcItem, here: Spot, egress: bool, state: State) -> Qdisc:
    """The place where filters stand; somebody else's serves as well."""
    have = state.get(qdisc_key(here.ns, here.device, DOOR))
    kind = str(have.kind) if isinstance(have, Qdisc) else "clsact"
    if egress and kind == "ingress":
        raise item.refuse(
            f"device: {here.device} has the qdisc ingress, where no filters of the other direction can stand; "
            "replace it by clsact, or choose one direction."
        )
    return Qdisc(
        here.ns, here.device, kind, {}, parent=DOOR, handle=DOOR & 0xFFFF0000, above=link_key(here.ns, here.device),
    )


def unwanted(here: Spot | None, state: State, mark: str = COOKIE) -> t.Iterator[Absent]:
    """Our filters go, and with the last filter the place where they stood."""
    if here is None:
        return
    place = qdisc_key(here.ns, here.device, DOOR)
    there = [each for each in state.values() if isinstance(each, TcFilter) and each.above == place]
    ours = [each for each in there if each.owner == mark]
    yield from (Absent(each.key) for each in ours)
    if ours and len(ours) == len(there):
        yield Absent(place)
