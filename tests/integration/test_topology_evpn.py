# Copyright: pipework.containers contributors
# GNU General Public License v3.0+ (see LICENSE)
"""Segments of a topology that FRR tells of, beside those that each host has a list for: the documentation's example."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.conftest import unavailable
from tests.integration.lab import wait_for
from tests.integration.machines import Machine, Machines
from tests.integration.test_topology import play, said_by
from tests.integration.test_vxlan_segment import ALL, FRR, floods

pytestmark = pytest.mark.root

PAGE = (Path(__file__).resolve().parents[2] / "docs/topology.md").read_text(encoding="utf-8")
EXAMPLE = next(text for text in re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL) if text.startswith("name: spoken"))
SPOKEN: dict[str, Any] = yaml.safe_load(EXAMPLE)
CONF = "/etc/frr/frr.conf"


@pytest.fixture
def machines() -> Iterator[Machines]:
    if not all(os.path.exists(path) for path in FRR):
        unavailable("needs FRR and its reload: sudo make setup-system installs frr and frr-pythontools")
    found = Machines(3, "a", "b")
    yield found
    found.close()


def static(host: Machine) -> set[str]:
    """To whom the segment sends what is for all that is listed on each host."""
    shown = host.sh("bridge", "fdb", "show", "dev", "vxlan200").splitlines()
    return {line.split(" dst ")[1].split()[0] for line in shown if line.startswith(ALL)}


def test_B9_frr_tells_of_some_segments_and_not_of_others(machines: Machines) -> None:
    hosts = [machines[name] for name in ("h1", "h2", "h3")]
    frr = hosts[0].sh("cat", CONF)
    given: dict[str, Any] = {"topology_frr_packages": []}
    would = said_by(play(machines, SPOKEN, "--check", **given))
    assert all("frr ~1" in line for line in would if ":  " not in line), would
    done = said_by(play(machines, SPOKEN, **given))
    assert [line for line in would if ":  " not in line] == done
    addresses = {host.address for host in hosts}
    for host in hosts:
        others = addresses - {host.address}
        wait_for(f"whom {host.name} sends to", lambda: floods(host) == others, 60)  # noqa: B023
    for far in ("10.1.0.2", "10.1.0.3"):
        assert hosts[0].ping("a", far)
    assert hosts[0].ping("b", "10.2.0.2") and static(hosts[0]) == {hosts[1].address}
    again = play(machines, SPOKEN, **given)
    assert said_by(again) == ["h1: as wanted", "h2: as wanted", "h3: as wanted"], again.output
    assert again.counts("changed") == dict.fromkeys(("h1", "h2", "h3"), (0,)), again.output
    # without a daemon on the other host, what is listed on each is there all the same
    hosts[1].sh("service", "frr", "stop")
    wait_for("that it is forgotten", lambda: hosts[1].address not in floods(hosts[0]), 60)
    assert static(hosts[0]) == {hosts[1].address} and hosts[0].ping("b", "10.2.0.2")
    hosts[1].sh("service", "frr", "start")
    wait_for("that it is back", lambda: hosts[1].address in floods(hosts[0]), 60)
    # one turns from the one into the other, on all hosts; what it was is not to be seen any more
    blue, red = SPOKEN["segments"]
    turned = {**SPOKEN, "segments": [{"name": blue["name"], "vni": blue["vni"]}, {**red, "control_plane": "evpn"}]}
    assert len(said_by(play(machines, turned, **given))) == 3
    assert floods(hosts[0]) == addresses - {hosts[0].address}
    wait_for("the other one", lambda: static(hosts[0]) == {hosts[1].address}, 60)
    assert hosts[0].ping("a", "10.1.0.3") and hosts[0].ping("b", "10.2.0.2")
    assert "router bgp" not in hosts[2].sh("vtysh", "-c", "show running-config")
    assert said_by(play(machines, turned, **given)) == ["h1: as wanted", "h2: as wanted", "h3: as wanted"]
    emptied = {**SPOKEN, "segments": [], "attachments": []}
    [purged] = said_by(play(machines, emptied, "--limit", "h1", topology_purge=True, **given))
    assert "frr ~1" in purged and hosts[0].links() == ["eth0"]
    said_by(play(machines, turned, topology_state="absent", **given))
    for host in hosts:
        assert host.links() == ["eth0"]
        assert "router bgp" not in host.sh("vtysh", "-c", "show running-config") and host.sh("cat", CONF) == frr
