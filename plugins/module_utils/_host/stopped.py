# Copyright: pipework.containers contributors
# GNU General Public License v3.0+ (see LICENSE)
"""Words about a process that something waits for in vain: who holds a lock, and whether it is stopped."""
from __future__ import annotations

import contextlib
import os

STOPPED = (b"T", b"t")  # by a signal, or by a debugger


def is_stopped(pid: int) -> bool:
    with contextlib.suppress(OSError, IndexError), open(f"/proc/{pid}/stat", "rb") as file:
        return file.read().rpartition(b")")[2].split()[0] in STOPPED
    return False


def words(pid: int) -> str:
    """What to do about it; empty where it is not stopped."""
    return f" is stopped (SIGSTOP, or a debugger has it); 'kill -CONT {pid}' lets it go on" if is_stopped(pid) else ""


def holder(handle: int) -> int | None:
    """The process that holds the lock of an open file, as far as the kernel tells."""
    status = os.fstat(handle)
    place = f"{os.major(status.st_dev):02x}:{os.minor(status.st_dev):02x}:{status.st_ino}"
    with contextlib.suppress(OSError, ValueError, IndexError), open("/proc/locks", encoding="ascii") as file:
        for line in file:
            fields = line.split()
            if fields[1] == "FLOCK" and fields[5] == place and int(fields[4]) > 0:
                return int(fields[4])
    return None
