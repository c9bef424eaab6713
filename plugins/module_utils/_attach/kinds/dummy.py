# Copyright: pipework.containers contributors
# GNU General Public License v3.0+ (see LICENSE)
"""Kind dummy: an interface that leads nowhere, for an address of the container's own."""
from __future__ import annotations

import typing as t

from ..._core.plan import Absent, KernelObject
from ..._model.keys import port_key
from ..._model.objects import Link
from ..site import Site


def wanted(site: Site) -> t.Iterator[KernelObject | Absent]:
    item = site.item
    yield Link(site.label, item.interface, type="dummy", mac=item.mac_address, mtu=item.mtu, up=True, owner=site.owner)
    yield Absent(port_key(site.label, item.interface))
