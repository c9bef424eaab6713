# Copyright: pipework.containers contributors
# GNU General Public License v3.0+ (see LICENSE)
"""What is done as it is told, but hardly meant, is said in warnings: in check mode as in a real run, and once."""

from __future__ import annotations

import time
from typing import Any

import pytest

from ansible_collections.pipework.containers.plugins.module_utils._jobs.bridge import BridgeJob
from ansible_collections.pipework.containers.plugins.module_utils._jobs.commands import CommandsJob
from tests.integration.lab import Host

pytestmark = pytest.mark.root

LAN = """
link add nic0 type veth peer name lan0
link set nic0 up
link set lan0 up
address add 10.5.0.2/24 dev nic0
address add fd05::2/64 dev nic0 nodad
link add docker0 type bridge
link set docker0 up
address add 172.17.0.1/16 dev docker0
"""


@pytest.fixture
def lan(host: Host) -> Host:
    """A host on a LAN, with a bridge of an engine's."""
    host.batch(LAN)
    return host


def warned(host: Host, *items: dict[str, Any], **more: Any) -> list[str]:
    """The warnings of a run, which a check run gives too; a second run changes nothing and gives none."""
    params = {"runtime": "netns", "host_interface": "br1", **more}
    params |= {"attachments": list(items)} if items else {}
    planned, done = host.run(check=True, **params), host.run(**params)
    assert planned["changed"] and done["changed"]
    assert planned.get("warnings", []) == done.get("warnings", [])
    assert planned["operations"] == done["operations"]
    for check in (True, False):
        again = host.run(check=check, **params)
        assert not again["changed"] and "warnings" not in again
    return list(done.get("warnings", []))


def test_an_address_of_a_network_that_the_host_has_elsewhere(lan: Host) -> None:
    [words] = warned(lan, container="a", addresses=["10.5.0.9/24"])
    assert words.startswith("addresses: 10.5.0.9/24 of a/eth1 on br1 lies in 10.5.0.0/24, which the host has on nic0")
    said = warned(lan, container="a", interface="eth2", host_interface="br2", addresses=["172.17.9.9/16", "fd05::9/64"])
    assert ["172.17.0.0/16, which the host has on docker0" in said[0], "fd05::/64" in said[1]] == [True, True]
    # On the network itself it is right; so is one host alone, and what the host knows nothing of.
    assert not warned(lan, container="a", interface="eth3", host_interface="docker0", addresses=["172.17.9.8/16"])
    assert not warned(lan, container="b", host_interface="nic0", kind="macvlan", addresses=["10.5.0.8/24"])
    assert not warned(lan, container="b", interface="eth2", addresses=["10.5.0.7/32", "10.6.0.7/24"])
    # The host's own end, and its bridges.
    [words] = warned(lan, runtime="host", interface="lan9", host_interface="br3", addresses=["10.5.0.77/24"])
    assert "10.5.0.77/24 of host/lan9 on br3" in words
    params = {"name": "br9", "addresses": ["10.5.0.3/24", "10.9.0.1/24"]}
    planned, done = (lan.run(check=check, job=BridgeJob, **params) for check in (True, False))
    [words] = planned["warnings"]
    assert "10.5.0.3/24 of br9 lies in 10.5.0.0/24, which the host has on nic0" in words
    assert done["warnings"] == [words] and "warnings" not in lan.run(job=BridgeJob, **params)


def test_one_network_with_two_prefix_lengths(lan: Host) -> None:
    one, two = {"container": "a", "addresses": ["10.1.0.1/24"]}, {"container": "b", "addresses": ["10.1.0.2/16"]}
    [words] = warned(lan, one, two)
    assert "10.1.0.1/24 of a/eth1 and 10.1.0.2/16 of b/eth1" in words and "on br1" in words
    lan.sh("ip", "address", "add", "10.7.0.1/16", "dev", "br1")
    [words] = warned(lan, container="a", interface="eth2", addresses=["10.7.0.2/24"])
    assert "the host's br1" in words and "10.7.0.1/16" in words
    assert not warned(lan, container="a", interface="eth3", addresses=["10.8.0.1/24", "10.9.0.1/16"])


