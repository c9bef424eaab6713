# Copyright: pipework.containers contributors
# GNU General Public License v3.0+ (see LICENSE)
"""pipework_bridge: bridges of the host that stay."""

from __future__ import annotations

import shutil
from typing import Any

import pytest

from ansible_collections.pipework.containers.plugins.module_utils._core.errors import PipeworkError
from ansible_collections.pipework.containers.plugins.module_utils._engine import run
from ansible_collections.pipework.containers.plugins.module_utils._jobs.bridge import BridgeJob
from tests.integration.lab import Host, Killed, Params, failing_at, killed_at, refusal

pytestmark = pytest.mark.root


def bridge(host: Host, name: str | None = "br1", **params: Any) -> dict[str, Any]:
    return host.run(job=BridgeJob, name=name, **params)


def data(host: Host, name: str = "br1") -> dict[str, Any]:
    return dict((host.link(name) or {})["linkinfo"]["info_data"])


def test_P3_the_host_has_an_address_among_the_containers(host: Host) -> None:
    before = host.snapshot()
    wanted = {"addresses": ["192.168.1.254/24", "fd01::fe/64"]}
    said = bridge(host, check=True, **wanted)
    host.assert_as(before)
    done = bridge(host, **wanted)
    assert said["operations"] == done["operations"] and done["changed"]
    assert host.addresses("br1") == ["192.168.1.254/24", "fd01::fe/64"]
    [shown] = host.ip("address", "show", "dev", "br1")
    assert next(a for a in shown["addr_info"] if a["family"] == "inet")["broadcast"] == "192.168.1.255"
    host.attach("a", addresses=["192.168.1.1/24", "fd01::1/64"], gateway=["192.168.1.254"])
    assert host.ping(None, "192.168.1.1") and host.ping("a", "192.168.1.254") and host.ping("a", "fd01::fe")
    assert not bridge(host, **wanted)["changed"]
    host.attach("a", state="absent")
    assert host.link("br1"), "a bridge of pipework_bridge stays without containers"
    assert not bridge(host, **wanted)["changed"]
    bridge(host, state="absent")
    host.assert_as(before)
    assert not bridge(host, state="absent")["changed"]


def test_addresses_change_in_place_and_stay_where_they_are_not_said(host: Host) -> None:
    bridge(host, addresses=["10.1.0.1/24", "10.1.0.2/24"])
    index = (host.link("br1") or {})["ifindex"]
    bridge(host)
    assert host.addresses("br1") == ["10.1.0.1/24", "10.1.0.2/24"]
    bridge(host, addresses=["10.1.0.2/24", "10.1.0.3/24"])
    assert host.addresses("br1") == ["10.1.0.2/24", "10.1.0.3/24"]
    bridge(host, addresses=[])
    assert host.addresses("br1") == []
    assert (host.link("br1") or {})["ifindex"] == index


@pytest.mark.oldest
@pytest.mark.any_kernel
def test_P4_stp_off_and_a_short_delay_as_virtual_switches_want_it(host: Host) -> None:
    bridge(host, stp=False, forward_delay=2)
    assert (data(host)["stp_state"], data(host)["forward_delay"]) == (0, 200)
    assert not bridge(host, stp=False, forward_delay=2)["changed"]
    bridge(host, stp=False, forward_delay=0)
    assert data(host)["forward_delay"] == 0
    bridge(host, stp=True, forward_delay=4, hello_time=1, max_age=6, ageing_time=60)
    found = data(host)
    names = ("stp_state", "forward_delay", "hello_time", "max_age", "ageing_time")
    assert [found[name] for name in names] == [1, 400, 100, 600, 6000]
    before = host.snapshot()
    assert not bridge(host)["changed"]  # what is not said stays
    host.assert_as(before)
    bridge(host, stp=False, forward_delay=0.5)
    assert data(host)["forward_delay"] == 50


