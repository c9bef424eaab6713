# Copyright: pipework.containers contributors
# GNU General Public License v3.0+ (see LICENSE)
"""The role vxlan_segment over a fleet, with FRR on each host. With a list of hosts, the molecule scenario plays it."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from typing import Any

import pytest

from ansible_collections.pipework.containers.plugins.module_utils._jobs.vxlan import VxlanJob
from tests.conftest import unavailable
from tests.integration.lab import difference, wait_for
from tests.integration.machines import Machine, Machines, Played

pytestmark = pytest.mark.root

FRR = ("/usr/lib/frr/bgpd", "/usr/lib/frr/frr-reload.py")
NAMES = ("h1", "h2", "h3")
ALL = "00:00:00:00:00:00"


@pytest.fixture(scope="module")
def machines() -> Iterator[Machines]:
    if not all(os.path.exists(path) for path in FRR):
        unavailable("needs FRR and its reload: sudo make setup-system installs frr and frr-pythontools")
    found = Machines(3, "a")
    yield found
    found.close()


def play(machines: Machines, *options: str, **variables: Any) -> Played:
    given = {
        "target": "fleet", "vxlan_segment_vni": 100, "vxlan_segment_control_plane": "evpn",
        "vxlan_segment_address_variable": "fleet_address", "vxlan_segment_runtime": "netns",
        "vxlan_segment_frr_packages": [],
        "vxlan_segment_containers": [{"container": "a", "addresses": ["10.1.0.{{ inventory_hostname[1:] }}/24"]}],
    }  # fmt: skip
    return machines.play("pipework.containers.vxlan", *options, **{**given, **variables})


def floods(host: Machine) -> set[str]:
    """To whom a host sends what is for all."""
    shown = json.loads(host.sh("bridge", "-j", "fdb", "show", "dev", "vxlan100"))
    return {entry["dst"] for entry in shown if entry["mac"] == ALL}


def routes(host: Machine) -> set[tuple[int, str]]:
    """Types of EVPN's routes, and who tells them."""
    said = json.loads(host.sh("vtysh", "-c", "show bgp l2vpn evpn route json", check=False) or "{}")
    found = set()
    for entries in said.values():
        for entry in entries.values() if isinstance(entries, dict) else ():
            for path in entry.get("paths", ()) if isinstance(entry, dict) else ():
                for way in path if isinstance(path, list) else [path]:
                    found |= {(way["routeType"], hop["ip"]) for hop in way.get("nexthops", ())}
    return found


def test_B9_evpn_follows_a_list_of_hosts_and_a_host_leaves(machines: Machines) -> None:
    hosts = [machines[name] for name in NAMES]
    addresses = [host.address for host in hosts]
    for host in hosts:
        host.run(job=VxlanJob, vni=100, bridge="brvx100", local=host.address, remotes=addresses)
    hosts[1].sh("sh", "-c", "echo 'ip route 198.51.100.0/24 blackhole' >>/etc/frr/frr.conf; service frr start")
    played = play(machines)
    assert played.counts("unreachable", "failed") == dict.fromkeys(NAMES, (0, 0)), played.output
    everybody = {(kind, address) for kind in (2, 3) for address in addresses}
    for host in hosts:
        wait_for(f"the routes of all on {host.name}", lambda: routes(host) >= everybody, 60)  # noqa: B023
        wait_for("whom to send to", lambda: floods(host) == set(addresses) - {host.address}, 60)  # noqa: B023
        link = host.link("vxlan100") or {}
        port = link["linkinfo"]["info_slave_data"]
        assert not link["linkinfo"]["info_data"]["learning"] and not port["learning"] and port["neigh_suppress"]
    assert hosts[2].ping("a", "10.1.0.1") and hosts[2].ping("a", "10.1.0.2")
    # two reflectors, which the third is a client of; FRR's other work goes on
    told = json.loads(hosts[2].sh("vtysh", "-c", "show bgp l2vpn evpn summary json"))
    assert set(told["peers"]) == set(addresses[:2])
    assert "ip route 198.51.100.0/24 blackhole" in hosts[1].sh("vtysh", "-c", "show running-config")
    # what somebody took away by hand comes back, and nothing else changes
    hosts[2].sh("vtysh", "-c", "configure terminal", "-c", "no router bgp 65000")
    again = play(machines)
    assert again.counts("changed", "failed") == {"h1": (0, 0), "h2": (0, 0), "h3": (2, 0)}, again.output
    wait_for("its routes", lambda: (3, addresses[2]) in routes(hosts[0]), 60)
    gone = play(machines, "--limit", "h3", vxlan_segment_state="absent")
    assert gone.counts("failed") == {"h3": (0,)}, gone.output
    assert hosts[2].links() == ["eth0"] and "router bgp" not in hosts[2].sh("vtysh", "-c", "show running-config")
    for host in hosts[:2]:
        wait_for("that it is forgotten", lambda: floods(host) == set(addresses[:2]) - {host.address}, 60)  # noqa: B023
    assert hosts[0].ping("a", "10.1.0.2")


REFUSED: dict[str, dict[str, Any]] = {
    "have no variable underlay": {"vxlan_segment_address_variable": "underlay"},
    "is not an IP address": {"vxlan_segment_address_variable": "inventory_hostname"},
    "subnets: 10.1.4.0/24 of VNI 200 overlaps 10.1.0.0/16 of VNI 100": {
        "vxlan_segment_subnets": ["10.1.0.0/16"],
        "vxlan_segment_more": [{"vni": 200, "bridge": "brx", "subnets": ["10.1.4.0/24"]}],
    },
    "subnets: 203.0.113.0/25 overlaps 203.0.113.1/24": {"vxlan_segment_subnets": ["203.0.113.0/25"]},
    "vni: 100 is listed twice": {"vxlan_segment_more": [{"vni": 100, "bridge": "brx"}]},
    "mtu: 1500 does not fit": {"vxlan_segment_mtu": 1500},
    "vxlan_segment_control_plane must be one of": {"vxlan_segment_control_plane": "ospf"},
}


def test_B9_what_cannot_be_is_refused_before_anything_is_touched(machines: Machines) -> None:
    host = machines["h1"]
    before = host.snapshot()["host"]["links"]
    names = {"vxlan_segment_group": "fleet", "vxlan_segment_address_variable": "fleet_address"}
    common = {"vxlan_segment_vni": 100, **names}
    tasks = [
        {"vars": {**common, **wrong},
         "block": [{"ansible.builtin.include_role": {"name": "pipework.containers.vxlan_segment"}}],
         "rescue": [{"ansible.builtin.debug": {"var": "ansible_failed_result"}}]}
        for wrong in REFUSED.values()
    ]  # fmt: skip
    played = machines.play([{"hosts": "h1", "gather_facts": False, "tasks": tasks}])
    assert played.counts("changed", "failed", "rescued") == {"h1": (0, 0, len(REFUSED))}, played.output
    said = " ".join(played.output.split())
    for words in REFUSED:
        assert words in said, words
    assert difference(before, host.snapshot()["host"]["links"]) == []
