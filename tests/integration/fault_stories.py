# Copyright: pipework.containers contributors
# GNU General Public License v3.0+ (see LICENSE)
"""The runs that are disturbed at every operation, by lane, and what each lane so covers.

`tests/unit/test_fault_stories.py` holds this against the code: a kind of object, of attachment or a module that is in
no story fails there.
"""

from __future__ import annotations

import contextlib
import typing as t
from functools import partial

from ansible_collections.pipework.containers.plugins.module_utils._jobs.attach import AttachJob
from ansible_collections.pipework.containers.plugins.module_utils._jobs.bridge import BridgeJob
from ansible_collections.pipework.containers.plugins.module_utils._jobs.commands import CommandsJob
from ansible_collections.pipework.containers.plugins.module_utils._jobs.hosts import HostsJob
from ansible_collections.pipework.containers.plugins.module_utils._jobs.route import RouteJob
from ansible_collections.pipework.containers.plugins.module_utils._jobs.rule import RuleJob
from ansible_collections.pipework.containers.plugins.module_utils._jobs.shim import ShimJob
from ansible_collections.pipework.containers.plugins.module_utils._jobs.tc import TcJob
from ansible_collections.pipework.containers.plugins.module_utils._jobs.vxlan import VxlanJob
from tests.integration import keeping, test_dhcp6_keep, test_dhcp_keep
from tests.integration.disturbed import Story, covered, files
from tests.integration.files import private_etc
from tests.integration.lab import Host, Params
from tests.integration.test_dhcp import server
from tests.integration.vswitch import VSwitch

CLOSED = "table inet closed {\nchain forward {\ntype filter hook forward priority 0; policy drop;\n}\n}\n"
HALF_A_DAY = 43200


def set_parameter(path: str, value: str) -> None:
    with open(f"/proc/sys/net/{path}", "w", encoding="ascii") as handle:
        handle.write(value)


def filtered(host: Host, _stack: contextlib.ExitStack) -> None:
    """A firewall that lets nothing through, on a host that forwards: else a bridge that masquerades makes it so, and
    leaves it so, since others may rely on it by then."""
    host.sh("nft", "-f", "-", text=CLOSED)
    host.call(partial(set_parameter, "ipv4/ip_forward", "1"))


def idle_card(host: Host, _stack: contextlib.ExitStack) -> None:
    """A NIC with addresses, whose cable ends in b."""
    host.batch("""
        link add nic0 address 06:00:00:00:01:00 mtu 1450 type veth peer name nic0 mtu 1450 netns b
        link set nic0 up alias uplink
        address add 203.0.113.9/24 brd + dev nic0
        address add fd08::9/64 dev nic0
    """)
    host.batch("link set nic0 up\naddress add 203.0.113.254/24 dev nic0\naddress add fd08::fe/64 dev nic0", ns="b")


def card(host: Host, stack: contextlib.ExitStack) -> None:
    """The same with routes and rules."""
    idle_card(host, stack)
    host.batch("""
        address add 10.77.0.1/32 dev nic0
        route add default via 203.0.113.254 src 203.0.113.9
        route add 10.52.0.0/16 table 77 nexthop via 203.0.113.253 nexthop via 203.0.113.254
        rule add iif nic0 lookup 77 priority 500
    """)


def card_with_neighbors(host: Host, stack: contextlib.ExitStack) -> None:
    """The same with what the kernel never learns by itself."""
    card(host, stack)
    host.batch("""
        neigh add 203.0.113.77 lladdr 06:00:00:00:00:77 nud permanent dev nic0
        neigh add proxy 203.0.113.78 dev nic0
    """)


def own_etc_and_card(host: Host, stack: contextlib.ExitStack) -> None:
    private_etc(host)
    card(host, stack)


def own_etc(host: Host, _stack: contextlib.ExitStack) -> None:
    private_etc(host)


