# Copyright: pipework.containers contributors
# GNU General Public License v3.0+ (see LICENSE)
"""One data structure for a fleet on real namespaces: the example of the documentation, and a file of containerlab."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from ansible_collections.pipework.containers.plugins.filter.topology import FilterModule
from ansible_collections.pipework.containers.plugins.module_utils._attach_job import AttachJob
from ansible_collections.pipework.containers.plugins.module_utils._bridge_job import BridgeJob
from ansible_collections.pipework.containers.plugins.module_utils._route_job import RouteJob
from ansible_collections.pipework.containers.plugins.module_utils._rule_job import RuleJob
from ansible_collections.pipework.containers.plugins.module_utils._tc_job import TcJob
from tests.integration.lab import Host

pytestmark = pytest.mark.root

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs/topology.md").read_text(encoding="utf-8")
EXAMPLE = next(text for text in re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL) if text.startswith("name: shop"))
SHOP: dict[str, Any] = yaml.safe_load(EXAMPLE)
GUESTS = {"h1": ("web1", "web2", "lb"), "h2": ("db1", "db2")}
JOBS = {
    "bridges": ("bridges", BridgeJob), "attachments": ("attachments", AttachJob), "routes": ("routes", RouteJob),
    "rules": ("rules", RuleJob), "impairments": ("interfaces", TcJob),
}
topology = FilterModule().filters()["topology"]


@pytest.fixture
def hosts() -> Iterator[dict[str, Host]]:
    found = {name: Host(*guests) for name, guests in GUESTS.items()}
    yield found
    for each in found.values():
        each.close()


def apply(host: Host, document: Any, name: str = "h1", check: bool = False, **more: Any) -> list[Any]:
    """What the role's tasks do on a host, in their order; returns their operations."""
    here = topology(document, name, **more)
    assert here["errors"] == []
    done = []
    for part in reversed(JOBS) if more.get("state") == "absent" else JOBS:
        option, job = JOBS[part]
        purge = {"purge": True} if more.get("purge") and part != "impairments" else {}
        if here[part] or purge:
            params = {option: here[part], **purge}
            planned = host.run(check=True, job=job, **params)["operations"]
            if not check:
                assert planned == host.run(job=job, **params)["operations"]
            done += planned
    return done


def play(host: Host, *arguments: str, name: str = "h1", file: str = "") -> str:
    """The playbook as a user calls it, on one host of the two."""
    inventory = f"{name},{'h2' if name == 'h1' else 'h1'},"
    argv = [
        sys.executable, "-m", "ansible", "playbook", "pipework.containers.apply", "-i", inventory, "-c", "local",
        "-e", "target=all", "-e", f"ansible_python_interpreter={sys.executable}", "-e", f"topology_file={file}",
        "-e", "ansible_become=false", "--limit", name, *arguments,
    ]
    settings = {
        "ANSIBLE_COLLECTIONS_PATH": str((ROOT / ".cache/collections").resolve()), "ANSIBLE_FORCE_COLOR": "0",
        "ANSIBLE_CALLBACK_RESULT_FORMAT": "json",
    }

    def run() -> str:
        done = subprocess.run(
            argv, env={**os.environ, **settings}, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, text=True, check=False,
        )
        return f"{done.stdout}\nstatus {done.returncode}"

    return host.call(run)


def test_D1_the_example_of_the_documentation_does_what_it_says(hosts: dict[str, Host]) -> None:
    before = {name: host.snapshot() for name, host in hosts.items()}
    for name, host in hosts.items():
        assert apply(host, SHOP, name)
        assert apply(host, SHOP, name) == [], "the second time"
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
    for name, host in hosts.items():
        assert apply(host, SHOP, name, state="absent")
        host.assert_as(before[name], name)
        assert apply(host, SHOP, name, state="absent") == []


def test_B11_purge_takes_what_is_not_listed_and_leaves_what_others_made(hosts: dict[str, Host]) -> None:
    host = hosts["h1"]
    apply(host, SHOP)
    host.batch("link add foreign type bridge\n")
    host.batch("route add 10.66.0.0/16 dev eth1\nrule add from 10.66.0.1 lookup 66 priority 66\n", ns="web1")
    less = {
        **SHOP, "links": SHOP["links"][:1], "routes": [], "rules": [], "bridges": SHOP["bridges"][:2],
        "attachments": [each for each in SHOP["attachments"] if each["container"] != "web2"], "impairments": [],
    }
    assert apply(host, less) == [], "without purge, what is not listed stays"
    assert {each["action"] for each in apply(host, less, purge=True)} == {"delete"}
    assert apply(host, less, purge=True) == []
    assert host.links(ns="web2") == []
    assert host.links(ns="lb") == ["to-web1"]
    assert "proto 114" not in host.sh("ip", "route", "show", ns="lb")
    assert host.link("foreign") is not None
    assert "10.20.9.2" not in host.sh("ip", "rule", "show", ns="web1")
    for words in (("route", "show", "10.66.0.0/16"), ("rule", "show", "priority", "66")):
        assert host.sh("ip", *words, ns="web1").strip()


def test_a_topology_file_of_containerlab_is_laid_and_taken_back() -> None:
    host = Host("clab-lab-r1", "clab-lab-r2", "ext")
    try:
        before = host.snapshot()
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
        assert apply(host, lab, runtime="netns")
        assert apply(host, lab, runtime="netns") == []
        assert (host.link("eth1", ns="clab-lab-r1") or {})["mtu"] == 9500
        assert (host.link("to-ext") or {})["mtu"] == 1300
        assert {(host.link(name) or {}).get("master") for name in ("p1", "p2")} == {"br-lab"}
        assert host.ping("clab-lab-r1", "10.31.0.1")
        apply(host, lab, runtime="netns", state="absent")
        host.assert_as(before)
    finally:
        host.close()


def test_D1_the_playbook_says_what_it_would_do_and_does_it(hosts: dict[str, Host], tmp_path: Path) -> None:
    file = tmp_path / "shop.yml"
    file.write_text(EXAMPLE, encoding="utf-8")
    host = hosts["h1"]
    before = host.snapshot()
    would = play(host, "--check", file=str(file))
    line = next(part for part in would.splitlines() if '"h1: ' in part)
    assert "status 0" in would
    assert "3 more on interfaces that are not there yet" in line, would
    host.assert_as(before, "after a check run")
    done = play(host, file=str(file))
    said = re.search(r'"(h1: [^"]+)"', done)
    assert said, done
    assert f"'{said[1]}'" in PAGE, "the page shows what the playbook says"
    assert all(part in line for part in said[1].split(": ")[1].split(", ") if part.split()[0] not in ("route", "rule"))
    assert host.ping("web1", "10.20.1.2")


def test_a_mistake_stops_the_playbook_before_anything_is_touched(hosts: dict[str, Host], tmp_path: Path) -> None:
    file = tmp_path / "shop.json"
    wrong = {**SHOP, "links": [*SHOP["links"], {"endpoints": ["lb:x", "web9:eth1"]}]}
    file.write_text(json.dumps(wrong), encoding="utf-8")
    before = hosts["h2"].snapshot()
    said = play(hosts["h2"], name="h2", file=str(file))
    assert "status 2" in said
    assert "links[3].endpoints[1]: no container 'web9'; did you mean 'web2'? Nothing was changed." in said, said
    hosts["h2"].assert_as(before)
