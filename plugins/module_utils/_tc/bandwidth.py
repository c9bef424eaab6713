# Copyright: pipework.containers contributors
# GNU General Public License v3.0+ (see LICENSE)
"""The option ``bandwidth`` of attachments and of pipework_tc: no more than a rate, in each direction, as the container
sees it. Pure.

What the container sends is held back by a token bucket at its own end, so that its programs feel it; what it gets, by
one at the end of its pair on the host. Without such an end, what is too much is dropped as it comes in.

TCP at 10mbit, measured on a slow and on a fast machine: 9.5 to 9.9 through such buckets; 8.6 to 12.1 through an ifb;
2.3 to 9.7 where the excess is dropped, and 9.8 to 10.1 where 0.4 s may come at once, which is the usual burst there.

Both make the same, and what one made serves the other, which changes it in place. Only its mark says who made it: a
purge of pipework_tc leaves alone what an attachment may have made.
"""
from __future__ import annotations

import dataclasses
import typing as t

from .._core.errors import PipeworkError
from .._core.plan import Absent, KernelObject, Key, State
from .._model.keys import link_key
from .._model.layer3 import HOST
from .actions import MARK, canonical_actions
from .filters import INGRESS, TcFilter
from .model import DOOR, ROOT, Qdisc, qdisc_key
from .qdiscs import QDISCS
from .units import RATE, SIZE, show_handle

PRIORITY = 114
LATENCY = "50ms"
BURST_MIN, SHAPED, DROPPED = 32 << 10, 0.004, 0.4  # bytes; seconds
FRAME = 1600


class Maker(t.NamedTuple):
    """How a limit is marked: by its handle, and by the cookie of a filter's action."""

    handle: int
    cookie: str  # of 16 bytes at most


ATTACHMENT = Maker(0x7070 << 16, f"{MARK}:rate")
TASK = Maker(0x7071 << 16, f"{MARK}:rate:tc")
MAKERS = (ATTACHMENT, TASK)
MayReplace = t.Optional[t.Callable[[Qdisc], bool]]


class Bandwidth(t.NamedTuple):
    """Rates as tc writes them; None for no limit."""

    ingress: str | None = None
    egress: str | None = None
    burst: str | None = None

    def bucket(self, rate: str, seconds: float = SHAPED) -> dict[str, t.Any]:
        """Rate and burst."""
        usual = max(BURST_MIN, round(RATE.read(rate) * seconds))
        return {"rate": RATE.show(RATE.read(rate)), "burst": self.burst or SIZE.show(usual)}


def from_option(given: t.Mapping[str, t.Any]) -> Bandwidth:
    """Checked; PipeworkError."""
    found: dict[str, str | None] = {}
    for name, value in given.items():
        if name not in Bandwidth._fields:
            raise PipeworkError(f"bandwidth.{name}: there is no such option; there are {', '.join(Bandwidth._fields)}.")
        if value is None:
            continue
        try:
            (SIZE if name == "burst" else RATE).read(value)
        except PipeworkError as error:
            raise PipeworkError(f"bandwidth.{name}: {error}") from None
        found[name] = str(value)
    if found.get("burst") and SIZE.read(found["burst"]) < FRAME:
        raise PipeworkError(f"bandwidth.burst: {found['burst']!r} is less than one frame; the least is {FRAME}b.")
    result = Bandwidth(**found)
    if result.burst and not (result.ingress or result.egress):
        raise PipeworkError(f"bandwidth.burst: {result.burst!r} limits nothing by itself; add ingress or egress.")
    for rate in (result.ingress, result.egress):
        if rate is not None:
            QDISCS["tbf"].read({**result.bucket(rate), "latency": LATENCY}, "bandwidth")
    return result


class Place(t.NamedTuple):
    """An interface of a container. ``end``: the host's end, if it is one of a pair of ours."""

    title: str
    label: str
    interface: str
    end: str | None

    @property
    def queues(self) -> tuple[Key, Key | None]:
        """Where what is sent waits, and what is got."""
        there = None if self.end is None else qdisc_key(HOST, self.end, ROOT)
        return qdisc_key(self.label, self.interface, ROOT), there

    @property
    def door(self) -> Key:
        return qdisc_key(self.label, self.interface, DOOR)

    @property
    def police(self) -> TcFilter:
        """The filter that drops where nothing can wait."""
        return TcFilter(self.label, self.interface, INGRESS, priority=PRIORITY, above=self.door)


