# Copyright: pipework.containers contributors
# GNU General Public License v3.0+ (see LICENSE)
"""The first process of a box: mounts what is the box's own, starts sshd where it is a host, and reaps.

first.py FILE: the settings, written by fleet.py.
"""
from __future__ import annotations

import contextlib
import ctypes
import fcntl
import json
import os
import select
import shutil
import signal
import socket
import struct
import subprocess
import sys
from typing import Any

MS_NOSUID, MS_NODEV, MS_NOEXEC, MS_BIND, MS_REC, MS_PRIVATE = 2, 4, 8, 0x1000, 0x4000, 0x40000
CLONE_NEWNET = 0x40000000
SIOCSIFFLAGS, IFF_UP = 0x8914, 1
# What is written there stays in the box, and goes with it. The rest of the file system is the machine's.
OVERLAYS = ("/etc", "/var/lib", "/var/log")
SCRATCH = "/run"
USERS = {"root": "root:*:0:0:root:/run/root:/bin/sh", "sshd": "sshd:*:{0}:65534::/run/sshd:/usr/sbin/nologin"}
SSHD_ID = 64

_libc = ctypes.CDLL(None, use_errno=True)


def checked(result: int, what: str) -> None:
    if result:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), what)


def mount(source: str, target: str, kind: str = "none", flags: int = 0, data: str = "") -> None:
    checked(_libc.mount(source.encode(), target.encode(), kind.encode(), ctypes.c_ulong(flags), data.encode()), target)


def own_files(settings: dict[str, Any]) -> None:
    """Mounts, so that the box sees itself, and writes nothing of the machine's."""
    mount("none", "/", flags=MS_REC | MS_PRIVATE)
    mount("proc", "/proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC)
    mount("tmpfs", SCRATCH, "tmpfs", data="mode=755")
    cgroups = f"{SCRATCH}/cgroup"
    os.mkdir(cgroups)
    mounted = os.path.ismount("/sys/fs/cgroup")
    if mounted:
        mount("/sys/fs/cgroup", cgroups, flags=MS_BIND | MS_REC)
    mount("sysfs", "/sys", "sysfs", MS_NOSUID | MS_NODEV | MS_NOEXEC)
    if mounted:
        mount(cgroups, "/sys/fs/cgroup", flags=MS_BIND | MS_REC)
    # Not on the fleet's own box, on whose files the hosts stand: no more than two overlays can be on top of each other.
    # Without root, the kernel refuses one where something is mounted beneath; nothing could be written there anyway.
    for folder in OVERLAYS[: settings["overlays"]]:
        if any(path.startswith(f"{folder}/") for path in settings["keep"]):
            continue  # it may be a mount of its own beneath, which an overlay would hide
        upper, work = (f"{SCRATCH}/{part}{folder}" for part in ("upper", "work"))
        os.makedirs(upper)
        os.makedirs(work)
        if folder == "/etc":
            own_etc(upper, settings)
        mount("overlay", folder, "overlay", data=f"lowerdir={folder},upperdir={upper},workdir={work}")
    mount("tmpfs", SCRATCH, "tmpfs", data="mode=755")  # the overlays hold the one below
    for folder in ("netns", "sshd", "root", "lock"):
        os.mkdir(f"{SCRATCH}/{folder}", 0o755)


def own_etc(upper: str, settings: dict[str, Any]) -> None:
    """A name, the fleet's hosts, and users: root, who has a home of the box's own, and sshd's."""
    with open("/etc/passwd", encoding="utf-8") as handle:
        others = [line.rstrip("\n") for line in handle if line.partition(":")[0] not in USERS]
    users = [line.format(SSHD_ID) for line in USERS.values()]
    with open(settings["hosts"], encoding="ascii") as handle:
        hosts = handle.read().splitlines()
    files = {
        "hostname": [settings["name"]],
        "hosts": hosts,
        "passwd": users + others,
        "shadow": [f"{name}:*:19000::::::" for name in USERS],
    }
    for name, lines in files.items():
        with open(os.open(f"{upper}/{name}", os.O_WRONLY | os.O_CREAT, 0o644), "w", encoding="utf-8") as handle:
            handle.write("".join(f"{line}\n" for line in lines))


def calm() -> None:
    """Loopback up; no waiting for the detection of doubled IPv6 addresses."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        fcntl.ioctl(sock, SIOCSIFFLAGS, struct.pack("16sh14x", b"lo", IFF_UP))
    for where in ("all", "default"):
        path = f"/proc/sys/net/ipv6/conf/{where}/accept_dad"
        with contextlib.suppress(FileNotFoundError), open(path, "w", encoding="ascii") as handle:
            handle.write("0")


def make_containers(names: list[str]) -> None:
    """Named network namespaces, as `ip netns add` makes them."""
    for name in names:
        path = f"/run/netns/{name}"
        child = os.fork()
        if child == 0:
            status = 1
            try:
                with open(path, "xb"):
                    pass
                checked(_libc.unshare(CLONE_NEWNET), "unshare")
                mount("/proc/self/ns/net", path, flags=MS_BIND)
                calm()
                status = 0
            finally:
                os._exit(status)
        if os.waitpid(child, 0)[1]:
            raise OSError(f"no container {name}")


def main() -> None:
    with open(sys.argv[1], encoding="utf-8") as handle:
        settings = json.load(handle)
    with socket.socket(socket.AF_UNIX) as master:
        master.connect(settings["socket"])
        name = settings["name"].encode()
        checked(_libc.sethostname(name, len(name)), "sethostname")
        own_files(settings)
        calm()
        make_containers(settings["containers"])
        if settings["sshd"]:
            with open(settings["log"], "ab") as log:
                subprocess.Popen(settings["sshd"], env=settings["environment"], stderr=log, stdin=subprocess.DEVNULL)
        signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
        master.sendall(b"+")
        reap(master if settings["guarded"] else None, os.path.dirname(sys.argv[1]))


def reap(master: socket.socket | None, directory: str) -> None:
    """Waits for the processes that are left to the first one. Where the fleet's maker has gone, so does the fleet."""
    wake, woken = os.pipe()
    for end in (wake, woken):
        os.set_blocking(end, False)
    signal.set_wakeup_fd(woken, warn_on_full_buffer=False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    while True:
        try:
            while os.waitpid(-1, os.WNOHANG) != (0, 0):
                pass
        except ChildProcessError:
            pass
        ready = select.select([wake, master] if master else [wake], [], [])[0]
        if master in ready:
            os.kill(-1, signal.SIGKILL)
            shutil.rmtree(directory, ignore_errors=True)
            os._exit(0)
        os.read(wake, 512)


if __name__ == "__main__":
    main()
