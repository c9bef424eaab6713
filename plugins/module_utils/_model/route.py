# Copyright: pipework.containers contributors
# GNU General Public License v3.0+ (see LICENSE)
"""Routes that are described as a whole, as those that are listed. Pure."""
from __future__ import annotations

import dataclasses
import typing as t

from .._core.plan import KernelObject
from . import route_names as words
from .layer3 import Hop, Route


@dataclasses.dataclass(frozen=True)
class ExactRoute(Route):
    """A route of which all counts."""

    HINTS = frozenset()

    @classmethod
    def of(cls, route: Route) -> ExactRoute:
        return cls(**route.__dict__)

    def differences(self, observed: KernelObject) -> frozenset[str]:
        mine, theirs = self.whole(), ExactRoute.of(t.cast(Route, observed)).whole()
        found = {field for field, value in mine.items() if theirs[field] != value}
        if self.protocol is None:
            found.discard("protocol")
        if self.device is None and self.gateway is not None:
            found.discard("device")
        if self.nexthops and theirs["nexthops"] and same_hops(self.nexthops, theirs["nexthops"]):
            found.discard("nexthops")
        return frozenset(found)

    def over(self, observed: KernelObject) -> KernelObject:
        have = t.cast(Route, observed)
        if not self.differences(have):
            return have
        return dataclasses.replace(self, nth=have.nth)

    def whole(self) -> dict[str, t.Any]:
        """Each field in one spelling."""
        hops = tuple(sorted((Hop(*hop) for hop in self.nexthops or ()), key=_hop_order))
        return {
            "gateway": self.gateway, "device": self.device, "scope": self.scope if self.family == 4 else None,
            "onlink": bool(self.onlink), "protocol": self.protocol, "type": 1 if self.type is None else self.type,
            "source": self.source, "metrics": _metrics(self.metrics), "preference": self.preference or 0,
            "nexthops": hops, "encap": self.encap,
        }

    def public(self) -> dict[str, t.Any]:
        return {name: value for name, value in sorted(self.said().items()) if value not in (None, "", [], {}, False)}

    def said(self) -> dict[str, t.Any]:
        """The route in the words of the options; what tells it apart stands in its name."""
        return {
            "type": words.named(1 if self.type is None else self.type, words.TYPES), "gateway": self.gateway,
            "device": self.device, "source": self.source, "onlink": bool(self.onlink), "encap": self.encap,
            "protocol": None if self.protocol is None else words.named(self.protocol, words.PROTOCOLS),
            "scope": None if self.scope is None or self.family == 6 else words.named(self.scope, words.SCOPE_NUMBERS),
            "metrics": words.shown_metrics(_metrics(self.metrics)),
            "preference": words.named(self.preference, words.PREFERENCES) if self.preference else None,
            "nexthops": [hop._asdict() for hop in self.nexthops or ()],
        }


def _metrics(found: tuple[tuple[str, t.Any], ...] | None) -> tuple[tuple[str, t.Any], ...]:
    return tuple(sorted((name, value) for name, value in found or () if value and name.startswith("RTAX_")))


def _hop_order(hop: Hop) -> tuple[str, ...]:
    return (hop.gateway or "", hop.device or "", str(hop.weight), str(hop.onlink), hop.encap or "")


def same_hops(wanted: t.Sequence[Hop], observed: t.Sequence[Hop]) -> bool:
    """Whether each wanted hop is there; one without a device has any."""
    left = list(observed)
    for hop in sorted(wanted, key=lambda each: each.device is None):
        found = next((o for o in left if o == (hop if hop.device else hop._replace(device=o.device))), None)
        if found is None:
            return False
        left.remove(found)
    return not left
