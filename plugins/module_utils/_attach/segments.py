# Copyright: pipework.containers contributors
# GNU General Public License v3.0+ (see LICENSE)
"""Which interfaces are on one network, as far as the host can know, and which addresses come there. Pure."""
from __future__ import annotations

import ipaddress
import typing as t

from .._core.plan import Absent, Desired, State
from .._model.keys import link_key, port_key
from .._model.objects import HOST, ON_A_NIC, PAIR_TYPES, Address, Device, Link, Port
from .._model.observed import Facts
from .._model.ovs import OvsPort, port_row_key
from .._model.vlans import native

APART = ("vrf", "openvswitch")  # masters that are no network: routing tables, and all bridges of Open vSwitch at once
INSIDE = ("bridge", "veth", "dummy", "tun", "openvswitch")  # what leads to no other machine
DEFAULT_VLAN = 1  # of a bridge's ports of which nothing else is said
TRUNK = 0  # a port on which all frames have tags


class Place(t.NamedTuple):
    """What an interface is attached to: a bridge or NIC of the host, or the other end of a pair."""

    name: str
    vlan: int | None = None  # of a bridge's port; None: that of all others
    bridged: bool = True  # rather than on a NIC, behind which there is more than the host knows
    paired: bool = False


class Look:
    """What will be there of a key; without ``desired``, what is there."""

    def __init__(self, state: State, desired: Desired | None = None) -> None:
        self.state, self.desired = state, desired or {}

    def __call__(self, key: t.Any) -> t.Any:
        want = self.desired.get(key)
        if want is None:
            return self.state.get(key)
        return None if isinstance(want, Absent) else want

    def field(self, found: t.Any, name: str) -> t.Any:
        """One of an object; where it is not managed, as it is."""
        value, have = getattr(found, name), self.state.get(found.key)
        return getattr(have, name) if value is None and have is not None else value


def place(label: str, interface: str, look: Look) -> Place | None:
    """What an interface is attached to; None where it is to nothing."""
    port = look(port_key(label, interface))
    row = look(port_row_key(str(port.local_interface))) if isinstance(port, Port) else None
    for each in (row, port):
        if isinstance(each, (OvsPort, Port)) and each.bridge:
            return Place(each.bridge, vlan_of(look.field(each, "vlans")))
    link = look(link_key(label, interface))
    if not isinstance(link, Link) or not link.parent:
        return None
    if link.type in PAIR_TYPES:
        return Place(" and ".join(sorted((f"{label}/{interface}", link.parent))), paired=True)
    vf = link.nic.vf if link.nic else None
    return Place(vf.pf if vf else link.parent, bridged=False)


def vlan_of(vlans: t.Collection[str] | None) -> int | None:
    """That of a port's frames without a tag."""
    found = native(vlans)
    return TRUNK if found is None and vlans else None if found == DEFAULT_VLAN else found


def coming(target: t.Any, look: Look) -> list[str]:
    """The listed addresses of an attachment that come to a network in this run."""
    item, label = target.item, str(target.label)
    keys = {each: Address(label, item.interface, each).key for each in item.addresses or ()}
    listed = [each for each, key in keys.items() if isinstance(look.desired.get(key), Address)]
    if listed and place(label, item.interface, Look(look.state)) != place(label, item.interface, look):
        return listed
    return [each for each in listed if keys[each] not in look.state]


