# Copyright: pipework.containers contributors
# GNU General Public License v3.0+ (see LICENSE)
"""The lane itself: the kernel, what it can, and how a NIC comes back from a dead container."""
from __future__ import annotations

import pathlib
import platform
from typing import Any

import pytest


def test_kernel_is_user_mode_linux() -> None:
    assert "User Mode Linux" in pathlib.Path("/proc/cpuinfo").read_text()
    assert (pathlib.Path("/usr/lib/uml/modules") / platform.release()).is_dir()


def test_nothing_reaches_the_host_but_the_results() -> None:
    mounts = [line.split()[1:3] for line in pathlib.Path("/proc/mounts").read_text().splitlines()]
    assert [kind for where, kind in mounts if where == "/"][-1] == "overlay"
    assert [kind for where, kind in mounts if where == "/run"] == ["tmpfs"]
    hostfs = [where for where, kind in mounts if kind == "hostfs"]
    assert [where.rsplit("/", 1)[1] for where in hostfs] == ["results"]


@pytest.mark.parametrize("what", [
    "type dummy", "type veth", "type bridge vlan_filtering 1", "type vxlan id 7 dstport 4789",
    "link base type macvlan mode bridge", "link base type macvtap", "link base type ipvlan mode l3s",
    "link base type vlan id 10"])
def test_links_can_be_made(guest: Any, what: str) -> None:
    guest.run("ip", "link", "add", "base", "type", "dummy")
    guest.run("ip", "link", "add", "name", "made", *what.split())
    assert what.split("type ")[1].split()[0] in guest.run("ip", "-d", "link", "show", "dev", "made")


def test_netem_can_be_set(guest: Any) -> None:
    guest.run("ip", "link", "add", "made", "type", "dummy")
    guest.run("tc", "qdisc", "add", "dev", "made", "root", "netem", "loss", "30%")
    assert "netem" in guest.run("tc", "qdisc", "show", "dev", "made")


def test_nics_are_like_physical_ones(nics: Any) -> None:
    assert [nic.name for nic in nics] == ["vec0", "vec1"]
    for nic in nics:
        assert "linkinfo" not in nic.link()  # no rtnl_link_ops
        assert nic.link()["parentdev"] == nic.device


def test_nics_are_wired_to_each_other(nics: Any, make_guest: Any) -> None:
    ping_across(nics, make_guest(), make_guest())


def test_nic_of_a_dead_guest_comes_back(nics: Any, make_guest: Any) -> None:
    nic, guest = nics[0], make_guest()
    nic.move_to(guest, "eth1")
    guest.run("ip", "address", "add", "192.0.2.7/24", "dev", "eth1")
    guest.run("ip", "link", "set", "dev", "eth1", "mtu", "1400", "up")
    assert nic.here() is None
    guest.kill()
    assert nic.wait_here() == "eth1"  # the name that it had in the guest
    link = nic.link()
    assert (link["mtu"], link["address"]) == (1400, nic.mac)
    assert "UP" not in link["flags"]
    assert nic.addresses() == []
    nic.restore()
    ping_across(nics, make_guest(), make_guest())  # it still carries frames


def test_nic_comes_back_misnamed_when_its_name_is_taken(nics: Any, make_guest: Any) -> None:
    for nic in nics:
        guest = make_guest()
        nic.move_to(guest, "eth1")
        guest.kill()
        nic.wait_here()
    assert nics[0].here() == "eth1"
    assert nics[1].here() == f"dev{nics[1].link()['ifindex']}"


def test_virtual_link_dies_with_its_guest(guest: Any) -> None:
    guest.run("ip", "link", "add", "made", "type", "dummy")
    guest.kill()
    assert not pathlib.Path("/sys/class/net/made").exists()


def ping_across(nics: Any, *guests: Any) -> None:
    """Frames pass between the NICs, one in each guest."""
    for number, (nic, guest) in enumerate(zip(nics, guests), start=1):
        nic.move_to(guest, "eth1")
        guest.run("ip", "address", "add", f"192.0.2.{number}/24", "dev", "eth1")
        guest.run("ip", "link", "set", "dev", "eth1", "up")
    guests[0].run("ping", "-c", "1", "-W", "5", "192.0.2.2")
