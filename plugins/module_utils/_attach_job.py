# Copyright: pipework.containers contributors
# GNU General Public License v3.0+ (see LICENSE)
"""The job behind pipework_attach: a whole list of attachments in one run."""
from __future__ import annotations

import dataclasses
import functools
import time
import typing as t

from . import (
    _autoconf,
    _claims,
    _defaults,
    _dhcp6_lease,
    _filter,
    _forwarding,
    _lease_folders,
    _nic_vlan,
    _ovs,
    _resolver,
    _resolver_files,
    _runtimes,
    _spoof_checks,
    _spoofing,
    _uppers,
    _vlans,
)
from . import _lease_files as files
from ._arrivals import addresses_of, arrive, on_switch
from ._attach import Target, Wish, compile_wish
from ._attachment import Attachment, Params, attachments_from_params, purge_scope
from ._dhcp6_lease import Lease6
from ._dhcp_clients import BUILTIN
from ._dhcp_lease import Lease
from ._errors import PipeworkError
from ._facts import Facts, link_key, port_key
from ._guests import Request, open_guests
from ._items import purges
from ._kinds import named, wants_switch
from ._leases import grant_of
from ._model import HOST, OWNER_BRIDGE, TABLE_MAIN, Address, Link, Nic, Port, Route, default_metric
from ._names import read_names
from ._netlink import Namespaces
from ._observe import observe, observe_autoconf, observe_leases, observe_sysctls
from ._observe_cards import observe_cards
from ._plan import Absent, Plan, State
from ._rooms import staying_ports
from ._run import Picture
from ._source_routing import wish_routing
from ._vfs import Vf

KINDS_SHOWN = {"veth": "bridge", "pair": "veth", "peer": "veth"}
OF_A_PEER = ("container", "container_id", "runtime", "interface", "mac_address", "addresses", "gateway")


