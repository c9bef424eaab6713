# Copyright: pipework.containers contributors
# GNU General Public License v3.0+ (see LICENSE)
"""What stands after `ip route` and `ip rule`: iproute2's words and their short forms, and what is refused."""

from __future__ import annotations

import shlex
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.pipework.containers.plugins.module_utils._core.errors import PipeworkError
from ansible_collections.pipework.containers.plugins.module_utils._grammar import ip_route, ip_rule
from ansible_collections.pipework.containers.plugins.module_utils._grammar.command import Command
from ansible_collections.pipework.containers.plugins.module_utils._grammar.words import UnknownWord

ROUTES: dict[str, tuple[str, int, dict[str, Any]]] = {
    "add 10.0.5.0/24 via 192.168.2.1": ("add", 4, {"destination": "10.0.5.0/24", "gateway": "192.168.2.1"}),
    "replace default via 10.2.3.78": (
        "replace", 4, {"destination": "default", "gateway": "10.2.3.78", "family": "ipv4"}),
    "add 10/8 via 10.0.0.1": ("add", 4, {"destination": "10.0.0.0/8", "gateway": "10.0.0.1"}),
    "add 172.16/255.240.0.0 dev eth1": ("add", 4, {"destination": "172.16.0.0/12", "device": "eth1"}),
    "add 10.1.2.3 dev eth1": ("add", 4, {"destination": "10.1.2.3/32", "device": "eth1"}),
    "add to 10.0.0.0/8 dev eth1": ("add", 4, {"destination": "10.0.0.0/8", "device": "eth1"}),
    "add 0/0 oif eth1": ("add", 4, {"destination": "default", "device": "eth1", "family": "ipv4"}),
    "a default dev eth1": ("add", 4, {"destination": "default", "device": "eth1", "family": "ipv4"}),
    "add via 10.0.0.1 default": ("add", 4, {"gateway": "10.0.0.1", "destination": "default", "family": "ipv4"}),
    "add default via fe80::1 dev eth1": (
        "add", 6, {"destination": "default", "gateway": "fe80::1", "device": "eth1", "family": "ipv6"}),
    "add ::/0 dev eth1": ("add", 6, {"destination": "default", "device": "eth1", "family": "ipv6"}),
    "add 2001:DB8::/32 via 2001:db8:0::1": ("add", 6, {"destination": "2001:db8::/32", "gateway": "2001:db8::1"}),
    "add 10.0.0.0/8 via inet6 fe80::1 dev eth1": (
        "add", 4, {"destination": "10.0.0.0/8", "gateway": "fe80::1", "device": "eth1"}),
    "ip -4 route add default via inet6 fe80::1 dev eth1": (
        "add", 4, {"destination": "default", "gateway": "fe80::1", "device": "eth1", "family": "ipv4"}),
    "ip -6 route add default dev eth1": ("add", 6, {"destination": "default", "device": "eth1", "family": "ipv6"}),
    "-6 del default": ("del", 6, {"destination": "default", "family": "ipv6"}),
    "ip ro d 10.0.0.0/8": ("del", 4, {"destination": "10.0.0.0/8"}),
    "delete default table 100": ("del", 4, {"destination": "default", "table": "100", "family": "ipv4"}),
    "change 10.0.0.0/8 dev eth1 mtu 1400": ("change", 4, {"destination": "10.0.0.0/8", "device": "eth1", "mtu": 1400}),
    "chg 10.0.0.0/8 dev eth1 mtu lock 1400 hoplimit lock 9": (
        "change", 4, {"destination": "10.0.0.0/8", "device": "eth1", "mtu": 1400,
                      "metrics": {"lock": ["mtu", "hoplimit"], "hoplimit": 9}}),
    "append 10.0.0.0/8 dev eth1 metric 0x10": (
        "append", 4, {"destination": "10.0.0.0/8", "device": "eth1", "metric": 16}),
    "prepend 10.0.0.0/8 dev eth1": ("prepend", 4, {"destination": "10.0.0.0/8", "device": "eth1"}),
    "add blackhole 10.0.0.0/8": ("add", 4, {"type": "blackhole", "destination": "10.0.0.0/8"}),
    "add unicast 10.0.0.0/8 dev eth1": ("add", 4, {"destination": "10.0.0.0/8", "device": "eth1"}),
    "add 10.0.0.0/8 dev eth1 src 10.9.9.9 proto static scope link tab main pri 7 tos 0x10": (
        "add", 4, {"destination": "10.0.0.0/8", "device": "eth1", "source": "10.9.9.9", "protocol": "static",
                   "scope": "link", "table": "main", "metric": 7, "tos": "0x10"}),
    "add 10.0.0.0/8 dev eth1 advmss 1400 initcwnd 10 quickack 1 rtt 100ms rttv 50ms features ecn congctl bbr": (
        "add", 4, {"destination": "10.0.0.0/8", "device": "eth1", "advmss": 1400, "metrics": {
            "initcwnd": 10, "quickack": True, "rtt": "100ms", "rttvar": "50ms", "features": ["ecn"],
            "congctl": "bbr"}}),
    "add default dev eth1 preference 5": (
        "add", 4, {"destination": "default", "device": "eth1", "metric": 5, "family": "ipv4"}),
    "add 2001:db8::/32 from 2001:db8:9::/48 dev eth1 pref high": (
        "add", 6, {"destination": "2001:db8::/32", "source_prefix": "2001:db8:9::/48", "device": "eth1",
                   "preference": "high"}),
    "add 10.0.0.0/8 via 10.9.9.9 dev eth1 onlink": (
        "add", 4, {"destination": "10.0.0.0/8", "gateway": "10.9.9.9", "device": "eth1", "onlink": True}),
    "add 10.0.0.0/8 encap mpls 100/200 ttl 5 via 10.9.9.9": (
        "add", 4, {"destination": "10.0.0.0/8", "encap": {"type": "mpls", "labels": [100, 200], "ttl": 5},
                   "gateway": "10.9.9.9"}),
    "add 2001:db8::/32 encap seg6 mode inline segs 2001:db8:1::1,2001:db8:2::1 dev eth1": (
        "add", 6, {"destination": "2001:db8::/32", "device": "eth1", "encap": {
            "type": "seg6", "mode": "inline", "segments": ["2001:db8:1::1", "2001:db8:2::1"]}}),
    "add default nexthop via 10.0.0.1 weight 2 nexthop via 10.0.0.2 dev eth1 onlink": (
        "add", 4, {"destination": "default", "family": "ipv4", "nexthops": [
            {"gateway": "10.0.0.1", "weight": 2}, {"gateway": "10.0.0.2", "device": "eth1", "onlink": True}]}),
    "flush table 100 proto static": ("flush", 4, {"table": "100", "protocol": "static"}),
}  # fmt: skip

