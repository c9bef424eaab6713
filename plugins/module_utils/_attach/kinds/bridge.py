# Copyright: pipework.containers contributors
# GNU General Public License v3.0+ (see LICENSE)
"""Kind bridge: a veth pair, one end in the container, the other a port of a Linux bridge, made if it is missing."""

from __future__ import annotations

import dataclasses
import typing as t

from ..._core.items import blaming
from ..._core.normalize import hashed_name, new_name
from ..._core.plan import Absent, KernelObject
from ..._model.new_bridge import new_bridge
from ..._model.objects import BRIDGE_PORTS_MAX, HOST, OWNER_AUTO, UNFINISHED, Device, Link, Port
from ..._model.observed import whose
from ..._model.vlans import NO_KERNEL
from ..options import Attachment
from ..site import Site
from ..spoof_checks import OPTION, checked_mac, spoof_check


def wanted(site: Site) -> t.Iterator[KernelObject | Absent]:
    item, facts = site.item, site.facts
    name = str(item.host_interface)
    if name.startswith("mac:"):
        name = site.parent().name
    bridge = facts.host.get(name)
    if bridge is None:
        # A MAC of its own, or the bridge would take the lowest of its ports' and change it as they come and go.
        with blaming(item.where):
            new_name(name, "host_interface")
        yield dataclasses.replace(new_bridge(name, facts.host_seed, OWNER_AUTO), settings=_filtering(site, name))
    else:
        if bridge.type != "bridge":
            what, right = bridge.type or "a network card", "macvlan or phys"
            if facts.switch is not None and facts.switch.lists(name):
                what, right = "one of Open vSwitch", "openvswitch"
            raise item.refuse(
                f"host_interface: {name} is not a Linux bridge but {what}; kind {right} would be right for it."
            )
        owner = OWNER_AUTO if bridge.owner == UNFINISHED else None
        yield Link(HOST, name, type="bridge", up=True, owner=owner, settings=_filtering(site, name))
    settings = {option: value for option, value in item.port or () if option != OPTION} or None
    yield from pair(site, bridge, bridge=name, settings=settings, vlans=item.vlans)


def pair(site: Site, parent: Device | None, **port: t.Any) -> t.Iterator[KernelObject | Absent]:
    """A veth pair with the parent's MTU. ``port``: what the host's end is besides."""
    item, local = site.item, _local_interface(site)
    mtu = item.mtu or site.inherited_mtu(parent)
    checked = checked_mac(site)
    yield from _cleared(site, local)
    yield from spoof_check(site, local, checked)
    mac = checked or item.mac_address
    yield Link(
        site.label, item.interface, type="veth", mac=mac, mtu=mtu, up=True, owner=site.owner, peer=local,
    )
    yield Port(
        HOST, f"{site.label}/{item.interface}", local_interface=local, mtu=mtu, up=True, owner=site.owner, **port,
    )


def _filtering(site: Site, name: str) -> dict[str, bool] | None:
    """What the bridge needs for the attachment's VLANs. It is not switched on under ports of others."""
    item, facts = site.item, site.facts
    if item.vlans is None:
        return None
    option = "vlan_trunks" if item.vlan is None else "vlan"
    if facts.vlans is None:
        raise item.refuse(f"{option}: {NO_KERNEL}")
    foreign = sorted(port.name for port in facts.ports_of(name) if not port.owner)
    filters = name in facts.host and (facts.host[name].settings or {}).get("vlan_filtering")
    if foreign and not filters:
        raise item.refuse(
            f"{option}: the bridge {name} does not filter VLANs, and has ports that are not ours "
            f"({', '.join(foreign)}), whose frames it might drop then; if that is meant, switch it on by "
            "pipework_bridge with 'vlan_filtering: true'."
        )
    return {"vlan_filtering": True}


def _local_interface(site: Site) -> str:
    """The host end's name: the one asked for, else the one it has, else the same for this container each time."""
    if site.item.local_interface:
        return site.item.local_interface
    if site.port is not None and site.port.local_interface:
        return site.port.local_interface
    return hashed_name("pw", site.label, site.ident, site.item.interface)


def _cleared(site: Site, local: str) -> t.Iterator[Absent]:
    """Refuses a name that is somebody else's; takes away what a namespace that is gone has left under it."""
    holder = site.facts.host.get(local)
    if holder is None or (site.port is not None and site.port.local_interface == local):
        return
    if holder.owner not in (site.owner, UNFINISHED):
        raise site.item.refuse(
            f"local_interface: {local} exists on the host and is not this attachment's: "
            f"{whose(site.facts, HOST, holder)}. Choose another name or leave it out."
        )
    yield Absent(("link", HOST, local))


def check_room(item: Attachment, name: str, ports: int) -> None:
    """A Linux bridge takes 1,023 ports."""
    if ports > BRIDGE_PORTS_MAX:
        raise item.refuse(
            f"host_interface: the bridge {name} would have {ports} ports, but a Linux bridge takes {BRIDGE_PORTS_MAX} "
            "at most; use a second bridge for the rest."
        )