def switch(host: Host, stack: contextlib.ExitStack) -> None:
    """Open vSwitch with two bridges of somebody else; frames pass through its server."""
    ovs = VSwitch(host)
    stack.callback(ovs.close)
    for name in ("sw0", "sw1"):
        ovs.bridge(name)
    SWITCHES[id(host)] = ovs


SWITCHES: dict[int, VSwitch] = {}


def rows(host: Host) -> t.Any:
    return SWITCHES[id(host)].snapshot()


def on_the_wire(host: Host, _stack: contextlib.ExitStack) -> None:
    """a and b at the ends of a cable, with a routing table that is not ours."""
    host.sh("ip", "link", "add", "eth1", "netns", "a", "type", "veth", "peer", "name", "eth1", "netns", "b")
    for name, number in (("a", 1), ("b", 2)):
        lines = f"address add 10.3.0.{number}/24 dev eth1\naddress add fd03::{number}/64 dev eth1\nlink set eth1 up\n"
        host.batch(lines + "route add 10.64.0.0/16 via 10.3.0.9 table 7\n", ns=name)


def on_a_bus(host: Host, _stack: contextlib.ExitStack) -> None:
    for number, name in enumerate("ab", 1):
        host.attach(name, addresses=[f"10.4.0.{number}/24"], mac_address=f"06:00:00:00:00:0{number}")


def tunnelled(host: Host, _stack: contextlib.ExitStack) -> None:
    host.batch("link add eth0 type veth peer name eth0 netns a\nlink set eth0 up\n")
    host.batch("address add 10.0.0.1/24 dev eth0\naddress add 10.0.0.11/24 dev eth0")


def segment(host: Host, stack: contextlib.ExitStack) -> None:
    """A bridge with a DHCP server, an /etc of its own, and no process that outlives the test."""
    private_etc(host)
    host.batch("link add br1 address 06:00:00:00:05:fe type bridge\nlink set br1 up\n")
    host.batch("address add 10.5.0.254/24 dev br1\n")
    host.batch("link add stays type veth peer name other\nlink set stays master br1\nlink set stays up\n")
    stack.callback(keeping.kill, host)
    stack.enter_context(server(host))


def segment6(host: Host, stack: contextlib.ExitStack) -> None:
    host.batch("link add br1 address 06:00:00:00:05:fe type bridge\nlink set br1 up\n")
    host.batch("link add stays type veth peer name other\nlink set stays master br1\nlink set stays up\n")
    host.call(test_dhcp_keep.say, "long")
    host.sh("touch", test_dhcp6_keep.HEARD)  # to which the server adds
    stack.callback(keeping.kill, host)
    stack.enter_context(test_dhcp6_keep.playing(host))


def bare_segment(host: Host, stack: contextlib.ExitStack) -> None:
    host.batch("link add br1 address 06:00:00:00:05:fe type bridge\nlink set br1 up\n")
    host.batch("link add stays type veth peer name other\nlink set stays master br1\nlink set stays up\n")
    stack.callback(keeping.kill, host)


def in_a(**options: t.Any) -> Params:
    return {
        "container": "a", "runtime": "netns", "host_interface": "br1", "mac_address": "06:00:00:00:00:0a", **options,
    }  # fmt: skip


def not_in_a(*more: str) -> Params:
    listed = [{"container": name, "interface": "eth1"} for name in ("a", *more)]
    return {"runtime": "netns", "state": "absent", "attachments": listed}


def etc(host: Host) -> dict[str, str]:
    """Files of ours under the host's own /etc."""
    return host.call(lambda: {path: text for path, text in files("/etc/network").items() if "pipework" in path})