RULES: dict[str, tuple[str, int, dict[str, Any]]] = {
    "add from 172.19.0.2/32 table 1": ("add", 4, {"source": "172.19.0.2/32", "table": "1"}),
    "add to 172.19.0.2/32 table 1": ("add", 4, {"destination": "172.19.0.2/32", "table": "1"}),
    "add from 172.19.0.2 lookup 1 pref 100": ("add", 4, {"source": "172.19.0.2/32", "table": "1", "priority": 100}),
    "add from all to 2001:db8::/32 table main": ("add", 6, {"destination": "2001:db8::/32", "table": "main"}),
    "add from 10.0.0.0/8": ("add", 4, {"source": "10.0.0.0/8", "table": "main"}),
    "add not fwmark 0x1/0xff table 7 order 5": (
        "add", 4, {"invert": True, "fwmark": "0x1/0xff", "table": "7", "priority": 5}),
    "add iif eth1 oif eth2 tos 0x10 ipproto tcp sport 80 dport 1000-2000 uidrange 0-999 prio 9 table 7": (
        "add", 4, {"iif": "eth1", "oif": "eth2", "tos": "0x10", "ip_protocol": "tcp", "source_port": "80",
                   "destination_port": "1000-2000", "uid_range": "0-999", "priority": 9, "table": "7"}),
    "add dev eth1 blackhole": ("add", 4, {"iif": "eth1", "action": "blackhole"}),
    "add from 10.0.0.0/8 type prohibit": ("add", 4, {"source": "10.0.0.0/8", "action": "prohibit"}),
    "add from 10.0.0.0/8 goto 500": ("add", 4, {"source": "10.0.0.0/8", "goto": 500}),
    "add l3mdev pref 1000": ("add", 4, {"l3mdev": True, "priority": 1000}),
    "add table main sup_pl 0": ("add", 4, {"table": "main", "suppress_prefixlength": 0}),
    "ip -6 rule add iif eth1 table 7": ("add", 6, {"iif": "eth1", "table": "7"}),
    "del pref 100": ("del", 4, {"priority": 100}),
    "d from 10/8": ("del", 4, {"source": "10.0.0.0/8"}),
    "flush table 7": ("flush", 4, {"table": "7"}),
}  # fmt: skip


