# Copyright: pipework.containers contributors
# GNU General Public License v3.0+ (see LICENSE)
"""From operations to requests: what each sort of operation says to the kernel, and in which namespace."""
from __future__ import annotations

import dataclasses
import os
import typing as t

from .._core.order import RULE_RANKS
from .._model.fdb import FdbEntry
from .._model.moved_address import MovedAddress
from .._model.neighbor import Neighbor
from .._model.objects import GROUP, HOST, UNFINISHED, Address, Link, Nic, Port, end_key
from .._model.sriov import Vf, VfAddress
from .._netlink import bridge_port, permanent_neighbor, rtnl, sriov
from .._netlink import fdb as netlink_fdb
from .._netlink.namespaces import Namespaces
from . import marks, routes, rules
from .rtnetlink import Encode, Request, Sort

# -- links


def create_link(_before: None, link: Link, namespaces: Namespaces) -> list[Request]:
    namespaces[link.ns].forget(link.ifname)
    if link.type == "pair":
        _kind, there, peer = end_key(str(link.parent))
        return [(there, rtnl.new_link(
            link.ifname, "veth", mac=link.mac, mtu=link.mtu, netns=namespaces[link.ns].fd, peer=peer,
            peer_mac=link.peer_mac,
        ))]
    target = None if link.ns == HOST else namespaces[link.ns].fd
    parent = namespaces[HOST].index(link.parent) if link.parent else None
    return [(HOST, rtnl.new_link(
        link.ifname, str(link.type), mac=link.mac, mtu=link.mtu, settings=_for_kernel(link.settings, namespaces),
        parent=parent, netns=target,
        peer=link.peer, peer_mac=link.peer_mac or (_high_mac() if link.type == "veth" else None),
    ))]


def _high_mac() -> str:
    """An address for the host end of a veth pair. A bridge whose own address is not pinned takes the lowest of its
    ports', and its host is out of reach until the neighbors have learned the new one: no uplink's is above this."""
    return ":".join(f"{byte:02x}" for byte in b"\xfe" + os.urandom(5))


def _for_kernel(settings: dict[str, t.Any] | None, namespaces: Namespaces) -> dict[str, t.Any] | None:
    """Settings of a type of interface, with the index of what a VXLAN link goes through."""
    if not settings or "device" not in settings:
        return settings
    device = settings["device"]
    others = {name: value for name, value in settings.items() if name != "device"}
    return {**others, "link": namespaces[HOST].index(device) if device else 0}


def _create_peer(_before: None, link: Link, namespaces: Namespaces) -> list[Request]:
    """It came with the other end, or with its bridge."""
    namespaces[link.ns].forget(link.ifname)
    return []


def _update_link(before: Link, after: Link, namespaces: Namespaces) -> list[Request]:
    netns = namespaces[after.ns]
    index = netns.index(after.ifname)
    requests = []
    new = {k: v for k, v in (after.settings or {}).items() if (before.settings or {}).get(k) != v}
    if new.get("stp") is False:  # first, since a bridge with STP on refuses the short delays that one without it takes
        requests.append(rtnl.set_link_settings(index, str(after.type), {"stp": new.pop("stp")}))
    if new:
        requests.append(rtnl.set_link_settings(index, str(after.type), _for_kernel(new, namespaces) or {}))
    fields = [field for field in ("mac", "mtu", "up") if getattr(after, field) != getattr(before, field)]
    change: dict[str, t.Any] = {field: getattr(after, field) for field in fields}
    real = before.renamed or before.ifname
    if (before.renamed or "") != (after.renamed or ""):
        change["name"] = after.renamed or after.ifname
    change.update(_mark(before.owner, after.owner))
    if change.get("alias") or (after.marked and not before.marked):
        change["alias"] = marks.mark(after, namespaces, real, before.owner) if after.ns != HOST else after.owner
    if change:
        requests.append(rtnl.set_link(index, **change))
    return [(after.ns, request) for request in requests]


def _mark(before: str | None, after: str | None) -> dict[str, t.Any]:
    """What a change of owner changes on an interface."""
    if before == after:
        return {}
    if after == UNFINISHED:
        return {"group": GROUP}
    return {"alias": after or "", "group": 0}


def _delete_bridge(before: Link, _after: None, namespaces: Namespaces) -> list[Request]:
    index = namespaces[before.ns].index(before.ifname)
    namespaces[before.ns].forget(before.ifname)
    return [(before.ns, rtnl.delete_link(index))]


