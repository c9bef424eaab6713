# Copyright: pipework.containers contributors
# GNU General Public License v3.0+ (see LICENSE)
"""Carries out what asks the neighbors: an address comes when nobody has answered that it is in use."""
from __future__ import annotations

from .._core.plan import Failure, Plan
from .._engine.executors import Executors
from .._engine.links import send
from .._netlink.namespaces import Namespaces


def _claims(work: Plan, namespaces: Namespaces, done: Plan) -> Failure:
    failure = None
    if work[0].action == "create":
        from .probe import ask_around  # which few runs need

        failure = ask_around(work, namespaces)
    if failure is None:
        send(work, namespaces, done)
    return failure


EXECUTORS: Executors = {"claim": _claims}
