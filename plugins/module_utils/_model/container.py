# Copyright: pipework.containers contributors
# GNU General Public License v3.0+ (see LICENSE)
"""A container that was found, or why it was not; and its open network namespace."""
from __future__ import annotations

import dataclasses
import os
import typing as t

from .._core.errors import PipeworkError
from .layer3 import HOST

CANDIDATES_SHOWN = 8


class NotRunning(PipeworkError):
    """The container is there but has no network namespace."""

    exact = True
    known_as: str | None = None  # its name, where it was asked for by its ID


class NoContainer(PipeworkError):
    """No runtime knows the name."""


class Ambiguous(PipeworkError):
    """A runtime knows several containers whose ID starts so."""

    exact = False


class Unavailable(PipeworkError):
    """The runtime cannot be asked."""


GONE = (FileNotFoundError, ProcessLookupError)  # all else says nothing of whether it is there
# What a namespace was opened by: ``pid`` and ``born`` of a process, or the ``path`` of a file; without, the host's own.
Holder = dict[str, t.Union[int, str]]


class Held(int):
    """An open namespace, and the way to see whether what it was opened by is still there."""

    def __new__(cls, fd: int, _lives: t.Callable[[], bool], _holder: Holder) -> Held:
        return super().__new__(cls, fd)

    def __init__(self, _fd: int, lives: t.Callable[[], bool], holder: Holder) -> None:
        super().__init__()
        self.lives = lives
        self.holder = holder


@dataclasses.dataclass(frozen=True)
class Found:
    """A running container: its name and ID as the runtime spells them, and its network namespace, held open."""

    runtime: str
    name: str
    ident: str
    fd: int
    user: str | None = None  # whose rootless engine it is
    exact: bool = True  # false where it was found by the beginning of its ID
    pid: int | None = None  # the process whose end is the container's
    whose: int = 0  # the user ID of the one whose word it is: root's engine, or a user's
    published: bool = False  # whether the engine publishes ports of it

    @property
    def lives(self) -> bool:
        """Whether it still runs: an open namespace outlives its container."""
        return not isinstance(self.fd, Held) or self.fd.lives()

    @property
    def holder(self) -> Holder:
        """What its namespace is found by again, without asking the runtime."""
        return self.fd.holder if isinstance(self.fd, Held) else {}

    @property
    def label(self) -> str:
        """How operations name the namespace."""
        if self.runtime == "host":
            return HOST
        return f"{self.runtime}:{self.name}" + (f"@{self.user}" if self.user else "")


Who = tuple[t.Optional[str], t.Optional[str]]  # name, user
Answer = t.Union[Found, PipeworkError, None]


def resolve(idents: t.Mapping[str, str], names: t.Mapping[str, str], name: str) -> str | None:
    """The ID behind a name, an ID or the beginning of one, as engines' own commands take them. Raises Ambiguous.

    ``idents``: IDs by name; ``names``: names by ID.
    """
    import re

    if name in names:
        return name
    if name in idents:
        return idents[name]
    if not re.fullmatch("[0-9a-f]+", name):
        return None
    found = [ident for ident in names if ident.startswith(name)]
    if len(found) > 1:
        shown = sorted(f"{names[ident]} ({ident[:12]})" for ident in found)
        more = f" and {len(shown) - CANDIDATES_SHOWN} more" if len(shown) > CANDIDATES_SHOWN else ""
        raise Ambiguous(
            f"container: Found more than one container matching {name}: {', '.join(shown[:CANDIDATES_SHOWN])}{more}; "
            "use the name or a longer ID."
        )
    return found[0] if found else None


def without_id(name: str) -> str:
    """What stands for the ID where a runtime knows containers by their names only."""
    import hashlib

    return hashlib.sha256(name.encode("utf-8", "surrogateescape")).hexdigest()


def stopped(name: str, state: str, start: str, exact: bool = True) -> NotRunning:
    """The error for a container that is there but does not run."""
    words = f"is not running ({state})" if state != "created" else "has been created but not started"
    error = NotRunning(f"container: {name!r} {words}, so it has no network namespace; start it ('{start}').")
    error.exact, error.known_as = exact, name
    return error


def is_own(fd: int) -> bool:
    """Whether a network namespace is the one that the module runs in."""
    return os.path.samestat(os.fstat(fd), os.stat("/proc/self/ns/net"))


def unread(what: str, error: OSError) -> PipeworkError:
    """The error for what could not be looked at, which does not mean that it has gone."""
    return PipeworkError(f"container: {what} cannot be looked at: {error.strerror or error}.")


def open_namespace(path: str) -> int:
    """Opens a network namespace's file; raises OSError, EINVAL where the file is something else."""
    import errno
    import fcntl

    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY)
    try:
        if fcntl.ioctl(fd, 0xB703) != 0x40000000:  # NS_GET_NSTYPE, CLONE_NEWNET
            raise OSError(errno.EINVAL, "it is another kind of namespace")
    except OSError as error:
        os.close(fd)
        raise OSError(errno.EINVAL, "it is not a network namespace") from error
    return fd
