# Copyright: pipework.containers contributors
# GNU General Public License v3.0+ (see LICENSE)
"""The network namespace of a process, by its PID."""
from __future__ import annotations

import os
import re
import typing as t

from .._core.errors import PipeworkError
from .._host import answers, trust
from .._model.container import GONE, Found, Held, NoContainer, open_namespace, unread

COMMAND_MAX, COMMAND_SECONDS = 1 << 16, 3.0


def installed(_user: str | None) -> bool:
    return True


def find(name: str, _user: str | None) -> Found:
    if not re.fullmatch("[0-9]{1,9}", name) or not 0 < int(name) < 1 << 22:
        raise PipeworkError(f"container: {name!r} is not a process ID, which 'runtime: pid' needs.")
    pid = int(name)
    try:
        born = start_time(pid)
        fd = _open(pid, born)
    except (*GONE, ValueError):
        raise NoContainer(f"container: there is no process {pid}.") from None
    except OSError as error:
        raise unread(f"the network namespace of process {pid}", error) from None
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


def _open(pid: int, born: int) -> int:
    """Opens the namespace of a process. Raises OSError, ProcessLookupError where the process has ended meanwhile."""
    try:
        return open_namespace(f"/proc/{pid}/ns/net")
    except OSError:
        if not lives(pid, born):  # the kernel says EACCES of one that ends just then
            raise ProcessLookupError from None
        raise


def enter(pid: int, belongs: t.Callable[[int, int], bool]) -> int | None:
    """Opens a process's network namespace if the process belongs to a container, by its number and start time.

    None where it does not, or where the number is another process's by the time the namespace is open.
    """
    if type(pid) is not int or pid <= 0:  # pylint: disable=unidiomatic-typecheck  # True is none
        raise TypeError("a process ID that is no number")
    try:
        born = start_time(pid)
    except (*GONE, ValueError):
        return None
    except OSError as error:
        raise unread(f"process {pid}", error) from None
    try:
        fd = _open(pid, born)
    except GONE:
        return None
    except OSError as error:
        _refuse_unopened(pid, born, belongs, error)
        return None
    try:
        if belongs(pid, born) and start_time(pid) == born:
            return Held(fd, lambda: lives(pid, born), {"pid": pid, "born": born})
    except (*GONE, ValueError):
        pass
    except OSError as error:
        os.close(fd)
        raise unread(f"process {pid}", error) from None
    except BaseException:
        os.close(fd)
        raise
    os.close(fd)
    return None


def _refuse_unopened(pid: int, born: int, belongs: t.Callable[[int, int], bool], error: OSError) -> None:
    """Of a namespace that may not be opened: refuses it if it is the container's, else it does not matter."""
    try:
        theirs = belongs(pid, born)
    except (*GONE, ValueError):
        theirs = False
    except OSError:
        theirs = True
    if theirs:
        raise unread(f"the network namespace of process {pid}", error) from None


def lives(pid: int, born: int) -> bool:
    """Whether a process is still the one that was seen."""
    try:
        return start_time(pid) == born
    except (*GONE, ValueError):
        return False
    except OSError as error:
        raise unread(f"process {pid}", error) from None


def in_group(pid: int, ident: str) -> bool:
    """Whether a container's ID names a control group that a process is in, or one around it. Raises OSError.

    By itself, as the last part of an engine's name for it (``docker-ID.scope``, ``libpod-ID``), never as any part.
    """
    group = re.compile(rf"(?:(?:docker|libpod|nerdctl|containerd|cri-containerd)-|(?:[\w.-]+:)+)?{ident}(?:\.scope)?")
    with open(f"/proc/{pid}/cgroup", encoding="utf-8", errors="surrogateescape") as handle:
        paths = [line.rstrip("\n").split(":", 2)[2] for line in handle]
    return any(group.fullmatch(element) for path in paths for element in path.split("/"))


def status(pid: int, field: str) -> list[str]:
    """The words of one line of a process's status. Raises OSError."""
    with open(f"/proc/{pid}/status", encoding="utf-8", errors="surrogateescape") as handle:
        return next((line.split()[1:] for line in handle if line.startswith(f"{field}:")), [])


def command(pid: int) -> list[str]:
    """A process's command line, or its beginning; one empty word where it has none. Raises OSError.

    It stands in the process's own memory, which can be such that whoever reads it waits for the process. Raises Late.
    """
    def read() -> str:
        with open(f"/proc/{pid}/cmdline", encoding="utf-8", errors="surrogateescape") as handle:
            return handle.read(COMMAND_MAX)

    return answers.call(COMMAND_SECONDS, read).rstrip("\0").split("\0")


def is_of_user(fd: int, uid: int) -> bool:
    """Whether a network namespace belongs to a user namespace of a user, or to one inside such."""
    return trust.belongs_to(fd, uid)


def running(_user: str | None) -> list[str]:
    return []
