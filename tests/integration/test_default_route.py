# Copyright: pipework.containers contributors
# GNU General Public License v3.0+ (see LICENSE)
"""The default route of a container that an engine has given one: it has one owner, and comes back to whoever had it."""

from __future__ import annotations

import json
import os
import re
import subprocess
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, rule, run_state_machine_as_test

from ansible_collections.pipework.containers.plugins.module_utils._core.errors import PipeworkError
from ansible_collections.pipework.containers.plugins.module_utils._jobs.commands import CommandsJob
from ansible_collections.pipework.containers.plugins.module_utils._jobs.route import RouteJob
from tests.integration.lab import Host, Params
from tests.integration.test_dhcp import server

pytestmark = pytest.mark.root

ENGINES = """
link add eth0 type veth peer name far0
link set far0 up
link set eth0 up
address add 172.17.0.2/16 dev eth0
address add fd17::2/64 dev eth0 nodad
route add default via 172.17.0.1 dev eth0
route add default via fd17::1 dev eth0
"""
NICS = "".join(
    f"link add {nic} type veth peer name wire{nic}\nlink set {nic} up\nlink set wire{nic} up\n" for nic in ("n1", "n2")
)
FROM_ENGINE = ["172.17.0.1", "fd17::1"]


def started() -> Host:
    host = Host("a")
    host.batch(ENGINES, ns="a")
    host.batch(NICS)
    return host


@pytest.fixture
def host() -> Iterator[Host]:
    found = started()
    yield found
    found.close()


def nic(number: int, **more: Any) -> Params:
    """An attachment to a network of its own."""
    return {
        "container": "a", "runtime": "netns", "interface": f"eth{number}", "host_interface": f"br{number}",
        "addresses": [f"10.{number}.0.1/24", f"fd0{number}::1/64"], **more,
    }  # fmt: skip


def routed(number: int, **more: Any) -> Params:
    return nic(number, gateway=through(number), **more)


def through(number: int) -> list[str]:
    return [f"10.{number}.0.254", f"fd0{number}::fe"]


def gone(*numbers: int) -> list[Params]:
    return [
        {"container": "a", "runtime": "netns", "interface": f"eth{number}", "state": "absent"} for number in numbers
    ]


def task(host: Host, *items: Params, **more: Any) -> dict[str, Any]:
    """A check run, the run, and a second one: all agree, and what was said to be there is there."""
    return steady(host, {"attachments": list(items)}, **more)


def steady(host: Host, params: Params, **more: Any) -> dict[str, Any]:
    planned = host.run(check=True, **params, **more)
    done = host.run(**params, **more)
    again = host.run(**params, **more)
    assert not again["changed"], again["operations"]
    if "dhcp" not in str(params):  # what comes of a lease is known when it is there
        assert planned["operations"] == done["operations"]
        assert planned["after"] == done["after"]
        assert_true(host, done)
    return done


def assert_true(host: Host, done: dict[str, Any]) -> None:
    """The addresses and default routes that are said to be there are there, and those that are not are not."""
    names = [name for name in {**done["before"], **done["after"]} if name.startswith("address ") or "/default" in name]
    if not names:
        return
    there = {f"default (IPv{route['version']})" + named(route) for route in seen(host)}
    shown = host.ip("address", "show", ns="a")
    there |= {f"{x['ifname']} {each['local']}/{each['prefixlen']}" for x in shown for each in x["addr_info"]}
    for name in names:
        assert (name.partition("/")[2] in there) == (name in done["after"]), (name, there)


def named(route: dict[str, Any]) -> str:
    metric = route.get("metric", 0)
    return (f" metric {metric}" if metric not in (0, 1024) else "") + (
        f" table {route['table']}" if route.get("table", "main") != "main" else ""
    )


def seen(host: Host) -> list[dict[str, Any]]:
    """The default routes of all tables, those of IPv4 first."""

    def look() -> list[dict[str, Any]]:
        words = "route show table all default\n"
        said = [subprocess.run(
            ["ip", version, "-j", "-batch", "-"], input=words, capture_output=True, text=True, check=True
        ).stdout for version in ("-4", "-6")]
        read = [json.loads(text or "[]") for text in said]
        return [{**each, "version": version} for version, routes in zip((4, 6), read) for each in routes]

    return host.call(look, ns="a")


def defaults(host: Host, table: str = "main") -> list[str]:
    """The gateways of the default routes of a table."""
    return [str(each.get("gateway")) for each in seen(host) if each.get("table", "main") == table]


