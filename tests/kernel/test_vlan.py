# Copyright: pipework.containers contributors
# GNU General Public License v3.0+ (see LICENSE)
"""VLANs on a Linux bridge: who reaches whom, what iproute2 shows of it, and what is left when a run fails."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from typing import Any

import pytest

from ansible_collections.pipework.containers.plugins.module_utils._core.errors import PipeworkError
from ansible_collections.pipework.containers.plugins.module_utils._jobs.bridge import BridgeJob
from tests.integration.lab import Host, Killed, Params, difference, failing_at, killed_at

ACCESS, PLAIN = ["PVID", "Egress Untagged"], None
EVERYBODY = ("a", "b", "c")


@pytest.fixture
def host() -> Iterator[Host]:
    found = Host(*EVERYBODY)
    yield found
    found.close()


@pytest.fixture
def pair() -> Iterator[Host]:
    found = Host("a", "b")
    yield found
    found.close()


def item(container: str, number: int, **options: Any) -> Params:
    return {"container": container, "host_interface": "br1", "addresses": [f"10.7.0.{number}/24"], **options}


def attach(host: Host, *items: Params, **more: Any) -> dict[str, Any]:
    """A check run, the run, and a second one, which must agree."""
    params = {"runtime": "netns", "attachments": list(items), **more}
    planned = host.run(check=True, **params)
    done = host.run(**params)
    assert planned["operations"] == done["operations"]
    again = host.run(**params)
    assert not again["changed"], again["operations"]
    assert again["attachments"] == done["attachments"]
    return done


def bridge(host: Host, **params: Any) -> dict[str, Any]:
    return host.run(job=BridgeJob, **{"name": "br1", **params})


def vlans(host: Host) -> dict[str, dict[str, Any]]:
    """By interface: VLAN or range, and flags, as bridge prints them."""
    shown = json.loads(host.sh("bridge", "-compressvlans", "-j", "vlan", "show") or "[]")
    return {
        port["ifname"]: {
            str(each["vlan"]) + (f"-{each['vlanEnd']}" if "vlanEnd" in each else ""): each.get("flags") or None
            for each in port["vlans"]
        }
        for port in shown
    }


def ends(done: dict[str, Any]) -> dict[str, str]:
    return {each["container"]: each["local_interface"] for each in done["attachments"]}


def everything(host: Host) -> dict[str, Any]:
    return {"host": host.snapshot(), "vlans": vlans(host)}


# -- who reaches whom


def test_P31_containers_of_one_vlan_reach_each_other_and_no_others(host: Host) -> None:
    done = attach(host, item("a", 1, vlan=10), item("b", 2, vlan=10), item("c", 3, vlan=20))
    assert [(each["vlan"], each["vlan_trunks"]) for each in done["attachments"]] == [(10, []), (10, []), (20, [])]
    end = ends(done)
    shown = vlans(host)
    assert [shown[end[name]] for name in EVERYBODY] == [{"10": ACCESS}, {"10": ACCESS}, {"20": ACCESS}]  # and no VLAN 1
    assert host.ping("a", "10.7.0.2")
    assert not host.ping("a", "10.7.0.3", seconds=0)

    # Changed live: the VLAN of the port and nothing else, on the link that is there.
    before = host.link("eth1", ns="c")
    changed = attach(host, item("a", 1, vlan=10), item("b", 2, vlan=10), item("c", 3, vlan=10))
    assert [(each["action"], each["kind"], each["name"]) for each in changed["operations"]] == [
        ("update", "port", "netns:c/eth1")
    ]
    assert changed["operations"][0]["before"]["vlans"] == ("20 pvid untagged",)
    assert host.link("eth1", ns="c") == before
    assert vlans(host)[end["c"]] == {"10": ACCESS}
    assert host.ping("a", "10.7.0.3")


def test_P31_B8_a_trunk_carries_tagged_frames_and_a_native_vlan(host: Host) -> None:
    """The CNI bridge's own case: VLAN 100, and a trunk of 101 and 200-210."""
    router = item("c", 3, vlan=100, vlan_trunks=["200-210", 101])
    done = attach(host, item("a", 1, vlan=101), item("b", 2, vlan=100), router)
    assert (done["attachments"][2]["vlan"], done["attachments"][2]["vlan_trunks"]) == (100, ["101", "200-210"])
    end = ends(done)["c"]
    assert vlans(host)[end] == {"100": ACCESS, "101": PLAIN, "200-210": PLAIN}
    host.sh(
        "ip",
        "-batch",
        "-",
        ns="c",
        text=(
            "link add link eth1 name eth1.101 type vlan id 101\nlink set eth1.101 up\n"
            "address add 10.7.1.3/24 dev eth1.101\n"
        ),
    )
    host.sh("ip", "address", "add", "10.7.1.1/24", "dev", "eth1", ns="a")
    assert host.ping("c", "10.7.1.1")  # tagged by c, untagged at a
    assert host.ping("c", "10.7.0.2")  # the native VLAN
    assert not host.ping("b", "10.7.0.1", seconds=0)

    changed = attach(host, {**router, "vlan_trunks": ["102-150", "200-205"]})
    assert [each["kind"] for each in changed["operations"]] == ["port"]
    assert vlans(host)[end] == {"100": ACCESS, "102-150": PLAIN, "200-205": PLAIN}
    assert not host.ping("c", "10.7.1.1", seconds=0)
    assert host.ping("c", "10.7.0.2")

    attach(host, {**router, "vlan": None, "vlan_trunks": ["101"]})
    assert vlans(host)[end] == {"101": PLAIN}  # no VLAN for frames without a tag
    assert host.ping("c", "10.7.1.1")
    assert not host.ping("c", "10.7.0.2", seconds=0)


