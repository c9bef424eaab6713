# Copyright: pipework.containers contributors
# GNU General Public License v3.0+ (see LICENSE)
"""What is still missing to a wait, judged from what the kernel shows."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from ansible_collections.pipework.containers.plugins.module_utils._core.errors import PipeworkError
from ansible_collections.pipework.containers.plugins.module_utils._model.objects import TABLE_KEPT, Device, Route
from ansible_collections.pipework.containers.plugins.module_utils._wait.conditions import (
    UNTIL,
    Seen,
    Sight,
    Wait,
    missing,
    next_hop,
    saw,
    timeout_of,
    to_ask,
    waits_from_params,
)

DOWN = Device(2, "eth1", "veth", "02:00:00:00:00:01", 1500, up=False)
PLUGGED = dataclasses.replace(DOWN, up=True, carrier=True)
UP = dataclasses.replace(PLUGGED, running=True)
V4, V6, LOCAL = Seen("10.1.0.1/24"), Seen("fd01::1/64"), Seen("fe80::1/64", local=True)
ON_LINK = Route("a", 4, "10.1.0.0/24", device="eth1", type=1)
DEFAULT = Route("a", 4, "default", gateway="10.1.0.254", device="eth1", type=1)
DEFAULT6 = Route("a", 6, "default", gateway="fe80::fe", device="eth1", type=1, metric=1024)


def lacks(until: str, sight: Sight, target: str | None = None) -> str | None:
    return missing(Wait(until=until, target=target), sight)


def test_P18_a_link_that_merely_exists_is_not_up() -> None:
    for device, reached in ((None, {"absent"}), (DOWN, {"present"}), (PLUGGED, {"present", "carrier"})):
        sight = Sight(device, (V4, V6), (ON_LINK, DEFAULT), {"10.1.0.9": "reachable"})
        for until in UNTIL:
            target = "10.1.0.9" if until == "reachable" else None
            assert (lacks(until, sight, target) is None) == (until in reached), (device, until)
    assert lacks("up", Sight(UP)) is None


@pytest.mark.parametrize(
    ("addresses", "words"),
    [
        ((), "it has no address"),
        ((LOCAL,), "it has no address"),
        ((Seen("fd01::1/64", "tentative"), LOCAL), "fd01::1/64 is still tentative"),
        ((Seen("fd01::1/64", "duplicate"),), "fd01::1/64 is a duplicate: another machine has it"),
        ((Seen("fd01::1/64", "deprecated"),), "deprecated"),
        ((Seen("fd01::1/64", "duplicate"), V4), None),
    ],
)
def test_P18_addressed_means_an_address_that_can_be_used(addresses: tuple[Seen, ...], words: str | None) -> None:
    found = lacks("addressed", Sight(UP, addresses))
    assert found is None if words is None else words in str(found)


@pytest.mark.parametrize(
    ("route", "met"),
    [
        (DEFAULT, True),
        (dataclasses.replace(DEFAULT, device="eth0"), False),
        (dataclasses.replace(DEFAULT, table=100), False),
        (dataclasses.replace(DEFAULT, type=7), False),  # unreachable
        (dataclasses.replace(DEFAULT, gateway=None, device=None, nexthops=(("10.1.0.9", "eth1", 1),)), True),
        (DEFAULT6, False),  # its address is tentative
        (ON_LINK, False),
    ],
)
def test_P18_routed_means_a_default_route_through_it(route: Route, met: bool) -> None:
    sight = Sight(UP, (V4, Seen("fd01::1/64", "tentative"), LOCAL), (route,))
    assert (lacks("routed", sight) is None) == met
    assert (lacks("routed", Sight(UP, (), (route,))) is None) == (met or route is DEFAULT6)


@pytest.mark.parametrize(
    ("target", "hop"),
    [
        ("10.1.0.9", "10.1.0.9"),
        ("8.8.8.8", "10.1.0.254"),
        ("10.2.3.4", "10.1.0.7"),
        ("10.2.9.9", None),  # by way of another interface, through which the longest prefix leads
        ("2001:db8::1", None),
    ],
)
def test_P18_the_target_or_the_router_on_the_way_is_asked_for(target: str, hop: str | None) -> None:
    others = [
        Route("a", 4, "10.2.0.0/16", gateway="10.1.0.7", device="eth1", type=1),
        Route("a", 4, "10.2.0.0/16", gateway="10.1.0.8", device="eth1", type=1, metric=5),
        Route("a", 4, "8.8.8.8/32", gateway="10.1.0.8", device="eth1", type=1, table=TABLE_KEPT),
    ]
    routes = (ON_LINK, DEFAULT, *others)
    if hop is None:
        routes = (ON_LINK,)
    wait = Wait(until="reachable", target=target)
    assert next_hop(wait, Sight(UP, (V4,), routes)) == hop


@pytest.mark.parametrize(
    ("state", "met", "question"),
    [
        (None, False, ("10.1.0.9", False)),
        ("failed", False, ("10.1.0.9", False)),
        ("stale", False, ("10.1.0.9", True)),
        ("delay", False, ("10.1.0.9", True)),
        ("incomplete", False, None),
        ("probe", False, None),
        ("reachable", True, None),
        ("permanent", True, None),
        ("noarp", True, None),
    ],
)
def test_P18_the_kernel_is_asked_where_it_does_not_know(state: str | None, met: bool, question: Any) -> None:
    wait = Wait(until="reachable", target="10.1.0.9")
    sight = Sight(UP, (V4,), (ON_LINK,), {"10.1.0.9": state} if state else {})
    assert (missing(wait, sight) is None) == met
    assert to_ask(wait, sight) == question
    assert to_ask(wait, dataclasses.replace(sight, device=DOWN)) is None
    assert to_ask(Wait(until="up"), sight) is None


def test_P18_ipv6_is_asked_when_there_is_an_address_to_ask_from() -> None:
    wait = Wait(until="reachable", target="fe80::9")
    routes = (Route("a", 6, "fe80::/64", device="eth1", type=1),)
    assert to_ask(wait, Sight(UP, (Seen("fe80::1/64", "tentative", local=True),), routes)) is None
    assert to_ask(wait, Sight(UP, (LOCAL,), routes)) == ("fe80::9", False)


def test_P18_its_own_address_needs_no_asking() -> None:
    assert lacks("reachable", Sight(UP, (V4,), (ON_LINK,)), "10.1.0.1") is None


def test_P18_what_it_saw() -> None:
    sight = Sight(UP, (V4, Seen("fd01::1/64", "tentative"), LOCAL), (ON_LINK, DEFAULT), {"10.1.0.254": "stale"})
    assert saw(Wait(), Sight()) == {"present": False}
    assert saw(Wait(until="reachable", target="8.8.8.8"), sight) == {
        "present": True,
        "carrier": True,
        "up": True,
        "mac_address": "02:00:00:00:00:01",
        "mtu": 1500,
        "addresses": ["10.1.0.1/24"],
        "unusable": {"fd01::1/64": "tentative"},
        "gateway": ["10.1.0.254"],
        "next_hop": "10.1.0.254",
        "neighbour": "stale",
    }


def test_P18_options_of_the_task_are_the_defaults_of_the_list() -> None:
    one, two = waits_from_params(
        {
            "runtime": "netns",
            "until": "reachable",
            "target": "10.1.0.9",
            "timeout": 3,
            "waits": [{"container": "a"}, {"container": "b", "until": "up", "interface": "ib0"}],
        }
    )
    assert (one.container, one.until, one.target, one.interface) == ("a", "reachable", "10.1.0.9", "eth1")
    assert (two.runtime, two.until, two.target, two.interface) == ("netns", "up", None, "ib0")
    assert waits_from_params({})[0].runtime == "host"
    assert waits_from_params({"runtime": "docker"})[0].runtime == "host"
    assert waits_from_params({"container": "a"})[0].runtime == "auto"


@pytest.mark.parametrize(
    ("params", "words"),
    [
        ({"until": "reachable"}, "target: 'until: reachable' needs the address"),
        ({"target": "10.1.0.9"}, "target: 10.1.0.9 has no meaning with 'until: up'"),
        ({"until": "reachable", "target": "web1"}, "target: 'web1' is not an IP address"),
        ({"interface": "a/b"}, "interface: 'a/b' cannot be the name of an interface"),
        ({"until": "soon"}, "until: 'soon' is not one of"),
        ({"container": "a\nb"}, "control characters"),
        ({"waits": [{}, {"interface": "lo"}]}, r"waits\[1\]: interface: 'lo'"),
    ],
)
def test_P18_what_cannot_be_is_refused(params: dict[str, Any], words: str) -> None:
    with pytest.raises(PipeworkError, match=words):
        waits_from_params(params)


def test_P18_the_time_is_bounded() -> None:
    assert timeout_of({}) == 300
    assert timeout_of({"timeout": 0.5}) == 0.5
    for value in (-1, float("nan"), float("inf")):
        with pytest.raises(PipeworkError, match="timeout: "):
            timeout_of({"timeout": value})


def test_the_host_is_waited_for_without_a_container() -> None:
    found = waits_from_params({"container": "web1", "waits": [{"runtime": "host"}, {"interface": "eth2"}]})
    assert [(each.container, each.runtime) for each in found] == [(None, "host"), ("web1", "auto")]
    for params in ({"runtime": "host", "container": "a"}, {"runtime": "host", "waits": [{"container": "a"}]}):
        with pytest.raises(PipeworkError, match="container: 'a' stands beside 'runtime: host'"):
            waits_from_params(params)
