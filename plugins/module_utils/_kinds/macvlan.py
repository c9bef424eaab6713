# Copyright: pipework.containers contributors
# GNU General Public License v3.0+ (see LICENSE)
"""Kind macvlan: an interface of its own MAC on a NIC of the host, which stays there and can carry many."""
from __future__ import annotations

import typing as t

from .._facts import port_key
from .._model import HOST, ON_A_NIC, Link
from .._plan import Absent, KernelObject

if t.TYPE_CHECKING:
    from . import Site


def wanted(site: Site) -> t.Iterator[KernelObject | Absent]:
    return upon_nic(site, "macvlan", site.item.mode or "bridge")


def upon_nic(site: Site, kind: str, mode: str) -> t.Iterator[KernelObject | Absent]:
    """An interface of one of the kinds that stand on a NIC of the host."""
    item = site.item
    parent = site.parent()
    if not parent.ethernet:
        raise item.refuse(f"host_interface: {parent.name} is not an Ethernet interface, which {kind} needs.")
    if parent.type in ON_A_NIC:
        raise item.refuse(
            f"host_interface: {parent.name} is a {parent.type} itself; use the interface that it stands on."
        )
    if parent.master is not None:
        bridge = site.facts.host_name(parent.master)
        raise item.refuse(
            f"host_interface: {parent.name} is a port of {bridge}, and takes no {kind} as such; "
            f"attach to {bridge} instead."
        )
    if item.mtu and item.mtu > parent.mtu:
        raise item.refuse(
            f"mtu: {item.mtu} is more than {parent.name} has ({parent.mtu}); a {kind} takes {parent.mtu} at most."
        )
    yield Link(HOST, parent.name, up=True)
    yield Link(
        site.label, item.interface, type=kind, parent=parent.name, settings={"mode": mode}, mac=item.mac_address,
        mtu=item.mtu or parent.mtu, up=True, owner=site.owner,
    )
    yield Absent(port_key(site.label, item.interface))
