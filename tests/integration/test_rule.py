# Copyright: pipework.containers contributors
# GNU General Public License v3.0+ (see LICENSE)
"""Rules of policy routing: the same as iproute2 makes of the same request, again and again, and none of others."""

from __future__ import annotations

import random
import subprocess
from collections.abc import Iterator
from typing import Any

import pytest

from ansible_collections.pipework.containers.plugins.module_utils._core.errors import PipeworkError
from ansible_collections.pipework.containers.plugins.module_utils._engine.run import run
from ansible_collections.pipework.containers.plugins.module_utils._jobs.rule import RuleJob
from tests.integration.lab import Host, Killed, Params, failing_at, killed_at

pytestmark = pytest.mark.root
KERNELS = ["0: from all lookup local", "32766: from all lookup main", "32767: from all lookup default"]


def params(*items: Params, **more: Any) -> Params:
    return {"container": "a", "runtime": "netns", "rules": list(items), **more}


def rule(host: Host, *items: Params, **more: Any) -> dict[str, Any]:
    """A check run, the run, and a second one, which must agree."""
    planned = host.run(job=RuleJob, check=True, **params(*items, **more))
    done = host.run(job=RuleJob, **params(*items, **more))
    for name in ("operations", "before", "after", "rules"):
        assert planned[name] == done[name]
    again = host.run(job=RuleJob, **params(*items, **more))
    assert not again["changed"], again["operations"]
    assert again["rules"] == done["rules"]
    return done


def rules(host: Host, version: int = 4, ns: str = "a") -> list[str]:
    """Those that ip shows, without the kernel's and without our mark."""
    shown = host.sh("ip", f"-{version}", "rule", "show", ns=ns).splitlines()
    found = [" ".join(line.replace(" proto 114", "").split()) for line in shown]
    return [line for line in found if line not in KERNELS]


# -- the same as iproute2 makes


def requests(chance: random.Random, count: int) -> Iterator[tuple[Params, str]]:
    """Options, and the words for ip that mean the same."""
    for number in range(count):
        version = chance.choice((4, 6))
        options: Params = {"family": f"ipv{version}"}
        words = [f"-{version}"]
        if chance.random() < 0.2:
            options["invert"] = True
            words.append("not")
        net = f"10.{number}" if version == 4 else f"fd{number:02x}"
        nets = (f"{net}.0.1", f"{net}.0.0/16") if version == 4 else (f"{net}::1", f"{net}::/16")
        ports = ("80", "1000-1999")
        for option, word, values in (
            ("source", "from", nets),
            ("destination", "to", nets),
            ("iif", "iif", ("lo", "eth7")),
            ("oif", "oif", ("eth8",)),
            ("fwmark", "fwmark", ("1", "0x10/0xf0", "0/0x3")),
            ("tos", "tos", ("0x10",)),
            ("ip_protocol", "ipproto", ("tcp", "udp", "47")),
            ("source_port", "sport", ports),
            ("destination_port", "dport", ports),
            ("uid_range", "uidrange", ("1000-1999", "0-0")),
            ("priority", "pref", (number * 10 + 5,)),
        ):
            if chance.random() < 0.25:
                options[option] = value = chance.choice(values)
                words += [word, str(value)]
        if not {"priority", "source", "destination"} & set(options):  # else it would take the place of another
            options["source"] = nets[0]
            words += ["from", nets[0]]
        end = chance.choice(("table",) * 3 + ("goto", "blackhole", "unreachable", "prohibit", "nop", "l3mdev"))
        if end == "table":
            options["table"] = chance.choice((100, "main", 70000, "default"))
            words += ["table", str(options["table"])]
            for option, value in (("suppress_prefixlength", 0), ("suppress_ifgroup", 5)):
                if chance.random() < 0.2:
                    options[option] = value
                    words += [option, str(value)]
            if version == 4 and chance.random() < 0.1:
                options["realms"] = "1/2"
                words += ["realms", "1/2"]
        elif end == "goto":
            options["goto"] = 32767
            words += ["goto", "32767"]
        elif end == "l3mdev":
            options["l3mdev"] = True
            words.append("l3mdev")
        else:
            options["action"] = end
            words += [end] if end == "nop" else ["type", end]
        yield options, " ".join([*words, "protocol", "114"])


