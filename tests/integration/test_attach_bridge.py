# Copyright: pipework.containers contributors
# GNU General Public License v3.0+ (see LICENSE)
"""pipework_attach, kind bridge: containers on a private bridge."""

from __future__ import annotations

import re

import pytest

from ansible_collections.pipework.containers.plugins.module_utils._core.errors import PipeworkError
from tests.integration.lab import Host, refusal, wait_for

pytestmark = pytest.mark.root


@pytest.mark.any_kernel
def test_P1_makes_bridge_pair_address_and_sets_all_up(host: Host) -> None:
    before = host.snapshot()
    result = host.attach("a", addresses=["192.168.1.1/24"])
    assert result["changed"]
    [attachment] = result["attachments"]
    bridge, inside = host.link("br1"), host.link("eth1", ns="a")
    outside = host.link(attachment["local_interface"])
    assert bridge and inside and outside
    assert bridge["linkinfo"]["info_kind"] == "bridge"
    assert "UP" in bridge["flags"] and "UP" in inside["flags"] and "UP" in outside["flags"]
    assert outside["master"] == "br1"
    assert host.links("a") == ["eth1"]
    assert host.addresses("eth1", ns="a") == ["192.168.1.1/24"]
    assert attachment["mac_address"] == inside["address"]
    assert (attachment["kind"], attachment["runtime"], attachment["container"], attachment["mtu"]) == (
        "bridge",
        "netns",
        "a",
        1500,
    )
    host.attach("a", state="absent")
    host.assert_as(before)


@pytest.mark.any_kernel
def test_P1_an_eth1_of_the_host_itself_is_not_in_the_way(host: Host) -> None:
    """Old kernels look for the far end's name on the host."""
    host.sh("ip", "link", "add", "eth1", "type", "veth", "peer", "name", "eth2")
    before = host.snapshot()
    said = host.attach("a", check=True, addresses=["192.168.1.1/24"])
    assert host.attach("a", addresses=["192.168.1.1/24"])["operations"] == said["operations"]
    host.attach("b", addresses=["192.168.1.2/24"])
    assert host.ping("a", "192.168.1.2")
    for guest in "ab":
        host.attach(guest, state="absent")
    host.assert_as(before)


@pytest.mark.oldest
@pytest.mark.any_kernel
def test_P2_a_second_container_keeps_the_bridge_and_both_ping_each_other(host: Host) -> None:
    host.attach("a", addresses=["192.168.1.1/24", "fd00:1::1/64"])
    bridge = host.link("br1")
    host.attach("b", addresses=["192.168.1.2/24", "fd00:1::2/64"])
    after = host.link("br1")
    assert bridge and after and (bridge["ifindex"], bridge["address"]) == (after["ifindex"], after["address"])
    for ns, other in (("a", 2), ("b", 1)):
        assert host.ping(ns, f"192.168.1.{other}")
        assert host.ping(ns, f"fd00:1::{other}")


def test_P2_the_first_to_leave_lets_the_others_stay(host: Host) -> None:
    host.add_guests("c")
    for number, guest in enumerate("abc", 1):
        host.attach(guest, addresses=[f"192.168.1.{number}/24"])
    host.attach("a", state="absent")
    assert host.links("a") == []
    assert host.ping("b", "192.168.1.3")
    host.attach("b", state="absent")
    assert host.link("br1")
    host.attach("c", state="absent")
    assert host.links() == []


def test_P2_a_bridge_of_others_is_used_and_never_removed(host: Host) -> None:
    host.sh(
        "ip", "link", "add", "br1", "address", "06:00:00:00:00:99", "mtu", "1400", "type", "bridge", "stp_state", "1"
    )
    before = host.link("br1")
    host.attach("a", addresses=["192.168.1.1/24"])
    link = host.link("eth1", ns="a")
    assert link and link["mtu"] == 1400
    assert "pipework" not in str((host.link("br1") or {}).get("ifalias"))
    host.attach("a", state="absent")
    after = host.link("br1")
    assert (
        before and after and after["ifindex"] == before["ifindex"] and after["linkinfo"]["info_data"]["stp_state"] == 1
    )


def test_P2_a_bridge_that_somebody_gave_an_address_stays(host: Host) -> None:
    host.attach("a", addresses=["192.168.1.1/24"])
    host.sh("ip", "address", "add", "192.168.1.254/24", "dev", "br1")
    assert host.ping("a", "192.168.1.254")
    host.attach("a", state="absent")
    assert host.addresses("br1") == ["192.168.1.254/24"]


