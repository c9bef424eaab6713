# Copyright: pipework.containers contributors
# GNU General Public License v3.0+ (see LICENSE)
"""Addresses and routes, and whose a route is: its protocol and its table say so. Pure."""
from __future__ import annotations

import dataclasses
import typing as t

from .._core.normalize import family
from .._core.plan import KernelObject, Key

HOST = "host"
PROTOCOL = 112  # of the routes that an attachment's gateway needs; in no rt_protos file of iproute2
PROTOCOL_LISTED = 113  # of the routes and rules that an attachment lists
PROTOCOL_ROUTE = 114  # of those of pipework_route and pipework_rule
TABLE_MAIN = 254
PREFERENCE_HIGH = 1  # of an IPv6 default route, RFC 4191
TABLE_KEPT = 0x7077  # where the default route waits that ours replaced; no rule leads there
TABLE_WAITING = TABLE_KEPT + 1  # where attachments' default routes wait that another one replaced (default_route_owner)
TABLE_PUBLISHED = TABLE_KEPT + 2  # the way back of answers to published ports; also the priority of rules to it
VALID_JITTER = 5  # seconds by which the kernel and a lease may differ


@dataclasses.dataclass(frozen=True)
class Address(KernelObject):
    """An address that somebody gave to an interface; those that the kernel makes itself are not seen here."""

    KIND = "address"
    IDENTITY = ("ns", "device", "address")
    FIXED = frozenset({"duplicate"})
    HINTS = frozenset({"scope", "peer", "flags", "valid", "preferred", "claimed"})

    device: str
    address: str  # 192.168.1.1/24
    broadcast: str | None = None
    scope: int | None = None
    peer: str | None = None
    flags: int | None = None
    valid: int | None = None  # seconds that are left of one that was lent; None for ever
    preferred: int | None = None  # and for how many of them new connections may come from it
    duplicate: bool | None = None  # the kernel found it in use by another machine (IPv6), and does not use it
    claimed: tuple[str, ...] | None = None  # not before nobody else answers for it, but these MAC addresses

    @property
    def name(self) -> str:
        return f"{self.device} {self.address}"

    @property
    def order_kind(self) -> str:
        return self.KIND if self.claimed is None else "claim"

    def differences(self, observed: KernelObject) -> frozenset[str]:
        # It is there or it is not: one without a broadcast address works as well, and is not worth losing routes.
        there = t.cast("Address", observed)
        lent = self.valid is not None and (there.valid is None or abs(there.valid - self.valid) > VALID_JITTER)
        return frozenset(({"valid"} if lent else set()) | ({"duplicate"} if there.duplicate else set()))

    def over(self, observed: KernelObject) -> KernelObject:
        return dataclasses.replace(t.cast("Address", super().over(observed)), valid=self.valid)

    @property
    def carrier(self) -> Key:
        return ("link", self.ns, self.device)


class Hop(t.NamedTuple):
    """One way of a route that has several."""

    gateway: str | None
    device: str | None
    weight: int = 1
    onlink: bool = False
    encap: str | None = None


@dataclasses.dataclass(frozen=True)
class Route(KernelObject):
    """A route. The kernel tells routes apart by family, table, destination and metric, and so do we."""

    KIND = "route"
    IDENTITY = ("ns", "family", "table", "destination", "metric", "origin", "tos", "nth")
    HINTS = frozenset({"protocol", "type", "source", "metrics", "preference", "nexthops", "encap", "late"})

    family: int  # 4 or 6
    destination: str  # 10.0.0.0/8, or default
    table: int = TABLE_MAIN
    metric: int = 0
    gateway: str | None = None
    device: str | None = None
    scope: int | None = None
    onlink: bool | None = None
    protocol: int | None = None
    type: int | None = None
    source: str | None = None
    metrics: tuple[tuple[str, t.Any], ...] | None = None
    preference: int | None = None
    nexthops: tuple[Hop, ...] | None = None
    encap: str | None = None  # as _model/encap spells it
    origin: str = ""  # IPv6: the prefix that packets come from
    tos: int = 0
    nth: int = 0  # of several in the same place, as 'ip route append' makes them, from 1; -1 is to be the first
    late: bool = False  # it comes when claimed addresses are there

    @property
    def name(self) -> str:
        table = "" if self.table == TABLE_MAIN else f" table {self.table}"
        metric = f" metric {self.metric}" if self.metric and (self.family, self.metric) != (6, 1024) else ""
        destination = f"default (IPv{self.family})" if self.destination == "default" else self.destination
        origin = (f" from {self.origin}" if self.origin else "") + (f" tos {self.tos:#04x}" if self.tos else "")
        return destination + origin + metric + table + (f" #{max(self.nth, 0)}" if self.nth else "")

    @property
    def order_kind(self) -> str:
        kept = self.table in (TABLE_KEPT, TABLE_WAITING)
        way = "kept" if kept else "route" if self.gateway or self.nexthops else "way"
        return f"late {way}" if self.late else way

    @property
    def carrier(self) -> Key | None:
        # One of several hops goes with the interface where all of them lead through it.
        ways = {self.device or "", *(hop.device or "" for hop in self.nexthops or ())} - {""}
        return ("link", self.ns, ways.pop()) if len(ways) == 1 else None

    def leads_through(self, device: str) -> bool:
        """Also with one of several next hops."""
        return device in (self.device, *(hop.device for hop in self.nexthops or ()))

    def over(self, observed: KernelObject) -> KernelObject:
        """Another way is another route: what the old one carried along (source, metrics, hops) is of no use to it."""
        if self.differences(observed):
            return self
        return dataclasses.replace(t.cast(Route, super().over(observed)), late=self.late)


def default_metric(version: int) -> int:
    """The metric that the kernel gives to a route that names none."""
    return 1024 if version == 6 else 0


def default_route(ns: str, gateway: str, device: str) -> Route:
    """The default route of one family through a gateway. Where a router advertises another, ours is preferred."""
    version = family(gateway)
    return Route(
        ns, version, "default", metric=default_metric(version), gateway=gateway, device=device,
        scope=0 if version == 4 else None, protocol=PROTOCOL, preference=PREFERENCE_HIGH if version == 6 else None,
    )
