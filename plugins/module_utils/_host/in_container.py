# Copyright: pipework.containers contributors
# GNU General Public License v3.0+ (see LICENSE)
"""The child that becomes a container's root: it joins the container's mount and user namespaces, becomes user 0 of the
latter, goes into its root, and keeps no capability but those that files need and the container's first process has.

It has nothing else of the host's: no descriptor but the pipe that it answers by, and the folder of its own descriptors.
Nobody there can look into it, since it is not dumpable. It imports nothing there.
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
import signal
import struct
import sys
import typing as t

from .._core.errors import PipeworkError
from .._runtimes.pid import lives, status

CPU_SECONDS, DESCRIPTORS = 6, 512
MOST = 1 << 16  # bytes of a file
HEAD = struct.Struct("=cI")  # how it went, and how much is said about it
ALONE = b"?"
CLONE_NEWNS, CLONE_NEWUSER, NS_GET_USERNS = 0x00020000, 0x10000000, 0xB701
PR_SET_PDEATHSIG, PR_SET_DUMPABLE, PR_SET_NO_NEW_PRIVS = 1, 4, 38
CAPABILITY_VERSION, CAP_CHOWN, CAP_DAC_OVERRIDE = 0x20080522, 0, 1
MOUNTS = ("/proc/self/ns/mnt", "/proc/1/ns/mnt")
OF_THE_HOST = (
    "/etc/resolv.conf", "/etc/hosts", "/run/systemd/resolve/resolv.conf", "/run/systemd/resolve/stub-resolv.conf",
    "/run/resolvconf/resolv.conf", "/run/NetworkManager/resolv.conf", "/etc",
)

_libc = ctypes.CDLL(None, use_errno=True)


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


def here() -> Inside:
    """The same for work that this process does itself, on the host's own files. ``fds`` is the caller's to close."""
    return Inside(os.open("/proc/self/fd", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC), _numbers(*OF_THE_HOST))


def serve(out: int, parent: int, questions: t.Sequence[Question]) -> t.NoReturn:
    """Does the work and tells of it; nothing of what the parent was about goes on here."""
    try:
        for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
            signal.signal(number, signal.SIG_DFL)
        gc.disable()  # what is not ended here closes no descriptor that is another one by now
        out = fcntl.fcntl(out, fcntl.F_DUPFD_CLOEXEC, 3)
        _keep_only(out)
        _end_with(parent)
        _hide()
        for kind, most in (("CORE", 0), ("FSIZE", 2 * MOST), ("CPU", CPU_SECONDS), ("NOFILE", DESCRIPTORS)):
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
