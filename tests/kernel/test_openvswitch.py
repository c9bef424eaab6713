# Copyright: pipework.containers contributors
# GNU General Public License v3.0+ (see LICENSE)
"""Kind openvswitch on the kernel's own datapath: bridges that are made on the way, and tagged frames."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from ansible_collections.pipework.containers.plugins.module_utils._jobs.bridge import BridgeJob
from tests.integration.lab import Host, Killed, Params, failing_at, killed_at, refusal
from tests.integration.vswitch import VSwitch


@pytest.fixture(scope="module")
def stage() -> Iterator[tuple[Host, VSwitch]]:
    """A host with Open vSwitch, which each test leaves as it found it: to start it takes long here."""
    host = Host("a", "b", "c")
    ovs = None
    try:
        ovs = VSwitch(host)
        ovs.vsctl("add-br", "first")
        ovs.vsctl("del-br", "first")  # the datapath's own interface comes and goes; its control sockets are there now
        yield host, ovs
    finally:
        if ovs is not None:
            ovs.close()
        host.close()


def item(container: str, number: int, **options: Any) -> Params:
    return {"container": container, "host_interface": "ovs0", "addresses": [f"10.7.0.{number}/24"], **options}


A, B, C = item("a", 1, vlan=10), item("b", 2, vlan=10), item("c", 3, vlan=20)


def run(host: Host, *items: Params, **hooks: Any) -> dict[str, Any]:
    return host.run(**hooks, runtime="netns", attachments=list(items))


def gone(*items: Params) -> list[Params]:
    return [{**each, "state": "absent"} for each in items]


def everything(host: Host, ovs: VSwitch) -> dict[str, Any]:
    return {**host.snapshot(), "ovs": ovs.snapshot()}


def assert_as(host: Host, ovs: VSwitch, before: dict[str, Any], what: str = "") -> None:
    assert ovs.snapshot() == before["ovs"], what
    host.assert_as({name: part for name, part in before.items() if name != "ovs"}, what)


def test_P29_P35_P44_B8_a_bridge_is_made_and_goes_with_its_last_port(stage: tuple[Host, VSwitch]) -> None:
    host, ovs = stage
    before = everything(host, ovs)
    planned = run(host, A, B, C, check=True)
    done = run(host, A, B, C)
    assert planned["operations"] == done["operations"]
    assert not run(host, A, B, C)["changed"]
    assert [each["kind"] for each in done["attachments"]] == ["openvswitch"] * 3
    [bridge] = ovs.rows("Bridge", "name", "datapath_type", "external_ids")
    mark = ["map", [["pipework.owner", "pipework:auto"]]]
    assert bridge == {"name": "ovs0", "datapath_type": "", "external_ids": mark}
    mac = host.link("ovs0")["address"]  # type: ignore[index]
    assert host.ping("a", "10.7.0.2")
    assert not host.ping("a", "10.7.0.3", seconds=0)

    # a trunk, whose tagged frames come out untagged at their access port
    run(host, {**C, "vlan_trunks": [10, "30-40"]})
    tagged = "link add link eth1 name eth1.10 type vlan id 10\nlink set eth1.10 up\naddress add 10.7.1.3/24 dev eth1.10"
    host.batch(tagged, ns="c")
    host.batch("address add 10.7.1.1/24 dev eth1", ns="a")
    assert host.ping("c", "10.7.1.1")
    run(host, {**C, "vlan_trunks": [30]})
    assert not host.ping("c", "10.7.1.1", seconds=0)
    run(host, {**C, "vlan": 10, "vlan_trunks": []})
    assert host.ping("c", "10.7.0.2")  # live, on the link that is there
    assert host.link("eth1.10", ns="c") is not None
    assert host.link("ovs0")["address"] == mac  # type: ignore[index]

    run(host, *gone(A, B))
    ovs.vsctl("add-port", "ovs0", "others", "--", "set", "Interface", "others", "type=internal")
    run(host, *gone(C))
    assert ovs.ports("ovs0") == ["others"]  # the bridge is used
    ovs.vsctl("del-port", "others")
    host.batch("address add 10.7.0.9/24 dev ovs0")
    run(host, A)
    run(host, *gone(A))
    assert ovs.vsctl("list-br") == "ovs0"  # and so it is by its address
    host.batch("address del 10.7.0.9/24 dev ovs0")
    run(host, *gone(A))
    assert_as(host, ovs, before)


def test_B4_a_bridge_that_was_made_on_the_way_is_taken_back(stage: tuple[Host, VSwitch]) -> None:
    host, ovs = stage
    before = everything(host, ovs)
    number = len(run(host, A, check=True)["operations"])
    for place in range(number):
        said = refusal(lambda at=place: run(host, A, step=failing_at(at)))  # type: ignore[misc]
        assert said is not None
        assert said.endswith(("were taken back; everything is as it was.", "Nothing was changed.")), said
    assert_as(host, ovs, before)
    with pytest.raises(Killed):
        run(host, A, step=killed_at(number - 1))  # the bridge is there, its port is not
    run(host, *gone(A))
    assert_as(host, ovs, before)
    run(host, A)
    wanted = ovs.snapshot()
    for place in range(len(run(host, *gone(A), check=True)["operations"])):
        assert refusal(lambda at=place: run(host, *gone(A), step=failing_at(at))) is not None  # type: ignore[misc]
        assert ovs.snapshot() == wanted
    run(host, B)
    assert host.ping("a", "10.7.0.2")
    run(host, *gone(A, B))
    assert_as(host, ovs, before)


def test_B2_a_port_moves_between_open_vswitch_and_a_linux_bridge(stage: tuple[Host, VSwitch]) -> None:
    host, ovs = stage
    before = everything(host, ovs)
    run(host, A, B)
    linux = [{**each, "host_interface": "br1", "vlan": None} for each in (A, B)]
    run(host, *linux)
    assert ovs.vsctl("list-br") == ""
    assert host.ping("a", "10.7.0.2")
    back = [{**each, "host_interface": "ovs0"} for each in (A, B)]
    assert refusal(lambda: run(host, *back, step=failing_at(4))) is not None
    assert host.ping("a", "10.7.0.2")
    run(host, *back)
    assert host.ping("a", "10.7.0.2")
    run(host, *gone(*back))
    assert_as(host, ovs, before)


def test_P3_B9_a_bridge_with_the_hosts_address_and_a_tunnel(stage: tuple[Host, VSwitch]) -> None:
    """The other end of the tunnel is one that iproute2 made."""
    host, ovs = stage
    host.batch("""
        link add under type veth peer name under netns b
        address add 10.70.0.1/24 dev under
        link set under up
    """)
    host.batch("""
        address add 10.70.0.2/24 dev under
        link set under up
        link add vx0 mtu 1400 type vxlan id 7 remote 10.70.0.1 dstport 4789
        address add 10.7.0.2/24 dev vx0
        link set vx0 up
    """, ns="b")
    before = everything(host, ovs)
    wanted = {"name": "ovs1", "kind": "openvswitch", "mtu": 1400, "addresses": ["10.7.0.254/24"]}
    tunnel = {"name": "tun0", "remote": "10.70.0.2", "key": 7}
    planned = host.run(job=BridgeJob, check=True, **wanted, tunnels=[tunnel])
    done = host.run(job=BridgeJob, **wanted, tunnels=[tunnel])
    assert planned["operations"] == done["operations"]
    assert not host.run(job=BridgeJob, **wanted, tunnels=[tunnel], datapath="system")["changed"]
    host.attach("a", host_interface="ovs1", addresses=["10.7.0.1/24"])
    assert host.ping("a", "10.7.0.2")
    assert host.ping(None, "10.7.0.2")
    host.run(job=BridgeJob, **wanted, tunnels=[{**tunnel, "key": 8}])  # another network
    assert not host.ping("a", "10.7.0.2", seconds=0)
    host.attach("a", host_interface="ovs1", state="absent")
    assert refusal(lambda: host.run(job=BridgeJob, name="ovs1", kind="openvswitch", state="absent", step=failing_at(1)))
    assert host.addresses("ovs1") == ["10.7.0.254/24"]
    assert ovs.ports("ovs1") == ["tun0"]
    host.run(job=BridgeJob, name="ovs1", kind="openvswitch", state="absent")
    # The tunnel's own interface in the kernel stays with the datapath, as with ovs-vsctl.
    assert ovs.snapshot() == before["ovs"]
    assert "ovs1" not in host.links()
    host.batch("link del under")
