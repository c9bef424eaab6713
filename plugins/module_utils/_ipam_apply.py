# Copyright: pipework.containers contributors
# GNU General Public License v3.0+ (see LICENSE)
"""Carries out what concerns leases and link-local addresses: asks servers and keeps files."""
from __future__ import annotations

from ._executors import Executors
from ._netlink import Namespaces
from ._plan import Failure, Plan


def _leases(work: Plan, namespaces: Namespaces, done: Plan) -> Failure:
    from . import _dhcp  # which few runs need, as all of these

    return _dhcp.change(work, namespaces, done)


def _leases6(work: Plan, namespaces: Namespaces, done: Plan) -> Failure:
    from . import _dhcp6

    return _dhcp6.change(work, namespaces, done)


def _link_locals(work: Plan, namespaces: Namespaces, done: Plan) -> Failure:
    from . import _zeroconf

    return _zeroconf.change(work, namespaces, done)


def _lease_folders(work: Plan, _namespaces: Namespaces, done: Plan) -> Failure:
    from . import _lease_folders as folders

    return folders.change(work, done)


EXECUTORS: Executors = {
    "lease": _leases, "lease6": _leases6, "link_local": _link_locals, "lease_files": _lease_folders,
}
