# Copyright: pipework.containers contributors
# GNU General Public License v3.0+ (see LICENSE)
"""One data structure for a fleet on real namespaces: the example of the documentation, and a file of containerlab."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from ansible_collections.pipework.containers.plugins.filter.topology import FilterModule
from ansible_collections.pipework.containers.plugins.module_utils._jobs.attach import AttachJob
from ansible_collections.pipework.containers.plugins.module_utils._jobs.bridge import BridgeJob
from ansible_collections.pipework.containers.plugins.module_utils._jobs.route import RouteJob
from ansible_collections.pipework.containers.plugins.module_utils._jobs.rule import RuleJob
from ansible_collections.pipework.containers.plugins.module_utils._jobs.tc import TcJob
from ansible_collections.pipework.containers.plugins.module_utils._jobs.vxlan import VxlanJob
from tests.integration.lab import Host
from tests.integration.machines import Machines, Played

pytestmark = pytest.mark.root

PAGE = (Path(__file__).resolve().parents[2] / "docs/topology.md").read_text(encoding="utf-8")
EXAMPLE = next(text for text in re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL) if text.startswith("name: shop"))
SHOP: dict[str, Any] = yaml.safe_load(EXAMPLE)
JOBS = {
    "bridges": ("bridges", BridgeJob), "segments": ("segments", VxlanJob), "attachments": ("attachments", AttachJob),
    "routes": ("routes", RouteJob), "rules": ("rules", RuleJob), "impairments": ("interfaces", TcJob),
}
topology = FilterModule().filters()["topology"]


@pytest.fixture
def hosts() -> Iterator[Machines]:
    found = Machines(3, *SHOP["containers"])
    yield found
    found.close()


@pytest.fixture
def lone() -> Iterator[Host]:
    found = Host(*SHOP["containers"], "clab-lab-r1", "clab-lab-r2", "ext")
    yield found
    found.close()


def apply(host: Host, document: Any, name: str = "h1", check: bool = False, **more: Any) -> list[Any]:
    """What the role's tasks do on a host, in their order; returns their operations."""
    here = topology(document, name, **more)
    assert here["errors"] == []
    done = []
    for part in reversed(JOBS) if more.get("state") == "absent" else JOBS:
        option, job = JOBS[part]
        purge: dict[str, Any] = {"purge": True} if more.get("purge") else {}
        if purge and part == "routes":
            purge["table"] = "all"
        if here[part] or purge:
            params = {option: here[part], **purge}
            planned = host.run(check=True, job=job, **params)["operations"]
            if not check:
                assert planned == host.run(job=job, **params)["operations"]
            done += planned
    return done


def play(hosts: Machines, document: Any, *options: str, **more: Any) -> Played:
    """The playbook as a user calls it."""
    target = ",".join(document["hosts"])
    return hosts.play("pipework.containers.apply", *options, target=target, topology_definition=document, **more)


def said_by(played: Played, status: int = 0) -> list[str]:
    """The summary's lines, which are said by the last task on one host."""
    assert played.status == status, played.output
    return next(list(result["msg"]) for result in played.tasks[-1].values() if "msg" in result)


