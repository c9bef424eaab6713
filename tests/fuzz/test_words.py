# Copyright: pipework.containers contributors
# GNU General Public License v3.0+ (see LICENSE)
"""What users write: command lines, options, topologies. Whatever it is, they are told by a sentence."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from ansible.module_utils.common.arg_spec import ArgumentSpecValidator

from ansible_collections.pipework.containers.plugins.filter import topology as topologies
from ansible_collections.pipework.containers.plugins.module_utils._attach.options import Attachment
from ansible_collections.pipework.containers.plugins.module_utils._core import normalize as norm
from ansible_collections.pipework.containers.plugins.module_utils._core.errors import PipeworkError
from ansible_collections.pipework.containers.plugins.module_utils._grammar import classic, ip_route, ip_rule, macros, tc
from ansible_collections.pipework.containers.plugins.module_utils._grammar.cmd_option import said
from ansible_collections.pipework.containers.plugins.module_utils._ipam import dhcp4_grant, external
from ansible_collections.pipework.containers.plugins.module_utils._ipam.external import dhclient, dhcpcd, udhcpc
from ansible_collections.pipework.containers.plugins.module_utils._ipam.external.words import options_of
from ansible_collections.pipework.containers.plugins.module_utils._jobs.commands import CommandsJob
from ansible_collections.pipework.containers.plugins.module_utils._model import vlans
from ansible_collections.pipework.containers.plugins.module_utils._model.route_names import Names
from ansible_collections.pipework.containers.plugins.module_utils._model.sysctl import from_option
from ansible_collections.pipework.containers.plugins.module_utils._routing.route_options import RouteItem
from ansible_collections.pipework.containers.plugins.module_utils._routing.rule_options import RuleItem
from ansible_collections.pipework.containers.plugins.module_utils._tc import options as tc_options
from ansible_collections.pipework.containers.plugins.module_utils._tc import units
from ansible_collections.pipework.containers.plugins.module_utils._topology import schema
from ansible_collections.pipework.containers.plugins.modules.pipework_attach import ITEM as ATTACHMENT
from ansible_collections.pipework.containers.plugins.modules.pipework_tc import ITEM as TC_ITEM
from tests.fuzz.harness import JSON, Target, fuzz, parameters, try_kept
from tests.fuzz.mutations import documents, texts

# -- command lines

CLASSIC = [
    "br1 web1 192.168.1.1/24@192.168.1.254 U:web1@10",
    "pipework --direct-phys eth3 -i eth2 -l pl1 -a 4 web1 0/0",
    "mac:02:00:00:00:00:01 web1 dhcp",
    "br1 -i eth2 web1 udhcpc-f:-x hostname:a @4094",
    "ib0 web1 fe80::1/64 @8001",
    "route web1 replace default via 10.0.0.1 dev eth1",
    "rule web1 add from 10.0.0.0/8 table 7",
    "--wait -i eth1",
    "tc web1 qdisc add dev eth1 root netem delay 10ms 2ms loss 1%",
    "dummy web1 'a b'/24",
    "br1 web1 dhclient:-v @1",
]
ROUTES = [
    "add 10.0.0.0/8 via 10.0.0.1 dev eth1 metric 7 table blue proto static mtu lock 1400 onlink",
    "flush table 7",
    "ip -6 route add unreachable 2001:db8::/32 from 2001::/16 src 2001::1 pref high rto_min 10ms",
    "replace default nexthop via 10.0.0.1 weight 3 nexthop dev eth1 encap mpls 100/200 ttl 3",
    "add 10.0.0.0/8 via inet6 fe80::1 dev eth1 encap seg6 mode encap segs ::1,::2",
    "del default",
]
RULES = [
    "add not from 10.0.0.0/8 to 10.1.0.0/16 iif eth1 fwmark 0x1/0xff pref 100 lookup blue",
    "flush table 7",
    "ip -6 rule add to 2001::/16 sport 1-9 dport 53 ipproto tcp uidrange 0-9 goto 200 suppress_prefixlength 0",
    "del from all tos 0x10 realms 1/2 blackhole",
]
TC = [
    "qdisc add dev eth1 root handle 1: htb default 30 r2q 10",
    "qdisc del dev eth1 root",
    "class add dev eth1 parent 1: classid 1:30 htb rate 10mbit ceil 20mbit burst 15k prio 1",
    "filter add dev eth1 parent 1: protocol ip prio 1 u32 match ip dst 10.0.0.1/32 match ip dport 80 0xffff flowid 1:30",  # noqa: E501
    "filter add dev eth1 ingress protocol all flower dst_mac 02:00:00:00:00:01 action mirred egress redirect dev eth2",
    "qdisc replace dev eth1 root tbf rate 1mbit burst 32kbit latency 400ms",
    "qdisc add dev eth1 clsact",
    "qdisc add dev eth1 parent 1:30 handle 30: netem delay 10ms 2ms 25% distribution normal loss gemodel 1% 2% slot 1ms",  # noqa: E501
    "class add dev eth1 parent 1: classid 1:1 hfsc sc rate 1mbit ul m1 2mbit d 10ms m2 1mbit",
    "qdisc add dev eth1 root cake bandwidth 10mbit diffserv4 nat wash rtt 50ms",
    "qdisc add dev eth1 root fq_codel ecn",
]
NAMES = Names()


def read_classic(line: str) -> None:
    """The options of a line make a line that means the same; and the module takes them or refuses them."""
    found = classic.parse(line)
    assert classic.parse(list(classic.words_of(found))) == found
    CommandsJob({"cmd": line, "commands": None})


def read_script(line: str) -> None:
    CommandsJob({"commands": line.split("|")})


def reader(grammar: Any, take: Callable[[Any], Any]) -> Callable[[str], None]:
    """The same for the commands of iproute2."""

    def read(line: str) -> None:
        command = grammar.parse(line)
        again = grammar.parse(list(grammar.words_of(command)))
        assert (again.verb, again.params) == (command.verb, command.params)
        if command.verb != "flush":
            _verb, options = said({"container": "web1", "cmd": line}, grammar.parse, ())
            take(options)

    return read


def read_macros(line: str) -> None:
    macros.expand(line.split(), {"INSTANCE": "7", "CONTAINER_NAME": "web1"})


# -- options

ATTACHMENTS = [
    {
        "host_interface": "br1",
        "container": "web1",
        "addresses": ["10.0.0.1/24", "fd00::1/64"],
        "gateway": ["10.0.0.254"],
        "mac_address": "U:web1",
        "vlan": 10,
        "mtu": 1400,
        "interface": "eth2",
        "local_interface": "pl1",
        "kind": "bridge",
    },
    {
        "host_interface": "eth0",
        "container": "web1",
        "kind": "macvlan",
        "mode": "bridge",
        "dhcp": "builtin",
        "dhcp_options": ["vendor-class=a", "12=0x00"],
        "dhcp_hostname": "web1",
        "dhcp_timeout": 5,
        "vlan_trunks": ["2-4"],
    },
    {
        "container": "web1",
        "interface": "eth1",
        "peer": {"container": "web2", "interface": "eth1", "addresses": []},
        "sysctls": {"net.ipv4.conf.IFNAME.forwarding": "1"},
        "bandwidth": {"rate": "10mbit"},
        "accept_ra": True,
    },
]


def checked(spec: dict[str, Any], given: Any) -> Any:
    """What Ansible makes of options; None for what it refuses by itself."""
    if not isinstance(given, dict):
        return None
    try:
        result = ArgumentSpecValidator(spec).validate({str(name): value for name, value in given.items()})
    except TypeError:  # which ends Ansible itself
        return None
    return None if result.error_messages else result.validated_parameters


def read_attachment(given: Any) -> None:
    params = checked(ATTACHMENT, given)
    if params is not None:
        Attachment.from_params(params)


TREES = [
    {"device": "eth1", "container": "web1", "netem": {"delay": "10ms", "jitter": "2ms", "loss": "1%", "rate": "1mbit"}},
    {
        "device": "eth1",
        "container": "web1",
        "handle": "1:",
        "htb": {"default": "30"},
        "classes": [
            {"classid": "1:30", "kind": "htb", "rate": "10mbit", "ceil": "20mbit", "burst": "15kb"},
        ],
        "qdiscs": [{"parent": "1:30", "kind": "sfq", "perturb": 10}],
        "filters": [
            {"parent": "1:", "kind": "u32", "match": [{"ip": "dst 10.0.0.1/32"}], "classid": "1:30", "prio": 1},
        ],
    },
]


def read_tree(given: Any) -> None:
    params = checked(TC_ITEM, given)
    if params is not None:
        tc_options.TcItem.from_params(params)


UNITS = [each for each in vars(units).values() if isinstance(each, units.Unit)]
QUANTITIES = ["100ms", "1.5s", "10mbit", "2mbps", "32kb", "30%", "0x10", "1:30", "10", "true", "1e3us", "10p"]


def read_quantity(text: str) -> None:
    """By every unit. What was read can be shown, and read again."""
    refused = 0
    for unit in UNITS:
        try:
            number = unit.read(text)
        except PipeworkError:
            refused += 1
            continue
        assert unit.read(unit.show(unit.kept(number))) >= 0 or number < 0
    try:
        units.show_handle(units.read_handle(text, "handle"))
    except PipeworkError:
        refused += 1


VALUES = [
    "192.168.1.1/24",
    "fd00::1/64",
    "0/0",
    "02:00:00:00:00:01",
    "U:web1",
    "eth1",
    "10",
    "2-4,7",
    "requested-address=10.0.0.1",
    "lease-time=60",
    "client-id=0x0102",
    "example.org",
    "1500",
    "10.0.0.0/255.0.0.0",
    "vendor-class=a",
    "12=0x00",
]
READERS: list[Callable[[str], Any]] = [
    lambda text: norm.interface_address(text, "x"),
    lambda text: norm.gateway(text, "x"),
    lambda text: norm.address(text, "x"),
    norm.mac_address,
    lambda text: norm.interface_name(text, "x"),
    norm.mtu,
    lambda text: vlans.vlan_id(text, "x"),
    lambda text: vlans.trunks(text.split(","), "x"),
    dhcp4_grant.option_of,
    dhcp4_grant.check_hostname,
    dhcp4_grant.domain_name,
    dhcp4_grant.hostname_of,
    lambda text: dhcp4_grant.check_options([text, text]),
    lambda text: options_of("udhcpc", text.split()),
    lambda text: options_of("dhclient", text.split()),
    lambda text: options_of("dhcpcd", text.split()),
    NAMES.table,
    NAMES.protocol,
    lambda text: from_option({text: text}),
]


def read_value(text: str) -> None:
    for read in READERS:
        try:
            read(text)
        except PipeworkError:
            continue


# -- what a program of the host says of a lease

ENVIRONMENT = [
    {
        name: value
        for client in (udhcpc.CLIENT, dhclient.CLIENT, dhcpcd.CLIENT)
        for name, value in {**dict.fromkeys(client.names.values(), "10.5.0.1"), client.address: "10.5.0.7"}.items()
    }
]


def read_environment(given: Any) -> None:
    environment = {name: str(value) for name, value in given.items()} if isinstance(given, dict) else {}
    for client in (udhcpc.CLIENT, dhclient.CLIENT, dhcpcd.CLIENT):
        message = external.answer(client, environment, bytes(6), bytes(6))
        try:
            dhcp4_grant.granted(message, 10.0)
        except PipeworkError:
            continue


# -- topologies

SHOP = {
    "hosts": {"h1": {"address": "10.9.0.1"}, "h2": {}},
    "containers": {"web1": {"host": "h1", "runtime": "netns"}, "db1": {"host": "h2", "name": "database"}},
    "bridges": [{"name": "br1", "addresses": ["10.1.0.254/24"], "hosts": ["h1"]}],
    "attachments": [{"container": "web1", "host_interface": "br1", "addresses": ["10.1.0.1/24"]}],
    "segments": [{"name": "blue", "vni": 100, "hosts": ["h1", "h2"]}],
    "routes": [{"container": "web1", "destination": "10.2.0.0/16", "gateway": "10.1.0.254"}],
    "impairments": [{"container": "web1", "device": "eth1", "netem": {"delay": "10ms"}}],
}
LAB = {
    "name": "lab",
    "mgmt": {"network": "m"},
    "topology": {
        "defaults": {"kind": "linux"},
        "kinds": {"linux": {"image": "a"}},
        "nodes": {"web1": {"kind": "linux", "exec": ["ip addr add 10.0.0.1/24 dev eth1"]}, "sw": {"kind": "bridge"}},
        "links": [
            {"endpoints": ["web1:eth1", "sw:e1"], "mtu": 1400},
            {"type": "veth", "endpoints": [{"node": "web1", "interface": "eth2"}, {"node": "sw", "interface": "e2"}]},
            {"type": "macvlan", "endpoint": {"node": "web1", "interface": "eth3"}, "host-interface": "eth0"},
        ],
    },
}


def read_topology(document: Any) -> None:
    """Errors are in what is returned, but for those of the filter's own options."""
    found = topologies.topology(document, "h1", ["h1", "h2"])
    assert all(isinstance(each, str) and each for each in found["errors"])


