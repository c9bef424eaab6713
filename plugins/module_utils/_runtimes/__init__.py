# Copyright: pipework.containers contributors
# GNU General Public License v3.0+ (see LICENSE)
"""From a container's name to its open network namespace. One small file for each runtime, and this table.

A runtime is a module with ``find(name, user)``, or ``find_many`` of a list of such pairs where that is quicker, and of
the seconds that containers which are just starting are waited for: a
Found, or None where it does not know the name; NotRunning for a container that has no namespace now.
``installed(user)`` says whether it is worth asking, and ``running(user)`` the names of all that run.
One that can tell when a container starts has ``watch(names, user, tell)``: it calls ``tell`` once it listens, and then
each time that looking again may be worth it, and returns where it cannot go on. The kernel tells of others
(_lookup/process_events).
"""
from __future__ import annotations

import importlib
import os
import types
import typing as t

from .._core.errors import ODD, PipeworkError
from .._core.items import shortened
from .._host import answers as host_answers
from .._host import trust
from .._model.container import GONE, Ambiguous, Answer, Found, NoContainer, NotRunning, Unavailable, Who, is_own, unread
from .._model.runtime_names import AUTO


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


SHOWN_BY = {
    "docker": "docker ps", "podman": "podman ps", "lxc": "lxc-ls", "incus": "incus list",
    "containerd": "nerdctl ps", "cri": "crictl pods", "nspawn": "machinectl list", "netns": "ip netns list",
}
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
        with host_answers.within(SECONDS + EACH_SECONDS * len(whos)):
            return [_plausible(name, answer) for answer in _asked(runtime, whos)]
    except PipeworkError as error:
        return [error] * len(whos)
    except ODD as error:
        return [_not_understood(name, error)] * len(whos)


def running(runtime: str, user: str | None) -> list[str]:
    """All containers of a runtime that run, by names of which each finds one."""
    try:
        with host_answers.within(SECONDS):
            return [str(name) for name in runtime_of(runtime).running(user)]
    except PipeworkError:
        raise
    except ODD as error:
        raise Unavailable(f"runtime: {_not_understood(runtime, error)}") from None


def _not_understood(runtime: str, error: BaseException) -> Unavailable:
    return Unavailable(f"{runtime} gives an answer that is not understood ({host_answers.odd(error)}).")


def _plausible(runtime: str, answer: Answer) -> Answer:
    if not isinstance(answer, Found) or all(isinstance(each, str) for each in (answer.name, answer.ident)):
        return answer
    os.close(answer.fd)
    return _not_understood(runtime, TypeError("a name or an ID that is no text"))


def _asked(runtime: types.ModuleType, whos: list[Who]) -> list[Answer]:
    if hasattr(runtime, "find_many"):
        try:
            found = t.cast("list[Answer]", runtime.find_many(whos, patience) if whos else [])
            return [proved(answer) for answer in found]
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
        theirs = trust.belongs_to(answer.fd, answer.whose)
        if theirs and answer.whose and answer.pid is not None:
            theirs = trust.is_users_process(answer.pid, answer.whose)
        if theirs:
            return answer
        is_not = "is not one"
    except GONE:
        is_not = "cannot be shown to be one"
    except OSError as error:
        is_not = f"cannot be shown to be one ({error.strerror})"
    os.close(answer.fd)
    process = f" of process {answer.pid}" if answer.pid is not None else ""
    whom = trust.user_words(answer.whose) if answer.whose else "root"
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
