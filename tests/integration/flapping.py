# Copyright: pipework.containers contributors
# GNU General Public License v3.0+ (see LICENSE)
"""A container that changes many interfaces all the time, so that no dump of them is ever whole."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import struct
from collections.abc import Iterator

from tests.integration.lab import Host, Killed, Work, wait_for

RTM_NEWLINK, RTM_DELLINK, RTM_NEWADDR, RTM_DELADDR = 16, 17, 20, 21
IFLA_IFNAME, IFLA_LINKINFO, IFLA_INFO_KIND, IFA_LOCAL = 3, 18, 1, 2
READY = "/run/flapping"


def _message(kind: int, flags: int, body: bytes) -> bytes:
    return struct.pack("=IHHII", 16 + len(body), kind, 1 | flags, 1, 0) + body


def _attr(kind: int, value: bytes) -> bytes:
    return struct.pack("=HH", 4 + len(value), kind) + value + bytes(-len(value) % 4)


def _flap(count: int) -> None:
    indexes = sorted(index for index, name in socket.if_nameindex() if name.startswith("f"))
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE) as sock:
        sock.bind((0, 0))
        os.close(os.open(READY, os.O_CREAT))
        turn = 0
        while True:
            turn += 1
            for number, index in enumerate(indexes[:count]):
                address = struct.pack("=BBBBI", socket.AF_INET, 32, 0, 0, index)
                address += _attr(IFA_LOCAL, bytes([10, 200, number >> 8, number & 255]))
                sock.send(_message(RTM_NEWADDR if turn % 2 else RTM_DELADDR, 0x400, address))
                if number % 16 == 0:  # one that comes and goes: that alone makes a dump of links no whole one
                    kind = _attr(IFLA_LINKINFO, _attr(IFLA_INFO_KIND, b"bridge"))
                    name = _attr(IFLA_IFNAME, b"comes\0")
                    sock.send(_message(RTM_NEWLINK, 0x600, struct.pack("=BxHiII", 0, 0, 0, 0, 0) + name + kind))
                    sock.send(_message(RTM_DELLINK, 0, struct.pack("=BxHiII", 0, 0, 0, 0, 0) + name))


@contextlib.contextmanager
def flapping(host: Host, guest: str, count: int) -> Iterator[None]:
    """So many interfaces, each given an address and losing it without an end, and one that comes and goes."""
    lines = (f"link add f{n} type veth peer name f{n + 1}\n" for n in range(0, count, 2))
    host.batch("".join(lines), ns=guest)
    work: Work[None] = host.start(_flap, count, ns=guest)
    try:
        wait_for("it to begin", lambda: host.call(os.path.exists, READY))
        yield
    finally:
        os.kill(work.pid, signal.SIGKILL)
        with contextlib.suppress(Killed):
            work.wait()
        host.call(os.unlink, READY)
