# Copyright: pipework.containers contributors
# GNU General Public License v3.0+ (see LICENSE)
"""The DHCP client that stays: one process for all kept leases of a host, which sleeps until one of them is due.

It holds a pidfd for each container and nothing else of it: a namespace is looked for when there is something to send,
and let go with the last answer, or at once when the container ends. More time for the same lease is given to the
kernel right here; whatever else a server says goes through a run of its own (_keep_job), with the rules of all others.
"""
from __future__ import annotations

import contextlib
import fcntl
import functools
import json
import os
import resource
import select
import shutil
import signal
import sys
import time
import traceback
import typing as t

from . import _keeper_io as io
from ._dhcp_keep import Record, token
from ._dhcp_lease import Grant, unpack
from ._keeper_client import BOUND, NEVER, Client

LEASES, HOME, LOCK = "/run/pipework/dhcp", "/run/pipework/keeper", "/run/pipework/lock"  # as _dhcp and _run have them
CGROUPS = ("/sys/fs/cgroup/cgroup.procs", "/sys/fs/cgroup/unified/cgroup.procs", "/sys/fs/cgroup/systemd/cgroup.procs")
LONGEST_SLEEP = 60.0
LOCKED = 0.1  # seconds until the host's lock is tried again
AFTER_FAILURE = 10.0
BETWEEN = 1.0  # from the end of a run to the next: no server can keep a host busy with them
AT_ONCE = 64  # that talk, since each then has two sockets
WORDS = 300  # of what went wrong


class Kept(Client):
    """One attachment, and its files."""

    def __init__(self, name: str, text: str, keeper: Keeper) -> None:
        super().__init__(Record.unpack(text))
        self.name, self.token, self.keeper = name, token(text), keeper
        self.folder = os.path.join(LEASES, name)
        self.asked: dict[str, t.Any] = {}
        self.signature: tuple[int, int] | None = None
        self.trouble, self.told = "", ""
        self.process = io.open_process(self.record)
        self.reload()

    def open(self) -> None:
        super().open()
        if self.socket is not None:
            self.keeper.listen_to(self.socket.fileno(), functools.partial(self.keeper.heard, self))

    def hush(self) -> None:
        if self.socket is not None:
            self.keeper.forget(self.socket.fileno())
        super().hush()

    def is_current(self) -> bool:
        """Whether its record is still the one that it was made of."""
        return token(io.read(os.path.join(self.folder, "keep")) or "") == self.token

    def reload(self) -> bool:
        """Reads the lease where somebody has written it since."""
        path = os.path.join(self.folder, "lease")
        now = io.signature(path)
        if now == self.signature:
            return False
        self.signature = now
        try:
            self.asked, grant = unpack(io.read(path) or "")
        except ValueError:
            self.adopt(None)
        else:
            self.adopt(grant)
        return True

    def store(self, grant: Grant | None) -> None:
        """Under the host's lock."""
        path = os.path.join(self.folder, "lease")
        if grant is not None:
            io.write(path, grant.pack(self.asked))
        elif self.signature is not None:
            os.unlink(path)
        self.signature, self.trouble = io.signature(path), ""
        self.adopt(grant)

    def tell(self, state: str = "") -> None:
        """What others can read about it."""
        grant, now = self.grant, io.clock()
        said = {
            "pid": os.getpid(), "token": self.token, "state": state or self.state,
            "address": grant.address if grant else None, "server": grant.server if grant else None,
            "renewed": io.moment(self.renewed, now), "next": io.moment(self.due, now),
            "expires": io.moment(grant.expires if grant else None, now), "error": self.trouble or self.heard or None,
        }
        text = json.dumps(said, sort_keys=True)
        if text != self.told and os.path.isdir(self.folder):
            io.write(os.path.join(self.folder, "status"), text)
            self.told = text


