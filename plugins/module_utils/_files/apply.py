# Copyright: pipework.containers contributors
# GNU General Public License v3.0+ (see LICENSE)
"""Carries out what concerns files of containers: resolv.conf and hosts."""
from __future__ import annotations

from .._core.plan import Failure, Plan
from .._engine.executors import Executors
from .._netlink.namespaces import Namespaces


def _blocks(work: Plan, _namespaces: Namespaces, done: Plan) -> Failure:
    from . import container_file  # which few runs need

    return container_file.change(work, done)


EXECUTORS: Executors = {"resolver": _blocks, "hosts": _blocks}
