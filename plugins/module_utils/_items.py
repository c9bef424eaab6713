# Copyright: pipework.containers contributors
# GNU General Public License v3.0+ (see LICENSE)
"""What modules have in common: a list of items or one, and the container that an item is about. Pure."""

from __future__ import annotations

import contextlib
import typing as t

from ._errors import PipeworkError
from ._model import HOST

Params = t.Mapping[str, t.Any]
T = t.TypeVar("T")


class Item:
    """One of a list. Its errors say which one it is, such as ``attachments[2]: ``; a single one has no ``where``."""

    where: str = ""

    def refuse(self, message: str) -> PipeworkError:
        """The error that says which item is wrong."""
        return PipeworkError(f"{self.where}{message}")


@contextlib.contextmanager
def blaming(where: str) -> t.Iterator[None]:
    """The same for errors in what an item is made of."""
    try:
        yield
    except PipeworkError as error:
        raise PipeworkError(f"{where}{error}") from None


def items_of(
    params: Params, many: str, read: t.Callable[[Params, str], T], alone: t.Collection[str] = (),
    leave_out: t.Collection[int] = (),
) -> list[T]:
    """Each item as ``read`` understands it; top-level options are the items' defaults.

    ``read`` gets an item's options and how an error names it, such as ``attachments[2]: ``. ``alone``: options of the
    module that are not an item's. ``leave_out``: numbers of items that are none of these.
    """
    items = params.get(many)
    if items is None:
        return [read(params, "")]
    apart = {many, "purge", *alone}
    given = {name: value for name, value in params.items() if value is not None and name not in apart}
    found = []
    for number, item in enumerate(items):
        if number in leave_out:
            continue
        own = {name: value for name, value in (item or {}).items() if value is not None}
        found.append(read({**given, **own}, f"{many}[{number}]: "))
    return found


WHO = frozenset({"container", "guest", "runtime", "runtime_user"})


def wholes_of(params: Params, many: str, scope: t.Collection[str] = ()) -> dict[int, dict[str, str | None]]:
    """With ``purge``: the items, by their number, that name a container alone, of which nothing is listed then.

    ``scope``: options of the task that say what a purge is of, and are no wish.
    """
    if not params.get("purge"):
        return {}
    wishes = {name for name, value in params.items() if value not in (None, False)} - WHO - {many, "purge", *scope}
    found = {}
    for number, item in enumerate(params.get(many) or ()):
        own = {name: value for name, value in (item or {}).items() if value is not None}
        if own and not wishes and WHO.issuperset(own):
            try:
                found[number] = container_of({**{name: params.get(name) for name in WHO}, **own})
            except PipeworkError as error:
                raise PipeworkError(f"{many}[{number}]: {error}") from None
    return found


def purges(params: Params, many: str) -> bool:
    """Whether what is not listed shall go, which needs a list."""
    if params.get("purge") and params.get(many) is None:
        raise PipeworkError(f"purge: needs '{many}', the list of those that stay; an empty list removes all.")
    return bool(params.get("purge"))


class Guest(t.Protocol):
    """An item, as far as its container goes."""

    @property
    def container(self) -> str | None: ...
    @property
    def runtime(self) -> str: ...
    @property
    def runtime_user(self) -> str | None: ...
    @property
    def state(self) -> str: ...

    def refuse(self, message: str) -> PipeworkError:
        """The error that says which item is wrong."""


def container_of(params: Params) -> dict[str, str | None]:
    """The options that say which container is meant, checked."""
    runtime, container = params.get("runtime") or "auto", params.get("container")
    if runtime == "host":
        container = None
    elif container in (None, ""):
        raise PipeworkError("container: say which container; only 'runtime: host' goes without.")
    if any(ord(c) < 32 for c in str(container or "")):
        raise PipeworkError(f"container: {container!r} holds control characters, which no container's name does.")
    return {
        "container": None if container is None else str(container),
        "runtime": runtime,
        "runtime_user": params.get("runtime_user") or None,
    }


def check_namespace(label: str | None, item: Guest) -> None:
    """A container that shares the host's network has none of its own to be changed."""
    if label == HOST and item.runtime != "host":
        raise item.refuse(
            f"container: {item.container} shares the host's network namespace; "
            "start it with a network of its own, or use 'runtime: host' if the host itself is meant."
        )
