# Copyright: pipework.containers contributors
# GNU General Public License v3.0+ (see LICENSE)
"""The kinds of attachment: one small file each, and this table. Pure.

A kind is a module with ``wanted(site)``, which yields the objects that the interface is made of (Absent for what must
not be there), and raises PipeworkError for what cannot be. Addresses and routes are the same for all, not its business.
"""

from __future__ import annotations

import dataclasses
import types
import typing as t

from ..._core.errors import PipeworkError
from ..._core.plan import State
from ..._model.keys import link_key, port_key
from ..._model.objects import HOST, Device, Link, Port
from ..._model.observed import Facts, named
from ..options import Attachment
from . import bridge, dummy, ipoib, ipvlan, macvlan, macvtap, openvswitch, phys, sriov, veth

KINDS: dict[str, types.ModuleType] = {
    "bridge": bridge, "openvswitch": openvswitch, "macvlan": macvlan, "macvtap": macvtap, "ipvlan": ipvlan,
    "phys": phys, "sriov": sriov, "ipoib": ipoib, "dummy": dummy, "veth": veth,
}
MOVING = ("phys", "sriov")  # those whose interface is the host's own, and comes back


SWITCHED = ("openvswitch", "tun")  # what a bridge of Open vSwitch is for the kernel, in either datapath


@dataclasses.dataclass(frozen=True)
class Site:
    """Where one attachment is to be made: the container, found and open, and what is known of it and of the host."""

    item: Attachment
    label: str
    owner: str
    ident: str
    facts: Facts
    state: State
    other: tuple[str, str] | None  # label and interface of the other end, for kind veth
    mtus: t.Mapping[str, int]  # the smallest MTU that the run gives to ports of a bridge

    @property
    def link(self) -> Link | None:
        """The container's interface as it is."""
        return t.cast("Link | None", self.state.get(link_key(self.label, self.item.interface)))

    @property
    def port(self) -> Port | None:
        """Its host end as it is."""
        return t.cast("Port | None", self.state.get(port_key(self.label, self.item.interface)))

    def parent(self) -> Device:
        """The host's interface that ``host_interface`` names; PipeworkError where there is none."""
        name = host_interface(self.item, self.facts)
        if name not in self.facts.host:
            raise self.item.refuse(unknown_interface(name, self.facts))
        return self.facts.host[name]

    def inherited_mtu(self, parent: Device | None) -> int | None:
        """The parent's MTU, or the smaller one that other ports of the same run will bring it to."""
        given = self.mtus.get(parent.name if parent else str(self.item.host_interface))
        if parent is None:
            return given
        return min(parent.mtu, given) if given else parent.mtu


def unknown_interface(name: str, facts: Facts) -> str:
    """The classic words for a host interface that is not there."""
    near = ", ".join(sorted(facts.host)[:8]) or "none"
    return (
        f"host_interface: I do not know how to setup interface {name}: "
        f"it does not exist on the host (which has {near})."
    )


def host_interface(item: Attachment, facts: Facts) -> str:
    """The name behind ``mac:<address>``, or the name itself."""
    try:
        return named(str(item.host_interface), facts)
    except PipeworkError as error:
        raise item.refuse(str(error)) from None


def kind_of(item: Attachment, facts: Facts, link: Link | None) -> str:
    """The kind that ``auto`` stands for, as the classic script decides."""
    if item.kind != "auto":
        return item.kind
    if item.vf is not None:
        return "sriov"
    wanted = str(item.host_interface)
    lent = link.nic if link is not None and link.type == "phys" else None
    if lent is not None and lent.name == wanted and wanted not in facts.host:
        return "phys"
    if wanted in facts.host or wanted.startswith("mac:"):
        device = facts.host[host_interface(item, facts)]
        if device.type == "bridge":
            return "bridge"
        if device.infiniband:
            return "ipoib"
        if facts.switch is not None and facts.switch.lists(device.name):
            return "openvswitch"
        if device.type == "openvswitch" and facts.switch is None:
            raise item.refuse(
                f"host_interface: {device.name} is of Open vSwitch, which cannot be asked: {facts.no_switch}"
            )
        if not device.ethernet:
            raise item.refuse(
                f"host_interface: {device.name} is not an Ethernet interface, which this version cannot attach to yet."
            )
        return "macvlan"
    if facts.switch is not None and facts.switch.lists(wanted):
        return "openvswitch"  # which does not work, as it has no interface
    for prefix, kind in (("br", "bridge"), ("ovs", "openvswitch"), ("dummy", "dummy")):
        if wanted.startswith(prefix):
            return kind
    raise item.refuse(unknown_interface(wanted, facts))


def by_its_name(item: Attachment, facts: Facts) -> str:
    """Words for why a kind was taken, where the name alone says so."""
    name = str(item.host_interface)
    if item.kind != "auto" or item.vf is not None or name in facts.host or name.startswith("mac:"):
        return ""
    return f" The host has no {name}, which would be made, as its name says."


def wants_switch(item: Attachment, facts: Facts) -> bool:
    """Whether an attachment cannot be spoken about without Open vSwitch."""
    if item.kind not in ("auto", "openvswitch"):
        return False
    name = str(item.host_interface)
    device = facts.host.get(name)
    kind = device.type if device is not None else None
    return item.kind == "openvswitch" or kind in SWITCHED or (device is None and name.startswith("ovs"))


def check_kind(kind: str) -> types.ModuleType:
    """The module of a kind."""
    if kind not in KINDS:
        raise PipeworkError(f"kind: {kind!r} is not one of {', '.join(sorted(KINDS))}.")
    return KINDS[kind]


__all__ = ["HOST", "KINDS", "Site", "check_kind", "host_interface", "kind_of", "named", "unknown_interface"]
