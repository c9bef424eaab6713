# Copyright: pipework.containers contributors
# GNU General Public License v3.0+ (see LICENSE)
"""What the kernel shows, as one state of objects: which interface is whose, and which host end is whose. Pure."""

from __future__ import annotations

import dataclasses
import typing as t

from ._model import (
    HOST,
    ON_A_NIC,
    UNFINISHED,
    Address,
    Device,
    Lease,
    Link,
    Nic,
    Port,
    Route,
    SpoofCheck,
    Sysctl,
    owner_fields,
)
from ._plan import KernelObject, Key, State


@dataclasses.dataclass
class Facts:
    """The dumps of a run, by namespace label. ``nsids``: the numbers by which the host knows the others."""

    devices: dict[str, dict[str, Device]]
    addresses: dict[str, list[Address]] = dataclasses.field(default_factory=dict)
    routes: dict[str, list[Route]] = dataclasses.field(default_factory=dict)
    nsids: dict[str, int | None] = dataclasses.field(default_factory=dict)
    host_seed: str = ""  # what tells this host from others: its machine-id
    vlans: dict[int, tuple[str, ...]] | None = None  # of ports, by index; None: not asked for, or not to be had
    sysctls: list[Sysctl] = dataclasses.field(default_factory=list)  # those that are wanted
    spoof_checks: dict[str, str] = dataclasses.field(default_factory=dict)  # MAC addresses, by the ports' names
    no_spoof_checks: str | None = None  # why there can be none
    now: float = 0.0  # on the clock that leases expire by
    leases: list[Lease] = dataclasses.field(default_factory=list)  # that are valid
    secret: bytes = b""  # what seals the aliases of lent NICs; in ``devices`` there are none without that seal

    def __post_init__(self) -> None:
        self.by_index = {device.index: device for device in self.host.values()}

    @property
    def host(self) -> dict[str, Device]:
        return self.devices[HOST]

    def host_name(self, index: int | None) -> str | None:
        """The name of a host's interface, by its index."""
        found = self.by_index.get(index) if index is not None else None
        return found.name if found else None

    def ports_of(self, bridge: str) -> list[Device]:
        """The ports of a bridge."""
        if bridge not in self.host:
            return []
        index = self.host[bridge].index
        return [device for device in self.host.values() if device.master == index]

    def vlans_of(self, port: Device) -> tuple[str, ...] | None:
        """The VLANs of a port of a bridge."""
        return None if self.vlans is None or port.port is None else self.vlans.get(port.index, ())

    def host_end(self, label: str, device: Device) -> Device | None:
        """The host's end of a container's veth. Each end has to name the other, in the other's namespace."""
        if device.type != "veth" or device.parent_index is None:
            return None
        end = self.by_index.get(device.parent_index)
        if end is None or end.type != "veth" or end.parent_index != device.index:
            return None
        if end.parent_netnsid != self.nsids.get(label) or (device.parent_netnsid is None) != (label == HOST):
            return None
        if label == HOST and (owner_fields(end.owner) or ("",))[-1] == end.name:
            return None  # both ends are on the host: this one is the host end, that one the container's
        return end

    def state(self) -> State:
        """All objects that a plan may have to do with."""
        found: list[KernelObject] = []
        for label, devices in self.devices.items():
            for device in devices.values():
                end = self.host_end(label, device)
                link = self._link(label, device, end)
                found.append(link)
                if end is not None and end.owner and link.type == "veth":
                    found.append(Port(
                        HOST, f"{label}/{device.name}", local_interface=end.name, bridge=self.host_name(end.master),
                        mtu=end.mtu, up=end.up, owner=end.owner, settings=end.port, vlans=self.vlans_of(end),
                    ))
        found += [
            SpoofCheck(HOST, name, mac, active=name in self.host) for name, mac in self.spoof_checks.items()
        ]
        result: State = {item.key: item for item in (*found, *self.sysctls, *self.leases)}
        for many in (self.addresses, self.routes):
            for items in many.values():
                result.update((item.key, item) for item in t.cast("list[KernelObject]", items))
        return result

    def _link(self, label: str, device: Device, end: Device | None) -> Link:
        owner = device.owner
        if end is not None:
            # The host end says whose a pair is; what stands on the other end is in the container's hands.
            owner = (owner or UNFINISHED) if end.owner else None
        kind: str | None = device.type
        parent, nic = None, None
        lent = Nic.unpack(device.alias or "")
        if lent is not None and label == HOST and lent[1].name == device.name:
            owner, kind, nic = device.owner, "nic", lent[1]  # at home, but not all is as it was
        elif lent is not None:
            owner, kind, nic, parent = device.owner, "phys", lent[1], lent[1].name
        elif label == HOST and device.type != "bridge" and not device.owner:
            kind, owner = "nic", device.alias or ""
        elif device.type in (*ON_A_NIC, "vlan") and (device.parent_netnsid is None) == (label == HOST):
            parent = self.host_name(device.parent_index)
        follows = kind == "vlan" and label == HOST  # its MAC address is its NIC's
        return Link(
            label, device.name, type=kind, mac=None if follows else device.mac, mtu=device.mtu, up=device.up,
            owner=owner, parent=parent, settings=device.settings, peer=end.name if end else None,
            peer_mac=end.mac if end else None, nic=nic,
        )


def link_key(label: str, name: str) -> Key:
    return ("link", label, name)


def port_key(label: str, name: str) -> Key:
    return ("port", HOST, f"{label}/{name}")


def whose(facts: Facts, label: str, device: Device) -> str:
    """Words for who seems to have made an interface."""
    if device.owner:
        return f"it belongs to another attachment ({device.alias or device.owner})"
    end = facts.host_end(label, device)
    if end is not None:
        bridge = facts.host_name(end.master)
        by = f" on the bridge {bridge}" if bridge else ""
        maker = "Docker's" if bridge == "docker0" or (bridge or "").startswith("br-") else "somebody else's"
        return f"it is {maker} veth, whose other end is {end.name}{by}"
    return f"it is somebody else's {device.type or 'network card'}"
