# Copyright: pipework.containers contributors
# GNU General Public License v3.0+ (see LICENSE)
"""pipework_attach, kind phys: the NIC itself moves. Here it is the end of a cable.

Real NICs, and what becomes of them when a container dies, are in tests/kernel.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import pytest

from ansible_collections.pipework.containers.plugins.module_utils._core.errors import PipeworkError
from tests.integration.lab import Host

pytestmark = pytest.mark.root
MAC = "06:00:00:00:00:01"
PHYS: dict[str, Any] = {"host_interface": "nic0", "kind": "phys", "addresses": ["203.0.113.1/24"]}


@pytest.fixture
def host() -> Iterator[Host]:
    """A host with a NIC, nic0, that leads to the namespace lan, and has addresses, an MTU and an alias."""
    found = Host("a", "b", "lan")
    found.sh(
        "ip",
        "link",
        "add",
        "nic0",
        "address",
        MAC,
        "mtu",
        "1450",
        "type",
        "veth",
        "peer",
        "name",
        "nic0",
        "mtu",
        "1450",
        "netns",
        "lan",
    )
    found.sh(
        "ip",
        "-batch",
        "-",
        text="""
        link set nic0 up alias uplink|to_the|lan
        address add 203.0.113.9/24 brd + dev nic0
        address add 10.77.0.1/32 dev nic0
        address add fd08::9/64 dev nic0
    """,
    )
    found.sh("ip", "address", "add", "203.0.113.254/24", "dev", "nic0", ns="lan")
    found.sh("ip", "link", "set", "nic0", "up", ns="lan")
    yield found
    found.close()


@pytest.mark.any_kernel
@pytest.mark.parametrize("host_interface", ["nic0", f"mac:{MAC.upper()}"])
def test_P15_the_nic_moves_and_comes_back_as_it_was(host: Host, host_interface: str) -> None:
    before = host.snapshot()
    wanted = {
        **PHYS,
        "host_interface": host_interface,
        "mtu": 1300,
        "mac_address": "02:00:00:00:00:07",
        "gateway": ["203.0.113.254"],
    }
    result = host.attach("a", **wanted)
    assert host.links() == [] and host.links("a") == ["eth1"]
    link = host.link("eth1", ns="a")
    assert link and (link["mtu"], link["address"]) == (1300, "02:00:00:00:00:07") and "UP" in link["flags"]
    assert result["attachments"][0]["kind"] == "phys" and result["attachments"][0]["host_interface"] == "nic0"
    assert host.ping("a", "203.0.113.254")
    assert not host.attach("a", **wanted)["changed"]
    host.attach("a", state="absent", host_interface=host_interface, kind="phys")
    host.assert_as(before)
    assert not host.attach("a", state="absent", host_interface=host_interface, kind="phys")["changed"]


@pytest.mark.oldest
@pytest.mark.any_kernel
def test_P15_a_nic_that_was_down_and_bare_comes_back_so(host: Host) -> None:
    host.sh("ip", "link", "set", "nic0", "down", "alias", "")
    host.sh("ip", "address", "flush", "dev", "nic0")
    before = host.snapshot()
    host.attach("a", **PHYS)
    assert host.ping("a", "203.0.113.254")
    host.run(runtime="netns", container="a", state="absent")
    host.assert_as(before)


def test_P15_another_name_inside(host: Host) -> None:
    before = host.snapshot()
    host.attach("a", interface="wan.7", **PHYS)
    assert host.links("a") == ["wan.7"]
    host.attach("a", interface="wan.7", state="absent")
    host.assert_as(before)


def test_P15_changes_in_place_and_to_another_container(host: Host) -> None:
    before = host.snapshot()
    host.attach("a", **PHYS)
    index = (host.link("eth1", ns="a") or {})["ifindex"]
    host.attach("a", **{**PHYS, "addresses": ["203.0.113.2/24"], "mtu": 1400})
    assert (host.link("eth1", ns="a") or {})["ifindex"] == index
    assert host.addresses("eth1", ns="a") == ["203.0.113.2/24"]
    with pytest.raises(PipeworkError, match="nic0"):  # it is in a, so the host has none of that name
        host.attach("b", **PHYS)
    host.attach("a", state="absent")
    host.attach("b", **PHYS)
    host.attach("b", state="absent")
    host.assert_as(before)


def test_P15_purge_brings_it_home(host: Host) -> None:
    before = host.snapshot()
    host.attach("a", **PHYS)
    host.run(attachments=[], purge=True, host_interface="other")
    assert host.links("a") == ["eth1"]
    host.run(attachments=[], purge=True, host_interface="nic0")
    host.assert_as(before)


def test_P15_a_name_that_was_taken_meanwhile_is_refused_and_named(host: Host) -> None:
    host.attach("a", **PHYS)
    host.sh("ip", "link", "add", "nic0", "type", "bridge")
    before = host.snapshot()
    with pytest.raises(PipeworkError, match=r"the NIC nic0 cannot come home.*Nothing was changed"):
        host.attach("a", state="absent")
    host.assert_as(before)
    host.sh("ip", "link", "del", "nic0")
    host.attach("a", state="absent")
    assert host.addresses("nic0") == ["10.77.0.1/32", "203.0.113.9/24", "fd08::9/64"]


@pytest.mark.parametrize(
    ("prepare", "words"),
    [
        (["link add br0 type bridge", "link set nic0 master br0"], "nic0 is a port of br0"),
        ([], None),
    ],
)
def test_P15_what_is_no_free_nic_is_refused(host: Host, prepare: list[str], words: str | None) -> None:
    if prepare:
        host.batch("\n".join(prepare))
    before = host.snapshot()
    for name, said in [("nic0", words)] if words else [("br9", "br9")]:
        with pytest.raises(PipeworkError, match=f"{said}.*Nothing was changed"):
            host.attach("a", **{**PHYS, "host_interface": name})
    with pytest.raises(PipeworkError, match=r"kind: phys.*Nothing was changed"):
        host.run(runtime="host", host_interface="nic0", kind="phys")
    host.assert_as(before)


def test_P15_more_addresses_than_can_be_remembered_are_refused(host: Host) -> None:
    host.batch("\n".join(f"address add fd08:1111:2222:3333:4444:5555:6666:{n:x}/128 dev nic0" for n in range(1, 9)))
    before = host.snapshot()
    with pytest.raises(PipeworkError, match=r"more addresses \(11\) than can be kept.*Nothing was changed"):
        host.attach("a", **PHYS)
    host.assert_as(before)


def test_P15_two_containers_cannot_have_one_nic(host: Host) -> None:
    before = host.snapshot()
    with pytest.raises(PipeworkError, match=r"nic0 is wanted by .*Nothing was changed"):
        host.run(
            runtime="netns", host_interface="nic0", kind="phys", attachments=[{"container": "a"}, {"container": "b"}]
        )
    host.assert_as(before)


@pytest.mark.parametrize(
    "alias",
    [
        "pipework:netns:a:eth1|0123456789abcdef|nic0|1450|06:00:00:00:00:66|up|192.0.2.66/24|",
        "pipework:netns:a:eth1|{tag}|other0|1450|06:00:00:00:00:01|up|192.0.2.66/24|",
        "",
        "mine",
    ],
)
def test_B14_an_alias_that_the_container_wrote_decides_nothing_about_the_host(host: Host, alias: str) -> None:
    host.attach("a", **PHYS)
    tag = (host.link("eth1", ns="a") or {})["ifalias"].split("|")[1]
    host.sh("ip", "link", "set", "eth1", "alias", alias.replace("{tag}", tag), ns="a")
    before = host.snapshot()
    with contextlib.suppress(PipeworkError):
        host.attach("a", state="absent")
    if host.snapshot() != before:  # then it came home as what it was
        assert host.addresses("nic0") == ["10.77.0.1/32", "203.0.113.9/24", "fd08::9/64"]
    assert "192.0.2.66/24" not in str(host.ip("address", "show"))
    assert "other0" not in host.links()
