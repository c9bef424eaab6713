# Copyright: pipework.containers contributors
# GNU General Public License v3.0+ (see LICENSE)
"""LXC's containers, by name, or by the path of their folder where that is not in LXC's usual place.

lxc-info asks the container's monitor over a socket, so it does not matter how the host's control groups are laid out.
"""
from __future__ import annotations

import os
import time

from .. import _program, _runtimes
from .._errors import PipeworkError
from . import Answer, Found, Unavailable, Who, stopped, without_id
from .pid import enter

FOLDER = "/run/lxc"  # where all of its programs keep their locks
POLL_SECONDS = 0.05
NAME_BYTES = 255  # of a folder


def installed(user: str | None) -> bool:
    """Worth asking where it has been used since the host started: else nothing runs, and asking would leave files."""
    return user is None and os.path.isdir(FOLDER) and _program.which("lxc-info") is not None


def find_many(wanted: list[Who]) -> list[Answer]:
    deadline = time.monotonic() + _runtimes.patience
    answers: list[Answer] = []
    for name, user in wanted:
        try:
            if user is not None:
                raise PipeworkError(
                    "runtime_user: lxc has no use for it; a user's container is given by its folder, "
                    "such as /home/me/.local/share/lxc/web1."
                )
            answers.append(_find(str(name), deadline))
        except PipeworkError as error:
            answers.append(error)
    return answers


def running(_user: str | None) -> list[str]:
    done = _program.run(_tool("lxc-ls"), "-1", "--active")
    if done.code != 0:
        raise Unavailable(f"runtime: LXC does not answer: {done.said}.")
    return [line.strip() for line in done.output.splitlines() if line.strip()]


def _tool(name: str) -> str:
    program = _program.which(name)
    if program is None:
        raise Unavailable(f"LXC cannot be asked: there is no program {name} on the managed host.")
    return program


def _find(name: str, deadline: float) -> Found | None:
    while True:
        state, pid = _ask(name)
        if state is None:
            return None
        # Its monitor still says so while the namespace is open: then it was its process when it was opened.
        fd = enter(pid, lambda number, _born: _ask(name)[1] == number) if pid else None
        if fd is not None:
            return Found("lxc", name, without_id(name), fd, pid=pid)
        if state == "stopped" or time.monotonic() > deadline:
            raise stopped(name, state, f"lxc-start -n {name}")
        time.sleep(POLL_SECONDS)


def _ask(name: str) -> tuple[str | None, int | None]:
    """A container's state, None where there is no such container, and its first process."""
    folder, base = os.path.split(name) if name.startswith("/") else ("", name)
    if "/" in base or base in ("", ".", "..") or "\0" in name or len(os.fsencode(base)) > NAME_BYTES:
        return None, None
    where = [f"--lxcpath={folder}"] if folder else []
    try:
        done = _program.run(_tool("lxc-info"), *where, f"--name={base}", "--state", "--pid", "--no-humanize")
    except _program.NoEnd as error:
        raise Unavailable(f"LXC does not answer: {error}") from None
    words = dict(line.replace(":", " ").split()[:2] for line in done.output.splitlines() if ":" in line)
    if "State" in words:
        return words["State"].lower(), int(words["PID"]) if "PID" in words else None
    if done.said.endswith("doesn't exist"):
        return None, None
    raise Unavailable(f"LXC does not answer: {done.said}.")