class AttachJob:
    """Desired attachments, the containers found for them, and what came of it."""

    def __init__(self, params: Params) -> None:
        self.purge = purges(params, "attachments")
        self.items = attachments_from_params(params, read_names())
        self.scope = purge_scope(params) if self.purge else None
        self.targets: list[Target] = []
        self.facts: Facts | None = None  # of the last picture
        self.warnings: list[str] = []
        self.known: _lease_folders.Known = {}
        self.asked: set[str] = set()  # runtimes of which all running containers are known
        self.others: dict[str, tuple[str, t.Any]] = {}  # runtimes and holders of containers that no item is about

    def open(self, namespaces: Namespaces) -> None:
        for item, place in zip(self.items, open_guests(self.items, namespaces)):
            self.targets.append(Target(
                item, place.label, place.runtime, place.name, place.ident, place.user, holder=place.holder
            ))
            if place.label is not None:
                self.known.setdefault(place.label, set()).add((place.runtime, place.ident))
            if item.dhcp not in (None, BUILTIN):
                from . import _dhcp_docker, _dhcp_program  # which few runs need

                _dhcp_program.check(item)
                _dhcp_docker.check(item, place.runtime, place.user)
        for number, near in enumerate(self.targets):
            if near.item.peer is not None:
                far = self.targets[number + 1]
                self.targets[number] = dataclasses.replace(near, other=(str(far.label), far.item.interface))
                self.targets[number + 1] = dataclasses.replace(far, other=(str(near.label), near.item.interface))
        if self.purge:
            self._open_others(namespaces)

    def _open_others(self, namespaces: Namespaces) -> None:
        """All running containers, since a macvlan shows only in the container."""
        wanted: list[Request] = []
        for user in dict.fromkeys((None, *(item.runtime_user for item in self.items))):
            for runtime in _runtimes.AUTO if user is None else _runtimes.OF_USERS:
                asked = _runtimes.runtime_of(runtime)
                if asked.installed(user):
                    wanted += [(runtime, name, user) for name in _runtimes.running(asked, user)]
                    self.asked.update(() if user else (runtime,))
        for (runtime, _name, _user), answer in zip(wanted, _runtimes.find_all(wanted)):
            if isinstance(answer, _runtimes.Found):
                label = namespaces.add(answer.label, answer.fd)
                self.others[label] = (answer.runtime, answer.holder)
                self.known.setdefault(label, set()).add((answer.runtime, answer.ident))
            else:
                self.asked.discard(runtime)

    def picture(self, namespaces: Namespaces) -> Picture:
        lending = any((item.kind == "phys" or item.vf is not None) and item.state == "present" for item in self.items)
        on_host = any(item.runtime == "host" for item in self.items)
        vlans = any(item.vlans is not None for item in self.items if item.state == "present")
        look = functools.partial(
            observe, namespaces, routes_of_host=lending or on_host, lending=lending, vlans=vlans,
            rules=self._ruled(namespaces),
        )
        facts = look()
        concerned = None if self.purge else {(str(each.label), each.item.interface) for each in self.targets}
        if _uppers.open_other_ends(facts.halves(concerned), namespaces):
            facts = look()
        if lending:
            from . import _wireless  # which few runs need

            facts.wireless = _wireless.observe(namespaces)
        observe_cards(namespaces, facts, self._cards(facts))
        self._observe_sysctls(facts, namespaces)
        self._observe_queues(facts, namespaces)
        for target in self.targets:
            if target.label is not None:
                asked = target.item.dhcp is not None and target.item.state == "present"
                observe_leases(namespaces, facts, target.label, target.item.interface, target.owner, asked)
                self._observe_keep(namespaces, facts, target)
        if self.purge:
            listed = {(str(target.label), target.item.interface) for target in self.targets}
            _lease_folders.observe_purged(namespaces, facts, self.known, listed)
        if self.purge and files.is_kept():
            from . import _keeping

            _keeping.observe_all(namespaces, facts)
        observe_autoconf(namespaces, facts, [
            (target.label, target.item, target.owner) for target in self.targets if target.label is not None
        ])
        places = _resolver_files.observe(self.targets, self.others, facts)
        checking = any((_spoof_checks.OPTION, True) in (item.port or ()) for item in self.items)
        facts.spoof_checks, facts.no_spoof_checks = _spoofing.observe(checking)
        self._observe_switch(facts, namespaces)
        self.facts = facts
        scope = None if self.scope is None else {named(name, facts) for name in self.scope}
        in_scope = (lambda name: scope is None or name in scope) if self.purge else None
        wish, state = compile_wish(self.targets, facts, in_scope)
        for gone in _spoof_checks.surplus(facts, state, wish.desired):
            wish.want(gone, own=False)
        wish_routing(self.targets, facts, state, wish)
        self._forward(wish, facts, state)
        for left in _lease_folders.left(self.targets, facts, self.known, self.asked, in_scope):
            state[left.key] = left
            wish.want(Absent(left.key), own=False)
        told = list(_resolver.wish_resolvers(self.targets, places, state, wish))
        spare, self.warnings = _uppers.unused(_nic_vlan.vacant(wish, facts, state), namespaces)
        for device in spare:
            wish.want(Absent(link_key(HOST, device.name)), own=False)
        self.warnings += [*wish.told, *told, *_defaults.unused(_defaults.listed(self.targets), state)]
        _claims.claim(self.targets, facts, state, wish.desired)
        return Picture(state, wish.desired, wish.own)

    def _observe_keep(self, namespaces: Namespaces, facts: Facts, target: Target) -> None:
        if target.item.dhcp_keep or target.item.link_local or files.is_kept(target.owner):
            from . import _keeping  # which few runs need

            facts.keeper = _keeping.program()
            _keeping.observe(namespaces, facts, str(target.label), target.item.interface, target.owner, target.holder)

    def _ruled(self, namespaces: Namespaces) -> set[str]:
        """Where rules of policy routing may have to be made or to go."""
        if self.purge:
            return set(namespaces)
        return {
            target.label for target in self.targets if target.label is not None
            and (target.item.state == "absent" or target.item.table is not None or target.item.rules is not None)
        }

    def _cards(self, facts: Facts) -> set[str]:
        """The host interfaces whose virtual functions a run has to do with."""
        wanted = {str(item.host_interface) for item in self.items if item.vf is not None and item.state == "present"}
        found = {named(name, facts) for name in wanted}
        nics = [Nic.unpack(device.alias or "") for each in facts.devices.values() for device in each.values()]
        return found | {nic.vf.pf for _owner, nic in filter(None, nics) if nic.vf is not None}

    def _observe_switch(self, facts: Facts, namespaces: Namespaces) -> None:
        wanted = [target for target in self.targets if wants_switch(target.item, facts)]
        facts.switch, facts.no_switch = _ovs.look(needed=bool(wanted))
        if facts.switch is not None:
            facts.pids = _ovs.pids(namespaces, (target.label for target in wanted if target.label is not None))

    def _observe_sysctls(self, facts: Facts, namespaces: Namespaces) -> None:
        for target in self.targets:
            item = target.item
            if target.label is not None and item.state == "present" and _autoconf.sysctls_of(item):
                names = [name for name, _value in _autoconf.sysctls_of(item)]
                try:
                    observe_sysctls(namespaces, facts, target.label, item.interface, names)
                except PipeworkError as error:
                    raise item.refuse(str(error)) from None

    def _observe_queues(self, facts: Facts, namespaces: Namespaces) -> None:
        """Those that a bandwidth may stand in the way of, and those that come back when a deletion is undone."""
        concerned = [
            (target.label, target.item.interface) for target in self.targets
            if target.label is not None and (target.item.bandwidth is not None or target.item.state == "absent")
        ]
        if concerned:
            from ._tc_observe import observe_interfaces  # which few runs need

            facts.queues = observe_interfaces(namespaces, facts, concerned)

    def _forward(self, wish: Wish, facts: Facts, state: State) -> None:
        """Frames pass inside the bridges that are used; our rules go with the last attachment of a bridge not ours."""
        policies = self._policies(wish)
        if not (policies or wish.left):
            return
        filters = _filter.observe()
        state.update(_forwarding.state_of(filters))
        for bridge, policy in policies.items():
            for rule in _forwarding.rules_for(bridge, policy, filters):
                wish.want(rule, own=False)
        for bridge in wish.left - wish.bridges:
            lasting = bridge in facts.host and facts.host[bridge].owner == OWNER_BRIDGE
            if not lasting and not any(port.owner for port in staying_ports(bridge, facts, state, wish)):
                for rule_gone in _forwarding.no_rules_for(bridge, filters):
                    wish.want(rule_gone, own=False)

    def _policies(self, wish: Wish) -> dict[str, str]:
        policies: dict[str, str] = {}
        for target in self.targets:
            port = wish.desired.get(port_key(str(target.label), target.item.interface))
            if isinstance(port, Port) and port.bridge and target.item.forwarding != "unmanaged":
                both = policies.get(str(port.bridge), "unmanaged"), target.item.forwarding
                policies[str(port.bridge)] = max(both, key=_forwarding.STRENGTH.__getitem__)
        return policies

    def results(self, state: State) -> dict[str, t.Any]:
        facts = t.cast(Facts, self.facts)
        present = [target for target in self.targets if target.item.state == "present"]
        results = [_result(target, state, facts) for target in present]
        for number, target in enumerate(present):
            if target.item.peer is not None:
                results[number]["peer"] = {name: results[number + 1][name] for name in OF_A_PEER}
        listed = [result for target, result in zip(present, results) if not target.item.far]
        return {"attachments": listed, **({"warnings": self.warnings} if self.warnings else {})}

    def finish(self, plan: Plan, namespaces: Namespaces, state: State) -> None:
        self.warnings += arrive(self.targets, t.cast(Facts, self.facts), plan, namespaces, state)


