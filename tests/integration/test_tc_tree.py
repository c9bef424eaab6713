# Copyright: pipework.containers contributors
# GNU General Public License v3.0+ (see LICENSE)
"""P34: whole trees of qdiscs, classes and filters. The kinds that this machine may lack are in the kernel lane."""

from __future__ import annotations

import copy
import ctypes
import os
import platform
import re
import socket
import struct
from typing import Any

import pytest

from ansible_collections.pipework.containers.plugins.module_utils._core.errors import PipeworkError
from tests.integration.lab import Host, Killed, failing_at, killed_at
from tests.integration.test_tc import shape, tc, wire

pytestmark = pytest.mark.root
__all__ = ["wire"]

TREE: dict[str, Any] = {
    "qdiscs": [
        {"kind": "htb", "handle": "1:", "default": 10},
        {"kind": "tbf", "parent": "1:20", "handle": "20:", "rate": "1mbit", "burst": "10kb", "latency": "50ms"},
    ],
    "classes": [
        {"classid": "1:10", "parent": "1:1", "rate": "9mbit", "ceil": "20mbit"},
        {"classid": "1:20", "parent": "1:1", "rate": "1mbit", "prio": 3},
        {"classid": "1:1", "rate": "20mbit"},
    ],
    "filters": [
        {
            "parent": "1:",
            "priority": 5,
            "match": ["ip dst 10.3.0.2/32", "ip protocol 17 0xff", "ip dport 4001 0xffff"],
            "classid": "1:20",
        },
        {"parent": "1:", "priority": 5, "match": "ip src 10.9.0.0/16", "classid": "1:10"},
        {"parent": "1:", "priority": 6, "match": "ip6 dst 2001:db8::/32", "classid": "1:10"},
    ],
}
BY_TC = """
qdisc add dev eth1 root handle 1: htb default 10
class add dev eth1 parent 1: classid 1:1 htb rate 20mbit
class add dev eth1 parent 1:1 classid 1:10 htb rate 9mbit ceil 20mbit
class add dev eth1 parent 1:1 classid 1:20 htb rate 1mbit prio 3
qdisc add dev eth1 parent 1:20 handle 20: tbf rate 1mbit burst 10kb latency 50ms
filter add dev eth1 parent 1: protocol ip prio 5 u32 match ip dst 10.3.0.2/32 match ip protocol 17 0xff \
match ip dport 4001 0xffff flowid 1:20
filter add dev eth1 parent 1: protocol ip prio 5 u32 match ip src 10.9.0.0/16 flowid 1:10
filter add dev eth1 parent 1: protocol ipv6 prio 6 u32 match ip6 dst 2001:db8::/32 flowid 1:10
"""


BPF = 321  # the system call
DOORS = (("filter", "show", "ingress"), ("filter", "show", "egress"))


def tree(**changes: Any) -> dict[str, Any]:
    return {**copy.deepcopy(TREE), **changes}


def everything(host: Host, ns: str = "a") -> list[str]:
    """What tc prints of all, less what is different of any two."""
    lines: list[str] = []
    for words in (("qdisc", "show"), ("class", "show"), ("filter", "show"), *DOORS):
        said = host.sh("tc", "-d", *words[:2], "dev", "eth1", *words[2:], ns=ns)
        said = re.sub(
            r"(refcnt|direct_packets_stat|index) \d+|burst 1\d\d\db\S*|fh 80\d\S*|ht 80\d|order \d+", "", said
        )
        lines += [" ".join(line.split()) for line in said.splitlines() if not re.match(r"class (tbf|netem)", line)]
    return sorted(line for line in lines if line)


def short(done: dict[str, Any]) -> list[tuple[str, str, str]]:
    return [(each["action"], each["kind"], each["name"].removeprefix("netns:a/eth1 ")) for each in done["operations"]]


def test_P34_a_tree_is_the_one_that_tc_makes_and_works(wire: Host) -> None:
    done = shape(wire, **tree())
    assert [name for _action, kind, name in short(done) if kind != "tc_filter"] == [
        "root",
        "1:1",
        "1:10",
        "1:20",
        "1:20",
    ]
    wire.sh("tc", "-batch", "-", ns="b", text=BY_TC)
    assert everything(wire) == everything(wire, "b")

    # A datagram to that port goes by the class, one to another does not.
    with wire.sockets(lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM), "a") as sender:
        for port in (4001, 4001, 4002):
            sender.sendto(bytes(100), ("10.3.0.2", port))
    shown = wire.sh("tc", "-s", "class", "show", "dev", "eth1", ns="a")
    sent = dict(re.findall(r"class htb (1:\d+) .*\n Sent \d+ bytes (\d+) pkt", shown))
    assert sent["1:20"] == "2" and int(sent["1:10"]) >= 1, sent