def test_P31_two_vlans_of_one_bridge_may_use_the_same_addresses(host: Host) -> None:
    host.add_guests("d")
    done = attach(
        host,
        item("a", 1, vlan=10),
        item("b", 2, vlan=10),
        item("c", 1, vlan=20),
        item("d", 2, vlan=20),
    )
    macs = {each["container"]: each["mac_address"] for each in done["attachments"]}
    for here, there in (("a", "b"), ("c", "d")):
        assert host.ping(here, "10.7.0.2")
        assert macs[there] in host.sh("ip", "neigh", "show", "dev", "eth1", ns=here)


def test_B8_isolated_ports_of_one_vlan_reach_only_the_others(host: Host) -> None:
    attach(
        host,
        item("a", 1, vlan=10, port={"isolated": True}),
        item("b", 2, vlan=10, port={"isolated": True}),
        item("c", 3, vlan=10),
    )
    assert not host.ping("a", "10.7.0.2", seconds=0)
    assert host.ping("a", "10.7.0.3")
    assert host.ping("b", "10.7.0.3")


# -- what is not asked for


def test_P31_without_the_options_vlans_are_left_as_they_are(host: Host) -> None:
    end = ends(attach(host, item("a", 1, vlan=10), item("b", 2)))
    assert vlans(host)[end["b"]] == {"1": ACCESS}  # the bridge's default
    attach(host, item("a", 5), item("b", 2))
    assert vlans(host)[end["a"]] == {"10": ACCESS}
    host.sh("bridge", "vlan", "add", "dev", end["a"], "vid", "30", "untagged")
    moved = attach(host, {**item("a", 5), "host_interface": "br2"})
    assert vlans(host)[end["a"]] == {"10": ACCESS, "30": ["Egress Untagged"]}  # also on another bridge
    assert moved["attachments"][0]["host_interface"] == "br2"


def test_P31_filtering_is_not_switched_on_under_ports_of_others(host: Host) -> None:
    host.sh(
        "ip",
        "-batch",
        "-",
        text=(
            "link add br1 type bridge\nlink set br1 up\n"
            "link add other type veth peer name rehto\nlink set other master br1 up\n"
        ),
    )
    before = everything(host)
    with pytest.raises(
        PipeworkError, match=r"vlan: the bridge br1 does not filter VLANs.*\(other\).*'vlan_filtering: true'"
    ):
        attach(host, item("a", 1, vlan=10))
    assert everything(host) == before
    assert bridge(host, vlan_filtering=True)["changed"]
    assert not bridge(host, vlan_filtering=True)["changed"]
    end = ends(attach(host, item("a", 1, vlan=10)))["a"]
    shown = vlans(host)
    assert (shown["other"], shown[end]) == ({"1": ACCESS}, {"10": ACCESS})


def test_P31_filtering_is_switched_on_where_all_ports_are_ours(host: Host) -> None:
    host.sh("ip", "link", "add", "br1", "type", "bridge")
    attach(host, item("a", 1), item("b", 2))
    assert host.ping("a", "10.7.0.2")
    done = attach(host, item("c", 3, vlan=10))
    steps = [(each["action"], each["kind"], each["name"]) for each in done["operations"]]
    assert steps[steps.index(("create", "port", "netns:c/eth1")) + 1] == ("update", "link", "br1")
    assert host.ping("a", "10.7.0.2")
    assert not host.ping("c", "10.7.0.1", seconds=0)


