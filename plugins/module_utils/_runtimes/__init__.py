# Copyright: pipework.containers contributors
# GNU General Public License v3.0+ (see LICENSE)
"""From a container's name to its open network namespace. One small file for each runtime, and this table.

A runtime is a module with ``find(name, user)``, or ``find_many`` of a list of such pairs where that is quicker: a
Found, or None where it does not know the name; NotRunning for a container that has no namespace now.
``installed(user)`` says whether it is worth asking, and ``running(user)`` the names of all that run.
One that can tell when a container starts has ``watch(names, user, tell)``: it calls ``tell`` once it listens, and then
each time that looking again may be worth it, and returns where it cannot go on. The kernel tells of others (_starts).
"""
from __future__ import annotations

import dataclasses
import importlib
import os
import types
import typing as t

from .. import _answers, _trust
from .._errors import ODD, PipeworkError
from .._items import shortened
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


def runtime_of(name: str) -> types.ModuleType:
    """The file of one runtime, which alone is loaded: to read all of them takes as long as a small run does."""
    return importlib.import_module(f".{name}", __package__)


def runtimes() -> dict[str, types.ModuleType]:
    """The table. What is imported here by name is also how Ansible knows which files to bring along."""
    from . import containerd, cri, docker, host, incus, lxc, netns, nspawn, pid, podman

    return {
        "docker": docker, "podman": podman, "lxc": lxc, "incus": incus, "containerd": containerd, "cri": cri,
        "nspawn": nspawn, "netns": netns, "pid": pid, "host": host,
    }


# ``auto`` asks those that name containers, in this order.
NAMES = ("docker", "podman", "lxc", "incus", "containerd", "cri", "nspawn", "netns", "pid", "host")
AUTO = ("docker", "podman", "lxc", "incus", "containerd", "cri", "nspawn", "netns")
OF_USERS = ("docker", "podman", "lxc")  # that run without root too
SHOWN_BY = {
    "docker": "docker ps", "podman": "podman ps", "lxc": "lxc-ls", "incus": "incus list",
    "containerd": "nerdctl ps", "cri": "crictl pods", "nspawn": "machinectl list", "netns": "ip netns list",
}
CANDIDATES_SHOWN = 8
SECONDS, EACH_SECONDS = 60.0, 0.1  # for all that one runtime is asked in one look-up, and more for each container
patience = 3.0  # seconds that containers which are just starting are waited for, all of a run together


def find_all(wanted: t.Sequence[tuple[str, str | None, str | None]]) -> list[Found | PipeworkError]:
    """Looks up (runtime, name, user) each; an error takes the place of what was not found."""
    answers: dict[str, dict[Who, dict[str, Answer]]] = {}
    for choice in dict.fromkeys(runtime for runtime, _name, _user in wanted):
        whos = list(dict.fromkeys((name, user) for runtime, name, user in wanted if runtime == choice))
        answers[choice] = {who: {} for who in whos}
        for runtime in AUTO if choice == "auto" else (choice,):
            asker = runtime_of(runtime)
            asked = [who for who in whos if choice != "auto" or asker.installed(who[1])]
            for who, answer in zip(asked, _ask(runtime, asker, asked)):
                answers[choice][who][runtime] = answer
    return [
        _the_one(name, answers["auto"][name, user]) if runtime == "auto"
        else _known(runtime, name, answers[runtime][name, user][runtime])
        for runtime, name, user in wanted
    ]


def at_once() -> None:
    """From now on this process does not wait for containers that are just starting: it has another way to wait."""
    global patience
    patience = 0.0


def _ask(name: str, runtime: types.ModuleType, whos: list[Who]) -> list[Answer]:
    """What a runtime says of containers; it has a time for all of them, and nothing that it says is a traceback."""
    try:
        with _answers.within(SECONDS + EACH_SECONDS * len(whos)):
            return [_plausible(name, answer) for answer in _asked(runtime, whos)]
    except PipeworkError as error:
        return [error] * len(whos)
    except ODD as error:
        return [_not_understood(name, error)] * len(whos)


def running(runtime: str, user: str | None) -> list[str]:
    """All containers of a runtime that run, by names of which each finds one."""
    try:
        with _answers.within(SECONDS):
            return [str(name) for name in runtime_of(runtime).running(user)]
    except PipeworkError:
        raise
    except ODD as error:
        raise Unavailable(f"runtime: {_not_understood(runtime, error)}") from None


def _not_understood(runtime: str, error: BaseException) -> Unavailable:
    return Unavailable(f"{runtime} gives an answer that is not understood ({_answers.odd(error)}).")


def _plausible(runtime: str, answer: Answer) -> Answer:
    if not isinstance(answer, Found) or all(isinstance(each, str) for each in (answer.name, answer.ident)):
        return answer
    os.close(answer.fd)
    return _not_understood(runtime, TypeError("a name or an ID that is no text"))


def _asked(runtime: types.ModuleType, whos: list[Who]) -> list[Answer]:
    if hasattr(runtime, "find_many"):
        try:
            return [proved(answer) for answer in t.cast("list[Answer]", runtime.find_many(whos))] if whos else []
        except OSError as error:  # no file can be opened, or the like
            return [unread("it", error) for _who in whos]
    answers: list[Answer] = []
    for who in whos:
        try:
            answers.append(runtime.find(*who))
        except PipeworkError as error:
            answers.append(error)
    return answers


def proved(answer: Answer) -> Answer:
    """Refuses a namespace that is not of the one whose word it is: of a user's engine, or by a number that another
    process has by now. The host's own is refused by those who know what it is for."""
    if not isinstance(answer, Found) or is_own(answer.fd):
        return answer
    try:
        theirs = _trust.belongs_to(answer.fd, answer.whose)
        if theirs and answer.whose and answer.pid is not None:
            theirs = _trust.is_users_process(answer.pid, answer.whose)
        if theirs:
            return answer
        is_not = "is not one"
    except GONE:
        is_not = "cannot be shown to be one"
    except OSError as error:
        is_not = f"cannot be shown to be one ({error.strerror})"
    os.close(answer.fd)
    process = f" of process {answer.pid}" if answer.pid is not None else ""
    whom = _trust.user_words(answer.whose) if answer.whose else "root"
    return PipeworkError(
        f"container: {answer.name!r} has the network namespace{process}, says {answer.runtime} of {whom}, "
        f"but that {is_not} of {whom}'s; it is left alone."
    )


def _known(runtime: str, name: str | None, answer: Answer) -> Found | PipeworkError:
    if answer is None:
        return NoContainer(f"container: {runtime} knows no container {shortened(name)}.{_hint([runtime], name)}")
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
    return NoContainer(f"container: no runtime knows {shortened(name)} (asked: {who}).{_hint(asked, name)}")


def _without(asked: list[str]) -> str:
    return f"If it is none of that engine's, say so with 'runtime: {asked[0]}'." if asked else ""


def _hint(asked: list[str], name: str | None) -> str:
    shown = [f"'{SHOWN_BY[runtime]}'" for runtime in asked if runtime in SHOWN_BY]
    hint = f" {' and '.join(filter(None, [', '.join(shown[:-1]), shown[-1]]))} show the names." if shown else ""
    hint = hint.replace(" show ", " shows ") if len(shown) == 1 else hint
    return hint + (" A process ID needs 'runtime: pid'." if str(name).isdigit() and asked != ["pid"] else "")


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
