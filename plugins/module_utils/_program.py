# Copyright: pipework.containers contributors
# GNU General Public License v3.0+ (see LICENSE)
"""Programs of the managed host: found on a fixed path, run without a shell, for a bounded time."""
from __future__ import annotations

import os
import shutil
import subprocess
import typing as t

from ._errors import PipeworkError

PATH = "/usr/sbin:/usr/bin:/sbin:/bin:/usr/local/sbin:/usr/local/bin"
SECONDS = 30


class Done(t.NamedTuple):
    """What came of a program; ``said``: its last line on stderr, or else that of stdout."""

    code: int
    output: str
    said: str


class NoEnd(PipeworkError):
    """A program that had to be ended."""


def which(program: str) -> str | None:
    return shutil.which(program, path=PATH)


def uid_of(user: str) -> int:
    import pwd

    try:
        return pwd.getpwnam(user).pw_uid
    except (KeyError, ValueError):
        raise PipeworkError(f"runtime_user: there is no user {user!r} on the managed host.") from None


def run(*argv: str, user: str | None = None, seconds: float | None = None) -> Done:
    """Runs a program, as another user if one is given. Raises PipeworkError where it cannot be run or does not end."""
    limit = SECONDS if seconds is None else seconds
    environment = {**os.environ, "PATH": PATH, "LC_ALL": "C"}
    identity: dict[str, t.Any] = {}
    if user is not None:
        environment, identity = _become(user)
    try:
        done = subprocess.run(
            argv, stdin=subprocess.DEVNULL, capture_output=True, timeout=limit, check=False, cwd="/", env=environment,
            encoding="utf-8", errors="surrogateescape", start_new_session=True, **identity,
        )
    except subprocess.TimeoutExpired:
        raise NoEnd(f"{' '.join(argv)} did not end within {limit:g} s.") from None
    except (OSError, ValueError) as error:
        raise PipeworkError(f"{argv[0]} cannot be run: {getattr(error, 'strerror', None) or error}.") from None
    lines = done.stderr.strip().splitlines() or done.stdout.strip().splitlines() or [f"exit code {done.returncode}"]
    return Done(done.returncode, done.stdout, lines[-1])


def _become(user: str) -> tuple[dict[str, str], dict[str, t.Any]]:
    """The environment of a session of a user, and what subprocess is told to become that user."""
    import pwd

    entry = pwd.getpwuid(uid_of(user))
    environment = {"PATH": PATH, "LC_ALL": "C", "HOME": entry.pw_dir, "USER": user, "LOGNAME": user}
    runtime = f"/run/user/{entry.pw_uid}"
    if os.path.isdir(runtime) and os.stat(runtime).st_uid == entry.pw_uid:
        environment["XDG_RUNTIME_DIR"] = runtime
    groups = os.getgrouplist(user, entry.pw_gid)
    return environment, {"user": entry.pw_uid, "group": entry.pw_gid, "extra_groups": groups}


def detach(*argv: str) -> int:
    """Starts a program that goes on by itself when this one is over; returns its process ID."""
    try:
        started = subprocess.Popen(  # pylint: disable=consider-using-with
            argv, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd="/",
            env={"PATH": PATH, "LC_ALL": "C"}, start_new_session=True, close_fds=True,
        )
    except OSError as error:
        raise PipeworkError(f"{argv[0]} cannot be run: {error.strerror or error}.") from None
    return started.pid
