# Copyright: pipework.containers contributors
# GNU General Public License v3.0+ (see LICENSE)
"""Carries out what concerns the packet filter: forwarding, masquerading, checks of MAC addresses."""
from __future__ import annotations

import typing as t

from . import _filter
from ._executors import Executors, as_one
from ._netlink import Namespaces
from ._plan import Failure, Plan


def _filter_rules(work: Plan, _namespaces: Namespaces, done: Plan) -> Failure:
    changes: dict[bool, list[tuple[str, _filter.Place]]] = {True: [], False: []}
    for operation in work:
        rule: t.Any = operation.subject
        changes[operation.action == "delete"].append((rule.bridge, _filter.Place.parse(rule.place)))
    return as_one(work, done, lambda: _filter.change(changes[False], changes[True]))


def _masquerades(work: Plan, _namespaces: Namespaces, done: Plan) -> Failure:
    from . import _nat  # which few runs need

    return as_one(work, done, lambda: _nat.change(work))


def _spoof_checks(work: Plan, _namespaces: Namespaces, done: Plan) -> Failure:
    from . import _spoofing  # which few runs need

    checks: list[t.Any] = [operation.subject for operation in work]
    gone = [check.local_interface for check in checks] if work[0].action == "delete" else []
    write = {} if gone else {check.local_interface: str(check.mac) for check in checks}
    return as_one(work, done, lambda: _spoofing.change(write, gone))


EXECUTORS: Executors = {
    "filter": _filter_rules, "masquerade": _masquerades, "spoof_check": _spoof_checks,
    "spoof_check of a new name": _spoof_checks,
}