def read_schema(document: Any) -> None:
    assert all(isinstance(each, str) for each in schema.violations(topologies.schema(), document))


TARGETS = [
    Target("classic", texts(CLASSIC), read_classic),
    Target("script", texts(["|".join(CLASSIC[:2]), "|".join(CLASSIC)]), read_script),
    Target("ip_route", texts(ROUTES), reader(ip_route, lambda o: RouteItem.from_params(o, "", NAMES))),
    Target("ip_rule", texts(RULES), reader(ip_rule, lambda o: RuleItem.from_params(o, "", NAMES))),
    Target("tc", texts(TC), reader(tc, tc_options.TcItem.from_params)),
    Target("macros", texts(["br1 @CONTAINER_NAME@ 10.0.0.@INSTANCE@/24", "@HOSTNAME@"]), read_macros),
    Target("attachment", documents(ATTACHMENTS), read_attachment, form=JSON),
    Target("tree", documents(TREES), read_tree, form=JSON),
    Target("quantity", texts(QUANTITIES), read_quantity),
    Target("value", texts(VALUES), read_value),
    Target("environment", documents(ENVIRONMENT), read_environment, form=JSON),
    Target("topology", documents([SHOP, LAB]), read_topology, form=JSON),
    Target("schema", documents([SHOP]), read_schema, (), form=JSON),
]
kept, made_up = parameters(TARGETS)


@kept
def test_B17_words_that_were_stumbled_over_once(target: Target, path: Path) -> None:
    try_kept(target, path)


@made_up
def test_B17_no_words_end_a_run_without_a_sentence(target: Target) -> None:
    fuzz(target)
