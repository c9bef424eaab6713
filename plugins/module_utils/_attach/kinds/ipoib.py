# Copyright: pipework.containers contributors
# GNU General Public License v3.0+ (see LICENSE)
"""Kind ipoib: an interface of its own on an IPoIB interface (InfiniBand) of the host, or in a partition of it."""
from __future__ import annotations

import typing as t

from ..._core.plan import Absent, KernelObject
from ..._model.keys import port_key
from ..._model.objects import HOST, Link
from ..site import Site


def wanted(site: Site) -> t.Iterator[KernelObject | Absent]:
    item = site.item
    parent = site.parent()
    if not parent.infiniband:
        raise item.refuse(f"host_interface: {parent.name} is not an IPoIB interface, as kind ipoib needs.")
    if item.mac_address:
        raise item.refuse(
            f"mac_address: {item.mac_address} cannot be set: MACADDR configuration unsupported for IPoIB interfaces, "
            "whose address is the hardware's; leave it out."
        )
    settings = {"pkey": item.pkey, "mode": item.mode}
    yield Link(HOST, parent.name, up=True)
    yield Link(
        site.label, item.interface, type="ipoib", parent=parent.name, mtu=item.mtu, up=True, owner=site.owner,
        settings={name: value for name, value in settings.items() if value is not None} or None,
    )
    yield Absent(port_key(site.label, item.interface))
