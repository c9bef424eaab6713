# Copyright: pipework.containers contributors
# GNU General Public License v3.0+ (see LICENSE)
"""Routes of containers: the same as iproute2 makes of the same request, again and again, and nothing of others."""

from __future__ import annotations

import json
import random
import subprocess
from collections.abc import Iterator
from typing import Any

import pytest

from ansible_collections.pipework.containers.plugins.module_utils._core.errors import PipeworkError
from ansible_collections.pipework.containers.plugins.module_utils._engine.run import run
from ansible_collections.pipework.containers.plugins.module_utils._jobs.commands import CommandsJob
from ansible_collections.pipework.containers.plugins.module_utils._jobs.route import RouteJob
from tests.integration.lab import Host, Killed, Params, failing_at, killed_at, refusal

pytestmark = pytest.mark.root

GROUND = """
link add eth1 type veth peer name far1
link add eth2 type veth peer name far2
address add 10.1.0.1/24 dev eth1
address add 10.2.0.1/24 dev eth2
address add fd01::1/64 dev eth1 nodad
address add fd02::1/64 dev eth2 nodad
link set far1 up
link set far2 up
link set eth1 up
link set eth2 up
"""


@pytest.fixture
def host() -> Iterator[Host]:
    """Two containers with the same two interfaces."""
    found = Host("a", "b")
    try:
        for ns in found.guests:
            found.batch(GROUND, ns=ns)
        yield found
    finally:
        found.close()


def params(*items: Params, **more: Any) -> Params:
    """Of items without a container: those of the container a."""
    return {"container": "a", "runtime": "netns", "routes": list(items), **more}


def route(host: Host, *items: Params, **more: Any) -> dict[str, Any]:
    """A check run, the run, and a second one, which must agree."""
    planned = host.run(job=RouteJob, check=True, **params(*items, **more))
    done = host.run(job=RouteJob, **params(*items, **more))
    assert planned["operations"] == done["operations"]
    assert (planned["before"], planned["after"]) == (done["before"], done["after"])
    again = host.run(job=RouteJob, **params(*items, **more))
    assert not again["changed"], again["operations"]
    return done


def table(host: Host, ns: str = "a") -> list[str]:
    """All routes that somebody made, as ip shows them."""
    return host.call(_table, ns=ns)


def _table() -> list[str]:
    found = []
    for version in ("-4", "-6"):
        shown = subprocess.run(
            ["ip", version, "-d", "-o", "route", "show", "table", "all"], check=True, capture_output=True, text=True
        ).stdout
        found += [" ".join(line.split()) for line in shown.splitlines() if "proto kernel" not in line]
    return found


# -- the same as iproute2 makes

GATEWAYS = {4: {"eth1": "10.1.0.254", "eth2": "10.2.0.254"}, 6: {"eth1": "fd01::fe", "eth2": "fd02::fe"}}


