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


@pytest.mark.parametrize("upper", ["macvlan", "host", "vlan"])
def test_B19_a_nic_that_carries_others_does_not_move(wired: Host, upper: str) -> None:
    if upper == "macvlan":
        wired.attach("a", host_interface=NIC, kind="macvlan")
        name = "netns:a/eth1"
    elif upper == "host":
        name = "shim0"
        wired.sh("ip", "link", "add", name, "link", NIC, "type", "macvlan", "mode", "bridge")
    else:
        name = f"{NIC}.7"
        if not wired.ok("ip", "link", "add", name, "link", NIC, "type", "vlan", "id", "7"):
            pytest.skip("this kernel has no VLANs: the same runs in the kernel lane")
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
