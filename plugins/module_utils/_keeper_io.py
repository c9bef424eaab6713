# Copyright: pipework.containers contributors
# GNU General Public License v3.0+ (see LICENSE)
"""What the DHCP client that stays asks of the kernel: by the standard library alone, which keeps the process small."""
from __future__ import annotations

import contextlib
import ctypes
import errno
import fcntl
import os
import socket
import struct
import time
import typing as t

from . import _dhcp_message as dhcp
from ._dhcp_keep import Record
from ._dhcp_lease import FOREVER, Grant

CLONE_NEWNET = 0x40000000
ETH_P_IP, SO_ATTACH_FILTER = 0x0800, 26
RTM_NEWADDR, REQUEST, ACK, REPLACE, CREATE, NLMSG_ERROR = 20, 1, 4, 0x100, 0x400, 2
IFA_ADDRESS, IFA_LOCAL, IFA_BROADCAST, IFA_CACHEINFO = 1, 2, 4, 6
IN_MOVED_FROM, IN_DELETE, IN_ONLYDIR = 0x40, 0x200, 0x1000000
# UDP over IPv4, no later fragment, to the client's port; as 'tcpdump -dd udp dst port 68' would say it
CLIENTS_ONLY = (
    (0x28, 0, 0, 12), (0x15, 0, 8, ETH_P_IP), (0x30, 0, 0, 23), (0x15, 0, 6, dhcp.UDP), (0x28, 0, 0, 20),
    (0x45, 4, 0, 0x1FFF), (0xB1, 0, 0, 14), (0x48, 0, 0, 16), (0x15, 0, 1, dhcp.CLIENT_PORT), (0x06, 0, 0, 0x40000),
    (0x06, 0, 0, 0),
)

_libc = ctypes.CDLL(None, use_errno=True)


class Gone(Exception):
    """The container has ended, or its interface is another one."""


def clock() -> float:
    """As _dhcp's."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


def moment(at: float | None, now: float) -> str | None:
    """A moment of that clock for readers."""
    if at is None or at == float("inf"):
        return None
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + at - now))


# -- files

def read(path: str) -> str | None:
    try:
        with open(os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW), encoding="utf-8") as handle:
            return handle.read(1 << 16)
    except (OSError, UnicodeDecodeError):
        return None


def write(path: str, text: str) -> None:
    """All of it or nothing."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW
    with open(os.open(path + ".new", flags, 0o600), "w", encoding="utf-8") as handle:
        handle.write(text)
    os.rename(path + ".new", path)


def signature(path: str) -> tuple[int, int] | None:
    """What tells a file from the one that takes its place."""
    try:
        status = os.stat(path)
    except OSError:
        return None
    return status.st_ino, status.st_mtime_ns


@contextlib.contextmanager
def lock(path: str) -> t.Iterator[bool]:
    """The host's lock; False where a run has it."""
    handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
        else:
            yield True
    finally:
        os.close(handle)


class Watch:
    """Tells when a file goes that a namespace was opened by."""

    def __init__(self) -> None:
        self.fd = _libc.inotify_init1(os.O_CLOEXEC | os.O_NONBLOCK)
        if self.fd < 0:
            raise OSError(ctypes.get_errno(), "inotify")

    def add(self, path: str) -> None:
        _libc.inotify_add_watch(self.fd, os.fsencode(os.path.dirname(path)), IN_MOVED_FROM | IN_DELETE | IN_ONLYDIR)

    def drain(self) -> None:
        with contextlib.suppress(BlockingIOError):
            os.read(self.fd, 1 << 16)


# -- containers

def leads_to(path: str, namespace: tuple[int, int]) -> bool:
    try:
        status = os.stat(path)
    except OSError:
        return False
    return (status.st_dev, status.st_ino) == tuple(namespace)


