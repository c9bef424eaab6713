# Copyright: pipework.containers contributors
# GNU General Public License v3.0+ (see LICENSE)
"""From attachments and what the kernel shows to the objects that are wanted. Pure."""

from __future__ import annotations

import typing as t

from .._core.plan import Absent, Key, State
from .._model.keys import link_key
from .._model.objects import (
    HOST,
    PAIR_TYPES,
    UNFINISHED,
    Link,
    Port,
    end_key,
    owner_fields,
    owner_matches,
)
from .._model.observed import Facts, way_out, whose
from .._model.ovs import OvsBridge, OvsPort
from .._model.sysctl import Sysctl
from . import default_route, kinds, ovs_cleanup, slaac, vlan_links
from .bridge_use import check_rooms, collect_bridges
from .context import Scene, Target, Wish
from .dhcp4 import wanted_dhcp
from .ip_config import check_ipv6, layer3
from .kinds.phys import home
from .modes import wrong_mode
from .network import comes_elsewhere
from .options import Attachment, check_options
from .remains import by_right, collect_unfinished
from .site import Site


def compile_wish(
    targets: t.Sequence[Target], facts: Facts, purge: t.Callable[[str], bool] | None = None,
) -> tuple[Wish, State]:
    """The wanted objects of a whole run, and the state they are held against. PipeworkError for what cannot be."""
    wish, scene = Wish(), Scene(facts, facts.state())
    refuse_twice(targets)
    mtus = _given_mtus(targets)
    for target in targets:
        if target.item.state == "present":
            _present(target, scene, mtus, wish)
        else:
            _absent(target, scene, wish)
    if purge is not None:
        _purge(scene, wish, purge)
    collect_unfinished(scene, wish)
    for key in wish.parted - set(wish.desired):
        for gone in (key, *(item.key for item in scene.carried[key])):
            if gone not in wish.desired:
                wish.want(Absent(gone))
    default_route.wish_defaults(default_route.listed(targets), scene, wish)
    ovs_cleanup.collect(targets, scene, wish, purge)
    check_rooms(targets, scene, wish)
    collect_bridges(scene, wish)
    return wish, scene.state


def refuse_twice(targets: t.Sequence[Target]) -> None:
    """One interface under two names of its container, and two default routes for one container."""
    seen: dict[tuple[str | None, str], Target] = {}
    for target in targets:
        item = target.item
        if target.label is None:
            continue
        other = seen.setdefault((target.label, item.interface), target)
        if other is not target:
            raise item.refuse(
                f"interface: {item.title} and {other.item.title} are the same interface, since both containers are "
                f"{target.label}; each interface can be listed once."
            )
        other = seen.setdefault((target.label, f"table {item.table}"), target) if item.table is not None else target
        if other is not target and {item.state, other.item.state} == {"present"}:
            raise item.refuse(
                f"table: {item.table} is the routing table of {other.item.interface} in {target.label} already; each "
                "interface needs one of its own."
            )
        for gateway, version in item.asked_gateways if item.state == "present" else ():
            place = f"{item.table or 'main'} {version} {item.gateway_metric or ''}"
            other = seen.setdefault((target.label, place), target)
            if other is not target:
                words = f"{target.label} gets a default gateway for IPv{version} through {other.item.interface}"
                raise item.refuse(
                    f"gateway: {gateway}: {words} already; leave one out, or give one of them a 'gateway_metric' or a "
                    "'table'."
                )


def _given_mtus(targets: t.Sequence[Target]) -> dict[str, int]:
    """A bridge's MTU falls to that of its smallest port: those that come in this run count before they are there."""
    smallest: dict[str, int] = {}
    for target in targets:
        item = target.item
        if item.state == "present" and item.mtu and item.host_interface:
            smallest[item.host_interface] = min(item.mtu, smallest.get(item.host_interface, item.mtu))
    return smallest


