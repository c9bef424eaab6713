# Copyright: pipework.containers contributors
# GNU General Public License v3.0+ (see LICENSE)
"""What is kept about a virtual function while it is lent, as text. Pure."""
from __future__ import annotations

import dataclasses


def escaped(name: str) -> str:
    """An interface may be called ``a|b``, but ``|`` separates what an alias holds."""
    return name.replace("%", "%25").replace("|", "%7C")


def unescaped(name: str) -> str:
    return name.replace("%7C", "|").replace("%25", "%")


@dataclasses.dataclass(frozen=True)
class VirtualFunction:
    """What a card said about one of its virtual functions before that was lent; kept with the rest of a Nic."""

    pf: str
    number: int
    mac: str = ""
    vlan: int | None = None
    qos: int | None = None
    spoof_check: bool | None = None

    def pack(self) -> str:
        numbers = ["" if value is None else str(int(value)) for value in (self.vlan, self.qos, self.spoof_check)]
        return "/" + "/".join([escaped(self.pf), str(self.number), self.mac, *numbers])

    @classmethod
    def unpack(cls, packed: str) -> VirtualFunction:
        pf, number, mac, *numbers = packed.split("/")
        vlan, qos, check = (int(value) if value else None for value in numbers)
        return cls(unescaped(pf), int(number), mac, vlan, qos, None if check is None else bool(check))
