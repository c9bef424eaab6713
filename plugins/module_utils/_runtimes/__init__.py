# Copyright: pipework.containers contributors
# GNU General Public License v3.0+ (see LICENSE)
"""From a container's name to its open network namespace. One small file for each runtime, and this table.

A runtime is a module with ``find(name, user)``, or ``find_many`` of a list of such pairs where that is quicker: a
Found, or None where it does not know the name; NotRunning for a container that has no namespace now.
``installed(user)`` says whether it is worth asking, and ``running(user)`` the names of all that run.
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

    exact = True
    known_as: str | None = None  # its name, where it was asked for by its ID


class NoContainer(PipeworkError):
    """No runtime knows the name."""


class Ambiguous(PipeworkError):
    """A runtime knows several containers whose ID starts so."""

    exact = False


class Unavailable(PipeworkError):
    """The runtime cannot be asked."""


@dataclasses.dataclass(frozen=True)
class Found:
    """A running container: its name and ID as the runtime spells them, and its network namespace, held open."""

    runtime: str
    name: str
    ident: str
    fd: int
    user: str | None = None  # whose rootless engine it is
    exact: bool = True  # false where it was found by the beginning of its ID

    @property
    def label(self) -> str:
        """How operations name the namespace."""
        if self.runtime == "host":
            return HOST
        return f"{self.runtime}:{self.name}" + (f"@{self.user}" if self.user else "")


Who = tuple[t.Optional[str], t.Optional[str]]  # name, user
Answer = t.Union[Found, PipeworkError, None]


def runtimes() -> dict[str, types.ModuleType]:
    """The table. ``auto`` asks those that name containers, in this order."""
    from . import docker, host, netns, pid

    return {"docker": docker, "netns": netns, "pid": pid, "host": host}


NAMES = ("docker", "netns", "pid", "host")
AUTO = ("docker", "netns")


def find_all(wanted: t.Sequence[tuple[str, str | None, str | None]]) -> list[Found | PipeworkError]:
    """Looks up (runtime, name, user) each; an error takes the place of what was not found."""
    table = runtimes()
    answers: dict[str, dict[Who, dict[str, Answer]]] = {}
    for choice in dict.fromkeys(runtime for runtime, _name, _user in wanted):
        whos = list(dict.fromkeys((name, user) for runtime, name, user in wanted if runtime == choice))
        answers[choice] = {who: {} for who in whos}
        for runtime in AUTO if choice == "auto" else (choice,):
            asked = [who for who in whos if choice != "auto" or table[runtime].installed(who[1])]
            for who, answer in zip(asked, _ask(table[runtime], asked)):
                answers[choice][who][runtime] = answer
    return [
        _the_one(name, answers["auto"][name, user]) if runtime == "auto"
        else _known(runtime, name, answers[runtime][name, user][runtime])
        for runtime, name, user in wanted
    ]


def _ask(runtime: types.ModuleType, whos: list[Who]) -> list[Answer]:
    if hasattr(runtime, "find_many"):
        return t.cast("list[Answer]", runtime.find_many(whos)) if whos else []
    answers: list[Answer] = []
    for who in whos:
        try:
            answers.append(runtime.find(*who))
        except PipeworkError as error:
            answers.append(error)
    return answers


def _known(runtime: str, name: str | None, answer: Answer) -> Found | PipeworkError:
    if answer is None:
        return NoContainer(f"container: {runtime} knows no container {name!r}.{_hint(runtime, name)}")
    return Unavailable(f"runtime: {answer}") if isinstance(answer, Unavailable) else answer


def _the_one(name: str | None, answers: t.Mapping[str, Answer]) -> Found | PipeworkError:
    """What ``auto`` makes of the runtimes' answers. A name counts for more than the beginning of somebody's ID."""
    known = {r: answer for r, answer in answers.items() if isinstance(answer, (Found, NotRunning, Ambiguous))}
    known = {r: answer for r, answer in known.items() if answer.exact} or known
    for runtime, answer in answers.items():
        if isinstance(answer, Found) and (runtime not in known or len(known) > 1):
            os.close(answer.fd)
    if len(known) > 1:
        which = ", ".join(r if isinstance(answer, Found) else f"{r} (not running)" for r, answer in known.items())
        return PipeworkError(f"container: {name!r} is known to several runtimes: {which}; 'runtime' says which one.")
    if known:
        return next(iter(known.values()))
    errors = [answer for answer in answers.values() if isinstance(answer, PipeworkError)]
    refused = next((error for error in errors if not isinstance(error, Unavailable)), None)
    if refused is not None:
        return refused
    asked = [runtime for runtime, answer in answers.items() if answer is None]
    if errors:  # which might know it: no reason to say that the container is gone
        others = f"{', '.join(asked)} does not know {name!r}, and " if asked else f"{name!r} cannot be looked up: "
        return Unavailable(f"container: {others}{errors[0]} {_without(asked)}".rstrip())
    who = ", ".join(asked) or "none, as none is installed"
    return NoContainer(f"container: no runtime knows {name!r} (asked: {who}).{_hint('auto', name)}")


def _without(asked: list[str]) -> str:
    return f"If it is none of that engine's, say so with 'runtime: {asked[0]}'." if asked else ""


def _hint(runtime: str, name: str | None) -> str:
    if runtime in ("auto", "netns"):
        where = "'docker ps' and 'ip netns list' show" if runtime == "auto" else "'ip netns list' shows"
        hint = f" {where} the names."
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
