# Copyright: pipework.containers contributors
# GNU General Public License v3.0+ (see LICENSE)
"""The process that stays, one for all of a host: it sleeps until a lease is due, or somebody claims an address.

It holds a pidfd for each container and nothing else of it, but where a link-local address is defended: a namespace is
looked for when there is something to send, and let go with the last answer, or at once when the container ends. More
time for the same lease is given to the kernel right here; whatever else there is to do goes through a run of its own
(_jobs/agent), with the rules of all others.
"""
from __future__ import annotations

import contextlib
import functools
import json
import os
import select
import shutil
import time
import typing as t

from .._ipam import store as files
from . import host as io
from .duty import NEVER, Duty
from .entry import Kept
from .pace import Trouble
from .record import Foreign, token
from .runs import AFTER_FAILURE, UNSEEN, WORDS, Runs

HOME, LOCK = files.KEEPER, "/run/pipework/lock"  # as _engine/run has it
LONGEST_SLEEP = 60.0
LOCKED = 0.1  # seconds until the host's lock is tried again
AT_ONCE = 64  # that talk, since each then has two sockets
NOBODY = token("")


class Keeper:
    """All of them."""

    def __init__(self) -> None:
        self.kept: dict[str, Kept] = {}
        self.talking: set[int] = set()  # by the sockets of exchanges
        self.leaving: dict[str, str] = {}  # who ended: their files go when the lock is free
        self.runs = Runs(lambda fd: self.listen_to(fd, lambda: None), self.forget)
        self.left_alone: dict[str, str] = {}  # records that are not understood, by their tokens
        self.troubles: dict[str, Trouble] = {}  # of what is nobody's in particular
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
        while not self._is_over_now():
            ready: list[tuple[int, int]] = []
            try:
                ready = self.poll.poll(max(0.0, self._next() - files.clock()))
            except OSError:
                time.sleep(LOCKED)
            for fd, _events in ready:
                self.attempt("what was heard", self.handlers.get(fd, lambda: None), always=True)
            if self._trouble("what was heard").count:
                time.sleep(LOCKED)  # what was not read is there at once again
            if not ready:
                self.attempt("files", self.look_for_files)

    def _is_over_now(self) -> bool:
        """One round: all that is due."""
        now = files.clock()
        if self.stale:
            self.attempt("records", self.rescan)
        for each in [each for each in self.kept.values() if each.wakes <= now]:
            self.step(each, now)
        self.attempt("who has ended", self._remove_left)
        if self.runs.child is not None:
            self.attempt("the run", self._look_at_run, always=True)
        self.attempt("runs", lambda: self.runs.start(now))
        return not self.kept and bool(self.attempt("the end", self._is_over))

    def _next(self) -> float:
        """When something is due next."""
        now = files.clock()
        dues = [now + LONGEST_SLEEP, *(each.wakes for each in self.kept.values())]
        dues += [self._trouble("files").until] if self._trouble("files").count else []
        dues += [self._trouble("records").until] if self.stale else []
        run = self.runs.due(now)
        dues += [] if run is None else [max(run, self._trouble("runs").until)]
        if any(each.process is None and "pid" in each.record.holder for each in self.kept.values()):
            dues.append(now + UNSEEN)
        if self.leaving or not self.kept:
            dues.append(now + (UNSEEN if self.left_alone and not self.leaving else LOCKED))
        return min(dues)

    def look_again(self) -> None:
        """Somebody says that there is something new."""
        self.stale = True
        self._trouble("records").over()

    # -- what goes wrong

    def attempt(self, what: str, work: t.Callable[[], t.Any], always: bool = False) -> t.Any:
        """Does something of no attachment's own. What goes wrong is counted and said, and tried again later."""
        trouble = self._trouble(what)
        if trouble.until > files.clock() and not always:
            return None
        try:
            result = work()
        except Exception as error:  # pylint: disable=broad-except  # whatever it is, all others go on
            trouble.met(in_words(error), files.clock())
            self._say_troubles()
            return None
        if trouble.count:
            trouble.over()
            self._say_troubles()
        return result

    def _trouble(self, what: str) -> Trouble:
        return self.troubles.setdefault(what, Trouble(LONGEST_SLEEP))

    def _say_troubles(self) -> None:
        said = {what: {"count": each.total, "error": each.words or None} for what, each in self.troubles.items()
                if each.total}
        with contextlib.suppress(OSError):
            files.write(os.path.join(HOME, "troubles"), json.dumps(said, sort_keys=True))

    # -- who there is

    def rescan(self) -> None:
        """Reads all records; those that are as they were go on. One that cannot be read now is as it was."""
        found, unread = {}, {}
        for name in files.names():
            try:
                text = files.read(os.path.join(files.FOLDER, name, files.KEEP))
            except OSError as error:
                unread[name] = error
                continue
            if text is not None:
                found[name] = text
        for name in [name for name, each in self.kept.items() if token(found.get(name, "")) != each.token]:
            if name in unread:
                continue
            self.drop(self.kept[name])
            if name not in found:
                self.leaving[name] = NOBODY
                self.runs.paces.pop(name, None)
        self.left_alone = {name: text for name, text in self.left_alone.items() if name in found or name in unread}
        for name, text in found.items():
            if name not in self.kept and self.leaving.get(name) != token(text):
                try:
                    self._take(name, text)
                except OSError as error:
                    unread[name] = error
        self.stale = bool(unread)  # a step may find that it is again
        now = files.clock()
        for each in list(self.kept.values()):
            each.told = ""
            self.step(each, now, anew=True)
        if unread:
            raise next(iter(unread.values()))

    def _take(self, name: str, text: str) -> None:
        """Raises OSError where it cannot be known whether the container is there."""
        if self.left_alone.get(name) == token(text):
            return
        try:
            each = Kept(name, text)
        except Foreign as error:
            self.left_alone[name] = token(text)
            self._say(name, {"token": token(text), "pid": os.getpid(), "state": "not understood", "error": str(error)})
            return
        except io.Gone:
            self.leaving[name] = token(text)
            self._say(name, {"token": token(text), "state": "gone"})
            return
        self.left_alone.pop(name, None)
        self.kept[name] = each
        for duty in each.duties:
            duty.opened = functools.partial(self.opened, each, duty)
            duty.closing = self.closing
        if each.process is not None:
            self.listen_to(each.process, functools.partial(self.ended, each))
        elif "path" in each.record.holder:
            self.files.add(str(each.record.holder["path"]))

    def _say(self, name: str, said: dict[str, t.Any]) -> None:
        with contextlib.suppress(OSError):
            files.write(os.path.join(files.FOLDER, name, files.STATUS), json.dumps(said))

    def drop(self, each: Kept) -> None:
        """Without a word to anybody."""
        each.hush()
        if each.process is not None:
            self.forget(each.process)
            os.close(each.process)
            each.process = None
        self.kept.pop(each.name, None)
        self.runs.drop(each.name)

    def ended(self, each: Kept) -> None:
        """Its container is no more: at once nothing of it is held."""
        self.drop(each)
        self.leaving[each.name] = each.token

    def look_for_files(self) -> None:
        """Whether those are there that nothing else tells of. What cannot be known now is asked again later."""
        self.files.drain()
        unknown: OSError | None = None
        for each in [each for each in self.kept.values() if each.process is None]:
            try:
                io.check_holder(each.record)
            except io.Gone:
                self.ended(each)
            except OSError as error:
                unknown = error
        if unknown is not None:
            raise unknown

    def _remove_left(self) -> None:
        if self.leaving:
            with io.lock(LOCK) as free:
                for name, text in list(self.leaving.items()) if free else ():
                    folder = os.path.join(files.FOLDER, name)
                    now = token(files.read(os.path.join(folder, files.KEEP)) or "")
                    if now == text == NOBODY:  # what was said while a run removed the record
                        files.clear(folder, files.STATUS, files.GIVEN_UP)
                    elif now == text:
                        shutil.rmtree(folder, ignore_errors=True)
                    del self.leaving[name]

    def _is_over(self) -> bool:
        """Nobody is left, and no run is about to bring somebody."""
        with io.lock(LOCK) as free:
            there = {name: token(text) for name, text in files.records()} if free else {}
            self.stale = self.stale or any(self.left_alone.get(name) != text for name, text in there.items())
            if not free or self.stale or self.leaving or self.runs.child is not None:
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
                if duty.due <= now and duty.talks(now) and len(self.talking) >= self._at_once():
                    duty.due = now + LOCKED
                elif duty.due <= now:
                    duty.step(now)

        self._with(each, [duty for duty in each.duties if anew or duty.due <= now], work)

    def _at_once(self) -> int:
        """How many may talk, each with two sockets, and some file descriptors more for a moment."""
        return max(1, min(AT_ONCE, (io.descriptors() - io.SPARE) // 4))

    def heard(self, each: Kept, duty: Duty) -> None:
        now = files.clock()
        self._with(each, [duty], lambda duty: duty.listen(now))

    def _with(self, each: Kept, duties: t.Iterable[Duty], work: t.Callable[[Duty], None]) -> None:
        """One that has trouble does not take the others with it: its next step is a little later."""
        try:
            for duty in duties:
                if duty.failed.until > files.clock():
                    continue
                try:
                    work(duty)
                    self._commit(each, duty)
                    if duty.failed.count:
                        duty.failed.over()
                        duty.trouble = ""
                except io.Gone:
                    raise
                except OSError as error:
                    duty.trouble = in_words(error)
                    duty.due = files.clock() + AFTER_FAILURE
                except Exception as error:  # pylint: disable=broad-except  # whatever it is, all others go on
                    duty.failed.met(in_words(error), files.clock())
                    duty.hush()
                    duty.pending, duty.trouble, duty.due = None, duty.failed.words, duty.failed.until
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
                self.runs.want(each.name, duty.PACED)

    def _look_at_run(self) -> None:
        found = self.runs.look(files.clock())
        for name, words in (found or {}).items():
            each = self.kept.get(name)
            if each is None:
                self.runs.drop(name)
                continue
            for duty in each.duties:
                duty.trouble = words
            self.step(each, files.clock(), anew=True)


def in_words(error: Exception) -> str:
    if isinstance(error, OSError) and error.strerror:
        return f"{error.strerror}: {error.filename}" if error.filename else str(error.strerror)
    return f"{type(error).__name__}: {error}"[:WORDS]
