# Copyright: pipework.containers contributors
# GNU General Public License v3.0+ (see LICENSE)
"""What the collection has to be allowed on a host."""
from __future__ import annotations

from .._core.errors import PipeworkError

CAP_NET_ADMIN, CAP_SYS_ADMIN = 12, 21


def require_privileges() -> None:
    """Root in the host's user namespace, or in one that owns the network namespace."""
    with open("/proc/self/status", encoding="ascii") as handle:
        effective = next(int(line.split()[1], 16) for line in handle if line.startswith("CapEff:"))
    if not (effective >> CAP_NET_ADMIN & 1 and effective >> CAP_SYS_ADMIN & 1):
        raise PipeworkError(
            "Root is needed on the managed host (CAP_NET_ADMIN and CAP_SYS_ADMIN are missing): set 'become: true'.",
            "Nothing was changed.",
        )
