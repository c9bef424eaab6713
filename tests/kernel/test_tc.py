# Copyright: pipework.containers contributors
# GNU General Public License v3.0+ (see LICENSE)
"""P34, B13: qdiscs that a common kernel has: what they do to packets, and that tc shows the same of its own work."""

from __future__ import annotations

import json
import random
import re
import socket
import struct
import subprocess
import time
from collections.abc import Iterator
from typing import Any

import pytest

from ansible_collections.pipework.containers.plugins.module_utils._core.errors import PipeworkError
from ansible_collections.pipework.containers.plugins.module_utils._engine.run import run
from ansible_collections.pipework.containers.plugins.module_utils._jobs.tc import TcJob
from tests.integration.lab import Host, failing_at
from tests.integration.test_tc_tree import everything

PORT, SO_RCVBUFFORCE = 4000, 33
ONLY_OURS = {"refcnt", "seed"}


@pytest.fixture
def wire() -> Iterator[Host]:
    """Guests a and b, at the ends of a veth pair."""
    host = Host("a", "b")
    host.sh("ip", "link", "add", "eth1", "netns", "a", "type", "veth", "peer", "name", "eth1", "netns", "b")
    for name, address in (("a", "10.3.0.1/24"), ("b", "10.3.0.2/24")):
        host.batch(f"address add {address} dev eth1\nlink set eth1 up\n", ns=name)
    assert host.ok("ping", "-c", "1", "-w", "10", "-q", "10.3.0.2", ns="a")  # and both know each other's address
    yield host
    host.close()


def tc(host: Host, check: bool = False, step: Any = None, **params: Any) -> dict[str, Any]:
    return host.run(job=TcJob, check=check, step=step, **{"container": "a", "runtime": "netns", **params})


def shape(host: Host, **params: Any) -> dict[str, Any]:
    """A check run, the run, and a second one, which must agree."""
    planned = tc(host, check=True, **params)
    done = tc(host, **params)
    assert planned["operations"] == done["operations"]
    again = tc(host, **params)
    assert not again["changed"], again["operations"]
    return done


def qdiscs(host: Host, ns: str = "a") -> list[dict[str, Any]]:
    return [each for each in json.loads(host.sh("tc", "-j", "-d", "qdisc", "show", ns=ns)) if each["dev"] == "eth1"]


def datagrams(host: Host, count: int, begin: float = 5, rest: float = 1) -> list[tuple[int, float]]:
    """Sends numbered datagrams from a to b: those that came, in the order in which they did, and how long each took.

    ``begin``: seconds until the first has come at the latest; ``rest``: of silence after which no more is expected.
    """
    heard = host.sockets(lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM), "b")
    heard.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, 1 << 24)  # nothing is lost here
    heard.bind(("10.3.0.2", PORT))
    sender = host.sockets(lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM), "a")
    found: list[tuple[int, float]] = []
    with heard, sender:
        for number in range(count):
            sender.sendto(struct.pack("!Id", number, time.monotonic()), ("10.3.0.2", PORT))
        heard.settimeout(begin)
        while len(found) < 2 * count:
            try:
                number, sent = struct.unpack_from("!Id", heard.recv(2048))
            except TimeoutError:
                break
            found.append((number, time.monotonic() - sent))
            heard.settimeout(rest)
    return found


# -- what packets meet


def test_P34_B13_loss_delay_and_duplicates_are_measured(wire: Host) -> None:
    """Bounds: of 1000 packets and 30 % loss 700 come; 600 to 800 is seven standard deviations either way."""
    assert len(datagrams(wire, 200)) == 200
    done = shape(wire, netem={"loss": "30%", "limit": 5000})
    assert [(each["action"], each["name"], each["after"]["loss"]) for each in done["operations"]] == [
        ("create", "netns:a/eth1 root", "30%")
    ]
    assert 600 < len({number for number, _took in datagrams(wire, 1000)}) < 800
    assert shape(wire, netem={"loss": "100%"})["operations"][0]["action"] == "update"
    assert datagrams(wire, 20, begin=0.5) == []

    # Not before the delay, whatever the machine's load; without it, none needs so long.
    shape(wire, netem={"delay": "400ms"})
    found = datagrams(wire, 20)
    assert len(found) == 20 and min(took for _number, took in found) >= 0.4
    assert qdiscs(wire)[0]["options"].get("loss-random") is None  # off, since it is not said any more
    shape(wire, netem={"duplicate": "100%", "limit": 5000})
    assert len(datagrams(wire, 50)) == 100
    shape(wire, state="absent")
    assert len(datagrams(wire, 50)) == 50
    assert qdiscs(wire)[0]["kind"] == "noqueue"


