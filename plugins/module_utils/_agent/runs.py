# Copyright: pipework.containers contributors
# GNU General Public License v3.0+ (see LICENSE)
"""The runs that the process which stays begins when there is something new: one at a time, and few for each.

Each is a process of its own, which the host's lock may keep waiting. What it says is a line for each attachment that it
failed for.
"""
from __future__ import annotations

import contextlib
import os
import signal
import sys
import typing as t

from .._ipam import store as files
from .pace import Pace

SAID = os.path.join(files.KEEPER, "said")
AFTER_FAILURE = 10.0
BETWEEN = 1.0  # from the end of a run to the next: no server can keep a host busy with them
RUN_SECONDS = 900.0  # that one may take, the wait for the host's lock included
UNSEEN = 5.0  # until that is looked for again which nothing tells of
WORDS = 300  # of what went wrong


class Runs:
    """``listen_to`` and ``forget`` are called with a file descriptor that tells of the end of one."""

    def __init__(self, listen_to: t.Callable[[int], None], forget: t.Callable[[int], None]) -> None:
        self.listen_to, self.forget = listen_to, forget
        self.changes: set[str] = set()  # what a run has to do,
        self.unpaced: set[str] = set()  # of it, what a duty wants that limits itself,
        self.doing: set[str] = set()  # and what one does
        self.child: int | None = None  # its process,
        self.fd: int | None = None  # a pidfd of it, if there was one to be had,
        self.until = 0.0  # and when it has taken too long
        self.again = 0.0  # when the next one may start
        self.paces: dict[str, Pace] = {}

    def want(self, name: str, paced: bool) -> None:
        self.changes.add(name)
        self.unpaced |= set() if paced else {name}

    def drop(self, name: str) -> None:
        """There is nothing to do any more."""
        self.changes.discard(name)
        self.unpaced.discard(name)

    def due(self, now: float) -> float | None:
        """When to call one of the next two; None for never."""
        if self.child is not None:
            return now + UNSEEN if self.fd is None else self.until
        return max(self.again, min(self._next(name, now) for name in self.changes)) if self.changes else None

    def start(self, now: float) -> None:
        """If there is something to do, and it is time. Raises OSError."""
        doing = {name for name in self.changes if self._next(name, now) <= now}
        if not doing or self.child is not None or now < self.again:
            return
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC
        actions = [(os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0), (os.POSIX_SPAWN_OPEN, 1, SAID, flags, 0o600),
                   (os.POSIX_SPAWN_DUP2, 1, 2)]
        argv = [sys.executable, "-I", sys.argv[0], *sorted(doing)]
        self.child = os.posix_spawn(sys.executable, argv, dict(os.environ), file_actions=actions)
        self.doing, self.changes, self.until = doing, self.changes - doing, now + RUN_SECONDS
        for name in doing - self.unpaced:
            self.paces.setdefault(name, Pace()).began(now)
        self.unpaced -= doing
        with contextlib.suppress(OSError):  # then it is looked for now and then
            self.fd = os.pidfd_open(self.child)
            self.listen_to(self.fd)

    def look(self, now: float) -> dict[str, str] | None:
        """None while it goes on; then words for each that it was about, empty where it did what was to be done.

        One that takes too long is ended, lest all wait for it.
        """
        process, status = os.waitpid(t.cast(int, self.child), os.WNOHANG)
        if process == 0:
            if now >= self.until:
                os.kill(t.cast(int, self.child), signal.SIGKILL)
            return None
        fd, self.child, self.fd = self.fd, None, None
        if fd is not None:
            self.forget(fd)
            os.close(fd)
        doing, self.doing = self.doing, set()
        self.again = now + (AFTER_FAILURE if status else BETWEEN)
        if not status:
            return dict.fromkeys(doing, "")
        self.changes |= doing  # for now: what it said may not be to be read
        failed = failures((files.read(SAID) or "").strip(), doing)
        self.changes -= doing - set(failed)
        return {name: failed.get(name, "") for name in doing}

    def _next(self, name: str, now: float) -> float:
        pace = self.paces.get(name)
        return now if name in self.unpaced or pace is None else pace.next(now)


def failures(said: str, names: t.Collection[str]) -> dict[str, str]:
    """What a run says of each that it failed for; of all, where it says nothing of any."""
    found = {}
    for line in said.splitlines():
        name, _space, words = line.partition(" ")
        if name in names:
            found[name] = words[-WORDS:]
    return found or dict.fromkeys(names, said[-WORDS:] or "no run was possible")
