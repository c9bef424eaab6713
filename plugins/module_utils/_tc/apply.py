# Copyright: pipework.containers contributors
# GNU General Public License v3.0+ (see LICENSE)
"""Carries out what concerns traffic control: qdiscs, classes, filters, and the timers that end an impairment."""
from __future__ import annotations

from .._core.plan import Failure, Operation, Plan
from .._engine.executors import Executors, one_by_one
from .._engine.rtnetlink import request, sort_of
from .._netlink.namespaces import Namespaces
from . import requests


def _objects(work: Plan, namespaces: Namespaces, done: Plan) -> Failure:
    request(work, requests.encoder(sort_of(work[0])), namespaces, done)
    return None


def _timer(operation: Operation, namespaces: Namespaces) -> None:
    from . import timer  # which few runs need

    timer.change(operation, namespaces)


EXECUTORS: Executors = {"qdisc": _objects, "class": _objects, "tc_filter": _objects, "timer": one_by_one(_timer)}
