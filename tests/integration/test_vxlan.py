# Copyright: pipework.containers contributors
# GNU General Public License v3.0+ (see LICENSE)
"""pipework_vxlan: one segment over several hosts, which are guests here: each has a NIC on a common wire."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from typing import Any

import pytest

from ansible_collections.pipework.containers.plugins.module_utils._core.errors import PipeworkError
from ansible_collections.pipework.containers.plugins.module_utils._engine import run
from ansible_collections.pipework.containers.plugins.module_utils._jobs.attach import AttachJob
from ansible_collections.pipework.containers.plugins.module_utils._jobs.bridge import BridgeJob
from ansible_collections.pipework.containers.plugins.module_utils._jobs.vxlan import VxlanJob
from tests.integration.lab import Host, Killed, Params, failing_at, killed_at, refusal

pytestmark = pytest.mark.root

ALL = "00:00:00:00:00:00"
MEMBERS = "123"


class Fleet(Host):
    """Hosts hN with 10.0.0.N and fd00::N on eth0, and a namespace cN for each that plays its container."""

    def __init__(self, members: str = MEMBERS) -> None:
        super().__init__(*(f"h{n}" for n in members), *(f"c{n}" for n in members))
        self.batch("link add wire type bridge\nlink set wire up\n" + "".join(
            f"link add w{n} master wire type veth peer name eth0 netns h{n}\nlink set w{n} up\n" for n in members
        ))
        for n in members:
            lines = f"address add 10.0.0.{n}/24 dev eth0\naddress add fd00::{n}/64 dev eth0\nlink set eth0 up"
            self.batch(lines, ns=f"h{n}")

    def on(self, n: str, job: Any = VxlanJob, check: bool = False, step: Any = None, **params: Any) -> dict[str, Any]:
        """One run on one of the hosts."""
        return self.call(lambda: run.run(job(params), check=check, step=step), ns=f"h{n}")

    def vxlan(self, n: str = "1", **params: Any) -> dict[str, Any]:
        mine = {"bridge": "br1", "vni": 100, "local": f"10.0.0.{n}", "remotes": [f"10.0.0.{m}" for m in MEMBERS]}
        return self.on(n, **{**mine, **params})

    def contain(self, n: str) -> None:
        addresses = [f"10.1.0.{n}/24", f"fd01::{n}/64"]
        self.on(n, job=AttachJob, container=f"c{n}", runtime="netns", host_interface="br1", addresses=addresses)

    def fdb(self, n: str = "1", link: str = "vxlan100") -> list[str]:
        """The lasting entries of the tunnel's own table."""
        shown = json.loads(self.sh("bridge", "-j", "fdb", "show", "dev", link, ns=f"h{n}") or "[]")
        return sorted(
            f"{entry['mac']} {entry['dst']}" for entry in shown if "dst" in entry and entry.get("state") == "permanent"
        )

    def tunnel(self, n: str = "1", link: str = "vxlan100") -> dict[str, Any]:
        return self.link(link, ns=f"h{n}") or {}

    def reach(self, n: str, m: str, *words: str) -> bool:
        """Whether the container of one host reaches that of another."""
        return self.ok("ping", "-c", "1", "-w", "10", "-q", *words, f"10.1.0.{m}", ns=f"c{n}")


@pytest.fixture
def fleet() -> Iterator[Fleet]:
    found = Fleet()
    yield found
    found.close()


@pytest.fixture
def alone() -> Iterator[Fleet]:
    found = Fleet("1")
    yield found
    found.close()


def kinds(result: dict[str, Any]) -> list[str]:
    return [f"{o['action']} {o['kind']}" for o in result["operations"]]


def data(link: dict[str, Any]) -> dict[str, Any]:
    return dict(link["linkinfo"]["info_data"])


