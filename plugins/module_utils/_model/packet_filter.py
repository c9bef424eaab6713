# Copyright: pipework.containers contributors
# GNU General Public License v3.0+ (see LICENSE)
"""Rules of ours in the host's packet filter, as objects. Pure."""
from __future__ import annotations

import dataclasses

from .._core.plan import KernelObject


@dataclasses.dataclass(frozen=True)
class FilterRule(KernelObject):
    """A rule of ours in one chain of the host's packet filter, which lets frames pass inside one bridge."""

    KIND = "filter"
    IDENTITY = ("ns",)

    bridge: str
    place: str  # the chain, as _filter.Place spells it

    @property
    def name(self) -> str:
        return f"{self.bridge} in {self.place}"


@dataclasses.dataclass(frozen=True)
class SpoofCheck(KernelObject):
    """A chain of ours at a port, which drops what comes from the container with another MAC address than the port's."""

    KIND = "spoof_check"
    IDENTITY = ("ns", "local_interface")
    HINTS = frozenset({"renamed"})

    local_interface: str
    mac: str | None = None
    active: bool | None = None  # newer kernels keep the chain of a port that is gone
    renamed: bool = False  # the port has another name as yet

    @property
    def name(self) -> str:
        return self.local_interface

    @property
    def order_kind(self) -> str:
        return "spoof_check of a new name" if self.renamed else self.KIND