def test_P34_B13_a_change_in_place_loses_no_packet_that_waits(wire: Host) -> None:
    shape(wire, netem={"delay": "2s"})
    heard = wire.sockets(lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM), "b")
    sender = wire.sockets(lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM), "a")
    with heard, sender:
        heard.bind(("10.3.0.2", PORT))
        heard.settimeout(30)
        for number in range(50):
            sender.sendto(bytes([number]), ("10.3.0.2", PORT))
        tc(wire, netem={"delay": "2s", "limit": 2000})  # in less than the delay, or the test shows nothing
        assert sorted(heard.recv(100)[0] for _number in range(50)) == list(range(50))


def test_P34_a_jitter_with_a_distribution(wire: Host) -> None:
    normal = {"delay": "200ms", "jitter": "20ms", "correlation": "25%", "distribution": "normal"}
    assert shape(wire, netem=normal)["interfaces"][0]["root"]["distribution"] == "normal"
    assert min(took for _number, took in datagrams(wire, 50)) >= 0.08  # 200 ms less 6 times 20
    # The kernel shows no distribution: the handle tells that another one is wanted.
    changed = shape(wire, netem={**normal, "distribution": "pareto"})
    assert [each["action"] for each in changed["operations"]] == ["delete", "create"]
    assert changed["operations"][0]["before"]["distribution"] == "normal"


# -- the same as tc makes

RANDOM = random.Random(34)


def percent() -> str:
    return RANDOM.choice(["0.1%", "1%", "5%", "33.3%", "50%", "100%"])


def pick(*words: Any) -> Any:
    return RANDOM.choice(words)


def some_netem() -> tuple[str, dict[str, Any], str]:
    options: dict[str, Any] = {}
    words = []
    if RANDOM.random() < 0.7:
        options["delay"] = pick("1ms", "100ms", "1.5s", "250us", "33ms")
        words.append(f"delay {options['delay']}")
        if RANDOM.random() < 0.6:
            options["jitter"] = pick("100us", "7ms")
            words.append(options["jitter"])
            if RANDOM.random() < 0.5:
                options["correlation"] = percent()
                words.append(options["correlation"])
        if RANDOM.random() < 0.3:
            options.update(reorder=f"{percent()} 50%", gap=pick(3, 5))
            words.append(f"reorder {options['reorder']} gap {options['gap']}")
    for name in ("loss", "duplicate", "corrupt"):
        if RANDOM.random() < 0.4:
            options[name] = percent() + (" 25%" if RANDOM.random() < 0.3 else "")
            words.append(f"{name} {options[name]}")
    if RANDOM.random() < 0.3:
        options["rate"] = pick("1mbit", "56kbit", "40gbit", "100kbps")
        words.append(f"rate {options['rate']}")
    if RANDOM.random() < 0.3:
        options["limit"] = pick(10, 5000)
        words.append(f"limit {options['limit']}")
    return "netem", options, " ".join(words)


def some_tbf() -> tuple[str, dict[str, Any], str]:
    options = {"rate": pick("1mbit", "333kbit", "10gbit", "1mbps"), "burst": pick("10kb", "32kb", "1540b", "1mb")}
    options[pick("latency", "limit")] = "60ms" if RANDOM.random() < 0 else ""
    name = next(name for name, value in options.items() if not value)
    options[name] = pick("50ms", "1s") if name == "latency" else pick("30kb", "3000b")
    return "tbf", options, " ".join(f"{name} {value}" for name, value in options.items())


