# Copyright: pipework.containers contributors
# GNU General Public License v3.0+ (see LICENSE)
"""The virtual functions of a card (SR-IOV): what the card itself says about each of them. Pure.

The card's settings stay with the function wherever its interface is, and a container cannot change them.
"""
from __future__ import annotations

import dataclasses
import typing as t

from .._core.plan import KernelObject
from .objects import HOST
from .sriov_record import VirtualFunction


@dataclasses.dataclass(frozen=True)
class Vf(KernelObject):
    """What is set through the card; there is no more and no less of it than the card has functions."""

    KIND = "vf"
    IDENTITY = ("ns", "pf", "number")

    pf: str
    number: int
    vlan: int | None = None  # 0: none
    qos: int | None = None
    spoof_check: bool | None = None

    @property
    def name(self) -> str:
        return f"{self.pf} vf {self.number}"


@dataclasses.dataclass(frozen=True)
class VfAddress(KernelObject):
    """The MAC address that a card has given to a function, which the function cannot change then.

    Another one is not an update: to take it, the function has to be free first.
    """

    KIND = "vf_address"
    IDENTITY = ("ns", "pf", "number")
    FIXED = frozenset({"mac", "lent"})

    pf: str
    number: int
    mac: str | None = None
    lent: bool = False  # a function that moves is given it anew, even if it is the same

    @property
    def name(self) -> str:
        return f"{self.pf} vf {self.number}"


@dataclasses.dataclass(frozen=True)
class Function:
    """A function as one look shows it. ``device``: its interface, where that is on the host."""

    vf: VirtualFunction
    device: str | None = None
    driver: str | None = None


@dataclasses.dataclass(frozen=True)
class Card:
    """A card and its functions, by number; ``most``: how many it could have."""

    functions: t.Mapping[int, Function]
    most: int = 0


def objects(cards: t.Mapping[str, Card]) -> t.Iterator[KernelObject]:
    """What can be reconciled of them."""
    for card in cards.values():
        for function in card.functions.values():
            vf = function.vf
            yield Vf(HOST, vf.pf, vf.number, vf.vlan, vf.qos, vf.spoof_check)
            if vf.mac:
                lent = function.device is None
                yield VfAddress(ns=HOST, pf=vf.pf, number=vf.number, mac=vf.mac, lent=lent)
