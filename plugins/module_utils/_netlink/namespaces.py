# Copyright: pipework.containers contributors
# GNU General Public License v3.0+ (see LICENSE)
"""Network namespaces and the rtnetlink socket in each: dumps that are whole, and several requests in one write.

The messages themselves are made and read by the other files here, the only ones that know pyroute2. Its own sockets are
not used: they fork a helper for each namespace and wait for each answer.
"""
from __future__ import annotations

import concurrent.futures
import contextlib
import ctypes
import errno
import os
import socket
import struct
import typing as t

from .._core.errors import PipeworkError
from .._model.device import Device
from .._model.layer3 import HOST, Address
from . import rtnl, wire
from .kernel_error import KernelError, error_of

CLONE_NEWNET = 0x40000000
LOOPBACK = 1  # the index of lo, in each namespace
SO_NETNS_COOKIE = 71
SOL_NETLINK, NETLINK_CAP_ACK, NETLINK_EXT_ACK = 270, 10, 11
NLMSG_ERROR, NLMSG_DONE = 2, 3
NLM_F_DUMP_INTR = 0x10
MESSAGES_PER_WRITE, DUMP_TRIES = 32, 20
RESTLESS_TRIES, RESTLESS_MAX = 3, 6  # dumps of a container, and all that were interrupted, before they are taken so
RTM_NEWLINK = 16
RECEIVE_BYTES = 1 << 18

T = t.TypeVar("T")


