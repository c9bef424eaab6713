# Copyright: pipework.containers contributors
# GNU General Public License v3.0+ (see LICENSE)
"""Bridges under attachments: whether they have room for all ports, and whether they go with the last. Pure."""
from __future__ import annotations

import collections
import typing as t

from .._core.plan import Absent, State
from .._model.keys import link_key
from .._model.objects import BRIDGE_PORTS_MAX, HOST, OWNER_AUTO, UNFINISHED, Device, Port
from .._model.observed import Facts
from .context import Scene, Target, Wish
from .kinds.bridge import check_room


def _goes(port: Port, wish: Wish) -> bool:
    """Whether a port leaves the bridge that it is on."""
    after = wish.desired.get(port.key)
    if isinstance(after, Port):
        return after.bridge != port.bridge
    return isinstance(after, Absent) or isinstance(wish.desired.get(port.carrier or port.key), Absent)


def check_rooms(targets: t.Sequence[Target], scene: Scene, wish: Wish) -> None:
    """That each bridge has a port left for each that comes."""
    come: collections.Counter[str] = collections.Counter()
    for key, wanted in wish.desired.items():
        have = scene.state.get(key)
        if isinstance(wanted, Port) and wanted.bridge and not (isinstance(have, Port) and have.bridge == wanted.bridge):
            come[str(wanted.bridge)] += 1
    for bridge, count in come.items():
        if len(scene.facts.ports_of(bridge)) + count > BRIDGE_PORTS_MAX:
            item = next((target.item for target in targets if target.item.host_interface == bridge), targets[0].item)
            check_room(item, bridge, len(staying_ports(bridge, scene.facts, scene.state, wish)) + count)


def collect_bridges(scene: Scene, wish: Wish) -> None:
    """A bridge that pipework_attach made goes with its last port, unless somebody has given it an address."""
    for name in wish.left - wish.bridges:
        device = scene.facts.host.get(name)
        if device is None or device.type != "bridge" or device.owner not in (OWNER_AUTO, UNFINISHED):
            continue
        addressed = any(address.device == name for address in scene.facts.addresses.get(HOST, ()))
        if not staying_ports(name, scene.facts, scene.state, wish) and not addressed:
            wish.want(Absent(link_key(HOST, name)))


def staying_ports(bridge: str, facts: Facts, state: State, wish: Wish) -> list[Device]:
    """The ports that a bridge has now and keeps."""
    going = {key[2] for key, item in wish.desired.items() if isinstance(item, Absent) and key[:2] == ("link", HOST)}
    going |= {str(item.local_interface) for item in state.values() if isinstance(item, Port) and _goes(item, wish)}
    return [port for port in facts.ports_of(bridge) if port.name not in going]