def differential(host: Host, seed: int, count: int) -> None:
    made = list(requests(random.Random(seed), count))
    host.call(_ours, made)
    for version in (4, 6):
        lines = [f"rule add {words[3:]}\n" for _options, words in made if words.startswith(f"-{version}")]
        host.sh("ip", f"-{version}", "-batch", "-", ns="b", text="".join(lines))
        shown = [host.sh("ip", f"-{version}", "-d", "rule", "show", ns=ns).splitlines() for ns in ("a", "b")]
        assert shown[0] == shown[1]
        assert len(shown[0]) >= len(lines)
    gone = [{**options, "state": "absent"} for options, _words in made]
    assert host.run(job=RuleJob, **params(*gone))["changed"]
    assert rules(host) == rules(host, 6) == []


def _ours(made: list[tuple[Params, str]]) -> None:
    for options, words in made:
        options = {**options, "container": "a", "runtime": "netns"}
        try:
            assert run(RuleJob(options))["changed"]
        except PipeworkError as error:
            raise AssertionError(f"{words}: {error}") from None
        again = run(RuleJob(options), check=True)
        assert not again["changed"], (words, again["operations"])


def test_P33_the_same_rules_as_iproute2_makes(host: Host) -> None:
    differential(host, 1, 110)


# -- what is there, what is not

FROM = {"source": "10.0.0.1", "table": 100}


def test_P33_a_rule_without_priority_is_found_again_by_what_it_selects(host: Host) -> None:
    host.batch("rule add from 10.9.0.1 table 9 pref 1000\nrule add to 10.9.0.1 table 9", ns="a")
    done = rule(host, FROM, {"source": "10.0.0.2", "table": 100}, {"source": "fd00::1", "table": 100})
    assert rules(host) == [
        "997: from 10.0.0.1 lookup 100",
        "998: from 10.0.0.2 lookup 100",
        "999: from all to 10.9.0.1 lookup 9",
        "1000: from 10.9.0.1 lookup 9",
    ]
    assert [each["priority"] for each in done["rules"]] == [997, 998, 32765]
    changed = rule(host, {**FROM, "table": 200})
    assert [(each["action"], each["name"]) for each in changed["operations"]] == [
        ("create", "netns:a/997: from 10.0.0.1/32 lookup 200 proto 114"),
        ("delete", "netns:a/997: from 10.0.0.1/32 lookup 100 proto 114"),
    ]
    moved = rule(host, {**FROM, "table": 200, "priority": 50})
    assert "50: from 10.0.0.1 lookup 200" in rules(host)
    assert [each["action"] for each in moved["operations"]] == ["create"]
    rule(host, {"source": "10.0.0.1", "state": "absent"}, {"source": "10.0.0.2", "state": "absent"})
    assert rules(host) == ["999: from all to 10.9.0.1 lookup 9", "1000: from 10.9.0.1 lookup 9"]


def test_P33_purge_takes_ours_and_no_others(host: Host) -> None:
    host.batch("rule add from 10.9.0.1 table 9 pref 1000\nrule add from 10.9.0.2 table 9 pref 1001 proto 112", ns="a")
    theirs = rules(host)
    rule(host, FROM, {**FROM, "source": "10.0.0.2", "table": 200}, {**FROM, "source": "fd00::2"})
    rule(host, FROM, purge=True, family="ipv4", table="200")  # the task's table is the purge's, and a default
    assert len(rules(host)) == 3 and len(rules(host, 6)) == 1
    assert not rule(host, purge=True, table="200")["changed"]
    rule(host, purge=True)
    assert (rules(host), rules(host, 6)) == (theirs, [])
    with pytest.raises(PipeworkError, match=r"priority: 2 rules fit, not all .*say which by priority"):
        rule(host, {"table": 9, "state": "absent"})
    with pytest.raises(PipeworkError, match="belongs to an attachment"):
        rule(host, {"priority": 1001, "state": "absent"})
    rule(host, {"priority": 1000, "state": "absent"})
    assert not rule(host, {"table": "main", "state": "absent"})["changed"]
    assert not rule(host, {"table": "main"})["changed"]  # the kernel's own does that
    assert rules(host) == theirs[1:]


