# Copyright: pipework.containers contributors
# GNU General Public License v3.0+ (see LICENSE)
"""Plans: what is done, in which order, and how it is taken back. Single cases; the laws are in test_laws.py."""

from __future__ import annotations

import dataclasses

import pytest

from ansible_collections.pipework.containers.plugins.module_utils._core.plan import (
    ORDER,
    Absent,
    KernelObject,
    Operation,
    Plan,
    State,
    reconcile,
    simulate,
    title,
    undo,
    view,
)
from ansible_collections.pipework.containers.plugins.module_utils._model.objects import (
    HOST,
    PROTOCOL,
    TABLE_KEPT,
    UNFINISHED,
    Address,
    Link,
    Port,
    Route,
)
from ansible_collections.pipework.containers.plugins.module_utils._model.packet_filter import FilterRule

C = "netns:c1"
OURS = "pipework:netns:c1:1:eth1"
BRIDGE = Link(HOST, "br1", type="bridge", mac="02:00:00:00:00:01", up=True, owner="pipework:auto")
ETH1 = Link(C, "eth1", type="veth", mac="02:00:00:00:00:02", mtu=1500, up=True, owner=OURS, peer="pw1")
PORT = Port(HOST, f"{C}/eth1", local_interface="pw1", bridge="br1", mtu=1500, up=True, owner=OURS)
ADDRESS = Address(C, "eth1", "10.0.0.1/24", broadcast="10.0.0.255")
DEFAULT = Route(C, 4, "default", gateway="10.0.0.254", device="eth1", scope=0, protocol=PROTOCOL)
RULE = FilterRule(HOST, "br1", "nft inet filter forward")


def state(*objects: KernelObject) -> State:
    return {item.key: item for item in objects}


def said(plan: Plan) -> list[str]:
    return [f"{operation}{' (implied)' if operation.implied else ''}" for operation in plan]


def test_P1_all_from_nothing_ports_join_last_and_the_bridge_goes_up_after_them() -> None:
    plan = reconcile(state(PORT, DEFAULT, ADDRESS, RULE, ETH1, BRIDGE), {})
    assert said(plan) == [
        "create link br1",
        "create link netns:c1/eth1",
        "update link netns:c1/eth1",
        "create address netns:c1/eth1 10.0.0.1/24",
        "create route netns:c1/default (IPv4)",
        "create filter br1 in nft inet filter forward",
        "create port netns:c1/eth1",
        "update link br1",
    ]
    born = plan[0].after
    assert isinstance(born, Link)
    assert (born.up, born.owner) == (False, UNFINISHED)


def test_what_is_as_wanted_needs_nothing() -> None:
    everything = state(PORT, DEFAULT, ADDRESS, RULE, ETH1, BRIDGE)
    assert reconcile(everything, everything) == []


def test_a_field_that_is_none_is_not_managed() -> None:
    assert reconcile(state(Link(C, "eth1", up=True)), state(ETH1)) == []


def test_P42_what_differs_changes_in_place() -> None:
    plan = reconcile(state(Link(C, "eth1", mtu=1400)), state(ETH1))
    assert said(plan) == ["update link netns:c1/eth1"]
    assert plan[0].after == dataclasses.replace(ETH1, mtu=1400)


def test_settings_are_compared_key_by_key() -> None:
    have = dataclasses.replace(BRIDGE, settings={"stp": False, "max_age": 20})
    assert reconcile(state(Link(HOST, "br1", settings={"stp": False})), state(have)) == []
    plan = reconcile(state(Link(HOST, "br1", settings={"stp": True})), state(have))
    assert plan[0].after == dataclasses.replace(BRIDGE, settings={"stp": True, "max_age": 20})


def test_absent_of_what_is_not_there_needs_nothing() -> None:
    assert reconcile({ETH1.key: Absent(ETH1.key)}, {}) == []


def test_absent_takes_along_what_stands_on_it() -> None:
    everything = state(BRIDGE, ETH1, PORT, ADDRESS, DEFAULT)
    plan = reconcile({ETH1.key: Absent(ETH1.key)}, everything)
    assert said(plan) == [
        "delete route netns:c1/default (IPv4) (implied)",
        "delete address netns:c1/eth1 10.0.0.1/24 (implied)",
        "delete port netns:c1/eth1 (implied)",
        "delete link netns:c1/eth1",
    ]
    assert simulate(everything, plan) == state(BRIDGE)


def test_another_type_is_another_link_and_keeps_what_stood_on_it() -> None:
    wish = Link(C, "eth1", type="macvlan", parent="eth2", settings={"mode": "bridge"}, up=True, owner=OURS)
    plan = reconcile({**state(wish), PORT.key: Absent(PORT.key)}, state(ETH1, PORT, ADDRESS, DEFAULT))
    lines = said(plan)
    assert lines[-4:] == [
        "create link netns:c1/eth1",
        "update link netns:c1/eth1",
        "create address netns:c1/eth1 10.0.0.1/24",
        "create route netns:c1/default (IPv4)",
    ]
    assert lines[3] == "delete link netns:c1/eth1"
    assert "create port netns:c1/eth1" not in lines
    assert plan[-1].after == DEFAULT