FIXED: list[tuple[str, dict[str, Any], str]] = [
    ("netem", {"loss": "gemodel 1% 10% 70% 0.1%"}, "loss gemodel 1% 10% 70% 0.1%"),
    ("netem", {"loss": "gemodel 5%"}, "loss gemodel 5%"),
    ("netem", {"loss": "state 1% 10% 5% 50% 0.5%"}, "loss state 1% 10% 5% 50% 0.5%"),
    ("netem", {"loss": "state 3%"}, "loss state 3%"),
    ("netem", {"delay": "10ms", "slot": "10ms 20ms packets 5"}, "delay 10ms slot 10ms 20ms packets 5"),
    ("netem", {"rate": "1mbit", "packet_overhead": 20, "cell_size": 100, "cell_overhead": 5}, "rate 1mbit 20 100 5"),
    ("netem", {"loss": "10%", "ecn": True}, "loss 10% ecn"),
    ("tbf", {"rate": "1mbit", "burst": "10kb", "latency": "70ms", "peakrate": "2mbit", "mtu": "1540b"},
     "rate 1mbit burst 10kb latency 70ms peakrate 2mbit minburst 1540"),
    ("htb", {"default": 30}, "default 30"),
    ("htb", {"default": "1:ab", "r2q": 20}, "default ab r2q 20"),
    ("hfsc", {"default": 12}, "default 12"),
    ("fq_codel", {"limit": 1000, "target": "7ms", "interval": "80ms", "ecn": False, "flows": 64},
     "limit 1000 target 7ms interval 80ms noecn flows 64"),
    ("fq", {"limit": 3000, "flow_limit": 50, "maxrate": "10mbit", "buckets": 256, "quantum": "3028b"},
     "limit 3000 flow_limit 50 maxrate 10mbit buckets 256 quantum 3028"),
    ("codel", {"limit": 100, "target": "4ms", "ecn": True}, "limit 100 target 4ms ecn"),
    ("cake", {"bandwidth": "20mbit", "diffserv": "diffserv4", "rtt": "50ms", "nat": True, "overhead": 18},
     "bandwidth 20mbit diffserv4 rtt 50ms nat overhead 18"),
    ("sfq", {"perturb": 10, "quantum": "3000b", "limit": 100}, "perturb 10 quantum 3000 limit 100"),
    ("prio", {}, ""),
    ("prio", {"bands": 4, "priomap": "3 2 2 2 1 2 0 0 1 1 1 1 1 1 1 1"},
     "bands 4 priomap 3 2 2 2 1 2 0 0 1 1 1 1 1 1 1 1"),
    ("red", {"limit": "400000", "min": "30000", "max": "90000", "avpkt": 1000, "burst": 55, "probability": "2%",
             "ecn": True},
     "limit 400000 min 30000 max 90000 avpkt 1000 burst 55 probability 0.02 bandwidth 10mbit ecn"),
    ("pfifo", {"limit": 10}, "limit 10"),
    ("bfifo", {"limit": "30kb"}, "limit 30kb"),
    ("drr", {}, ""),
    ("clsact", {}, ""),
    ("ingress", {}, ""),
]


def settled(shown: list[dict[str, Any]]) -> Any:
    return [{k: v for k, v in each.items() if k not in ONLY_OURS} for each in shown if each["kind"] != "noqueue"]


def test_P34_tc_shows_the_same_as_of_its_own_work(wire: Host) -> None:
    """Also after each has been changed into the next one of its kind."""
    requests = [some_netem() for _number in range(8)] + [some_tbf() for _number in range(3)] + FIXED

    def theirs() -> list[Any]:
        found = []
        for kind, _options, words in requests:
            for place in ("root", "clsact"):
                subprocess.run(["tc", "qdisc", "del", "dev", "eth1", place], capture_output=True, check=False)
            place = [kind] if kind in ("clsact", "ingress") else ["root", kind]
            _tc("qdisc", "add", "dev", "eth1", *place, *words.split())
            found.append(_shown())
        return found

    def ours() -> list[Any]:
        found: list[Any] = []
        for kind, options, _words in requests:
            who = {"container": "a", "runtime": "netns"}
            if kind in ("clsact", "ingress"):
                run(TcJob({**who, "state": "absent"}))
                run(TcJob({**who, "clsact": {}, "state": "absent"}))
            run(TcJob({**who, kind: options}))  # which reads it back, and fails where anything would be left to do
            found.append(_shown("-n", "a"))
        return found

    pairs = zip(requests, wire.call(ours), wire.call(theirs, ns="b"))
    assert [(request, here, there) for request, here, there in pairs if not same(here, there)] == []


def same(here: Any, there: Any) -> bool:
    """What tc shows, but for the last digit of what is made of ticks."""
    if isinstance(here, list) and isinstance(there, list):
        return len(here) == len(there) and all(map(same, here, there))
    numbers = [re.fullmatch(r"(\D*)([0-9.]+)(\D*)", str(word)) for word in (here, there)]
    if numbers[0] and numbers[1] and numbers[0].group(1, 3) == numbers[1].group(1, 3):
        first, second = (float(found.group(2)) for found in numbers if found)
        return abs(first - second) <= max(1, first / 1000)
    return bool(here == there)


