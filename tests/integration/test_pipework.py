# Copyright: pipework.containers contributors
# GNU General Public License v3.0+ (see LICENSE)
"""P47: lines of the classic script, run; what they leave is what the script leaves."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest
import yaml

from ansible_collections.pipework.containers.plugins.module_utils._jobs.commands import CommandsJob, carry_out
from ansible_collections.pipework.containers.plugins.modules import pipework as documented
from tests.integration.lab import Host, failing_at, refusal
from tests.integration.test_duplicates import look_for_duplicates

pytestmark = pytest.mark.root
GUESTS = ("apache", "mysql", "hipache", "c1", "fast")
NIC_MAC = "06:00:00:00:00:05"


@pytest.fixture
def host() -> Iterator[Host]:
    """A host with three NICs, eth2, eth4 and eth5, that are ends of cables."""
    found = Host(*GUESTS)
    for number in (2, 4, 5):
        name, far = f"eth{number}", f"far{number}"
        found.sh("ip", "link", "add", name, "type", "veth", "peer", "name", far)
        found.batch(f"link set {name} up\nlink set {far} up")
    found.sh("ip", "link", "set", "eth5", "address", NIC_MAC)
    yield found
    found.close()


def pipework(host: Host, *lines: str, check: bool = False, step: Any = None) -> dict[str, Any]:
    return host.run(job=CommandsJob, check=check, step=step, runtime="netns", commands=list(lines))


def done(host: Host, *lines: str) -> dict[str, Any]:
    """A check run, which must say what the run itself then does; and a second one, which finds nothing to do."""
    said = pipework(host, *lines, check=True)
    result = pipework(host, *lines)
    for part in ("changed", "operations", "before", "after", "lines"):
        assert said[part] == result[part]
    assert not pipework(host, *lines)["changed"]
    return result


DOCUMENTED = (
    "pipework br1 apache 192.168.1.1/24",
    "pipework br1 mysql 192.168.1.2/24",
    "pipework br1 -i eth2 -l hostapp1 apache 192.168.4.25/20",
    "pipework eth2 hipache 50.19.169.157/24@50.19.169.1",
    "pipework br1 -i eth3 c1 0/0",
    "pipework --direct-phys eth4 fast 10.1.1.234/24@10.9.9.9",
    f"pipework mac:{NIC_MAC} -i eth7 mysql 10.2.0.1/24",
    "pipework br1 -i eth4 c1 192.168.9.1/24 26:2e:71:98:60:8f",
    "pipework br1 -i eth5 c1 192.168.9.2/24 U:myhost.foo.com",
    "pipework br1 -i eth6 -a 6 c1 2001:db8::1/64@2001:db8::fe",
)


def test_P47_lines_of_the_documentation_leave_what_the_script_leaves(host: Host) -> None:
    before = host.snapshot()
    result = done(host, *DOCUMENTED)
    assert result["changed"]
    assert [line["module"] for line in result["lines"]] == ["pipework_attach"] * len(DOCUMENTED)
    assert len(result["attachments"]) == len(DOCUMENTED)

    # P1, P2, P12: a bridge that is up, eth1 in each container with its address and broadcast address, and they talk
    bridge = host.link("br1")
    assert bridge and bridge["linkinfo"]["info_kind"] == "bridge" and "UP" in bridge["flags"]
    [shown] = [a for link in host.ip("address", "show", "dev", "eth1", ns="apache") for a in link["addr_info"]
               if a["family"] == "inet"]  # fmt: skip
    assert (shown["local"], shown["prefixlen"], shown["broadcast"]) == ("192.168.1.1", 24, "192.168.1.255")
    assert host.ping("apache", "192.168.1.2")
    # P5, P6: names on both sides
    local = host.link("hostapp1")
    assert local and local["master"] == "br1"
    assert host.addresses("eth2", ns="apache") == ["192.168.4.25/20"]
    # P13, P9: a macvlan in bridge mode on the NIC, with the default route
    inside = host.link("eth1", ns="hipache")
    assert inside and inside["linkinfo"] == {"info_kind": "macvlan", "info_data": inside["linkinfo"]["info_data"]}
    assert inside["linkinfo"]["info_data"]["mode"] == "bridge"
    assert host.routes("hipache", "route", "show", "default") == ["default via 50.19.169.1 dev eth1 proto 112"]
    # P11: up, without an address
    plain = host.link("eth3", ns="c1")
    assert plain and "UP" in plain["flags"] and host.addresses("eth3", ns="c1") == []
    # P15, P10: the NIC itself, and a gateway outside of its network
    assert host.link("eth4") is None
    routes = host.routes("fast", "route", "show")
    assert "default via 10.9.9.9 dev eth1 proto 112" in routes and "10.9.9.9 dev eth1 proto 112 scope link" in routes
    # P14: the NIC by its address
    by_address = host.link("eth7", ns="mysql")
    assert by_address and by_address["linkinfo"]["info_kind"] == "macvlan"
    # P26, P27: addresses of links
    macs = [(host.link(name, ns="c1") or {})["address"] for name in ("eth4", "eth5")]
    assert macs == ["26:2e:71:98:60:8f", "02:72:6c:cd:9b:8d"]
    # P7: the other family
    assert host.addresses("eth6", ns="c1") == ["2001:db8::1/64"]
    assert host.routes("c1", "-6", "route", "show", "default")[0].startswith("default via 2001:db8::fe dev eth6")

    pairs = [(line["options"]["container"], line["options"].get("interface", "eth1")) for line in result["lines"]]
    host.run(runtime="netns", state="absent", attachments=[{"container": c, "interface": i} for c, i in pairs])
    host.assert_as(before)


def test_P47_a_line_changes_what_another_run_made(host: Host) -> None:
    """The script refuses a second run."""
    pipework(host, "br1 apache 192.168.1.1/24")
    index = (host.link("eth1", ns="apache") or {})["ifindex"]
    result = done(host, "br1 apache 192.168.1.11/24 02:00:00:00:00:01")
    assert {operation["action"] for operation in result["operations"]} == {"create", "update", "delete"}
    after = host.link("eth1", ns="apache") or {}
    assert (after["ifindex"], after["address"]) == (index, "02:00:00:00:00:01")
    assert host.addresses("eth1", ns="apache") == ["192.168.1.11/24"]


def test_P11_with_0_0_an_address_of_the_containers_own_stays(host: Host) -> None:
    pipework(host, "br1 apache 0/0")
    host.sh("ip", "address", "add", "10.7.0.1/24", "dev", "eth1", ns="apache")
    assert not pipework(host, "br1 apache 0/0")["changed"]
    assert host.addresses("eth1", ns="apache") == ["10.7.0.1/24"]


def test_P47_B4_all_lines_or_none(host: Host) -> None:
    lines = ("br1 apache 192.168.1.1/24@192.168.1.254", "eth2 hipache 50.19.169.157/24", "br1 mysql 192.168.1.2/24")
    before = host.snapshot()
    count = len(pipework(host, *lines, check=True)["operations"])
    for number in range(0, count, 3):
        said = refusal(lambda number=number: pipework(host, *lines, step=failing_at(number)))  # type: ignore[misc]
        assert said and "a failure was injected" in said
        host.assert_as(before, f"after operation {number}")


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("what1 apache 10.0.0.1/24", "commands[1]: host_interface: I do not know how to setup interface what1"),
        ("br1 nobody 10.0.0.1/24", "commands[1]: "),
        ("br1 apache 10.0.0.1", "Maybe you meant 10.0.0.1/24?"),
        ("br1 -i eth2 apache 10.0.0.1/24", "commands[1]: addresses: 10.0.0.1 is given to both"),
        ("eth2 mysql 10.0.0.1/24 nonsense", "commands[1]: 'eth2 mysql 10.0.0.1/24 nonsense': MAC address"),
        ("br1 mysql 'udhcpc:-s /x'", "commands[1]: \"br1 mysql 'udhcpc:-s /x'\": '-s' is not an option of udhcpc that"),
    ],
)
def test_P47_one_bad_line_and_nothing_is_touched(host: Host, line: str, words: str) -> None:
    before = host.snapshot()
    said = str(refusal(lambda: pipework(host, "br1 mysql 10.0.0.1/24", line)))
    assert words in said
    host.assert_as(before)


def test_P47_the_module_itself(host: Host) -> None:
    params = {"cmd": "pipework br1 apache 192.168.1.1/24", "runtime": "netns"}
    said = host.module("pipework", params, check=True)
    result = host.module("pipework", params)
    assert said["changed"] and said["operations"] == result["operations"] and said["diff"] == result["diff"]
    assert result["lines"][0]["options"] == {
        "host_interface": "br1", "container": "apache", "addresses": ["192.168.1.1/24"]}  # fmt: skip
    assert not host.module("pipework", params)["changed"]
    wrong = host.module("pipework", {"cmd": "br1 apache 10.0.0.1/24; reboot", "runtime": "netns"})
    assert wrong["failed"] and "is for a shell" in wrong["msg"] and wrong["msg"].endswith("Nothing was changed.")
    assert host.module("pipework", {"runtime": "netns"})["failed"]


def test_P18_P47_the_line_that_waits(host: Host) -> None:
    def run(*lines: str, check: bool = False) -> dict[str, Any]:
        return host.call(lambda: carry_out(CommandsJob({"runtime": "netns", "commands": list(lines)}), check=check))

    lines = ("br1 apache 192.168.1.1/24", "pipework --wait -i eth2")
    said = run(*lines, check=True)
    assert said["changed"] and "waits" not in said  # for what is not there yet
    result = run(*lines)
    assert result["operations"] == said["operations"]
    assert [(each["interface"], each["runtime"], each["met"]) for each in result["waits"]] == [("eth2", "host", True)]
    alone = host.module("pipework", {"cmd": "--wait -i eth4"}, check=True)
    assert alone["waits"][0]["met"] and not alone["changed"] and alone["lines"][0]["module"] == "pipework_wait"
    work = host.start(lambda: carry_out(CommandsJob({"cmd": "--wait -i eth9"})))
    host.batch("link add eth9 type veth peer name far9\nlink set far9 up\nlink set eth9 up\n")
    assert work.wait()["waits"][0]["saw"]["up"]


@pytest.fixture
def used() -> Iterator[Host]:
    """The containers of the module's own example, br1 with somebody on it already, and the NICs eth2 and eth3."""
    found = Host("web1", "db1", "proxy1", "fast1", "other")
    for number in (2, 3):
        found.sh("ip", "link", "add", f"eth{number}", "type", "veth", "peer", "name", f"far{number}")
        found.batch(f"link set eth{number} up\nlink set far{number} up")
    pipework(found, "br1 other 192.168.1.9/24", "br1 -i eth2 other 2001:db8::9/64")
    yield found
    found.close()