@pytest.mark.parametrize(
    ("kind", "option", "words"),
    [
        ("dummy", {"vlan": 10}, "kinds bridge, openvswitch, macvlan, macvtap, ipvlan"),
        ("macvlan", {"vlan_trunks": ["10"]}, "kinds bridge, openvswitch"),
    ],
)
def test_P31_other_kinds_refuse_vlans(host: Host, kind: str, option: Params, words: str) -> None:
    host.sh("ip", "link", "add", "nic0", "type", "dummy")
    with pytest.raises(PipeworkError, match=rf"{next(iter(option))}: kind {kind} does not have it; {words}"):
        host.run(runtime="netns", container="a", host_interface="nic0", kind=kind, **option)


# -- bridges


def test_P31_a_bridge_is_made_with_filtering_and_without_a_default_vlan(host: Host) -> None:
    done = bridge(host, vlan_filtering=True, default_pvid=0)
    assert (done["bridges"][0]["vlan_filtering"], done["bridges"][0]["default_pvid"]) == (True, 0)
    end = ends(attach(host, item("a", 1), item("b", 2, vlan=10)))
    shown = vlans(host)
    assert (shown.get(end["a"], {}), shown[end["b"]]) == ({}, {"10": ACCESS})


def test_P31_the_default_vlan_changes_while_the_bridge_filters(host: Host) -> None:
    bridge(host, vlan_filtering=True)
    end = ends(attach(host, item("a", 1), item("b", 2, vlan=10)))
    changed = bridge(host, default_pvid=5)
    assert changed["changed"] and not bridge(host, default_pvid=5)["changed"]
    assert vlans(host) == {"br1": {"5": ACCESS}, end["a"]: {"5": ACCESS}, end["b"]: {"10": ACCESS}}


def test_P31_a_bridge_that_cannot_go_gives_its_ports_back_their_vlans(host: Host) -> None:
    bridge(host, vlan_filtering=True)
    attach(host, item("a", 1, vlan=10, port={"isolated": True}), item("b", 2, vlan=20, vlan_trunks=["30-40"]))
    before = everything(host)
    number = len(bridge(host, state="absent", check=True)["operations"])
    assert number >= 3
    for place in range(number):
        with pytest.raises(PipeworkError, match=r"everything is as it was|Nothing was changed"):
            bridge(host, state="absent", step=failing_at(place))
        unchanged(host, before, f"failed at {place}")


# -- the same as iproute2 makes


@pytest.mark.parametrize(
    ("options", "commands"),
    [
        ({"vlan": 10}, ["bridge vlan del dev END vid 1", "bridge vlan add dev END vid 10 pvid untagged"]),
        (
            {"vlan": 100, "vlan_trunks": ["101", "200-210"]},
            [
                "bridge vlan del dev END vid 1",
                "bridge vlan add dev END vid 100 pvid untagged",
                "bridge vlan add dev END vid 101",
                "bridge vlan add dev END vid 200-210",
            ],
        ),
        ({"vlan_trunks": ["1-4094"]}, ["bridge vlan del dev END vid 1", "bridge vlan add dev END vid 1-4094"]),
        (
            {"vlan": 1, "port": {"isolated": True, "hairpin": True, "learning": False}},
            [
                "bridge link set dev END isolated on",
                "bridge link set dev END hairpin on",
                "bridge link set dev END learning off",
            ],
        ),
    ],
)
def test_P31_B8_iproute2_shows_the_same_as_of_its_own_work(host: Host, options: Params, commands: list[str]) -> None:
    end = ends(attach(host, item("a", 1, **options)))["a"]
    twin = Host()
    try:
        twin.sh(
            "ip",
            "-batch",
            "-",
            text=(
                "link add br1 type bridge vlan_filtering 1\n"
                f"link add {end} type veth peer name far\nlink set {end} master br1 up\n"
                "link set far up\nlink set br1 up\n"
            ),
        )
        for command in commands:
            twin.sh(*command.replace("END", end).split())
        assert vlans(host) == vlans(twin)
        ours, theirs = (settled(each, end) for each in (host, twin))
        assert ours == theirs
    finally:
        twin.close()


def settled(host: Host, end: str) -> dict[str, Any]:
    """What bridge and ip show of a port and its bridge, less what is different of any two."""
    port = json.loads(host.sh("bridge", "-j", "-d", "link", "show", "dev", end))[0]
    [[of_bridge], [of_port]] = [
        [link["linkinfo"] for link in host.ip("link", "show") if link["ifname"] == name] for name in ("br1", end)
    ]
    kept = ("vlan_filtering", "vlan_default_pvid", "vlan_protocol", "stp_state", "group_fwd_mask")
    slave = of_port["info_slave_data"]
    return {
        "port": {k: v for k, v in port.items() if k not in ("ifindex", "link", "state", "link_index", "link_netnsid")},
        "bridge": {k: of_bridge["info_data"].get(k) for k in kept},
        "slave": {
            k: slave.get(k)
            for k in ("hairpin", "learning", "isolated", "flood", "guard", "fastleave", "neigh_suppress")
        },
    }


