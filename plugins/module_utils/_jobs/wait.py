# Copyright: pipework.containers contributors
# GNU General Public License v3.0+ (see LICENSE)
"""The job behind pipework_wait: one loop that sleeps until the kernel or a runtime has something to tell.

Nothing is changed, so that the lock of the other modules is not taken: they go on meanwhile.
"""
from __future__ import annotations

import contextlib
import dataclasses
import os
import select
import time
import typing as t

from .. import _runtimes
from .._core.errors import PipeworkError
from .._core.items import Params
from .._host.privileges import require_privileges
from .._lookup.finder import Finder, Request
from .._model.container import GONE, Found, NoContainer, NotRunning, Unavailable, unread
from .._model.objects import HOST
from .._netlink.kernel_error import KernelError
from .._netlink.namespaces import Namespaces
from .._wait.conditions import Sight, Wait, missing, saw, timeout_of, waits_from_params
from .._wait.watch import Watch

SHOWN = 5  # of those that a message lists


class WaitJob:
    """What is waited for."""

    def __init__(self, params: Params) -> None:
        self.waits = waits_from_params(params)
        self.timeout = timeout_of(params)


class Waiter:
    """One wait while it lasts."""

    def __init__(self, wait: Wait) -> None:
        self.wait = wait
        self.request: Request = (wait.runtime, wait.container, wait.runtime_user)
        self.found: Found | None = None
        self.watch: Watch | None = None
        self.process: int | None = None  # a pidfd of the container's first process
        self.lacks: str | None = ""  # None once it has come true
        self.sight = Sight()
        self.elapsed: float | None = None

    def open(self, found: Found, namespaces: Namespaces) -> None:
        """Begins to watch in a container that was found."""
        self.found = dataclasses.replace(found, fd=os.dup(found.fd))
        label = namespaces.add(found.label, os.dup(found.fd))
        if label == HOST and self.wait.runtime != "host":
            raise PipeworkError(
                f"{self.wait.where}container: {self.wait.container} shares the host's network namespace; leave "
                "'container' out if the host itself is meant."
            )
        if found.pid is not None:
            self.process = _process(found.pid, found.fd)
            if self.process is None:
                self.ended()
                return
        self.watch = Watch(namespaces[label], self.wait)
        self.look()

    def look(self) -> None:
        """Judges by what is known now."""
        if self.watch is not None:
            self.sight = self.watch.sight
            self.lacks = missing(self.wait, self.sight)

    def ended(self) -> None:
        """The container is gone: so is its interface, which may be what was waited for."""
        if self.wait.until != "absent":
            raise PipeworkError(
                f"{self.wait.where}container: {self.wait.container} ended while {self.wait.interface} was waited for "
                f"(until {self.wait.until})."
            )
        self.sight, self.lacks = Sight(), None

    def filenos(self) -> list[int]:
        """What to listen to."""
        fds = [self.watch.fileno()] if self.watch is not None else []
        return fds + ([self.process] if self.process is not None else [])

    def close(self) -> None:
        if self.watch is not None:
            self.watch.close()
        for fd in (self.process, self.found.fd if self.found else None):
            if fd is not None:
                os.close(fd)
        self.watch = self.process = None

    def public(self) -> dict[str, t.Any]:
        wait, found = self.wait, self.found
        return {
            "container": found.name if found and wait.runtime != "host" else wait.container,
            "container_id": found.ident if found and wait.runtime != "host" else None,
            "runtime": found.runtime if found else wait.runtime, "interface": wait.interface, "until": wait.until,
            "target": wait.target, "met": self.lacks is None, "elapsed": self.elapsed, "saw": saw(wait, self.sight),
        }


def _process(pid: int, namespace: int) -> int | None:
    """A pidfd of a process, None where it has ended, or is another one by now."""
    try:
        fd = os.pidfd_open(pid)
    except ProcessLookupError:
        return None
    except OSError as error:  # which does not mean that it has ended
        raise unread(f"process {pid}", error) from None
    with contextlib.suppress(*GONE):
        if os.path.samestat(os.stat(f"/proc/{pid}/ns/net"), os.fstat(namespace)):
            return fd
    os.close(fd)
    return None


