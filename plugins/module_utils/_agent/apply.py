# Copyright: pipework.containers contributors
# GNU General Public License v3.0+ (see LICENSE)
"""Carries out what concerns the lease agent: which attachments it stays with."""
from __future__ import annotations

from .._core.plan import Failure, Plan
from .._engine.executors import Executors
from .._netlink.namespaces import Namespaces


def _keeps(work: Plan, namespaces: Namespaces, done: Plan) -> Failure:
    from . import install  # which few runs need

    return install.change(work, namespaces, done)


EXECUTORS: Executors = {"dhcp_keep": _keeps}