def test_a_gateway_without_an_address(lan: Host) -> None:
    [words] = warned(lan, container="a", gateway=["10.1.0.254"])
    assert words.startswith("gateway: 10.1.0.254 of a/eth1: the interface has no IPv4 address")
    assert not warned(lan, container="a", addresses=["10.1.0.1/24"], gateway=["10.1.0.254"], interface="eth1")
    assert not warned(lan, container="a", gateway=["10.1.0.253"])


def test_a_container_that_leaves_its_network_since_no_interface_is_named(lan: Host) -> None:
    assert not warned(lan, container="a", addresses=["10.1.0.1/24"])
    assert warned(lan, container="a", host_interface="br2", addresses=["10.2.0.1/24"]) == [
        "a/eth1 moved from br1 to br2; a second network needs another interface"
    ]
    assert not warned(lan, container="a", interface="eth1", addresses=["10.1.0.1/24"])
    assert warned(lan, {"container": "a"}, host_interface="nic0", kind="macvlan") == [
        "a/eth1 moved from br1 to nic0; a second network needs another interface"
    ]
    assert not warned(lan, {"container": "a"}, interface="eth1")
    lines = {"job": CommandsJob, "runtime": "netns", "cmd": "br3 a 10.3.0.1/24"}
    planned, done, again = (lan.run(check=check, **lines) for check in (True, False, False))
    assert planned["warnings"] == done["warnings"] and "a/eth1 moved from br1 to br3" in str(done["warnings"])
    assert not again["changed"] and "warnings" not in again


def test_a_gateway_that_nobody_answers_for(lan: Host) -> None:
    lan.attach("b", addresses=["10.1.0.254/24"])
    wish: dict[str, Any] = {"addresses": ["10.1.0.1/24"], "interface": "eth1"}
    assert "warnings" not in lan.attach("a", gateway=["10.1.0.254"], **wish)
    planned = lan.attach("a", check=True, gateway=["10.1.0.253"], **wish)
    began = time.monotonic()
    done = lan.attach("a", gateway=["10.1.0.253"], **wish)
    assert time.monotonic() - began < 5
    assert planned["operations"] == done["operations"] and "warnings" not in planned  # only the network can tell
    [words] = done["warnings"]
    assert words.startswith("gateway: 10.1.0.253 of a/eth1: nobody on its segment answers for that address yet")
    again = lan.attach("a", gateway=["10.1.0.253"], **wish)
    assert not again["changed"] and "warnings" not in again
    assert "warnings" not in lan.attach("a", gateway=["10.1.0.252"], announce=False, **wish)
    # Who answers for others, as routers with proxy ARP do, counts; where nobody is, nobody is asked.
    proxy = ("net.ipv4.conf.eth1.proxy_arp=1", "net.ipv4.neigh.eth1.proxy_delay=0", "net.ipv4.ip_forward=1")
    lan.sh("sysctl", "-qw", *proxy, ns="b")
    lan.batch("link add far0 type veth peer name far1\nlink set far0 up\nroute add 10.1.0.250/32 dev far0\n", ns="b")
    assert "warnings" not in lan.attach("a", gateway=["10.1.0.250"], **wish)
    alone = {"interface": "eth2", "host_interface": "br2", "addresses": ["10.2.0.1/24"], "gateway": ["10.2.0.254"]}
    assert "nobody" not in str(lan.attach("b", **alone))
    # On a NIC too.
    lan.batch("address add 10.5.0.254/24 dev lan0\n")
    nic: dict[str, Any] = {"interface": "eth3", "host_interface": "nic0", "kind": "macvlan", "gateway_metric": 50}
    lan.sh("sysctl", "-qw", "net.ipv4.conf.all.arp_ignore=1")
    said = lan.attach("b", addresses=["10.5.0.9/24"], gateway=["10.5.0.253"], **nic)
    assert "10.5.0.253 of b/eth3: nobody" in str(said["warnings"])
    assert "warnings" not in lan.attach("b", addresses=["10.5.0.9/24"], gateway=["10.5.0.254"], **nic)
