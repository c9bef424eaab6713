# Copyright: pipework.containers contributors
# GNU General Public License v3.0+ (see LICENSE)
"""The lease agent of this host: whether it runs, and how it is made to look at its files again."""
from __future__ import annotations

import contextlib
import fcntl
import json
import os
import signal
import typing as t

from .._core.errors import ODD
from . import store as files

HOME = files.KEEPER


def running() -> dict[str, t.Any] | None:
    """Its process ID and its version. It holds the lock for as long as it lives, however it ends."""
    try:
        handle = os.open(os.path.join(HOME, "lock"), os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
    except FileNotFoundError:
        return None
    try:
        fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        with contextlib.suppress(*ODD):
            said = json.loads(os.read(handle, 1 << 10))
            return {"pid": int(said["pid"]), "program": str(said["program"])}
    finally:
        os.close(handle)
    return None


def poke() -> None:
    """It looks at all its files again."""
    now = running()
    if now is not None:
        with contextlib.suppress(ProcessLookupError):
            os.kill(now["pid"], signal.SIGHUP)
