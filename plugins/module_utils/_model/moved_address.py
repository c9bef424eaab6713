# Copyright: pipework.containers contributors
# GNU General Public License v3.0+ (see LICENSE)
"""Addresses that go from one interface to another, as they stand. Pure."""

from __future__ import annotations

import dataclasses

from .._core.order import ADDRESS_RANKS
from .objects import Address


@dataclasses.dataclass(frozen=True)
class MovedAddress(Address):
    """One that is known to be nobody else's, so that the kernel need not look for duplicates first.

    ``rank``: its place among those of its interface, which is kept: the first one of a network is its primary address.
    """

    HINTS = Address.HINTS | {"rank"}

    rank: int = 0

    @property
    def order_kind(self) -> str:
        return f"address {min(self.rank, ADDRESS_RANKS - 1)}"

    @classmethod
    def of(cls, address: Address, rank: int) -> MovedAddress:
        return cls(**{**address.__dict__, "rank": rank})