def requests(chance: random.Random, count: int) -> Iterator[tuple[Params, str]]:
    """Options, and the words for ip that mean the same."""
    for _number in range(count):
        version = chance.choice((4, 6))
        kind = chance.choice(["unicast"] * 8 + ["blackhole", "unreachable", "prohibit", "throw", "local"])
        net = chance.randrange(12)
        prefix = f"10.{64 + net}.0.0/16" if version == 4 else f"fd{64 + net}::/32"
        destination = chance.choice((prefix, prefix, "default"))
        options: Params = {"destination": destination, "type": kind}
        words = ["-4" if version == 4 else "-6", kind, destination]
        if destination == "default":
            options["family"] = f"ipv{version}"
        for option, word, values in (
            ("metric", "metric", (None, None, 5, 1024)),
            ("table", "table", (None, None, 100, "default", 70000)),
            ("tos", "tos", (None, None, "0x10") if version == 4 else (None,)),
        ):
            value = chance.choice(values)
            if value is not None:
                options[option] = value
                words += [word, str(value)]
        device = chance.choice(("eth1", "eth2"))
        way = chance.randrange(6)
        if kind == "local":
            options["device"] = "lo"
            words += ["dev", "lo"]
        elif kind == "unicast":
            if way == 0:
                options["device"] = device
                words += ["dev", device]
            elif way == 1:
                gateway = "10.77.0.1" if version == 4 else "fd77::1"
                options.update(gateway=gateway, device=device, onlink=True)
                words += ["via", gateway, "dev", device, "onlink"]
            elif way == 2 and version == 4:
                options.update(gateway="fe80::1", device=device)
                words += ["via", "inet6", "fe80::1", "dev", device]
            elif way < 4:
                options["gateway"] = GATEWAYS[version][device]
                words += ["via", GATEWAYS[version][device]]
            else:
                hops = chance.sample(sorted(GATEWAYS[version].items()), 2)
                weights = [chance.choice((1, 2, 7, 256)) for _hop in hops]
                options["nexthops"] = [
                    {"gateway": gateway, "device": each, "weight": weight}
                    for (each, gateway), weight in zip(hops, weights)
                ]
                last = [
                    w for (each, gateway), weight in zip(hops, weights)
                    for w in ("nexthop", "via", gateway, "dev", each, "weight", str(weight))
                ]
                yield options, " ".join([*words, *_metrics(chance, options), "proto", "114", *last])
                continue
            if way in (1, 3) and chance.random() < 0.5:
                source = {4: {"eth1": "10.1.0.1", "eth2": "10.2.0.1"}, 6: {"eth1": "fd01::1", "eth2": "fd02::1"}}
                options["source"] = source[version][device]
                words += ["src", source[version][device]]
            words += _metrics(chance, options)
            if version == 6 and chance.random() < 0.3:
                options["preference"] = chance.choice(("low", "medium", "high"))
                words += ["pref", options["preference"]]
            if version == 4 and chance.random() < 0.2:
                options["scope"] = chance.choice(("link", "global", "site")) if way == 0 else "global"
                words += ["scope", options["scope"]]
        yield options, " ".join([*words, "proto", "114"])


def _metrics(chance: random.Random, options: Params) -> list[str]:
    """A few, with what the kernel cuts down and what it forgets."""
    words: list[str] = []
    chosen: Params = {}
    for name, value, said in chance.sample(
        [
            ("mtu", 1400, "mtu 1400"),
            ("mtu", 65535, "mtu 65535"),
            ("advmss", 1360, "advmss 1360"),
            ("advmss", 65535, "advmss 65535"),
            ("window", 0, "window 0"),
            ("window", 20000, "window 20000"),
            ("rtt", "120ms", "rtt 120ms"),
            ("rttvar", 40, "rttvar 40ms"),
            ("rto_min", "1s", "rto_min 1s"),
            ("ssthresh", 30, "ssthresh 30"),
            ("cwnd", 20, "cwnd 20"),
            ("initcwnd", 12, "initcwnd 12"),
            ("initrwnd", 14, "initrwnd 14"),
            ("reordering", 5, "reordering 5"),
            ("hoplimit", 33, "hoplimit 33"),
            ("quickack", True, "quickack 1"),
            ("features", ["ecn"], "features ecn"),
            ("congctl", "reno", "congctl reno"),
        ],
        chance.choice((0, 0, 0, 1, 3)),
    ):
        if name not in chosen:
            chosen[name] = value
            words += said.split()
    if "mtu" in chosen and chance.random() < 0.3:
        words[words.index("mtu")] = "mtu lock"
        chosen["lock"] = ["mtu"]
    for name in ("mtu", "advmss"):
        if name in chosen and "lock" not in chosen:
            options[name] = chosen.pop(name)
    if chosen:
        options["metrics"] = chosen
    return words


@pytest.mark.parametrize("seed", range(2))
def test_P32_the_same_routes_as_iproute2_makes(host: Host, seed: int) -> None:
    """Each request replaces what stands in its place: the kernel's state is the same as after ip route replace."""
    made = list(requests(random.Random(seed), 75))
    for start in range(0, len(made), 25):
        part = made[start : start + 25]
        host.call(_ours, part)
        for version in ("-4", "-6"):
            lines = [f"route replace {words[3:]}\n" for _options, words in part if words.startswith(version)]
            host.sh("ip", version, "-batch", "-", ns="b", text="".join(lines))
        assert table(host, "a") == table(host, "b"), part
    gone = [{**options, "state": "absent"} for options, _words in made]
    assert host.run(job=RouteJob, **params(*gone))["changed"]
    assert table(host, "a") == []


def _ours(part: list[tuple[Params, str]]) -> None:
    for options, words in part:
        options = {**options, "container": "a", "runtime": "netns"}
        try:
            run(RouteJob(options))
        except PipeworkError as error:
            raise AssertionError(f"{words}: {error}") from None
        again = run(RouteJob(options), check=True)
        assert not again["changed"], (words, again["operations"])


