# Copyright: pipework.containers contributors
# GNU General Public License v3.0+ (see LICENSE)
"""Work on a container's files, done by a child that may do there what the container's own root may do, and no more.

The child joins the container's mount and user namespaces, becomes user 0 of the latter, and goes into its root. It
has nothing else of the host's: no descriptor but the pipe that it answers by, and the folder of its own descriptors.
Nobody there can look into it, since it is not dumpable. What it answers is bounded, and believed no more than the
container is. A file system may never answer: then the child is left behind, and its container is not asked again.
"""
from __future__ import annotations

import contextlib
import ctypes
import errno
import fcntl
import functools
import gc
import os
import resource
import select
import signal
import struct
import sys
import time
import typing as t

from ._errors import PipeworkError
from ._runtimes.pid import lives, status

SECONDS, ALL_SECONDS, BRIEF = 3.0, 12.0, 1.0  # for one question; for all that were in vain, and for each after these
AFTERWARDS = 0.3  # seconds, for the end of a child that has answered
AT_ONCE, TOGETHER = 16, 64  # children; containers that one child goes to
MOST = 1 << 16  # bytes of a file
HEAD = struct.Struct("=cI")  # how it went, and how much is said about it
WORDS_MAX, ALONE = 300, b"?"
CLONE_NEWNS, CLONE_NEWUSER, NS_GET_USERNS = 0x00020000, 0x10000000, 0xB701
PR_SET_PDEATHSIG, PR_SET_DUMPABLE, PR_SET_NO_NEW_PRIVS = 1, 4, 38
CAPABILITY_VERSION, CAP_CHOWN, CAP_DAC_OVERRIDE = 0x20080522, 0, 1
MOUNTS = ("/proc/self/ns/mnt", "/proc/1/ns/mnt")
OF_THE_HOST = (
    "/etc/resolv.conf", "/etc/hosts", "/run/systemd/resolve/resolv.conf", "/run/systemd/resolve/stub-resolv.conf",
    "/run/resolvconf/resolv.conf", "/run/NetworkManager/resolv.conf", "/etc",
)

_libc = ctypes.CDLL(None, use_errno=True)
_silent: set[Who] = set()
_in_vain = [0.0]  # seconds


class Unusable(PipeworkError):
    """There is no such file."""


class Unfit(Unusable):
    """What is there is no file that could be written."""


class Ended(Unusable):
    """There is no container any more whose file it would be."""


class Silent(Unusable):
    """Nobody knows, since no answer came."""


class Who(t.NamedTuple):
    """A container's first process, by its start time."""

    pid: int
    born: int


class Inside(t.NamedTuple):
    """What the work is told. ``fds``: the folder of this process's own descriptors, since there may be no /proc."""

    fds: int
    of_the_host: dict[tuple[int, int], str]
    links: bool = True  # whether links may be followed
    nobody: tuple[int, int] | None = None  # as whom those are seen who are not of the container


Work = t.Callable[[Inside], bytes]
Question = tuple[Who, str, Work]  # the path is for words


def ask(who: Who, path: str, work: Work) -> bytes:
    """What the work returns that is done as the container's root. ``path`` is for words. Raises Unusable, OSError."""
    _refuse_silent(who, path)
    return _Child([(who, path, work)]).answer(time.monotonic() + _patience())


def ask_many(questions: t.Sequence[Question]) -> list[bytes | Exception]:
    """The same for many at a time, for work that changes nothing; what would be raised is among the answers."""
    found: dict[int, bytes | Exception] = {}
    for start in range(0, len(questions), TOGETHER):
        _ask_together(list(enumerate(questions))[start:start + TOGETHER], found)
    todo = [number for number in range(len(questions)) if number not in found]
    while todo:
        now, todo = todo[:AT_ONCE], todo[AT_ONCE:]
        children: dict[int, _Child] = {}
        for number in now:
            try:
                _refuse_silent(*questions[number][:2])
                children[number] = _Child([questions[number]])
            except Unusable as error:
                found[number] = error
        end = time.monotonic() + _patience()
        for number, child in children.items():
            try:
                found[number] = child.answer(end)
            except (Unusable, OSError) as error:
                found[number] = error
    return [found[number] for number in range(len(questions))]


