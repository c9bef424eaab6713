# Copyright: pipework.containers contributors
# GNU General Public License v3.0+ (see LICENSE)
"""Playbooks over several hosts, by ssh: hosts that cannot be reached or fail, some of them only, one after another."""

from __future__ import annotations

import typing as t
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.machines import Machines, Played

ADDRESSES = {"a": "198.51.100.1/24", "b": "198.51.100.2/24"}
NOTHING: dict[str, list[str]] = {"a": [], "b": []}
BRIDGE = {"pipework.containers.pipework_bridge": {"name": "br1", "addresses": ["198.51.100.254/24"]}}
ATTACH = {
    "pipework.containers.pipework_attach": {
        "runtime": "netns",
        "host_interface": "br1",
        "kind": "bridge",
        "mtu": 1500,
        "attachments": [{"container": name, "addresses": [address]} for name, address in ADDRESSES.items()],
    }
}
ROUTE = {
    "pipework.containers.pipework_route": {
        "container": "a",
        "runtime": "netns",
        "destination": "192.0.2.0/24",
        "gateway": "198.51.100.2",
    }
}


def plays(**more: t.Any) -> list[dict[str, t.Any]]:
    return [{"hosts": "fleet", "gather_facts": False, "tasks": [BRIDGE, ATTACH], **more}]


@pytest.fixture(scope="module")
def fleet() -> Iterator[Machines]:
    found = Machines(3, "a", "b")
    yield found
    found.close()


@pytest.fixture
def machines(fleet: Machines) -> Iterator[Machines]:
    """Three hosts with nothing on them but the empty containers a and b."""
    yield fleet
    for host in fleet.hosts.values():
        host.add_guests(*{"a", "b"}.difference(host.guests))
        host.run(host_interface="br1", purge=True, attachments=[])
        if "br1" in host.links():
            host.batch("link del br1\n")


def built(machines: Machines) -> dict[str, dict[str, list[str]]]:
    """The addresses of eth1 in each container of each host."""
    return {
        name: {c: host.addresses("eth1", c) if "eth1" in host.links(c) else [] for c in host.guests}
        for name, host in machines.hosts.items()
    }


WHOLE = {name: [address] for name, address in ADDRESSES.items()}


def test_D1_some_hosts_then_all_then_nothing_to_do(machines: Machines) -> None:
    before = machines["h2"].snapshot()
    some = machines.play(plays(), "--limit", "h1:h3")
    assert some.counts("ok", "changed") == {"h1": (2, 2), "h3": (2, 2)}, some.output
    assert built(machines) == {"h1": WHOLE, "h2": NOTHING, "h3": WHOLE}
    machines["h2"].assert_as(before)
    rest = machines.play(plays())
    assert rest.counts("ok", "changed") == {"h1": (2, 0), "h2": (2, 2), "h3": (2, 0)}, rest.output
    assert built(machines) == dict.fromkeys(machines.hosts, WHOLE)
    for host in machines.hosts.values():
        assert host.ping("a", "198.51.100.2") and host.ping(None, "198.51.100.1")
    assert "br1" not in machines.underlay.links()
    again = machines.play(plays())
    assert again.counts("ok", "changed") == dict.fromkeys(machines.hosts, (2, 0)), again.output


def operations(played: Played, task: int = 1) -> dict[str, t.Any]:
    return {host: result.get("operations") for host, result in played.tasks[task].items()}


