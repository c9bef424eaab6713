# Copyright: pipework.containers contributors
# GNU General Public License v3.0+ (see LICENSE)
"""Runs a program in a network namespace, apart from the host: its own /run and /var/lib, an /etc that it cannot write,
its own processes, and no right to configure anything. Runs as a process of its own, which needs nothing but Python.

What it shall do stands on its input, as JSON. When something is written to the path ``said``, that is its output, and
the program is over. Nothing outlives this process: the program ends with it, and it ends with the one that started it.
"""
from __future__ import annotations

import ctypes
import json
import os
import select
import signal
import sys
import typing as t

CLONE_NEWNS, CLONE_NEWUTS, CLONE_NEWIPC = 0x00020000, 0x04000000, 0x08000000
CLONE_NEWPID, CLONE_NEWNET = 0x20000000, 0x40000000
MS_RDONLY, MS_NOSUID, MS_NODEV, MS_REMOUNT, MS_BIND, MS_REC, MS_PRIVATE = 1, 2, 4, 32, 4096, 16384, 1 << 18
PR_SET_PDEATHSIG, PR_CAPBSET_DROP = 1, 24
# chown, dac_override, fowner, kill, setgid, setuid, setpcap, net_bind_service, net_raw, sys_chroot; not net_admin.
KEPT = {0, 1, 3, 5, 6, 7, 8, 10, 13, 18}
OWN = ("/run", "/var/lib")
ENVIRONMENT = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C"}
READ_BYTES, SAID_MAX = 1 << 16, 1 << 20
CANNOT = 126  # the exit status where the program was not started

_libc = ctypes.CDLL(None, use_errno=True)


def call(name: str, *args: t.Any) -> None:
    """A function of the C library, which succeeds or raises OSError."""
    if getattr(_libc, name)(*args) == -1:
        number = ctypes.get_errno()
        raise OSError(number, f"{name}: {os.strerror(number)}")


def mount(source: str, target: str, kind: str, flags: int, data: str = "") -> None:
    """mount(2)."""
    words = [each.encode() for each in (source, target, kind)]
    call("mount", *words, ctypes.c_ulong(flags), data.encode())


def end_with_parent() -> None:
    call("prctl", PR_SET_PDEATHSIG, ctypes.c_ulong(signal.SIGKILL), 0, 0, 0)


def settle(files: dict[str, tuple[str, int]], said: str) -> None:
    """Mounts of its own. A file that would lie on the host's own file system is mounted over the one that is there."""
    mount("none", "/", "none", MS_REC | MS_PRIVATE)
    for path in OWN:
        mount("tmpfs", path, "tmpfs", MS_NOSUID | MS_NODEV, "mode=755")
    for number, (path, (text, mode)) in enumerate(files.items()):
        own = path.startswith(OWN)
        place = path if own else f"{os.path.dirname(said)}/{number}"
        os.makedirs(os.path.dirname(place), mode=0o755, exist_ok=True)
        with open(place, "w", encoding="utf-8") as handle:
            handle.write(text)
        os.chmod(place, mode)
        if not own:
            mount(place, path, "none", MS_BIND)
    mount("/etc", "/etc", "none", MS_BIND)
    mount("none", "/etc", "none", MS_REMOUNT | MS_BIND | MS_RDONLY | MS_NOSUID | MS_NODEV)
    os.mkfifo(said, 0o600)


def become(argv: list[str]) -> None:
    """The program."""
    try:
        for number in set(range(last_capability() + 1)) - KEPT:
            call("prctl", PR_CAPBSET_DROP, ctypes.c_ulong(number), 0, 0, 0)
        os.dup2(os.open(os.devnull, os.O_RDWR), 0)
        os.dup2(2, 1)
        os.execve(argv[0], argv, ENVIRONMENT)
    except OSError as error:
        os.write(2, f"{argv[0]}: {error.strerror or error}\n".encode())
    finally:
        os._exit(127)


def last_capability() -> int:
    """The highest number of a capability that the kernel knows."""
    with open("/proc/sys/kernel/cap_last_cap", encoding="ascii") as handle:
        return int(handle.read())


def lead(spec: dict[str, t.Any]) -> int:
    """The first process of a PID namespace: all others there end with it."""
    end_with_parent()
    settle(spec["files"], spec["said"])
    fifo = os.open(spec["said"], os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    pid = os.fork()
    if pid == 0:
        become(spec["argv"])
    ended, data = os.pidfd_open(pid), b""
    while len(data) < SAID_MAX:
        ready = select.select([fifo, ended], [], [])[0]
        piece = os.read(fifo, READ_BYTES) if fifo in ready else b""
        data += piece
        if not piece:  # all has been written, or the program is over
            break
    with open(1, "wb", closefd=False) as output:
        output.write(data)
    return 0 if data else 1


def main() -> int:
    spec = json.load(sys.stdin)
    end_with_parent()
    if os.getppid() != spec["parent"]:
        return 1
    call("setns", spec["netns"], CLONE_NEWNET)
    os.close(spec["netns"])
    call("unshare", CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWUTS | CLONE_NEWIPC)
    pid = os.fork()
    if pid == 0:
        os._exit(guarded(lead, spec))
    return os.WEXITSTATUS(os.waitpid(pid, 0)[1])


def guarded(work: t.Callable[..., int], *args: t.Any) -> int:
    """The exit status that work has, or CANNOT with the reason on stderr."""
    try:
        return work(*args)
    except OSError as error:
        os.write(2, f"{error.strerror or error}\n".encode())
        return CANNOT


if __name__ == "__main__":
    raise SystemExit(guarded(main))