def _present(target: Target, scene: Scene, mtus: dict[str, int], wish: Wish) -> None:
    item, label, facts = target.item, str(target.label), scene.facts
    site = Site(item, label, target.owner, target.ident, facts, scene.state, target.other, mtus)
    device = facts.devices[label].get(item.interface)
    if device is not None and not _is_ours(site.link, label):
        raise item.refuse(
            f"interface: {item.interface} exists in {label} and is not ours: {whose(facts, label, device)}. "
            f"{way_out(facts, label, device)}"
        )
    kind = kinds.kind_of(item, facts, site.link)
    wrong = wrong_mode(item.mode, kind, kinds.by_its_name(item, facts))
    if wrong is not None:
        raise item.refuse(wrong)
    wish.told += check_options(item, kind)
    for wanted in kinds.check_kind(kind).wanted(site):
        shared = wanted.key[1] == HOST and wanted.key[0] in ("link", OvsBridge.KIND) and label != HOST
        also = wish.desired.get(wanted.key)
        if isinstance(wanted, Link) and isinstance(also, Link):
            wanted = wanted.over(also)  # one attachment may want more of a bridge than another
        if isinstance(wanted, Link):
            wanted = by_right(wanted, site.link)
        wish.want(wanted, own=not shared)
        if isinstance(wanted, (Port, OvsPort)):
            wish.bridges.add(str(wanted.bridge))
        if isinstance(wanted, Link) and wanted.parent and wanted.type not in PAIR_TYPES:
            _claim(wanted, item, wish)
            wish.standing.add(wanted.parent)
    if site.link is not None and site.link.type == "phys" and kind not in kinds.MOVING:
        wish.want_all(home(facts, site.link), own=False)
    if site.link is not None and site.link.parent:
        wish.vacated.add(site.link.parent)
        if site.link.type in PAIR_TYPES:
            wish.parted.add(end_key(site.link.parent))
    if scene.lent and kind not in kinds.MOVING:
        _absent_remains(target.runtime, target.known_as, item, scene, wish, only=scene.lent)
    port = site.port
    if port is not None and port.bridge and _bridge_of(wish, port.key) != port.bridge:
        wish.left.add(port.bridge)
    wish.want_all(wanted_dhcp(target, facts, scene.state, wish.desired))
    moved = site.link is not None and comes_elsewhere(item, label, scene.state, wish.desired)
    sysctls = [Sysctl(label, item.interface, name, value) for name, value in slaac.sysctls_of(item)]
    wish.want_all((*sysctls, *layer3(item, label, scene, moved)))
    wish.want_all(slaac.wanted(item, label, scene, target, wish.desired))
    if item.bandwidth is not None:
        from . import limits  # which few runs need

        wish.want_all(limits.of_attachment(item, label, scene.state, wish.desired))
    check_ipv6(item, label, scene)


def _is_ours(link: Link | None, label: str) -> bool:
    """On the host itself, what is part of a container's attachment, or a bridge, is not runtime host's."""
    if link is None or not link.owner:
        return False
    return label != HOST or link.owner == UNFINISHED or (owner_fields(link.owner) or ("",))[0] == HOST


def _claim(link: Link, item: Attachment, wish: Wish) -> None:
    """A NIC carries many macvlans, or moves into one container."""
    parent = str(link.parent)
    other = wish.users.setdefault(parent, item)
    if other is not item and (link.type == "phys" or set(kinds.MOVING) & {item.kind, other.kind}):
        raise item.refuse(
            f"host_interface: {parent} is wanted by {other.title} and by {item.title}, but it can only move into one "
            "container, and then carries nothing on the host."
        )


def _bridge_of(wish: Wish, key: Key) -> str | None:
    wanted = wish.desired.get(key)
    return wanted.bridge if isinstance(wanted, Port) else None


# -- what goes

