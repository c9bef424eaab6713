# Copyright: pipework.containers contributors
# GNU General Public License v3.0+ (see LICENSE)
"""What the kernel shows and what is asked for, and the operations that follow: golden cases on hosts made by hand."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import pytest

from ansible_collections.pipework.containers.plugins.module_utils._attach.desired import Target, compile_wish
from ansible_collections.pipework.containers.plugins.module_utils._attach.options import (
    Attachment,
    attachments_from_params,
)
from ansible_collections.pipework.containers.plugins.module_utils._core.errors import PipeworkError
from ansible_collections.pipework.containers.plugins.module_utils._core.items import check_namespace
from ansible_collections.pipework.containers.plugins.module_utils._core.normalize import broadcast, family
from ansible_collections.pipework.containers.plugins.module_utils._core.plan import (
    Absent,
    KernelObject,
    Operation,
    Plan,
    reconcile,
    simulate,
)
from ansible_collections.pipework.containers.plugins.module_utils._model.objects import (
    GROUP,
    HOST,
    PROTOCOL,
    TABLE_KEPT,
    Address,
    Device,
    Nic,
    Route,
    owner_of,
)
from ansible_collections.pipework.containers.plugins.module_utils._model.observed import Facts
from ansible_collections.pipework.containers.plugins.module_utils._model.sriov import Card

IDENT = "3f2a9c41d0b7"


def owner(label: str, interface: str = "eth1", ident: str = IDENT) -> str:
    runtime, _colon, name = label.partition(":")
    return owner_of(runtime, name or HOST, ident, interface)


class World:
    """A host and its containers, as the dumps show them."""

    def __init__(self) -> None:
        self.devices: dict[str, list[Device]] = {HOST: []}
        self.addresses: dict[str, list[Address]] = {}
        self.routes: dict[str, list[Route]] = {}
        self.cards: dict[str, Card] = {}
        self.wireless: dict[int, int] = {}

    def host(self, name: str, kind: str | None = None, **fields: Any) -> Device:
        """An interface on the host; hardware unless ``kind`` says otherwise."""
        return self.inside(HOST, name, kind, **fields)

    def inside(self, label: str, name: str, kind: str | None = None, **fields: Any) -> Device:
        devices = self.devices.setdefault(label, [])
        index = fields.pop("index", len(devices) + 2)
        mac = fields.pop("mac", f"02:00:00:00:{len(self.devices):02x}:{index:02x}")
        device = Device(index, name, kind, mac, fields.pop("mtu", 1500), fields.pop("up", True), **fields)
        devices.append(device)
        return device

    def bridge(self, name: str = "br1", made: str | None = "pipework:auto", **fields: Any) -> Device:
        return self.host(name, "bridge", alias=made, **fields)

    def pair(
        self, label: str, interface: str, local: str, bridge: str | None = None, ours: bool = True, **fields: Any
    ) -> None:
        """A veth between the host and a container."""
        self.devices.setdefault(label, [])
        alias = fields.pop("alias", owner(label, interface) if ours else None)
        master = next((d.index for d in self.devices[HOST] if d.name == bridge), None)
        near = self.host(local, "veth", alias=alias, master=master, **fields)
        far = self.inside(label, interface, "veth", alias=alias, parent_index=near.index, parent_netnsid=0, **fields)
        number = None if label == HOST else list(self.devices).index(label)
        self.devices[HOST][self.devices[HOST].index(near)] = dataclasses.replace(
            near, parent_index=far.index, parent_netnsid=number
        )
        if label == HOST:
            self.devices[HOST][self.devices[HOST].index(far)] = dataclasses.replace(far, parent_netnsid=None)

    def address(self, label: str, device: str, cidr: str) -> None:
        self.addresses.setdefault(label, []).append(Address(label, device, cidr, broadcast=broadcast(cidr), scope=0))

    def route(self, label: str, device: str, gateway: str, **fields: Any) -> Route:
        version = family(gateway)
        fields = {
            "protocol": PROTOCOL,
            "metric": 1024 if version == 6 else 0,
            "scope": 0 if version == 4 else None,
            **fields,
        }
        route = Route(label, version, fields.pop("destination", "default"), gateway=gateway, device=device, **fields)
        self.routes.setdefault(label, []).append(route)
        return route

    def facts(self) -> Facts:
        devices = {label: {device.name: device for device in each} for label, each in self.devices.items()}
        nsids = {label: number or None for number, label in enumerate(self.devices)}
        return Facts(
            devices, self.addresses, self.routes, nsids, host_seed="seed", cards=self.cards,
            wireless=self.wireless,
        )


def target(world: World, item: Attachment) -> Target:
    if item.runtime == HOST:
        return Target(item, HOST, HOST, HOST, "1")
    runtime = "docker" if item.runtime == "auto" else item.runtime
    label = f"{runtime}:{item.container}"
    if label not in world.devices:
        return Target(item, None, item.runtime, str(item.container))
    return Target(item, label, runtime, str(item.container), IDENT)


def plan_of(world: World, *items: dict[str, Any], purge: Callable[[str], bool] | None = None) -> Plan:
    found = attachments_from_params({"attachments": items})
    targets = [target(world, item) for item in found]
    wish, state = compile_wish(targets, world.facts(), purge)
    plan = reconcile(wish.desired, state)
    assert reconcile(wish.desired, simulate(state, plan)) == []
    backwards, _state = compile_wish(targets[::-1], world.facts(), purge)
    assert reconcile(backwards.desired, state) == plan, "the order of input matters"
    return plan


def told(operation: Operation) -> str:
    """One line for an operation: what is done to what, and for an update what becomes of it."""
    line = str(operation) + (" (implied)" if operation.implied else "")
    if operation.action == "update" and operation.before and operation.after:
        old, new = operation.before.public(), operation.after.public()
        line += ": " + ", ".join(
            f"{field} {old.get(field)} -> {new.get(field)}" for field in sorted(new) if old.get(field) != new[field]
        )
    return line


def lines(world: World, *items: dict[str, Any], purge: Callable[[str], bool] | None = None) -> list[str]:
    return [told(operation) for operation in plan_of(world, *items, purge=purge)]


def created(plan: Plan, kind: str) -> KernelObject:
    """What an object of this kind is in the end."""
    found = [operation.after for operation in plan if kind == operation.subject.KIND and operation.after]
    return found[-1]


def simple() -> World:
    """A container with Docker's own interface, and nothing of ours."""
    world = World()
    world.host("eth0")
    world.host("docker0", "bridge")
    world.pair("docker:web1", "eth0", "veth1a2b", "docker0", ours=False)
    world.address("docker:web1", "eth0", "172.17.0.2/16")
    world.route("docker:web1", "eth0", "172.17.0.1", protocol=3)
    return world