@pytest.mark.parametrize("vlan", ["", pytest.param(" @10", marks=pytest.mark.kernel)])
def test_P47_D6_the_example_of_a_whole_script_on_a_bridge_in_use(used: Host, vlan: str) -> None:
    task = next(task for task in yaml.safe_load(documented.EXAMPLES) if task["name"] == "All of an old script")
    if vlan:
        used.sh("ip", "link", "set", "br1", "type", "bridge", "vlan_filtering", "1")  # which would stay
    before = used.snapshot()
    done(used, *[line.replace(" @10", vlan) for line in task["pipework.containers.pipework"]["commands"]])
    assert used.routes("web1", "route", "show", "10.0.0.0/8") == [
        "10.0.0.0/8 via 192.168.1.254 dev eth1 proto 114"
    ]
    assert used.ping("web1", "192.168.1.9")
    gone = [{"container": name} for name in ("web1", "db1", "proxy1", "fast1")]
    used.run(runtime="netns", state="absent", attachments=gone)
    used.assert_as(before)


MIXED = (
    "route web1 add default via 192.168.1.1 table 5",
    "route web1 add 10.1.0.0/16 via 192.168.1.1 src 192.168.1.79",
    "route web1 add 10.2.0.0/16 dev eth1 src 192.168.1.79",
    "route web1 add 10.3.0.0/16 nexthop via 192.168.1.1 nexthop via 192.168.1.2",
    "route web1 add blackhole 10.4.0.0/16",
    "rule web1 add from 192.168.1.79 table 5",
    "rule web1 add iif eth1 table 5",
    "route web1 add 2001:db8:1::/48 via 2001:db8::fe",
    "route web1 add 2001:db8:2::/48 via 2001:db8::fe src 2001:db8::79",
    "tc web1 qdisc add dev eth1 root tbf rate 10mbit burst 32kb latency 50ms",
    "br1 web1 192.168.1.79/24",
    "br1 -i eth2 web1 2001:db8::79/64",
    "br1 db1 192.168.1.80/24@192.168.1.1",
    "route db1 add 10.1.0.0/16 via 192.168.1.79",
    "eth2 proxy1 203.0.113.157/24@203.0.113.1",
    "route proxy1 add 10.1.0.0/16 via 203.0.113.2",
    "route other add 10.1.0.0/16 via 192.168.1.80",
)