def test_D1_a_check_run_says_for_each_host_what_the_real_one_does(machines: Machines) -> None:
    machines["h2"].attach("a", addresses=["198.51.100.9/24"], kind="bridge", mtu=1500)  # is changed, elsewhere made
    machines["h3"].run(host_interface="br1", kind="bridge", mtu=1500, attachments=[
        {"container": name, "runtime": "netns", "addresses": [address]} for name, address in ADDRESSES.items()
    ])  # fmt: skip
    before = {name: host.snapshot() for name, host in machines.hosts.items()}
    check = machines.play(plays(), "--check", "--diff")
    for name, host in machines.hosts.items():
        host.assert_as(before[name], name)
    real = machines.play(plays(), "--diff")
    expected = {"h1": (2, 2), "h2": (2, 2), "h3": (2, 1)}
    assert check.counts("ok", "changed") == real.counts("ok", "changed") == expected, check.output
    assert operations(check, 0) == operations(real, 0)
    there = operations(real)
    # On a new host the check run does not find the bridge that the task before would have made, and makes it too.
    assert {n: operations(check)[n] for n in ("h2", "h3")} == {n: there[n] for n in ("h2", "h3")}
    assert there["h3"] == [] and {o["action"] for o in there["h2"]} >= {"create", "delete"}
    assert built(machines) == dict.fromkeys(machines.hosts, WHOLE)


def test_D1_a_host_that_fails_in_the_middle(machines: Machines) -> None:
    machines["h2"].end_guest("b")
    before = machines["h3"].snapshot()
    tasks = [BRIDGE, ATTACH, ROUTE]
    numbers = ("ok", "changed", "failed")
    serial = machines.play(plays(tasks=tasks, serial=1))  # no further than the first that fails
    assert serial.status == 2
    assert serial.counts(*numbers) == {"h1": (3, 3, 0), "h2": (1, 1, 1)}, serial.output
    assert "'b'" in serial.tasks[-1]["h2"]["msg"], serial.output
    assert built(machines) == {"h1": WHOLE, "h2": {"a": []}, "h3": NOTHING}  # of two attachments, not one
    machines["h3"].assert_as(before)

    alone = machines.play(plays(tasks=tasks))  # the others go on
    assert alone.status == 2
    assert alone.counts(*numbers) == {"h1": (3, 0, 0), "h2": (1, 0, 1), "h3": (3, 3, 0)}, alone.output
    assert "192.0.2.0/24 via 198.51.100.2" in " ".join(machines["h3"].routes("a", "route", "show"))

    machines["h2"].add_guests("b")
    again = machines.play(plays(tasks=tasks))
    assert again.counts(*numbers) == {"h1": (3, 0, 0), "h2": (3, 2, 0), "h3": (3, 0, 0)}, again.output
    assert built(machines) == dict.fromkeys(machines.hosts, WHOLE)


def test_D1_a_host_that_cannot_be_reached_is_done_when_it_is_back(machines: Machines) -> None:
    machines["h2"].sh("touch", "/etc/fleet-was-here")
    machines.stop("h2")
    without = machines.play(plays())
    assert without.status == 4
    numbers = without.counts("ok", "changed", "unreachable")
    assert numbers == {"h1": (2, 2, 0), "h2": (0, 0, 1), "h3": (2, 2, 0)}, without.output
    assert built(machines) == {"h1": WHOLE, "h3": WHOLE}
    host = machines.begin("h2")
    assert host.links() == ["eth0"] and not host.ok("test", "-e", "/etc/fleet-was-here")
    back = machines.play(plays())
    assert back.counts("ok", "changed") == {"h1": (2, 0), "h2": (2, 2), "h3": (2, 0)}, back.output
    assert built(machines) == dict.fromkeys(machines.hosts, WHOLE)


def test_a_topology_file_that_cannot_be_read_is_named(machines: Machines, tmp_path: Path) -> None:
    broken = tmp_path / "broken.yml"
    broken.write_text("a: [b\n", encoding="utf-8")
    for path in (tmp_path / "missing.yml", broken):
        played = machines.play("pipework.containers.apply", target="fleet", topology_file=str(path))
        assert played.counts("failed") == dict.fromkeys(machines.hosts, (1,)), played.output
        said = [str(result.get("msg")) for task in played.tasks for result in task.values() if result.get("failed")]
        words = f"topology_file: {path} cannot be read, or is not YAML; "
        assert said and said[-1].startswith(words) and "\n" not in said[-1], said
    assert built(machines) == dict.fromkeys(machines.hosts, NOTHING)