class Segments:
    """A bridge and its ports, a NIC and the macvlans on it, and both ends of a veth pair are on one network.

    ``coming``: NICs that become ports of bridges in this run.
    """

    def __init__(self, facts: Facts, coming: t.Mapping[str, str] | None = None) -> None:
        self.facts = facts
        self._leads: dict[str, str] = {}
        for device in facts.host.values():
            for other in self._beside(device):
                self._join(device.name, other)
        for port, bridge in (coming or {}).items():
            self._join(port, bridge)
        self._networks = [
            (ipaddress.ip_interface(each.address), each) for each in facts.addresses.get(HOST, ()) if not each.peer
        ]
        self._wider = {self.of(each.name) for each in facts.host.values() if each.type not in INSIDE}

    def _beside(self, device: Device) -> t.Iterator[str]:
        facts = self.facts
        master = facts.by_index.get(device.master) if device.master is not None else None
        if master is not None and master.type not in APART:
            yield master.name
        if facts.switch is not None and device.name in facts.switch.ports:
            yield str(facts.switch.ports[device.name].bridge)
        if device.type in (*ON_A_NIC, "veth") and device.parent_netnsid is None:
            other = facts.host_name(device.parent_index)
            if other is not None:
                yield other

    def of(self, name: str) -> str:
        """The name that stands for an interface's network."""
        while name in self._leads:
            name = self._leads[name]
        return name

    def _join(self, one: str, other: str) -> None:
        roots = self.of(one), self.of(other)
        if roots[0] != roots[1]:
            self._leads[roots[0]] = roots[1]

    def _here(self, device: str, name: str | None, tagged: bool) -> bool:
        if name is None:
            return False
        if self.of(device) == self.of(name):
            return True
        found = self.facts.host.get(device)
        below = self.facts.host_name(found.parent_index) if tagged and found and found.type == "vlan" else None
        return below is not None and self.of(below) == self.of(name)

    def is_wider(self, name: str, bridged: bool) -> bool:
        """Whether other machines may be there: it is a NIC, or a bridge with one as its port."""
        return not bridged or self.of(name) in self._wider

    def has(self, name: str, version: int, desired: Desired) -> bool:
        """Whether the host has an address there."""
        return any(
            face.version == version and self._here(each.device, name, False)
            for face, each in self._networks if not isinstance(desired.get(each.key), Absent)
        )

    def elsewhere(
        self, address: str, name: str | None, desired: Desired, own: str | None = None, tagged: bool = False,
    ) -> tuple[str, str] | None:
        """The network of the host that holds an address, and the interface that has it, unless that is on the network
        of ``name`` itself. ``own``: whose address it is, on the host; ``tagged``: it comes to a VLAN of that network.
        """
        wanted = ipaddress.ip_interface(address)
        if wanted.network.prefixlen == wanted.max_prefixlen:
            return None  # one host alone: who writes that knows why
        found = None
        for face, each in self._networks:
            network = face.network
            if each.device == own or isinstance(desired.get(each.key), Absent) or self._aside(each, face):
                continue
            if network.version == wanted.version and wanted.ip in network:
                if self._here(each.device, name, tagged):
                    return None
                found = found or (str(network), each.device)
        return found

    def _aside(self, address: Address, face: t.Any) -> bool:
        """Networks that are none, and those of a routing domain of their own."""
        device = self.facts.host.get(address.device)
        master = self.facts.by_index.get(device.master) if device is not None and device.master is not None else None
        alone = face.network.prefixlen == face.max_prefixlen
        return alone or face.is_loopback or face.is_link_local or master is not None and master.type == "vrf"


def of_bridges(bridges: t.Iterable[t.Any], facts: Facts, state: State, desired: Desired) -> t.Iterator[str]:
    """Warnings about the host's addresses on bridges. ``bridges``: items of pipework_bridge."""
    segments = None
    for bridge in (each for each in bridges if each.state == "present"):
        new = [each for each in bridge.addresses or () if Address(HOST, bridge.name, each).key not in state]
        if new and segments is None:
            segments = Segments(facts, {port.name: each.name for each in bridges for port in each.ports or ()})
        for address in new:
            found = segments.elsewhere(address, bridge.name, desired) if segments is not None else None
            if found is not None:
                yield in_two_places(f"{address} of {bridge.name}", *found)


def in_two_places(what: str, network: str, device: str) -> str:
    return (
        f"addresses: {what} lies in {network}, which the host has on {device}: who is there and who is here do not "
        f"reach each other. Choose another network, or attach to {device}."
    )
