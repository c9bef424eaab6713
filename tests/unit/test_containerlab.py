# Copyright: pipework.containers contributors
# GNU General Public License v3.0+ (see LICENSE)
"""Topology files of containerlab: what of them becomes links, and what is said of the rest."""

from __future__ import annotations

from typing import Any

import pytest
import yaml

from ansible_collections.pipework.containers.plugins.filter.topology import FilterModule

topology = FilterModule().filters()["topology"]

LAB = """
name: lab1
mgmt: {network: custom, bridge: brmgmt}
topology:
  defaults: {kind: linux, image: alpine, runtime: docker}
  kinds:
    nokia_srlinux: {type: ixr-d2l, exec: ["ip address add 10.0.0.5/30 dev e1-1"]}
  groups: {edge: {kind: nokia_srlinux}}
  nodes:
    r1: {exec: ["ip addr add 10.0.0.1/30 dev eth1", "ip -6 route add 2001:db8:9::/48 via 2001:db8::2"]}
    r2:
    s1: {group: edge}
    br-x: {kind: bridge}
    ovs1: {kind: ovs-bridge}
    old: {kind: ext-container, runtime: podman}
    me: {kind: host}
  links:
"""


def lists(links: str, head: str = LAB) -> dict[str, Any]:
    found: dict[str, Any] = topology(yaml.safe_load(head + "    - " + links), "h1", ["h1"])
    return found


def attachment(links: str) -> dict[str, Any]:
    found = lists(links)
    assert found["errors"] == [], found
    (only,) = found["attachments"]
    only.pop("runtime")
    only.get("peer", {}).pop("runtime", None)
    return dict(only)


R1, R2 = {"container": "clab-lab1-r1"}, {"container": "clab-lab1-r2"}


@pytest.mark.parametrize(("link", "wanted"), [
    ('endpoints: ["r1:eth1", "r2:eth2"]',
     {**R1, "kind": "veth", "interface": "eth1", "addresses": ["10.0.0.1/30"], "mtu": 9500,
      "peer": {**R2, "interface": "eth2"}}),
    ('{type: veth, mtu: 1500, endpoints: [{node: r1, interface: eth3, mac: "02:00:00:00:00:01", ipv4: 10.5.0.1/24},'
     '{node: r2, interface: eth3, ipv6: "2001:db8::1/64"}]}',
     {**R1, "kind": "veth", "interface": "eth3", "mtu": 1500, "mac_address": "02:00:00:00:00:01",
      "addresses": ["10.5.0.1/24"], "peer": {**R2, "interface": "eth3", "addresses": ["2001:db8::1/64"]}}),
    ('{endpoints: ["r1:eth3", "r2:eth3"], ipv4: [10.5.0.1/24, 10.5.0.2/24]}',
     {**R1, "kind": "veth", "interface": "eth3", "mtu": 9500, "addresses": ["10.5.0.1/24"],
      "peer": {**R2, "interface": "eth3", "addresses": ["10.5.0.2/24"]}}),
    ('endpoints: ["s1:ethernet-1/1", "old:eth3"]',
     {"container": "clab-lab1-s1", "kind": "veth", "interface": "e1-1", "mtu": 9500, "addresses": ["10.0.0.5/30"],
      "peer": {"container": "old", "interface": "eth3"}}),
    ('endpoints: ["br-x:p1", "r2:eth2"]',
     {**R2, "interface": "eth2", "host_interface": "br-x", "kind": "bridge", "local_interface": "p1"}),
    ('endpoints: ["r2:eth2", "ovs1:p1"]',
     {**R2, "interface": "eth2", "host_interface": "ovs1", "kind": "openvswitch", "local_interface": "p1"}),
    ('endpoints: ["r1:eth3", "host:r1h"]',
     {**R1, "kind": "veth", "interface": "eth3", "mtu": 9500, "peer": {"interface": "r1h"}}),
    ('endpoints: ["me:r1h", "r1:eth3"]',
     {**R1, "kind": "veth", "interface": "eth3", "mtu": 9500, "peer": {"interface": "r1h"}}),
    ('{type: host, endpoint: {node: r1, interface: eth3}, host-interface: r1h, mtu: 1400}',
     {**R1, "kind": "veth", "interface": "eth3", "mtu": 1400, "peer": {"interface": "r1h"}}),
    ('endpoints: ["r1:eth3", "mgmt-net:r1m"]',
     {**R1, "interface": "eth3", "host_interface": "brmgmt", "kind": "bridge", "local_interface": "r1m"}),
    ('{type: mgmt-net, endpoint: {node: r1, interface: eth3}, host-interface: r1m}',
     {**R1, "interface": "eth3", "host_interface": "brmgmt", "kind": "bridge", "local_interface": "r1m"}),
    ('endpoints: ["r1:eth3", "macvlan:enp0s3"]',
     {**R1, "interface": "eth3", "host_interface": "enp0s3", "kind": "macvlan"}),
    ('{type: macvlan, endpoint: {node: r1, interface: eth3}, host-interface: enp0s3, mode: vepa}',
     {**R1, "interface": "eth3", "host_interface": "enp0s3", "kind": "macvlan", "mode": "vepa"}),
    ('{type: dummy, endpoint: {node: r1, interface: eth3}}', {**R1, "interface": "eth3", "kind": "dummy"}),
])
def test_a_link_becomes_an_attachment(link: str, wanted: dict[str, Any]) -> None:
    assert attachment(link) == wanted