@pytest.mark.parametrize("line", ROUTES)
def test_P32_the_words_of_ip_route(line: str) -> None:
    assert ip_route.parse(line) == Command(*ROUTES[line])


@pytest.mark.parametrize("line", RULES)
def test_P33_the_words_of_ip_rule(line: str) -> None:
    assert ip_rule.parse(line) == Command(*RULES[line])


@pytest.mark.parametrize("line", ROUTES)
def test_P32_a_route_that_is_written_again_means_the_same(line: str) -> None:
    found = ip_route.parse(line)
    assert ip_route.parse(list(ip_route.words_of(found))) == found


@pytest.mark.parametrize("line", RULES)
def test_P33_a_rule_that_is_written_again_means_the_same(line: str) -> None:
    found = ip_rule.parse(line)
    assert ip_rule.parse(list(ip_rule.words_of(found))) == found


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("add 10.0.0.0/8 via", "is not complete: the gateway's address should follow after 'via'"),
        ("add 10.0.0.0/8 vai 10.0.0.1", "word 3, 'vai', is not known here; expected via, dev,"),
        ("add 10.0.0/33 dev eth1", "word 2, '10.0.0/33', is not known here; expected a destination"),
        ("add dev eth1", "names no destination"),
        ("add", "names no destination"),
        ("", "is not complete: a verb, one of add, change,"),
        ("get 10.0.0.1", "word 1, 'get', is not known here; expected a verb"),
        ("add default via 10.0.0.1 via 10.0.0.2", "word 5, 'via', is given twice"),
        ("add default dev eth1 metric 1 metric 2", "word 7, 'metric', is given twice"),
        ("add 10.0.0.0/8 20.0.0.0/8", "word 3, '20.0.0.0/8', is a second destination"),
        ("add 10.0.0.0/8 via fe80::1", "mixes IPv4 and IPv6"),
        ("add 2001:db8::/32 dev eth1 src 10.0.0.1", "mixes IPv4 and IPv6"),
        ("-6 add 10.0.0.0/8 dev eth1", "mixes IPv4 and IPv6"),
        ("add default via router1", "word 4, 'router1', is not an IP address"),
        ("add default dev eth1 metric high", "word 6, 'high', is not a number; the metric from 0"),
        ("add default dev eth1 metric -1", "is not a number"),
        ("add default dev eth1 hoplimit 300", "the hop limit from 0 to 255 would be right"),
        ("add default dev eth1 quickack yes", "is not a number"),
        ("add default dev a-much-too-long-name", "has 20 characters"),
        ("add default nexthop weight 2", "via or dev should follow"),
        ("add default nexthop via 10.0.0.1 weight 0", "the weight from 1 to 256"),
        ("add default nexthop via 10.0.0.1 metric 5", "words about the route stand before"),
        ("add default encap mpls x via 10.0.0.1", "labels such as 100/200 would be right"),
        ("add default encap seg6 mode inline", "is not complete: segs and the segments should follow"),
        ("add 2001:db8::/32 encap seg6 segs 10.0.0.1 dev eth1", "is no list of segments"),
        ("add default dev eth1 rtt 100", "a time such as 100ms would be right"),
        ("add default dev eth1 mtu 1400 mtu lock 1400", "the MTU can be given once"),
        ("flush", "'table T', which says what is to go, should follow"),
        ("flush cache", "word 2, 'cache', is not known here"),
        ("ip link add dummy0", "word 2, 'link', is not 'route'"),
    ],
)
def test_P32_what_cannot_be_said_of_a_route(line: str, words: str) -> None:
    with pytest.raises(PipeworkError) as caught:
        ip_route.parse(line)
    assert words in str(caught.value)


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("add", "says of no rule what it is"),
        ("add from", "is not complete: the source prefix should follow after 'from'"),
        ("add type", "is not complete: not, from, to"),
        ("add from table 1", "word 3, 'table', is not a network prefix"),
        ("add frm 10.0.0.0/8", "word 2, 'frm', is not known here; expected not, from,"),
        ("replace from 10.0.0.0/8", "word 1, 'replace', is not known here; expected a verb, one of add, del, flush"),
        ("add from 10.0.0.0/8 to 2001:db8::/32", "mixes IPv4 and IPv6"),
        ("add from 10.0.0.0/8 goto 5 table 7", "table and goto exclude each other"),
        ("add from 10.0.0.0/8 fwmark one", "word 5, 'one', is not possible; a mark such as 0x1/0xff"),
        ("add uidrange 1000 table 7", "a range of UIDs such as 1000-1999"),
        ("add dport 2000-1000 table 7", "2000-1000 is no range; the smaller comes first"),
        ("add from 10.0.0.0/8 blackhole prohibit", "is a second action; the first is blackhole"),
    ],
)
def test_P33_what_cannot_be_said_of_a_rule(line: str, words: str) -> None:
    with pytest.raises(PipeworkError) as caught:
        ip_rule.parse(line)
    assert words in str(caught.value)


