# Copyright: pipework.containers contributors
# GNU General Public License v3.0+ (see LICENSE)
"""The run that the process which stays begins when a server has said something new, or a lease or address is lost."""
from __future__ import annotations

import contextlib
import os
import sys
import typing as t

from .._agent import host as io
from .._agent.record import DUTIES, FROM_SERVER, LEASE, LEASE6, LINK_LOCAL, Record
from .._attach import default_route, observe_resolv_conf, resolv_conf
from .._attach.context import Scene, Target, Wish
from .._attach.dhcp4 import grant_of
from .._attach.dhcp6 import Lease6, leased
from .._attach.ip_config import layer3, without_lease
from .._attach.options import Attachment
from .._attach.slaac import LinkLocal
from .._attach.source_routing import wish_routing
from .._core.errors import PipeworkError
from .._core.normalize import family
from .._core.plan import Absent, KernelObject, Operation, Plan, State
from .._engine import marks
from .._engine.executors import Executors, Journal, Passes
from .._engine.ipv6 import Ipv6
from .._engine.observe import observe
from .._engine.run import Picture, run
from .._ipam import dhcp6_client
from .._ipam import store as files
from .._ipam.observe import observe_autoconf, observe_leases
from .._model.keys import link_key
from .._model.objects import Address, Link
from .._neighbour import dad
from .._neighbour.announce import News, announce
from .._netlink.namespaces import Namespaces


class KeepJob:
    """Addresses and routes as the leases in these folders say, or without any."""

    journal: Journal = marks.LinkJournal()
    passes: t.Callable[[], Passes] = Ipv6

    def __init__(self, names: t.Iterable[str]) -> None:
        texts = [files.read(os.path.join(files.FOLDER, name, files.KEEP)) for name in names]
        self.records = []
        for text in texts:
            with contextlib.suppress(ValueError):  # one that is not understood is left alone
                self.records += [Record.unpack(text)] if text is not None else []
        self.places: list[tuple[Record, str]] = []  # and the labels of their open namespaces

    def open(self, namespaces: Namespaces) -> None:
        self.places = []
        for record in self.records:
            try:
                fd = io.open_namespace(record)
            except io.Gone:
                continue
            self.places.append((record, namespaces.add(record.label, fd)))
        observe_resolv_conf.probe((), [
            (label.partition(":")[0], record.holder) for record, label in self.places if record.dns
        ])

    def picture(self, namespaces: Namespaces) -> Picture:
        facts = observe(namespaces, rules={label for record, label in self.places if record.table})
        places = [(r, label) for r, label in self.places if r.device in facts.devices[label]]
        for record, label in places:
            if LEASE in record.duties:
                observe_leases(namespaces, facts, label, record.device, record.owner, asked=True)
        observe_autoconf(namespaces, facts, [(label, _item(record), record.owner) for record, label in places])
        scene, wish = Scene(facts, facts.state()), Wish()
        for record, label in places:
            for wanted in _wanted(record, label, scene):
                wish.want(wanted)
            if record.dns:
                place, there = observe_resolv_conf.of_record(record.holder, label)
                scene.state.update((block.key, block) for block in there)
                wish.want_all(resolv_conf.renewed(_item(record), label, scene.state, place, there))
        lost = [
            link_key(label, record.device) for record, label in places
            if LEASE in record.duties and grant_of(_item(record), label, scene.state) is None
        ]
        concerned = [(label, _item(record)) for record, label in places if LEASE in record.duties]
        default_route.wish_defaults(concerned, scene, wish, lost)
        targets = [Target(_item(record), label) for record, label in places if record.table]
        if targets:
            wish_routing(targets, facts, scene.state, wish)
        return Picture(scene.state, wish.desired, wish.own)

    def executors(self) -> Executors:
        from .._engine import links  # which a run that changes nothing does not need
        from .._files import apply as files_apply
        from .._ipam import apply as ipam_apply

        return {**links.EXECUTORS, **files_apply.EXECUTORS, **ipam_apply.EXECUTORS}

    def results(self, _state: State) -> dict[str, t.Any]:
        return {}

    def finish(self, plan: Plan, namespaces: Namespaces, state: State) -> None:
        came = [each.after for each in plan if isinstance(each.after, Address) and each.action == "create"]
        macs = {(label, record.device): record.mac for record, label in self.places}
        announce([
            News(each.ns, each.device, macs[each.ns, each.device], (each.address,))
            for each in came if family(each.address) == 4  # of the others the kernel tells by itself,
        ], namespaces)
        newcomers = [
            dad.Newcomer(each.ns, each.device, each.address.split("/")[0])
            for each in came if family(each.address) == 6  # when it has looked for duplicates
        ]
        for each, what in dad.settle(newcomers, namespaces).items() if newcomers else ():
            lease = state.get((Lease6.KIND, each.label, each.interface))
            if what == dad.DUPLICATE and lease is not None:
                dhcp6_client.duplicates.add(each.address)  # it is declined, and the process asks for another one
                dhcp6_client.change([Operation("delete", lease, None)], namespaces, [])


def _item(record: Record) -> Attachment:
    dhcp, dhcp6, link_local = (duty in record.duties for duty in DUTIES)
    return Attachment(
        None, interface=record.device, table=record.table or None, **record.gateways,
        dhcp="builtin" if dhcp else None, dhcp6=dhcp6 or None, link_local=link_local or None,
    )


def _wanted(record: Record, label: str, scene: Scene) -> t.Iterator[KernelObject | Absent]:
    item = _item(record)
    if LEASE in record.duties:
        grant = grant_of(item, label, scene.state)
        yield from layer3(item, label, scene) if grant else without_lease(item, label, scene)
        mtu = scene.facts.devices[label][record.device].mtu
        if grant is not None and grant.mtu and record.mtu == FROM_SERVER and mtu and mtu > grant.mtu:
            yield Link(label, record.device, mtu=grant.mtu)
    if LEASE6 in record.duties:
        yield from leased(item, label, scene)
    if LINK_LOCAL in record.duties:
        yield LinkLocal(label, record.device, owner=record.owner)


def main() -> None:
    """All at once, and one by one where that fails, so that one cannot stand in the way of others."""
    try:
        run(KeepJob(sys.argv[1:]))
    except Exception:  # pylint: disable=broad-except  # which of them it was shows one by one
        failures = list(_one_by_one(sys.argv[1:]))
        raise SystemExit("\n".join(failures) or 0) from None


def _one_by_one(names: t.Iterable[str]) -> t.Iterator[str]:
    """The names of those that failed, and words."""
    for name in names:
        try:
            run(KeepJob([name]))
        except PipeworkError as error:
            yield f"{name} {' '.join(str(error).split())}"
        except Exception as error:  # pylint: disable=broad-except  # of one, which is no other one's business
            yield f"{name} {' '.join(f'{type(error).__name__}: {error}'.split())}"
