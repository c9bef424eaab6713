# Copyright: pipework.containers contributors
# GNU General Public License v3.0+ (see LICENSE)
"""The run that the DHCP client which stays begins when a server has said something new, or a lease is lost."""
from __future__ import annotations

import os
import sys
import typing as t

from . import _keeper, _resolver, _resolver_files
from . import _keeper_io as io
from ._announce import News, announce
from ._attach import Scene, Wish
from ._attachment import Attachment
from ._dhcp_keep import FROM_SERVER, Record
from ._errors import PipeworkError
from ._layer3 import layer3, without_lease
from ._leases import grant_of
from ._model import Address, Link
from ._netlink import Namespaces
from ._observe import observe, observe_leases
from ._plan import Plan, State
from ._run import Picture, run


class KeepJob:
    """Addresses and routes as the leases in these folders say, or without any."""

    def __init__(self, names: t.Iterable[str]) -> None:
        texts = [io.read(os.path.join(_keeper.LEASES, name, "keep")) for name in names]
        self.records = [Record.unpack(text) for text in texts if text is not None]
        self.places: list[tuple[Record, str]] = []  # and the labels of their open namespaces

    def open(self, namespaces: Namespaces) -> None:
        for record in self.records:
            try:
                fd = io.open_namespace(record)
            except io.Gone:
                continue
            self.places.append((record, namespaces.add(record.label, fd)))

    def picture(self, namespaces: Namespaces) -> Picture:
        facts = observe(namespaces)
        places = [(r, label) for r, label in self.places if r.device in facts.devices[label]]
        for record, label in places:
            observe_leases(namespaces, facts, label, record.device, record.owner, asked=True)
        scene, wish = Scene(facts, facts.state()), Wish()
        for record, label in places:
            item = _item(record)
            grant = grant_of(item, label, scene.state)
            for wanted in layer3(item, label, scene) if grant else without_lease(item, label, scene):
                wish.want(wanted)
            mtu = facts.devices[label][record.device].mtu
            if grant is not None and grant.mtu and record.mtu == FROM_SERVER and mtu and mtu > grant.mtu:
                wish.want(Link(label, record.device, mtu=grant.mtu))
            if record.dns:
                place, there = _resolver_files.of_record(record.holder, label)
                scene.state.update((block.key, block) for block in there)
                wish.desired.update(_resolver.renewed(label, record.device, grant, place, there))
        return Picture(scene.state, wish.desired, wish.own)

    def results(self, _state: State) -> dict[str, t.Any]:
        return {}

    def finish(self, plan: Plan, namespaces: Namespaces, _state: State) -> None:
        came = [each.after for each in plan if isinstance(each.after, Address) and each.action == "create"]
        macs = {(label, record.device): record.mac for record, label in self.places}
        announce([News(each.ns, each.device, macs[each.ns, each.device], (each.address,)) for each in came], namespaces)


def _item(record: Record) -> Attachment:
    return Attachment(None, interface=record.device, gateway=record.gateways, dhcp="builtin")


def main() -> None:
    """All at once, and one by one where that fails, so that one cannot stand in the way of others."""
    try:
        run(KeepJob(sys.argv[1:]))
    except PipeworkError as error:
        failures = [str(error)] if len(sys.argv) == 2 else list(_one_by_one(sys.argv[1:]))
        raise SystemExit("\n".join(failures) or 0) from None


def _one_by_one(names: t.Iterable[str]) -> t.Iterator[str]:
    for name in names:
        try:
            run(KeepJob([name]))
        except PipeworkError as error:
            yield str(error)
