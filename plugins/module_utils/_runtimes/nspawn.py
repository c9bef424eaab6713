# Copyright: pipework.containers contributors
# GNU General Public License v3.0+ (see LICENSE)
"""systemd-nspawn's containers, by their machine name, whether machined knows them or not.

systemd-nspawn keeps a folder for each running container under /run, named after it, and mounts it in the container:
the one that has the mount is the container's process, and no container can mount another's. So neither machined nor
D-Bus is asked, and nothing is read from the container's files.
"""
from __future__ import annotations

import errno
import os
import time
import typing as t

from .._core.errors import PipeworkError
from .._host import trust
from .._model.container import GONE, Answer, Found, Who, stopped, unread, without_id
from .pid import enter, status

FOLDER = "/run/systemd/nspawn/propagate"
IMAGES = "/var/lib/machines"
PROGRAM = "systemd-nspawn"
POLL_SECONDS = 0.05


def installed(user: str | None) -> bool:
    return user is None and (os.path.isdir(FOLDER) or bool(_listed(IMAGES)))


def find_many(wanted: list[Who], patience: float = 0.0) -> list[Answer]:
    deadline = time.monotonic() + patience
    processes, place = _processes(), _mounted_as(FOLDER)
    answers: list[Answer] = []
    for name, user in wanted:
        if user is not None:
            answers.append(PipeworkError("runtime_user: nspawn has no use for it."))
            continue
        found = _find(str(name), processes, place)
        while found is None and str(name) in _listed(FOLDER) and time.monotonic() < deadline:
            time.sleep(POLL_SECONDS)
            processes = _processes()
            found = _find(str(name), processes, place)
        answers.append(found or _resting(str(name)))
    return answers


def running(_user: str | None) -> list[str]:
    return sorted(_processes())


def _listed(folder: str) -> list[str]:
    try:
        return os.listdir(folder)
    except FileNotFoundError:
        return []
    except OSError as error:
        raise unread(folder, error) from None


def _processes() -> dict[str, int]:
    """The first process of each running container, by the container's name."""
    prefix = _mounted_as(FOLDER) + "/"
    found: dict[str, int] = {}
    if not _listed(FOLDER):
        return found
    for number in filter(str.isdigit, _listed("/proc")):
        for child in _children(number):
            for root in _roots(child):
                if root.startswith(prefix):
                    found[root[len(prefix):]] = int(child)
    return found


def _children(number: str) -> list[str]:
    """The children of a process that is systemd-nspawn, run by root on this host: anybody may call himself so."""
    try:
        if _text(f"/proc/{number}/comm") != f"{PROGRAM}\n" or trust.program_of(int(number), 0) != PROGRAM:
            return []
        return _text(f"/proc/{number}/task/{number}/children").split()
    except GONE:
        return []
    except OSError as error:
        raise unread(f"process {number}", error) from None


def _parent(pid: int) -> str:
    return status(pid, "PPid")[0]


def _text(path: str) -> str:
    with open(path, encoding="utf-8", errors="surrogateescape") as handle:
        return handle.read()


def _mounts(number: str | int) -> t.Iterator[tuple[str, str, str]]:
    """Device, root within it, and place of each mount that a process sees."""
    for line in _text(f"/proc/{number}/mountinfo").splitlines():
        _id, _parent, device, root, place = line.split(" ", 5)[:5]
        yield device, root, place


def _roots(number: str | int) -> list[str]:
    """What a process has mounted, each as device:path on it."""
    try:
        return [f"{device}:{root}" for device, root, _place in _mounts(number)]
    except (*GONE, ValueError):
        return []
    except OSError as error:
        if error.errno == errno.EINVAL:  # the kernel says so of one that has just ended
            return []
        raise unread(f"process {number}", error) from None


def _mounted_as(folder: str) -> str:
    """The same for a folder of the host."""
    found = folder
    try:
        mounts = list(_mounts("self"))
    except OSError as error:
        raise unread("what is mounted", error) from None
    for device, root, place in mounts:  # a later one covers an earlier one
        rest = folder[len(place.rstrip("/")):]
        if folder.startswith(place) and rest[:1] in ("/", "") and len(place) >= 1:
            found = f"{device}:{root.rstrip('/')}{rest}"
    return found


def _find(name: str, processes: dict[str, int], place: str) -> Found | None:
    if name not in processes:
        return None
    root = f"{place}/{name}"
    fd = enter(processes[name], lambda pid, _born: root in _roots(pid) and str(pid) in _children(_parent(pid)))
    return None if fd is None else Found("nspawn", name, without_id(name), fd, pid=processes[name])


def _resting(name: str) -> PipeworkError | None:
    """A container that could be started: its folder or image is in the usual place."""
    if {name, f"{name}.raw"} & set(_listed(IMAGES)):
        return stopped(name, "no such machine runs", f"machinectl start {name}")
    return None
