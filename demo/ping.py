# Copyright: pipework.containers contributors
# GNU General Public License v3.0+ (see LICENSE)
"""Ping, for machines that have none: ICMP echo from the network namespace that the caller is in."""
from __future__ import annotations

import os
import socket
import struct
import time

ECHO_REPLY, ECHO_REQUEST = 0, 8


def ping(address: str, count: int = 3, timeout: float = 2.0) -> list[float]:
    """Milliseconds until each answer that came."""
    times = []
    ident = os.getpid() & 0xFFFF
    with socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP) as icmp:
        for sequence in range(count):
            start = time.monotonic()
            icmp.sendto(_echo(ident, sequence), (address, 0))
            while (left := start + timeout - time.monotonic()) > 0:
                icmp.settimeout(left)
                try:
                    packet, (sender, _port) = icmp.recvfrom(1500)
                except OSError:
                    break
                kind, _code, _sum, *which = struct.unpack_from("!BBHHH", packet, (packet[0] & 15) * 4)
                if (kind, which, sender) == (ECHO_REPLY, [ident, sequence], address):
                    times.append((time.monotonic() - start) * 1000)
                    break
    return times


def _echo(ident: int, sequence: int) -> bytes:
    message = struct.pack("!BBHHH", ECHO_REQUEST, 0, 0, ident, sequence) + b"pipework"
    total = sum(struct.unpack("!8H", message))
    total = (total >> 16) + (total & 0xFFFF)
    return message[:2] + struct.pack("!H", ~(total + (total >> 16)) & 0xFFFF) + message[4:]
