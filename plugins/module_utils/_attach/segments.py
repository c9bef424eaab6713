# Copyright: pipework.containers contributors
# GNU General Public License v3.0+ (see LICENSE)
"""Which of the host's interfaces are on one network, as far as the host can know. Pure."""
from __future__ import annotations

import ipaddress
import typing as t

from .._core.plan import Absent, Desired
from .._model.objects import HOST, ON_A_NIC, Address, Device
from .._model.observed import Facts

APART = ("vrf", "openvswitch")  # masters that are no network: routing tables, and all bridges of Open vSwitch at once
INSIDE = ("bridge", "veth", "dummy", "tun", "openvswitch")  # what leads to no other machine


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
