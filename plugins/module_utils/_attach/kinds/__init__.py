# Copyright: pipework.containers contributors
# GNU General Public License v3.0+ (see LICENSE)
"""The kinds of attachment: one small file each, and this table. Pure.

A kind is a module with ``wanted(site)``, which yields the objects that the interface is made of (Absent for what must
not be there), and raises PipeworkError for what cannot be. Addresses and routes are the same for all, not its business.
"""

from __future__ import annotations

import types

from ..._core.errors import PipeworkError
from ..._model.objects import Link
from ..._model.observed import Facts
from ..options import Attachment
from ..site import host_interface, unknown_interface
from . import bridge, dummy, ipoib, ipvlan, macvlan, macvtap, openvswitch, phys, sriov, veth

KINDS: dict[str, types.ModuleType] = {
    "bridge": bridge, "openvswitch": openvswitch, "macvlan": macvlan, "macvtap": macvtap, "ipvlan": ipvlan,
    "phys": phys, "sriov": sriov, "ipoib": ipoib, "dummy": dummy, "veth": veth,
}
MOVING = ("phys", "sriov")  # those whose interface is the host's own, and comes back


SWITCHED = ("openvswitch", "tun")  # what a bridge of Open vSwitch is for the kernel, in either datapath


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
