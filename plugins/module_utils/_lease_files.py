# Copyright: pipework.containers contributors
# GNU General Public License v3.0+ (see LICENSE)
"""Leases in files: one directory for each attachment, with all that is known of its leases and of who keeps them.

``lease`` and ``lease6`` are what servers granted; ``keep`` is what the process that stays has to do (see _keeper),
``status`` what it says, and ``given_up`` the link-local addresses that it has left to others. That process uses this
file too: it needs the standard library alone.
"""
from __future__ import annotations

import contextlib
import hashlib
import json
import os
import time
import typing as t

from ._errors import ODD

FOLDER = "/run/pipework/dhcp"
KEEPER = "/run/pipework/keeper"  # there while that process runs
KEEP, STATUS, GIVEN_UP = "keep", "status", "given_up"
FOR_KEEPING = (KEEP, STATUS, GIVEN_UP)
ALL = ("lease", "lease6", *FOR_KEEPING)
SAID = ("state", "renewed", "next", "error")


def clock() -> float:
    """Seconds since the host started, also while it slept. No change of the time of day touches a lease."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


def folder(owner: str) -> str:
    """The directory of an attachment, by its mark."""
    return os.path.join(FOLDER, hashlib.sha256(owner.encode("utf-8", "surrogateescape")).hexdigest()[:24])


def read(path: str) -> str | None:
    try:
        with open(os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW), encoding="utf-8") as handle:
            return handle.read(1 << 16)
    except (OSError, UnicodeDecodeError):
        return None


def write(path: str, text: str) -> None:
    """All of it or nothing."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW
    with open(os.open(path + ".new", flags, 0o600), "w", encoding="utf-8") as handle:
        handle.write(text)
    os.rename(path + ".new", path)


def signature(path: str) -> tuple[int, int] | None:
    """What tells a file from the one that takes its place."""
    try:
        status = os.stat(path)
    except OSError:
        return None
    return status.st_ino, status.st_mtime_ns


class Granted(t.Protocol):
    """A lease, of either family."""

    def left(self, now: float) -> int | None:
        """Whole seconds that it is valid for; None for ever."""


G = t.TypeVar("G", bound=Granted)


def load(path: str, unpack: t.Callable[[str], tuple[dict[str, t.Any], G]]) -> tuple[dict[str, t.Any], G] | None:
    """What was asked for and granted; None where there is nothing valid."""
    try:
        asked, grant = unpack(read(path) or "")
    except ValueError:
        return None
    left = grant.left(clock())
    return (asked, grant) if left is None or left > 0 else None


def held(
    owner: str, name: str, unpack: t.Callable[[str], tuple[dict[str, t.Any], G]],
) -> tuple[dict[str, t.Any], G] | None:
    """The same of an attachment, by its mark."""
    return load(os.path.join(folder(owner), name), unpack)


def store(owner: str, name: str, text: str) -> None:
    place = folder(owner)
    os.makedirs(FOLDER, mode=0o700, exist_ok=True)
    os.makedirs(place, mode=0o700, exist_ok=True)
    write(os.path.join(place, name), text)


def remove(owner: str, *names: str) -> None:
    clear(folder(owner), *names)


def clear(place: str, *names: str) -> None:
    """Removes files of an attachment; its directory goes with the last one, and the one of all with the last of all."""
    for name in names:
        for path in (os.path.join(place, name), os.path.join(place, name + ".new")):
            with contextlib.suppress(FileNotFoundError):
                os.unlink(path)
    for path in (place, FOLDER):
        with contextlib.suppress(OSError):
            os.rmdir(path)


def names() -> list[str]:
    """Of all folders."""
    try:
        return os.listdir(FOLDER)
    except OSError:
        return []


def records() -> t.Iterator[tuple[str, str]]:
    """Names of folders, and what is to be kept there."""
    for name in names():
        text = read(os.path.join(FOLDER, name, KEEP))
        if text is not None:
            yield name, text


def is_kept(owner: str = "") -> bool:
    """Whether somebody is to stay with an attachment, or with any."""
    return os.path.exists(os.path.join(folder(owner), KEEP) if owner else KEEPER)


def kept(owner: str, duty: str) -> dict[str, t.Any] | None:
    """What is said of one of its leases by who keeps it."""
    try:
        said = json.loads(read(os.path.join(folder(owner), STATUS)) or "{}")
        return {"pid": said["pid"], **{name: said[duty][name] for name in SAID}}
    except ODD:
        return None


def given_up(owner: str) -> list[str]:
    """The link-local addresses that an attachment has left to others, the last one last."""
    try:
        found = json.loads(read(os.path.join(folder(owner), GIVEN_UP)) or "[]")
        return [str(each) for each in found]
    except ODD:
        return []
