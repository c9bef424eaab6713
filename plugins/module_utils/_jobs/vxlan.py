# Copyright: pipework.containers contributors
# GNU General Public License v3.0+ (see LICENSE)
"""The job behind pipework_vxlan: the segments of a host."""
from __future__ import annotations

import struct
import typing as t

from .._core.items import purges
from .._core.plan import Desired, Plan, State
from .._engine import marks
from .._engine.executors import Executors, Journal, Passes
from .._engine.ipv6 import Ipv6
from .._engine.observe import observe
from .._engine.run import Picture
from .._filter import firewall, forwarding
from .._model.fdb import FdbEntry
from .._model.keys import link_key
from .._model.objects import HOST, OWNER_BRIDGE, OWNER_VXLAN, Address, Link, Port
from .._model.observed import Facts
from .._netlink import fdb as netlink_fdb
from .._netlink import rtnl
from .._netlink.namespaces import LOOPBACK, Namespaces
from .._vxlan.desired import OURS, Scene, picture_of, port_of, staying, too_large, tunnels, wanted
from .._vxlan.options import Segment, segments_from_params


class VxlanJob:
    """Desired segments and what came of them."""

    journal: Journal = marks.LinkJournal()
    passes: t.Callable[[], Passes] = Ipv6

    def __init__(self, params: t.Mapping[str, t.Any]) -> None:
        self.purge = purges(params, "segments")
        self.segments = segments_from_params(params)
        self.warnings: list[str] = []

    def open(self, namespaces: Namespaces) -> None:
        """Tunnels are on the host, whose namespace is open."""

    def picture(self, namespaces: Namespaces) -> Picture:
        goes = self.purge or any(segment.state == "absent" for segment in self.segments)
        facts = observe(namespaces, routes_of_host=goes)
        state = facts.state()
        self._observe(facts, state, namespaces)
        scene = Scene(facts, state, _held(namespaces, facts))
        segments = self.segments + (_others(self.segments, facts) if self.purge else [])
        desired = wanted(segments, scene)
        shown = set(desired)
        self._forward(segments, scene, desired)
        present = [segment for segment in self.segments if segment.state == "present"]
        self.warnings = [words for words in (too_large(segment, scene) for segment in present) if words]
        return Picture(state, desired, shown)

    def _observe(self, facts: Facts, state: State, namespaces: Namespaces) -> None:
        """Adds the links of ours as they are, with their tables."""
        for name, device in tunnels(facts).items():
            if device.owner not in OURS:
                continue
            state.update((item.key, item) for item in picture_of(device, facts, state))
            for raw in namespaces[HOST].dump(netlink_fdb.dump_entries(device.index)):
                entry = netlink_fdb.decode_entry(raw, HOST, name, device.index)
                if entry is not None:
                    state[entry.key] = entry

    def _forward(self, segments: list[Segment], scene: Scene, desired: Desired) -> None:
        """Frames pass inside the bridges that are used; our rules go with the last port of ours."""
        policies = {str(s.bridge): s.forwarding for s in segments if s.state == "present"}
        left = scene.left - set(policies)
        if not left and all(policy == "unmanaged" for policy in policies.values()):
            return
        filters = firewall.observe()
        scene.state.update(forwarding.state_of(filters))
        for bridge, policy in policies.items():
            desired.update((rule.key, rule) for rule in forwarding.rules_for(bridge, policy, filters))
        for bridge in left:
            lasting = bridge in scene.facts.host and scene.facts.host[bridge].owner == OWNER_BRIDGE
            if not lasting and not any(port.owner for port in staying(bridge, scene)):
                desired.update((gone.key, gone) for gone in forwarding.no_rules_for(bridge, filters))

    def executors(self) -> Executors:
        from .._engine import links  # which a run that changes nothing does not need
        from .._filter import apply as filter_apply

        return {**links.EXECUTORS, **filter_apply.EXECUTORS}

    def results(self, state: State) -> dict[str, t.Any]:
        found = [_result(segment, state) for segment in self.segments if segment.state == "present"]
        return {"segments": found, **({"warnings": self.warnings} if self.warnings else {})}

    def finish(self, plan: Plan, namespaces: Namespaces, state: State) -> None:
        """Nobody remembers anything of a link without addresses."""


def _held(namespaces: Namespaces, facts: Facts) -> list[Address]:
    """The addresses of the host: also those lent to it, and those of the loopback; not those of one link each."""
    names = {LOOPBACK: "lo", **{device.index: name for name, device in facts.host.items()}}
    dump = namespaces[HOST].dump(rtnl.dump_addresses())
    found = ((raw, *struct.unpack_from("=BI", raw, 19)) for raw in dump)
    return [
        rtnl.decode_address(raw, HOST, names) for raw, scope, index in found
        if index in names and (scope < rtnl.RT_SCOPE_LINK or index == LOOPBACK)
    ]


def _others(segments: list[Segment], facts: Facts) -> list[Segment]:
    """The tunnels of ours that are not listed, as absent ones."""
    listed = {segment.name for segment in segments}
    return [
        Segment((device.settings or {}).get("vni", 0), name, state="absent", where="purge: ")
        for name, device in tunnels(facts).items() if device.owner == OWNER_VXLAN and name not in listed
    ]


def _result(segment: Segment, state: State) -> dict[str, t.Any]:
    """One item of the returned ``segments``."""
    link = t.cast(Link, state[link_key(HOST, segment.name)])
    port = t.cast(Port, state[port_of(segment.name)])
    settings, options = link.settings or {}, port.settings or {}
    entries = (item for item in state.values() if isinstance(item, FdbEntry) and item.device == segment.name)
    return {
        "name": segment.name, "bridge": port.bridge, "mtu": link.mtu, "device": settings.get("device") or None,
        **{name: settings.get(name) for name in ("vni", "local", "port")},
        "learning": settings.get("learning", True), "neigh_suppress": options.get("neigh_suppress", False),
        "remotes": sorted(entry.dst for entry in entries if entry.floods),
    }