BOTH = {"addresses": ["10.1.0.1/24", "fd01::1/64"]}
TREE: Params = {
    "qdiscs": [
        {"kind": "htb", "handle": "1:", "default": 10},
        {"kind": "tbf", "parent": "1:20", "handle": "20:", "rate": "1mbit", "burst": "10kb", "latency": "50ms"},
    ],
    "classes": [{"classid": "1:10", "rate": "9mbit"}, {"classid": "1:20", "rate": "1mbit", "prio": 3}],
    "filters": [{"parent": "1:", "priority": 5, "match": ["ip dst 10.3.0.2/32"], "classid": "1:20"}],
}
HERE: Params = {"container": "a", "runtime": "netns"}
SHIM: Params = {"parent": "nic0"}
OWN_SHIM = {**SHIM, "addresses": ["203.0.113.250/32"], "routes": ["203.0.113.64/27"], "persistence": "ifupdown"}
SEGMENT: Params = {"bridge": "br1", "vni": 100, "local": "10.0.0.1", "remotes": ["10.0.0.2", "10.0.0.3"]}
ENTRIES = [{"address": "10.1.0.2", "names": ["db1"]}]
LEASED = {"dhcp": "builtin", "dhcp_timeout": 20}

HERE_AND_NOW = [
    Story(
        "bridge",
        in_a(
            **BOTH,
            gateway=["10.1.0.254"],
            mtu=1400,
            port={"mac_spoof_check": True, "isolated": True},
            sysctls={"net.ipv4.conf.IFNAME.arp_ignore": 1},
        ),
        not_in_a(),
        "link cud, port cud, address cd, route cd, sysctl cud, spoof_check cud, filter cd",
        changed=in_a(
            addresses=["10.1.0.3/24", "fd01::1/64"],
            gateway=["10.1.0.253"],
            mtu=1300,
            port={"mac_spoof_check": True},
            mac_address="06:00:00:00:00:1a",
            host_interface="br2",
            sysctls={"net.ipv4.conf.IFNAME.arp_ignore": 2},
        ),
        prepare=filtered,
        attaches=("bridge",),
    ),
    Story(
        "macvlan",
        in_a(host_interface="nic0", kind="macvlan", **BOTH),
        not_in_a(),
        "link cud, address cd",
        changed=in_a(host_interface="nic0", kind="macvlan", mode="private", mtu=1300, addresses=["10.1.0.7/24"]),
        prepare=card,
        attaches=("macvlan",),
    ),
    Story(
        "macvtap",
        in_a(host_interface="nic0", kind="macvtap", **BOTH),
        not_in_a(),
        "link cud, address cd",
        changed=in_a(host_interface="nic0", kind="macvlan", **BOTH),
        prepare=card,
        attaches=("macvtap",),
    ),
    Story(
        "phys",
        in_a(
            host_interface="nic0",
            kind="phys",
            mtu=1300,
            sysctls={"net.ipv4.conf.IFNAME.arp_ignore": 1},
            addresses=["203.0.113.3/24"],
            gateway=["203.0.113.254"],
        ),
        not_in_a(),
        "link cud, address cd, route cd, sysctl cu",
        changed=in_a(
            host_interface="nic0",
            kind="phys",
            mac_address="06:00:00:00:00:1a",
            addresses=["203.0.113.4/24"],
            sysctls={"net.ipv4.conf.IFNAME.arp_ignore": 2},
        ),
        prepare=idle_card,
        attaches=("phys",),
    ),
    Story(  # the routes through it come home with a NIC
        "phys_with_routes",
        in_a(host_interface="nic0", kind="phys", addresses=["203.0.113.3/24"], force=True),
        not_in_a(),
        "link cu, address cd, route cd, neighbor c, nic_record d",
        prepare=card_with_neighbors,
    ),
    Story(
        "veth",
        {
            **HERE,
            "kind": "veth",
            "addresses": ["10.1.0.1/24"],
            "gateway": ["10.1.0.2"],
            "peer": {"container": "b", "runtime": "netns", "interface": "eth9", "addresses": ["10.1.0.2/24"]},
        },
        not_in_a("b"),  # what was noted about a container is forgotten by a run that looks into it
        "link cud, address cd, route cd",
        changed={
            **HERE,
            "kind": "veth",
            "addresses": ["10.1.0.3/24"],
            "mtu": 1300,
            "gateway": ["10.1.0.2"],
            "peer": {"container": "b", "runtime": "netns", "interface": "eth8", "addresses": ["10.1.0.2/24"]},
        },
        attaches=("veth",),
    ),
    Story(
        "tables",
        in_a(
            addresses=["10.1.0.1/24"],
            gateway=["10.1.0.254"],
            table=101,
            routes=[{"to": "10.50.0.0/16", "via": "10.1.0.9"}],
            rules=[{"fwmark": 5}],
        ),
        not_in_a(),
        "route cd, rule cd",
        changed=in_a(
            addresses=["10.1.0.2/24"],
            gateway=["10.1.0.254"],
            table=201,
            routes=[{"to": "10.51.0.0/16", "via": "10.1.0.9"}],
            rules=[{"fwmark": 6}],
        ),
        guests=("a",),
    ),
    Story(
        "bandwidth",
        in_a(bandwidth={"egress": "1mbit", "ingress": "2mbit"}),
        not_in_a(),
        "qdisc cud",
        changed=in_a(bandwidth={"egress": "4mbit", "ingress": "16mbit"}),
        guests=("a",),
        first=3,
    ),
    Story(
        "switched",
        in_a(host_interface="sw0", vlan=10, addresses=["10.7.0.1/24"]),
        not_in_a(),
        "link cud, ovs_port cud, address cd",
        changed=in_a(host_interface="sw1", vlan=20, vlan_trunks=[30], mtu=1400, addresses=["10.7.0.1/24"]),
        prepare=switch,
        look=rows,
        guests=("a",),
        attaches=("openvswitch",),
    ),
    Story(
        "switch",
        {
            "name": "sw2",
            "kind": "openvswitch",
            "datapath": "netdev",
            "addresses": ["10.8.0.254/24"],
            "rstp": True,
            "tunnels": [{"name": "tun0", "remote": "198.51.100.9", "key": 7}],
        },
        {"name": "sw2", "kind": "openvswitch", "state": "absent"},
        "ovs_bridge cud, ovs_port cud, link cud, address cd",
        changed={
            "name": "sw2",
            "kind": "openvswitch",
            "datapath": "netdev",
            "addresses": ["10.8.0.253/24"],
            "mtu": 1400,
            "fail_mode": "secure",
            "tunnels": [{"name": "tun0", "remote": "198.51.100.8", "key": 7}],
        },
        job=BridgeJob,
        prepare=switch,
        look=rows,
        guests=(),
    ),
    Story(
        "masquerade",
        {"name": "br1", "mac_address": "06:00:00:00:00:b1", "addresses": ["10.8.0.254/24"], "masquerade": True},
        {"name": "br1", "state": "absent"},
        "link cud, address cd, masquerade cud",
        changed={"name": "br1", "addresses": ["10.8.0.254/24", "10.9.0.254/24"], "masquerade": True, "mtu": 1400},
        job=BridgeJob,
        prepare=filtered,
        guests=(),
    ),
    Story(
        "uplink",
        {"name": "br1", "ports": ["nic0"], "move_addresses": True},
        {"name": "br1", "state": "absent"},
        "link cud, port u, address cd, route u, rule cd",
        job=BridgeJob,
        prepare=card,
        guests=("b",),
        first=1,
    ),
    Story(
        "shim",
        {**SHIM, "confirm_timeout": 600},
        {**SHIM, "state": "absent"},
        "watchdog c, link cud, address cd, route u, rule cd, sysctl u",
        job=ShimJob,
        prepare=card,
        guests=("b",),
        repeat={"confirm_timeout": None},
    ),
    Story(
        "own_shim",
        OWN_SHIM,
        {**SHIM, "state": "absent"},
        "link cud, address cd, route cd, file cud",
        changed={**OWN_SHIM, "addresses": ["203.0.113.251/32"], "routes": ["203.0.113.96/27"]},
        job=ShimJob,
        prepare=own_etc_and_card,
        guests=("b",),
        look=etc,
    ),
    Story(
        "vxlan",
        SEGMENT,
        {"segments": [], "purge": True},
        "link cud, port cud, fdb cd",
        changed={**SEGMENT, "bridge": "br2", "local": "10.0.0.11", "remotes": ["10.0.0.3", "10.0.0.4"], "mtu": 1400},
        job=VxlanJob,
        prepare=tunnelled,
        guests=("a",),
    ),
    Story(
        "hosts",
        {"runtime": "netns", "entries": ENTRIES, "files": [{"container": "a"}, {"container": "b"}]},
        {"runtime": "netns", "state": "absent", "files": [{"container": "a"}, {"container": "b"}]},
        "hosts cud",
        changed={
            "runtime": "netns",
            "files": [
                {"container": "a", "entries": [{"address": "10.1.0.3", "names": ["x"]}]},
                {"container": "b", "state": "absent"},
            ],
        },
        job=HostsJob,
        prepare=own_etc,
    ),
    Story(
        "route",
        {**HERE, "destination": "10.65.0.0/16", "gateway": "10.3.0.9", "table": 100},
        {**HERE, "destination": "10.65.0.0/16", "table": 100, "state": "absent"},
        "route cud",
        changed={**HERE, "destination": "10.65.0.0/16", "gateway": "10.3.0.8", "table": 100, "mtu": 1400},
        job=RouteJob,
        prepare=on_the_wire,
    ),
    Story(
        "rule",
        {**HERE, "rules": [{"source": "10.3.0.1", "table": 100}, {"source": "fd03::1", "action": "prohibit"}]},
        {**HERE, "rules": [], "purge": True},
        "rule cd",
        changed={**HERE, "rules": [{"source": "10.3.0.1", "table": 200}], "purge": True},
        job=RuleJob,
        prepare=on_the_wire,
    ),
    Story(
        "tree",
        {**HERE, **TREE},
        {**HERE, "state": "absent", "qdiscs": [{"handle": "1:"}]},
        "qdisc cd, class cud, tc_filter cd",
        changed={
            **HERE,
            **TREE,
            "qdiscs": TREE["qdiscs"][:1],
            "filters": [{"parent": "1:", "priority": 5, "match": ["ip dst 10.3.0.3/32"], "classid": "1:20"}],
            "classes": [{"classid": "1:10", "rate": "8mbit"}, {"classid": "1:20", "rate": "1mbit", "prio": 3}],
        },
        job=TcJob,
        prepare=on_the_wire,
    ),
    Story(
        "timer",
        {**HERE, "tbf": {"rate": "1mbit", "burst": "32kb", "latency": "50ms"}, "duration": HALF_A_DAY},
        {**HERE, "state": "absent", "force": True},
        "qdisc cud, timer cud",
        changed={**HERE, "tbf": {"rate": "2mbit", "burst": "32kb", "latency": "50ms"}, "duration": HALF_A_DAY * 2},
        job=TcJob,
        prepare=on_the_wire,
    ),
    Story(
        "mirror",
        {**HERE, "mirror": {"to_container": "b", "to_interface": "eth1"}},
        {**HERE, "state": "absent"},
        "qdisc cd, tc_filter cd",
        changed={**HERE, "mirror": {"to_container": "b", "to_interface": "eth1", "direction": "egress"}},
        job=TcJob,
        prepare=on_a_bus,
        bare=False,  # an empty clsact may be anybody's
    ),
    Story(
        "lease",
        in_a(**LEASED, dhcp_dns=True, dhcp_keep=True),
        not_in_a(),
        "lease cud, resolver cd, dhcp_keep cud, address cd, route cd",
        changed=in_a(**LEASED, dhcp_keep=True, dhcp_hostname="other"),
        prepare=segment,
        guests=("a",),
        first=2,
    ),
    Story(
        "lease6",
        in_a(dhcp6=True, dhcp_keep=True, dhcp_timeout=20),
        not_in_a(),
        "lease6 cud, dhcp_keep cud, address c",
        changed=in_a(dhcp6=True, dhcp_keep=True, dhcp_timeout=20, dhcp_hostname="other"),
        prepare=segment6,
        guests=("a",),
        first=2,
    ),
    Story(
        "link_local",
        in_a(link_local=True),
        not_in_a(),
        "link_local c, dhcp_keep cd",
        prepare=bare_segment,
        guests=("a",),
        first=2,
    ),
    Story(
        "commands",
        {"runtime": "netns", "commands": ["br1 a 10.1.0.1/24@10.1.0.254 06:00:00:00:00:0a"]},
        not_in_a(),
        "link cu, port c, address c, route c",
        job=CommandsJob,
        gone_job=AttachJob,
        guests=("a",),
        phases=("new",),
    ),
]