def test_B9_containers_of_three_hosts_are_on_one_segment_and_hosts_come_and_go(fleet: Fleet) -> None:
    before = fleet.snapshot()
    said = fleet.vxlan("1", check=True)
    fleet.assert_as(before)
    assert fleet.vxlan("1")["operations"] == said["operations"]
    for n in MEMBERS:
        fleet.vxlan(n)
        fleet.contain(n)
    assert fleet.reach("1", "2") and fleet.reach("2", "3") and fleet.ping("c3", "fd01::1")
    assert (fleet.link("eth1", ns="c1") or {})["mtu"] == fleet.tunnel()["mtu"] == 1450
    assert fleet.reach("1", "3", "-M", "do", "-s", str(1450 - 28))  # the largest that fits goes through whole
    assert fleet.fdb() == [f"{ALL} 10.0.0.2", f"{ALL} 10.0.0.3"]
    again = fleet.vxlan("1")
    assert not again["changed"] and again["segments"][0]["remotes"] == ["10.0.0.2", "10.0.0.3"]
    # what others put there stays, whatever becomes of the list
    fleet.sh("bridge", "fdb", "add", "02:00:00:00:00:99", "dev", "vxlan100", "dst", "10.0.0.9", "self", ns="h1")
    index = fleet.tunnel()["ifindex"]
    assert kinds(fleet.vxlan("1", remotes=["10.0.0.2"])) == ["delete fdb"]  # host 3 leaves
    assert fleet.fdb() == [f"{ALL} 10.0.0.2", "02:00:00:00:00:99 10.0.0.9"]
    assert kinds(fleet.vxlan("1", remotes=["10.0.0.2", "10.0.0.4"])) == ["create fdb"]  # host 4 joins
    assert fleet.reach("1", "2") and fleet.tunnel()["ifindex"] == index
    assert kinds(fleet.vxlan("1", remotes=[])) == ["delete fdb"] * 2
    assert fleet.fdb() == ["02:00:00:00:00:99 10.0.0.9"]
    for n in MEMBERS:
        fleet.on(n, job=AttachJob, container=f"c{n}", runtime="netns", host_interface="br1", state="absent")
        fleet.on(n, vni=100, state="absent")
        assert not fleet.on(n, vni=100, state="absent")["changed"]
    fleet.assert_as(before)


@pytest.mark.oldest
@pytest.mark.any_kernel
def test_B2_what_the_kernel_can_changes_in_place_and_the_rest_makes_a_new_link(fleet: Fleet) -> None:
    for n in "12":
        fleet.vxlan(n)
        fleet.contain(n)
    fleet.sh("ip", "address", "add", "10.0.0.11/24", "dev", "eth0", ns="h1")
    fleet.sh("bridge", "fdb", "add", "02:00:00:00:00:99", "dev", "vxlan100", "dst", "10.0.0.9", "self", ns="h1")
    index = fleet.tunnel()["ifindex"]
    others = ["10.0.0.2", "10.0.0.3"]
    options = {"local": "10.0.0.11", "remotes": others, "learning": False, "neigh_suppress": True, "mtu": 1400}
    assert kinds(fleet.vxlan("1", **options)) == ["update link", "update port"]
    link = fleet.tunnel()
    found, port = data(link), link["linkinfo"]["info_slave_data"]
    assert (found["local"], found["learning"]) == ("10.0.0.11", False)
    assert (port["learning"], port["neigh_suppress"], link["mtu"], link["ifindex"]) == (False, True, 1400, index)
    assert not fleet.vxlan("1", **options)["changed"]
    fleet.vxlan("1", learning=True, neigh_suppress=False)
    fleet.vxlan("2", remotes=["10.0.0.1"])
    assert fleet.tunnel()["ifindex"] == index and fleet.tunnel()["mtu"] == 1450 and fleet.reach("1", "2")
    # another UDP port is another link, with all that others had on it, and so is one that is bound to a NIC
    done = [fleet.vxlan(n, port=8472, device="eth0") for n in "12"]
    assert {"create link", "delete link"} <= set(kinds(done[0]))
    assert (data(fleet.tunnel())["port"], data(fleet.tunnel())["link"]) == (8472, "eth0")
    assert fleet.fdb() == [f"{ALL} 10.0.0.2", f"{ALL} 10.0.0.3", "02:00:00:00:00:99 10.0.0.9"]
    assert fleet.reach("1", "2") and not fleet.vxlan("1", port=8472, device="eth0")["changed"]
    # and so is one over IPv6, which takes 70 bytes of each frame
    for n in "12":
        fleet.on(n, bridge="br1", vni=100, local=f"fd00::{n}", remotes=["fd00::1", "fd00::2"])
        fleet.contain(n)
    assert (fleet.link("eth1", ns="c1") or {})["mtu"] == 1430 and fleet.reach("1", "2", "-M", "do", "-s", "1402")


