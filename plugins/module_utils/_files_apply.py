# Copyright: pipework.containers contributors
# GNU General Public License v3.0+ (see LICENSE)
"""Carries out what concerns files of containers: resolv.conf and hosts."""
from __future__ import annotations

from ._executors import Executors
from ._netlink import Namespaces
from ._plan import Failure, Plan


def _blocks(work: Plan, _namespaces: Namespaces, done: Plan) -> Failure:
    from . import _guest_files  # which few runs need

    return _guest_files.change(work, done)


EXECUTORS: Executors = {"resolver": _blocks, "hosts": _blocks}
