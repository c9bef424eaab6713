# Copyright: pipework.containers contributors
# GNU General Public License v3.0+ (see LICENSE)
"""Containers with NET_ADMIN that take marks off, rename, forge: they are neither left alone nor believed."""

from __future__ import annotations

import os
import typing as t
from collections.abc import Iterator

import pytest

from tests.integration.lab import Host

pytestmark = pytest.mark.root
GROUPS = ("1885957733", "1885957734")  # the link groups of what is unfinished, and of what is about to go
ADDRESS = "203.0.113.1/24"


@pytest.fixture
def host() -> Iterator[Host]:
    """A bridge br1, and two NICs that lead to the namespace lan."""
    found = Host("a", "b", "lan")
    found.batch("""
        link add br1 address 06:00:00:00:00:99 type bridge
        link set br1 up
        link add nic0 address 06:00:00:00:00:01 type veth peer name nic0 netns lan
        link add nic1 address 06:00:00:00:00:02 type veth peer name nic1 netns lan
        link set nic0 up
        link set nic1 up
        address add 198.51.100.9/24 brd + dev nic0
        address add 198.51.100.10/24 brd + dev nic1
    """)
    yield found
    found.close()


KINDS: dict[str, dict[str, t.Any]] = {
    "bridge": {"host_interface": "br1"},
    "macvlan": {"host_interface": "nic0", "kind": "macvlan"},
    "macvtap": {"host_interface": "nic0", "kind": "macvtap"},
    "phys": {"host_interface": "nic0", "kind": "phys"},
    "veth": {"host_interface": None, "kind": "veth", "peer": {"container": "b", "interface": "far0"}},
}
EVASIONS = {
    "no alias": ["link set eth1 alias ''"],
    "another's mark": ["link set eth1 alias pipework:netns:b:1:eth1"],
    "a forged NIC": ["link set eth1 alias pipework:netns:a:1:eth1|0123|nic9|1500|06:00:00:00:00:66|up|192.0.2.66/24|"],
    "an uplink": ["link set eth1 alias pipework:uplink:br1|up|192.0.2.66/24|"],
    "renamed": ["link set eth1 down", "link set eth1 name lan0"],
    "both": ["link set eth1 down", "link set eth1 alias ''", "link set eth1 name lan0"],
    "a stand-in": ["link set eth1 down", "link set eth1 alias ''", "link set eth1 name pwt0"],
    "group": [f"link set eth1 group {GROUPS[0]}"],
    "delete group": [f"link set eth1 alias '' group {GROUPS[1]}"],
}


def inside(host: Host, lines: list[str], ns: str = "a") -> None:
    for line in lines:
        host.sh("ip", *[word.strip("'") for word in line.split()], ns=ns)


def attach(host: Host, kind: str, **more: t.Any) -> dict[str, t.Any]:
    return host.attach("a", **{"addresses": [ADDRESS], **KINDS[kind], **more})


@pytest.mark.parametrize("evasion", EVASIONS)
@pytest.mark.parametrize("kind", KINDS)
def test_B17_what_evades_is_removed_all_the_same(host: Host, kind: str, evasion: str) -> None:
    before = host.snapshot()
    attach(host, kind)
    inside(host, EVASIONS[evasion])
    for check in (True, False):
        assert host.run(check=check, runtime="netns", container="a", state="absent")["changed"]
    host.assert_as(before)
    assert not host.run(runtime="netns", container="a", state="absent")["changed"]


@pytest.mark.parametrize("evasion", ["no alias", "both"])
@pytest.mark.parametrize("kind", KINDS)
def test_B17_a_purge_finds_what_evades(host: Host, kind: str, evasion: str) -> None:
    before = host.snapshot()
    attach(host, kind)
    inside(host, EVASIONS[evasion])
    assert host.run(attachments=[], purge=True)["changed"]
    host.assert_as(before)


@pytest.mark.parametrize("kind", KINDS)
def test_B17_present_gives_name_and_mark_back(host: Host, kind: str) -> None:
    attach(host, kind)
    was = host.link("eth1", ns="a") or {}
    inside(host, EVASIONS["both"])
    planned = attach_check(host, kind)
    result = attach(host, kind)
    assert result["changed"] and planned["operations"] == result["operations"]
    assert "eth1 in netns:a had been renamed to lan0 there." in str(result["warnings"])
    now = host.link("eth1", ns="a") or {}
    assert (now["ifindex"], now["ifalias"]) == (was["ifindex"], was["ifalias"]) and "UP" in now["flags"]
    assert host.addresses("eth1", ns="a") == [ADDRESS] and host.links("a") == ["eth1"]
    assert not attach(host, kind)["changed"]


