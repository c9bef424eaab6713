# Copyright: pipework.containers contributors
# GNU General Public License v3.0+ (see LICENSE)
"""The interfaces of all open namespaces, and which two of them are the ends of one veth pair. Pure."""
from __future__ import annotations

from .device import Device
from .layer3 import HOST
from .objects import owner_fields, pair_end

End = tuple[str, str]  # label, name


class Interfaces:
    """By namespace label, and name. ``nsids``: the numbers by which the host knows the other namespaces."""

    devices: dict[str, dict[str, Device]]
    nsids: dict[str, int | None]
    refused: dict[End, str]  # whose words are not believed, and why
    renamed: list[str]  # words about interfaces with a container's names
    by_index: dict[int, Device]  # the host's

    def __init__(self, devices: dict[str, dict[str, Device]]) -> None:
        self.devices = devices
        self.nsids, self.refused, self.renamed = {}, {}, []
        self.count_host()

    def count_host(self) -> None:
        """The host's interfaces may have become others."""
        self.by_index = {device.index: device for device in self.host.values()}

    @property
    def host(self) -> dict[str, Device]:
        return self.devices[HOST]

    def host_name(self, index: int | None) -> str | None:
        """The name of a host's interface, by its index."""
        found = self.by_index.get(index) if index is not None else None
        return found.name if found else None

    def host_end(self, label: str, device: Device) -> Device | None:
        """The host's end of a container's veth. Each end has to name the other, in the other's namespace."""
        if device.type != "veth" or device.parent_index is None:
            return None
        end = self.by_index.get(device.parent_index)
        if end is None or end.type != "veth" or end.parent_index != device.index or pair_end(end.owner):
            return None
        if end.parent_netnsid != self.nsids.get(label) or (device.parent_netnsid is None) != (label == HOST):
            return None
        if label == HOST and (owner_fields(end.owner) or ("",))[-1] == end.name:
            return None  # both ends are on the host: this one is the host end, that one the container's
        return end
