# Copyright: pipework.containers contributors
# GNU General Public License v3.0+ (see LICENSE)
"""Kind openvswitch, with real servers. The bridges are of the datapath in ovs-vswitchd: any kernel will do.

What needs the kernel's datapath, and bridges that are made on the way, is in tests/kernel/test_openvswitch.py.
"""

from __future__ import annotations

import dataclasses
import functools
import os
import signal
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from ansible_collections.pipework.containers.plugins.module_utils._core.errors import PipeworkError
from ansible_collections.pipework.containers.plugins.module_utils._jobs.bridge import BridgeJob
from ansible_collections.pipework.containers.plugins.module_utils._jobs.commands import CommandsJob
from ansible_collections.pipework.containers.plugins.module_utils._ovs import client as ovs_client
from tests.integration.lab import Host, Killed, Params, failing_at, killed_at, refusal, wait_for
from tests.integration.vswitch import VSwitch

pytestmark = pytest.mark.root

OWN = "pipework.owner"


@dataclasses.dataclass
class Stage:
    """A host with Open vSwitch, and two bridges that are not ours."""

    host: Host
    ovs: VSwitch

    def attach(self, *items: Params, **more: Any) -> dict[str, Any]:
        """A check run, the run, and a second one, which must agree."""
        params = {"runtime": "netns", "attachments": list(items), **more}
        planned = self.host.run(check=True, **params)
        done = self.host.run(**params)
        assert planned["operations"] == done["operations"]
        again = self.host.run(**params)
        assert not again["changed"], again["operations"]
        assert again["attachments"] == done["attachments"]
        return done

    def run(self, *items: Params, **more: Any) -> dict[str, Any]:
        hooks = {name: more.pop(name) for name in ("check", "step") if name in more}
        return self.host.run(**hooks, **{"runtime": "netns", "attachments": list(items), **more})

    def everything(self) -> dict[str, Any]:
        return {**self.host.snapshot(), "ovs": self.ovs.snapshot()}

    def assert_as(self, before: dict[str, Any], what: str = "") -> None:
        self.host.assert_as({name: part for name, part in before.items() if name != "ovs"}, what)
        assert self.ovs.snapshot() == before["ovs"], what

    def reaches(self, ns: str, address: str) -> bool:
        return self.host.ping(ns, address)

    def never_reaches(self, ns: str, address: str) -> bool:
        return not self.host.ping(ns, address, seconds=0)


def item(container: str, number: int, **options: Any) -> Params:
    return {"container": container, "host_interface": "sw0", "addresses": [f"10.7.0.{number}/24"], **options}


A, B, C = item("a", 1), item("b", 2), item("c", 3)


@pytest.fixture
def stage() -> Iterator[Stage]:
    host = Host("a", "b", "c")
    ovs = None
    try:
        ovs = VSwitch(host)
        ovs.bridge("sw0")
        ovs.bridge("sw1")
        yield Stage(host, ovs)
    finally:
        if ovs is not None:
            ovs.close()
        host.close()


def ends(done: dict[str, Any]) -> list[str]:
    return [each["local_interface"] for each in done["attachments"]]


def gone(*items: Params) -> list[Params]:
    return [{**each, "state": "absent"} for each in items]


# -- what a port is


def test_P29_P35_an_access_port_with_the_classic_external_ids(stage: Stage) -> None:
    before = stage.everything()
    inside = stage.host.start(time.sleep, 60, ns="a")  # the process by which the classic script knew a container
    try:
        done = stage.attach({**A, "vlan": 10}, {**B, "vlan": 10}, {**C, "vlan": 20})
    finally:
        os.kill(inside.pid, signal.SIGKILL)
        with pytest.raises(Killed):
            inside.wait()
    first = done["attachments"][0]
    assert [first[name] for name in ("kind", "host_interface", "vlan", "vlan_trunks")] == ["openvswitch", "sw0", 10, []]
    names = ends(done)
    assert sorted(stage.ovs.ports("sw0")) == sorted(names)
    assert [stage.ovs.column(name, "tag", "vlan_mode") for name in names] == [
        [tag, ["set", []]] for tag in (10, 10, 20)
    ]
    ids = stage.ovs.ids(names[0])
    assert ids.pop("pipework.nspid") == str(inside.pid)
    assert ids.pop(OWN).startswith("pipework:netns:a:")
    assert ids == {
        "pipework.interface": names[0],
        "pipework.bridge": "sw0",
        "pipework.containerid": first["container_id"],
        "pipework.vlan": "10",
    }
    assert stage.reaches("a", "10.7.0.2")
    assert stage.never_reaches("a", "10.7.0.3")

    assert stage.attach(*gone(A, B, C))["after"] == {}
    stage.assert_as(before)  # the bridge was there before us, and stays