# The kernel lane (User-Mode Linux), for what other kernels may lack.
IN_UML = [
    Story(
        "ipvlan", in_a(host_interface="nic0", kind="ipvlan", mac_address=None, **BOTH), not_in_a(),
        "link cu, address cd",
        changed=in_a(host_interface="nic0", kind="ipvlan", mac_address=None, addresses=["10.1.0.7/24"], mtu=1300),
        prepare=card, attaches=("ipvlan",), phases=("new", "changed"),
    ),
    Story(
        "dummy", in_a(host_interface="dummy0", addresses=["10.3.0.1/32"]), not_in_a(), "link c, address c",
        guests=("a",), attaches=("dummy",), phases=("new",),
    ),
    Story(
        "vlan", in_a(host_interface="nic0", vlan=10, kind="macvlan", addresses=["10.1.0.1/24"]), not_in_a(),
        "link d, address d",
        changed=in_a(host_interface="nic0", vlan=20, kind="macvlan", addresses=["10.1.0.1/24"]), prepare=card,
        phases=("gone",),
    ),
]  # fmt: skip


class Elsewhere(t.NamedTuple):
    """A test of its own that fails and kills a run at every operation, in a lane with the card that it needs."""

    lane: str
    path: str
    test: str
    covers: str
    attaches: tuple[str, ...] = ()

    @property
    def operations(self) -> frozenset[tuple[str, str]]:
        return covered(self.covers)


