# Copyright: pipework.containers contributors
# GNU General Public License v3.0+ (see LICENSE)
"""B13: no more than a rate in each direction, as an option of an attachment."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from ansible_collections.pipework.containers.plugins.module_utils._errors import PipeworkError
from ansible_collections.pipework.containers.plugins.module_utils._tc_job import TcJob
from tests.integration.lab import Host, Killed, failing_at, killed_at
from tests.integration.test_tc import throughput

pytestmark = pytest.mark.root

SLOW_OUT = {"egress": "4mbit", "ingress": "16mbit"}


@pytest.fixture
def bus() -> Iterator[Host]:
    """Containers a and b on one bridge."""
    host = Host("a", "b")
    host.attach("b", addresses=["10.6.0.2/24"])
    yield host
    host.close()


def limit(host: Host, **params: Any) -> dict[str, Any]:
    """A check run, the run, and a second one, which must agree."""
    params = {"addresses": ["10.6.0.1/24"], **params}
    planned = host.attach(check=True, **params)
    done = host.attach(**params)
    assert planned["operations"] == done["operations"]
    again = host.attach(**params)
    assert not again["changed"], again["operations"]
    return done


def shapers(host: Host) -> list[tuple[str, Any]]:
    """Rates in bytes a second, by interface, of host and container."""
    found = []
    for ns in (None, "a"):
        for each in json.loads(host.sh("tc", "-j", "qdisc", "show", ns=ns)):
            if each["kind"] != "noqueue":
                found.append((each["dev"], each.get("options", {}).get("rate")))
    return sorted(found)


def of_qdiscs(done: dict[str, Any]) -> list[str]:
    return [each["action"] for each in done["operations"] if each["kind"] == "qdisc"]


def test_B13_each_direction_has_its_rate_and_it_is_measured(bus: Host) -> None:
    """Bounds: never above the rate by more than a tenth, and the faster direction is faster than the slower one."""
    done = limit(bus, bandwidth=SLOW_OUT)
    end = done["attachments"][0]["local_interface"]
    assert shapers(bus) == [("eth1", 500_000), (end, 2_000_000)]
    assert bus.ok("ping", "-c", "1", "-w", "10", "-q", "10.6.0.2", ns="a")
    assert throughput(bus, 1_000_000, "a", "b", "10.6.0.2") < 4_400_000
    assert 4_400_000 < throughput(bus, 2_000_000, "b", "a", "10.6.0.1") < 17_600_000


def test_B13_it_is_changed_in_place_and_goes(bus: Host) -> None:
    end = limit(bus, bandwidth=SLOW_OUT)["attachments"][0]["local_interface"]
    assert of_qdiscs(limit(bus, bandwidth={"egress": "2mbit", "ingress": "16mbit"})) == ["update"]
    assert of_qdiscs(limit(bus)) == []  # not said: left as it is
    renamed = limit(bus, bandwidth={"egress": "2mbit", "ingress": "16mbit"}, local_interface="web1a")
    assert of_qdiscs(renamed) == []
    assert shapers(bus) == [("eth1", 250_000), ("web1a", 2_000_000)]
    assert of_qdiscs(limit(bus, bandwidth={"ingress": "1mbit"}, local_interface=end)) == ["update", "delete"]
    assert of_qdiscs(limit(bus, bandwidth={})) == ["delete"]
    assert shapers(bus) == []
    limit(bus, bandwidth=SLOW_OUT)
    limit(bus, state="absent")
    assert shapers(bus) == []


def test_B13_a_new_container_has_it_from_the_start(bus: Host) -> None:
    limit(bus, bandwidth=SLOW_OUT)
    bus.end_guest("a")
    bus.add_guests("a")
    assert of_qdiscs(limit(bus, bandwidth=SLOW_OUT)) == ["create", "create"]


def test_B13_what_others_made_is_not_replaced(bus: Host) -> None:
    limit(bus)
    bus.sh("tc", *["qdisc", "add", "dev", "eth1", "root", "handle", "5:", "pfifo", "limit", "9"], ns="a")
    before = shapers(bus)
    with pytest.raises(PipeworkError, match=r"bandwidth: a/eth1 has the qdisc pfifo 5: on eth1, which is not this opt"):
        limit(bus, bandwidth=SLOW_OUT)
    assert shapers(bus) == before
    limit(bus, bandwidth={"ingress": "1mbit"})
    bus.sh("tc", *["qdisc", "del", "dev", "eth1", "root"], ns="a")
    limit(bus, bandwidth=SLOW_OUT)
    who = {"container": "a", "runtime": "netns"}
    with pytest.raises(PipeworkError, match=r"a/eth1 has a qdisc that is not ours, tbf 7070:"):
        bus.run(job=TcJob, pfifo={}, **who)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"egress": "fast"}, "bandwidth.egress: 'fast' is not understood"),
        ({"ingress": "10parsec"}, "bandwidth.ingress: '10parsec' has no unit of a rate"),
        ({"ingress": "1mbit", "burst": "1kb"}, "bandwidth.burst: '1kb' is less than one frame"),
        ({"up": "1mbit"}, "bandwidth.up: there is no such option"),
    ],
)
def test_B13_bad_input_is_refused(bus: Host, options: dict[str, Any], words: str) -> None:
    with pytest.raises(PipeworkError, match=words):
        limit(bus, bandwidth=options)
    assert bus.links("a") == []


def test_B4_a_failure_or_a_kill_at_any_operation(bus: Host) -> None:
    for earlier, change in (
        ({"state": "absent"}, {"bandwidth": SLOW_OUT}),
        ({"bandwidth": SLOW_OUT}, {"bandwidth": {"egress": "1mbit"}}),
        ({"bandwidth": SLOW_OUT}, {"state": "absent"}),
    ):
        common = {"addresses": ["10.6.0.1/24"], "mac_address": "06:00:00:00:00:01"}
        bus.attach(**common, **earlier)
        before, rates = bus.snapshot(), shapers(bus)
        number = len(bus.attach(check=True, **common, **change)["operations"])
        for place in range(number):
            with pytest.raises(PipeworkError, match=r"everything is as it was|Nothing was changed"):
                bus.attach(step=failing_at(place), **common, **change)
            assert shapers(bus) == rates, (change, place)
            bus.assert_as(before)
        for place in range(number) if "bandwidth" in change else ():
            bus.attach(**common, **earlier)
            with pytest.raises(Killed):
                bus.attach(step=killed_at(place), **common, **change)
            limit(bus, mac_address=common["mac_address"], **change)