# -- what is there, what is not

R1, R2 = "10.1.0.254", "10.2.0.254"
NET = {"destination": "10.64.0.0/16", "gateway": R1}


def test_P32_B2_a_route_is_replaced_where_it_stands(host: Host) -> None:
    done = route(host, NET)
    assert [(each["action"], each["kind"], each["name"]) for each in done["operations"]] == [
        ("create", "route", "netns:a/10.64.0.0/16")
    ]
    assert done["routes"][0] == {
        "container": "a", "runtime": "netns", "family": "ipv4", "destination": "10.64.0.0/16",
        "table": 254, "metric": 0,
        "type": "unicast", "gateway": R1, "device": "eth1", "source": None, "onlink": False, "encap": None,
        "protocol": "114", "scope": "global", "metrics": {}, "preference": None, "nexthops": [],
    }  # fmt: skip
    changed = route(host, {**NET, "gateway": R2, "mtu": 1300})
    assert [each["action"] for each in changed["operations"]] == ["update"]
    assert changed["operations"][0]["before"]["gateway"] == R1
    assert changed["operations"][0]["after"]["metrics"] == {"mtu": 1300}
    assert table(host) == [f"unicast 10.64.0.0/16 via {R2} dev eth2 table main proto 114 scope global mtu 1300"]
    assert route(host, {"destination": "10.64.0.0/16", "type": "blackhole"})["changed"]
    assert route(host, {"destination": "10.64.0.0/16", "nexthops": [{"gateway": R1}, {"gateway": R2, "weight": 2}]})[
        "changed"
    ]
    assert "weight 2" in table(host)[0]
    assert route(host, {"destination": "10.64.0.0/16", "state": "absent"})["routes"] == []
    assert table(host) == []


def test_P32_a_list_is_one_run_and_purge_takes_the_rest_of_its_tables_and_protocol(host: Host) -> None:
    foreign = [
        "unicast 10.90.0.0/16 dev eth1 table 100 proto static scope link",
        "unicast 10.91.0.0/16 dev eth1 table main proto 112 scope link",
    ]
    host.batch("".join(f"route add {line}\n" for line in foreign), ns="a")
    in_100 = [{**NET, "table": 100, "destination": f"10.{n}.0.0/16"} for n in (64, 65, 66)]
    route(host, *in_100, {**NET, "destination": "10.67.0.0/16"})
    assert len(table(host)) == 6
    done = route(host, in_100[1], purge=True, table="100")
    assert [each["name"] for each in done["operations"]] == [
        "netns:a/10.64.0.0/16 table 100", "netns:a/10.66.0.0/16 table 100"
    ]  # fmt: skip
    assert not route(host, in_100[1], purge=True)["changed"]  # table 100 is the one that is named
    route(host, purge=True)
    assert sorted(table(host)) == sorted(
        [f"unicast 10.65.0.0/16 via {R1} dev eth1 table 100 proto 114 scope global", *foreign]
    )
    route(host, purge=True, table="100")
    assert table(host) == foreign
    route(host, purge=True, table="100", protocol="static")
    assert table(host) == foreign[1:]


def test_B11_a_purge_of_all_tables_reaches_containers_of_which_nothing_is_listed(host: Host) -> None:
    foreign = "unicast 10.90.0.0/16 dev eth1 table 100 proto static scope link"
    host.batch(f"route add {foreign}\n", ns="a")
    route(host, {**NET, "table": 100}, {**NET, "destination": "10.65.0.0/16"}, {**NET, "destination": "10.66.0.0/16"})
    kept = {**NET, "destination": "10.65.0.0/16"}
    route(host, kept, {"container": "a"}, purge=True, table="all")
    assert [line.split()[1] for line in table(host)] == ["10.90.0.0/16", "10.65.0.0/16"]
    route(host, {"container": "a"}, purge=True, table="all")
    assert table(host) == [foreign]
    with pytest.raises(PipeworkError, match=r"routes\[0\]: destination: say where to"):
        route(host, {"container": "a"})


