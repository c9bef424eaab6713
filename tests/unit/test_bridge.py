# Copyright: pipework.containers contributors
# GNU General Public License v3.0+ (see LICENSE)
"""The options of pipework_bridge, and the operations that follow from them on hosts made by hand."""

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.pipework.containers.plugins.module_utils._bridge.desired import (
    Bridge,
    bridges_from_params,
    others,
    wanted,
)
from ansible_collections.pipework.containers.plugins.module_utils._bridge.uplinks import Record
from ansible_collections.pipework.containers.plugins.module_utils._core.errors import PipeworkError
from ansible_collections.pipework.containers.plugins.module_utils._core.normalize import broadcast
from ansible_collections.pipework.containers.plugins.module_utils._core.plan import reconcile, simulate
from ansible_collections.pipework.containers.plugins.module_utils._filter import masquerade as masq
from ansible_collections.pipework.containers.plugins.module_utils._jobs.bridge import BridgeJob
from ansible_collections.pipework.containers.plugins.module_utils._model.objects import HOST, Address, Device
from ansible_collections.pipework.containers.plugins.module_utils._model.observed import Facts

SETTINGS = {"stp": False, "forward_delay": 15, "hello_time": 2, "max_age": 20, "ageing_time": 300}


def device(index: int, name: str, kind: str | None = "bridge", **fields: Any) -> Device:
    return Device(
        index,
        name,
        kind,
        f"02:00:00:00:00:{index:02x}",
        fields.pop("mtu", 1500),
        fields.pop("up", True),
        settings=fields.pop("settings", SETTINGS if kind == "bridge" else None),
        **fields,
    )


def facts(*devices: Device, addresses: tuple[str, ...] = ()) -> Facts:
    found = [Address(HOST, "br1", each, broadcast=broadcast(each), scope=0) for each in addresses]
    return Facts({HOST: {d.name: d for d in devices}}, {HOST: found}, host_seed="seed")


def lines(found: Facts, **options: Any) -> list[str]:
    """The operations, with what an update changes."""
    state = found.state()
    desired = {item.key: item for item in wanted(Bridge.from_params({"name": "br1", **options}), found, state)}
    plan = reconcile(desired, state)
    assert reconcile(desired, simulate(state, plan)) == []
    told = []
    for operation in plan:
        line = str(operation)
        if operation.action == "update" and operation.before and operation.after:
            old, new = operation.before.public(), operation.after.public()
            line += ": " + ", ".join(field for field in sorted(new) if old.get(field) != new[field])
        told.append(line)
    return told


OURS = device(3, "br1", alias="pipework:bridge")


def test_P3_a_bridge_with_addresses() -> None:
    assert lines(facts(), addresses=["192.168.1.254/24", "2001:db8::1/64"]) == [
        "create link br1",
        "create address br1 192.168.1.254/24",
        "create address br1 2001:db8::1/64",
        "update link br1: owner, up",
    ]


def test_P3_addresses_are_the_whole_set_on_a_bridge_of_ours_only() -> None:
    have = ("192.168.1.253/24", "192.168.1.254/24")
    expected = ["create address br1 10.0.0.1/24", "delete address br1 192.168.1.253/24"]
    assert lines(facts(OURS, addresses=have), addresses=["10.0.0.1/24", "192.168.1.254/24"]) == expected
    assert lines(facts(OURS, addresses=have)) == []
    assert lines(facts(OURS, addresses=have), addresses=[]) == [f"delete address br1 {address}" for address in have]
    foreign = device(3, "br1")
    assert lines(facts(foreign, addresses=have), addresses=["10.0.0.1/24"]) == ["create address br1 10.0.0.1/24"]


@pytest.mark.parametrize(
    ("options", "changes"),
    [
        ({}, None),
        ({"mtu": 9000}, "mtu"),
        ({"mac_address": "02:00:00:00:00:99"}, "mac"),
        ({"mac_address": "02-00-00-00-00-03"}, None),
        ({"stp": True}, "settings"),
        ({"stp": False, "forward_delay": 15, "max_age": "20"}, None),
        ({"forward_delay": 0}, "settings"),
        ({"forward_delay": 2.5}, "settings"),
        ({"ageing_time": 0}, "settings"),
    ],
)
def test_P4_what_differs_changes_in_place(options: dict[str, Any], changes: str | None) -> None:
    assert lines(facts(OURS), **options) == ([f"update link br1: {changes}"] if changes else [])