def test_P47_D6_what_other_lines_want_comes_after_addresses_that_are_asked_for(used: Host) -> None:
    look_for_duplicates(used, "web1")
    before = used.snapshot()
    result = done(used, *MIXED)
    places = [(each["kind"], each["name"]) for each in result["operations"]]
    asked = places.index(("address", "netns:web1/eth1 192.168.1.79/24"))
    late = [at for at, (kind, name) in enumerate(places) if kind == "route" and name.startswith("netns:web1/")]
    assert len(late) == 7 and min(late) > asked
    assert used.routes("web1", "route", "show", "table", "5") == ["default via 192.168.1.1 dev eth1 proto 114"]
    assert "from 192.168.1.79 lookup 5" in used.sh("ip", "rule", ns="web1")
    assert "tbf" in used.sh("tc", "qdisc", "show", "dev", "eth1", ns="web1")
    assert used.routes("other", "route", "show", "10.1.0.0/16")[0].startswith("10.1.0.0/16 via 192.168.1.80 ")
    pipework(
        used, "route other del 10.1.0.0/16", "rule web1 del from 192.168.1.79 table 5",
        "rule web1 del iif eth1 table 5", "route web1 del blackhole 10.4.0.0/16",
    )
    gone = [("web1", "eth1"), ("web1", "eth2"), ("db1", "eth1"), ("proxy1", "eth1")]
    used.run(runtime="netns", state="absent", attachments=[{"container": c, "interface": i} for c, i in gone])
    used.assert_as(before)


