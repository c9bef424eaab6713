# Copyright: pipework.containers contributors
# GNU General Public License v3.0+ (see LICENSE)
"""What the kernel shows, as one state of objects: which interface is whose, and which host end is whose. Pure."""

from __future__ import annotations

import dataclasses
import re
import typing as t

from .._core.errors import PipeworkError
from .._core.plan import KernelObject, State
from .interfaces import End, Interfaces
from .luggage import Luggage
from .neighbor import Neighbor
from .nic_record import NicRecord
from .objects import HOST, ON_A_NIC, UNFINISHED, Address, Device, Link, Mark, Nic, Port, Route, pair_end
from .ovs import Switch
from .packet_filter import SpoofCheck
from .rule import Rule
from .sriov import Card, objects
from .sysctl import Sysctl

OF_THE_SCRIPT = re.compile(r"v.+pl[0-9]+")  # v<its interface>pl<its process>, such as veth1pl1234


@dataclasses.dataclass
class Facts(Interfaces):
    """The dumps of a run, by namespace label. ``nsids``: the numbers by which the host knows the others."""

    devices: dict[str, dict[str, Device]]
    addresses: dict[str, list[Address]] = dataclasses.field(default_factory=dict)
    routes: dict[str, list[Route]] = dataclasses.field(default_factory=dict)
    nsids: dict[str, int | None] = dataclasses.field(default_factory=dict)
    host_seed: str = ""  # what tells this host from others: its machine-id
    vlans: dict[int, tuple[str, ...]] | None = None  # of ports, by index; None: not asked for, or not to be had
    sysctls: list[Sysctl] = dataclasses.field(default_factory=list)  # those that are wanted
    queues: list[KernelObject] = dataclasses.field(default_factory=list)  # where a bandwidth is, or may be
    spoof_checks: dict[str, str] = dataclasses.field(default_factory=dict)  # MAC addresses, by the ports' names
    no_spoof_checks: str | None = None  # why there can be none
    wireless: dict[int, int] = dataclasses.field(default_factory=dict)  # the host's, by index: which NIC's each is
    cards: dict[str, Card] = dataclasses.field(default_factory=dict)  # with virtual functions, as far as they matter
    pairs: dict[End, End] = dataclasses.field(default_factory=dict)  # of veths of ours between containers, both ways
    now: float = 0.0  # on the clock that leases expire by
    leases: list[KernelObject] = dataclasses.field(default_factory=list)  # that are valid
    keeper: str = ""  # which version of it would be started here
    keeps: list[KernelObject] = dataclasses.field(default_factory=list)  # the clients that stay
    blocks: list[KernelObject] = dataclasses.field(default_factory=list)  # of ours, in containers' resolv.conf
    unlisted: list[KernelObject] = dataclasses.field(default_factory=list)  # leases of IPv6, link-local addresses
    refused: dict[End, str] = dataclasses.field(default_factory=dict)  # whose words are not believed, and why
    renamed: list[str] = dataclasses.field(default_factory=list)  # words about interfaces with a container's names
    rules: dict[str, list[Rule]] = dataclasses.field(default_factory=dict)  # where they may matter
    routers: dict[End, str] = dataclasses.field(default_factory=dict)  # that advertise themselves, where they matter
    luggage: dict[str, Luggage] = dataclasses.field(default_factory=dict)  # of lent NICs, by what their records say
    host_ways: list[Route] = dataclasses.field(default_factory=list)  # every route of the host, where a NIC may move,
    neighbors: list[Neighbor] = dataclasses.field(default_factory=list)  # what stands on it,
    session: tuple[str, str] | None = None  # and who runs this by SSH, through which interface
    left_behind: list[str] = dataclasses.field(default_factory=list)  # words about what does not come home with a NIC

    switch: Switch | None = None  # what Open vSwitch has; None: not asked, or it gave no answer
    no_switch: str = ""  # and why
    pids: dict[str, int] = dataclasses.field(default_factory=dict)  # of containers, by label, where it matters

    def __post_init__(self) -> None:
        self.count_host()

    def bridge_under(self, end: Device) -> str | None:
        """The bridge that an interface is a port of, be it Linux's or Open vSwitch's."""
        port = self.switch.ports.get(end.name) if self.switch else None
        return port.plugged if port else self.host_name(end.master)

    def _linux_bridge(self, end: Device) -> str:
        master = self.by_index.get(end.master) if end.master is not None else None
        return "" if master is None or master.type == "openvswitch" else master.name

    def ports_of(self, bridge: str) -> list[Device]:
        """The ports of a bridge."""
        if bridge not in self.host:
            return []
        index = self.host[bridge].index
        return [device for device in self.host.values() if device.master == index]

    def vlans_of(self, port: Device) -> tuple[str, ...] | None:
        """The VLANs of a port of a bridge."""
        return None if self.vlans is None or port.port is None else self.vlans.get(port.index, ())

    def state(self) -> State:
        """All objects that a plan may have to do with."""
        found: list[KernelObject] = []
        for label, devices in self.devices.items():
            for device in devices.values():
                end = self.host_end(label, device)
                link = self._link(label, device, end)
                found.append(link)
                if link.nic is not None and link.nic.luggage is not None and link.nic.luggage.comes_late:
                    found.append(NicRecord(HOST, link.nic.name, alias=link.nic.alias))
                if end is not None and end.owner and link.type == "veth":
                    found.append(Port(
                        HOST, f"{label}/{device.name}", local_interface=end.name, bridge=self._linux_bridge(end),
                        mtu=end.mtu, up=end.up, owner=end.owner, settings=end.port, vlans=self.vlans_of(end),
                    ))
        found += [
            SpoofCheck(HOST, name, mac, active=name in self.host) for name, mac in self.spoof_checks.items()
        ]
        found += [*self.neighbors, *self.queues, *self.unlisted, *self.sysctls, *self.leases, *self.keeps, *self.blocks]
        found += objects(self.cards)
        result: State = {item.key: item for item in found}
        if self.switch is not None:
            result.update(self.switch.objects(self.host))
        for many in (self.addresses, self.routes):
            for items in many.values():
                result.update((item.key, item) for item in t.cast("list[KernelObject]", items))
        return result

    def _end(self, label: str, device: Device) -> str | None:
        """The type of an end of a pair between containers: what its mark says, or the other end's."""
        own = pair_end(device.owner) if device.type == "veth" else None
        there = self.pairs.get((label, device.name))
        others = pair_end(self.devices[there[0]][there[1]].owner) if there else None
        if own is None and others is None:
            return None
        if own == others:  # the containers wrote that
            return "pair" if there is None or (label, device.name) < there else "peer"
        return "peer" if own == Mark.PEER or others == Mark.PAIR else "pair"

    def lent(self, device: Device) -> tuple[str, Nic] | None:
        """Whose attachment a lent NIC is, and what it was on the host."""
        found = Nic.unpack(device.alias or "")
        if found is None:
            return None
        return found[0], dataclasses.replace(found[1], luggage=self.luggage.get(str(device.alias)))

    def halves(self, ends: t.Container[End] | None) -> list[tuple[str, Device]]:
        """Ends of pairs of ours, of these or of all, whose other end is in a namespace that is not open."""
        return [
            (label, device) for label, devices in self.devices.items() for device in devices.values()
            if pair_end(device.owner) and device.type == "veth" and (label, device.name) not in self.pairs
            and device.parent_netnsid is not None and (ends is None or (label, device.name) in ends)
        ]

    def _link(self, label: str, device: Device, end: Device | None) -> Link:
        owner = device.owner
        if end is not None:
            # The host end says whose a pair is; what stands on the other end is in the container's hands.
            owner = (owner or UNFINISHED) if end.owner else None
        kind: str | None = device.type
        parent, nic = None, None
        other = self.pairs.get((label, device.name))
        across = end if end is not None or other is None else self.devices[other[0]][other[1]]
        lent = self.lent(device)
        if lent is not None and label == HOST and lent[1].name == device.name:
            owner, kind, nic = device.owner, "nic", lent[1]  # at home, but not all is as it was
        elif lent is not None:
            owner, kind, nic, parent = device.owner, "phys", lent[1], lent[1].name
        elif end is None and self._end(label, device) is not None:
            kind = self._end(label, device)
            parent = "/".join(other) if other else None
        elif label == HOST and device.type != "bridge" and not device.owner:
            kind, owner = "nic", device.alias or ""
        elif device.type in (*ON_A_NIC, "vlan", "ipoib") and (device.parent_netnsid is None) == (label == HOST):
            parent = self.host_name(device.parent_index)
        follows = kind == "vlan" and label == HOST  # its MAC address is its NIC's
        return Link(
            label, device.name, type=kind, mac=None if follows else device.mac, mtu=device.mtu, up=device.up,
            owner=owner, parent=parent, settings=device.settings, peer=end.name if end else None,
            peer_mac=across.mac if across else None, nic=nic, renamed=device.found_as,
            marked=False if device.unmarked and label != HOST else None,
        )


