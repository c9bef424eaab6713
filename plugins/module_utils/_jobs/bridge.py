# Copyright: pipework.containers contributors
# GNU General Public License v3.0+ (see LICENSE)
"""The job behind pipework_bridge: the bridges of a host."""
from __future__ import annotations

import typing as t

from .._attach import nic_users, segments
from .._bridge import desired as bridge_desired
from .._bridge import desired_ovs, uplinks
from .._bridge.options import LINUX, SWITCH, Bridge, bridges_from_params
from .._core.items import purges
from .._core.plan import Absent, Desired, Plan, State
from .._engine import marks
from .._engine.executors import Executors, Journal, Passes
from .._engine.ipv6 import Ipv6
from .._engine.observe import observe
from .._engine.run import Picture
from .._filter import firewall, forwarding, nat
from .._filter.masquerade import IP_FORWARD, Masquerade, forwarding_on, networks_of
from .._host import other_netns
from .._model.keys import link_key
from .._model.nic_port import kept_by_hand
from .._model.objects import HOST, UPLINK, Address, Link, Port
from .._model.observed import Facts
from .._model.ovs import OvsBridge, OvsPort, bridge_key
from .._model.sriov_record import escaped
from .._neighbour.announce import News, announce
from .._netlink.namespaces import Namespaces
from .._netlink.neighbour import lent_addresses
from .._netlink.route import routes_of
from .._ovs import client as ovs_client
from .._ovs.settings import TIMERS
from .._routing.moved_rules import overtaken, ranked

WANTED = {LINUX: bridge_desired.wanted, SWITCH: desired_ovs.wanted}


class BridgeJob:
    """Desired bridges and what came of them."""

    journal: Journal = marks.LinkJournal()
    passes: t.Callable[[], Passes] = Ipv6

    def __init__(self, params: t.Mapping[str, t.Any]) -> None:
        self.purge = purges(params, "bridges")
        self.bridges = bridges_from_params(params)
        self.warnings: list[str] = []
        self._overtaken: list[str] | None = None  # of the first picture, where all is still to be moved
        self._cautions: list[str] | None = None  # of the first picture, too

    def open(self, namespaces: Namespaces) -> None:
        """Bridges are on the host, whose namespace is open."""

    def picture(self, namespaces: Namespaces) -> Picture:
        goes = self.purge or any(bridge.state == "absent" for bridge in self.bridges)
        ports = [port for bridge in self.bridges for port in bridge.ports or ()]
        vlans = any({"vlan_filtering", "default_pvid"} & set(bridge.settings) for bridge in self.bridges)
        vlans = vlans or any(port.vlans is not None for port in ports)
        moves = any(bridge.ports is not None for bridge in self.bridges)
        facts = observe(namespaces, routes_of_host=goes or moves, vlans=vlans, rules=[HOST] if goes or moves else ())
        self._look_closer(facts, namespaces)
        facts.switch, facts.no_switch = ovs_client.look(needed=any(bridge.kind == SWITCH for bridge in self.bridges))
        state = facts.state()
        bridges = self.bridges + (bridge_desired.others(self.bridges, facts) if self.purge else [])
        self._check_ports(facts, state, namespaces)
        desired: Desired = {}
        for bridge in bridges:
            desired.update((item.key, item) for item in WANTED[bridge.kind](bridge, facts, state))
        for item in self._rules(bridges, facts, state, namespaces):
            desired[item.key] = item
        if self._cautions is None:
            self._cautions = list(segments.of_bridges(bridges, facts, state, desired))
        self.warnings += self._cautions
        return Picture(state, desired, set(desired))

    def _look_closer(self, facts: Facts, namespaces: Namespaces) -> None:
        """At the addresses, routes and rules that move with a NIC, and those that cannot."""
        self.warnings = [warning for bridge in self.bridges for warning in uplinks.stranded(bridge, facts)]
        if self._overtaken is None:
            moving = [bridge for bridge in self.bridges if bridge.move_addresses and bridge.state == "present"]
            to = {port.name: bridge.name for bridge in moving for port in bridge.ports or ()}
            self._overtaken = overtaken(ranked(facts.rules.get(HOST, ())), to)
        self.warnings += [*self._overtaken, *facts.refused.values()]
        for bridge in self.bridges:
            for port in bridge.ports or () if bridge.move_addresses and bridge.state == "present" else ():
                device = facts.host.get(port.name)
                lent = lent_addresses(namespaces[HOST], device) if device is not None else []
                if lent:
                    raise uplinks.lent(bridge, port.name, lent)
        if HOST in facts.routes:
            names = {device.index: device.name for device in facts.host.values()}
            addresses = facts.addresses.get(HOST, [])
            every = routes_of(namespaces[HOST], names, every=True)
            facts.routes[HOST] += [route for route in every if kept_by_hand(route, addresses)]

    def _check_ports(self, facts: Facts, state: State, namespaces: Namespaces) -> None:
        """Refuses NICs that carry what no port of a bridge can carry, in whatever namespace of the host."""
        coming = {
            port.name: bridge for bridge in self.bridges if bridge.state == "present" for port in bridge.ports or ()
            if port.name in facts.host and facts.bridge_under(facts.host[port.name]) != bridge.name
        }
        if coming:
            standing = nic_users.known(facts, state, {})
            nics = {facts.host[name].index: name for name in coming}
            for where, device, _addresses in other_netns.standing(nics, nic_users.UPPERS, namespaces):
                standing.setdefault(nics[int(device.parent_index or 0)], []).append(nic_users.elsewhere(where, device))
            for name, bridge in coming.items():
                why = nic_users.holds(name, standing.get(name, ()))
                if why is not None:
                    raise bridge.refuse(f"ports: {why}")

    def _rules(self, bridges: list[Bridge], facts: Facts, state: State, namespaces: Namespaces) -> t.Iterator[t.Any]:
        linux = [bridge for bridge in bridges if bridge.kind == LINUX]  # the filter sees no frames of Open vSwitch
        going = [bridge for bridge in bridges if bridge.state == "absent"]
        routed = [bridge for bridge in bridges if bridge.masquerade is not None and bridge not in going]
        if routed or going:
            yield from self._masquerade(routed, going, facts, state, namespaces)
        if not routed and not going and all(bridge.forwarding == "unmanaged" for bridge in linux):
            return
        filters = firewall.observe()
        state.update(forwarding.state_of(filters))
        for bridge in going:
            yield from forwarding.no_rules_for(bridge.name, filters)
        for bridge in (each for each in linux if each not in going):
            yield from forwarding.rules_for(bridge.name, bridge.forwarding, filters)
        for bridge in routed:
            if bridge.masquerade and bridge.forwarding != "unmanaged":
                yield from forwarding.routed_rules_for(bridge.name, filters)
            elif not bridge.masquerade:
                yield from forwarding.no_rules_for(bridge.name, filters, routed=True)

    def _masquerade(
        self, routed: list[Bridge], going: list[Bridge], facts: Facts, state: State, namespaces: Namespaces,
    ) -> t.Iterator[t.Any]:
        state.update(nat.observe())
        for bridge in going:
            yield Absent(Masquerade(HOST, bridge.name).key)
        for bridge in routed:
            if not bridge.masquerade:
                yield Absent(Masquerade(HOST, bridge.name).key)
                continue
            here = [a.address for a in facts.addresses.get(HOST, ()) if a.device == bridge.name]
            outside = {a for record in uplinks.marked(bridge.name, facts).values() for a in record.addresses}
            networks = networks_of(set(here if bridge.addresses is None else bridge.addresses) - outside)
            if not networks:
                raise bridge.refuse(
                    f"masquerade: {bridge.name} has no IPv4 address whose network that would be for; say 'addresses'."
                )
            yield Masquerade(HOST, bridge.name, networks)
        if any(bridge.masquerade for bridge in routed):
            value = namespaces[HOST].read_sysctls([IP_FORWARD.replace(".", "/")])[0]
            have = forwarding_on(value or "0")
            state[have.key] = have
            yield forwarding_on("1")

    def executors(self) -> Executors:
        from .._engine import links  # which a run that changes nothing does not need
        from .._filter import apply as filter_apply
        from .._filter import apply_nat
        from .._ovs import apply as ovs_apply

        return {**links.EXECUTORS, **filter_apply.EXECUTORS, **apply_nat.EXECUTORS, **ovs_apply.EXECUTORS}

    def results(self, state: State) -> dict[str, t.Any]:
        found = {"bridges": [_result(bridge, state) for bridge in self.bridges if bridge.state == "present"]}
        return {**found, **({"warnings": self.warnings} if self.warnings else {})}

    def finish(self, plan: Plan, namespaces: Namespaces, state: State) -> None:
        made: dict[str, list[str]] = {}
        for each in plan:
            if each.action == "create" and isinstance(each.subject, Address):
                made.setdefault(each.subject.device, []).append(each.subject.address)
        for device, new in made.items():
            link = state.get(link_key(HOST, device))
            if isinstance(link, Link) and link.mac:
                announce([News(HOST, device, link.mac, tuple(new))], namespaces)


