# Copyright: pipework.containers contributors
# GNU General Public License v3.0+ (see LICENSE)
"""Carries out moves of NICs between the host and containers: a wireless one moves with its radio."""
from __future__ import annotations

import typing as t

from .._core.plan import Failure, Plan
from .._engine import marks
from .._engine.executors import Executors
from .._engine.links import send
from .._engine.rtnetlink import moves_radio
from .._model.nic_record import NicRecord
from .._model.objects import HOST
from .._model.seals import Record
from .._netlink import rtnl
from .._netlink.kernel_error import KernelError
from .._netlink.namespaces import Namespaces


def _nics(work: Plan, namespaces: Namespaces, done: Plan) -> Failure:
    moving = [operation for operation in work if moves_radio(operation)]
    rest = [operation for operation in work if operation not in moving] if moving else work
    if rest:
        send(rest, namespaces, done)
    for operation in moving:
        from .._engine import wireless  # which few runs need

        try:
            wireless.carry(operation, namespaces)
        except KernelError as error:
            return operation, error
        done.append(operation)
        marks.done(operation, namespaces)
    return None


def _forget(work: Plan, namespaces: Namespaces, done: Plan) -> Failure:
    """What a NIC had is in its place, and it has its own alias again; or that is taken back."""
    host = namespaces[HOST]
    for operation in work:
        record = t.cast(NicRecord, operation.subject)
        index = host.index(record.ifname)
        if operation.action == "delete":
            [error] = host.send([rtnl.set_link(index, alias=record.alias or "", group=0)])
            if error is not None:
                return operation, error
            _DROPPED[record.ifname] = marks.returned(record.ifname, namespaces)
        else:
            again = _DROPPED.pop(record.ifname, [])
            marks.kept_again(again)
            host.send([rtnl.set_link(index, alias=each.alias) for each in again])
        done.append(operation)
    return None


_DROPPED: dict[str, list[Record]] = {}  # of this run, which may be taken back
EXECUTORS: Executors = {"phys": _nics, "nic": _nics, "nic_record": _forget}