def test_P47_D6_an_address_in_use_or_a_failure_takes_all_lines_back(used: Host) -> None:
    lines = ["br1 web1 192.168.1.9/24", "route web1 add 10.1.0.0/16 via 192.168.1.1", "rule web1 add iif eth1 table 5"]
    before = used.snapshot()
    said = str(refusal(lambda: pipework(used, *lines)))
    assert "192.168.1.9 is in use already" in said and "taken back" in said
    used.assert_as(before)
    lines[0] = "br1 web1 192.168.1.79/24"
    for number in range(len(pipework(used, *lines, check=True)["operations"])):
        said = str(refusal(lambda number=number: pipework(used, *lines, step=failing_at(number))))  # type: ignore[misc]
        assert "a failure was injected" in said
        used.assert_as(before, f"after operation {number}")


# How people write scripts

def test_P47_a_script_as_people_write_it(host: Host) -> None:
    script = """#!/bin/sh
# the web server
sudo ./pipework br1 apache 192.0.2.4/30;   # the network's own address

/usr/local/bin/pipework br1 -i eth3 apache 240.0.0.1/24
bash pipework br1 mysql 0.0.0.0/24 aa:aa:aa:2:b:1
pipework eth2 -l pl1 hipache 10.1.0.1/24
pipework mac:6:0:0:0:0:5 \\
    c1 10.2.0.1/24
"""
    result = done(host, script)
    said = " ".join(result["warnings"])
    assert "commands[0]: 192.0.2.4/30 is the address of the network itself" in said
    assert "240.0.0.1/24 is reserved" in said and "-l: kind macvlan does not have it" in said
    assert len(result["lines"]) == 5 and "pl1" not in host.links()
    assert "192.0.2.4/30" in host.addresses("eth1", ns="apache")
    assert "240.0.0.1/24" in host.addresses("eth3", ns="apache")
    found = host.link("eth1", ns="mysql")
    assert found is not None and found["address"] == "aa:aa:aa:02:0b:01"
    assert "10.1.0.1/24" in host.addresses("eth1", ns="hipache") and "10.2.0.1/24" in host.addresses("eth1", ns="c1")


