# Copyright: pipework.containers contributors
# GNU General Public License v3.0+ (see LICENSE)
"""Command lines of iproute2: ours and its own leave the same behind, and say no to the same."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Iterator
from typing import Any

import pytest

from ansible_collections.pipework.containers.plugins.module_utils._jobs.commands import CommandsJob
from ansible_collections.pipework.containers.plugins.module_utils._jobs.route import RouteJob
from ansible_collections.pipework.containers.plugins.module_utils._jobs.rule import RuleJob
from ansible_collections.pipework.containers.plugins.module_utils._jobs.tc import TcJob
from tests.integration.lab import Host, refusal

pytestmark = pytest.mark.root

STAGE = """
link add eth1 type veth peer name far1
link set far1 up
link set eth1 up
link add eth2 type veth peer name far2
link set far2 up
link set eth2 up
address add 192.168.1.1/24 dev eth1
address add 192.168.2.1/24 dev eth2
address add 2001:db8:1::1/64 dev eth1
"""


@pytest.fixture
def twins() -> Iterator[Host]:
    """Two namespaces that are alike: ours works in a, iproute2 in b."""
    found = Host("a", "b")
    for ns in "ab":
        found.batch(STAGE, ns=ns)
    yield found
    found.close()


def route(host: Host, cmd: Any, check: bool = False, **params: Any) -> dict[str, Any]:
    return host.run(job=RouteJob, check=check, container="a", runtime="netns", cmd=cmd, **params)


def shown(host: Host, ns: str) -> list[str]:
    """All routes that somebody made, but for who made them."""
    found = []
    for version in ("-4", "-6"):
        text = host.sh("ip", version, "-j", "-d", "-N", "route", "show", "table", "all", ns=ns)
        for each in json.loads(text or "[]"):
            if each.pop("protocol", None) == "2" or str(each.get("dst", "")).startswith(("ff00", "fe80")):
                continue
            each["flags"] = [flag for flag in each.get("flags", ()) if flag not in ("linkdown", "dead")]
            found.append(json.dumps(each, sort_keys=True))
    return sorted(found)


def native(host: Host, words: str) -> str:
    """What ip says no with; empty where it does not."""
    def go() -> str:
        done = subprocess.run(["ip", *words.split()], capture_output=True, text=True, check=False)
        return "" if done.returncode == 0 else done.stderr or "failed"

    return host.call(go, ns="b")


SAME = (
    "route add 10.0.5.0/24 via 192.168.1.254",
    "route add default via 192.168.1.254",
    "route replace default via 192.168.1.253",
    "ro r default via 192.168.2.254 dev eth2 mtu 1400",
    "route add 10.1/16 dev eth2 src 192.168.2.1 metric 7",
    "route change 10.1.0.0/16 dev eth2 metric 7 advmss 1300",
    "route add 10.2.0.0/16 via 10.99.0.1 dev eth1 onlink table 100",
    "route add blackhole 10.3.0.0/16",
    "route add unreachable 10.4.0.0/16 metric 20 table 100",
    "route add to 10.5.1.2 dev eth1 scope link proto static",
    "route add 10.6.0.0/16 nexthop via 192.168.1.250 weight 3 nexthop via 192.168.2.250 dev eth2",
    "route append 10.7.0.0/16 dev eth1 hoplimit lock 9 initcwnd 20",
    "route add 2001:db8:5::/48 via 2001:db8:1::fe",
    "-6 route add default via fe80::1 dev eth1 metric 5 pref high",
    "route add 2001:db8:6::/48 dev eth1 mtu lock 1300",
    "route add prohibit 2001:db8:7::/48",
    "route del 10.1.0.0/16",
    "route delete default",
    "route del 2001:db8:5::/48 via 2001:db8:1::fe",
    "route flush table 100",
)


def test_P32_a_command_leaves_what_iproute2_leaves(twins: Host) -> None:
    """One after the other, so that each finds what those before it left. Each again: nothing is left to do."""
    for words in SAME:
        cmd = words if words.startswith(("ro ", "-6")) else words.partition(" ")[2]
        cmd = cmd.partition(" ")[2] if words.startswith("ro ") else cmd.replace("-6 route ", "-6 ")
        said = route(twins, cmd, check=True)
        done = route(twins, cmd)
        assert native(twins, words) == "", words
        assert shown(twins, "a") == shown(twins, "b"), words
        assert done["changed"] and said["operations"] == done["operations"], words
        assert not route(twins, cmd)["changed"], words


@pytest.mark.parametrize(
    ("words", "ours"),
    [
        ("add 10.0.5.0/24 via 192.168.1.9", "cmd: 10.0.5.0/24: File exists: another route stands in its place"),
        ("change 10.9.0.0/16 dev eth1", "cmd: 10.9.0.0/16: No such file or directory"),
        ("add 10.0.5.6/24 via 192.168.1.254", "maybe you meant 10.0.5.0/24?"),
        ("add 10.9.0.0/16 via 172.16.0.1", "172.16.0.1 is not on a network of netns:a"),
        ("add 10.9.0.0/16 dev eth7", "eth7 does not exist"),
        ("add 10.9.0.0/16 via", "is not complete"),
        ("add 10.9.0.0/16 table nowhere dev eth1", "nowhere"),
        ("add 10.9.0.0/16 vai 192.168.1.254", "word 3, 'vai', is not known here"),
    ],
)
def test_P32_what_iproute2_refuses_is_refused(twins: Host, words: str, ours: str) -> None:
    for ns in "ab":
        twins.sh("ip", "route", "add", "10.0.5.0/24", "via", "192.168.1.254", ns=ns)
    before = twins.snapshot()
    said = str(refusal(lambda: route(twins, words)))
    assert ours in said
    assert native(twins, f"route {words}")
    twins.assert_as(before)


def test_P32_B14_characters_of_a_shell_are_never_run(twins: Host) -> None:
    before = twins.snapshot()
    for cmd in ("add 10.9.0.0/16 dev eth1; ip link del eth2", "add $(ip link del eth2) dev eth1",
                ["add", "10.9.0.0/16", "dev", "eth1;reboot"]):  # fmt: skip
        assert refusal(lambda cmd=cmd: route(twins, cmd))  # type: ignore[misc]
    assert "stands beside cmd" in str(refusal(lambda: route(twins, "add default dev eth1", metric=5)))
    twins.assert_as(before)


RULES = (
    "rule add from 172.19.0.2/32 table 1",
    "rule add to 172.19.0.2 lookup 1 pref 500",
    "rule add not fwmark 0x1/0xff iif eth1 prio 600 table 100",
    "rule add from 10.0.0.0/8 blackhole",
    "rule add from 10.1.0.0/16 ipproto tcp dport 80-90 uidrange 0-9 pref 700 goto 800",
    "-6 rule add table 100 sup_pl 0 pref 900",
    "-6 rule add from 2001:db8::/32 prohibit pref 901",
    "rule del from 10.0.0.0/8",
    "rule delete pref 500",
    "rule flush table 100",
)


def rules(host: Host, ns: str) -> list[str]:
    """All rules, as ip shows them, but for who made them."""
    lines = [line for v in "46" for line in host.sh("ip", f"-{v}", "-N", "rule", "show", ns=ns).splitlines()]
    return [" ".join(re.sub(r" proto \S+", "", line).split()) for line in lines]


def rule(host: Host, cmd: Any, check: bool = False) -> dict[str, Any]:
    return host.run(job=RuleJob, check=check, container="a", runtime="netns", cmd=cmd)


def test_P33_a_command_leaves_what_iproute2_leaves(twins: Host) -> None:
    for words in RULES:
        cmd = words.replace("-6 rule ", "-6 ") if words.startswith("-6") else words.partition(" ")[2]
        said = rule(twins, cmd, check=True)
        done = rule(twins, cmd)
        assert native(twins, words) == "", words
        if "flush" in words:  # ip takes one family, and both are its default here
            assert native(twins, f"-6 {words}") == ""
            rule(twins, f"-6 {cmd}")
        assert rules(twins, "a") == rules(twins, "b"), words
        assert done["changed"] and said["operations"] == done["operations"], words
        assert not rule(twins, cmd)["changed"], words
    before = twins.snapshot()
    for words, ours in (("add from table 1", "word 3, 'table', is not a network prefix"),
                        ("add from 10.0.0.0/8 table nowhere", "nowhere"), ("add", "says of no rule"),
                        ("add pref 9 goto 5", "goto: 5 does not come after")):  # fmt: skip
        assert ours in str(refusal(lambda words=words: rule(twins, words)))  # type: ignore[misc]
        assert native(twins, f"rule {words}") or words == "add"
    twins.assert_as(before)


def test_P32_P33_P47_the_lines_of_the_documentation(host: Host) -> None:
    lines = ["br1 a 192.168.2.10/24", "route a add 10.0.5.0/24 via 192.168.2.1",
             "rule a add from 172.19.0.2/32 table 1",
             "route a replace default via 192.168.2.78", "rule a add to 172.19.0.2/32 table 1"]  # fmt: skip
    said = host.run(job=CommandsJob, check=True, runtime="netns", commands=lines)
    done = host.run(job=CommandsJob, runtime="netns", commands=lines)
    assert said["operations"] == done["operations"]
    assert not host.run(job=CommandsJob, runtime="netns", commands=lines)["changed"]
    shown = rules(host, "a")
    assert any("from 172.19.0.2 lookup 1" in line for line in shown)
    assert any("from all to 172.19.0.2 lookup 1" in line for line in shown)
    assert [r["destination"] for r in done["routes"]] == ["10.0.5.0/24", "default"] and len(done["rules"]) == 2


def test_P32_what_only_ip_knows_is_passed_through_when_asked_to(twins: Host) -> None:
    params = {"container": "a", "runtime": "netns", "cmd": "add 10.9.0.0/16 dev eth1 realms 1/2"}
    before = twins.snapshot()
    refused = twins.module("pipework_route", params)
    assert refused["failed"] and "'realms', is not known here" in refused["msg"]
    assert "'passthrough: true' hands such words to the program" in refused["msg"]
    params["passthrough"] = True  # type: ignore[assignment]
    said = twins.module("pipework_route", params, check=True)
    assert said["skipped"] and not said["changed"] and "cannot know" in said["msg"]
    twins.assert_as(before)
    done = twins.module("pipework_route", params)
    assert done["changed"] and "realm" in str(done["after"]) and "10.9.0.0" not in str(done["before"])
    again = twins.module("pipework_route", params)
    assert again["failed"] and "File exists" in again["msg"] and again["msg"].endswith("Nothing was changed.")
    seen = twins.module("pipework_route", {**params, "cmd": "get 10.9.0.1"})
    assert not seen["changed"] and "10.9.0.1" in seen["stdout"]
    for cmd in ("add 10.8.0.0/16 via", "add $(reboot) dev eth1", "-batch /etc/passwd"):
        assert twins.module("pipework_route", {**params, "cmd": cmd})["failed"]
    assert not twins.module("pipework_rule", {**params, "cmd": "show"})["changed"]


def test_P32_P47_routes_by_lines_beside_the_attachment_that_they_need(host: Host) -> None:
    lines = [
        "pipework route a add 10.8.0.0/16 via 192.168.1.254 metric 5",
        "pipework br1 a 192.168.1.1/24",
        "pipework br1 b 192.168.1.2/24@192.168.1.254",
        "pipework route b add blackhole 10.9.0.0/16",
    ]
    before = host.snapshot()
    said = host.run(job=CommandsJob, check=True, runtime="netns", commands=lines)
    done = host.run(job=CommandsJob, runtime="netns", commands=lines)
    for part in ("changed", "operations", "before", "after", "lines"):
        assert said[part] == done[part]
    assert host.routes("a", "route", "show", "10.8.0.0/16") == [
        "10.8.0.0/16 via 192.168.1.254 dev eth1 proto 114 metric 5"
    ]
    assert host.routes("b", "route", "show", "10.9.0.0/16")[0].startswith("blackhole 10.9.0.0/16")
    assert [found["destination"] for found in done["routes"]] == ["10.8.0.0/16", "10.9.0.0/16"]
    assert not host.run(job=CommandsJob, runtime="netns", commands=lines)["changed"]
    both = [*lines, "route b replace default via 192.168.1.1"]
    assert host.run(job=CommandsJob, runtime="netns", commands=both)["changed"]  # the last line has it
    assert host.routes("b", "route", "show", "default") == ["default via 192.168.1.1 dev eth1 proto 114"]
    gone = ["route a del 10.8.0.0/16", "route b del 10.9.0.0/16"]
    assert host.run(job=CommandsJob, runtime="netns", commands=gone)["changed"]
    host.run(runtime="netns", state="absent", attachments=[{"container": name} for name in "ab"])
    host.assert_as(before)


def tc(host: Host, cmd: Any, check: bool = False) -> dict[str, Any]:
    return host.run(job=TcJob, check=check, container="a", runtime="netns", cmd=cmd)


FILTERS = (("eth1", "ingress"), ("eth2", "parent", "1:"))


def queues(host: Host, ns: str) -> list[Any]:
    """Qdiscs, classes and filters of the two interfaces, but for numbers that somebody chose or the kernel counts."""
    lines = [line for line in host.sh("tc", "qdisc", "show", ns=ns).splitlines() if " dev eth" in line]
    changing = r"(?<=^qdisc )(\w+) \w+:|(refcnt|direct_packets_stat) \d+"
    found: list[Any] = [re.sub(changing, r"\1", line) for line in lines]
    found += host.sh("tc", "class", "show", "dev", "eth2", ns=ns).splitlines()
    shown = [host.sh("tc", "filter", "show", "dev", *place, ns=ns, check=False) for place in FILTERS]
    # "parent ffff:" is another way to say ingress; actions are numbered
    return found + [re.sub(r"parent ffff: |(?<=police )0x\w+", "", text) for text in shown]


def same_tc(host: Host, lines: tuple[str, ...]) -> None:
    for words in lines:
        said = tc(host, words, check=True)
        done = tc(host, words)
        host.sh("tc", *words.split(), ns="b")
        assert queues(host, "a") == queues(host, "b"), words
        assert done["changed"] and said["operations"] == done["operations"], words
        assert not tc(host, words)["changed"], words


def test_P34_a_command_leaves_what_tc_leaves(twins: Host) -> None:
    same_tc(twins, (
        "qdisc add dev eth1 root tbf rate 10mbit burst 32kb latency 50ms",
        "qdisc change dev eth1 root tbf rate 20mbit burst 32kb limit 64kb",
        "qdisc replace dev eth2 root handle 1: htb default 10",
        "class add dev eth2 parent 1: classid 1:10 htb rate 1mbit ceil 2mbit burst 15k",
        "class change dev eth2 parent 1: classid 1:10 htb rate 2mbit ceil 2mbit burst 15k",
        "qdisc add dev eth2 parent 1:10 handle 10: tbf rate 1mbit burst 32kb latency 50ms",
        "qdisc add dev eth1 ingress",
        "filter add dev eth2 parent 1: protocol ip prio 1 u32 match ip dst 10.0.0.0/8 match ip dport 80 0xffff "
        "flowid 1:10",
        "filter add dev eth1 parent ffff: protocol ip prio 3 u32 match ip src 10.9.0.0/16 flowid :1",
        "filter add dev eth1 ingress protocol ip prio 4 u32 match u32 0 0 at 0 action mirred egress redirect dev eth2",
        "filter del dev eth1 ingress protocol ip prio 3 u32 match ip src 10.9.0.0/16",
        "qdisc del dev eth1 root",
        "qdisc del dev eth2 parent 1:10",
        "filter del dev eth2 parent 1: protocol ip prio 1 u32 match ip dst 10.0.0.0/8 match ip dport 80 0xffff",
        "class del dev eth2 classid 1:10",
        "qdisc del dev eth2 root htb",
        "qdisc del dev eth1 ingress",
    ))  # fmt: skip
    for words, ours in (
        ("qdisc change dev eth1 root tbf rate 1mbit burst 32kb latency 50ms", "No such file or directory"),
        ("qdisc add dev eth9 root tbf rate 1mbit burst 32kb latency 50ms", "eth9 does not exist"),
        ("qdisc add dev eth1 root tbf burst 32kb", "rate"),
        ("qdisc add dev eth1 root tbf rate 1mbit burst 32kb latency", "is not complete"),
        ("class add dev eth1 parent 5: classid 5:1 htb rate 1mbit", "5:"),
    ):
        assert ours in str(refusal(lambda words=words: tc(twins, words)))  # type: ignore[misc]
        assert not twins.ok("tc", *words.split(), ns="b")
    tc(twins, "qdisc add dev eth1 root tbf rate 1mbit burst 32kb latency 50ms")
    said = str(refusal(lambda: tc(twins, "qdisc add dev eth1 root tbf rate 2mbit burst 32kb latency 50ms")))
    assert "File exists: another qdisc stands there" in said


@pytest.mark.kernel
def test_P34_filters_and_curves_that_other_kernels_lack(twins: Host) -> None:
    same_tc(twins, (
        "qdisc add dev eth2 root handle 1: hfsc default 10",
        "class add dev eth2 parent 1: classid 1:10 hfsc sc m1 20mbit d 10ms m2 10mbit ul rate 20mbit",
        "class add dev eth2 parent 1:10 classid 1:11 hfsc rt rate 2mbit ls rate 1mbit",
        "filter add dev eth2 parent 1: protocol ip prio 1 flower ip_proto tcp dst_ip 10.0.0.9 dst_port 80 classid 1:10",
        "filter add dev eth2 parent 1: protocol ip prio 3 handle 7 fw classid 1:10",
        "filter add dev eth2 parent 1: protocol all prio 2 matchall action skbedit mark 0x5 pipe action drop",
        "qdisc add dev eth1 ingress",
        "filter add dev eth1 parent ffff: protocol ip prio 1 u32 match u32 0 0 at 0 action police rate 1mbit "
        "burst 32k mtu 60k drop flowid :1",
        "filter replace dev eth1 ingress protocol ip prio 3 matchall action police rate 2mbit burst 32k mtu 60k "
        "conform-exceed drop/pipe",
    ))  # fmt: skip


@pytest.mark.kernel
def test_P34_the_netem_line_of_the_documentation(twins: Host) -> None:
    same_tc(twins, (
        "qdisc add dev eth1 root netem loss 30%",
        "qdisc change dev eth1 root netem delay 100ms 10ms 25% loss 5% duplicate 1% reorder 10% 50% limit 500",
        "qdisc del dev eth1 root",
    ))  # fmt: skip


def test_P34_P47_tc_by_a_line_beside_the_attachment_that_it_needs(host: Host) -> None:
    lines = ["br1 a 192.168.1.1/24", "tc a qdisc add dev eth1 root tbf rate 10mbit burst 32kb latency 50ms"]
    before = host.snapshot()
    said = host.run(job=CommandsJob, check=True, runtime="netns", commands=lines)
    done = host.run(job=CommandsJob, runtime="netns", commands=lines)
    assert said["operations"] == done["operations"] and done["interfaces"][0]["root"]["kind"] == "tbf"
    assert "tbf" in host.sh("tc", "qdisc", "show", "dev", "eth1", ns="a")
    assert not host.run(job=CommandsJob, runtime="netns", commands=lines)["changed"]
    host.run(runtime="netns", state="absent", container="a")
    host.assert_as(before)


def test_P34_what_only_tc_knows_is_passed_through_when_asked_to(twins: Host) -> None:
    tc(twins, "qdisc add dev eth1 ingress")
    words = "filter add dev eth1 ingress prio 7 protocol ip handle ::7 u32 match ip dst 10.0.0.0/8 flowid 1:1"
    params = {"container": "a", "runtime": "netns", "cmd": words}
    assert "passthrough: true" in twins.module("pipework_tc", params)["msg"]
    params["passthrough"] = True  # type: ignore[assignment]
    assert twins.module("pipework_tc", params, check=True)["skipped"]
    done = twins.module("pipework_tc", params)
    assert done["changed"] and "0a000000" in str(done["after"]) and "0a000000" not in str(done["before"])
    assert not twins.module("pipework_tc", {**params, "cmd": "qdisc show dev eth1"})["changed"]
