# Copyright: pipework.containers contributors
# GNU General Public License v3.0+ (see LICENSE)
"""Many named network namespaces, fast: one process makes them all, as `ip netns add` makes one."""
from __future__ import annotations

import ctypes
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

DIRECTORY = Path("/run/netns")
OURS = re.compile(r"pwb\d{4}")
CLONE_NEWNET = 0x40000000
MS_BIND = 0x1000
MNT_DETACH = 2
PER_PROCESS = 1000

libc = ctypes.CDLL(None, use_errno=True)


def checked(result: int, what: str) -> None:
    if result:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")


def name(number: int) -> str:
    return f"pwb{number:04d}"


@contextmanager
def namespaces(count: int) -> Iterator[list[str]]:
    """Makes /run/netns/pwb0000 and so on, and removes them whatever happens."""
    made_directory = not DIRECTORY.exists()
    DIRECTORY.mkdir(exist_ok=True)
    try:
        remove_all()
        for first in range(0, count, PER_PROCESS):
            make_in_child(range(first, min(count, first + PER_PROCESS)))
        yield [name(number) for number in range(count)]
    finally:
        remove_all()
        if made_directory:
            with suppress(OSError):  # somebody else's namespaces are in it by now
                DIRECTORY.rmdir()


def make_in_child(numbers: range) -> None:
    child = os.fork()
    if child == 0:
        status = 1
        try:
            for number in numbers:
                make(DIRECTORY / name(number))
            status = 0
        except OSError as error:
            os.write(2, f"{error}\n".encode())
        finally:
            os._exit(status)
    if os.waitpid(child, 0)[1]:
        raise RuntimeError("the network namespaces could not be made")


def make(path: Path) -> None:
    """The process moves on to its next namespace; the mount keeps this one."""
    checked(libc.unshare(CLONE_NEWNET), "unshare")
    path.touch(exist_ok=False)
    checked(libc.mount(b"/proc/self/ns/net", os.fsencode(path), b"none", MS_BIND, None), f"mount {path}")


def remove_all() -> None:
    """Also what a killed run has left."""
    for path in DIRECTORY.iterdir():
        if OURS.fullmatch(path.name):
            libc.umount2(os.fsencode(path), MNT_DETACH)
            path.unlink()


@contextmanager
def entered(path: str) -> Iterator[None]:
    """This process, and the programs it starts meanwhile, inside the network namespace at path."""
    home = os.open("/proc/self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    there = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        checked(libc.setns(there, CLONE_NEWNET), f"setns {path}")
        try:
            yield
        finally:
            checked(libc.setns(home, CLONE_NEWNET), "setns back")
    finally:
        os.close(there)
        os.close(home)