def test_P29_B8_vlans_change_live_and_nothing_else(stage: Stage) -> None:
    done = stage.attach({**A, "vlan": 10}, {**B, "vlan": 10}, {**C, "vlan": 20})
    name = ends(done)[2]
    link, row = stage.host.link("eth1", ns="c"), stage.ovs.rows("Interface", "name", "ofport", "_uuid")
    changed = stage.attach({**C, "vlan": 10})
    assert [(each["action"], each["kind"], each["name"]) for each in changed["operations"]] == [
        ("update", "ovs_port", name)
    ]
    assert stage.host.link("eth1", ns="c") == link
    assert stage.ovs.rows("Interface", "name", "ofport", "_uuid") == row
    assert stage.ovs.ids(name)["pipework.vlan"] == "10"
    assert stage.reaches("a", "10.7.0.3")

    # A trunk: the CNI bridge's own case, and its changes.
    wide = stage.attach({**C, "vlan": 10, "vlan_trunks": ["200-210", 101]})["attachments"][0]
    assert (wide["vlan"], wide["vlan_trunks"]) == (10, ["101", "200-210"])
    assert stage.ovs.column(name, "tag", "trunks", "vlan_mode") == [
        10, ["set", [101, *range(200, 211)]], "native-untagged"
    ]  # fmt: skip
    assert stage.reaches("a", "10.7.0.3")
    stage.attach({**C, "vlan_trunks": ["10-4094"]})
    assert stage.ovs.column(name, "tag", "vlan_mode") == [["set", []], "trunk"]
    assert "pipework.vlan" not in stage.ovs.ids(name)
    assert stage.never_reaches("a", "10.7.0.3")  # no VLAN for frames without a tag
    stage.attach({**C, "vlan": 10})
    assert stage.ovs.column(name, "tag", "trunks", "vlan_mode") == [10, ["set", []], ["set", []]]
    assert not stage.run(C)["changed"]  # what is not said is left as it is
    assert stage.reaches("a", "10.7.0.3")


def test_P29_P47_the_classic_lines(stage: Stage) -> None:
    lines = ["sw0 a 10.7.0.1/24 U:a@10", "sw0 -i eth2 -l hostb b 10.7.0.2/24 @10"]
    params: Params = {"runtime": "netns", "commands": lines}
    planned = stage.host.run(job=CommandsJob, check=True, **params)
    assert stage.host.run(job=CommandsJob, **params)["operations"] == planned["operations"]
    assert not stage.host.run(job=CommandsJob, **params)["changed"]
    assert stage.ovs.column("hostb", "tag") == [10]
    assert stage.reaches("a", "10.7.0.2")


