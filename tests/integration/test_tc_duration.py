# Copyright: pipework.containers contributors
# GNU General Public License v3.0+ (see LICENSE)
"""B13: timed impairments that end by themselves."""

from __future__ import annotations

import glob
import json
import os
import resource
import time
from typing import Any

import pytest

from ansible_collections.pipework.containers.plugins.module_utils._core.errors import PipeworkError
from tests.integration.lab import Host, Killed, failing_at, killed_at, wait_for
from tests.integration.test_tc import TBF, shape, shown, tc, what, wire

pytestmark = pytest.mark.root
__all__ = ["wire"]

LONG, SOON = "1h", "1s"
TIMERS = "/run/pipework/timers"


def root(host: Host) -> dict[str, Any]:
    """The qdisc at the root, less what the kernel numbers."""
    found = shown(host)[0]
    return {"kind": found["kind"], "options": found["options"]}


def timers(host: Host) -> list[dict[str, Any]]:
    """The records of the timers, each of which has a process."""

    def read() -> list[dict[str, Any]]:
        found = []
        for path in glob.glob(f"{TIMERS}/*.json"):
            with open(path, encoding="ascii") as handle:
                found.append(json.load(handle))
        return found

    return host.call(read)


def alive(pid: int) -> bool:
    try:
        with open(f"/proc/{pid}/stat", encoding="ascii", errors="replace") as handle:
            return handle.read().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def end(host: Host) -> None:
    """No process outlives the test."""
    tc(host, state="absent", force=True)
    assert timers(host) == []


def test_B13_it_ends_by_itself_and_the_default_comes_back(wire: Host) -> None:
    before = wire.snapshot()
    done = shape(wire, tbf=TBF, duration=LONG)
    assert [each["kind"] for each in done["operations"]] == ["qdisc", "timer"]
    assert 3500 < done["interfaces"][0]["ends_in"] <= 3600
    [record] = timers(wire)
    assert alive(record["pid"]) and os.readlink(f"/proc/{record['pid']}/ns/net") not in wire.sh(
        "readlink", "/proc/self/ns/net", ns="a"
    )
    assert what(tc(wire, tbf=TBF, duration=SOON)) == [("update", "netns:a/eth1")]
    wait_for("the end", lambda: root(wire)["kind"] == "noqueue")
    wait_for("the process", lambda: not alive(record["pid"]))
    wire.assert_as(before)
    assert not tc(wire, state="absent")["changed"]


def test_B17_without_file_descriptors_it_is_tried_again(wire: Host) -> None:
    shape(wire, tbf=TBF, duration="3s")
    [record] = timers(wire)
    _soft, most = resource.prlimit(record["pid"], resource.RLIMIT_NOFILE)
    resource.prlimit(record["pid"], resource.RLIMIT_NOFILE, (0, most))
    time.sleep(3.5)
    assert alive(record["pid"]) and root(wire)["kind"] == "tbf"
    resource.prlimit(record["pid"], resource.RLIMIT_NOFILE, (64, most))
    wait_for("the end", lambda: root(wire)["kind"] == "noqueue", 20)
    wait_for("the process", lambda: not alive(record["pid"]))


def test_B13_what_was_there_before_comes_back(wire: Host) -> None:
    shape(wire, tbf=TBF)
    lasting = root(wire)
    tc(wire, pfifo={"limit": 3}, duration=LONG)
    tc(wire, tbf={**TBF, "rate": "3mbit"}, duration=LONG)
    tc(wire, tbf={**TBF, "rate": "2mbit"}, duration=SOON)
    wait_for("the one for good", lambda: root(wire) == lasting)
    tc(wire, pfifo={"limit": 3}, duration=SOON)
    wait_for("the one for good", lambda: root(wire) == lasting)
    end(wire)


def test_B11_purge_ends_timed_ones_and_brings_back_what_others_made(wire: Host) -> None:
    default = root(wire)
    shape(wire, tbf=TBF, duration=LONG, handle="5:")  # of a handle that is not ours, but its timer is
    shape(wire, interfaces=[], purge=True)
    assert (root(wire), timers(wire)) == (default, [])
    wire.sh("tc", "qdisc", "add", "dev", "eth1", "root", "handle", "8:", "pfifo", "limit", "7", ns="a")
    theirs = shown(wire)
    shape(wire, tbf=TBF, duration=LONG, force=True)
    done = shape(wire, interfaces=[], purge=True)
    assert {each["kind"] for each in done["operations"]} == {"qdisc", "timer"}
    assert (shown(wire), timers(wire)) == (theirs, [])
    shape(wire, tbf=TBF, duration=LONG, force=True)
    before = shown(wire)
    for place in range(len(done["operations"])):
        with pytest.raises(PipeworkError, match=r"everything is as it was|Nothing was changed"):
            tc(wire, step=failing_at(place), interfaces=[], purge=True)
        assert shown(wire) == before and len(timers(wire)) == 1, place
    end(wire)


