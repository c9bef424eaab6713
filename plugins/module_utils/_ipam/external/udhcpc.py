# Copyright: pipework.containers contributors
# GNU General Public License v3.0+ (see LICENSE)
"""BusyBox's client. Pure."""
from __future__ import annotations

from .. import dhcp4_message as dhcp
from .client import HOOK, Ask, Client

PAUSE = 2  # seconds between two messages


def _argv(ask: Ask) -> tuple[str, ...]:
    times = str(ask.seconds // PAUSE + 1)
    words = ["-i", ask.interface, "-s", HOOK, "-f", "-n", "-q", "-B", "-t", times, "-T", str(PAUSE), "-V", ""]
    words += ["-O", "staticroutes", "-O", "mtu"]
    if ask.requested:
        words += ["-r", ask.requested]
    for code in ask.options:
        if code != dhcp.REQUESTED:
            words += ["-x", f"0x{code:02x}:{ask.hexadecimal(code, '')}"]
    return tuple(words)


CLIENT = Client(
    "udhcpc", "udhcpc", _argv, lambda ask: {}, address="ip", censored="bad",
    names={
        dhcp.MASK: "subnet", dhcp.ROUTER: "router", dhcp.DNS: "dns", dhcp.DOMAIN: "domain", dhcp.MTU: "mtu",
        dhcp.SECONDS: "lease", dhcp.SERVER: "serverid", dhcp.ROUTES: "staticroutes",
    },
)