def test_P33_the_command_line_of_ip_rule(host: Host) -> None:
    made = [words.replace(" protocol 114", "") for _options, words in requests(random.Random(9), 30)]
    lines = [f"add {words[3:]}" if "-4" in words else f"ip -6 rule add {words[3:]}" for words in made]
    host.call(_said, lines)
    for version in (4, 6):
        theirs = [f"rule add {words[3:]} protocol 114\n" for words in made if words.startswith(f"-{version}")]
        host.sh("ip", f"-{version}", "-batch", "-", ns="b", text="".join(theirs))
        shown = [host.sh("ip", f"-{version}", "-d", "rule", "show", ns=ns).splitlines() for ns in ("a", "b")]
        assert shown[0] == shown[1]
    rule(host, {"cmd": "flush protocol 114"}, {"cmd": "ip -6 rule flush protocol 114"})
    assert rules(host) == rules(host, 6) == []
    rule(host, {"cmd": "add from 10.0.0.1 table 100"})
    assert rule(host, {"cmd": "add from 10.0.0.1 table 200"})["changed"]  # beside the other, as ip does it
    assert rules(host) == ["32764: from 10.0.0.1 lookup 200", "32765: from 10.0.0.1 lookup 100"]
    assert rule(host, {"cmd": "del from 10.0.0.1 table 200"})["changed"]
    assert not rule(host, {"cmd": "del from 10.0.0.1 table 200"})["changed"]
    assert rule(host, {"cmd": "del pref 32765"})["changed"]
    with pytest.raises(PipeworkError, match="cmd: "):
        rule(host, {"cmd": "add from 10.0.0.1 tabel"})


def _said(lines: list[str]) -> None:
    for line in lines:
        options = {"container": "a", "runtime": "netns", "cmd": line}
        try:
            assert run(RuleJob(options))["changed"]
        except PipeworkError as error:
            raise AssertionError(f"{line}: {error}") from None
        assert not run(RuleJob(options), check=True)["changed"], line


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({}, "table: say what the rule does or selects"),
        ({"source": "10.0.0.1", "table": "uplink"}, "table: 'uplink' is not the name of a routing table"),
        ({"source": "web1"}, "source: 'web1' is not a destination|source: 'web1'"),
        ({"source": "10.0.0.1", "destination": "fd00::1"}, "source: '10.0.0.1' is of IPv4|is of IPv"),
        ({"fwmark": "0x100/0xff"}, "fwmark: 0x100/0xff: the mark has bits that its mask has not"),
        ({"fwmark": "red"}, "fwmark: 'red' is not a whole number"),
        ({"destination_port": "90-80"}, "destination_port: 90-80 is not possible"),
        ({"uid_range": "root"}, "uid_range: 'root' is not a number or a range"),
        ({"ip_protocol": "tpc"}, "ip_protocol: 'tpc' is not known; ah, "),
        ({"action": "goto"}, "goto: says to which priority"),
        ({"goto": 10, "priority": 20}, "goto: 10 does not come after the rule's own priority, 20"),
        ({"action": "blackhole", "table": 100}, "table: goes with the action lookup, not with blackhole"),
        ({"l3mdev": True, "table": 100}, "l3mdev: means the table of the packet's VRF"),
        ({"priority": -1}, "priority: -1 is not possible"),
        ({"protocol": "kernel", "table": 100}, "protocol: kernel marks what the kernel made"),
    ],
)
def test_P33_bad_input_is_refused_before_anything_is_touched(host: Host, options: Params, words: str) -> None:
    with pytest.raises(PipeworkError, match=words):
        rule(host, FROM, options)
    assert rules(host) == []