def attached(*addresses: str, gateway: str | None = None, **bridge: Any) -> World:
    """The same with our eth1 on br1."""
    world = simple()
    world.bridge(**bridge)
    world.pair("docker:web1", "eth1", "pw1", "br1")
    for address in addresses:
        world.address("docker:web1", "eth1", address)
    if gateway:
        world.routes["docker:web1"] = [dataclasses.replace(r, table=TABLE_KEPT) for r in world.routes["docker:web1"]]
        world.route("docker:web1", "eth1", gateway)
    return world


WEB1 = {"container": "web1", "host_interface": "br1"}
GONE = {"container": "web1", "state": "absent"}


# kind bridge


def test_P1_a_bridge_a_pair_an_address() -> None:
    plan = plan_of(simple(), {**WEB1, "addresses": ["192.168.1.1/24", "2001:db8::1/64"]})
    assert [str(operation) for operation in plan] == [
        "create link br1",
        "create link docker:web1/eth1",
        "update link docker:web1/eth1",
        "create address docker:web1/eth1 192.168.1.1/24",
        "create address docker:web1/eth1 2001:db8::1/64",
        "create port docker:web1/eth1",
        "update link br1",
    ]
    port = created(plan, "port").public()
    assert (port["bridge"], port["up"], port["owner"]) == ("br1", True, owner("docker:web1"))
    assert len(port["local_interface"]) <= 15
    bridge = plan[-1].after
    assert bridge is not None
    assert (bridge.public()["owner"], bridge.public()["up"]) == ("pipework:auto", True)


def test_P2_a_bridge_that_exists_is_kept() -> None:
    for made in ("pipework:auto", "pipework:bridge", None):
        world = simple()
        world.bridge(made=made)
        assert lines(world, WEB1) == [
            "create link docker:web1/eth1",
            "update link docker:web1/eth1: owner pipework:unfinished -> " + owner("docker:web1") + ", up False -> True",
            "create port docker:web1/eth1",
        ]


def test_P2_a_bridge_that_is_down_is_brought_up() -> None:
    world = attached("192.168.1.1/24", up=False)
    assert lines(world, WEB1) == ["update link br1: up False -> True"]


def test_P42_what_is_there_needs_nothing() -> None:
    world = attached("192.168.1.1/24", "2001:db8::1/64", gateway="192.168.1.254")
    item = {**WEB1, "addresses": ["192.168.1.1/24", "2001:db8::1/64"], "gateway": ["192.168.1.254"]}
    assert lines(world, item) == []
    assert lines(world, WEB1) == []


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (
            {"mtu": 1400},
            ["update link docker:web1/eth1: mtu 1500 -> 1400", "update port docker:web1/eth1: mtu 1500 -> 1400"],
        ),
        ({"mac_address": "U:web1"}, ["update link docker:web1/eth1: mac 02:00:00:00:02:03 -> 02:66:ee:60:6d:50"]),
        ({"local_interface": "web"}, ["update port docker:web1/eth1: local_interface pw1 -> web"]),
        (
            {"addresses": ["192.168.1.2/24"]},
            ["create address docker:web1/eth1 192.168.1.2/24", "delete address docker:web1/eth1 192.168.1.1/24"],
        ),
        ({"addresses": []}, ["delete address docker:web1/eth1 192.168.1.1/24"]),
        ({"addresses": ["192.168.1.2/24"], "append": True}, ["create address docker:web1/eth1 192.168.1.2/24"]),
        ({"addresses": [], "append": True}, []),
    ],
)
def test_B2_what_differs_changes_in_place(options: dict[str, Any], expected: list[str]) -> None:
    assert lines(attached("192.168.1.1/24"), {**WEB1, **options}) == expected


def test_B2_another_bridge_is_joined_and_the_old_one_goes_with_its_last_port() -> None:
    world = attached()
    world.host("br2", "bridge")
    assert lines(world, {**WEB1, "host_interface": "br2"}) == [
        "update port docker:web1/eth1: bridge br1 -> br2",
        "delete link br1",
    ]


def test_P5_several_interfaces_of_one_container() -> None:
    plan = plan_of(attached(), {**WEB1, "interface": "eth2"})
    assert [str(operation) for operation in plan] == [
        "create link docker:web1/eth2",
        "update link docker:web1/eth2",
        "create port docker:web1/eth2",
    ]


def test_P6_the_host_end_keeps_the_name_that_it_has() -> None:
    assert lines(attached(), WEB1) == []


def test_P37_the_mtu_is_the_bridges() -> None:
    world = simple()
    world.bridge(mtu=9000)
    plan = plan_of(world, WEB1)
    assert created(plan, "port").public()["mtu"] == created(plan, "link").public()["mtu"] == 9000


def test_P37_a_smaller_mtu_in_the_same_run_counts_for_all_on_the_bridge() -> None:
    world = attached()
    world.devices["docker:db1"] = []
    plan = plan_of(world, WEB1, {"container": "db1", "host_interface": "br1", "mtu": 1400})
    assert {operation.after.public()["mtu"] for operation in plan if operation.after} == {1400}
    assert "update link docker:web1/eth1: mtu 1500 -> 1400" in [told(operation) for operation in plan]