ELSEWHERE = [
    Elsewhere(
        "qemu", "tests/kernel/test_sriov.py", "test_B4_killed_and_failed_runs_lose_nothing_of_a_function",
        "vf u, vf_address cd", ("sriov",),
    ),
    Elsewhere(
        "qemu", "tests/kernel/test_wireless.py", "test_B4_killed_and_failed_runs_lose_nothing_of_a_wireless_nic",
        "link cud", ("phys",),
    ),
]  # fmt: skip

# What only the taking back of a run does.
NEVER = frozenset({("create", "lease_files"), ("delete", "neighbor")})
# What is not disturbed yet: it takes somebody else, or a container that ends, in the middle of a story. Tests
# of their own are in test_dhcp_left.py, test_autoconf.py, test_dhcp_dns.py, test_shim.py, test_bridge_ports.py and
# test_tc_mirror.py.
MISSING = frozenset({
    ("delete", "lease_files"), ("update", "link_local"), ("update", "resolver"), ("update", "watchdog"),
    ("update", "tc_filter"), ("update", "address"), ("delete", "watchdog"), ("delete", "link_local"),
    ("update", "neighbor"),
})  # fmt: skip
NO_RUN = ("wait", "agent")  # waits; runs by itself, with the plan of attachments that it knows
# There is none of software: what the kernel is told is compared in tests/kernel/test_ipoib.py.
WITHOUT_A_DEVICE = {"ipoib"}
