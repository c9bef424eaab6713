# Copyright: pipework.containers contributors
# GNU General Public License v3.0+ (see LICENSE)
"""Whose word an answer is: who listens at a socket, who can change what a path leads to, who made a namespace.

An engine of root's is believed about namespaces of root's. What a user's engine says, or a file that a user can change,
counts for namespaces of that user's alone.
"""
from __future__ import annotations

import errno
import os
import stat
import typing as t

from .._core.errors import PipeworkError

ANYBODY = -1  # several, none of whom can be named
LINKS_MAX = 40  # as the kernel has it
GET_USERNS, GET_PARENT, GET_OWNER = 0xB701, 0xB702, 0xB704  # NS_GET_USERNS, NS_GET_PARENT, NS_GET_OWNER_UID


class Untrusted(PipeworkError):
    """Somebody speaks who is not believed."""


def user_words(uid: int) -> str:
    """A user as a message names him."""
    import pwd

    if uid == ANYBODY:
        return "others than root"
    try:
        return f"the user {pwd.getpwuid(uid).pw_name!r}"
    except (KeyError, OverflowError):
        return f"the user with the ID {uid}"


# -- paths

def writers(path: str) -> dict[int, str]:
    """Who besides root can change what an absolute path leads to, and where. Raises OSError where it leads nowhere.

    Each folder and link on the way is looked at as the kernel follows them, and what the path leads to in the end.
    """
    found: dict[int, str] = {}
    flags = os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC
    procfs = os.stat("/proc").st_dev
    here, place, links = os.open("/", flags), "/", 0
    todo = path.split("/")[::-1]
    try:
        while True:
            status = os.fstat(here)
            if status.st_dev != procfs:  # no one changes what is there, and it is not a way to somebody else's rights
                _note(found, status, place)
            while todo and todo[-1] in ("", "."):
                todo.pop()
            if not todo:
                return found
            name = todo.pop()
            below = os.open(name, flags, dir_fd=here)
            entry = os.fstat(below)
            if stat.S_ISLNK(entry.st_mode):
                links += 1
                if links > LINKS_MAX:
                    os.close(below)
                    raise OSError(errno.ELOOP, os.strerror(errno.ELOOP))
                if entry.st_uid != 0 and status.st_dev != procfs:
                    found.setdefault(entry.st_uid, place)
                if status.st_dev == procfs:  # such a link is none to a path
                    os.close(below)
                    below = os.open(name, flags & ~os.O_NOFOLLOW, dir_fd=here)
                else:
                    text = os.readlink("", dir_fd=below)
                    os.close(below)
                    todo += text.split("/")[::-1]
                    below = os.open("/", flags) if text.startswith("/") else os.dup(here)
                    name = "/" if text.startswith("/") else "."
            os.close(here)
            plain = "".join(letter if letter.isprintable() else "?" for letter in name)  # others may have chosen it
            here, place = below, os.path.normpath(os.path.join(place, plain))
    finally:
        os.close(here)


def _note(found: dict[int, str], status: os.stat_result, place: str) -> None:
    """A folder's entries are those of who may write in it; in one with the sticky bit, each is its owner's."""
    if status.st_uid != 0:
        found.setdefault(status.st_uid, place)
    if stat.S_ISSOCK(status.st_mode) or (stat.S_ISDIR(status.st_mode) and status.st_mode & stat.S_ISVTX):
        return
    if status.st_mode & stat.S_IWOTH or (status.st_mode & stat.S_IWGRP and status.st_gid not in (0, status.st_uid)):
        found.setdefault(ANYBODY, place)


# -- sockets

def engine_at(path: str, seconds: float) -> int:
    """The user whose engine listens at a socket, 0 for root's. Raises OSError where none does."""
    import socket

    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.settimeout(seconds)
        connection.connect(path)
        return speaker(connection, path)