def test_commands_that_add_addresses_and_routes_are_taken_over() -> None:
    found = lists('endpoints: ["r1:eth1", "r2:eth1"]')
    assert found["routes"] == [{
        **R1, "runtime": "docker", "family": "ipv6", "destination": "2001:db8:9::/48", "gateway": "2001:db8::2",
        "state": "present",
    }]
    assert found["remarks"] == [
        "topology.nodes: containers are not started here; what starts them is left aside (image, type).",
        "topology.nodes.s1.exec[0]: 'ip address add 10.0.0.5/30 dev e1-1' is not run here, and what it does is not "
        "known.",
    ]


@pytest.mark.parametrize(("prefix", "name"), [("", "r1"), ("__lab-name", "lab1-r1"), ("x", "x-lab1-r1")])
def test_containers_are_called_as_containerlab_calls_them(prefix: str, name: str) -> None:
    found = lists('endpoints: ["r1:eth1", "r2:eth1"]', LAB.replace("mgmt:", f"prefix: '{prefix}'\nmgmt:"))
    assert found["attachments"][0]["container"] == name


@pytest.mark.parametrize(("link", "words"), [
    ("{type: vxlan, endpoint: {node: r1, interface: eth3}, vni: 1, remote: 192.0.2.1, dst-port: 4789}",
     "topology.links[0]: a vxlan link ends inside of one container; segments of a topology join hosts."),
    ("{type: tunnel, endpoints: []}", "topology.links[0]: links of type tunnel are not known here."),
    ('endpoints: ["r1:Gi0/0/0/1", "r2:eth2"]',
     "topology.links[0].endpoints[0]: 'Gi0/0/0/1' is no name of a Linux interface; write the one that it has in the "
     "container."),
    ('endpoints: ["br-x:p1", "ovs1:p2"]',
     "topology.links[0]: a cable between two bridges of the host is not for containers."),
    ('endpoints: ["host:p1", "macvlan:p2"]', "topology.links[0]: neither end is a node."),
    ('endpoints: ["br-x:p1", "macvlan:p2"]',
     "topology.links[0]: a link of type macvlan needs a container at its other end."),
])
def test_what_cannot_be_taken_over_is_said(link: str, words: str) -> None:
    found = lists(link)
    assert (found["errors"], found["attachments"]) == ([], [])
    assert words in found["remarks"]


def test_of_a_management_network_without_a_name_it_is_said() -> None:
    found = lists('endpoints: ["r1:eth3", "mgmt-net:r1m"]', LAB.replace(", bridge: brmgmt", ""))
    words = "topology.links[0]: the bridge of the management network has no name in the file; say it in mgmt.bridge."
    assert words in found["remarks"]


def test_of_nodes_that_take_no_links_it_is_said() -> None:
    head = LAB.replace("    r2:\n", "    r2: {network-mode: host}\n    k1: {kind: k8s-kind}\n")
    said = lists('endpoints: ["r1:eth1", "r1:eth2"]', head)["remarks"]
    assert "topology.nodes.r2: it shares the host's network, which takes no links." in said
    assert any(each.startswith("topology.nodes.k1: a node of kind k8s-kind is several containers") for each in said)


@pytest.mark.parametrize(("link", "words"), [
    ('endpoints: ["r1:eth1", "r3:eth1"]',
     "topology.links[0].endpoints[1]: no node 'r3'; there are br-x, me, old, ovs1, r1, r2, s1."),
    ('endpoints: ["r1:eth1"]', "topology.links[0].endpoints: a link has two."),
    ('endpoints: ["r1", "r2:eth1"]', "topology.links[0].endpoints[0]: 'r1' is not NODE:INTERFACE, such as r1:eth1."),
    ('endpoints: [{interface: eth1}, "r2:eth1"]', "topology.links[0].endpoints[0]: 'node' is missing."),
    ("r1-r2", "topology.links[0]: it is not a mapping."),
    ('endpoints: ["r1:eth1", "r1:eth1"]', "topology.links[0].endpoints[1]: both ends would be clab-lab1-r1/eth1"),
    ('{endpoints: [{node: r1, interface: eth9, ipv4: 10.0.0.9}, "r2:eth1"]}',
     "topology.links[0].endpoints[0]: addresses: '10.0.0.9': the IP address should include a netmask."),
])
def test_what_is_wrong_is_said_with_its_path_in_the_file(link: str, words: str) -> None:
    said = lists(link)["errors"]
    assert said
    assert any(each.startswith(words) for each in said), said


@pytest.mark.parametrize("topology_part", [{"nodes": [1]}, {"nodes": {"a": 1}}, {"nodes": {}, "links": [7]}, {}])
def test_odd_files_are_no_crash(topology_part: Any) -> None:
    found = topology({"name": "x", "topology": topology_part}, "h1")
    assert bool(found["errors"]) == bool(topology_part)