def test_P5_several_interfaces_of_one_container(host: Host) -> None:
    host.attach("a", addresses=["10.1.0.1/24"])
    host.attach("a", addresses=["10.2.0.1/24"], interface="eth2", host_interface="br2")
    host.attach("a", addresses=["10.3.0.1/24"], interface="lan-x.7", host_interface="br2")
    assert host.links("a") == ["eth1", "eth2", "lan-x.7"]
    assert host.links().__len__() == 5
    host.attach("a", state="absent", interface="eth2", host_interface="br2")
    assert host.links("a") == ["eth1", "lan-x.7"]


def test_P6_the_host_end_has_the_name_given_or_one_that_is_always_the_same(host: Host) -> None:
    assert host.attach("a", local_interface="hostapp1")["attachments"][0]["local_interface"] == "hostapp1"
    assert host.link("hostapp1")
    first = host.attach("b")["attachments"][0]["local_interface"]
    assert len(first) <= 15
    host.attach("b", state="absent")
    assert host.attach("b")["attachments"][0]["local_interface"] == first


@pytest.mark.parametrize("name", ["x" * 200, "ä…ö", "a.b-c_d", "-n", "two words", "$(reboot)", "0"])
def test_P6_B14_any_name_of_a_container_will_do(host: Host, name: str) -> None:
    host.add_guests(name)
    before = host.snapshot()
    result = host.attach(name, addresses=["10.1.0.1/24"])
    assert len(result["attachments"][0]["local_interface"]) <= 15
    assert host.addresses("eth1", ns=name) == ["10.1.0.1/24"]
    assert not host.attach(name, addresses=["10.1.0.1/24"])["changed"]
    host.attach(name, state="absent")
    host.assert_as(before)


@pytest.mark.oldest
@pytest.mark.any_kernel
def test_P6_an_existing_pair_gets_a_new_name_in_place(host: Host) -> None:
    host.attach("a", addresses=["10.1.0.1/24"])
    before = host.link("eth1", ns="a")
    result = host.attach("a", addresses=["10.1.0.1/24"], local_interface="web")
    after = host.link("eth1", ns="a")
    assert before and after and before["ifindex"] == after["ifindex"]
    assert [(o["action"], o["kind"]) for o in result["operations"]] == [("update", "port")]
    assert host.links() == ["br1", "web"]
    assert not host.attach("a", addresses=["10.1.0.1/24"])["changed"]  # without the option it keeps the name


def test_P6_the_name_of_a_container_that_was_started_anew_is_free_again(host: Host) -> None:
    host.attach("a", addresses=["10.1.0.1/24"], local_interface="web")
    host.end_guest("a")
    wait_for("the kernel to take the pair away", lambda: "web" not in host.links())
    host.add_guests("a")
    result = host.attach("a", addresses=["10.1.0.1/24"], local_interface="web")
    assert result["changed"]
    assert host.links() == ["br1", "web"]


def test_P6_two_ends_cannot_have_one_name(host: Host) -> None:
    host.attach("a", local_interface="web")
    before = host.snapshot()
    with pytest.raises(
        PipeworkError, match=r"local_interface: web exists on the host.*another attachment.*Nothing was changed"
    ):
        host.attach("b", local_interface="web")
    host.assert_as(before)


@pytest.mark.parametrize("addresses", [["0/0"], [], None])
def test_P11_an_interface_without_an_address_is_up(host: Host, addresses: list[str] | None) -> None:
    host.attach("a", addresses=addresses)
    link = host.link("eth1", ns="a")
    assert link and "UP" in link["flags"]
    assert host.addresses("eth1", ns="a") == []


@pytest.mark.any_kernel
def test_P12_the_broadcast_address_is_set(host: Host) -> None:
    host.attach("a", addresses=["10.1.2.3/16", "192.168.7.9/30", "172.16.0.1/31", "172.17.0.1/32"])
    [link] = host.ip("address", "show", "dev", "eth1", ns="a")
    told = {a["local"]: a.get("broadcast") for a in link["addr_info"] if a["family"] == "inet"}
    assert told == {"10.1.2.3": "10.1.255.255", "192.168.7.9": "192.168.7.11", "172.16.0.1": None, "172.17.0.1": None}


