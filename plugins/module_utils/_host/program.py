# Copyright: pipework.containers contributors
# GNU General Public License v3.0+ (see LICENSE)
"""Programs of the managed host: found on a fixed path, run without a shell, for a bounded time and answer."""
from __future__ import annotations

import contextlib
import os
import selectors
import shutil
import signal
import subprocess
import time
import typing as t

from .._core.errors import PipeworkError
from . import answers

PATH = "/usr/sbin:/usr/bin:/sbin:/bin:/usr/local/sbin:/usr/local/bin"
SECONDS = 30
LOOK_SECONDS = 0.05  # after which it is looked whether a program has ended, whoever still holds its output open
DEATH_SECONDS = 1.0  # that a program which was killed is waited for


class Done(t.NamedTuple):
    """What came of a program; ``said``: its last line on stderr, or else that of stdout."""

    code: int
    output: str
    said: str
    errors: str = ""


class NoEnd(PipeworkError):
    """A program that had to be ended: it took too long, or said too much."""


def which(program: str) -> str | None:
    return shutil.which(program, path=PATH)


def uid_of(user: str) -> int:
    import pwd

    try:
        return pwd.getpwnam(user).pw_uid
    except (KeyError, ValueError):
        raise PipeworkError(f"runtime_user: there is no user {user!r} on the managed host.") from None


def run(
    *argv: str, user: str | None = None, seconds: float | None = None, text: str = "", limit: int | None = None,
) -> Done:
    """Runs a program, as another user if one is given. Raises PipeworkError where it cannot be run, and NoEnd where it
    does not end in time or says more than the limit of bytes; all that it started is then ended with it."""
    given = SECONDS if seconds is None else seconds
    whole = answers.left(given)
    if whole <= 0:
        raise NoEnd(f"{_shown(argv)} was not begun: the time was over.")
    environment = {**os.environ, "PATH": PATH, "LC_ALL": "C"}
    identity: dict[str, t.Any] = {}
    if user is not None:
        environment, identity = _become(user)
    end = time.monotonic() + whole
    try:
        process = subprocess.Popen(  # pylint: disable=consider-using-with  # which waits without an end
            argv, stdin=subprocess.PIPE if text else subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            cwd="/", env=environment, start_new_session=True, **identity,
        )
    except (OSError, ValueError) as error:
        raise PipeworkError(f"{argv[0]} cannot be run: {getattr(error, 'strerror', None) or error}.") from None
    out, err, whole_answer = bytearray(), bytearray(), False
    try:
        follow(process, out, err, lambda: end, text.encode("utf-8", "surrogateescape"), limit)
        whole_answer = True
    except TimeoutError:
        raise NoEnd(f"{_shown(argv)} did not end within {whole:.3g} s.") from None
    except answers.TooLong as error:
        raise NoEnd(f"{_shown(argv)} said more than {error} bytes.") from None
    finally:
        finish(process, kill=not whole_answer)
    output, errors = out.decode("utf-8", "surrogateescape"), err.decode("utf-8", "surrogateescape")
    lines = errors.strip().splitlines() or output.strip().splitlines() or [f"exit code {process.returncode}"]
    return Done(process.returncode, output, answers.shortened_words(lines[-1]), errors)


def _shown(argv: t.Sequence[str]) -> str:
    return answers.shortened_words(" ".join(argv))


def follow(
    process: subprocess.Popen[bytes], out: bytearray, err: bytearray, end: t.Callable[[], float], text: bytes = b"",
    limit: int | None = None, besides: tuple[t.Any, t.Callable[[], None]] | None = None,
) -> None:
    """Tells a program what it is to be told, and takes what it says, until it ends. Raises TimeoutError, TooLong.

    What one that it started keeps open does not matter. With ``besides``, a socket and what to do when it has
    something, what counts is not the program but the end of its output.
    """
    limit = answers.LIMIT if limit is None else limit
    said = {process.stdout: out, process.stderr: err}
    with selectors.DefaultSelector() as selector:
        for each in said:
            os.set_blocking(each.fileno(), False)  # type: ignore[union-attr]
            selector.register(each, selectors.EVENT_READ)  # type: ignore[arg-type]
        if process.stdin is not None and text:
            os.set_blocking(process.stdin.fileno(), False)
            selector.register(process.stdin, selectors.EVENT_WRITE)
        if besides is not None:
            selector.register(besides[0], selectors.EVENT_READ)
        ended = False
        while True:
            open_ = {key.fileobj for key in selector.get_map().values()}
            if not (process.stdout in open_ or besides is None and process.stderr in open_):
                break
            left = end() - time.monotonic()
            if left <= 0:
                raise TimeoutError
            ready = selector.select(0 if ended else min(left, LOOK_SECONDS))
            if ended and not any(key.fileobj in said for key, _events in ready):
                break  # all that the program itself has said is there
            for key, _events in ready:
                if besides is not None and key.fileobj is besides[0]:
                    besides[1]()
                elif key.fileobj is process.stdin:
                    text = _tell(key.fd, text)
                    if not text:
                        selector.unregister(key.fileobj)
                        process.stdin.close()
                elif not _take(key.fd, said[key.fileobj]):  # type: ignore[index]
                    selector.unregister(key.fileobj)
            if len(out) + len(err) > limit:
                raise answers.TooLong(str(limit))
            ended = ended or besides is None and has_ended(process)
    if besides is None and not _wait(process, end()):
        raise TimeoutError


def _tell(fd: int, text: bytes) -> bytes:
    """Writes a piece; returns what is left, nothing where nobody listens any more."""
    try:
        return text[os.write(fd, text[:answers.PIECE]):]
    except BlockingIOError:
        return text
    except OSError:
        return b""


def _take(fd: int, said: bytearray) -> bool:
    """Reads a piece; false at the end."""
    try:
        piece = os.read(fd, answers.PIECE)
    except BlockingIOError:
        return True
    said += piece
    return bool(piece)


def has_ended(process: subprocess.Popen[bytes]) -> bool:
    """Whether a program has ended; its number stays its own until ``finish``."""
    try:
        return os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None
    except ChildProcessError:
        return True


def _wait(process: subprocess.Popen[bytes], end: float) -> bool:
    pause = 0.0005
    while not has_ended(process):
        if time.monotonic() >= end:
            return False
        time.sleep(pause)
        pause = min(pause * 2, LOOK_SECONDS)
    return True


def finish(process: subprocess.Popen[bytes], kill: bool = True) -> None:
    """Sees a program off, and kills it with its group where that is due. One that the kernel does not let go is left
    behind."""
    if kill and process.returncode is None:
        with contextlib.suppress(OSError):
            os.killpg(process.pid, signal.SIGKILL)
    if _wait(process, time.monotonic() + DEATH_SECONDS):
        process.wait()
    else:
        process.returncode = -signal.SIGKILL  # nobody waits for it any more
    for pipe in (process.stdin, process.stdout, process.stderr):
        if pipe is not None:
            with contextlib.suppress(OSError):
                pipe.close()


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
