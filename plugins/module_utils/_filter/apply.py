# Copyright: pipework.containers contributors
# GNU General Public License v3.0+ (see LICENSE)
"""Carries out what concerns the packet filter: forwarding, checks of MAC addresses."""
from __future__ import annotations

import typing as t

from .._core.plan import Failure, Plan
from .._engine.executors import Executors, as_one
from .._netlink.namespaces import Namespaces
from . import firewall


def _filter_rules(work: Plan, _namespaces: Namespaces, done: Plan) -> Failure:
    changes: dict[bool, list[tuple[str, firewall.Place]]] = {True: [], False: []}
    for operation in work:
        rule: t.Any = operation.subject
        changes[operation.action == "delete"].append((rule.bridge, firewall.Place.parse(rule.place)))
    return as_one(work, done, lambda: firewall.change(changes[False], changes[True]))


def _spoof_checks(work: Plan, _namespaces: Namespaces, done: Plan) -> Failure:
    from . import mac_spoof  # which few runs need

    checks: list[t.Any] = [operation.subject for operation in work]
    gone = [check.local_interface for check in checks] if work[0].action == "delete" else []
    write = {} if gone else {check.local_interface: str(check.mac) for check in checks}
    return as_one(work, done, lambda: mac_spoof.change(write, gone))


EXECUTORS: Executors = {
    "filter": _filter_rules, "spoof_check": _spoof_checks, "spoof_check of a new name": _spoof_checks,
}
