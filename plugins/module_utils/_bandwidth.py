# Copyright: pipework.containers contributors
# GNU General Public License v3.0+ (see LICENSE)
"""The option ``bandwidth`` of an attachment: no more than a rate, in each direction, as the container sees it. Pure.

What the container sends is held back by a token bucket at its own end, so that its programs feel it; what it gets, by
one at the end of its pair on the host. Without such an end, what is too much is dropped as it comes in.

TCP at 10mbit, measured on a slow and on a fast machine: 9.5 to 9.9 through such buckets; 8.6 to 12.1 through an ifb;
2.3 to 9.7 where the excess is dropped, and 9.8 to 10.1 where 0.4 s may come at once, which is the usual burst there.
"""
from __future__ import annotations

import dataclasses
import typing as t

from ._errors import PipeworkError
from ._facts import link_key, port_key
from ._model import HOST, Port
from ._plan import Absent, Desired, KernelObject, Key, State
from ._tc import QDISCS
from ._tc_actions import MARK, canonical_actions
from ._tc_filters import INGRESS, TcFilter
from ._tc_model import DOOR, ROOT, Qdisc, qdisc_key
from ._tc_units import RATE, SIZE, show_handle

if t.TYPE_CHECKING:
    from ._attachment import Attachment

MAJOR = 0x7070  # of its qdiscs
PRIORITY = 114
COOKIE = f"{MARK}:rate"
LATENCY = "50ms"
BURST_MIN, SHAPED, DROPPED = 32 << 10, 0.004, 0.4  # bytes; seconds
FRAME = 1600


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
    for rate in (result.ingress, result.egress):
        if rate is not None:
            QDISCS["tbf"].read({**result.bucket(rate), "latency": LATENCY}, "bandwidth")
    return result


def of_attachment(item: Attachment, label: str, state: State, desired: Desired) -> t.Iterator[KernelObject | Absent]:
    """What an attachment's option, which it has, wants as soon as it is known what its port will be."""
    have, want = (states.get(port_key(label, item.interface)) for states in (state, desired))
    port = want if isinstance(want, Port) else None
    if isinstance(have, Port) and port is not None and have.local_interface != port.local_interface:
        follow(state, str(have.local_interface), str(port.local_interface))
    try:
        yield from wanted(t.cast(Bandwidth, item.bandwidth), item.title, label, item.interface, port, state)
    except PipeworkError as error:
        raise item.refuse(str(error)) from None


def wanted(
    limits: Bandwidth, title: str, label: str, interface: str, port: Port | None, state: State,
) -> t.Iterator[KernelObject | Absent]:
    """The objects that hold to it, and Absent for those of a limit that is not wanted any more."""
    above = link_key(label, interface)
    yield from _shaped(limits, limits.egress, title, label, interface, above, state)
    if port is not None:
        yield from _shaped(limits, limits.ingress, title, HOST, str(port.local_interface), above, state)
    else:
        yield from _policed(limits, label, interface, state)


def _shaped(
    limits: Bandwidth, rate: str | None, title: str, ns: str, device: str, above: Key, state: State,
) -> t.Iterator[KernelObject | Absent]:
    have = t.cast("Qdisc | None", state.get(qdisc_key(ns, device, ROOT)))
    ours = have is not None and have.handle == MAJOR << 16
    if rate is None:
        if have is not None and ours:
            yield Absent(have.key)
        return
    if have is not None and not ours:
        raise PipeworkError(
            f"bandwidth: {title} has the qdisc {have.kind} {show_handle(have.handle or 0)} on {device}, which is not "
            "this option's; remove it first."
        )
    given = {**limits.bucket(rate), "latency": LATENCY}
    yield Qdisc(
        ns, device, "tbf", QDISCS["tbf"].canonical(given), given=given, handle=MAJOR << 16, above=above,
    )


def _policed(limits: Bandwidth, label: str, interface: str, state: State) -> t.Iterator[KernelObject | Absent]:
    door = qdisc_key(label, interface, DOOR)
    want = TcFilter(label, interface, INGRESS, priority=PRIORITY, above=door)
    if limits.ingress is not None:
        have = state.get(door)
        kind = str(have.kind) if isinstance(have, Qdisc) else "ingress"
        yield Qdisc(
            label, interface, kind, {}, parent=DOOR, handle=DOOR & 0xFFFF0000, above=link_key(label, interface),
        )
        given = {"kind": "police", **limits.bucket(limits.ingress, DROPPED), "exceed": "drop", "conform": "continue"}
        actions = canonical_actions([{**given, "cookie": COOKIE}])
        yield TcFilter(label, interface, INGRESS, priority=PRIORITY, above=door, actions=actions)
        return
    yield Absent(want.key)
    others = [each for each in state.values() if isinstance(each, TcFilter) and each.above == door]
    if want.key in state and len(others) == 1:
        yield Absent(door)


def follow(state: State, old: str, new: str) -> None:
    """A host end gets another name, and what stands on it goes with it."""
    for key, item in list(state.items()):
        if isinstance(item, Qdisc) and (item.ns, item.device) == (HOST, old):
            del state[key]
            moved = dataclasses.replace(item, device=new)
            state[moved.key] = moved
