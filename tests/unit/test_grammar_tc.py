# Copyright: pipework.containers contributors
# GNU General Public License v3.0+ (see LICENSE)
"""What stands after `tc`: its words and their short forms, and what is refused."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.pipework.containers.plugins.module_utils._core.errors import PipeworkError
from ansible_collections.pipework.containers.plugins.module_utils._grammar import tc
from ansible_collections.pipework.containers.plugins.module_utils._grammar.tc_words import KINDS
from ansible_collections.pipework.containers.plugins.module_utils._grammar.words import UnknownWord

EASY: dict[str, tuple[str, dict[str, Any]]] = {
    "qdisc add dev eth0 root netem loss 30%": ("add", {"device": "eth0", "netem": {"loss": "30%"}}),
    "tc q a dev eth0 root handle 1: netem delay 100ms 10ms 25% distribution normal": (
        "add", {"device": "eth0", "handle": "1:", "netem": {
            "delay": "100ms", "jitter": "10ms", "correlation": "25%", "distribution": "normal"}}),
    "qdisc add root dev eth0 netem lat 100ms dup 1% 5% corrupt 0.1% reorder 25% 50% gap 5 limit 2000 seed 7": (
        "add", {"device": "eth0", "netem": {
            "delay": "100ms", "duplicate": "1% 5%", "corrupt": "0.1%", "reorder": "25% 50%", "gap": "5",
            "limit": "2000", "seed": "7"}}),
    "qdisc add dev eth0 root netem loss gemodel 1% 10% 70% 0.1% ecn": (
        "add", {"device": "eth0", "netem": {"loss": "gemodel 1% 10% 70% 0.1%", "ecn": True}}),
    "qdisc add dev eth0 root netem drop state 5% rate 1mbit 20 0 -5 slot 10ms 20ms packets 5 bytes 9000": (
        "add", {"device": "eth0", "netem": {
            "loss": "state 5%", "rate": "1mbit", "packet_overhead": "20", "cell_size": "0", "cell_overhead": "-5",
            "slot": "10ms 20ms packets 5 bytes 9000"}}),
    "qdisc add dev eth0 root netem los 30%": ("add", {"device": "eth0", "netem": {"loss": "30%"}}),
    "qdisc change dev eth0 root netem loss random 5% 25%": ("change", {"device": "eth0", "netem": {"loss": "5% 25%"}}),
    "qdisc replace dev eth0 root tbf rate 10mbit buffer 32kb latency 50ms": (
        "replace", {"device": "eth0", "tbf": {"rate": "10mbit", "burst": "32kb", "latency": "50ms"}, "force": True}),
    "qdisc add dev eth0 root fq_codel limit 1000 target 5ms noecn": (
        "add", {"device": "eth0", "fq_codel": {"limit": "1000", "target": "5ms", "ecn": False}}),
    "qdisc add dev eth0 root cake bandwidth 10mbit besteffort nat nowash ack-filter no-split-gso rtt 50ms": (
        "add", {"device": "eth0", "cake": {
            "bandwidth": "10mbit", "diffserv": "besteffort", "nat": True, "wash": False, "ack_filter": "ack-filter",
            "split_gso": False, "rtt": "50ms"}}),
    "qdisc add dev eth0 root prio bands 4 priomap 1 2 2 2 1 2 0 0 1 1 1 1 1 1 1 3": (
        "add", {"device": "eth0", "prio": {"bands": "4", "priomap": "1 2 2 2 1 2 0 0 1 1 1 1 1 1 1 3"}}),
    "qdisc add dev eth0 root htb default 30": ("add", {"device": "eth0", "htb": {"default": "30"}}),
    "qdisc add dev eth0 ingress": ("add", {"device": "eth0", "ingress": {}}),
    "qdisc add dev eth0 clsact": ("add", {"device": "eth0", "clsact": {}}),
    "qdisc add dev eth0 handle ffff: ingress": ("add", {"device": "eth0", "ingress": {}}),
    "qdisc add dev eth0 parent 1:10 handle 10: netem delay 10ms": (
        "add", {"device": "eth0", "qdiscs": [{"parent": "1:10", "kind": "netem", "delay": "10ms", "handle": "10:"}]}),
    "qdisc del dev eth0 parent 1:0A": ("del", {"device": "eth0", "qdiscs": [{"parent": "1:a"}], "force": True}),
    "class add dev eth0 parent 1: classid 1:10 htb rate 1mbit ceil 2mbit buffer 15k prio 1": (
        "add", {"device": "eth0", "classes": [{
            "parent": "1:", "classid": "1:10", "kind": "htb", "rate": "1mbit", "ceil": "2mbit", "burst": "15k",
            "prio": "1"}]}),
    "class add dev eth0 parent 1: classid 1:20 hfsc sc m1 20mbit d 10ms m2 10mbit ul rate 20mbit": (
        "add", {"device": "eth0", "classes": [{
            "parent": "1:", "classid": "1:20", "kind": "hfsc", "sc": "m1 20mbit d 10ms m2 10mbit",
            "ul": "rate 20mbit"}]}),
    "filter add dev eth0 parent 1: protocol ip prio 1 u32 match ip dst 10.0.0.0/8 match ip dport 80 0xffff "
    "flowid 1:10": (
        "add", {"device": "eth0", "filters": [{
            "parent": "1:", "protocol": "ip", "priority": "1", "kind": "u32", "classid": "1:10",
            "match": ["ip dst 10.0.0.0/8", "ip dport 80 0xffff"]}]}),
    "filter add dev eth0 parent ffff: protocol all u32 match u32 0 0 at 0 police rate 1mbit burst 32k drop flowid :1": (
        "add", {"device": "eth0", "filters": [{
            "parent": "ingress", "protocol": "all", "kind": "u32", "classid": "0:1", "match": ["u32 0 0 at 0"],
            "actions": [{"kind": "police", "rate": "1mbit", "burst": "32k", "exceed": "drop"}]}]}),
    "filter replace dev eth0 egress pref 9 matchall action skbedit mark 0x5 pipe action mirred egress mirror "
    "dev eth1": (
        "replace", {"device": "eth0", "force": True, "filters": [{
            "parent": "egress", "protocol": "all", "priority": "9", "kind": "matchall", "actions": [
                {"kind": "skbedit", "mark": 5, "control": "pipe"},
                {"kind": "mirred", "to": "egress mirror", "device": "eth1"}]}]}),
    "filter add dev eth0 ingress protocol ip flower ip_proto tcp dst_ip 10.0.0.9 dst_port 80 action drop": (
        "add", {"device": "eth0", "filters": [{
            "parent": "ingress", "protocol": "ip", "kind": "flower", "ip_proto": "tcp", "dst_ip": "10.0.0.9",
            "dst_port": "80", "actions": [{"kind": "gact", "control": "drop"}]}]}),
    "filter del dev eth0 parent 1: protocol ip prio 3 handle 0x10/0xff fw classid 1:10": (
        "del", {"device": "eth0", "force": True, "filters": [{
            "parent": "1:", "protocol": "ip", "priority": "3", "kind": "fw", "mark": "0x10/0xff", "classid": "1:10"}]}),
    "filter add dev eth0 ingress bpf da object-pinned /sys/fs/bpf/drop": (
        "add", {"device": "eth0", "filters": [{
            "parent": "ingress", "protocol": "all", "kind": "bpf", "path": "/sys/fs/bpf/drop",
            "direct_action": True}]}),
    "class del dev eth0 classid 1:10": ("del", {"device": "eth0", "classes": [{"classid": "1:10"}], "force": True}),
    "qdisc del dev eth0 root": ("del", {"device": "eth0", "force": True}),
    "qdisc delete dev eth0 root netem": ("del", {"device": "eth0", "netem": {}, "force": True}),
    "qdisc del dev eth0 ingress": ("del", {"device": "eth0", "ingress": {}, "force": True}),
}  # fmt: skip


@pytest.mark.parametrize("line", EASY)
def test_P34_the_words_of_tc(line: str) -> None:
    found = tc.parse(line)
    assert (found.verb, found.params) == EASY[line]
    assert tc.parse(list(tc.words_of(found))) == found


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("qdisc add dev eth0 root netem lost 30%", "word 7, 'lost', is not known here; expected delay, loss,"),
        ("qdisc add dev eth0 root netem loss", "is not complete: the value of loss random"),
        ("qdisc add dev eth0 root netem loss much", "word 8, 'much', is not a quantity"),
        ("qdisc add dev eth0 root netem loss 1% loss 2%", "is a second word about loss"),
        ("qdisc add dev eth0 root", "is not complete: a kind, one of netem,"),
        ("qdisc add dev eth0 netem loss 1%", "word 5, 'netem', stands where 'root' should"),
        ("qdisc add root netem loss 1%", "stands where 'dev' and the interface should"),
        ("qdisc add", "is not complete: dev and the interface"),
        ("qdisc add dev eth0 parent x netem", "word 6, 'x', is not a handle; the class or qdisc above, such as 1:10"),
        ("qdisc add dev eth0 root parent 1: netem", "word 6, 'parent', is not known here"),
        ("class add dev eth0 parent 1: htb rate 1mbit", "word 7, 'htb', stands where 'classid' and the class"),
        ("class add dev eth0 classid 1:1", "is not complete: a kind, one of htb, hfsc, drr"),
        ("class add dev eth0 classid 1:1 hfsc sc 1mbit", "word 9, '1mbit', is not known here; expected m1, d"),
        ("class add dev eth0 classid 1:1 htb rate fast", "word 9, 'fast', is not a quantity"),
        ("qdisc add dev eth0 root handle x: netem", "is not the handle of a qdisc; one such as 1:"),
        ("qdisc add dev eth0 root ingress", "word 6, 'ingress', does not stand at root; leave 'root' out"),
        ("qdisc add dev eth0 ingress netem", "word 6, 'netem', cannot stand at ingress"),
        ("qdisc add dev eth0 root sch_none", "word 6, 'sch_none', is not known here; expected dev, handle"),
        ("qdisc add dev eth0 root tbf rate fast", "is not a quantity; the value of rate"),
        ("qdisc add dev eth0 root tbf speed 1mbit", "word 7, 'speed', is not known here; expected rate, burst"),
        ("filter add dev eth0 u32 match ip dst 10.0.0.1", "word 5, 'u32', stands where parent and a handle, ingress"),
        ("filter add dev eth0 parent 1:", "is not complete: a kind, one of u32, flower"),
        ("filter add dev eth0 ingress u32 match ip dst", "is not complete: the value of ip dst should follow"),
        ("filter add dev eth0 ingress u32 match tcp dst 80 0xffff", "word 8, 'tcp', is not known here; expected ip,"),
        ("filter add dev eth0 ingress u32 match ip ttl 1 0xff", "word 9, 'ttl', is not known here; expected src, dst"),
        ("filter add dev eth0 ingress handle 800::1 u32 match u32 0 0 at 0", "word 8, 'u32', is not known here"),
        ("filter add dev eth0 ingress matchall action fly", "word 8, 'fly', is not known here; expected an action"),
        ("filter add dev eth0 ingress matchall action mirred egress copy dev x", "word 10, 'copy', is not possible"),
        ("filter add dev eth0 ingress matchall action mirred egress mirror x", "stands where 'dev' and the interface"),
        ("filter add dev eth0 ingress matchall action police rate 1mbit burst 1k conform-exceed no", "is not possible"),
        ("filter add dev eth0 ingress matchall flowid x", "word 8, 'x', is not a handle; the class, such as 1:10"),
        ("qdisc show", "word 2, 'show', is not known here; expected a verb"),
        ("", "is not complete: qdisc"),
    ],
)
def test_P34_what_cannot_be_said_of_a_qdisc(line: str, words: str) -> None:
    with pytest.raises(PipeworkError) as caught:
        tc.parse(line)
    assert words in str(caught.value)


def test_P34_what_only_tc_may_know_is_told_from_a_mistake() -> None:
    for line in (
        "filter show dev eth0", "filter add dev eth0 ingress basic", "qdisc add dev eth0 root tbf linklayer atm",
        "qdisc add dev eth0 root teql0",
    ):  # fmt: skip
        with pytest.raises(UnknownWord):
            tc.parse(line)


WORDS = st.sampled_from((
    "qdisc", "add", "del", "replace", "dev", "eth0", "root", "ingress", "clsact", "handle", "1:", "loss", "30%",
    "delay", "100ms", "10ms", "gemodel", "ecn", "slot", "packets", "5", "rate", "1mbit", "limit", "nat", "nonat",
    "filter", "prio", "7", "u32", "match", "ip", "dst", "10.0.0.1", "flower", "matchall", "action", "drop", "mirred",
    "egress", "mirror", "police", "burst", "skbedit", "mark", "sc", "m2", "priomap", "distribution", "normal",
    "parent", "class", "classid", "1:10", "ceil", "prio", *KINDS,
))  # fmt: skip
LINES = st.lists(WORDS | st.text(max_size=6), max_size=9)


@given(LINES | LINES.map(lambda words: ["qdisc", "add", "dev", "eth0", "root", *words])
       | LINES.map(lambda words: ["qdisc", "add", "dev", "eth0", "root", "netem", *words])
       | LINES.map(lambda words: ["class", "add", "dev", "eth0", "classid", "1:1", *words])
       | LINES.map(lambda words: ["filter", "add", "dev", "eth0", "ingress", "matchall", *words])
       | LINES.map(lambda words: ["filter", "add", "dev", "eth0", "ingress", "u32", "match", *words]))
def test_P34_nothing_but_a_meaning_or_one_error_comes_of_words(words: list[str]) -> None:
    try:
        found = tc.parse(words)
    except PipeworkError:
        return
    assert tc.parse(list(tc.words_of(found))) == found
