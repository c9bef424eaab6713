# Copyright: pipework.containers contributors
# GNU General Public License v3.0+ (see LICENSE)
"""What cannot be of bridges, shims, segments and topologies: the whole message, and nothing is touched."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from typing import Any

import pytest
import yaml

from ansible_collections.pipework.containers.plugins.filter.topology import FilterModule
from ansible_collections.pipework.containers.plugins.module_utils._jobs.bridge import BridgeJob
from ansible_collections.pipework.containers.plugins.module_utils._jobs.shim import ShimJob
from ansible_collections.pipework.containers.plugins.module_utils._jobs.vxlan import VxlanJob
from tests.integration.lab import Host, refusal

pytestmark = pytest.mark.root
topology = FilterModule().filters()["topology"]


@pytest.fixture(scope="module")
def host() -> Iterator[Host]:
    found = Host("a")
    found.batch("""
        link add nic0 type veth peer name far0
        link set nic0 up
        address add 203.0.113.1/24 dev nic0
        link add bare type veth peer name far1
        link add br9 type bridge
        link add taken type veth peer name far2
        link set taken master br9
    """)
    found.run(job=VxlanJob, vni=7, bridge="brx", local="203.0.113.1", remotes=[])
    yield found
    found.close()


LOCAL = {"local": "203.0.113.1", "remotes": []}
ON_THE_HOST: list[tuple[Any, dict[str, Any], str]] = [
    (
        VxlanJob,
        {**LOCAL, "segments": [
            {"vni": 7, "bridge": "brx", "subnets": ["10.1.0.0/16"]},
            {"vni": 8, "bridge": "bry", "subnets": ["10.1.4.0/24"]},
        ]},
        "segments[1]: subnets: 10.1.4.0/24 of VNI 8 overlaps 10.1.0.0/16 of VNI 7 (also in segments[0]).",
    ),
    (
        VxlanJob,
        {**LOCAL, "segments": [{"vni": 7, "bridge": "brx"}, {"vni": 7, "bridge": "bry"}]},
        "segments[1]: vni: 7 is listed twice (also in segments[0]); each needs its own.",
    ),
    (
        VxlanJob,
        {**LOCAL, "vni": 7, "name": "again", "bridge": "bry"},
        "vni: 7 is that of vxlan7 on this host already; each needs its own.",
    ),
    (
        VxlanJob,
        {**LOCAL, "vni": 8, "bridge": "bry", "mtu": 1500},
        "mtu: 1500 does not fit: nic0 has an MTU of 1500, of which VXLAN over IPv4 takes 50; 1450 at most would be "
        "right.",
    ),
    (
        BridgeJob,
        {"name": "br1", "kind": "linux", "ports": ["taken"]},
        "ports: taken is a port of br9 already; take it out there first.",
    ),
    (
        ShimJob,
        {"parent": "nic0", "name": "br9"},
        "name: br9 exists on the host, and it is somebody else's bridge; choose another name.",
    ),
    (
        ShimJob,
        {"parent": "bare"},
        "addresses: bare has none that could move to barem; for a shim with an address of its own say which, such as "
        "192.168.1.250/32.",
    ),
]  # fmt: skip
IN_THE_STRUCTURE = [
    (
        "segments: [{name: a, vni: 5, subnets: 10.1.0.0/16}, {name: b, vni: 6, subnets: [10.2.0.0/24, 10.1.4.0/24]}]",
        "segments[1].subnets[1]: 10.1.4.0/24 of segment b overlaps 10.1.0.0/16 of segment a (also in "
        "segments[0].subnets[0]).",
    ),
    (
        "segments: [{name: a, vni: 5}, {name: b, vni: 5}]",
        "segments[1].vni: 5 is given twice (also in segments[0]); each segment needs its own.",
    ),
    (
        "attachments: [{container: web1, host_interface: br7}]",
        "attachments[0].host_interface: no bridge 'br7' on h1; did you mean 'br1'? What somebody else makes there "
        "stands in hosts.h1.interfaces.",
    ),
    (
        "attachments: [{container: web7, host_interface: br1}]",
        "attachments[0].container: no container 'web7'; did you mean 'web1'?",
    ),
    ("containers: {web1: {host: h7}}", "containers.web1.host: no host 'h7'; there is h1."),
    ("bridges: [{name: br1, hosts: [h1, h7]}]", "bridges[0].hosts[1]: no host 'h7'; there is h1."),
    ("segments: [{name: a, vni: 5, hosts: [h7]}]", "segments[0].hosts[0]: no host 'h7'; there is h1."),
    ("hosts: {h7: {}}", "hosts.h7: it is not in the inventory; there are h1, h2."),
]


@pytest.mark.parametrize(("job", "params", "words"), ON_THE_HOST)
def test_what_cannot_be_on_the_host(host: Host, job: Any, params: dict[str, Any], words: str) -> None:
    before = host.snapshot()
    said = refusal(functools.partial(host.run, job=job, **params)) or ""
    assert said.removesuffix(" Nothing was changed.") == words
    host.assert_as(before)


@pytest.mark.parametrize(("change", "words"), IN_THE_STRUCTURE)
def test_what_cannot_be_in_the_structure(change: str, words: str) -> None:
    hosts = {"h1": {"address": "203.0.113.1"}}
    there = {"hosts": hosts, "containers": {"web1": {"host": "h1"}}, "bridges": [{"name": "br1"}]}
    assert words in topology({**there, **yaml.safe_load(change)}, "h1", ["h1", "h2"])["errors"]
