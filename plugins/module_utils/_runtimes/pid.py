# Copyright: pipework.containers contributors
# GNU General Public License v3.0+ (see LICENSE)
"""The network namespace of a process, by its PID."""
from __future__ import annotations

import os

from .._errors import PipeworkError
from . import Found, NoContainer, open_namespace


def installed(_user: str | None) -> bool:
    return True


def find(name: str, _user: str | None) -> Found:
    if not (name.isascii() and name.isdigit()) or not 0 < int(name) < 1 << 22:
        raise PipeworkError(f"container: {name!r} is not a process ID, which 'runtime: pid' needs.")
    pid = int(name)
    try:
        born = start_time(pid)
        fd = open_namespace(f"/proc/{pid}/ns/net")
    except (OSError, ValueError):
        raise NoContainer(f"container: there is no process {pid}.") from None
    try:
        same = start_time(pid) == born
    except (OSError, ValueError):
        same = False
    if not same:
        os.close(fd)
        raise NoContainer(f"container: process {pid} ended while it was looked up.")
    return Found("pid", str(pid), str(born), fd)


def start_time(pid: int) -> int:
    """When a process started, in clock ticks since boot: with the PID it names a process for good. Raises OSError."""
    with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as handle:
        fields = handle.read().rpartition(")")[2].split()
    if fields[0] in ("Z", "X"):
        raise ValueError("a zombie has no namespace any more")
    return int(fields[19])


def running(_user: str | None) -> list[str]:
    return []
