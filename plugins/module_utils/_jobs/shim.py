# Copyright: pipework.containers contributors
# GNU General Public License v3.0+ (see LICENSE)
"""The job behind pipework_shim: the host's own macvlans, and what moves to them."""
from __future__ import annotations

import dataclasses
import os
import typing as t

from .._core.normalize import family
from .._core.plan import Absent, Desired, Plan, State, reconcile, simulate
from .._delayed import records as delayed_records
from .._delayed.confirm import Watchdog
from .._engine import marks
from .._engine.executors import Executors, Journal, Passes
from .._engine.ipv6 import Ipv6
from .._engine.observe import observe, observe_sysctls
from .._engine.run import Picture
from .._model.keys import link_key
from .._model.moved_address import MovedAddress
from .._model.objects import HOST, OWNER_SHIM, Address, Link, Route
from .._model.observed import Facts
from .._model.route import ExactRoute
from .._neighbour.announce import News, announce, frames_of
from .._netlink.namespaces import Namespaces
from .._netlink.neighbour import lent_addresses
from .._netlink.route import routes_of
from .._netlink.rule import rules_of
from .._routing.moved_rules import overtaken, ranked
from .._routing.routes_desired import Ground
from .._shim import host_files
from .._shim import watchdog as shim_watchdog
from .._shim.desired import ARP_IGNORE, Scene, check_doubles, wanted
from .._shim.options import Site, shims_from_params, site_of
from .._shim.persistence import HostFile, brought_back, paths_of, routes_of_profile, wanted_files

KEPT = f"{OWNER_SHIM}:kept"


class ShimJob:
    """Wanted shims and what came of them."""

    journal: Journal = marks.LinkJournal()
    passes: t.Callable[[], Passes] = Ipv6

    def __init__(self, params: t.Mapping[str, t.Any]) -> None:
        self.confirm = bool(params.get("confirm"))
        self.shims = shims_from_params(params)
        self.sites: list[Site] = []
        self.warnings: list[str] = []
        self._there: dict[str, list[HostFile]] = {}
        self._desired: Desired | None = None  # of the first picture: what has moved is not there to be moved any more

    def open(self, namespaces: Namespaces) -> None:
        """Shims are on the host, whose namespace is open."""

    def picture(self, namespaces: Namespaces) -> Picture:
        facts = observe(namespaces)
        _claim_kept(facts)
        self.sites = [site_of(item, facts) for item in self.shims]
        check_doubles(self.sites)
        self._there = {site.name: host_files.observe(paths_of(site.name)) for site in self.sites}
        ways = {site.name: brought_back(site.item, site.name, self._there[site.name]) for site in self.sites}
        kept = {name: file for name, file in ways.items() if file is not None}
        for name in kept:
            if name in facts.host and facts.host[name].alias == KEPT:  # it needs none as long as they bring it back
                facts.host[name] = dataclasses.replace(facts.host[name], alias=OWNER_SHIM)
        scene = _scene(namespaces, facts, self.sites)
        scene.by_networkmanager = {name: routes_of_profile(file) for name, file in kept.items()}
        scene.state.update((file.key, file) for files in self._there.values() for file in files if file.ours)
        waiting = [shim_watchdog.observe(namespaces, site.name) for site in self.sites]
        scene.state.update((each.key, each) for each in waiting if each is not None)
        if self._desired is None and self.confirm:
            self._desired = {each.key: Absent(each.key) for each in self._to_confirm(waiting)}
        elif self._desired is None:
            self._desired = wanted(self.sites, scene)
            self._desired.update(self._files(self._desired, scene))
            self._desired.update(self._guarded(self._desired, scene))
            self.warnings = [
                f"The address {each.address} of {source} is lent: tell the DHCP client to use {target}, or it gives "
                f"the address to {source} again when it renews."
                for source, target in scene.moves.items() for each in scene.addresses(source) if each.valid is not None
            ] + overtaken(scene.rules, scene.moves)
        for route in scene.ground.kernels:
            if route.key in self._desired:
                scene.state.setdefault(route.key, route)
        names = {site.name for site in self.sites}
        carried = {
            key for key, each in scene.state.items() if isinstance(each, (Address, Route)) and each.device in names
        }
        return Picture(scene.state, self._desired, {*self._desired, *carried})

    def _to_confirm(self, waiting: t.Sequence[Watchdog | None]) -> t.Iterator[Watchdog]:
        for site, watchdog in zip(self.sites, waiting):
            if watchdog is None:
                raise site.item.refuse(
                    f"confirm: nothing of {site.name} waits to be confirmed. If something did, the time is over and "
                    "everything was taken back."
                )
            yield watchdog

    def _files(self, desired: Desired, scene: Scene) -> Desired:
        """What is to bring the shims back when the host starts."""
        after = simulate(scene.state, reconcile(desired, scene.state))
        found: Desired = {}
        for site in self.sites:
            network = host_files.network_file(site.parent.index) if site.parent is not None else None
            found.update((each.key, each) for each in wanted_files(site, self._there[site.name], after, network))
        return found

    def _guarded(self, desired: Desired, scene: Scene) -> Desired:
        """A run that comes again to what waits confirms it; one that changes something more starts a new time."""
        plan = reconcile(desired, scene.state)
        found: Desired = {}
        for site in self.sites:
            mine = Watchdog(HOST, site.name)
            if plan and site.item.confirm_timeout:
                found[mine.key] = dataclasses.replace(
                    mine, seconds=site.item.confirm_timeout, nonce=os.urandom(8).hex(), plan=tuple(plan),
                    frames=tuple(_frames(plan, scene.state)),
                )
            elif mine.key in scene.state:
                found[mine.key] = Absent(mine.key)
        return found

    def executors(self) -> Executors:
        from .._engine import links  # which a run that changes nothing does not need
        from .._shim import apply as shim_apply

        return {**links.EXECUTORS, **shim_apply.EXECUTORS}

    def results(self, state: State) -> dict[str, t.Any]:
        present = [site for site in self.sites if site.item.state == "present"]
        found = {"shims": [_result(site, state) for site in present], "pending": self._pending(state)}
        return {**found, "warnings": self.warnings} if self.warnings else found

    def _pending(self, state: State) -> bool:
        return any(Watchdog(HOST, site.name).key in state for site in self.sites)

    def finish(self, plan: Plan, namespaces: Namespaces, state: State) -> None:
        came: dict[str, list[str]] = {}
        for operation in plan:
            new = operation.subject
            if operation.action != "create" or not isinstance(new, Address):
                continue
            if isinstance(new, MovedAddress) or ":" not in new.address:  # of others the kernel may look for duplicates
                came.setdefault(new.device, []).append(new.address)
        for name, addresses in came.items():
            link = state.get(link_key(HOST, name))
            if isinstance(link, Link) and link.mac:
                announce([News(HOST, name, link.mac, tuple(addresses))], namespaces)


