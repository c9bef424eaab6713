# Copyright: pipework.containers contributors
# GNU General Public License v3.0+ (see LICENSE)
"""Neighbors that somebody has entered for good: permanent ones, and addresses that an interface answers for. Pure."""
from __future__ import annotations

import dataclasses

from .._core.plan import KernelObject, Key

PERMANENT, PROXY = 0x80, 0x08  # NUD_PERMANENT, NTF_PROXY


@dataclasses.dataclass(frozen=True)
class Neighbor(KernelObject):
    """One neighbor of an interface. mac None: the interface answers for the address."""

    KIND = "neighbor"
    IDENTITY = ("ns", "device", "address", "proxy")
    HINTS = frozenset({"flags"})

    device: str
    address: str
    mac: str | None = None
    proxy: bool = False
    flags: int = 0

    @property
    def name(self) -> str:
        return f"{self.device} {self.address}" + (" proxy" if self.proxy else "")

    @property
    def carrier(self) -> Key:
        return ("link", self.ns, self.device)
