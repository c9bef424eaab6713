# Copyright: pipework.containers contributors
# GNU General Public License v3.0+ (see LICENSE)
"""Which ports and bridges of Open vSwitch go: those of interfaces that go, and what dead containers left. Pure."""
from __future__ import annotations

import dataclasses
import typing as t

from .._core.plan import Absent, KernelObject
from .._model.objects import HOST, OWNER_AUTO, OWNER_BRIDGE, Port, owner_matches
from .._model.ovs import MISSING, OvsPort, Switch, bridge_key
from .context import Scene, Target, Wish

Scope = t.Optional[t.Callable[[str], bool]]


def collect(targets: t.Sequence[Target], scene: Scene, wish: Wish, in_scope: Scope) -> None:
    """Adds to the wish what is not to be there any more."""
    switch = scene.facts.switch
    if switch is None:
        _refuse_silence(targets, scene)
        return
    ends = {str(item.local_interface): item for item in scene.state.values() if isinstance(item, Port)}
    going = {key[2] for key, item in wish.desired.items() if isinstance(item, Absent) and key[:2] == ("link", HOST)}
    for name, port in switch.ports.items():
        wanted = wish.desired.get(port.key)
        if isinstance(wanted, OvsPort):
            if port.bridge and wanted.bridge != port.bridge:
                wish.left.add(port.bridge)
        elif not port.owner or port.owner == OWNER_BRIDGE:
            continue
        elif name in ends and _goes_elsewhere(ends[name], wish):
            _leave(port, wish)
            if isinstance(wish.desired.get(ends[name].carrier or port.key), KernelObject):
                scene.state[port.key] = dataclasses.replace(port, leaves=True)
        elif name in going or (name not in scene.facts.host and _is_over(port, targets, in_scope)):
            _leave(port, wish)
    _bridges(switch, scene, wish)


def _refuse_silence(targets: t.Sequence[Target], scene: Scene) -> None:
    """What has to go from a database has to be seen there."""
    for target in targets:
        item = target.item
        if item.state != "absent" or scene.facts.no_switch in ("", MISSING):
            continue
        port = scene.port(str(target.label), item.interface)
        end = scene.facts.host.get(str(port.local_interface)) if port is not None else None
        master = scene.facts.by_index.get(end.master) if end is not None and end.master is not None else None
        if item.kind == "openvswitch" or (master is not None and master.type == "openvswitch"):
            raise item.refuse(f"state: absent: {scene.facts.no_switch}")


def _is_over(port: OvsPort, targets: t.Sequence[Target], in_scope: Scope) -> bool:
    """Whether a port without its interface is this run's business."""
    if in_scope is not None and in_scope(str(port.plugged)):
        return True
    return any(
        port.owner == target.owner or owner_matches(
            port.owner, target.runtime or target.item.runtime, target.known_as or str(target.item.container),
            target.item.interface,
        )
        for target in targets
    )


def _goes_elsewhere(end: Port, wish: Wish) -> bool:
    """Whether the host's end of a pair goes, gets another name, or becomes a port of a Linux bridge."""
    wanted = wish.desired.get(end.key)
    if isinstance(wanted, Port):
        return bool(wanted.bridge) or wanted.local_interface != end.local_interface
    return isinstance(wanted, Absent) or isinstance(wish.desired.get(end.carrier or end.key), Absent)


def _leave(port: OvsPort, wish: Wish) -> None:
    wish.want(Absent(port.key))
    if port.bridge:
        wish.left.add(port.bridge)


def _bridges(switch: Switch, scene: Scene, wish: Wish) -> None:
    """A bridge that was made on the way goes with its last port, unless somebody has given it an address."""
    empty = {name for name, bridge in switch.bridges.items() if bridge.owner == OWNER_AUTO and not switch.members[name]}
    for name in (wish.left | empty) - wish.bridges:
        bridge = switch.bridges.get(name)
        if bridge is None or bridge.owner != OWNER_AUTO:
            continue
        stays = [port for port in switch.members[name] if not _goes(switch.ports.get(port), name, wish)]
        if not stays and not any(address.device == name for address in scene.facts.addresses.get(HOST, ())):
            wish.want(Absent(bridge_key(name)))


def _goes(port: OvsPort | None, bridge: str, wish: Wish) -> bool:
    wanted = wish.desired.get(port.key) if port is not None else None
    return isinstance(wanted, Absent) or (isinstance(wanted, OvsPort) and wanted.bridge != bridge)