def test_P42_what_is_there_already_is_brought_to_the_wanted_state(host: Host) -> None:
    wanted = {
        "addresses": ["10.1.0.1/24", "fd01::1/64"],
        "gateway": ["10.1.0.254"],
        "mac_address": "02:00:00:00:00:01",
        "mtu": 1500,
    }
    host.attach("a", **wanted)
    snapshot, index = host.snapshot(), (host.link("eth1", ns="a") or {})["ifindex"]
    end = next(name for name in host.links() if name != "br1")
    assert not host.attach("a", **wanted)["changed"]
    for spoil, ns in (
        (("link", "set", "eth1", "down"), "a"),
        (("link", "set", end, "down"), None),
        (("link", "set", end, "nomaster"), None),
        (("link", "set", "br1", "down"), None),
        (("address", "flush", "dev", "eth1"), "a"),
        (("address", "add", "10.99.0.1/24", "dev", "eth1"), "a"),
        (("link", "set", "eth1", "mtu", "1300"), "a"),
        (("link", "set", end, "mtu", "1300"), None),
        (("route", "del", "default"), "a"),
        (("link", "set", "eth1", "address", "02:00:00:00:00:02"), "a"),
    ):
        host.sh("ip", *spoil, ns=ns)
        assert host.attach("a", **wanted)["changed"], spoil
        host.assert_as(snapshot, " ".join(spoil))
        assert (host.link("eth1", ns="a") or {})["ifindex"] == index
    assert not host.attach("a", **wanted)["changed"]


@pytest.mark.parametrize(("spoil", "ns"), [("eth1", "a"), ("br1", None)])
def test_P42_what_somebody_deleted_is_made_again(host: Host, spoil: str, ns: str | None) -> None:
    host.attach("a", addresses=["10.1.0.1/24"], mac_address="02:00:00:00:00:01", local_interface="web")
    before = host.snapshot()
    host.sh("ip", "link", "del", spoil, ns=ns)
    host.attach("a", addresses=["10.1.0.1/24"], mac_address="02:00:00:00:00:01", local_interface="web")
    before["host"]["links"]["web"].pop("address")
    after = host.snapshot()
    after["host"]["links"]["web"].pop("address")
    assert after == before


@pytest.mark.parametrize(
    ("host_interface", "kind"), [("br-lan", "bridge"), ("mybridge", "bridge"), ("nic0", "macvlan")]
)
def test_P44_kind_auto_sees_what_is_there(host: Host, host_interface: str, kind: str) -> None:
    host.sh("ip", "link", "add", "mybridge", "type", "bridge")
    host.sh("ip", "link", "add", "nic0", "type", "veth", "peer", "name", "nic1")
    assert host.attach("a", host_interface=host_interface)["attachments"][0]["kind"] == kind


@pytest.mark.parametrize("name", ["eth9", "ov0x", "web"])
def test_P44_an_unknown_interface_is_refused(host: Host, name: str) -> None:
    before = host.snapshot()
    with pytest.raises(
        PipeworkError, match=rf"host_interface: I do not know how to setup interface {name}.*Nothing was changed"
    ):
        host.attach("a", host_interface=name)
    host.assert_as(before)


def test_P44_a_bridge_by_any_name_where_the_kind_says_so(host: Host) -> None:
    host.attach("a", host_interface="lan", kind="bridge", addresses=["10.1.0.1/24"])
    assert (host.link("lan") or {})["linkinfo"]["info_kind"] == "bridge"
    host.attach("a", host_interface="lan", state="absent")
    assert host.links() == []


@pytest.mark.any_kernel
def test_P37_the_mtu_is_that_of_the_bridge(host: Host) -> None:
    host.sh("ip", "link", "add", "br1", "mtu", "1380", "type", "bridge")
    assert host.attach("a")["attachments"][0]["mtu"] == 1380
    end = next(name for name in host.links() if name != "br1")
    assert [(host.link("eth1", ns="a") or {})["mtu"], (host.link(end) or {})["mtu"]] == [1380, 1380]


@pytest.mark.any_kernel
@pytest.mark.parametrize("mtu", [1280, 1400, 9000])
def test_P37_another_mtu_where_it_is_given(host: Host, mtu: int) -> None:
    host.attach("a", mtu=mtu, addresses=["10.1.0.1/24"])
    host.attach("b", mtu=mtu, addresses=["10.1.0.2/24"])
    end = next(name for name in host.links() if name != "br1")
    assert [(host.link("eth1", ns="a") or {})["mtu"], (host.link(end) or {})["mtu"]] == [mtu, mtu]
    assert host.ok("ping", "-c", "1", "-W", "2", "-M", "do", "-s", str(mtu - 28), "10.1.0.2", ns="a")
    assert not host.attach("a", mtu=mtu, addresses=["10.1.0.1/24"])["changed"]


