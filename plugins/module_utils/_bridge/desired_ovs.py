# Copyright: pipework.containers contributors
# GNU General Public License v3.0+ (see LICENSE)
"""What a bridge of Open vSwitch shall be: with its database and what the kernel shows, the wanted objects. Pure."""
from __future__ import annotations

import typing as t

from .._core.normalize import stable_mac
from .._core.plan import Absent, KernelObject, State
from .._model.keys import link_key
from .._model.objects import HOST, OWNER_BRIDGE, Link
from .._model.observed import Facts
from .._model.ovs import MISSING, OvsBridge, OvsPort, Switch, bridge_key, no_datapath
from .._ovs.settings import unusual
from .desired import OURS, addresses_of
from .options import Bridge
from .uplinks import mac_of_nic, uplinks

SYSTEM = ("", "system")


def wanted(bridge: Bridge, facts: Facts, state: State) -> t.Iterator[KernelObject | Absent]:
    """The objects that a bridge is made of. Raises PipeworkError for what cannot be."""
    switch = facts.switch
    if switch is None:
        if bridge.state == "absent" and facts.no_switch == MISSING:
            return
        raise bridge.refuse(f"kind: openvswitch: {facts.no_switch}")
    if bridge.name in switch.vlan_bridges:
        parent, vlan = switch.vlan_bridges[bridge.name]
        raise bridge.refuse(
            f"name: {bridge.name} is somebody else's bridge of VLAN {vlan} of {parent} ('ovs-vsctl add-br'), which is "
            "neither changed nor removed here; containers can be attached to it as it is."
        )
    known, device = switch.bridges.get(bridge.name), facts.host.get(bridge.name)
    if known is not None and device is not None:  # its interface comes and goes with it
        seen = state[link_key(HOST, bridge.name)]
        link = Link(HOST, bridge.name, type="internal", mac=device.mac, mtu=device.mtu, up=device.up)
        state[seen.key] = link
    if bridge.state == "absent":
        yield from _unwanted(bridge, known, switch)
        yield from uplinks(bridge, facts, state, switched=True)
        return
    if known is None and device is not None:
        raise bridge.refuse(
            f"name: {bridge.name} exists on the host and is not a bridge of Open vSwitch but "
            f"{device.type or 'a network card'}."
        )
    if known is None and bridge.name in switch.ports:
        raise bridge.refuse(f"name: {bridge.name} is a port of {switch.ports[bridge.name].bridge} in Open vSwitch.")
    yield _row(bridge, known, facts)
    # To give its request for an MTU back does not give the interface its old one; that is an operation of its own.
    yield Link(HOST, bridge.name, type="internal", up=True, mtu=bridge.mtu if known is not None else None)
    yield from addresses_of(bridge, facts, known is None or known.owner in OURS)
    yield from _tunnels(bridge, switch)
    yield from uplinks(bridge, facts, state, switched=True)


def _row(bridge: Bridge, known: OvsBridge | None, facts: Facts) -> OvsBridge:
    owner = OWNER_BRIDGE if known is None or known.owner in OURS else None
    datapath = {"system": ""}.get(str(bridge.datapath), bridge.datapath)
    mac = bridge.mac_address
    if known is None:
        # A MAC of its own, or the bridge would take the lowest of its ports' and change it as they come and go.
        mac = mac or mac_of_nic(bridge, facts) or stable_mac("bridge", facts.host_seed, bridge.name)
        return OvsBridge(
            HOST, bridge.name, owner=owner, mac=mac, error="", datapath=datapath,
            settings=unusual(bridge.switched, None),
        )
    same = datapath is None or datapath == known.datapath or (datapath == "" and known.datapath in SYSTEM)
    if not same:
        has = "system" if known.datapath in SYSTEM else known.datapath
        raise bridge.refuse(
            f"datapath: {bridge.name} has {has}, and cannot get {bridge.datapath} while it is there: its interface "
            "would be another one. Remove the bridge first ('state: absent'), or leave the option out."
        )
    if known.error:
        why = f"; {no_datapath(bridge.name)}" if known.datapath in SYSTEM else ""
        raise bridge.refuse(f"name: the bridge {bridge.name} does not work: {known.error}{why}.")
    return OvsBridge(
        HOST, bridge.name, owner=owner, mac=mac, settings=unusual(bridge.switched, known.settings),
    )


def _tunnels(bridge: Bridge, switch: Switch) -> t.Iterator[KernelObject | Absent]:
    """The tunnels that are listed, and no others of ours."""
    for tunnel in bridge.tunnels or ():
        port = switch.ports.get(tunnel.name)
        ours = port is None or (port.owner, port.bridge) == (OWNER_BRIDGE, bridge.name)
        if tunnel.name in switch.bridges or not ours:
            where = f"a port of {port.bridge}" if port else "a bridge"
            raise bridge.refuse(f"tunnels: {tunnel.name} is {where} in Open vSwitch already; choose another name.")
        yield OvsPort(
            HOST, tunnel.name, bridge=bridge.name, vlans=tunnel.vlans if tunnel.vlans is not None else (),
            owner=OWNER_BRIDGE, error="", interface=tunnel.settings,
        )
    if bridge.tunnels is not None:
        listed = {tunnel.name for tunnel in bridge.tunnels}
        for name, port in switch.ports.items():
            if port.owner == OWNER_BRIDGE and port.bridge == bridge.name and port.interface and name not in listed:
                yield Absent(port.key)


def _unwanted(bridge: Bridge, known: OvsBridge | None, switch: Switch) -> t.Iterator[Absent]:
    """A bridge of ours goes, with those of its ports that are ours."""
    if known is None:
        return
    if known.owner not in OURS:
        raise bridge.refuse(f"name: {bridge.name} is somebody else's bridge, which is never removed here.")
    ports = [switch.ports[name] for name in switch.members.get(bridge.name, ())]
    foreign = sorted(port.port for port in ports if not port.owner)
    if foreign:
        raise bridge.refuse(
            f"name: {bridge.name} has ports that are not ours: {', '.join(foreign)}; take them out first."
        )
    yield from (Absent(port.key) for port in ports)
    yield Absent(bridge_key(bridge.name))
