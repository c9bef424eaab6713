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
import gc
import os
import resource
import select
import signal
import struct
import time
import typing as t

from ._errors import PipeworkError
from ._runtimes.pid import lives, status

SECONDS, ALL_SECONDS, BRIEF = 3.0, 12.0, 1.0  # for one question; for all that were in vain, and for each after these
AFTERWARDS = 0.3  # seconds, for the end of a child that has answered
AT_ONCE = 16
MOST = 1 << 16  # bytes of a file
HEAD = struct.Struct("=cI")  # how it went, and how much is said about it
WORDS_MAX = 300
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


def ask(who: Who, path: str, work: Work) -> bytes:
    """What the work returns that is done as the container's root. ``path`` is for words. Raises Unusable, OSError."""
    _refuse_silent(who, path)
    return _Child(who, path, work).answer(time.monotonic() + _patience())


def probe(questions: t.Iterable[tuple[Who, str, Work]]) -> None:
    """Finds out who does not answer, many at a time, so that nobody waits for them later."""
    todo = [each for each in dict.fromkeys(questions) if each[0] not in _silent]
    while todo:
        now, todo = todo[:AT_ONCE], todo[AT_ONCE:]
        children = []
        for each in now:
            with contextlib.suppress(Unusable):
                children.append(_Child(*each))
        end = time.monotonic() + _patience()
        for child in children:
            with contextlib.suppress(Unusable, OSError):
                child.answer(end)


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

    def __init__(self, who: Who, path: str, work: Work) -> None:
        self.who, self.path, self.began = who, path, time.monotonic()
        parent = os.getpid()
        self.pipe, out = os.pipe()
        try:
            self.pid = os.fork()
            if self.pid == 0:
                _serve(out, parent, who, work)
        except OSError as error:
            os.close(self.pipe)
            raise Unfit(f"{path} cannot be looked at: {error.strerror}") from None
        finally:
            os.close(out)

    def answer(self, end: float) -> bytes:
        try:
            data = self._hear(end)
        finally:
            self._leave()
        code, said = (data[:1], data[HEAD.size:]) if len(data) >= HEAD.size else (b"", b"")
        if len(data) < HEAD.size or len(said) != HEAD.unpack_from(data)[1]:
            raise Silent(f"{self.path} cannot be used: what looked at it was ended before it was done")
        if code == b"=":
            return said
        if code == b"o" and said[:4].isdigit():
            raise OSError(int(said[:4]), os.strerror(int(said[:4])))
        words = "".join(each if each.isprintable() else "?" for each in said.decode("utf-8", "replace"))[:WORDS_MAX]
        raise Ended(words) if code == b"e" else Unfit(words)

    def _hear(self, end: float) -> bytes:
        data, poller, began = b"", select.poll(), time.monotonic()
        poller.register(self.pipe, select.POLLIN)
        while len(data) <= HEAD.size + MOST:
            if not poller.poll(max(0, end - time.monotonic()) * 1000):
                _silent.add(self.who)
                _in_vain[0] += time.monotonic() - began
                raise Silent(
                    f"{self.path} did not answer within {time.monotonic() - self.began:.1f} s, by a file system of "
                    "the container's that lets others wait"
                )
            piece = os.read(self.pipe, 1 << 16)
            if not piece:
                break
            data += piece
        return data

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


# -- in the child

def _serve(out: int, parent: int, who: Who, work: Work) -> t.NoReturn:
    """Does the work and tells of it; nothing of what the parent was about goes on here."""
    try:
        for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
            signal.signal(number, signal.SIG_DFL)
        gc.disable()  # what is not ended here closes no descriptor that is another one by now
        out = fcntl.fcntl(out, fcntl.F_DUPFD_CLOEXEC, 3)
        code, said = b"x", b""
        try:
            _keep_only(out)
            code, said = b"=", work(_join(who, parent))
        except Ended as error:
            code, said = b"e", str(error).encode("utf-8", "replace")
        except PipeworkError as error:
            code, said = b"u", str(error).encode("utf-8", "replace")
        except OSError as error:
            code, said = b"o", b"%04d" % (error.errno or errno.EIO)
        data = HEAD.pack(code, len(said)) + said
        while data:
            data = data[os.write(out, data):]
    finally:
        os._exit(0)


