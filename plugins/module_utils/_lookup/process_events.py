# Copyright: pipework.containers contributors
# GNU General Public License v3.0+ (see LICENSE)
"""Hears when a container starts, of whatever runtime: by a first program in namespaces of its own.

The kernel tells of each program that is started (linux/cn_proc.h), in the initial namespaces only.
"""
from __future__ import annotations

import contextlib
import ctypes
import os
import socket
import struct
import time
import typing as t

NETLINK_CONNECTOR, CN_IDX_PROC, CN_VAL_PROC = 11, 1, 1
MCAST_LISTEN, EVENT_NONE, EVENT_EXEC = 1, 0, 2
HEADER, MESSAGE, EVENT = struct.Struct("=IHHII"), struct.Struct("=IIIIHH"), struct.Struct("=IIQII")
WHAT = HEADER.size + MESSAGE.size  # where a message says what has happened
INITIAL, OWN = "/proc/1/ns/net", "/proc/thread-self/ns/net"
NLMSG_DONE, SO_ATTACH_FILTER, CLONE_NEWNET = 3, 26, 0x40000000
ANSWER = 2.0  # seconds: a kernel that does not tell does not answer either
FIRST = (1, 2)  # numbers in their own namespace; a small init may be the first
FORGET = 10.0  # seconds
REMEMBERED = 4096  # pairs of namespaces
# A runtime says a little later than its container's first program that the container runs.
LATER = (0.05, 0.15, 0.35, 0.75, 1.5, 3.0)  # seconds

_libc = ctypes.CDLL(None, use_errno=True)


def watch(tell: t.Callable[[], None]) -> None:
    """Calls ``tell`` once it listens, and whenever a container may have started. Returns where it cannot go on.

    It takes the thread that it runs in to the initial network namespace.
    """
    with contextlib.closing(_listen()) as sock:
        seen: dict[tuple[int, int], float] = {}
        tell()
        due = _later()
        while True:
            sock.settimeout(max(0.001, due[0] - time.monotonic()) if due else None)
            first = False
            try:
                first = _is_first(sock.recv(1 << 16), seen)
            except socket.timeout:
                pass
            except OSError:  # ENOBUFS: something was lost
                first = True
            if first or due and due[0] <= time.monotonic():
                tell()
                due = _later() if first else due[1:]


def _later() -> list[float]:
    """When to look again."""
    now = time.monotonic()
    return [now + seconds for seconds in LATER]


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


def _is_first(data: bytes, seen: dict[tuple[int, int], float]) -> bool:
    """Whether a program is a container's first one, or the first for a while in its namespaces.

    ``seen``: when programs were started in which namespaces. Their numbers are given anew when they have gone.
    """
    what, _cpu, _time, _pid, process = EVENT.unpack_from(data, WHAT)
    if what != EVENT_EXEC:
        return False
    try:
        net, pid = (os.stat(f"/proc/{process}/ns/{kind}").st_ino for kind in ("net", "pid"))
        if net == os.stat(OWN).st_ino:
            return False
        with open(f"/proc/{process}/status", "rb") as status:
            number = next((line.split()[-1] for line in status if line.startswith(b"NStgid:")), b"0")
    except (FileNotFoundError, ProcessLookupError):  # it has ended
        return False
    except OSError:  # which does not say so: looked for once too often is better
        return True
    if len(seen) > REMEMBERED:
        seen.clear()
    now = time.monotonic()
    before, seen[net, pid] = seen.get((net, pid)), now
    return int(number) in FIRST or before is None or now - before > FORGET
