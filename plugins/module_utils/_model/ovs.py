# Copyright: pipework.containers contributors
# GNU General Public License v3.0+ (see LICENSE)
"""Bridges and ports of Open vSwitch, as objects. Pure."""
from __future__ import annotations

import dataclasses
import typing as t

from .._core.plan import KernelObject, Key
from .objects import HOST, OWNER_BRIDGE

MISSING = (
    "Open vSwitch is not installed on the managed host, where ovs-vsctl is missing; it comes with the package "
    "openvswitch-switch (Debian, Ubuntu) or openvswitch (Fedora, RHEL, SUSE)."
)
_DATAPATH = (
    "this kernel seems to have no Open vSwitch datapath: it needs CONFIG_OPENVSWITCH, built in or as a module "
    "('modprobe openvswitch'). Without it, make the bridge by pipework_bridge with 'kind: openvswitch' and "
    "'datapath: netdev' first (or 'ovs-vsctl add-br NAME -- set Bridge NAME datapath_type=netdev'), so that "
    "ovs-vswitchd passes the frames itself"
)


@dataclasses.dataclass(frozen=True)
class OvsBridge(KernelObject):
    """A bridge of Open vSwitch."""

    KIND = "ovs_bridge"
    IDENTITY = ("ns", "bridge")
    HINTS = frozenset({"mtu"})

    bridge: str
    owner: str | None = None
    mac: str | None = None
    error: str | None = None  # why it does not work
    datapath: str | None = None
    settings: dict[str, str] | None = None  # as _ovs/settings spells them; of those that are there, what is not usual
    mtu: int | None = None  # of its interface

    @property
    def name(self) -> str:
        return self.bridge

    @property
    def order_kind(self) -> str:
        return "ovs_first" if self.owner == OWNER_BRIDGE else self.KIND  # the host has addresses on it


@dataclasses.dataclass(frozen=True)
class OvsPort(KernelObject):
    """A port of one, by the name of the host's interface that it stands for."""

    KIND = "ovs_port"
    IDENTITY = ("ns", "port")
    HINTS = frozenset({"pid", "ghost", "leaves"})

    port: str
    bridge: str | None = None
    vlans: tuple[str, ...] | None = None  # as _model/vlans spells them; empty: all of them
    isolated: bool | None = None
    owner: str | None = None
    container: str | None = None  # its ID
    error: str | None = None
    interface: dict[str, str] | None = None  # type and options of one that Open vSwitch makes
    pid: int | None = None
    vlan_bridge: str | None = None  # the VLAN bridge that it was plugged into; empty: the bridge itself
    ghost: bool = False  # the interface has gone
    leaves: bool = False  # the interface stays, and will be something else

    @property
    def name(self) -> str:
        return self.port

    @property
    def order_kind(self) -> str:
        return "ovs_leave" if self.leaves else self.KIND

    @property
    def plugged(self) -> str | None:
        """The bridge by the name that somebody attached to."""
        return self.vlan_bridge or self.bridge

    def must_replace(self, observed: KernelObject) -> bool:
        return t.cast(OvsPort, observed).ghost  # a new interface of the name is not taken up by itself


class VlanBridge(t.NamedTuple):
    """What ``ovs-vsctl add-br NAME PARENT VLAN`` makes, also called a fake bridge: one VLAN of a bridge under a name of
    its own. In the database it is a port of that bridge."""

    parent: str
    vlan: int


@dataclasses.dataclass(frozen=True)
class Switch:
    """What Open vSwitch has: bridges and ports by their names, which ports each bridge has but its own one, and the
    bridges that are VLANs of others."""

    bridges: t.Mapping[str, OvsBridge] = dataclasses.field(default_factory=dict)
    ports: t.Mapping[str, OvsPort] = dataclasses.field(default_factory=dict)
    members: t.Mapping[str, t.Sequence[str]] = dataclasses.field(default_factory=dict)
    vlan_bridges: t.Mapping[str, VlanBridge] = dataclasses.field(default_factory=dict)

    def lists(self, name: str) -> bool:
        """Whether it is a bridge, as ``ovs-vsctl list-br`` says."""
        return name in self.bridges or name in self.vlan_bridges

    def objects(self, devices: t.Mapping[str, t.Any]) -> dict[Key, KernelObject]:
        """As objects. ``devices``: the host's interfaces, by name."""
        ports = [
            dataclasses.replace(port, ghost=not port.interface and port.port not in devices)
            for port in self.ports.values()
        ]
        bridges = [
            dataclasses.replace(bridge, mtu=devices[name].mtu) if name in devices else bridge
            for name, bridge in self.bridges.items()
        ]
        found: list[KernelObject] = [*bridges, *ports]
        return {item.key: item for item in found}


def no_datapath(bridge: str) -> str:
    """What to do where the kernel does not know Open vSwitch."""
    return _DATAPATH.replace("NAME", bridge)


def bridge_key(name: str) -> Key:
    return (OvsBridge.KIND, HOST, name)


def port_row_key(name: str) -> Key:
    return (OvsPort.KIND, HOST, name)
