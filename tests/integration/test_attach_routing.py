# Copyright: pipework.containers contributors
# GNU General Public License v3.0+ (see LICENSE)
"""A routing table of an interface's own: two networks with two gateways, each answered through its own."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from ansible_collections.pipework.containers.plugins.module_utils._core.errors import PipeworkError
from tests.integration.lab import Host, Killed, Params, failing_at, killed_at

pytestmark = pytest.mark.root

OUTSIDE = ("10.99.0.1", "fd99::1")


def nic(number: int, **more: Any) -> Params:
    return {
        "container": "a",
        "host_interface": f"br{number}",
        "interface": f"eth{number}",
        "addresses": [f"10.{number}.0.1/24", f"fd0{number}::1/64"],
        "gateway": [f"10.{number}.0.254", f"fd0{number}::fe"],
        "table": str(100 + number),
        "mac_address": f"06:00:00:00:00:0{number}",
        **more,
    }


@pytest.fixture
def host() -> Iterator[Host]:
    found = Host("a", "r1", "r2")
    yield found
    found.close()


def attach(host: Host, *items: Params, **more: Any) -> dict[str, Any]:
    """A check run, the run, and a second one, which must agree."""
    params = {"runtime": "netns", "attachments": list(items), **more}
    planned = host.run(check=True, **params)
    done = host.run(**params)
    assert planned["operations"] == done["operations"]
    again = host.run(**params)
    assert not again["changed"], again["operations"]
    return done


def rules(host: Host, ns: str = "a") -> list[str]:
    shown = [host.sh("ip", f"-{version}", "rule", "show", ns=ns).splitlines() for version in (4, 6)]
    return [" ".join(line.split()) for lines in shown for line in lines if "proto" in line]


def table(host: Host, number: int, ns: str = "a") -> list[str]:
    """The routes of a table, which may not be there."""
    words = ("route", "show", "table", str(number))
    shown = [host.sh("ip", f"-{version}", *words, ns=ns, check=False).splitlines() for version in (4, 6)]
    return [" ".join(line.partition(" pref ")[0].split()) for lines in shown for line in lines]


def routers(host: Host) -> None:
    """Behind each gateway is the same address of the outside."""
    for number in (1, 2):
        host.run(
            container=f"r{number}",
            runtime="netns",
            host_interface=f"br{number}",
            addresses=[f"10.{number}.0.254/24", f"fd0{number}::fe/64"],
        )
        host.batch("".join(f"address add {each} dev lo\n" for each in OUTSIDE), ns=f"r{number}")


def answers(host: Host, number: int, seconds: int) -> list[bool]:
    """Whether the container answers what comes in by a network of its from the outside, for each family."""
    return [
        host.ok("ping", "-c", "1", "-w", str(seconds), "-q", "-I", source, address, ns=f"r{number}")
        for source, address in zip(OUTSIDE, (f"10.{number}.0.1", f"fd0{number}::1"))
    ]


def test_B12_each_network_is_answered_through_its_own_gateway(host: Host) -> None:
    before = host.snapshot()["a"]
    one, two = nic(1), nic(2)
    attach(host, {**one, "table": None}, {**two, "gateway": None, "table": None})
    routers(host)
    assert answers(host, 1, 10) == [True, True]
    assert answers(host, 2, 1) == [False, False]  # the answer goes to the other gateway

    done = attach(host, one, two)
    assert answers(host, 1, 10) == answers(host, 2, 10) == [True, True]
    assert done["attachments"][1]["gateway"] == ["10.2.0.254", "fd02::fe"]
    assert table(host, 102) == [
        "default via 10.2.0.254 dev eth2 proto 112",
        "10.2.0.0/24 dev eth2 proto 112 scope link src 10.2.0.1",
        "fd02::/64 dev eth2 proto 112 metric 1024",
        "default via fd02::fe dev eth2 proto 112 metric 1024",
    ]
    assert sorted(line.partition(": ")[2] for line in rules(host)) == [
        "from 10.1.0.1 lookup 101 proto 112",
        "from 10.2.0.1 lookup 102 proto 112",
        "from fd01::1 lookup 101 proto 112",
        "from fd02::1 lookup 102 proto 112",
    ]
    assert not host.sh("ip", "route", "show", "default", ns="a")

    # Another address, another gateway out of the network, another table: all of it follows.
    changed = nic(2, addresses=["10.2.0.2/24"], gateway=["10.77.0.1"], table="202")
    attach(host, one, changed)
    assert table(host, 102) == []
    assert sorted(table(host, 202)) == [
        "10.2.0.0/24 dev eth2 proto 112 scope link src 10.2.0.2",
        "10.77.0.1 dev eth2 proto 112 scope link",
        "default via 10.77.0.1 dev eth2 proto 112",
    ]
    assert [line.partition(": ")[2] for line in rules(host) if "eth2" in line or "202" in line] == [
        "from 10.2.0.2 lookup 202 proto 112"
    ]
    # Back to the main table.
    attach(host, one, nic(2, table=None))
    assert table(host, 202) == []
    assert len(rules(host)) == 2
    assert "via 10.2.0.254 dev eth2" in host.sh("ip", "route", "show", "default", ns="a")

    attach(host, *({"container": "a", "interface": f"eth{n}", "state": "absent"} for n in (1, 2)))
    assert host.snapshot()["a"] == before


def test_B12_listed_routes_and_rules_of_an_interface(host: Host) -> None:
    before = host.snapshot()["a"]
    routes = [
        {"to": "10.50.0.0/16", "via": "10.1.0.9"},
        {"to": "10.51.0.0/16", "via": "10.1.0.9", "table": "main", "metric": 7},
        {"to": "10.52.0.0/16", "type": "blackhole"},
    ]
    exceptions = [{"to": "10.60.0.0/16", "iif": "eth1", "table": "main"}, {"fwmark": "5/7", "priority": 77}]
    done = attach(host, nic(1, routes=routes, rules=exceptions))
    shown = table(host, 101)
    assert "10.50.0.0/16 via 10.1.0.9 dev eth1 proto 113" in shown
    assert "blackhole 10.52.0.0/16 proto 113" in shown
    assert "10.51.0.0/16 via 10.1.0.9 dev eth1 proto 113 metric 7" in host.sh("ip", "route", "show", ns="a")
    assert rules(host)[:3] == [
        "77: from all fwmark 0x5/0x7 lookup 101 proto 113",
        "32764: from all to 10.60.0.0/16 iif eth1 lookup main proto 113",
        "32765: from 10.1.0.1 lookup 101 proto 112",
    ]
    assert {each["kind"] for each in done["operations"]} >= {"route", "rule"}

    assert not attach(host, nic(1))["changed"]  # what is not said is left as it is
    attach(host, nic(1, routes=routes[:1], rules=[]))
    assert [line for line in table(host, 101) if "113" in line] == ["10.50.0.0/16 via 10.1.0.9 dev eth1 proto 113"]
    assert not any("113" in line for line in rules(host))
    attach(host, nic(1, routes=routes, rules=exceptions))
    host.batch("route add 10.55.0.0/16 dev eth1 table 300\nrule add from 10.8.0.1 table 300", ns="a")
    attach(host, purge=True)
    assert rules(host) == []
    host.batch("rule del from 10.8.0.1 table 300", ns="a")
    assert host.snapshot()["a"] == before


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"table": "main"}, "table: main is everybody's"),
        ({"table": "nowhere"}, "table: 'nowhere' is not the name of a routing table"),
        ({"routes": [{"to": "10.50.0.0/16", "via": "10.9.0.1"}]}, r"routes\[0\]: gateway: 10.9.0.1 is not on a netw"),
        ({"routes": [{"to": "10.50.0.0/16", "dev": "eth7"}]}, r"routes\[0\]: device: eth7 is another interface"),
        ({"routes": [{"gw": "10.1.0.9"}]}, r"routes\[0\]: 'gw' is not one of the options"),
        ({"routes": [{"to": "default", "via": "10.1.0.9"}]}, r"routes\[0\]: destination: default .* is made already"),
        ({"table": None, "routes": [{"to": "10.5.0.0/16", "type": "throw"}]}, r"routes\[0\]: type: a route that lead"),
        ({"rules": [{"fwmark": 1, "table": 55}]}, r"rules\[0\]: table: a rule of eth1 leads to its table \(101\)"),
        ({"table": None, "rules": [{"priority": 5}]}, r"rules\[0\]: table: a rule of eth1 leads to its own table, if"),
        ({"routes": [{"to": "10.50.0.0/16", "via": "10.1.0.255"}]}, r"routes\[0\]: gateway: 10.1.0.255 is the broad"),
        ({"routes": [{"to": "10.50.0.0/16", "via": "10.1.0.1"}]}, r"routes\[0\]: gateway: 10.1.0.1 is the interface's"),
        ({"rules": ["all"]}, r"rules\[0\]: 'all' is not a dictionary"),
    ],
)
def test_B12_bad_input_is_refused_before_anything_is_touched(host: Host, options: Params, words: str) -> None:
    before = host.snapshot()
    with pytest.raises(PipeworkError, match=rf"^attachments\[0\]: {words}"):
        attach(host, nic(1, **options))
    host.assert_as(before)


def test_B12_a_table_belongs_to_one_interface(host: Host) -> None:
    attach(host, nic(1))
    with pytest.raises(PipeworkError, match=r"table: 101 is the routing table of eth1 in netns:a"):
        attach(host, nic(2, table="101"))
    with pytest.raises(PipeworkError, match=r"gateway: .* gets a default gateway|table: 103"):
        attach(host, nic(2, table="103"), nic(3, table="103"))


def test_B12_B4_a_failure_or_a_kill_at_every_operation(host: Host) -> None:
    earlier = nic(1, routes=[{"to": "10.50.0.0/16", "via": "10.1.0.9"}], rules=[{"fwmark": 5}])
    later = nic(
        1,
        addresses=["10.1.0.2/24", "fd01::1/64"],
        table="201",
        routes=[{"to": "10.51.0.0/16", "via": "10.1.0.9"}],
        rules=[{"fwmark": 6}],
    )
    attach(host, earlier)
    before = host.snapshot()
    for last in (later, {**later, "state": "absent"}):
        params: Params = {"runtime": "netns", "attachments": [last]}
        number = len(host.run(check=True, **params)["operations"])
        for place in range(number):
            with pytest.raises(PipeworkError, match=r"everything is as it was|Nothing was changed"):
                host.run(step=failing_at(place), **params)
            host.assert_as(before, f"failed at {place}")
    params = {"runtime": "netns", "attachments": [later]}
    host.run(**params)
    wanted = (table(host, 201), [line.partition(":")[2] for line in rules(host)])
    number = len(host.run(check=True, runtime="netns", attachments=[earlier])["operations"])
    for place in range(0, number, 3):
        host.run(runtime="netns", attachments=[earlier])
        with pytest.raises(Killed):
            host.run(step=killed_at(place), **params)
        host.run(**params)
        assert (table(host, 201), [line.partition(":")[2] for line in rules(host)]) == wanted, f"killed at {place}"
        assert table(host, 101) == []