def _ask_together(chunk: list[tuple[int, Question]], found: dict[int, bytes | Exception]) -> None:
    """By one child for all who are in the host's user namespace. Those whom it did not come to are asked alone."""
    asked = [(number, question) for number, question in chunk if question[0] not in _silent]
    if len(asked) < 2:
        return
    with contextlib.suppress(Unusable):
        answers = _Child([question for _number, question in asked]).answers(time.monotonic() + _patience())
        for (number, _question), answer in zip(asked, answers):
            if answer is not None:
                found[number] = answer


def here() -> Inside:
    """The same for work that this process does itself, on the host's own files. ``fds`` is the caller's to close."""
    return Inside(os.open("/proc/self/fd", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC), _numbers(*OF_THE_HOST))


def _patience() -> float:
    return min(SECONDS, max(BRIEF, ALL_SECONDS - _in_vain[0]))


def _refuse_silent(who: Who, path: str) -> None:
    if who in _silent:
        raise Silent(f"{path} was not looked at, since the container's file systems do not answer")


class _Child:
    """One that has been started. It may never end, so that it is waited for within limits only."""

    def __init__(self, questions: t.Sequence[Question]) -> None:
        self.who, self.path, _work = questions[0]
        self.count = len(questions)
        self.began = time.monotonic()
        parent = os.getpid()
        self.pipe, out = os.pipe()
        try:
            self.pid = os.fork()
            if self.pid == 0:
                _serve(out, parent, questions)
        except OSError as error:
            os.close(self.pipe)
            raise Unfit(f"{self.path} cannot be looked at: {error.strerror}") from None
        finally:
            os.close(out)

    def answer(self, end: float) -> bytes:
        """Of one who was asked alone. Raises Unusable, OSError."""
        began = time.monotonic()
        data, in_time = self._hear(end)
        if not in_time:
            _silent.add(self.who)
            _in_vain[0] += time.monotonic() - began
            raise Silent(
                f"{self.path} did not answer within {time.monotonic() - self.began:.1f} s, by a file system of the "
                "container's that lets others wait"
            )
        answers = list(_answers(data))
        if len(answers) != 1 or answers[0] is None:
            raise Silent(f"{self.path} cannot be used: what looked at it was ended before it was done")
        if isinstance(answers[0], Exception):
            raise answers[0]
        return answers[0]

    def answers(self, end: float) -> list[bytes | Exception | None]:
        """As far as there are any; None for who has to be asked alone."""
        return list(_answers(self._hear(end)[0]))

    def _hear(self, end: float) -> tuple[bytes, bool]:
        """What it says, and whether that was all it had to say."""
        pieces: list[bytes] = []
        size, poller = 0, select.poll()
        poller.register(self.pipe, select.POLLIN)
        try:
            while size <= self.count * (HEAD.size + MOST + 1):
                if not poller.poll(max(0, end - time.monotonic()) * 1000):
                    return b"".join(pieces), False
                piece = os.read(self.pipe, 1 << 16)
                if not piece:
                    break
                pieces.append(piece)
                size += len(piece)
            return b"".join(pieces), True
        finally:
            self._leave()

    def _leave(self) -> None:
        """Ends it. Where a file system holds it, that may take for ever, and is nothing to wait for."""
        os.close(self.pipe)
        with contextlib.suppress(OSError):
            os.kill(self.pid, signal.SIGKILL)
            ended = os.pidfd_open(self.pid)
            try:
                poller = select.poll()  # which any descriptor is good for, unlike select
                poller.register(ended, select.POLLIN)
                poller.poll(AFTERWARDS * 1000)
            finally:
                os.close(ended)
            os.waitpid(self.pid, os.WNOHANG)


def _answers(data: bytes) -> t.Iterator[bytes | Exception | None]:
    """What a child said, taken apart; it comes from where the container may have had its hands in."""
    at = 0
    while at + HEAD.size <= len(data):
        code, length = HEAD.unpack_from(data, at)
        said = data[at + HEAD.size:at + HEAD.size + length]
        at += HEAD.size + length
        if at > len(data):
            return
        if code == b"=":
            yield said
        elif code == ALONE:
            yield None
        elif code == b"o" and said[:4].isdigit():
            yield OSError(int(said[:4]), os.strerror(int(said[:4])))
        else:
            words = "".join(each if each.isprintable() else "?" for each in said.decode("utf-8", "replace"))
            yield (Ended if code == b"e" else Unfit)(words[:WORDS_MAX])


# -- in the child