def test_remotes_of_a_routing_daemon_and_links_of_others_are_not_touched(fleet: Fleet) -> None:
    fleet.batch("link add vx7 type vxlan id 7 local 10.0.0.1 dstport 4789\n", ns="h1")
    fleet.sh("bridge", "fdb", "append", ALL, "dev", "vx7", "dst", "10.0.0.9", ns="h1")
    fleet.vxlan("1", remotes=[], learning=False, neigh_suppress=True)
    entry = ["bridge", "fdb", "append", ALL, "dev", "vxlan100", "dst", "10.0.0.2", "self", "extern_learn"]
    fleet.sh(*entry, ns="h1")
    before = fleet.fdb("1", "vx7") + fleet.fdb()
    assert f"{ALL} 10.0.0.2" in before and f"{ALL} 10.0.0.9" in before
    same = {"remotes": [], "learning": False, "neigh_suppress": True}
    assert fleet.vxlan("1", **same)["segments"][0]["remotes"] == []
    assert not fleet.vxlan("1", **same)["changed"] and fleet.fdb("1", "vx7") + fleet.fdb() == before
    with pytest.raises(PipeworkError, match=r"vni: 7 is that of vx7 on this host already.*Nothing was changed"):
        fleet.vxlan("1", vni=7, bridge="br7")
    with pytest.raises(PipeworkError, match=r"name: vx7 exists on the host and is somebody else's vxlan"):
        fleet.on("1", vni=7, name="vx7", state="absent")
    fleet.on("1", segments=[], purge=True)
    assert fleet.fdb("1", "vx7") == [f"{ALL} 10.0.0.9"] and fleet.tunnel() == {}


def test_B3_many_segments_in_one_run_and_purge(fleet: Fleet) -> None:
    before = fleet.snapshot()
    segments = [{"vni": 100 + n, "bridge": f"lan{n}"} for n in range(10)]
    common = {"local": "10.0.0.1", "remotes": ["10.0.0.2"]}
    result = fleet.on("1", segments=segments, **common)
    assert [s["name"] for s in result["segments"]] == [f"vxlan{100 + n}" for n in range(10)]
    assert not fleet.on("1", segments=segments, **common)["changed"]
    fleet.on("1", segments=segments[:1], purge=True, **common)
    assert fleet.links("h1") == ["eth0", "lan0", "vxlan100"]
    # a VNI that another of ours had, on another bridge: the old one goes first
    fleet.on("1", segments=[{"vni": 100, "name": "office", "bridge": "lan7"}], purge=True, **common)
    assert fleet.links("h1") == ["eth0", "lan7", "office"]
    fleet.on("1", segments=[], purge=True)
    fleet.assert_as(before)


def test_bridges_of_others_and_of_pipework_bridge_stay(fleet: Fleet) -> None:
    fleet.on("1", job=BridgeJob, name="br1", addresses=["10.1.0.254/24"], mac_address="U:h1")
    before = fleet.snapshot()
    fleet.vxlan("1")
    fleet.contain("2")  # on its own host, on a bridge made on the way
    fleet.vxlan("2")
    assert fleet.ok("ping", "-c", "1", "-w", "10", "-q", "10.1.0.2", ns="h1")
    fleet.vxlan("1", state="absent")
    fleet.vxlan("2", state="absent")
    assert fleet.link("br1", ns="h1") and "br1" in fleet.links("h2"), "somebody is on it still"
    fleet.on("2", job=AttachJob, container="c2", runtime="netns", host_interface="br1", state="absent")
    fleet.assert_as(before)
    fleet.vxlan("1")
    fleet.on("1", job=BridgeJob, name="br1", state="absent")  # its ports are let go
    assert "master" not in fleet.tunnel()
    fleet.vxlan("1")
    assert fleet.tunnel()["master"] == "br1"


