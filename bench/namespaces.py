# Copyright: pipework.containers contributors
# GNU General Public License v3.0+ (see LICENSE)
"""Where the benchmark happens: a network and mount namespace of its own, which takes everything along when it ends,
and in it many named network namespaces, all made by one process."""

from __future__ import annotations

import ctypes
import os
import re
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

NAMES = Path("/run/netns")
# Where the things that are measured write: each sees an empty directory of the benchmark's own.
PRIVATE = (NAMES, Path("/run/pipework"), Path("/run/containerd"), Path("/var/lib/cni"))
CGROUPS = "/sys/fs/cgroup"
OURS = re.compile(r"pwb\d{4}")
PER_PROCESS = 1000

CLONE_NEWNS, CLONE_NEWNET = 0x00020000, 0x40000000
MS_BIND, MS_REC, MS_PRIVATE = 0x1000, 0x4000, 0x40000
MNT_DETACH = 2

libc = ctypes.CDLL(None, use_errno=True)


def checked(result: int, what: str) -> None:
    if result:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")


def mount(source: str, target: str | Path, kind: str | None = None, flags: int = 0) -> None:
    encoded_kind = None if kind is None else kind.encode()
    checked(libc.mount(os.fsencode(source), os.fsencode(target), encoded_kind, flags, None), f"mount {target}")


@contextmanager
def private_host() -> Iterator[None]:
    """This process and what it starts in a host of their own, as far as links, firewall and named namespaces go."""
    with ExitStack() as stack:
        for directory in PRIVATE:
            if not directory.exists():
                directory.mkdir(parents=True)
                stack.callback(remove_empty, directory)
        checked(libc.unshare(CLONE_NEWNET | CLONE_NEWNS), "unshare")
        mount("none", "/", None, MS_REC | MS_PRIVATE)
        for directory in PRIVATE:
            mount("tmpfs", directory, "tmpfs")
            stack.callback(libc.umount2, os.fsencode(directory), MNT_DETACH)
        private_sysfs()
        yield


def private_sysfs() -> None:
    """/sys/class/net of this namespace, and the control groups as they were."""
    cgroups = os.open(CGROUPS, os.O_PATH)
    try:
        mount("sysfs", "/sys", "sysfs")
        mount(f"/proc/self/fd/{cgroups}", CGROUPS, None, MS_BIND | MS_REC)
    finally:
        os.close(cgroups)


def remove_empty(directory: Path) -> None:
    with suppress(OSError):  # somebody else uses it by now
        directory.rmdir()


def name(number: int) -> str:
    return f"pwb{number:04d}"


@contextmanager
def namespaces(count: int) -> Iterator[list[str]]:
    """/run/netns/pwb0000 and so on, as `ip netns add` makes them; removed whatever happens."""
    try:
        for first in range(0, count, PER_PROCESS):
            make_in_child(range(first, min(count, first + PER_PROCESS)))
        yield [name(number) for number in range(count)]
    finally:
        for path in NAMES.iterdir():
            if OURS.fullmatch(path.name):
                libc.umount2(os.fsencode(path), MNT_DETACH)
                path.unlink()


def make_in_child(numbers: range) -> None:
    child = os.fork()
    if child == 0:
        status = 1
        try:
            for number in numbers:
                make(NAMES / name(number))
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
    mount("/proc/self/ns/net", path, None, MS_BIND)