def test_P33_two_rules_for_the_same_packets_need_their_priorities(host: Host) -> None:
    with pytest.raises(PipeworkError, match=r"rules\[1\]: priority: .* selects the same packets as rules\[0\]"):
        rule(host, FROM, {**FROM, "table": 200})
    rule(host, {**FROM, "priority": 100}, {**FROM, "table": 200, "priority": 101})
    assert len(rules(host)) == 2


def test_P33_B4_a_failure_or_a_kill_at_every_operation(host: Host) -> None:
    earlier = [FROM, {"source": "10.0.0.2", "fwmark": "1/3", "table": 100}, {"source": "fd00::1", "action": "prohibit"}]
    later = [
        {**FROM, "table": 200}, {"source": "10.0.0.3", "table": 100}, {"source": "fd00::1", "table": 7},
        {"ip_protocol": "tcp", "destination_port": "80-90", "uid_range": 5, "table": 3, "priority": 90},
    ]  # fmt: skip
    rule(host, *earlier)
    host.batch("rule add from 10.9.0.1 table 9", ns="a")
    before = host.snapshot()
    wanted = params(*later, purge=True)
    number = len(host.run(job=RuleJob, check=True, **wanted)["operations"])
    assert number == 7
    for place in range(number):
        with pytest.raises(PipeworkError, match=r"everything is as it was|Nothing was changed"):
            host.run(job=RuleJob, step=failing_at(place), **wanted)
        host.assert_as(before, f"failed at {place}")
    host.run(job=RuleJob, **wanted)
    after = sorted(line.partition(":")[2] for line in rules(host) + rules(host, 6))
    for place in range(number):
        host.run(job=RuleJob, **params(*earlier, purge=True))
        with pytest.raises(Killed):
            host.run(job=RuleJob, step=killed_at(place), **wanted)
        host.run(job=RuleJob, **wanted)
        assert sorted(line.partition(":")[2] for line in rules(host) + rules(host, 6)) == after


def test_P33_packets_go_where_a_rule_says(host: Host) -> None:
    host.batch("address add 10.0.0.1/32 dev lo\naddress add 10.0.0.2/32 dev lo\nroute add default dev lo", ns="a")
    rule(host, {"source": "10.0.0.2", "action": "prohibit"}, {"destination": "10.7.0.0/16", "fwmark": 5, "table": 100})

    def asked(*words: str) -> bool:
        return host.ok("ip", "route", "get", "10.7.0.1", *words, ns="a")

    assert asked("from", "10.0.0.1")
    assert not asked("from", "10.0.0.2")
    host.sh("ip", "route", "add", "blackhole", "default", "table", "100", ns="a")
    assert not asked("mark", "5")
    assert asked("mark", "4")


def test_P33_B1_the_module_says_what_it_does(host: Host) -> None:
    options = {"container": "a", "runtime": "netns", "from": "10.0.0.1", "lookup": "100", "fwmark": "0x1/0xff"}
    planned = host.module("pipework_rule", options, check=True)
    assert rules(host) == []
    done = host.module("pipework_rule", options)
    for name in ("changed", "operations", "before", "after", "diff"):
        assert planned[name] == done[name]
    assert done["changed"] and "fwmark 0x1/0xff" in done["diff"]["after"]
    assert rules(host) == ["32765: from 10.0.0.1 fwmark 0x1/0xff lookup 100"]


def test_P33_ip_shows_nothing_else_of_the_host(host: Host) -> None:
    """A rule in a container is none of the host's."""
    before = subprocess.run(["ip", "rule", "show"], check=True, capture_output=True, text=True).stdout
    rule(host, FROM)
    assert subprocess.run(["ip", "rule", "show"], check=True, capture_output=True, text=True).stdout == before
    assert host.sh("ip", "rule", "show").count("lookup") == 3