def kept(host: Host) -> list[str]:
    return defaults(host, "28791")


def waiting(host: Host) -> list[str]:
    return defaults(host, "28792")


def warned(result: dict[str, Any], words: str) -> bool:
    return any(words in each for each in result.get("warnings", ()))


def assert_as_the_engine_left_it(host: Host) -> None:
    assert defaults(host) == FROM_ENGINE
    assert (kept(host), waiting(host)) == ([], [])
    words = "route show table all\nrule show\n"
    assert "proto 11" not in "".join(host.sh("ip", v, "-batch", "-", ns="a", text=words) for v in ("-4", "-6"))


def test_P9_one_gives_it_up_and_another_one_gets_it(host: Host) -> None:
    task(host, routed(1))
    task(host, nic(1, gateway=[]), routed(2))
    assert (defaults(host), kept(host), waiting(host)) == (through(2), FROM_ENGINE, [])
    task(host, *gone(2))
    assert_as_the_engine_left_it(host)
    task(host, *gone(1))
    assert_as_the_engine_left_it(host)


def test_P9_two_tasks_with_a_gateway_each_do_not_take_it_from_each_other_for_ever(host: Host) -> None:
    task(host, routed(1))
    assert warned(task(host, routed(2)), "netns:a/eth2 takes over the default route (IPv4) that went through eth1")
    for _again in range(2):
        first, second = task(host, routed(1)), task(host, routed(2))
        assert not first["changed"]
        assert not second["changed"]
        assert warned(first, "goes through eth2, which took it over; it comes back to 10.1.0.254 through eth1")
        assert "warnings" not in second
    assert (defaults(host), kept(host), waiting(host)) == (through(2), FROM_ENGINE, through(1))
    task(host, nic(1, gateway=["10.1.0.253"]))
    assert waiting(host) == ["10.1.0.253"], "another gateway of one that waits; and none of IPv6 any more"
    task(host, *gone(2))
    assert defaults(host) == ["10.1.0.253", "fd17::1"]
    task(host, *gone(1))
    assert_as_the_engine_left_it(host)


def test_P9_whoever_was_displaced_last_comes_back_first(host: Host) -> None:
    for number in (1, 2, 3):
        task(host, routed(number))
    task(host, nic(3, gateway=""))
    assert defaults(host) == through(2)
    task(host, *gone(1))
    assert (defaults(host), waiting(host)) == (through(2), [])
    task(host, *gone(2, 3))
    assert_as_the_engine_left_it(host)


def test_P9_in_one_list_it_is_refused(host: Host) -> None:
    words = "gets a default gateway for IPv4 through eth1 already.*'gateway_metric' or a 'table'"
    with pytest.raises(PipeworkError, match=words):
        task(host, routed(1), routed(2))


def by_route(host: Host, *gateways: str, **more: Any) -> dict[str, Any]:
    """A task of pipework_route about default routes."""
    routes = [{"destination": "default", "gateway": gateway} for gateway in gateways]
    return steady(host, {"container": "a", "runtime": "netns", "routes": routes, **more}, job=RouteJob)


def test_P9_an_engines_default_route_comes_back_when_that_of_pipework_route_goes(host: Host) -> None:
    host.batch("route replace default via 172.17.0.1 dev eth0 src 172.17.0.2 mtu 1400", ns="a")
    before = seen(host)
    assert not by_route(host, "fd17::1")["changed"], "the engine's own, named by a task"
    for gateway in ("172.17.0.9", "172.17.0.8"):
        by_route(host, gateway)
        assert (defaults(host), kept(host)) == ([gateway, "fd17::1"], ["172.17.0.1"])
    by_route(host, "172.17.0.7", state="absent")
    assert (defaults(host), kept(host)) == (["172.17.0.8", "fd17::1"], ["172.17.0.1"]), "another one is meant"
    by_route(host, "172.17.0.8", state="absent")
    assert seen(host) == before
    by_route(host, "fd17::9")
    assert (defaults(host), kept(host)) == (["172.17.0.1", "fd17::9"], ["fd17::1"])
    by_route(host, purge=True)
    assert seen(host) == before


def test_P9_without_a_gateway_absent_means_no_default_route_at_all(host: Host) -> None:
    by_route(host, "172.17.0.9")
    plain = {"container": "a", "runtime": "netns", "destination": "default", "state": "absent"}
    steady(host, plain, job=RouteJob)
    assert (defaults(host), kept(host)) == (FROM_ENGINE[1:], [])


