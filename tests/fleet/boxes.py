# Copyright: pipework.containers contributors
# GNU General Public License v3.0+ (see LICENSE)
"""Boxes: a process and its own network, mounts, host name and processes, all of which end with it.

`unshare` and `nsenter` of util-linux make and enter them; without root, all are in one user namespace with the range of
user IDs that the system gives to ordinary users for that (newuidmap), since sshd changes its user.
"""
from __future__ import annotations

import ctypes
import os
import pwd
import shutil
import signal
import socket
import subprocess
from collections.abc import Sequence

CLONE_NEWUSER, CLONE_NEWNET = 0x10000000, 0x40000000
KINDS = ("net", "mount", "uts", "ipc", "pid")
_libc = ctypes.CDLL(None, use_errno=True)


class Impossible(Exception):
    """Why there can be no fleet here, and how there could."""


def checked(result: int, what: str) -> None:
    """A function of libc that returns 0; raises OSError."""
    if result:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), what)


def join(pid: int) -> None:
    """Into a box's network, and before into its user namespace if it has one of its own."""
    kinds = {"net": CLONE_NEWNET}
    if os.readlink(f"/proc/{pid}/ns/user") != os.readlink("/proc/self/ns/user"):
        kinds = {"user": CLONE_NEWUSER, **kinds}
    files = [(os.open(f"/proc/{pid}/ns/{kind}", os.O_RDONLY | os.O_CLOEXEC), flag) for kind, flag in kinds.items()]
    for file, flag in files:
        checked(_libc.setns(file, flag), "setns")
        os.close(file)


def alive(pid: int, mark: str) -> bool:
    """Whether the process is there and is the one whose mark was taken: IDs are used again."""
    try:
        return mark_of(pid) == mark
    except OSError:
        return False


def mark_of(pid: int) -> str:
    """Its start time and its network."""
    with open(f"/proc/{pid}/stat", encoding="ascii", errors="replace") as handle:
        fields = handle.read().rpartition(")")[2].split()
    if fields[0] in "ZX":
        raise ProcessLookupError(pid)
    return f"{fields[19]} {os.readlink(f'/proc/{pid}/ns/net')}"


def entering(pid: int) -> list[str]:
    """The beginning of a command line that runs the rest in a box."""
    user = ["--user"] if os.geteuid() else []
    return ["nsenter", f"--target={pid}", *user, *(f"--{kind}" for kind in KINDS), "--"]


def unsharing() -> list[str]:
    """The same, in a new box."""
    return ["unshare", *(f"--{kind}" for kind in KINDS), "--fork", "--kill-child=KILL", "--"]


def spawn(words: Sequence[str], log: str, user_namespace: bool) -> int:
    """Starts a command apart from this session, what it says going to a file; its process ID."""
    here, there = socket.socketpair()
    pid = os.fork()
    if pid == 0:
        try:
            here.close()
            _become(words, log, there if user_namespace else None)
        except OSError as error:
            os.write(2, f"{error.filename}: {error.strerror}\n".encode())
        finally:
            os._exit(127)
    there.close()
    with here:
        if user_namespace:
            try:
                if here.recv(1) != b"+":
                    raise Impossible("This system lets no ordinary user make a network of its own. Use sudo.")
                _map(pid)
                here.send(b"+")
            except BaseException:
                here.close()
                os.waitpid(pid, 0)
                raise
    return pid


def _become(words: Sequence[str], log: str, mapper: socket.socket | None) -> None:
    """The command, in a user namespace of its own if there is somebody to map its IDs."""
    os.setsid()
    os.dup2(os.open("/dev/null", os.O_RDWR), 0)
    for fd in (1, 2):
        os.dup2(os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600), fd)
    if mapper:
        checked(_libc.unshare(CLONE_NEWUSER), "unshare")
        mapper.send(b"+")
        if mapper.recv(1) != b"+":
            return
        os.setgroups([])
        os.setresgid(0, 0, 0)
        os.setresuid(0, 0, 0)
    os.closerange(3, 4096)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
    os.execvp(words[0], list(words))


def _map(pid: int) -> None:
    """Root in there is the user out here; the other IDs come from the user's range in /etc/subuid."""
    for what, own in (("uid", os.getuid()), ("gid", os.getgid())):
        first, count = _range(f"/etc/sub{what}")
        words = [f"new{what}map", str(pid), "0", str(own), "1", "1", str(first), str(count)]
        done = subprocess.run(words, capture_output=True, text=True, check=False)
        if done.returncode:
            raise Impossible(f"{words[0]}: {done.stderr.strip()}. Use sudo.")


def _range(path: str) -> tuple[int, int]:
    name, number = pwd.getpwuid(os.getuid()).pw_name, str(os.getuid())
    if not shutil.which("newuidmap"):
        raise Impossible("Without root, newuidmap is needed (Debian: package uidmap). Or use sudo.")
    try:
        with open(path, encoding="ascii") as handle:
            lines = [line.strip().split(":") for line in handle]
    except OSError:
        lines = []
    for fields in lines:
        if len(fields) == 3 and fields[0] in (name, number) and int(fields[2]) >= 65535:
            return int(fields[1]), 65535
    raise Impossible(f"Without root, {path} needs a range of 65536 IDs for {name}. Or use sudo.")