def test_P37_on_a_new_bridge_the_kernel_decides_unless_an_mtu_is_given() -> None:
    assert "mtu" not in created(plan_of(simple(), WEB1), "port").public()
    assert created(plan_of(simple(), {**WEB1, "mtu": 1300}), "port").public()["mtu"] == 1300


def test_a_bridge_by_its_address() -> None:
    world = attached()
    mac = next(d.mac for d in world.devices[HOST] if d.name == "br1")
    assert lines(world, {**WEB1, "host_interface": f"mac:{mac}"}) == []


# gateways


def test_P9_the_default_route_that_is_replaced_is_kept() -> None:
    plan = plan_of(simple(), {**WEB1, "addresses": ["192.168.1.1/24"], "gateway": ["192.168.1.254"]})
    routes = [operation for operation in plan if operation.subject.KIND == "route"]
    assert [told(operation) for operation in routes] == [
        "create route docker:web1/default (IPv4) table 28791",
        "update route docker:web1/default (IPv4): device eth0 -> eth1, gateway 172.17.0.1 -> 192.168.1.254",
    ]
    places = [str(operation) for operation in plan]
    assert places.index("update link docker:web1/eth1") < places.index("update route docker:web1/default (IPv4)")
    kept, new = (operation.after for operation in routes)
    assert isinstance(kept, Route)
    assert isinstance(new, Route)
    assert (kept.gateway, kept.device, kept.protocol) == ("172.17.0.1", "eth0", 3)
    assert new.protocol == PROTOCOL


def test_P9_and_comes_back_with_absent() -> None:
    world = attached("192.168.1.1/24", gateway="192.168.1.254")
    plan = plan_of(world, {**GONE, "host_interface": "br1"})
    assert [told(operation) for operation in plan] == [
        "update route docker:web1/default (IPv4): device eth1 -> eth0, gateway 192.168.1.254 -> 172.17.0.1",
        "delete route docker:web1/default (IPv4) table 28791",
        "delete address docker:web1/eth1 192.168.1.1/24 (implied)",
        "delete port docker:web1/eth1 (implied)",
        "delete link docker:web1/eth1",
        "delete link br1",
    ]
    back = plan[0].after
    assert isinstance(back, Route)
    assert (back.protocol, back.table) == (3, 254)


def test_P9_an_empty_list_takes_the_gateway_away() -> None:
    world = attached("192.168.1.1/24", gateway="192.168.1.254")
    assert lines(world, {**WEB1, "gateway": []}) == [
        "update route docker:web1/default (IPv4): device eth1 -> eth0, gateway 192.168.1.254 -> 172.17.0.1",
        "delete route docker:web1/default (IPv4) table 28791",
    ]
    without = attached("192.168.1.1/24")
    without.routes["docker:web1"] = []
    without.route("docker:web1", "eth1", "192.168.1.254")
    assert lines(without, {**WEB1, "gateway": []}) == ["delete route docker:web1/default (IPv4)"]


def test_P9_a_gateway_that_is_not_managed_stays() -> None:
    assert lines(attached("192.168.1.1/24", gateway="192.168.1.254"), WEB1) == []


def test_P9_another_gateway_on_the_same_interface() -> None:
    world = attached("192.168.1.1/24", gateway="192.168.1.254")
    assert lines(world, {**WEB1, "gateway": ["192.168.1.253"]}) == [
        "update route docker:web1/default (IPv4): gateway 192.168.1.254 -> 192.168.1.253"
    ]


def test_P9_a_second_attachment_takes_over_and_the_first_default_waits() -> None:
    world = attached("192.168.1.1/24", gateway="192.168.1.254")
    world.host("br2", "bridge")
    item = {
        **WEB1,
        "interface": "eth2",
        "host_interface": "br2",
        "addresses": ["10.0.0.1/24"],
        "gateway": ["10.0.0.254"],
    }
    routes = [line for line in lines(world, item) if " route " in line]
    assert routes == [
        "create route docker:web1/default (IPv4) metric 1 table 28792",
        "update route docker:web1/default (IPv4): device eth1 -> eth2, gateway 192.168.1.254 -> 10.0.0.254",
    ]


def test_P9_a_default_route_that_somebody_set_since_is_kept_in_the_older_ones_place() -> None:
    world = attached("192.168.1.1/24", gateway="192.168.1.254")
    world.routes["docker:web1"].pop()
    world.route("docker:web1", "eth0", "172.17.0.99", protocol=3)
    routes = [line for line in lines(world, {**WEB1, "gateway": ["192.168.1.254"]}) if " route " in line]
    assert sorted(routes) == [
        "update route docker:web1/default (IPv4) table 28791: gateway 172.17.0.1 -> 172.17.0.99",
        "update route docker:web1/default (IPv4): device eth0 -> eth1, gateway 172.17.0.99 -> 192.168.1.254",
    ]


@pytest.mark.parametrize(
    ("address", "gateway", "way"),
    [
        ("192.168.1.1/24", "10.9.9.9", "10.9.9.9/32"),
        ("192.168.1.1/32", "192.168.1.254", "192.168.1.254/32"),
        ("2001:db8::1/64", "2001:db8:9::1", "2001:db8:9::1/128"),
    ],
)
def test_P10_a_gateway_outside_the_subnet_gets_a_host_route(address: str, gateway: str, way: str) -> None:
    plan = plan_of(attached(), {**WEB1, "addresses": [address], "gateway": [gateway]})
    routes = [operation.after for operation in plan if operation.subject.KIND == "route" and operation.after]
    destinations = [route.destination for route in routes if isinstance(route, Route) and route.table == 254]
    assert sorted(destinations) == sorted([way, "default"])
    assert next(str(o) for o in plan if o.subject.KIND == "route").startswith(f"create route docker:web1/{way}")


