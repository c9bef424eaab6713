# Copyright: pipework.containers contributors
# GNU General Public License v3.0+ (see LICENSE)
"""What a run says of itself, when what it did first had more to be done."""

from __future__ import annotations

import dataclasses

from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.pipework.containers.plugins.module_utils._core.plan import (
    Absent,
    Desired,
    KernelObject,
    Operation,
    State,
    reconcile,
    simulate,
)
from ansible_collections.pipework.containers.plugins.module_utils._engine.done import as_seen, merged
from ansible_collections.pipework.containers.plugins.module_utils._model.objects import Address, Link

ETH1 = Link("a", "eth1", type="veth", mtu=1500)
LESS = dataclasses.replace(ETH1, mtu=1400)
LEASED = Address("a", "eth1", "10.5.0.117/24")


def create(item: KernelObject) -> Operation:
    return Operation("create", None, item)


def test_E1_what_followed_is_part_of_what_was_done() -> None:
    assert merged([create(ETH1)], [create(LEASED)]) == [create(ETH1), create(LEASED)]
    assert merged([create(ETH1)], [Operation("update", ETH1, LESS)]) == [create(LESS)]
    assert merged([Operation("update", LESS, ETH1)], [Operation("update", ETH1, LESS)]) == []
    assert merged([create(LEASED)], [Operation("delete", LEASED, None)]) == []
    gone = Operation("delete", LEASED, None)
    assert merged([gone], [create(LEASED)]) == [gone, create(LEASED)], "it was away"
    assert merged([Operation("update", LESS, ETH1)], [Operation("delete", ETH1, None)]) == [
        Operation("delete", LESS, None)
    ]


def test_E1_what_is_shown_was_seen_as_far_as_it_was_spoken_of() -> None:
    planned: State = {ETH1.key: Link("a", "eth1", type="veth", mtu=1500, settings={"mode": "bridge"})}
    seen = {
        ETH1.key: dataclasses.replace(LESS, mac="02:00:00:00:00:01", settings={"mode": "vepa", "bc": 1}),
        LEASED.key: LEASED,
    }
    shown = as_seen(planned, seen)
    assert shown[ETH1.key] == Link("a", "eth1", type="veth", mtu=1400, settings={"mode": "vepa"})
    assert shown[LEASED.key] == LEASED


LINKS = st.sampled_from([None, 1280, 1400, 1500])
STATES = st.fixed_dictionaries(dict.fromkeys(("eth1", "eth2", "eth3"), LINKS))


def state(mtus: dict[str, int | None]) -> State:
    links = [Link("a", name, type="veth", mtu=mtu, up=True, owner="x") for name, mtu in mtus.items() if mtu]
    return {link.key: link for link in links}


def wish(mtus: dict[str, int | None]) -> Desired:
    absent = [Absent(("link", "a", name)) for name, mtu in mtus.items() if not mtu]
    return {**state(mtus), **{each.key: each for each in absent}}


@given(STATES, STATES, STATES)
def test_E1_the_merged_operations_lead_to_the_same(
    first: dict[str, int | None], second: dict[str, int | None], third: dict[str, int | None]
) -> None:
    plan = reconcile(wish(second), state(first))
    between = simulate(state(first), plan)
    later = reconcile(wish(third), between)
    assert simulate(state(first), merged(plan, later)) == simulate(between, later)
