# Copyright: pipework.containers contributors
# GNU General Public License v3.0+ (see LICENSE)
"""Open vSwitch, as far as it is pure: what its tables say, the commands that change them, and who has to go."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.pipework.containers.plugins.module_utils._attach.desired import compile_wish
from ansible_collections.pipework.containers.plugins.module_utils._attach.options import attachments_from_params
from ansible_collections.pipework.containers.plugins.module_utils._core.errors import PipeworkError
from ansible_collections.pipework.containers.plugins.module_utils._core.plan import Operation, Plan, reconcile, undo
from ansible_collections.pipework.containers.plugins.module_utils._model import vlans as model_vlans
from ansible_collections.pipework.containers.plugins.module_utils._model.objects import HOST, OWNER_AUTO
from ansible_collections.pipework.containers.plugins.module_utils._model.ovs import (
    OvsBridge,
    OvsPort,
    Switch,
    VlanBridge,
)
from ansible_collections.pipework.containers.plugins.module_utils._ovs import tables as rows
from tests.unit.test_attach import IDENT, World, owner, target

WEB1 = "docker:web1"
NAME = "pw0000000001"


EMPTY: list[Any] = ["set", []]


def tables(bridges: list[Any], ports: list[Any], interfaces: list[Any]) -> str:
    """What ovs-vsctl prints."""
    found = []
    for (_table, columns), data in zip(rows.COLUMNS.items(), (bridges, ports, interfaces)):
        order = sorted(columns)  # not that of the request
        data = [[{**dict.fromkeys(columns, EMPTY), **dict(zip(columns, row))}[name] for name in order] for row in data]
        found.append(json.dumps({"headings": order, "data": data}))
    return "\n".join(found) + "\n"


NOTHING: list[Any] = ["map", []]
HWADDR: list[Any] = ["map", [["hwaddr", "06:00:00:00:00:01"]]]


def shown(**columns: Any) -> OvsPort:
    """One port of one bridge, as it is read."""
    vlan = [columns.get(name, EMPTY) for name in ("tag", "trunks", "vlan_mode")]
    text = tables(
        [["sw0", ["set", [["uuid", "p0"], ["uuid", "p1"]]], "netdev", NOTHING, HWADDR]],
        [
            [["uuid", "p0"], "sw0", ["uuid", "i0"], EMPTY, EMPTY, EMPTY, False],
            [["uuid", "p1"], NAME, ["uuid", "i1"], *vlan, columns.get("protected", False)],
        ],
        [
            [["uuid", "i0"], EMPTY, 65534, NOTHING],
            [["uuid", "i1"], columns.get("error", EMPTY), columns.get("ofport", 1), columns.get("ids", NOTHING)],
        ],
    )
    found = rows.decode(text)
    assert found.bridges["sw0"] == OvsBridge(HOST, "sw0", mac="06:00:00:00:00:01", error="", datapath="netdev")
    assert found.members == {"sw0": [NAME]}
    [port] = found.ports.values()
    return port


@pytest.mark.parametrize(
    ("columns", "fields"),
    [
        ({}, {"vlans": (), "isolated": False, "error": "", "owner": None}),
        ({"tag": 10}, {"vlans": ("10 pvid untagged",)}),
        ({"tag": 10, "trunks": ["set", [20, 21]]}, {"vlans": ("10 pvid untagged",)}),  # an access port by default
        ({"trunks": 20}, {"vlans": ("20",)}),
        ({"vlan_mode": "trunk", "trunks": ["set", [20, 21, 22, 9]]}, {"vlans": ("9", "20-22")}),
        ({"vlan_mode": "native-untagged", "tag": 10, "trunks": 20}, {"vlans": ("10 pvid untagged", "20")}),
        ({"vlan_mode": "native-tagged", "tag": 10, "trunks": 20}, {"vlans": ("10 pvid", "20")}),
        ({"vlan_mode": "dot1q-tunnel", "tag": 10}, {"vlans": ("10 tunnel",)}),
        ({"protected": True}, {"isolated": True}),
        ({"ofport": EMPTY}, {"error": "ovs-vswitchd has not set it up"}),
        ({"ofport": -1, "error": "could not open it"}, {"error": "could not open it"}),
        ({"ids": ["map", [["pipework.owner", "pipework:x"]]]}, {"owner": "pipework:x"}),
        ({"ids": ["map", [["pipework.nspid", "17"]]]}, {"owner": None, "pid": 17}),
        ({"ids": ["map", [["pipework.owner", "somebody"], ["pipework.nspid", "-"]]]}, {"owner": None, "pid": None}),
    ],
)
def test_P35_what_the_tables_say(columns: dict[str, Any], fields: dict[str, Any]) -> None:
    port = shown(**columns)
    assert (port.port, port.bridge) == (NAME, "sw0")
    assert {name: getattr(port, name) for name in fields} == fields


def test_P35_vlan_bridges_are_bridges_as_list_br_says() -> None:
    port = ["uuid", "p1"]
    ids: list[Any] = ["map", [["pipework.owner", "pipework:x"], ["pipework.bridge", "v77"]]]
    ports: list[list[Any]] = [
        [["uuid", "p0"], "sw0", ["uuid", "i0"], EMPTY, EMPTY, EMPTY, False, False],
        [port, "v77", ["uuid", "i0"], 77, EMPTY, EMPTY, False, True],
        [["uuid", "p2"], NAME, ["uuid", "i2"], 77, EMPTY, EMPTY, False, False],
        [["uuid", "p3"], "pwother", ["uuid", "i2"], 78, EMPTY, EMPTY, False, False],  # not of that VLAN any more
        [["uuid", "p4"], "no", ["uuid", "i0"], EMPTY, EMPTY, EMPTY, False, True],  # without a VLAN it is none
    ]
    found = rows.decode(tables(
        [["sw0", ["set", [each[0] for each in ports]], "netdev", NOTHING, HWADDR]], ports,
        [[["uuid", "i0"], EMPTY, 1, NOTHING], [["uuid", "i2"], EMPTY, 2, ids]],
    ))
    assert found.vlan_bridges == {"v77": ("sw0", 77)}
    assert [name for name in ("sw0", "v77", "no", NAME) if found.lists(name)] == ["sw0", "v77"]
    plugged = {name: (each.bridge, each.vlan_bridge, each.plugged) for name, each in found.ports.items()}
    assert plugged[NAME] == ("sw0", "v77", "v77")
    assert plugged["pwother"] == plugged["v77"] == ("sw0", "", "sw0")


@pytest.mark.parametrize("text", ["", "{}", '{"headings": ["name"], "data": []}', "[1]"])
def test_what_is_not_understood_is_a_value_error(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        rows.decode(text)


def said(*operations: Operation) -> list[str]:
    """The commands of a transaction, one a line."""
    words = rows.commands(operations)
    return [" ".join(each.split("\0")) for each in "\0".join(words).removeprefix("--\0").split("\0--\0")]


PORT = OvsPort(HOST, NAME, "sw0", ("10 pvid untagged",), owner="pipework:x", container="c1", error="", pid=17)


def test_P29_P35_a_transaction_in_its_order() -> None:
    bridge = OvsBridge(HOST, "ovs0", owner=OWNER_AUTO, mac="06:00:00:00:00:01", error="")
    old = dataclasses.replace(PORT, port="old")
    assert said(
        Operation("create", None, bridge),
        Operation("create", None, dataclasses.replace(PORT, bridge="ovs0")),
        Operation("delete", old, None),
        Operation("delete", dataclasses.replace(bridge, bridge="gone"), None),
    ) == [
        "--if-exists del-port old",
        "--if-exists del-br gone",
        "--may-exist add-br ovs0",
        f"--may-exist add-port ovs0 {NAME}",
        'set Bridge ovs0 external_ids:pipework.owner="pipework:auto" other_config:hwaddr="06:00:00:00:00:01"',
        f"set Port {NAME} tag=10",
        f'set Interface {NAME} external_ids:pipework.interface="{NAME}" external_ids:pipework.nspid="17" '
        'external_ids:pipework.vlan="10" external_ids:pipework.bridge="ovs0" '
        'external_ids:pipework.containerid="c1" external_ids:pipework.owner="pipework:x"',
    ]


@pytest.mark.parametrize(
    ("change", "lines"),
    [
        ({"vlans": ("20 pvid untagged",)}, ["clear Port {p} tag trunks vlan_mode", "set Port {p} tag=20"]),
        ({"vlans": ("5", "7-9")}, ["clear Port {p} tag trunks vlan_mode", "set Port {p} vlan_mode=trunk trunks=5,7-9",
                                   "remove Interface {p} external_ids pipework.vlan"]),
        ({"vlans": ("10 pvid untagged", "20")}, ["clear Port {p} tag trunks vlan_mode",
                                                 "set Port {p} vlan_mode=native-untagged tag=10 trunks=20"]),
        ({"vlans": ("10 pvid", "20")}, ["clear Port {p} tag trunks vlan_mode",
                                        "set Port {p} vlan_mode=native-tagged tag=10 trunks=20"]),
        ({"vlans": ()}, ["clear Port {p} tag trunks vlan_mode", "remove Interface {p} external_ids pipework.vlan"]),
        ({"isolated": True}, ["set Port {p} protected=true"]),
        ({"bridge": "sw1"}, ["--id=@p0 get Port {p}", "remove Bridge sw0 ports @p0", "add Bridge sw1 ports @p0"]),
    ],
)  # fmt: skip
def test_B2_B8_a_change_says_only_what_differs(change: dict[str, Any], lines: list[str]) -> None:
    after = dataclasses.replace(PORT, **change)
    found = said(Operation("update", PORT, after))
    assert found[:-1] == [line.format(p=NAME) for line in lines]
    assert found[-1].startswith(f"set Interface {NAME} external_ids:")


@given(
    st.builds(
        lambda many, pvid: model_vlans.spell({**dict.fromkeys(many, 0), **({pvid: 6} if pvid else {})}),
        st.sets(st.integers(1, 4094), max_size=30), st.none() | st.integers(1, 4094),
    )
)
def test_P31_vlans_written_are_read_back(vlans: tuple[str, ...]) -> None:
    columns: dict[str, Any] = {}
    words = next((line for line in said(Operation("create", None, dataclasses.replace(PORT, vlans=vlans)))
                  if line.startswith("set Port")), "").split()[3:]
    for word in words:
        name, _equals, value = word.partition("=")
        if name == "trunks":
            ends = [part.split("-") for part in value.split(",")]
            many = [number for end in ends for number in range(int(end[0]), int(end[-1]) + 1)]
            columns[name] = many[0] if len(many) == 1 else ["set", many]
        else:
            columns[name] = int(value) if name == "tag" else value
    assert shown(**columns).vlans == vlans


# -- hosts made by hand


class Switched(World):
    """A host on which Open vSwitch has bridges: sw0 and sw1 are somebody's."""

    def __init__(self) -> None:
        super().__init__()
        self.bridges: dict[str, OvsBridge] = {}
        self.ports: dict[str, OvsPort] = {}
        self.vlan_bridges: dict[str, VlanBridge] = {}
        for name in ("sw0", "sw1"):
            self.ovs(name)

    def ovs(self, name: str, **fields: Any) -> None:
        self.bridges[name] = OvsBridge(HOST, name, **{"error": "", "datapath": "", **fields})
        self.host(name, "openvswitch")

    def plug(self, name: str, bridge: str = "sw0", mark: str | None = None, **fields: Any) -> None:
        self.ports[name] = OvsPort(HOST, name, bridge, **{
            "owner": mark, "container": IDENT, "error": "", "vlans": (), "isolated": False, "vlan_bridge": "", **fields,
        })  # fmt: skip

    def vlan_bridge(self, name: str, parent: str, vlan: int) -> None:
        """As ``ovs-vsctl add-br NAME PARENT VLAN`` makes one."""
        self.vlan_bridges[name] = VlanBridge(parent, vlan)
        self.host(name, "openvswitch")
        self.plug(name, parent, container=None, vlans=(f"{vlan} pvid untagged",))

    def attached(self, label: str, local: str, bridge: str = "sw0") -> None:
        self.pair(label, "eth1", local)
        self.plug(local, bridge, owner(label))

    def facts(self) -> Any:
        found = super().facts()
        members = {name: [p.port for p in self.ports.values() if p.bridge == name] for name in self.bridges}
        found.switch = Switch(self.bridges, self.ports, members, self.vlan_bridges)
        return found