def test_ports_that_take_more_than_the_tunnel_are_told_of(fleet: Fleet) -> None:
    fleet.contain("1")
    arguments = {"bridge": "br1", "vni": 100, "local": "10.0.0.1", "remotes": ["10.0.0.2"]}
    [words] = fleet.vxlan("1")["warnings"]
    assert "ports with an MTU of more than the tunnel's 1450" in words and "pipework_attach" in words
    fleet.contain("1")
    assert "warnings" not in fleet.vxlan("1") and (fleet.link("eth1", ns="c1") or {})["mtu"] == 1450
    fleet.sh("ip", "link", "set", "eth0", "mtu", "9000", ns="h1")
    assert fleet.vxlan("1")["segments"][0]["mtu"] == 8950  # follows the underlay
    fleet.sh("ip", "address", "add", "10.0.0.1/24", "dev", "wire")
    result = fleet.module("pipework_vxlan", arguments)  # as Ansible starts it, on the host between them
    assert result["changed"] and result["segments"][0]["name"] == "vxlan100" and "vxlan100" in result["diff"]["after"]


CLOSED = "table inet closed {\nchain forward {\ntype filter hook forward priority 0; policy drop;\n}\n}\n"


def test_P2b_frames_pass_between_containers_and_tunnel_and_the_rule_goes_with_it(fleet: Fleet) -> None:
    if not shutil.which("nft"):
        pytest.skip("needs nft")
    fleet.sh("nft", "-f", "-", text=CLOSED, ns="h1")
    rules = fleet.sh("nft", "list", "ruleset", ns="h1")
    fleet.vxlan("1", forwarding="unmanaged")
    assert fleet.sh("nft", "list", "ruleset", ns="h1") == rules
    fleet.vxlan("1")
    assert "pipework:br1" in fleet.sh("nft", "list", "ruleset", ns="h1")
    fleet.vxlan("1", state="absent")
    assert fleet.sh("nft", "list", "ruleset", ns="h1") == rules


TWO: list[Params] = [{"vni": 1, "bridge": "x"}, {"vni": 2, "bridge": "y"}]


Crowded = tuple[Fleet, dict[str, Any]]


@pytest.fixture(scope="module")
def crowded() -> Iterator[Crowded]:
    """Hosts for all that is refused, which leaves them as they are: one is full of what stands in the way."""
    found = Fleet("1")
    found.batch(
        "link add small mtu 100 type veth peer name big\naddress add 10.9.0.1/32 dev lo\nlink add taken type bridge\n"
        "link add vx7 master taken type vxlan id 7 local 10.0.0.1 dstport 4789",
        ns="h1",
    )
    yield found, found.snapshot()
    found.close()


def two(**second: Any) -> Params:
    return {"vni": None, "bridge": None, "segments": [TWO[0], {**TWO[1], **second}]}