def test_P10_the_host_route_goes_when_the_gateway_does() -> None:
    world = attached("192.168.1.1/24", gateway="10.9.9.9")
    world.route("docker:web1", "eth1", "10.9.9.9", destination="10.9.9.9/32")
    assert "delete route docker:web1/10.9.9.9/32" in lines(world, {**WEB1, "gateway": ["192.168.1.254"]})


def test_P10_routes_of_others_on_our_interface_stay() -> None:
    world = attached("192.168.1.1/24", gateway="192.168.1.254")
    world.route("docker:web1", "eth1", "192.168.1.9", destination="10.50.0.0/16", protocol=4)
    assert lines(world, {**WEB1, "gateway": ["192.168.1.254"]}) == []


def test_P7_a_gateway_for_each_family() -> None:
    item = {**WEB1, "addresses": ["10.0.0.1/24", "2001:db8::1/64"], "gateway": ["10.0.0.254", "fe80::1"]}
    routes = [line for line in lines(attached(), item) if " route " in line]
    assert routes == [
        "create route docker:web1/default (IPv4) table 28791",
        "create route docker:web1/default (IPv6)",
        "update route docker:web1/default (IPv4): device eth0 -> eth1, gateway 172.17.0.1 -> 10.0.0.254",
    ]


# absent, and what is left


def test_P45_absent_takes_all_of_ours_and_nothing_else() -> None:
    assert lines(attached("192.168.1.1/24"), GONE) == [
        "delete address docker:web1/eth1 192.168.1.1/24 (implied)",
        "delete port docker:web1/eth1 (implied)",
        "delete link docker:web1/eth1",
        "delete link br1",
    ]


@pytest.mark.parametrize("made", ["pipework:bridge", None])
def test_P45_a_bridge_that_pipework_attach_did_not_make_stays(made: str | None) -> None:
    assert "delete link br1" not in lines(attached(made=made), {**GONE, "host_interface": "br1"})


def test_P45_an_automatic_bridge_stays_while_it_has_a_port_or_an_address() -> None:
    world = attached()
    world.host("vnet0", "tun", master=next(d.index for d in world.devices[HOST] if d.name == "br1"))
    assert "delete link br1" not in lines(world, GONE)
    world = attached()
    world.address(HOST, "br1", "192.168.1.254/24")
    assert "delete link br1" not in lines(world, GONE)


def test_P45_absent_of_what_is_not_there_or_not_ours_needs_nothing() -> None:
    assert lines(simple(), GONE) == []
    assert lines(simple(), {**GONE, "interface": "eth0"}) == []
    assert lines(World(), GONE) == []


def test_P45_an_automatic_bridge_without_ports_is_collected_by_its_name() -> None:
    world = simple()
    world.bridge()
    assert lines(world, {**GONE, "host_interface": "br1"}) == ["delete link br1"]
    assert lines(world, {**GONE, "container": "db1"}) == ["delete link br1"], "left by a run that was killed"


def test_P45_what_a_dead_container_left_is_collected() -> None:
    world = World()
    world.bridge()
    world.host("pw1", "veth", alias=owner("docker:web1"), master=2, parent_index=9, parent_netnsid=7)
    world.host("pw2", "veth", alias=owner("docker:web2", ident="0" * 12), parent_index=9, parent_netnsid=8)
    world.host("pw3", "veth", alias=owner("docker:web1", "eth2"), parent_index=9, parent_netnsid=8)
    assert lines(world, GONE) == ["delete link pw1", "delete link br1"]
    assert lines(world, {**GONE, "container": IDENT + "00"}) == ["delete link pw1", "delete link br1"]
    assert lines(world, {**GONE, "container": "web"}) == []


def test_B4_what_a_killed_run_left_is_collected() -> None:
    world = attached()
    world.host("br7", "bridge", group=GROUP)
    world.host("pw7", "veth", group=GROUP, parent_index=5, parent_netnsid=9)
    assert lines(world, WEB1) == ["delete link pw7", "delete link br7"]


def test_B4_and_taken_over_where_it_is_wanted() -> None:
    world = simple()
    world.host("br1", "bridge", group=GROUP, up=False)
    world.pair("docker:web1", "eth1", "pw1", alias=None, group=GROUP, up=False)
    assert lines(world, {**WEB1, "local_interface": "pw1"}) == [
        f"update link docker:web1/eth1: owner pipework:unfinished -> {owner('docker:web1')}, up False -> True",
        "update port docker:web1/eth1: bridge None -> br1, "
        f"owner pipework:unfinished -> {owner('docker:web1')}, up False -> True",
        "update link br1: owner pipework:unfinished -> pipework:auto, up False -> True",
    ]


# purge


def fleet() -> World:
    """Three containers with attachments of ours on two bridges and a NIC, among much that is not ours."""
    world = attached("192.168.1.1/24")
    world.bridge("br2", made="pipework:bridge")
    world.host("eth2")
    for name, bridge in (("db1", "br1"), ("web2", "br2")):
        world.pair(f"docker:{name}", "eth0", f"veth{name}", "docker0", ours=False)
        world.pair(f"docker:{name}", "eth1", f"pw{name}", bridge)
        world.inside(f"docker:{name}", "dummy7", "dummy")
    eth2 = next(d.index for d in world.devices[HOST] if d.name == "eth2")
    world.inside(
        "docker:web2", "eth5", "macvlan", parent_index=eth2, parent_netnsid=0, alias=owner("docker:web2", "eth5")
    )
    world.inside("docker:web2", "eth6", "macvlan", parent_index=eth2, parent_netnsid=0)
    world.inside("docker:web2", "lo1", "dummy", alias=owner("docker:web2", "lo1"))
    world.host("vpn0", "veth", parent_index=3, parent_netnsid=44)
    world.host("eth2.10", "vlan", parent_index=eth2, alias="uplink of the office")
    return world