def _keep_only(out: int) -> None:
    """The host's lock above all, which goes with the last descriptor of it."""
    for name in os.listdir("/proc/self/fd"):
        if int(name) != out:
            with contextlib.suppress(OSError):
                os.close(int(name))
    for fd in (0, 1, 2):  # so that nothing that is opened becomes one of these
        os.dup2(out, fd)


def _join(who: Who, parent: int) -> Inside:
    """Becomes the container's root. Raises Unusable."""
    _end_with(parent)
    _hide()
    for kind, most in (("CORE", 0), ("FSIZE", 2 * MOST), ("CPU", 2 * int(SECONDS)), ("NOFILE", 64)):
        resource.setrlimit(getattr(resource, f"RLIMIT_{kind}"), (most, most))
    process = f"/proc/{who.pid}"
    opened: list[int] = []
    try:
        opened += [os.open(f"{process}/ns/{each}", os.O_RDONLY | os.O_CLOEXEC) for each in ("user", "mnt")]
        uids, permitted = set(status(who.pid, "Uid")), int(status(who.pid, "CapPrm")[0], 16)
        zero = _outside(f"{process}/uid_map")
        opened.append(os.open(f"{process}/root", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC))
        user, mounts, root = opened
        # All of one moment: who gives rights up, as by a user namespace of its own, does not get them back.
        same = all(_number(os.stat(f"{process}/{path}")) == _number(os.fstat(fd)) for path, fd in
                   (("ns/user", user), ("ns/mnt", mounts)))
        if _number(os.fstat(mounts)) in _numbers(*MOUNTS):
            raise Unfit("it shares the host's files, of which none is written for it")
        foreign = _number(os.fstat(user)) != _number(os.stat("/proc/self/ns/user"))
        if not same or not foreign and _owner(mounts) != _number(os.fstat(user)):
            raise Unfit("its files cannot be reached: it has just gone into other namespaces")
        if not lives(who.pid, who.born):
            raise Ended("the container ended meanwhile")
        is_root = uids == {zero} if foreign else uids == {"0"}
        if foreign and not zero:
            raise Unfit("its files cannot be reached: its user namespace has no user 0")
        inside = here()._replace(links=is_root, nobody=_nobody(foreign))
        _become(foreign, user, mounts, root)
        _limit(permitted if is_root else 0)
    except OSError as error:
        if not lives(who.pid, who.born):
            raise Ended("the container ended meanwhile") from None
        raise Unfit(f"its files cannot be reached: {error.strerror}") from None
    for fd in opened:
        os.close(fd)
    _end_with(parent)  # which has been forgotten with the change of users
    return inside


def _become(foreign: bool, user: int, mounts: int, root: int) -> None:
    try:
        with open("/proc/self/setgroups", encoding="ascii") as handle:
            may = handle.read().strip() != "deny"
    except FileNotFoundError:  # of a kernel without user namespaces
        may = True
    if may:
        os.setgroups([])  # the host's, which nobody could give up inside
    _call("setns", mounts, CLONE_NEWNS)
    if foreign:
        _call("setns", user, CLONE_NEWUSER)
        _hide()
        os.setresgid(0, 0, 0)
        os.setresuid(0, 0, 0)
    os.fchdir(root)
    os.chroot(".")
    os.chdir("/")


def _limit(permitted: int) -> None:
    """Of the capabilities those that files need, and that the container's first process has; never any again."""
    kept = permitted & (1 << CAP_CHOWN | 1 << CAP_DAC_OVERRIDE)
    header, data = struct.pack("=Ii", CAPABILITY_VERSION, 0), struct.pack("=6I", kept, kept, 0, 0, 0, 0)
    _call("capset", header, data)
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
