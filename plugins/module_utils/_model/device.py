# Copyright: pipework.containers contributors
# GNU General Public License v3.0+ (see LICENSE)
"""Network interfaces as the kernel shows them, and whether they bear a mark of ours. Pure."""
from __future__ import annotations

import dataclasses
import typing as t

MARK = "pipework:"
UPLINK = MARK + "uplink:"  # a NIC that is a port of a bridge; the rest of the alias is for _bridge/uplinks to read
UNFINISHED = MARK + "unfinished"  # what a killed run leaves: made, but not yet marked, or about to be deleted
GROUP = 0x70697065  # the link group of what is unfinished
GROUP_DELETE = GROUP + 1  # and of what is about to go, all at once
ON_A_NIC = ("macvlan", "macvtap", "ipvlan")  # the types that stand on a NIC of the host


@dataclasses.dataclass(frozen=True)
class Device:
    """A network interface as one dump shows it. ``peer`` and ``parent_index`` are the kernel's IFLA_LINK."""

    index: int
    name: str
    type: str | None  # rtnetlink's kind: veth, bridge, macvlan; None for hardware
    mac: str | None
    mtu: int
    up: bool
    master: int | None = None
    parent_index: int | None = None
    parent_netnsid: int | None = None
    alias: str | None = None
    group: int = 0
    settings: dict[str, t.Any] | None = None
    ethernet: bool = True
    infiniband: bool = False  # its address is longer than those here, and nobody's to give: ``mac`` is None
    running: bool = False  # its operational state is up, or unknown as of those that have none
    carrier: bool = False  # up, and with a carrier, also while it is not operational yet
    port: dict[str, bool] | None = None  # of a port of a bridge: its options
    perm: str | None = None  # hardware: the address that it was made with,
    bus: str | None = None  # and its name on its bus
    found_as: str | None = None  # the name that a container gave it, where it is known as another
    unmarked: bool = False  # ours, although the mark that was on it is not there any more

    @property
    def owner(self) -> str | None:
        """Our mark on it, if it has one."""
        if self.group in (GROUP, GROUP_DELETE):
            return UNFINISHED
        return self.alias if self.alias and self.alias.startswith(MARK) and not self.alias.startswith(UPLINK) else None