def test_a_bridge_that_has_no_port_left_is_refused(host: Host) -> None:
    """A Linux bridge takes 1,023 ports. Pairs of veths with both ends on the bridge fill it quickest."""
    lines = ["link add br1 type bridge"] + [f"link add p{n} master br1 type veth peer name q{n}" for n in range(1023)]
    host.batch("\n".join(lines))
    names = len(host.links())
    for params in ({}, {"kind": "bridge"}):
        with pytest.raises(
            PipeworkError,
            match=r"host_interface: the bridge br1 would have 1024 ports, but .*1,?023.*Nothing was changed",
        ):
            host.attach("a", **params)
    assert len(host.links()) == names and host.links("a") == []
    host.sh("ip", "link", "set", "p7", "nomaster")
    host.attach("a")
    with pytest.raises(PipeworkError, match="1024 ports"):
        host.attach("b")


def test_a_new_bridge_for_more_than_it_takes_is_refused_before_it_is_made(host: Host) -> None:
    many = [{"runtime": "host", "interface": f"v{n}"} for n in range(1024)]
    with pytest.raises(PipeworkError, match=r"br1 would have 1024 ports.*Nothing was changed"):
        host.run(host_interface="br1", attachments=many)
    assert host.links() == []


def test_runtime_host_gives_the_host_itself_an_interface(host: Host) -> None:
    before = host.snapshot()
    host.attach("a", addresses=["10.1.0.1/24"])
    host.run(runtime="host", host_interface="br1", interface="lan", addresses=["10.1.0.254/24"])
    assert host.ping(None, "10.1.0.1")
    assert not host.run(runtime="host", host_interface="br1", interface="lan", addresses=["10.1.0.254/24"])["changed"]
    host.run(runtime="host", interface="lan", state="absent")
    host.attach("a", state="absent")
    host.assert_as(before)


def test_runtime_pid_and_a_path_reach_the_same_namespace(host: Host) -> None:
    import subprocess

    sleeper = host.call(lambda: subprocess.Popen(["ip", "netns", "exec", "a", "sleep", "60"]).pid)
    try:
        host.run(runtime="pid", container=str(sleeper), host_interface="br1", interface="eth1")
        host.run(runtime="netns", container="/run/netns/a", host_interface="br1", interface="eth2")
        assert host.links("a") == ["eth1", "eth2"]
        for runtime, name in (("pid", str(sleeper)), ("netns", "/run/netns/a")):
            with pytest.raises(PipeworkError, match=r"eth3 .*each interface can be listed once|same interface"):
                host.run(
                    host_interface="br1",
                    attachments=[
                        {"runtime": runtime, "container": name, "interface": "eth3"},
                        {"runtime": "netns", "container": "a", "interface": "eth3"},
                    ],
                )
        host.run(runtime="netns", container="a", interface="eth1", state="absent")
        assert host.links("a") == ["eth2"]
    finally:
        import os
        import signal

        os.kill(sleeper, signal.SIGKILL)


def test_B14_names_chosen_inside_a_container_are_compared_and_nothing_else(host: Host) -> None:
    host.attach("a", addresses=["10.1.0.1/24"])
    for name in ("../../x", "..", "$(id)", "a\nb", "-v"):
        host.ok("ip", "link", "add", "name", name, "type", "veth", ns="a")
    host.sh("ip", "link", "add", "ordinary", "type", "veth", "peer", "name", "`id`;x", ns="a")
    assert not host.attach("a", addresses=["10.1.0.1/24"])["changed"]
    host.attach("a", state="absent")
    assert "ordinary" in host.links("a") and "eth1" not in host.links("a")


def test_B14_what_a_container_writes_on_its_own_end_decides_nothing(host: Host) -> None:
    """Whose a pair is stands on the host end, where the container cannot write."""
    host.attach("a", addresses=["10.1.0.1/24"])
    for alias in (
        "",
        "mine",
        "pipework:netns:b:1:eth1",
        "pipework:auto",
        "pipework:netns:a:eth1|0123456789abcdef|eth0|1500||up||",
        "x" * 250,
    ):
        host.sh("ip", "link", "set", "eth1", "alias", alias, ns="a")
        before = host.snapshot()
        host.run(container="b", runtime="netns", state="absent")
        host.run(attachments=[], purge=True, host_interface="br2")
        host.assert_as(before, alias)
        result = host.attach("a", addresses=["10.1.0.2/24"])
        assert not [o for o in result["operations"] if o["action"] == "delete" and o["kind"] != "address"]
        host.attach("a", addresses=["10.1.0.1/24"])
    assert host.links() == ["br1", *[n for n in host.links() if n.startswith("pw")]]
    host.attach("a", state="absent")
    assert host.links("a") == [] and host.links() == []


