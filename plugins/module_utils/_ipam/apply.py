# Copyright: pipework.containers contributors
# GNU General Public License v3.0+ (see LICENSE)
"""Carries out what concerns leases and link-local addresses: asks servers and keeps files."""
from __future__ import annotations

from .._core.plan import Failure, Plan
from .._engine.executors import Executors
from .._netlink.namespaces import Namespaces


def _leases(work: Plan, namespaces: Namespaces, done: Plan) -> Failure:
    from . import dhcp4_client  # which few runs need, as all of these

    return dhcp4_client.change(work, namespaces, done)


def _leases6(work: Plan, namespaces: Namespaces, done: Plan) -> Failure:
    from . import dhcp6_client

    return dhcp6_client.change(work, namespaces, done)


def _link_locals(work: Plan, namespaces: Namespaces, done: Plan) -> Failure:
    from . import ipv4_link_local

    return ipv4_link_local.change(work, namespaces, done)


def _lease_folders(work: Plan, _namespaces: Namespaces, done: Plan) -> Failure:
    from . import stale as folders

    return folders.change(work, done)


EXECUTORS: Executors = {
    "lease": _leases, "lease6": _leases6, "link_local": _link_locals, "lease_files": _lease_folders,
}