def _tc(*argv: str) -> str:
    done = subprocess.run(["tc", *argv], capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{argv}: {done.stderr}"
    return done.stdout


def _shown(*where: str) -> list[list[str]]:
    """What tc prints, less what is different of any two. Its JSON is broken for some kinds."""
    found = _tc(*where, "-d", "qdisc", "show", "dev", "eth1")
    for name in ("refcnt", "seed", "direct_packets_stat", "dev"):
        found = re.sub(rf" {name} \S+", "", found)
    return [line.split() for line in re.sub(r"\b[0-9a-f]+: ", "", found).splitlines() if "noqueue" not in line]


TREES: list[tuple[dict[str, Any], str]] = [
    (
        {
            "qdiscs": [
                {"kind": "prio", "handle": "1:"},
                {"kind": "netem", "parent": "1:3", "handle": "3:", "delay": "50ms"},
            ],
            "filters": [
                {"parent": "1:", "kind": "fw", "mark": 7, "priority": 1, "protocol": "ip", "classid": "1:3"},
                {"parent": "1:", "kind": "matchall", "priority": 9, "classid": "1:1"},
                {"parent": "1:", "kind": "flower", "priority": 3, "ip_proto": "tcp", "dst_ip": "10.3.0.0/24",
                 "dst_port": 80, "classid": "1:2"},
                {"parent": "1:", "kind": "flower", "priority": 4, "src_ip": "2001:db8::1", "classid": "1:2"},
                {"parent": "1:", "kind": "flower", "priority": 5, "dst_mac": "06:00:00:00:00:01", "classid": "1:2"},
            ],
        },
        "qdisc add dev eth1 root handle 1: prio\nqdisc add dev eth1 parent 1:3 handle 3: netem delay 50ms\n"
        "filter add dev eth1 parent 1: prio 1 protocol ip handle 7 fw classid 1:3\n"
        "filter add dev eth1 parent 1: prio 9 protocol all matchall classid 1:1\n"
        "filter add dev eth1 parent 1: prio 3 protocol ip flower ip_proto tcp dst_ip 10.3.0.0/24 dst_port 80 "
        "classid 1:2\n"
        "filter add dev eth1 parent 1: prio 4 protocol ipv6 flower src_ip 2001:db8::1 classid 1:2\n"
        "filter add dev eth1 parent 1: prio 5 protocol all flower dst_mac 06:00:00:00:00:01 classid 1:2\n",
    ),
    (
        {
            "qdiscs": [{"kind": "hfsc", "handle": "1:", "default": 2}],
            "classes": [
                {"classid": "1:1", "sc": "10mbit", "ul": "10mbit"},
                {"classid": "1:2", "parent": "1:1", "rt": "m1 8mbit d 10ms m2 4mbit", "ls": "4mbit"},
            ],
        },
        "qdisc add dev eth1 root handle 1: hfsc default 2\n"
        "class add dev eth1 parent 1: classid 1:1 hfsc sc rate 10mbit ul rate 10mbit\n"
        "class add dev eth1 parent 1:1 classid 1:2 hfsc rt m1 8mbit d 10ms m2 4mbit ls rate 4mbit\n",
    ),
    (
        {
            "qdiscs": [{"kind": "drr", "handle": "1:"}, {"kind": "clsact"}],
            "classes": [{"classid": "1:2", "quantum": "3000b"}],
            "filters": [
                {"parent": "ingress", "priority": 3, "match": "ip dport 80 0xffff",
                 "actions": [{"kind": "police", "rate": "1mbit", "burst": "10kb", "exceed": "drop"}]},
                {"parent": "egress", "kind": "matchall", "priority": 4,
                 "actions": [{"kind": "skbedit", "priority": 5, "mark": 9}, {"kind": "gact", "control": "drop"}]},
            ],
        },
        "qdisc add dev eth1 root handle 1: drr\nqdisc add dev eth1 clsact\n"
        "class add dev eth1 parent 1: classid 1:2 drr quantum 3000\n"
        "filter add dev eth1 ingress prio 3 protocol ip u32 match ip dport 80 0xffff "
        "action police rate 1mbit burst 10kb mtu 65280 drop\n"
        "filter add dev eth1 egress prio 4 protocol all matchall action skbedit priority 0:5 mark 9 pipe action drop\n",
    ),
]


def test_P34_trees_are_those_that_tc_makes(wire: Host) -> None:
    for ours, theirs in TREES:
        wire.sh("tc", "-batch", "-", ns="b", text=theirs)
        shape(wire, **ours)
        assert everything(wire) == everything(wire, "b")
        for ns in "ab":
            wire.ok("tc", "qdisc", "del", "dev", "eth1", "clsact", ns=ns)
            wire.sh("tc", "qdisc", "del", "dev", "eth1", "root", ns=ns)


# -- failures


def test_B4_a_failure_at_every_operation_leaves_the_state_before(wire: Host) -> None:
    earlier: dict[str, Any] = {"netem": {"loss": "10%", "delay": "3ms"}}
    for change in (
        {"netem": {"delay": "9ms", "jitter": "1ms", "distribution": "normal"}},
        {"state": "absent"},
    ):
        tc(wire, **earlier)
        before = settled(qdiscs(wire))
        number = len(tc(wire, check=True, **change)["operations"])
        for place in range(number):
            with pytest.raises(PipeworkError, match=r"everything is as it was|Nothing was changed"):
                tc(wire, step=failing_at(place), **change)
            assert settled(qdiscs(wire)) == before, (change, place)
