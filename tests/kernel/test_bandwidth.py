# Copyright: pipework.containers contributors
# GNU General Public License v3.0+ (see LICENSE)
"""B13: rates of an attachment without an end on the host, where what comes too fast is dropped."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.integration.lab import Host
from tests.integration.test_tc import throughput


@pytest.fixture
def host() -> Iterator[Host]:
    found = Host("a", "b")
    found.batch("link add nic0 type veth peer name nic1\nlink set nic0 up\nlink set nic1 up\n")
    yield found
    found.close()


def test_B13_a_macvlan_has_both_rates(host: Host) -> None:
    """Bounds: never above the rate by more than a tenth."""
    for name, number in (("a", 1), ("b", 2)):
        host.attach(name, host_interface="nic0", kind="macvlan", addresses=[f"10.6.0.{number}/24"])
    limits = {"ingress": "8mbit", "egress": "4mbit"}
    common = {"host_interface": "nic0", "kind": "macvlan", "addresses": ["10.6.0.1/24"]}
    planned = host.attach(check=True, bandwidth=limits, **common)
    assert host.attach(bandwidth=limits, **common)["operations"] == planned["operations"]
    assert not host.attach(bandwidth=limits, **common)["changed"]
    assert host.ok("ping", "-c", "1", "-w", "10", "-q", "10.6.0.2", ns="a")
    assert throughput(host, 1_000_000, "a", "b", "10.6.0.2") < 4_400_000
    assert throughput(host, 3_000_000, "b", "a", "10.6.0.1") < 8_800_000
    faster = host.attach(bandwidth={**limits, "ingress": "16mbit"}, **common)
    assert [(each["action"], each["kind"]) for each in faster["operations"]] == [("update", "tc_filter")]
    gone = host.attach(bandwidth={}, **common)
    assert [each["action"] for each in gone["operations"]] == ["delete"] * 3
    assert "noqueue" in host.sh("tc", "qdisc", "show", "dev", "eth1", ns="a")
