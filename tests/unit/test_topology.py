# Copyright: pipework.containers contributors
# GNU General Public License v3.0+ (see LICENSE)
"""One data structure for a fleet: its schema, what is wrong with it, and the lists that it becomes on each host."""

from __future__ import annotations

import copy
import json
import runpy
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from ansible_collections.pipework.containers.plugins.filter.topology import FilterModule
from ansible_collections.pipework.containers.plugins.module_utils._topology import fleet, schema
from ansible_collections.pipework.containers.plugins.module_utils._topology import report as topology_report

ROOT = Path(__file__).resolve().parents[2]
SCHEMA_FILE = ROOT / "roles/topology/files/topology.schema.json"
SCHEMA = json.loads(SCHEMA_FILE.read_text(encoding="utf-8"))
INVENTORY = ["h1", "h2", "h3"]
topology = FilterModule().filters()["topology"]

FLEET: dict[str, Any] = yaml.safe_load("""
runtime: netns
hosts: {h1: {address: 203.0.113.1}, h2: {interfaces: [br-docker], address: 203.0.113.2}}
containers:
  web1: {host: h1}
  web8: {host: h1}
  db1: {host: h2, name: database, runtime: docker}
bridges:
  - {name: br1, addresses: [10.0.0.254/24], hosts: h1}
  - {name: br2, mtu: 9000}
segments:
  - {name: blue, vni: 100, subnets: 10.7.0.0/16}
  - {name: red, vni: 101, hosts: [h1, h2], mtu: 1300, bridge: brr}
attachments:
  - {container: web1, host_interface: br1, address: 10.0.0.1/24}
  - {guest: db1, host_interface: br2, addresses: [10.0.0.1/24], mtu: 1400}
  - {container: db1, host_interface: br-docker, interface: eth2}
  - {container: web8, host_interface: eth0, kind: macvlan, interface: eth4}
  - {container: web8, segment: blue, addresses: [10.7.0.1/24], interface: eth6}
  - {container: db1, segment: red, addresses: [10.6.0.1/24], interface: eth6}
links:
  - endpoints: ["web1:eth2", {container: web8, interface: eth5, addresses: 10.9.9.1/24}]
  - {endpoints: [{runtime: host, interface: w1}, "web1:eth7"], mtu: 1400}
routes:
  - {container: web1, to: 10.1.0.0/16, via: 10.0.0.254}
  - {runtime: host, hosts: [h2], to: 10.2.0.0/16, via: 10.0.0.9, table: vpn}
rules:
  - {container: db1, from: 10.0.0.0/8, table: 100}
impairments:
  - {container: web1, netem: {loss: 30%}, duration: 10min}
  - {container: web8, device: eth5, mirror: {to_container: web1, to_interface: eth2}}
""")


def wrong(change: str, here: str = "h1") -> list[str]:
    """What is said about the fleet with some parts exchanged."""
    found: list[str] = topology({**copy.deepcopy(FLEET), **yaml.safe_load(change)}, here, INVENTORY)["errors"]
    return found


# the schema


def without_words(part: Any) -> Any:
    if isinstance(part, dict):
        return {name: without_words(each) for name, each in part.items() if not (
            name == "description" and isinstance(each, str)
        )}
    return [without_words(each) for each in part] if isinstance(part, list) else part


def test_the_schema_is_that_of_the_modules() -> None:
    built = runpy.run_path(str(ROOT / "tests/tools/schema.py"))["build"]()
    assert without_words(built) == without_words(SCHEMA), "run: tests/tools/run python tests/tools/schema.py"


def test_the_schema_is_one_and_says_nothing_that_is_not_looked_at() -> None:
    jsonschema.Draft7Validator.check_schema(SCHEMA)
    words: set[str] = set()

    def look(part: Any, of_options: bool = False) -> None:
        if isinstance(part, dict):
            words.update(() if of_options else part)
            for name, each in part.items():
                look(each, of_options=not of_options and name in ("properties", "definitions"))
        elif isinstance(part, list):
            for each in part:
                look(each)

    look(SCHEMA)
    assert words - {"string", "number"} <= schema.KNOWN