def test_P32_routes_of_others_are_taken_only_when_it_is_clear_which(host: Host) -> None:
    host.batch(f"route add default via {R1} proto static\nroute add default via {R2} metric 10\n", ns="a")
    before = host.snapshot()
    gone = {"destination": "default", "state": "absent"}
    with pytest.raises(PipeworkError, match=r"routes\[0\]: destination: 2 routes fit, not all .*say which by metric"):
        route(host, gone)
    host.assert_as(before)
    route(host, {**gone, "metric": 10})
    assert table(host) == [f"unicast default via {R1} dev eth1 table main proto static scope global"]
    # One that is the same but for its protocol is left alone; one that differs is replaced.
    assert not route(host, {"destination": "default", "gateway": R1})["changed"]
    done = route(host, {"destination": "default", "gateway": R2})
    [done] = [each for each in done["operations"] if each["action"] == "update"]
    assert [done[when]["protocol"] for when in ("before", "after")] == ["static", "114"]
    route(host, gone)
    assert table(host) == []


def test_P32_what_the_kernel_made_is_never_touched(host: Host) -> None:
    before = host.snapshot()
    with pytest.raises(PipeworkError, match=r"destination: the kernel made this by itself \(10.1.0.0/24: dev eth1"):
        route(host, {"destination": "10.1.0.0/24", "state": "absent"})
    assert not route(host, {"destination": "10.1.0.0/24", "device": "eth1", "source": "10.1.0.1"})["changed"]
    assert not route(host, purge=True, table="local")["changed"]
    with pytest.raises(PipeworkError, match=r"a route that the kernel made by itself \(dev eth1 protocol kernel\)"):
        route(host, {"destination": "10.1.0.0/24", "gateway": R2})
    with pytest.raises(PipeworkError, match=r"protocol: kernel marks what the kernel made by itself"):
        route(host, {**NET, "protocol": "kernel"})
    host.assert_as(before)


def test_P32_names_of_tables_are_those_of_the_host(host: Host) -> None:
    def write() -> None:
        import os

        os.makedirs("/run/etc/rt_tables.d")
        with open("/run/etc/rt_tables.d/ours.conf", "w", encoding="ascii") as handle:
            handle.write("# some\n0x65 uplink # a comment\n")
        there = next(path for path in ("/etc/iproute2", "/usr/share/iproute2") if os.path.isdir(path))
        subprocess.run(["mount", "--bind", "/run/etc", there], check=True)

    host.call(write)
    assert route(host, {**NET, "table": "uplink"})["routes"][0]["table"] == 101
    with pytest.raises(PipeworkError, match=r"table: 'uplonk' is not the name .* default, local, main, uplink\. A"):
        route(host, {**NET, "table": "uplonk"})


def test_P32_packets_go_where_a_route_says(host: Host) -> None:
    """Two ways to one address: each router has it, and only one is asked."""
    host.add_guests("r1", "r2")
    for number, name in ((1, "r1"), (2, "r2")):
        host.batch(f"link set far{number} netns {name}", ns="a")
        far = f"address add 10.{number}.0.254/24 dev far{number}\nlink set far{number} up\n"
        host.batch(far + "address add 10.99.0.1/32 dev lo", ns=name)

    def arrives() -> str:
        done = host.call(_trace, ns="a")
        return str(done)

    for gateway, device in ((R1, "eth1"), (R2, "eth2")):
        route(host, {"destination": "10.99.0.1", "gateway": gateway})
        assert host.ok("ping", "-c", "1", "-w", "10", "-q", "10.99.0.1", ns="a")
        assert arrives() == device
    route(host, {"destination": "10.99.0.1", "type": "unreachable"})
    assert not host.ok("ping", "-c", "1", "-W", "1", "-q", "10.99.0.1", ns="a")


def _trace() -> str:
    done = subprocess.run(["ip", "-j", "route", "get", "10.99.0.1"], check=True, capture_output=True, text=True)
    return str(json.loads(done.stdout)[0]["dev"])


# -- the command line of ip route


def cmd(host: Host, *lines: str, **more: Any) -> dict[str, Any]:
    return route(host, *({"cmd": line} for line in lines), **more)


def test_P32_the_same_as_iproute2_by_the_same_words(host: Host) -> None:
    made = [words for _options, words in requests(random.Random(5), 60)]
    made = [words.replace(" proto 114", "") for words in made]
    lines = [f"replace {words[3:]}" if "-4" in words else f"ip -6 route replace {words[3:]}" for words in made]
    host.call(_said, lines)
    for version in ("-4", "-6"):
        lines = [f"route replace proto 114 {words[3:]}\n" for words in made if words.startswith(version)]
        host.sh("ip", version, "-batch", "-", ns="b", text="".join(lines))
    assert table(host, "a") == table(host, "b")