@pytest.mark.parametrize(
    ("scope", "gone"),
    [
        (lambda name: True, ["docker:db1/eth1", "docker:web2/eth1", "docker:web2/eth5", "docker:web2/lo1"]),
        (lambda name: name == "br1", ["docker:db1/eth1"]),
        (lambda name: name == "br2", ["docker:web2/eth1"]),
        (lambda name: name == "eth2", ["docker:web2/eth5"]),
        (lambda name: name == "dummy", ["docker:web2/lo1"]),
        (lambda name: name == "docker0", []),
    ],
    ids=["all", "br1", "br2", "eth2", "dummy", "docker0"],
)
def test_B11_purge_removes_ours_in_its_scope_that_are_not_listed(scope: Callable[[str], bool], gone: list[str]) -> None:
    plan = plan_of(fleet(), WEB1, purge=scope)
    assert [op.public()["name"] for op in plan if not op.implied] == gone
    assert {operation.action for operation in plan} <= {"delete"}


def test_B11_purge_of_all_leaves_what_others_made() -> None:
    world = fleet()
    _wish, before = compile_wish([], world.facts())
    plan = plan_of(world, purge=lambda name: True)
    after = simulate(before, plan)
    for key in set(before) - set(after):
        item = before[key]
        assert getattr(item, "owner", owner("docker:web1")) in {
            "pipework:auto",
            *(owner(f"docker:{n}", i) for n in ("web1", "web2", "db1") for i in ("eth1", "eth5", "lo1")),
        }
    assert {key: after[key] for key in after} == {key: before[key] for key in after}
    assert ("link", HOST, "br1") not in after
    assert ("link", HOST, "br2") in after


def test_B11_purge_collects_what_dead_containers_left() -> None:
    world = attached()
    world.host("pw9", "veth", alias=owner("docker:dead1"), master=5, parent_index=9, parent_netnsid=7)
    assert lines(world, WEB1, purge=lambda name: True) == ["delete link pw9"]
    assert lines(world, WEB1, purge=lambda name: name == "br1") == ["delete link pw9"]
    assert lines(world, WEB1, purge=lambda name: name == "br2") == []


# kinds


@pytest.mark.parametrize(
    ("host_interface", "types"),
    [
        ("br1", ["veth"]),
        ("brand-new", ["veth"]),
        ("eth0", ["macvlan"]),
        ("docker0", ["veth"]),
        ("bond0", ["macvlan"]),
        ("dummy", ["dummy"]),
        ("dummy7", ["dummy"]),
        ("dummy0", ["macvlan"]),
    ],
)
def test_P44_the_kind_that_auto_stands_for(host_interface: str, types: list[str]) -> None:
    world = simple()
    world.host("bond0", "bond")
    world.host("dummy0", "dummy")
    plan = plan_of(world, {**WEB1, "host_interface": host_interface})
    assert [o.after.type for o in plan if str(o) == "create link docker:web1/eth1" and o.after] == types  # type: ignore[attr-defined]


MODES = "mode: kind bridge has no modes; macvlan, macvtap, ipvlan, ipoib have."


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"host_interface": "eth7"}, "host_interface: I do not know how to setup interface eth7"),
        ({"host_interface": "eth7", "kind": "macvlan"}, "host_interface: I do not know how to setup interface eth7"),
        ({"host_interface": "eth7", "kind": "phys"}, "host_interface: I do not know how to setup interface eth7"),
        ({"host_interface": "mac:02:ff:00:00:00:01"}, "host_interface: no interface of the host has the address 02:ff"),
        ({"host_interface": "eth0", "kind": "bridge"}, "host_interface: eth0 is not a Linux bridge but"),
        ({"host_interface": "ib0"}, "host_interface: ib0 is not an Ethernet interface"),
        ({"host_interface": "ib0", "kind": "macvlan"}, "host_interface: ib0 is not an Ethernet interface"),
        ({"host_interface": "ovs1"}, "host_interface: ovs1 is of Open vSwitch, which cannot be asked"),
        ({"host_interface": "veth1a2b", "kind": "macvlan"}, "host_interface: veth1a2b is a port of docker0"),
        ({"host_interface": "veth1a2b", "kind": "phys"}, "host_interface: veth1a2b is a port of docker0"),
        ({"host_interface": "docker0", "kind": "phys"}, "host_interface: docker0 is a bridge, not a NIC"),
        ({"host_interface": "eth0", "mtu": 9000}, "mtu: 9000 is more than eth0 has (1500)"),
        ({"host_interface": "docker0", "mode": "vepa"}, "mode: kind bridge has no modes"),
        ({"host_interface": "br9", "mode": "l2"}, f"{MODES} The host has no br9, which would be made, as its name says."
         " l2 is one of ipvlan; say which as 'kind'"),
        ({"host_interface": "br9", "mode": "vepa"}, f"{MODES} The host has no br9"),
        ({"host_interface": "docker0", "mode": "l2"}, f"{MODES} l2 is one of ipvlan; say"),
        ({"host_interface": "eth0", "mode": "l2"}, "mode: 'l2' is not a mode of macvlan; bridge, private, vepa, "
         "passthru, source are. l2 is one of ipvlan; say"),
        ({"interface": "eth0"}, "interface: eth0 exists in docker:web1 and is not ours: it is Docker's veth"),
        ({"local_interface": "eth0"}, "local_interface: eth0 exists on the host and is not this attachment's"),
        ({"local_interface": "docker0"}, "local_interface: docker0 exists on the host and is not this attachment's"),
    ],
)
def test_what_cannot_be_is_refused_with_option_and_value(options: dict[str, Any], words: str) -> None:
    world = simple()
    world.host("ib0", None, ethernet=False)
    world.host("ovs1", "openvswitch")
    with pytest.raises(PipeworkError) as caught:
        plan_of(world, {**WEB1, **options})
    assert str(caught.value).startswith(f"attachments[0]: {words}")


