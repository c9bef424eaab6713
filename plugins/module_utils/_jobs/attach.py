# Copyright: pipework.containers contributors
# GNU General Public License v3.0+ (see LICENSE)
"""The job behind pipework_attach: a whole list of attachments in one run."""
from __future__ import annotations

import dataclasses
import functools
import json
import sys
import typing as t

from .. import _runtimes
from .._attach import (
    cautions,
    conflicts,
    observe_beside,
    observe_resolv_conf,
    published,
    resolv_conf,
    slaac,
    spoof_checks,
    vlan_links,
)
from .._attach.announce_new import arrive, await_routers
from .._attach.bridge_use import staying_ports
from .._attach.context import Target, Wish
from .._attach.desired import compile_wish
from .._attach.host_interface import purge_scope
from .._attach.kinds import wants_switch
from .._attach.options import Attachment, Params, attachments_from_params
from .._attach.results import OF_A_PEER, result_of
from .._attach.source_routing import wish_routing
from .._core.errors import PipeworkError
from .._core.items import purges
from .._core.plan import Absent, Desired, Plan, State
from .._delayed.confirm import Watchdog
from .._engine import marks
from .._engine.executors import Executors, Journal, Passes
from .._engine.ipv6 import Ipv6
from .._engine.observe import observe, observe_own_sysctls, observe_sysctls
from .._engine.observe_sriov import observe_cards
from .._engine.run import Picture, run
from .._filter import firewall, forwarding, mac_spoof
from .._host import other_netns
from .._ipam import stale as ipam_stale
from .._ipam import store as files
from .._ipam.external import BUILTIN
from .._ipam.observe import observe_autoconf, observe_leases
from .._lookup import shared_netns
from .._lookup.containers import Place, Request, in_reach, open_guests
from .._model.container import Found
from .._model.keys import link_key, port_key
from .._model.objects import HOST, OWNER_BRIDGE, Nic, Port
from .._model.observed import Facts, named
from .._model.runtime_names import AUTO, OF_USERS
from .._netlink.namespaces import Namespaces
from .._ovs import client as ovs_client
from .._routing.rt_names import read_names


def _with_both_ends(items: list[Attachment], places: list[Place]) -> tuple[list[Attachment], list[Place]]:
    """What is in reach. The two ends of a pair, which follow each other, are left out together."""
    out = {number for number, place in enumerate(places) if place.left_out}
    out |= {number + (1 if items[number].peer is not None else -1 if items[number].far else 0) for number in out}
    return in_reach(items, [
        dataclasses.replace(place, left_out=number in out) for number, place in enumerate(places)
    ] if out else places)


