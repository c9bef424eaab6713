# Copyright: pipework.containers contributors
# GNU General Public License v3.0+ (see LICENSE)
"""What the process that stays has of the host and of containers, by the standard library alone: it is small."""
from __future__ import annotations

import contextlib
import ctypes
import errno
import fcntl
import os
import resource
import time
import typing as t

from .._ipam import store as files
from .record import Record

CLONE_NEWNET = 0x40000000
GONE = (FileNotFoundError, ProcessLookupError)  # nothing else says that something is not there any more
NO_MORE = (errno.EMFILE, errno.ENFILE)
SPARE = 16  # file descriptors that are left for work
IN_MOVED_FROM, IN_DELETE, IN_ONLYDIR = 0x40, 0x200, 0x1000000

_libc = ctypes.CDLL(None, use_errno=True)


class Gone(Exception):
    """The container has ended, or its interface is another one."""


def moment(at: float | None, now: float) -> str | None:
    """A moment of the clock that leases expire by, for readers."""
    if at is None or at == float("inf"):
        return None
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + at - now))


@contextlib.contextmanager
def lock(path: str) -> t.Iterator[bool]:
    """The host's lock; False where a run has it."""
    handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
        else:
            yield True
    finally:
        os.close(handle)


class Watch:
    """Tells when a file goes that a namespace was opened by."""

    def __init__(self) -> None:
        self.fd = _libc.inotify_init1(os.O_CLOEXEC | os.O_NONBLOCK)
        if self.fd < 0:
            raise OSError(ctypes.get_errno(), "inotify")

    def add(self, path: str) -> None:
        _libc.inotify_add_watch(self.fd, os.fsencode(os.path.dirname(path)), IN_MOVED_FROM | IN_DELETE | IN_ONLYDIR)

    def drain(self) -> None:
        with contextlib.suppress(BlockingIOError):
            os.read(self.fd, 1 << 16)


# -- containers

def leads_to(path: str, namespace: tuple[int, int]) -> bool:
    """Raises OSError where that cannot be known."""
    try:
        status = os.stat(path)
    except GONE:
        return False
    return (status.st_dev, status.st_ino) == tuple(namespace)


def check_holder(record: Record) -> None:
    """Raises Gone where what a namespace belongs to is gone, and OSError where that cannot be known."""
    holder = record.holder
    if record.boot not in ("", files.boot()):
        raise Gone
    if "pid" in holder:
        try:
            with open(f"/proc/{holder['pid']}/stat", encoding="utf-8", errors="replace") as handle:
                fields = handle.read().rpartition(")")[2].split()
        except GONE:
            raise Gone from None
        if fields[0] in ("Z", "X") or int(fields[19]) != holder.get("born"):
            raise Gone
    elif "path" in holder and not leads_to(str(holder["path"]), record.namespace):
        raise Gone


def open_process(record: Record) -> int | None:
    """A pidfd of the process that a namespace belongs to, which tells of its end. It holds nothing of it.

    None where it belongs to a file, or where the rest of this process's file descriptors is needed for work: then it is
    looked for its end now and then. Raises Gone, OSError.
    """
    fd = None
    if "pid" in record.holder:
        try:
            fd = os.pidfd_open(record.holder["pid"])
        except GONE:
            raise Gone from None
        except OSError as error:
            if error.errno not in NO_MORE:
                raise
    try:
        check_holder(record)
    except BaseException:
        if fd is not None:
            os.close(fd)
        raise
    if fd is not None and fd >= descriptors() - SPARE:
        os.close(fd)
        return None
    return fd


def descriptors() -> int:
    """How many files this process may have open."""
    return resource.getrlimit(resource.RLIMIT_NOFILE)[0]


def open_namespace(record: Record) -> int:
    """Raises Gone where it is another one, and OSError where that cannot be known."""
    holder = record.holder
    if record.boot not in ("", files.boot()):
        raise Gone
    try:
        path = str(holder.get("path") or f"/proc/{holder.get('pid', 'self')}/ns/net")
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except GONE:
        raise Gone from None
    status = os.fstat(fd)
    if (status.st_dev, status.st_ino) != tuple(record.namespace):
        os.close(fd)
        raise Gone
    return fd


def inside(record: Record, work: t.Callable[[], t.Any]) -> t.Any:
    """Does something in a container's network namespace and comes back. Nothing of it stays open."""
    home = os.open("/proc/self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    try:
        fd = open_namespace(record)
        try:
            _enter(fd)
            try:
                return work()
            finally:
                _enter(home)
        finally:
            os.close(fd)
    finally:
        os.close(home)


def _enter(fd: int) -> None:
    if _libc.setns(fd, CLONE_NEWNET) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
