# Copyright: pipework.containers contributors
# GNU General Public License v3.0+ (see LICENSE)
"""Carries out what concerns the lease agent: which attachments it stays with."""
from __future__ import annotations

from ._executors import Executors
from ._netlink import Namespaces
from ._plan import Failure, Plan


def _keeps(work: Plan, namespaces: Namespaces, done: Plan) -> Failure:
    from . import _keeping  # which few runs need

    return _keeping.change(work, namespaces, done)


EXECUTORS: Executors = {"dhcp_keep": _keeps}