def _absent(target: Target, scene: Scene, wish: Wish) -> None:
    item = target.item
    if target.label is None:
        _absent_remains(item.runtime, target.name or str(item.container), item, scene, wish)
    have = scene.link(str(target.label), item.interface)
    if (target.label, item.interface) in scene.facts.refused:
        raise item.refuse(f"interface: {scene.facts.refused[str(target.label), item.interface]}")
    for name, device in scene.facts.devices.get(target.label or HOST, {}).items() if target.label else ():
        if name != item.interface and target.label != HOST and (device.owner or "").split("|")[0] == target.owner:
            _remove(str(target.label), name, scene, wish)  # the container has put another one in its place
    if target.label is None or have is None:
        wish.vacated.update(vlan_links.ours(scene))  # the container may have died
    elif _is_ours(have, target.label) and (not item.far or have.type in PAIR_TYPES):
        _remove(target.label, item.interface, scene, wish)
    if target.label not in (None, HOST):
        port = scene.port(str(target.label), item.interface)
        for device in scene.marked[target.owner]:  # what another namespace of the same name left
            if port is None or port.local_interface != device.name:
                wish.want(Absent(link_key(HOST, device.name)))
        if scene.lent:
            _absent_remains(target.runtime, target.known_as, item, scene, wish, only=scene.lent)
    if item.host_interface:
        wish.left.add(item.host_interface)


def _remove(label: str, interface: str, scene: Scene, wish: Wish) -> None:
    """An interface of ours and what stands with it; what is not ours stays."""
    link, port = scene.link(label, interface), scene.port(label, interface)
    if link is None or not link.owner:
        return
    wish.want(Absent(link.key))
    wish.own.update(item.key for item in scene.carried[link.key])
    if link.type in PAIR_TYPES and link.parent:
        _link, other, name = end_key(link.parent)
        if end_key(link.parent) not in wish.desired:
            _remove(other, name, scene, wish)
        return
    if link.parent:
        wish.vacated.add(link.parent)
    if port is not None and port.bridge:
        wish.left.add(port.bridge)
    if link.nic is not None:
        for item in home(scene.facts, link):
            wish.want(item, own=False)


def _absent_remains(
    runtime: str, container: str, item: Attachment, scene: Scene, wish: Wish, only: t.Collection[str] | None = None,
) -> None:
    """What a container that is gone, or was started anew, has left on the host. ``only``: under these marks."""
    for owner in scene.marked if only is None else only:
        if not owner_matches(owner, runtime, container, item.interface):
            continue
        for device in scene.marked[owner]:
            link = t.cast(Link, scene.link(HOST, device.name))
            wish.want(Absent(link.key))
            if link.nic is not None:
                wish.want_all(home(scene.facts, link), own=False)
            if device.master is not None:
                wish.left.add(str(scene.facts.host_name(device.master)))


def _purge(scene: Scene, wish: Wish, in_scope: t.Callable[[str], bool]) -> None:
    """All attachments of ours that are not listed, and whose host interface is in scope."""
    ends = {item.local_interface: item for item in scene.state.values() if isinstance(item, Port)}
    for link in [item for item in scene.state.values() if isinstance(item, Link)]:
        if not link.owner or link.key in wish.desired or link.of_the_host:
            continue
        if link.order_kind == "vlan":
            wish.vacated.update([link.ifname] if in_scope(str(link.parent)) else [])
            continue
        if link.ns == HOST and link.ifname in ends:
            continue  # its other end is the one to remove
        if link.type in PAIR_TYPES:
            if in_scope(""):
                _remove(link.ns, link.ifname, scene, wish)
            continue
        port = scene.port(link.ns, link.ifname)
        device = scene.facts.devices[link.ns][link.ifname]
        end = scene.facts.host.get(str(port.local_interface)) if port else device if link.ns == HOST else None
        card = link.nic.vf.pf if link.nic and link.nic.vf else None
        stands_on = card or link.parent or (scene.facts.bridge_under(end) if end else None)
        nic = vlan_links.nic_of(scene.facts, stands_on) if stands_on else "dummy"
        if in_scope(str(stands_on)) or in_scope(nic):
            _remove(link.ns, link.ifname, scene, wish)
            if stands_on:
                wish.left.add(stands_on)