def _result(bridge: Bridge, state: State) -> dict[str, t.Any]:
    """One item of the returned ``bridges``; None for what only a real run can tell."""
    link = t.cast(Link, state[link_key(HOST, bridge.name)])
    addresses = [item for item in state.values() if isinstance(item, Address) and item.device == bridge.name]
    found = {
        "name": bridge.name, "kind": bridge.kind, "mac_address": link.mac, "mtu": link.mtu,
        "addresses": sorted(item.address for item in addresses if item.ns == HOST),
    }
    mark = UPLINK + escaped(bridge.name) + "|"
    found["ports"] = sorted(
        str(item.local_interface) for item in state.values()
        if isinstance(item, Port) and (item.owner or "").startswith(mark)
    )
    found["masquerade"] = Masquerade(HOST, bridge.name).key in state if bridge.masquerade is not None else None
    row = state.get(bridge_key(bridge.name))
    return {**found, **(_switched(row, state) if isinstance(row, OvsBridge) else link.settings or {})}


def _switched(row: OvsBridge, state: State) -> dict[str, t.Any]:
    """What a bridge of Open vSwitch has besides; of its timers, those that somebody has set."""
    settings = row.settings or {}
    rstp = settings.get("rstp_enable") == "true"
    keys = {name: f"other_config:{timer[rstp] or timer[0]}" for name, timer in TIMERS.items()}
    ports = [item for item in state.values() if isinstance(item, OvsPort) and item.bridge == row.bridge]
    return {
        "datapath": row.datapath or "system", "fail_mode": settings.get("fail_mode") or "standalone",
        "stp": settings.get("stp_enable") == "true", "rstp": rstp,
        **{name: int(settings[key]) for name, key in keys.items() if settings.get(key, "").isdecimal()},
        "tunnels": sorted(port.port for port in ports if port.interface and port.interface.get("type") != "internal"),
    }