# -- failures

A = item("a", 1, vlan=100, vlan_trunks=["101", "200-210"], mac_address="06:00:00:00:00:0a")
B = item("b", 2, vlan=10, port={"isolated": True}, mac_address="06:00:00:00:00:0b")
DISTURBED: dict[str, tuple[list[Params], list[Params]]] = {
    "new": ([], [A]),
    "filtering_switched_on": ([{**A, "vlan": None, "vlan_trunks": None}], [B]),
    "live": (
        [A, B],
        [
            {**A, "vlan": 10, "vlan_trunks": None},
            {**B, "vlan": None, "vlan_trunks": ["5-9"], "port": {"isolated": False}},
        ],
    ),
    "another_bridge": ([A, B], [{**A, "host_interface": "br2"}]),
    "absent": ([A], [{**A, "state": "absent"}]),
}


@pytest.mark.parametrize("name", DISTURBED)
def test_B4_a_failure_at_every_operation_leaves_the_state_before(pair: Host, name: str) -> None:
    earlier, items = DISTURBED[name]
    host, params = pair, {"runtime": "netns", "attachments": items}
    host.run(runtime="netns", attachments=earlier)
    before = everything(host)
    number = len(host.run(check=True, **params)["operations"])
    assert everything(host) == before
    for place in range(number):
        with pytest.raises(PipeworkError, match=r"everything is as it was|Nothing was changed"):
            host.run(step=failing_at(place), **params)
        unchanged(host, before, f"failed at {place}")
    assert len(host.run(**params)["operations"]) == number


def unchanged(host: Host, before: dict[str, Any], what: str) -> None:
    end = time.monotonic() + 3
    found = [what]
    while found and time.monotonic() < end:
        found = difference(before, everything(host))
    assert found == [], what


@pytest.mark.parametrize("name", ["live", "another_bridge"])
def test_B4_a_run_killed_at_any_operation_is_made_up_for_by_the_next(pair: Host, name: str) -> None:
    earlier, items = DISTURBED[name]
    host = pair
    end = ends(attach(host, *earlier))
    number = len(host.run(check=True, runtime="netns", attachments=items)["operations"])
    for place in range(number):
        host.run(runtime="netns", attachments=earlier)
        with pytest.raises(Killed):
            host.run(step=killed_at(place), runtime="netns", attachments=items)
        attach(host, *items)
        shown = vlans(host)
        if name == "live":
            assert (shown[end["a"]], shown[end["b"]]) == ({"10": ACCESS}, {"5-9": PLAIN})
        else:
            assert shown[end["a"]] == {"100": ACCESS, "101": PLAIN, "200-210": PLAIN}


def test_P31_a_nic_as_a_trunk(pair: Host) -> None:
    """Two VLANs come in by one cable, from the namespace b, and go to whom they are for."""
    pair.sh("ip", "link", "add", "nic0", "type", "veth", "peer", "name", "nic0", "netns", "b")
    pair.batch("link set nic0 up\n" + "".join(
        f"link add link nic0 name nic0.{vlan} type vlan id {vlan}\nlink set nic0.{vlan} up\n"
        f"address add 10.7.{vlan}.2/24 dev nic0.{vlan}\n" for vlan in (10, 20, 30)
    ), ns="b")  # fmt: skip
    before = everything(pair)
    trunk = {"vlan_filtering": True, "ports": [{"name": "nic0", "vlan_trunks": ["10", "30"]}]}
    planned = bridge(pair, check=True, **trunk)
    assert bridge(pair, **trunk)["operations"] == planned["operations"]
    assert not bridge(pair, **trunk)["changed"]
    assert vlans(pair)["nic0"] == {"10": PLAIN, "30": PLAIN}
    guest = {"container": "a", "host_interface": "br1", "addresses": ["10.7.10.1/24", "10.7.20.1/24"]}
    pair.run(runtime="netns", attachments=[{**guest, "vlan": 10}])
    assert pair.ping("a", "10.7.10.2")
    pair.run(runtime="netns", attachments=[{**guest, "vlan": 20}])  # which the trunk does not carry
    assert not pair.ping("a", "10.7.20.2", seconds=0)
    bridge(pair, ports=[{"name": "nic0", "vlan_trunks": ["20"]}])
    assert pair.ping("a", "10.7.20.2")
    pair.run(runtime="netns", attachments=[{**guest, "state": "absent"}])
    bridge(pair, state="absent")
    assert difference(before, everything(pair)) == []