# -- NICs that move

def _lend_nic(_before: None, link: Link, namespaces: Namespaces) -> list[Request]:
    name = t.cast(Nic, link.nic).name
    index = namespaces[HOST].index(name)
    namespaces[HOST].forget(name)
    namespaces[link.ns].forget(link.ifname)
    return [(HOST, rtnl.set_link(
        index, netns=namespaces[link.ns].fd, name=link.ifname, alias=marks.lend(link, namespaces), mac=link.mac,
        mtu=link.mtu,
    ))]


def _return_nic(link: Link, _after: None, namespaces: Namespaces) -> list[Request]:
    nic = t.cast(Nic, link.nic)
    netns = namespaces[link.ns]
    index = netns.index(link.ifname)
    netns.forget(link.ifname)
    namespaces[HOST].forget(nic.name)
    home = None if link.ns == HOST else namespaces[HOST].fd
    alias = marks.mark(link, namespaces, link.ifname)  # the container's words stay there
    return [
        (link.ns, rtnl.set_link(index, up=False)),
        (link.ns, rtnl.set_link(
            index, netns=home, name=nic.name, mac=nic.mac, mtu=nic.mtu, group=0, alias=alias,
        )),
    ]


def _leave_alone(_before: t.Any, _after: t.Any, _namespaces: Namespaces) -> list[Request]:
    """A NIC comes and goes with the interface that it is in a container."""
    return []


# -- virtual functions, through their cards

def _set_vf(before: Vf, after: Vf, namespaces: Namespaces) -> list[Request]:
    tagged = (after.vlan, after.qos) != (before.vlan, before.qos)
    check = after.spoof_check if after.spoof_check != before.spoof_check else None
    return [(HOST, sriov.set_vf(
        namespaces[HOST].index(after.pf), after.number, vlan=(after.vlan or 0, after.qos or 0) if tagged else None,
        spoof_check=check,
    ))]


def _give_address(_before: None, after: VfAddress, namespaces: Namespaces) -> list[Request]:
    return [(HOST, sriov.set_vf(namespaces[HOST].index(after.pf), after.number, mac=after.mac))]


def _free_address(before: VfAddress, _after: None, namespaces: Namespaces) -> list[Request]:
    return [(HOST, sriov.set_vf(namespaces[HOST].index(before.pf), before.number, mac=sriov.NO_MAC))]


# -- ports

def _set_port(before: Port | None, after: Port, namespaces: Namespaces) -> list[Request]:
    host = namespaces[HOST]
    old = before or Port(after.ns, after.guest, local_interface=after.local_interface)
    index = host.index(str(old.local_interface))
    change = _mark(old.owner, after.owner)
    if change.get("alias"):
        change["alias"] = marks.alias_of(after.owner, str(old.local_interface), namespaces)
    change.update({f: getattr(after, f) for f in ("mtu", "up") if getattr(after, f) != getattr(old, f)})
    joins = (after.bridge or "") != (old.bridge or "")
    if joins:
        change["master"] = host.index(after.bridge) if after.bridge else 0
    if after.local_interface != old.local_interface:
        host.forget(str(old.local_interface))
        change["name"] = after.local_interface
    special = _on_the_bridge(index, old, after, joins)
    last = []
    if joins and special and change.get("up"):  # not before its VLANs are right
        last = [rtnl.set_link(index, up=change.pop("up"))]
    first = [rtnl.set_link(index, **change)] if change else []
    return [(HOST, request) for request in (*first, *special, *last)]


def _on_the_bridge(index: int, old: Port, after: Port, joins: bool) -> list[bytes]:
    """What only a port has, and can be set when it is one."""
    requests = []
    settings = {k: v for k, v in (after.settings or {}).items() if joins or (old.settings or {}).get(k) != v}
    if after.bridge and settings:
        requests.append(bridge_port.set_options(index, settings))
    if after.bridge and after.vlans is not None and (joins or after.vlans != old.vlans):
        requests += bridge_port.set_vlans(index, after.vlans)
    return requests


def _unset_port(before: Port, _after: None, namespaces: Namespaces) -> list[Request]:
    if not before.bridge:
        return []
    return [(HOST, rtnl.set_link(namespaces[HOST].index(str(before.local_interface)), master=0))]


# -- addresses

