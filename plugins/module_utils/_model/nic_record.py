# Copyright: pipework.containers contributors
# GNU General Public License v3.0+ (see LICENSE)
"""That the host remembers what stood on a NIC which it has lent: until all of that is in its place again. Pure."""
from __future__ import annotations

import dataclasses

from .._core.plan import KernelObject
from .objects import Route
from .route import ExactRoute


@dataclasses.dataclass(frozen=True)
class NicRecord(KernelObject):
    """``alias``: what the NIC has instead when it is forgotten."""

    KIND = "nic_record"
    IDENTITY = ("ns", "ifname")

    ifname: str
    alias: str | None = None

    @property
    def name(self) -> str:
        return self.ifname


@dataclasses.dataclass(frozen=True)
class PartedRoute(ExactRoute):
    """One of several hops that loses some with a NIC: the kernel would remove all of it."""

    HINTS = frozenset()

    @property
    def order_kind(self) -> str:
        return "parted"

    @classmethod
    def of(cls, route: Route) -> PartedRoute:
        return cls(**route.__dict__)
