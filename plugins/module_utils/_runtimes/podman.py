# Copyright: pipework.containers contributors
# GNU General Public License v3.0+ (see LICENSE)
"""Podman's containers, by name, ID or short ID, through the program podman: root's, or those of a user without root.

One list tells the process of each container, running or not. It needs neither a service nor a library, and it is the
same for a service's containers.
"""
from __future__ import annotations

import os
import re
import time
import typing as t

from .._core.errors import PipeworkError
from .._host import answers as host_answers
from .._host import program as host_program
from .._model.container import Answer, Found, Unavailable, Who, is_own, resolve, stopped
from .pid import command, enter, in_group, is_of_user, status

POLL_SECONDS = 0.1
FOLDER = "/run/libpod"
IDENT = re.compile("[0-9a-f]{64}")
NAME = re.compile("[A-Za-z0-9][A-Za-z0-9_.-]*")
Container = dict[str, t.Any]


def installed(user: str | None) -> bool:
    """Worth asking where it has been used since the host started: else nothing runs, and asking would leave files."""
    folder = FOLDER
    if user is not None:
        try:
            folder = f"/run/user/{host_program.uid_of(user)}/libpod"
        except PipeworkError:
            return False
    return os.path.exists(folder) and host_program.which("podman") is not None


def find_many(wanted: list[Who], patience: float = 0.0) -> list[Answer]:
    deadline = time.monotonic() + patience
    answers: dict[Who, Answer] = {}
    for user in dict.fromkeys(user for _name, user in wanted):
        names = [str(name) for name, owner in wanted if owner == user]
        try:
            listing = _list(user)
            while names:
                for name in names:
                    try:
                        answers[name, user] = _find(listing, name, user, time.monotonic() > deadline)
                    except _Wait:
                        pass
                    except PipeworkError as error:
                        answers[name, user] = error
                names = [name for name in names if (name, user) not in answers]
                if names:
                    time.sleep(POLL_SECONDS)
                    listing = _list(user)
        except PipeworkError as error:
            answers.update({(name, user): error for name in names if (name, user) not in answers})
    return [answers[who] for who in wanted]


def running(user: str | None) -> list[str]:
    try:
        return [ident for ident, each in _list(user).items() if each.get("Pid")] if installed(user) else []
    except Unavailable as error:
        raise Unavailable(f"runtime: {error}") from None


class _Wait(Exception):
    """The container is about to start, or starts anew: ask again."""


def _whose(user: str | None) -> str:
    return f" of the user {user!r}" if user else ""


def _list(user: str | None) -> dict[str, Container]:
    """All containers by ID."""
    program = host_program.which("podman")
    if program is None:
        raise Unavailable("Podman cannot be asked: there is no program podman on the managed host.")
    if user is not None:
        host_program.uid_of(user)
    try:
        done = host_program.run(program, "container", "list", "--all", "--no-trunc", "--format", "json", user=user)
        if done.code != 0:
            raise PipeworkError(f"{done.said}.")
        return {
            each["Id"]: _checked(each) for each in host_answers.listed(host_answers.parse(done.output or "[]") or [])
        }
    except PipeworkError as error:
        raise Unavailable(f"Podman{_whose(user)} does not answer: {error}") from None
    except (ValueError, KeyError, TypeError, AttributeError):
        raise Unavailable(f"Podman{_whose(user)} gives an answer that is no list of containers.") from None


def _checked(container: Container) -> Container:
    """One of a list, if it is such. Raises ValueError, KeyError or TypeError."""
    pid, names = container.get("Pid") or 0, container.get("Names") or ()
    if isinstance(pid, bool) or not isinstance(pid, int) or not 0 <= pid < 1 << 31:
        raise ValueError
    if not IDENT.fullmatch(container["Id"]):
        raise ValueError
    if isinstance(names, str) or not all(NAME.fullmatch(name) for name in names):
        raise ValueError
    if not str(container.get("State") or "none").isalnum():
        raise ValueError
    return container


def _find(listing: dict[str, Container], name: str, user: str | None, late: bool) -> Found | None:
    names = {ident: (each.get("Names") or [ident])[0] for ident, each in listing.items()}
    idents = {shown: ident for ident, each in listing.items() for shown in each.get("Names") or ()}
    ident = resolve(idents, names, name)
    if ident is None:
        return None
    exact, shown, container = name in idents or name == ident, names[ident], listing[ident]
    fd = _enter(container, user) if container.get("Pid") else None
    if fd is not None:
        whose = host_program.uid_of(user) if user else 0
        return Found("podman", shown, ident, fd, user, exact, container["Pid"], whose, bool(container.get("Ports")))
    state = container.get("State") or "not running"
    if not late and (container.get("Pid") or state in ("created", "initialized")):
        raise _Wait
    if container.get("Pid"):
        raise PipeworkError(
            f"container: {shown!r} runs as process {container['Pid']}, says Podman, but here that is no process of it; "
            "the module has to run on the host where Podman runs it."
        )
    start = f"podman start {shown}"
    raise stopped(shown, state, f"sudo -u {user} {start}" if user else start, exact)


def _enter(container: Container, user: str | None) -> int | None:
    """Opens the namespace of the container's process; None where that is another process, or of another user."""
    fd = enter(container["Pid"], lambda pid, _born: _belongs(pid, container["Id"]))
    if fd is not None and user is not None and not is_of_user(fd, host_program.uid_of(user)) and not is_own(fd):
        os.close(fd)
        return None
    return fd


def _belongs(pid: int, ident: str) -> bool:
    """Whether a process is in the container's control group, or a child of the container's monitor.

    There is no control group of the container's without root on older hosts.
    """
    if in_group(pid, ident):
        return True
    program, *arguments = command(int(status(pid, "PPid")[0]))
    return os.path.basename(program) == "conmon" and ident in arguments