def test_P47_what_the_classic_script_left_is_named_and_how_to_clear_it() -> None:
    world = simple()
    world.bridge()
    world.pair("docker:web1", "eth1", "veth1pl1234", "br1", ours=False)
    with pytest.raises(PipeworkError, match=(
        r"eth1 exists in docker:web1 and is not ours: the classic pipework script made it, as a veth whose host end is "
        r"veth1pl1234 on the bridge br1. 'ip link delete veth1pl1234' on the host clears it, and then"
    )):  # fmt: skip
        plan_of(world, WEB1)
    world.pair("docker:web1", "lan0", "vlan0pl77", ours=False)  # without a bridge, and of another name
    with pytest.raises(PipeworkError, match=r"host end is vlan0pl77. 'ip link delete vlan0pl77' on the host"):
        plan_of(world, {**WEB1, "interface": "lan0"})
    world.pair("docker:web1", "eth3", "veth3plus", "br1", ours=False)
    with pytest.raises(PipeworkError, match=r"somebody else's veth, whose other end is veth3plus.*Choose another name"):
        plan_of(world, {**WEB1, "interface": "eth3"})


def test_P13_macvlans_on_one_nic() -> None:
    world = simple()
    world.devices["docker:web2"] = []
    eth1 = world.host("eth1", mtu=9000, up=False)
    plan = plan_of(
        world,
        {**WEB1, "host_interface": "eth1"},
        {"container": "web2", "host_interface": f"mac:{eth1.mac}", "mode": "vepa", "mtu": 1400, "kind": "macvlan"},
    )
    assert [told(operation) for operation in plan if operation.subject.ns == HOST] == [
        "update link eth1: up False -> True"
    ]
    made = {o.subject.ns: o.after.public() for o in plan if o.action == "create" and o.after}
    assert made["docker:web1"] | {"owner": ""} == {
        "type": "macvlan",
        "parent": "eth1",
        "settings": {"mode": "bridge"},
        "mtu": 9000,
        "up": False,
        "owner": "",
    }
    assert (made["docker:web2"]["settings"], made["docker:web2"]["mtu"]) == ({"mode": "vepa"}, 1400)


def test_P14_of_several_interfaces_with_one_address_the_nic_is_meant() -> None:
    world = simple()
    nic = world.host("eth1", mac="02:aa:00:00:00:01")
    world.host("eth1.10", "vlan", mac="02:aa:00:00:00:01", parent_index=nic.index)
    world.host("br9", "bridge", mac="02:aa:00:00:00:01")
    plan = plan_of(world, {**WEB1, "host_interface": "mac:02:AA:00:00:00:01"})
    assert plan[0].after is not None
    assert plan[0].after.public()["parent"] == "eth1"
    world.host("eth2", mac="02:aa:00:00:00:01")
    with pytest.raises(PipeworkError, match="several interfaces have the address 02:aa:00:00:00:01: eth1, eth2"):
        plan_of(world, {**WEB1, "host_interface": "mac:02:aa:00:00:00:01"})


def test_B2_from_one_kind_to_another() -> None:
    world = attached("192.168.1.1/24", gateway="192.168.1.254")
    assert lines(world, {**WEB1, "host_interface": "eth0", "kind": "macvlan"}) == [
        "delete route docker:web1/default (IPv4) (implied)",
        "delete address docker:web1/eth1 192.168.1.1/24 (implied)",
        "delete port docker:web1/eth1 (implied)",
        "delete link docker:web1/eth1",
        "create link docker:web1/eth1",
        f"update link docker:web1/eth1: owner pipework:unfinished -> {owner('docker:web1')}, up False -> True",
        "create address docker:web1/eth1 192.168.1.1/24",
        "create route docker:web1/default (IPv4)",
        "delete link br1",
    ]


# kind phys

NIC = {"container": "web1", "host_interface": "eth2", "kind": "phys"}


def lent(where: str = "docker:web1", name: str = "eth1", **fields: Any) -> World:
    """eth2 is in the container, or thrown back to the host under ``name``."""
    world = simple()
    nic = Nic("eth2", 9000, "52:54:00:00:00:02", True, ("10.0.0.2/24", "2001:db8::2/64"), "uplink")
    alias = nic.pack(owner("docker:web1"))
    world.inside(where, name, None, mac="52:54:00:00:00:02", alias=alias, **{"mtu": 9000, **fields})
    return world


def test_P15_a_nic_moves_into_a_container_and_is_remembered() -> None:
    world = simple()
    world.host("eth2", mtu=9000, mac="52:54:00:00:00:02", alias="uplink")
    world.address(HOST, "eth2", "10.0.0.2/24")
    plan = plan_of(world, {**NIC, "addresses": ["192.168.1.1/24"]})
    assert [told(operation) for operation in plan] == [
        "delete address eth2 10.0.0.2/24 (implied)",
        "delete link eth2",
        "create link docker:web1/eth1",
        "update link docker:web1/eth1: up False -> True",
        "create address docker:web1/eth1 192.168.1.1/24",
    ]
    made = created(plan, "link")
    nic = Nic("eth2", 9000, "52:54:00:00:00:02", True, ("10.0.0.2/24",), "uplink")
    assert getattr(made, "owner", None) == nic.pack(owner("docker:web1"))


def test_P16_a_wireless_nic_is_remembered_as_such() -> None:
    world = simple()
    world.wireless[world.host("wlan0").index] = 0
    alias = str(getattr(created(plan_of(world, {**NIC, "host_interface": "wlan0"}), "link"), "owner", None))
    kept = Nic.unpack(alias)
    assert kept is not None and kept[1].wireless and kept[1].up
    assert Nic.unpack(kept[1].pack("pipework:pid:1:1:eth1")) == ("pipework:pid:1:1:eth1", kept[1])