def test_P35_vlan_bridges_are_bridges_as_list_br_says(stage: Stage) -> None:
    ovs = stage.ovs
    ovs.vsctl("add-br", "ovsv", "sw0", "77")
    ovs.vsctl("add-br", "v1", "sw1", "5")  # whose name says nothing
    before = stage.everything()
    through = {**A, "host_interface": "ovsv"}
    done = stage.attach(through, {**B, "vlan": 77}, C)
    [name, other, _third] = ends(done)
    assert [each["kind"] for each in done["attachments"]] == ["openvswitch"] * 3
    assert [each["host_interface"] for each in done["attachments"]] == ["ovsv", "sw0", "sw0"]
    assert [each["vlan"] for each in done["attachments"]] == [77, 77, None]
    assert ovs.column(name, "tag", "fake_bridge") == [77, False]
    assert name in ovs.ports("ovsv")
    assert name not in ovs.ports("sw0")
    assert ovs.ids(name)["pipework.bridge"] == "ovsv"
    assert stage.reaches("a", "10.7.0.2")  # the same VLAN
    assert stage.never_reaches("a", "10.7.0.3")
    for options, words in (({"vlan": 78}, "vlan: 78: ovsv is the bridge of VLAN 77 of sw0"),
                           ({"vlan_trunks": [5]}, "vlan_trunks: 5: ovsv is the bridge of VLAN 77")):
        for check in (True, False):
            with pytest.raises(PipeworkError, match=words):
                stage.run({**through, **options}, check=check)

    # purge and absent take our ports alone; moves take the port along
    purged = stage.run(check=True, purge=True, purge_on=["ovsv"])
    assert {each["name"] for each in purged["operations"] if each["kind"] == "ovs_port"} == {name}
    stage.attach({**through, "host_interface": "v1"})
    assert name in ovs.ports("v1")
    stage.attach({**A, "host_interface": "sw1"})
    assert name in ovs.ports("sw1")
    assert ovs.column(name, "tag") == [["set", []]]
    stage.attach(through)
    for check in (True, False):
        with pytest.raises(PipeworkError, match="ovsv is somebody else's bridge of VLAN 77 of sw0"):
            stage.host.run(job=BridgeJob, check=check, name="ovsv", kind="openvswitch", state="absent")
    stage.attach(*gone(through, B, C))
    stage.assert_as(before)
    assert other not in ovs.ports("ovsv")


def test_B8_isolated_ports_reach_only_others(stage: Stage) -> None:
    apart = {"port": {"isolated": True}}
    done = stage.attach({**A, **apart}, {**B, **apart}, C)
    assert stage.reaches("a", "10.7.0.3")
    assert stage.never_reaches("a", "10.7.0.2")
    changed = stage.attach({**B, "port": {"isolated": False}})
    assert [each["name"] for each in changed["operations"]] == [ends(done)[1]]
    assert stage.reaches("a", "10.7.0.2")
    for option, words in (("hairpin", "vSwitch has no option hairpin"), ("mac_spoof_check", "is not possible on")):
        with pytest.raises(PipeworkError, match=rf"port: .*{words}"):
            stage.run({**A, "port": {option: True}})


def test_P35_B2_names_addresses_and_bridges_change_in_place(stage: Stage) -> None:
    done = stage.attach({**A, "vlan": 10, "local_interface": "hosta"}, B)
    assert ends(done)[0] == "hosta"
    stage.ovs.vsctl("set", "Port", "hosta", "other_config:rstp-enable=false")  # somebody's own, to be kept
    index = stage.host.link("eth1", ns="a")["ifindex"]  # type: ignore[index]
    moved = stage.attach({**A, "host_interface": "sw1", "mtu": 1400, "mac_address": "06:00:00:00:00:0a"})
    assert [each["kind"] for each in moved["operations"]] == ["link", "port", "ovs_port"]
    assert stage.ovs.ports("sw1") == ["hosta"]
    assert stage.ovs.column("hosta", "tag", "other_config") == [10, ["map", [["rstp-enable", "false"]]]]
    assert stage.ovs.ids("hosta")["pipework.bridge"] == "sw1"
    again = stage.host.link("eth1", ns="a")
    assert again is not None
    assert (again["ifindex"], again["mtu"], again["address"]) == (index, 1400, "06:00:00:00:00:0a")

    stage.attach({**A, "vlan": 20, "local_interface": "hosta2"}, {**B, "vlan": 20})
    assert "hosta2" in stage.ovs.ports("sw0")
    assert stage.ovs.ports("sw1") == []
    assert stage.host.link("hosta") is None
    assert stage.reaches("a", "10.7.0.2")


