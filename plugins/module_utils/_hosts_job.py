# Copyright: pipework.containers contributors
# GNU General Public License v3.0+ (see LICENSE)
"""The job behind pipework_hosts: blocks of names in the hosts files of containers and of the host."""
from __future__ import annotations

import contextlib
import typing as t

from . import _guest_files
from ._blocks import HOSTS, Names, Where
from ._executors import Executors
from ._guests import Place, in_reach, open_guests
from ._hosts import HostsItem, items_from_params
from ._items import Params
from ._netlink import Namespaces
from ._plan import Absent, Desired, Key, Plan, State
from ._run import Picture


class HostsJob:
    """Desired blocks, and the containers whose files they are in."""

    def __init__(self, params: Params) -> None:
        self.items = self.listed = items_from_params(params)
        self.places: list[Place] = []

    def open(self, namespaces: Namespaces) -> None:
        self.items, self.places = in_reach(self.listed, open_guests(self.listed, namespaces))
        _guest_files.probe((where for place in self.places for where in _wheres(place)), HOSTS)
        listed: dict[Key, HostsItem] = {}
        for item, place in zip(self.items, self.places):
            other = listed.setdefault(_key(item, place), item)
            if other is not item:
                also = f" (also in {other.where.rstrip(': ')})" if other.where else ""
                raise item.refuse(f"block: {item.block} of {_label(place)} is listed twice{also}; once would be right.")

    def picture(self, _namespaces: Namespaces) -> Picture:
        state: State = {}
        desired: Desired = {}
        looked: set[str] = set()
        asked = {(where, False): _label(place) for place in self.places for where in _wheres(place)}
        found = _guest_files.seen_many(asked, HOSTS, Names)
        for item, place in zip(self.items, self.places):
            label, key = _label(place), _key(item, place)
            try:
                where = _where(place)
                if label not in looked:
                    looked.add(label)
                    there = found[where, False]
                    if isinstance(there, _guest_files.Unusable):
                        raise there
                    state.update((block.key, block) for block in there)
                have = t.cast("Names | None", state.get(key))
                if (have.lines or () if have else ()) != item.lines:
                    _guest_files.check(where, HOSTS, item.block, item.lines)
            except _guest_files.Unusable as error:
                if item.lines or key in state or isinstance(error, _guest_files.Silent):
                    raise item.refuse(f"container: {place.name}: {error}.") from None
                continue
            desired[key] = Names(label, item.block, item.lines, where) if item.lines else Absent(key)
        return Picture(state, desired, set(desired))

    def executors(self) -> Executors:
        from . import _files_apply  # which a run that changes nothing does not need

        return _files_apply.EXECUTORS

    def results(self, _state: State) -> dict[str, t.Any]:
        return {"files": [
            {
                "container": place.name, "runtime": place.runtime, "block": item.block,
                "entries": [{"address": entry.address, "names": list(entry.names)} for entry in item.entries],
            }
            for item, place in zip(self.items, self.places) if item.state == "present"
        ]}

    def finish(self, plan: Plan, namespaces: Namespaces, state: State) -> None:
        """Nobody has to be told about names."""


def _label(place: Place) -> str:
    """Of a namespace that is gone, the files may still be there."""
    return place.label or f"netns:{place.name}"


def _key(item: HostsItem, place: Place) -> Key:
    return (Names.KIND, _label(place), item.block)


def _where(place: Place) -> Where:
    if place.label is None:
        if place.runtime not in ("auto", "netns"):
            raise _guest_files.Ended("it is not there any more")
        return _guest_files.of_name(place.name)
    return _guest_files.where(place.runtime, place.holder)


def _wheres(place: Place) -> t.Iterator[Where]:
    """The same, or nothing."""
    with contextlib.suppress(_guest_files.Unusable):
        yield _where(place)