class AttachJob:
    """Desired attachments, the containers found for them, and what came of it."""

    journal: Journal = marks.LinkJournal()
    passes: t.Callable[[], Passes] = Ipv6

    def __init__(self, params: Params) -> None:
        self.purge = purges(params, "attachments")
        self.items = self.listed = attachments_from_params(params, read_names())
        self.scope = purge_scope(params) if self.purge else None
        self.targets: list[Target] = []
        self.facts: Facts | None = None  # of the last picture
        self.warnings: list[str] = []
        self.arrived: list[str] = []  # of what came when all stood
        self.renamed: list[str] = []  # of the first picture
        self.confirm = bool(params.get("confirm"))
        self.guards: Desired | None = None  # of the first picture: moves that wait for a confirmation
        self.known: ipam_stale.Known = {}
        self.asked: set[str] = set()  # runtimes of which all running containers are known
        self.others: dict[str, tuple[str, t.Any]] = {}  # runtimes and holders of containers that no item is about

    def open(self, namespaces: Namespaces) -> None:
        self.targets, self.known, self.asked, self.others = [], {}, set(), {}
        self.items, places = _with_both_ends(self.listed, open_guests(self.listed, namespaces))
        for item, place in zip(self.items, places):
            self.targets.append(Target(
                item, place.label, place.runtime, place.name, place.ident, place.user, holder=place.holder,
                published=place.published,
            ))
            if place.label is not None:
                self.known.setdefault(place.label, set()).add((place.runtime, place.ident))
            if item.dhcp not in (None, BUILTIN):
                from .._ipam import external_client, helper_container  # which few runs need

                external_client.check(item)
                helper_container.check(item, place.runtime, place.user)
        for number, near in enumerate(self.targets):
            if near.item.peer is not None:
                far = self.targets[number + 1]
                self.targets[number] = dataclasses.replace(near, other=(str(far.label), far.item.interface))
                self.targets[number + 1] = dataclasses.replace(far, other=(str(near.label), near.item.interface))
        if self.purge:
            self._open_others(namespaces)
        observe_resolv_conf.probe(self.targets, self.others.values())

    def _open_others(self, namespaces: Namespaces) -> None:
        """All running containers, since a macvlan shows only in the container."""
        wanted: list[Request] = []
        for user in dict.fromkeys((None, *(item.runtime_user for item in self.items))):
            for runtime in AUTO if user is None else OF_USERS:
                asked = _runtimes.runtime_of(runtime)
                if asked.installed(user):
                    wanted += [(runtime, name, user) for name in _runtimes.running(runtime, user)]
                    self.asked.update(() if user else (runtime,))
        for (runtime, _name, _user), answer in zip(wanted, _runtimes.find_all(wanted)):
            if isinstance(answer, Found):
                label = namespaces.add(answer.label, answer.fd)
                namespaces.holders.append(functools.partial(getattr, answer, "lives"))
                self.others[label] = (answer.runtime, answer.holder)
                self.known.setdefault(label, set()).add((answer.runtime, answer.ident))
            else:
                self.asked.discard(runtime)

    def picture(self, namespaces: Namespaces) -> Picture:
        lending = any(item.moves and item.state == "present" for item in self.items)
        on_host = any(item.runtime == "host" for item in self.items)
        vlans = any(item.vlans is not None for item in self.items if item.state == "present")
        look = functools.partial(
            observe, namespaces, routes_of_host=lending or on_host, vlans=vlans, rules=self._ruled(namespaces),
            by_right=True,
        )
        facts = look()
        concerned = None if self.purge else {(str(each.label), each.item.interface) for each in self.targets}
        if other_netns.open_other_ends(facts.halves(concerned), namespaces):
            facts = look()
        if lending:
            from .._engine import wireless  # which few runs need

            facts.wireless = wireless.observe(namespaces)
        if lending or facts.luggage:
            from .._attach import observe_moved_nics  # which few runs need

            moving = [item for item in self.items if item.state == "present" and item.moves]
            observe_moved_nics.observe_lending(namespaces, facts, moving)
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
            ipam_stale.observe_purged(namespaces, facts, self.known, listed)
        if self.purge and files.is_kept():
            from .._agent import install as agent_install

            agent_install.observe_all(namespaces, facts)
        observe_autoconf(namespaces, facts, [
            (target.label, target.item, target.owner) for target in self.targets if target.label is not None
        ])
        places = observe_resolv_conf.observe(self.targets, self.others, facts)
        checking = any((spoof_checks.OPTION, True) in (item.port or ()) for item in self.items)
        facts.spoof_checks, facts.no_spoof_checks = mac_spoof.observe(checking)
        self._observe_switch(facts, namespaces)
        self.facts = facts
        if self.confirm:
            state, wanted = facts.state(), t.cast(Desired, {})
            self._guard(namespaces, state, wanted)
            return Picture(state, wanted, set(wanted))
        scope = None if self.scope is None else {named(name, facts) for name in self.scope}
        in_scope = (lambda name: scope is None or name in scope) if self.purge else None
        wish, state = compile_wish(self.targets, facts, in_scope)
        shared_netns.refuse_others(self.targets, state, namespaces)
        observe_beside.check(self.targets, facts, state, wish.desired, namespaces)
        conflicts.refuse_the_hosts(self.targets, facts, state, wish.desired)
        conflicts.refuse_names_twice(self.targets, wish.desired)
        for gone in spoof_checks.surplus(facts, state, wish.desired):
            wish.want(gone, own=False)
        wish_routing(self.targets, facts, state, wish)
        published.wish_published(self.targets, facts, state, wish)
        self._forward(wish, facts, state)
        for left in ipam_stale.left(self.targets, facts, self.known, self.asked, in_scope, state, wish.desired):
            state[left.key] = left
            wish.want(Absent(left.key), own=False)
        told = list(resolv_conf.wish_resolvers(self.targets, places, state, wish))
        spare, self.warnings = other_netns.unused(vlan_links.vacant(wish, facts, state), namespaces)
        for device in spare:
            wish.want(Absent(link_key(HOST, device.name)), own=False)
        self.renamed += facts.renamed if not self.renamed else []
        warned = cautions.of_attachments(self.targets, facts, state, wish.desired)
        told_once = (*wish.news, *facts.left_behind, *warned)
        self.renamed += [each for each in told_once if each not in self.renamed]
        self.warnings += [*self.renamed, *facts.refused.values(), *wish.told, *told]
        conflicts.claim(self.targets, facts, state, wish.desired)
        self._guard(namespaces, state, wish.desired)
        return Picture(state, wish.desired, wish.own)

    def _guard(self, namespaces: Namespaces, state: State, desired: Desired) -> None:
        from .._attach import guard as _guard

        self.guards = _guard.wish_guards(self.targets, namespaces, state, desired, self.guards, self.confirm)

    def _observe_keep(self, namespaces: Namespaces, facts: Facts, target: Target) -> None:
        if target.item.dhcp_keep or target.item.link_local or files.is_kept(target.owner):
            from .._agent import install as agent_install  # which few runs need
            from . import agent  # noqa: F401  # pylint: disable=unused-import  # the run that the lease agent begins

            facts.keeper = agent_install.program()
            agent_install.observe(
                namespaces, facts, str(target.label), target.item.interface, target.owner, target.holder,
            )

    def _ruled(self, namespaces: Namespaces) -> set[str]:
        """Where rules of policy routing may have to be made or to go."""
        if self.purge:
            return set(namespaces)
        return {
            target.label for target in self.targets if target.label is not None
            and (target.item.state == "absent" or target.item.table is not None or target.item.rules is not None
                 or published.concerned(target))
        }

    def _cards(self, facts: Facts) -> set[str]:
        """The host interfaces whose virtual functions a run has to do with."""
        wanted = {str(item.host_interface) for item in self.items if item.vf is not None and item.state == "present"}
        found = {named(name, facts) for name in wanted}
        nics = [Nic.unpack(device.alias or "") for each in facts.devices.values() for device in each.values()]
        return found | {nic.vf.pf for _owner, nic in filter(None, nics) if nic.vf is not None}

    def _observe_switch(self, facts: Facts, namespaces: Namespaces) -> None:
        wanted = [target for target in self.targets if wants_switch(target.item, facts)]
        facts.switch, facts.no_switch = ovs_client.look(needed=bool(wanted))
        if facts.switch is not None:
            facts.pids = ovs_client.pids(namespaces, (target.label for target in wanted if target.label is not None))

    def _observe_sysctls(self, facts: Facts, namespaces: Namespaces) -> None:
        for target in self.targets:
            item = target.item
            if target.label is not None and item.state == "present" and slaac.sysctls_of(item):
                names = [name for name, _value in slaac.sysctls_of(item)]
                try:
                    observe_sysctls(namespaces, facts, target.label, item.interface, names)
                except PipeworkError as error:
                    raise item.refuse(str(error)) from None
        observe_own_sysctls(namespaces, facts, [
            (target.label, target.item.interface) for target in self.targets
            if target.label is not None and target.item.state == "absent"
        ])
        if self.purge:
            listed = {(target.label, target.item.interface) for target in self.targets}
            observe_own_sysctls(namespaces, facts, [
                (label, name) for label, devices in facts.devices.items() for name, device in devices.items()
                if device.owner and label != HOST and (label, name) not in listed
            ])

    def _observe_queues(self, facts: Facts, namespaces: Namespaces) -> None:
        """Those that a bandwidth may stand in the way of, and those that come back when a deletion is undone."""
        concerned = [
            (target.label, target.item.interface) for target in self.targets
            if target.label is not None and (target.item.bandwidth is not None or target.item.state == "absent")
        ]
        if concerned:
            from .._tc.observe import observe_interfaces  # which few runs need

            facts.queues = observe_interfaces(namespaces, facts, concerned)

    def _forward(self, wish: Wish, facts: Facts, state: State) -> None:
        """Frames pass inside the bridges that are used; our rules go with the last attachment of a bridge not ours."""
        policies = self._policies(wish)
        if not (policies or wish.left):
            return
        filters = firewall.observe()
        state.update(forwarding.state_of(filters))
        for bridge, policy in policies.items():
            for rule in forwarding.rules_for(bridge, policy, filters):
                wish.want(rule, own=False)
        for bridge in wish.left - wish.bridges:
            lasting = bridge in facts.host and facts.host[bridge].owner == OWNER_BRIDGE
            if not lasting and not any(port.owner for port in staying_ports(bridge, facts, state, wish)):
                for rule_gone in forwarding.no_rules_for(bridge, filters):
                    wish.want(rule_gone, own=False)

    def _policies(self, wish: Wish) -> dict[str, str]:
        policies: dict[str, str] = {}
        for target in self.targets:
            port = wish.desired.get(port_key(str(target.label), target.item.interface))
            if isinstance(port, Port) and port.bridge and target.item.forwarding != "unmanaged":
                both = policies.get(str(port.bridge), "unmanaged"), target.item.forwarding
                policies[str(port.bridge)] = max(both, key=forwarding.STRENGTH.__getitem__)
        return policies

    def executors(self) -> Executors:
        from . import attach_executors  # which a run that changes nothing does not need

        return attach_executors.EXECUTORS

    def results(self, state: State) -> dict[str, t.Any]:
        facts = t.cast(Facts, self.facts)
        present = [target for target in self.targets if target.item.state == "present"]
        results = [result_of(target, state, facts) for target in present]
        for number, target in enumerate(present):
            if target.item.peer is not None:
                results[number]["peer"] = {name: results[number + 1][name] for name in OF_A_PEER}
        listed = [result for target, result in zip(present, results) if not target.item.far]
        told = [*self.warnings, *self.arrived]
        pending = {"pending": True} if any(key[0] == Watchdog.KIND for key in state) else {}
        return {"attachments": listed, **pending, **({"warnings": told} if told else {})}

    def finish(self, plan: Plan, namespaces: Namespaces, state: State) -> bool:
        facts = t.cast(Facts, self.facts)
        self.arrived = arrive(self.targets, facts, plan, namespaces, state)
        led, told = await_routers(self.targets, facts, namespaces)
        self.arrived += told
        return led


def main() -> None:
    """The run of the process that brings a NIC home, which _attach/guard starts."""
    run(AttachJob(json.loads(sys.argv[1])))