def limits_at(place: Place, state: State, makers: t.Sequence[Maker] = MAKERS) -> dict[str, KernelObject]:
    """What holds to a rate there, by its direction."""
    egress, ingress = place.queues
    found = {"egress": state.get(egress), "ingress": state.get(ingress or place.police.key)}
    return {way: have for way, have in found.items() if have is not None and maker_of(have) in makers}


def rates_at(place: Place, state: State) -> dict[str, t.Any]:
    """The rates of those, by their direction."""
    found: dict[str, t.Any] = {}
    for way, have in limits_at(place, state).items():
        if isinstance(have, Qdisc):
            found[way] = (have.settings or {}).get("rate")
        elif isinstance(have, TcFilter):
            found[way] = (have.actions or ({},))[0].get("rate")
    return found


def maker_of(have: KernelObject | None) -> Maker | None:
    """Who made a limit; None for what is none."""
    if isinstance(have, Qdisc):
        return next((maker for maker in MAKERS if maker.handle == have.handle), None)
    return next((maker for maker in MAKERS if isinstance(have, TcFilter) and maker.cookie == have.owner), None)


def wanted(
    limits: Bandwidth, place: Place, state: State, maker: Maker = ATTACHMENT, may_replace: MayReplace = None,
) -> t.Iterator[KernelObject | Absent]:
    """The objects that hold to it, and Absent for those of a limit that is not wanted any more.

    ``may_replace``: whether a qdisc that is no limit has to make room for one.
    """
    above = link_key(place.label, place.interface)
    for way, (ns, device) in {
        "egress": (place.label, place.interface), **({"ingress": (HOST, place.end)} if place.end is not None else {}),
    }.items():
        rate = getattr(limits, way)
        have = t.cast("Qdisc | None", state.get(qdisc_key(ns, str(device), ROOT)))
        known = maker_of(have)
        if rate is None and have is not None and known:
            yield Absent(have.key)
        elif rate is not None:
            if have is not None and not known and not (may_replace and may_replace(have)):
                way_out = "remove it first" + (", or say 'force: true'" if may_replace else "")
                raise PipeworkError(
                    f"bandwidth: {place.title} has the qdisc {have.kind} {show_handle(have.handle or 0)} on {device}, "
                    f"which is not this option's; {way_out}."
                )
            given = {**limits.bucket(rate), "latency": LATENCY}
            yield Qdisc(
                ns, str(device), "tbf", QDISCS["tbf"].canonical(given), given=given, handle=(known or maker).handle,
                above=above,
            )
    if place.end is None:
        yield from _policed(limits, place, state, maker)


def _policed(limits: Bandwidth, place: Place, state: State, maker: Maker) -> t.Iterator[KernelObject | Absent]:
    have = state.get(place.police.key)
    known = maker_of(have)
    if limits.ingress is not None:
        if have is not None and not known:
            raise PipeworkError(
                f"bandwidth: {place.title} has the filter {have.name}, which is not this option's; remove it first."
            )
        there = state.get(place.door)
        kind = str(there.kind) if isinstance(there, Qdisc) else "ingress"
        yield Qdisc(
            place.label, place.interface, kind, {}, parent=DOOR, handle=DOOR & 0xFFFF0000,
            above=link_key(place.label, place.interface),
        )
        given = {"kind": "police", **limits.bucket(limits.ingress, DROPPED), "exceed": "drop", "conform": "continue"}
        actions = canonical_actions([{**given, "cookie": (known or maker).cookie}])
        yield dataclasses.replace(place.police, actions=actions)
    elif known:
        yield Absent(place.police.key)
        if len([each for each in state.values() if isinstance(each, TcFilter) and each.above == place.door]) == 1:
            yield Absent(place.door)
