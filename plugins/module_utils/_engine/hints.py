# Copyright: pipework.containers contributors
# GNU General Public License v3.0+ (see LICENSE)
"""What may be behind an error number of the kernel, in words."""

from __future__ import annotations

import errno
import typing as t

from .._core.plan import Operation
from .._model.layer3 import HOST
from .._model.vlans import KERNEL_OPTION

LINK = "link"  # of any type


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