def test_D1_B9_the_example_of_the_documentation_does_what_it_says(hosts: Machines) -> None:
    before = {name: host.snapshot() for name, host in hosts.hosts.items()}
    would = [line for line in said_by(play(hosts, SHOP, "--check")) if ":  " not in line]
    for name, host in hosts.hosts.items():
        host.assert_as(before[name], f"{name} after a check run")
    done = play(hosts, SHOP)
    lines = said_by(done)
    assert lines == re.findall(r"^    - '(h\d: .+)'$", PAGE, re.MULTILINE), "the page shows what the playbook says"
    assert would[0].endswith("; 3 more on interfaces that are not there yet")
    for checked, line in zip(would, lines):
        parts = [part for part in line[4:].split(", ") if part.split()[0] not in ("route", "rule", "qdisc")]
        assert all(part in checked for part in parts), (checked, line)
    first, second = hosts["h1"], hosts["h2"]
    assert first.addresses("br-front") == ["10.20.1.254/24"]
    assert (second.link("br-data") or {})["mtu"] == (second.link("eth1", ns="db1") or {})["mtu"] == 1400
    assert first.ping("web1", "10.20.1.2")
    assert first.ping("lb", "10.20.9.2")
    assert first.ping(None, "10.20.8.1")
    assert "10.20.1.0/24 via 10.20.9.2 dev to-web1 proto 114" in first.routes("lb", "route", "show")
    assert "from 10.20.9.2 lookup 100" in first.sh("ip", "rule", "show", ns="web1")
    assert second.ping("db1", "10.20.2.2")
    assert "tbf" in second.sh("tc", "qdisc", "show", "dev", "eth1", ns="db2")
    assert (second.link("eth3", ns="db1") or {})["mtu"] == 1450
    assert first.ping("web1", "10.20.3.2"), "through the tunnel"

    for name, host in hosts.hosts.items():
        assert apply(host, SHOP, name) == []
    # A host that cannot be reached, and one that fails in the middle, leave the others alone.
    more = {
        **SHOP, "hosts": {**SHOP["hosts"], "h3": None}, "containers": {**SHOP["containers"], "lost": {"host": "h3"}},
        "attachments": [*SHOP["attachments"], {"container": "lost", "host_interface": "eth0", "kind": "macvlan"}],
        "bridges": [*SHOP["bridges"], {"name": "br-more", "hosts": "h3"}],
    }
    apply(second, SHOP, "h2", state="absent")
    second.assert_as(before["h2"], "h2")
    hosts.stop("h2")
    again = play(hosts, more)
    assert said_by(again, 4) == [
        "h1: as wanted", "h2: not to the end: failed or unreachable",
        "h3: not to the end: failed or unreachable; link +1",
    ], again.output
    assert again.counts("changed", "unreachable", "failed") == {"h1": (0, 0, 0), "h2": (0, 1, 0), "h3": (1, 0, 1)}
    apply(first, SHOP, "h1", state="absent")
    first.assert_as(before["h1"], "h1")
    assert apply(first, SHOP, "h1", state="absent") == []


def test_a_mistake_stops_the_playbook_before_anything_is_touched(hosts: Machines) -> None:
    wrong = {**SHOP, "links": [*SHOP["links"], {"endpoints": ["lb:x", "web9:eth1"]}]}
    before = {name: host.snapshot() for name, host in hosts.hosts.items()}
    said = play(hosts, wrong, "--limit", "h2")
    assert said.counts("changed", "failed") == {"h2": (0, 1)}, said.output
    assert "links[3].endpoints[1]: no container 'web9'; did you mean 'web2'? Nothing was changed." in said.output
    for name, host in hosts.hosts.items():
        host.assert_as(before[name])