def plan(world: Switched, *items: dict[str, Any], purge: Any = None) -> Plan:
    targets = [target(world, item) for item in attachments_from_params({"attachments": items})]
    wish, state = compile_wish(targets, world.facts(), purge)
    return reconcile(wish.desired, state)


def lines(found: Plan) -> list[str]:
    return [str(each) for each in found if each.subject.KIND.startswith("ovs_")]


ONE = {"container": "web1", "host_interface": "sw0", "local_interface": NAME}


def test_P35_P44_a_port_is_made_with_its_bridge() -> None:
    world = Switched()
    world.devices[WEB1] = []
    assert lines(plan(world, ONE)) == [f"create ovs_port {NAME}"]
    both = ["create ovs_bridge ovs7", f"create ovs_port {NAME}"]
    assert lines(plan(world, {**ONE, "host_interface": "ovs7"})) == both
    assert lines(plan(world, {**ONE, "host_interface": "br7", "kind": "openvswitch"}))[0] == "create ovs_bridge br7"
    assert lines(plan(world, {**ONE, "host_interface": "br7"})) == []


def test_P35_a_port_of_a_vlan_bridge_is_one_of_its_bridge_and_vlan() -> None:
    world = Switched()
    world.devices[WEB1] = []
    world.vlan_bridge("v77", "sw0", 77)
    through = {**ONE, "host_interface": "v77"}
    for options in ({}, {"vlan": 77}, {"kind": "openvswitch"}):
        [made] = [each for each in plan(world, {**through, **options}) if each.subject.KIND.startswith("ovs_")]
        assert isinstance(made.after, OvsPort)
        assert (made.after.bridge, made.after.vlans, made.after.vlan_bridge) == ("sw0", ("77 pvid untagged",), "v77")
        words = " ".join(said(made))
        assert f"--may-exist add-port v77 {NAME}" in words
        assert f"set Port {NAME} tag=77" in words
        assert 'pipework.bridge="v77"' in words

    world.attached(WEB1, NAME)
    world.plug(NAME, "sw0", owner(WEB1), vlans=("77 pvid untagged",), vlan_bridge="v77")
    assert plan(world, {**through, "mtu": 1500}) == []
    assert lines(plan(world, {**through, "state": "absent"})) == [f"delete ovs_port {NAME}"]
    assert lines(plan(world, purge=lambda name: name == "v77")) == [f"delete ovs_port {NAME}"]
    assert plan(world, purge=lambda name: name == "sw0") == []
    world.bridges["sw0"] = dataclasses.replace(world.bridges["sw0"], owner=OWNER_AUTO)
    assert lines(plan(world, {**through, "state": "absent"})) == [f"delete ovs_port {NAME}"]  # v77 is on it

    # the same VLAN under the bridge's own name, another VLAN bridge, and another bridge
    assert lines(plan(world, {**ONE, "vlan": 77, "mtu": 1500})) == [f"update ovs_port {NAME}"]
    [out] = plan(world, {**ONE, "mtu": 1500})
    assert isinstance(out.after, OvsPort)
    assert (out.after.bridge, out.after.vlans, out.after.vlan_bridge) == ("sw0", (), "")
    world.vlan_bridge("v78", "sw1", 78)
    [moved] = plan(world, {**through, "host_interface": "v78", "mtu": 1500})
    assert isinstance(moved.after, OvsPort)
    assert (moved.after.bridge, moved.after.vlans, moved.after.vlan_bridge) == ("sw1", ("78 pvid untagged",), "v78")