def test_B11_purge_on_several_bridges(host: Host) -> None:
    for number in (1, 2, 3):
        for guest in "ab":
            host.attach(guest, host_interface=f"br{number}", interface=f"eth{number}")
    given = {"runtime": "netns", "purge": True, "purge_on": ["br1", "br2"], "kind": "bridge"}
    stay = [{"container": "a", "host_interface": "br1"}]
    stay += [{"container": "b", "host_interface": "br2", "interface": "eth2"}]
    said, done = host.run(check=True, **given, attachments=stay), host.run(**given, attachments=stay)
    assert said["operations"] == done["operations"]
    assert {each["action"] for each in done["operations"]} == {"delete"}
    assert (host.links("a"), host.links("b")) == (["eth1", "eth3"], ["eth2", "eth3"])
    assert not host.run(**given, attachments=stay)["changed"]
    assert not host.run(**{**given, "purge_on": []}, attachments=[])["changed"]
    said_of = refusal(lambda: host.run(**{**given, "purge_on": ["a/b"]}, attachments=[])) or ""
    assert said_of.startswith("purge_on: 'a/b' cannot be the name of an interface")
    host.run(**{**given, "purge_on": None}, attachments=[])
    assert host.links("a") == host.links("b") == host.links() == []


def test_B14_a_container_cannot_have_others_links_deleted_by_a_mark(host: Host) -> None:
    """A foreign interface in the container, with our mark and in our group, is the container's own matter."""
    host.attach("b", addresses=["10.1.0.2/24"])
    host.sh("ip", "link", "add", "eth1", "type", "veth", "peer", "name", "other", ns="a")
    ours = re.sub(
        ":b:", ":a:", next(link["ifalias"] for link in host.ip("link", "show") if link["ifname"].startswith("pw"))
    )
    host.sh("ip", "link", "set", "eth1", "alias", ours, ns="a")
    host.sh("ip", "link", "set", "eth1", "group", str(0x70697065), ns="a")
    before = host.snapshot()
    host.attach("b", addresses=["10.1.0.2/24"])
    host.assert_as(before)
    host.run(container="b", runtime="netns", state="absent")
    assert host.addresses("eth1", ns="a") == [] and host.links("b") == []


@pytest.mark.parametrize("gateway", ["10.1.0.255", "10.1.0.0", "10.1.0.1"])
def test_P9_a_gateway_is_checked_with_the_addresses_that_are_there(host: Host, gateway: str) -> None:
    host.attach("a", addresses=["10.1.0.1/24"])
    before = host.snapshot()
    for more in ({}, {"addresses": ["10.2.0.1/24"], "append": True}, {"table": "101"}):
        with pytest.raises(PipeworkError, match=rf"^gateway: {gateway} is the .*Nothing was changed\.$"):
            host.attach("a", gateway=[gateway], **more)
    host.assert_as(before)


def test_P2_a_bridge_that_is_there_may_have_any_name_and_a_new_one_a_plain_one(host: Host) -> None:
    odd = "br(1)"
    before = host.snapshot()
    with pytest.raises(PipeworkError, match=r"^host_interface: 'br\(1\)' has '\(' in it.*Nothing was changed\.$"):
        host.attach("a", host_interface=odd)
    host.assert_as(before)
    host.sh("ip", "link", "add", odd, "type", "bridge")
    assert host.attach("a", host_interface=odd)["changed"]


def test_a_bridge_of_others_keeps_its_mac_address(host: Host) -> None:
    """One whose address is not pinned has the lowest of its ports': whoever reaches the host by it would lose it."""
    host.sh("ip", "link", "add", "br0", "type", "bridge")
    host.sh("ip", "link", "add", "lan0", "address", "fa:ff:ff:ff:ff:fe", "type", "veth", "peer", "name", "lan1")
    host.batch("link set lan0 master br0\nlink set lan0 up\nlink set lan1 up\nlink set br0 up\n")
    before = (host.link("br0") or {})["address"]
    assert before == "fa:ff:ff:ff:ff:fe"
    items = [{"container": "a", "runtime": "netns", "interface": f"eth{n}"} for n in range(1, 9)]
    host.run(host_interface="br0", attachments=items)
    assert (host.link("br0") or {})["address"] == before
    ends = [link["address"] for link in host.ip("link", "show", "master", "br0") if link["ifname"] != "lan0"]
    assert len(set(ends)) == 8
    assert {end[:2] for end in ends} == {"fe"}