class Namespaces:
    """The open network namespaces of one run, by label. The one the module runs in is ``host``."""

    def __init__(self) -> None:
        rtnl.require()
        self._visitor = concurrent.futures.ThreadPoolExecutor(1)  # enters namespaces: the main thread never does
        self._home = os.open("/proc/self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
        self._open: dict[str, Netns] = {}
        self._labels: dict[tuple[int, int], str] = {}
        self.holders: list[t.Callable[[], bool]] = []  # whether what was opened is still in use
        self.checks: list[t.Callable[[], None]] = []  # that what was opened is still in use; raise PipeworkError
        self.left_out: dict[str, str] = {}  # containers that a run goes on without, and why
        self.unmet: list[t.Any] = []  # records of interfaces that were not there when all was read last
        self.add(HOST, os.dup(self._home))

    def add(self, label: str, fd: int) -> str:
        """Takes over an open namespace; returns the label it already has if it is known under another."""
        status = os.fstat(fd)
        ident = (status.st_dev, status.st_ino)
        if ident in self._labels:
            os.close(fd)
            return self._labels[ident]
        try:
            netns = Netns(self, label, fd)
        except OSError as error:
            os.close(fd)
            why = " This needs root of the user namespace that owns it, the host's as a rule: set 'become: true'."
            hint = why if error.errno == errno.EPERM else ""
            words = f"The network namespace of {label} cannot be entered: {error.strerror}.{hint}"
            raise PipeworkError(words) from None
        self._labels[ident] = label
        self._open[label] = netns
        return label

    def __getitem__(self, label: str) -> Netns:
        return self._open[label]

    def __iter__(self) -> t.Iterator[str]:
        return iter(self._open)

    def inodes(self) -> set[int]:
        """The inode numbers of the open namespaces, which tell them apart."""
        return {inode for _device, inode in self._labels}

    def look(self, fd: int, find: t.Callable[[Netns, Netns], T]) -> T:
        """What a function finds in another namespace, which is taken over; it gets that one and the host's."""
        with self._elsewhere(fd) as netns:
            return find(netns, self._open[HOST])

    @contextlib.contextmanager
    def _elsewhere(self, fd: int) -> t.Iterator[Netns]:
        try:
            netns = Netns(self, "elsewhere", fd)
        except OSError:
            os.close(fd)
            raise
        with contextlib.closing(netns):
            yield netns

    def ident_of(self, path: str) -> str | None:
        """What tells a namespace that is not open from all others; None where it cannot be entered."""
        try:
            netns = Netns(self, "elsewhere", os.open(path, os.O_RDONLY | os.O_CLOEXEC))
        except OSError:
            return None
        netns.close()
        return netns.ident

    def inside(self, fd: int, work: t.Callable[[], T]) -> T:
        """Runs a function in a namespace and comes back."""
        def visit() -> T:
            _setns(fd)
            try:
                return work()
            finally:
                _setns(self._home)

        return self._visitor.submit(visit).result()

    def close(self) -> None:
        for netns in self._open.values():
            netns.close()
        self._open.clear()
        self._visitor.shutdown()
        os.close(self._home)


class Netns:
    """One open namespace and its rtnetlink socket."""

    def __init__(self, namespaces: Namespaces, label: str, fd: int) -> None:
        self.label = label
        self.fd = fd
        self._namespaces = namespaces
        self._sequence = 0
        self._indexes: dict[str, int] = {}
        self._restless = 0  # dumps that were interrupted
        self._socket = namespaces.inside(fd, _rtnetlink) if label != HOST else _rtnetlink()
        self.inode = os.fstat(fd).st_ino
        self.ident = _ident(self._socket, self.inode)

    # -- asking

    def devices(self) -> dict[str, Device]:
        """All interfaces but the loopback, without their statistics."""
        found = [rtnl.decode_device(raw) for raw in self._dump(rtnl.dump_links()) if not rtnl.is_loopback(raw)]
        self._indexes = {device.name: device.index for device in found}
        return {device.name: device for device in found}

    def device(self, name: str) -> Device | None:
        """One interface, None where there is none of the name."""
        raw, error = self._exchange([rtnl.ask_link(name)])[0]
        if error is not None and error.errno != errno.ENODEV:
            raise error
        return None if error is not None else rtnl.decode_device(raw)

    def parameters(self, name: str) -> bytes | None:
        """All parameters of an interface under net.ipv4.conf and net.ipv6.conf as the kernel shows them together."""
        raw, error = self._exchange([rtnl.ask_link(name)])[0]
        return None if error is not None else wire.parameters_of(raw)

    def addresses(self, names: dict[int, str]) -> list[Address]:
        """The addresses that somebody gave to interfaces, of which ``names`` tells the names."""
        return [
            rtnl.decode_address(raw, self.label, names)
            for raw in self._dump(rtnl.dump_addresses()) if rtnl.is_static_address(raw, names)
        ]

    def dump(self, request: bytes) -> list[bytes]:
        """All messages of a dump, as they come."""
        return self._dump(request)

    def ask(self, request: bytes) -> bytes:
        """The one answer to a request; raises KernelError."""
        raw, error = self._exchange([request])[0]
        if error is not None:
            raise error
        return raw

    def vlans(self) -> dict[int, tuple[str, ...]] | None:
        """The VLANs of the ports of bridges, by index; None where the kernel does not know any."""
        try:
            return wire.decode_vlans(self._dump(wire.dump_vlans()))
        except KernelError as error:
            if error.errno != errno.EOPNOTSUPP:
                raise
            return None

    def nsid(self, other: Netns) -> int | None:
        """The number by which this namespace knows another, if it has had to do with it."""
        return None if other is self else self.nsid_of(other.fd)

    def nsid_of(self, fd: int) -> int | None:
        """The same, of one that is open elsewhere."""
        return rtnl.decode_nsid(self._exchange([rtnl.ask_nsid(fd)])[0][0])

    def lowers(self, host: Netns) -> set[int]:
        """The indexes of another namespace's interfaces that those of this one stand on."""
        below = [wire.below(raw) for raw in self._dump(rtnl.dump_links())]
        number = self.nsid(host)  # known by now, if one of them does
        return {index for index, netnsid in below if index and netnsid is not None and netnsid == number}

    def uppers(self, host: Netns) -> list[Device]:
        """The interfaces of this namespace that stand on another's, or have their other ends there."""
        found = [device for device in self.devices().values() if device.parent_netnsid is not None]
        number = self.nsid(host) if found else None
        return [device for device in found if device.parent_netnsid == number]

    def index(self, name: str) -> int:
        """An interface's index, by its name."""
        if name not in self._indexes:
            raw, error = self._exchange([rtnl.ask_link(name)])[0]
            if error:
                raise error
            self._indexes[name] = rtnl.index_of(raw)
        return self._indexes[name]

    def forget(self, name: str) -> None:
        """An interface of this name may have another index now."""
        self._indexes.pop(name, None)

    def name_it(self, name: str, index: int) -> None:
        """From now on an interface is meant by a name that it does not have, but shall get."""
        self._indexes[name] = index

    # -- telling

    def send(self, messages: list[bytes]) -> list[KernelError | None]:
        """Sends requests, many in one write; returns for each what the kernel objects to."""
        return [error for _raw, error in self._exchange(messages)]

    def sysctl(self, path: str, value: str) -> str | None:
        """Writes a sysctl of this namespace, such as net/ipv4/conf/eth1/arp_notify; returns the old value, or None."""
        def write() -> str | None:
            with contextlib.suppress(OSError), open("/proc/sys/" + path, "r+", encoding="ascii") as handle:
                old = handle.read().strip()
                if old != value:
                    handle.seek(0)
                    handle.write(value)
                return old
            return None

        return self.inside(write)

    def read_sysctls(self, paths: t.Sequence[str]) -> list[str | None]:
        """The values of sysctls of this namespace; None for one that is not there."""
        def read(path: str) -> str | None:
            try:
                with open("/proc/sys/" + path, encoding="ascii") as handle:
                    return handle.read().strip()
            except FileNotFoundError:
                return None
            except OSError:  # without a value so far, as stable_secret
                return ""

        return self.inside(lambda: [read(path) for path in paths])

    def write_sysctl(self, path: str, value: str) -> None:
        """Sets a sysctl of this namespace, or raises OSError."""
        def write() -> None:
            with open("/proc/sys/" + path, "w", encoding="ascii") as handle:
                handle.write(value)

        self.inside(write)

    def inside(self, work: t.Callable[[], T]) -> T:
        """Runs a function in this namespace."""
        return self._namespaces.inside(self.fd, work)

    def close(self) -> None:
        self._socket.close()
        os.close(self.fd)

    # -- the wire

    def _exchange(self, messages: list[bytes]) -> list[tuple[bytes, KernelError | None]]:
        answers: list[tuple[bytes, KernelError | None]] = []
        for start in range(0, len(messages), MESSAGES_PER_WRITE):
            answers.extend(self._write_and_read(messages[start:start + MESSAGES_PER_WRITE]))
        return answers

    def _write_and_read(self, messages: list[bytes]) -> list[tuple[bytes, KernelError | None]]:
        first = self._sequence + 1
        packet = bytearray()
        for message in messages:
            self._sequence += 1
            at = len(packet)
            packet += message + bytes(-len(message) % 4)
            struct.pack_into("=I", packet, at + 8, self._sequence)
        self._socket.send(packet)
        answers: list[tuple[bytes, KernelError | None]] = [(b"", None)] * len(messages)
        waiting = len(messages)
        while waiting:
            for kind, flags, sequence, raw in self._receive():
                place = sequence - first
                if not 0 <= place < len(messages):
                    continue
                if kind == NLMSG_ERROR:
                    answers[place] = (answers[place][0], error_of(raw, flags))
                    waiting -= 1
                else:
                    answers[place] = (raw, None)
        return answers

    def _dump(self, request: bytes) -> list[bytes]:
        """A whole dump: one that a change interrupted is repeated.

        Not without an end in a container, which may change its interfaces all the time: what was seen in any of the
        last dumps counts then. No interface that stays is missing from all of them.
        """
        seen: dict[int, bytes] = {}
        for attempt in range(DUMP_TRIES):
            self._sequence += 1
            packet = bytearray(request)
            struct.pack_into("=I", packet, 8, self._sequence)
            self._socket.send(packet)
            found: list[bytes] = []
            interrupted = done = False
            while not done:
                for kind, flags, sequence, raw in self._receive():
                    if sequence != self._sequence:
                        continue
                    interrupted |= bool(flags & NLM_F_DUMP_INTR)
                    if kind == NLMSG_DONE:
                        done = True
                    elif kind == NLMSG_ERROR:
                        error = error_of(raw, flags)
                        if error is not None:
                            raise error
                    else:
                        found.append(raw)
            if not interrupted:
                self._restless = max(0, self._restless - 1)
                return found
            if self.label != HOST:
                seen.update((rtnl.index_of(raw), raw) for raw in found if is_link(raw))
                self._restless += 1
                if attempt + 1 >= RESTLESS_TRIES or self._restless > RESTLESS_MAX:
                    return [*seen.values(), *(raw for raw in found if not is_link(raw))]
        raise PipeworkError(
            f"The interfaces of {self.label} change faster than they can be read ({DUMP_TRIES} dumps were interrupted)."
        )

    def _receive(self) -> t.Iterator[tuple[int, int, int, bytes]]:
        data = self._socket.recv(RECEIVE_BYTES)
        at = 0
        while at + 16 <= len(data):
            length, kind, flags, sequence = struct.unpack_from("=IHHI", data, at)
            if length < 16:
                raise PipeworkError(f"A netlink message of {length} bytes came from the kernel.")
            yield kind, flags, sequence, data[at:at + length]
            at += (length + 3) & ~3


def is_link(raw: bytes) -> bool:
    return bool(struct.unpack_from("=H", raw, 4)[0] == RTM_NEWLINK)


def _rtnetlink() -> socket.socket:
    sock = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, socket.NETLINK_ROUTE)
    sock.bind((0, 0))
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
    for option in (NETLINK_CAP_ACK, NETLINK_EXT_ACK):
        sock.setsockopt(SOL_NETLINK, option, 1)
    return sock


def _ident(sock: socket.socket, inode: int) -> str:
    """What tells a namespace from all others since the host started; before kernel 5.14, from all that there are."""
    try:
        return str(struct.unpack("=Q", sock.getsockopt(socket.SOL_SOCKET, SO_NETNS_COOKIE, 8))[0])
    except OSError:
        return f"inode{inode}"


_libc = ctypes.CDLL(None, use_errno=True)


def _setns(fd: int) -> None:
    # os.setns came with Python 3.12
    if _libc.setns(fd, CLONE_NEWNET) != 0:
        number = ctypes.get_errno()
        raise OSError(number or errno.EPERM, os.strerror(number or errno.EPERM))