def _claim_kept(facts: Facts) -> None:
    """Those that files of ours brought back have no mark yet."""
    for name, device in facts.host.items():
        unmarked = device.type == "macvlan" and not device.alias and not device.owner
        if unmarked and any(file.ours for file in host_files.observe(paths_of(name))):
            facts.host[name] = dataclasses.replace(device, alias=KEPT)


def _scene(namespaces: Namespaces, facts: Facts, sites: t.Sequence[Site]) -> Scene:
    host = namespaces[HOST]
    devices = {site.parent.name: site.parent for site in sites if site.parent is not None}
    for name in devices:
        observe_sysctls(namespaces, facts, HOST, name, [ARP_IGNORE])
    devices.update({site.name: site.device for site in sites if site.device is not None})
    for device in devices.values():
        facts.addresses[HOST] += lent_addresses(host, device)
    state = facts.state()
    for name in devices:
        for version in (4, 6):
            there = [each for each in facts.addresses[HOST] if each.device == name and family(each.address) == version]
            for rank, each in enumerate(there if version == 4 else reversed(there)):  # as they came
                state[each.key] = MovedAddress.of(each, rank)
    names = {device.index: device.name for device in facts.host.values()}
    ground = Ground.of(HOST, set(names.values()), routes_of(host, names, every=True))
    rules = ranked(rules_of(host))
    state.update((item.key, item) for item in (*ground.routes, *rules))
    return Scene(facts, ground, rules, state)


def _frames(plan: Plan, state: State) -> t.Iterator[tuple[str, str]]:
    """What the neighbours are told when all is taken back."""
    for operation in plan:
        address = operation.subject
        if operation.action == "delete" and isinstance(address, Address):
            link = state.get(link_key(HOST, address.device))
            if isinstance(link, Link) and link.mac:
                yield from ((address.device, frame.hex()) for frame in frames_of(link.mac, [address.address]))


def _result(site: Site, state: State) -> dict[str, t.Any]:
    """One item of the returned ``shims``."""
    key = link_key(HOST, site.name)
    link = t.cast(Link, state[key])
    watchdog = state.get(Watchdog(HOST, site.name).key)
    record = watchdog.record if isinstance(watchdog, Watchdog) else None
    return {
        "name": site.name, "parent": link.parent, "mode": (link.settings or {}).get("mode"), "mac_address": link.mac,
        "mtu": link.mtu, "moved": site.moves,
        "addresses": sorted(
            each.address for each in state.values() if isinstance(each, Address) and each.carrier == key
        ),
        "routes": sorted(
            each.name for each in state.values() if isinstance(each, ExactRoute) and each.device == site.name
        ),
        "ends_in": delayed_records.left(record) if record else None,
    }
