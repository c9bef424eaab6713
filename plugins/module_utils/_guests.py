# Copyright: pipework.containers contributors
# GNU General Public License v3.0+ (see LICENSE)
"""Finds the containers that a run's items are about, and opens their network namespaces."""

from __future__ import annotations

import dataclasses
import functools
import typing as t

from . import _runtimes
from ._errors import PipeworkError
from ._items import Guest, check_namespace
from ._netlink import Namespaces

Request = tuple[str, t.Optional[str], t.Optional[str]]


@dataclasses.dataclass(frozen=True)
class Place:
    """The container that was found for an item; ``label`` is None where there is none (any more)."""

    label: str | None
    runtime: str
    name: str
    ident: str = ""
    user: str | None = None
    holder: _runtimes.Holder = dataclasses.field(default_factory=dict)
    published: bool = False


@dataclasses.dataclass(frozen=True)
class Whole:
    """A container that no item need be about."""

    container: str | None
    runtime: str
    runtime_user: str | None
    state: str = "absent"

    def refuse(self, message: str) -> PipeworkError:
        return PipeworkError(message)


def open_guests(items: t.Sequence[Guest], namespaces: Namespaces) -> list[Place]:
    """A place for each item. Where the container is missing, an item that is to be absent has a place without label;
    any other is refused."""
    requests: list[Request] = [(item.runtime, item.container, item.runtime_user) for item in items]
    unique = list(dict.fromkeys(requests))
    opened: dict[Request, t.Any] = {}
    for request, answer in zip(unique, _runtimes.find_all(unique)):
        if isinstance(answer, _runtimes.Found):
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
    if item.state == "absent" and isinstance(answer, (_runtimes.NoContainer, _runtimes.NotRunning)):
        return Place(None, item.runtime, getattr(answer, "known_as", None) or str(item.container))
    raise item.refuse(str(answer))


def _refuse_ended(item: Guest, found: _runtimes.Found) -> None:
    """A container that ended during the run is not what was asked for, even though its namespace is there as long as
    the run holds it."""
    if not found.lives:
        raise item.refuse(f"container: {found.name!r} ended, or was started anew, during the run.")