def test_P16_a_wireless_nic_with_several_interfaces_is_refused() -> None:
    world = simple()
    for name in ("wlan0", "ap0"):
        world.wireless[world.host(name).index] = 0
    world.wireless[world.host("wlan1").index] = 1
    assert lines(world, {**NIC, "host_interface": "wlan1"})
    with pytest.raises(PipeworkError, match=r"wlan0 is not the only .* remove ap0 first \('iw dev ap0 del'\)"):
        lines(world, {**NIC, "host_interface": "wlan0"})


@pytest.mark.parametrize("host_interface", ["eth2", "mac:52:54:00:00:00:02"])
def test_P15_a_nic_that_is_there_stays(host_interface: str) -> None:
    assert lines(lent(), {**NIC, "host_interface": host_interface}) == []
    assert lines(lent(), {**NIC, "host_interface": host_interface, "mtu": 1400}) == [
        "update link docker:web1/eth1: mtu 9000 -> 1400"
    ]


def test_P15_absent_brings_the_nic_home_with_all_it_had() -> None:
    world = lent()
    world.address("docker:web1", "eth1", "192.168.1.1/24")
    expected = [
        "delete address docker:web1/eth1 192.168.1.1/24 (implied)",
        "delete link docker:web1/eth1",
        "create link eth2",
        "create address eth2 10.0.0.2/24",
        "create address eth2 2001:db8::2/64",
        "update link eth2: owner None -> uplink, up False -> True",
    ]
    assert lines(world, GONE) == expected
    assert lines(world, purge=lambda name: name == "eth2") == expected
    assert lines(world, purge=lambda name: name == "eth3") == []


@pytest.mark.parametrize("name", ["eth1", "dev7", "eth2"])
def test_P15_also_when_the_container_has_died_and_the_kernel_threw_it_back(name: str) -> None:
    world = lent(HOST, name, up=False)
    del world.devices["docker:web1"]
    world.devices[HOST] = [d for d in world.devices[HOST] if d.type != "veth"]
    moves = [] if name == "eth2" else [f"delete link {name}", "create link eth2"]
    back = lines(world, GONE)
    assert back[:-1] == [*moves, "create address eth2 10.0.0.2/24", "create address eth2 2001:db8::2/64"]
    assert back[-1].startswith("update link eth2: owner ")
    assert back[-1].endswith(" -> uplink, up False -> True")


def test_P15_and_when_it_has_been_started_anew_since() -> None:
    world = lent(HOST, "dev7", up=False)
    assert lines(world, GONE)[:2] == ["delete link dev7", "create link eth2"]
    plan = [str(operation) for operation in plan_of(world, NIC)]
    assert plan[:2] == ["delete link dev7", "create link docker:web1/eth1"]


def test_P15_a_nic_does_not_come_home_over_another_of_its_name() -> None:
    world = lent()
    world.host("eth2", "dummy")
    with pytest.raises(PipeworkError, match="the NIC eth2 cannot come home"):
        plan_of(world, GONE)


def test_P15_another_kind_in_its_place_sends_it_home() -> None:
    assert lines(lent(), WEB1)[:4] == [
        "delete link docker:web1/eth1",
        "create link br1",
        "create link docker:web1/eth1",
        "create link eth2",
    ]
    assert "create address eth2 10.0.0.2/24" in lines(lent(), WEB1)


@pytest.mark.parametrize("kind", ["dummy", "macvlan", "vlan", None])
def test_P15_interfaces_of_any_type_move_and_are_not_deleted(kind: str | None) -> None:
    world = simple()
    world.host("eth2", kind)
    assert [op.subject.order_kind for op in plan_of(world, NIC)] == ["nic", "phys", "phys"]


def test_P15_one_nic_goes_into_one_container() -> None:
    world = simple()
    world.host("eth2")
    world.devices["docker:web2"] = []
    for kind in ("phys", "macvlan"):
        with pytest.raises(PipeworkError, match=r"host_interface: eth2 is wanted by .*web1/eth1"):
            plan_of(world, NIC, {"container": "web2", "host_interface": "eth2", "kind": kind})


def test_P15_a_nic_with_more_addresses_than_can_be_remembered_stays() -> None:
    world = simple()
    world.host("eth2")
    for number in range(30):
        world.address(HOST, "eth2", f"10.0.{number}.1/24")
    with pytest.raises(PipeworkError, match=r"eth2 has more addresses \(30\)"):
        plan_of(world, NIC)


def test_P15_phys_is_for_containers() -> None:
    with pytest.raises(PipeworkError, match="on the host it is already"):
        plan_of(simple(), {"kind": "phys", "runtime": "host", "interface": "x1", "host_interface": "eth0"})


# the host itself


def on_host() -> World:
    world = attached()
    world.pair(HOST, "in0", "pw5", "br1")
    return world


def test_runtime_host_has_both_ends_here() -> None:
    item = {"runtime": "host", "host_interface": "br1", "interface": "in0"}
    world = on_host()
    for number, device in enumerate(world.devices[HOST]):
        if device.name in ("in0", "pw5"):
            world.devices[HOST][number] = dataclasses.replace(device, alias=owner_of(HOST, HOST, "1", "in0"))
    assert lines(world, item) == []
    assert lines(world, {**item, "state": "absent"}) == ["delete port host/in0 (implied)", "delete link in0"]


@pytest.mark.parametrize("interface", ["pw1", "br1", "eth0", "docker0", "veth1a2b"])
def test_B14_runtime_host_leaves_alone_what_is_anybody_elses(interface: str) -> None:
    item = {"runtime": "host", "host_interface": "br1", "interface": interface}
    with pytest.raises(PipeworkError, match=f"interface: {interface} exists in host and is not ours"):
        plan_of(attached(), item)
    assert lines(attached(), {**item, "state": "absent"}) == []


