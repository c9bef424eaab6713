# Copyright: pipework.containers contributors
# GNU General Public License v3.0+ (see LICENSE)
"""The network namespace of a process, by its PID."""
from __future__ import annotations

import fcntl
import os
import re
import struct
import typing as t

from .._errors import PipeworkError
from . import Found, Held, NoContainer, open_namespace


def installed(_user: str | None) -> bool:
    return True


def find(name: str, _user: str | None) -> Found:
    if not re.fullmatch("[0-9]{1,9}", name) or not 0 < int(name) < 1 << 22:
        raise PipeworkError(f"container: {name!r} is not a process ID, which 'runtime: pid' needs.")
    pid = int(name)
    try:
        born = start_time(pid)
        fd = open_namespace(f"/proc/{pid}/ns/net")
    except (OSError, ValueError):
        raise NoContainer(f"container: there is no process {pid}.") from None
    if not lives(pid, born):
        os.close(fd)
        raise NoContainer(f"container: process {pid} ended while it was looked up.")
    return Found("pid", str(pid), str(born), Held(fd, lambda: lives(pid, born), {"pid": pid, "born": born}), pid=pid)


def start_time(pid: int) -> int:
    """When a process started, in clock ticks since boot: with the PID it names a process for good. Raises OSError."""
    with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as handle:
        fields = handle.read().rpartition(")")[2].split()
    if fields[0] in ("Z", "X"):
        raise ValueError("a zombie has no namespace any more")
    return int(fields[19])


def enter(pid: int, belongs: t.Callable[[int, int], bool]) -> int | None:
    """Opens a process's network namespace if the process belongs to a container, by its number and start time.

    None where it does not, or where the number is another process's by the time the namespace is open.
    """
    try:
        born = start_time(pid)
        fd = open_namespace(f"/proc/{pid}/ns/net")
    except (OSError, ValueError):
        return None
    try:
        if belongs(pid, born) and start_time(pid) == born:
            return Held(fd, lambda: lives(pid, born), {"pid": pid, "born": born})
    except (OSError, ValueError):
        pass
    os.close(fd)
    return None


def lives(pid: int, born: int) -> bool:
    """Whether a process is still the one that was seen."""
    try:
        return start_time(pid) == born
    except (OSError, ValueError):
        return False


def in_group(pid: int, *names: str) -> bool:
    """Whether one of the names is part of the path of a process's control group. Raises OSError."""
    with open(f"/proc/{pid}/cgroup", encoding="utf-8", errors="surrogateescape") as handle:
        text = handle.read()
    return any(name in text for name in names)


def status(pid: int, field: str) -> list[str]:
    """The words of one line of a process's status. Raises OSError."""
    with open(f"/proc/{pid}/status", encoding="utf-8", errors="surrogateescape") as handle:
        return next((line.split()[1:] for line in handle if line.startswith(f"{field}:")), [])


def command(pid: int) -> list[str]:
    """A process's command line; one empty word where it has none. Raises OSError."""
    with open(f"/proc/{pid}/cmdline", encoding="utf-8", errors="surrogateescape") as handle:
        return handle.read().rstrip("\0").split("\0")


def is_of_user(fd: int, uid: int) -> bool:
    """Whether a network namespace belongs to a user namespace of a user, or to one inside such."""
    get_userns, get_parent, get_owner = 0xB701, 0xB702, 0xB704
    try:
        space = fcntl.ioctl(fd, get_userns)
        while True:
            try:
                owner = struct.unpack("I", fcntl.ioctl(space, get_owner, struct.pack("I", 0)))[0]
                outer = None if owner == uid else fcntl.ioctl(space, get_parent)
            finally:
                os.close(space)
            if outer is None:
                return True
            space = outer
    except OSError:  # there is nothing outside the first one
        return False


def running(_user: str | None) -> list[str]:
    return []
