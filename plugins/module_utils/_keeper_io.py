# Copyright: pipework.containers contributors
# GNU General Public License v3.0+ (see LICENSE)
"""What the process that stays has of the host and of containers, by the standard library alone: it is small."""
from __future__ import annotations

import contextlib
import ctypes
import fcntl
import os
import time
import typing as t

from ._dhcp_keep import Record

CLONE_NEWNET = 0x40000000
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
    try:
        status = os.stat(path)
    except OSError:
        return False
    return (status.st_dev, status.st_ino) == tuple(namespace)


def open_process(record: Record) -> int | None:
    """A pidfd of the process that a namespace belongs to; None where it belongs to a file. It holds nothing of it."""
    holder = record.holder
    if "pid" not in holder:
        if "path" in holder and not leads_to(str(holder["path"]), record.namespace):
            raise Gone
        return None
    try:
        fd = os.pidfd_open(int(holder["pid"]))
    except OSError:
        raise Gone from None
    with contextlib.suppress(OSError, IndexError):
        with open(f"/proc/{holder['pid']}/stat", encoding="utf-8", errors="replace") as handle:
            fields = handle.read().rpartition(")")[2].split()
        if fields[0] not in ("Z", "X") and int(fields[19]) == holder["born"]:
            return fd
    os.close(fd)
    raise Gone


def open_namespace(record: Record) -> int:
    """Raises Gone where it is another one."""
    holder = record.holder
    try:
        path = str(holder.get("path") or f"/proc/{holder.get('pid', 'self')}/ns/net")
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError:
        raise Gone from None
    status = os.fstat(fd)
    if (status.st_dev, status.st_ino) != tuple(record.namespace):
        os.close(fd)
        raise Gone
    return fd


def inside(record: Record, work: t.Callable[[], t.Any]) -> t.Any:
    """Does something in a container's network namespace and comes back. Nothing of it stays open."""
    fd = open_namespace(record)
    home = os.open("/proc/self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    try:
        _enter(fd)
        try:
            return work()
        finally:
            _enter(home)
    finally:
        os.close(fd)
        os.close(home)


def _enter(fd: int) -> None:
    if _libc.setns(fd, CLONE_NEWNET) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
