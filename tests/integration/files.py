# Copyright: pipework.containers contributors
# GNU General Public License v3.0+ (see LICENSE)
"""Files of containers that tests write: a host's /etc of its own, and containers that mean no good."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import stat
import subprocess
import tempfile
import typing as t
from collections.abc import Callable, Iterator
from pathlib import Path

from tests.integration.engines import busybox_root, gone, need
from tests.integration.lab import MS_BIND, Host, _mount, enter, eventually, unshare

OF_THE_HOST = ("/etc/resolv.conf", "/etc/hosts", "/etc/passwd", "/proc/sys/kernel/hostname")


def private_etc(host: Host) -> None:
    """What is written below the host's /etc is this host's alone."""

    def cover() -> None:
        for name in ("upper", "work"):
            os.makedirs(f"/run/etc/{name}")
        subprocess.run(
            ["mount", "-t", "overlay", "overlay", "-o", "lowerdir=/etc,upperdir=/run/etc/upper,workdir=/run/etc/work"]
            + ["/etc"],
            check=True,
        )
        for name, text in (("resolv.conf", "nameserver 192.0.2.53\n"), ("hosts", "127.0.0.1 localhost\n")):
            with open(f"/etc/{name}", "w", encoding="ascii") as handle:
                handle.write(text)

    host.call(cover)


def machine() -> dict[str, tuple[bytes, int]]:
    """What no test may touch: the bytes of the machine's own files, and when they were written."""
    return {
        path: (Path(path).read_bytes(), 0 if path.startswith("/proc") else os.stat(path).st_mtime_ns)
        for path in OF_THE_HOST
    }


def content(host: Host, path: str) -> bytes | None:
    """What is in a file on a host; None where there is none."""

    def read() -> bytes | None:
        try:
            with open(path, "rb") as handle:
                return handle.read()
        except FileNotFoundError:
            return None

    return host.call(read)


class Guest:
    """A container that is a process in a root of its own, with the host's right to do there what it likes."""

    def __init__(self, host: Host, prepare: Callable[[], None] | None = None) -> None:
        need("busybox")
        self.host = host
        self.folder = Path(tempfile.mkdtemp(prefix="pipework-", dir="/var/tmp"))
        busybox_root(self.folder)

        def begin() -> int:
            unshare(0x00020000 | 0x40000000)
            _mount("none", "/", "none", 0x4000 | 0x40000)
            _mount("proc", f"{self.folder}/proc", "proc")
            root = os.open("/", os.O_RDONLY)
            os.chdir(self.folder)
            if prepare is not None:
                prepare()
            os.close(root)
            null = subprocess.DEVNULL
            argv = [str(shutil.which("chroot")), str(self.folder), "/bin/sleep", "1000000"]
            return subprocess.Popen(argv, stdin=null, stdout=null, stderr=null, start_new_session=True).pid

        self.pid = host.call(begin)
        assert eventually(lambda: os.readlink(f"/proc/{self.pid}/exe").endswith("busybox"))

    @property
    def given(self) -> dict[str, t.Any]:
        return {"container": str(self.pid), "runtime": "pid"}

    def inside(self, work: Callable[[], t.Any]) -> t.Any:
        """What a function returns that runs with the container's mounts, in its root."""

        def there() -> t.Any:
            root = os.open(f"/proc/{self.pid}/root", os.O_RDONLY)
            with open(f"/proc/{self.pid}/ns/mnt", "rb") as handle:
                enter(handle.fileno(), 0x00020000)
            os.fchdir(root)
            os.chroot(".")
            return work()

        return self.host.call(there)

    def close(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, signal.SIGKILL)
        assert eventually(lambda: gone(self.pid))
        shutil.rmtree(self.folder)


@contextlib.contextmanager
def guest(host: Host, prepare: Callable[[], None] | None = None) -> Iterator[Guest]:
    """One, for as long as the test needs it."""
    found = Guest(host, prepare)
    try:
        yield found
    finally:
        found.close()


def _link(to: str) -> Callable[[str], None]:
    return lambda path: os.symlink(to, path)


def _huge(path: str) -> None:
    with open(path, "wb") as handle:
        handle.write(b"# \n" * 40000)


def _mounted(path: str, source: str) -> None:
    Path(path).touch()
    _mount(source, path, "none", MS_BIND)


def _read_only(path: str) -> None:
    Path(path).write_bytes(b"10.0.0.9 other\n")
    _mount(path, path, "none", MS_BIND)
    subprocess.run(["mount", "-o", "remount,ro,bind", path], check=True)


# What a container may have in the place of a file, and what is said of it.
TRAPS: dict[str, tuple[Callable[[str], None], str]] = {
    "pipe": (os.mkfifo, "is a named pipe and no file"),
    "device": (lambda path: os.mknod(path, stat.S_IFCHR | 0o600, os.makedev(1, 3)), "is a device and no file"),
    "folder": (os.mkdir, "is a folder and no file"),
    "dangling": (_link("../run/systemd/resolve/stub-resolv.conf"), "is a link that leads nowhere"),
    "out_of_it": (_link("/proc/1/root/etc/passwd"), "cannot be used: "),
    "own_descriptor": (_link("/proc/self/fd/0"), "cannot be used"),
    "kernel": (_link("/proc/sys/kernel/hostname"), "leads to what the kernel itself makes"),
    "circle": (_link("hosts"), "cannot be used: Too many levels of symbolic links"),
    "huge": (_huge, "has 120000 bytes, and more than 65536 are not read"),
    "the_hosts": (lambda path: _mounted(path, "/etc/" + os.path.basename(path)), "is the host's own /etc/"),
    "read_only": (_read_only, "cannot be written: Read-only file system"),
}
