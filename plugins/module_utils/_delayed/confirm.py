# Copyright: pipework.containers contributors
# GNU General Public License v3.0+ (see LICENSE)
"""A change that is taken back unless it is confirmed in time: the option, and what waits as an object. Pure."""
from __future__ import annotations

import dataclasses
import typing as t

from .._core import normalize as norm
from .._core.errors import PipeworkError
from .._core.plan import KernelObject, Operation

TIMEOUT_MAX = 3600


def timeout(value: t.Any) -> int:
    seconds = 0 if value is None else norm.integer(value, "confirm_timeout")
    if not 0 <= seconds <= TIMEOUT_MAX:
        raise PipeworkError(
            f"confirm_timeout: {seconds} s is not possible; 0 (nothing is taken back) to {TIMEOUT_MAX} would be right."
        )
    return seconds


@dataclasses.dataclass(frozen=True)
class Watchdog(KernelObject):
    """A process on the host that takes a run back unless it is confirmed in time.

    ``plan``: what it takes back. ``nonce``: which run started it. ``record``: of one that runs.
    """

    KIND = "watchdog"
    IDENTITY = ("ns", "shim")
    HINTS = frozenset({"plan", "frames", "record", "params"})

    shim: str
    seconds: int | None = None
    nonce: str | None = None
    plan: tuple[Operation, ...] | None = None
    frames: tuple[tuple[str, str], ...] | None = None  # interface and frame, to be sent then
    record: dict[str, t.Any] | None = None
    params: tuple[tuple[str, t.Any], ...] | None = None  # of the attachment that is removed then

    @property
    def name(self) -> str:
        return self.shim

    def over(self, observed: KernelObject) -> KernelObject:
        return self

    def public(self) -> dict[str, t.Any]:
        return {"seconds": self.seconds}
