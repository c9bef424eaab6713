# Copyright: pipework.containers contributors
# GNU General Public License v3.0+ (see LICENSE)
"""What killed runs have left, and what containers did to interfaces of ours. Pure."""
from __future__ import annotations

import dataclasses

from .._core.plan import Absent
from .._model.keys import link_key
from .._model.objects import HOST, OWNER_AUTO, STAND_IN, UNFINISHED, Link, Port
from .context import Scene, Wish


def by_right(wanted: Link, have: Link | None) -> Link:
    """With its own name and its mark again, where the container took them away."""
    if have is None or wanted.key != have.key or wanted.must_replace(have):
        return wanted
    return dataclasses.replace(
        wanted, renamed=None if have.renamed is None else "", marked=None if have.marked is None else True,
    )


def collect_unfinished(scene: Scene, wish: Wish) -> None:
    """What a killed run left on the host. No other run is under way, since this one holds the host's lock."""
    for link in [item for item in scene.state.values() if isinstance(item, Link) and item.ns != HOST]:
        if link.owner == UNFINISHED and link.ifname.startswith(STAND_IN) and link.key not in wish.desired:
            wish.want(Absent(link.key))
    ports = {device.master for device in scene.facts.host.values()}
    wish.left.update(device.name for device in scene.marked[OWNER_AUTO] if device.index not in ports)
    wish.left.update(device.name for device in scene.marked[UNFINISHED] if device.type == "bridge")
    wanted = {item.local_interface for item in wish.desired.values() if isinstance(item, Port)}
    ends = {item.local_interface: item.carrier for item in scene.state.values() if isinstance(item, Port)}
    for device in scene.marked[UNFINISHED]:
        if device.type == "vlan":
            wish.vacated.add(device.name)  # if it is not in use
            continue
        # Of a pair whose far end is known, that is what has to go: its host end goes with it.
        key = ends.get(device.name) or link_key(HOST, device.name)
        if device.name not in wanted and key not in wish.desired:
            wish.want(Absent(key))