def test_B11_purge_takes_what_is_not_listed_and_leaves_what_others_made(lone: Host) -> None:
    lone.batch("link add u0 type veth peer name u1\naddress add 203.0.113.1/24 dev u0\nlink set u0 up\n")
    apply(lone, SHOP)
    lone.batch("link add foreign type bridge\n")
    lone.sh("tc", "qdisc", "add", "dev", "eth1", "root", "handle", "8:", "bfifo", ns="web1")
    table = {"container": "lb", "destination": "10.67.0.0/16", "gateway": "10.20.9.2", "table": 67}
    limits = [{"container": name, "device": device, "tbf": {"rate": "1mbit", "burst": "32kb", "latency": "50ms"}}
              for name, device in (("lb", "to-web1"), ("web1", "to-lb"))]
    copies = {"container": "web1", "mirror": {"to_interface": "lb0"}}
    apply(lone, {**SHOP, "routes": [*SHOP["routes"], table], "impairments": [*limits, copies]})
    assert "mirred" in "".join(lone.sh("tc", "filter", "show", "dev", each, "ingress") for each in lone.links())
    lone.batch("route add 10.66.0.0/16 dev eth1\nrule add from 10.66.0.1 lookup 66 priority 66\n", ns="web1")
    less = {
        **SHOP, "links": SHOP["links"][:1], "routes": [], "rules": [], "impairments": [], "segments": [],
        "attachments": [each for each in SHOP["attachments"] if each["container"] != "web2" and "segment" not in each],
    }
    assert apply(lone, less) == [], "without purge, what is not listed stays"
    done = apply(lone, less, purge=True)
    assert {each["action"] for each in done} == {"delete"}
    assert {("qdisc", "netns:lb/to-web1 root"), ("qdisc", "netns:web1/to-lb root")} <= {
        (each["kind"], each["name"]) for each in done
    }
    assert {"tc_filter", "route", "rule"} < {each["kind"] for each in done}
    assert apply(lone, less, purge=True) == []
    assert "bfifo 8:" in lone.sh("tc", "qdisc", "show", "dev", "eth1", ns="web1")
    assert "tbf" not in lone.sh("tc", "qdisc", "show", ns="web1") + lone.sh("tc", "qdisc", "show", ns="lb")
    assert "mirred" not in "".join(lone.sh("tc", "filter", "show", "dev", each, "ingress") for each in lone.links())
    assert lone.sh("ip", "route", "show", "table", "67", ns="lb") == ""
    assert lone.links(ns="web2") == []
    assert lone.links(ns="lb") == ["to-web1"]
    assert not [name for name in lone.links() if name.startswith(("vxlan", "br-office"))]
    assert "proto 114" not in lone.sh("ip", "route", "show", ns="lb")
    assert lone.link("foreign") is not None
    assert "10.20.9.2" not in lone.sh("ip", "rule", "show", ns="web1")
    for words in (("route", "show", "10.66.0.0/16"), ("rule", "show", "priority", "66")):
        assert lone.sh("ip", *words, ns="web1").strip()


def test_a_topology_file_of_containerlab_is_laid_and_taken_back(lone: Host) -> None:
    before = lone.snapshot()
    lab = yaml.safe_load("""
        name: lab
        topology:
          defaults: {kind: linux, image: alpine}
          nodes:
            r1: {exec: ["ip addr add 10.30.0.1/30 dev eth1", "ip route add 10.31.0.0/24 via 10.30.0.2"]}
            r2: {exec: [ip addr add 10.30.0.2/30 dev eth1, ip addr add 10.31.0.1/24 dev eth2]}
            ext: {kind: ext-container}
            br-lab: {kind: bridge}
          links:
            - endpoints: ["r1:eth1", "r2:eth1"]
            - endpoints: ["r2:eth2", "br-lab:p1"]
            - endpoints: ["br-lab:p2", "ext:eth1"]
            - {type: host, endpoint: {node: ext, interface: eth9}, host-interface: to-ext, mtu: 1300}
    """)
    assert apply(lone, lab, runtime="netns")
    assert apply(lone, lab, runtime="netns") == []
    assert (lone.link("eth1", ns="clab-lab-r1") or {})["mtu"] == 9500
    assert (lone.link("to-ext") or {})["mtu"] == 1300
    assert {(lone.link(name) or {}).get("master") for name in ("p1", "p2")} == {"br-lab"}
    assert lone.ping("clab-lab-r1", "10.31.0.1")
    apply(lone, lab, runtime="netns", state="absent")
    lone.assert_as(before)


def test_B13_B11_purge_ends_limits_of_impairments_and_leaves_those_of_attachments(lone: Host) -> None:
    lone.batch("link add u0 type veth peer name u1\naddress add 203.0.113.1/24 dev u0\nlink set u0 up\n")
    web1 = [each for each in SHOP["attachments"] if each["container"] == "web1" and "interface" not in each]
    slow = [{**each, "bandwidth": {"egress": "2mbit"}} if each in web1 else each for each in SHOP["attachments"]]
    limit = {"container": "lb", "device": "to-web1", "bandwidth": {"egress": "1mbit"}}
    whole = {**SHOP, "attachments": slow, "impairments": [limit]}
    apply(lone, whole)
    assert apply(lone, whole, purge=True) == []
    done = apply(lone, {**whole, "impairments": []}, purge=True)
    assert [(each["action"], each["name"]) for each in done] == [("delete", "netns:lb/to-web1 root")]
    assert apply(lone, {**whole, "impairments": []}, purge=True) == []
    assert "tbf 7070:" in lone.sh("tc", "qdisc", "show", ns="web1")
