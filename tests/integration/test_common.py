# Copyright: pipework.containers contributors
# GNU General Public License v3.0+ (see LICENSE)
"""pipework_attach: what is the same for every kind of attachment."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from typing import Any

import pytest

from ansible_collections.pipework.containers.plugins.module_utils._core.errors import PipeworkError
from ansible_collections.pipework.containers.plugins.module_utils._engine import run as engine_run
from ansible_collections.pipework.containers.plugins.module_utils._jobs.attach import AttachJob
from tests.integration.lab import (
    Host,
    Listener,
    Params,
    difference,
    is_advertisement,
    is_gratuitous_arp,
    lasting,
    wait_for,
    write,
)

pytestmark = pytest.mark.root
DEFAULT4, DEFAULT6 = ("route", "show", "default"), ("-6", "route", "show", "default")
UPLINK = """
    link add eth0 type veth peer name far
    link set far up
    link set eth0 up
    address add 10.9.0.1/24 dev eth0
    route add default via 10.9.0.254 dev eth0 proto dhcp src 10.9.0.1 mtu 1400
    address add fd09::1/64 dev eth0
    route add default via fd09::fe dev eth0 metric 1024
"""


# -- addresses


@pytest.mark.oldest
@pytest.mark.any_kernel
def test_P7_several_addresses_of_both_families_in_any_spelling(host: Host) -> None:
    given = [
        "10.1.0.1/255.255.0.0",
        "10.2.0.1/24",
        "10.2.0.2/24",
        "FD00:0:0:0::1/64",
        "fd00:0::0002/128",
        "172.16.0.1/32",
    ]
    host.attach("a", addresses=given)
    wanted = ["10.1.0.1/16", "10.2.0.1/24", "10.2.0.2/24", "172.16.0.1/32", "fd00::1/64", "fd00::2/128"]
    assert host.addresses("eth1", ns="a") == wanted
    assert not host.attach("a", addresses=list(reversed(given)))["changed"]
    assert host.attach("a", addresses=given)["attachments"][0]["addresses"] == wanted


def test_the_list_is_the_whole_set_and_append_only_adds(host: Host) -> None:
    host.attach("a", addresses=["10.1.0.1/24", "10.1.0.2/24", "fd01::1/64"])
    host.attach("a", addresses=["10.1.0.3/24"], append=True)
    assert host.addresses("eth1", ns="a") == ["10.1.0.1/24", "10.1.0.2/24", "10.1.0.3/24", "fd01::1/64"]
    host.attach("a", addresses=None)
    assert len(host.addresses("eth1", ns="a")) == 4
    host.attach("a", addresses=["10.1.0.2/24"])
    assert host.addresses("eth1", ns="a") == ["10.1.0.2/24"]
    host.attach("a", addresses=["10.1.0.2/25"])
    assert host.addresses("eth1", ns="a") == ["10.1.0.2/25"]
    host.attach("a", addresses=["0/0"])
    assert host.addresses("eth1", ns="a") == []


def test_addresses_of_other_interfaces_stay(host: Host) -> None:
    host.batch(UPLINK, ns="a")
    before = lasting(host.ip("address", "show", "dev", "eth0", ns="a"))
    host.attach("a", addresses=["10.1.0.1/24"])
    host.attach("a", addresses=["10.1.0.2/24"])
    assert lasting(host.ip("address", "show", "dev", "eth0", ns="a")) == before


# -- gateways


@pytest.mark.oldest
@pytest.mark.any_kernel
def test_P9_the_default_route_is_replaced_kept_and_comes_back(host: Host) -> None:
    host.batch(UPLINK, ns="a")
    before = host.snapshot()
    host.attach("a", addresses=["10.1.0.1/24", "fd01::1/64"], gateway=["10.1.0.254", "fd01::fe"])
    assert host.routes("a", *DEFAULT4) == ["default via 10.1.0.254 dev eth1 proto 112"]
    assert host.routes("a", *DEFAULT6) == ["default via fd01::fe dev eth1 proto 112 metric 1024"]
    kept = host.snapshot()
    host.attach("a", addresses=["10.1.0.1/24", "fd01::1/64"], gateway=["10.1.0.253"])
    assert host.routes("a", *DEFAULT4) == ["default via 10.1.0.253 dev eth1 proto 112"]
    assert "fd09::fe dev eth0" in host.routes("a", *DEFAULT6)[0]
    host.attach("a", addresses=["10.1.0.1/24", "fd01::1/64"], gateway=["10.1.0.254", "fd01::fe"])
    host.assert_as(kept)
    host.attach("a", addresses=["10.1.0.1/24", "fd01::1/64"])  # not said: not touched
    host.assert_as(kept)
    host.attach("a", addresses=["10.1.0.1/24", "fd01::1/64"], gateway=[])
    assert "10.9.0.254" in host.routes("a", *DEFAULT4)[0]
    host.attach("a", state="absent")
    host.assert_as(before)


def test_P9_the_second_gateway_gives_way_to_the_first_again(host: Host) -> None:
    host.batch(UPLINK, ns="a")
    before = host.snapshot()
    host.attach("a", addresses=["10.1.0.1/24"], gateway=["10.1.0.254"])
    host.attach("a", addresses=["10.2.0.1/24"], gateway=["10.2.0.254"], interface="eth2")
    assert "10.2.0.254 dev eth2" in host.routes("a", *DEFAULT4)[0]
    host.attach("a", interface="eth2", state="absent")
    host.attach("a", interface="eth1", state="absent")
    host.assert_as(before)


def test_P9_one_run_can_move_the_gateway_to_another_interface(host: Host) -> None:
    host.batch(UPLINK, ns="a")
    before = host.snapshot()
    first = {"container": "a", "addresses": ["10.1.0.1/24"], "gateway": ["10.1.0.254"]}
    second = {"container": "a", "addresses": ["10.2.0.1/24"], "gateway": ["10.2.0.254"], "interface": "eth2"}
    gone = {"container": "a", "state": "absent"}
    host.attach(**first)
    for items in ([{**gone, "interface": "eth1"}, second], [first, {**gone, "interface": "eth2"}]):
        host.run(runtime="netns", host_interface="br1", attachments=items)
        assert "proto 112" in host.routes("a", *DEFAULT4)[0]
    host.attach("a", state="absent")
    host.assert_as(before)


@pytest.mark.any_kernel
def test_P10_a_gateway_outside_the_subnet_gets_a_host_route(host: Host) -> None:
    host.attach("b", addresses=["172.16.7.1/32", "fd77::1/128"])
    host.batch("route add 10.1.0.0/24 dev eth1\nroute add fd01::/64 dev eth1\n", ns="b")
    host.attach("a", addresses=["10.1.0.1/24", "fd01::1/64"], gateway=["172.16.7.1", "fd77::1"])
    assert "172.16.7.1 dev eth1 proto 112 scope link" in host.routes("a", "route")
    assert "fd77::1 dev eth1 proto 112 metric 1024" in host.routes("a", "-6", "route")
    assert host.ping("a", "172.16.7.1") and host.ping("a", "fd77::1")
    host.attach("a", addresses=["10.1.0.1/24", "fd01::1/64"], gateway=["172.16.7.9"])
    assert [line for line in host.routes("a", "route") if "172.16.7" in line] == [
        "default via 172.16.7.9 dev eth1 proto 112",
        "172.16.7.9 dev eth1 proto 112 scope link",
    ]
    assert "fd77" not in str(host.routes("a", "-6", "route"))


@pytest.mark.any_kernel
def test_P10_a_host_address_alone_and_a_link_local_gateway(host: Host) -> None:
    host.attach("a", addresses=["10.1.0.1/32", "fd01::1/128"], gateway=["10.1.0.254", "fe80::1"])
    assert host.routes("a", *DEFAULT4) == ["default via 10.1.0.254 dev eth1 proto 112"]
    assert host.routes("a", *DEFAULT6) == ["default via fe80::1 dev eth1 proto 112 metric 1024"]
    assert not host.attach("a", addresses=["10.1.0.1/32", "fd01::1/128"], gateway=["10.1.0.254", "fe80::1"])["changed"]


# -- MAC and MTU


def test_P26_P27_the_mac_is_the_one_given_or_the_classic_one_of_a_string(host: Host) -> None:
    assert host.attach("a", mac_address="02-AB-CD-EF-00-01")["attachments"][0]["mac_address"] == "02:ab:cd:ef:00:01"
    assert host.attach("b", mac_address="U:myhost.foo.com")["attachments"][0]["mac_address"] == "02:72:6c:cd:9b:8d"
    assert [(host.link("eth1", ns=ns) or {})["address"] for ns in "ab"] == ["02:ab:cd:ef:00:01", "02:72:6c:cd:9b:8d"]
    assert not host.attach("a", mac_address="02:AB:CD:EF:00:01")["changed"]


# -- in place


@pytest.mark.any_kernel
def test_B2_changes_leave_the_interface_in_place_while_packets_flow(host: Host) -> None:
    host.attach("b", addresses=["10.1.0.2/24"])
    settled: Params = {"addresses": ["10.1.0.1/24"]}
    host.attach("a", **settled)
    index = (host.link("eth1", ns="a") or {})["ifindex"]
    stream = host.start(_ping, ["ping", "-i", "0.05", "-w", "120", "10.1.0.1"], ns="b")
    try:
        wait_for("an answer before the changes", lambda: _answers(host))
        for change in (
            {"addresses": ["10.1.0.1/24", "10.1.0.9/24", "fd01::1/64"]},
            {"gateway": ["10.1.0.254"]},
            {"mtu": 1400},
            {"local_interface": "web"},
            {"addresses": ["10.1.0.1/24"]},
            {"gateway": []},
            {"mtu": 1500},
        ):
            settled.update(change)
            assert host.attach("a", **settled)["changed"], change
            assert (host.link("eth1", ns="a") or {})["ifindex"] == index, change
        seen = len(_answers(host))
        wait_for("answers after the changes", lambda: len(_answers(host)) > seen + 1)
    finally:
        _interrupt_ping(host)
    stream.wait()
    numbers = _answers(host)
    assert len(set(range(1, numbers[-1] + 1)) - set(numbers)) <= 1, "packets were lost"


def _ping(argv: list[str]) -> None:
    with open("/run/ping.out", "wb") as output, open("/run/ping.pid", "w", encoding="ascii") as handle:
        process = subprocess.Popen(argv, stdout=output)
        handle.write(str(process.pid))
    process.wait()


def _answers(host: Host) -> list[int]:
    """The numbers of those that were answered so far."""

    def read() -> str:
        with contextlib.suppress(FileNotFoundError), open("/run/ping.out", encoding="ascii") as handle:
            return handle.read()
        return ""

    return [int(number) for number in re.findall(r"icmp_seq=(\d+) .*time=", host.call(read))]


def _interrupt_ping(host: Host) -> None:
    def interrupt() -> None:
        with open("/run/ping.pid", encoding="ascii") as handle:
            os.kill(int(handle.read()), signal.SIGINT)

    host.call(interrupt)


def test_B2_to_another_bridge_without_losing_the_interface(host: Host) -> None:
    host.attach("a", addresses=["10.1.0.1/24"], mac_address="02:00:00:00:00:01")
    index = (host.link("eth1", ns="a") or {})["ifindex"]
    host.attach("b", addresses=["10.1.0.2/24"], host_interface="br2")
    host.attach("a", addresses=["10.1.0.1/24"], host_interface="br2")
    assert (host.link("eth1", ns="a") or {})["ifindex"] == index
    assert host.ping("a", "10.1.0.2")
    assert host.link("br1") is None


# -- check mode and diff

STEPS: list[Params] = [
    {"container": "a", "addresses": ["10.1.0.1/24", "fd01::1/64"], "gateway": ["10.1.0.254", "fd77::1"]},
    {"container": "a", "addresses": ["10.1.0.2/24"], "mtu": 1400, "mac_address": "02:00:00:00:00:01", "gateway": []},
    {"container": "a", "addresses": ["10.1.0.2/24"], "local_interface": "web"},
    {
        "attachments": [
            {"container": "b", "addresses": ["10.1.0.3/24"]},
            {"container": "a", "interface": "eth2", "host_interface": "br2"},
        ]
    },
    {"container": "a", "host_interface": "nic0", "mode": "vepa"},
    {"container": "a", "host_interface": "nic0", "mode": "bridge", "addresses": ["10.1.0.7/24"]},
    {
        "container": "a",
        "host_interface": "nic0",
        "kind": "phys",
        "addresses": ["10.1.0.7/24"],
        "gateway": ["10.1.0.254"],
    },
    {"container": "a", "host_interface": "br3", "addresses": ["10.1.0.7/24"], "gateway": ["10.1.0.254"]},
    {
        "attachments": [{"container": "a", "host_interface": "br3", "addresses": ["10.1.0.8/24"]}],
        "purge": True,
        "host_interface": "br1",
    },
    {"container": "a", "state": "absent"},
    {"attachments": [], "purge": True, "host_interface": None},
]


def test_B1_a_check_run_says_what_the_real_run_does(host: Host) -> None:
    host.sh("ip", "link", "add", "nic0", "type", "veth", "peer", "name", "lan0")
    host.batch(UPLINK, ns="a")
    start = host.snapshot()
    for params in STEPS:
        before = host.snapshot()
        wanted = {"runtime": "netns", "host_interface": "br1", **params}
        said = host.run(check=True, **wanted)
        assert difference(before, host.snapshot()) == []
        done = host.run(**wanted)
        assert said["changed"] and done["changed"], params
        for field in ("operations", "before", "after"):
            assert said[field] == done[field], params
        again = host.run(**wanted)
        assert (again["changed"], again["operations"]) == (False, [])
        assert again["before"] == again["after"]
    host.sh("ip", "link", "set", "nic0", "down")
    host.assert_as(start)


def test_B1_the_module_returns_before_after_operations_and_a_diff(host: Host) -> None:
    params = {"container": "a", "runtime": "netns", "host_interface": "br1", "addresses": ["10.1.0.1/24"]}
    said = host.module("pipework_attach", params, check=True)
    done = host.module("pipework_attach", params)
    assert said["operations"] == done["operations"]
    assert (done["before"], said["before"], done["changed"]) == ({}, {}, True)
    assert {o["action"] for o in done["operations"]} <= {"create", "update", "delete"}
    assert all(set(o) == {"action", "kind", "name", "before", "after"} for o in done["operations"])
    assert "10.1.0.1/24" in done["diff"]["after"] and "10.1.0.1/24" not in done["diff"]["before"]
    assert "address netns:a/eth1 10.1.0.1/24" in done["after"]
    assert "diff" not in host.module("pipework_attach", params, diff=False)
    gone = host.module("pipework_attach", {"container": "a", "state": "absent"})
    assert gone["after"] == {} and gone["changed"] and "10.1.0.1/24" in gone["diff"]["before"]


# -- absent


@pytest.mark.parametrize("runtime", ["auto", "netns", "pid"])
def test_absent_on_a_missing_container_succeeds(host: Host, runtime: str) -> None:
    before = host.snapshot()
    result = host.run(
        container="4194303" if runtime == "pid" else "nobody", runtime=runtime, host_interface="br1", state="absent"
    )
    assert not result["changed"] and result["after"] == {}
    host.assert_as(before)


@pytest.mark.parametrize(
    ("runtime", "words"),
    [
        ("auto", "no runtime knows 'nobody'"),
        ("netns", "netns knows no container 'nobody'"),
        ("pid", "not a process ID"),
    ],
)
def test_present_on_a_missing_container_is_refused_with_a_hint(host: Host, runtime: str, words: str) -> None:
    before = host.snapshot()
    with pytest.raises(PipeworkError, match=f"container: .*{words}.*Nothing was changed"):
        host.run(container="nobody", runtime=runtime, host_interface="br1")
    host.assert_as(before)


def test_absent_removes_what_a_dead_container_left_on_the_host(host: Host) -> None:
    host.attach("b", addresses=["10.1.0.2/24"])
    before = host.snapshot()
    host.attach("a", addresses=["10.1.0.1/24"], local_interface="web", host_interface="br2")
    host.end_guest("a")
    wait_for("the kernel to take the pair away", lambda: "web" not in host.links())
    assert host.link("br2")
    result = host.run(container="a", runtime="netns", host_interface="br2", state="absent")
    assert result["changed"]
    before.pop("a")
    before["run"].remove("/run/netns/a")
    host.assert_as(before)


# -- many, and purge


def test_B3_many_attachments_in_one_run(host: Host) -> None:
    names = [f"g{n}" for n in range(120)]
    host.add_guests(*names)
    before = host.snapshot()
    items = [
        {
            "container": name,
            "addresses": [f"10.1.{n // 100}.{n % 100 + 1}/16", f"fd01::{n + 1:x}/64"],
            "gateway": ["10.1.255.254"],
        }
        for n, name in enumerate(names)
    ]
    done = host.run(runtime="netns", host_interface="br1", attachments=items)
    assert [a["container"] for a in done["attachments"]] == names
    assert len([name for name in host.links() if name != "br1"]) == 120
    for here, there in ((0, 119), (119, 50), (7, 8)):
        address = items[there]["addresses"][0].split("/")[0]
        assert host.ping(names[here], address)
    assert not host.run(runtime="netns", host_interface="br1", attachments=list(reversed(items)))["changed"]
    changed = [
        {**item, "addresses": [*item["addresses"], "10.2.0.1/32"] if n == 60 else item["addresses"]}
        for n, item in enumerate(items)
    ]
    assert [o["kind"] for o in host.run(runtime="netns", host_interface="br1", attachments=changed)["operations"]] == [
        "address"
    ]
    host.run(
        runtime="netns", host_interface="br1", attachments=[{"container": name, "state": "absent"} for name in names]
    )
    host.assert_as(before)


def test_options_of_the_task_are_the_defaults_of_the_items(host: Host) -> None:
    host.run(
        runtime="netns",
        host_interface="br1",
        mtu=1400,
        attachments=[{"container": "a"}, {"container": "b", "mtu": 1300, "host_interface": "br2"}],
    )
    assert [(host.link("eth1", ns=ns) or {})["mtu"] for ns in "ab"] == [1400, 1300]
    assert [name for name in host.links() if name.startswith("br")] == ["br1", "br2"]


def test_purge_removes_what_is_not_listed_and_nothing_of_others(host: Host) -> None:
    host.add_guests("c")
    foreign = """
        link add foreign type veth peer name eth9 netns a
        link add br9 type bridge
        link add nic0 type veth peer name lan0
        link add mine link nic0 netns a type macvlan
        link set foreign master br9 alias somebody's
    """
    host.batch(foreign)
    host.batch("link set eth9 up\naddress add 10.7.0.1/24 dev eth9\nroute add default via 10.7.0.254\n", ns="a")
    host.sh("ip", "link", "set", "nic0", "up")
    before = host.snapshot()
    stays = {"container": "a", "host_interface": "br1", "addresses": ["10.1.0.1/24"]}
    host.attach(**stays)
    kept = host.snapshot()
    host.attach("b", host_interface="br1")
    host.attach("c", host_interface="br2")
    host.attach("c", host_interface="nic0", interface="eth3")
    host.run(runtime="netns", attachments=[stays], purge=True, host_interface="br1")  # only those on br1
    assert host.links("b") == [] and host.links("c") == ["eth1", "eth3"]
    host.run(runtime="netns", attachments=[stays], purge=True, host_interface="nic0")
    assert host.links("c") == ["eth1"]
    said = host.run(runtime="netns", attachments=[stays], purge=True, check=True)
    done = host.run(runtime="netns", attachments=[stays], purge=True)
    assert said["operations"] == done["operations"]
    host.assert_as(kept)
    host.run(attachments=[], purge=True)
    host.assert_as(before)
    assert not host.run(attachments=[], purge=True)["changed"]


# -- bad input

BAD: list[tuple[Params, str]] = [
    (
        {"addresses": ["192.168.1.1"]},
        r"addresses: .*192\.168\.1\.1.*should include a netmask\. Maybe you meant 192\.168\.1\.1/24\?",
    ),
    ({"addresses": ["fd00::1"]}, r"addresses: .*Maybe you meant fd00::1/64\?"),
    ({"addresses": ["192.168.1.300/24"]}, r"addresses: .*192\.168\.1\.300/24.* is not an IP address"),
    ({"addresses": ["192.168.1.1/33"]}, r"addresses: .*33.* is not a netmask"),
    ({"addresses": ["192.168.1.1/255.0.255.0"]}, r"addresses: .*255\.0\.255\.0.* is not a netmask"),
    ({"addresses": ["fd00::1/129"]}, r"addresses: .*129.* is not a netmask"),
    ({"addresses": ["224.0.0.1/24"]}, r"addresses: .*224\.0\.0\.1/24"),
    ({"addresses": ["10.1.0.1/24; reboot"]}, r"addresses: .*reboot"),
    ({"addresses": ["10.1.0.1/24", "10.1.0.1/16"]}, r"addresses: .*10\.1\.0\.1"),
    ({"mac_address": "01:00:5e:00:00:01"}, r"mac_address: .*01:00:5e:00:00:01.* multicast"),
    ({"mac_address": "02:00:00:00:00"}, r"mac_address: .*02:00:00:00:00.* is not a MAC address"),
    ({"mac_address": "02:00:00:00:00:0g"}, r"mac_address: .*0g"),
    ({"mac_address": "00:00:00:00:00:00"}, r"mac_address: .*00:00:00:00:00:00"),
    (
        {"mac_address": "80:00:00:48:fe:80:00:00:00:00:00:00:00:02:c9:03:00:0e:fc:fd"},
        r"mac_address: .*is not a MAC address",
    ),
    ({"mtu": 67}, r"mtu: 67 .*68 to 65535"),
    ({"mtu": 65536}, r"mtu: 65536 .*68 to 65535"),
    ({"mtu": 1279, "addresses": ["fd00::1/64"]}, r"mtu: 1279 is too small for IPv6.*1280"),
    ({"interface": "a-name-too-long0"}, r"interface: .*a-name-too-long0.* 16 characters.*15"),
    ({"interface": "a/b"}, r"interface: 'a/b' cannot be the name of an interface"),
    ({"interface": "a b"}, r"interface: 'a b' cannot be"),
    ({"interface": "."}, r"interface: '\.' cannot be"),
    ({"interface": ".."}, r"interface: '\.\.' cannot be"),
    ({"local_interface": "x" * 16}, r"local_interface: .* 16 characters"),
    ({"local_interface": "../x"}, r"local_interface: '\.\./x'"),
    ({"host_interface": "x" * 16}, r"host_interface: .* 16 characters"),
    ({"host_interface": "br/1"}, r"host_interface: 'br/1'"),
    ({"host_interface": "eth77"}, r"host_interface: I do not know how to setup interface eth77"),
    (
        {"host_interface": "mac:06:00:00:00:00:99"},
        r"host_interface: no interface of the host has the address 06:00:00:00:00:99",
    ),
    ({"host_interface": "mac:nonsense"}, r"host_interface: .*nonsense.* is not a MAC address"),
    ({"host_interface": None}, r"host_interface: say to what"),
    ({"container": None}, r"container: say which"),
    ({"container": "nobody"}, r"container: .*nobody"),
    ({"container": "../../../proc/1/ns/net"}, r"container: .*neither the name .*nor an absolute path"),
    ({"container": "a\nb"}, r"container: .*control characters"),
    ({"container": "/run/pipework/lock"}, r"container: /run/pipework/lock cannot be used as a network namespace"),
    ({"container": "/proc/self/ns/mnt"}, r"container: /proc/self/ns/mnt cannot be used as a network namespace"),
    ({"container": "/proc/self/ns/net"}, r"container: .*shares the host's network namespace"),
    ({"runtime": "pid", "container": "1"}, r"container: "),
    ({"gateway": ["10.1.0.253", "10.1.0.254"]}, r"gateway: 10\.1\.0\.253, 10\.1\.0\.254: .*one gateway for IPv4"),
    ({"gateway": ["fe80::1", "fe80::2"], "addresses": ["fd00::1/64"]}, r"gateway: .*one gateway for IPv6"),
    ({"gateway": ["fe80::1"]}, r"gateway: fe80::1.*no IPv6 address"),
    ({"gateway": ["10.1.0.1"]}, r"gateway: 10\.1\.0\.1 is the interface's own address"),
    ({"gateway": ["10.1.0.254/24"]}, r"gateway: .*10\.1\.0\.254/24.* is not an IP address"),
    ({"gateway": ["224.0.0.5"]}, r"gateway: .*224\.0\.0\.5"),
    ({"host_interface": "lo"}, r"host_interface: 'lo' is the loopback"),
    ({"kind": "bridge", "host_interface": "lo"}, r"host_interface: 'lo' is the loopback"),
    ({"interface": "lo"}, r"interface: 'lo' is the loopback"),
    ({"kind": "macvlan", "host_interface": "br1", "mode": "sideways"}, r"mode: 'sideways' is not a mode"),
    ({"purge": True}, r"purge: needs 'attachments'"),
    (
        {"attachments": [{"container": "a"}, {"container": "a"}]},
        r"attachments\[1\]: interface: a/eth1 is listed twice \(also in attachments\[0\]\)",
    ),
    (
        {"addresses": None, "attachments": [{"container": "a"}, {"container": "/run/netns/a"}]},
        r"attachments\[1\]: interface: .*each interface can be listed once",
    ),
    (
        {"attachments": [{"container": "a"}, {"container": "b"}]},
        r"addresses: 10\.1\.0\.1 is given to both a/eth1 and b/eth1",
    ),
    (
        {
            "addresses": None,
            "mac_address": "02:00:00:00:00:01",
            "attachments": [{"container": "a"}, {"container": "b"}],
        },
        r"mac_address: .*both a/eth1 and b/eth1",
    ),
    (
        {"addresses": None, "local_interface": "web", "attachments": [{"container": "a"}, {"container": "b"}]},
        r"local_interface: web is given to both",
    ),
    (
        {"attachments": [{"container": "a"}, {"container": "b", "addresses": ["10.1.0.2"]}]},
        r"attachments\[1\]: addresses: .*Maybe you meant 10\.1\.0\.2/24\?",
    ),
    (
        {"attachments": [{"container": "a"}, {"container": "nobody", "addresses": ["10.1.0.2/24"]}]},
        r"attachments\[1\]: container: .*nobody",
    ),
]


@pytest.mark.parametrize(("params", "words"), BAD, ids=lambda value: str(value)[:60] if isinstance(value, dict) else "")
def test_P8_P28_P41_bad_input_is_refused_before_anything_is_touched(host: Host, params: Params, words: str) -> None:
    host.attach(
        "b", host_interface="br9", addresses=["10.99.0.1/24"]
    )  # something that could be harmed; makes the lock too
    before = host.snapshot()
    for check in (True, False):
        with pytest.raises(PipeworkError, match=f"(?s){words}.*Nothing was changed") as caught:
            host.call(
                _whole,
                {"container": "a", "runtime": "netns", "host_interface": "br1", "addresses": ["10.1.0.1/24"], **params},
                check,
            )
        assert "\n" not in str(caught.value)
        assert str(caught.value).count("Nothing was changed") == 1
        assert difference(before, host.snapshot()) == []


def _whole(params: Params, check: bool) -> Any:
    """The run as the module does it, with what it says about options that are wrong in themselves."""
    try:
        job = AttachJob(params)
    except PipeworkError as error:
        raise PipeworkError(str(error), "Nothing was changed.") from None
    return engine_run.run(job, check=check)


def test_an_interface_of_that_name_that_is_not_ours_is_refused_with_its_owner(host: Host) -> None:
    host.batch("""
        link add br-5f2a type bridge
        link add vethab12 type veth peer name eth1 netns a
        link set vethab12 master br-5f2a
        link add nic0 type veth peer name lan0
        link add eth1 link nic0 netns b type macvlan
        link add taken type bridge
    """)
    before = host.snapshot()
    for params, words in (
        (
            {"container": "a"},
            r"interface: eth1 exists in netns:a and is not ours: "
            r"it is Docker's veth, whose other end is vethab12 on the bridge br-5f2a",
        ),
        ({"container": "b"}, r"interface: eth1 exists in netns:b and is not ours: it is somebody else's macvlan"),
        (
            {"container": "a", "interface": "eth2", "local_interface": "taken"},
            r"local_interface: taken exists on the host .*somebody else's bridge",
        ),
        (
            {"container": None, "runtime": "host", "interface": "taken"},
            r"interface: taken exists in host and is not ours",
        ),
    ):
        with pytest.raises(PipeworkError, match=f"{words}.*Nothing was changed"):
            host.attach(**params)
        host.assert_as(before)
    assert not host.attach("a", state="absent")["changed"]
    host.assert_as(before)


def test_P47_what_the_classic_script_left_is_in_the_way_until_it_is_cleared(host: Host) -> None:
    host.batch("""
        link add br1 type bridge
        link add veth1pl1234 type veth peer name eth1 netns a
        link set veth1pl1234 master br1 up
    """)
    host.batch("address add 10.5.0.1/24 dev eth1\nlink set eth1 up\n", ns="a")
    before = host.snapshot()
    said = "eth1 exists in netns:a .*the classic pipework script made it, as a veth whose host end is veth1pl1234"
    for check in (True, False):
        with pytest.raises(PipeworkError, match=rf"{said} on the bridge br1. 'ip link delete veth1pl1234'"):
            host.attach("a", check=check, host_interface="br1", addresses=["10.5.0.1/24"])
        host.assert_as(before)
    host.sh(*["ip", "link", "delete", "veth1pl1234"])
    assert host.attach("a", host_interface="br1", addresses=["10.5.0.1/24"])["changed"]
    for check in (True, False):
        with pytest.raises(PipeworkError, match=r"mode: kind bridge has no modes.*The host has no br9.*l2 is one of"):
            host.attach("a", check=check, host_interface="br9", interface="eth2", mode="l2")


def test_B14_a_user_has_containers_of_docker_and_podman_only(host: Host) -> None:
    before = host.snapshot()
    for runtime, words in (
        ("netns", r"runtime_user: netns has no use for it \('nobody'\); docker and podman have"),
        ("auto", r"container: .*'a'.*"),
    ):
        with pytest.raises(PipeworkError, match=f"^{words}"):
            host.attach("a", runtime=runtime, runtime_user="nobody")
    host.assert_as(before)


def test_B14_the_hosts_own_namespace_is_refused_under_every_name(host: Host) -> None:
    host.call(lambda: os.symlink("/proc/self/ns/net", "/run/netns/sneaky"))
    for params in (
        {"container": "sneaky"},
        {"container": "/proc/self/ns/net"},
        {"container": "/proc/thread-self/ns/net"},
    ):
        for state in ("present", "absent"):
            with pytest.raises(
                PipeworkError, match=r"shares the host's network namespace.*runtime: host.*Nothing was changed"
            ):
                host.attach(**params, state=state)
    assert host.links() == []


def test_B14_files_that_are_no_namespaces_are_refused_without_harm(host: Host) -> None:
    def make() -> None:
        open("/run/netns/empty", "w", encoding="ascii").close()
        os.mkfifo("/run/netns/fifo")
        os.mkdir("/run/netns/folder")
        os.symlink("/run/netns/a", "/run/netns/link")

    host.call(make)
    for name in ("empty", "fifo", "folder"):
        with pytest.raises(PipeworkError, match=f"container: .*{name}.*Nothing was changed"):
            host.attach(name)
    host.attach("link", addresses=["10.1.0.1/24"])  # a link to a namespace is one
    assert host.links("a") == ["eth1"]


# -- privileges and libraries

# How the program is started, and what it does when all is imported: the checkout may lie where only its owner can read.
UNPRIVILEGED = {
    "no-net-admin": (("setpriv", "--inh-caps=-all", "--bounding-set=-net_admin", "--"), ""),
    "no-sys-admin": (("setpriv", "--inh-caps=-all", "--bounding-set=-sys_admin", "--"), ""),
    "nobody": ((), "os.setgroups([]); os.setresgid(65534, 65534, 65534); os.setresuid(65534, 65534, 65534)"),
    "other-user-namespace": (
        (),
        "ctypes.CDLL(None).unshare(0x10000000)\n"  # CLONE_NEWUSER
        "for name, text in (('uid_map', '0 0 1'), ('setgroups', 'deny'), ('gid_map', '0 0 1')):\n"
        "    open('/proc/self/' + name, 'w').write(text)",
    ),
}


@pytest.mark.parametrize("case", UNPRIVILEGED)
def test_without_privileges_it_says_what_is_missing(host: Host, case: str) -> None:
    prefix, drop = UNPRIVILEGED[case]
    if prefix and not shutil.which(prefix[0]):
        pytest.skip(f"needs {prefix[0]}")
    before = host.snapshot()
    code = (
        f"import ctypes, os, sys; sys.path[:0] = {[p for p in sys.path if p]!r}\n"
        "from ansible_collections.pipework.containers.plugins.module_utils import _runtimes\n"
        "from ansible_collections.pipework.containers.plugins.module_utils._core import errors\n"
        "from ansible_collections.pipework.containers.plugins.module_utils._engine import run\n"
        "from ansible_collections.pipework.containers.plugins.module_utils._jobs import attach\n"
        f"_runtimes.runtimes()\n{drop}\n"
        "try:\n    run.run(attach.AttachJob({'container': 'a', 'runtime': 'netns', 'host_interface': 'br1'}))\n"
        "except errors.PipeworkError as error:\n    print(error)\n"
    )
    said = host.sh(*prefix, sys.executable, "-c", code)
    assert "become: true" in said and "Nothing was changed." in said
    assert ("CAP_NET_ADMIN" in said) == (case != "other-user-namespace")
    host.assert_as(before)


@pytest.fixture(scope="module")
def bare_python(tmp_path_factory: pytest.TempPathFactory) -> str:
    """An interpreter without pyroute2."""
    folder = tmp_path_factory.mktemp("bare")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(folder / "venv")], check=True)
    return str(folder / "venv" / "bin" / "python")


@pytest.mark.parametrize(
    ("files", "words"),
    [
        ({}, "is missing"),
        ({"pyroute2/__init__.py": ""}, "is too old"),
    ],
    ids=["missing", "too-old"],
)
def test_a_pyroute2_that_is_missing_or_too_old_is_named_with_the_interpreter(
    host: Host,
    bare_python: str,
    tmp_path: Any,
    files: dict[str, str],
    words: str,
) -> None:
    """Through Ansible itself, with an interpreter of its own for the managed host."""
    if not shutil.which("ansible"):
        pytest.skip("needs ansible")
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    before = host.snapshot()
    arguments = "container=a runtime=netns host_interface=br1 addresses=10.1.0.1/24"
    said = host.sh(
        "env",
        f"PYTHONPATH={tmp_path}",
        f"ANSIBLE_LOCAL_TEMP={tmp_path}/tmp",
        f"ANSIBLE_REMOTE_TMP={tmp_path}/remote",
        "ANSIBLE_NOCOLOR=1",
        "ansible",
        "localhost",
        "-i",
        "localhost,",
        "-c",
        "local",
        "-e",
        f"ansible_python_interpreter={bare_python}",
        "-m",
        "pipework.containers.pipework_attach",
        "-a",
        arguments,
        check=False,
    )
    assert words in said and "0.7.2" in said and bare_python in said and "Nothing was changed" in said, said
    assert "FAILED" in said and "Traceback" not in said, said
    host.assert_as(before)


# -- two at once


def test_B3_two_runs_at_once_wait_for_each_other(host: Host) -> None:
    host.add_guests(*(f"g{n}" for n in range(6)))
    runs = [
        host.start(
            lambda n=n: engine_run.run(
                AttachJob(
                    {  # type: ignore[misc]
                        "container": f"g{n}",
                        "runtime": "netns",
                        "host_interface": "br1",
                        "addresses": [f"10.1.0.{n + 1}/24"],
                    }
                )
            )
        )
        for n in range(6)
    ]
    assert all(run.wait()["changed"] for run in runs)
    assert host.ping("g0", "10.1.0.6") and host.ping("g5", "10.1.0.3")
    assert len([name for name in host.links() if name.startswith("br")]) == 1


def test_a_run_waits_for_the_lock_and_says_who_is_in_the_way(host: Host) -> None:
    def hold(seconds: float) -> None:
        with engine_run.lock():
            os.write(told, b"+")
            time.sleep(seconds)

    heard, told = os.pipe()
    holder = host.start(hold, 2.0)
    os.read(heard, 1)
    started = time.monotonic()
    assert host.attach("a")["changed"]
    assert time.monotonic() - started > 0.5
    holder.wait()

    def impatient() -> Any:
        engine_run.LOCK_SECONDS = 0.2
        return engine_run.run(AttachJob({"container": "b", "runtime": "netns", "host_interface": "br1"}))

    holder = host.start(hold, 2.0)
    os.read(heard, 1)
    with pytest.raises(PipeworkError, match=r"Another run has held /run/pipework/lock.*Nothing was changed"):
        host.call(impatient)
    holder.wait()
    os.close(heard)
    os.close(told)


def test_P43_nothing_is_left_behind_under_run(host: Host) -> None:
    before = host.call(lambda: sorted(os.listdir("/run/netns")))
    host.attach("a", addresses=["10.1.0.1/24"])
    with pytest.raises(PipeworkError):
        host.attach("b", addresses=["10.1.0.2/24"], gateway=["10.1.0.255"])
    assert host.call(lambda: sorted(os.listdir("/run/netns"))) == before
    assert host.call(lambda: sorted(os.listdir("/run"))) == ["netns", "pipework"]
    assert host.call(lambda: sorted(os.listdir("/run/pipework"))) == ["lock"]


# -- announcements


@pytest.mark.oldest
@pytest.mark.any_kernel
@pytest.mark.parametrize("host_interface", ["br1", "nic0"])
def test_P38_neighbours_hear_of_new_addresses_at_once(host: Host, host_interface: str) -> None:
    for where in ("all", "default"):  # who does not look for doubled addresses does not tell of them either
        host.call(write, f"/proc/sys/net/ipv6/conf/{where}/accept_dad", "1", ns="a")
    if host_interface == "nic0":
        host.sh("ip", "link", "add", "nic0", "type", "veth", "peer", "name", "eth1", "netns", "b")
        host.batch("link set nic0 up\n")
        host.sh("ip", "link", "set", "eth1", "up", ns="b")
    else:
        host.attach("b", addresses=["10.1.0.2/24"])
    ear = Listener(host, "b", "eth1")
    try:
        for number in (1, 7):  # a new interface, and a new address of it
            mac = host.attach(
                "a", host_interface=host_interface, addresses=[f"10.1.0.{number}/24", f"fd01::{number}/64"]
            )["attachments"][0]["mac_address"]
            frames = ear.frames(10, lambda frame, number=number: is_advertisement(frame, f"fd01::{number}"))  # type: ignore[misc]
            assert is_advertisement(frames[-1], f"fd01::{number}"), "no unsolicited neighbour advertisement"
            assert any(is_gratuitous_arp(frame, mac, f"10.1.0.{number}") for frame in frames), "no gratuitous ARP"
    finally:
        ear.close()


def test_P38_announce_false_is_silent_about_it(host: Host) -> None:
    host.attach("b", addresses=["10.1.0.2/24"])
    ear = Listener(host, "b", "eth1")
    mac = host.attach("a", addresses=["10.1.0.1/24"], announce=False)["attachments"][0]["mac_address"]
    assert not any(is_gratuitous_arp(frame, mac, "10.1.0.1") for frame in ear.frames(0.5))
    ear.close()


def test_P39_a_name_of_several_runtimes_or_none_is_told_apart(host: Host) -> None:
    """Here only namespaces: a host on which no engine runs. Docker's names are in test_docker.py."""
    assert host.run(container="a", host_interface="br1")["attachments"][0]["runtime"] == "netns"
    with pytest.raises(
        PipeworkError, match=r"no runtime knows '4711' \(asked: [a-z, ]*netns\).*A process ID needs 'runtime: pid'"
    ):
        host.run(container="4711", host_interface="br1")
    with pytest.raises(PipeworkError, match=r"runtime: .*[Dd]ocker.*Nothing was changed"):
        host.run(container="a", runtime="docker", host_interface="br1")
