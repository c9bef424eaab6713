# Copyright: pipework.containers contributors
# GNU General Public License v3.0+ (see LICENSE)
"""Named network namespaces, as ``ip netns`` makes them, or any file that is one."""
from __future__ import annotations

import errno
import os
import typing as t

from .._core.errors import PipeworkError
from .._host import trust
from .._host.inotify import changes
from .._model.container import GONE, Found, Held, NotRunning, is_own, open_namespace, unread

FOLDER = "/run/netns"
NO_NAMESPACE = (errno.EINVAL, errno.ENXIO, errno.ELOOP, errno.ENOTDIR)  # such a path leads to none


def installed(user: str | None) -> bool:
    return user is None and os.path.isdir(FOLDER)


def find(name: str, _user: str | None) -> Found | None:
    if name.startswith("/"):
        path = name
    elif "/" in name or name in ("", ".", "..") or "\0" in name:
        raise PipeworkError(f"container: {name!r} is neither the name of a network namespace nor an absolute path.")
    else:
        path = os.path.join(FOLDER, name)
    try:
        fd = open_namespace(path)
    except FileNotFoundError:
        return None
    except OSError as error:
        if error.errno not in NO_NAMESPACE:
            raise unread(path, error) from None
        # What a killed 'ip netns add' leaves is an empty file.
        raise NotRunning(f"container: {path} cannot be used as a network namespace: {error.strerror}.") from None
    try:
        _check_hands(path, fd)
        return Found("netns", name, str(os.fstat(fd).st_ino), held(path, fd))
    except BaseException:
        os.close(fd)
        raise


def _check_hands(path: str, fd: int) -> None:
    """A path that a user can let lead elsewhere leads to namespaces of that user's alone."""
    if is_own(fd):
        return  # which is said by those who know what it is for
    try:
        hands = trust.writers(path)
        found = next(((uid, place) for uid, place in hands.items() if not trust.belongs_to(fd, uid)), None)
    except GONE:
        raise NotRunning(f"container: {path} went while it was looked up.") from None
    except OSError as error:
        raise unread(path, error) from None
    if found is not None:
        raise PipeworkError(
            f"container: {path} leads to a network namespace that is not of those who can change {found[1]} "
            f"({trust.user_words(found[0])}); it is left alone. A path that root alone can change would be right."
        )


def held(path: str, fd: int) -> Held:
    """An open namespace that is in use as long as its file leads to it."""
    status = os.fstat(fd)
    return Held(fd, lambda: _leads_to(path, status), {"path": path})


def _leads_to(path: str, status: os.stat_result) -> bool:
    try:
        return os.path.samestat(os.stat(path), status)
    except (*GONE, NotADirectoryError):
        return False
    except OSError as error:
        raise unread(path, error) from None


def running(_user: str | None) -> list[str]:
    try:
        return sorted(os.listdir(FOLDER))
    except FileNotFoundError:
        return []
    except OSError as error:
        raise unread(FOLDER, error) from None


def watch(names: t.Sequence[str], _user: str | None, tell: t.Callable[[], None]) -> None:
    """Hears when a namespace gets its name, or loses it."""
    for _change in changes(sorted({os.path.dirname(name) if name.startswith("/") else FOLDER for name in names})):
        tell()


def lasts(name: str, fd: int) -> bool:
    """Whether a name still means the namespace that was opened by it."""
    try:
        return os.path.samestat(os.stat(name if name.startswith("/") else os.path.join(FOLDER, name)), os.fstat(fd))
    except (*GONE, NotADirectoryError):
        return False
    except OSError as error:
        raise unread(name, error) from None
