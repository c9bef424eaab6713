# Copyright: pipework.containers contributors
# GNU General Public License v3.0+ (see LICENSE)
"""The job behind pipework_tc: the traffic control of many containers' interfaces in one run."""
from __future__ import annotations

import typing as t

from .._core.items import Params, container_of, purges
from .._core.plan import Desired, Plan, State
from .._engine import marks
from .._engine.executors import Executors, Journal, Passes
from .._engine.observe_interfaces import observe_interfaces
from .._engine.run import Picture
from .._lookup.containers import Place, Whole, in_reach, open_guests
from .._model.device import Device
from .._model.layer3 import HOST
from .._model.objects import Link
from .._netlink.namespaces import Namespaces
from .._tc import bandwidth
from .._tc import timer as tc_timer
from .._tc.desired import check_verb, wanted
from .._tc.limits import place_of
from .._tc.mirror import spot_of
from .._tc.model import Qdisc, Timer, qdisc_key
from .._tc.observe import observe_tc
from .._tc.options import TcItem, containers_alone, items_from_params
from .._tc.purge import surplus


class TcJob:
    """Wanted traffic control, and the containers found for it."""

    journal: Journal = marks.LinkJournal()
    passes: t.Callable[[], Passes] = Passes

    def __init__(self, params: Params) -> None:
        self.purge = purges(params, "interfaces")
        self.items = self.listed = items_from_params(params)
        wholes = list(containers_alone(params).values())  # of which nothing is listed
        if self.purge and (params.get("container") or params.get("runtime") == "host"):
            wholes.append(container_of(params))
        self.wholes = [Whole(**t.cast("dict[str, t.Any]", who)) for who in wholes]
        self.places: list[Place] = []
        self.targets: dict[int, Place] = {}  # of mirrors
        self.limited: dict[tuple[str, str], bandwidth.Place] = {}  # where limits may stand, in the last picture
        self.coming: list[t.Any] = []  # what the same run makes besides

    def open(self, namespaces: Namespaces) -> None:
        self.items, self.places = in_reach(self.listed, open_guests([*self.listed, *self.wholes], namespaces))
        self.targets = {}
        mirrors = [item.mirror for item in self.items if item.mirror is not None and item.state == "present"]
        for mirror, place in zip(mirrors, open_guests(mirrors, namespaces)):
            self.targets[id(mirror)] = place
        seen: dict[tuple[str, str], TcItem] = {}
        for item, place in zip(self.items, self.places):
            if place.label is not None and seen.setdefault((place.label, item.device), item) is not item:
                other = seen[place.label, item.device]
                raise item.refuse(f"device: {item.title} and {other.title} are the same; each can be listed once.")

    def picture(self, namespaces: Namespaces) -> Picture:
        facts = observe_interfaces(namespaces)
        for link in self.coming:
            if isinstance(link, Link) and link.ns in facts.devices:
                coming = Device(0, link.ifname, link.type, link.mac, link.mtu or 0, up=True)
                facts.devices[link.ns].setdefault(link.ifname, coming)
        purged = list(dict.fromkeys(place.label for place in self.places if place.label is not None and self.purge))
        interfaces = [(str(place.label), item.device) for item, place in self._there()]
        interfaces += [(label, name) for label in purged for name in facts.devices[label]]
        used: dict[str, set[str]] = {}
        for label, device in interfaces:
            used.setdefault(label, set()).add(device)
            spot = spot_of(facts, label, device)
            if spot is not None:
                used.setdefault(spot.ns, set()).add(spot.device)
                limits = self.limited[label, device] = place_of(facts, label, device)
                used.setdefault(HOST, set()).update({limits.end} if limits.end is not None else ())
        state: State = {}
        for label, wanted_names in used.items():
            names = {device.index: name for name, device in facts.devices[label].items()}
            some = {index: name for index, name in names.items() if name in wanted_names}
            state.update(observe_tc(namespaces, label, some, names))
        for label, device in dict.fromkeys(interfaces):
            timer = tc_timer.observe(namespaces, label, device)
            if timer is not None:
                state[timer.key] = timer
        desired: Desired = {}
        for item, place in self._there():
            target = self.targets.get(id(item.mirror))
            for want in wanted(item, str(place.label), target.label if target else None, facts, state, self.purge):
                check_verb(item, want, state)
                desired[want.key] = want
        listed = dict(desired)
        for label in purged:
            mine = [item for item, place in self._there() if place.label == label]
            desired.update((gone.key, gone) for gone in surplus(label, mine, facts, state, listed))
        return Picture(state, desired, set(desired))

    def _there(self) -> list[tuple[TcItem, Place]]:
        """The items whose container is there."""
        return [(item, place) for item, place in zip(self.items, self.places) if place.label is not None]

    def executors(self) -> Executors:
        from .._tc import apply as tc_apply  # which a run that changes nothing does not need

        return {**tc_apply.EXECUTORS, **tc_timer.EXECUTORS}

    def results(self, state: State) -> dict[str, t.Any]:
        return {"interfaces": [self._result(item, place, state) for item, place in zip(self.items, self.places)]}

    def _result(self, item: TcItem, place: Place, state: State) -> dict[str, t.Any]:
        """One item of the returned ``interfaces``."""
        label = place.label or HOST
        root = state.get(qdisc_key(label, item.device, 0xFFFFFFFF)) if place.label else None
        timer = state.get((Timer.KIND, label, item.device))
        limited = self.limited.get((label, item.device)) if place.label else None
        return {
            "container": place.name, "container_id": place.ident, "runtime": place.runtime, "device": item.device,
            "ends_in": tc_timer.left(timer) if isinstance(timer, Timer) and timer.record else None,
            "root": root.public() if isinstance(root, Qdisc) else {},
            "bandwidth": bandwidth.rates_at(limited, state) if limited is not None else {},
        }

    def finish(self, plan: Plan, namespaces: Namespaces, state: State) -> None:
        """Nothing is left to be done."""