def test_P32_P33_P34_lines_that_ask_print_what_is_there_then(host: Host) -> None:
    lines = (
        "route apache show", "br1 apache 192.168.1.1/24", "rule apache list", "tc apache qdisc show dev lo",
        "route apache flush cache",
    )  # fmt: skip

    def run(*lines: str, check: bool = False) -> dict[str, Any]:
        return host.call(lambda: carry_out(CommandsJob({"runtime": "netns", "commands": list(lines)}), check=check))

    result = run(*lines)
    assert result["changed"] and "stdout" not in result["lines"][1]
    assert "192.168.1.0/24 dev eth1" in result["lines"][0]["stdout"]  # when all else is done
    assert "lookup main" in result["lines"][2]["stdout"] and "qdisc noqueue" in result["lines"][3]["stdout"]
    assert result["stdout"] == "".join(line.get("stdout", "") for line in result["lines"])
    before = host.snapshot()
    again = run("route apache get 192.168.1.7", "rule apache ls", check=True)
    assert not again["changed"] and "192.168.1.7 dev eth1" in again["stdout"] and again["operations"] == []
    host.assert_as(before)
    wrong = host.module("pipework", {"cmd": "route apache show nonsense", "runtime": "netns"})
    assert wrong["failed"] and wrong["msg"].startswith("cmd: 'ip route show nonsense' failed: ")
    gone = host.module("pipework", {"cmd": "route nobody show", "runtime": "netns"})
    assert gone["failed"] and "netns knows no container 'nobody'" in gone["msg"]


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("route c1 del 10.9.0.0/24", "the kernel made this by itself (10.9.0.0/24: dev eth1 protocol kernel)"),
        ("route c1 del 10.9.0.0/24 dev eth1", "the kernel made this by itself"),
        ("route c1 del local 10.9.0.1 table local", "the kernel made this by itself"),
        ("route c1 flush table main", "the kernel made this by itself"),
        ("route c1 flush table local", "the kernel made this by itself"),
        ("route c1 ip -6 route del fe80::/64", "the kernel made this by itself"),
        ("rule c1 del pref 32766", "the kernel made the rule 32766"),
        ("rule c1 del from all table local", "the kernel made the rule 0"),
        ("rule c1 flush table main", "the kernel made the rule 32766"),
    ],
)
def test_P32_P33_what_the_kernel_made_is_not_said_to_be_gone(host: Host, line: str, words: str) -> None:
    pipework(host, "br1 c1 10.9.0.1/24", "route c1 add 10.10.0.0/16 via 10.9.0.2")
    before = host.snapshot()
    for check in (True, False):
        said = str(refusal(lambda check=check: pipework(host, line, check=check)))  # type: ignore[misc]
        assert said.startswith("commands[0]: ") and words in said
    host.assert_as(before)