def _result(target: Target, state: State, facts: Facts) -> dict[str, t.Any]:
    """One item of the returned ``attachments``; None for what only a real run can tell."""
    item, label = target.item, str(target.label)
    link = t.cast(t.Optional[Link], state.get(link_key(label, item.interface)))
    port = t.cast("Port | None", state.get(port_key(label, item.interface)))
    vf = link.nic.vf if link and link.nic else None
    through = t.cast("Vf | None", state.get(Vf(HOST, vf.pf, vf.number).key)) if vf else None
    row = on_switch(port, state)
    bridge, vlans = (row.bridge, row.vlans) if row else (port.bridge, port.vlans) if port else (None, None)
    kinds = {**KINDS_SHOWN, "veth": "openvswitch"} if row else KINDS_SHOWN
    carried = [o for o in (state.get(a) for a in addresses_of(item, label, state)) if o is not None]
    table = item.table or TABLE_MAIN
    gateways = [state.get(Route(label, v, "default", table, default_metric(v)).key) for v in (4, 6)]
    return {
        "container": target.name, "container_id": target.ident, "runtime": target.runtime,
        "kind": "sriov" if vf else kinds.get(str(link.type), link.type) if link else None, "peer": None,
        "host_interface": vf.pf if vf else bridge or (
            _nic_of(item, link.parent, facts) if link and link.parent and item.kind != "veth" else item.host_interface),
        "local_interface": port.local_interface if port else None, "interface": item.interface,
        "mac_address": link.mac if link else None, "mtu": link.mtu if link else None,
        "addresses": sorted(t.cast(Address, o).address for o in carried),
        "gateway": [g.gateway for g in gateways if isinstance(g, Route) and g.device == item.interface and g.gateway],
        "vlan": _vlans.native(vlans) if port else through.vlan or None if through else item.vlan,
        "vlan_trunks": _vlans.tagged(vlans), "lease": _lease(label, item, state, target.owner),
        **_unlisted(label, target, state, facts),
    }