def test_P44_auto_knows_a_bridge_of_open_vswitch_whatever_its_name(stage: Stage) -> None:
    stage.ovs.bridge("br7")
    host = stage.host
    [found] = stage.attach({**A, "host_interface": "br7"})["attachments"]
    assert found["kind"] == "openvswitch"
    mac = host.link("sw1")["address"]  # type: ignore[index]
    [found] = stage.attach({**A, "host_interface": f"mac:{mac}"})["attachments"]
    assert (found["kind"], found["host_interface"]) == ("openvswitch", "sw1")
    host.batch("link add nic0 type veth peer name lan0\nlink add lin0 type bridge")
    for wrong, words in (
        ({"host_interface": "nic0"}, "nic0 is not a bridge of Open vSwitch but veth"),
        ({"host_interface": "lin0"}, "lin0 is not a bridge of Open vSwitch but bridge"),
        ({"host_interface": "a'b"}, "\"a'b\" is no name for Open vSwitch"),
        ({"local_interface": "-x"}, "'-x' is no name for Open vSwitch"),
        ({"vlan": 4095}, "vlan: '4095' is not a VLAN ID; 1 to 4094 would be right"),
        ({"vlan": 0}, "vlan: '0' is not a VLAN ID"),
        ({"vlan_trunks": ["20-10"]}, "vlan_trunks: '20-10' runs backwards; 10-20 would be right"),
        ({"vlan_trunks": ["10-20", 15]}, "vlan_trunks: 15 and 10-20 overlap in 15"),
        ({"mode": "vepa"}, "mode: kind openvswitch has no modes"),
    ):
        before = stage.everything()
        said = refusal(functools.partial(stage.run, {**B, "kind": "openvswitch", **wrong}))
        assert said is not None, wrong
        assert words in said
        stage.assert_as(before, said)
    with pytest.raises(PipeworkError, match=r"sw0 is not a Linux bridge but one of Open vSwitch; kind openvswitch"):
        stage.run({**A, "kind": "bridge"})


def test_P35_a_kernel_without_the_datapath_leaves_nothing(stage: Stage) -> None:
    if os.path.isdir("/sys/module/openvswitch"):
        pytest.skip("this kernel has the datapath of Open vSwitch: tests/kernel/test_openvswitch.py makes bridges")
    before = stage.everything()
    said = refusal(lambda: stage.run({**A, "host_interface": "ovs0", "vlan": 10}))
    assert said is not None
    assert "it needs CONFIG_OPENVSWITCH" in said
    assert "ovs-vsctl add-br ovs0 -- set Bridge ovs0 datapath_type=netdev" in said
    assert said.endswith("were taken back; everything is as it was.")
    stage.assert_as(before)
    stage.ovs.vsctl("add-br", "ovs0")  # which says that it succeeds
    with pytest.raises(PipeworkError, match=r"the bridge ovs0 does not work .*CONFIG_OPENVSWITCH.*Nothing was changed"):
        stage.run({**A, "host_interface": "ovs0"})


# -- what stays behind


def test_P45_B11_what_dead_containers_left_is_collected_and_nothing_else(stage: Stage) -> None:
    host, ovs = stage.host, stage.ovs
    ovs.vsctl("add-port", "sw0", "ghost0")  # somebody's, whose interface is not there
    ovs.vsctl("add-port", "sw0", "classic1", "--", "set", "Interface", "classic1", "external_ids:pipework.bridge=sw0")
    before = stage.everything()
    mine = [{**A, "local_interface": "hosta"}, B, {**C, "host_interface": "sw1"}]
    stage.attach(*mine)
    for name in ("a", "b", "c"):
        host.end_guest(name)
    wait_for("the ends of the dead", lambda: not [name for name in host.links() if name.startswith(("pw", "hosta"))])
    assert len(ovs.ports("sw0")) == 4

    # absent, when the container is gone, takes that one's
    done = stage.attach({**B, "state": "absent"})
    assert [each["kind"] for each in done["operations"]] == ["ovs_port"]
    assert sorted(ovs.ports("sw0")) == ["classic1", "ghost0", "hosta"]

    # the next of the name takes the old one's place, and frames flow
    host.add_guests("a", "b")
    stage.attach(mine[0], B)
    assert stage.reaches("a", "10.7.0.2")

    # purge is for the bridge that it names, and for what is ours
    stage.attach(host_interface="sw0", purge=True)
    assert sorted(ovs.ports("sw0")) == ["classic1", "ghost0"]
    assert len(ovs.ports("sw1")) == 1
    stage.attach(purge=True)
    host.end_guest("a")
    host.end_guest("b")
    assert ovs.snapshot() == before["ovs"]


