# Copyright: pipework.containers contributors
# GNU General Public License v3.0+ (see LICENSE)
"""P34, B13: pipework_tc with what most kernels have; netem and the others are in tests/kernel/test_tc.py."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest

from ansible_collections.pipework.containers.plugins.module_utils._core.errors import PipeworkError
from ansible_collections.pipework.containers.plugins.module_utils._jobs.tc import TcJob
from tests.integration.lab import Host, Killed, failing_at, killed_at

pytestmark = pytest.mark.root

PORT = 4000
TBF = {"rate": "1mbit", "burst": "32kb", "latency": "50ms"}


@pytest.fixture
def wire() -> Iterator[Host]:
    """Guests a and b, at the ends of a veth pair."""
    host = Host("a", "b")
    host.sh("ip", "link", "add", "eth1", "netns", "a", "type", "veth", "peer", "name", "eth1", "netns", "b")
    for name, address in (("a", "10.3.0.1/24"), ("b", "10.3.0.2/24")):
        host.batch(f"address add {address} dev eth1\nlink set eth1 up\n", ns=name)
    yield host
    host.close()


def tc(host: Host, check: bool = False, step: Any = None, **params: Any) -> dict[str, Any]:
    return host.run(job=TcJob, check=check, step=step, **{"container": "a", "runtime": "netns", **params})


def shape(host: Host, **params: Any) -> dict[str, Any]:
    """A check run, the run, and a second one, which must agree."""
    planned = tc(host, check=True, **params)
    done = tc(host, **params)
    assert planned["operations"] == done["operations"]
    again = tc(host, **params)
    assert not again["changed"], again["operations"]
    return done


def what(done: dict[str, Any]) -> list[tuple[str, str]]:
    return [(each["action"], each["name"]) for each in done["operations"]]


def shown(host: Host, ns: str = "a", device: str = "eth1") -> list[dict[str, Any]]:
    found = json.loads(host.sh("tc", "-j", "-d", "qdisc", "show", "dev", device, ns=ns))
    for each in found:
        each.get("options", {}).pop("direct_packets_stat", None)  # counts
    return [{k: v for k, v in each.items() if k != "refcnt"} for each in found]


def throughput(host: Host, size: int, here: str = "a", there: str = "b", address: str = "10.3.0.2") -> float:
    """Bits a second that TCP carries, from the second quarter on: the first may be the burst."""
    listener = host.sockets(lambda: socket.socket(socket.AF_INET, socket.SOCK_STREAM), there)
    sender = host.sockets(lambda: socket.socket(socket.AF_INET, socket.SOCK_STREAM), here)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    with listener, sender:
        listener.bind((address, PORT))
        listener.listen(1)
        sender.settimeout(60)
        sender.connect((address, PORT))
        stream, _peer = listener.accept()
        stream.settimeout(60)
        writer = threading.Thread(target=sender.sendall, args=(bytes(size),))
        writer.start()
        got, begin, start = 0, 0.0, 0
        with stream:
            while got < size:
                got += len(stream.recv(1 << 16))
                if not begin and got >= size / 4:
                    begin, start = time.monotonic(), got
            took = time.monotonic() - begin
        writer.join()
    return (size - start) * 8 / took


def test_P34_a_qdisc_comes_changes_and_goes(wire: Host) -> None:
    default = shown(wire)
    assert what(shape(wire, tbf=TBF)) == [("create", "netns:a/eth1 root")]
    [found] = shown(wire)
    assert (found["kind"], found["handle"], found["options"]["rate"]) == ("tbf", "7077:", 125000)
    done = shape(wire, tbf={**TBF, "rate": "2mbit"})
    assert what(done) == [("update", "netns:a/eth1 root")]
    assert done["interfaces"][0]["root"]["rate"] == "2mbit"
    assert what(shape(wire, htb={"default": 30})) == [
        ("delete", "netns:a/eth1 root"),
        ("create", "netns:a/eth1 root"),
    ]
    assert shape(wire, clsact={})["changed"]
    assert [each["kind"] for each in shown(wire)] == ["htb", "clsact"]
    assert what(shape(wire, state="absent")) == [("delete", "netns:a/eth1 root")]
    assert what(shape(wire, clsact={}, state="absent")) == [("delete", "netns:a/eth1 ingress")]
    assert shown(wire) == default
    assert not tc(wire, container="gone", state="absent")["changed"]


def test_B6_what_somebody_else_made_stays(wire: Host) -> None:
    wire.sh(
        "tc",
        *[
            "qdisc",
            "add",
            "dev",
            "eth1",
            "root",
            "handle",
            "8:",
            "tbf",
            "rate",
            "1mbit",
            "burst",
            "32kb",
            "latency",
            "50ms",
        ],
        ns="a",
    )
    before = shown(wire)
    assert not tc(wire, tbf=TBF)["changed"]  # just so already
    for options in ({"tbf": {**TBF, "rate": "2mbit"}}, {"pfifo": {}}, {"state": "absent"}):
        with pytest.raises(PipeworkError, match="a/eth1 has a qdisc that is not ours, tbf 8:; 'force: true'"):
            tc(wire, **options)
    assert shown(wire) == before
    shape(wire, tbf={**TBF, "rate": "2mbit"}, handle="8:")  # named: changed where it is
    assert shown(wire)[0]["handle"] == "8:"
    shape(wire, pfifo={"limit": 10}, force=True)
    assert shown(wire)[0]["handle"] == "7077:"
    shape(wire, state="absent")


def test_P34_many_interfaces_in_one_run(wire: Host) -> None:
    both = [{"container": "a"}, {"container": "b", "tbf": {**TBF, "rate": "3mbit"}}]
    assert what(shape(wire, tbf=TBF, interfaces=both)) == [
        ("create", "netns:a/eth1 root"),
        ("create", "netns:b/eth1 root"),
    ]
    assert shown(wire, "b")[0]["options"]["rate"] == 375000
    before = shown(wire) + shown(wire, "b")
    with pytest.raises(PipeworkError, match=r"interfaces\[1\]: device: eth9 does not exist in netns:b"):
        tc(wire, pfifo={}, interfaces=[{"container": "a"}, {"container": "b", "device": "eth9"}])
    assert shown(wire) + shown(wire, "b") == before


def test_P34_a_rate_is_measured(wire: Host) -> None:
    """Bounds: never above the rate by more than a tenth; below it, a slow machine may be."""
    shape(wire, tbf={"rate": "4mbit", "burst": "16kb", "latency": "100ms"})
    assert throughput(wire, 1_000_000) < 4_400_000
    shape(wire, tbf={"rate": "16mbit", "burst": "16kb", "latency": "100ms"})
    assert 4_400_000 < throughput(wire, 2_000_000) < 17_600_000


def test_B4_a_failure_at_every_operation_leaves_the_state_before(wire: Host) -> None:
    shape(wire, tbf=TBF)
    before = shown(wire)
    for change in ({"tbf": {**TBF, "rate": "2mbit"}}, {"pfifo": {"limit": 7}}, {"htb": {}}, {"state": "absent"}):
        number = len(tc(wire, check=True, **change)["operations"])
        for place in range(number):
            with pytest.raises(PipeworkError, match=r"everything is as it was|Nothing was changed"):
                tc(wire, step=failing_at(place), **change)
            assert shown(wire) == before, (change, place)


def test_B4_a_run_killed_at_any_operation_is_made_up_for_by_the_next(wire: Host) -> None:
    for place in range(2):
        tc(wire, tbf=TBF)
        with pytest.raises(Killed):
            tc(wire, pfifo={"limit": 7}, step=killed_at(place))
        shape(wire, pfifo={"limit": 7})
        assert shown(wire)[0]["kind"] == "pfifo"


def test_P34_a_kernel_without_the_kind_is_named(wire: Host) -> None:
    """Where the kernel has them all, there is nothing to be seen."""
    if wire.ok("tc", *["qdisc", "add", "dev", "eth1", "root", "netem"], ns="a"):
        wire.sh("tc", *["qdisc", "del", "dev", "eth1", "root"], ns="a")
        assert shape(wire, netem={"loss": "1%"})["changed"]
        return
    with pytest.raises(PipeworkError, match=r"This kernel has no netem: it needs CONFIG_NET_SCH_NETEM.*Nothing was"):
        tc(wire, netem={"loss": "1%"})


def test_P34_the_module_itself(wire: Host) -> None:
    params = {"container": "a", "runtime": "netns", "tbf": TBF}
    planned = wire.module("pipework_tc", params, check=True)
    assert planned["changed"] and "tbf" in planned["diff"]["after"], planned
    done = wire.module("pipework_tc", params)
    assert done["operations"] == planned["operations"] and done["after"] == planned["after"]
    assert not wire.module("pipework_tc", params)["changed"]
    refused = wire.module("pipework_tc", {**params, "tbf": {**TBF, "rate": "fast"}})
    assert refused["failed"] and refused["msg"].startswith("tbf.rate: 'fast'")
    assert refused["msg"].endswith("Nothing was changed.")


def test_B11_purge_takes_what_is_ours_and_not_listed(wire: Host) -> None:
    """Two interfaces of a, one of b; what others made, and what says nothing of its owner, stays."""
    wire.batch("link add eth2 type veth peer name eth3\nlink set eth2 up\nlink set eth3 up\n", ns="a")
    rate = ("rate", "1mbit", "burst", "32kb", "latency", "50ms")
    wire.sh("tc", "qdisc", "add", "dev", "eth3", "root", "handle", "8:", "tbf", *rate, ns="a")
    tree = {
        "qdiscs": [{"kind": "htb", "default": 16}],
        "classes": [{"classid": "7077:10", "rate": "1mbit"}],
        "filters": [{"parent": "7077:", "match": ["ip dst 10.9.0.0/16"], "classid": "7077:10"}],
    }
    door = {"qdiscs": [{"kind": "clsact"}], "filters": [{"parent": "ingress", "priority": 9}]}
    both = [{"device": "eth1", **tree}, {"device": "eth2", "tbf": TBF}, {"container": "b", "tbf": TBF, "handle": "5:"}]
    shape(wire, interfaces=both)
    shape(wire, interfaces=[{"device": "eth2", **door}])
    before = [shown(wire, ns, device) for ns, device in (("a", "eth3"), ("b", "eth1"))]
    purge: dict[str, Any] = {"container": None, "purge": True}
    listed = [{"container": "a", "device": "eth1", **tree}, {"container": "b"}]
    for place in range(2):
        whole = [shown(wire, "a", "eth1"), shown(wire, "a", "eth2")]
        with pytest.raises(PipeworkError, match=r"everything is as it was|Nothing was changed"):
            tc(wire, step=failing_at(place), **purge, interfaces=[{"container": "a"}, {"container": "b"}])
        assert [shown(wire, "a", "eth1"), shown(wire, "a", "eth2")] == whole
    assert what(shape(wire, **purge, interfaces=listed)) == [("delete", "netns:a/eth2 root")]
    assert shown(wire)[0]["kind"] == "htb" and [each["kind"] for each in shown(wire, "a", "eth2")][1:] == ["clsact"]
    # an empty list is of the task's container
    assert {action for action, _name in what(shape(wire, purge=True, interfaces=[]))} == {"delete"}
    assert shown(wire)[0]["kind"] == "noqueue"
    assert [shown(wire, ns, device) for ns, device in (("a", "eth3"), ("b", "eth1"))] == before
    assert not tc(wire, **purge, interfaces=[{"container": "gone"}])["changed"]
    with pytest.raises(PipeworkError, match="purge: needs 'interfaces'"):
        tc(wire, purge=True, tbf=TBF)
    with pytest.raises(PipeworkError, match=r"interfaces\[0\]: netem: say what the interface shall have"):
        tc(wire, interfaces=[{"container": "b"}])


def test_P34_a_tree_makes_room_for_another_kind_of_qdisc(wire: Host) -> None:
    tree = {
        "qdiscs": [{"kind": "htb", "default": 16}, {"kind": "pfifo", "parent": "7077:10", "handle": "10:"}],
        "classes": [{"classid": "7077:10", "rate": "1mbit"}],
        "filters": [{"parent": "7077:", "match": ["ip dst 10.9.0.0/16"], "classid": "7077:10"}],
    }
    for options in ({"tbf": TBF}, {"qdiscs": [{"kind": "tbf", **TBF}]}, {"htb": {"default": 16}, "handle": "8:"}):
        shape(wire, **tree)
        before = shown(wire)
        for place in range(len(tc(wire, check=True, **options)["operations"])):
            with pytest.raises(PipeworkError, match=r"everything is as it was|Nothing was changed"):
                tc(wire, step=failing_at(place), **options)
            assert shown(wire) == before
        shape(wire, **options)
        assert len(shown(wire)) == 1 and wire.sh("tc", "filter", "show", "dev", "eth1", ns="a") == ""
        shape(wire, state="absent", force=True)
    shape(wire, **tree)
    shape(wire, htb={"default": 10})  # of the same kind: what stands on it stays
    assert "7077:10" in wire.sh("tc", "class", "show", "dev", "eth1", ns="a")
