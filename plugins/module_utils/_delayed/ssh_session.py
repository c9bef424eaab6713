# Copyright: pipework.containers contributors
# GNU General Public License v3.0+ (see LICENSE)
"""From where this run is told what to do, as far as the host can know: the other end of the SSH session."""
from __future__ import annotations

import contextlib
import ipaddress
import os

from .._netlink import route as netlink_route
from .._netlink.kernel_error import KernelError
from .._netlink.namespaces import Netns

VARIABLE = b"SSH_CONNECTION="
DEPTH = 32  # processes above this one


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
    far, near = ends
    same_family = (":" in far) == (":" in near)
    for source in (near, None) if same_family else (None,):  # rules may go by what packets come from
        with contextlib.suppress(KernelError):
            raw = host.ask(netlink_route.get_route(far, source))
            device = netlink_route.decode_route(raw, host.label, devices).device
            if device is not None:
                return far, device
    return None
