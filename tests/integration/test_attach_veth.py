# Copyright: pipework.containers contributors
# GNU General Public License v3.0+ (see LICENSE)
"""B7: kind veth, a cable between two containers. Each has one end, and neither is on the host."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from ansible_collections.pipework.containers.plugins.module_utils._core.errors import PipeworkError
from tests.integration.lab import Host, Killed, Params, failing_at, killed_at, refusal

pytestmark = pytest.mark.root


@pytest.fixture
def host() -> Iterator[Host]:
    found = Host("a", "b", "c")
    yield found
    found.close()


def pair(peer: Params | None = None, **options: Any) -> Params:
    """eth1 of a to eth9 of b."""
    near = {"container": "a", "runtime": "netns", "addresses": ["10.4.0.1/24", "fd04::1/64"]}
    far = {"container": "b", "interface": "eth9", "addresses": ["10.4.0.2/24", "fd04::2/64"]}
    return {**near, **options, "peer": {**far, **(peer or {})}}


def attach(host: Host, **params: Any) -> dict[str, Any]:
    """A check run, the run, and a second one, which must agree."""
    planned = host.run(check=True, **params)
    done = host.run(**params)
    assert planned["operations"] == done["operations"]
    again = host.run(**params)
    assert not again["changed"], again["operations"]
    return done


@pytest.mark.any_kernel
def test_B7_a_cable_between_two_containers(host: Host) -> None:
    before = host.snapshot()
    done = attach(host, **pair({"mac_address": "U:b"}, mac_address="U:a"))
    assert [(each["action"], each["kind"], each["name"]) for each in done["operations"]][:2] == [
        ("create", "link", "netns:a/eth1"),
        ("create", "link", "netns:b/eth9"),
    ]
    [shown] = done["attachments"]
    assert (shown["kind"], shown["host_interface"], shown["local_interface"]) == ("veth", None, None)
    assert {name: shown["peer"][name] for name in ("container", "runtime", "interface", "addresses", "gateway")} == {
        "container": "b",
        "runtime": "netns",
        "interface": "eth9",
        "addresses": ["10.4.0.2/24", "fd04::2/64"],
        "gateway": [],
    }
    for ns, name, mac in (("a", "eth1", shown["mac_address"]), ("b", "eth9", shown["peer"]["mac_address"])):
        link = host.link(name, ns=ns) or {}
        assert (link["linkinfo"]["info_kind"], link["address"], link.get("group")) == ("veth", mac, "default")
        assert link["ifalias"].startswith(f"pipework:netns:{ns}:") and "UP" in link["flags"]
    assert host.links() == []
    assert host.ping("a", "10.4.0.2") and host.ping("b", "fd04::1")
    host.run(**pair(state="absent"))
    host.assert_as(before)


@pytest.mark.parametrize(
    "absent",
    [
        {"container": "a"},
        {"container": "b", "interface": "eth9"},
        {"container": "b", "interface": "eth9", "peer": {"container": "a", "interface": "eth1"}},
        {"attachments": [], "purge": True},
        {"attachments": [{"container": "c", "kind": "veth", "state": "absent"}], "purge": True},
    ],
)
def test_B7_either_side_or_a_purge_removes_the_pair(host: Host, absent: Params) -> None:
    before = host.snapshot()
    host.run(**pair())
    host.run(runtime="netns", host_interface="br1", attachments=[], purge=True)  # of a bridge, not of cables
    assert host.links("a") == ["eth1"]
    gone = {"runtime": "netns", **({} if "attachments" in absent else {"state": "absent"}), **absent}
    said = host.run(check=True, **gone)
    assert said["operations"] == host.run(**gone)["operations"]
    host.assert_as(before)
    assert not host.run(**gone)["changed"]


def test_B2_both_ends_change_in_place(host: Host) -> None:
    attach(host, **pair())
    index = [(host.link(name, ns=ns) or {})["ifindex"] for ns, name in (("a", "eth1"), ("b", "eth9"))]
    attach(
        host,
        **pair(
            {"addresses": ["10.4.0.3/24"], "mac_address": "06:00:00:00:00:0b", "gateway": ["10.4.0.9"]},
            addresses=["10.4.0.9/24"],
            mac_address="06:00:00:00:00:0a",
            mtu=1400,
        ),
    )
    links = [host.link(name, ns=ns) or {} for ns, name in (("a", "eth1"), ("b", "eth9"))]
    assert [link["ifindex"] for link in links] == index
    assert [(link["address"], link["mtu"]) for link in links] == [
        ("06:00:00:00:00:0a", 1400),
        ("06:00:00:00:00:0b", 1400),
    ]
    assert host.addresses("eth9", ns="b") == ["10.4.0.3/24"]
    assert host.ping("b", "10.4.0.9")
    assert "default via 10.4.0.9 dev eth9" in host.sh("ip", "route", ns="b")


def test_B7_to_another_peer_reversed_to_a_bridge_and_back(host: Host) -> None:
    before = host.snapshot()
    attach(host, **pair())
    attach(host, **pair({"container": "c"}))
    assert (host.links("b"), host.links("c")) == ([], ["eth9"])
    reverse = {"container": "c", "runtime": "netns", "interface": "eth9", "addresses": ["10.4.0.2/24"]}
    attach(host, **reverse, peer={"container": "a", "addresses": ["10.4.0.1/24"]})
    assert host.ping("a", "10.4.0.2")
    attach(host, container="a", runtime="netns", host_interface="br1", addresses=["10.4.0.1/24"])
    assert host.links("c") == []
    attach(host, **pair({"container": "a", "interface": "eth2"}))  # both ends in one container
    assert host.links("a") == ["eth1", "eth2"] and host.links() == []
    attach(host, **pair({"container": None, "runtime": "host", "interface": "cable0"}))
    assert host.links() == ["cable0"] and host.ping(None, "10.4.0.1")
    attach(host, container=None, runtime="host", interface="cable1", peer={"container": "a", "runtime": "netns"})
    assert host.links() == ["cable1"]
    attach(host, runtime="netns", host_interface="br1", attachments=[{"container": "a"}, {"container": "b"}])
    assert "cable1" not in host.links()
    host.run(runtime="netns", attachments=[], purge=True)
    host.assert_as(before)


def test_B3_many_cables_in_one_run(host: Host) -> None:
    items = [
        {"container": "a", "interface": f"to{n}", "peer": {"container": "b", "interface": f"of{n}"}} for n in range(60)
    ]
    done = attach(host, runtime="netns", host_interface="br1", attachments=items)
    assert len(done["attachments"]) == 60 and len(host.links("a")) == len(host.links("b")) == 60
    attach(host, runtime="netns", attachments=items[:3], purge=True)
    assert len(host.links("a")) == len(host.links("b")) == 3


@pytest.mark.parametrize(
    ("params", "words"),
    [
        ({"container": "a", "kind": "veth"}, "peer: kind veth needs it"),
        (pair(kind="macvlan"), "peer: kind macvlan does not have it; kind veth has."),
        (pair({"container": ""}), "peer: container: say which container"),
        (pair({"container": "nobody"}), "peer: container: netns knows no container 'nobody'"),
        (pair({"container": "a", "interface": "eth1"}), "peer: both ends would be a/eth1"),
        (pair({"addresses": ["10.4.0.1/16"]}), "peer: addresses: 10.4.0.1/16 is given to both ends"),
        (pair({"addresses": ["10.4.0.2"]}), "peer: addresses: '10.4.0.2': the IP address should include a netmask"),
        (pair({"mac_address": "01:00:5e:00:00:01"}), "peer: mac_address:"),
        (pair({"gateway": ["10.4.0.1", "10.4.0.5"]}), "peer: gateway: 10.4.0.1, 10.4.0.5"),
        (pair({"interface": "a name that is too long"}), "peer: interface:"),
        (pair(vlan=5), "vlan: kind veth does not have it"),
        (pair(mode="bridge"), "mode: kind"),
        (pair({"interface": "taken"}), "peer: interface: taken exists in netns:b and is not ours"),
    ],
)
def test_B7_bad_input_is_refused_before_anything_is_touched(host: Host, params: Params, words: str) -> None:
    host.sh("ip", "link", "add", "taken", "type", "bridge", ns="b")
    before = host.snapshot()
    said = refusal(lambda: host.run(**{"runtime": "netns", **params}))
    assert said is not None and words in said, said
    host.assert_as(before)


def test_B7_a_peer_that_has_gone(host: Host) -> None:
    before = host.snapshot()
    host.run(**pair())
    host.end_guest("b")
    del before["b"]
    before["run"].remove("/run/netns/b")
    said = refusal(lambda: host.run(**pair()))
    assert said is not None and said.startswith("peer: container: netns knows no container 'b'")
    host.run(**pair(state="absent"))
    host.assert_as(before)
    host.add_guests("b")
    attach(host, **pair())  # with a new namespace of the same name
    assert host.ping("a", "10.4.0.2")


def test_B14_what_a_container_writes_on_its_end_moves_nothing_of_others(host: Host) -> None:
    attach(host, **pair())
    host.attach("c", host_interface="br1")
    marks = {ns: (host.link(name, ns=ns) or {})["ifalias"] for ns, name in (("a", "eth1"), ("c", "eth1"))}
    for forged in (marks["c"], marks["a"], marks["c"] + "|veth", "pipework:netns:c:1:eth1|peer", ""):
        host.sh("ip", "link", "set", "eth9", "alias", forged, ns="b")
        said = refusal(lambda: host.run(runtime="netns", container="b", interface="eth9", state="absent"))
        assert said is None, said
        assert host.links("c") == ["eth1"], forged
        host.run(runtime="netns", container="a", state="absent")
        assert host.links("b") == [], forged
        attach(host, **pair())


STAGES: dict[str, tuple[Params | None, Params]] = {
    "new": (None, pair({"mac_address": "06:00:00:00:00:0b", "gateway": ["10.4.0.1"]}, mac_address="06:00:00:00:00:0a")),
    "in_place": (pair(), pair({"addresses": ["10.4.0.7/24"]}, mtu=1300)),
    "another_peer": (
        pair({"mac_address": "06:00:00:00:00:0b"}, mac_address="06:00:00:00:00:0a"),
        pair({"container": "c", "mac_address": "06:00:00:00:00:0b"}, mac_address="06:00:00:00:00:0a"),
    ),
    "to_a_bridge": (
        pair({"gateway": ["10.4.0.1"]}),
        {"container": "b", "runtime": "netns", "interface": "eth9", "host_interface": "br1"},
    ),
    "with_the_host": (None, pair({"container": None, "runtime": "host", "interface": "cable0"})),
    "absent_by_one_end": (pair({"gateway": ["10.4.0.1"]}), {"container": "a", "runtime": "netns", "state": "absent"}),
    "absent": (pair({"gateway": ["10.4.0.1"]}), pair(state="absent")),
}


@pytest.mark.parametrize("name", STAGES)
def test_B4_a_failure_anywhere_is_undone_and_after_a_kill_the_next_run_converges(host: Host, name: str) -> None:
    earlier, later = STAGES[name]
    clean = host.snapshot()
    absent = {
        "runtime": "netns",
        "state": "absent",
        "attachments": [
            {"container": "a"},
            {"container": "b", "interface": "eth9"},
            {"container": "c", "interface": "eth9"},
            {"runtime": "host", "container": None, "interface": "cable0"},
        ],
    }
    if earlier:
        host.run(**earlier)
    before = host.snapshot()
    number = len(host.run(check=True, **later)["operations"])
    host.assert_as(before)
    assert number >= 2
    for place in range(number):
        said = refusal(lambda place=place: host.run(step=failing_at(place), **later))  # type: ignore[misc]
        assert said and said.endswith(("everything is as it was.", "Nothing was changed.")), said
        host.assert_as(before, f"failed at {place}")
    for place in range(number):
        with pytest.raises(Killed):
            host.run(step=killed_at(place), **later)
        if place % 2:
            host.run(**later)
            assert not host.run(**later)["changed"], f"killed at {place}"
        host.run(**absent)
        host.assert_as(clean, f"killed at {place}")
        if earlier:
            host.run(**earlier)


@pytest.mark.parametrize(
    ("peer", "words"),
    [
        ({"addresses": ["10.1.0.0/24"]}, "peer: addresses: '10.1.0.0/24' is the address of the network itself"),
        ({"addresses": ["10.1.0.2/24"], "gateway": ["10.1.0.255"]}, "peer: gateway: 10.1.0.255 is the broadcast"),
        ({"interface": ["eth1"]}, "peer: interface: .* in it, which no name of a new interface"),
    ],
)
def test_P9_the_far_end_is_checked_as_the_near_one(host: Host, peer: Params, words: str) -> None:
    with pytest.raises(PipeworkError, match=words):
        attach(host, **pair({"container": "b", **peer}))


def test_a_pair_has_no_end_on_the_host_that_could_be_named(host: Host) -> None:
    with pytest.raises(PipeworkError, match="local_interface: kind veth does not have it; kinds bridge, openvswitch"):
        attach(host, **pair({"container": "b"}), local_interface="x1")