def wait(job: WaitJob, check: bool = False) -> dict[str, t.Any]:  # a check run waits as well: it changes nothing
    """Waits until all has come true, or the time is over."""
    if any(each.runtime != "host" or each.target for each in job.waits):
        require_privileges()
    start = time.monotonic()
    waiters = [Waiter(each) for each in job.waits]
    with contextlib.ExitStack() as stack:
        namespaces = stack.enter_context(contextlib.closing(Namespaces()))
        for waiter in waiters:
            stack.callback(waiter.close)
        finder = stack.enter_context(contextlib.closing(Finder()))
        try:
            _loop(waiters, namespaces, finder, start, start + job.timeout)
        except PipeworkError as error:
            error.results = _results(waiters, start)
            raise
    return {"changed": False, "before": {}, "after": {}, "operations": [], **_results(waiters, start)}


def _results(waiters: list[Waiter], start: float) -> dict[str, t.Any]:
    return {"elapsed": round(time.monotonic() - start, 3), "waits": [waiter.public() for waiter in waiters]}


def _loop(waiters: list[Waiter], namespaces: Namespaces, finder: Finder, start: float, end: float) -> None:
    poll = select.poll()
    poll.register(finder.fileno(), select.POLLIN)
    active, answers, first = list(waiters), finder.ask(waiter.request for waiter in waiters), True
    while True:
        try:
            for waiter in [each for each in active if each.found is None]:
                _meet(waiter, answers.get(waiter.request), namespaces, first)
                for fd in waiter.filenos():
                    poll.register(fd, select.POLLIN)
        finally:
            for answer in answers.values():
                if isinstance(answer, Found):
                    os.close(answer.fd)
        for waiter in [each for each in active if each.lacks is None]:
            active.remove(waiter)
            waiter.elapsed = round(time.monotonic() - start, 3)
            for fd in waiter.filenos():
                poll.unregister(fd)
        if not active:
            return
        left = end - time.monotonic()
        if left <= 0:
            raise PipeworkError(_too_late(active, end - start))
        finder.listen(each.request for each in active if each.found is None or each.found.runtime == "netns")
        pending = {each.request for each in active if each.found is None}
        ready = {fd for fd, _what in poll.poll(1 + 1000 * min(left, finder.pause(pending)))}
        answers, first = finder.answers(pending), False
        for waiter in active:
            _hear(waiter, ready)


def _meet(waiter: Waiter, answer: t.Any, namespaces: Namespaces, first: bool) -> None:
    """What a runtime's answer means to a wait."""
    unheard = isinstance(answer, Unavailable)  # a runtime that stops to answer later on may come back
    if isinstance(answer, Found):
        waiter.open(answer, namespaces)
    elif waiter.wait.runtime != "pid" and isinstance(answer, (NoContainer, NotRunning)):
        waiter.lacks = None if waiter.wait.until == "absent" else str(answer)
    elif unheard and not first:
        waiter.lacks = str(answer)
    elif isinstance(answer, PipeworkError):
        raise PipeworkError(f"{waiter.wait.where}{answer}")


def _hear(waiter: Waiter, ready: set[int]) -> None:
    """What has become of a wait, after something happened."""
    watch, found = waiter.watch, waiter.found
    if watch is None or found is None:
        return
    renamed = found.runtime == "netns" and not _runtimes.runtime_of("netns").lasts(found.name, found.fd)
    if renamed or waiter.process in ready:
        waiter.ended()
    elif watch.fileno() in ready:
        try:
            watch.catch_up()
        except KernelError as error:
            raise PipeworkError(f"{waiter.wait.where}{waiter.wait.title} cannot be read: {error}.") from None
        waiter.look()


def _too_late(active: list[Waiter], seconds: float) -> str:
    listed = [f"{each.wait.title} (until {each.wait.until}): {each.lacks}".rstrip(".") for each in active[:SHOWN]]
    more = f"; and {len(active) - SHOWN} more" if len(active) > SHOWN else ""
    return f"timeout: {seconds:g} s were not enough for {'; '.join(listed)}{more}."
