# Copyright: pipework.containers contributors
# GNU General Public License v3.0+ (see LICENSE)
"""From the options of pipework_tc and what the kernel shows to the wanted objects. Pure."""
from __future__ import annotations

import typing as t

from .._core.errors import PipeworkError
from .._core.plan import Absent, Desired, KernelObject, Key, State
from .._model.interfaces import Interfaces
from .._model.keys import link_key
from . import limits, mirror, tree
from .bandwidth import TASK, maker_of
from .filters import TcFilter
from .model import DOOR, ROOT, Qdisc, TcClass, Timer, ours, qdisc_key
from .options import Root, TcItem
from .qdiscs import QDISCS
from .units import show_handle

ANEW = "anew"  # the verb of what a script removes and makes again: nothing that stood there before stays


def wanted(
    item: TcItem, label: str, target: str | None, facts: Interfaces, state: State, purge: bool = False,
) -> list[KernelObject | Absent]:
    """The objects of one interface, and Absent for what goes. ``target``: where mirrored frames go to.
    PipeworkError for what cannot be."""
    found: Desired = {want.key: want for want in _wanted(item, label, target, facts, state, purge)}
    limited = item.bandwidth is not None or item.state == "absent" and not item.named
    if limited and item.device in facts.devices[label]:
        try:
            place = limits.place_of(facts, label, item.device, item.title)
            limits.with_limits(item, place, state, found, purge)
        except PipeworkError as error:
            raise item.refuse(str(error)) from None
    for want in [want for want in found.values() if isinstance(want, Qdisc)]:
        have = state.get(want.key)
        other = have is not None and want.parent != DOOR and want.differences(have) & {"kind", "handle"}
        if have is not None and (other or want.verb == ANEW):
            for key in _standing_on(have.key, state):
                found.setdefault(key, Absent(key))
    return list(found.values())


def _standing_on(root: Key, state: State) -> list[Key]:
    """The classes, qdiscs and filters of a tree, which could not be had back on another root."""
    found = [root]
    for above in found:
        found += [key for key, each in state.items() if each.carrier == above and key not in found]
    return found[1:]


def _wanted(
    item: TcItem, label: str, target: str | None, facts: Interfaces, state: State, purge: bool,
) -> t.Iterator[KernelObject | Absent]:
    devices = facts.devices[label]
    if item.device not in devices:
        if item.state == "absent":
            return
        has = ", ".join(sorted(devices)[:8]) or "none but the loopback"
        raise item.refuse(f"device: {item.device} does not exist in {label} (which has {has}); attach it first.")
    here = mirror.spot_of(facts, label, item.device)
    if item.state == "absent":
        if item.root is not None or not item.named:
            gone = list(_unwanted(item, label, state))
            yield from gone
            if any(each.key == qdisc_key(label, item.device, ROOT) for each in gone):
                yield Absent((Timer.KIND, label, item.device))
        if item.mirror is not None or not item.named:
            yield from mirror.unwanted(here, state)
    elif item.root is not None:
        root = wanted_root(item, label, item.root, state, purge)
        yield root
        if root.parent == ROOT:
            yield _timed(item, root, state)
    for want in _tree(item, label, state):
        if isinstance(want, Absent) and want.key == qdisc_key(label, item.device, ROOT):
            yield Absent((Timer.KIND, label, item.device))
        if isinstance(want, Qdisc) and want.parent in (ROOT, DOOR):
            _refuse_foreign(item, want, state, purge)
        yield want
    if item.mirror is not None and target is not None and item.state == "present":
        yield from mirror.wanted(item, label, target, facts, state)


def _tree(item: TcItem, label: str, state: State) -> t.Iterator[KernelObject | Absent]:
    try:
        yield from tree.wanted(item.tree, label, item.device, state)
    except PipeworkError as error:
        raise item.refuse(str(error)) from None