def test_P9_one_of_pipework_route_that_waits_can_go(host: Host) -> None:
    by_route(host, "172.17.0.9")
    task(host, routed(1))
    assert (defaults(host), kept(host)[:2]) == (through(1), ["172.17.0.1", "172.17.0.9"])
    by_route(host, "172.17.0.9", state="absent")
    assert kept(host) == FROM_ENGINE
    task(host, *gone(1))
    assert_as_the_engine_left_it(host)


PLACES: list[Params] = [
    {"host_interface": "n1", "kind": "macvlan"},
    {"host_interface": "n2", "kind": "macvtap"},
    {"host_interface": "n2", "kind": "phys"},
    {"host_interface": "br1"},
    {"host_interface": "n1", "kind": "macvlan"},
]


def test_P9_the_same_gateway_and_another_address_on_another_nic(host: Host) -> None:
    task(host, routed(1))
    for number, place in enumerate(PLACES, 11):
        for gateway in ({"gateway": through(1)}, {}):
            address = number * 2 + len(gateway)
            task(host, nic(1, **place, **gateway, addresses=[f"10.1.0.{address}/24", f"fd01::{address}/64"]))
            assert (defaults(host), kept(host)) == (through(1), FROM_ENGINE), (place, gateway)
    task(host, *gone(1))
    assert_as_the_engine_left_it(host)


def test_P9_a_gateway_that_cannot_be_reached_any_more_is_given_up(host: Host) -> None:
    elsewhere = {"addresses": ["10.9.0.1/24", "fd09::1/64"]}
    for place in ({}, {"host_interface": "br2"}, {"host_interface": "n1", "kind": "macvlan"}):
        task(host, routed(1))
        done = task(host, nic(1, **place, **elsewhere))
        assert warned(done, "10.1.0.254 cannot be reached from its addresses any more (which are 10.9.0.1/24)")
        assert defaults(host) == FROM_ENGINE
        task(host, nic(1, host_interface="br3", addresses=["10.8.0.1/24"]))
        assert_as_the_engine_left_it(host)
        task(host, *gone(1))
    task(host, routed(1), nic(2))
    task(host, routed(2))
    assert warned(task(host, nic(1, addresses=["10.9.0.1/24"])), "goes through eth2 now")
    assert (defaults(host), waiting(host)) == (through(2), [])
    task(host, *gone(1, 2))
    assert_as_the_engine_left_it(host)


def test_P10_a_gateway_outside_the_subnet_moves_along(host: Host) -> None:
    task(host, nic(1, gateway=["10.77.0.1", "fd77::1"]))
    task(host, nic(1, host_interface="n1", kind="macvlan", addresses=["10.1.0.5/24"]))
    assert defaults(host) == ["10.77.0.1", "fd17::1"], "no address of IPv6, and so no gateway"
    task(host, *gone(1))
    assert_as_the_engine_left_it(host)


def test_P9_several_default_routes_by_their_metrics(host: Host) -> None:
    task(host, routed(1, gateway_metric=100), routed(2, gateway_metric=50))
    assert sorted(defaults(host)) == sorted([*through(1), *through(2), *FROM_ENGINE])
    assert (kept(host), waiting(host)) == ([], [])
    with pytest.raises(PipeworkError, match="gateway_metric: netns:a has a default route with metric 100 already"):
        task(host, routed(2, gateway_metric=100))
    assert task(host, routed(1, gateway_metric=101))["attachments"][0]["gateway"] == through(1)
    task(host, routed(1))
    assert (sorted(defaults(host)), kept(host)) == (sorted([*through(1), *through(2)]), FROM_ENGINE)
    task(host, nic(2, gateway=[]))
    task(host, *gone(1))
    assert_as_the_engine_left_it(host)


def test_P9_others_routes_through_an_interface_that_is_made_anew(host: Host) -> None:
    task(host, nic(1))
    said = {"container": "a", "runtime": "netns", "destination": "10.50.0.0/16", "gateway": "10.1.0.9"}
    host.run(job=RouteJob, **said)
    task(host, nic(1, host_interface="n1", kind="macvlan", addresses=["10.1.0.7/24"]))
    assert "10.50.0.0/16 via 10.1.0.9 dev eth1" in host.sh("ip", "route", ns="a")
    done = task(host, nic(1, host_interface="br2", addresses=["10.9.0.7/24"]))
    assert warned(done, "the route to 10.50.0.0/16 via 10.1.0.9 is given up")
    assert "10.50.0.0/16" not in host.sh("ip", "route", ns="a")


