# Copyright: pipework.containers contributors
# GNU General Public License v3.0+ (see LICENSE)
"""From a container's name to its open network namespace. One small file for each runtime, and this table.

A runtime is a module with ``find(name, user)``, which returns a Found or None where it does not know the name, and raises
NotRunning for a container that has no namespace now; ``installed(user)``; and ``running(user)``, the names of all that run.
"""
from __future__ import annotations

import dataclasses
import os
import types
import typing as t

from .._errors import PipeworkError
from .._model import HOST


class NotRunning(PipeworkError):
    """The container is there but has no network namespace."""


class NoContainer(PipeworkError):
    """No runtime knows the name."""


class Unavailable(PipeworkError):
    """The runtime cannot be asked."""


@dataclasses.dataclass(frozen=True)
class Found:
    """A running container: its name and ID as the runtime spells them, and its network namespace, held open."""

    runtime: str
    name: str
    ident: str
    fd: int

    @property
    def label(self) -> str:
        """How operations name the namespace."""
        return HOST if self.runtime == "host" else f"{self.runtime}:{self.name}"


def runtimes() -> dict[str, types.ModuleType]:
    """The table. ``auto`` asks those that name containers, in this order."""
    from . import docker, host, netns, pid

    return {"docker": docker, "netns": netns, "pid": pid, "host": host}


NAMES = ("docker", "netns", "pid", "host")
AUTO = ("docker", "netns")


def find_all(wanted: t.Sequence[tuple[str, str | None, str | None]]) -> list[Found | PipeworkError]:
    """Looks up (runtime, name, user) each; an error takes the place of what was not found."""
    table = runtimes()
    prepare = {runtime for runtime, _name, _user in wanted}
    answers: dict[tuple[str, str | None, str | None], Found | PipeworkError] = {}
    for runtime in sorted(prepare & set(table)):
        if hasattr(table[runtime], "find_many"):
            names = list(dict.fromkeys((name, user) for r, name, user in wanted if r == runtime))
            answers.update({(runtime, *who): answer for who, answer in zip(names, table[runtime].find_many(names))})
    for request in wanted:
        if request not in answers:
            answers[request] = _find(table, *request)
    return [answers[request] for request in wanted]


def _find(table: dict[str, types.ModuleType], runtime: str, name: str | None, user: str | None) -> Found | PipeworkError:
    try:
        if runtime != "auto":
            return _known(table[runtime].find(name, user), runtime, name)
        return _find_anywhere(table, str(name), user)
    except PipeworkError as error:
        return error


def _known(found: Found | None, runtime: str, name: str | None) -> Found:
    if found is None:
        raise NoContainer(f"container: {runtime} knows no container {name!r}.{_hint(runtime, name)}")
    return found


def _find_anywhere(table: dict[str, types.ModuleType], name: str, user: str | None) -> Found:
    found: list[Found | NotRunning] = []
    unasked: list[str] = []
    for runtime in AUTO:
        if not table[runtime].installed(user):
            continue
        try:
            answer = table[runtime].find(name, user)
        except NotRunning as stopped:
            answer = stopped
        except Unavailable as error:
            unasked.append(str(error))
            continue
        if answer is not None:
            found.append(answer)
    if len(found) > 1:
        for one in found:
            if isinstance(one, Found):
                os.close(one.fd)
        which = ", ".join(one.runtime if isinstance(one, Found) else "docker (stopped)" for one in found)
        raise PipeworkError(f"container: {name!r} is known to several runtimes: {which}; say which one with 'runtime'.")
    if not found:
        asked = ", ".join(r for r in AUTO if table[r].installed(user)) or "none is installed"
        raise NoContainer(f"container: no runtime knows {name!r} (asked: {asked}).{_hint('auto', name)}" + "".join(f" Not asked: {why}" for why in unasked))
    if isinstance(found[0], NotRunning):
        raise found[0]
    return found[0]


def _hint(runtime: str, name: str | None) -> str:
    if runtime in ("auto", "netns"):
        hint = " 'docker ps' and 'ip netns list' show the names."
        return hint + (" A process ID needs 'runtime: pid'." if str(name).isdigit() else "")
    return " 'docker ps' shows the names." if runtime == "docker" else ""


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