@pytest.mark.parametrize(
    ("module", "options"),
    [
        ("pipework_route", {"destination": "10.9.0.0/24"}),
        ("pipework_route", {"destination": "10.9.0.1", "table": "local", "type": "local"}),
        ("pipework_route", {"destination": "fe80::/64"}),
        ("pipework_rule", {"priority": 32766}),
        ("pipework_rule", {"priority": 32767, "table": "default"}),
        ("pipework_rule", {"priority": 32766, "family": "ipv6"}),
    ],
)
def test_P32_P33_absent_is_not_ok_where_the_kernel_made_it(host: Host, module: str, options: dict[str, Any]) -> None:
    pipework(host, "br1 c1 10.9.0.1/24")
    before = host.snapshot()
    said = host.module(module, {"container": "c1", "runtime": "netns", "state": "absent", **options})
    assert said["failed"] and "the kernel made th" in said["msg"]
    host.assert_as(before)


def test_P32_P33_what_others_made_goes_beside_what_the_kernel_made(host: Host) -> None:
    pipework(host, "br1 c1 10.9.0.1/24")
    host.batch("route add 10.9.0.0/24 dev eth1 metric 7\nrule add pref 100 from all table main\n", ns="c1")
    done(host, "route c1 del 10.9.0.0/24 metric 7", "rule c1 del pref 100")
    assert not host.routes("c1", "route", "show", "proto", "boot")
    host.batch("route add 10.11.0.0/24 dev eth1 proto static\n", ns="c1")
    done(host, "route c1 flush table main proto static", "route c1 del 10.99.0.0/24")


SEQUENCES = (
    ("rule C add from 10.9.0.1 table 7", "rule C del from 10.9.0.1 table 7"),
    ("rule C add from 10.9.0.1 table 7", "rule C add to 10.9.0.1 table 7", "rule C add to 10.9.0.3 table 8"),
    ("rule C del pref 100", "rule C add pref 100 from 10.9.0.1 table 7", "rule C add from 10.9.0.2 table 7"),
    ("route C add 10.10.0.0/16 via 10.9.0.2", "route C replace 10.10.0.0/16 via 10.9.0.3"),
    ("route C del default", "route C add default via 10.9.0.3"),
    ("route C replace default via 10.9.0.2", "route C change default via 10.9.0.3 mtu 1300"),
    ("route C add 10.10.0.0/16 via 10.9.0.2", "route C del 10.10.0.0/16", "route C add 10.10.0.0/16 via 10.9.0.4"),
    ("route C add 10.12.0.0/16 via 10.9.0.2", "route C add 10.12.0.0/16 via 10.9.0.2"),
    ("route C replace 10.10.0.0/16 via 10.9.0.2", "route C del 10.10.0.0/16 via 10.9.0.2",
     "rule C add from 10.9.0.4 table 9", "route C add 10.11.0.0/16 via 10.9.0.2 table 7"),
)  # fmt: skip


def test_P47_sequences_leave_what_the_script_leaves(host: Host) -> None:
    """The lines one after the other by ip in a twin, and all at once here; a second time nothing changes."""

    def looks(guest: str) -> list[str]:
        shown = [host.routes(guest, *words) for words in (("route", "show", "table", "all"), ("rule", "show"))]
        lines = [line for part in shown for line in part]
        return sorted(line.replace(" proto 114", "") for line in lines if "proto kernel" not in line)

    pipework(host, "br1 c1 10.9.0.1/24", "br2 mysql 10.9.0.1/24")
    for guest in ("c1", "mysql"):
        host.batch("route add default via 10.9.0.9\nrule add pref 100 table main\n", ns=guest)
    assert looks("c1") == looks("mysql")
    for lines in SEQUENCES:
        for line in lines:
            sort, _container, *words = line.split()
            host.sh("ip", sort, *words, ns="mysql", check=False)
        mine = [line.replace(" C ", " c1 ") for line in lines]
        done(host, *mine)
        assert looks("c1") == looks("mysql"), lines


