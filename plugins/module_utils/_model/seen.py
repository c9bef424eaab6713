# Copyright: pipework.containers contributors
# GNU General Public License v3.0+ (see LICENSE)
"""An address of an interface as one sees it who waits for it. Pure."""
from __future__ import annotations

import dataclasses

from .._core.normalize import family as family_of


@dataclasses.dataclass(frozen=True)
class Seen:
    """An address as the kernel shows it. state: usable, tentative, duplicate, deprecated."""

    address: str
    state: str = "usable"
    local: bool = False  # IPv6: of the link alone, which every interface has

    @property
    def family(self) -> int:
        return family_of(self.address)
