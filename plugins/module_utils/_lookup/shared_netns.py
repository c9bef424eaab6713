# Copyright: pipework.containers contributors
# GNU General Public License v3.0+ (see LICENSE)
"""Containers that share a network namespace: an interface is the attachment of one of them, and not taken by another.

The mark on an interface says whose it is. One that has ended, or was made anew with a namespace of its own, has left
it.
"""
from __future__ import annotations

import os
import typing as t

from .. import _runtimes
from .._core.errors import PipeworkError
from .._core.plan import State
from .._model.container import Found
from .._model.keys import link_key, port_key
from .._model.objects import HOST, IDENT, Link, Port, name_token, owner_fields
from .._model.runtime_names import NAMES
from .._netlink.namespaces import Namespaces

if t.TYPE_CHECKING:
    from .._attach.desired import Target

BY_PLACE = "netns"  # whose ID is that of the namespace, which all have who share it


def refuse_others(targets: t.Sequence[Target], state: State, namespaces: Namespaces) -> None:
    """Refuses interfaces that are attachments of other containers which are there in the same namespace."""
    for target in targets:
        if target.label in (None, HOST):
            continue
        interface = target.item.interface
        mark = _mark(state, str(target.label), interface)
        if mark is None or mark[:3] == (owner_fields(target.owner) or ())[:3]:
            continue
        other = _living(mark[0], mark[1], mark[2], target, namespaces)
        if other is not None:
            raise target.item.refuse(
                f"interface: {interface} is the attachment of {other} already, which shares its network namespace with "
                f"{target.name}; choose another interface, or say the same of {other} alone (it is removed there by "
                "'state: absent')."
            )


def _mark(state: State, label: str, interface: str) -> tuple[str, str, str, str] | None:
    """Of a pair, the host's end says whose it is."""
    port, link = state.get(port_key(label, interface)), state.get(link_key(label, interface))
    owner = port.owner if isinstance(port, Port) else link.owner if isinstance(link, Link) else None
    return owner_fields(owner)


def _living(runtime: str, token: str, ident: str, target: Target, namespaces: Namespaces) -> str | None:
    """The other one, as its runtime shows it now. The same one has another name, or was found by another runtime."""
    if runtime not in NAMES or runtime == HOST or (runtime != BY_PLACE and target.ident.startswith(ident)):
        return None
    if "pid" in (runtime, target.runtime) or runtime == target.runtime == "lxc" and "/" in target.name:
        return None  # a process and a path are other names of a container
    place = os.fstat(namespaces[str(target.label)].fd)
    users = dict.fromkeys((None, target.user))
    for found in _found([(runtime, name, user) for user in users for name in _names(runtime, token, ident, user)]):
        known_as = f"{found.name}@{found.user}" if found.user else found.name
        meant = name_token(known_as) == token or (runtime != BY_PLACE and found.ident[:IDENT] == ident)
        if meant and os.path.samestat(os.fstat(found.fd), place) and not _same(found, target):
            return found.label
    return None


def _names(runtime: str, token: str, ident: str, user: str | None) -> list[str]:
    """By which one is looked up: of a name that a mark cannot hold, all that run."""
    if not token.startswith("#"):
        return [token] if runtime in (BY_PLACE, "pid") else [token, ident]
    try:
        return [ident, *_runtimes.running(runtime, user)]
    except PipeworkError:
        return [ident]


def _found(wanted: list[tuple[str, str, str | None]]) -> t.Iterator[Found]:
    """Each is closed when it has been looked at."""
    for answer in _runtimes.find_all(wanted):
        if isinstance(answer, Found):
            try:
                yield answer
            finally:
                os.close(answer.fd)


def _same(found: Found, target: Target) -> bool:
    """One namespace may be known by its name and by its path."""
    paths = [os.path.realpath(os.path.join("/run/netns", name)) for name in (found.name, target.name)]
    return found.runtime == target.runtime == BY_PLACE and paths[0] == paths[1]