# -- leases

def test_P20_a_lease_takes_over_only_when_it_is_asked_to(host: Host) -> None:
    host.run(container="a", runtime="netns", host_interface="br1", interface="eth9", state="absent")
    host.sh("ip", "link", "add", "br1", "type", "bridge")
    host.batch("address add 10.5.0.254/24 dev br1\nlink set br1 up\n")
    asks = {"container": "a", "runtime": "netns", "interface": "eth1", "host_interface": "br1", "dhcp": "builtin"}
    with server(host):
        done = task(host, {**asks, "announce": False})
        assert warned(done, "its router 10.5.0.254 is not used, since the default route of netns:a goes via 172.17.0.1")
        assert defaults(host) == FROM_ENGINE
        done = task(host, {**asks, "gateway": ["dhcp"], "announce": False})
        assert (defaults(host), kept(host)) == (["10.5.0.254", "fd17::1"], ["172.17.0.1"])
        assert done["attachments"][0]["gateway"] == ["10.5.0.254"]
        task(host, routed(2))
        assert (defaults(host), waiting(host)) == (through(2), ["10.5.0.254"])
        task(host, {**asks, "announce": False})
        task(host, {**asks, "gateway": ["dhcp"], "announce": False})
        task(host, *gone(2))
        assert defaults(host) == ["10.5.0.254", "fd17::1"]
        task(host, {**asks, "gateway": ["dhcp"], "gateway_metric": 70, "announce": False})
        assert defaults(host) == ["172.17.0.1", "10.5.0.254", "fd17::1"]
        task(host, *gone(1))
        assert_as_the_engine_left_it(host)
        # from static addresses in another network to a lease
        task(host, routed(1, host_interface="br3"))
        done = task(host, {**asks, "announce": False})
        assert [each.split(".")[1] for each in host.addresses("eth1", "a")] == ["5"]
        assert defaults(host) == FROM_ENGINE
        task(host, *gone(1))
        assert_as_the_engine_left_it(host)


def test_P20_a_gateway_by_dhcp_needs_somebody_who_asks(host: Host) -> None:
    with pytest.raises(PipeworkError, match="gateway: dhcp: without 'dhcp' no lease names a router"):
        task(host, nic(1, gateway=["dhcp"]))
    with pytest.raises(PipeworkError, match=r"10\.1\.0\.254, dhcp: an interface has one gateway"):
        task(host, nic(1, dhcp="builtin", gateway=["dhcp", "10.1.0.254"]))


# -- any order

KINDS: list[Params] = [
    {"host_interface": "br1"}, {"host_interface": "br2"}, {"host_interface": "n1", "kind": "macvlan"},
    {"host_interface": "n2", "kind": "macvlan"}, {"host_interface": "n2", "kind": "macvtap"},
    {"host_interface": "n2", "kind": "phys"},
]  # fmt: skip
ROUTERS = {"right": 254, "other": 253}