WHOLE = (  # lines of pipework, and what the script runs inside of the container for them
    (["br1 C 10.9.0.1/24@10.9.0.254", "br2 -i eth2 C 10.8.0.1/24@10.8.0.254"], "via 10.8.0.254 dev eth2"),
    (["br1 C 10.9.0.1/24@10.9.0.254", "route C replace default via 10.9.0.3"], "via 10.9.0.3 dev eth1"),
    (["route C del default", "br1 C 10.9.0.1/24", "route C add default via 10.9.0.4"], "via 10.9.0.4 dev eth1"),
    (["route C add default via 10.9.0.4", "br1 C 10.9.0.1/24@10.9.0.254"], "via 10.9.0.254 dev eth1"),
    (["br1 C 10.9.0.1/24@10.9.0.254", "route C replace default via 10.9.0.254 dev eth1"], "via 10.9.0.254 dev eth1"),
    (["br1 C 10.9.0.1/24@10.9.0.254", "route C del default"], None),
    (["br1 C 10.9.0.1/24@10.9.0.254", "route C del default via 10.9.0.254", "br1 C 10.9.0.1/24@10.9.0.254"], None),
    (["br1 C 10.9.0.1/24", "br1 C 10.9.0.1/24", "route C add default via 10.9.0.4", "route C add default via 10.9.0.4"],
     "via 10.9.0.4 dev eth1"),
    (["br1 C 10.9.0.1/24@10.10.0.9", "route C add 10.10.0.9 dev eth1"], "via 10.10.0.9 dev eth1"),
    (["br1 C 10.9.0.1/24@10.9.0.254", "route C add default via 10.9.0.4 metric 7"], "via 10.9.0.254 dev eth1"),
)  # fmt: skip


@pytest.mark.parametrize(("lines", "way"), WHOLE, ids=[" ; ".join(lines) for lines, _way in WHOLE])
def test_P47_the_last_line_has_the_default_route(host: Host, lines: list[str], way: str | None) -> None:
    mine = [line.replace(" C ", " c1 ") for line in lines]
    done(host, *mine)
    found = [line.split(" proto")[0].strip() for line in host.routes("c1", "route", "show", "default", "metric", "0")]
    assert found == ([] if way is None else [f"default {way}"])


def test_P47_a_line_that_the_script_fails_at_is_refused(host: Host) -> None:
    before = host.snapshot()
    for line, words in (
        ("route c1 add default via 10.9.0.3", "commands[1]: cmd: File exists: commands[0] makes another route in its"),
        ("br2 c1 10.9.0.1/24", "commands[1]: interface: c1/eth1 is listed twice (also in commands[0])"),
    ):
        said = str(refusal(lambda line=line: pipework(host, "br1 c1 10.9.0.1/24@10.9.0.254", line)))  # type: ignore[misc]
        assert said.startswith(words)
    said = str(refusal(lambda: pipework(host, "br1 c1 10.9.0.1/24", "route c1 del 10.9.0.0/24")))
    assert said.startswith("commands[1]: the kernel made this by itself") and "taken back" not in said
    host.assert_as(before)