def test_a_container_in_the_hosts_namespace_is_refused() -> None:
    item = Attachment.from_params({"container": "web1", "host_interface": "br1"})
    with pytest.raises(PipeworkError, match="container: web1 shares the host's network namespace"):
        check_namespace(HOST, item)
    check_namespace("docker:web1", item)


# lists, limits


def test_one_interface_under_two_names_of_its_container() -> None:
    world = simple()
    items = attachments_from_params({"attachments": [WEB1, {**WEB1, "container": IDENT}]})
    targets = [Target(item, "docker:web1", "docker", "web1", IDENT) for item in items]
    with pytest.raises(PipeworkError, match="are the same interface, since both containers are docker:web1"):
        compile_wish(targets, world.facts())


def test_P9_two_default_routes_in_one_container() -> None:
    item = {**WEB1, "addresses": ["10.0.0.1/24"], "gateway": ["10.0.0.254"]}
    other = {**WEB1, "interface": "eth2", "addresses": ["10.0.0.2/24"], "gateway": ["10.0.0.254"]}
    with pytest.raises(
        PipeworkError, match=r"gateway: 10\.0\.0\.254: docker:web1 gets a default gateway for IPv4 through eth"
    ):
        plan_of(simple(), item, other)


def full_bridge(ports: int) -> World:
    world = simple()
    bridge = world.bridge(made=None)
    for number in range(ports):
        world.host(f"p{number}", "veth", master=bridge.index)
    return world


def test_a_bridge_takes_1023_ports() -> None:
    assert lines(full_bridge(1022), WEB1)[-1] == "create port docker:web1/eth1"
    with pytest.raises(PipeworkError, match=r"host_interface: the bridge br1 would have 1024 ports, .* 1023 at most"):
        plan_of(full_bridge(1023), WEB1)
    world = simple()
    items = [{"container": f"c{number}", "host_interface": "br1"} for number in range(1024)]
    world.devices.update({f"docker:c{number}": [] for number in range(1024)})
    with pytest.raises(PipeworkError, match="would have 1024 ports"):
        plan_of(world, *items)


def test_a_port_that_leaves_makes_room_and_one_that_stays_needs_none() -> None:
    world = full_bridge(1022)
    world.pair("docker:web2", "eth1", "pw2", "br1")
    gone = {"container": "web2", "state": "absent"}
    assert "create port docker:web1/eth1" in lines(world, WEB1, gone)
    assert lines(world, {"container": "web2", "host_interface": "br1"}) == []
    world.devices[HOST][-1] = dataclasses.replace(world.devices[HOST][-1], group=GROUP)
    world.devices["docker:web2"].clear()
    assert "create port docker:web1/eth1" in lines(world, WEB1)


# hostile containers


def test_B14_a_veth_of_its_own_that_names_a_host_interface_is_not_ours() -> None:
    world = attached()
    near = next(d for d in world.devices[HOST] if d.name == "pw1")
    world.inside("docker:evil", "eth1", "veth", index=near.parent_index, parent_index=near.index, parent_netnsid=0)
    with pytest.raises(PipeworkError, match="interface: eth1 exists in docker:evil and is not ours"):
        plan_of(world, {"container": "evil", "host_interface": "br1"})
    assert lines(world, {"container": "evil", "state": "absent"}) == []


@pytest.mark.parametrize("number", [None, 0, 3])
def test_B14_nor_one_whose_both_ends_are_in_the_container(number: int | None) -> None:
    world = attached()
    world.devices["docker:web1"] = [d for d in world.devices["docker:web1"] if d.name != "eth1"]
    near = next(d for d in world.devices[HOST] if d.name == "pw1")
    world.inside("docker:web1", "eth9", "veth", index=99, parent_index=near.index, parent_netnsid=number)
    port = [key for key in world.facts().state() if key[0] == "port"]
    assert port == []


def test_B14_an_alias_of_its_own_on_dockers_interface_does_not_make_it_ours() -> None:
    world = simple()
    eth0 = world.devices["docker:web1"][0]
    world.devices["docker:web1"][0] = dataclasses.replace(eth0, alias=owner("docker:web1", "eth0"))
    with pytest.raises(PipeworkError, match="interface: eth0 exists in docker:web1 and is not ours"):
        plan_of(world, {**WEB1, "interface": "eth0"})
    assert lines(world, {**GONE, "interface": "eth0"}) == []
    assert lines(world, purge=lambda name: True) == []


def test_B14_a_mark_that_a_container_removed_does_not_make_it_foreign() -> None:
    world = attached()
    eth1 = world.devices["docker:web1"][-1]
    world.devices["docker:web1"][-1] = dataclasses.replace(eth1, alias=None)
    assert lines(world, WEB1) == [f"update link docker:web1/eth1: owner pipework:unfinished -> {owner('docker:web1')}"]
    assert "delete link docker:web1/eth1" in lines(world, GONE)


# results do not depend on who is asked for


def test_absent_and_present_in_one_list() -> None:
    world = fleet()
    plan = plan_of(world, {**WEB1, "state": "absent"}, {"container": "db1", "host_interface": "br2"})
    assert [told(operation) for operation in plan if not operation.implied] == [
        "update port docker:db1/eth1: bridge br1 -> br2",
        "delete link docker:web1/eth1",
        "delete link br1",
    ]


def test_the_wish_says_which_objects_are_the_attachments_own() -> None:
    world = attached()
    item = Attachment.from_params(WEB1)
    wish, _state = compile_wish([target(world, item)], world.facts())
    assert ("link", HOST, "br1") in wish.desired
    assert ("link", HOST, "br1") not in wish.own
    assert {("link", "docker:web1", "eth1"), ("port", HOST, "docker:web1/eth1")} <= wish.own
    assert wish.bridges == {"br1"}
    assert not any(isinstance(wanted, Absent) for wanted in wish.desired.values())
