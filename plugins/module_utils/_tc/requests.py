# Copyright: pipework.containers contributors
# GNU General Public License v3.0+ (see LICENSE)
"""What operations on qdiscs, classes and filters say to the kernel."""
from __future__ import annotations

import dataclasses
import typing as t

from .._core.errors import PipeworkError
from .._engine.rtnetlink import Request
from .._netlink.namespaces import Namespaces
from . import netlink
from .filters import TcFilter
from .model import Qdisc, TcClass
from .program import BY_PROGRAM, add_filter


def encoder(sort: tuple[str, str]) -> t.Callable[[t.Any, t.Any, Namespaces], list[Request]]:
    """``sort``: order kind, such as ``class 2``, and action."""
    return TABLE[sort[0].split()[0], sort[1]]


def _create_qdisc(_before: None, after: Qdisc, namespaces: Namespaces) -> list[Request]:
    return [(after.ns, netlink.new_qdisc(after, namespaces[after.ns].index(after.device)))]


def _change_qdisc(_before: Qdisc, after: Qdisc, namespaces: Namespaces) -> list[Request]:
    return [(after.ns, netlink.change_qdisc(after, namespaces[after.ns].index(after.device)))]


def _delete_qdisc(before: Qdisc, _after: None, namespaces: Namespaces) -> list[Request]:
    return [(before.ns, netlink.delete_qdisc(before, namespaces[before.ns].index(before.device)))]


def _create_class(_before: None, after: TcClass, namespaces: Namespaces) -> list[Request]:
    return [(after.ns, netlink.new_class(after, namespaces[after.ns].index(after.device)))]


def _change_class(_before: TcClass, after: TcClass, namespaces: Namespaces) -> list[Request]:
    return [(after.ns, netlink.change_class(after, namespaces[after.ns].index(after.device)))]


def _delete_class(before: TcClass, _after: None, namespaces: Namespaces) -> list[Request]:
    return [(before.ns, netlink.delete_class(before, namespaces[before.ns].index(before.device)))]


def _create_filter(_before: None, after: TcFilter, namespaces: Namespaces) -> list[Request]:
    netns = namespaces[after.ns]
    if any(each.key == after.key for each in _beside(after, namespaces)):
        return []  # the kernel would make a second one, where it is only to be had back and never went
    if after.kind in BY_PROGRAM:
        add_filter(after, netns)
        return []
    fresh = dataclasses.replace(after, handle=None)  # one that comes back may not have the old one
    return [(after.ns, netlink.new_filter(fresh, netns.index(after.device), netns.index))]


def _change_filter(_before: TcFilter, after: TcFilter, namespaces: Namespaces) -> list[Request]:
    netns = namespaces[after.ns]
    if after.kind in BY_PROGRAM:
        raise PipeworkError(f"a filter of kind {after.kind} is not changed in place; remove it first")
    there = next((each for each in _beside(after, namespaces) if each.key == after.key), after)
    item = dataclasses.replace(after, handle=there.handle)
    return [(after.ns, netlink.change_filter(item, netns.index(after.device), netns.index))]


def _delete_filter(before: TcFilter, _after: None, namespaces: Namespaces) -> list[Request]:
    """With the handle that the kernel has chosen; the last of a priority goes with the frame that it stands in."""
    beside = _beside(before, namespaces)
    found = next((each for each in beside if each.key == before.key), None)
    if found is None:
        return []
    item = dataclasses.replace(found, handle=None if len(beside) == 1 else found.handle)
    return [(before.ns, netlink.delete_filter(item, namespaces[before.ns].index(before.device)))]


def _beside(item: TcFilter, namespaces: Namespaces) -> list[TcFilter]:
    """All filters of the same priority in the same place."""
    netns = namespaces[item.ns]
    index = netns.index(item.device)
    raws = netns.dump(netlink.dump_filters(index, item.parent))
    seen = (netlink.decode_filter(raw, item.ns, {index: item.device}) for raw in raws)
    found = [dataclasses.replace(each, parent=item.parent) for each in seen if each is not None]
    return [each for each in found if (each.priority, each.chain) == (item.priority, item.chain)]


TABLE: dict[tuple[str, str], t.Callable[[t.Any, t.Any, Namespaces], list[Request]]] = {
    ("qdisc", "create"): _create_qdisc, ("qdisc", "update"): _change_qdisc, ("qdisc", "delete"): _delete_qdisc,
    ("tc_filter", "create"): _create_filter, ("tc_filter", "update"): _change_filter,
    ("tc_filter", "delete"): _delete_filter,
    ("class", "create"): _create_class, ("class", "update"): _change_class, ("class", "delete"): _delete_class,
}
