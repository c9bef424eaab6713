# Copyright: pipework.containers contributors
# GNU General Public License v3.0+ (see LICENSE)
"""From where this run is told what to do, as far as the host can know: the other end of the SSH session."""
from __future__ import annotations

import contextlib
import ipaddress
import os
import socket
import struct

from .._netlink.namespaces import Netns
from .._netlink.wire import attributes
from . import process

VARIABLE = b"SSH_CONNECTION="
DEPTH = 32  # processes above this one
RTM_NEWROUTE, RTM_GETROUTE, REQUEST, ACK = 24, 26, 1, 4
RTA_DST, RTA_SRC, RTA_OIF = 1, 2, 4


def peer() -> tuple[str, str] | None:
    """Its address and the host's own, by the environment of this process or one above: sudo does not hand it on."""
    pid = os.getpid()
    with contextlib.suppress(OSError, ValueError):
        own = os.environ.get(VARIABLE.decode().rstrip("="))
        if own:
            return _ends(own)
        for _step in range(DEPTH):
            with contextlib.suppress(PermissionError), open(f"/proc/{pid}/environ", "rb") as handle:
                found = [each for each in handle.read().split(b"\0") if each.startswith(VARIABLE)]
                if found:
                    return _ends(found[0][len(VARIABLE):].decode("ascii", "replace"))
            with open(f"/proc/{pid}/stat", "rb") as handle:
                pid = int(handle.read().rpartition(b")")[2].split()[1])
            if pid == 0:
                break
    return None


def _ends(text: str) -> tuple[str, str] | None:
    words = text.split()
    if len(words) != 4:
        return None
    far, near = (ipaddress.ip_address(word.partition("%")[0]) for word in (words[0], words[2]))
    return str(far), str(near)


def way(host: Netns, devices: dict[int, str]) -> tuple[str, str] | None:
    """The address of who runs this, and the interface that leads there."""
    ends = peer()
    if ends is None or ipaddress.ip_address(ends[0]).is_loopback:
        return None
    for source in (ends[1], None):  # rules may go by what packets come from
        index = host.inside(lambda source=source: _lookup(ends[0], source))  # type: ignore[misc]
        if index in devices:
            return ends[0], devices[index]
    return None


def _lookup(address: str, source: str | None) -> int | None:
    """The interface by which the kernel would send there."""
    parts = [(RTA_DST, ipaddress.ip_address(address).packed)]
    if source is not None:
        parts.append((RTA_SRC, ipaddress.ip_address(source).packed))
    if len({len(value) for _kind, value in parts}) > 1:
        return None
    length = len(parts[0][1])
    body = b"".join(struct.pack("=HH", 4 + len(value), kind) + value for kind, value in parts)
    family = socket.AF_INET if length == 4 else socket.AF_INET6
    head = struct.pack(
        "=IHHIIBBBBBBBBI", 28 + len(body), RTM_GETROUTE, REQUEST | ACK, 1, 0, family, length * 8,
        length * 8 if source is not None else 0, 0, 0, 0, 0, 0, 0,
    )
    with contextlib.suppress(OSError):
        for kind, raw in process.exchange([head + body]):
            if kind == RTM_NEWROUTE:
                for sort, at, end in attributes(raw, 28, len(raw)):
                    if sort == RTA_OIF and end - at == 4:
                        return int(struct.unpack_from("=I", raw, at)[0])
    return None
