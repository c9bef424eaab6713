# Copyright: pipework.containers contributors
# GNU General Public License v3.0+ (see LICENSE)
"""The job behind pipework_tc: the traffic control of many containers' interfaces in one run."""
from __future__ import annotations

import typing as t

from . import _tc_timer
from ._guests import Place, open_guests
from ._items import Params
from ._model import HOST, Device, Link
from ._netlink import Namespaces
from ._observe import observe
from ._plan import Desired, Plan, State
from ._run import Picture
from ._tc_mirror import spot_of
from ._tc_model import Qdisc, Timer, qdisc_key
from ._tc_observe import observe_tc
from ._tc_options import TcItem, items_from_params
from ._tc_wish import check_verb, wanted


class TcJob:
    """Wanted traffic control, and the containers found for it."""

    def __init__(self, params: Params) -> None:
        self.items = items_from_params(params)
        self.places: list[Place] = []
        self.targets: dict[int, Place] = {}  # of mirrors
        self.coming: list[t.Any] = []  # what the same run makes besides

    def open(self, namespaces: Namespaces) -> None:
        self.places = open_guests(self.items, namespaces)
        mirrors = [item.mirror for item in self.items if item.mirror is not None and item.state == "present"]
        for mirror, place in zip(mirrors, open_guests(mirrors, namespaces)):
            self.targets[id(mirror)] = place
        seen: dict[tuple[str, str], TcItem] = {}
        for item, place in zip(self.items, self.places):
            if place.label is not None and seen.setdefault((place.label, item.device), item) is not item:
                other = seen[place.label, item.device]
                raise item.refuse(f"device: {item.title} and {other.title} are the same; each can be listed once.")

    def picture(self, namespaces: Namespaces) -> Picture:
        facts = observe(namespaces)
        for link in self.coming:
            if isinstance(link, Link) and link.ns in facts.devices:
                coming = Device(0, link.ifname, link.type, link.mac, link.mtu or 0, up=True)
                facts.devices[link.ns].setdefault(link.ifname, coming)
        used: dict[str, set[str]] = {}
        for item, place in self._there():
            used.setdefault(str(place.label), set()).add(item.device)
            spot = spot_of(facts, str(place.label), item.device)
            if spot is not None:
                used.setdefault(spot.ns, set()).add(spot.device)
        state: State = {}
        for label, wanted_names in used.items():
            names = {device.index: name for name, device in facts.devices[label].items()}
            some = {index: name for index, name in names.items() if name in wanted_names}
            state.update(observe_tc(namespaces, label, some, names))
        for item, place in self._there():
            timer = _tc_timer.observe(namespaces, str(place.label), item.device)
            if timer is not None:
                state[timer.key] = timer
        desired: Desired = {}
        for item, place in self._there():
            target = self.targets.get(id(item.mirror))
            for want in wanted(item, str(place.label), target.label if target else None, facts, state):
                check_verb(item, want, state)
                desired[want.key] = want
        return Picture(state, desired, set(desired))

    def _there(self) -> list[tuple[TcItem, Place]]:
        """The items whose container is there."""
        return [(item, place) for item, place in zip(self.items, self.places) if place.label is not None]

    def results(self, state: State) -> dict[str, t.Any]:
        return {"interfaces": [_result(item, place, state) for item, place in zip(self.items, self.places)]}

    def finish(self, plan: Plan, namespaces: Namespaces, state: State) -> None:
        """Nothing is left to be done."""


def _result(item: TcItem, place: Place, state: State) -> dict[str, t.Any]:
    """One item of the returned ``interfaces``."""
    label = place.label or HOST
    root = state.get(qdisc_key(label, item.device, 0xFFFFFFFF)) if place.label else None
    timer = state.get((Timer.KIND, label, item.device))
    return {
        "container": place.name, "container_id": place.ident, "runtime": place.runtime, "device": item.device,
        "ends_in": _tc_timer.left(timer) if isinstance(timer, Timer) and timer.record else None,
        "root": root.public() if isinstance(root, Qdisc) else {},
    }
