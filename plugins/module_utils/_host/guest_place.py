# Copyright: pipework.containers contributors
# GNU General Public License v3.0+ (see LICENSE)
"""One file of a container, and the folder that it is in, reached without believing a word of what the container says.

The way begins at the root, and openat2(2) resolves the rest of it as if that were all there is: no link leads out of
it. What is found is looked at before it is opened: only a regular file on a file system that keeps files is, which
leaves out devices, pipes and what the kernel itself makes of being written to, such as all below /proc. It is written
in place, since engines bind-mount these files, and opened for that only when it is written.
"""
from __future__ import annotations

import contextlib
import ctypes
import errno
import os
import stat

from .._files.blocks import RESOLVER, Style, Where
from .in_container import MOST, Inside, Unfit

OPENAT2 = 437
RESOLVE_NO_MAGICLINKS, RESOLVE_NO_SYMLINKS, RESOLVE_IN_ROOT = 0x02, 0x04, 0x10
ETC_NETNS = "etc/netns"
TRIES = 20  # while somebody renames folders on the way
# proc, sysfs, cgroup, cgroup2, debugfs, tracefs, securityfs, configfs, bpf, efivarfs, pstore, selinuxfs, smackfs,
# binfmt_misc, devpts, hugetlbfs, nsfs, pidfs, mqueue, resctrl, fusectl
OF_THE_KERNEL = {
    0x9FA0, 0x62656572, 0x27E0EB, 0x63677270, 0x64626720, 0x74726163, 0x73636673, 0x62656570, 0xCAFE4A11, 0xDE5E81E4,
    0x6165676C, 0xF97CFF8C, 0x43415D53, 0x42494E4D, 0x1CD1, 0x958458F6, 0x6E736673, 0x50494446, 0x19800202, 0x7655821,
    0x65735543,
}

_libc = ctypes.CDLL(None, use_errno=True)


class _How(ctypes.Structure):
    _fields_ = (("flags", ctypes.c_uint64), ("mode", ctypes.c_uint64), ("resolve", ctypes.c_uint64))