def _serve(out: int, parent: int, questions: t.Sequence[Question]) -> t.NoReturn:
    """Does the work and tells of it; nothing of what the parent was about goes on here."""
    try:
        for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
            signal.signal(number, signal.SIG_DFL)
        gc.disable()  # what is not ended here closes no descriptor that is another one by now
        out = fcntl.fcntl(out, fcntl.F_DUPFD_CLOEXEC, 3)
        _keep_only(out)
        _end_with(parent)
        _hide()
        for kind, most in (("CORE", 0), ("FSIZE", 2 * MOST), ("CPU", 2 * int(SECONDS)), ("NOFILE", 8 * TOGETHER)):
            resource.setrlimit(getattr(resource, f"RLIMIT_{kind}"), (most, most))
        seen = [_outcome(functools.partial(_look_at, who)) for who, _path, _work in questions]
        fds = here().fds
        _leave_groups()
        _import_no_more()
        for found, (_who, _path, work) in zip(seen, questions):
            if isinstance(found, _Found):
                code, said = b"=", b""
                if found.foreign and len(questions) > 1:
                    code = ALONE
                else:
                    outcome = _outcome(functools.partial(_work_in, found, parent, fds, work, len(questions) == 1))
                    code, said = outcome if isinstance(outcome, tuple) else (b"=", outcome)
            else:
                code, said = found
            data = HEAD.pack(code, len(said)) + said
            while data:
                data = data[os.write(out, data):]
    finally:
        os._exit(0)


def _outcome(work: t.Callable[[], t.Any]) -> t.Any:
    """What work returns, or a code and words for why it did not."""
    try:
        return work()
    except Ended as error:
        return b"e", str(error).encode("utf-8", "replace")
    except PipeworkError as error:
        return b"u", str(error).encode("utf-8", "replace")
    except OSError as error:
        return b"o", b"%04d" % (error.errno or errno.EIO)


def _keep_only(out: int) -> None:
    """The host's lock above all, which goes with the last descriptor of it."""
    for name in os.listdir("/proc/self/fd"):
        if int(name) != out:
            with contextlib.suppress(OSError):
                os.close(int(name))
    for fd in (0, 1, 2):  # so that nothing that is opened becomes one of these
        os.dup2(out, fd)


class _Found(t.NamedTuple):
    """A container as the host sees it, with all of it that is needed held open."""

    user: int
    mounts: int
    root: int
    foreign: bool  # whether its user namespace is another one
    is_root: bool
    kept: int  # capabilities
    inside: Inside


def _look_at(who: Who) -> _Found:
    """Raises Unusable."""
    process = f"/proc/{who.pid}"
    opened: list[int] = []
    users = os.path.exists("/proc/self/ns/user")  # as all kernels have them that are not made for one purpose
    paths = ("ns/user" if users else "ns/mnt", "ns/mnt")
    try:
        opened += [os.open(f"{process}/{each}", os.O_RDONLY | os.O_CLOEXEC) for each in paths]
        uids, permitted = set(status(who.pid, "Uid")), int(status(who.pid, "CapPrm")[0], 16)
        zero = _outside(f"{process}/uid_map") if users else None
        opened.append(os.open(f"{process}/root", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC))
        user, mounts, root = opened
        # All of one moment: who gives rights up, as by a user namespace of its own, does not get them back.
        same = all(_number(os.stat(f"{process}/{path}")) == _number(os.fstat(fd)) for path, fd in zip(paths, opened))
        if _number(os.fstat(mounts)) in _numbers(*MOUNTS):
            raise Unfit("it shares the host's files, of which none is written for it")
        foreign = users and _number(os.fstat(user)) != _number(os.stat("/proc/self/ns/user"))
        if not same or users and not foreign and _owner(mounts) != _number(os.fstat(user)):
            raise Unfit("its files cannot be reached: it has just gone into other namespaces")
    except OSError as error:
        if not lives(who.pid, who.born):
            raise Ended("the container ended meanwhile") from None
        raise Unfit(f"its files cannot be reached: {error.strerror}") from None
    if not lives(who.pid, who.born):
        raise Ended("the container ended meanwhile")
    if foreign and not zero:
        raise Unfit("its files cannot be reached: its user namespace has no user 0")
    is_root = uids == {zero if foreign else "0"}
    kept = permitted & (1 << CAP_CHOWN | 1 << CAP_DAC_OVERRIDE) if is_root else 0
    inside = Inside(-1, _numbers(*OF_THE_HOST), is_root, _nobody(foreign) if users else None)
    return _Found(user, mounts, root, foreign, is_root, kept, inside)