def values() -> Any:
    """Of any sort, likely to be right or nearly so."""
    scalar = st.one_of(
        st.none(), st.booleans(), st.integers(-1, 70000), st.floats(0, 9, allow_nan=False),
        st.sampled_from(["", "br1", "yes", "12", "1.5", "{{ x }}", "web1:eth1", "host", "present", "bridge", "netns"]),
    )
    names = sorted({name for each in SCHEMA["definitions"].values() for name in each["properties"]})
    keys = st.sampled_from(["name", "hosts", "container", "endpoints", "mtu", "netem", "oops", *names])
    return st.recursive(scalar, lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.dictionaries(keys, inner, max_size=4),
    ), max_leaves=8)


@settings(max_examples=60)
@given(st.dictionaries(st.sampled_from(sorted(SCHEMA["properties"])), values(), max_size=3))
def test_the_verdicts_are_those_of_a_library(document: dict[str, Any]) -> None:
    assert bool(schema.violations(SCHEMA, document)) == (not jsonschema.Draft7Validator(SCHEMA).is_valid(document))


@settings(max_examples=60)
@given(st.sampled_from(sorted(SCHEMA["definitions"])), st.data())
def test_the_verdicts_on_items_are_those_of_a_library(section: str, data: Any) -> None:
    names = [*SCHEMA["definitions"][section]["properties"], "oops"]
    item = data.draw(st.dictionaries(st.sampled_from(names), values(), max_size=3))
    document = {section: [item]}
    assert bool(schema.violations(SCHEMA, document)) == (not jsonschema.Draft7Validator(SCHEMA).is_valid(document))


# what is wrong, and where

BLUE = "{attachments: [], segments: [{name: blue, vni: 100, control_plane: evpn"