class Place:
    """They are held open."""

    def __init__(self, place: Where, style: Style, inside: Inside) -> None:
        self.whose, self.name, self.inside = place, style.file, inside
        self.folder = f"{ETC_NETNS}/{place.netns}" if place.netns else "etc"
        self.path = f"/{self.folder}/{self.name}"
        self.fds: list[int] = []
        self.root = self.at = -1
        self.missing = 0  # how many folders there are not
        self.here: int | None = None  # the file, as a place only

    def __enter__(self) -> Place:
        try:
            self._open()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_error: object) -> None:
        for fd in self.fds:
            os.close(fd)
        self.fds.clear()

    def _keep(self, fd: int) -> int:
        self.fds.append(fd)
        return fd

    def _open(self) -> None:
        flags = os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC
        if self.whose == Where() and self.name == RESOLVER.file:
            raise Unfit("the host's resolv.conf is never written")
        self.root = self._keep(os.open("/", flags))
        parts = self.folder.split("/")
        for count in range(len(parts), 0, -1):
            try:
                self.at = self._keep(self._look("/".join(parts[:count]), os.O_DIRECTORY))
                break
            except FileNotFoundError:
                self.missing += 1
            except OSError as error:
                raise Unfit(f"/{'/'.join(parts[:count])} is no folder that can be used: {error.strerror}") from None
        if self.at < 0 or (self.missing and not self.whose.netns):
            raise Unfit("it has no folder /etc")
        if not self.missing:
            self._find()

    def _find(self) -> None:
        """The file, if it is there; what it is, before anything is done with it."""
        try:
            self.here = self._keep(self._look(f"{self.folder}/{self.name}", 0))
        except FileNotFoundError:
            with contextlib.suppress(FileNotFoundError):
                os.stat(self.name, dir_fd=self.at, follow_symlinks=False)
                raise Unfit(f"{self.path} is a link that leads nowhere in it") from None
            self._refuse_strange(self.at, f"/{self.folder}")
            return
        except OSError as error:
            raise Unfit(f"{self.path} cannot be used: {error.strerror}") from None
        status = os.fstat(self.here)
        if not stat.S_ISREG(status.st_mode):
            raise Unfit(f"{self.path} is {_sort(status.st_mode)} and no file")
        self._refuse_strange(self.here, self.path)
        if status.st_size > MOST:
            raise Unfit(f"{self.path} has {status.st_size} bytes, and more than {MOST} are not read")

    def _refuse_strange(self, fd: int, path: str) -> None:
        """What is on a file system of the kernel's, or the host's own."""
        buffer = ctypes.create_string_buffer(256)
        if _libc.fstatfs(fd, buffer) != 0:
            raise Unfit(f"{path} cannot be used: {os.strerror(ctypes.get_errno())}")
        if ctypes.c_long.from_buffer(buffer).value & 0xFFFFFFFF in OF_THE_KERNEL:
            raise Unfit(f"{path} leads to what the kernel itself makes, which is no file")
        if self.whose == Where():
            return
        status, nobody = os.fstat(fd), self.inside.nobody
        if nobody is not None and (status.st_uid == nobody[0] or status.st_gid == nobody[1]):
            raise Unfit(f"{path} belongs to somebody who is not of the container, so that it is not touched")
        own = self.inside.of_the_host.get((status.st_dev, status.st_ino))
        if own is not None:
            raise Unfit(f"{path} is the host's own {own}, which is not written for a container")

    def _look(self, path: str, flags: int) -> int:
        links = 0 if self.inside.links else RESOLVE_NO_SYMLINKS
        how = _How(os.O_PATH | os.O_CLOEXEC | flags, 0, RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS | links)
        number = 0
        for _attempt in range(TRIES):
            fd = _libc.syscall(OPENAT2, self.root, os.fsencode(path), ctypes.byref(how), ctypes.sizeof(how))
            number = ctypes.get_errno()
            if fd >= 0:
                return int(fd)
            if number not in (errno.EAGAIN, errno.EINTR):
                break
        if number == errno.ELOOP and links:
            raise Unfit(f"/{path} is a link, which is followed only where the container's first process is its root")
        raise OSError(number, os.strerror(number))

    # -- what is in it

    def _again(self, flags: int) -> int:
        """Opens just the file that was looked at, whatever stands in its place by now."""
        flags |= os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
        return self._keep(os.open(str(self.here), flags, dir_fd=self.inside.fds))

    def _writable(self, fd: int) -> None:
        """Raises OSError where it is not. It is asked for, and not tried: a check run opens nothing for writing."""
        if _libc.faccessat(self.inside.fds, str(fd).encode(), os.W_OK, 0) != 0:
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number))

    def read(self, writing: bool) -> bytes | None:
        """None where it is missing. Raises Unfit, if ``writing`` also where it could not be written."""
        sort = "read"
        if self.here is None:
            try:
                if writing:
                    self._writable(self.at)
            except OSError as error:
                raise Unfit(f"{self.path} is missing and cannot be made: {error.strerror}") from None
            return None
        try:
            fd = self._again(os.O_RDONLY)
            found = b""
            while len(found) <= MOST:
                piece = os.pread(fd, MOST + 1 - len(found), len(found))
                if not piece:
                    break
                found += piece
            sort = "written"
            if writing:
                self._writable(self.here)
        except OSError as error:
            raise Unfit(f"{self.path} cannot be {sort}: {error.strerror}") from None
        if len(found) > MOST:
            raise Unfit(f"{self.path} has more than {MOST} bytes, which are not read")
        return found

    def check_size(self, content: bytes) -> None:
        if len(content) > MOST:
            raise Unfit(f"{self.path} would have {len(content)} bytes, and more than {MOST} are not written")

    def write(self, content: bytes | None, folder: bool) -> None:
        """All of it or nothing; None takes the file away, and its folder if that was made for it. Raises OSError."""
        if content is None:
            try:
                os.unlink(self.name, dir_fd=self.at)
            except OSError:  # something is mounted there
                content = b""
            else:
                if folder:
                    self._remove_folder()
                return
        fd = self._make() if self.here is None else self._again(os.O_RDWR)
        was = os.pread(fd, MOST + 1, 0)
        try:
            _fill(fd, content)
        except OSError:
            with contextlib.suppress(OSError):
                _fill(fd, was)
            if self.here is None:
                with contextlib.suppress(OSError):
                    os.unlink(self.name, dir_fd=self.at)
            raise

    def _make(self) -> int:
        parts = self.folder.split("/")
        for part in parts[len(parts) - self.missing:]:
            os.mkdir(part, 0o755, dir_fd=self.at)
            self.at = self._keep(os.open(part, os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=self.at))
        self.missing = 0
        flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        fd = self._keep(os.open(self.name, flags, 0o644, dir_fd=self.at))
        owner = os.fstat(self.at)
        with contextlib.suppress(OSError):
            os.fchmod(fd, 0o644)
            os.fchown(fd, owner.st_uid, owner.st_gid)
        return fd

    def _remove_folder(self) -> None:
        """With the one above it, if it has become empty: that holds nothing but such folders."""
        with contextlib.suppress(OSError):  # somebody has put something there
            for path in (self.folder, os.path.dirname(self.folder)) if self.whose.netns else ():
                os.rmdir("/" + path)


def _fill(fd: int, content: bytes) -> None:
    at = 0
    while at < len(content):
        at += os.pwrite(fd, content[at:], at)
    os.ftruncate(fd, len(content))


def _sort(mode: int) -> str:
    names = {
        stat.S_IFIFO: "a named pipe", stat.S_IFCHR: "a device", stat.S_IFBLK: "a device", stat.S_IFDIR: "a folder",
        stat.S_IFSOCK: "a socket",
    }
    return names.get(stat.S_IFMT(mode), "something else")
