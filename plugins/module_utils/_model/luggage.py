# Copyright: pipework.containers contributors
# GNU General Public License v3.0+ (see LICENSE)
"""What stands on a NIC of the host and goes when it moves into a container: it is packed, and unpacked when the NIC has
come home. Addresses, routes of all tables, neighbors that were entered for good, and the bridge that it was a port of.

Rules of policy routing that name it need no place here: the kernel keeps them while there is no interface of that name.
It is packed into the host's own record of the NIC, which no container reaches. Pure.
"""
from __future__ import annotations

import dataclasses
import json
import typing as t

from .layer3 import HOST, Address, Hop, Route
from .neighbor import Neighbor

MOST = 4096  # routes and neighbors of one NIC


@dataclasses.dataclass(frozen=True)
class Luggage:
    """What one NIC had. The addresses in their order; ``bridge``: whose port it was, with its options and VLANs."""

    addresses: tuple[Address, ...] = ()
    routes: tuple[Route, ...] = ()
    neighbors: tuple[Neighbor, ...] = ()
    bridge: str | None = None
    settings: dict[str, bool] | None = None
    vlans: tuple[str, ...] | None = None

    @property
    def comes_late(self) -> bool:
        """Whether there is something that a NIC can only have when it is up at home."""
        return bool(self.routes or self.neighbors or self.bridge)

    def pack(self, now: float) -> str:
        return json.dumps({
            "now": now, "bridge": self.bridge, "settings": self.settings, "vlans": self.vlans,
            **{name: [_said(each) for each in getattr(self, name)] for name in CLASSES},
        })

    @classmethod
    def unpack(cls, text: str, now: float) -> Luggage | None:
        """What has not expired of it; None for a text that holds none."""
        if not text:
            return None
        said = json.loads(text)
        gone = now - said["now"]
        found = {name: [make(ns=HOST, **_tuples(each)) for each in said[name]] for name, make in CLASSES.items()}
        addresses = (_aged(each, gone) for each in t.cast("list[Address]", found["addresses"]))
        vlans = said["vlans"]
        return cls(
            tuple(each for each in addresses if each is not None), tuple(found["routes"]), tuple(found["neighbors"]),
            said["bridge"], said["settings"], None if vlans is None else tuple(vlans),
        )


CLASSES: dict[str, t.Callable[..., t.Any]] = {"addresses": Address, "routes": Route, "neighbors": Neighbor}


def _said(item: t.Any) -> dict[str, t.Any]:
    return {name: value for name, value in item.__dict__.items() if name != "ns" and value is not None}


def _tuples(said: dict[str, t.Any]) -> dict[str, t.Any]:
    """JSON knows lists alone."""
    if "nexthops" in said:
        said = {**said, "nexthops": tuple(Hop(*hop) for hop in said["nexthops"])}
    if "metrics" in said:
        said = {**said, "metrics": tuple((name, value) for name, value in said["metrics"])}
    return said


def _aged(address: Address, seconds: float) -> Address | None:
    """One that was lent has less time left, or none."""
    if address.valid is None:
        return address
    left = int(address.valid - seconds)
    preferred = None if address.preferred is None else max(0, int(address.preferred - seconds))
    return dataclasses.replace(address, valid=left, preferred=preferred) if left > 0 else None