TREES = (
    ["tc C qdisc add dev eth1 root handle 1: htb default 30",
     "tc C class add dev eth1 parent 1: classid 1:1 htb rate 9mbit",
     "tc C class add dev eth1 parent 1:1 classid 1:30 htb rate 2mbit ceil 9mbit",
     "tc C class add dev eth1 parent 1:1 classid 1:10 htb rate 5mbit",
     "tc C qdisc add dev eth1 parent 1:10 handle 10: pfifo limit 20",
     "tc C filter add dev eth1 parent 1: protocol ip prio 1 u32 match ip dst 10.9.0.7/32 flowid 1:10",
     "tc C class change dev eth1 parent 1:1 classid 1:10 htb rate 6mbit",
     "tc C qdisc change dev eth1 parent 1:10 handle 10: pfifo limit 30"],
    ["tc C qdisc del dev eth1 root", "tc C qdisc add dev eth1 root handle 1: htb default 10",
     "tc C class add dev eth1 parent 1: classid 1:10 htb rate 3mbit"],
    ["tc C class add dev eth1 parent 1: classid 1:11 htb rate 1mbit", "tc C class del dev eth1 classid 1:11",
     "tc C class add dev eth1 parent 1: classid 1:12 htb rate 1mbit",
     "tc C qdisc add dev eth1 ingress",
     "tc C filter add dev eth1 parent ffff: protocol ip prio 5 u32 match ip src 10.9.0.7/32 flowid 1:12"],
    ["tc C qdisc add dev eth1 parent 1:12 pfifo limit 3", "tc C qdisc replace dev eth1 root handle 2: pfifo limit 7",
     "tc C qdisc del dev eth1 ingress"],
    ["tc C qdisc del dev eth1 root", "tc C qdisc add dev eth1 root pfifo limit 5", "tc C qdisc del dev eth1 root"],
)  # fmt: skip


def test_P34_P47_sequences_of_tc_leave_what_the_script_leaves(host: Host) -> None:
    """Line after line by tc in a twin, and all at once here, the attachment in the same run."""

    def looks(guest: str) -> list[str]:
        shown = [host.sh("tc", *words.split(), "dev", "eth1", ns=guest, check=False).splitlines() for words in (
            "qdisc show", "class show", "filter show", "filter show ingress",
        )]  # fmt: skip
        lines = [line.strip() for part in shown for line in part]
        kept = [line.replace("parent ffff: ", "") for line in lines if line and "qdisc noqueue" not in line]
        return sorted(re.sub(r" (c?burst|direct_packets_stat) \w+", "", line) for line in kept)  # tc rounds otherwise

    pipework(host, "br2 mysql 10.9.0.1/24")
    for lines in TREES:
        for line in lines:
            host.sh("tc", *line.split()[2:], ns="mysql", check=False)
        mine = [line.replace(" C ", " c1 ") for line in lines]
        done(host, "br1 c1 10.9.0.1/24", *mine)
        assert looks("c1") == looks("mysql"), lines


@pytest.mark.parametrize("verb", ["replace", "add", "change"])
def test_P32_a_line_takes_the_default_route_of_an_attachment(host: Host, verb: str) -> None:
    """It is carried out, again and again, and the attachment has it back when the line's route goes."""

    def ways() -> list[str]:
        return [line.split(" proto")[0].strip() for line in host.routes("c1", "route", "show", "default")]

    attach, line = "br1 c1 10.9.0.1/24@10.9.0.254", f"route c1 {verb} default via 10.9.0.3"
    pipework(host, attach)
    result = done(host, line)
    [told] = result["warnings"]
    assert told.startswith("commands[0]: ") and "attachment eth1 (via 10.9.0.254)" in told and "gateway: []" in told
    assert ways() == ["default via 10.9.0.3 dev eth1"]
    assert not pipework(host, attach)["changed"] and not pipework(host, line)["changed"]
    done(host, "route c1 del default via 10.9.0.3")
    assert ways() == ["default via 10.9.0.254 dev eth1"]


def test_P32_a_line_removes_the_default_route_of_an_attachment(host: Host) -> None:
    script = ("br1 c1 10.9.0.1/24@10.9.0.254", "route c1 del default", "route c1 add default via 10.9.0.3")
    for _time in range(2):  # as tasks of their own, each time
        for line in script:
            pipework(host, line)
        shown = host.routes("c1", "route", "show", "default")
        assert [line.split(" proto")[0].strip() for line in shown] == ["default via 10.9.0.3 dev eth1"]
    pipework(host, "route c1 del default via 10.9.0.3", "br1 c1 10.9.0.1/24@10.9.0.254")
    told = done(host, "route c1 del default")["warnings"]
    assert "takes it back in its next run" in told[0] and host.routes("c1", "route", "show", "default") == []