@pytest.mark.parametrize(("change", "words"), [
    ("links: [{endpoints: ['web1:a', 'web1:b']}, {endpoints: ['web1:eth2', 'web9:eth1']}]",
     "links[1].endpoints[1]: no container 'web9'; did you mean 'web8'?"),
    (f"{BLUE}, hosts: [h1, h2], route_reflectors: [h2, h9]}}]}}",
     "segments[0].route_reflectors[1]: no host 'h9'; there are h1, h2."),
    (f"{BLUE}, hosts: [h1], route_reflectors: [h2]}}]}}",
     "segments[0].route_reflectors[0]: h2 is not on segment blue, which is on h1."),
    (f"{BLUE}, hosts: [h1, h2], route_reflectors: []}}]}}",
     "segments[0].route_reflectors: the list is empty; say which hosts all others have a session with."),
    ("{attachments: [], segments: [{name: blue, vni: 100, asn: 65001}]}",
     "segments[0].asn: it is of 'control_plane: evpn', which the segment does not have."),
    (f"{BLUE}, hosts: h1}}, {{name: red, vni: 101, control_plane: evpn, asn: 65001, hosts: [h2, h1]}}]}}",
     "segments[1].asn: 65001 is not the 65000 of segments[0], and h1 is on both; a host has one."),
    (f"{BLUE}, asn: 0}}]}}", "segments[0].asn: 0 is not possible; 1 to 4294967295 would be right."),
    ("{attachments: [], segments: [{name: blue, vni: 100, control_plane: bgp}]}",
     "segments[0].control_plane: 'bgp' is not possible; there are evpn, static."),
    (f"{BLUE}, hosts: [h1, h2]}}], hosts: {{h1: {{address: 203.0.113.1}}, h2: {{address: '2001:db8::2'}}}}}}",
     "hosts.h2.address: 2001:db8::2 is of IPv6, that of h1 of IPv4; the tunnels of segments[0] go over one of them."),
    ("attachments: [{container: wep1, host_interface: br1}]",
     "attachments[0].container: no container 'wep1'; did you mean 'web1'?"),
    ("attachments: [{container: web1, host_interface: br7}]",
     "attachments[0].host_interface: no bridge 'br7' on h1; did you mean 'br2'? What somebody else makes there "
     "stands in hosts.h1.interfaces."),
    ("attachments: [{container: db1, host_interface: br1}]",
     "attachments[0].host_interface: no bridge 'br1' on h2; did you mean 'br2'? What somebody else makes there "
     "stands in hosts.h2.interfaces."),
    ("attachments: [{container: web1, host_interface: br1, adresses: []}]",
     "attachments[0].adresses: there is no such option; did you mean 'addresses'?"),
    ("attachments: [{container: web1, host_interface: br1, addresses: [10.0.0.1]}]",
     "attachments[0]: addresses: '10.0.0.1': the IP address should include a netmask. Maybe you meant 10.0.0.1/24?"),
    ("attachments: [{container: web1, host_interface: br1, addresses: [10.0.0.254/24]}]",
     "attachments[0].addresses[0]: 10.0.0.254/24 is given twice (also in bridges[0].addresses[0]); each interface "
     "needs its own."),
    ("attachments: [{container: web1, host_interface: br1}, {container: web1, host_interface: br2}]",
     "attachments[1]: interface: web1/eth1 is listed twice (also in attachments[0]); each interface can be listed "
     "once."),
    ("attachments: [{host_interface: br1}]",
     "attachments[0]: 'container' is missing; only with 'runtime: host' it is not needed."),
    ("attachments: [{container: web1, host_interface: br1, hosts: h1}]",
     "attachments[0].hosts: a container is on one host, which containers says."),
    ("links: [{endpoints: ['web1:eth2', 'db1:eth2']}]",
     "links[0]: its ends are on two hosts, h1 and h2; a cable joins containers of one host."),
    ("links: [{endpoints: [{runtime: host}, {runtime: host, interface: x}]}]",
     "links[0]: both ends are the host's own; one has to be a container's."),
    ("links: [{endpoints: ['web1:eth2', {interface: eth2}]}]",
     "links[0].endpoints[1]: 'container' is missing; only with 'runtime: host' it is not needed."),
    ("links: [{endpoints: ['web1:eth2']}]", "links[0].endpoints: 1 are listed; 2 would be right."),
    ("links: [{endpoints: ['web1', 'web8:eth2']}]",
     "links[0].endpoints[0]: 'web1' is not CONTAINER:INTERFACE, such as r1:eth1."),
    ("links: [{endpoints: ['web1:eth2', {container: web8, interface: eth2, mac_address: '01:00:00:00:00:01'}]}]",
     "links[0].endpoints[1]: mac_address: '01:00:00:00:00:01' is a multicast address"),
    ("links: [{endpoints: [{container: web1, interface: a, addresses: [10.1.1.1/24]},"
     " {container: web8, interface: a, addresses: [10.1.1.1/24]}]}]",
     "links[0].endpoints[1].addresses[0]: 10.1.1.1/24 is given twice (also in links[0].endpoints[0].addresses[0])"),
    ("links: [{endpoints: ['web1:eth2', 'web1:eth2']}]", "links[0].endpoints[1]: both ends would be web1/eth2"),
    ("containers: {web1: {host: h7}}", "containers.web1.host: no host 'h7'; there are h1, h2."),
    ("containers: {web1: }", "containers.web1: 'host' is missing: the topology has several hosts (h1, h2)."),
    ("hosts: {h1: {address: 203.0.113.1}, h2: {address: 203.0.113.2}, h4: }",
     "hosts.h4: it is not in the inventory; there are h1, h2, h3."),
    ("bridges: [{name: br1, hosts: [h1, hx]}]", "bridges[0].hosts[1]: no host 'hx'; there are h1, h2."),
    ("bridges: [{name: br1, mtu: many}]", "bridges[0].mtu: 'many' is not a whole number."),
    ("bridges: [{addresses: [10.0.0.1/24]}]", "bridges[0]: 'name' is missing."),
    ("bridges: [{name: br1, state: gone}]", "bridges[0].state: 'gone' is not possible; there are absent, present."),
    ("bridges: [{name: br1, max_age: 0}, {name: br2}]", "bridges[0]: max_age: 0"),
    ("bridges: {br1: {}}", "bridges: a mapping is not a list."),
    ("bridges: [{name: br1}, {name: br2}, {name: br1}]",
     "bridges[2]: name: the bridge br1 is listed twice (also in bridges[0])."),
    ("routes: [{container: web1, to: nowhere, via: 10.0.0.254}]", "routes[0]: destination: 'nowhere'"),
    ("routes: [{container: web1, cmd: add default via 10.0.0.254}]", "routes[0].cmd: there is no such option"),
    ("rules: [{container: web1}]", "rules[0]: table: say what the rule does or selects"),
    ("impairments: [{container: web1, netem: {los: 1%}}]", "impairments[0]: netem.los: netem has no such option"),
    ("impairments: [{container: web1, tbf: {rate: 1mbit, burst: 9kb, limit: 9kb}},"
     " {container: web1, netem: {loss: 1%}}]",
     "impairments[1]: device: the interface eth1 is listed twice (also in impairments[0])."),
    ("impairments: [{container: web1, mirror: {to_container: db1, to_interface: eth1}}]",
     "impairments[0].mirror.to_container: db1 is on h2, not on h1."),
    ("segments: [{name: blue, vni: 5}, {name: red, vni: 5}]",
     "segments[1].vni: 5 is given twice (also in segments[0]); each segment needs its own."),
    ("segments: [{name: blue, vni: 5}, {name: red, vni: 6, bridge: br-blue}]",
     "segments[1].bridge: br-blue is given twice (also in segments[0]); each segment needs its own."),
    ("segments: [{name: blue, vni: 5}, {name: red, vni: 6}, {name: blue, vni: 7}]",
     "segments[2].name: blue is listed twice (also in segments[0])."),
    ("segments: [{name: blue, vni: 5, subnets: 10.6.0.0/15}, {name: red, vni: 6}]",
     "attachments[5].addresses[0]: 10.6.0.0/24 of segment red overlaps 10.6.0.0/15 of segment blue (also in "
     "segments[0].subnets[0])."),
    ("segments: [{name: blue, vni: 5, subnets: 10.8.0.0/16}, {name: red, vni: 6}]",
     "attachments[4].addresses[0]: 10.7.0.1/24 is in none of the subnets of segment blue (10.8.0.0/16)."),
    ("segments: [{name: blue, vni: 5}, {name: red, vni: 6, hosts: h1}]",
     "attachments[5].segment: red is not on h2; segments[1].hosts says where it is."),
    ("segments: [{name: blue, vni: 0}, {name: red, vni: 6}]", "segments[0]: vni: 0 is not possible"),
    ("segments: [{name: much-too-long-blue, vni: 5, hosts: h1}, {name: red, vni: 6}, {name: blue, vni: 7}]",
     "segments[0]: bridge: 'br-much-too-long-blue' has 21 characters"),
    ("attachments: [{container: web1, segment: blau}]",
     "attachments[0].segment: no segment 'blau'; did you mean 'blue'?"),
    ("attachments: [{container: web1, segment: red, host_interface: br1}]",
     "attachments[0].host_interface: stands beside segment, whose bridge is brr; leave one out."),
    ("attachments: [{container: web1, segment: red, addresses: [10.6.0.9/24]},"
     " {container: db1, segment: red, addresses: [10.6.0.9/24]}]",
     "attachments[1].addresses[0]: 10.6.0.9/24 is given twice (also in attachments[0].addresses[0])"),
    ("hosts: {h1: {address: 203.0.113.1}, h2: }", "hosts.h2: 'address' is missing: segment red needs to know where"),
    ("hosts: {h1: {address: 203.0.113.1}, h2: {address: 203.0.113.1, interfaces: br-docker}}",
     "hosts.h2.address: 203.0.113.1 is that of h1 too."),
    ("speed: 9", "speed: there is no such option"),
])
def test_what_is_wrong_is_said_with_its_path(change: str, words: str) -> None:
    said = wrong(change)
    assert any(each.startswith(words) for each in said), said
    assert wrong(change, "h2") == said, "the same on all hosts"


