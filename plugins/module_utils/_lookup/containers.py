# Copyright: pipework.containers contributors
# GNU General Public License v3.0+ (see LICENSE)
"""Finds the containers that a run's items are about, and opens their network namespaces."""

from __future__ import annotations

import dataclasses
import functools
import typing as t

from .. import _runtimes
from .._core.errors import PipeworkError
from .._core.items import Guest, check_namespace
from .._model.container import Found, Holder, NoContainer, NotRunning
from .._netlink.namespaces import Namespaces

G = t.TypeVar("G")
Request = tuple[str, t.Optional[str], t.Optional[str]]


@dataclasses.dataclass(frozen=True)
class Place:
    """The container that was found for an item; ``label`` is None where there is none (any more)."""

    label: str | None
    runtime: str
    name: str
    ident: str = ""
    user: str | None = None
    holder: Holder = dataclasses.field(default_factory=dict)
    published: bool = False
    left_out: bool = False  # the item says to go on without it


@dataclasses.dataclass(frozen=True)
class Whole:
    """A container that no item need be about."""

    container: str | None
    runtime: str
    runtime_user: str | None
    missing: str = "fail"
    state: str = "absent"

    def refuse(self, message: str) -> PipeworkError:
        return PipeworkError(message)


def open_guests(items: t.Sequence[Guest], namespaces: Namespaces) -> list[Place]:
    """A place for each item. Where the container is missing, an item that is to be absent has a place without label;
    any other is refused, or left out where it says so."""
    requests: list[Request] = [(item.runtime, item.container, item.runtime_user) for item in items]
    unique = list(dict.fromkeys(requests))
    opened: dict[Request, t.Any] = {}
    for request, answer in zip(unique, _runtimes.find_all(unique)):
        if isinstance(answer, Found):
            opened[request] = (namespaces.add(answer.label, answer.fd), answer)
            namespaces.holders.append(functools.partial(getattr, answer, "lives"))
        else:
            opened[request] = answer
    return [_place(item, opened[request], namespaces) for item, request in zip(items, requests)]


def _place(item: Guest, answer: t.Any, namespaces: Namespaces) -> Place:
    if isinstance(answer, tuple):
        label, found = answer
        check_namespace(label, item)
        if item.state == "present":
            namespaces.checks.append(functools.partial(_refuse_ended, item, found))
        return Place(label, found.runtime, found.name, found.ident, found.user, found.holder, found.published)
    if item.state == "absent" and isinstance(answer, (NoContainer, NotRunning)):
        return Place(None, item.runtime, getattr(answer, "known_as", None) or str(item.container))
    if item.missing == "skip" and isinstance(answer, (NoContainer, NotRunning)):
        namespaces.left_out.setdefault(str(item.container), str(item.refuse(str(answer))))
        return Place(None, item.runtime, str(item.container), left_out=True)
    raise item.refuse(str(answer))


def in_reach(items: t.Sequence[G], places: t.Sequence[Place]) -> tuple[list[G], list[Place]]:
    """Without those that are left out. There may be more places than items."""
    kept = [item for item, place in zip(items, places) if not place.left_out]
    return kept, [place for place in places if not place.left_out]


def _refuse_ended(item: Guest, found: Found) -> None:
    """A container that ended during the run is not what was asked for, even though its namespace is there as long as
    the run holds it."""
    if not found.lives:
        raise item.refuse(f"container: {found.name!r} ended, or was started anew, during the run.")
