# Copyright: pipework.containers contributors
# GNU General Public License v3.0+ (see LICENSE)
"""NICs of the host as ports of a bridge: how they join it, with addresses and routes if asked, and leave it. Pure.

A NIC that joins keeps in its alias which bridge it belongs to and what it was before. An address is on the bridge
before it leaves the NIC, and a route is exchanged in one step, so that at no moment there is none.
"""
from __future__ import annotations

import dataclasses
import typing as t

from .._core import normalize as norm
from .._core.errors import PipeworkError
from .._core.plan import Absent, KernelObject, State
from .._model.moved_address import MovedAddress
from .._model.nic_port import NicPort
from .._model.objects import ALIAS_MAX, HOST, OWNER_BRIDGE, UPLINK, Address, Device, Route
from .._model.observed import Facts
from .._model.ovs import OvsPort, port_row_key
from .._model.seals import SEAL
from .._model.sriov_record import escaped, unescaped
from .._routing.moved_rules import moved, ranked
from .uplink_options import Uplink
from .uplink_rules import back, marks_of

if t.TYPE_CHECKING:
    from .options import Bridge


@dataclasses.dataclass(frozen=True)
class Record:
    """What a NIC was before it became a port, and the addresses that the bridge has from it."""

    bridge: str
    up: bool
    addresses: tuple[str, ...] = ()
    alias: str = ""
    rules: tuple[str, ...] = ()  # that named it, see _bridge/uplink_rules

    def pack(self) -> str:
        state = ";".join(["up" if self.up else "down", *self.rules])
        return "|".join([UPLINK + escaped(self.bridge), state, ",".join(self.addresses), self.alias])

    @classmethod
    def unpack(cls, alias: str | None) -> Record | None:
        fields = (alias or "").split("|", 3)
        if len(fields) != 4 or not fields[0].startswith(UPLINK):
            return None
        listed = tuple(address for address in fields[2].split(",") if address)
        state, *rules = fields[1].split(";")
        return cls(unescaped(fields[0][len(UPLINK):]), state == "up", listed, fields[3], tuple(rules))


@dataclasses.dataclass(frozen=True)
class MovedRoute(Route):
    """A route that leads out of another interface from now on; all else of it stays."""

    HINTS = frozenset()

    @property
    def order_kind(self) -> str:
        return "moved" if self.gateway or self.nexthops else "moved_way"


def marked(bridge: str, facts: Facts) -> dict[str, Record]:
    """The NICs that are ports of a bridge through us, or were about to be when a run was ended."""
    records = {device.name: Record.unpack(device.alias) for device in facts.host.values()}
    return {name: record for name, record in records.items() if record is not None and record.bridge == bridge}


def mac_of_nic(bridge: Bridge, facts: Facts) -> str | None:
    """The MAC address that a new bridge takes over together with the addresses: neighbours and switches know it."""
    for uplink in bridge.ports or () if bridge.move_addresses else ():
        device = facts.host.get(uplink.name)
        if device is not None and _addresses(uplink.name, facts):
            return device.mac
    return None


def uplinks(bridge: Bridge, facts: Facts, state: State, switched: bool) -> t.Iterator[KernelObject | Absent]:
    """What is wanted of NICs: of those that are listed, and of those of ours that are not any more."""
    present = bridge.state == "present"
    ours = marked(bridge.name, facts)
    listed = bridge.ports or () if present else ()
    rules = ranked(facts.rules.get(HOST, ()))
    state.update((rule.key, rule) for rule in rules)
    if bridge.move_addresses:
        yield from moved(rules, {uplink.name: bridge.name for uplink in listed})
    for uplink in listed:
        device = _checked(bridge, uplink, facts)
        _observed(device, bridge.name, facts, state)
        yield from _joins(bridge, uplink, device, facts, switched)
    if present and bridge.ports is None:
        listed = tuple(Uplink(name) for name in ours)
        for address in (a for record in ours.values() for a in record.addresses):
            yield Address(HOST, bridge.name, address, broadcast=norm.broadcast(address))
    for name, record in ours.items():
        if name not in {uplink.name for uplink in listed}:
            _observed(facts.host[name], bridge.name, facts, state)
            yield from _leaves(bridge, name, record, facts, switched)
    away = {name: record.rules for name, record in ours.items() if name not in {uplink.name for uplink in listed}}
    stay = {mark for name, record in ours.items() if name not in away for mark in record.rules}
    yield from back(rules, bridge.name, away, stay)