def _said(lines: list[str]) -> None:
    for line in lines:
        options = {"container": "a", "runtime": "netns", "cmd": line}
        try:
            run(RouteJob(options))
        except PipeworkError as error:
            raise AssertionError(f"{line}: {error}") from None
        assert not run(RouteJob(options), check=True)["changed"], line


def test_P32_the_verbs_of_ip_route(host: Host) -> None:
    net = "10.64.0.0/16"
    assert cmd(host, f"add {net} via {R1}")["changed"]
    assert not cmd(host, f"add {net} via {R1}")["changed"]
    with pytest.raises(PipeworkError, match=r"cmd: 10.64.0.0/16: File exists: .*\(via 10.1.0.254 dev eth1"):
        cmd(host, f"add {net} via {R2}")
    with pytest.raises(PipeworkError, match=r"cmd: 10.65.0.0/16: No such file or directory"):
        cmd(host, f"change 10.65.0.0/16 via {R2}")
    assert cmd(host, f"change {net} via {R1} mtu 1400")["changed"]
    assert cmd(host, f"append {net} via {R2}")["changed"]
    assert cmd(host, f"prepend {net} dev eth2")["changed"]
    assert [line.split(" table")[0] for line in table(host)] == [
        f"unicast {net} dev eth2", f"unicast {net} via {R1} dev eth1", f"unicast {net} via {R2} dev eth2"
    ]  # fmt: skip
    assert cmd(host, f"del {net} via {R2}")["changed"]
    assert len(table(host)) == 2
    assert cmd(host, f"del {net}")["changed"]
    assert not cmd(host, f"del {net}")["changed"]
    assert cmd(host, "add fd64::/32 via fd01::fe", "append fd65::/32 via fd01::fe")["changed"]
    assert cmd(host, "append fd64::/32 via fd02::fe")["operations"][0]["action"] == "update"
    assert "nexthop via fd01::fe dev eth1" in table(host)[0] and "nexthop via fd02::fe dev eth2" in table(host)[0]
    assert cmd(host, f"add {net} via {R1} table 100", f"add default via {R1} table 100 proto static")["changed"]
    host.sh("ip", "route", "add", "10.90.0.0/16", "dev", "eth1", "table", "100", "proto", "112", ns="a")
    assert cmd(host, "flush table 100 proto static")["changed"]
    assert cmd(host, "flush table 100")["changed"]
    assert not cmd(host, "flush table 100")["changed"]
    assert table(host)[0].startswith("unicast 10.90.0.0/16")
    with pytest.raises(PipeworkError, match=r"routes.0.: mtu: stands beside cmd"):
        route(host, {"cmd": f"add {net} via {R1}", "mtu": 1400})
    with pytest.raises(PipeworkError, match=r"cmd: .*is not complete"):
        cmd(host, "add 10.0.0.0/8 via")
    with pytest.raises(PipeworkError, match=r"cmd: "):
        cmd(host, f"add 10.0.0.0/8 via {R1}; reboot")


def test_P47_P32_P33_classic_lines_about_routes_and_rules(host: Host) -> None:
    """An attachment, a route through it, and a rule, in one run."""
    lines = [
        "br1 -i eth3 a 10.9.0.1/24",
        "route a add 10.64.0.0/16 via 10.9.0.254 table 100",
        "rule a add from 10.9.0.1 table 100",
    ]
    wanted: Params = {"commands": lines, "runtime": "netns"}
    planned = host.run(job=CommandsJob, check=True, **wanted)
    before = host.snapshot()
    for place in range(len(planned["operations"])):
        with pytest.raises(PipeworkError, match=r"everything is as it was|Nothing was changed"):
            host.run(job=CommandsJob, step=failing_at(place), **wanted)
        host.assert_as(before, f"failed at {place}")
    assert host.run(job=CommandsJob, **wanted)["operations"] == planned["operations"]
    assert not host.run(job=CommandsJob, **wanted)["changed"]
    shown = host.sh("ip", "route", "get", "10.64.0.1", "from", "10.9.0.1", ns="a")
    assert "via 10.9.0.254 dev eth3" in shown


