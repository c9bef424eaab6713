# Copyright: pipework.containers contributors
# GNU General Public License v3.0+ (see LICENSE)
"""Carries out what concerns links and all that stands on them: requests to rtnetlink, and sysctls."""
from __future__ import annotations

import typing as t

from .._core.plan import Failure, Operation, Plan
from .._model.objects import GROUP_DELETE, HOST, Link
from .._model.sysctl import Sysctl, path_of
from .._netlink import rtnl
from .._netlink.kernel_error import KernelError
from .._netlink.namespaces import Namespaces
from . import marks
from .executors import Executors
from .fallbacks import second_try
from .requests import REQUESTS
from .rtnetlink import GONE, OperationFailed, request, sort_of

DELETED_TOGETHER = {(kind, "delete") for kind in ("link", "peer", "half", "stray", "vlan", "vxlan")}


def execute(work: Plan, namespaces: Namespaces, done: Plan) -> Failure:
    """Operations of one sort."""
    if sort_of(work[0]) in DELETED_TOGETHER:
        _delete_links(work, namespaces, done)
    else:
        send(work, namespaces, done)
    return None


def send(work: Plan, namespaces: Namespaces, done: Plan) -> None:
    """Does operations of one sort that are plain requests to rtnetlink. Raises OperationFailed."""
    request(work, REQUESTS[sort_of(work[0])], namespaces, done, second_try, marks.done)


def _delete_links(work: Plan, namespaces: Namespaces, done: Plan) -> None:
    """Deletes interfaces; several in one namespace together, through a group of their own."""
    by_namespace: dict[str, list[tuple[Operation, int]]] = {}
    for operation in work:
        link = t.cast(Link, operation.before)
        ns, name = (HOST, link.peer) if link.type == "veth" and link.peer else (link.ns, link.ifname)
        try:
            by_namespace.setdefault(ns, []).append((operation, namespaces[ns].index(name)))
        except KernelError as error:
            if error.errno not in GONE:
                raise OperationFailed(operation, error) from None
            done.append(operation)  # it went by itself, with its container
        namespaces[ns].forget(name)
        namespaces[link.ns].forget(link.ifname)
    for ns, pairs in by_namespace.items():
        if not pairs:
            continue
        send = namespaces[ns].send
        indexes = {index for _operation, index in pairs}
        wrong = None
        if len(indexes) == 1 or not _grouped(indexes, ns, namespaces):
            errors = send([rtnl.delete_link(index) for index in sorted(indexes)])
            wrong = next((error for error in errors if error is not None and error.errno not in GONE), None)
        if wrong is not None:
            raise OperationFailed(pairs[0][0], wrong)
        done.extend(operation for operation, _index in pairs)


def _grouped(indexes: set[int], ns: str, namespaces: Namespaces) -> bool:
    """Deletes many of the host's interfaces together, where the group has these alone: others can be put into it."""
    if ns != HOST:
        return False  # a container reaches its own
    send = namespaces[ns].send
    errors = send([rtnl.set_link(index, group=GROUP_DELETE) for index in sorted(indexes)])
    members = {device.index for device in namespaces[ns].devices().values() if device.group == GROUP_DELETE}
    alone = members <= indexes and not any(error is not None and error.errno not in GONE for error in errors)
    if alone and send([rtnl.delete_group()])[0] is None:
        return True
    send([rtnl.set_link(index, group=0) for index in sorted(indexes)])
    return False


def _sysctls(work: Plan, namespaces: Namespaces, done: Plan) -> Failure:
    """A parameter without a value cannot be given back that it has none; nor can one go without its interface."""
    for operation in work:
        want = operation.after
        if isinstance(want, Sysctl) and want.value:
            try:
                namespaces[want.ns].write_sysctl(path_of(want.parameter, want.device), want.value)
            except OSError as error:
                return operation, want.refused(str(error.strerror))
        done.append(operation)
    return None


EXECUTORS: Executors = {**{kind: execute for kind, _action in REQUESTS}, "sysctl": _sysctls}
