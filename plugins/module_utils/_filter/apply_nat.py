# Copyright: pipework.containers contributors
# GNU General Public License v3.0+ (see LICENSE)
"""Carries out masquerading."""
from __future__ import annotations

from .._core.plan import Failure, Plan
from .._engine.executors import Executors, as_one
from .._netlink.namespaces import Namespaces
from . import nat


def _masquerades(work: Plan, _namespaces: Namespaces, done: Plan) -> Failure:
    return as_one(work, done, lambda: nat.change(work))


EXECUTORS: Executors = {"masquerade": _masquerades}
