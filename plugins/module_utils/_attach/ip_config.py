# Copyright: pipework.containers contributors
# GNU General Public License v3.0+ (see LICENSE)
"""The addresses of one attachment's interface and the routes of its lease, which are the same for all kinds. Pure."""

from __future__ import annotations

import typing as t

from .._core.items import blaming
from .._core.normalize import MTU_MIN_IPV6, broadcast, family, on_link
from .._core.plan import Absent, KernelObject
from .._model.keys import link_key
from .._model.objects import Address
from .context import Scene
from .default_route import host_route
from .dhcp4 import drops, grant_of, held, routes_of
from .options import Attachment, check_gateways


def layer3(item: Attachment, label: str, scene: Scene, moved: bool = False) -> t.Iterator[KernelObject | Absent]:
    """What an attachment wants of its interface, and Absent for what it does not want any more.

    ``moved``: it comes to another network. Static addresses do not go along beside a lease, unless they are listed.
    """
    found = [o for o in scene.carried[link_key(label, item.interface)] if isinstance(o, Address)]
    have = [address for address in found if address.valid is None]
    lent = [address for address in found if address.valid is not None and family(address.address) == 4]
    listed = item.addresses or ()
    wanted = {each: Address(label, item.interface, each, broadcast=broadcast(each)) for each in listed}
    grant = grant_of(item, label, scene.state)
    if grant is not None:
        wanted[grant.address] = Address(
            label, item.interface, grant.address, broadcast=broadcast(grant.address), valid=grant.left(scene.facts.now),
        )
    yield from wanted.values()
    given_back = drops(item) and held(label, item.interface, scene.state) is not None
    if grant is not None or given_back:
        yield from (Absent(address.key) for address in lent if address.address not in wanted)
    if item.addresses is not None and not item.append or moved and item.dhcp is not None and not listed:
        yield from (Absent(address.key) for address in have if address.address not in wanted)
        have = []
    reachable = tuple(wanted) + tuple(address.address for address in have)
    with blaming(item.where):  # also with the addresses that are there already
        check_gateways(item, reachable)
    for route in routes_of(grant, label, item.interface) if grant is not None and item.table is None else ():
        yield route
        if route.gateway and not on_link(route.gateway, reachable):
            yield host_route(label, route.gateway, item.interface)


def without_lease(item: Attachment, label: str, scene: Scene) -> t.Iterator[KernelObject | Absent]:
    """What goes with a lease that was lost; what is static stays. Its default route: see default_route.py."""
    found = [o for o in scene.carried[link_key(label, item.interface)] if isinstance(o, Address)]
    lent = (each for each in found if each.valid is not None and family(each.address) == 4)
    yield from (Absent(address.key) for address in lent)


def check_ipv6(item: Attachment, label: str, scene: Scene) -> None:
    """The kernel drops all IPv6 addresses of an interface whose MTU becomes too small for them."""
    if item.mtu is None or item.mtu >= MTU_MIN_IPV6:
        return
    for address in scene.carried[link_key(label, item.interface)]:
        if isinstance(address, Address) and family(address.address) == 6:
            raise item.refuse(
                f"mtu: {item.mtu} is too small for IPv6, which needs at least {MTU_MIN_IPV6}, and {item.interface} has "
                f"the address {address.address}; remove that one first."
            )
