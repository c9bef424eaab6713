# Copyright: pipework.containers contributors
# GNU General Public License v3.0+ (see LICENSE)
"""What is made is the same as what iproute2 makes by hand: links, addresses, routes, on the host and in the container.

Left out is what is different of any two (indexes, timers) and our mark. Other kinds have a test of this sort of their
own: tests/kernel/test_on_a_nic.py, tests/kernel/test_vlan.py.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Any

import pytest

from ansible_collections.pipework.containers.plugins.module_utils._jobs.attach import AttachJob
from ansible_collections.pipework.containers.plugins.module_utils._jobs.bridge import BridgeJob
from tests.integration.lab import Host, Params, difference

pytestmark = pytest.mark.root
MAC, MAC2, NIC_MAC = "06:00:00:00:00:0a", "06:00:00:00:00:0b", "06:00:00:00:00:01"
NIC = f"link add nic0 mtu 1450 address {NIC_MAC} type veth peer name lan0 mtu 1450 address 06:00:00:00:00:02"


@dataclasses.dataclass(frozen=True)
class Case:
    """A run, and the commands of ip that do the same: ``a: …`` in the guest a, ``<x>`` for the MAC address of x."""

    name: str
    run: Params
    commands: tuple[str, ...]
    base: tuple[str, ...] = ()
    bridge: bool = False
    kernel: bool = False  # needs one that this machine may not have


ATTACH = {"container": "a", "runtime": "netns", "mac_address": MAC}
ADDRESSED = ("a: link set eth1 up", "a: address add 10.1.0.1/24 brd + dev eth1", "a: address add fd01::1/64 dev eth1")
LIST = ["10.1.0.1/24", "fd01::1/64"]

CASES = [
    Case(
        "bridge",
        {**ATTACH, "host_interface": "br1", "local_interface": "h1", "mtu": 1400, "addresses": LIST},
        (
            "link add br1 address <br1> type bridge",
            f"link add h1 address <h1> mtu 1400 type veth peer name eth1 address {MAC} mtu 1400 netns a",
            "link set h1 up master br1",
            "link set br1 up",
            *ADDRESSED,
        ),
    ),
    Case(
        "gateways",
        {
            **ATTACH,
            "host_interface": "br1",
            "local_interface": "h1",
            "addresses": ["10.1.0.1/32", "fd01::1/64"],
            "gateway": ["172.16.0.1", "fd01::fe"],
            "port": {"isolated": True, "hairpin": True, "learning": False},
        },
        (
            "link set br1 up",
            f"link add h1 address <h1> type veth peer name eth1 address {MAC} netns a",
            "link set h1 up master br1",
            "link set h1 type bridge_slave isolated on hairpin on learning off",
            "a: link set eth1 up",
            "a: address add 10.1.0.1/32 dev eth1",
            "a: address add fd01::1/64 dev eth1",
            "a: route add 172.16.0.1/32 dev eth1 proto 112 scope link",
            "a: route add default via 172.16.0.1 dev eth1 proto 112",
            "a: route add default via fd01::fe dev eth1 proto 112 pref high",
        ),
        base=("link add br1 type bridge",),
    ),
    Case(
        "bridge_with_settings",
        {
            "name": "br1",
            "mac_address": MAC,
            "addresses": ["10.1.0.254/24", "fd01::fe/64"],
            "mtu": 1400,
            "stp": True,
            "forward_delay": 4,
            "hello_time": 1,
            "max_age": 6,
            "ageing_time": 100,
        },
        (
            f"link add br1 address {MAC} mtu 1400 type bridge stp_state 1 forward_delay 400 hello_time 100 max_age 600 "
            "ageing_time 10000",
            "link set br1 up",
            "address add 10.1.0.254/24 brd + dev br1",
            "address add fd01::fe/64 dev br1",
        ),
        bridge=True,
    ),
    *(
        Case(
            f"macvlan_{mode}",
            {**ATTACH, "host_interface": "nic0", "mode": mode, "addresses": LIST},
            (
                "link set nic0 up",
                f"link add link nic0 name eth1 netns a address {MAC} type macvlan mode {mode}",
                *ADDRESSED,
            ),
            base=(NIC,),
        )
        for mode in ("bridge", "private", "vepa", "source")
    ),
    Case(
        "phys",
        {**ATTACH, "host_interface": "nic0", "kind": "phys", "mtu": 1300, "addresses": LIST},
        (
            "link set nic0 down",
            "link set nic0 netns a name eth1",
            f"a: link set eth1 address {MAC} mtu 1300",
            *ADDRESSED,
        ),
        base=(NIC, "link set nic0 up"),
    ),
    Case(
        "veth",
        {
            **ATTACH,
            "mtu": 1400,
            "addresses": LIST,
            "peer": {"container": "b", "interface": "eth9", "mac_address": MAC2, "addresses": ["10.1.0.2/24"]},
        },
        (
            f"a: link add eth1 address {MAC} mtu 1400 type veth peer name eth9 address {MAC2} mtu 1400 netns b",
            *ADDRESSED,
            "b: link set eth9 up",
            "b: address add 10.1.0.2/24 brd + dev eth9",
        ),
    ),
    Case(
        "dummy",
        {**ATTACH, "host_interface": "dummy", "mtu": 1400, "addresses": LIST},
        (f"a: link add eth1 address {MAC} mtu 1400 type dummy", *ADDRESSED),
        kernel=True,
    ),
    Case(
        "nic_vlan",
        {**ATTACH, "host_interface": "nic0", "vlan": 10, "addresses": LIST},
        (
            "link set nic0 up",
            "link add link nic0 name nic0.10 type vlan id 10",
            "link set nic0.10 up",
            f"link add link nic0.10 name eth1 netns a address {MAC} type macvlan mode bridge",
            *ADDRESSED,
        ),
        base=(NIC,),
        kernel=True,
    ),
]


@pytest.fixture
def hosts() -> Iterator[tuple[Host, Host]]:
    both = Host("a", "b"), Host("a", "b")
    yield both
    for host in both:
        host.close()


def by_hand(host: Host, lines: tuple[str, ...], like: Host) -> None:
    for line in lines:
        ns, colon, words = line.partition(": ")
        text = words if colon else line
        for name in like.links():
            if f"<{name}>" in text:
                text = text.replace(f"<{name}>", (like.link(name) or {})["address"])
        host.sh("ip", *text.split(), ns=ns if colon else None)


def without_mark(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: without_mark(each) for key, each in value.items() if key != "ifalias"}
    return value


@pytest.mark.parametrize(
    "case", [pytest.param(case, id=case.name, marks=[pytest.mark.kernel] if case.kernel else []) for case in CASES]
)
def test_P1_P13_P15_P19_P30_B7_iproute2_shows_the_same_as_of_its_own_work(
    hosts: tuple[Host, Host], case: Case
) -> None:
    ours, theirs = hosts
    for host in hosts:
        by_hand(host, case.base, host)
        if "br1" in host.links():  # what a bridge made by hand is given
            host.sh("ip", "link", "set", "br1", "address", MAC2)
    ours.run(job=BridgeJob if case.bridge else AttachJob, **case.run)
    by_hand(theirs, case.commands, ours)
    found = [{ns: without_mark(host.snapshot()[ns]) for ns in ("host", "a", "b")} for host in hosts]
    assert difference(*found) == []
    seen = [host.sh("bridge", "-j", "vlan", "show") for host in hosts]
    assert seen[0] == seen[1]
