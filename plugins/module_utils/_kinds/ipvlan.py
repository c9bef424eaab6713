# Copyright: pipework.containers contributors
# GNU General Public License v3.0+ (see LICENSE)
"""Kind ipvlan: an interface that shares the MAC of a NIC of the host, for networks that take only one for each port."""
from __future__ import annotations

import typing as t

from .._model import Link
from .._nic_vlan import underneath
from .._plan import Absent, KernelObject
from .macvlan import upon_nic

if t.TYPE_CHECKING:
    from . import Site


def wanted(site: Site) -> t.Iterator[KernelObject | Absent]:
    item = site.item
    mode = item.mode or "l2"
    if item.mac_address:
        raise item.refuse(
            f"mac_address: {item.mac_address} cannot be set, since an ipvlan has the address of its NIC; "
            "kind macvlan has its own."
        )
    base, _mtu = underneath(item, site.facts, site.parent())
    for link in site.state.values():
        # The kernel keeps one mode for all that stand on a NIC, and would change the others' with ours.
        if not isinstance(link, Link) or (link.type, link.parent) != ("ipvlan", base) or link is site.link:
            continue
        other = (link.settings or {}).get("mode")
        if other != mode:
            raise item.refuse(
                f"mode: {mode} is not possible, since {base} carries an ipvlan in mode {other}, "
                "and all on one NIC have the same."
            )
    return upon_nic(site, "ipvlan", mode)
