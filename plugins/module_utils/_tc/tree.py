# Copyright: pipework.containers contributors
# GNU General Public License v3.0+ (see LICENSE)
"""Whole trees: the lists ``qdiscs``, ``classes`` and ``filters``, checked, and what they stand for. Pure."""
from __future__ import annotations

import dataclasses
import typing as t

from .._core.errors import PipeworkError
from .._core.plan import Absent, KernelObject, State
from .actions import canonical_actions, read_actions
from .filters import EGRESS, FILTERS, INGRESS, TcFilter, read_protocol
from .model import DOOR, OURS, ROOT, Qdisc, TcClass, place
from .qdiscs import AT_THE_DOOR, CLASSES, QDISCS, kind_of
from .units import NUMBER32, read_handle, show_handle

FIRST_PRIORITY = 28800  # of filters that are given none
MANAGED = t.Union[Qdisc, TcClass]


@dataclasses.dataclass(frozen=True)
class Branch:
    """One item of one of the lists, as an object that does not know yet where it is."""

    item: KernelObject
    state: str
    where: str

    def refuse(self, message: str) -> PipeworkError:
        return PipeworkError(f"{self.where}.{message}")


@dataclasses.dataclass(frozen=True)
class Tree:
    """What the three lists say."""

    qdiscs: tuple[Branch, ...] = ()
    classes: tuple[Branch, ...] = ()
    filters: tuple[Branch, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.qdiscs or self.classes or self.filters)


NOTHING = Tree()


def from_params(params: t.Mapping[str, t.Any]) -> Tree:
    """PipeworkError for what cannot be, whatever there is."""
    absent = params.get("state") == "absent"
    readers = {"qdiscs": _read_qdisc, "classes": _read_class, "filters": _read_filter}
    lists: dict[str, tuple[Branch, ...]] = {}
    for name, reader in readers.items():
        found = []
        for number, given in enumerate(params.get(name) or ()):
            where = f"{name}[{number}]"
            options = {key: value for key, value in given.items() if value is not None}
            state = str(options.pop("state", "absent" if absent else "present"))
            if state not in ("present", "absent"):
                raise PipeworkError(f"{where}.state: {state!r} is not one of present, absent.")
            try:
                found.append(Branch(reader(options, where, state == "absent"), state, where))
            except PipeworkError as error:
                text = str(error)
                raise PipeworkError(text if text.startswith(where) else f"{where}.{text}") from None
        verbs = (params.get("verbs") or {}).get(name, ())  # of lines of a script, one for each
        found[:len(verbs)] = [_asked(*each) for each in zip(found, verbs)]
        lists[name] = tuple(found)
    tree = Tree(**lists)
    _refuse_twice(tree)
    return tree


def _asked(branch: Branch, verb: str) -> Branch:
    return dataclasses.replace(branch, item=dataclasses.replace(branch.item, verb=verb))  # type: ignore[call-arg]


def _read_qdisc(given: dict[str, t.Any], where: str, absent: bool) -> Qdisc:
    name = str(given.pop("kind", ""))
    kind = kind_of(name, "kind") if not absent or name else None
    parent = read_handle(given.pop("parent", "root"), "parent")
    handle = given.pop("handle", None)
    number = None if handle is None else read_handle(handle, "handle")
    if name in AT_THE_DOOR:
        parent, number = DOOR, DOOR & 0xFFFF0000
    elif number is not None and (number & 0xFFFF or not 0 < number >> 16 < 0xFFFF):
        raise PipeworkError(f"handle: {handle!r} is not that of a qdisc, such as 1: (to fffe:).")
    elif number is None and parent == ROOT and not absent:
        number = OURS << 16
    if kind is None or absent:
        return Qdisc("", "", name or None, parent=parent, handle=number)
    options = kind.read(given, where)
    return Qdisc("", "", name, kind.canonical(options), given=options, parent=parent, handle=number)


def _read_class(given: dict[str, t.Any], where: str, absent: bool) -> TcClass:
    if "classid" not in given:
        raise PipeworkError("classid: say which class, such as 1:10.")
    classid = read_handle(given["classid"], "classid")
    if not classid & 0xFFFF or not classid >> 16:
        raise PipeworkError(f"classid: {given['classid']!r} is not that of a class, such as 1:10.")
    parent = read_handle(given.get("parent", show_handle(classid & 0xFFFF0000)), "parent")
    if parent >> 16 not in (classid >> 16, 0xFFFF):
        raise PipeworkError(f"parent: {given['parent']!r} is of another qdisc than the class {given['classid']}.")
    options = {key: value for key, value in given.items() if key not in ("classid", "parent", "kind")}
    name = None if given.get("kind") is None else str(given["kind"])
    if name is not None and name not in CLASSES:
        raise PipeworkError(f"kind: {name!r} has no classes of its own; {', '.join(CLASSES)} have.")
    return TcClass("", "", name, given=options, classid=classid, parent=parent)