def attach_check(host: Host, kind: str) -> dict[str, t.Any]:
    return host.run(check=True, **{"container": "a", "runtime": "netns", "addresses": [ADDRESS], **KINDS[kind]})


@pytest.mark.parametrize("kind", KINDS)
def test_B17_another_interface_put_in_its_place_stays(host: Host, kind: str) -> None:
    attach(host, kind)
    inside(host, [*EVASIONS["both"], "link add eth1 type bridge"])
    with pytest.raises(Exception, match=r"interface: eth1 exists in netns:a and is not ours"):
        attach(host, kind)
    host.run(runtime="netns", container="a", state="absent")
    assert host.links("a") == ["eth1"] and (host.link("eth1", ns="a") or {})["linkinfo"]["info_kind"] == "bridge"
    assert host.addresses("nic0") == ["198.51.100.9/24"]


def test_B17_a_macvlan_of_somebody_else_on_the_same_nic_stays_whatever_it_says(host: Host) -> None:
    attach(host, "macvlan")
    mark = (host.link("eth1", ns="a") or {})["ifalias"]
    host.sh("ip", "link", "add", "other0", "link", "nic0", "type", "macvlan", "mode", "bridge")
    host.sh("ip", "link", "set", "other0", "netns", "/run/netns/a")
    inside(host, [f"link set other0 alias {mark}", f"link set other0 group {GROUPS[1]}"])
    host.run(runtime="netns", container="a", state="absent")
    host.run(attachments=[], purge=True)
    assert host.links("a") == ["other0"]


def test_B17_a_veth_made_in_the_container_is_not_the_hosts_nic(host: Host) -> None:
    attach(host, "phys")
    mark = (host.link("eth1", ns="a") or {})["ifalias"]
    inside(host, [*EVASIONS["renamed"], "link add eth1 type veth peer name eth1x"])
    host.sh("ip", "link", "set", "eth1", "alias", mark, ns="a")
    host.sh("ip", "link", "set", "lan0", "alias", "", ns="a")
    with pytest.raises(Exception, match=r"The alias of eth1 in netns:a says that it is a NIC .*no record of it"):
        host.run(runtime="netns", container="a", state="absent")
    inside(host, ["link del eth1"])
    host.run(runtime="netns", container="a", state="absent")
    assert host.addresses("nic0") == ["198.51.100.9/24"]
    assert (host.link("nic0") or {})["address"] == "06:00:00:00:00:01"


def test_B17_two_nics_that_swap_aliases_come_home_as_themselves(host: Host) -> None:
    before = host.snapshot()
    attach(host, "phys")
    attach(host, "phys", host_interface="nic1", interface="eth2", addresses=["203.0.113.2/24"])
    one, two = ((host.link(name, ns="a") or {})["ifalias"] for name in ("eth1", "eth2"))
    host.sh("ip", "link", "set", "eth1", "alias", two, ns="a")
    host.sh("ip", "link", "set", "eth2", "alias", one, ns="a")
    for interface in ("eth1", "eth2"):
        host.run(runtime="netns", container="a", interface=interface, state="absent")
    host.assert_as(before)


def test_B17_an_old_alias_brings_no_old_addresses_back(host: Host) -> None:
    attach(host, "phys")
    old = (host.link("eth1", ns="a") or {})["ifalias"]
    host.run(runtime="netns", container="a", state="absent")
    host.sh("ip", "address", "del", "198.51.100.9/24", "dev", "nic0")
    before = host.snapshot()
    attach(host, "phys")
    assert (host.link("eth1", ns="a") or {})["ifalias"] != old
    host.sh("ip", "link", "set", "eth1", "alias", old, ns="a")
    host.run(runtime="netns", container="a", state="absent")
    host.assert_as(before)