@pytest.mark.parametrize(
    ("params", "words"),
    [
        ({"max_age": 0}, r"max_age: 0.* s is not possible; .*6 to 40.*ESXi"),
        ({"stp": True, "forward_delay": 1}, r"forward_delay: 1 s is not possible while STP is on"),
        ({"forward_delay": 31}, r"forward_delay: 31.*2 to 30"),
        ({"hello_time": 0}, r"hello_time: 0.*1 to 10"),
        ({"hello_time": "soon"}, r"hello_time: 'soon' is not a number"),
        ({"name": None}, r"name: say which"),
        ({"name": "x" * 16}, r"name: .*16 characters"),
        ({"name": "a/b"}, r"name: 'a/b'"),
        ({"name": "lo"}, r"name: 'lo' is the loopback"),
        ({"addresses": ["10.1.0.1"]}, r"addresses: .*Maybe you meant 10\.1\.0\.1/24\?"),
        ({"mac_address": "03:00:00:00:00:01"}, r"mac_address: .*multicast"),
        ({"mtu": 20}, r"mtu: 20"),
        ({"mtu": 1000, "addresses": ["fd00::1/64"]}, r"mtu: 1000 is too small for IPv6"),
        ({"name": "nic0"}, r"name: nic0 exists on the host and is not a bridge but veth"),
        ({"name": "nic0", "state": "absent"}, r"name: nic0 is somebody else's veth"),
        ({"name": "foreign", "state": "absent"}, r"name: foreign is somebody else's bridge"),
        ({"purge": True}, r"purge: needs 'bridges'"),
        ({"name": None, "bridges": [{"name": "x"}, {"name": "x"}]}, r"bridges\[1\]: name: x is listed twice"),
        (
            {"name": None, "addresses": ["10.1.0.1/24"], "bridges": [{"name": "x"}, {"name": "y"}]},
            r"bridges\[1\]: addresses: 10\.1\.0\.1/24 is given to both x and y",
        ),
    ],
    ids=str,
)
def test_P8_P28_bad_input_is_refused_before_anything_is_touched(host: Host, params: Params, words: str) -> None:
    host.batch("link add nic0 type veth peer name lan0\nlink add foreign type bridge")
    bridge(host, "br9")
    before = host.snapshot()

    def work() -> Any:
        try:
            job = BridgeJob({"name": "br1", **params})
        except PipeworkError as error:
            raise PipeworkError(str(error), "Nothing was changed.") from None
        return run.run(job)

    with pytest.raises(PipeworkError, match=f"{words}.*Nothing was changed"):
        host.call(work)
    host.assert_as(before)


@pytest.mark.any_kernel
def test_the_mac_is_pinned_while_ports_come_and_go(host: Host) -> None:
    """A bridge without an address of its own has that of its ports, and changes it with them."""
    bridge(host)
    mac = (host.link("br1") or {})["address"]
    host.attach("a", mac_address="02:00:00:00:00:01")
    host.attach("b")
    assert (host.link("br1") or {})["address"] == mac
    bridge(host, state="absent")
    bridge(host)
    assert (host.link("br1") or {})["address"] == mac, "the same each time"
    bridge(host, "br2")
    assert (host.link("br2") or {})["address"] != mac


@pytest.mark.any_kernel
def test_B2_mac_and_mtu_change_in_place(host: Host) -> None:
    bridge(host, mac_address="U:myhost.foo.com", mtu=1400, addresses=["10.1.0.254/24"])
    link = host.link("br1") or {}
    assert (link["address"], link["mtu"]) == ("02:72:6c:cd:9b:8d", 1400)
    host.attach("a", addresses=["10.1.0.1/24"])
    assert (host.link("eth1", ns="a") or {})["mtu"] == 1400
    result = bridge(host, mac_address="02:00:00:00:00:07", mtu=1300, addresses=["10.1.0.254/24"])
    after = host.link("br1") or {}
    assert (after["address"], after["mtu"], after["ifindex"]) == ("02:00:00:00:00:07", 1300, link["ifindex"])
    assert [(o["action"], o["kind"]) for o in result["operations"]] == [("update", "link")]
    assert host.addresses("br1") == ["10.1.0.254/24"]


def test_a_bridge_that_an_attachment_made_is_adopted_and_stays(host: Host) -> None:
    host.attach("a", addresses=["10.1.0.1/24"])
    index = (host.link("br1") or {})["ifindex"]
    assert bridge(host, addresses=["10.1.0.254/24"])["changed"]
    assert (host.link("br1") or {})["ifindex"] == index
    host.attach("a", state="absent")
    assert host.link("br1")


def test_a_foreign_bridge_is_changed_but_never_owned_or_removed(host: Host) -> None:
    host.batch("""
        link add br1 address 06:00:00:00:00:77 type bridge
        address add 10.9.0.1/24 dev br1
        link add nic0 type veth peer name lan0
        link set nic0 master br1
    """)
    bridge(host, addresses=["10.1.0.254/24"], stp=True)
    assert host.addresses("br1") == ["10.1.0.254/24", "10.9.0.1/24"], "somebody else's address is not removed"
    link = host.link("br1") or {}
    assert link["address"] == "06:00:00:00:00:77" and "pipework" not in str(link.get("ifalias"))
    before = host.snapshot()
    with pytest.raises(PipeworkError, match=r"br1 is somebody else's bridge, which is never removed here.*Nothing was"):
        bridge(host, state="absent")
    host.run(job=BridgeJob, bridges=[], purge=True)
    host.assert_as(before)


def test_absent_leaves_attachments_but_not_foreign_ports(host: Host) -> None:
    bridge(host)
    host.attach("a", addresses=["10.1.0.1/24"])
    host.batch("link add nic0 type veth peer name lan0\nlink set nic0 master br1")
    before = host.snapshot()
    with pytest.raises(PipeworkError, match=r"br1 has ports that are not ours: nic0.*Nothing was changed"):
        bridge(host, state="absent")
    host.assert_as(before)
    host.sh("ip", "link", "set", "nic0", "nomaster")
    bridge(host, state="absent")
    assert host.link("br1") is None and host.addresses("eth1", ns="a") == ["10.1.0.1/24"]


