# Copyright: pipework.containers contributors
# GNU General Public License v3.0+ (see LICENSE)
"""pipework_bridge, masquerade: containers reach what the host reaches, under the host's address."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from typing import Any

import pytest

from ansible_collections.pipework.containers.plugins.module_utils._core.errors import PipeworkError
from ansible_collections.pipework.containers.plugins.module_utils._jobs.bridge import BridgeJob
from tests.integration.lab import Host, failing_at, refusal

pytestmark = [pytest.mark.root, pytest.mark.skipif(not shutil.which("nft"), reason="needs nft")]
CLOSED = "table inet closed {\nchain forward {\ntype filter hook forward priority 0; policy drop;\n}\n}\n"
# The outside knows the host's address and no way to the containers.
OUTSIDE = "203.0.113.254"
WANTED = {"addresses": ["10.8.0.254/24", "10.9.0.254/24"], "masquerade": True}


@pytest.fixture
def routed() -> Iterator[Host]:
    """A host with a way out, and one container on its bridge."""
    host = Host("a", "out")
    host.sh("ip", "link", "add", "nic0", "type", "veth", "peer", "name", "nic0", "netns", "out")
    host.batch("address add 203.0.113.1/24 dev nic0\nlink set nic0 up")
    host.batch(f"address add {OUTSIDE}/24 dev nic0\nlink set nic0 up", ns="out")
    host.sh("sysctl", "-qw", "net.ipv4.ip_forward=1")
    yield host
    host.close()


def sure(host: Host, **params: Any) -> dict[str, Any]:
    """A check run, the run, and a second one, which must agree."""
    planned = host.run(job=BridgeJob, name="br1", check=True, **params)
    done = host.run(job=BridgeJob, name="br1", **params)
    assert planned["operations"] == done["operations"]
    again = host.run(job=BridgeJob, name="br1", **params)
    assert not again["changed"], again["operations"]
    return done


def attach(host: Host) -> None:
    host.attach("a", addresses=["10.8.0.1/24"], gateway=["10.8.0.254"])


@pytest.mark.parametrize("filters", ["", CLOSED], ids=["open", "closed"])
def test_containers_reach_the_outside_under_the_hosts_address(routed: Host, filters: str) -> None:
    host = routed
    if filters:
        host.sh("nft", "-f", "-", text=filters)
    before = host.snapshot()
    sure(host, addresses=WANTED["addresses"])
    attach(host)
    assert not host.ping("a", OUTSIDE, seconds=0)
    host.sh("sysctl", "-qw", "net.ipv4.ip_forward=0")
    done = sure(host, **WANTED)
    assert done["bridges"][0]["masquerade"] is True
    assert {"masquerade", "sysctl"} <= {each["kind"] for each in done["operations"]}
    assert host.ping("a", OUTSIDE)
    assert host.ping("a", "10.8.0.254")
    listed = host.sh("nft", "list", "table", "ip", "pipework")
    assert listed.count('comment "pipework:masquerade:br1"') == 2
    host.batch("route add 10.8.0.0/24 via 203.0.113.1", ns="out")
    if filters:  # nobody comes in by himself
        assert not host.ping("out", "10.8.0.1", seconds=0)
    sure(host, addresses=["10.8.0.254/24"], masquerade=True)
    assert host.sh("nft", "list", "table", "ip", "pipework").count("pipework:masquerade:br1") == 1
    host.sh("nft", "flush", "table", "ip", "pipework")
    assert sure(host, addresses=["10.8.0.254/24"], masquerade=True)["changed"]
    host.batch("route del 10.8.0.0/24 via 203.0.113.1", ns="out")
    sure(host, masquerade=False)
    assert not host.ping("a", OUTSIDE, seconds=0)
    sure(host, masquerade=True)  # of the addresses that are there
    assert host.ping("a", OUTSIDE)
    host.attach("a", state="absent")
    sure(host, state="absent")
    host.assert_as(before)


def test_B4_B11_others_rules_stay_and_failures_leave_nothing(routed: Host) -> None:
    host = routed
    host.sh("nft", "-f", "-", text="table ip pipework {\nchain mine {\n}\n}\n" + CLOSED)
    before = host.snapshot()
    number = 0
    while refusal(lambda: host.run(job=BridgeJob, name="br1", step=failing_at(number), **WANTED)):  # noqa: B023
        host.assert_as(before, f"failed at operation {number}")
        number += 1
    assert number > 4
    host.run(job=BridgeJob, name="br2", addresses=["10.10.0.254/24"], masquerade=True)
    both = sorted(host.snapshot()["host"]["filter"].splitlines())
    number = 0
    while refusal(lambda: host.run(job=BridgeJob, name="br1", state="absent", step=failing_at(number))):  # noqa: B023
        found = sorted(host.snapshot()["host"]["filter"].splitlines())  # rules that came back stand elsewhere
        assert found == both, f"failed at operation {number}"
        number += 1
    assert host.sh("nft", "list", "table", "ip", "pipework").count("pipework:masquerade:br2") == 1
    host.run(job=BridgeJob, bridges=[], purge=True)
    host.assert_as(before)
    with pytest.raises(PipeworkError, match=r"masquerade: br1 has no IPv4 address whose network.*Nothing was changed"):
        host.run(job=BridgeJob, name="br1", addresses=["fd00::1/64"], masquerade=True)


@pytest.mark.skipif(not shutil.which("iptables-legacy"), reason="needs iptables-legacy")
def test_without_nft_iptables_does_it(routed: Host) -> None:
    host = routed
    nft = shutil.which("nft")
    host.sh("mount", "--bind", "/dev/null", str(nft))  # of this host's own mounts
    host.sh("iptables-legacy", "-P", "FORWARD", "DROP")
    host.sh("iptables-legacy", "-t", "nat", "-A", "POSTROUTING", "-d", "10.99.0.0/16", "-j", "ACCEPT")
    before = host.sh("iptables-legacy-save", "-t", "nat")
    sure(host, **WANTED)
    attach(host)
    assert host.ping("a", OUTSIDE)
    assert host.sh("iptables-legacy-save").count("pipework:masquerade:br1") == 2
    host.attach("a", state="absent")
    sure(host, state="absent")
    lasting = [line for line in before.splitlines() if not line.startswith(("#", ":"))]
    after = host.sh("iptables-legacy-save", "-t", "nat").splitlines()
    assert [line for line in after if not line.startswith(("#", ":"))] == lasting