def test_P34_a_tree_is_changed_where_it_differs(wire: Host) -> None:
    shape(wire, **tree())
    changed = tree()
    changed["classes"][0]["rate"] = "8mbit"
    changed["filters"][1]["classid"] = "1:20"
    changed["filters"][2]["state"] = "absent"
    assert short(shape(wire, **changed)) == [
        ("delete", "tc_filter", "1: prio 6 ipv6 u32 match 20010db8/ffffffff at 24"),
        ("update", "class", "1:10"),
        ("update", "tc_filter", "1: prio 5 ip u32 match 0a090000/ffff0000 at 12"),
    ]
    # Another default class is another htb: all of the tree comes again, also what is in no list.
    before = everything(wire)
    done = shape(wire, qdiscs=[{"kind": "htb", "handle": "1:", "default": 20}])
    assert ("create", "class", "1:10") in short(done) and ("create", "qdisc", "1:20") in short(done)
    assert everything(wire) == [line.replace("default 0x10", "default 0x20") for line in before]

    shape(wire, qdiscs=[{"parent": "1:20", "handle": "20:", "state": "absent"}])
    assert short(shape(wire, qdiscs=[{"handle": "1:"}], state="absent"))[-1] == ("delete", "qdisc", "root")
    assert everything(wire) == ["qdisc noqueue 0: root"]


def test_P34_filters_without_a_priority_are_found_again(wire: Host) -> None:
    base = {"qdiscs": [{"kind": "clsact"}]}
    to = {"actions": [{"kind": "mirred", "to": "egress mirror", "device": "eth1"}]}
    first = {"parent": "ingress", "match": "ip src 10.3.9.1", **to}
    second = {"parent": "ingress", "match": "ip src 10.3.9.2", **to}
    shape(wire, **base, filters=[first])
    done = shape(wire, **base, filters=[second, first])
    assert [action for action, _kind, _name in short(done)] == ["create"]
    other = {**first, "actions": [{"kind": "mirred", "to": "egress redirect", "device": "eth1"}]}
    assert [action for action, _kind, _name in short(shape(wire, filters=[other]))] == ["update"]
    assert [action for action, _kind, _name in short(shape(wire, filters=[other], state="absent"))] == ["delete"]
    assert "10.3.9.2" not in wire.sh("tc", "filter", "show", "dev", "eth1", "egress", ns="a")
    with pytest.raises(PipeworkError, match=r"clsact: a/eth1 has filters there, eth1 ingress prio"):
        tc(wire, clsact={}, state="absent")
    shape(wire, clsact={}, state="absent", force=True)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"qdiscs": [{"kind": "fast"}]}, r"qdiscs\[0\].kind: 'fast' is not a qdisc that is known here"),
        ({"qdiscs": [{"kind": "htb", "handle": "x"}]}, r"qdiscs\[0\].handle: 'x' is not a handle, such as 1:"),
        ({"qdiscs": [{"kind": "htb", "handle": "1:10"}]}, r"qdiscs\[0\].handle: '1:10' is not that of a qdisc"),
        (
            {"qdiscs": [{"kind": "htb", "handle": "1:"}, {"kind": "pfifo", "handle": "1:", "parent": "1:1"}]},
            r"qdiscs\[1\].handle: 1: is that of qdiscs\[0\] too",
        ),
        ({"qdiscs": [{"kind": "htb"}, {"kind": "pfifo"}]}, r"qdiscs\[1\].parent: root is that of qdiscs\[0\] too"),
        ({"qdiscs": [{"kind": "pfifo", "parent": "1:10"}]}, r"qdiscs\[0\].parent: 1:10 is not there; eth1 has none"),
        ({"qdiscs": [{"kind": "htb", "speed": 1}]}, r"qdiscs\[0\].speed: .* has no such option; it has default"),
        ({"classes": [{"rate": "1mbit"}]}, r"classes\[0\].classid: say which class"),
        ({"classes": [{"classid": "1:1", "rate": "1mbit"}]}, r"classes\[0\].classid: there is no qdisc 1: for the"),
        (
            {"qdiscs": [{"kind": "htb", "handle": "1:"}], "classes": [{"classid": "1:1"}]},
            r"classes\[0\].rate: say how much",
        ),
        (
            {
                "qdiscs": [{"kind": "htb", "handle": "1:"}],
                "classes": [{"classid": "1:1", "parent": "1:9", "rate": "1mbit"}],
            },
            r"classes\[0\].parent: 1:9 is not there; eth1 has 1:, 1:1",
        ),
        (
            {"qdiscs": [{"kind": "pfifo", "handle": "1:"}], "classes": [{"classid": "1:1", "rate": "1mbit"}]},
            r"classes\[0\].classid: 1:1 is of a pfifo, which has no classes",
        ),
        ({"filters": [{"match": "ip dst 1.1.1.1"}]}, r"filters\[0\].parent: say where the filter stands"),
        ({"filters": [{"parent": "ingress"}]}, r"filters\[0\].parent: eth1 has no qdisc ingress or clsact"),
        (
            {"filters": [{"parent": "1:", "match": "ip dst; reboot"}]},
            r"filters\[0\].match: 'ip dst; reboot' is not",
        ),
        ({"filters": [{"parent": "1:", "kind": "route"}]}, r"filters\[0\].kind: 'route' is not a filter that is known"),
        ({"filters": [{"parent": "1:", "protocol": "ipx"}]}, r"filters\[0\].protocol: 'ipx' is not one of all, ip"),
        (
            {"filters": [{"parent": "1:", "actions": [{"kind": "police", "rate": "1mbit"}]}]},
            r"filters\[0\].actions\[0\].police.burst: say how much",
        ),
        (
            {"filters": [{"parent": "1:", "actions": [{"kind": "gact", "control": "explode"}]}]},
            r"filters\[0\].actions\[0\].gact.control: 'explode' is not one of",
        ),
    ],
)
def test_P34_bad_trees_are_refused_before_anything_is_touched(wire: Host, options: dict[str, Any], words: str) -> None:
    before = everything(wire)
    with pytest.raises(PipeworkError, match=words):
        tc(wire, **options)
    assert everything(wire) == before