def test_many_bridges_and_purge(host: Host) -> None:
    host.sh("ip", "link", "add", "foreign", "type", "bridge")
    host.attach("a", host_interface="brauto")
    items = [{"name": f"lan{n}", "addresses": [f"10.{n}.0.1/24"]} for n in range(20)]
    host.run(job=BridgeJob, bridges=items, mtu=1400)
    assert all((host.link(f"lan{n}") or {})["mtu"] == 1400 for n in (0, 19))
    host.run(job=BridgeJob, bridges=items[:2], purge=True)
    assert [n for n in host.links() if not n.startswith("pw")] == ["brauto", "foreign", "lan0", "lan1"]
    assert not host.run(job=BridgeJob, bridges=items[:2], purge=True)["changed"]


def test_the_module_returns_the_bridges(host: Host) -> None:
    result = host.module("pipework_bridge", {"name": "br1", "addresses": ["10.1.0.1/24"], "stp": False})
    assert result["changed"] and result["bridges"][0]["name"] == "br1", result
    assert result["bridges"][0]["addresses"] == ["10.1.0.1/24"]
    assert "10.1.0.1/24" in result["diff"]["after"]


# -- forwarding

CLOSED = "table inet closed {\nchain forward {\ntype filter hook forward priority 0; policy drop;\n}\n}\n"


def test_P2b_frames_pass_inside_the_bridge_and_the_rule_goes_with_it(host: Host) -> None:
    if not shutil.which("nft"):
        pytest.skip("needs nft")
    host.sh("nft", "-f", "-", text=CLOSED)
    before = host.snapshot()
    said = bridge(host, check=True)
    done = bridge(host)
    assert said["operations"] == done["operations"]
    assert "filter" in {operation["kind"] for operation in done["operations"]}
    assert host.sh("nft", "list", "ruleset").count("pipework:br1") == 1
    for number, guest in enumerate("ab", 1):
        host.attach(guest, addresses=[f"10.1.0.{number}/24"])
    assert host.ping("a", "10.1.0.2")
    host.sh("nft", "flush", "chain", "inet", "closed", "forward")  # as a reload of the host's rules does
    assert bridge(host)["changed"] and host.ping("b", "10.1.0.1")
    for guest in "ab":
        host.attach(guest, state="absent")
    assert "pipework:br1" in host.sh("nft", "list", "ruleset")
    bridge(host, state="absent")
    host.assert_as(before)


def test_forwarding_unmanaged_leaves_the_filter_alone(host: Host) -> None:
    if not shutil.which("nft"):
        pytest.skip("needs nft")
    host.sh("nft", "-f", "-", text=CLOSED)
    rules = host.sh("nft", "list", "ruleset")
    bridge(host, forwarding="unmanaged")
    assert host.sh("nft", "list", "ruleset") == rules


def test_without_a_filter_nothing_is_added(host: Host) -> None:
    before = host.snapshot()["host"]["filter"]
    bridge(host)
    assert host.snapshot()["host"]["filter"] == before == ""


# -- failures

FULL = {"addresses": ["10.1.0.254/24", "fd01::fe/64"], "mtu": 1400, "stp": True, "forward_delay": 4}
RUNS = [
    pytest.param({}, FULL, id="new"),
    pytest.param(FULL, {"addresses": ["10.2.0.254/24"], "stp": False, "forward_delay": 1, "mtu": 1300}, id="in-place"),
    pytest.param(FULL, {"state": "absent"}, id="absent"),
]


@pytest.mark.parametrize(("earlier", "params"), RUNS)
def test_B4_failures_and_kills_at_every_operation(host: Host, earlier: Params, params: Params) -> None:
    base = host.snapshot()

    def begin() -> None:
        if earlier:
            bridge(host, **earlier)
            host.attach("a", addresses=["10.1.0.1/24"], mac_address="06:00:00:00:00:0a", local_interface="web")

    begin()
    before = host.snapshot()
    number = 0
    while True:
        said = refusal(lambda: bridge(host, step=failing_at(number), **params))  # noqa: B023
        if said is None:
            break
        assert said.endswith(("were taken back; everything is as it was.", "Nothing was changed."))
        host.assert_as(before, f"failed at operation {number}")
        number += 1
    assert number > 0
    for place in range(number):
        host.attach("a", state="absent")
        bridge(host, state="absent")
        host.assert_as(base, f"before operation {place}")
        begin()
        with pytest.raises(Killed):
            bridge(host, step=killed_at(place), **params)
        bridge(host, **params)
        assert not bridge(host, **params)["changed"]