def test_several_mistakes_are_said_at_once() -> None:
    said = wrong("{routes: [{container: a, to: default, via: 10.0.0.1}], rules: [{container: b, table: 9}]}")
    assert [each.partition(":")[0] for each in said] == ["routes[0].container", "rules[0].container"]


@pytest.mark.parametrize("document", [None, [], "br1", 7])
def test_what_is_no_mapping_is_no_topology(document: Any) -> None:
    assert len(topology(document, "h1")["errors"]) == 1


# the lists


def test_each_host_gets_the_lists_of_its_containers() -> None:
    first, second = topology(FLEET, "h1", INVENTORY), topology(FLEET, "h2", INVENTORY)
    assert first["errors"] == second["errors"] == []
    web = {"container": "web1", "runtime": "netns"}
    assert first["bridges"] == [{"name": "br1", "addresses": ["10.0.0.254/24"]}, {"name": "br2", "mtu": 9000}]
    assert first["attachments"][0] == {
        **web, "host_interface": "br1", "addresses": ["10.0.0.1/24"], "kind": "bridge", "forwarding": "unmanaged",
    }
    assert first["attachments"][2] == {
        "container": "web8", "runtime": "netns", "host_interface": "br-blue", "kind": "bridge",
        "forwarding": "unmanaged", "addresses": ["10.7.0.1/24"], "interface": "eth6",
    }
    assert first["attachments"][3:] == [
        {**web, "kind": "veth", "interface": "eth2", "peer": {
            "container": "web8", "runtime": "netns", "interface": "eth5", "addresses": ["10.9.9.1/24"],
        }},
        {**web, "kind": "veth", "interface": "eth7", "mtu": 1400, "peer": {"runtime": "host", "interface": "w1"}},
    ]
    assert first["routes"] == [{**web, "destination": "10.1.0.0/16", "gateway": "10.0.0.254"}]
    assert first["impairments"][1]["mirror"] == {
        "to_container": "web1", "to_runtime": "netns", "to_interface": "eth2",
    }
    assert second["bridges"] == [{"name": "br2", "mtu": 9000}]
    assert second["attachments"] == [
        {"container": "database", "runtime": "docker", "host_interface": "br2", "addresses": ["10.0.0.1/24"],
         "mtu": 1400, "kind": "bridge", "forwarding": "unmanaged"},
        {"container": "database", "runtime": "docker", "host_interface": "br-docker", "interface": "eth2"},
        {"container": "database", "runtime": "docker", "host_interface": "brr", "kind": "bridge", "mtu": 1300,
         "forwarding": "unmanaged", "addresses": ["10.6.0.1/24"], "interface": "eth6"},
    ]
    assert first["segments"] == [
        {"vni": 100, "subnets": ["10.7.0.0/16"], "bridge": "br-blue", "local": "203.0.113.1", "remotes": []},
        {"vni": 101, "mtu": 1300, "bridge": "brr", "local": "203.0.113.1", "remotes": ["203.0.113.2"]},
    ]
    assert [each["vni"] for each in second["segments"]] == [101]
    assert second["routes"][0]["runtime"] == "host"
    assert second["rules"] == [{"container": "database", "runtime": "docker", "source": "10.0.0.0/8", "table": 100}]