def test_a_bridge_that_pipework_attach_made_stays_from_now_on() -> None:
    assert lines(facts(device(3, "br1", alias="pipework:auto"))) == ["update link br1: owner"]
    assert lines(facts(device(3, "br1", up=False))) == ["update link br1: up"]


def test_absent_takes_the_bridge_and_lets_its_ports_go() -> None:
    port = device(4, "pw1", "veth", master=3, parent_index=2, parent_netnsid=1, alias="pipework:docker:a:1:eth1")
    assert lines(facts(), state="absent") == []
    assert lines(facts(OURS), state="absent") == ["delete link br1"]
    assert lines(facts(OURS, port), state="absent") == ["delete port pw1", "delete link br1"]


@pytest.mark.parametrize(
    ("found", "options", "words"),
    [
        (facts(device(3, "br1", None)), {}, "name: br1 exists on the host and is not a bridge but a network card"),
        (facts(device(3, "br1", "bond")), {}, "name: br1 exists on the host and is not a bridge but bond"),
        (facts(device(3, "br1")), {"state": "absent"}, "name: br1 is somebody else's bridge"),
        (facts(device(3, "br1", None)), {"state": "absent"}, "name: br1 is somebody else's network card"),
        (
            facts(OURS, device(4, "eth2", None, master=3)),
            {"state": "absent"},
            "name: br1 has ports that are not ours: eth2",
        ),
        (facts(OURS), {"stp": True, "forward_delay": 1}, "forward_delay: 1 s is not possible while STP is on"),
        (
            facts(device(3, "br1", alias="pipework:bridge", settings={**SETTINGS, "stp": True})),
            {"forward_delay": 0},
            "forward_delay: 0 s is not possible while STP is on; the kernel takes 2 to 30 s",
        ),
    ],
)
def test_what_cannot_be_is_refused(found: Facts, options: dict[str, Any], words: str) -> None:
    with pytest.raises(PipeworkError) as caught:
        lines(found, **options)
    assert str(caught.value).startswith(words)