def whose(facts: Facts, label: str, device: Device) -> str:
    """Words for who seems to have made an interface."""
    if device.owner:
        return f"it belongs to another attachment ({device.alias or device.owner})"
    end = facts.host_end(label, device)
    if end is not None:
        bridge = facts.bridge_under(end)
        by = f" on the bridge {bridge}" if bridge else ""
        if OF_THE_SCRIPT.fullmatch(end.name):
            return f"the classic pipework script made it, as a veth whose host end is {end.name}{by}"
        maker = "Docker's" if bridge == "docker0" or (bridge or "").startswith("br-") else "somebody else's"
        return f"it is {maker} veth, whose other end is {end.name}{by}"
    return f"it is somebody else's {device.type or 'network card'}"


def way_out(facts: Facts, label: str, device: Device) -> str:
    """What to do about an interface in the way."""
    end = facts.host_end(label, device)
    if device.owner or end is None or not OF_THE_SCRIPT.fullmatch(end.name):
        return "Choose another name."
    row = f" and 'ovs-vsctl del-port {end.name}'" if facts.switch and end.name in facts.switch.ports else ""
    return (
        f"'ip link delete {end.name}'{row} on the host clears it, and then this attachment can be made; or choose "
        "another name."
    )


def named(wanted: str, facts: Facts) -> str:
    """The name of the interface that ``mac:<address>`` means, or the name itself."""
    if not wanted.startswith("mac:"):
        return wanted
    mac = wanted[4:]
    # What stands on a NIC (VLANs, macvlans, bridges) often has the NIC's address: the NIC is meant.
    found = [d for d in facts.host.values() if d.mac == mac and (d.parent_index is None or d.type == "veth")]
    hardware = [d for d in found if d.type is None] or [d for d in found if d.type not in ("bridge", "bond")] or found
    if not hardware:
        raise PipeworkError(f"host_interface: no interface of the host has the address {mac}.")
    if len(hardware) > 1:
        listed = ", ".join(sorted(d.name for d in hardware))
        raise PipeworkError(
            f"host_interface: several interfaces have the address {mac}: {listed}; name the one you mean."
        )
    return hardware[0].name