def wanted_root(item: TcItem, label: str, root: Root, state: State, purge: bool = False) -> Qdisc:
    """A qdisc in its place; PipeworkError where somebody else's is."""
    want = Qdisc(
        label, item.device, root.kind, QDISCS[root.kind].canonical(root.given), given=root.given, parent=root.parent,
        handle=root.handle, above=link_key(label, item.device), verb=item.verb,
    )
    have = t.cast("Qdisc | None", state.get(want.key))
    theirs = have is not None and not (
        ours(have.handle) or item.force or limits.stands_aside(item, have, purge)
    )
    if theirs and have is not None and have.kind == root.kind and not want.differences(have) - {"handle"}:
        return Qdisc(label, item.device, root.kind, parent=root.parent)  # somebody else's, and just so
    _refuse_foreign(item, want, state, purge)
    return want


def _timed(item: TcItem, root: Qdisc, state: State) -> Timer | Absent:
    """What ends it. One that is there for good ends the wish that it shall end."""
    key = (Timer.KIND, root.ns, root.device)
    if item.duration is None:
        return Absent(key)
    have = t.cast("Qdisc | None", state.get(root.key))
    before = have if have is not None and root.differences(have) else None
    if before is not None and root.must_replace(before) and any(each.carrier == before.key for each in state.values()):
        raise item.refuse(f"duration: {item.title} has a tree of qdiscs, which could not be had back afterwards.")
    whole = t.cast(Qdisc, root.over(have)) if have is not None and not root.must_replace(have) else root
    return Timer(root.ns, root.device, item.duration, root.public(), ends=whole, restore=before)


def check_verb(item: TcItem, want: KernelObject | Absent, state: State) -> None:
    """That the verb of a command fits what is there. What is there already is no error, if it is the same."""
    have = state.get(want.key)
    if isinstance(want, Absent) or not isinstance(want, (Qdisc, TcClass, TcFilter)):
        return
    verb = want.verb or item.verb
    if verb == "add" and have is not None and want.differences(have) - {"handle"}:
        raise item.refuse(f"cmd: {have.name}: File exists: another {have.KIND} stands there; 'replace' changes it.")
    if verb == "change" and (have is None or want.must_replace(have) and "kind" in want.differences(have)):
        raise item.refuse(f"cmd: {want.name}: No such file or directory: no such {want.KIND} is there to be changed.")


def _refuse_foreign(item: TcItem, want: Qdisc, state: State, purge: bool) -> None:
    """What somebody else made stays, unless it is named by its handle, or it is said that it need not."""
    have = t.cast("Qdisc | None", state.get(want.key))
    if have is None or ours(have.handle) or item.force or have.handle == want.handle and have.kind == want.kind:
        return
    if not limits.stands_aside(item, have, purge):
        raise _foreign(item, have, "replaces")


def _foreign(item: TcItem, have: Qdisc, does: str) -> PipeworkError:
    if maker_of(have) is not None:
        return limits.refuse(item, have, does)
    return item.refuse(
        f"device: {item.title} has a qdisc that is not ours, {have.kind} {show_handle(have.handle or 0)}; "
        f"'force: true' {does} it."
    )


def _unwanted(item: TcItem, label: str, state: State) -> t.Iterator[Absent]:
    parent = item.root.parent if item.root else 0xFFFFFFFF
    have = t.cast("Qdisc | None", state.get(qdisc_key(label, item.device, parent)))
    if have is None or (item.root is not None and have.kind != item.root.kind):
        return
    chosen = item.root is not None and have.handle == item.root.handle
    if parent == DOOR:
        busy = [each for each in state.values() if each.carrier == have.key]
        if busy and not item.force:
            first = busy[0].name
            raise item.refuse(f"{have.kind}: {item.title} has filters there, {first}; 'force: true' removes all.")
    elif not (ours(have.handle) or chosen or item.force):
        if maker_of(have) is not None and item.bandwidth is not None or maker_of(have) == TASK and not item.named:
            return  # the limits go besides
        raise _foreign(item, have, "removes")
    yield Absent(have.key)
