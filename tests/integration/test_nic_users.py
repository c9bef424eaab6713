# Copyright: pipework.containers contributors
# GNU General Public License v3.0+ (see LICENSE)
"""What stands on a NIC decides what can come to it: said beforehand, in check mode as in a real run, in words."""

from __future__ import annotations

import functools
from typing import Any

import pytest

from tests.integration.lab import Host, refusal

NIC, MAC = "nic0", "02:00:00:00:00:aa"


@pytest.fixture
def wired(host: Host) -> Host:
    """A host with a NIC."""
    host.sh("ip", "link", "add", NIC, "type", "veth", "peer", "name", "lan0")
    host.batch(f"link set {NIC} up\nlink set lan0 up\n")
    return host


def refused(host: Host, container: str | None = None, **params: Any) -> str:
    """The words of a refusal, which are the same in check mode and leave all as it is."""
    before = host.snapshot()
    params = {"runtime": "netns", "host_interface": NIC, **params, **({"container": container} if container else {})}
    said = refusal(functools.partial(host.run, check=True, **params))
    assert said is not None
    assert said.endswith("Nothing was changed.")
    assert said == refusal(functools.partial(host.run, **params))
    host.assert_as(before)
    return said


@pytest.mark.parametrize("first", ["bridge", "passthru"])
def test_B19_passthru_has_the_nic_for_itself(wired: Host, first: str) -> None:
    """Also where the other one is in a container that this run is not about."""
    second = {"bridge": "passthru", "passthru": "private"}[first]
    wired.attach("a", host_interface=NIC, kind="macvlan", mode=first)
    said = refused(wired, "b", kind="macvlan", mode=second)
    assert f"netns:a/eth1 (macvlan in mode {first})" in said
    assert f"mode: {second}" in said


def test_B19_a_foreign_macvlan_is_named_too(wired: Host) -> None:
    wired.sh("ip", "link", "add", "mv9", "link", NIC, "netns", "a", "type", "macvlan", "mode", "bridge")
    assert "mv9" in refused(wired, "b", kind="macvlan", mode="passthru")
    assert "mv9" in refused(wired, "b", kind="phys")


def test_B19_one_mac_address_once_on_a_nic(wired: Host) -> None:
    wired.attach("a", host_interface=NIC, kind="macvlan", mac_address=MAC)
    assert "netns:a/eth1" in refused(wired, "b", kind="macvtap", mac_address=MAC)
    nic = (wired.link(NIC) or {})["address"]
    assert f"the address of {NIC} itself" in refused(wired, "b", kind="macvlan", mac_address=nic)


@pytest.mark.parametrize("upper", ["macvlan", "host", pytest.param("vlan", marks=pytest.mark.kernel)])
def test_B19_a_nic_that_carries_others_does_not_move(wired: Host, upper: str) -> None:
    if upper == "macvlan":
        wired.attach("a", host_interface=NIC, kind="macvlan")
        name = "netns:a/eth1"
    elif upper == "host":
        name = "shim0"
        wired.sh("ip", "link", "add", name, "link", NIC, "type", "macvlan", "mode", "bridge")
    else:
        name = f"{NIC}.7"
        wired.sh("ip", "link", "add", name, "link", NIC, "type", "vlan", "id", "7")
    assert name in refused(wired, "b", kind="phys")


def test_B19_what_leaves_only_afterwards_is_in_the_way(wired: Host) -> None:
    wired.attach("a", host_interface=NIC, kind="macvlan")
    items = [{"container": "a", "state": "absent"}, {"container": "b", "kind": "macvlan", "mode": "passthru"}]
    assert "do that in a task before" in refused(wired, attachments=items)
    wired.run(runtime="netns", host_interface=NIC, attachments=items[:1])
    assert wired.run(runtime="netns", host_interface=NIC, attachments=items)["changed"]


def test_an_interface_changes_its_mode_in_place(wired: Host) -> None:
    wired.attach("a", host_interface=NIC, kind="macvlan", mode="bridge")
    wired.attach("b", host_interface=NIC, kind="macvlan", mode="private")
    assert wired.attach("a", host_interface=NIC, kind="macvlan", mode="vepa")["changed"]
    assert not wired.attach("a", host_interface=NIC, kind="macvlan", mode="vepa")["changed"]


# the host's own addresses, and names on the host


