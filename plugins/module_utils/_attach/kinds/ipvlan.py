# Copyright: pipework.containers contributors
# GNU General Public License v3.0+ (see LICENSE)
"""Kind ipvlan: an interface that shares the MAC of a NIC of the host, for networks that take only one for each port."""
from __future__ import annotations

import typing as t

from ..._core.plan import Absent, KernelObject
from ..site import Site
from .macvlan import upon_nic


def wanted(site: Site) -> t.Iterator[KernelObject | Absent]:
    item = site.item
    if item.mac_address:
        raise item.refuse(
            f"mac_address: {item.mac_address} cannot be set, since an ipvlan has the address of its NIC; "
            "kind macvlan has its own."
        )
    return upon_nic(site, "ipvlan", item.mode or "l2")