def peer_of(connection: t.Any) -> tuple[int, int]:
    """The process that listens at the other end of a connection, 0 where it is not to be seen, and its user."""
    import socket
    import struct

    pid, uid, _gid = struct.unpack("3i", connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))
    return pid, uid


def speaker(connection: t.Any, path: str) -> int:
    """The user who listens there. Raises Untrusted where somebody else could put himself in his place."""
    pid, uid = peer_of(connection)
    for other, place in writers(path).items():
        if other != uid:
            raise Untrusted(
                f"what listens at {path} is not believed, because {place} can be changed by {user_words(other)}"
            )
    if uid == 0 and not is_of_host(pid):
        raise Untrusted(
            f"what listens at {path} is not believed, because it is a process of a container, or has ended; "
            "the module has to run on the engine's own host"
        )
    return uid


def engine_on(port: int) -> set[int]:
    """The users who listen on a TCP port of this host."""
    found = set()
    for name in ("tcp", "tcp6"):
        with open(f"/proc/net/{name}", encoding="ascii") as handle:
            for line in list(handle)[1:]:
                words = line.split()
                if words[3] == "0A" and int(words[1].rpartition(":")[2], 16) == port:  # TCP_LISTEN
                    found.add(int(words[7]))
    return found


# -- processes

def is_of_host(pid: int) -> bool:
    """Whether a process has the PID namespace that the module has: a process of a container has one of its own."""
    try:
        return pid == 1 or pid > 0 and os.path.samestat(os.stat(f"/proc/{pid}/ns/pid"), os.stat("/proc/self/ns/pid"))
    except (FileNotFoundError, ProcessLookupError):
        return False


def program_of(pid: int, uid: int) -> str | None:
    """The name of the program that a process of a user's on this host runs, if root alone can change that file."""
    try:
        with open(f"/proc/{pid}/status", encoding="utf-8", errors="surrogateescape") as handle:
            uids = next((line.split()[1:] for line in handle if line.startswith("Uid:")), [])
        program = os.stat(f"/proc/{pid}/exe")
        path = os.readlink(f"/proc/{pid}/exe")
    except (FileNotFoundError, ProcessLookupError, PermissionError):
        return None
    found: dict[int, str] = {}
    _note(found, program, path)
    if found or not uids or set(uids) != {str(uid)} or not is_of_host(pid):
        return None
    return os.path.basename(path[: -len(" (deleted)")] if path.endswith(" (deleted)") else path)


# -- namespaces

def owners(fd: int) -> t.Iterator[int]:
    """The users who made the user namespace that a network namespace belongs to, and those around it, up to the one
    that the module is in, which is root's. None for one that is not inside of that."""
    import fcntl

    try:
        space = fcntl.ioctl(fd, GET_USERNS)
    except OSError as error:
        if error.errno != errno.EPERM:
            raise
        return
    yield from _owners(space)


def _owners(space: int) -> t.Iterator[int]:
    import fcntl
    import struct

    while True:
        try:
            if os.path.samestat(os.fstat(space), os.stat("/proc/self/ns/user")):
                yield 0
                return
            yield struct.unpack("I", fcntl.ioctl(space, GET_OWNER, struct.pack("I", 0)))[0]
            outer = fcntl.ioctl(space, GET_PARENT)
        except OSError as error:
            if error.errno != errno.EPERM:
                raise
            return  # it is not inside of the module's own
        finally:
            os.close(space)
        space = outer


def belongs_to(fd: int, uid: int) -> bool:
    """Whether a network namespace is one of a user's: inside a user namespace that the user made.

    Root's are only those that root made itself: each user's are inside of root's.
    """
    found = owners(fd)
    return next(found, None) == 0 if uid == 0 else uid in found


def is_users_process(pid: int, uid: int) -> bool:
    """Whether a process is inside a user namespace that the user made. Raises OSError."""
    return uid in _owners(os.open(f"/proc/{pid}/ns/user", os.O_RDONLY | os.O_CLOEXEC))
