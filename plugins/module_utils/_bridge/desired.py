# Copyright: pipework.containers contributors
# GNU General Public License v3.0+ (see LICENSE)
"""What a Linux bridge shall be: with what the kernel shows, the wanted objects of one item. Pure."""
from __future__ import annotations

import dataclasses
import typing as t

from .._core import normalize as norm
from .._core.plan import Absent, KernelObject, State
from .._model import vlans
from .._model.keys import link_key
from .._model.new_bridge import new_bridge
from .._model.objects import HOST, OWNER_AUTO, OWNER_BRIDGE, UNFINISHED, Address, Device, Port
from .._model.observed import Facts
from .options import SWITCH, TIMERS, Bridge, bridges_from_params
from .uplinks import mac_of_nic, marked, uplinks

__all__ = ["Bridge", "addresses_of", "bridges_from_params", "others", "wanted"]
OURS = (OWNER_AUTO, OWNER_BRIDGE, UNFINISHED)


def wanted(bridge: Bridge, facts: Facts, state: State) -> t.Iterator[KernelObject | Absent]:
    """The objects that a bridge is made of. Raises PipeworkError for what cannot be."""
    device = facts.host.get(bridge.name)
    if bridge.state == "absent":
        yield from _unwanted(bridge, device, facts, state)
        yield from uplinks(bridge, facts, state, switched=False)
        return
    if device is not None and device.type != "bridge":
        raise bridge.refuse(f"name: {bridge.name} exists on the host and is not a bridge but {_what(device, facts)}.")
    _check_delay(bridge, device)
    link = new_bridge(bridge.name, facts.host_seed, OWNER_BRIDGE)
    yield dataclasses.replace(
        link, mac=bridge.mac_address or ((mac_of_nic(bridge, facts) or link.mac) if device is None else None),
        mtu=bridge.mtu,
        settings=_possible(bridge, facts) or None,
        owner=OWNER_BRIDGE if device is None or device.owner in OURS else None,
    )
    yield from addresses_of(bridge, facts, device is None or device.owner in OURS)
    _check_vlans(bridge, device)
    yield from uplinks(bridge, facts, state, switched=False)


def addresses_of(bridge: Bridge, facts: Facts, ours: bool) -> t.Iterator[KernelObject | Absent]:
    """The host's addresses on a bridge. On one of others they are only added."""
    listed = [Address(HOST, bridge.name, a, broadcast=norm.broadcast(a)) for a in bridge.addresses or ()]
    yield from listed
    if bridge.addresses is not None and ours:
        keys = {address.key for address in listed}
        have = [address for address in facts.addresses.get(HOST, ()) if address.device == bridge.name]
        yield from (Absent(address.key) for address in have if address.key not in keys)


def _check_vlans(bridge: Bridge, device: Device | None) -> None:
    filters = bridge.settings.get("vlan_filtering", ((device.settings if device else None) or {}).get("vlan_filtering"))
    for port in bridge.ports or () if not filters else ():
        if port.vlans is not None:
            raise bridge.refuse(
                f"ports: {port.name} has VLANs, but {bridge.name} does not tell them apart; say 'vlan_filtering: true'."
            )


def _what(device: Device, facts: Facts) -> str:
    if facts.switch is not None and device.name in facts.switch.bridges:
        return "one of Open vSwitch ('kind: openvswitch')"
    return device.type or "a network card"


def _possible(bridge: Bridge, facts: Facts) -> dict[str, t.Any]:
    """The settings that the kernel has. One that filters no VLANs need not be told so."""
    if facts.vlans is not None:
        return bridge.settings
    for option in ("vlan_filtering", "default_pvid"):
        if bridge.settings.get(option):
            raise bridge.refuse(f"{option}: {vlans.NO_KERNEL}")
    return {name: value for name, value in bridge.settings.items() if name not in ("vlan_filtering", "default_pvid")}


def _check_delay(bridge: Bridge, device: Device | None) -> None:
    delay, (low, high) = bridge.settings.get("forward_delay"), TIMERS["forward_delay"]
    stp = bridge.settings.get("stp", ((device.settings if device else None) or {}).get("stp", False))
    if delay is not None and delay < low and stp:
        raise bridge.refuse(
            f"forward_delay: {delay} s is not possible while STP is on; the kernel takes {low} to {high} s then."
        )


def _unwanted(bridge: Bridge, device: Device | None, facts: Facts, state: State) -> t.Iterator[Absent]:
    """A bridge of ours goes; its ports are let go first, so that they can be had back if something fails."""
    if device is None:
        return
    if device.type != "bridge" and facts.switch is not None and bridge.name in facts.switch.bridges:
        raise bridge.refuse(f"name: {bridge.name} is a bridge of Open vSwitch; say 'kind: openvswitch'.")
    if device.type != "bridge" or device.owner not in OURS:
        what = "bridge" if device.type == "bridge" else device.type or "network card"
        raise bridge.refuse(f"name: {bridge.name} is somebody else's {what}, which is never removed here.")
    ours = marked(bridge.name, facts)
    ports = [port for port in facts.ports_of(bridge.name) if port.name not in ours]
    foreign = sorted(port.name for port in ports if not port.owner)
    if foreign:
        listed = ", ".join(foreign)
        raise bridge.refuse(f"name: {bridge.name} has ports that are not ours: {listed}; take them out first.")
    for port in ports:
        loose = Port(
            HOST, port.name, local_interface=port.name, bridge=bridge.name, settings=port.port,
            vlans=facts.vlans_of(port),
        )
        state[loose.key] = loose
        yield Absent(loose.key)
    yield Absent(link_key(HOST, bridge.name))


def others(bridges: t.Sequence[Bridge], facts: Facts) -> list[Bridge]:
    """The bridges of pipework_bridge on this host that are not listed, as absent ones."""
    listed = {bridge.name for bridge in bridges}
    switched = facts.switch.bridges.values() if facts.switch else ()
    return [
        Bridge(device.name, state="absent", where="purge: ") for device in facts.host.values()
        if device.type == "bridge" and device.owner == OWNER_BRIDGE and device.name not in listed
    ] + [
        Bridge(each.bridge, kind=SWITCH, state="absent", where="purge: ") for each in switched
        if each.owner == OWNER_BRIDGE and each.bridge not in listed
    ]