def _unlisted(label: str, target: Target, state: State, facts: Facts) -> dict[str, t.Any]:
    """Addresses from routers' advertisements and the link-local one, where they were asked for."""
    item = target.item
    local = state.get(_autoconf.link_local_key(label, item.interface))
    routers = _autoconf.from_routers(item, facts.addresses.get(label, ()))
    return {
        "link_local": local.address if isinstance(local, _autoconf.LinkLocal) and item.link_local else None,
        "lease6": _lease6(label, item, state, target.owner),
        "slaac": sorted({address.address for address in routers}) if item.accept_ra else [],
    }


def _nic_of(item: Attachment, stands_on: str, facts: Facts) -> str:
    """What ``host_interface`` names."""
    return named(str(item.host_interface), facts) if item.vlan is not None else stands_on


def _lease6(label: str, item: Attachment, state: State, owner: str) -> dict[str, t.Any] | None:
    """The same for IPv6."""
    have, grant = _dhcp6_lease.held(label, item.interface, state), _dhcp6_lease.grant_of(item, label, state)
    if have is None or grant is None:
        return None
    return {
        "address": f"{grant.address}/128", "server": grant.server, "duid": have.duid, "dns": list(grant.dns),
        "domain": grant.domain, "preferred": _moment(grant.preferred), "expires": _moment(grant.expires),
        "keep": files.kept(owner, Lease6.KIND) if item.dhcp_keep else None,
    }


def _moment(when: float | None) -> str | None:
    """A time of the clock that leases expire by, as one of the day."""
    if when is None:
        return None
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + when - files.clock()))


def _lease(label: str, item: Attachment, state: State, owner: str) -> dict[str, t.Any] | None:
    """What a DHCP server has granted; None in check mode where only the server can tell."""
    grant = grant_of(item, label, state)
    if grant is None:
        return None
    return {
        "client": item.dhcp, "address": grant.address, "server": grant.server, "router": grant.gateway,
        "routes": [{"destination": to, "gateway": via} for to, via in grant.routes], "mtu": grant.mtu,
        "dns": list(grant.dns), "domain": grant.domain,
        "expires": _moment(grant.expires), "keep": files.kept(owner, Lease.KIND) if item.dhcp_keep else None,
    }
