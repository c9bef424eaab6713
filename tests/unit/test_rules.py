# Copyright: pipework.containers contributors
# GNU General Public License v3.0+ (see LICENSE)
"""Options of rules, in one spelling; messages about them; which rules are meant; priorities that are chosen."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.pipework.containers.plugins.module_utils._core.errors import PipeworkError
from ansible_collections.pipework.containers.plugins.module_utils._core.plan import Absent, reconcile, simulate, undo
from ansible_collections.pipework.containers.plugins.module_utils._model.objects import PROTOCOL_ROUTE
from ansible_collections.pipework.containers.plugins.module_utils._model.route_names import Names
from ansible_collections.pipework.containers.plugins.module_utils._netlink import rule as netlink_rule
from ansible_collections.pipework.containers.plugins.module_utils._routing.rule_options import Rule, RuleItem, fwmark
from ansible_collections.pipework.containers.plugins.module_utils._routing.rules_desired import places, wanted_rules

KERNELS = [
    Rule("c", version, priority, 2, table=table)
    for version in (4, 6)
    for priority, table in ((0, 255), (32766, 254), (32767, 253))
]


def item(**options: Any) -> RuleItem:
    return RuleItem.from_params(options, "", Names(), ns=False)


def plan(items: list[RuleItem], there: list[Rule]) -> list[str]:
    state = {rule.key: rule for rule in there}
    desired = {each.key: each for each in wanted_rules(items, there, "c")}
    operations = reconcile(desired, state)
    after = simulate(state, operations)
    again = {each.key: each for each in wanted_rules(items, [r for r in after.values() if isinstance(r, Rule)], "c")}
    assert reconcile(again, after) == []
    assert simulate(after, undo(operations)) == state
    return [str(operation) for operation in operations]


@pytest.mark.parametrize(
    ("written", "kept"),
    [("1", "0x1/0xffffffff"), ("0x1/0xff", "0x1/0xff"), ("16/0xF0", "0x10/0xf0"), (None, ""), ("0/3", "0x0/0x3")],
)
def test_P33_marks(written: Any, kept: str) -> None:
    assert fwmark(written) == kept


def test_P33_one_spelling() -> None:
    rule = item(source="10.1/16", ip_protocol="tcp", destination_port=80, uid_range="5", realms="1/2", table=100).rule
    assert (rule.source, rule.ip_protocol, rule.destination_port) == ("10.1.0.0/16", 6, "80-80")
    assert (rule.uid_range, rule.realms, rule.table) == ("5-5", 0x10002, 100)
    said = rule.public()
    assert (said["destination_port"], said["ip_protocol"], said["uid_range"]) == ("80", "tcp", "5")
    assert item(source="default", table="main").rule == item(table="main").rule
    assert item(source="fd00::1").rule.family == 6


RULES = st.builds(
    Rule,
    ns=st.just("c"),
    family=st.sampled_from((4, 6)),
    priority=st.integers(0, 2**32 - 1),
    protocol=st.integers(0, 255),
    iif=st.sampled_from(("", "eth1", "lo")),
    oif=st.sampled_from(("", "eth2")),
    fwmark=st.sampled_from(("", "0x1/0xff", "0x0/0x3")),
    tos=st.sampled_from((0, 16)),
    ip_protocol=st.sampled_from((0, 6, 58)),
    source_port=st.sampled_from(("", "80-80")),
    destination_port=st.sampled_from(("", "1000-1999")),
    uid_range=st.sampled_from(("", "0-0", "0-4294967294")),
    invert=st.booleans(),
    tun_id=st.sampled_from((0, 7)),
    table=st.sampled_from((254, 70000)),
    suppress_prefixlength=st.sampled_from((None, 0, 24)),
    suppress_ifgroup=st.sampled_from((None, 0, 5)),
    realms=st.sampled_from((0, 0x10002)),
)


@given(RULES, st.sampled_from(("lookup", "goto", "nop", "blackhole", "l3mdev")), st.booleans())
def test_P33_what_a_message_says_is_read_back(rule: Rule, action: str, addressed: bool) -> None:
    if action != "lookup":
        changes: dict[str, Any] = {"table": 0, "l3mdev": action == "l3mdev"}
        changes.update({"goto": 7} if action == "goto" else {})
        rule = dataclasses.replace(rule, action=action.replace("l3mdev", "lookup"), **changes)
    if addressed:
        ends = ("10.0.0.0/8", "10.1.2.3/32") if rule.family == 4 else ("fd00::/8", "fd00::1/128")
        rule = dataclasses.replace(rule, source=ends[0], destination=ends[1])
    raw = netlink_rule.new_rule(rule)
    assert netlink_rule.decode_rule(raw, "c") == rule
    assert netlink_rule.delete_rule(rule)[16:] == raw[16:]


def test_P33_priorities_are_chosen_before_all_in_the_order_of_the_list() -> None:
    found = places([item(source="10.0.0.1"), item(source="fd00::1"), item(source="10.0.0.2")], KERNELS, "c")
    assert [rule.priority for rule in found.values()] == [32764, 32765, 32765]
    few = [Rule("c", 4, 1, 3, source="10.9.0.1/32", table=9), *KERNELS]
    with pytest.raises(Exception, match="none is free"):
        places([item(source="10.0.0.1")], few, "c")


def test_B4_what_a_killed_run_has_not_made_comes_after_what_it_has() -> None:
    items = [item(fwmark=5, table=101), item(source="10.0.0.1", table=101), item(source="10.0.0.2", table=101)]
    first, second, third = (each.rule for each in items)
    made = [dataclasses.replace(first, ns="c", priority=32763, protocol=PROTOCOL_ROUTE)]
    assert [rule.priority for rule in places(items, [*KERNELS, *made], "c").values()] == [32763, 32764, 32765]
    made = [dataclasses.replace(third, ns="c", priority=32765, protocol=PROTOCOL_ROUTE)]
    assert [rule.priority for rule in places(items, [*KERNELS, *made], "c").values()] == [32763, 32764, 32765]
    made = [dataclasses.replace(second, ns="c", priority=32764, protocol=PROTOCOL_ROUTE)]
    assert [rule.priority for rule in places(items, [*KERNELS, *made], "c").values()] == [32763, 32764, 32765]


def test_P33_ours_are_replaced_and_others_are_not() -> None:
    ours = Rule("c", 4, 100, 114, source="10.0.0.1/32", table=100)
    theirs = dataclasses.replace(ours, protocol=3)
    wanted = [item(source="10.0.0.1", table=200)]
    assert plan(wanted, [*KERNELS, ours]) == [
        "create rule c/100: from 10.0.0.1/32 lookup 200 proto 114",
        "delete rule c/100: from 10.0.0.1/32 lookup 100 proto 114",
    ]
    assert plan(wanted, [*KERNELS, theirs]) == ["create rule c/99: from 10.0.0.1/32 lookup 200 proto 114"]
    assert plan([item(source="10.0.0.1", table=100)], [*KERNELS, theirs]) == []
    gone = [item(source="10.0.0.1", state="absent")]
    assert plan(gone, [*KERNELS, theirs]) == ["delete rule c/100: from 10.0.0.1/32 lookup 100 proto 3"]
    with pytest.raises(Exception, match="2 rules fit"):
        plan(gone, [*KERNELS, theirs, ours])
    assert plan([item(table="main", state="absent")], KERNELS) == []


SOURCES = st.sampled_from(("10.0.0.1", "10.0.0.2", "fd00::1"))
ITEMS = st.lists(
    st.builds(
        item,
        source=SOURCES,
        table=st.sampled_from((100, 200)),
        priority=st.none() | st.sampled_from((50, 60)),
        state=st.sampled_from(("present", "present", "absent")),
    ),
    max_size=4,
    unique_by=lambda each: (each.rule.source, each.rule.priority if "priority" in each.given else None),
)


@given(ITEMS, st.lists(RULES.map(lambda r: dataclasses.replace(r, protocol=114 if r.invert else 3)), max_size=3))
def test_P33_laws(items: list[RuleItem], more: list[Rule]) -> None:
    there = {rule.key: rule for rule in (*KERNELS, *more) if rule in KERNELS or rule.priority > 100}
    present = [each for each in items if each.state == "present"]
    plan(present, list(there.values()))
    wanted = wanted_rules(present, list(there.values()), "c")
    gone = {each.key for each in wanted if isinstance(each, Absent)}
    assert all(there[key].protocol == 114 for key in gone)  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"fwmark": "zz"}, "fwmark: 'zz' is not a whole number; 0 to 4294967295 would be right."),
        ({"fwmark": "1/zz"}, "fwmark: 'zz' is not a whole number"),
        ({"tos": "zz"}, "tos: 'zz' is not a whole number; 0 to 255 would be right."),
        ({"ip_protocol": "zz"}, "ip_protocol: 'zz' is not known; ah, dccp, "),
        ({"ip_protocol": 256}, "ip_protocol: 256 is not possible; 1 to 255 would be right."),
        ({"suppress_prefixlength": 99}, "suppress_prefixlength: 99 is not possible; 0 to 32 would be right."),
        ({"suppress_prefixlength": 129, "family": "ipv6"}, "suppress_prefixlength: 129 is not possible; 0 to 128"),
        ({"cmd": ""}, "cmd: '' is not complete: a verb, one of add, del, flush, should follow."),
        ({"cmd": "get"}, "cmd: 'get': word 1, 'get', is not known here; expected a verb, one of add, del, flush."),
    ],
)
def test_P33_messages_say_what_would_be_right(options: dict[str, Any], words: str) -> None:
    with pytest.raises(PipeworkError) as caught:
        item(**options)
    assert str(caught.value).startswith(words)