OVS = {"kind": "openvswitch"}
TUNNEL = {"name": "t", "remote": "10.0.0.1"}


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"name": None}, "name: say which bridge"),
        ({"name": "br/1"}, "name: 'br/1' cannot be the name"),
        ({"name": "much-too-long-bridge"}, "name: 'much-too-long-bridge' has 20 characters"),
        ({"addresses": ["192.168.1.1"]}, "addresses: '192.168.1.1': the IP address should include a netmask"),
        ({"mac_address": "01:00:00:00:00:01"}, "mac_address: '01:00:00:00:00:01' is a multicast address"),
        ({"name": ["br1"]}, "name: \"['br1']\" has '[' in it"),
        ({"addresses": ["10.0.0.1/24", "10.0.0.1/16"]}, "addresses: 10.0.0.1 is listed twice"),
        ({"addresses": ["10.0.0.0/24"]}, "addresses: '10.0.0.0/24' is the address of the network itself"),
        ({"mtu": 60}, "mtu: 60"),
        ({"mtu": 1000, "addresses": ["2001:db8::1/64"]}, "mtu: 1000 is too small for IPv6"),
        ({"forward_delay": 31}, "forward_delay: 31"),
        ({"forward_delay": -1}, "forward_delay: -1"),
        ({"forward_delay": "soon"}, "forward_delay: 'soon' is not a number of seconds"),
        ({"hello_time": 0}, "hello_time: 0"),
        ({"hello_time": "nan"}, "hello_time: "),
        ({"ageing_time": "inf"}, "ageing_time: "),
        ({"fail_mode": "secure"}, "fail_mode: only bridges of Open vSwitch have it ('kind: openvswitch')"),
        ({"kind": "openvswitch", "vlan_filtering": True}, "vlan_filtering: a bridge of Open vSwitch has no such"),
        ({"ports": ["a b"]}, "ports: 'a b'"),
        ({"ports": ["eth1", {"name": "eth1"}]}, "ports: eth1 is listed twice"),
        ({"ports": [{"name": "eth1", "tag": 7}]}, "ports: tag is no option of a port; name, vlan, vlan_trunks are"),
        ({"ports": [{"name": "eth1", "vlan": 5000}]}, "ports: vlan: '5000' is not a VLAN ID"),
        ({"ports": [{"name": "eth1", "vlan_trunks": ["9-"]}]}, "ports: vlan_trunks: '9-' is not a VLAN ID"),
        ({**OVS, "stp": True, "rstp": True}, "rstp: stp and rstp are both true"),
        ({**OVS, "rstp": True, "hello_time": 2}, "hello_time: with rstp, Open vSwitch has no such timer"),
        ({**OVS, "forward_delay": 2}, "forward_delay: 2 s is not possible; Open vSwitch takes 4"),
        ({**OVS, "ageing_time": 20.5}, "ageing_time: 20.5 s is not possible"),
        ({**OVS, "max_age": "nan"}, "max_age: nan s is not possible"),
        ({**OVS, "max_age": "soon"}, "max_age: 'soon' is not a number"),
        ({**OVS, "datapath": "dpdk"}, "datapath: 'dpdk' is none of system, netdev"),
        ({**OVS, "fail_mode": "open"}, "fail_mode: 'open' is none of standalone, secure"),
        ({**OVS, "name": "a b"}, "name: 'a b' "),
        ({**OVS, "tunnels": [{"name": "t"}]}, "tunnels[0]: remote: say it"),
        ({**OVS, "tunnels": [{**TUNNEL, "type": "stt"}]}, "tunnels[0]: type: 'stt' is none of vxlan, gre, geneve"),
        ({**OVS, "tunnels": [{**TUNNEL, "remote": "there"}]}, "tunnels[0]: remote: 'there' is not an IP address"),
        ({**OVS, "tunnels": [{**TUNNEL, "local": "::1"}]}, "tunnels[0]: local: ::1 and remote 10.0.0.1 are not of one"),
        ({**OVS, "tunnels": [{**TUNNEL, "key": 1 << 24}]}, "tunnels[0]: key: '16777216' is not a number from 0 to"),
        ({**OVS, "tunnels": [{**TUNNEL, "type": "gre", "port": 1}]}, "tunnels[0]: port: gre has none"),
        ({**OVS, "tunnels": [{**TUNNEL, "port": 0}]}, "tunnels[0]: port: '0' is not a number from 1 to 65535"),
        ({**OVS, "tunnels": [{**TUNNEL, "vlan": 5000}]}, "tunnels[0]: vlan: '5000' is not a VLAN ID"),
        ({**OVS, "tunnels": [{**TUNNEL, "name": "t" * 16}]}, "tunnels[0]: name: 'tttttttttttttttt' has 16 characters"),
        ({**OVS, "tunnels": [TUNNEL, TUNNEL]}, "tunnels[1]: name: t is listed twice"),
    ],
)
def test_bad_input_names_option_and_value(options: dict[str, Any], words: str) -> None:
    with pytest.raises(PipeworkError) as caught:
        Bridge.from_params({"name": "br1", **options})
    assert str(caught.value).startswith(words)


def test_P4_the_classic_advice_of_max_age_0_is_explained() -> None:
    with pytest.raises(PipeworkError, match=r"max_age: 0.* s is not possible; the kernel takes 6 to 40 s\. .*ESXi"):
        Bridge.from_params({"name": "br1", "stp": False, "max_age": 0})


def test_lists_take_the_tasks_options_as_defaults() -> None:
    first, second = bridges_from_params({"mtu": 1400, "bridges": [{"name": "br1"}, {"name": "br2", "mtu": 1300}]})
    assert (first.mtu, second.mtu, second.where) == (1400, 1300, "bridges[1]: ")


