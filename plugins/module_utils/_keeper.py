# Copyright: pipework.containers contributors
# GNU General Public License v3.0+ (see LICENSE)
"""The process that stays, one for all of a host: it sleeps until a lease is due, or somebody claims an address.

It holds a pidfd for each container and nothing else of it, but where a link-local address is defended: a namespace is
looked for when there is something to send, and let go with the last answer, or at once when the container ends. More
time for the same lease is given to the kernel right here; whatever else there is to do goes through a run of its own
(_keep_job), with the rules of all others.
"""
from __future__ import annotations

import contextlib
import functools
import json
import os
import select
import shutil
import sys
import typing as t

from . import _keeper_io as io
from . import _lease_files as files
from ._dhcp_keep import token
from ._keeper_duty import NEVER, Duty
from ._keeper_kept import Kept

HOME, LOCK = files.KEEPER, "/run/pipework/lock"  # as _run has it
LONGEST_SLEEP = 60.0
LOCKED = 0.1  # seconds until the host's lock is tried again
AFTER_FAILURE = 10.0
BETWEEN = 1.0  # from the end of a run to the next: no server can keep a host busy with them
AT_ONCE = 64  # that talk, since each then has two sockets
WORDS = 300  # of what went wrong
NOBODY = token("")


class Keeper:
    """All of them."""

    def __init__(self) -> None:
        self.kept: dict[str, Kept] = {}
        self.talking: set[int] = set()  # by the sockets of exchanges
        self.leaving: dict[str, str] = {}  # who ended: their files go when the lock is free
        self.changes: set[str] = set()  # what a run has to do,
        self.doing: set[str] = set()  # and what one does
        self.child: int | None = None
        self.again = 0.0  # when the next run may start
        self.stale = True
        self.poll = select.epoll()
        self.handlers: dict[int, t.Callable[[], None]] = {}
        self.files = io.Watch()
        self.listen_to(self.files.fd, self.look_for_files)

    def listen_to(self, fd: int, handler: t.Callable[[], None]) -> None:
        self.handlers[fd] = handler
        self.poll.register(fd, select.EPOLLIN)

    def forget(self, fd: int) -> None:
        if self.handlers.pop(fd, None) is not None:
            self.poll.unregister(fd)

    def run(self) -> None:
        while True:
            if self.stale:
                self.rescan()
            now = files.clock()
            for each in [each for each in self.kept.values() if each.due <= now]:
                self.step(each, now)
            self._remove_left()
            self._start_run(now)
            if not self.kept and self._is_over():
                return
            if self.stale and self.kept:
                continue
            dues = [each.due for each in self.kept.values()]
            dues += [self.again] if self.changes and self.child is None else []
            dues += [now + LOCKED] if self.leaving or not self.kept else []
            ready = self.poll.poll(max(0.0, min([*dues, now + LONGEST_SLEEP]) - files.clock()))
            for fd, _events in ready:
                self.handlers.get(fd, lambda: None)()
            if not ready:
                self.look_for_files()

    # -- who there is

    def rescan(self) -> None:
        """Reads all records; those that are as they were go on."""
        self.stale = False
        found = dict(files.records())
        for name in [name for name, each in self.kept.items() if token(found.get(name, "")) != each.token]:
            self.drop(self.kept[name])
            if name not in found:
                self.leaving[name] = NOBODY
        for name, text in found.items():
            if name not in self.kept and self.leaving.get(name) != token(text):
                self._take(name, text)
        now = files.clock()
        for each in list(self.kept.values()):
            each.told = ""
            self.step(each, now, anew=True)

    def _take(self, name: str, text: str) -> None:
        try:
            each = Kept(name, text)
        except (ValueError, io.Gone):
            self.leaving[name] = token(text)
            with contextlib.suppress(OSError):
                said = json.dumps({"token": token(text), "state": "gone"})
                files.write(os.path.join(files.FOLDER, name, files.STATUS), said)
            return
        self.kept[name] = each
        for duty in each.duties:
            duty.opened = functools.partial(self.opened, each, duty)
            duty.closing = self.closing
        if each.process is not None:
            self.listen_to(each.process, functools.partial(self.ended, each))
        elif "path" in each.record.holder:
            self.files.add(str(each.record.holder["path"]))

    def drop(self, each: Kept) -> None:
        """Without a word to anybody."""
        each.hush()
        if each.process is not None:
            self.forget(each.process)
            os.close(each.process)
            each.process = None
        self.kept.pop(each.name, None)
        self.changes.discard(each.name)

    def ended(self, each: Kept) -> None:
        """Its container is no more: at once nothing of it is held."""
        self.drop(each)
        self.leaving[each.name] = each.token

    def look_for_files(self) -> None:
        self.files.drain()
        for each in list(self.kept.values()):
            path = each.record.holder.get("path")
            if path is not None and not io.leads_to(str(path), each.record.namespace):
                self.ended(each)

    def _remove_left(self) -> None:
        if self.leaving:
            with io.lock(LOCK) as free:
                for name, text in self.leaving.items() if free else ():
                    folder = os.path.join(files.FOLDER, name)
                    now = token(files.read(os.path.join(folder, files.KEEP)) or "")
                    if now == text == NOBODY:  # what was said while a run removed the record
                        files.clear(folder, files.STATUS, files.GIVEN_UP)
                    elif now == text:
                        shutil.rmtree(folder, ignore_errors=True)
                if free:
                    self.leaving.clear()

    def _is_over(self) -> bool:
        """Nobody is left, and no run is about to bring somebody."""
        with io.lock(LOCK) as free:
            self.stale = free and any(files.records())
            if not free or self.stale or self.leaving or self.child is not None:
                return False
            shutil.rmtree(HOME, ignore_errors=True)
            with contextlib.suppress(OSError):
                os.rmdir(files.FOLDER)
            return True

    # -- what they do

    def opened(self, each: Kept, duty: Duty, fd: int) -> None:
        self.listen_to(fd, functools.partial(self.heard, each, duty))
        if not duty.LASTING:
            self.talking.add(fd)

    def closing(self, fd: int) -> None:
        self.talking.discard(fd)
        self.forget(fd)

    def step(self, each: Kept, now: float, anew: bool = False) -> None:
        """What is due of one. ``anew``: others may have changed something."""
        def work(duty: Duty) -> None:
            if duty.pending is None:
                duty.reload()
                if duty.due <= now and duty.talks(now) and len(self.talking) >= AT_ONCE:
                    duty.due = now + LOCKED
                elif duty.due <= now:
                    duty.step(now)

        self._with(each, [duty for duty in each.duties if anew or duty.due <= now], work)

    def heard(self, each: Kept, duty: Duty) -> None:
        now = files.clock()
        self._with(each, [duty], lambda duty: duty.listen(now))

    def _with(self, each: Kept, duties: t.Iterable[Duty], work: t.Callable[[Duty], None]) -> None:
        """One that has trouble does not take the others with it: its next step is a little later."""
        try:
            for duty in duties:
                try:
                    work(duty)
                    self._commit(each, duty)
                except OSError as error:
                    duty.trouble = f"{error.strerror}: {error.filename}" if error.filename else str(error.strerror)
                    duty.due = files.clock() + AFTER_FAILURE
            with contextlib.suppress(OSError):
                each.tell()
        except io.Gone:
            self.ended(each)

    def _commit(self, each: Kept, duty: Duty) -> None:
        """What came of it: to the file, and to the kernel. Not while a run is under way."""
        if duty.pending is None:
            return
        now = files.clock()
        with io.lock(LOCK) as free:
            if not free:
                duty.due = now + LOCKED
            elif not each.is_current():
                self.stale, duty.pending, duty.due = True, None, NEVER
            elif duty.commit(now):
                self.changes.add(each.name)

    def _start_run(self, now: float) -> None:
        if not self.changes or self.child is not None or now < self.again:
            return
        self.doing, self.changes = self.changes, set()
        said = os.path.join(HOME, "said")
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC
        actions = [(os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0), (os.POSIX_SPAWN_OPEN, 1, said, flags, 0o600),
                   (os.POSIX_SPAWN_DUP2, 1, 2)]
        argv = [sys.executable, "-I", sys.argv[0], *sorted(self.doing)]
        process = os.posix_spawn(sys.executable, argv, dict(os.environ), file_actions=actions)
        self.child = os.pidfd_open(process)
        self.listen_to(self.child, functools.partial(self._end_run, process))

    def _end_run(self, process: int) -> None:
        _pid, status = os.waitpid(process, 0)
        if self.child is not None:
            self.forget(self.child)
            os.close(self.child)
        self.child = None
        said = (files.read(os.path.join(HOME, "said")) or "").strip() or "no run was possible"
        words = said[-WORDS:] if status else ""
        now = files.clock()
        for each in [self.kept[name] for name in self.doing if name in self.kept]:
            for duty in each.duties:
                duty.trouble = words
            self.step(each, now, anew=True)
            if words:
                self.changes.add(each.name)
        self.again = now + (AFTER_FAILURE if words else BETWEEN)
        self.doing = set()
