# Copyright: pipework.containers contributors
# GNU General Public License v3.0+ (see LICENSE)
"""B13: no more than a rate in each direction, as an option of an attachment and of pipework_tc."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest

from ansible_collections.pipework.containers.plugins.module_utils._core.errors import PipeworkError
from ansible_collections.pipework.containers.plugins.module_utils._jobs.tc import TcJob
from tests.integration.lab import Host, Killed, failing_at, killed_at
from tests.integration.test_tc import TBF, shape, tc, throughput

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
    with pytest.raises(PipeworkError, match=r"a/eth1 has the limit of an attachment's bandwidth, tbf 7070:;"):
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


# The same as an option of pipework_tc.

BOTH = {"ingress": "16mbit", "egress": "4mbit"}


@pytest.fixture
def cable() -> Iterator[Host]:
    """Containers a and b, at the ends of a veth pair that has no end on the host."""
    host = Host("a", "b")
    host.sh("ip", "link", "add", "eth1", "netns", "a", "type", "veth", "peer", "name", "eth1", "netns", "b")
    for name, address in (("a", "10.3.0.1/24"), ("b", "10.3.0.2/24")):
        host.batch(f"address add {address} dev eth1\nlink set eth1 up\n", ns=name)
    yield host
    host.close()


def filters(host: Host, device: str) -> list[str]:
    """What stands at ingress, but for the numbers of the actions."""
    shown = host.sh("tc", "filter", "show", "dev", device, "ingress", ns="a", check=False)
    return re.sub(r"police 0x\w+|index \d+", "", shown).splitlines()


def test_B13_tc_limits_each_direction_and_it_is_measured(bus: Host) -> None:
    end = bus.attach("a", addresses=["10.6.0.1/24"])["attachments"][0]["local_interface"]
    done = shape(bus, bandwidth=SLOW_OUT)
    assert of_qdiscs(done) == ["create", "create"] and done["interfaces"][0]["bandwidth"] == SLOW_OUT
    assert shapers(bus) == [("eth1", 500_000), (end, 2_000_000)]
    assert bus.ok("ping", "-c", "1", "-w", "10", "-q", "10.6.0.2", ns="a")
    assert throughput(bus, 1_000_000, "a", "b", "10.6.0.2") < 4_400_000
    assert 4_400_000 < throughput(bus, 2_000_000, "b", "a", "10.6.0.1") < 17_600_000
    assert of_qdiscs(shape(bus, bandwidth={"egress": "2mbit", "ingress": "16mbit"})) == ["update"]
    assert of_qdiscs(shape(bus, bandwidth={"ingress": "8mbit"})) == ["update", "delete"]
    assert of_qdiscs(shape(bus, bandwidth={})) == ["delete"]
    for gone in ({"state": "absent"}, {"state": "absent", "bandwidth": {}}):
        shape(bus, bandwidth=SLOW_OUT)
        assert of_qdiscs(shape(bus, **gone)) == ["delete", "delete"]
        assert shapers(bus) == []


def test_B13_an_attachment_and_tc_agree(bus: Host) -> None:
    limit(bus, bandwidth=SLOW_OUT)
    assert not tc(bus, bandwidth=SLOW_OUT)["changed"]
    assert of_qdiscs(shape(bus, bandwidth={**SLOW_OUT, "egress": "1mbit"})) == ["update"]  # in place, for both
    assert of_qdiscs(limit(bus, bandwidth=SLOW_OUT)) == ["update"]
    # what an attachment made is not what a purge takes, nor an item that says only absent
    assert not tc(bus, purge=True, interfaces=[])["changed"]
    with pytest.raises(PipeworkError, match=r"a/eth1 has the limit of an attachment's bandwidth, tbf 7070:; 'bandwi"):
        tc(bus, state="absent")
    assert of_qdiscs(shape(bus, bandwidth={}, state="absent")) == ["delete", "delete"]
    shape(bus, bandwidth=SLOW_OUT)
    assert of_qdiscs(limit(bus, bandwidth=SLOW_OUT)) == []
    assert of_qdiscs(limit(bus, bandwidth={"egress": "1mbit"})) == ["update", "delete"]
    limit(bus, state="absent")
    assert shapers(bus) == []


def test_B13_interfaces_of_the_host_itself(bus: Host) -> None:
    """One of an attachment, both of whose ends are on the host, and one of somebody's; ends of containers' stay."""
    bus.attach("a")
    shape(bus, bandwidth=BOTH)
    bus.sh("ip", "link", "add", "n0", "type", "veth", "peer", "name", "n1")
    before = shapers(bus)
    mine: dict[str, Any] = {"runtime": "host", "host_interface": "br1", "interface": "x1", "bandwidth": BOTH}
    bus.run(**mine)
    assert not bus.run(**mine)["changed"]
    host: dict[str, Any] = {"container": None, "runtime": "host"}
    listed = [{"device": "x1", "bandwidth": BOTH}, {"device": "n0", "bandwidth": {"egress": "1mbit"}}]
    assert of_qdiscs(shape(bus, **host, interfaces=listed)) == ["create"]
    assert of_qdiscs(shape(bus, **host, purge=True, interfaces=listed[:1])) == ["delete"]
    assert of_qdiscs(shape(bus, **host, device="x1", bandwidth={})) == ["delete", "delete"]
    assert of_qdiscs(shape(bus, **host, interfaces=listed)) == ["create"] * 3
    assert not bus.run(**mine)["changed"]
    assert of_qdiscs(shape(bus, **host, purge=True, interfaces=[])) == ["delete"] * 3
    assert shapers(bus) == before


def test_B13_B11_purge_takes_limits_of_tc_that_are_not_listed(bus: Host) -> None:
    """a has limits on eth1, by tc, and on eth2, by its attachment; b has one by tc, and what others made on eth2."""
    limit(bus)
    bus.attach("a", interface="eth2", bandwidth=BOTH)
    bus.attach("b", interface="eth2")
    foreign = ("handle", "5:", "pfifo", "limit", "9")
    bus.sh("tc", "qdisc", "add", "dev", "eth2", "root", *foreign, ns="b")
    bus.sh("ip", "link", "add", "dev", "lone", "type", "veth", "peer", "name", "lone2", ns="a")
    kept = [*shapers(bus), bus.sh("tc", "qdisc", "show", "dev", "eth2", ns="b")]
    many = [
        {"device": "eth1", "bandwidth": BOTH}, {"device": "lone", "bandwidth": {"egress": "4mbit"}},
        {"container": "b", "bandwidth": BOTH},
    ]
    shape(bus, interfaces=many)
    assert not tc(bus, interfaces=many, purge=True)["changed"]
    listed = [{"container": "a", "device": "eth1", "bandwidth": BOTH}, {"container": "b"}]
    before = shapers(bus)
    number = len(tc(bus, check=True, container=None, purge=True, interfaces=listed)["operations"])
    assert number == 3  # of lone, and both of b
    for place in range(number):
        with pytest.raises(PipeworkError, match=r"everything is as it was|Nothing was changed"):
            tc(bus, step=failing_at(place), container=None, purge=True, interfaces=listed)
        assert shapers(bus) == before
    shape(bus, container=None, purge=True, interfaces=listed)
    assert "lone" not in dict(shapers(bus))
    assert not tc(bus, container=None, runtime="host", purge=True, interfaces=[])["changed"]  # not the host's own
    # in a purge, a limit makes room for what is listed, and the other way round
    netem = shape(bus, purge=True, interfaces=[{"device": "eth1", "tbf": TBF}])
    assert [each["action"] for each in netem["operations"]] == ["delete", "create", "delete"]
    tree = {"qdiscs": [{"kind": "htb", "default": 16}], "classes": [{"classid": "7077:10", "rate": "1mbit"}]}
    shape(bus, interfaces=[{"device": "eth1", **tree}])
    shape(bus, purge=True, interfaces=[{"device": "eth1", "bandwidth": {"egress": "4mbit"}}])
    shape(bus, purge=True, interfaces=[])
    assert [*shapers(bus), bus.sh("tc", "qdisc", "show", "dev", "eth2", ns="b")] == kept


def test_B13_tc_never_touches_what_others_made_unless_it_is_told_to(bus: Host) -> None:
    end = limit(bus)["attachments"][0]["local_interface"]
    for ns, device in (("a", "eth1"), (None, end)):
        bus.sh("tc", "qdisc", "add", "dev", device, "root", "handle", "5:", "htb", ns=ns)
        bus.sh("tc", *f"class add dev {device} parent 5: classid 5:1 htb rate 1mbit".split(), ns=ns)
    before = shapers(bus)
    for options, where in (({"egress": "1mbit"}, "eth1"), ({"ingress": "1mbit"}, end)):
        words = rf"a/eth1 has the qdisc htb 5: on {where}, which is not this option's; remove it first, or say 'force"
        for more in ({}, {"purge": True}):
            with pytest.raises(PipeworkError, match=words):
                tc(bus, interfaces=[{"device": "eth1", "bandwidth": options}], **more)
        for gone in ({"bandwidth": {}}, {"bandwidth": options, "state": "absent"}):
            assert not tc(bus, **gone)["changed"]
    assert shapers(bus) == before
    shape(bus, bandwidth=SLOW_OUT, force=True)
    assert shapers(bus) == [("eth1", 500_000), (end, 2_000_000)]
    for words in (r"a/eth1 has the limit of a bandwidth, tbf 7071:; 'bandwidth: \{\}' takes all limits away",):
        with pytest.raises(PipeworkError, match=words):
            tc(bus, tbf=TBF)
    assert of_qdiscs(shape(bus, tbf=TBF, bandwidth={"ingress": "16mbit"})) == ["delete", "create"]
    assert shapers(bus) == [("eth1", 125_000), (end, 2_000_000)]
    with pytest.raises(PipeworkError, match=r"a/eth1 has the qdisc tbf 7077: on eth1"):
        tc(bus, bandwidth=SLOW_OUT)
    shape(bus, state="absent")
    assert shapers(bus) == []


@pytest.mark.kernel
def test_B13_tc_drops_where_there_is_no_end_of_ours_on_the_host(cable: Host) -> None:
    """Beside what others have at the same door, and mirrors."""
    cable.sh("tc", "qdisc", "add", "dev", "eth1", "clsact", ns="a")
    theirs = "filter add dev eth1 ingress prio {} u32 match u32 0 0 flowid 1:1"
    cable.sh("tc", *theirs.format(9).split(), ns="a")
    before = filters(cable, "eth1")
    done = shape(cable, bandwidth=SLOW_OUT)
    assert done["interfaces"][0]["bandwidth"] == SLOW_OUT
    assert [(each["action"], each["kind"]) for each in done["operations"]] == [
        ("create", "qdisc"), ("create", "tc_filter"),
    ]  # fmt: skip
    slower = shape(cable, bandwidth={**SLOW_OUT, "ingress": "1mbit"})
    assert [each["action"] for each in slower["operations"]] == ["update"]
    listed = [{"device": "eth1", "bandwidth": {**SLOW_OUT, "ingress": "1mbit"}}]
    assert not tc(cable, interfaces=listed, purge=True)["changed"]
    cable.sh("ip", "link", "add", "eth2", "type", "veth", "peer", "name", "eth3", ns="a")
    copies = {"to_container": "a", "to_interface": "eth2"}
    shape(cable, bandwidth=SLOW_OUT, mirror=copies)
    shape(cable, bandwidth={}, mirror=copies)
    shape(cable, bandwidth=SLOW_OUT, mirror=copies)
    shape(cable, bandwidth=SLOW_OUT, mirror=copies, state="absent")
    assert filters(cable, "eth1") == before
    shape(cable, bandwidth=SLOW_OUT, mirror=copies)
    shape(cable, interfaces=[], purge=True)
    assert filters(cable, "eth1") == before
    cable.sh("tc", "qdisc", "del", "dev", "eth1", "clsact", ns="a")
    for gone in ({"state": "absent"}, {"interfaces": [], "purge": True}):
        shape(cable, bandwidth=SLOW_OUT, mirror=copies)
        shape(cable, **gone)
        assert "clsact" not in cable.sh("tc", "qdisc", "show", "dev", "eth1", ns="a")
    shape(cable, clsact={}, bandwidth={"ingress": "1mbit"})
    shape(cable, bandwidth={})
    cable.sh("tc", "qdisc", "add", "dev", "eth1", "clsact", ns="a")
    cable.sh("tc", *theirs.format(114).split(), ns="a")
    with pytest.raises(PipeworkError, match=r"a/eth1 has the filter eth1 ingress prio 114 .* not this option's"):
        tc(cable, bandwidth={"ingress": "1mbit"})
    assert not tc(cable, bandwidth={})["changed"]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"bandwidth": {"egress": "fast"}}, "bandwidth.egress: 'fast' is not understood"),
        ({"bandwidth": {"up": "1mbit"}}, "bandwidth.up: there is no such option"),
        ({"bandwidth": BOTH, "tbf": TBF}, "bandwidth.egress: it stands at the root of the interface, and so does tbf"),
        ({"bandwidth": BOTH, "qdiscs": [{"kind": "htb"}]}, r"bandwidth.egress: .*, and so does qdiscs\[0\];"),
        ({"bandwidth": BOTH, "duration": "1min"}, r"duration: bandwidth does not end by itself"),
        ({"bandwidth": {"ingress": "1mbit"}, "tbf": TBF, "duration": "1min"}, r"duration: bandwidth does not end"),
    ],
)
def test_B13_tc_refuses_what_cannot_stand_together(bus: Host, options: dict[str, Any], words: str) -> None:
    limit(bus)
    with pytest.raises(PipeworkError, match=words):
        tc(bus, **options)
    assert shapers(bus) == []


def test_B13_tc_as_a_module(bus: Host) -> None:
    limit(bus)
    params = {"runtime": "netns", "bandwidth": BOTH, "interfaces": [{"container": "a"}, {"container": "b"}]}
    planned = bus.module("pipework_tc", params, check=True)
    done = bus.module("pipework_tc", params)
    assert done["changed"] and done["operations"] == planned["operations"] and done["diff"] == planned["diff"]
    assert len(done["operations"]) == 4 and not bus.module("pipework_tc", params)["changed"]
    refused = bus.module("pipework_tc", {**params, "bandwidth": {"egress": "1"}})
    assert refused["failed"] and refused["msg"].endswith("Nothing was changed.")


def test_B13_B4_tc_failure_or_kill_at_any_operation(bus: Host) -> None:
    limit(bus)
    for earlier, change in (
        ({"bandwidth": {}}, {"bandwidth": SLOW_OUT}),
        ({"bandwidth": SLOW_OUT}, {"bandwidth": {"egress": "1mbit"}}),
        ({"bandwidth": SLOW_OUT}, {"state": "absent"}),
    ):
        tc(bus, **earlier)
        before = shapers(bus)
        for place in range(len(tc(bus, check=True, **change)["operations"])):
            with pytest.raises(PipeworkError, match=r"everything is as it was|Nothing was changed"):
                tc(bus, step=failing_at(place), **change)
            assert shapers(bus) == before, (change, place)
            with pytest.raises(Killed):
                tc(bus, step=killed_at(place), **change)
            shape(bus, **change)
            tc(bus, **earlier)
