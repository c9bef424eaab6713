# Copyright: pipework.containers contributors
# GNU General Public License v3.0+ (see LICENSE)
"""What modules have in common: a list of items or one, and the container that an item is about. Pure."""

from __future__ import annotations

import contextlib
import typing as t

from .._model.layer3 import HOST
from .errors import PipeworkError
from .ineffective import refuse_idle

Params = t.Mapping[str, t.Any]
T = t.TypeVar("T")
NAME_MAX = 255  # that of a file, in which each runtime keeps a container's name
SHOWN_MAX = 80


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
    """Each item as ``read`` understands it; top-level options are the items' defaults. None says what has no effect.

    ``read`` gets an item's options and how an error names it, such as ``attachments[2]: ``. ``alone``: options of the
    module that are not an item's. ``leave_out``: numbers of items that are none of these.
    """
    items = params.get(many)
    if items is None:
        alone_read = read(params, "")
        refuse_idle(params, many, alone_read, listed=False)
        return [alone_read]
    apart = {many, "purge", *alone}
    given = {name: value for name, value in params.items() if value is not None and name not in apart}
    found = []
    for number, item in enumerate(items):
        if number in leave_out:
            continue
        found.append(read(with_defaults(given, item), f"{many}[{number}]: "))
        refuse_idle(item, many, found[-1])
    return found


def with_defaults(given: Params, item: Params | None) -> dict[str, t.Any]:
    """An item's options, and the task's where it has none. Of the task's container and user an item has nothing that
    says itself that it is about the host, or about a runtime that has no users."""
    own = {name: value for name, value in (item or {}).items() if value is not None}
    foreign = {"container", "missing"} if own.get("runtime") == "host" else set()
    foreign |= {"runtime_user"} if own.get("runtime", "auto") not in OF_USERS else set()
    return {**{name: value for name, value in given.items() if name not in foreign}, **own}


OF_USERS = ("auto", "docker", "podman", "lxc")  # lxc says itself how a user's container is given
WHO = frozenset({"container", "guest", "runtime", "runtime_user", "missing"})


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
                found[number] = container_of(with_defaults({name: params.get(name) for name in WHO}, own))
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
    @property
    def missing(self) -> str: ...

    def refuse(self, message: str) -> PipeworkError:
        """The error that says which item is wrong."""


def container_of(params: Params) -> dict[str, str | None]:
    """The options that say which container is meant, and what to do where there is none, checked."""
    runtime, container = params.get("runtime") or "auto", params.get("container")
    user = params.get("runtime_user") or None
    if runtime == "host":
        if container not in (None, ""):
            raise PipeworkError(
                f"container: {shortened(container)} stands beside 'runtime: host', which means the host itself; "
                "leave one of them out."
            )
        container = None
    elif container in (None, ""):
        raise PipeworkError("container: say which container; only 'runtime: host' goes without.")
    if any(ord(c) < 32 for c in str(container or "")):
        words = "holds control characters, which no container's name does"
        raise PipeworkError(f"container: {shortened(container)} {words}.")
    longest = max(map(len, str(container or "").split("/")))
    if longest > NAME_MAX:
        words = f"has {longest} characters; at most {NAME_MAX} would be right"
        raise PipeworkError(f"container: {shortened(container)} {words}.")
    if user is not None and runtime not in OF_USERS:
        raise PipeworkError(f"runtime_user: {runtime} has no use for it ({shortened(user)}); docker and podman have.")
    return {
        "container": None if container is None else str(container),
        "runtime": runtime,
        "runtime_user": user,
        "missing": params.get("missing") or "fail",
    }


def shortened(value: object) -> str:
    """What somebody wrote, as an error shows it."""
    text = repr(str(value))
    return text if len(text) <= SHOWN_MAX else f"{text[:SHOWN_MAX]}…{text[0]}"


def check_namespace(label: str | None, item: Guest) -> None:
    """A container that shares the host's network has none of its own to be changed."""
    if label == HOST and item.runtime != "host":
        raise item.refuse(
            f"container: {item.container} shares the host's network namespace; "
            "start it with a network of its own, or use 'runtime: host' if the host itself is meant."
        )