def create_address(_before: None, after: Address, namespaces: Namespaces) -> list[Request]:
    index = namespaces[after.ns].index(after.device)
    if not isinstance(after, MovedAddress) or ":" not in after.address:
        return [(after.ns, rtnl.new_address(after, index))]
    at_once = dataclasses.replace(after, flags=(after.flags or 0) | rtnl.IFA_F_NODAD)
    return [(after.ns, rtnl.new_address(at_once, index)), (after.ns, rtnl.replace_address(after, index))]


def _replace_address(_before: Address, after: Address, namespaces: Namespaces) -> list[Request]:
    return [(after.ns, rtnl.replace_address(after, namespaces[after.ns].index(after.device)))]


def _delete_address(before: Address, _after: None, namespaces: Namespaces) -> list[Request]:
    netns = namespaces[before.ns]
    if ":" not in before.address and not isinstance(before, MovedAddress):  # those go in their order
        # Without this the kernel takes the other addresses of the subnet away together with the first one.
        netns.sysctl(f"net/ipv4/conf/{before.device}/promote_secondaries", "1")
    return [(before.ns, rtnl.delete_address(before, netns.index(before.device)))]


# -- neighbors and forwarding tables

def _set_neighbor(_before: Neighbor | None, after: Neighbor, namespaces: Namespaces) -> list[Request]:
    return [(after.ns, permanent_neighbor.new_neighbor(after, namespaces[after.ns].index(after.device)))]


def _delete_neighbor(before: Neighbor, _after: None, namespaces: Namespaces) -> list[Request]:
    return [(before.ns, permanent_neighbor.delete_neighbor(before, namespaces[before.ns].index(before.device)))]


def _create_fdb(_before: None, after: FdbEntry, namespaces: Namespaces) -> list[Request]:
    return [(after.ns, netlink_fdb.new_entry(after, namespaces[after.ns].index(after.device)))]


def _delete_fdb(before: FdbEntry, _after: None, namespaces: Namespaces) -> list[Request]:
    return [(before.ns, netlink_fdb.delete_entry(before, namespaces[before.ns].index(before.device)))]


REQUESTS: dict[Sort, Encode] = {
    ("link", "create"): create_link, ("link", "update"): _update_link,
    ("peer", "create"): _create_peer, ("peer", "update"): _update_link,
    ("internal", "create"): _create_peer, ("internal", "update"): _update_link, ("internal", "delete"): _leave_alone,
    ("half", "create"): _leave_alone, ("half", "update"): _update_link,
    # Half a pair cannot be made again, nor is it missed.
    ("stray", "create"): _leave_alone, ("stray", "update"): _leave_alone,
    ("vlan", "create"): create_link, ("vlan", "update"): _update_link,
    ("vxlan", "create"): create_link, ("vxlan", "update"): _update_link,
    ("fdb", "create"): _create_fdb, ("fdb", "delete"): _delete_fdb,
    ("bridge", "create"): create_link, ("bridge", "update"): _update_link, ("bridge", "delete"): _delete_bridge,
    ("renamed", "update"): _update_link,
    ("phys", "create"): _lend_nic, ("phys", "update"): _update_link, ("phys", "delete"): _return_nic,
    ("nic", "create"): _leave_alone, ("nic", "update"): _update_link, ("nic", "delete"): _leave_alone,
    ("vf", "update"): _set_vf,
    ("vf_address", "create"): _give_address, ("vf_address", "delete"): _free_address,
    ("port", "create"): _set_port, ("port", "update"): _set_port, ("port", "delete"): _unset_port,
    ("port_free", "update"): _set_port,
    ("neighbor", "create"): _set_neighbor, ("neighbor", "update"): _set_neighbor,
    ("neighbor", "delete"): _delete_neighbor,
    ("parted", "update"): routes.replace_route,
    ("moved_way", "update"): routes.replace_route, ("moved", "update"): routes.replace_route,
    **{(f"moved_rule {rank}", "create"): rules.create_rule for rank in range(RULE_RANKS)},
    **{(f"moved_rule {rank}", "delete"): rules.delete_rule for rank in range(RULE_RANKS)},
    ("claim", "create"): create_address, ("claim", "delete"): _delete_address,
    ("address", "create"): create_address, ("address", "update"): _replace_address,
    ("address", "delete"): _delete_address,
    **routes.REQUESTS, **rules.REQUESTS,
}
