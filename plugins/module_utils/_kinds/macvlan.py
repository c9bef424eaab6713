# Copyright: pipework.containers contributors
# GNU General Public License v3.0+ (see LICENSE)
"""Kind macvlan: an interface of its own MAC on a NIC of the host, which stays there and can carry many."""
from __future__ import annotations

import typing as t

from .._facts import port_key
from .._model import HOST, Link
from .._plan import Absent, KernelObject

if t.TYPE_CHECKING:
    from . import Site


def wanted(site: Site) -> t.Iterator[KernelObject | Absent]:
    item = site.item
    parent = site.parent()
    mode = item.mode or "bridge"
    if not parent.ethernet:
        raise item.refuse(f"host_interface: {parent.name} is not an Ethernet interface, which macvlan needs.")
    if parent.type == "macvlan":
        raise item.refuse(f"host_interface: {parent.name} is a macvlan itself; use the interface that it stands on.")
    if parent.master is not None:
        raise item.refuse(f"host_interface: {parent.name} is a port of {site.facts.host_name(parent.master)}, and takes no macvlan as such; attach to {site.facts.host_name(parent.master)} instead.")
    if item.mtu and item.mtu > parent.mtu:
        raise item.refuse(f"mtu: {item.mtu} is more than {parent.name} has ({parent.mtu}); a macvlan takes {parent.mtu} at most.")
    yield Link(HOST, parent.name, up=True)
    yield Link(
        site.label, item.interface, type="macvlan", parent=parent.name, settings={"mode": mode}, mac=item.mac_address,
        mtu=item.mtu or parent.mtu, up=True, owner=site.owner,
    )
    yield Absent(port_key(site.label, item.interface))
