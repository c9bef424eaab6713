# Copyright: pipework.containers contributors
# GNU General Public License v3.0+ (see LICENSE)
"""The default route of one family in one namespace: who has it, and who would have it back. Pure.

The kernel remembers both. The route in the main table is its owner's: an attachment's or a lease's (protocol 112), one
of pipework_route (114), or a foreign one (an engine's, a user's). Who was displaced waits in a table that no rule leads
to: foreign ones in 28791, attachments' in 28792, where they go with their interface. The metric says who came last.
"""
from __future__ import annotations

import dataclasses
import typing as t

from .._core.plan import Absent, KernelObject
from .._model.layer3 import (
    PROTOCOL,
    PROTOCOL_ROUTE,
    TABLE_KEPT,
    TABLE_MAIN,
    TABLE_WAITING,
    Route,
    default_metric,
    default_route,
)

SAID = (PROTOCOL, PROTOCOL_ROUTE)  # of whoever said so in a task, and is not displaced by one that was displaced by it

ONCE = (
    "'gateway: []' for one of them says once who has it; with 'gateway_metric' or 'table' both have one."
)


def is_ours(route: Route | None) -> bool:
    return route is not None and route.protocol == PROTOCOL


@dataclasses.dataclass(frozen=True)
class Claim:
    """What an attachment says of the default route. ``gateway``: None where it wants none (any more)."""

    interface: str
    gateway: str | None
    asks: bool = True  # also where somebody else has it; a lease's router is taken only where nobody has


@dataclasses.dataclass(frozen=True)
class Seat:
    """Who has it, and who waits, the last one displaced at the end."""

    label: str
    version: int
    owner: Route | None = None
    stack: tuple[Route, ...] = ()
    beside: tuple[Route, ...] = ()  # foreign default routes with another metric

    @classmethod
    def of(cls, label: str, version: int, routes: t.Iterable[Route]) -> Seat:
        """Out of a namespace's routes."""
        metric = default_metric(version)
        mine = [r for r in routes if r.ns == label and r.family == version and r.destination == "default"
                and not (r.origin or r.tos)]
        owner = next((r for r in mine if r.table == TABLE_MAIN and r.metric == metric and r.nth < 2), None)
        stack = sorted((r for r in mine if r.table in (TABLE_KEPT, TABLE_WAITING)), key=lambda r: r.metric)
        beside = [r for r in mine if r.table == TABLE_MAIN and r is not owner and not is_ours(r)]
        return cls(label, version, owner, tuple(stack), tuple(beside))

    def waiting(self, device: str) -> Route | None:
        return next((route for route in self.stack if is_ours(route) and route.device == device), None)

    def of_device(self, device: str) -> Route | None:
        """What an attachment has or waits for."""
        owner = self.owner
        return owner if owner is not None and is_ours(owner) and owner.device == device else self.waiting(device)

    def cleaned(self) -> Seat:
        """Without what a killed run has left: who has it does not wait for it."""
        owner = self.owner
        if owner is None:
            return self
        return dataclasses.replace(self, stack=tuple(
            route for route in self.stack
            if (route.protocol, route.device) != (owner.protocol, owner.device)
            or not is_ours(owner) and route.gateway != owner.gateway
        ))

    def taken(self, route: Route) -> Seat:
        """It is somebody's; who has it now waits, unless that one has the same interface."""
        stack = [each for each in self.stack if not (is_ours(route) and is_ours(each) and each.device == route.device)]
        owner = self.owner
        if owner is not None and (owner.device != route.device or not is_ours(route)):
            if owner.protocol not in SAID:  # it has replaced what was there before us by itself
                stack = [each for each in stack if each.protocol in SAID]
            ranks = [each.metric for each in stack]
            table = TABLE_WAITING if is_ours(owner) else TABLE_KEPT
            rank = max(ranks) + 1 if ranks else default_metric(self.version)
            stack.append(dataclasses.replace(owner, table=table, metric=rank, nth=0))
        return dataclasses.replace(self, owner=route, stack=tuple(stack))

    def left(self) -> Seat:
        """Nobody has it: the last one displaced has it again."""
        if not self.stack:
            return dataclasses.replace(self, owner=None)
        back = dataclasses.replace(self.stack[-1], table=TABLE_MAIN, metric=default_metric(self.version))
        stack = self.stack[:-1]
        if back.protocol not in SAID:
            stack = tuple(each for each in stack if each.protocol in SAID)
        return dataclasses.replace(self, owner=back, stack=stack)

    def updated(self, device: str, gateway: str) -> Seat:
        """With another gateway of one that has it, or waits for it."""
        if is_ours(self.owner) and t.cast(Route, self.owner).device == device:
            return dataclasses.replace(self, owner=default_route(self.label, gateway, device))
        return dataclasses.replace(self, stack=tuple(
            dataclasses.replace(default_route(self.label, gateway, device), table=each.table, metric=each.metric)
            if is_ours(each) and each.device == device else each for each in self.stack
        ))

    def without(self, goes: t.Callable[[Route], bool]) -> Seat:
        """Without those that give it up, or cannot have it any more."""
        owner = None if self.owner is not None and goes(self.owner) else self.owner
        return dataclasses.replace(self, owner=owner, stack=tuple(each for each in self.stack if not goes(each)))


