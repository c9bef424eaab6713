# Copyright: pipework.containers contributors
# GNU General Public License v3.0+ (see LICENSE)
"""Entries of the forwarding table of a VXLAN link: behind which host an address is. Pure."""

from __future__ import annotations

import dataclasses

from .._core.plan import KernelObject, Key

ALL = "00:00:00:00:00:00"  # every address that is not known yet, and what is for all
PERMANENT = 0x80
SELF, LEARNED_ELSEWHERE = 0x02, 0x10  # NTF_SELF: the link's own table; NTF_EXT_LEARNED: a routing daemon's entry


@dataclasses.dataclass(frozen=True)
class FdbEntry(KernelObject):
    """One address behind one host. What is for all has an entry for each host."""

    KIND = "fdb"
    IDENTITY = ("ns", "device", "mac", "dst", "odd")
    HINTS = frozenset({"state", "flags"})

    device: str
    mac: str
    dst: str
    odd: tuple[int, int, int] = (0, 0, 0)  # where it is not the link's own: UDP port, VNI, index of the way out
    state: int = PERMANENT
    flags: int = SELF

    @property
    def name(self) -> str:
        port, vni, via = self.odd
        odd = (f" port {port}" if port else "") + (f" vni {vni}" if vni else "") + (f" via {via}" if via else "")
        return f"{self.device} {self.mac} {self.dst}{odd}"

    @property
    def carrier(self) -> Key:
        return ("link", self.ns, self.device)

    @property
    def floods(self) -> bool:
        """Whether it is of the sort that ``remotes`` lists. A routing daemon's are learned elsewhere, or static too."""
        return (self.mac, self.odd, self.state) == (ALL, (0, 0, 0), PERMANENT) and not self.flags & LEARNED_ELSEWHERE
