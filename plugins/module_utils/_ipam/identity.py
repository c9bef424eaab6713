# Copyright: pipework.containers contributors
# GNU General Public License v3.0+ (see LICENSE)
"""What a DHCP client says of itself. Pure."""
from __future__ import annotations

import hashlib

from .._agent.record import Keep
from . import dhcp4_message as dhcp
from .dhcp4_grant import Lease, option_of


def options_of(lease: Lease | Keep, mac: bytes, shared: bool) -> dict[int, bytes]:
    """What a client says of itself in each message."""
    ident = f"{lease.owner}".encode("utf-8", "surrogateescape")
    client = b"\x00" + hashlib.sha256(ident).digest()[:16] if shared else b"\x01" + mac
    given = dict(option_of(each) for each in lease.options or ())
    return {dhcp.CLIENT: client, dhcp.HOSTNAME: str(lease.hostname).encode("ascii", "replace"), **given}