class Keeper:
    """All of them."""

    def __init__(self) -> None:
        self.kept: dict[str, Kept] = {}
        self.leaving: dict[str, str] = {}  # whose containers ended: their files go when the lock is free
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
            now = io.clock()
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
            ready = self.poll.poll(max(0.0, min([*dues, now + LONGEST_SLEEP]) - io.clock()))
            for fd, _events in ready:
                self.handlers.get(fd, lambda: None)()
            if not ready:
                self.look_for_files()

    # -- who there is

    def rescan(self) -> None:
        """Reads all records; those that are as they were go on."""
        self.stale = False
        found = dict(records())
        for name in [name for name, each in self.kept.items() if token(found.get(name, "")) != each.token]:
            self.drop(self.kept[name])
        for name, text in found.items():
            if name not in self.kept and self.leaving.get(name) != token(text):
                self._take(name, text)
        now = io.clock()
        for each in list(self.kept.values()):
            each.told = ""
            self.step(each, now)

    def _take(self, name: str, text: str) -> None:
        try:
            each = Kept(name, text, self)
        except (ValueError, io.Gone):
            self.leaving[name] = token(text)
            with contextlib.suppress(OSError):
                io.write(os.path.join(LEASES, name, "status"), json.dumps({"token": token(text), "state": "gone"}))
            return
        self.kept[name] = each
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
                    folder = os.path.join(LEASES, name)
                    if token(io.read(os.path.join(folder, "keep")) or "") == text:
                        shutil.rmtree(folder, ignore_errors=True)
                if free:
                    self.leaving.clear()

    def _is_over(self) -> bool:
        """Nobody is left, and no run is about to bring somebody."""
        with io.lock(LOCK) as free:
            self.stale = free and any(records())
            if not free or self.stale or self.leaving or self.child is not None:
                return False
            shutil.rmtree(HOME, ignore_errors=True)
            with contextlib.suppress(OSError):
                os.rmdir(LEASES)
            return True

    # -- what they do

    def step(self, each: Kept, now: float) -> None:
        try:
            if each.pending is None:
                each.reload()
                talking = sum(other.socket is not None for other in self.kept.values())
                if each.socket is None and talking >= AT_ONCE and each.phase(now) != BOUND:
                    each.due = now + LOCKED
                    return
                each.step(now)
            self._store(each, now)
            each.tell()
        except io.Gone:
            self.ended(each)
        except OSError as error:
            self._put_off(each, error)

    def heard(self, each: Kept) -> None:
        now = io.clock()
        try:
            each.listen(now)
            self._store(each, now)
        except io.Gone:
            self.ended(each)
        except OSError as error:
            self._put_off(each, error)

    def _put_off(self, each: Kept, error: OSError) -> None:
        """One that has trouble does not take the others with it: its next step is a little later."""
        each.trouble = f"{error.strerror}: {error.filename}" if error.filename else str(error.strerror)
        each.due = io.clock() + AFTER_FAILURE
        with contextlib.suppress(OSError):
            each.tell()

    def _store(self, each: Kept, now: float) -> None:
        """What came of talking: to the file, and to the kernel. Not while a run is under way."""
        if each.pending is None:
            return
        with io.lock(LOCK) as free:
            if not free:
                each.due = now + LOCKED
                return
            if not each.is_current():
                self.stale, each.pending, each.due = True, None, NEVER
                return
            was, found = each.grant, each.pending.grant
            if each.reload():
                return  # a run has asked by itself meanwhile
            each.store(found)
            if found is not None and was is not None and was.same(found):
                try:
                    io.extend(each.record, found, now)
                    return
                except OSError as error:
                    each.trouble = f"the address got no more time: {error.strerror}"
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
        said = (io.read(os.path.join(HOME, "said")) or "").strip() or "no run was possible"
        words = said[-WORDS:] if status else ""
        for each in [self.kept[name] for name in self.doing if name in self.kept]:
            each.trouble = words
            each.tell()
            if words:
                self.changes.add(each.name)
        self.again = io.clock() + (AFTER_FAILURE if words else BETWEEN)
        self.doing = set()


def records() -> t.Iterator[tuple[str, str]]:
    """Names of folders, and what is to be kept there."""
    with contextlib.suppress(FileNotFoundError):
        for name in os.listdir(LEASES):
            text = io.read(os.path.join(LEASES, name, "keep"))
            if text is not None:
                yield name, text


def _alone(program: str) -> int | None:
    """The lock that says who keeps this host's leases; None where another process does."""
    handle = os.open(os.path.join(HOME, "lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    for _attempt in range(50):  # somebody may just be looking whether it is free
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            time.sleep(0.02)
            continue
        os.ftruncate(handle, 0)
        os.write(handle, json.dumps({"pid": os.getpid(), "program": program}).encode())
        return handle
    return None


def main() -> None:
    come, gone = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
    signal.signal(signal.SIGHUP, lambda _number, _frame: None)  # before anybody knows whom to send it to
    signal.set_wakeup_fd(gone, warn_on_full_buffer=False)
    if _alone(os.path.basename(sys.argv[0])) is None:
        return
    for procs in CGROUPS if "INVOCATION_ID" not in os.environ else ():  # a login's end is not the end of this
        with contextlib.suppress(OSError), open(procs, "w", encoding="ascii") as handle:
            handle.write("0")
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    keeper = Keeper()

    def look_again() -> None:
        os.read(come, 1 << 10)
        keeper.stale = True

    keeper.listen_to(come, look_again)
    try:
        keeper.run()
    except Exception:
        io.write(os.path.join(HOME, "crash"), traceback.format_exc())  # nobody else hears it
        raise
