# Copyright: pipework.containers contributors
# GNU General Public License v3.0+ (see LICENSE)
"""Lines of a script about the traffic control of one interface as one tree. Pure.

The lines are played in their order on what is known of the interface, which is nothing at first. What is left are the
qdiscs, classes and filters that the last line leaves, and those that some line has removed.
"""
from __future__ import annotations

import dataclasses
import typing as t

from .._core.errors import PipeworkError
from .._grammar import tc
from .._tc.qdiscs import AT_THE_DOOR, QDISCS
from .commands import Command

Item = dict[str, t.Any]
LISTS = ("qdiscs", "classes", "filters")
DONE = ("classid", "actions")  # of a filter: what is done with what it matches
ROOT, DOOR = "root", "ingress"
EXISTS = "File exists: {} makes another {} there; 'replace' would take its place"
GONE = "No such file or directory: {} takes the {} away that is to be changed"


@dataclasses.dataclass(frozen=True)
class Merged(Command):
    """What several lines leave of one interface. ``lines``: which one an item of a list comes from."""

    item: Item = dataclasses.field(default_factory=dict)
    lines: dict[str, str] = dataclasses.field(default_factory=dict)

    @property
    def options(self) -> Item:
        return dict(self.item)

    def where_of(self, branch: str) -> str | None:
        return self.lines.get(branch)


@dataclasses.dataclass
class Slot:
    """The last word about one place. ``verb``: add, change, replace, del, or anew: in place of what a line removed."""

    verb: str
    item: Item
    command: Command

    @property
    def stays(self) -> bool:
        return self.verb != "del"


class Tree:
    """What is known of one interface."""

    def __init__(self) -> None:
        self.slots: dict[str, dict[t.Any, Slot]] = {name: {} for name in LISTS}

    def play(self, command: Command) -> None:
        """One line more. Raises PipeworkError for what tc would fail at."""
        said = tc.parse(command.line.params["cmd"], command.where)
        name, place, item = _read(said.params)
        slots, before = self.slots[name], self.slots[name].get(place)
        sort = {"classes": "class"}.get(name, name[:-1])

        def refuse(words: str) -> PipeworkError:
            other = before.command.where if before is not None else ""
            return PipeworkError(f"{command.where}: {words.format(other, sort)}.")

        if before is None and place == ROOT:
            self._clear(str(item.get("handle", "")).rstrip(":") if said.verb != "del" else "")
        if said.verb == "del":
            if before is not None and not before.stays:
                return  # which tc fails at, and nothing is otherwise
            self._remove(name, place, item, refuse)
            item = item if before is None else {
                key: value for key, value in item.items() if key in ("parent", "classid") or name == "filters"
            }
            slots.pop(place, None)
            slots[place] = Slot("del", item, command)
            return
        if before is None or not before.stays:
            if said.verb == "change" and before is not None:
                raise refuse(GONE)
            anew = before is not None and name == "qdiscs"
            new = before is not None or self._owner_is_new(item)
            verb = "anew" if anew else "replace" if new and said.verb == "add" else said.verb
            slots.pop(place, None)
            slots[place] = Slot(verb, item, command)
            return
        if said.verb == "add":
            if before.item != item:
                raise refuse(EXISTS)
            return
        self._change(said.verb, name, place, item, command, refuse)

    def _change(
        self, verb: str, name: str, place: t.Any, item: Item, command: Command,
        refuse: t.Callable[[str], PipeworkError],
    ) -> None:
        before = self.slots[name][place]
        stays = {key: value for key, value in before.item.items() if key in ("handle", "parent", "kind")}
        if name != "filters" and before.item.get("kind") == item.get("kind", before.item.get("kind")):
            item = {**stays, **item}
        same = all(before.item.get(key) == item.get(key) for key in ("kind", "handle"))
        if verb == "change" and not same:
            raise refuse("Invalid argument: {} makes a {} of another kind or handle there")
        if not same and name == "qdiscs":
            self._drop(name, place)
        renewed = before.verb == "anew" or name == "qdiscs" and not same
        self.slots[name][place] = Slot("anew" if renewed else "replace", item, command)

    def _remove(self, name: str, place: t.Any, item: Item, refuse: t.Callable[[str], PipeworkError]) -> None:
        before = self.slots[name].get(place)
        if before is None:
            return
        for key in ("kind", "handle"):
            if name != "filters" and key in item and key in before.item and item[key] != before.item[key]:
                raise refuse(f"Invalid argument: {{}} makes a {{}} of another {key} there")
        inner = [slot for slot in self.slots["classes"].values() if slot.stays and slot.item.get("parent") == place]
        if name == "classes" and inner:
            raise refuse(f"Device or resource busy: the {{1}} has classes, of {inner[0].command.where}")
        self._drop(name, place)
        if place == ROOT:
            self._clear("")

    def _clear(self, major: str) -> None:
        """Another root: what lines have put on the one before it went with that."""
        for name, at in (("classes", None), ("filters", 0), ("qdiscs", None)):
            for key in list(self.slots[name]):
                where = key if at is None else key[at]
                if where not in (ROOT, DOOR, "egress") and _major(where) != major:
                    del self.slots[name][key]

    def _drop(self, name: str, place: t.Any) -> None:
        for below in self._below(name, place):
            self.slots[below[0]].pop(below[1], None)

    def _below(self, name: str, place: t.Any, passed: tuple[t.Any, ...] = ()) -> list[tuple[str, t.Any]]:
        """What goes with it."""
        if place in passed:
            return []
        passed = (*passed, place)
        if name == "filters":
            return []
        if name == "classes":
            tops = [("qdiscs", place)] if place in self.slots["qdiscs"] else []
            return [each for top in tops for each in (top, *self._below(*top, passed[:-1]))]
        item = self.slots[name][place].item
        if place == DOOR:
            return [("filters", key) for key in self.slots["filters"] if key[0] in ("ingress", "egress")]
        major = str(item.get("handle", "")).rstrip(":")
        if not major:
            return []
        found: list[tuple[str, t.Any]] = []
        for key in self.slots["classes"]:
            found += [("classes", key)] if _major(key) == major else []
        found += [("filters", key) for key in self.slots["filters"] if _major(key[0]) == major]
        for key in self.slots["qdiscs"]:
            if key not in (ROOT, DOOR) and _major(key) == major:
                found += [("qdiscs", key), *self._below("qdiscs", key, passed)]
        return found

    def _owner_is_new(self, item: Item, passed: tuple[Item, ...] = ()) -> bool:
        """Whether what it stands on is made where a line has removed all."""
        parent = item.get("parent") or item.get("classid")
        side, major = parent in ("ingress", "egress"), _major(parent)
        for key, slot in self.slots["qdiscs"].items():
            mine = key == DOOR if side else str(slot.item.get("handle", "")).rstrip(":") == major
            if mine and major and slot.stays and slot.item not in passed:
                return slot.verb == "anew" or self._owner_is_new(slot.item, (*passed, slot.item))
        return False

    def item(self, device: str) -> tuple[Item, dict[str, str]]:
        """As options of pipework_tc, and which line an item is of."""
        found: Item = {"device": device, "verbs": {name: [] for name in LISTS}}
        lines: dict[str, str] = {}
        for name in LISTS:
            listed = list(self.slots[name].items())
            if name == "filters":  # of those without a priority the kernel puts each new one before the others
                listed = [each for each in listed if "priority" in each[1].item] + \
                    [each for each in listed if "priority" not in each[1].item][::-1]
            for place, slot in listed:
                if name == "qdiscs" and place in (ROOT, DOOR) and slot.verb != "add":
                    found["force"] = True
                if name == "qdiscs" and place == ROOT and slot.stays and "handle" not in slot.item:
                    found[slot.item["kind"]] = {k: v for k, v in slot.item.items() if k not in ("parent", "kind")}
                    found["verbs"]["root"] = slot.verb  # one on which nothing stands may be somebody else's, just so
                    continue
                lines[f"{name}[{len(found.get(name, ()))}]"] = slot.command.where
                state = {} if slot.stays else {"state": "absent"}
                found.setdefault(name, []).append({**slot.item, **state})
                found["verbs"][name].append(slot.verb)
        return found, lines


