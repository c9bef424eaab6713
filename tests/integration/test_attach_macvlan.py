# Copyright: pipework.containers contributors
# GNU General Public License v3.0+ (see LICENSE)
"""pipework_attach, kind macvlan: containers on a NIC of the host. The NIC is one end of a cable to a LAN of its own."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from ansible_collections.pipework.containers.plugins.module_utils._core.errors import PipeworkError
from tests.integration.lab import Host

pytestmark = pytest.mark.root
NIC_MAC = "06:00:00:00:00:01"


@pytest.fixture
def host() -> Iterator[Host]:
    """A host with a NIC, nic0, that leads to the namespace lan."""
    found = Host("a", "b", "lan")
    found.sh(
        "ip",
        "link",
        "add",
        "nic0",
        "address",
        NIC_MAC,
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
    found.sh("ip", "address", "add", "203.0.113.254/24", "dev", "nic0", ns="lan")
    found.sh("ip", "link", "set", "nic0", "up", ns="lan")
    yield found
    found.close()


@pytest.mark.oldest
@pytest.mark.any_kernel
def test_P13_several_containers_on_one_nic(host: Host) -> None:
    host.sh("ip", "link", "set", "nic0", "up")
    before = host.snapshot()
    for number, guest in enumerate("ab", 1):
        result = host.attach(guest, host_interface="nic0", addresses=[f"203.0.113.{number}/24", f"fd03::{number}/64"])
        assert result["attachments"][0]["kind"] == "macvlan"
        link = host.link("eth1", ns=guest)
        assert link and link["linkinfo"]["info_kind"] == "macvlan" and link["linkinfo"]["info_data"]["mode"] == "bridge"
    assert host.ping("a", "203.0.113.2") and host.ping("b", "fd03::1")
    assert host.ping("a", "203.0.113.254") and host.ping("b", "203.0.113.254")
    assert not host.attach("a", host_interface="nic0", addresses=["203.0.113.1/24", "fd03::1/64"])["changed"]
    for guest in "ab":
        host.attach(guest, state="absent")
    host.assert_as(before)


def test_P13_a_nic_that_is_down_is_set_up(host: Host) -> None:
    host.attach("a", host_interface="nic0", addresses=["203.0.113.1/24"])
    assert host.ping("a", "203.0.113.254")


@pytest.mark.any_kernel
@pytest.mark.parametrize("mode", ["bridge", "private", "vepa", "passthru", "source"])
def test_P13_every_mode(host: Host, mode: str) -> None:
    host.attach("a", host_interface="nic0", mode=mode)
    link = host.link("eth1", ns="a")
    assert link and link["linkinfo"]["info_data"]["mode"] == mode
    assert not host.attach("a", host_interface="nic0", mode=mode)["changed"]


def test_P13_private_containers_do_not_reach_each_other_but_the_lan(host: Host) -> None:
    for number, guest in enumerate("ab", 1):
        host.attach(guest, host_interface="nic0", mode="private", addresses=[f"203.0.113.{number}/24"])
    assert host.ping("a", "203.0.113.254")
    assert not host.ok("ping", "-c", "1", "-W", "1", "203.0.113.2", ns="a")


@pytest.mark.any_kernel
def test_B2_the_mode_changes_in_place(host: Host) -> None:
    host.attach("a", host_interface="nic0", mode="bridge", addresses=["203.0.113.1/24"])
    index = (host.link("eth1", ns="a") or {})["ifindex"]
    result = host.attach("a", host_interface="nic0", mode="private", addresses=["203.0.113.1/24"])
    after = host.link("eth1", ns="a")
    assert after and (after["ifindex"], after["linkinfo"]["info_data"]["mode"]) == (index, "private")
    assert [o["action"] for o in result["operations"]] == ["update"]


def test_B2_to_passthru_and_back_needs_a_new_interface_which_keeps_the_rest(host: Host) -> None:
    host.attach("a", host_interface="nic0", addresses=["203.0.113.1/24"])
    host.attach("a", host_interface="nic0", mode="passthru")
    assert host.addresses("eth1", ns="a") == ["203.0.113.1/24"]
    host.attach("a", host_interface="nic0", mode="bridge")
    assert host.addresses("eth1", ns="a") == ["203.0.113.1/24"]


@pytest.mark.parametrize("mac", [NIC_MAC, NIC_MAC.upper(), NIC_MAC.replace(":", "-")])
def test_P14_the_nic_by_its_address(host: Host, mac: str) -> None:
    host.attach("b", host_interface="nic0")  # a macvlan above: the NIC is meant all the same
    result = host.attach("a", host_interface=f"mac:{mac}", addresses=["203.0.113.1/24"])
    assert result["attachments"][0]["host_interface"] == "nic0"
    assert host.ping("a", "203.0.113.254")


def test_P14_an_unknown_address_and_one_of_two_nics_are_refused(host: Host) -> None:
    host.sh(
        "ip",
        "link",
        "add",
        "nic8",
        "address",
        "06:00:00:00:00:08",
        "type",
        "veth",
        "peer",
        "name",
        "nic9",
        "address",
        "06:00:00:00:00:08",
    )
    before = host.snapshot()
    with pytest.raises(
        PipeworkError,
        match=r"host_interface: no interface of the host has the address 06:00:00:00:00:77.*Nothing was changed",
    ):
        host.attach("a", host_interface="mac:06:00:00:00:00:77")
    with pytest.raises(
        PipeworkError, match=r"host_interface: several interfaces have .*nic8, nic9.*Nothing was changed"
    ):
        host.attach("a", host_interface="mac:06:00:00:00:00:08")
    host.assert_as(before)


@pytest.mark.any_kernel
def test_P37_the_mtu_is_that_of_the_nic(host: Host) -> None:
    assert host.attach("a", host_interface="nic0")["attachments"][0]["mtu"] == 1450
    host.attach("a", host_interface="nic0", mtu=1300)
    assert (host.link("eth1", ns="a") or {})["mtu"] == 1300


def test_P37_more_than_the_nic_has_is_refused(host: Host) -> None:
    before = host.snapshot()
    with pytest.raises(PipeworkError, match=r"mtu: 1451 is more than nic0 has \(1450\).*Nothing was changed"):
        host.attach("a", host_interface="nic0", mtu=1451)
    host.assert_as(before)


def test_P26_the_mac_changes_in_place(host: Host) -> None:
    host.attach("a", host_interface="nic0", addresses=["203.0.113.1/24"])
    index = (host.link("eth1", ns="a") or {})["ifindex"]
    host.attach("a", host_interface="nic0", addresses=["203.0.113.1/24"], mac_address="02:00:00:00:00:0a")
    after = host.link("eth1", ns="a")
    assert after and (after["ifindex"], after["address"]) == (index, "02:00:00:00:00:0a")
    assert host.ping("a", "203.0.113.254")


def test_another_nic_means_a_new_interface_of_the_same_settings(host: Host) -> None:
    host.sh("ip", "link", "add", "nic1", "type", "veth", "peer", "name", "x")
    host.attach("a", host_interface="nic0", addresses=["203.0.113.1/24"], gateway=["203.0.113.254"])
    result = host.attach("a", host_interface="nic1", addresses=["203.0.113.1/24"], gateway=["203.0.113.254"])
    assert result["attachments"][0]["host_interface"] == "nic1"
    assert host.addresses("eth1", ns="a") == ["203.0.113.1/24"]
    assert host.routes("a", "route", "show", "default")[0].startswith("default via 203.0.113.254 dev eth1")


def test_from_bridge_to_nic_and_back(host: Host) -> None:
    before = host.snapshot()
    host.attach("a", addresses=["203.0.113.1/24"], gateway=["203.0.113.254"])
    host.attach("a", addresses=["203.0.113.1/24"], gateway=["203.0.113.254"], host_interface="nic0")
    assert host.ping("a", "203.0.113.254")
    assert host.links() == ["nic0"]  # the bridge went with its last port
    host.attach("a", addresses=["203.0.113.1/24"], gateway=["203.0.113.254"])
    assert [name for name in host.links() if not name.startswith("pw")] == ["br1", "nic0"]
    host.attach("a", state="absent")
    host.sh("ip", "link", "set", "nic0", "down")
    host.assert_as(before)


def test_a_nic_that_is_a_port_of_a_bridge_is_refused_with_a_hint(host: Host) -> None:
    host.sh("ip", "link", "add", "lanbr", "type", "bridge")
    host.sh("ip", "link", "set", "nic0", "master", "lanbr")
    before = host.snapshot()
    with pytest.raises(PipeworkError, match=r"nic0 is a port of lanbr.*Nothing was changed"):
        host.attach("a", host_interface="nic0")
    with pytest.raises(PipeworkError, match=r"mode: kind bridge has no modes"):
        host.attach("a", host_interface="lanbr", mode="private")
    with pytest.raises(PipeworkError, match=r"host_interface: nic0 is not a Linux bridge"):
        host.attach("a", host_interface="nic0", kind="bridge")
    host.assert_as(before)


def test_B14_a_macvlan_whose_alias_the_container_changed_is_not_taken_for_anothers(host: Host) -> None:
    host.attach("a", host_interface="nic0", addresses=["203.0.113.1/24"])
    host.attach("b", host_interface="nic0", addresses=["203.0.113.2/24"])
    mark = (host.link("eth1", ns="b") or {})["ifalias"]
    host.sh("ip", "link", "set", "eth1", "alias", mark, ns="a")
    host.run(runtime="netns", container="b", state="absent")
    assert host.links("a") == ["eth1"] and host.links("b") == []
    host.run(runtime="netns", container="a", state="absent")
    assert host.links("a") == []


def test_B14_a_forged_record_of_a_nic_brings_nothing_home(host: Host) -> None:
    """A macvlan that claims, in its alias, to be a NIC of the host that was lent."""
    before_host = host.links()
    for tag in ("0123456789abcdef", ""):
        host.attach("a", host_interface="nic0", addresses=["203.0.113.1/24"])
        alias = f"pipework:netns:a:1:eth1|{tag}|stolen|1500|06:00:00:00:00:66|up|192.0.2.66/24|"
        host.sh("ip", "link", "set", "eth1", "alias", alias, ns="a")
        assert host.run(runtime="netns", container="a", state="absent")["changed"] and host.links("a") == []
        assert "stolen" not in host.links()
        assert [name for name in host.links() if name in before_host] == before_host
        assert host.addresses("nic0") == []