def test_the_runtime_of_a_container_is_the_nearest_one() -> None:
    document = {
        "hosts": {"h1": {"runtime": "podman", "runtime_user": "eve"}, "h2": None},
        "containers": {"a": {"host": "h1"}, "b": {"host": "h2"}, "c": {"host": "h1", "runtime": "lxc"}},
        "routes": [{"container": name, "to": "default", "via": "10.0.0.1"} for name in "abc"],
    }
    found = topology(document, "h1", runtime="auto")["routes"] + topology(document, "h2", runtime="auto")["routes"]
    assert [(each["runtime"], each.get("runtime_user")) for each in found] == [
        ("podman", "eve"), ("lxc", None), ("auto", None),
    ]


def test_a_topology_without_hosts_is_of_the_host_that_asks() -> None:
    document = {"containers": {"a": None}, "bridges": [{"name": "br1"}], "attachments": [
        {"container": "a", "host_interface": "br1"},
    ]}
    for host in ("h1", "h2"):
        found = topology(document, host, INVENTORY)
        assert (found["errors"], found["member"], len(found["attachments"])) == ([], True, 1)


def test_B9_frr_is_told_of_all_segments_of_a_host_at_once() -> None:
    hosts = {f"h{number}": {"address": f"203.0.113.{number}"} for number in range(1, 5)}
    document = {"hosts": hosts, "segments": [
        {"name": "blue", "vni": 100, "control_plane": "evpn", "hosts": ["h1", "h2", "h3"]},
        {"name": "red", "vni": "50", "control_plane": "evpn", "hosts": ["h3", "h4"], "route_reflectors": ["h4"]},
        {"name": "old", "vni": 70, "control_plane": "evpn", "hosts": ["h3", "h4"], "state": "absent"},
        {"name": "plain", "vni": 60, "hosts": ["h1", "h4"]},
    ]}
    found = {host: topology(document, host) for host in hosts}
    assert all(each["errors"] == [] for each in found.values())
    ends = {host: [int(each.rpartition(".")[2]) for each in found[host]["evpn"]["neighbors"]] for host in hosts}
    assert ends == {"h1": [2, 3], "h2": [1, 3], "h3": [1, 2, 4], "h4": [3]}
    clients = {host: [int(each.rpartition(".")[2]) for each in found[host]["evpn"]["clients"]] for host in hosts}
    assert clients == {"h1": [3], "h2": [3], "h3": [], "h4": [3]}
    assert [found[host]["evpn"]["vnis"] for host in hosts] == [[100], [100], [50, 100], [50]]
    first, last = found["h1"]["segments"]
    assert (first["remotes"], first["learning"], first["neigh_suppress"]) == ([], False, True)
    assert (last["remotes"], "learning" in last) == (["203.0.113.4"], False)
    assert not {"control_plane", "route_reflectors", "asn"} & set(first)
    assert topology(document, "h1", state="absent")["evpn"] == {} == topology(FLEET, "h1")["evpn"]


