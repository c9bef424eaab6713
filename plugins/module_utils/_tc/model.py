# Copyright: pipework.containers contributors
# GNU General Public License v3.0+ (see LICENSE)
"""Queueing disciplines, their classes, and filters, as the objects of a plan. Pure.

A qdisc has no field for a name or an owner, but its handle: those of ours have a major number of our own. A qdisc with
the handle 0 is the kernel's default, and counts as none.
"""
from __future__ import annotations

import dataclasses
import typing as t

from .._core.plan import KernelObject, Key, State
from .._model.keys import link_key
from .qdiscs import CLASSES, QDISCS
from .spec import lacking
from .units import show_handle

OURS = 0x7077  # major numbers from here on; which one says the distribution of a netem, which the kernel never shows
DISTRIBUTIONS = ("uniform", "normal", "pareto", "paretonormal", "experimental")
ROOT, DOOR = 0xFFFFFFFF, 0xFFFFFFF1  # parents
DEPTH = 10


def ours(handle: int | None) -> bool:
    return handle is not None and 0 <= (handle >> 16) - OURS < len(DISTRIBUTIONS)


def show_parent(parent: int) -> str:
    return {ROOT: "root", DOOR: "ingress"}.get(parent) or show_handle(parent)


@dataclasses.dataclass(frozen=True)
class Queued(KernelObject):
    """What qdiscs and classes have in common."""

    device: str
    kind: str | None = None
    settings: dict[str, t.Any] | None = None
    given: dict[str, t.Any] | None = None  # as they were asked for, which the kernel may not be able to show
    raw: bytes | None = None  # as the kernel shows them, where the kind is not known here
    above: Key | None = None
    depth: int = 0
    verb: str = ""  # of the command line that asks for it

    HINTS = frozenset({"given", "raw", "above", "depth", "verb"})

    @property
    def carrier(self) -> Key | None:
        return self.above

    @property
    def order_kind(self) -> str:
        return f"{self.KIND} {min(self.depth, DEPTH)}"

    def over(self, observed: KernelObject) -> KernelObject:
        found = t.cast(Queued, super().over(observed))
        return dataclasses.replace(found, given=self.given, raw=None)

    def _table(self) -> dict[str, t.Any]:
        raise NotImplementedError

    def must_replace(self, observed: KernelObject) -> bool:
        have = t.cast(Queued, observed)
        if super().must_replace(observed):
            return True
        kind = self._table().get(str(self.kind))
        before = have.settings or {}
        return kind is not None and any(
            name in kind.fixed and before.get(name) != value for name, value in (self.settings or {}).items()
        )

    def public(self) -> dict[str, t.Any]:
        kind = self._table().get(str(self.kind))
        usual = {"mpu": 0, "overhead": 0, "prio": 0, **(kind.defaults if kind is not None else {})}
        found = super().public()
        settings = {name: value for name, value in found.pop("settings", {}).items() if usual.get(name) != value}
        return {**found, **{name: settings[name] for name in sorted(settings)}}


@dataclasses.dataclass(frozen=True)
class Qdisc(Queued):
    """A queueing discipline in one place of one interface."""

    KIND = "qdisc"
    IDENTITY = ("ns", "device", "parent")
    FIXED = frozenset({"kind", "handle"})

    parent: int = ROOT
    handle: int | None = None

    @property
    def name(self) -> str:
        return f"{self.device} {show_parent(self.parent)}"

    def _table(self) -> dict[str, t.Any]:
        return dict(QDISCS)

    def unsupported(self) -> str:
        kind = QDISCS.get(str(self.kind))
        return lacking(str(self.kind), "sch", kind.kernel if kind is not None else None)

    def public(self) -> dict[str, t.Any]:
        found = super().public()
        if self.handle is not None:
            found["handle"] = show_handle(self.handle)
            if ours(self.handle) and self.kind == "netem" and self.handle >> 16 > OURS:
                found["distribution"] = DISTRIBUTIONS[(self.handle >> 16) - OURS]
        return found


@dataclasses.dataclass(frozen=True)
class TcClass(Queued):
    """A class of a qdisc that has them."""

    KIND = "class"
    IDENTITY = ("ns", "device", "classid")
    FIXED = frozenset({"kind", "parent"})

    classid: int = 0
    parent: int = ROOT

    @property
    def name(self) -> str:
        return f"{self.device} {show_handle(self.classid)}"

    def _table(self) -> dict[str, t.Any]:
        return dict(CLASSES)

    def public(self) -> dict[str, t.Any]:
        return {**super().public(), "parent": show_parent(self.parent)}


@dataclasses.dataclass(frozen=True)
class Timer(KernelObject):
    """Ends the qdisc at an interface's root after some time. ``settings``: those that it is about."""

    KIND = "timer"
    IDENTITY = ("ns", "device")
    HINTS = frozenset({"ends", "restore", "record"})

    device: str
    seconds: float | None = None
    settings: dict[str, t.Any] | None = None
    ends: Qdisc | None = None
    restore: Qdisc | None = None  # what is there then; None for the kernel's default
    record: dict[str, t.Any] | None = None  # of one that runs

    @property
    def name(self) -> str:
        return self.device

    def differences(self, observed: KernelObject) -> frozenset[str]:
        have = t.cast(Timer, observed)
        return frozenset(name for name in ("seconds", "settings") if getattr(self, name) != getattr(have, name))

    def over(self, observed: KernelObject) -> KernelObject:
        return self

    def public(self) -> dict[str, t.Any]:
        return {"seconds": self.seconds}


def qdisc_key(ns: str, device: str, parent: int) -> Key:
    return (Qdisc.KIND, ns, f"{device} {show_parent(parent)}")


def class_key(ns: str, device: str, classid: int) -> Key:
    return (TcClass.KIND, ns, f"{device} {show_handle(classid)}")


def place(qdiscs: t.Sequence[Qdisc], classes: t.Sequence[TcClass]) -> State:
    """With what each stands on, and how deep in the tree."""
    owners = {(each.device, (each.handle or 0) >> 16): each for each in qdiscs if each.parent != DOOR}
    inner = {(each.device, each.classid): each for each in classes}

    def above(item: Qdisc | TcClass) -> Key:
        if isinstance(item, TcClass):
            owner = owners.get((item.device, item.classid >> 16))
            return owner.key if owner else link_key(item.ns, item.device)
        if (item.device, item.parent) in inner:
            return class_key(item.ns, item.device, item.parent)
        owner = owners.get((item.device, item.parent >> 16))
        return owner.key if owner and item.parent not in (ROOT, DOOR) else link_key(item.ns, item.device)

    def depth(item: Qdisc | TcClass, left: int = 10) -> int:
        upper = inner.get((item.device, item.parent)) or owners.get((item.device, item.parent >> 16))
        if item.parent in (ROOT, DOOR) and isinstance(item, Qdisc) or upper is None or upper is item or not left:
            if isinstance(item, TcClass) and item.parent == ROOT:
                return 1
            return 0
        return 1 + depth(upper, left - 1)

    both: list[Qdisc | TcClass] = [*qdiscs, *classes]
    return {item.key: dataclasses.replace(item, above=above(item), depth=depth(item)) for item in both}
