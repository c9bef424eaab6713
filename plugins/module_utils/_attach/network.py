# Copyright: pipework.containers contributors
# GNU General Public License v3.0+ (see LICENSE)
"""Which network an attachment's leases are of: one that was asked for in another network is of no use. Pure."""
from __future__ import annotations

import typing as t

from .._core.plan import Desired, State
from .._model.keys import link_key, port_key
from .._model.objects import Link, Port
from .._model.ovs import OvsPort, port_row_key
from .options import Attachment

VLAN = " vlan "


def through_of(item: Attachment, label: str, desired: Desired, have: str | None) -> str | None:
    """What an interface reaches it through, in words: the host's bridge or NIC, and the VLAN if that is said.

    ``have``: the same of the lease that is there. Where nothing is said of the VLAN, it is left as it is.
    """
    link, port = desired.get(link_key(label, item.interface)), desired.get(port_key(label, item.interface))
    row = desired.get(port_row_key(str(port.local_interface))) if isinstance(port, Port) else None
    base: str | None = None
    in_name = False  # of a VLAN's link, or a VLAN bridge of Open vSwitch
    if isinstance(row, OvsPort):
        base, in_name = row.plugged, bool(row.vlan_bridge)
    elif isinstance(port, Port):
        base = port.bridge
    elif isinstance(link, Link):
        vf = link.nic.vf if link.nic else None
        base, in_name = (vf.pf if vf else link.parent), vf is None
    if not base or in_name:
        return base or None
    if item.vlan is not None:
        return f"{base}{VLAN}{item.vlan}"
    return have if have is not None and have.split(VLAN)[0] == base else base


def comes_elsewhere(item: Attachment, label: str, state: State, desired: Desired) -> bool:
    """Whether an interface that is there comes to another network."""
    there, wanted = (through_of(item, label, t.cast(Desired, each), None) for each in (state, desired))
    key = port_key(label, item.interface)
    before, after = state.get(key), desired.get(key)
    vlans = isinstance(before, Port) and isinstance(after, Port) and after.vlans is not None
    elsewhere = there is not None and wanted is not None and there != wanted
    return elsewhere or vlans and t.cast(Port, before).vlans != t.cast(Port, after).vlans