def _observed(device: Device, to: str, facts: Facts, state: State) -> None:
    # What is a port of Open vSwitch has a master too, or has none: that is for its own database to say.
    master = facts.by_index.get(device.master) if device.master is not None else None
    bridge = master.name if master is not None and master.type == "bridge" else ""
    found = NicPort(
        HOST, device.name, local_interface=device.name, bridge=bridge, mtu=device.mtu, up=device.up,
        owner=device.alias or "", settings=device.port, vlans=facts.vlans_of(device),
    )
    state[found.key] = found
    for name in (device.name, to):
        for rank, address in enumerate(_addresses(name, facts)):
            state[address.key] = MovedAddress.of(address, rank)  # in its order, if it goes and comes back


def _checked(bridge: Bridge, uplink: Uplink, facts: Facts) -> Device:
    name = uplink.name
    device = facts.host.get(name)
    if device is None:
        nics = sorted(each.name for each in facts.host.values() if each.type is None)
        there = f"; the host's NICs are {', '.join(nics)}" if nics else ""
        raise bridge.refuse(f"ports: the host has no interface {name}{there}.")
    switched = facts.switch is not None and facts.switch.lists(name)
    if device.type == "bridge" or switched or name == bridge.name:
        raise bridge.refuse(f"ports: {name} is a bridge itself; a NIC would be right.")
    if not device.ethernet:
        raise bridge.refuse(f"ports: {name} is no Ethernet interface, which a port of a bridge has to be.")
    record = Record.unpack(device.alias)
    under = facts.bridge_under(device) or (record.bridge if record else None)
    if under is not None and under != bridge.name:
        raise bridge.refuse(f"ports: {name} is a port of {under} already; take it out there first.")
    if device.owner:
        raise bridge.refuse(f"ports: {name} is part of an attachment ({device.owner}).")
    if not bridge.move_addresses and not under and _addresses(name, facts) and _leads_out(name, facts):
        raise bridge.refuse(
            f"ports: the host's default route leads through {name}, whose addresses do not work on a port of a bridge; "
            "'move_addresses: true' takes addresses and routes over to the bridge."
        )
    return device


def _addresses(device: str, facts: Facts) -> list[Address]:
    return [address for address in facts.addresses.get(HOST, ()) if address.device == device]


def _leads_out(device: str, facts: Facts) -> bool:
    return any(each.destination == "default" and by(each, device) for each in facts.routes.get(HOST, ()))


def stranded(bridge: Bridge, facts: Facts) -> list[str]:
    """Warnings about addresses that stay on a NIC and do not work there."""
    found = []
    for uplink in bridge.ports or () if bridge.state == "present" and not bridge.move_addresses else ():
        have = [address.address for address in _addresses(uplink.name, facts)]
        if have:
            found.append(
                f"{uplink.name} is a port of {bridge.name} and still has {', '.join(have)}, which does not work there; "
                "'move_addresses: true' takes it over to the bridge."
            )
    return found


def lent(bridge: Bridge, name: str, addresses: t.Sequence[Address]) -> PipeworkError:
    """The error about addresses that somebody would give to the NIC again."""
    listed = ", ".join(address.address for address in addresses)
    return bridge.refuse(
        f"move_addresses: {name} has {listed} for a time only, from a DHCP client that would renew it on {name}; "
        "end that client, or let it run on the bridge, and give the address to the NIC for good or to the bridge."
    )


