# Copyright: pipework.containers contributors
# GNU General Public License v3.0+ (see LICENSE)
"""What carries out the operations of a kind: a job names those that it needs, and what is noted of the plan.

So a module ships the code of what it can change alone. Each executor does operations of one sort, adds those that are
done to ``done``, and returns one that failed, and why; OperationFailed and KernelError may be raised too.
"""
from __future__ import annotations

import typing as t

from .._core.errors import PipeworkError
from .._core.plan import Desired, Failure, Plan, State
from .._netlink.namespaces import Namespaces

Executor = t.Callable[[Plan, Namespaces, Plan], Failure]
Executors = t.Mapping[str, Executor]  # by the kind of the objects, or their row in ORDER where that is another one


class Journal:
    """What is noted of a plan on the way, for the case that the run is killed. Of what has a journal of its own: this
    one is for runs that neither make nor remove links, and notes nothing."""

    def begin(self, plan: Plan, namespaces: Namespaces) -> None:
        """Before anything is done."""

    def end(self, plan: Plan, namespaces: Namespaces, failed: bool = False) -> None:
        """All is done, or taken back."""

    def tidy(self, namespaces: Namespaces) -> None:
        """There is nothing to do."""


class Passes:
    """What one run adds to what its job wants, in each of its passes. This one is for jobs without addresses, and adds
    nothing; see ipv6.py."""

    def add(self, state: State, desired: Desired, namespaces: Namespaces) -> None:
        """Adds to both. Raises PipeworkError."""


def as_one(work: Plan, done: Plan, change: t.Callable[[], None]) -> Failure:
    """What is done or not done as a whole."""
    try:
        change()
    except PipeworkError as error:
        return work[0], error
    done.extend(work)
    return None


def one_by_one(change: t.Callable[[t.Any, Namespaces], None]) -> Executor:
    """An executor of what does one operation. OSError and PipeworkError of it are failures."""
    def execute(work: Plan, namespaces: Namespaces, done: Plan) -> Failure:
        for operation in work:
            try:
                change(operation, namespaces)
            except (OSError, PipeworkError) as error:
                return operation, error
            done.append(operation)
        return None

    return execute