HOME = [
    "pipework:uplink:br1|up|192.0.2.66/24|",
    "pipework:uplink:br1|" + "0" * 32 + "|up|192.0.2.66/24|",
    "pipework:uplink:",
    "pipework:uplink:br1|up;4.x;|not an address|",
    "pipework:netns:b:1:eth1|" + "0" * 32 + "|nic7|1500|06:00:00:00:00:66|up|192.0.2.66/24|",
    "pipework:netns:b:1:eth1|x|nic7|" + "9" * 100 + "|06|up/a/b/c|192.0.2.66|",
]


@pytest.mark.parametrize("alias", HOME, ids=lambda alias: alias[:40])
def test_B17_what_is_written_on_a_nic_that_comes_home_gives_nothing_to_the_host(host: Host, alias: str) -> None:
    """As the kernel moves a NIC home from a container that ends, with all that the container wrote on it."""
    host.sh("ip", "link", "set", "nic1", "netns", "/run/netns/a")
    inside(host, ["link set nic1 name home0", f"link set home0 group {GROUPS[0]}"])
    host.sh("ip", "link", "set", "home0", "alias", alias, ns="a")
    host.call(_carry_home, "a", "home0")
    result = host.run(job=bridge_job(), name="br1", forwarding="unmanaged")
    assert "home0" in str(result.get("warnings")) and "192.0.2.66" not in host.sh("ip", "address")
    host.run(job=bridge_job(), name="br1", forwarding="unmanaged", ports=[])
    host.run(attachments=[{"container": "b", "runtime": "netns", "host_interface": "br1"}], purge=True)
    host.run(runtime="netns", container="b", state="absent")
    assert "home0" in host.links() and "nic7" not in host.links()
    assert "192.0.2.66" not in host.sh("ip", "address")


@pytest.mark.parametrize("group", GROUPS)
def test_B17_a_link_group_alone_deletes_nothing(host: Host, group: str) -> None:
    inside(
        host,
        [
            "link add own0 type bridge",
            f"link set own0 group {group}",
            "link add pwt1 type bridge",
            f"link set pwt1 group {group}",
        ],
    )
    host.sh("ip", "link", "set", "nic1", "group", group)
    many = [
        {"container": each, "runtime": "netns", "interface": f"eth{n}", "host_interface": "br1"}
        for each in ("a", "b")
        for n in (1, 2)
    ]
    host.run(attachments=many)
    assert not host.run(attachments=many)["changed"]
    host.run(attachments=[{**each, "state": "absent"} for each in many])
    host.run(attachments=[], purge=True)
    assert host.links("a") == ["own0", "pwt1"] and {"nic0", "nic1"} <= set(host.links())
    with pytest.raises(Exception, match="own0 exists in netns:a and is not ours"):
        host.attach("a", interface="own0")
    assert not host.run(runtime="netns", container="a", interface="own0", state="absent")["changed"]


def test_B17_a_port_of_a_bridge_gives_back_what_this_host_wrote(host: Host) -> None:
    before = host.snapshot()
    wanted = {"name": "br1", "ports": ["nic0"], "move_addresses": True, "forwarding": "unmanaged"}
    host.run(job=bridge_job(), **wanted)
    sealed = (host.link("nic0") or {})["ifalias"]
    assert host.addresses("br1") == ["198.51.100.9/24"] and not host.run(job=bridge_job(), **wanted)["changed"]
    host.run(job=bridge_job(), name="br1", ports=[], forwarding="unmanaged")
    assert host.snapshot()["host"]["addresses"] == before["host"]["addresses"]
    host.sh("ip", "address", "del", "198.51.100.9/24", "dev", "nic0")
    host.sh("ip", "link", "set", "nic0", "alias", sealed)  # the old words, on the same NIC
    host.run(job=bridge_job(), name="br1", forwarding="unmanaged")
    assert host.addresses("br1") == []


def test_B17_nothing_is_left_of_many_rounds(host: Host) -> None:
    for _round in range(3):
        for kind in KINDS:
            attach(host, kind)
            host.run(runtime="netns", container="a", state="absent")
    assert sorted(host.call(os.listdir, "/run/pipework")) == ["lock", "secret"]


def bridge_job() -> t.Any:
    from ansible_collections.pipework.containers.plugins.module_utils._jobs.bridge import BridgeJob

    return BridgeJob


def _carry_home(guest: str, name: str) -> None:
    """What the kernel does with a NIC whose namespace ends."""
    import subprocess

    subprocess.run(
        ["ip", "netns", "exec", guest, "ip", "link", "set", name, "netns", str(os.getpid())], check=True, timeout=20
    )
