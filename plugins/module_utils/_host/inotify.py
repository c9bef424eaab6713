# Copyright: pipework.containers contributors
# GNU General Public License v3.0+ (see LICENSE)
"""Hears when a file or a mount comes or goes, which is how named network namespaces do."""
from __future__ import annotations

import ctypes
import os
import select
import typing as t

IN_MOVED, IN_CREATE, IN_DELETE, IN_ONLYDIR = 0xC0, 0x100, 0x200, 0x1000000
MOUNTS = "/proc/self/mountinfo"  # poll() tells when the mounts change

_libc = ctypes.CDLL(None, use_errno=True)


def changes(folders: t.Sequence[str]) -> t.Iterator[None]:
    """Yields once when it listens, and each time that something comes or goes in one of the folders, or is mounted.

    A folder that is not there itself is looked for where it would come. Ends where the kernel cannot tell.
    """
    fd = _libc.inotify_init1(os.O_CLOEXEC | os.O_NONBLOCK)
    if fd < 0:
        return
    mounts = os.open(MOUNTS, os.O_RDONLY | os.O_CLOEXEC)
    try:
        poll = select.poll()
        poll.register(fd, select.POLLIN)
        poll.register(mounts, select.POLLPRI)
        while all(_listen(fd, folder) for folder in folders):
            yield
            for ready, _what in poll.poll():
                if ready == fd:
                    os.read(fd, 1 << 16)
    finally:
        os.close(fd)
        os.close(mounts)


def _listen(fd: int, folder: str) -> bool:
    """On the folder, or the nearest one above it that is there. It may be listened on already."""
    while True:
        if _libc.inotify_add_watch(fd, os.fsencode(folder), IN_MOVED | IN_CREATE | IN_DELETE | IN_ONLYDIR) >= 0:
            return True
        above = os.path.dirname(folder)
        if above == folder:
            return False
        folder = above