def test_P45_an_interface_that_went_inside_the_container(stage: Stage) -> None:
    """ovs-cni's cases: absent when the interface or the namespace is gone, present when it has to be made again."""
    before = stage.everything()
    stage.attach(A, B)
    stage.host.sh("ip", "link", "del", "eth1", ns="a")
    stage.attach(A, B)
    assert stage.reaches("a", "10.7.0.2")
    stage.host.sh("ip", "link", "del", "eth1", ns="a")
    done = stage.attach(*gone(A, B))
    assert "ovs_port" in [each["kind"] for each in done["operations"]]
    stage.assert_as(before)
    assert not stage.run(*gone(A, B))["changed"]


# -- one kind after another


def test_B2_from_one_kind_to_another_and_back(stage: Stage) -> None:
    stage.host.batch("link add nic0 type veth peer name lan0\nlink set nic0 up\nlink set lan0 up")
    kinds: list[Params] = [
        {},
        {"host_interface": "lin0", "kind": "bridge"},
        {"host_interface": "sw1"},
        {"host_interface": "nic0", "kind": "macvlan"},
        {},
    ]
    before = stage.everything()
    stage.attach(B)
    for kind in kinds:
        stage.attach({**A, **kind})
        assert len(stage.ovs.ports("sw0")) == (1 if kind else 2)
    assert stage.reaches("a", "10.7.0.2")
    stage.attach(*gone(A, B))
    stage.assert_as(before)


# -- all or nothing

FOREIGN_NIC = "link add nic0 type veth peer name lan0\nlink set nic0 up"
SCENARIOS: dict[str, tuple[list[Params], list[Params]]] = {  # before, and the run that is disturbed
    "new": ([], [{**A, "vlan": 10, "gateway": ["10.7.0.254"]}]),
    "in_place": (
        [{**A, "vlan": 10}, B],
        [{**A, "host_interface": "sw1", "vlan": 20, "vlan_trunks": [30], "mtu": 1400, "port": {"isolated": True}}],
    ),
    "renamed": ([{**A, "local_interface": "hosta"}, B], [{**A, "local_interface": "hostb"}]),
    "from_linux": ([{**A, "host_interface": "br1"}, B], [A]),
    "to_linux": ([A, B], [{**A, "host_interface": "br1"}]),
    "to_macvlan": ([A, B], [{**A, "host_interface": "nic0"}]),
    "from_macvlan": ([{**A, "host_interface": "nic0"}, B], [A]),
    "absent": ([{**A, "vlan": 10}, {**B, "vlan": 10}], gone(A)),
}


@pytest.mark.parametrize("name", SCENARIOS)
def test_B4_a_failure_at_every_operation_leaves_the_state_before(stage: Stage, name: str) -> None:
    earlier, run = SCENARIOS[name]
    stage.host.batch(FOREIGN_NIC)
    stage.run(*earlier)
    before = stage.everything()
    planned = stage.run(*run, check=True)["operations"]
    for number, operation in enumerate(planned):
        said = refusal(lambda at=number: stage.run(*run, step=failing_at(at)))  # type: ignore[misc]
        assert said is not None
        assert said.endswith(("were taken back; everything is as it was.", "Nothing was changed.")), said
        stage.assert_as(before, f"failed at {operation['action']} {operation['name']}")
    if name in ("absent", "in_place", "renamed", "to_linux", "to_macvlan"):
        assert stage.reaches("a", "10.7.0.2") is (name != "in_place")  # whose VLANs differ before
    assert [each["name"] for each in stage.attach(*run)["operations"]] == [each["name"] for each in planned]