def _read_filter(given: dict[str, t.Any], where: str, absent: bool) -> TcFilter:
    name = str(given.pop("kind", "u32"))
    if name not in FILTERS:
        raise PipeworkError(f"kind: {name!r} is not a filter that is known here; {', '.join(FILTERS)} are.")
    kind = FILTERS[name]
    if "parent" not in given:
        raise PipeworkError("parent: say where the filter stands: ingress, egress, or a qdisc such as 1:.")
    words = {"ingress": INGRESS, "egress": EGRESS}
    place_ = words.get(str(given["parent"])) or read_handle(given["parent"], "parent")
    matches = [given["match"]] if isinstance(given.get("match"), str) else given.get("match") or []
    if not isinstance(matches, list):
        raise PipeworkError("match: it is not a list; one of strings such as 'ip dst 10.0.0.1/32' would be right.")
    first = str(matches[0]).split()[:1] if matches else []
    usual = {"ip": "ip", "ip6": "ipv6"}.get(first[0] if first else "", "all")
    if name == "flower":
        usual = _protocol_of(given)
    protocol = read_protocol(given.get("protocol", usual))
    own = ("parent", "protocol", "priority", "chain", "classid", "actions")
    for option in given:
        if option not in own and option not in kind.options:
            listed = ", ".join((*own, *kind.options))
            raise PipeworkError(f"{option}: {name} has no such option; it has {listed}.")
    priority, chain = (NUMBER32.read(given.get(option, 0)) for option in ("priority", "chain"))
    if priority > 0xFFFF:
        raise PipeworkError(f"priority: {given['priority']!r} is out of range; there are 1 to 65535.")
    classid = read_handle(given["classid"], "classid") if "classid" in given else None
    return TcFilter(
        "", "", place_, protocol, priority, chain, name, kind.match(given, protocol), classid=classid,
        actions=canonical_actions(read_actions(given.get("actions"), where)), path=given.get("path"),
    )


def _protocol_of(given: t.Mapping[str, t.Any]) -> str:
    """The protocol that a flower's fields are of."""
    if "vlan_id" in given or "vlan_prio" in given:
        return "802.1q"
    addresses = [str(given[name]) for name in ("src_ip", "dst_ip") if name in given]
    if any(":" in address for address in addresses):
        return "ipv6"
    return "ip" if addresses or "ip_proto" in given else "all"


def _refuse_twice(tree: Tree) -> None:
    seen: dict[t.Any, Branch] = {}
    for branch in (*tree.qdiscs, *tree.classes):
        item = t.cast(MANAGED, branch.item)
        names = [("parent", item.parent), ("handle", item.handle)] if isinstance(item, Qdisc) else \
            [("classid", item.classid)]
        for option, value in names:
            if value is None:
                continue
            other = seen.setdefault((option, value), branch)
            if other is not branch:
                raise branch.refuse(f"{option}: {show_handle(value)} is that of {other.where} too; each needs its own.")


def wanted(tree: Tree, label: str, device: str, state: State) -> t.Iterator[KernelObject | Absent]:
    """The objects on one interface, root first; ``state``: what stands there."""
    here = [each for each in state.values() if getattr(each, "device", None) == device and each.ns == label]
    going = {
        _placed(branch, label, device).key for branch in (*tree.qdiscs, *tree.classes) if branch.state == "absent"
    }
    qdiscs = {each.key: each for each in here if isinstance(each, Qdisc) and each.key not in going}
    classes = {each.key: each for each in here if isinstance(each, TcClass) and each.key not in going}
    new_qdiscs: list[tuple[Branch, Qdisc]] = []
    new_classes: list[tuple[Branch, TcClass]] = []
    for branch in tree.qdiscs:
        item = t.cast(Qdisc, _placed(branch, label, device))
        if branch.state == "present":
            new_qdiscs.append((branch, item))
            qdiscs[item.key] = item if item.handle is not None or item.key not in qdiscs else dataclasses.replace(
                item, handle=qdiscs[item.key].handle)
        elif item.key in state:
            yield Absent(item.key)
    for branch in tree.classes:
        owned = t.cast(TcClass, _placed(branch, label, device))
        if branch.state == "present":
            made = _of_its_kind(branch, owned, qdiscs.values())
            new_classes.append((branch, made))
            classes[made.key] = made
        elif owned.key in state:
            yield Absent(owned.key)
    placed = place(list(qdiscs.values()), list(classes.values()))
    both: list[tuple[Branch, MANAGED]] = [*new_qdiscs, *new_classes]
    for branch, item_ in both:
        _check_parent(branch, item_, device, qdiscs.values(), classes.values())
        final = t.cast(MANAGED, placed[item_.key])
        yield dataclasses.replace(item_, above=final.above, depth=final.depth)
    yield from _filters(tree, label, device, here, list(qdiscs.values()))


