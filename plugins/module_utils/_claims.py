# Copyright: pipework.containers contributors
# GNU General Public License v3.0+ (see LICENSE)
"""Which new IPv4 addresses somebody else may have already, so that they are asked for before they are used. Pure.

Nobody else can have one where nobody else is: on a bridge without ports or addresses so far, and inside a pair. IPv6
needs none of this, since the kernel looks for duplicates itself.
"""
from __future__ import annotations

import dataclasses
import typing as t

from ._facts import Facts, link_key, port_key
from ._model import HOST, PAIR_TYPES, Address, Link, Port, Route
from ._normalize import family
from ._ovs_rows import OvsPort, port_row_key
from ._plan import Absent, Desired, Key, State

if t.TYPE_CHECKING:
    from ._attach import Target

NOWHERE = ("dummy", "ipoib", *PAIR_TYPES)  # an IPoIB interface asks otherwise than with Ethernet's frames


def claim(targets: t.Iterable[Target], facts: Facts, state: State, desired: Desired) -> None:
    """Marks addresses that are to be asked for, and the routes of those containers, which come after them."""
    movers: dict[str, list[str]] | None = None
    for target in targets:
        item, label = target.item, str(target.label)
        new = [] if item.state != "present" or not item.announce else [
            key for key in (Address(label, item.interface, each).key for each in item.addresses or ())
            if key not in state and isinstance(desired.get(key), Address) and family(key[2].split()[1]) == 4
        ]
        if not new or not _crowded(label, item.interface, facts, desired):
            continue
        movers = _movers(state, desired) if movers is None else movers
        for key in new:
            wanted = t.cast(Address, desired[key])
            desired[key] = dataclasses.replace(wanted, claimed=tuple(movers.get(_host(wanted), ())))
    put_off_routes(desired)


def put_off_routes(desired: Desired) -> None:
    """Marks the routes of containers with such addresses, whoever wants them: the kernel refuses a gateway or a source
    that is on no network yet.

    A new IPv6 address can be a source when the kernel has looked for duplicates of it (see _detours), which it does
    when frames pass.
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
