# Copyright: pipework.containers contributors
# GNU General Public License v3.0+ (see LICENSE)
"""From segments and what the kernel shows to wanted objects. Pure."""

from __future__ import annotations

import dataclasses
import ipaddress
import typing as t

from .._core.items import blaming
from .._core.normalize import family, new_name
from .._core.plan import Absent, Desired, KernelObject, Key, State
from .._model.fdb import ALL, FdbEntry
from .._model.keys import link_key
from .._model.new_bridge import new_bridge
from .._model.objects import BRIDGE_PORTS_MAX, HOST, OWNER_AUTO, OWNER_VXLAN, UNFINISHED, Address, Device, Link, Port
from .._model.observed import Facts
from .options import Segment, room

OURS = (OWNER_VXLAN, UNFINISHED)
LOOPBACK = "lo"


def tunnels(facts: Facts) -> dict[str, Device]:
    """The VXLAN links of the host, by name."""
    return {name: device for name, device in facts.host.items() if device.type == "vxlan"}


def port_of(name: str) -> Key:
    return Port(HOST, name).key


def picture_of(device: Device, facts: Facts, state: State) -> t.Iterator[KernelObject]:
    """A VXLAN link of ours and its place on a bridge."""
    link = t.cast(Link, state[link_key(HOST, device.name)])
    settings = dict(device.settings or {})
    settings["device"] = facts.host_name(settings.pop("link", 0)) or ""
    yield dataclasses.replace(link, settings=settings)
    yield Port(
        HOST, device.name, local_interface=device.name, bridge=facts.host_name(device.master) or "",
        settings={"neigh_suppress": False, **(device.port or {})}, vlans=facts.vlans_of(device),
    )


@dataclasses.dataclass
class Scene:
    """What a run's segments are compared with. ``held``: the host's addresses, also lent ones and those of lo."""

    facts: Facts
    state: State
    held: list[Address]
    going: set[str] = dataclasses.field(default_factory=set)  # names of links of ours that go
    left: set[str] = dataclasses.field(default_factory=set)  # bridges that one of ours leaves, or a killed run left


def wanted(segments: t.Sequence[Segment], scene: Scene) -> Desired:
    """All of a run's. Raises PipeworkError for what cannot be."""
    for segment in segments:
        device = scene.facts.host.get(segment.name)
        if device is not None and (device.type != "vxlan" or device.owner not in OURS):
            what = device.type or "network card"
            raise segment.refuse(f"name: {segment.name} exists on the host and is somebody else's {what}.")
        if segment.state == "absent":
            scene.going.add(segment.name)
    desired: Desired = {}
    desired.update((gone.key, gone) for gone in _remains({segment.name for segment in segments}, scene))
    for segment in segments:
        for item in _present(segment, segments, scene) if segment.state == "present" else _absent(segment, scene):
            desired[item.key] = item
    for name in scene.left - {str(segment.bridge) for segment in segments if segment.state == "present"}:
        if _deserted(name, scene):
            desired[link_key(HOST, name)] = Absent(link_key(HOST, name))
    return desired


def _remains(listed: set[str], scene: Scene) -> t.Iterator[Absent]:
    """What a killed run left on the host. No other run is under way, since this one holds the host's lock."""
    for name, device in scene.facts.host.items():
        if device.type == "bridge" and not scene.facts.ports_of(name):
            scene.left.add(name)
        if device.type == "vxlan" and device.owner == UNFINISHED and name not in listed:
            scene.going.add(name)
            yield Absent(link_key(HOST, name))


def _absent(segment: Segment, scene: Scene) -> t.Iterator[Absent]:
    device = scene.facts.host.get(segment.name)
    if device is not None:
        bridge = scene.facts.host_name(device.master)
        scene.left.update({bridge} if bridge else ())
        yield Absent(link_key(HOST, segment.name))


def _deserted(bridge: str, scene: Scene) -> bool:
    """A bridge that was made on the way goes with its last port, unless somebody has given it an address."""
    device = scene.facts.host.get(bridge)
    if device is None or device.owner not in (OWNER_AUTO, UNFINISHED):
        return False
    addressed = any(address.device == bridge for address in scene.held)
    return not addressed and not staying(bridge, scene)


def staying(bridge: str, scene: Scene) -> list[Device]:
    """The ports that a bridge keeps."""
    return [port for port in scene.facts.ports_of(bridge) if port.name not in scene.going]


