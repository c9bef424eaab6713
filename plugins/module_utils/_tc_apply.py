# Copyright: pipework.containers contributors
# GNU General Public License v3.0+ (see LICENSE)
"""Carries out what concerns traffic control: qdiscs, classes, filters, and the timers that end an impairment."""
from __future__ import annotations

from . import _tc_requests
from ._apply import request
from ._executors import Executors, one_by_one
from ._netlink import Namespaces
from ._plan import Failure, Operation, Plan
from ._requests import sort_of


def _objects(work: Plan, namespaces: Namespaces, done: Plan) -> Failure:
    request(work, _tc_requests.encoder(sort_of(work[0])), namespaces, done)
    return None


def _timer(operation: Operation, namespaces: Namespaces) -> None:
    from . import _tc_timer  # which few runs need

    _tc_timer.change(operation, namespaces)


EXECUTORS: Executors = {"qdisc": _objects, "class": _objects, "tc_filter": _objects, "timer": one_by_one(_timer)}