@pytest.mark.parametrize("name", ["new", "in_place", "renamed", "to_linux", "absent"])
def test_B4_a_run_killed_at_any_operation_is_made_up_for_by_the_next(stage: Stage, name: str) -> None:
    earlier, run = SCENARIOS[name]
    stage.host.batch(FOREIGN_NIC)
    base = stage.everything()
    stage.run(*earlier)
    number = len(stage.run(*run)["operations"])
    wanted = stage.ovs.snapshot()
    everything = gone(*{each["container"]: each for each in (*earlier, *run)}.values())
    for place in range(number):
        stage.run(*everything)
        stage.run(*earlier)
        with pytest.raises(Killed):
            stage.run(*run, step=killed_at(place))
        stage.run(*run)
        assert stage.ovs.snapshot() == wanted, f"killed at operation {place}"
    with pytest.raises(Killed):
        stage.run(*everything, step=killed_at(0))
    stage.run(*everything)
    stage.host.sh("ip", "link", "set", "nic0", "up")
    stage.assert_as(base)


def test_B4_a_terminated_run_takes_its_transaction_back(stage: Stage) -> None:
    before = stage.everything()
    for place in range(len(stage.run(A, check=True)["operations"])):
        with pytest.raises(PipeworkError, match="ended by SIGTERM"):
            stage.run(A, step=killed_at(place, signal.SIGTERM))
        stage.assert_as(before)


def test_B3_a_run_is_one_transaction(stage: Stage) -> None:
    def configurations() -> int:
        return int(stage.ovs.vsctl("get", "Open_vSwitch", ".", "next_cfg"))

    before = configurations()
    stage.run({**A, "vlan": 10}, {**B, "vlan_trunks": [7]}, {**C, "port": {"isolated": True}})
    assert configurations() == before + 1
    stage.run({**A, "vlan": 11, "host_interface": "sw1"}, *gone(B), {**C, "vlan": 12}, item("b", 4, interface="eth5"))
    assert configurations() == before + 2
    stage.run(A, C, item("b", 4, interface="eth5"))
    stage.run(*gone(A, C), item("b", 4, interface="eth5"))
    assert configurations() == before + 4  # a comes back to sw0, and then they go
    stage.run(*gone(A, C), item("b", 4, interface="eth5"), check=True)
    assert configurations() == before + 4


# -- when Open vSwitch is not as it should be


def during(act: Callable[[], Any]) -> Callable[[Any], None]:
    """A step hook that does something before the first change of Open vSwitch."""
    acted = []

    def step(operation: Any) -> None:
        if operation.key[0].startswith("ovs_") and not acted:
            acted.append(True)
            act()

    return step


def test_P35_open_vswitch_not_installed_names_the_package(stage: Stage) -> None:
    host = stage.host
    stage.run(A)
    host.sh("mount", "--bind", "/dev/null", "/usr/bin/ovs-vsctl")
    for params in ({"kind": "openvswitch"}, {"host_interface": "ovs0"}):
        with pytest.raises(PipeworkError, match=r"ovs-vsctl is missing; it comes with the package openvswitch-switch"):
            stage.run({**B, **params})
    assert stage.run({**C, "kind": "openvswitch", "state": "absent"})["changed"] is False
    host.sh("umount", "/usr/bin/ovs-vsctl")
    assert not stage.run(A)["changed"]


