# Copyright: pipework.containers contributors
# GNU General Public License v3.0+ (see LICENSE)
"""Hears when a container starts, of whatever runtime: a program that runs in namespaces not seen before.

The kernel tells of each program that is started (linux/cn_proc.h), in the initial namespaces only.
"""
from __future__ import annotations

import contextlib
import ctypes
import os
import socket
import struct
import typing as t

NETLINK_CONNECTOR, CN_IDX_PROC, CN_VAL_PROC = 11, 1, 1
MCAST_LISTEN, EVENT_NONE, EVENT_EXEC = 1, 0, 2
HEADER, MESSAGE, EVENT = struct.Struct("=IHHII"), struct.Struct("=IIIIHH"), struct.Struct("=IIQII")
WHAT = HEADER.size + MESSAGE.size  # where a message says what has happened
INITIAL, OWN = "/proc/1/ns/net", "/proc/thread-self/ns/net"
NLMSG_DONE, SO_ATTACH_FILTER, CLONE_NEWNET = 3, 26, 0x40000000
ANSWER = 2.0  # seconds: a kernel that does not tell does not answer either
# A runtime says a little later than its container's first program that the container runs.
PAUSES = (0.05, 0.1, 0.2, 0.4, 0.8, 1.6)

_libc = ctypes.CDLL(None, use_errno=True)


def watch(tell: t.Callable[[], None]) -> None:
    """Calls ``tell`` once it listens, and whenever a container may have started. Returns where it cannot go on.

    It takes the thread that it runs in to the initial network namespace.
    """
    with contextlib.closing(_listen()) as sock:
        seen: set[tuple[int, int]] = set()
        tell()
        left = list(PAUSES)
        while True:
            sock.settimeout(left.pop(0) if left else None)
            try:
                data = sock.recv(1 << 16)
            except socket.timeout:
                tell()
                continue
            except OSError:  # ENOBUFS: something was lost
                data = b""
            place = _place(data) if data else None
            if not data or (place is not None and place not in seen):
                seen |= {place} if place is not None else set()
                tell()
                left = list(PAUSES)


def _listen() -> socket.socket:
    """A socket that hears of started programs; raises OSError where the kernel does not tell."""
    with contextlib.suppress(PermissionError), open(INITIAL, "rb") as initial:  # a root without all capabilities
        if _libc.setns(initial.fileno(), CLONE_NEWNET) != 0:
            raise OSError(ctypes.get_errno(), "setns")
    sock = socket.socket(socket.AF_NETLINK, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC, NETLINK_CONNECTOR)
    try:
        _only_starts(sock)
        sock.bind((0, CN_IDX_PROC))
        order = MESSAGE.pack(CN_IDX_PROC, CN_VAL_PROC, 0, 0, 4, 0) + struct.pack("=I", MCAST_LISTEN)
        sock.send(HEADER.pack(HEADER.size + len(order), NLMSG_DONE, 0, 0, 0) + order)
        sock.settimeout(ANSWER)
        while True:
            data = sock.recv(1 << 16)
            what, _cpu, _time, error, _rest = EVENT.unpack_from(data, WHAT)
            if what == EVENT_NONE:
                if error:
                    raise OSError(error, os.strerror(error))
                return sock
    except BaseException:
        sock.close()
        raise


def _only_starts(sock: socket.socket) -> None:
    """Keeps everything else from this process: a busy host ends and forks thousands of processes a second."""
    load, equal, give = 0x20, 0x15, 0x06  # linux/filter.h: BPF_LD|BPF_W|BPF_ABS, BPF_JMP|BPF_JEQ|BPF_K, BPF_RET|BPF_K
    steps = (
        (load, 0, 0, WHAT), (equal, 1, 0, socket.htonl(EVENT_EXEC)), (equal, 0, 1, EVENT_NONE),
        (give, 0, 0, 0xFFFFFFFF), (give, 0, 0, 0),
    )
    code = ctypes.create_string_buffer(b"".join(struct.pack("=HBBI", *step) for step in steps))
    program = struct.pack("@HP", len(steps), ctypes.addressof(code))
    sock.setsockopt(socket.SOL_SOCKET, SO_ATTACH_FILTER, program)


def _place(data: bytes) -> tuple[int, int] | None:
    """The namespaces that a started program runs in, None where they are our own network, or it has ended."""
    what, _cpu, _time, _pid, process = EVENT.unpack_from(data, WHAT)
    if what != EVENT_EXEC:
        return None
    try:
        net, pid = (os.stat(f"/proc/{process}/ns/{kind}").st_ino for kind in ("net", "pid"))
        return (net, pid) if net != os.stat(OWN).st_ino else None
    except OSError:
        return None
