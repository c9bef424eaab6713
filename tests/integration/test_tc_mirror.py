# Copyright: pipework.containers contributors
# GNU General Public License v3.0+ (see LICENSE)
"""B15: copies of one container's frames for another."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from typing import Any

import pytest

from ansible_collections.pipework.containers.plugins.module_utils._core.errors import PipeworkError
from ansible_collections.pipework.containers.plugins.module_utils._jobs.tc import TcJob
from tests.integration.lab import Host, Killed, Listener, failing_at, killed_at

pytestmark = pytest.mark.root

TO_C = {"to_container": "c", "to_interface": "eth1"}


@pytest.fixture
def bus() -> Iterator[Host]:
    """Containers a, b and c on one bridge; ends: their host ends."""
    host = Host("a", "b", "c")
    for number, name in enumerate("abc", 1):
        host.attach(name, addresses=[f"10.4.0.{number}/24"], mac_address=f"06:00:00:00:00:0{number}")
    assert host.ok("ping", "-c", "1", "-w", "10", "-q", "10.4.0.2", ns="a")
    yield host
    host.close()


def tc(host: Host, check: bool = False, step: Any = None, **params: Any) -> dict[str, Any]:
    return host.run(job=TcJob, check=check, step=step, **{"container": "a", "runtime": "netns", **params})


def mirror(host: Host, **params: Any) -> dict[str, Any]:
    """A check run, the run, and a second one, which must agree."""
    planned = tc(host, check=True, **params)
    done = tc(host, **params)
    assert planned["operations"] == done["operations"]
    again = tc(host, **params)
    assert not again["changed"], again["operations"]
    return done


def end_of(host: Host, name: str) -> str:
    [link] = [link for link in host.ip("link", "show", ns=name) if link["ifname"] == "eth1"]
    [end] = [other for other in host.ip("link", "show") if other["ifindex"] == link["link_index"]]
    return str(end["ifname"])


def filters(host: Host) -> dict[str, Any]:
    """All qdiscs and filters of the host ends."""
    found: dict[str, Any] = {}
    for name in "abc":
        end = end_of(host, name)
        shown = json.loads(host.sh("tc", "-j", "qdisc", "show", "dev", end))
        found[name] = [each["kind"] for each in shown if each["kind"] != "noqueue"]
        for side in ("ingress", "egress"):
            text = host.sh("tc", "filter", "show", "dev", end, side)
            found[f"{name} {side}"] = [line.split("device ")[1] for line in text.splitlines() if "mirred" in line]
    return found


def heard(host: Host, where: str, wanted: bool, tag: bytes) -> set[str]:
    """Pings once from a to b with a pattern, and says which of the two ways the listener in ``where`` saw."""
    with contextlib.closing(Listener(host, where, "eth1")) as listener:
        request, reply = bytes([0x06, 0, 0, 0, 0, 1]), bytes([0x06, 0, 0, 0, 0, 2])
        seen: set[str] = set()

        def look(frame: bytes) -> bool:
            if tag in frame and frame[12:14] == b"\x08\x00":
                seen.add({request: "egress", reply: "ingress"}[frame[6:12]])
            return len(seen) == 2

        pattern = tag.hex()
        assert host.ok("ping", "-c", "1", "-w", "10", "-q", "-p", pattern, "10.4.0.2", ns="a")
        listener.frames(10 if wanted else 0.3, look)
        return seen


def one_way(host: Host, way: str, tag: bytes) -> None:
    """Only frames of one direction: those of the other would have been there by then."""
    with contextlib.closing(Listener(host, "c", "eth1")) as listener:
        assert host.ok("ping", "-c", "1", "-w", "10", "-q", "-p", tag.hex(), "10.4.0.2", ns="a")
        assert host.ok("ping", "-c", "1", "-w", "10", "-q", "-p", b"last".hex(), "10.4.0.2", ns="a")
        sender = bytes([0x06, 0, 0, 0, 0, 1 if way == "egress" else 2])
        frames = listener.frames(10, lambda frame: b"last" in frame)
        found = [frame for frame in frames if tag in frame or b"last" in frame]  # not what a bridge says of itself
        assert found and {frame[6:12] for frame in found} == {sender}


def test_B15_frames_of_both_directions_are_copied_to_another_container(bus: Host) -> None:
    assert heard(bus, "c", False, b"none") == set()
    done = mirror(bus, mirror=TO_C)
    ends = {name: end_of(bus, name) for name in "abc"}
    assert [(each["action"], each["kind"]) for each in done["operations"]] == [
        ("create", "qdisc"),
        ("create", "tc_filter"),
        ("create", "tc_filter"),
    ]
    assert all(ends["a"] in each["name"] for each in done["operations"])
    assert heard(bus, "c", True, b"both") == {"egress", "ingress"}
    assert heard(bus, "b", True, b"same") == {"egress", "ingress"}  # which has its own frames, as before
    assert json.loads(bus.sh("tc", "-j", "qdisc", "show", "dev", "eth1", ns="a"))[0]["kind"] == "noqueue"

    changed = mirror(bus, mirror={**TO_C, "direction": "egress"})
    assert [each["action"] for each in changed["operations"]] == ["delete"]
    one_way(bus, "egress", b"only")
    mirror(bus, mirror={**TO_C, "direction": "ingress"})
    one_way(bus, "ingress", b"only")

    assert [each["action"] for each in mirror(bus, mirror={**TO_C, "to_container": "b"})["operations"]] == [
        "create",
        "update",
    ]
    assert filters(bus)["a ingress"] == [ends["b"] + ") continue"]
    assert heard(bus, "c", False, b"gone") == set()
    mirror(bus, mirror={}, state="absent")
    assert not any(filters(bus).values())


def test_B15_a_container_that_is_started_anew_gets_the_copies_again(bus: Host) -> None:
    mirror(bus, mirror=TO_C)
    bus.end_guest("c")
    bus.add_guests("c")
    assert bus.ok("ping", "-c", "1", "-w", "10", "-q", "10.4.0.2", ns="a")  # the others do not mind
    with pytest.raises(PipeworkError, match=r"mirror.to_interface: eth1 does not exist in netns:c"):
        tc(bus, mirror=TO_C)
    bus.attach("c", addresses=["10.4.0.3/24"])
    assert mirror(bus, mirror=TO_C)["changed"]
    assert heard(bus, "c", True, b"anew") == {"egress", "ingress"}


@pytest.mark.any_kernel
def test_B15_to_an_interface_of_the_host(bus: Host) -> None:
    bus.batch("link add mon0 type veth peer name mon1\nlink set mon0 up\nlink set mon1 up\n")
    mirror(bus, mirror={"to_interface": "mon0"})
    with contextlib.closing(Listener(bus, None, "mon1")) as listener:
        assert bus.ok("ping", "-c", "1", "-w", "10", "-q", "-p", b"mons".hex(), "10.4.0.2", ns="a")
        assert any(b"mons" in frame for frame in listener.frames(10, lambda frame: b"mons" in frame))


def test_B15_what_stands_there_of_others_goes_on_and_stays(bus: Host) -> None:
    end = end_of(bus, "a")
    bus.sh("tc", "qdisc", "add", "dev", end, "clsact")
    words = "protocol ip prio 500 u32 match ip dst 10.4.0.9/32 action drop"
    if not bus.ok("tc", "filter", "add", "dev", end, "ingress", *words.split()):  # a kernel without gact
        words = f"protocol ip prio 500 u32 match ip dst 10.4.0.9/32 action mirred egress redirect dev {end}"
        bus.sh("tc", "filter", "add", "dev", end, "ingress", *words.split())
    before = bus.sh("tc", "filter", "show", "dev", end, "ingress")
    mirror(bus, mirror=TO_C)
    assert heard(bus, "c", True, b"both") == {"egress", "ingress"}
    mirror(bus, state="absent")
    assert bus.sh("tc", "filter", "show", "dev", end, "ingress") == before


def test_B15_what_cannot_be_is_refused(bus: Host) -> None:
    bus.batch("link add nic0 type veth peer name nic1\nlink set nic0 up\nlink set nic1 up\n")
    bus.add_guests("m")
    bus.attach("m", host_interface="nic0", kind="macvlan", addresses=["10.5.0.1/24"])
    before = bus.snapshot()
    for options, words in (
        ({"container": "m", "mirror": TO_C}, "mirror: netns:m/eth1 has no end on the host"),
        ({"mirror": {**TO_C, "to_container": "m"}}, "mirror: netns:m/eth1 has no end on the host"),
        ({"mirror": {**TO_C, "to_container": "a"}}, "mirror.to_interface: eth1 cannot have copies of itself"),
        ({"mirror": {**TO_C, "to_container": "x"}}, "mirror.to_container: netns knows no container 'x'"),
    ):
        with pytest.raises(PipeworkError, match=words):
            tc(bus, **options)
    bus.assert_as(before)


def test_B11_purge_takes_mirrors_that_are_not_listed(bus: Host) -> None:
    none = filters(bus)
    mirror(bus, container="b", mirror=TO_C)
    theirs = "ingress prio 7 protocol ip u32 match ip dst 10.9.9.9 flowid 1:1"
    bus.sh("tc", "filter", "add", "dev", end_of(bus, "b"), *theirs.split())
    only_b = filters(bus)
    mirror(bus, mirror=TO_C)
    both = [{"container": "b", "mirror": TO_C}, {"container": "a"}]
    done = mirror(bus, container=None, purge=True, interfaces=both)
    assert {each["action"] for each in done["operations"]} == {"delete"}
    assert filters(bus) == only_b
    # of the host's own interfaces it is asked; those of containers are not meant
    assert not tc(bus, container=None, runtime="host", purge=True, interfaces=[])["changed"]
    mirror(bus, container="b", purge=True, interfaces=[])
    assert "flowid 1:1" in bus.sh("tc", "filter", "show", "dev", end_of(bus, "b"), "ingress")
    bus.sh("tc", "qdisc", "del", "dev", end_of(bus, "b"), "clsact")
    assert filters(bus) == none


def test_B4_a_failure_or_a_kill_at_any_operation(bus: Host) -> None:
    for earlier, change in (
        ({"mirror": {}, "state": "absent"}, {"mirror": TO_C}),
        ({"mirror": TO_C}, {"mirror": {**TO_C, "to_container": "b", "direction": "egress"}}),
        ({"mirror": TO_C}, {"state": "absent"}),
    ):
        tc(bus, **earlier)
        before = filters(bus)
        number = len(tc(bus, check=True, **change)["operations"])
        for place in range(number):
            with pytest.raises(PipeworkError, match=r"everything is as it was|Nothing was changed"):
                tc(bus, step=failing_at(place), **change)
            assert filters(bus) == before, (change, place)
        for place in range(number):
            tc(bus, **earlier)
            with pytest.raises(Killed):
                tc(bus, step=killed_at(place), **change)
            mirror(bus, **change)


def test_B15_the_module_itself_copies_and_tells(bus: Host) -> None:
    params = {"container": "a", "runtime": "netns", "mirror": TO_C}
    done = bus.module("pipework_tc", params)
    assert done["changed"] and not bus.module("pipework_tc", params)["changed"], done
    assert heard(bus, "c", True, b"both") == {"egress", "ingress"}
