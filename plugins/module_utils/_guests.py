# Copyright: pipework.containers contributors
# GNU General Public License v3.0+ (see LICENSE)
"""Finds the containers that a run's items are about, and opens their network namespaces."""

from __future__ import annotations

import dataclasses
import typing as t

from . import _runtimes
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


def open_guests(items: t.Sequence[Guest], namespaces: Namespaces) -> list[Place]:
    """A place for each item. Where the container is missing, an item that is to be absent has a place without label;
    any other is refused."""
    requests: list[Request] = [(item.runtime, item.container, item.runtime_user) for item in items]
    unique = list(dict.fromkeys(requests))
    opened: dict[Request, t.Any] = {}
    for request, answer in zip(unique, _runtimes.find_all(unique)):
        if isinstance(answer, _runtimes.Found):
            opened[request] = (namespaces.add(answer.label, answer.fd), answer)
        else:
            opened[request] = answer
    return [_place(item, opened[request]) for item, request in zip(items, requests)]


def _place(item: Guest, answer: t.Any) -> Place:
    if isinstance(answer, tuple):
        label, found = answer
        check_namespace(label, item)
        return Place(label, found.runtime, found.name, found.ident, found.user)
    if item.state == "absent" and isinstance(answer, (_runtimes.NoContainer, _runtimes.NotRunning)):
        return Place(None, item.runtime, getattr(answer, "known_as", None) or str(item.container))
    raise item.refuse(str(answer))