def test_addresses_move_from_ports_only() -> None:
    for params in ({"name": "br1", "move_addresses": True}, {"bridges": [{"name": "br1", "move_addresses": True}]}):
        with pytest.raises(PipeworkError, match="move_addresses: true: needs 'ports', the NICs whose"):
            bridges_from_params(params)
    mixed = [{"name": "br1"}, {"name": "br2", "ports": ["eth1"]}, {"name": "br3", "move_addresses": False}]
    assert len(bridges_from_params({"move_addresses": True, "bridges": mixed})) == 3


@pytest.mark.parametrize(
    ("items", "words"),
    [
        ([{"name": "a"}, {"name": "a"}], "bridges[1]: name: a is listed twice (also in bridges[0])"),
        ([{"name": "a"}, {"name": "b", "mtu": 1}], "bridges[1]: mtu: 1"),
        (
            [{"name": "a", "addresses": ["10.0.0.1/24"]}, {"name": "b", "addresses": ["10.0.0.1/8"]}],
            "bridges[1]: addresses: 10.0.0.1/8 is given to both a and b",
        ),
        ([{"name": "a", "ports": ["eth1"]}, {"name": "b", "ports": ["eth1"]}], "bridges[1]: ports: eth1 is given to"),
    ],
)
def test_clashes_in_a_list_name_the_item(items: list[dict[str, Any]], words: str) -> None:
    with pytest.raises(PipeworkError) as caught:
        bridges_from_params({"bridges": items})
    assert str(caught.value).startswith(words)


@pytest.mark.parametrize("bridge", ["br1", "a|b", "x%7Cy"])
@pytest.mark.parametrize("alias", ["", "to the|lan|", "pipework:auto"])
@pytest.mark.parametrize("addresses", [(), ("10.0.0.1/8", "fd00::1/64")])
def test_what_a_nic_was_is_read_back(bridge: str, alias: str, addresses: tuple[str, ...]) -> None:
    record = Record(bridge, True, addresses, alias)
    assert Record.unpack(record.pack()) == record
    assert device(1, "eth1", None, alias=record.pack()).owner is None, "it is no attachment's"
    assert all(Record.unpack(each) is None for each in (None, "", "pipework:auto", "pipework:uplink:br1", "a|b|c|d"))


def test_masquerading_is_for_networks_with_others_in_them() -> None:
    assert masq.networks_of(["10.8.0.254/24", "10.8.0.1/24", "9.0.0.1/8", "10.9.0.1/32", "fd00::1/64"]) == (
        "9.0.0.0/8", "10.8.0.0/24",
    )  # fmt: skip


def test_rules_of_iptables_are_found_by_their_comment_and_read_back() -> None:
    batch = masq.iptables_batch({"br1": ["10.8.0.0/24"], "x": ["10.9.0.0/24"]}, ["POSTROUTING -o eth0 -j MASQUERADE"])
    assert batch.splitlines()[:2] == ["*nat", "-D POSTROUTING -o eth0 -j MASQUERADE"]
    saved = batch.replace("10.9.0.0/24 ! -o", "10.9.0.0/24 -p tcp ! -o") + "-A POSTROUTING -o br1 -j MASQUERADE\n"
    found = masq.iptables_read(saved)
    assert {name: masq.describe(rules) for name, rules in found.items()} == {
        "br1": ("10.8.0.0/24",), "x": ("10.9.0.0/24 damaged",),
    }  # fmt: skip
    assert masq.iptables_batch({}, [spec for _network, spec in found["x"]]).splitlines()[1].startswith(
        "-D POSTROUTING -s 10.9.0.0/24 -p tcp ! -o"
    )


def test_B11_purge_is_for_bridges_that_pipework_bridge_made() -> None:
    found = facts(
        OURS,
        device(4, "br2", alias="pipework:bridge"),
        device(5, "br3", alias="pipework:auto"),
        device(6, "br4"),
        device(7, "eth9", None, alias="pipework:bridge"),
    )
    assert [(bridge.name, bridge.state) for bridge in others([Bridge("br1")], found)] == [("br2", "absent")]
    with pytest.raises(PipeworkError, match=r"^purge: needs 'bridges'"):
        BridgeJob({"name": "br1", "purge": True})
