# Copyright: pipework.containers contributors
# GNU General Public License v3.0+ (see LICENSE)
"""Leases in files: one directory for each attachment, with all that is known of its leases and of who keeps them.

``lease`` and ``lease6`` are what servers granted; ``keep`` is what the process that stays has to do (see _agent/loop),
``status`` what it says, and ``given_up`` the link-local addresses that it has left to others. That process uses this
file too: it needs the standard library alone.
"""
from __future__ import annotations

import contextlib
import errno
import functools
import hashlib
import os
import time
import typing as t

from .._core.errors import ODD, PipeworkError
from .._core.strict_json import loads

RUN = "/run/pipework"
FOLDER = "/run/pipework/dhcp"
KEEPER = "/run/pipework/keeper"  # there while that process runs
KEEP, STATUS, GIVEN_UP = "keep", "status", "given_up"
FOR_KEEPING = (KEEP, STATUS, GIVEN_UP)
ALL = ("lease", "lease6", *FOR_KEEPING)
SAID = ("state", "renewed", "next", "error")


def clock() -> float:
    """Seconds since the host started, also while it slept. No change of the time of day touches a lease."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


@functools.lru_cache(maxsize=1)
def boot() -> str:
    """What tells this start of the host from others: times of that clock mean nothing after the next one."""
    with open("/proc/sys/kernel/random/boot_id", encoding="ascii") as handle:
        return handle.read().strip()


def is_of_this_boot(text: str) -> bool:
    """Whether a file is of this start of the host, or of a version that did not say. Raises ValueError."""
    return bool(loads(text).get("boot", boot()) == boot())


def folder(owner: str) -> str:
    """The directory of an attachment, by its mark."""
    return os.path.join(FOLDER, hashlib.sha256(owner.encode("utf-8", "surrogateescape")).hexdigest()[:24])


def read(path: str) -> str | None:
    """None where it is not there. Raises OSError where that cannot be known: a host out of file descriptors, say."""
    try:
        with open(os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW), "rb") as handle:
            return handle.read(1 << 16).decode("utf-8", "replace")
    except FileNotFoundError:
        return None


def write(path: str, content: str | bytes) -> None:
    """All of it or nothing. Raises OSError."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW
    try:
        with open(os.open(path + ".new", flags, 0o600), "wb") as handle:
            handle.write(content.encode() if isinstance(content, str) else content)
        os.rename(path + ".new", path)
    except OSError as error:
        with contextlib.suppress(OSError):
            os.unlink(path + ".new")
        raise OSError(error.errno, os.strerror(error.errno or 0), path) from None


def no_room(error: OSError) -> PipeworkError | None:
    """The words for a file system that takes nothing more; None for another trouble."""
    why = {
        errno.ENOSPC: "is full", errno.EDQUOT: "is full (a quota)", errno.EROFS: "is mounted read-only",
    }.get(error.errno or 0)
    if why is None:
        return None
    return PipeworkError(
        f"{RUN} {why}: {error.filename or RUN} could not be written; room there, or a larger one at /run, would "
        "be right."
    )


def room(size: int = 1) -> None:
    """Raises PipeworkError where there is no room for so many bytes in files of ours."""
    place = os.statvfs(RUN if os.path.isdir(RUN) else "/run")
    if place.f_flag & os.ST_RDONLY:
        raise t.cast(PipeworkError, no_room(OSError(errno.EROFS, "", FOLDER)))
    free = place.f_bavail * place.f_frsize
    if place.f_blocks and free < size:  # a tmpfs without a limit has no blocks
        raise PipeworkError(
            f"{RUN} is full: {size} bytes are needed there, and {free} are free; room there, or a larger one at "
            "/run, would be right."
        )


def signature(path: str) -> tuple[int, int] | None:
    """What tells a file from the one that takes its place. Raises OSError where it is not known whether it is there."""
    try:
        status = os.stat(path)
    except FileNotFoundError:
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
        text = read(path) or ""
        asked, grant = unpack(text)
        if not is_of_this_boot(text):
            return None
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
    """Raises PipeworkError where there is no room, else OSError."""
    place = folder(owner)
    try:
        os.makedirs(FOLDER, mode=0o700, exist_ok=True)
        os.makedirs(place, mode=0o700, exist_ok=True)
        write(os.path.join(place, name), text)
    except OSError as error:
        for path in (place, FOLDER):  # unless there is something else in it
            with contextlib.suppress(OSError):
                os.rmdir(path)
        raise no_room(error) or error from None


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
    """Of all folders. Raises OSError where they cannot be known."""
    try:
        return os.listdir(FOLDER)
    except FileNotFoundError:
        return []


def records() -> t.Iterator[tuple[str, str]]:
    """Names of folders, and what is to be kept there. Raises OSError."""
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
        said = loads(read(os.path.join(folder(owner), STATUS)) or "{}")
        return {"pid": said["pid"], **{name: said[duty][name] for name in SAID}}
    except ODD:
        return None


def given_up(owner: str) -> list[str]:
    """The link-local addresses that an attachment has left to others, the last one last."""
    try:
        found = loads('{"all": ' + (read(os.path.join(folder(owner), GIVEN_UP)) or "[]") + "}")["all"]
        return [str(each) for each in found]
    except (ValueError, TypeError, KeyError):
        return []