def test_B13_what_somebody_changed_since_is_left_alone(wire: Host) -> None:
    tc(wire, tbf=TBF, duration="5s")
    wire.sh(
        "tc",
        *["qdisc", "change", "dev", "eth1", "root", "handle", "7077:"],
        *["tbf", "rate", "7mbit", "burst", "9kb", "limit", "9kb"],
        ns="a",
    )
    wait_for("the end", lambda: timers(wire) == [])
    assert root(wire)["options"]["rate"] == 875_000
    # Set again for good: it has no end any more, and the process is gone.
    tc(wire, tbf=TBF, duration=LONG)
    [record] = timers(wire)
    assert what(shape(wire, tbf=TBF)) == [("delete", "netns:a/eth1")]
    wait_for("the process", lambda: not alive(record["pid"]))
    assert root(wire)["kind"] == "tbf"
    end(wire)


def test_B13_no_dead_containers_network_is_kept(wire: Host) -> None:
    wire.batch("link add out type veth peer name eth2 netns a\n")
    tc(wire, device="eth2", tbf=TBF, duration=LONG)
    [record] = timers(wire)
    wire.end_guest("a")
    wait_for("the namespace to go", lambda: wire.link("out") is None)
    wire.add_guests("a")
    wire.batch("link add eth2 type veth peer name out\nlink set eth2 netns a\n")
    done = tc(wire, device="eth2", pfifo={"limit": 3}, duration=SOON)  # of the same name, but another one
    assert [each["action"] for each in done["operations"]] == ["create", "create"]
    wait_for("the end", lambda: timers(wire) == [])
    wait_for("the process", lambda: not alive(record["pid"]))


def test_B4_a_failure_or_a_kill_at_any_operation(wire: Host) -> None:
    for earlier, change in (
        ({"state": "absent"}, {"tbf": TBF, "duration": LONG}),
        ({"tbf": TBF, "duration": LONG}, {"tbf": {**TBF, "rate": "2mbit"}, "duration": "30min"}),
        ({"tbf": TBF, "duration": LONG}, {"tbf": TBF}),
        ({"tbf": TBF, "duration": LONG}, {"state": "absent"}),
    ):
        tc(wire, **earlier)
        before, seconds = root(wire), [each["seconds"] for each in timers(wire)]
        number = len(tc(wire, check=True, **change)["operations"])
        for place in range(number):
            with pytest.raises(PipeworkError, match=r"everything is as it was|Nothing was changed"):
                tc(wire, step=failing_at(place), **change)
            assert root(wire) == before and [each["seconds"] for each in timers(wire)] == seconds, (change, place)
            assert not tc(wire, **earlier)["changed"]
        for place in range(number):
            with pytest.raises(Killed):
                tc(wire, step=killed_at(place), **change)
            shape(wire, **change)
            tc(wire, **earlier)
    end(wire)


def test_B13_a_process_that_was_killed_is_started_again(wire: Host) -> None:
    tc(wire, tbf=TBF, duration=LONG)
    [record] = timers(wire)
    os.kill(record["pid"], 9)
    wait_for("the process", lambda: not alive(record["pid"]))
    assert what(shape(wire, tbf=TBF, duration=LONG)) == [("create", "netns:a/eth1")]
    end(wire)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"tbf": TBF, "duration": "forever"}, "duration: 'forever' is not understood; it is written as in 90s"),
        ({"tbf": TBF, "duration": "0s"}, "duration: '0s' is out of range"),
        ({"tbf": TBF, "duration": "10y"}, "duration: '10y' is not understood"),
        ({"tbf": TBF, "duration": "5000d"}, "duration: '5000d' is out of range"),
        ({"clsact": {}, "duration": "1s"}, "duration: it is that of a qdisc at the root"),
    ],
)
def test_B13_bad_durations_are_refused(wire: Host, options: dict[str, Any], words: str) -> None:
    with pytest.raises(PipeworkError, match=words):
        tc(wire, **options)
    assert root(wire)["kind"] == "noqueue"


def test_B13_the_module_itself_leaves_a_timer_behind(wire: Host) -> None:
    done = wire.module("pipework_tc", {"container": "a", "runtime": "netns", "tbf": TBF, "duration": SOON})
    assert done["changed"], done
    wait_for("the end", lambda: root(wire)["kind"] == "noqueue")
