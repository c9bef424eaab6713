# Copyright: pipework.containers contributors
# GNU General Public License v3.0+ (see LICENSE)
"""Kind veth: a cable between two containers, or two interfaces of one: a veth pair with an end in each.

One message makes both ends. The container that the attachment is of has the end of type ``pair``; the other, of type
``peer``, lives on it. Each of the two is an item of its own, so that each has its addresses and gateways.
"""
from __future__ import annotations

import typing as t

from ..._core.plan import Absent, KernelObject
from ..._model.keys import link_key, port_key
from ..._model.objects import Link, Mark, pair_mark
from ..site import Site


def wanted(site: Site) -> t.Iterator[KernelObject | Absent]:
    item = site.item
    label, interface = site.other or (site.label, item.interface)
    far = site.state.get(link_key(label, interface))
    yield Link(
        site.label, item.interface, type="peer" if item.far else "pair", parent=f"{label}/{interface}",
        mac=item.mac_address, mtu=item.mtu, up=True, owner=pair_mark(site.owner, Mark.PEER if item.far else Mark.PAIR),
        peer_mac=None if item.peer is None else item.peer.mac_address or (far.mac if isinstance(far, Link) else None),
    )
    yield Absent(port_key(site.label, item.interface))
