# Copyright: pipework.containers contributors
# GNU General Public License v3.0+ (see LICENSE)
"""Which new IPv4 addresses somebody else may have already, so that they are asked for before they are used. Pure.

Nobody else can have one where nobody else is: on a bridge without ports or addresses so far, and inside a pair. IPv6
needs none of this, since the kernel looks for duplicates itself.
"""
from __future__ import annotations

import collections
import dataclasses
import typing as t

from .._core.normalize import family
from .._core.plan import Absent, Desired, Key, State
from .._model.keys import link_key, port_key
from .._model.objects import HOST, ON_A_NIC, PAIR_TYPES, Address, Link, Port, Route
from .._model.observed import Facts
from .._model.ovs import OvsPort, port_row_key
from .context import Target

NOWHERE = ("dummy", "ipoib", *PAIR_TYPES)  # an IPoIB interface asks otherwise than with Ethernet's frames


def claim(targets: t.Iterable[Target], facts: Facts, state: State, desired: Desired) -> None:
    """Marks addresses that are to be asked for, and the routes of those containers, which come after them."""
    movers: dict[str, list[str]] | None = None
    holders: dict[tuple[str, str], list[str]] = collections.defaultdict(list)
    for target in targets:
        item, label = target.item, str(target.label)
        new = [] if item.state != "present" or not item.announce else [
            key for key in (Address(label, item.interface, each).key for each in item.addresses or ())
            if key not in state and isinstance(desired.get(key), Address) and family(key[2].split()[1]) == 4
        ]
        if not new or not _crowded(label, item.interface, facts, desired):
            continue
        if movers is None:
            movers, holders = _movers(state, desired), _holders(state, desired)
        here = _segment(label, item.interface, facts, state, desired)
        for key in new:
            wanted = t.cast(Address, desired[key])
            also = [name for name in holders[label, _host(wanted)] if name != item.interface]
            for name in also:
                if here is not None and here == _segment(label, name, facts, state, desired):
                    raise item.refuse(
                        f"addresses: {wanted.address}: {label} has that address on its own {name} already, which is on "
                        "the same segment; give one of them another one, or use 'announce: false'."
                    )
            # A kernel answers for what it has through each of its interfaces.
            others = (each for name, each in facts.devices[label].items() if name not in (item.interface, *also))
            own = [each.mac for each in others if each.mac]
            spared = dict.fromkeys([*movers.get(_host(wanted), ()), *own])
            desired[key] = dataclasses.replace(wanted, claimed=tuple(spared))
    _want_reborn_routes(state, desired)
    put_off_routes(desired)


def _want_reborn_routes(state: State, desired: Desired) -> None:
    """A route that is made anew with its interface comes after the address that it needs, whoever made it."""
    late = {want.ns for want in desired.values() if isinstance(want, Address) and want.claimed is not None}
    for key, route in state.items() if late else ():
        if isinstance(route, Route) and route.ns in late and key not in desired and route.carrier in state:
            link, have = desired.get(route.carrier), state[route.carrier]
            if isinstance(link, Link) and link.must_replace(have):
                desired[key] = route


def refuse_the_hosts(targets: t.Iterable[Target], facts: Facts, state: State, desired: Desired) -> None:
    """Refuses addresses of the host itself for what stands on the NIC that has them, which no probe can reach."""
    for target in targets:
        item, link = target.item, desired.get(link_key(str(target.label), target.item.interface))
        if target.label == HOST or not isinstance(link, Link) or link.type not in ON_A_NIC:
            continue
        own = _addresses_on(str(link.parent), facts)
        for each in item.addresses or ():
            wanted = Address(str(target.label), item.interface, each)
            if _host(wanted) in own and wanted.key not in state:
                raise item.refuse(
                    f"addresses: {each}: the host has that address on {own[_host(wanted)]} itself; choose another one."
                )


def _addresses_on(nic: str, facts: Facts) -> dict[str, str]:
    """The host's addresses on a NIC and on its own interfaces that stand there, with their names."""
    index = facts.host[nic].index if nic in facts.host else None
    names = {nic, *(
        each.name for each in facts.host.values()
        if each.type in ON_A_NIC and (each.parent_index, each.parent_netnsid) == (index, None)
    )}
    return {_host(each): each.device for each in facts.addresses.get(HOST, ()) if each.device in names}


