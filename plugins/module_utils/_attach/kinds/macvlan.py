# Copyright: pipework.containers contributors
# GNU General Public License v3.0+ (see LICENSE)
"""Kind macvlan: an interface of its own MAC on a NIC of the host, which stays there and can carry many."""
from __future__ import annotations

import typing as t

from ..._core.plan import Absent, KernelObject
from ..._model.keys import port_key
from ..._model.objects import HOST, ON_A_NIC, Link
from ..site import Site
from ..vlan_links import underneath
from ..vlan_links import wanted as vlan_link


def wanted(site: Site) -> t.Iterator[KernelObject | Absent]:
    return upon_nic(site, "macvlan", site.item.mode or "bridge")


def upon_nic(site: Site, kind: str, mode: str) -> t.Iterator[KernelObject | Absent]:
    """An interface of one of the kinds that stand on a NIC of the host."""
    item, facts = site.item, site.facts
    parent = site.parent()
    name, mtu = underneath(item, facts, parent)
    if not parent.ethernet:
        raise item.refuse(f"host_interface: {parent.name} is not an Ethernet interface, which {kind} needs.")
    if parent.type in ON_A_NIC:
        raise item.refuse(
            f"host_interface: {parent.name} is a {parent.type} itself; use the interface that it stands on."
        )
    base = facts.host.get(name)
    if base is not None and base.master is not None:
        bridge = facts.host_name(base.master)
        raise item.refuse(
            f"host_interface: {name} is a port of {bridge}, and takes no {kind} as such; "
            f"attach to {bridge} instead."
        )
    if item.mtu and item.mtu > mtu:
        raise item.refuse(f"mtu: {item.mtu} is more than {name} has ({mtu}); a {kind} takes {mtu} at most.")
    yield Link(HOST, parent.name, up=True)
    yield from vlan_link(item, facts, parent)
    yield Link(
        site.label, item.interface, type=kind, parent=name, settings={"mode": mode}, mac=item.mac_address,
        mtu=item.mtu or mtu, up=True, owner=site.owner,
    )
    yield Absent(port_key(site.label, item.interface))