def settle(
    seat: Seat, claims: t.Sequence[Claim], goes: t.Callable[[Route], bool], gone: t.Collection[str],
) -> tuple[Seat, list[str], list[str]]:
    """The seat after what attachments say; what a user should know as long as it is so, and what changes now.

    ``goes``: routes that go with their interface, or whose gateway cannot be reached any more.
    """
    told: list[str] = []
    news: list[str] = []
    quit_by = {claim.interface for claim in claims if claim.gateway is None}
    now = seat.cleaned().without(lambda route: goes(route) or is_ours(route) and route.device in quit_by)
    for claim in claims:
        if claim.gateway is not None and claim.asks:
            now = _asked(now, claim, claim.gateway, told, news)
    if now.owner is None and (seat.owner is not None or quit_by or gone):
        now = now.left()
    for claim in claims:
        if claim.gateway is None or claim.asks:
            continue
        if is_ours(now.owner) and t.cast(Route, now.owner).device == claim.interface or now.waiting(claim.interface):
            now = now.updated(claim.interface, claim.gateway)
        elif now.owner is None and not [each for each in now.beside if each.device not in gone]:
            now = now.taken(default_route(now.label, claim.gateway, claim.interface))
        if not (is_ours(now.owner) and t.cast(Route, now.owner).device == claim.interface):
            has = now.owner or now.beside[0]
            told.append(
                f"dhcp: {now.label}/{claim.interface}: its router {claim.gateway} is not used, since the default "
                f"route of {now.label} goes {_through(has)}; 'gateway: dhcp' takes it over, 'gateway: []' says that it "
                "is not wanted."
            )
    return now, told, news


def changes(seat: Seat, now: Seat, gone: t.Collection[str] = ()) -> t.Iterator[KernelObject | Absent]:
    """What is wanted of the kernel, so that one becomes the other. What goes with an interface needs no word."""
    if now.owner is not None:
        if now.owner != seat.owner:
            yield now.owner
    elif seat.owner is not None and seat.owner.device not in gone:
        yield Absent(seat.owner.key)
    stay = {route.key for route in now.stack}
    yield from (Absent(each.key) for each in seat.stack if each.key not in stay and each.device not in gone)
    yield from (route for route in now.stack if route not in seat.stack)


def made(seat: Seat, route: Route) -> list[KernelObject | Absent]:
    """For whoever makes a default route otherwise (pipework_route, a classic line): what is wanted besides the route,
    so that the one in whose place it comes is remembered. ``seat``: of all tables of the namespace."""
    now = seat.cleaned().taken(route)
    return [each for each in changes(seat, now) if each.key != route.key]


def unmade(seat: Seat) -> list[KernelObject | Absent]:
    """The same where it goes: the one that it displaced comes back. None: just remove it."""
    return list(changes(seat, seat.cleaned().left()))


def displacing(seat: Seat, title: str) -> str | None:
    """The warning about that, where an attachment has it."""
    owner = seat.owner
    if owner is None or not is_ours(owner):
        return None
    return (
        f"{title}: the default route (IPv{seat.version}) of {seat.label} was that of its attachment {owner.device} "
        f"(via {owner.gateway}), which has it back when this one goes. 'gateway: []' for {owner.device} says once who "
        "has it."
    )


def _asked(seat: Seat, claim: Claim, gateway: str, told: list[str], news: list[str]) -> Seat:
    owner, title = seat.owner, f"gateway: {seat.label}/{claim.interface}"
    if owner is not None and is_ours(owner) and owner.device == claim.interface:
        return seat.updated(claim.interface, gateway)
    if owner is not None and owner.protocol in SAID and seat.waiting(claim.interface):
        told.append(
            f"{title}: the default route (IPv{seat.version}) goes {_through(owner)}, which took it over; it comes back "
            f"to {gateway} through {claim.interface} when that one gives it up. {ONCE}"
        )
        return seat.updated(claim.interface, gateway)
    if owner is not None and owner.protocol in SAID and owner.device != claim.interface:
        news.append(
            f"{title} takes over the default route (IPv{seat.version}) that went {_through(owner)}, which has it back "
            f"when {claim.interface} gives it up. {ONCE}"
        )
    return seat.taken(default_route(seat.label, gateway, claim.interface))


def _through(route: Route) -> str:
    by = " by pipework_route" if route.protocol == PROTOCOL_ROUTE else ""
    via = f"via {route.gateway} " if route.gateway and route.protocol != PROTOCOL else ""
    return f"{via}through {route.device}{by}" if route.device else f"elsewhere{by}"
