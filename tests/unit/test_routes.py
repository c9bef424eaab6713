# Copyright: pipework.containers contributors
# GNU General Public License v3.0+ (see LICENSE)
"""Options of routes, in one spelling; which routes are meant; the laws of routes that are described as a whole."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.pipework.containers.plugins.module_utils._core.errors import PipeworkError
from ansible_collections.pipework.containers.plugins.module_utils._core.plan import Absent, reconcile, simulate, undo
from ansible_collections.pipework.containers.plugins.module_utils._model import encap
from ansible_collections.pipework.containers.plugins.module_utils._model import route_names as words
from ansible_collections.pipework.containers.plugins.module_utils._model.objects import Hop, Route
from ansible_collections.pipework.containers.plugins.module_utils._routing.options import ROUTE, named
from ansible_collections.pipework.containers.plugins.module_utils._routing.route_options import ExactRoute, RouteItem
from ansible_collections.pipework.containers.plugins.module_utils._routing.routes_desired import Ground, wanted_routes
from ansible_collections.pipework.containers.plugins.module_utils._routing.rt_names import known, parse

NAMES = words.Names({**words.TABLES, "uplink": 101}, words.PROTOCOLS)


def item(**options: Any) -> RouteItem:
    return RouteItem.from_params(options, "", NAMES, ns=False)


def exact(**options: Any) -> ExactRoute:
    return item(**options).route


# spellings


@pytest.mark.parametrize(
    ("given_", "kept"),
    [
        ("default", "default"),
        ("0/0", "default"),
        ("0.0.0.0/0", "default"),
        ("::/0", "default"),
        ("10/8", "10.0.0.0/8"),
        ("10.1/16", "10.1.0.0/16"),
        ("10.0.0.1", "10.0.0.1/32"),
        ("10.0.0.0/255.0.0.0", "10.0.0.0/8"),
        ("2001:DB8::/32", "2001:db8::/32"),
        ("2001:db8:0::1", "2001:db8::1/128"),
    ],
)
def test_P32_destinations(given_: str, kept: str) -> None:
    assert words.prefix(given_, "destination") == kept
    assert words.prefix(kept, "destination") == kept


def test_P32_what_ip_adds_by_itself() -> None:
    assert exact(destination="10.0.0.0/8", device="eth1").scope == 253
    assert exact(destination="10.0.0.0/8", gateway="10.1.0.1").scope == 0
    assert exact(destination="10.0.0.0/8", type="blackhole").scope == 0
    assert exact(destination="10.0.0.0/8", type="local", device="lo").scope == 254
    assert exact(destination="10.0.0.0/8", type="local", device="lo").table == 255
    assert exact(destination="fd00::/8", device="eth1").metric == 1024
    assert exact(destination="fd00::/8", device="eth1", metric=0).metric == 1024
    assert exact(destination="default", gateway="fd00::1").family == 6
    assert exact(destination="default", gateway="fe80::1", device="eth1", family="ipv4").family == 4
    assert exact(destination="default", device="eth1").family == 4


def test_P32_one_nexthop_is_a_plain_route() -> None:
    single = exact(destination="10.0.0.0/8", nexthops=[{"gateway": "10.1.0.1", "device": "eth1", "weight": 7}])
    assert single == exact(destination="10.0.0.0/8", gateway="10.1.0.1", device="eth1")


def test_P32_metrics_as_the_kernel_keeps_them() -> None:
    kept = words.metrics({"mtu": 65535, "advmss": 65535, "hoplimit": 300, "window": 0, "rtt": "1s", "rttvar": 10})
    assert dict(kept) == {
        "RTAX_MTU": 65520, "RTAX_ADVMSS": 65495, "RTAX_HOPLIMIT": 255, "RTAX_RTT": 8000, "RTAX_RTTVAR": 40,
    }  # fmt: skip
    assert words.shown_metrics(words.metrics({"rtt": 100, "lock": ["mtu"], "features": ["ecn"], "rto_min": 200})) == {
        "rtt": 100, "lock": ["mtu"], "features": ["ecn"], "rto_min": 200,
    }  # fmt: skip


def test_P33_tables_by_name_and_number() -> None:
    assert [NAMES.table(value) for value in ("uplink", 101, "101", "0x65", "local")] == [101, 101, 101, 101, 255]
    for wrong in ("uplonk", "", -1, 1 << 32, 0, "unspec", 0x7077):
        with pytest.raises(PipeworkError, match=r"^table: "):
            NAMES.table(wrong)


def test_P33_of_numbers_with_one_name_the_lowest_is_meant() -> None:
    files = ["4 static\n100 web\n", "196 static\n100 shop\n"]
    assert known({"static": 4, "boot": 3}, files) == {"static": 4, "boot": 3, "shop": 100}


def test_P33_files_of_names() -> None:
    text = "# reserved\n255\tlocal\n0x65 uplink # ours\n\n 7  seven\nnine 9\n10\n"
    assert parse(text) == {"local": 255, "uplink": 101, "seven": 7}


def test_P32_aliases_of_options_that_nobody_looked_into() -> None:
    assert named({"to": "default", "via": "10.0.0.1", "nexthops": [{"dev": "eth1"}]}, ROUTE, "routes[0]") == {
        "destination": "default", "gateway": "10.0.0.1", "nexthops": [{"device": "eth1"}],
    }  # fmt: skip
    with pytest.raises(PipeworkError, match=r"^routes\[0\]: 'gw' is not one of the options; destination, "):
        named({"gw": "10.0.0.1"}, ROUTE, "routes[0]")
    with pytest.raises(PipeworkError, match=r"^routes\[0\].type: 'nat' is not possible; unicast"):
        named({"type": "nat"}, ROUTE, "routes[0]")


@pytest.mark.parametrize(
    ("option", "text"),
    [
        ({"type": "mpls", "labels": [100, "200"], "ttl": 5}, "mpls 100/200 ttl 5"),
        ({"type": "seg6", "segments": ["2001:DB8::1", "::2"]}, "seg6 encap 2001:db8::1,::2"),
        ({"type": "seg6", "mode": "inline", "segments": ["fd00::1"]}, "seg6 inline fd00::1"),
        (None, None),
    ],
)
def test_P32_what_packets_are_wrapped_into(option: Any, text: str | None) -> None:
    assert encap.from_option(option) == text


# which routes are meant


def ground(*routes: ExactRoute) -> Ground:
    return Ground.of("c", {"eth1", "eth2"}, [*routes, NET1, NET2])


def there(protocol: int, **options: Any) -> ExactRoute:
    import dataclasses

    return dataclasses.replace(exact(**options), ns="c", protocol=protocol)


NET1 = there(2, destination="10.1.0.0/24", device="eth1", source="10.1.0.1")
NET2 = there(2, destination="10.2.0.0/24", device="eth2", source="10.2.0.1")


def test_P32_absent_means_what_fits_all_that_is_said() -> None:
    found = ground(
        there(114, destination="10.9.0.0/16", gateway="10.1.0.9", mtu=1400),
        there(114, destination="10.9.0.0/16", gateway="10.2.0.9", metric=5),
        there(114, destination="10.9.0.0/16", gateway="10.2.0.9", table="uplink"),
    )

    def gone(**options: Any) -> list[str]:
        return sorted(o.key[2] for o in wanted_routes([item(destination="10.9/16", state="absent", **options)], found))

    assert gone() == ["10.9.0.0/16", "10.9.0.0/16 metric 5"]
    assert gone(metric=0) == gone(mtu=1400) == gone(gateway="10.1.0.9") == ["10.9.0.0/16"]
    assert gone(table=101) == ["10.9.0.0/16 table 101"]
    assert gone(gateway="10.2.0.9") == ["10.9.0.0/16 metric 5"]
    assert gone(device="eth1") == gone(type="blackhole") == []


def test_P32_routes_of_attachments_are_theirs() -> None:
    found = ground(there(112, destination="default", gateway="10.1.0.9", device="eth1"))
    for options in ({"state": "absent"}, {"gateway": "10.2.0.9"}):
        with pytest.raises(PipeworkError, match="belongs to an attachment"):
            list(wanted_routes([item(destination="default", **options)], found))
    [same] = wanted_routes([item(destination="default", gateway="10.1.0.9")], found)
    assert not isinstance(same, Absent)
    assert same.protocol == 112  # type: ignore[attr-defined]


# laws

HOPS = st.builds(Hop, st.sampled_from(("10.1.0.9", "fe80::9")), st.sampled_from(("eth1", "eth2")), st.integers(1, 256))
ROUTES = st.builds(
    ExactRoute,
    ns=st.just("c"),
    family=st.just(4),
    destination=st.sampled_from(("default", "10.9.0.0/16")),
    metric=st.sampled_from((0, 5)),
    gateway=st.none() | st.sampled_from(("10.1.0.9", "10.2.0.9")),
    device=st.none() | st.sampled_from(("eth1", "eth2")),
    scope=st.sampled_from((0, 253)),
    protocol=st.sampled_from((None, 4, 114)),
    type=st.sampled_from((1, 6)),
    metrics=st.none() | st.just((("RTAX_MTU", 1400),)),
    nexthops=st.none() | st.lists(HOPS, min_size=2, max_size=3).map(tuple),
    nth=st.sampled_from((0, 0, 1, 2)),
)
STATES = st.lists(ROUTES, max_size=5).map(lambda found: {route.key: route for route in found})


@given(STATES, STATES)
def test_P32_after_a_plan_of_routes_nothing_is_left_to_do(desired: Any, observed: Any) -> None:
    plan = reconcile(desired, observed)
    after = simulate(observed, plan)
    assert reconcile(desired, after) == []
    assert simulate(after, undo(plan)) == observed
    assert {key: after[key] for key in observed if key not in desired} == {
        key: route for key, route in observed.items() if key not in desired
    }


@given(ROUTES, st.permutations(range(3)))
def test_P32_the_order_of_hops_and_metrics_does_not_matter(route: ExactRoute, order: list[int]) -> None:
    import dataclasses

    hops = tuple(route.nexthops[n] for n in order if n < len(route.nexthops)) if route.nexthops else None
    other = dataclasses.replace(route, nexthops=hops, metrics=route.metrics or ())
    assert not route.differences(other)
    assert not other.differences(Route(**route.__dict__))