def _present(segment: Segment, segments: t.Sequence[Segment], scene: Scene) -> t.Iterator[KernelObject | Absent]:
    facts = scene.facts
    _check_number(segment, segments, scene)
    bridge, mtu = _bridge(segment, scene), _mtu(segment, scene)
    for mine in map(ipaddress.ip_network, segment.subnets):
        for address in scene.held:
            if address.device != segment.bridge and mine.overlaps(ipaddress.ip_interface(address.address).network):
                raise segment.refuse(
                    f"subnets: {mine} overlaps {address.address}, which this host has on {address.device}."
                )
    yield bridge
    settings: dict[str, t.Any] = {
        "vni": segment.vni, "port": segment.port, "local": segment.local, "family": family(str(segment.local)),
    }
    if segment.learning is not None:
        settings["learning"] = segment.learning
    if segment.device is not None:
        settings["device"] = segment.device
    yield Link(HOST, segment.name, type="vxlan", mtu=mtu, up=True, owner=OWNER_VXLAN, settings=settings)
    options = {"learning": segment.learning, "neigh_suppress": segment.neigh_suppress}
    yield Port(
        HOST, segment.name, local_interface=segment.name, bridge=segment.bridge,
        settings={name: value for name, value in options.items() if value is not None} or None,
    )
    if facts.host.get(segment.name) is not None:
        before = t.cast(Port, scene.state[port_of(segment.name)]).bridge
        scene.left.update({before} if before and before != segment.bridge else ())
    entries = [item for item in scene.state.values() if isinstance(item, FdbEntry) and item.device == segment.name]
    yield from (Absent(e.key) for e in entries if family(e.dst) != settings["family"])  # the new link cannot have them
    if segment.remotes is not None:
        yield from (FdbEntry(HOST, segment.name, ALL, remote) for remote in segment.remotes)
        listed = set(segment.remotes)
        yield from (Absent(entry.key) for entry in entries if entry.floods and entry.dst not in listed)


def _check_number(segment: Segment, segments: t.Sequence[Segment], scene: Scene) -> None:
    """A host has each VNI once, whatever the port is: with the same number, segments are taken for one."""
    listed = {each.name for each in segments}
    for name, device in tunnels(scene.facts).items():
        if (device.settings or {}).get("vni") == segment.vni and name not in listed | scene.going:
            raise segment.refuse(f"vni: {segment.vni} is that of {name} on this host already; each needs its own.")


def _mtu(segment: Segment, scene: Scene) -> int:
    """What the underlay leaves; without a ``device`` that is the one that has the address."""
    facts = scene.facts
    holders = [address.device for address in scene.held if address.address.split("/")[0] == segment.local]
    if not holders:
        version = ipaddress.ip_address(str(segment.local)).version
        found = [f"{a.address.split('/')[0]} ({a.device})" for a in scene.held
                 if ipaddress.ip_interface(a.address).version == version and a.device != LOOPBACK]
        there = f"it has {', '.join(sorted(found)[:5])}" if found else f"it has none of IPv{version}"
        raise segment.refuse(f"local: {segment.local} is not an address of this host; {there}.")
    name = segment.device or holders[0]
    if name == segment.bridge:
        raise segment.refuse(f"local: {segment.local} is on {name}, the segment's own bridge, which needs the tunnel.")
    if name == LOOPBACK:
        if segment.mtu is None:
            raise segment.refuse(
                f"mtu: say how large frames may be: {segment.local} is on {name}, which tells nothing about the way to "
                "the others. The smallest MTU on that way, less 50 with IPv4 and 70 with IPv6, would be right."
            )
        return segment.mtu
    if name not in facts.host:
        raise segment.refuse(f"device: there is no {name} on this host.")
    return room(segment, name, facts.host[name].mtu)


def _bridge(segment: Segment, scene: Scene) -> Link:
    facts, name = scene.facts, str(segment.bridge)
    device = facts.host.get(name)
    if device is None:
        with blaming(segment.where):
            new_name(name, "bridge")
        # Hosts that were cloned have one machine-id, but never one address; and here their bridges meet.
        return new_bridge(name, f"{facts.host_seed} {segment.local}", OWNER_AUTO)
    if device.type != "bridge":
        raise segment.refuse(f"bridge: {name} is not a Linux bridge but {device.type or 'a network card'}.")
    ports = [port for port in staying(name, scene) if port.name != segment.name]
    other = next((port.name for port in ports if port.type == "vxlan"), None)
    if other is not None and not (device.settings or {}).get("vlan_filtering"):
        raise segment.refuse(
            f"bridge: {name} has {other} as a port already; two segments on one bridge would be one, "
            "and their frames would go round for ever."
        )
    if len(ports) >= BRIDGE_PORTS_MAX:
        raise segment.refuse(f"bridge: {name} has {len(ports)} ports, and a Linux bridge takes {BRIDGE_PORTS_MAX}.")
    return Link(HOST, name, type="bridge", up=True, owner=OWNER_AUTO if device.owner == UNFINISHED else None)


def too_large(segment: Segment, scene: Scene) -> str | None:
    """Words about ports whose frames would not fit through."""
    mtu = _mtu(segment, scene)
    found = [port.name for port in scene.facts.ports_of(str(segment.bridge))
             if port.mtu > mtu and port.name != segment.name]
    if not found:
        return None
    return (
        f"{segment.where}bridge: {segment.bridge} has ports with an MTU of more than the tunnel's {mtu} "
        f"({', '.join(sorted(found)[:5])}{', …' if len(found) > 5 else ''}): what they send in larger frames does not "
        "reach the other hosts. Another run of pipework_attach gives attachments the bridge's."
    )