def test_B4_a_database_that_is_down_or_hangs(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    ovs = stage.ovs
    stage.run(A)
    stage.host.sh("find", ovs.folder, "-name", "ovsdb-server.*.ctl", "-delete")  # its name changes with its number
    before = stage.everything()
    own = ovs.pid("ovsdb-server")
    try:
        os.kill(own, signal.SIGSTOP)
        monkeypatch.setattr(ovs_client, "READ_SECONDS", 1)
        with pytest.raises(PipeworkError, match=r"does not answer: its database gave no answer within 1 s.*Nothing"):
            stage.run({**B, "kind": "openvswitch"})
        with pytest.raises(PipeworkError, match=r"state: absent: Open vSwitch does not answer"):
            stage.run({**A, "kind": "openvswitch", "state": "absent"})
        assert stage.run({**C, "host_interface": "br1"})["changed"]  # that it is not about it
        assert stage.run({**C, "host_interface": "br1", "state": "absent"})["changed"]
    finally:
        os.kill(own, signal.SIGCONT)
        monkeypatch.undo()
    stage.assert_as(before)

    # it dies in the middle: the transaction was not done, all else is taken back
    said = refusal(lambda: stage.run({**B, "vlan": 10}, step=during(lambda: os.kill(own, signal.SIGKILL))))
    assert said is not None
    assert "Open vSwitch refused the transaction: " in said
    assert "database connection failed" in said
    assert said.endswith("were taken back; everything is as it was.")
    with pytest.raises(PipeworkError, match="is ovsdb-server running"):
        stage.run({**B, "kind": "openvswitch"})
    ovs.start_database()
    stage.host.sh("find", ovs.folder, "-name", "ovsdb-server.*.ctl", "-delete")
    stage.assert_as(before)

    # and again, hanging
    own = ovs.pid("ovsdb-server")
    monkeypatch.setattr(ovs_client, "READ_SECONDS", 5)
    monkeypatch.setattr(ovs_client, "CHANGE_SECONDS", 1)
    try:
        said = refusal(lambda: stage.run({**B, "vlan": 10}, step=during(lambda: os.kill(own, signal.SIGSTOP))))
        assert said is not None
        assert "gave no answer within" in said
    finally:
        os.kill(own, signal.SIGCONT)
        monkeypatch.undo()
    stage.run(*gone(B))  # whether the transaction came in nobody could know
    stage.assert_as(before)


def test_B4_a_switch_that_is_down_is_named_and_its_work_taken_back(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    stage.run(A)
    before = stage.everything()
    monkeypatch.setattr(ovs_client, "CHANGE_SECONDS", 1)
    own = stage.ovs.pid("ovs-vswitchd")
    os.kill(own, signal.SIGSTOP)
    try:
        said = refusal(lambda: stage.run({**B, "vlan": 10}))
        assert said is not None
        assert "took the change, but ovs-vswitchd did not do it within 1 s; is it running?" in said
        assert said.endswith("were taken back; everything is as it was.")
    finally:
        os.kill(own, signal.SIGCONT)
    stage.assert_as(before)
    monkeypatch.undo()
    stage.attach(A, B)
    assert stage.reaches("a", "10.7.0.2")


def test_P35_ports_of_others_are_not_taken(stage: Stage) -> None:
    [name] = ends(stage.run(A))
    stage.run(*gone(A))
    stage.ovs.vsctl("add-port", "sw1", name)  # by chance, or on purpose
    before = stage.everything()
    with pytest.raises(PipeworkError, match=rf"{name} is a port of Open vSwitch on sw1 that is not ours"):
        stage.run(A)
    with pytest.raises(PipeworkError, match=r"local_interface: sw1 exists on the host"):
        stage.run({**A, "local_interface": "sw1"})
    stage.assert_as(before)
    assert not stage.run(*gone(A))["changed"]
    stage.ovs.vsctl("del-port", name)
    # somebody is quicker: the transaction is refused as a whole
    act = functools.partial(stage.ovs.vsctl, "add-port", "sw1", name)
    before = stage.everything()
    with pytest.raises(PipeworkError, match=r"refused the transaction: .* attached to bridge sw1\..*taken back"):
        stage.run(A, B, step=during(act))
    stage.ovs.vsctl("del-port", name)
    stage.assert_as(before)


def test_P35_a_database_elsewhere_is_found_by_ovs_rundir(monkeypatch: pytest.MonkeyPatch) -> None:
    host = Host("a", "b")
    ovs = None
    try:
        ovs = VSwitch(host, "/run/elsewhere")
        ovs.bridge("sw0")
        monkeypatch.setenv("OVS_RUNDIR", "/run/elsewhere")
        Stage(host, ovs).attach(A, B)
        assert len(ovs.ports("sw0")) == 2
    finally:
        if ovs is not None:
            ovs.close()
        host.close()
