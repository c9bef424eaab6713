# Copyright: pipework.containers contributors
# GNU General Public License v3.0+ (see LICENSE)
"""P17: the role macvlan_shim on a host that Ansible reaches by ssh over the very NIC whose addresses move."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest

from tests.integration.lab import wait_for
from tests.integration.machines import Machine, Machines, Played

pytestmark = pytest.mark.root
PLAYBOOK = "pipework.containers.macvlan_shim"


@pytest.fixture(scope="module")
def machines() -> Iterator[Machines]:
    found = Machines(1, "a")
    found["h1"].attach("a", host_interface="eth0", addresses=["203.0.113.77/24"])
    yield found
    found.close()


def play(machines: Machines, *options: str, **variables: Any) -> Played:
    named = {"parent": "eth0", **variables}
    names = {name if name.startswith("ansible_") else f"macvlan_shim_{name}": value for name, value in named.items()}
    return machines.play(PLAYBOOK, *options, target="all", **names)


def moved(host: Machine) -> bool:
    return host.links() == ["eth0", "eth0m"] and host.addresses("eth0") == [] and len(host.addresses("eth0m")) == 2


def watchdogs(host: Machine) -> str:
    return host.sh("find", "/run/pipework/timers", "-name", "*.json", check=False)


def test_P17_the_play_comes_back_over_the_new_path_and_confirms(machines: Machines) -> None:
    host = machines["h1"]
    assert not host.ping("a", host.address, seconds=0)
    local = play(machines, ansible_connection="local", parent="none0", confirm_timeout=60)  # the machine has none
    assert "the connection 'local' does not come over the network" in " ".join(local.output.split())
    there = play(machines, "--check")
    assert there.counts("changed", "failed") == {"h1": (1, 0)} and not moved(host), there.output
    there = play(machines, "-v")
    assert there.counts("changed", "failed", "unreachable") == {"h1": (1, 0, 0)}, there.output
    assert '"pending": false' in there.output and '"ends_in": null' in there.output, there.output
    assert not re.search(r'"ends_in": [0-9]', there.output)
    assert moved(host) and watchdogs(host) == ""
    assert host.ping("a", host.address) and host.ping(None, "203.0.113.77")
    back = play(machines, state="absent")
    assert back.counts("changed", "failed", "unreachable") == {"h1": (1, 0, 0)}, back.output
    assert host.links() == ["eth0"] and len(host.addresses("eth0")) == 2 and watchdogs(host) == ""


def test_P17_what_cuts_the_path_is_taken_back_by_the_host(machines: Machines) -> None:
    """The switch lets a single MAC address through its port, as many do."""
    host, underlay = machines["h1"], machines.underlay
    before = host.snapshot()
    mac = host.link("eth0")["address"]  # type: ignore[index]
    underlay.sh("ip", "link", "set", "u-h1", "type", "bridge_slave", "fdb_flush")
    underlay.sh("bridge", "fdb", "replace", mac, "dev", "u-h1", "master", "static")
    underlay.sh("bridge", "link", "set", "dev", "u-h1", "learning", "off", "locked", "on")
    try:
        assert underlay.ping(None, host.address)
        cut = play(machines, confirm_timeout=5)
        assert cut.counts("failed", "unreachable") == {"h1": (1, 0)}, cut.output
        assert "was not reached over the new path in time" in " ".join(cut.output.split())
        wait_for("the watchdog", lambda: watchdogs(host) == "", 30)
        host.assert_as(before)
        assert underlay.ping(None, host.address) and underlay.ping(None, host.address6)
    finally:
        underlay.sh("bridge", "link", "set", "dev", "u-h1", "learning", "on", "locked", "off")


def test_B2_a_nic_that_ssh_comes_through_is_refused_and_by_force_comes_home(machines: Machines) -> None:
    """pipework_attach, kind phys: nobody can confirm what cut the path, so the host takes it back by itself."""
    host, underlay = machines["h1"], machines.underlay
    host.attach("a", state="absent")
    before = host.snapshot()
    task = {"container": "a", "runtime": "netns", "host_interface": "eth0", "kind": "phys", "interface": "eth7"}

    def attach(**more: Any) -> Played:
        action = {"pipework.containers.pipework_attach": {**task, **more}}
        return machines.play([{"hosts": "all", "gather_facts": False, "tasks": [action]}])

    refused = attach()
    assert "carries the SSH session from" in " ".join(refused.output.split()), refused.output
    host.assert_as(before)
    cut = attach(force=True, confirm_timeout=4)
    assert cut.counts("failed", "unreachable") == {"h1": (1, 0)}, cut.output
    assert "was not reached over the new path in time" in " ".join(cut.output.split())
    wait_for("the watchdog", lambda: watchdogs(host) == "", 30)
    host.assert_as(before)
    assert underlay.ping(None, host.address)
