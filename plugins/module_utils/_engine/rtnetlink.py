# Copyright: pipework.containers contributors
# GNU General Public License v3.0+ (see LICENSE)
"""Operations that are plain requests to rtnetlink. What each sort of them says to the kernel, and in which namespace,
is handed over: so a module ships what its own objects need.
"""
from __future__ import annotations

import errno
import itertools
import typing as t

from .._core.errors import PipeworkError
from .._core.plan import Failure, Operation, Plan
from .._model.layer3 import HOST, Address
from .._model.vlans import KERNEL_OPTION
from .._netlink.kernel_error import KernelError
from .._netlink.namespaces import Namespaces
from .executors import Executor

Request = tuple[str, bytes]  # the namespace that it goes to, the message
Encode = t.Callable[[t.Any, t.Any, Namespaces], "list[Request]"]
Sort = tuple[str, str]  # kind of the objects, or their row in ORDER, and action
Detour = t.Callable[[Operation, KernelError, Namespaces], t.Optional[KernelError]]
Note = t.Callable[[Operation, Namespaces], None]
LINK = "link"  # of any type

# What may come back when something is taken back that is so already.
HARMLESS = {
    "create": {errno.EEXIST},
    "update": {errno.ENODEV},
    "delete": {errno.ENODEV, errno.ENOENT, errno.ESRCH, errno.EADDRNOTAVAIL},
}
GONE = HARMLESS["delete"]


class OperationFailed(PipeworkError):
    """One operation that the kernel refused."""

    def __init__(self, operation: Operation, error: Exception) -> None:
        self.number = getattr(error, "errno", None)
        self.whole = bool(getattr(error, "whole", False))
        super().__init__(f"{operation} failed: {str(error).rstrip('.')}.{lacking(operation, self.number)}")


def sort_of(operation: Operation) -> tuple[str, str]:
    """The row of an operation in ORDER, and so its place in tables of what carries it out."""
    if isinstance(operation.subject, Address) and operation.subject.claimed is None:
        return Address.KIND, operation.action  # whatever its rank is
    return operation.subject.order_kind, operation.action


def request(
    work: Plan, encode: Encode, namespaces: Namespaces, done: Plan, detour: Detour | None = None,
    note: Note | None = None,
) -> None:
    """Does operations of one sort as ``encode`` says them to the kernel. Raises OperationFailed.

    ``detour``: the way round what some kernels refuse, which returns the error that is left. ``note`` is told of each
    operation that the kernel has done.
    """
    failures: list[OperationFailed] = []
    outgoing: dict[str, list[tuple[Operation, bytes]]] = {}
    for operation in work:
        try:
            requests = encode(operation.before, operation.after, namespaces)
        except (OSError, PipeworkError) as error:
            if operation.action == "delete" and getattr(error, "errno", None) in GONE:
                done.append(operation)  # it went by itself, with its container
                continue
            failures.append(OperationFailed(operation, error))
            break
        for ns, message in requests:
            outgoing.setdefault(ns, []).append((operation, message))
        if not requests:
            done.append(operation)
    for ns, pairs in outgoing.items():
        if failures:
            break
        errors = namespaces[ns].send([message for _operation, message in pairs])
        for operation, sent in itertools.groupby(zip(pairs, errors), key=lambda entry: entry[0][0]):
            answers = [error for _pair, error in sent]
            wrong = next((error for error in answers if error is not None), None)
            if wrong is not None and operation.action == "delete" and wrong.errno in GONE:
                wrong = None
            if wrong is not None and answers[0] is wrong:
                wrong = detour(operation, wrong, namespaces) if detour is not None else wrong
            elif wrong is not None:
                done.append(operation)  # a part of it was done
            if wrong is None:
                done.append(operation)
                if note is not None:
                    note(operation, namespaces)
            else:
                failures.append(OperationFailed(operation, wrong))
    if failures:
        raise failures[0]


def executor(encoders: t.Mapping[Sort, Encode]) -> Executor:
    """Does all operations of these sorts."""
    def execute(work: Plan, namespaces: Namespaces, done: Plan) -> Failure:
        request(work, encoders[sort_of(work[0])], namespaces, done)
        return None

    return execute


# -- what may be behind an error number

def moves_radio(operation: Operation) -> bool:
    """Whether an operation moves a wireless NIC, between the host and a container."""
    link: t.Any = operation.subject
    if link.KIND != LINK or link.type != "phys" or link.ns == HOST or operation.action == "update":
        return False
    return link.nic is not None and link.nic.wireless


def lacking(operation: Operation, number: int | None) -> str:
    """What to do where the kernel does not know a type of interface."""
    link: t.Any = operation.subject
    if link.KIND == LINK and operation.action == "create" and (link.type, number) == ("vlan", errno.EEXIST):
        return f" The link of this VLAN of {link.parent} is in another network namespace."
    if link.KIND in ("vf", "vf_address") and number in (errno.EOPNOTSUPP, errno.EPROTONOSUPPORT):
        return f" The driver of {link.pf} does not set this for its virtual functions."
    if moves_radio(operation):
        return " The driver of this wireless NIC does not let it move." if number == errno.EOPNOTSUPP else ""
    if operation.action == "create" and number == errno.ENOENT:
        return link.unsupported()
    if operation.action != "create" or number != errno.EOPNOTSUPP or link.KIND != LINK:
        return ""
    if (link.settings or {}).get("vlan_filtering"):
        return f" With VLANs it needs {KERNEL_OPTION}."
    odd = {"vlan": ("VLAN_8021Q", "8021q"), "ipoib": ("INFINIBAND_IPOIB", "ib_ipoib")}
    option, module = odd.get(str(link.type), (str(link.type).upper(), link.type))
    return (
        f" This kernel has no interfaces of type {link.type}: it needs CONFIG_{option}, "
        f"built in or as a module ('modprobe {module}')."
    )