class Sequences(RuleBasedStateMachine):
    """Whatever comes after whatever: a check run says what the run does, and what is absent has left nothing."""

    def __init__(self) -> None:
        super().__init__()
        self.leased: set[int] = set()
        self.host = started()
        self.host.batch("link add br1 type bridge\naddress add 10.5.0.254/24 dev br1\nlink set br1 up\n")

    def teardown(self) -> None:
        try:
            self.done(attachments=gone(1, 2))
            assert {"eth1", "eth2"}.isdisjoint(self.host.links("a"))
            assert_as_the_engine_left_it(self.host)
        finally:
            self.host.close()

    def done(self, job: Any = None, **params: Any) -> None:
        """What is refused is refused in a check run too, and nothing has been touched."""
        more = {} if job is None else {"job": job}
        before = seen(self.host)
        try:
            planned = self.host.run(check=True, **params, **more)
        except PipeworkError as error:
            words = re.escape(str(error))
            with pytest.raises(PipeworkError, match=f"^{words}$"):
                self.host.run(**params, **more)
            assert seen(self.host) == before
            return
        done = self.host.run(**params, **more)
        if "dhcp" in str(params):  # what comes of a lease is known when it is there
            said, did = ([(each["action"], each["name"]) for each in x["operations"]] for x in (planned, done))
            assert did[: len(said)] == said
        else:
            assert (planned["operations"], planned["after"]) == (done["operations"], done["after"])
        again = self.host.run(**params, **more)
        assert not again["changed"], again["operations"]
        if "dhcp" not in str(params):
            assert_true(self.host, done)
        self.look()

    def look(self) -> None:
        routes = seen(self.host)
        for version in (4, 6):
            here = [each for each in routes if each["version"] == version]
            assert [each for each in here if each.get("table", "main") == "main"], "no default route is left"
            assert not [each for each in here if each.get("table") == "28791" and each.get("protocol") == "112"]

    def item(self, data: st.DataObject, number: int) -> Params:
        draw, net = data.draw, data.draw(st.sampled_from((1, 2, 3)))
        last = draw(st.sampled_from((1, 2)))
        item: Params = {
            "container": "a", "runtime": "netns", "interface": f"eth{number}", **draw(st.sampled_from(KINDS)),
            "announce": False,
        }  # fmt: skip
        addresses = [f"10.{net}.0.{number}{last}/24", f"fd0{net}::{number}{last}/64"]
        item["addresses"] = draw(st.sampled_from((addresses, addresses, addresses[:1], addresses[1:], None)))
        if number in self.leased:  # else the lease goes along, to where no server is
            item["addresses"] = addresses
        elif item["addresses"] is None or draw(st.integers(0, 5)) == 0:
            item["append"] = True
        router = draw(st.sampled_from(("right", "right", "other", "outside", "one", "none", None)))
        ways = {
            "outside": ["10.77.0.1", "fd77::1"], "one": [f"10.{net}.0.254"], "none": draw(st.sampled_from(([], [""]))),
        }  # fmt: skip
        if router in ROUTERS:
            ways[router] = [f"10.{net}.0.{ROUTERS[router]}", f"fd0{net}::{ROUTERS[router]}"]
        if router is not None:
            item["gateway"] = ways[router]
            if item["gateway"] and item["gateway"] != [""] and draw(st.integers(0, 4)) == 0:
                item.update(draw(st.sampled_from(({"gateway_metric": 90}, {"table": str(100 + number)}))))
        return {name: value for name, value in item.items() if value is not None}

    @rule(data=st.data(), number=st.sampled_from((1, 2)))
    def attach(self, data: st.DataObject, number: int) -> None:
        self.done(attachments=[self.item(data, number)])

    @rule(data=st.data())
    def attach_two(self, data: st.DataObject) -> None:
        self.done(attachments=[self.item(data, 1), self.item(data, 2)])

    @rule(numbers=st.sampled_from(((1,), (2,), (1, 2))))
    def absent(self, numbers: tuple[int, ...]) -> None:
        self.done(attachments=gone(*numbers))
        self.leased -= set(numbers)

    @rule(net=st.sampled_from((1, 2, 3)), interface=st.sampled_from((1, 2)), router=st.sampled_from(("", "@")))
    def classic(self, net: int, interface: int, router: str) -> None:
        way = f"@10.{net}.0.254" if router else ""
        line = f"br{net} -i eth{interface} a 10.{net}.0.{interface}9/24{way}"
        self.done(CommandsJob, runtime="netns", commands=[line])

    @rule(number=st.sampled_from((1, 2)), more=st.sampled_from((
        {}, {"gateway": ["dhcp"]}, {"gateway": ["dhcp"], "gateway_metric": 70}, {"gateway": []},
        {"gateway": ["10.5.0.1"]}, {"addresses": ["10.1.0.77/24"]},
    )))
    def lease(self, number: int, more: Params) -> None:
        item = {"interface": f"eth{number}", "host_interface": "br1", "dhcp": "builtin", "announce": False, **more}
        self.leased.add(number)
        with server(self.host):
            self.done(attachments=[{"container": "a", "runtime": "netns", **item}])

    @rule(net=st.sampled_from((1, 2, 3)), table=st.sampled_from((None, "77")))
    def route(self, net: int, table: str | None) -> None:
        said = {"destination": f"10.5{net}.0.0/16", "gateway": f"10.{net}.0.253", "table": table}
        self.done(RouteJob, container="a", runtime="netns", **{k: v for k, v in said.items() if v})

    @rule()
    def restart(self) -> None:
        self.leased.clear()
        self.host.end_guest("a")
        self.host.add_guests("a")
        self.host.batch(ENGINES, ns="a")


def test_P9_the_default_route_in_any_order() -> None:
    examples = int(os.environ.get("PIPEWORK_SEQUENCES", "4"))
    run_state_machine_as_test(Sequences, settings=settings(
        max_examples=examples, stateful_step_count=8, deadline=None, database=None, print_blob=True,
        phases=[Phase.generate], suppress_health_check=list(HealthCheck),
    ))
