# Copyright: pipework.containers contributors
# GNU General Public License v3.0+ (see LICENSE)
"""What operations do beside requests to rtnetlink: servers, files, the packet filter, Open vSwitch. Each loads its own.

Each function does operations of one sort, adds those that are done to ``done``, and returns one that failed, and why.
"""
from __future__ import annotations

import typing as t

from ._errors import PipeworkError
from ._netlink import Namespaces
from ._plan import Failure, Plan


def _leases(work: Plan, namespaces: Namespaces, done: Plan) -> Failure:
    from . import _dhcp

    return _dhcp.change(work, namespaces, done)


def _leases6(work: Plan, namespaces: Namespaces, done: Plan) -> Failure:
    from . import _dhcp6

    return _dhcp6.change(work, namespaces, done)


def _keeps(work: Plan, namespaces: Namespaces, done: Plan) -> Failure:
    from . import _keeping

    return _keeping.change(work, namespaces, done)


def _link_locals(work: Plan, namespaces: Namespaces, done: Plan) -> Failure:
    from . import _zeroconf

    return _zeroconf.change(work, namespaces, done)


def _lease_folders(work: Plan, _namespaces: Namespaces, done: Plan) -> Failure:
    from . import _lease_folders

    return _lease_folders.change(work, done)


def _blocks(work: Plan, _namespaces: Namespaces, done: Plan) -> Failure:
    from . import _guest_files

    return _guest_files.change(work, done)


def _timers(work: Plan, namespaces: Namespaces, done: Plan) -> Failure:
    from . import _host_files, _tc_timer, _watchdog

    by_kind = {"timer": _tc_timer.change, "watchdog": _watchdog.change, "file": _host_files.change}
    for operation in work:
        try:
            by_kind[operation.subject.KIND](operation, namespaces)
        except (OSError, PipeworkError) as error:
            return operation, error
        done.append(operation)
    return None


def _sysctls(work: Plan, namespaces: Namespaces, done: Plan) -> Failure:
    """A parameter without a value cannot be given back that it has none; nor can one go without its interface."""
    from ._sysctls import Sysctl, path_of

    for operation in work:
        want = operation.after
        if isinstance(want, Sysctl) and want.value:
            try:
                namespaces[want.ns].write_sysctl(path_of(want.parameter, want.device), want.value)
            except OSError as error:
                return operation, want.refused(str(error.strerror))
        done.append(operation)
    return None


# -- what is one transaction

def _as_one(work: Plan, done: Plan, change: t.Callable[[], None]) -> Failure:
    """What is done or not done as a whole."""
    try:
        change()
    except PipeworkError as error:
        return work[0], error
    done.extend(work)
    return None


def _filter_rules(work: Plan, _namespaces: Namespaces, done: Plan) -> Failure:
    from . import _filter

    changes: dict[bool, list[tuple[str, _filter.Place]]] = {True: [], False: []}
    for operation in work:
        rule: t.Any = operation.subject
        changes[operation.action == "delete"].append((rule.bridge, _filter.Place.parse(rule.place)))
    return _as_one(work, done, lambda: _filter.change(changes[False], changes[True]))


def _masquerades(work: Plan, _namespaces: Namespaces, done: Plan) -> Failure:
    from . import _nat

    return _as_one(work, done, lambda: _nat.change(work))


def _spoof_checks(work: Plan, _namespaces: Namespaces, done: Plan) -> Failure:
    from . import _spoofing

    checks: list[t.Any] = [operation.subject for operation in work]
    gone = [check.local_interface for check in checks] if work[0].action == "delete" else []
    write = {} if gone else {check.local_interface: str(check.mac) for check in checks}
    return _as_one(work, done, lambda: _spoofing.change(write, gone))


def _switch(work: Plan, _namespaces: Namespaces, done: Plan) -> Failure:
    from . import _ovs

    try:
        _ovs.change(work)
    except _ovs.Refused as error:
        return work[0], error
    except PipeworkError as error:
        done.extend(work)
        return work[0], error
    except BaseException:
        done.extend(work)  # nobody knows; to take it back does no harm
        raise
    done.extend(work)
    return None


BESIDE: dict[str, t.Callable[[Plan, Namespaces, Plan], Failure]] = {
    "lease": _leases, "lease6": _leases6, "dhcp_keep": _keeps, "link_local": _link_locals,
    "resolver": _blocks, "hosts": _blocks, "timer": _timers, "watchdog": _timers, "file": _timers, "sysctl": _sysctls,
    "filter": _filter_rules, "masquerade": _masquerades, "spoof_check": _spoof_checks,
    "spoof_check of a new name": _spoof_checks,
    "lease_files": _lease_folders,
    "ovs_first": _switch, "ovs_bridge": _switch, "ovs_port": _switch, "ovs_leave": _switch,
}
NEVER_IMPLIED = {"lease", "lease6", "dhcp_keep", "resolver", "hosts"}  # neither a server nor a file knows that it went
