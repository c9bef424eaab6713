# Copyright: pipework.containers contributors
# GNU General Public License v3.0+ (see LICENSE)
"""Carries out what concerns traffic control: qdiscs, classes, filters."""
from __future__ import annotations

from .._core.plan import Failure, Plan
from .._engine.executors import Executors
from .._engine.rtnetlink import request, sort_of
from .._netlink.namespaces import Namespaces
from . import requests


def _objects(work: Plan, namespaces: Namespaces, done: Plan) -> Failure:
    request(work, requests.encoder(sort_of(work[0])), namespaces, done)
    return None


EXECUTORS: Executors = {"qdisc": _objects, "class": _objects, "tc_filter": _objects}
