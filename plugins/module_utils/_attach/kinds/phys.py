# Copyright: pipework.containers contributors
# GNU General Public License v3.0+ (see LICENSE)
"""Kind phys: the NIC itself moves into the container, and comes home as it was.

What it was is kept in its alias, which the kernel carries along, also when it throws the NIC back from a dead one.
"""

from __future__ import annotations

import dataclasses
import typing as t

from ..._core.errors import PipeworkError
from ..._core.plan import Absent, KernelObject
from ..._model.keys import link_key, port_key
from ..._model.objects import ALIAS_MAX, HOST, UPLINK, Device, Link, Nic
from ..._model.observed import Facts
from ..._model.seals import SEAL
from ..._model.sriov import Vf, VfAddress
from ..._model.sriov_record import VirtualFunction
from ..homecoming import departs, packed, unpacked
from ..site import Site


def wanted(site: Site) -> t.Iterator[KernelObject | Absent]:
    if site.label == HOST:
        raise site.item.refuse("kind: phys moves a NIC from the host into a container; on the host it is already.")

    def is_meant(nic: Nic) -> bool:
        return site.item.host_interface in (nic.name, f"mac:{nic.mac}")

    return moved(site, is_meant, site.parent)


def moved(
    site: Site, is_meant: t.Callable[[Nic], bool], find: t.Callable[[], Device], vf: VirtualFunction | None = None,
) -> t.Iterator[KernelObject | Absent]:
    """The NIC that is meant, in the container; ``find`` tells the one that is still on the host."""
    item = site.item
    yield Absent(port_key(site.label, item.interface))
    link = site.link
    if link is not None and link.type == "phys" and link.nic is not None and is_meant(link.nic):
        name = link.nic.name
        yield Link(site.label, item.interface, type="phys", parent=name, mac=item.mac_address, mtu=item.mtu, up=True)
        return
    if link is not None and link.type == "phys":
        yield from home(site.facts, link)
    device = thrown_back(site, is_meant) or find()
    nic = remembered(device, site.facts) or dataclasses.replace(_as_it_is(site, device), vf=vf)
    yield from departs(device, packed(item, device, site.facts), site.state)
    yield Absent(link_key(HOST, device.name))
    yield Link(
        site.label, item.interface, type="phys", parent=nic.name, mac=item.mac_address, mtu=item.mtu, up=True,
        owner=_packed(site, nic), nic=nic,
    )


def home(facts: Facts, link: Link) -> t.Iterator[KernelObject | Absent]:
    """The NIC back on the host, and all that it had there."""
    nic = t.cast(Nic, link.nic)
    there = facts.host.get(nic.name)
    if there is not None and not (link.ns == HOST and link.ifname == nic.name):
        raise PipeworkError(
            f"interface: the NIC {nic.name} cannot come home from {link.ns}/{link.ifname}, because the host has "
            "another interface of that name by now; rename that one first."
        )
    late = nic.luggage is not None and nic.luggage.comes_late  # then it is forgotten only when all of that is there
    yield Link(HOST, nic.name, type="nic", mac=nic.mac, mtu=nic.mtu, up=nic.up, owner=None if late else nic.alias)
    yield from unpacked(nic, facts)
    yield from restored(nic, facts)


def restored(nic: Nic, facts: Facts) -> t.Iterator[KernelObject | Absent]:
    """A function as it was before it was lent, while the card has it."""
    vf = nic.vf
    if vf is None or vf.pf not in facts.cards or vf.number not in facts.cards[vf.pf].functions:
        return
    yield Vf(HOST, vf.pf, vf.number, vf.vlan, vf.qos, vf.spoof_check)
    if vf.mac:
        yield VfAddress(HOST, vf.pf, vf.number, vf.mac)
    elif facts.cards[vf.pf].functions[vf.number].vf.mac != nic.mac:  # which the function may have chosen itself
        yield Absent(VfAddress(HOST, vf.pf, vf.number).key)


def remembered(device: Device, facts: Facts) -> Nic | None:
    kept = facts.lent(device)
    return kept[1] if kept else None


def thrown_back(site: Site, is_meant: t.Callable[[Nic], bool]) -> Device | None:
    """The NIC that is meant, on the host again since its container died, under whatever name."""
    for device in site.facts.host.values():
        nic = remembered(device, site.facts)
        if nic is not None and is_meant(nic):
            return device
    return None


def _as_it_is(site: Site, device: Device) -> Nic:
    master = site.facts.host_name(device.master)
    of_bridge = master is not None and site.facts.host[master].type == "bridge"
    if device.master is not None and not (site.item.force and of_bridge):
        forced = "; 'force: true' takes it out and back again" if of_bridge else ""
        raise site.item.refuse(
            f"host_interface: {device.name} is a port of {master}; take it out first, or attach to {master}{forced}."
        )
    if (device.alias or "").startswith(UPLINK):
        raise site.item.refuse(f"host_interface: {device.name} is a port of a bridge; attach to that bridge.")
    if device.type == "bridge" or device.owner:
        what = "a bridge" if device.type == "bridge" else "part of another attachment"
        raise site.item.refuse(
            f"host_interface: {device.name} is {what}, not a NIC that could move into a container."
        )
    there = [each for each in site.facts.addresses.get(HOST, ()) if each.device == device.name]
    addresses = tuple(each.address for each in there if each.valid is None)
    wiphy = site.facts.wireless.get(device.index)
    others = [name for index, name in _names_of(site) if index != device.index and site.facts.wireless[index] == wiphy]
    if others:
        raise site.item.refuse(
            f"host_interface: {device.name} is not the only interface of its wireless NIC, which moves as a whole: "
            f"remove {', '.join(others)} first ('iw dev {others[0]} del')."
        )
    return Nic(
        device.name, device.mtu, device.mac, device.up, addresses, device.alias or "", wireless=wiphy is not None,
        luggage=packed(site.item, device, site.facts),
    )


def _names_of(site: Site) -> list[tuple[int, str]]:
    """The wireless interfaces of the host."""
    return sorted((each.index, each.name) for each in site.facts.host.values() if each.index in site.facts.wireless)


def _packed(site: Site, nic: Nic) -> str:
    text = nic.pack(site.owner)
    if len(text.encode("utf-8", "surrogateescape")) + SEAL > ALIAS_MAX:
        raise site.item.refuse(
            f"host_interface: {nic.name} has more addresses ({len(nic.addresses)}) than can be kept with it until it "
            "comes home; remove some of them first."
        )
    return text