def test_P35_what_is_there_is_left_alone_and_goes_with_its_attachment() -> None:
    world = Switched()
    world.attached(WEB1, NAME)
    world.plug("other")
    assert plan(world, {**ONE, "mtu": 1500}) == []
    assert lines(plan(world, {**ONE, "state": "absent"})) == [f"delete ovs_port {NAME}"]
    world.bridges["sw0"] = dataclasses.replace(world.bridges["sw0"], owner=OWNER_AUTO)
    assert lines(plan(world, {**ONE, "state": "absent"})) == [f"delete ovs_port {NAME}"]  # others use the bridge
    del world.ports["other"]
    assert lines(plan(world, {**ONE, "state": "absent"})) == [f"delete ovs_port {NAME}", "delete ovs_bridge sw0"]
    assert lines(plan(world, purge=lambda name: name == "sw0")) == [f"delete ovs_port {NAME}", "delete ovs_bridge sw0"]
    assert plan(world, purge=lambda name: name == "sw1") == []
    world.address(HOST, "sw0", "10.0.0.1/24")
    assert lines(plan(world, {**ONE, "state": "absent"})) == [f"delete ovs_port {NAME}"]


def test_P45_B11_ports_of_the_dead() -> None:
    world = Switched()
    world.plug(NAME, "sw0", owner(WEB1))
    world.plug("pwother", "sw0", owner("docker:db1"))
    world.plug("foreign", "sw0")
    gone = {"container": "web1", "state": "absent"}
    assert lines(plan(world, gone)) == [f"delete ovs_port {NAME}"]
    assert lines(plan(world, {**gone, "interface": "eth7"})) == []
    assert lines(plan(world, purge=lambda _name: True)) == [f"delete ovs_port {NAME}", "delete ovs_port pwother"]
    # one of the same name lives: the old one's port goes, its own comes; under the same name, one after the other
    world.devices[WEB1] = []
    new = {**ONE, "local_interface": "pwnew"}
    assert lines(plan(world, new)) == ["create ovs_port pwnew", f"delete ovs_port {NAME}"]
    assert lines(plan(world, ONE)) == [f"delete ovs_port {NAME}", f"create ovs_port {NAME}"]