def test_B4_a_failure_or_a_kill_at_any_operation(wire: Host) -> None:
    other = tree(qdiscs=[{"kind": "htb", "handle": "1:", "default": 20}, TREE["qdiscs"][1]])
    for change in (other, {"qdiscs": [{"handle": "1:"}], "state": "absent"}):
        tc(wire, **tree())
        before = everything(wire)
        number = len(tc(wire, check=True, **change)["operations"])
        for place in range(0, number, 2):
            with pytest.raises(PipeworkError, match=r"everything is as it was|Nothing was changed"):
                tc(wire, step=failing_at(place), **change)
            assert everything(wire) == before, (change, place)
        for place in range(1, number, 4):
            with pytest.raises(Killed):
                tc(wire, step=killed_at(place), **change)
            tc(wire, **change)
            tc(wire, **tree())
            assert everything(wire) == before


def pin_a_program(path: str) -> None:
    """A program that drops: r0 = 2 (TC_ACT_SHOT); exit."""
    code = struct.pack("=BBhi", 0xB7, 0, 0, 2) + struct.pack("=BBhi", 0x95, 0, 0, 0)
    instructions, licence = ctypes.create_string_buffer(code), ctypes.create_string_buffer(b"GPL")
    libc = ctypes.CDLL(None, use_errno=True)

    def bpf(command: int, attributes: bytes) -> int:
        buffer = ctypes.create_string_buffer(attributes.ljust(128, b"\0"))
        result = libc.syscall(BPF, command, buffer, 128)
        assert result >= 0, os.strerror(ctypes.get_errno())
        return int(result)

    pointers = [ctypes.addressof(each) for each in (instructions, licence)]
    program = bpf(5, struct.pack("=IIQQ", 3, len(code) // 8, *pointers))  # BPF_PROG_LOAD, BPF_PROG_TYPE_SCHED_CLS
    name = ctypes.create_string_buffer(path.encode())
    bpf(6, struct.pack("=QI", ctypes.addressof(name), program))  # BPF_OBJ_PIN


@pytest.mark.skipif(platform.machine() != "x86_64", reason="the number of the system call is that of x86_64")
def test_P34_a_pinned_bpf_program_is_a_filter(wire: Host) -> None:
    assert wire.ok("ping", "-c", "1", "-w", "10", "-q", "10.3.0.2", ns="a")
    wire.sh("mkdir", "/run/bpf")
    wire.sh("mount", "-t", "bpf", "none", "/run/bpf")
    wire.call(lambda: pin_a_program("/run/bpf/drop"))
    base = {"qdiscs": [{"kind": "clsact"}]}
    program = {"parent": "egress", "kind": "bpf", "path": "/run/bpf/drop", "priority": 4}
    assert short(shape(wire, **base, filters=[program]))[-1] == (
        "create",
        "tc_filter",
        "egress prio 4 all bpf pinned drop direct-action",
    )
    assert not wire.ok("ping", "-c", "1", "-W", "1", "-q", "10.3.0.2", ns="a")
    shape(wire, filters=[program], state="absent")
    assert wire.ok("ping", "-c", "1", "-w", "10", "-q", "10.3.0.2", ns="a")
    with pytest.raises(PipeworkError, match=r"create tc_filter .* failed: tc says: .*(nothing|Nothing was changed)"):
        tc(wire, **base, filters=[{**program, "path": "/run/bpf/$(reboot)"}])
    with pytest.raises(PipeworkError, match=r"filters\[0\].path: 'drop' is not the absolute path"):
        tc(wire, **base, filters=[{**program, "path": "drop"}])