def open_process(record: Record) -> int | None:
    """A pidfd of the process that a namespace belongs to; None where it belongs to a file. It holds nothing of it."""
    holder = record.holder
    if "pid" not in holder:
        if "path" in holder and not leads_to(str(holder["path"]), record.namespace):
            raise Gone
        return None
    try:
        fd = os.pidfd_open(int(holder["pid"]))
    except OSError:
        raise Gone from None
    with contextlib.suppress(OSError, IndexError):
        with open(f"/proc/{holder['pid']}/stat", encoding="utf-8", errors="replace") as handle:
            fields = handle.read().rpartition(")")[2].split()
        if fields[0] not in ("Z", "X") and int(fields[19]) == holder["born"]:
            return fd
    os.close(fd)
    raise Gone


def open_namespace(record: Record) -> int:
    """Raises Gone where it is another one."""
    holder = record.holder
    try:
        path = str(holder.get("path") or f"/proc/{holder.get('pid', 'self')}/ns/net")
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError:
        raise Gone from None
    status = os.fstat(fd)
    if (status.st_dev, status.st_ino) != tuple(record.namespace):
        os.close(fd)
        raise Gone
    return fd


def inside(record: Record, work: t.Callable[[], t.Any]) -> t.Any:
    """Does something in a container's network namespace and comes back. Nothing of it stays open."""
    fd = open_namespace(record)
    home = os.open("/proc/self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    try:
        _enter(fd)
        try:
            return work()
        finally:
            _enter(home)
    finally:
        os.close(fd)
        os.close(home)


def _enter(fd: int) -> None:
    if _libc.setns(fd, CLONE_NEWNET) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


# -- sockets, to be opened inside

def sockets(record: Record) -> tuple[socket.socket, socket.socket | None]:
    """The one to talk through, and one that has the port, or the kernel would refuse what a server sends there."""
    try:
        same = socket.if_nametoindex(record.device) == record.index
    except OSError:
        same = False
    if not same:
        raise Gone
    packet = socket.socket(socket.AF_PACKET, socket.SOCK_RAW | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK, 0)
    try:
        code = b"".join(struct.pack("=HBBI", *each) for each in CLIENTS_ONLY)
        buffer = ctypes.create_string_buffer(code)
        program = struct.pack("@HP", len(CLIENTS_ONLY), ctypes.addressof(buffer))
        packet.setsockopt(socket.SOL_SOCKET, SO_ATTACH_FILTER, program)
        packet.bind((record.device, ETH_P_IP))
    except OSError:
        packet.close()
        raise
    port = socket.socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC)
    try:
        port.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        port.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, record.device.encode() + b"\0")
        port.bind(("", dhcp.CLIENT_PORT))
    except OSError:  # a client of the container's own has it
        port.close()
        return packet, None
    return packet, port


def extend(record: Record, grant: Grant, now: float) -> None:
    """Gives an address the time that a lease has now. Raises OSError."""
    own, prefix = socket.inet_aton(grant.own), int(grant.address.partition("/")[2])
    left = grant.left(now)
    seconds = FOREVER if left is None else max(left, 1)
    attrs = [(IFA_LOCAL, own), (IFA_ADDRESS, own), (IFA_CACHEINFO, struct.pack("=IIII", seconds, seconds, 0, 0))]
    if prefix < 31:
        last = int.from_bytes(own, "big") | (1 << 32 - prefix) - 1
        attrs.append((IFA_BROADCAST, last.to_bytes(4, "big")))
    body = struct.pack("=BBBBI", socket.AF_INET, prefix, 0, 0, record.index)
    for kind, value in attrs:
        body += struct.pack("=HH", 4 + len(value), kind) + value
    header = struct.pack("=IHHII", 16 + len(body), RTM_NEWADDR, REQUEST | ACK | REPLACE | CREATE, 1, 0)

    def send() -> None:
        with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, socket.NETLINK_ROUTE) as sock:
            sock.settimeout(10)
            sock.send(header + body)
            answer = sock.recv(1 << 16)
        kind, = struct.unpack_from("=H", answer, 4)
        number = -struct.unpack_from("=i", answer, 16)[0] if kind == NLMSG_ERROR else errno.EPROTO
        if number:
            raise OSError(number, os.strerror(number))

    inside(record, send)