def _placed(branch: Branch, label: str, device: str) -> KernelObject:
    return dataclasses.replace(branch.item, ns=label, device=device)  # type: ignore[call-arg]


def _of_its_kind(branch: Branch, item: TcClass, qdiscs: t.Iterable[Qdisc]) -> TcClass:
    """A class is of the kind of its qdisc, which says what options it has."""
    owner = next((each for each in qdiscs if each.handle == item.classid & 0xFFFF0000), None)
    if owner is None:
        raise branch.refuse(f"classid: there is no qdisc {show_handle(item.classid & 0xFFFF0000)} for the class "
                            f"{show_handle(item.classid)}; make it in 'qdiscs'.")
    name = str(item.kind or owner.kind)
    if name != owner.kind or name not in CLASSES:
        raise branch.refuse(f"classid: {show_handle(item.classid)} is of a {owner.kind}, "
                            + (f"not {name}." if owner.kind in CLASSES else "which has no classes of its own."))
    kind = CLASSES[name]
    options = kind.read(item.given or {}, branch.where)
    parent = ROOT if item.parent == item.classid & 0xFFFF0000 and name != "hfsc" else item.parent
    return dataclasses.replace(
        item, kind=name, settings=kind.canonical(options), given=options, parent=parent,
    )


def _check_parent(
    branch: Branch, item: MANAGED, device: str, qdiscs: t.Iterable[Qdisc], classes: t.Iterable[TcClass],
) -> None:
    if item.parent in (ROOT, DOOR):
        return
    owner = next((each for each in qdiscs if each.handle == item.parent & 0xFFFF0000), None)
    made = {each.classid for each in classes}
    by_itself = owner is not None and QDISCS.get(str(owner.kind)) is not None and owner.kind not in CLASSES
    if owner is None or item.parent & 0xFFFF and item.parent not in made and not by_itself:
        has = ", ".join(sorted(show_handle(each.handle or 0) for each in qdiscs if each.handle))
        has += "".join(f", {show_handle(each)}" for each in sorted(made))
        raise branch.refuse(f"parent: {show_handle(item.parent)} is not there; {device} has {has or 'none'}.")


def _filters(
    tree: Tree, label: str, device: str, here: t.Sequence[KernelObject], qdiscs: t.Sequence[Qdisc],
) -> t.Iterator[KernelObject | Absent]:
    there = [each for each in here if isinstance(each, TcFilter)]
    used = {each.priority for each in there} | {t.cast(TcFilter, b.item).priority for b in tree.filters}
    taken: set[t.Any] = set()
    for branch in tree.filters:
        item = t.cast(TcFilter, _placed(branch, label, device))
        above = _stands_on(branch, item, device, qdiscs)
        if not item.priority:
            like = [each for each in there if each.priority >= FIRST_PRIORITY and each.key not in taken
                    and dataclasses.replace(item, priority=each.priority).key == each.key]
            number = like[0].priority if like else min(set(range(FIRST_PRIORITY, 0xFFFF)) - used)
            used.add(number)
            item = dataclasses.replace(item, priority=number)
        if item.key in taken:
            raise branch.refuse("match: the same is matched twice in one place; leave one out.")
        taken.add(item.key)
        if branch.state == "absent":
            yield Absent(item.key)
        else:
            yield dataclasses.replace(item, above=above)


def _stands_on(branch: Branch, item: TcFilter, device: str, qdiscs: t.Sequence[Qdisc]) -> t.Any:
    if item.parent in (INGRESS, EGRESS):
        kinds = ("clsact",) if item.parent == EGRESS else AT_THE_DOOR
        found = next((each for each in qdiscs if each.kind in kinds), None)
        need = " or ".join(kinds)
    else:
        found = next((each for each in qdiscs if each.handle == item.parent & 0xFFFF0000), None)
        need = show_handle(item.parent & 0xFFFF0000)
    if found is None and branch.state == "present":
        raise branch.refuse(f"parent: {device} has no qdisc {need}; make it in 'qdiscs'.")
    return found.key if found else None