@pytest.mark.parametrize("address", ["192.0.2.1/24", "2001:db8::1/64"])
@pytest.mark.parametrize("owner", [NIC, "shim0"])
def test_B19_the_hosts_own_address_on_the_nic_is_somebodys(wired: Host, owner: str, address: str) -> None:
    """No probe reaches the NIC from a macvlan on it."""
    if owner != NIC:
        wired.batch(f"link add {owner} link {NIC} type macvlan mode bridge\nlink set {owner} up\n")
    wired.sh("ip", "address", "add", address, "dev", owner)
    said = refused(wired, "a", kind="macvlan", addresses=[address])
    assert f"addresses: {address}: the host has that address on {owner}" in said
    other = address.replace("1/", "2/")
    assert wired.attach("a", host_interface=NIC, kind="macvlan", addresses=[other])["changed"]


@pytest.mark.parametrize(
    "items",
    [
        [
            {"container": "a", "host_interface": "br1", "local_interface": "eth76"},
            {"container": "b", "kind": "veth", "peer": {"runtime": "host", "interface": "eth76"}},
        ],
        [
            {"container": "a", "host_interface": "br1", "local_interface": "br2"},
            {"container": "b", "host_interface": "br2"},
        ],
        [
            {"container": "a", "host_interface": "br1", "local_interface": "br1"},
        ],
        [
            {"container": "a", "host_interface": "br1", "local_interface": "same"},
            {"container": "b", "host_interface": "br1", "local_interface": "same"},
        ],
    ],
    ids=["peer on the host", "bridge", "its own bridge", "twice"],
)
def test_B19_a_name_on_the_host_is_of_one_interface(host: Host, items: list[dict[str, Any]]) -> None:
    before = host.snapshot()
    for check in (True, False):
        params = {"runtime": "netns", "attachments": [{"runtime": "netns", **item} for item in items]}
        said = refusal(functools.partial(host.run, check=check, **params)) or ""
        assert "local_interface: " in said
        assert "File exists" not in said
    host.assert_as(before)


def test_B19_one_mac_address_once_on_a_bridge(host: Host) -> None:
    """Also where the other one is in a container that this run is not about."""
    port = {"host_interface": "br1", "mac_address": MAC}
    host.attach("a", mac_address=MAC)
    assert f"mac_address: {MAC} is the address of netns:a/eth1 already" in refused(host, "b", **port)
    own = (host.link("br1") or {})["address"]
    assert f"{own} is the address of br1" in refused(host, "b", host_interface="br1", mac_address=own)
    assert not host.attach("a", mac_address=MAC)["changed"]
    assert host.attach("b", host_interface="br2", mac_address=MAC)["changed"]
    assert "netns:a/eth1" in refused(host, "b", **port)  # it moves there
    swap = [{"container": "a", "state": "absent"}, {"container": "b", **port}]
    assert host.run(runtime="netns", attachments=swap)["changed"]


@pytest.mark.parametrize("mode", ["private", "bridge"])
def test_D6_an_address_that_no_probe_finds_on_a_nic(wired: Host, mode: str) -> None:
    shared = {"host_interface": NIC, "kind": "macvlan", "mode": mode, "addresses": ["10.1.0.1/24", "fd01::1/64"]}
    wired.attach("a", **shared)
    assert "10.1.0.1 is in use already, by netns:a/eth1, which is on nic0 too" in refused(wired, "b", **shared)
    assert "fd01::1 is in use already" in refused(wired, "b", **{**shared, "addresses": ["fd01::1/64"]})
    wired.attach("b", **{**shared, "addresses": ["10.1.0.2/24"]})
    assert "by netns:a/eth1" in refused(wired, "b", **{**shared, "addresses": ["10.1.0.1/16"]})  # later, too
    assert wired.attach("b", announce=False, **{**shared, "addresses": ["10.1.0.1/24"]})["changed"]
    for name in ("a", "b"):
        wired.attach(name, state="absent", host_interface=None)
    both = [{"container": name, **shared, "addresses": [f"10.1.0.{n}/24"]} for n, name in enumerate(("a", "b"), 3)]
    assert wired.run(runtime="netns", attachments=both)["changed"], "the kernel chooses MAC addresses"


def test_D6_an_address_that_no_probe_finds_on_isolated_ports(host: Host) -> None:
    port: dict[str, Any] = {"host_interface": "br1", "port": {"isolated": True}, "addresses": ["10.1.0.1/24"]}
    both = [{**port, "container": "a"}, {**port, "container": "b", "addresses": ["10.1.0.7/24"]}]
    assert host.run(runtime="netns", attachments=both)["changed"]
    assert "10.1.0.1 is in use already, by netns:a/eth1, which is on br1 too" in refused(host, "b", **port)
    assert host.attach("b", **{**port, "addresses": ["10.1.0.2/24"]})["changed"]
