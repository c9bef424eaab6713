# Copyright: pipework.containers contributors
# GNU General Public License v3.0+ (see LICENSE)
"""What one interface's traffic control shall be: the options of pipework_tc, checked. Pure."""
from __future__ import annotations

import dataclasses
import re
import typing as t

from .._core import normalize as norm
from .._core.errors import PipeworkError
from .._core.items import Item, Params, blaming, container_of, items_of, wholes_of
from .._grammar.cmd_option import said
from . import tree as tc_tree
from .bandwidth import Bandwidth, from_option
from .filters import SIDES, TcFilter
from .model import DISTRIBUTIONS, DOOR, OURS, ROOT, Qdisc
from .qdiscs import AT_THE_DOOR, QDISCS
from .units import read_handle


def parse_command(words: object) -> t.Any:
    """A line of tc, as the options that it means. Raises PipeworkError."""
    from .._grammar import tc  # which few runs need

    return tc.parse(words)


@dataclasses.dataclass(frozen=True)
class Root:
    """A qdisc by its name."""

    kind: str
    given: dict[str, t.Any]
    handle: int

    @property
    def parent(self) -> int:
        return DOOR if self.kind in AT_THE_DOOR else ROOT


DIRECTIONS = ("both", "ingress", "egress")


@dataclasses.dataclass(frozen=True)
class Mirror:
    """Where copies of an interface's frames go; as an item, its container is the one that gets them."""

    container: str | None
    runtime: str
    runtime_user: str | None
    interface: str
    direction: str = "both"
    missing: str = "fail"
    state: str = "present"
    where: str = ""

    def refuse(self, message: str) -> PipeworkError:
        return PipeworkError(f"{self.where}mirror.to_{message}")  # it begins with the option: container, runtime


@dataclasses.dataclass(frozen=True, eq=False)
class TcItem(Item):
    """One item of ``interfaces``."""

    container: str | None
    runtime: str = "auto"
    runtime_user: str | None = None
    missing: str = "fail"  # or skip: what to do where the container is not there
    device: str = "eth1"
    root: Root | None = None
    mirror: Mirror | None = None
    tree: tc_tree.Tree = tc_tree.NOTHING
    bandwidth: Bandwidth | None = None
    duration: float | None = None  # seconds
    force: bool = False
    state: str = "present"
    where: str = ""
    verb: str = ""  # of a command line: add, change, replace, del

    @property
    def title(self) -> str:
        return f"{self.container or 'host'}/{self.device}"

    @property
    def named(self) -> bool:
        """Whether it says what it is about, beside the interface."""
        return bool(self.tree) or any(each is not None for each in (self.root, self.mirror, self.bandwidth))

    @classmethod
    def from_params(cls, params: Params, where: str = "") -> TcItem:
        """Checks one item's options; raises PipeworkError."""
        with blaming(where):
            verb, params = said(params, parse_command, ("device",))
            verb = verb or (params.get("verbs") or {}).get("root", "")
            return cls(**_normalized(params, where), where=where, verb=verb)


def items_from_params(params: Params) -> list[TcItem]:
    """The list, or the one that the top-level options describe."""
    found = items_of(params, "interfaces", TcItem.from_params, leave_out=containers_alone(params))
    seen: dict[t.Any, TcItem] = {}
    for item in found:
        other = seen.setdefault((item.container, item.runtime, item.runtime_user, item.device), item)
        if other is not item:
            also = other.where.rstrip(": ")
            raise item.refuse(f"device: {item.title} is listed twice (also in {also}); each can be listed once.")
    return found


def containers_alone(params: Params) -> dict[int, dict[str, str | None]]:
    """The items of a purge of whose containers nothing is listed."""
    return wholes_of(params, "interfaces", ("device", "force"))


def _normalized(params: Params, where: str) -> dict[str, t.Any]:
    state = params.get("state") or "present"
    root = _root(params)
    mirror = _mirror(params, where)
    tree = tc_tree.from_params(params)
    limits = None if params.get("bandwidth") is None else from_option(params["bandwidth"])
    if state == "present" and root is None and mirror is None and limits is None and not tree:
        raise PipeworkError(
            "netem: say what the interface shall have, with 'qdiscs', 'classes', 'filters', 'mirror', 'bandwidth' or "
            f"one of {', '.join(QDISCS)}."
        )
    if limits is not None and state == "present":
        _check_limits(params, limits, root, tree)
    if root is not None and any(t.cast(Qdisc, each.item).parent == root.parent for each in tree.qdiscs):
        raise PipeworkError(f"{root.kind}: there is one in 'qdiscs' too for the same place; leave one out.")
    return {
        **container_of(params),
        "device": norm.interface_name(params.get("device") or "eth1", "device"),
        "root": root,
        "mirror": mirror,
        "tree": tree,
        "bandwidth": limits,
        "duration": _duration(params, root),
        "force": bool(params.get("force")),
        "state": state,
    }


