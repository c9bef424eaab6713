# Copyright: pipework.containers contributors
# GNU General Public License v3.0+ (see LICENSE)
"""Who has a default route, and who would have it back: what holds whatever comes after whatever."""

from __future__ import annotations

import dataclasses

from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.pipework.containers.plugins.module_utils._core.plan import (
    Absent,
    Desired,
    State,
    reconcile,
    simulate,
)
from ansible_collections.pipework.containers.plugins.module_utils._model.objects import (
    PROTOCOL_ROUTE,
    TABLE_KEPT,
    TABLE_MAIN,
    Route,
    default_route,
)
from ansible_collections.pipework.containers.plugins.module_utils._routing.default_route_owner import (
    Claim,
    Seat,
    changes,
    displacing,
    is_ours,
    made,
    settle,
    unmade,
)

ENGINES = Route("c", 4, "default", gateway="172.17.0.1", device="eth0", scope=0, protocol=3)
BY_ROUTE = Route("c", 4, "default", gateway="172.17.0.9", device="eth0", scope=0, protocol=PROTOCOL_ROUTE)
interfaces = st.sampled_from(("eth1", "eth2", "eth3"))
claims = st.builds(
    Claim, interfaces, st.sampled_from((None, "10.0.0.1", "10.0.0.2")), st.booleans()
)  # what one task says of one interface
steps = st.lists(st.one_of(claims, st.tuples(st.just("gone"), interfaces), st.sampled_from(("made", "unmade"))))


def routes_of(seat: Seat) -> list[Route]:
    return [route for route in (seat.owner, *seat.stack) if route is not None]


def after(seat: Seat, wants: list[Route | Absent], gone: str = "") -> Seat:
    """The seat that is read again, when a plan has been carried out."""
    state: State = {route.key: route for route in routes_of(seat)}
    desired: Desired = {want.key: want for want in wants}
    now = simulate(state, reconcile(desired, state))
    return Seat.of("c", 4, [route for route in now.values() if isinstance(route, Route) and route.device != gone])


def step(seat: Seat, what: Claim | tuple[str, str] | str) -> Seat:
    if what == "made":
        return after(seat, [BY_ROUTE, *made(seat, BY_ROUTE)])
    if what == "unmade":
        return after(seat, unmade(seat)) if seat.owner is not None and seat.owner == BY_ROUTE else seat
    gone = what[1] if isinstance(what, tuple) else ""
    said = [what] if isinstance(what, Claim) else []
    now, _told, _news = settle(seat, said, lambda route: route.device == gone, [gone] if gone else [])
    return after(seat, list(changes(seat, now, [gone])), gone)


@given(steps)
def test_P9_any_sequence_ends_with_the_engines_route(sequence: list[Claim | tuple[str, str] | str]) -> None:
    seat = Seat.of("c", 4, [ENGINES])
    for what in sequence:
        seat = step(seat, what)
        assert seat.owner is not None
        assert [route for route in routes_of(seat) if (route.gateway, route.protocol) == (ENGINES.gateway, 3)]
        assert not [route for route in seat.stack if is_ours(route) and route.table == TABLE_KEPT], "never our own"
        ours = [route.device for route in routes_of(seat) if is_ours(route)]
        assert len(ours) == len(set(ours)), "nobody waits twice"
        if isinstance(what, Claim):
            assert step(seat, what) == seat, "a second run changes nothing"
    for interface in ("eth1", "eth2", "eth3"):
        seat = step(seat, ("gone", interface))
    while seat.owner == BY_ROUTE:
        seat = step(seat, "unmade")
    assert (seat.owner, seat.stack) == (ENGINES, ())


@given(interfaces, interfaces)
def test_P9_two_tasks_that_are_run_again_change_nothing(first: str, second: str) -> None:
    seat, tasks = Seat.of("c", 4, [ENGINES]), [Claim(first, "10.0.0.1"), Claim(second, "10.0.0.2")]
    for task in tasks:
        seat = step(seat, task)
    if first != second:
        for task in tasks * 2:
            assert step(seat, task) == seat


def test_P9_what_a_killed_run_left_is_taken_for_what_it_is() -> None:
    kept = dataclasses.replace(ENGINES, table=TABLE_KEPT)
    seat = Seat.of("c", 4, [ENGINES, kept])
    assert seat.cleaned().stack == ()
    seat = Seat.of("c", 4, [default_route("c", "10.0.0.1", "eth1"), kept])
    assert [(each.gateway, each.table) for each in routes_of(seat.left())] == [("172.17.0.1", TABLE_MAIN)]


def test_P9_who_displaces_an_attachment_hears_of_it() -> None:
    seat = Seat.of("c", 4, [default_route("c", "10.0.0.1", "eth1")])
    assert "was that of its attachment eth1 (via 10.0.0.1), which has it back" in str(displacing(seat, "cmd: x"))
    assert displacing(Seat.of("c", 4, [ENGINES]), "cmd: x") is None
