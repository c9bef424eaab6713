# Copyright: pipework.containers contributors
# GNU General Public License v3.0+ (see LICENSE)
"""P34, B13: quantities, kinds of qdiscs and the options of pipework_tc, without a kernel."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.pipework.containers.plugins.module_utils._core.errors import PipeworkError
from ansible_collections.pipework.containers.plugins.module_utils._core.plan import State, reconcile, simulate
from ansible_collections.pipework.containers.plugins.module_utils._model.keys import link_key
from ansible_collections.pipework.containers.plugins.module_utils._model.objects import Device
from ansible_collections.pipework.containers.plugins.module_utils._model.observed import Facts
from ansible_collections.pipework.containers.plugins.module_utils._tc import netlink as tc_netlink
from ansible_collections.pipework.containers.plugins.module_utils._tc import qdiscs, units
from ansible_collections.pipework.containers.plugins.module_utils._tc.desired import wanted
from ansible_collections.pipework.containers.plugins.module_utils._tc.model import OURS, Qdisc, TcClass
from ansible_collections.pipework.containers.plugins.module_utils._tc.options import TcItem, items_from_params


@pytest.mark.parametrize(
    ("unit", "written", "shown"),
    [
        (units.TIME, "100ms", "100ms"),
        (units.TIME, "0.1s", "100ms"),
        (units.TIME, "1500", "1.5ms"),
        (units.TIME, "20usecs", "20us"),
        (units.TIME, 0, "0"),
        (units.RATE, "10mbit", "10mbit"),
        (units.RATE, "10Mbit", "10mbit"),
        (units.RATE, "1mbps", "8mbit"),
        (units.RATE, 8000, "8kbit"),
        (units.RATE, "1.5gbit", "1.5gbit"),
        (units.SIZE, "32kb", "32kb"),
        (units.SIZE, "32k", "32kb"),
        (units.SIZE, "1500b", "1500b"),
        (units.SIZE, "8kbit", "1kb"),
        (units.PERCENT, "30%", "30%"),
        (units.PERCENT, 0.1, "0.1%"),
        (units.PERCENT, "100", "100%"),
        (units.CODEL_TIME, "5ms", "5ms"),
        (units.MINOR, 30, "30"),
        (units.MINOR, "1:30", "30"),
        (units.SECONDS, 10, "10s"),
    ],
)
def test_P34_quantities_as_tc_writes_them(unit: units.Unit, written: Any, shown: str) -> None:
    assert unit.show(unit.kept(unit.read(written))) == shown
    assert unit.show(unit.kept(unit.read(shown))) == shown


@given(st.integers(0, units.U32))
def test_P34_a_percentage_is_the_same_after_it_was_shown(number: int) -> None:
    assert units.show_percent(units.read_percent(units.show_percent(number))) == units.show_percent(number)


@given(st.integers(1, 10**12))
def test_P34_a_rate_and_a_time_are_the_same_after_they_were_shown(number: int) -> None:
    assert units.read_rate(units.show_rate(number)) == number
    assert units.show_time(units.read_time(units.show_time(number))) == units.show_time(number)


@given(st.integers(1_000, 10**9), st.integers(2_000, 10**6))
def test_P34_a_burst_is_the_same_after_the_kernel_has_rounded_it(rate: int, size: int) -> None:
    ticks = units.ticks_of(rate, size)
    if 0 < ticks < units.U32:
        assert units.ticks_of(rate, units.size_of(rate, ticks)) in (ticks, ticks - 1, ticks + 1)


@given(st.integers(1, 10**6))
def test_P34_times_of_codel_come_back_as_they_are_kept(number: int) -> None:
    unit = units.CODEL_TIME
    kept = unit.show(unit.kept(number))
    assert unit.show(unit.kept(unit.read(kept))) == kept


# The kinds: what is encoded and decoded again is what was wanted.

REQUESTS: list[tuple[str, dict[str, Any]]] = [
    ("netem", {"loss": "30% 25%", "delay": "100ms", "jitter": "10ms", "correlation": "25%", "limit": 500}),
    ("netem", {"loss": "gemodel 1% 10% 70% 0.1%", "rate": "1mbit", "packet_overhead": -5}),
    ("netem", {"loss": "state 1% 10% 5% 50% 0.5%", "duplicate": "1%", "corrupt": "0.1% 3%"}),
    ("netem", {"delay": "10ms", "reorder": "25% 50%", "gap": 5, "slot": "10ms 20ms packets 5 bytes 64kb"}),
    ("netem", {"delay": "5s", "seed": 7, "ecn": True, "rate": "100gbit"}),
    ("tbf", {"rate": "1mbit", "burst": "32kb", "latency": "50ms"}),
    ("tbf", {"rate": "40gbit", "burst": "1mb", "limit": "2mb", "peakrate": "50gbit", "mtu": "9000b"}),
    ("htb", {"default": 30, "direct_qlen": 100}),
    ("hfsc", {"default": 1}),
    ("fq_codel", {"target": "5ms", "interval": "100ms", "limit": 1000, "flows": 512, "ecn": False}),
    ("fq", {"maxrate": "10mbit", "buckets": 512, "pacing": True}),
    ("cake", {"bandwidth": "20mbit", "diffserv": "diffserv4", "nat": True, "overhead": -4, "rtt": "50ms"}),
    ("codel", {"target": "7ms", "ecn": True}),
    ("sfq", {"perturb": 10, "limit": 100, "quantum": "1500b"}),
    ("prio", {"bands": 4, "priomap": "3 2 2 2 1 2 0 0 1 1 1 1 1 1 1 1"}),
    ("red", {"limit": "400000b", "avpkt": "1000b", "min": "30000b", "max": "90000b", "burst": 55, "ecn": True}),
    ("pfifo", {"limit": 10}),
    ("bfifo", {"limit": "30kb"}),
    ("drr", {}),
    ("ingress", {}),
    ("clsact", {}),
]


@pytest.mark.parametrize(("kind", "options"), REQUESTS)
def test_P34_every_kind_comes_back_as_it_went(kind: str, options: dict[str, Any]) -> None:
    spec = qdiscs.QDISCS[kind]
    given_ = spec.read(options, kind)
    wish = Qdisc("host", "eth1", kind, spec.canonical(given_), given=given_, handle=OURS << 16)
    back = tc_netlink.decode_qdisc(tc_netlink.new_qdisc(wish, 3), "host", {3: "eth1"})
    assert back is not None
    rounded = {name for name, unit in spec.options.items() if unit is units.CODEL_TIME}  # which only a kernel does
    differs = {name for name, value in (wish.settings or {}).items() if (back.settings or {}).get(name) != value}
    assert differs <= rounded, (wish.settings, back.settings)
    if not rounded:
        again = dataclasses.replace(back, raw=None)  # so it comes back when it has been deleted
        twin = tc_netlink.decode_qdisc(tc_netlink.new_qdisc(again, 3), "host", {3: "eth1"})
        assert twin is not None and twin.settings == back.settings


@pytest.mark.parametrize(
    ("kind", "options"),
    [
        ("htb", {"rate": "5mbit", "ceil": "10mbit", "prio": 3}),
        ("hfsc", {"sc": "m1 10mbit d 10ms m2 5mbit", "ul": "20mbit"}),
        ("drr", {"quantum": "1500b"}),
    ],
)
def test_P34_every_kind_of_class_comes_back_as_it_went(kind: str, options: dict[str, Any]) -> None:
    spec = qdiscs.CLASSES[kind]
    given_ = spec.read(options, kind)
    wish = TcClass("host", "eth1", kind, spec.canonical(given_), given=given_, classid=0x10010, parent=0x10000)
    back = tc_netlink.decode_class(tc_netlink.new_class(wish, 3), "host", {3: "eth1"})
    assert back is not None and not wish.differences(back), (wish.settings, back.settings)


# Options.


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"netem": {"loss": "130%"}}, "netem.loss: '130%' is more than all"),
        ({"netem": {"loss": "lots"}}, "netem.loss: 'lots' is not understood; it is written as in 30%"),
        ({"netem": {"loss": "30% 20% 10%"}}, "netem.loss: .* or 30% 25% with a correlation"),
        ({"netem": {"delay": "10mbit"}}, "netem.delay: '10mbit' has no unit of time"),
        ({"netem": {"delay": "-10ms"}}, "netem.delay: '-10ms' is not understood"),
        ({"netem": {"jitter": "10ms"}}, "netem.jitter: '10ms' varies a delay, and there is none"),
        ({"netem": {"correlation": "10%"}}, "netem.correlation: .*loss: 30% 25%"),
        ({"netem": {"delay": "1ms", "distribution": "normal"}}, "netem.distribution: 'normal' is that of the jitter"),
        ({"netem": {"delay": "1ms", "jitter": "1ms", "distribution": "../x"}}, "netem.distribution: .*is not one of"),
        ({"netem": {"reorder": "10%"}}, "netem.reorder: '10%' needs a delay"),
        ({"netem": {"gap": 5}}, "netem.gap: 5 is that between reordered packets"),
        ({"netem": {"los": "10%"}}, "netem.los: netem has no such option; it has loss, delay"),
        ({"tbf": {"rate": "10parsec", "burst": "1kb"}}, "tbf.rate: '10parsec' has no unit of a rate"),
        ({"tbf": {"burst": "1kb", "limit": "1kb"}}, "tbf.rate: say how much, as in 10mbit"),
        ({"tbf": {"rate": "1mbit", "burst": "1kb"}}, "tbf.limit: a tbf is given 'limit' or 'latency'"),
        ({"tbf": {"rate": "1mbit", "burst": "32kb", "limit": "1kb", "latency": "1ms"}}, "not both"),
        ({"tbf": {"rate": "0bit", "burst": "32kb", "limit": "1kb"}}, "tbf.rate: '0bit' is no rate"),
        ({"htb": {"default": "many"}}, "htb.default: 'many' is not the minor number of a class"),
        ({"prio": {"bands": 99}}, "prio.bands: 99 is not possible; there are 2 to 16"),
        ({"prio": {"priomap": "1 2"}}, "prio.priomap: .*16 priorities"),
        ({"clsact": {"limit": 1}}, "clsact.limit: clsact has no such option; it has none"),
        ({"netem": {}, "tbf": {}}, "tbf: an interface has one qdisc at its root, and there is netem already"),
        ({"handle": "1:"}, "handle: it is that of a qdisc; name one"),
        ({"netem": {}, "handle": "1:10"}, "handle: '1:10' is not that of a qdisc"),
        ({"netem": {}, "handle": "$(reboot)"}, "handle: .*is not a handle"),
        ({}, "netem: say what the interface shall have"),
        ({"netem": {}, "device": "a/b"}, "device: "),
        ({"mirror": {"to_container": "b"}}, "mirror.to_interface: say which interface gets the copies"),
        ({"mirror": {"to_interface": "eth1", "direction": "up"}}, "mirror.direction: 'up' is not one of both"),
        ({"mirror": {"to_interface": "a/b"}}, "mirror.to_interface: "),
        ({"mirror": {"from": "eth1"}}, "mirror.from: there is no such option"),
        ({"interfaces": [{"netem": {}}, {"netem": {}}]}, r"interfaces\[1\]: device: web1/eth1 is listed twice"),
    ],
)
def test_P34_bad_input_is_refused_by_name_and_value(options: dict[str, Any], words: str) -> None:
    with pytest.raises(PipeworkError, match=words):
        items_from_params({"container": "web1", **options})


FACTS = Facts(devices={"host": {}, "netns:a": {"eth1": Device(3, "eth1", "dummy", None, 1500, True)}})


def plan_of(there: State, **options: Any) -> list[tuple[str, str]]:
    item = TcItem.from_params({"container": "a", **options})
    wishes = {want.key: want for want in wanted(item, "netns:a", None, FACTS, there)}
    plan = reconcile(wishes, there)
    assert reconcile(wishes, simulate(there, plan)) == []
    return [(each.action, each.subject.public().get("kind", "")) for each in plan]


def seen(kind: str, handle: int, options: dict[str, Any] | None = None) -> State:
    spec = qdiscs.QDISCS[kind]
    found = Qdisc(
        "netns:a",
        "eth1",
        kind,
        spec.canonical(spec.read(options or {}, kind)),
        handle=handle << 16,
        above=link_key("netns:a", "eth1"),
    )
    return {found.key: found}


def test_P34_what_is_ours_changes_in_place_and_is_replaced_where_it_must() -> None:
    ours = seen("netem", OURS, {"loss": "10%"})
    assert plan_of(ours, netem={"loss": "10%"}) == []
    assert plan_of(ours, netem={"delay": "10ms"}) == [("update", "netem")]
    assert plan_of(ours, pfifo={"limit": 3}) == [("delete", "netem"), ("create", "pfifo")]
    normal = {"delay": "10ms", "jitter": "1ms", "distribution": "normal"}
    assert plan_of(ours, netem=normal) == [("delete", "netem"), ("create", "netem")]
    assert plan_of(seen("htb", OURS), htb={"default": "10"}) == [("delete", "htb"), ("create", "htb")]
    assert plan_of(ours, state="absent") == [("delete", "netem")]
    assert plan_of(ours, state="absent", netem={}) == [("delete", "netem")]
    assert plan_of(ours, state="absent", tbf={}) == []
    assert plan_of({}, state="absent") == []


def test_B6_what_is_somebody_elses_stays_unless_it_is_said() -> None:
    theirs = seen("netem", 0x8001, {"loss": "10%"})
    assert plan_of(theirs, netem={"loss": "10%"}) == []
    for options in ({"netem": {"loss": "20%"}}, {"pfifo": {}}, {"state": "absent"}, {"state": "absent", "netem": {}}):
        with pytest.raises(PipeworkError, match="a/eth1 has a qdisc that is not ours, netem 8001:; 'force: true' re"):
            plan_of(theirs, **options)
    assert plan_of(theirs, netem={"loss": "20%"}, force=True) == [("delete", "netem"), ("create", "netem")]
    assert plan_of(theirs, state="absent", force=True) == [("delete", "netem")]
    assert plan_of(theirs, netem={"loss": "20%"}, handle="8001:") == [("update", "netem")]


def test_P34_nothing_is_to_be_done_where_the_interface_is_gone() -> None:
    item = TcItem.from_params({"container": "a", "device": "eth7", "state": "absent"})
    assert not list(wanted(item, "netns:a", None, FACTS, {}))
    there = TcItem.from_params({"container": "a", "device": "eth7", "netem": {}})
    with pytest.raises(PipeworkError, match=r"device: eth7 does not exist in netns:a \(which has eth1\)"):
        list(wanted(there, "netns:a", None, FACTS, {}))
