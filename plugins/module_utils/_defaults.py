# Copyright: pipework.containers contributors
# GNU General Public License v3.0+ (see LICENSE)
"""Which attachment of a container brings its default route of IPv4, where leases of several name a router. Pure.

An attachment with ``gateway`` goes first; then the one that has the default route already, whoever made it what it is;
then the first in the list.
"""
from __future__ import annotations

import typing as t

from ._attachment import Attachment
from ._keys import link_key
from ._leases import drops, grant_of, held
from ._model import PROTOCOL, Route, default_metric
from ._normalize import family
from ._plan import State

if t.TYPE_CHECKING:
    from ._attach import Target

Holders = dict[str, str]  # interfaces, by the containers' labels


def listed(targets: t.Iterable[Target]) -> list[tuple[str, Attachment]]:
    """The attachments of containers that are there, with their labels."""
    return [(target.label, target.item) for target in targets if target.label is not None]


def holders(items: t.Iterable[tuple[str, Attachment]], state: State) -> Holders:
    """Who has it, or gets it, in containers of which that is to be told."""
    found: Holders = {}
    by_label: dict[str, list[Attachment]] = {}
    for label, item in items:
        by_label.setdefault(label, []).append(item)
    for label, those in by_label.items():
        ready = [item for item in those if item.state == "present" and item.table is None]
        if any(item.dhcp is not None for item in ready):
            holder = _said(ready) or _has(label, those, state) or _first(label, ready, state)
            found.update({label: holder} if holder else {})
    return found


def _said(items: t.Iterable[Attachment]) -> str | None:
    return next((item.interface for item in items if 4 in {family(each) for each in item.gateway or ()}), None)


def _has(label: str, items: t.Iterable[Attachment], state: State) -> str | None:
    """The interface of a default route of ours, unless this run takes it away from there."""
    there = state.get(Route(label, 4, "default", metric=default_metric(4)).key)
    if not isinstance(there, Route) or there.protocol != PROTOCOL or there.device is None:
        return None
    listed = next((item for item in items if item.interface == there.device), None)
    if listed is None:
        return there.device if link_key(label, there.device) in state else None
    if listed.state == "absent" or listed.table is not None:
        return None
    grant = grant_of(listed, label, state)
    loses = grant is not None and not grant.gateway or drops(listed) and held(label, listed.interface, state)
    return None if loses or listed.gateway is not None else there.device


def _first(label: str, items: t.Iterable[Attachment], state: State) -> str | None:
    for item in items:
        grant = grant_of(item, label, state)
        if grant is not None and grant.gateway and item.gateway is None:
            return item.interface
    return None


def unused(items: t.Sequence[tuple[str, Attachment]], state: State) -> t.Iterator[str]:
    """A warning for each router that is named and not used."""
    found = holders(items, state)
    for label, item in items:
        grant = grant_of(item, label, state)
        holder = found.get(label, item.interface)
        if grant is None or not grant.gateway or item.gateway is not None or item.table is not None:
            continue
        if item.state == "present" and holder != item.interface:
            yield (
                f"dhcp: {label}/{item.interface}: its router {grant.gateway} is not used, since the default route of "
                f"{label} goes through {holder}; 'gateway: []' says so."
            )