def test_a_host_that_is_not_in_it_has_nothing_to_do() -> None:
    found = topology(FLEET, "h3", INVENTORY, purge=True)
    assert found["member"] is False
    assert not any(found[name] for name in (*fleet.MODULES, "errors"))


def test_absent_is_the_same_lists_with_all_absent() -> None:
    present, absent = topology(FLEET, "h1"), topology(FLEET, "h1", state="absent")
    for name in fleet.MODULES:
        assert len(present[name]) == len(absent[name])
        assert {each["state"] for each in absent[name]} <= {"absent"}
    assert "duration" not in absent["impairments"][0]


def test_B11_purge_looks_into_containers_of_which_nothing_is_listed() -> None:
    found = topology({**FLEET, "routes": [], "rules": []}, "h1", purge=True)
    assert [each["container"] for each in found["routes"]] == ["web1", "web8"]
    assert found["rules"] == found["routes"] and all(set(each) == {"container", "runtime"} for each in found["rules"])
    assert found["impairments"][-2:] == found["rules"]
    gone = topology({**FLEET, "routes": []}, "h1", purge=True, state="absent")
    assert [each["container"] for each in gone["routes"]] == ["web1", "web8"]
    assert gone["impairments"][0]["state"] == "absent"


@given(st.permutations(range(4)), st.lists(st.sampled_from(["h1", "h2", "h3"]), min_size=4, max_size=4))
def test_every_item_is_on_one_host_whatever_the_order(order: list[int], homes: list[str]) -> None:
    names = [f"c{number}" for number in range(4)]
    document = {
        "hosts": dict.fromkeys(INVENTORY),
        "containers": {names[at]: {"host": homes[at]} for at in order},
        "attachments": [{"container": names[at], "host_interface": "eth0", "kind": "macvlan"} for at in order],
        "routes": [{"container": name, "to": "default", "via": "10.0.0.1"} for name in names],
    }
    for section in ("attachments", "routes"):
        lists = {host: topology(document, host, INVENTORY)[section] for host in INVENTORY}
        found = {host: {each["container"] for each in items} for host, items in lists.items()}
        assert found == {host: {n for n, home in zip(names, homes) if home == host} for host in INVENTORY}