def _major(place: object) -> str:
    return str(place or "").partition(":")[0]


def _read(params: t.Mapping[str, t.Any]) -> tuple[str, t.Any, Item]:
    """The list that a line is about, the place in it, and the item."""
    if "classes" in params:
        item = dict(params["classes"][0])
        return "classes", item["classid"], item
    if "filters" in params:
        item = dict(params["filters"][0])
        said = tuple(sorted((key, str(value)) for key, value in item.items() if key not in DONE))
        return "filters", (item["parent"], said), item
    if "qdiscs" in params:
        item = dict(params["qdiscs"][0])
        return "qdiscs", item["parent"], item
    kind = next((name for name in QDISCS if name in params), None)
    options = dict(params[kind]) if kind is not None else {}
    if kind in AT_THE_DOOR:
        return "qdiscs", DOOR, {"kind": kind}
    handle = {"handle": params["handle"]} if "handle" in params else {}
    return "qdiscs", ROOT, {"parent": ROOT, **({} if kind is None else {"kind": kind}), **handle, **options}


def folded(commands: t.Sequence[Command]) -> list[Command]:
    """Lines of tc: those of one interface as one."""
    groups: dict[tuple[str, str], list[Command]] = {}
    for command in commands:
        device = tc.parse(command.line.params["cmd"], command.where).params["device"]
        groups.setdefault((command.line.params["container"], device), []).append(command)
    found: list[Command] = []
    for (container, device), lines in groups.items():
        if len(lines) == 1:
            found += lines
            continue
        tree = Tree()
        for line in lines:
            tree.play(line)
        item, wheres = tree.item(device)
        found.append(Merged(lines[0].where, lines[0].line, {"container": container, **item}, wheres))
    return found