# -- bad input, before anything is touched


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({}, "destination: say where to"),
        ({"destination": "10.0.0.0/8"}, "gateway: say which way"),
        ({**NET, "destination": "10.0.0.1/8"}, "destination: '10.0.0.1/8' has bits .* you meant 10.0.0.0/8"),
        ({**NET, "destination": "web1"}, r"destination: 'web1' is not a destination"),
        ({**NET, "gateway": "10.77.0.1"}, r"gateway: 10.77.0.1 is not on a network of netns:a \(which has 10"),
        ({**NET, "device": "eth2"}, r"gateway: 10.1.0.254 is not on a network of netns:a through eth2"),
        ({**NET, "device": "eth9"}, r"device: eth9 does not exist in netns:a \(which has eth1, eth2, far"),
        ({**NET, "gateway": "fe80::1"}, "device: say through which one"),
        ({"destination": "fd64::/32", "gateway": R1}, "gateway: 10.1.0.254 is of IPv4; an IPv6 route needs"),
        ({**NET, "type": "blackhole"}, "type: a route of type blackhole leads nowhere"),
        ({**NET, "table": "0"}, "table: 0 stands for no table"),
        ({**NET, "table": 28791}, "table: 28791 is kept for routes that come back"),
        ({**NET, "protocol": "babble"}, "protocol: 'babble' is not known; the host's rt_protos have "),
        ({**NET, "metric": -1}, "metric: -1 is not possible"),
        ({**NET, "mtu": "big"}, "mtu: 'big' is not a whole number"),
        ({**NET, "metrics": {"speed": 1}}, "metrics: 'speed' is not one of them"),
        ({**NET, "preference": "high"}, "preference: only IPv6"),
        ({**NET, "scope": "galaxy"}, "scope: 'galaxy' is not known"),
        ({"destination": "10.0.0.0/8", "nexthops": [{"weight": 2}]}, r"nexthops\[0\]: needs a gateway or a device"),
        ({**NET, "nexthops": [{"gateway": R2}]}, "gateway: stands beside nexthops"),
        ({"destination": "10.0.0.0/8", "nexthops": [{"gateway": R2, "weight": 257}]}, "weight: 257 is not possible"),
        ({**NET, "onlink": True}, "onlink: needs a gateway and a device"),
        ({**NET, "encap": {"type": "mpls", "labels": [1 << 20]}}, "encap.labels: 1048576 is not possible"),
        ({**NET, "source": "fd01::1"}, "source: fd01::1 is of IPv6"),
    ],
)  # fmt: skip
def test_P32_bad_input_is_refused_before_anything_is_touched(host: Host, options: Params, words: str) -> None:
    before = table(host)
    with pytest.raises(PipeworkError, match=words):
        route(host, {"destination": "10.70.0.0/16", "gateway": R1}, options)
    assert table(host) == before == []


def test_P32_one_place_is_listed_once(host: Host) -> None:
    with pytest.raises(PipeworkError, match=r"routes\[1\]: destination: 10.64.0.0/16 is listed twice \(also in r"):
        route(host, NET, {**NET, "gateway": R2})


# -- failures

EARLIER = [
    {**NET, "mtu": 1400},
    {"destination": "10.65.0.0/16", "nexthops": [{"gateway": R1}, {"gateway": R2}]},
    {"destination": "fd64::/32", "nexthops": [{"gateway": "fd01::fe"}, {"gateway": "fd02::fe", "weight": 3}]},
    {"destination": "10.66.0.0/16", "type": "prohibit", "table": 100},
]
LATER = [
    {**NET, "gateway": R2},
    {"destination": "10.65.0.0/16", "type": "unreachable"},
    {"destination": "10.66.0.0/16", "state": "absent", "table": 100},
    {"destination": "10.67.0.0/16", "gateway": R1, "table": 100},
    {"destination": "10.77.0.1", "device": "eth1"},
    {"destination": "10.68.0.0/16", "gateway": "10.77.0.1"},
    {"destination": "fd65::/32", "gateway": "fd01::fe", "preference": "low"},
]