def _check_limits(params: Params, limits: Bandwidth, root: Root | None, tree: tc_tree.Tree) -> None:
    """What cannot stand beside them."""
    at_root = root.kind if root is not None and root.parent == ROOT else next(iter(at_the_root(tree)), None)
    if limits.egress is not None and at_root is not None:
        raise PipeworkError(
            f"bandwidth.egress: it stands at the root of the interface, and so does {at_root}; leave one of them out, "
            "or let the other one hold to the rate (netem has 'rate')."
        )
    if params.get("duration") is not None:
        raise PipeworkError(
            "duration: bandwidth does not end by itself, it is removed with 'bandwidth: {}'; leave one of them out, or "
            "give them in two tasks."
        )


def at_the_root(tree: tc_tree.Tree) -> t.Iterator[str]:
    """What of a tree stands at an interface's root, or hangs on what does."""
    for each in tree.qdiscs:
        if t.cast(Qdisc, each.item).parent != DOOR:
            yield each.where
    yield from (each.where for each in tree.classes)
    yield from (each.where for each in tree.filters if t.cast(TcFilter, each.item).parent not in SIDES)


def _mirror(params: Params, where: str) -> Mirror | None:
    given = params.get("mirror")
    if given is None:
        return None
    for name in given:
        if name not in ("to_container", "to_interface", "to_runtime", "to_runtime_user", "direction"):
            raise PipeworkError(
                f"mirror.{name}: there is no such option; there are to_container, to_interface, to_runtime, "
                "to_runtime_user and direction."
            )
    state = params.get("state") or "present"
    to = given.get("to_container")
    if state == "present" and not given.get("to_interface"):
        raise PipeworkError("mirror.to_interface: say which interface gets the copies.")
    direction = given.get("direction") or "both"
    if direction not in DIRECTIONS:
        raise PipeworkError(f"mirror.direction: {direction!r} is not one of {', '.join(DIRECTIONS)}.")
    runtime = given.get("to_runtime") or (params.get("runtime") if to else "host") or "auto"
    who = {"container": to, "runtime": runtime, "runtime_user": given.get("to_runtime_user")}
    if to and given.get("to_runtime_user") is None and given.get("to_runtime") is None:
        who["runtime_user"] = params.get("runtime_user")
    try:
        guest = container_of(who)
    except PipeworkError as error:
        raise PipeworkError(f"mirror.to_{error}") from None
    interface = norm.interface_name(given.get("to_interface") or "eth1", "mirror.to_interface")
    return Mirror(
        guest["container"], str(guest["runtime"]), guest["runtime_user"], interface, direction, where=where,
    )


UNITS = {"": 1, "s": 1, "sec": 1, "m": 60, "min": 60, "h": 3600, "d": 86400}
LONGEST = 366 * 86400


def _duration(params: Params, root: Root | None) -> float | None:
    """Seconds."""
    value = params.get("duration")
    if value is None:
        return None
    if root is None or root.parent != ROOT:
        raise PipeworkError("duration: it is that of a qdisc at the root; name one, such as netem.")
    parts = re.findall(r"(\d+(?:\.\d+)?) *([a-z]*)", str(value).lower())
    if not parts or re.sub(r"[\d.a-z ]", "", str(value).lower()) or any(unit not in UNITS for _number, unit in parts):
        raise PipeworkError(f"duration: {value!r} is not understood; it is written as in 90s, 10min or 1h30m.")
    seconds = sum(float(number) * UNITS[unit] for number, unit in parts)
    if not 0 < seconds <= LONGEST:
        raise PipeworkError(
            f"duration: {value!r} is out of range; more than 0 s and at most a year, such as 90s, would be right."
        )
    return seconds


def _root(params: Params) -> Root | None:
    named = [name for name in QDISCS if params.get(name) is not None]
    if len(named) > 1:
        raise PipeworkError(f"{named[1]}: an interface has one qdisc at its root, and there is {named[0]} already.")
    if not named:
        if params.get("handle") is not None:
            raise PipeworkError("handle: it is that of a qdisc; name one, such as netem.")
        return None
    kind = QDISCS[named[0]]
    absent = params.get("state") == "absent"
    given = {} if absent else kind.read(params[named[0]], named[0])
    return Root(named[0], given, _handle(params, named[0], given))


def _handle(params: Params, kind: str, given: t.Mapping[str, t.Any]) -> int:
    if kind in AT_THE_DOOR:
        return DOOR & 0xFFFF0000
    if params.get("handle") is None:
        return OURS + DISTRIBUTIONS.index(str(given.get("distribution", "uniform"))) << 16
    handle = read_handle(params["handle"], "handle")
    if handle & 0xFFFF or not 0 < handle >> 16 < 0xFFFF:
        raise PipeworkError(f"handle: {params['handle']!r} is not that of a qdisc, such as 1: (to fffe:).")
    return handle
