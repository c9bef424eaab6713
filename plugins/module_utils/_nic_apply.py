# Copyright: pipework.containers contributors
# GNU General Public License v3.0+ (see LICENSE)
"""Carries out moves of NICs between the host and containers: a wireless one moves with its radio."""
from __future__ import annotations

from . import _marks
from ._apply import send
from ._executors import Executors
from ._kernel_error import KernelError
from ._netlink import Namespaces
from ._plan import Failure, Plan
from ._refusals import moves_radio


def _nics(work: Plan, namespaces: Namespaces, done: Plan) -> Failure:
    moving = [operation for operation in work if moves_radio(operation)]
    rest = [operation for operation in work if operation not in moving] if moving else work
    if rest:
        send(rest, namespaces, done)
    for operation in moving:
        from . import _wireless  # which few runs need

        try:
            _wireless.carry(operation, namespaces)
        except KernelError as error:
            return operation, error
        done.append(operation)
        _marks.done(operation, namespaces)
    return None


EXECUTORS: Executors = {"phys": _nics, "nic": _nics}