def test_P32_B4_a_failure_or_a_kill_at_every_operation(host: Host) -> None:
    route(host, *EARLIER)
    host.batch(f"route add default via {R1}\nroute append 10.64.0.0/16 via {R2}", ns="a")
    before = host.snapshot()
    wanted = params(*LATER, purge=True)
    number = len(host.run(job=RouteJob, check=True, **wanted)["operations"])
    assert number >= 8
    for place in range(number):
        with pytest.raises(PipeworkError, match=r"everything is as it was|Nothing was changed"):
            host.run(job=RouteJob, step=failing_at(place), **wanted)
        host.assert_as(before, f"failed at {place}")
    host.sh("ip", "route", "del", "10.64.0.0/16", "via", R2, ns="a")
    host.run(job=RouteJob, **wanted)
    after = table(host)
    for place in range(0, number, 3):
        host.run(job=RouteJob, **params(*EARLIER, purge=True))
        with pytest.raises(Killed):
            host.run(job=RouteJob, step=killed_at(place), **wanted)
        host.run(job=RouteJob, **wanted)
        assert sorted(table(host)) == sorted(after), f"killed at {place}"


# -- the module itself


def test_P32_B1_the_module_says_what_it_does(host: Host) -> None:
    options = {"container": "a", "runtime": "netns", "to": "10.64.0.0/16", "via": R1, "nexthops": None}
    planned = host.module("pipework_route", options, check=True)
    assert table(host) == []
    done = host.module("pipework_route", options)
    assert planned["changed"] and done["changed"]
    for name in ("operations", "before", "after", "diff"):
        assert planned[name] == done[name]
    assert "10.64.0.0/16" in done["diff"]["after"]
    gone = {**NET, "container": "gone", "runtime": "netns"}
    assert not host.run(job=RouteJob, **gone, state="absent")["changed"]
    with pytest.raises(PipeworkError, match="gone"):
        host.run(job=RouteJob, **gone)


@pytest.mark.parametrize(
    ("wish", "why"),
    [
        ({"gateway": "10.1.0.255"}, "gateway: 10.1.0.255 is a broadcast address of eth1"),
        ({"gateway": "10.1.0.1"}, "gateway: 10.1.0.1 is an address of netns:a itself"),
        ({"gateway": "10.2.0.1", "device": "eth1", "onlink": True}, "gateway: 10.2.0.1 is an address of netns:a"),
        ({"gateway": "127.0.0.2"}, "gateway: '127.0.0.2' cannot be the address of a router"),
        ({"device": "eth1", "source": "10.1.0.9"}, "source: 10.1.0.9 is not an address of netns:a (which has 10.1.0.1"),
        ({"device": "eth1", "mtu": 10}, "mtu: 10 is less than IPv4 can do with; 68 to 65520 would be right"),
        ({"destination": "fd40::/32", "gateway": "fd01::1"}, "gateway: fd01::1 is an address of netns:a itself"),
        ({"destination": "fd40::/32", "device": "eth1", "source": "fd01::99"}, "source: fd01::99 is not an address"),
        ({"destination": "fd40::/32", "device": "eth1", "metrics": {"mtu": 1000}}, "mtu: 1000 is less than IPv6"),
    ],
)
def test_P32_what_the_kernel_would_refuse_is_refused_before(host: Host, wish: Params, why: str) -> None:
    before = host.snapshot()
    said = refusal(lambda: route(host, NET, {"destination": "10.65.0.0/16", **wish}))
    assert said is not None and said.startswith(f"routes[1]: {why}"), said
    host.assert_as(before)


def test_P32_a_source_of_any_interface_and_of_a_local_route(host: Host) -> None:
    host.sh("ip", "route", "add", "local", "10.77.0.0/16", "dev", "lo", ns="a")
    host.sh("ip", "address", "add", "10.3.0.1/24", "dev", "eth2", "valid_lft", "900", "preferred_lft", "900", ns="a")
    for source in ("10.2.0.1", "10.3.0.1", "10.77.1.2", "127.0.0.1"):
        assert route(host, {"destination": "10.64.0.0/16", "device": "eth1", "source": source})["changed"]
    assert route(host, {"destination": "fd40::/32", "device": "eth1", "source": "fd02::1"})["changed"]


def test_P32_ipv4_inside_of_ipv6_and_groups_are_destinations(host: Host) -> None:
    mapped = {"destination": "::ffff:0:0/96", "type": "unreachable"}
    route(host, {"destination": "::ffff:10.0.0.0/104", "device": "eth1"}, mapped)
    route(host, {"destination": "224.0.0.0/4", "device": "eth1"})
    assert [line.split()[1] for line in table(host)] == ["224.0.0.0/4", "::ffff:10.0.0.0/104", "::ffff:0.0.0.0/96"]