# what was done


def operation(action: str, kind: str, name: str) -> dict[str, Any]:
    return {"action": action, "kind": kind, "name": name, "before": {}, "after": {}}


def test_a_summary_has_a_line_for_each_host() -> None:
    created = [operation("create", "link", "br1"), operation("update", "link", "br1")]
    variables = {
        "h1": {"topology_done_bridges": {"operations": created}, "topology_done_attachments": {
            "operations": [operation("create", "link", "br1"), operation("delete", "route", "x")],
        }, "topology_later": [{"container": "web1", "destination": "10.0.0.0/8"}]},
        "h2": {"topology_done_bridges": {"operations": []}, "topology_done_routes": {"skipped": True}},
        "h3": {"topology_done_bridges": {"operations": created}},
        "h4": {"topology_here": {"member": False}},
        "h5": {},
    }
    summary = FilterModule().filters()["topology_summary"]
    assert summary(list(variables), variables, ["h1", "h2", "h4"]) == [
        "h1: link +1, route -1; 1 more on interfaces that are not there yet", "h2: as wanted",
        "h3: not to the end: failed or unreachable; link +1", "h4: not in the topology",
        "h5: not to the end: failed or unreachable",
    ]
    assert summary(["h1"], variables, ["h1"], True)[1:] == [
        "h1:   + link br1", "h1:   - route x", "h1:   + later: web1 10.0.0.0/8",
    ]


def test_a_check_run_leaves_for_later_what_stands_on_new_interfaces() -> None:
    items = [{"container": "old"}, {"container": "new"}, {"container": "gone", "state": "absent"}, {
        "container": "other", "peer": {"container": "far"},
    }]
    attached = {
        "attachments": [
            {"runtime": "netns", "container": "old"}, {"runtime": "docker", "container": "/new"},
            {"runtime": "netns", "container": "other", "peer": {"runtime": "netns", "container": "far"}},
        ],
        "operations": [
            operation("create", "address", "docker:/new/eth1 10.0.0.1/24"), operation("create", "link", "br1"),
            operation("update", "port", "netns:old/eth1"), operation("create", "link", "netns:far/eth2"),
        ],
    }
    assert topology_report.new_containers(items, {}, attached) == {None, "new", "far"}
    quiet = {**attached, "operations": attached["operations"][:1]}
    assert topology_report.new_containers(items, {}, quiet) == {"new"}
    assert None in topology_report.new_containers(items, {"operations": [operation("create", "link", "br1")]}, quiet)
    later = FilterModule().filters()["topology_later"]
    routes: list[Any] = [{"container": "old"}, {"container": "new", "destination": "default"}, {"runtime": "host"}]
    found = later(routes, {"attachments": items}, {"skipped": True}, quiet)
    assert found == {"now": [routes[0], routes[2]], "later": [routes[1]]}
    assert later(routes, {"attachments": items}, {}, {"skipped": True})["later"] == []
    purged = [*routes, {"container": "new", "runtime": "netns"}]  # would take what is listed for later
    assert later(purged, {"attachments": items}, {"skipped": True}, quiet) == found