@pytest.mark.parametrize(
    ("params", "words"),
    [
        ({"vni": None}, "vni: say which"),
        ({"vni": 0}, r"vni: 0 is not possible; 1 to 16777215"),
        ({"vni": 1 << 24}, "vni: 16777216 is not possible"),
        ({"port": 70000}, "port: 70000 is not possible; 1 to 65535"),
        ({"bridge": None}, "bridge: say which"),
        ({"local": None}, "local: say which"),
        ({"local": "h1"}, r"local: 'h1' is not an IP address.*names are not looked up"),
        ({"local": "10.0.0.7"}, r"local: 10\.0\.0\.7 is not an address of this host; it has 10\.0\.0\.1 \(eth0\)"),
        ({"remotes": ["239.1.1.1"]}, r"remotes: '239\.1\.1\.1' is a multicast address"),
        ({"remotes": ["fe80::2"]}, "remotes: 'fe80::2' is no address that other hosts reach"),
        ({"remotes": ["fd00::2"]}, r"remotes: fd00::2 and local 10\.0\.0\.1 are not of one family"),
        ({"mtu": 1500}, r"mtu: 1500 does not fit: eth0 has an MTU of 1500.*takes 50; 1450 at most"),
        ({"mtu": 1440, "local": "fd00::1", "remotes": []}, r"mtu: 1440 does not fit: .*IPv6 takes 70; 1430 at most"),
        ({"device": "small"}, r"device: the tunnel does not fit: small has an MTU of 100.*68 have to be left"),
        ({"device": "none"}, "device: there is no none on this host"),
        ({"local": "10.9.0.1"}, r"mtu: say how large.*10\.9\.0\.1 is on lo"),
        ({"bridge": ["br1"]}, r"bridge: .* has '\[' in it, which no name of a new interface should"),
        ({"bridge": "eth0"}, "bridge: eth0 is not a Linux bridge but veth"),
        ({"bridge": "taken"}, r"bridge: taken has vx7 as a port already"),
        ({"vni": 7}, "vni: 7 is that of vx7 on this host already"),
        ({"vni": 7, "port": 8472}, "vni: 7 is that of vx7 on this host already"),
        ({"name": "eth0"}, "name: eth0 exists on the host and is somebody else's veth"),
        ({"name": "br1"}, "name: name br1, bridge br1: each is another interface"),
        ({"subnets": ["10.0.0.0/16"]}, r"subnets: 10\.0\.0\.0/16 overlaps 10\.0\.0\.1/24, which this host has on eth0"),
        ({"subnets": ["10.1.0.1/24"]}, r"subnets: '10\.1\.0\.1/24' is not a subnet.*host bits"),
        (two(vni=1), r"segments\[1\]: vni: 1 is listed twice \(also in segments\[0\]\)"),
        (two(bridge="x"), r"segments\[1\]: bridge: x is listed twice"),
        ({**two(subnets=["10.1.4.0/24"]), "subnets": ["10.1.0.0/16"]}, r"subnets: 10\.1\.4\.0/24 of VNI 2 overlaps"),
        ({"purge": True}, "purge: needs 'segments'"),
    ],
    ids=str,
)
def test_bad_input_is_refused_before_anything_is_touched(crowded: Crowded, params: Params, words: str) -> None:
    fleet, before = crowded
    with pytest.raises(PipeworkError, match=words):
        fleet.vxlan("1", **params)
    fleet.assert_as(before)


OTHER = {"local": "10.0.0.11", "remotes": ["10.0.0.3", "10.0.0.4"], "learning": False, "mtu": 1400}
RUNS = [
    pytest.param(None, {}, id="new"),
    pytest.param({}, {**OTHER, "neigh_suppress": True, "bridge": "br2"}, id="in-place"),
    pytest.param(OTHER, {"port": 8472, "device": "eth0"}, id="replaced"),
    pytest.param(OTHER, {"state": "absent"}, id="absent"),
]


@pytest.mark.parametrize(("earlier", "params"), RUNS)
def test_B4_failures_and_kills_at_every_operation(alone: Fleet, earlier: Params | None, params: Params) -> None:
    fleet = alone
    fleet.sh("ip", "address", "add", "10.0.0.11/24", "dev", "eth0", ns="h1")
    base = fleet.snapshot()

    def begin() -> tuple[dict[str, Any], list[str]]:
        if earlier is not None:
            fleet.vxlan("1", **earlier)
            fleet.sh("ip", "link", "set", "vxlan100", "address", "06:00:00:00:00:64", ns="h1")
            fleet.sh("bridge", "fdb", "add", "02:00:00:00:00:99", "dev", "vxlan100", "dst", "10.0.0.9", ns="h1")
        return state()

    def state() -> tuple[dict[str, Any], list[str]]:
        return fleet.snapshot(), fleet.fdb() if earlier is not None else []

    before = begin()
    number = 0
    while True:
        said = refusal(lambda: fleet.vxlan("1", step=failing_at(number), **params))  # noqa: B023
        if said is None:
            break
        assert said.endswith(("were taken back; everything is as it was.", "Nothing was changed."))
        fleet.assert_as(before[0], f"failed at operation {number}")
        assert state()[1] == before[1]
        number += 1
    assert number > 0
    for place in range(number):
        fleet.on("1", segments=[], purge=True)
        fleet.assert_as(base, f"before operation {place}")
        begin()
        with pytest.raises(Killed):
            fleet.vxlan("1", step=killed_at(place), **params)
        fleet.vxlan("1", **params)
        assert not fleet.vxlan("1", **params)["changed"]
