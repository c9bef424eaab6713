# Copyright: pipework.containers contributors
# GNU General Public License v3.0+ (see LICENSE)
"""pipework_bridge with kind openvswitch, on real servers and the datapath in ovs-vswitchd: any kernel will do."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from ansible_collections.pipework.containers.plugins.module_utils._core.errors import PipeworkError
from ansible_collections.pipework.containers.plugins.module_utils._engine import run
from ansible_collections.pipework.containers.plugins.module_utils._jobs.bridge import BridgeJob
from tests.integration.lab import Host, Killed, Params, failing_at, killed_at, refusal
from tests.integration.vswitch import VSwitch

pytestmark = pytest.mark.root


class Stage:
    """A host with Open vSwitch, and a bridge of somebody else."""

    def __init__(self, host: Host, ovs: VSwitch) -> None:
        self.host, self.ovs = host, ovs

    def bridge(self, name: str | None = "sw1", **params: Any) -> dict[str, Any]:
        defaults = {} if params.get("state") == "absent" else {"datapath": "netdev"}
        return self.host.run(job=BridgeJob, name=name, **{"kind": "openvswitch", **defaults, **params})

    def sure(self, **params: Any) -> dict[str, Any]:
        """A check run, the run, and a second one, which must agree."""
        planned = self.bridge(check=True, **params)
        done = self.bridge(**params)
        assert planned["operations"] == done["operations"]
        again = self.bridge(**params)
        assert not again["changed"], again["operations"]
        return done

    def everything(self) -> dict[str, Any]:
        return {**self.host.snapshot(), "ovs": self.ovs.snapshot()}

    def assert_as(self, before: dict[str, Any], what: str = "") -> None:
        assert self.ovs.snapshot() == before["ovs"], what
        self.host.assert_as({name: part for name, part in before.items() if name != "ovs"}, what)

    def row(self, name: str = "sw1", *columns: str) -> dict[str, Any]:
        [row] = [row for row in self.ovs.rows("Bridge", "name", *columns) if row["name"] == name]
        return row


@pytest.fixture
def stage() -> Iterator[Stage]:
    host = Host("a", "b")
    ovs = None
    try:
        ovs = VSwitch(host)
        ovs.bridge("sw0")
        yield Stage(host, ovs)
    finally:
        if ovs is not None:
            ovs.close()
        host.close()


FULL: Params = {
    "addresses": ["10.8.0.254/24", "fd08::fe/64"], "mtu": 1400, "fail_mode": "secure", "rstp": True, "max_age": 10,
    "ageing_time": 60, "tunnels": [{"name": "tun0", "remote": "198.51.100.9", "key": 7, "vlan": 20}],
}  # fmt: skip


def test_P3_the_host_has_addresses_among_the_containers(stage: Stage) -> None:
    before = stage.everything()
    done = stage.sure(addresses=["10.8.0.254/24", "fd08::fe/64"], mac_address="U:myhost.foo.com", mtu=1400)
    assert done["bridges"][0]["kind"] == "openvswitch"
    link = stage.host.link("sw1") or {}
    assert (link["address"], link["mtu"], "UP" in link["flags"]) == ("02:72:6c:cd:9b:8d", 1400, True)
    assert stage.host.addresses("sw1") == ["10.8.0.254/24", "fd08::fe/64"]
    assert stage.row("sw1", "datapath_type", "external_ids") == {
        "name": "sw1", "datapath_type": "netdev", "external_ids": ["map", [["pipework.owner", "pipework:bridge"]]],
    }  # fmt: skip
    stage.host.attach("a", host_interface="sw1", addresses=["10.8.0.1/24"], gateway=["10.8.0.254"])
    assert stage.host.ping("a", "10.8.0.254") and stage.host.ping(None, "10.8.0.1")
    assert not stage.bridge(addresses=["10.8.0.254/24", "fd08::fe/64"])["changed"]
    stage.host.attach("a", host_interface="sw1", state="absent")
    assert stage.host.addresses("sw1"), "a bridge of pipework_bridge stays without containers"
    stage.bridge(state="absent")
    stage.assert_as(before)
    assert not stage.bridge(state="absent")["changed"]


def test_B2_all_of_it_changes_in_place(stage: Stage) -> None:
    stage.sure(**FULL)
    index = (stage.host.link("sw1") or {})["ifindex"]
    columns = ("fail_mode", "stp_enable", "rstp_enable", "other_config")
    row = stage.row("sw1", *columns)
    assert (row["fail_mode"], row["stp_enable"], row["rstp_enable"]) == ("secure", False, True)
    config = dict(row["other_config"][1])
    assert (config["rstp-max-age"], config["mac-aging-time"]) == ("10", "60")
    assert stage.ovs.column("tun0", "tag") == [20]
    [tunnel] = [each for each in stage.ovs.rows("Interface", "name", "type", "options") if each["name"] == "tun0"]
    assert (tunnel["type"], dict(tunnel["options"][1])) == ("vxlan", {"remote_ip": "198.51.100.9", "key": "7"})
    changed = stage.sure(
        addresses=["10.8.1.254/24"], mtu=1300, fail_mode="standalone", rstp=False, stp=True, forward_delay=4,
        mac_address="02:00:00:00:00:07", tunnels=[{"name": "tun1", "type": "gre", "remote": "198.51.100.9"}],
    )  # fmt: skip
    shown = changed["bridges"][0]
    assert {name: shown[name] for name in ("stp", "rstp", "fail_mode", "forward_delay", "tunnels", "mtu")} == {
        "stp": True, "rstp": False, "fail_mode": "standalone", "forward_delay": 4, "tunnels": ["tun1"], "mtu": 1300,
    }  # fmt: skip
    assert stage.ovs.ports("sw1") == ["tun1"]
    link = stage.host.link("sw1") or {}
    assert (link["ifindex"], link["mtu"], link["address"]) == (index, 1300, "02:00:00:00:00:07")
    assert stage.host.addresses("sw1") == ["10.8.1.254/24"]
    assert not stage.bridge()["changed"], "what is not said is left alone"
    stage.host.run(job=BridgeJob, bridges=[], purge=True)
    assert stage.ovs.vsctl("list-br") == "sw0"


def test_others_bridges_and_ports_are_left_alone(stage: Stage) -> None:
    stage.host.batch("link add nic0 type veth peer name lan0\nlink set nic0 up\nlink add br9 type bridge")
    stage.ovs.vsctl("add-port", "sw0", "nic0")
    stage.bridge(name="sw0", addresses=["10.9.0.1/24"], tunnels=[])
    assert "external_ids" in stage.row("sw0", "external_ids") and stage.ovs.ports("sw0") == ["nic0"]
    assert stage.row("sw0", "external_ids")["external_ids"] == ["map", []]
    stage.bridge()
    stage.ovs.vsctl("add-port", "sw1", "mine", "--", "set", "Interface", "mine", "type=internal")
    before = stage.everything()
    cases: list[tuple[Params, str]] = [
        ({"name": "sw0", "state": "absent"}, r"name: sw0 is somebody else's bridge, which is never removed here"),
        ({"state": "absent"}, r"name: sw1 has ports that are not ours: mine; take them out first"),
        ({"name": "br9"}, r"name: br9 exists on the host and is not a bridge of Open vSwitch but bridge"),
        ({"name": "mine"}, r"name: mine exists on the host and is not a bridge of Open vSwitch"),
        ({"datapath": "system"}, r"datapath: sw1 has netdev, and cannot get system while it is there.*state: absent"),
        ({"tunnels": [{"name": "nic0", "remote": "198.51.100.9"}]}, r"tunnels: nic0 is a port of sw0 in Open vSwitch"),
        ({"kind": "linux", "datapath": None}, r"name: sw1 exists on the host and is not a bridge but one of Open vSw"),
        ({"kind": "linux", "state": "absent"}, r"name: sw1 is a bridge of Open vSwitch; say 'kind: openvswitch'"),
    ]
    for params, words in cases:
        with pytest.raises(PipeworkError, match=f"{words}.*Nothing was changed"):
            stage.bridge(**params)
    stage.host.attach("a", host_interface="sw1")
    stage.host.run(runtime="netns", attachments=[], purge=True)
    stage.assert_as(before)


def test_P35_a_kernel_without_the_datapath_leaves_nothing(stage: Stage) -> None:
    def has_datapath() -> bool:
        return "openvswitch" in stage.host.sh("ls", "/sys/module")

    if has_datapath():
        pytest.skip("this kernel has the datapath of Open vSwitch: tests/kernel/test_openvswitch.py makes such bridges")
    before = stage.everything()
    said = refusal(lambda: stage.bridge(datapath=None, addresses=["10.8.0.254/24"]))
    assert said is not None
    assert "datapath: netdev" in said
    assert "everything is as it was" in said
    stage.assert_as(before)


def at_every_operation(
    stage: Stage, begin: Callable[[], None], end: Callable[[], None], params: Params, kills: bool
) -> None:
    """A failure at each operation leaves the state before; after a kill at each, the next run converges."""
    base = stage.everything()
    begin()
    before = stage.everything()
    number = 0
    while (said := refusal(lambda: stage.bridge(step=failing_at(number), **params))) is not None:  # noqa: B023
        assert said.endswith(("were taken back; everything is as it was.", "Nothing was changed."))
        stage.assert_as(before, f"failed at operation {number}")
        number += 1
    assert number > 0
    for place in range(number if kills else 0):
        end()
        stage.assert_as(base, f"before operation {place}")
        begin()
        with pytest.raises(Killed):
            stage.bridge(step=killed_at(place), **params)
        stage.bridge(**params)
        assert not stage.bridge(**params)["changed"]
    end()
    stage.assert_as(base)


@pytest.mark.parametrize(
    ("earlier", "params", "kills"),
    [
        pytest.param(None, FULL, True, id="new"),
        pytest.param(FULL, {"addresses": [], "fail_mode": "standalone", "rstp": False, "mtu": 1300, "tunnels": []},
                     False, id="in-place"),
        pytest.param(FULL, {"state": "absent"}, True, id="absent"),
    ],
)  # fmt: skip
def test_B4_failures_and_kills_at_every_operation(
    stage: Stage, earlier: Params | None, params: Params, kills: bool
) -> None:
    def begin() -> None:
        if earlier is not None:
            stage.bridge(**earlier)
            stage.host.attach("a", host_interface="sw1", local_interface="web", mac_address="06:00:00:00:00:0a")

    def end() -> None:
        stage.host.attach("a", host_interface="sw1", state="absent")
        stage.bridge(state="absent")

    at_every_operation(stage, begin, end, params, kills)


def test_without_open_vswitch_it_is_said(host: Host) -> None:
    before = host.snapshot()
    with pytest.raises(PipeworkError, match=r"kind: openvswitch: Open vSwitch does not answer.*Nothing was"):
        host.call(lambda: run.run(BridgeJob({"name": "sw1", "kind": "openvswitch"})))
    host.assert_as(before)