def refuse_names_twice(targets: t.Iterable[Target], desired: Desired) -> None:
    """Refuses a host end whose name another interface of this run has on the host."""
    names = {want.ifname: f"{want.type} {want.ifname}" for want in desired.values()
             if isinstance(want, Link) and want.ns == HOST}
    for target in targets:
        port = desired.get(port_key(str(target.label), target.item.interface))
        if not isinstance(port, Port) or not port.local_interface:
            continue
        name, mine = port.local_interface, f"the host end of {target.label}/{target.item.interface}"
        if names.setdefault(name, mine) != mine:
            raise target.item.refuse(
                f"local_interface: {name} would be {mine}, and is {names[name]} in this run; choose another name."
            )


def put_off_routes(desired: Desired) -> None:
    """Marks the routes of containers with such addresses, whoever wants them: the kernel refuses a gateway or a source
    that is on no network yet.

    A new IPv6 address can be a source when the kernel has looked for duplicates of it (see _engine/fallbacks), which it
    does when frames pass.
    """
    addresses = [want for want in desired.values() if isinstance(want, Address)]
    late = {address.ns for address in addresses if address.claimed is not None}
    new = {(address.ns, _host(address)) for address in addresses}
    for key, route in desired.items():
        if isinstance(route, Route) and (route.ns in late or route.family == 6 and (route.ns, route.source) in new):
            desired[key] = dataclasses.replace(route, late=True)


def _host(address: Address) -> str:
    return address.address.split("/")[0]


def _crowded(label: str, interface: str, facts: Facts, desired: Desired) -> bool:
    """Whether there may be others on the segment of an interface."""
    link, port = desired.get(link_key(label, interface)), desired.get(port_key(label, interface))
    if not isinstance(link, Link) or link.type in NOWHERE:
        return False
    if link.type != "veth":
        return True
    row = desired.get(port_row_key(str(port.local_interface))) if isinstance(port, Port) else None
    bridge = row.bridge if isinstance(row, OvsPort) else port.bridge if isinstance(port, Port) else None
    if bridge not in facts.host:
        return False
    members = facts.switch.members.get(str(bridge)) if facts.switch else None
    addressed = any(address.device == bridge for address in facts.addresses.get(HOST, ()))
    return bool(addressed or members or facts.ports_of(str(bridge)))


def _segment(label: str, interface: str, facts: Facts, state: State, desired: Desired) -> tuple[t.Any, ...] | None:
    """What tells the network of an interface from others, as far as that is known."""
    key = port_key(label, interface)
    link, port = (desired.get(each, state.get(each)) for each in (link_key(label, interface), key))
    row = desired.get(port_row_key(str(port.local_interface))) if isinstance(port, Port) else None
    if isinstance(row, OvsPort):
        return row.bridge, row.vlans
    if isinstance(port, Port):
        return port.bridge, port.vlans
    device = facts.devices[label].get(interface)
    end = facts.host_end(label, device) if device is not None else None
    if end is not None:  # an engine's, such as Docker's
        return facts.bridge_under(end), facts.vlans_of(end)
    return (link.parent,) if isinstance(link, Link) and link.parent and link.type not in NOWHERE else None


def _holders(state: State, desired: Desired) -> dict[tuple[str, str], list[str]]:
    """The interfaces that have an address and keep it, or get it in this run, by container and address."""
    found: dict[tuple[str, str], list[str]] = collections.defaultdict(list)
    for key, address in {**state, **desired}.items():
        if isinstance(address, Address) and not _goes(address.carrier, desired):
            found[key[1], _host(address)].append(address.device)
    return found


def _movers(state: State, desired: Desired) -> dict[str, list[str]]:
    """Who answers for an address still, but loses it in this run: MAC addresses, by the address."""
    found: dict[str, list[str]] = {}
    for key, address in state.items():
        if isinstance(address, Address) and (_goes(key, desired) or _goes(address.carrier, desired)):
            link = state.get(address.carrier)
            if isinstance(link, Link) and link.mac:
                found.setdefault(_host(address), []).append(link.mac)
    return found


def _goes(key: Key, desired: Desired) -> bool:
    return isinstance(desired.get(key), Absent)
