# Copyright: pipework.containers contributors
# GNU General Public License v3.0+ (see LICENSE)
"""A NIC of the host as a port of a bridge, and which routes of its subnets the kernel has not made. Pure."""
from __future__ import annotations

import dataclasses
import ipaddress
import typing as t

from .layer3 import Address, Route
from .objects import UPLINK, Port

NOPREFIXROUTE = 0x200  # a flag of addresses
RTPROT_KERNEL, TABLE_LOCAL = 2, 255


@dataclasses.dataclass(frozen=True)
class NicPort(Port):
    """A NIC, and the bridge that it is a port of."""

    @property
    def order_kind(self) -> str:
        return self.KIND if self.bridge != "" or (self.owner or "").startswith(UPLINK) else "port_free"


def kept_by_hand(route: Route, addresses: t.Iterable[Address]) -> bool:
    """Whether a route to a subnet that looks like the kernel's own was made by a program that told it to make none."""
    if route.protocol != RTPROT_KERNEL or route.table == TABLE_LOCAL or route.gateway:
        return False
    here = [each for each in addresses if each.device == route.device and (each.flags or 0) & NOPREFIXROUTE]
    return any(str(ipaddress.ip_interface(each.address).network) == route.destination for each in here)