def test_B2_a_port_leaves_before_its_interface_becomes_something_else() -> None:
    world = Switched()
    world.host("eth0")
    world.attached(WEB1, NAME)
    for change in ({"host_interface": "br1"}, {"host_interface": "eth0"}, {"local_interface": "pwnew"}):
        found = plan(world, {"container": "web1", "host_interface": "sw0", **change})
        assert str(found[0]) == f"delete ovs_port {NAME}", change
        back = undo(found)
        assert str(back[-1]) == f"create ovs_port {NAME}"
    [moved] = plan(world, {**ONE, "host_interface": "sw1", "mtu": 1500})
    assert str(moved) == f"update ovs_port {NAME}"


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"port": {"learning": False}}, "port: Open vSwitch has no option learning for a port; isolated it has"),
        ({"port": {"mac_spoof_check": True}}, "port: mac_spoof_check is not possible on Open vSwitch; say false"),
        ({"local_interface": "foreign"}, "local_interface: foreign is a port of Open vSwitch on sw1 that is not ours"),
        ({"local_interface": "sw1"}, "local_interface: sw1 exists on the host"),
        ({"host_interface": "broken"}, "host_interface: the bridge broken does not work .*CONFIG_OPENVSWITCH"),
        ({"host_interface": "v77", "vlan": 78}, "vlan: 78: v77 is the bridge of VLAN 77 of sw0, and its ports have no"),
        ({"host_interface": "v77", "vlan_trunks": [5, 7]}, "vlan_trunks: 5, 7: v77 is .*leave the option out"),
        ({"host_interface": "v77", "kind": "bridge"}, "v77 is not a Linux bridge but one of Open vSwitch"),
        ({"host_interface": "eth0", "kind": "openvswitch"}, "eth0 is not a bridge of Open vSwitch but a network card"),
        ({"kind": "bridge"}, "sw0 is not a Linux bridge but one of Open vSwitch; kind openvswitch would be right"),
    ],
)  # fmt: skip
def test_P35_what_cannot_be_is_refused(options: dict[str, Any], words: str) -> None:
    world = Switched()
    world.host("eth0")
    world.devices[WEB1] = []
    world.plug("foreign", "sw1")
    world.vlan_bridge("v77", "sw0", 77)
    world.ovs("broken", error="ovs-vswitchd has not set it up")
    with pytest.raises(PipeworkError, match=words):
        plan(world, {**ONE, **options})
