# Copyright: pipework.containers contributors
# GNU General Public License v3.0+ (see LICENSE)
"""Carries out a plan: one operation is one request to the kernel, and what was done is taken back when one fails.

Operations that stand next to each other and are of one sort go out together, in one write for each namespace.
"""
from __future__ import annotations

import errno
import itertools
import typing as t

from .._core.errors import PipeworkError
from .._core.plan import Operation, Plan, undo
from .._model.objects import GROUP_DELETE, HOST, Link
from .._netlink import rtnl
from .._netlink.kernel_error import KernelError
from .._netlink.namespaces import Namespaces
from . import marks
from .executors import Executors
from .fallbacks import second_try
from .hints import lacking
from .requests import REQUESTS, Request, sort_of

Step = t.Callable[[Operation], None]

# What may come back when something is taken back that is so already.
HARMLESS = {
    "create": {errno.EEXIST},
    "update": {errno.ENODEV},
    "delete": {errno.ENODEV, errno.ENOENT, errno.ESRCH, errno.EADDRNOTAVAIL},
}


GONE = HARMLESS["delete"]
DELETED_TOGETHER = {(kind, "delete") for kind in ("link", "peer", "half", "stray", "vlan", "vxlan")}
NEVER_IMPLIED = {"lease", "lease6", "dhcp_keep", "resolver", "hosts"}  # neither a server nor a file knows that it went
OVS = ("ovs_first", "ovs_bridge", "ovs_port")  # what goes out in one transaction


class OperationFailed(PipeworkError):
    """One operation that the kernel refused."""

    def __init__(self, operation: Operation, error: Exception) -> None:
        self.number = getattr(error, "errno", None)
        self.whole = bool(getattr(error, "whole", False))
        super().__init__(f"{operation} failed: {str(error).rstrip('.')}.{lacking(operation, self.number)}")


def apply(plan: Plan, namespaces: Namespaces, executors: Executors, step: Step | None = None) -> None:
    """Does the whole plan, or leaves the state as it was and says so.

    ``step`` is called before each operation, which then goes out by itself; whatever it raises counts as a failure.
    """
    done: Plan = []
    try:
        marks.begin(plan, namespaces)
        for batch in _batches(plan, alone=step is not None):
            if step is not None:
                step(batch[0])
            _execute(batch, namespaces, executors, done)
    except BaseException as error:
        taken_back = take_back(done, namespaces, executors)
        marks.end(plan, namespaces, failed=True)
        if isinstance(error, Exception):
            known = isinstance(error, (PipeworkError, OSError)) or getattr(error, "expected", False)
            words = getattr(error, "message", str(error))
            if not known:
                words = f"This should not have happened, please report it: {type(error).__name__}: {error}."
            raise PipeworkError(words, taken_back) from error
        raise


def take_back(done: Plan, namespaces: Namespaces, executors: Executors) -> str:
    """Undoes operations, last first; returns a sentence about it."""
    left = []
    for batch in _batches(undo(done), alone=False):
        back: Plan = []
        rest: Plan = []
        try:
            _execute(batch, namespaces, executors, back)
        except Exception as error:  # pylint: disable=broad-except  # then one by one, to see which
            if getattr(error, "whole", False):
                left.append(str(error).rstrip("."))
                continue
            finished = {id(operation) for operation in back}
            rest = [operation for operation in batch if id(operation) not in finished]
        for operation in rest:
            try:
                _execute([operation], namespaces, executors, [])
            except Exception as error:  # pylint: disable=broad-except  # the others are still to be taken back
                if getattr(error, "number", None) not in HARMLESS[operation.action]:
                    left.append(str(error).rstrip("."))
    marks.end(done, namespaces, failed=True)
    count = sum(not operation.implied for operation in done)
    if left:
        return f"Of {count} operation(s) done before, these could not be taken back: {'; '.join(left)}."
    if not count:
        return "Nothing was changed."
    return f"The {count} operation(s) done before were taken back; everything is as it was."


def _batches(plan: Plan, alone: bool) -> t.Iterator[Plan]:
    if alone:
        return ([operation] for operation in plan)
    return (list(group) for _sort, group in itertools.groupby(plan, key=_together))


def _together(operation: Operation) -> tuple[str, str]:
    sort = sort_of(operation)
    return ("ovs", "") if sort[0] in OVS else sort


def _execute(batch: Plan, namespaces: Namespaces, executors: Executors, done: Plan) -> None:
    """Does operations of one sort. Those that succeed are added to ``done``, also when others fail."""
    sort = sort_of(batch[0])
    # A server or a file does not know that an interface goes; all else that stands on one goes with it.
    along = [] if sort[0] in NEVER_IMPLIED else [operation for operation in batch if operation.implied]
    work = [operation for operation in batch if not operation.implied] if along else batch
    done.extend(along)
    if not work:
        return
    executor = executors.get(sort[0]) or executors.get(sort[0].split()[0])  # of "class 2" that of "class"
    if executor is not None:
        failure = executor(work, namespaces, done)
        if failure is not None:
            raise OperationFailed(*failure) from None
    elif sort in DELETED_TOGETHER:
        _delete_links(work, namespaces, done)
    else:
        send(work, namespaces, done)


def send(work: Plan, namespaces: Namespaces, done: Plan) -> None:
    """Does operations of one sort that are plain requests to rtnetlink. Raises OperationFailed."""
    request(work, REQUESTS[sort_of(work[0])], namespaces, done)


def request(
    work: Plan, encode: t.Callable[[t.Any, t.Any, Namespaces], list[Request]], namespaces: Namespaces, done: Plan,
) -> None:
    """Does operations of one sort as ``encode`` says them to the kernel. Raises OperationFailed."""
    failures: list[OperationFailed] = []
    outgoing: dict[str, list[tuple[Operation, bytes]]] = {}
    for operation in work:
        try:
            requests = encode(operation.before, operation.after, namespaces)
        except (OSError, PipeworkError) as error:
            if operation.action == "delete" and getattr(error, "errno", None) in GONE:
                done.append(operation)  # it went by itself, with its container
                continue
            failures.append(OperationFailed(operation, error))
            break
        for ns, message in requests:
            outgoing.setdefault(ns, []).append((operation, message))
        if not requests:
            done.append(operation)
    for ns, pairs in outgoing.items():
        if failures:
            break
        errors = namespaces[ns].send([message for _operation, message in pairs])
        for operation, sent in itertools.groupby(zip(pairs, errors), key=lambda entry: entry[0][0]):
            answers = [error for _pair, error in sent]
            wrong = next((error for error in answers if error is not None), None)
            if wrong is not None and operation.action == "delete" and wrong.errno in GONE:
                wrong = None
            if wrong is not None and answers[0] is wrong:
                wrong = second_try(operation, wrong, namespaces)
            elif wrong is not None:
                done.append(operation)  # a part of it was done
            if wrong is None:
                done.append(operation)
                marks.done(operation, namespaces)
            else:
                failures.append(OperationFailed(operation, wrong))
    if failures:
        raise failures[0]


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