def _joins(
    bridge: Bridge, uplink: Uplink, device: Device, facts: Facts, switched: bool,
) -> t.Iterator[KernelObject | Absent]:
    name = uplink.name
    moving = _addresses(name, facts) if bridge.move_addresses else []
    rules = marks_of(name, facts.rules.get(HOST, ())) if bridge.move_addresses else []
    record = Record.unpack(device.alias)
    if record is None and (moving or rules or facts.bridge_under(device) != bridge.name):
        record = Record(bridge.name, device.up, (), device.alias or "")
    owner = None  # a port that somebody else made stays his
    if record is not None:
        new = tuple(a.address for a in moving if a.address not in record.addresses)
        marks = tuple(dict.fromkeys([*record.rules, *rules]))
        record = dataclasses.replace(record, addresses=record.addresses + new, rules=marks)
        owner = record.pack()
        if len(owner.encode("utf-8", "surrogateescape")) + SEAL > ALIAS_MAX:
            also = f" and rules of policy routing ({len(record.rules)})" if record.rules else ""
            raise bridge.refuse(
                f"ports: {name} has more addresses ({len(record.addresses)}){also}, or a longer alias, than can be "
                "kept with it until it leaves the bridge; remove some of them first."
            )
    if switched:
        yield NicPort(HOST, name, local_interface=name, up=True, owner=owner)
        yield OvsPort(
            HOST, name, bridge=bridge.name, vlans=uplink.vlans, owner=OWNER_BRIDGE if owner else None, error="",
        )
    else:
        yield NicPort(HOST, name, local_interface=name, bridge=bridge.name, up=True, owner=owner, vlans=uplink.vlans)
    for address in record.addresses if record else ():
        yield Address(HOST, bridge.name, address, broadcast=norm.broadcast(address))
    for rank, each in enumerate(moving):
        yield MovedAddress.of(dataclasses.replace(each, device=bridge.name), rank)
        yield Absent(each.key)
    for route in facts.routes.get(HOST, ()) if moving else ():
        if by(route, name):
            yield _through(route, name, bridge.name)


def _leaves(
    bridge: Bridge, name: str, record: Record, facts: Facts, switched: bool,
) -> t.Iterator[KernelObject | Absent]:
    """The NIC as it was, with what has moved, and with the routes that need nothing that stays."""
    have = {each.address: each for each in _addresses(bridge.name, facts)}
    for rank, address in enumerate(record.addresses):
        if address in have:
            yield MovedAddress.of(dataclasses.replace(have[address], device=name), rank)
            yield Absent(have[address].key)
        else:
            yield Address(HOST, name, address, broadcast=norm.broadcast(address))
    staying = [] if bridge.state == "absent" else [address for address in have if address not in record.addresses]
    for route in facts.routes.get(HOST, ()) if record.addresses else ():
        if by(route, bridge.name) and not _belongs(route, staying):
            yield _through(route, bridge.name, name)
    yield NicPort(
        HOST, name, local_interface=name, bridge="", up=record.up, owner=record.alias,
    )
    row = facts.switch.ports.get(name) if facts.switch and switched else None
    if row is not None and row.bridge == bridge.name:
        yield Absent(port_row_key(name))


def by(route: Route, device: str) -> bool:
    """Whether a route leads out of an interface."""
    return route.device == device or any(hop.device == device for hop in route.nexthops or ())


def _through(route: Route, old: str, new: str) -> MovedRoute:
    hops = route.nexthops and tuple(hop._replace(device=new) if hop.device == old else hop for hop in route.nexthops)
    fields = {**route.__dict__, "nexthops": hops}
    if route.device == old:
        fields["device"] = new
    return MovedRoute(**fields)


def _belongs(route: Route, addresses: t.Collection[str]) -> bool:
    """Whether a route needs these addresses."""
    gateways = [route.gateway] if route.gateway else [hop.gateway for hop in route.nexthops or ()]
    plain = {address.split("/")[0] for address in addresses}
    return route.source in plain or any(via and norm.on_link(via, tuple(addresses)) for via in gateways)
