# Copyright: pipework.containers contributors
# GNU General Public License v3.0+ (see LICENSE)
"""Carries out a plan: one operation is one request to the kernel, and what was done is taken back when one fails.

Operations that stand next to each other and are of one sort go out together, in one write for each namespace.
"""
from __future__ import annotations

import itertools
import typing as t

from .._core.errors import PipeworkError
from .._core.plan import Operation, Plan, undo
from .._netlink.namespaces import Namespaces
from .executors import Executors, Journal
from .rtnetlink import HARMLESS, OperationFailed, sort_of

Step = t.Callable[[Operation], None]

NEVER_IMPLIED = {"lease", "lease6", "dhcp_keep", "resolver", "hosts"}  # neither a server nor a file knows that it went
OVS = ("ovs_first", "ovs_bridge", "ovs_port")  # what goes out in one transaction


def apply(
    plan: Plan, namespaces: Namespaces, executors: Executors, journal: Journal, step: Step | None = None,
) -> None:
    """Does the whole plan, or leaves the state as it was and says so.

    ``step`` is called before each operation, which then goes out by itself; whatever it raises counts as a failure.
    """
    done: Plan = []
    try:
        journal.begin(plan, namespaces)
        for batch in _batches(plan, alone=step is not None):
            if step is not None:
                step(batch[0])
            _execute(batch, namespaces, executors, done)
    except BaseException as error:
        taken_back = take_back(done, namespaces, executors, journal)
        journal.end(plan, namespaces, failed=True)
        if isinstance(error, Exception):
            known = isinstance(error, (PipeworkError, OSError)) or getattr(error, "expected", False)
            words = getattr(error, "message", str(error))
            if not known:
                words = f"This should not have happened, please report it: {type(error).__name__}: {error}."
            raise PipeworkError(words, taken_back) from error
        raise


def take_back(done: Plan, namespaces: Namespaces, executors: Executors, journal: Journal) -> str:
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
    journal.end(done, namespaces, failed=True)
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
    executor = executors.get(sort[0]) or executors[sort[0].split()[0]]  # of "class 2" that of "class"
    failure = executor(work, namespaces, done)
    if failure is not None:
        raise OperationFailed(*failure) from None
