# Copyright: pipework.containers contributors
# GNU General Public License v3.0+ (see LICENSE)
"""The playbook apply on a fleet: batches of hosts, some of them only, hosts that fail or are away, what is not listed
any more; and what its summary says of each."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.integration.machines import Machines, Played
from tests.integration.test_topology import play, said_by

pytestmark = pytest.mark.root
NAMES = ("h1", "h2", "h3")
LIMIT = {"rate": "1mbit", "burst": "32kb", "latency": "50ms"}


def on(name: str) -> dict[str, Any]:
    """What a host has."""
    a, b = f"a{name}", f"b{name}"
    return {
        "containers": {a: {"host": name, "name": "a"}, b: {"host": name, "name": "b"}},
        "attachments": [
            {"container": a, "host_interface": "br1", "addresses": ["10.1.0.1/24"], "mtu": 1500},
            {"container": b, "host_interface": "br1", "addresses": ["10.1.0.2/24"], "mtu": 1500},
        ],
        "routes": [{"container": a, "destination": "10.9.0.0/16", "gateway": "10.1.0.2", "table": 9}],
        "rules": [{"container": a, "source": "10.1.0.1", "table": 9, "priority": 900}],
        "impairments": [{"container": b, "tbf": LIMIT}],
    }


PARTS = [on(name) for name in NAMES]
FLEET: dict[str, Any] = {
    "runtime": "netns", "hosts": dict.fromkeys(NAMES), "bridges": [{"name": "br1"}],
    "containers": {name: each for part in PARTS for name, each in part["containers"].items()},
    **{key: [each for part in PARTS for each in part[key]] for key in PARTS[0] if key != "containers"},
}  # fmt: skip
EMPTIED = {**FLEET, "routes": [], "rules": [], "impairments": []}
NEW = "address +2, link +3, port +2, qdisc +1, route +1, rule +1"
GONE = "qdisc -1, route -1, rule -1"


@pytest.fixture
def fleet() -> Iterator[Machines]:
    found = Machines(3, "a", "b")
    yield found
    found.close()


def inside(fleet: Machines, name: str) -> str:
    """The routes, rules and limits in the containers of a host."""
    host = fleet[name]
    return "".join([
        host.sh("ip", "route", "show", "table", "9", ns="a", check=False), host.sh("ip", "rule", ns="a"),
        host.sh("tc", "qdisc", "show", "dev", "eth1", ns="b"),
    ])  # fmt: skip


def last(played: Played) -> list[str]:
    return [line for line in said_by(played) if ":  " not in line]


def test_D1_batches_of_hosts_and_what_is_not_listed_any_more(fleet: Machines) -> None:
    before = {name: fleet[name].snapshot() for name in NAMES}
    some = play(fleet, FLEET, "--limit", "h1", "--check", "--diff")
    assert last(some) == ["h1: address +2, link +3, port +2; 3 more on interfaces that are not there yet"], some.output
    fleet["h1"].assert_as(before["h1"])
    some = play(fleet, FLEET, "--limit", "h1")
    assert last(some) == [f"h1: {NEW}"] and some.counts("failed") == {"h1": (0,)}
    fleet["h2"].assert_as(before["h2"])
    # one after the other: three plays of one host, and one line for each all the same
    whole = play(fleet, FLEET, topology_serial=1)
    assert last(whole) == ["h1: as wanted", f"h2: {NEW}", f"h3: {NEW}"], whole.output
    assert all(word in inside(fleet, name) for name in NAMES for word in ("10.9.0.0/16", "lookup 9", "tbf"))
    again = play(fleet, FLEET, "--check", "--diff", topology_serial=2)
    assert last(again) == [f"{name}: as wanted" for name in NAMES]
    assert again.counts("changed") == dict.fromkeys(NAMES, (0,)), again.output
    # nothing is listed in the containers any more
    shown = said_by(play(fleet, EMPTIED, "--check", "--limit", "h1", topology_purge=True))
    assert shown[0] == f"h1: {GONE}" and "h1:   - qdisc netns:b/eth1 root" in shown and "tbf" in inside(fleet, "h1")
    assert last(play(fleet, EMPTIED, "--limit", "h1", topology_purge=True)) == [f"h1: {GONE}"]
    assert not any(word in inside(fleet, "h1") for word in ("10.9.0.0/16", "lookup 9", "tbf"))
    assert last(play(fleet, EMPTIED, "--limit", "h1", topology_purge=True)) == ["h1: as wanted"]
    # all of it goes, also what the structure does not list any more
    said_by(play(fleet, EMPTIED, topology_state="absent", topology_purge=True, topology_serial=2))
    for name in NAMES:
        fleet[name].assert_as(before[name], name)


def test_D1_a_batch_with_a_host_that_fails_and_one_that_is_away(fleet: Machines) -> None:
    fleet["h2"].end_guest("b")
    # a batch of which no host comes through ends the play, and the hosts after it are not touched
    before = fleet["h3"].snapshot()
    alone = play(fleet, FLEET, topology_serial=1)
    assert alone.status == 2 and set(alone.hosts) == {"h1", "h2"}, alone.output
    assert alone.counts("failed") == {"h1": (0,), "h2": (1,)}
    assert "attachments[1]: " in alone.output and "'b'" in alone.output
    assert fleet["h2"].links("a") == [], "of two attachments, not one"
    fleet["h3"].assert_as(before)
    # the others of its batch go on, and those after it
    pair = play(fleet, FLEET, topology_serial=2)
    assert said_by(pair, 2) == ["h1: as wanted", "h2: not to the end: failed or unreachable", f"h3: {NEW}"], pair.output
    fleet.stop("h2")
    away = play(fleet, FLEET, topology_serial=2)
    assert said_by(away, 4) == ["h1: as wanted", "h2: not to the end: failed or unreachable", "h3: as wanted"]
    assert away.counts("failed", "unreachable") == {"h1": (0, 0), "h2": (0, 1), "h3": (0, 0)}, away.output
    fleet.begin("h2")
    assert last(play(fleet, FLEET)) == ["h1: as wanted", f"h2: {NEW}", "h3: as wanted"]