def test_a_word_that_only_iproute2_may_know_is_told_from_a_mistake() -> None:
    """The first may be passed through to the program, the second never."""
    for line in ("add 10.0.0.0/8 encap ip id 1", "add default realms 1 dev eth1", "get 10.0.0.1", "add 10/8 nhid 5"):
        with pytest.raises(UnknownWord):
            ip_route.parse(line)
    for line in ("add 10.0.0.0/8 via", "add default metric x dev eth1", "add default dev eth1; reboot"):
        with pytest.raises(PipeworkError) as caught:
            ip_route.parse(line)
        assert not isinstance(caught.value, UnknownWord)


WORDS = st.sampled_from((
    "add", "del", "replace", "flush", "default", "10.0.0.0/8", "10/8", "2001:db8::/32", "via", "inet6", "10.0.0.1",
    "fe80::1", "dev", "eth1", "src", "metric", "5", "table", "main", "proto", "static", "scope", "link", "onlink",
    "mtu", "lock", "nexthop", "weight", "2", "blackhole", "from", "to", "not", "fwmark", "0x1/0xff", "pref", "goto",
    "type", "prohibit", "dport", "1-2", "-6", "ip", "route", "rule", "l3mdev", "iif", "all",
))  # fmt: skip
LINES = st.lists(WORDS | st.text(max_size=6), max_size=10)


@given(LINES | LINES.map(lambda words: ["add", "default", *words]))
def test_P32_nothing_but_a_meaning_or_one_error_comes_of_words(words: list[str]) -> None:
    try:
        found = ip_route.parse(words)
    except PipeworkError:
        return
    assert ip_route.parse(list(ip_route.words_of(found))) == found


@given(LINES | LINES.map(lambda words: ["add", *words]))
def test_P33_nothing_but_a_meaning_or_one_error_comes_of_words(words: list[str]) -> None:
    try:
        found = ip_rule.parse(words)
    except PipeworkError:
        return
    assert ip_rule.parse(list(ip_rule.words_of(found))) == found


@given(st.text(max_size=40))
def test_P32_P33_any_text_is_a_meaning_or_one_error(line: str) -> None:
    for grammar in (ip_route, ip_rule):
        try:
            grammar.parse(line)
        except PipeworkError:
            continue


@st.composite
def routes(draw: st.DrawFn) -> Command:
    family: int = draw(st.sampled_from((4, 6)))
    address = (st.ip_addresses(v=4) if family == 4 else st.ip_addresses(v=6)).map(str)
    net = st.tuples(address, st.integers(1, 32 if family == 4 else 128)).map(lambda pair: f"{pair[0]}/{pair[1]}")
    name = st.from_regex(r"[a-z][a-z0-9.-]{0,14}", fullmatch=True)
    hops = st.fixed_dictionaries(
        {"gateway": address}, optional={"device": name, "weight": st.integers(1, 256), "onlink": st.just(True)}
    )
    params = draw(st.fixed_dictionaries(
        {"destination": net},
        optional={
            "type": st.sampled_from(("blackhole", "local")), "gateway": address, "device": name, "source": address,
            "metric": st.integers(0, 2**32 - 1), "table": name, "scope": name, "protocol": name,
            "onlink": st.just(True), "mtu": st.integers(0, 2**32 - 1), "advmss": st.integers(0, 9000),
            "metrics": st.fixed_dictionaries({"window": st.integers(0, 99)}, optional={"quickack": st.booleans()}),
            "encap": st.just({"type": "mpls", "labels": [100]}),
            "nexthops": st.lists(hops, min_size=1, max_size=3),
        },
    ))  # fmt: skip
    return Command(draw(st.sampled_from(("add", "del", "replace", "change", "append", "prepend"))), family, params)


@given(routes())
def test_P32_what_is_written_is_read(route: Command) -> None:
    assert ip_route.parse(list(ip_route.words_of(route))) == route
    assert ip_route.parse(shlex.join(ip_route.words_of(route))) == route
