# Copyright: pipework.containers contributors
# GNU General Public License v3.0+ (see LICENSE)
"""VLANs of NICs: the link NIC.VID under macvlan, macvtap and ipvlan; whose it is, who uses it, and when it goes."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from ansible_collections.pipework.containers.plugins.module_utils._core.errors import PipeworkError
from ansible_collections.pipework.containers.plugins.module_utils._jobs.commands import CommandsJob
from tests.integration.lab import Host, Killed, Params, failing_at, killed_at, refusal
from tests.kernel.conftest import Guest

NIC = (
    "link add nic0 mtu 1400 address 06:00:00:00:01:00 type veth peer name lan0\n"
    "link set lan0 mtu 1400 up\nlink set nic0 up\n"
)


@pytest.fixture
def host() -> Iterator[Host]:
    """A host with the guests a and b and the NIC nic0, whose other end, lan0, sees what leaves it."""
    found = Host("a", "b")
    found.batch(NIC)
    yield found
    found.close()


def item(container: str, number: int, **options: Any) -> Params:
    address = [f"10.6.0.{number}/24"]
    return {"container": container, "host_interface": "nic0", "vlan": 10, "addresses": address, **options}


def attach(host: Host, *items: Params, **more: Any) -> dict[str, Any]:
    """A check run, the run, and a second one, which must agree."""
    params = {"runtime": "netns", "attachments": list(items), **more}
    planned = host.run(check=True, **params)
    done = host.run(**params)
    assert planned["operations"] == done["operations"]
    again = host.run(**params)
    assert not again["changed"], again["operations"]
    return done


def gone(host: Host, *containers: str, **more: Any) -> dict[str, Any]:
    return attach(host, *({"container": name, "state": "absent", **more} for name in containers))


def vlan_link(host: Host, name: str = "nic0.10") -> tuple[Any, ...] | None:
    """What ip shows of it: NIC, protocol, ID, MTU, whether it is up, whose it is."""
    link = host.link(name)
    if link is None:
        return None
    data = link["linkinfo"]["info_data"]
    return link["link"], data["protocol"], data["id"], link["mtu"], "UP" in link["flags"], link.get("ifalias")


OURS = ("nic0", "802.1Q", 10, 1400, True, "pipework:auto")


def test_P30_P47_the_classic_line(host: Host) -> None:
    line = {"runtime": "netns", "cmd": "nic0 a 10.6.0.1/24 @10"}
    planned = host.run(check=True, job=CommandsJob, **line)
    done = host.run(job=CommandsJob, **line)
    assert planned["operations"] == done["operations"] and not host.run(job=CommandsJob, **line)["changed"]
    assert vlan_link(host) == OURS and host.addresses("eth1", ns="a") == ["10.6.0.1/24"]
    gone(host, "a")
    assert host.links() == ["lan0", "nic0"]


@pytest.mark.parametrize("kind", ["auto", "macvtap", "ipvlan"])
def test_P30_the_link_is_made_shared_and_goes_with_its_last_user(host: Host, kind: str) -> None:
    before = host.snapshot()
    done = attach(host, item("a", 1, kind=kind), item("b", 2, kind=kind))
    assert (done["operations"][0]["action"], done["operations"][0]["name"]) == ("create", "nic0.10")
    shown = [(each["host_interface"], each["vlan"], each["mtu"], each["kind"]) for each in done["attachments"]]
    assert shown == [("nic0", 10, 1400, "macvlan" if kind == "auto" else kind)] * 2
    assert vlan_link(host) == OURS
    host.batch("link add link lan0 name lan0.10 type vlan id 10\nlink set lan0.10 up")
    host.sh("ip", "address", "add", "10.6.0.9/24", "dev", "lan0.10")
    assert host.ping("a", "10.6.0.2") and host.ping("a", "10.6.0.9")  # tagged on the wire
    host.sh("ip", "link", "del", "lan0.10")
    gone(host, "a")
    assert vlan_link(host) == OURS
    said = gone(host, "b")
    assert [(each["action"], each["name"]) for each in said["operations"]][-1] == ("delete", "nic0.10")
    host.assert_as(before)


def test_P30_P37_mtu_and_vlan_change_and_the_link_that_is_left_goes(host: Host) -> None:
    attach(host, item("a", 1))
    host.sh("ip", "link", "set", "nic0", "mtu", "1500")
    attach(host, item("a", 1))
    assert vlan_link(host) == (*OURS[:3], 1500, *OURS[4:]) and (host.link("eth1", ns="a") or {})["mtu"] == 1500
    with pytest.raises(PipeworkError, match=r"mtu: 1501 is more than nic0\.10 has \(1500\)"):
        attach(host, item("a", 1, mtu=1501))
    attach(host, item("a", 1, vlan=20))
    assert host.links() == ["lan0", "nic0", "nic0.20"]
    attach(host, item("a", 1, vlan=None))
    assert host.links() == ["lan0", "nic0"]
    attach(host, item("a", 1), item("b", 2, vlan=20, mtu=1280))
    attach(host, item("a", 1, host_interface="br1", vlan=None))
    assert host.links() == sorted(["br1", "lan0", "nic0", "nic0.20", *(n for n in host.links() if n.startswith("pw"))])
    attach(host, item("a", 1, host_interface="mac:06:00:00:00:01:00"))  # its VLAN link has the address too
    assert host.links() == ["lan0", "nic0", "nic0.10", "nic0.20"]


def test_P30_another_interface_of_that_name_is_refused(host: Host) -> None:
    """The script takes whatever is called so."""
    for command, words in (
        ("link add nic0.10 type bridge", "somebody else's bridge"),
        ("link add link nic0 name nic0.10 type vlan id 11", "VLAN 11 of nic0"),
        ("link add link lan0 name nic0.10 type vlan id 10", "VLAN 10 of lan0"),
        ("link add link nic0 name nic0.10 type vlan protocol 802.1ad id 10", "VLAN 10 of nic0, tagged by 802.1ad"),
    ):
        host.batch(command)
        before = host.sh("ip", "-d", "-o", "link")
        for check in (True, False):
            said = refusal(lambda check=check: host.run(check=check, **item("a", 1), runtime="netns"))  # type: ignore[misc]
            assert said == (
                f"vlan: nic0.10 exists on the host and is not VLAN 10 of nic0, but {words}; rename or remove it. "
                "Nothing was changed."
            )
        assert host.sh("ip", "-d", "-o", "link") == before and host.links("a") == []
        host.batch("link del nic0.10")


def test_P30_a_link_of_others_is_used_and_left_alone(host: Host) -> None:
    name = "office"  # the kernel lets a NIC have one link of a VLAN, by whatever name
    host.batch(f"link add link nic0 name {name} mtu 1300 type vlan id 10\nlink set {name} up alias theirs\n")
    before = host.snapshot()
    done = attach(host, item("a", 1), item("b", 2))
    assert [each["mtu"] for each in done["attachments"]] == [1300, 1300]
    assert host.ping("a", "10.6.0.2")
    gone(host, "a", "b")
    attach(host, item("a", 1))
    host.run(runtime="netns", attachments=[], purge=True, host_interface="nic0")
    host.assert_as(before)


def test_P30_what_others_put_on_our_link_keeps_it_in_whatever_namespace(host: Host) -> None:
    """With the link the kernel would delete it too."""
    before = host.snapshot()
    attach(host, item("a", 1))
    attach(host, item("b", 2))
    gone(host, "a")  # b is not looked at otherwise
    assert vlan_link(host) == OURS and host.links("b") == ["eth1"]
    hidden = Guest()
    try:
        places = [
            (str(hidden.pid), ["nsenter", f"--net=/proc/{hidden.pid}/ns/net"]),
            ("a", ["ip", "netns", "exec", "a"]),
            (None, []),
        ]
        for place, enter in places:
            attach(host, item("b", 2))
            host.batch("link add link nic0.10 name other type macvlan mode bridge")
            if place:
                host.sh("ip", "link", "set", "other", "netns", place)
            gone(host, "b")
            assert vlan_link(host) == OURS, place
            host.sh(*enter, "ip", "link", "del", "other")
            assert {each["name"] for each in gone(host, "b")["operations"]} == {"nic0.10"}
    finally:
        hidden.kill()
    for commands in ("address add 10.6.0.7/24 dev nic0.10", "link add link nic0.10 name q type vlan id 5"):
        attach(host, item("b", 2))
        host.batch(commands)
        gone(host, "b")
        assert vlan_link(host) == OURS, commands
        host.batch("address flush dev nic0.10" if "address" in commands else "link del q")
        gone(host, "b")
    host.assert_as(before)


def test_P30_P45_the_link_of_dead_containers_goes_by_absent_or_purge(host: Host) -> None:
    host.add_guests("c")
    attach(host, item("a", 1), item("b", 2, vlan=20), item("c", 3, vlan=30))
    host.end_guest("a")
    assert vlan_link(host) == OURS
    host.run(runtime="netns", container="a", state="absent")
    assert host.links() == ["lan0", "nic0", "nic0.20", "nic0.30"]
    host.run(runtime="netns", attachments=[], purge=True, host_interface="lan0")
    assert host.links() == ["lan0", "nic0", "nic0.20", "nic0.30"] and host.links("c") == ["eth1"]
    host.run(runtime="netns", attachments=[item("c", 3, vlan=30)], purge=True, host_interface="nic0")
    assert host.links() == ["lan0", "nic0", "nic0.30"] and host.links("b") == []
    host.run(attachments=[], purge=True)
    assert host.links() == ["lan0", "nic0"]


def test_P30_a_long_name_is_cut_and_a_long_list_shares_few_links(host: Host) -> None:
    long = "enp129s0f0np0xy"
    host.batch(f"link set nic0 down\nlink set nic0 name {long}\nlink set {long} up\n")
    items = [
        item("ab"[n % 2], n + 1, host_interface=long, vlan=1000 + n % 4, interface=f"eth{n + 1}") for n in range(40)
    ]
    done = attach(host, *items)
    made = [each["name"] for each in done["operations"] if each["action"] == "create" and each["name"][:3] == "enp"]
    assert [name[-5:] for name in made] == [".1000", ".1001", ".1002", ".1003"]
    assert all(len(name) == 15 and name.startswith("enp12") for name in made)
    assert sorted(host.links()) == sorted(["lan0", long, *made])
    attach(host, *({**each, "state": "absent"} for each in items))
    assert host.links() == sorted(["lan0", long])


def shown(host: Host) -> list[list[Any]]:
    """The links and addresses: less than a snapshot, and much quicker on this kernel."""
    gone = ("ifindex", "link_index", "operstate", "linkmode", "link_netnsid", "flags")
    return [
        [{k: v for k, v in link.items() if k not in gone} for link in json.loads(host.sh("ip", "-j", "address", ns=ns))]
        for ns in (None, "a")
    ]


def test_P30_B4_a_failure_anywhere_is_undone_and_after_a_kill_the_next_run_converges(host: Host) -> None:
    """From one VLAN to another: a link is made, another one goes."""
    mac = {"mac_address": "06:00:00:00:00:0a"}
    earlier, later = ({"runtime": "netns", **item("a", 1, vlan=vlan, **mac)} for vlan in (10, 20))
    absent = {"runtime": "netns", "container": "a", "state": "absent"}
    clean = shown(host)
    host.run(**earlier)
    before = shown(host)
    number = len(host.run(check=True, **later)["operations"])
    assert number >= 6
    for place in range(number):
        with pytest.raises(PipeworkError, match=r"everything is as it was|Nothing was changed"):
            host.run(step=failing_at(place), **later)
        assert shown(host) == before, f"failed at {place}"
    for place in range(1, number, 2):
        with pytest.raises(Killed):
            host.run(step=killed_at(place), **later)
        host.run(**(later if place % 4 == 3 else earlier))
        if place % 4 == 3:
            assert host.links() == ["lan0", "nic0", "nic0.20"], f"killed at {place}"
        else:
            assert shown(host) == before, f"killed at {place}"
        with pytest.raises(Killed):
            host.run(step=killed_at(place % 3), **absent)
        host.run(**absent)
        assert shown(host) == clean, f"killed at {place}"
        host.run(**earlier)


def test_P30_a_vlan_whose_link_is_in_another_namespace_is_named(host: Host) -> None:
    host.batch("link add link nic0 name away type vlan id 10\nlink set away netns b")
    before = host.snapshot()
    with pytest.raises(PipeworkError, match=r"link nic0\.10 failed.*VLAN of nic0 is in another network namespace"):
        host.run(**item("a", 1), runtime="netns")
    host.assert_as(before)