def _work_in(found: _Found, parent: int, fds: int, work: Work, last: bool) -> bytes:
    """Becomes the container's root, and works; what it may is given up for good if it is the ``last`` one."""
    before = _may()
    try:
        _become(found.foreign, found.user, found.mounts, found.root)
        _limit(found.kept, 0 if last else before)
    except OSError as error:
        raise Unfit(f"its files cannot be reached: {error.strerror}") from None
    for fd in found[:3]:
        os.close(fd)
    _end_with(parent)  # which has been forgotten with the change of users
    try:
        return work(found.inside._replace(fds=fds))
    finally:
        if not last:
            _limit(before, before)


def _leave_groups() -> None:
    """The host's, which nobody could give up inside."""
    try:
        with open("/proc/self/setgroups", encoding="ascii") as handle:
            may = handle.read().strip() != "deny"
    except FileNotFoundError:  # of a kernel without user namespaces
        may = True
    if may:
        os.setgroups([])


def _import_no_more() -> None:
    """Or Python would look for a module in the container, which then could have it do what it likes."""
    sys.path.clear()
    sys.path_hooks.clear()
    sys.path_importer_cache.clear()
    sys.meta_path.clear()


def _become(foreign: bool, user: int, mounts: int, root: int) -> None:
    """From here on a path leads into the container."""
    _call("setns", mounts, CLONE_NEWNS)
    if foreign:
        _call("setns", user, CLONE_NEWUSER)
        _hide()
        os.setresgid(0, 0, 0)
        os.setresuid(0, 0, 0)
    os.fchdir(root)
    os.chroot(".")
    os.chdir("/")


def _may() -> int:
    """The capabilities that this process has."""
    header, data = struct.pack("=Ii", CAPABILITY_VERSION, 0), ctypes.create_string_buffer(24)
    _call("capget", header, data)
    low, high = struct.unpack_from("=4xI8xI4x", data)
    return int(low | high << 32)


def _limit(effective: int, permitted: int) -> None:
    """To the capabilities that files need and that the container's first process has. ``permitted``: those that can be
    had again, to go on to another container."""
    permitted |= effective
    low, high = 0xFFFFFFFF, 32
    data = struct.pack("=6I", effective & low, permitted & low, 0, effective >> high, permitted >> high, 0)
    _call("capset", struct.pack("=Ii", CAPABILITY_VERSION, 0), data)
    _call("prctl", PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    _hide()


def _hide() -> None:
    """From ptrace and /proc, for all who have no such right in the user namespace in which the parent was started."""
    _call("prctl", PR_SET_DUMPABLE, 0, 0, 0, 0)


def _end_with(parent: int) -> None:
    _call("prctl", PR_SET_PDEATHSIG, int(signal.SIGKILL), 0, 0, 0)
    if os.getppid() != parent:
        os._exit(0)


def _call(name: str, *args: t.Any) -> None:
    """A function of the C library, which succeeds or raises OSError."""
    longs = [ctypes.c_ulong(each) if isinstance(each, int) and name == "prctl" and at else each
             for at, each in enumerate(args)]
    if getattr(_libc, name)(*longs) == -1:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


def _owner(mounts: int) -> tuple[int, int]:
    """The user namespace that mounts belong to."""
    fd = fcntl.ioctl(mounts, NS_GET_USERNS)
    try:
        return _number(os.fstat(fd))
    finally:
        os.close(fd)


def _outside(path: str) -> str | None:
    """Who a user namespace's user 0 is, outside of it."""
    with open(path, encoding="ascii") as handle:
        return next((line.split()[1] for line in handle if line.split()[0] == "0"), None)


def _nobody(foreign: bool) -> tuple[int, int] | None:
    with open("/proc/self/uid_map", encoding="ascii") as handle:
        if not foreign and handle.read().split() == ["0", "0", "4294967295"]:
            return None  # there is nobody who is not known
    found = []
    for name in ("overflowuid", "overflowgid"):
        with open(f"/proc/sys/fs/{name}", encoding="ascii") as handle:
            found.append(int(handle.read()))
    return found[0], found[1]


def _number(of: os.stat_result) -> tuple[int, int]:
    return of.st_dev, of.st_ino


def _numbers(*paths: str) -> dict[tuple[int, int], str]:
    """What tells these files from all others, as far as they are there. Looked at anew: such files are replaced."""
    found = {}
    for path in paths:
        with contextlib.suppress(OSError):
            found[_number(os.stat(path))] = path
    return found
