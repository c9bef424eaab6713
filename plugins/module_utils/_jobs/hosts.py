# Copyright: pipework.containers contributors
# GNU General Public License v3.0+ (see LICENSE)
"""The job behind pipework_hosts: blocks of names in the hosts files of containers and of the host."""
from __future__ import annotations

import contextlib
import typing as t

from .._core.items import Params
from .._core.plan import Absent, Desired, Key, Plan, State
from .._engine.executors import Executors, Journal, Passes
from .._engine.run import Picture
from .._files import container_file
from .._files.blocks import HOSTS, Names, Where
from .._files.hosts import HostsItem, items_from_params
from .._lookup.containers import Place, in_reach, open_guests
from .._netlink.namespaces import Namespaces


class HostsJob:
    """Desired blocks, and the containers whose files they are in."""

    journal: Journal = Journal()
    passes: t.Callable[[], Passes] = Passes

    def __init__(self, params: Params) -> None:
        self.items = self.listed = items_from_params(params)
        self.places: list[Place] = []

    def open(self, namespaces: Namespaces) -> None:
        self.items, self.places = in_reach(self.listed, open_guests(self.listed, namespaces))
        container_file.probe((where for place in self.places for where in _wheres(place)), HOSTS)
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
        found = container_file.seen_many(asked, HOSTS, Names)
        for item, place in zip(self.items, self.places):
            label, key = _label(place), _key(item, place)
            try:
                where = _where(place)
                if label not in looked:
                    looked.add(label)
                    there = found[where, False]
                    if isinstance(there, container_file.Unusable):
                        raise there
                    state.update((block.key, block) for block in there)
                have = t.cast("Names | None", state.get(key))
                if (have.lines or () if have else ()) != item.lines:
                    container_file.check(where, HOSTS, item.block, item.lines)
            except container_file.Unusable as error:
                if item.lines or key in state or isinstance(error, container_file.Silent):
                    raise item.refuse(f"container: {place.name}: {error}.") from None
                continue
            desired[key] = Names(label, item.block, item.lines, where) if item.lines else Absent(key)
        return Picture(state, desired, set(desired))

    def executors(self) -> Executors:
        from .._files import apply as files_apply  # which a run that changes nothing does not need

        return files_apply.EXECUTORS

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
            raise container_file.Ended("it is not there any more")
        return container_file.of_name(place.name)
    return container_file.where(place.runtime, place.holder)


def _wheres(place: Place) -> t.Iterator[Where]:
    """The same, or nothing."""
    with contextlib.suppress(container_file.Unusable):
        yield _where(place)
