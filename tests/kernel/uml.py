# Copyright: pipework.containers contributors
# GNU General Public License v3.0+ (see LICENSE)
"""Debian's kernel as a process: User-Mode Linux. Its root is the host's, through hostfs."""
from __future__ import annotations

import contextlib
import os
import pathlib
import selectors
import shutil
import socket
import subprocess
import threading

import registers
from machine import CHECKOUT, PATH, UNAVAILABLE, LaneError

RESULTS = CHECKOUT / ".cache" / "kernel"
MODULES = "/usr/lib/uml/modules"
MARKS = "kernel or any_kernel"
# Not every distribution's UML has all of them as modules; the tests say what they miss.
LOADED = ("dummy veth bridge br_netfilter 8021q macvlan macvtap ipvlan tun ifb vxlan openvswitch "
          "ip_tables iptable_filter nf_tables")
NICS = 2
MEMORY_MB = 1024


def require() -> None:
    """LaneError where something is not installed."""
    if not shutil.which("linux.uml", path=PATH) or not os.path.isdir(MODULES):
        raise LaneError(UNAVAILABLE, "linux.uml or its modules are missing: apt-get install user-mode-linux")
    if registers.too_many() and not shutil.which("gcc", path=PATH):
        raise LaneError(UNAVAILABLE, "linux.uml needs a compiler on this processor (registers.c): apt-get install gcc")


def settings(scratch: pathlib.Path) -> dict[str, str]:
    """What init is to know."""
    return {"modules": MODULES, "loaded": LOADED, "shared": f"-t hostfs -o {scratch}/results none"}


def command(scratch: pathlib.Path) -> list[str]:
    """The kernel's command line; the wire between its NICs is in this process."""
    Wire(scratch / "wire")
    nics = [f"vec{number}:transport=bess,dst={scratch}/wire,mac=02:00:00:00:00:0{number + 1}" for number in range(NICS)]
    kernel = str(shutil.which("linux.uml", path=PATH))
    return [kernel, f"mem={MEMORY_MB}M", "root=/dev/root", "rootfstype=hostfs", "rootflags=/", "ro", "quiet",
            f"init={scratch}/init", "con=null", "con0=null,fd:1", f"uml_dir={scratch}/uml", *nics]


def environment(scratch: pathlib.Path) -> dict[str, str]:
    """What the kernel, as a process, has to know."""
    return {**_memory(), **_registers(scratch)}


def _registers(scratch: pathlib.Path) -> dict[str, str]:
    """See registers.py."""
    if not registers.too_many():
        return {}
    source, library = pathlib.Path(__file__).resolve().with_name("registers.c"), scratch / "registers.so"
    command = ["gcc", "-shared", "-fPIC", "-O2", "-nostdlib", "-o", str(library), str(source)]
    made = subprocess.run(command, capture_output=True, text=True, check=False)
    if made.returncode:
        raise LaneError(UNAVAILABLE, f"registers.c cannot be compiled: {made.stderr.strip()}")
    return {"LD_PRELOAD": str(library)}


def _memory() -> dict[str, str]:
    """The kernel's memory is a file in /dev/shm; a container's is often too small or noexec for that."""
    shm = os.statvfs("/dev/shm") if os.path.isdir("/dev/shm") else None
    if shm and shm.f_bavail * shm.f_frsize >= MEMORY_MB << 20 and not shm.f_flag & os.ST_NOEXEC:
        return {}
    return {"TMPDIR": "/tmp"}


class Wire:
    """An Ethernet segment on a socket: what one NIC of the kernel sends reaches the others. Touches no host network."""

    def __init__(self, path: pathlib.Path) -> None:
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._listener.bind(str(path))
        self._listener.listen()
        self._ports: set[socket.socket] = set()
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._listener, selectors.EVENT_READ)
        threading.Thread(target=self._carry, daemon=True).start()

    def _carry(self) -> None:
        while True:
            ready = [key.fileobj for key, events in self._selector.select()]
            if self._listener in ready:  # first: a NIC that came up must not miss the frames of this round
                port = self._listener.accept()[0]
                port.setblocking(False)
                self._ports.add(port)
                self._selector.register(port, selectors.EVENT_READ)
            for port in self._ports.intersection(ready):
                self._forward(port)

    def _forward(self, port: socket.socket) -> None:
        try:
            frame = port.recv(65536)
        except OSError:
            frame = b""
        if not frame:  # the NIC went down; it connects again when it comes up
            self._selector.unregister(port)
            self._ports.remove(port)
            port.close()
        for other in self._ports - {port} if frame else ():
            with contextlib.suppress(OSError):  # a full or closed queue drops frames, as a wire does
                other.send(frame)