@pytest.mark.parametrize(("old", "new"), [("bridge", "passthru"), ("passthru", "private")])
def test_P13_a_macvlan_goes_in_or_out_of_passthru_only_as_a_new_link(old: str, new: str) -> None:
    have = Link(C, "eth1", type="macvlan", parent="eth2", settings={"mode": old}, up=True, owner=OURS)
    plan = reconcile(state(dataclasses.replace(have, settings={"mode": new})), state(have))
    assert [operation.action for operation in plan] == ["delete", "create", "update"]


def test_P13_other_macvlan_modes_change_in_place() -> None:
    have = Link(C, "eth1", type="macvlan", parent="eth2", settings={"mode": "bridge"}, up=True, owner=OURS)
    plan = reconcile(state(dataclasses.replace(have, settings={"mode": "vepa"})), state(have))
    assert said(plan) == ["update link netns:c1/eth1"]


def test_P9_a_default_route_that_takes_anothers_place_carries_nothing_of_it() -> None:
    old = Route(
        C,
        4,
        "default",
        gateway="172.17.0.1",
        device="eth0",
        scope=0,
        protocol=3,
        source="172.17.0.2",
        metrics=(("RTAX_MTU", 1400),),
        nexthops=(("172.17.0.1", "eth0", 1),),
    )
    plan = reconcile(state(DEFAULT), state(old))
    assert said(plan) == ["update route netns:c1/default (IPv4)"]
    assert plan[0].after == DEFAULT


def test_P9_the_default_route_comes_back_before_the_link_of_ours_goes() -> None:
    old = Route(C, 4, "default", gateway="172.17.0.1", device="eth0", scope=0, protocol=3, source="172.17.0.2")
    kept = dataclasses.replace(old, table=TABLE_KEPT)
    have = state(ETH1, DEFAULT, kept, Link(C, "eth0", type="veth"))
    plan = reconcile({ETH1.key: Absent(ETH1.key), kept.key: Absent(kept.key), **state(old)}, have)
    assert said(plan) == [
        "update route netns:c1/default (IPv4)",
        "delete route netns:c1/default (IPv4) table 28791",
        "delete link netns:c1/eth1",
    ]
    assert simulate(have, plan)[old.key] == old


def test_P9_a_route_over_a_link_that_is_made_anew_is_made_anew_with_all_it_had() -> None:
    had = dataclasses.replace(DEFAULT, source="10.0.0.1", metrics=(("RTAX_ADVMSS", 1200),))
    wish = Link(C, "eth1", type="dummy", up=True, owner=OURS)
    plan = reconcile(state(wish, DEFAULT), state(ETH1, had))
    assert plan[-1].after == had


def test_undo_of_a_half_done_plan_leaves_what_was_never_touched() -> None:
    before = state(ETH1, ADDRESS)
    other = Address(C, "eth1", "10.0.0.2/24", broadcast="10.0.0.255")
    plan = reconcile({**state(other), ADDRESS.key: Absent(ADDRESS.key)}, before)
    assert said(plan) == ["create address netns:c1/eth1 10.0.0.2/24", "delete address netns:c1/eth1 10.0.0.1/24"]
    assert said(undo(plan[:1])) == ["delete address netns:c1/eth1 10.0.0.2/24"]
    assert simulate(simulate(before, plan[:1]), undo(plan[:1])) == before


def test_undo_does_not_mark_as_unfinished_what_had_no_owner() -> None:
    foreign = dataclasses.replace(ETH1, owner=None)
    plan = reconcile({foreign.key: Absent(foreign.key)}, state(foreign))
    assert simulate({}, undo(plan)) == state(foreign)


def test_an_operation_tells_what_was_and_what_is() -> None:
    operation = Operation("update", PORT, dataclasses.replace(PORT, mtu=1400))
    public = operation.public()
    assert (public["action"], public["kind"], public["name"]) == ("update", "port", "netns:c1/eth1")
    assert public["before"] == {
        "bridge": "br1",
        "local_interface": "pw1",
        "mtu": 1500,
        "owner": OURS,
        "up": True,
    }
    assert public["after"]["mtu"] == 1400
    assert Operation("create", None, BRIDGE).public()["before"] == {}


def test_view_is_sorted_and_leaves_out_what_is_not_there() -> None:
    shown = view(state(PORT, ADDRESS, BRIDGE), [PORT.key, BRIDGE.key, ETH1.key, PORT.key])
    assert list(shown) == ["link br1", "port netns:c1/eth1"]
    assert title(BRIDGE.key) == "br1"


def test_every_sort_of_object_has_its_place_in_the_order() -> None:
    samples: list[KernelObject] = [BRIDGE, ETH1, PORT, ADDRESS, DEFAULT, RULE]
    samples += [Link(C, "eth1", type="phys"), Link(HOST, "eth7", type="nic")]
    for item in samples:
        for action in ("create", "delete"):
            assert (item.order_kind, action) in ORDER
