# Copyright: pipework.containers contributors
# GNU General Public License v3.0+ (see LICENSE)
"""B4: all or nothing. Whatever stops a run, wherever: the state before is there, or the next run puts it right."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import itertools
import json
import os
import re
import shutil
import signal
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from ansible_collections.pipework.containers.plugins.module_utils._core.errors import PipeworkError
from ansible_collections.pipework.containers.plugins.module_utils._engine.run import run
from ansible_collections.pipework.containers.plugins.module_utils._jobs.attach import AttachJob
from tests.integration.lab import Host, Killed, Params, difference, failing_at, killed_at, refusal

pytestmark = pytest.mark.root

MAX_OPERATIONS = 200


@dataclasses.dataclass(frozen=True)
class Scenario:
    """A run that is to be disturbed."""

    name: str
    run: Params
    base: tuple[str, ...] = ()  # what others made on the host: arguments of ip, "a: …" in the guest a
    earlier: tuple[Params, ...] = ()  # runs of ours before
    needs: str | None = None  # a program
    setup: Callable[[Host], None] | None = None

    def prepare(self, host: Host) -> None:
        if self.needs and not shutil.which(self.needs):
            pytest.skip(f"needs {self.needs}")
        for ns, lines in itertools.groupby(
            self.base, key=lambda line: line.partition(": ")[0] if ": " in line else None
        ):
            host.batch("\n".join(line.partition(": ")[2] or line for line in lines), ns=ns)
        if self.setup:
            self.setup(host)

    def before(self, host: Host) -> None:
        for params in self.earlier:
            host.run(**{"runtime": "netns", **params})

    def absent(self) -> Params:
        """What takes away all that the scenario's runs make."""
        named = {
            (item.get("container", params.get("container")), item.get("interface", params.get("interface", "eth1")))
            for params in (*self.earlier, self.run)
            for item in params.get("attachments", [params])
        }
        return {
            "runtime": "netns",
            "state": "absent",
            "attachments": [{"container": c, "interface": i} for c, i in sorted(named)],
        }


def filtered(host: Host) -> None:
    host.sh(
        "nft",
        "-f",
        "-",
        text="table inet closed {\nchain forward {\ntype filter hook forward priority 0; policy drop;\n}\n}\n",
    )


A = {
    "container": "a",
    "host_interface": "br1",
    "addresses": ["10.1.0.1/24", "fd01::1/64"],
    "mac_address": "06:00:00:00:00:0a",
}
B = {
    "container": "b",
    "host_interface": "br1",
    "addresses": ["10.1.0.2/24", "fd01::2/64"],
    "mac_address": "06:00:00:00:00:0b",
}
GATEWAYS = {"gateway": ["10.1.0.254", "fd01::fe"]}
OWN_DEFAULT = (
    "a: link add eth0 type veth peer name far",
    "a: link set far up",
    "a: link set eth0 up",
    "a: address add 10.9.0.1/24 dev eth0",
    "a: route add default via 10.9.0.254 dev eth0 proto dhcp src 10.9.0.1 mtu 1400",
    "a: address add fd09::1/64 dev eth0",
    "a: route add default via fd09::fe dev eth0 metric 1024",
)
NIC = (
    "link add nic0 mtu 1400 address 06:00:00:00:01:00 type veth peer name lan0 mtu 1400 address 06:00:00:00:01:01",
    "link set lan0 up",
    "link set nic0 up alias uplink",
    "address add 203.0.113.9/24 brd + dev nic0",
    "address add fd08::9/64 dev nic0",
)
DOWN_NIC = ("link add nic0 type veth peer name lan0", "link set nic0 address 06:00:00:00:01:00")
MACVLAN = {
    "container": "b",
    "host_interface": "nic0",
    "kind": "macvlan",
    "addresses": ["203.0.113.2/24"],
    "gateway": ["198.51.100.1"],
    "mac_address": "06:00:00:00:00:1b",
}
PHYS = {
    "container": "c",
    "host_interface": "nic0",
    "kind": "phys",
    "addresses": ["203.0.113.3/24", "fd08::3/64"],
    "gateway": ["203.0.113.1"],
    "mtu": 1300,
    "mac_address": "06:00:00:00:00:1c",
}
FOREIGN_BRIDGE = (
    "link add br1 type bridge forward_delay 400",
    "link add other type veth peer name rehto",
    "link set other master br1 up",
)
IN_PLACE = {
    **A,
    "mac_address": "06:00:00:00:00:1a",
    "mtu": 1400,
    "addresses": ["10.1.0.7/24", "fd01::7/64", "10.2.0.1/16"],
    "gateway": ["10.1.0.253", "fe80::1"],
    "local_interface": "webhost",
}

CHECKED = {**A, "port": {"mac_spoof_check": True}}

SCENARIOS = [
    Scenario("bridge_new", A),
    Scenario(
        "bridge_new_with_all", {**A, "gateway": ["172.16.0.1", "fd77::1"], "mtu": 1300, "local_interface": "hosta"}
    ),
    Scenario("bridge_existing", {**A, **GATEWAYS}, earlier=(B,)),
    Scenario("bridge_foreign_and_down", {**A, **GATEWAYS}, base=FOREIGN_BRIDGE),
    Scenario("bridge_default_route_kept", {**A, **GATEWAYS}, base=OWN_DEFAULT),
    Scenario(
        "bridge_two",
        {
            "attachments": [
                {**A, **GATEWAYS},
                B,
                {**B, "interface": "eth2", "host_interface": "br2", "mac_address": "06:00:00:00:00:2b"},
            ]
        },
    ),
    Scenario("bridge_filtered", {"attachments": [A, B]}, setup=filtered, needs="nft"),
    Scenario("macvlan", MACVLAN, base=DOWN_NIC),
    Scenario("phys", PHYS, base=NIC),
    Scenario(
        "mixture_with_purge",
        {
            "attachments": [{**A, **GATEWAYS}, {**MACVLAN, "host_interface": "nic1", "interface": "eth5"}, PHYS],
            "purge": True,
        },
        base=(*NIC, *OWN_DEFAULT, "link add nic1 type veth peer name lan1"),
        earlier=(B, {**A, "host_interface": "br2", "interface": "eth2"}),
    ),
    Scenario("in_place", IN_PLACE, base=OWN_DEFAULT, earlier=({**A, **GATEWAYS},)),
    Scenario("to_another_bridge", {**A, "host_interface": "br2"}, earlier=(A, B)),
    Scenario(
        "phys_in_place",
        {**PHYS, "mtu": 1290, "mac_address": "06:00:00:00:00:2c", "addresses": ["203.0.113.4/24"], "gateway": []},
        base=NIC,
        earlier=(PHYS,),
    ),
    Scenario(
        "macvlan_in_place",
        {**MACVLAN, "mode": "private", "mtu": 1290, "gateway": []},
        base=DOWN_NIC,
        earlier=(MACVLAN,),
    ),
    Scenario("bridge_to_macvlan", {**MACVLAN, "container": "a"}, base=NIC, earlier=({**A, **GATEWAYS},)),
    Scenario("macvlan_to_phys", {**PHYS, "container": "b"}, base=NIC, earlier=(MACVLAN,)),
    Scenario("phys_to_bridge", {**A, "container": "c", "gateway": []}, base=NIC, earlier=(PHYS,)),
    Scenario("checked", CHECKED, needs="nft"),
    Scenario(
        "checked_in_place",
        {**CHECKED, "mac_address": "06:00:00:00:00:1a", "local_interface": "webhost", "host_interface": "br2"},
        needs="nft",
        earlier=(CHECKED, B),
    ),
    Scenario("absent_last", {**A, "state": "absent"}, base=OWN_DEFAULT, earlier=({**A, **GATEWAYS},)),
    Scenario("absent_one", {**A, "state": "absent"}, base=FOREIGN_BRIDGE, earlier=({**A, **GATEWAYS}, B)),
    Scenario(
        "absent_filtered",
        {"attachments": [{**A, "state": "absent"}, {**B, "state": "absent"}]},
        setup=filtered,
        needs="nft",
        earlier=(A, B),
    ),
    Scenario("absent_macvlan", {**MACVLAN, "state": "absent"}, base=NIC, earlier=(MACVLAN,)),
    Scenario("absent_phys", {**PHYS, "state": "absent"}, base=NIC, earlier=(PHYS,)),
    Scenario(
        "purge_all",
        {"attachments": [], "purge": True},
        base=(*NIC, *OWN_DEFAULT),
        earlier=({**A, **GATEWAYS}, B, {**MACVLAN, "interface": "eth7"}),
    ),
]
DUMMY = {
    "container": "a",
    "host_interface": "dummy0",
    "addresses": ["10.3.0.1/32"],
    "mac_address": "06:00:00:00:00:3a",
    "mtu": 1300,
}
DUMMIES = [
    Scenario("dummy", DUMMY),
    Scenario("absent_dummy", {**DUMMY, "state": "absent"}, earlier=(DUMMY,)),
]


def each(*in_lane_too: str) -> Any:
    """All scenarios. Those named run in the kernel lane as well, where each takes ten times as long."""
    found = []
    for scenario in SCENARIOS + DUMMIES:
        marks = [pytest.mark.any_kernel] if scenario.name in in_lane_too else []
        marks += [pytest.mark.kernel] if scenario in DUMMIES else []
        found.append(pytest.param(scenario, id=scenario.name, marks=marks))
    return pytest.mark.parametrize("scenario", found)


@pytest.fixture
def bare(scenario: Scenario) -> Iterator[Host]:
    """The host of a scenario, before any run of ours."""
    host = Host("a", "b", "c")
    try:
        scenario.prepare(host)
        yield host
    finally:
        host.close()


@pytest.fixture
def stage(scenario: Scenario, bare: Host) -> Host:
    """The host of a scenario, ready for its run."""
    scenario.before(bare)
    return bare


def clear(host: Host, scenario: Scenario, base: dict[str, Any], what: str = "") -> None:
    """All that is ours is absent. An attachment sets bridges and NICs of others up and leaves them so: they go down."""
    host.run(**scenario.absent())
    down = [name for name, link in base["host"]["links"].items() if "UP" not in link["flags"]]
    host.batch("\n".join(f"link set {name} down" for name in down))
    host.assert_as(base, what)


def go(host: Host, scenario: Scenario, **hooks: Any) -> dict[str, Any]:
    return host.run(**{"runtime": "netns", **scenario.run}, **hooks)


@each("bridge_new_with_all", "absent_phys")
def test_B4_a_failure_at_every_operation_leaves_the_state_before(scenario: Scenario, stage: Host) -> None:
    before = stage.snapshot()
    planned = go(stage, scenario, check=True)
    stage.assert_as(before, "a check run changed something")
    assert planned["changed"]
    for number in range(MAX_OPERATIONS):
        said = refusal(functools.partial(go, stage, scenario, step=failing_at(number)))
        if said is None:
            break
        assert said.startswith("a failure was injected.")
        assert said.endswith(("were taken back; everything is as it was.", "Nothing was changed."))
        operation = planned["operations"][number]
        stage.assert_as(before, f"failed at operation {number}, {operation['action']} {operation['name']}")
    assert number == len(planned["operations"])
    assert not go(stage, scenario)["changed"]


@each()
def test_B4_a_run_killed_at_any_operation_is_made_up_for_by_the_next(scenario: Scenario, bare: Host) -> None:
    base = bare.snapshot()
    scenario.before(bare)
    number = len(go(bare, scenario)["operations"])
    wanted = comparable(bare)
    for place in range(number):
        clear(bare, scenario, base)
        scenario.before(bare)
        with pytest.raises(Killed):
            go(bare, scenario, step=killed_at(place))
        go(bare, scenario)
        assert difference(wanted, comparable(bare)) == [], f"killed at operation {place}"
    clear(bare, scenario, base)


@each()
def test_B4_a_run_killed_at_any_operation_is_taken_away_by_absent(scenario: Scenario, bare: Host) -> None:
    base = bare.snapshot()
    scenario.before(bare)
    number = len(go(bare, scenario, check=True)["operations"])
    for place in range(number):
        with pytest.raises(Killed):
            go(bare, scenario, step=killed_at(place))
        clear(bare, scenario, base, f"killed at operation {place}")
        scenario.before(bare)


@pytest.mark.parametrize(
    "scenario", [s for s in SCENARIOS if s.name in ("mixture_with_purge", "in_place")], ids=lambda s: s.name
)
def test_B4_a_terminated_run_takes_back_what_it_did(scenario: Scenario, stage: Host) -> None:
    before = stage.snapshot()
    number = len(go(stage, scenario, check=True)["operations"])
    for how in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
        for place in sorted({1, number // 2, number - 1}):
            with pytest.raises(PipeworkError, match=f"ended by {how.name}"):
                go(stage, scenario, step=killed_at(place, how))
            stage.assert_as(before, f"after {how.name} at operation {place}")
    go(stage, scenario)


def comparable(host: Host) -> dict[str, Any]:
    """A snapshot that can be held against one of another host: without what is different on each."""
    found = host.snapshot()
    names = {
        name: "end of " + re.sub(r"pipework:netns:(\w+):\d+:", r"\1 ", link["ifalias"])
        for name, link in found["host"]["links"].items()
        if name.startswith("pw") and "ifalias" in link
    }
    text = re.sub(r"pipework:netns:(\w+):\d+:", r"pipework:netns:\1:", json.dumps(found))
    text = re.sub(r"\|[0-9a-f]{16}\|", "|seal|", text)
    text = re.sub(r"(?!06:00:00)(?:[0-9a-f]{2}:){5}[0-9a-f]{2}", "random", text)
    for name, instead in names.items():
        text = text.replace(f'"{name}"', f'"{instead}"')
    return dict(json.loads(text))


# -- what the kernel refuses by itself


@pytest.fixture
def many() -> Iterator[Host]:
    host = Host(*(f"g{n}" for n in range(12)))
    yield host
    host.close()


def items(**odd: Any) -> list[Params]:
    """Twelve attachments of which one is odd."""
    found = [
        {"container": f"g{n}", "addresses": [f"10.5.0.{n + 1}/24", f"fd05::{n + 1}/64"], "gateway": ["10.5.0.254"]}
        for n in range(12)
    ]
    found[7].update(odd)
    return found


@pytest.mark.any_kernel
def test_B4_a_route_that_the_kernel_refuses_in_the_middle_takes_all_back(many: Host) -> None:
    before = many.snapshot()
    sourced = items(routes=[{"destination": "10.9.0.0/16", "source": "10.99.0.1"}])  # an address that nobody gave it
    with pytest.raises(
        PipeworkError, match=r"create route netns:g7/10.9.0.0/16.* failed: .*taken back; everything is as it was"
    ):
        many.run(runtime="netns", host_interface="br1", attachments=sourced)
    many.assert_as(before)
    assert many.run(runtime="netns", host_interface="br1", attachments=items())["changed"]


class Disturbed(AttachJob):
    """Somebody else is quicker between looking and doing."""

    act: Callable[[], Any]
    acted = False

    def picture(self, namespaces: Any) -> Any:
        found = super().picture(namespaces)
        if not self.acted:
            self.acted = True
            type(self).act()
        return found


def disturbed(host: Host, act: Callable[[], Any], **params: Any) -> Any:
    """A run during which something is done after it has looked."""

    def work() -> Any:
        Disturbed.act = staticmethod(act)
        return run(Disturbed(params))

    return host.call(work)


def test_B4_a_link_that_the_kernel_refuses_in_the_middle_takes_all_back(many: Host) -> None:
    """Its MAC address is another one's by then."""
    import subprocess

    mac = "06:00:00:00:00:77"
    many.batch("link add nic0 type veth peer name lan0\nlink set nic0 up\nlink set lan0 up\n")
    lines = f"link add mv0 link nic0 address {mac} type macvlan mode bridge\nlink set mv0 up\n"
    take = functools.partial(subprocess.run, ["ip", "-batch", "-"], input=lines.encode(), check=True)
    before = many.snapshot()
    with pytest.raises(PipeworkError, match=r"update link netns:g7/eth1 failed: .*taken back; everything is as it was"):
        disturbed(many, take, runtime="netns", host_interface="nic0", attachments=items(mac_address=mac))
    many.sh("ip", "link", "del", "mv0")
    many.assert_as(before)


@pytest.mark.oldest
@pytest.mark.any_kernel
def test_B4_a_name_taken_in_between_takes_all_back(many: Host) -> None:
    import subprocess

    ends = [
        item["local_interface"]
        for item in many.run(check=True, runtime="netns", host_interface="br1", attachments=items())["attachments"]
    ]
    ends = [end or "pw" for end in ends]
    take = functools.partial(
        subprocess.run, ["ip", "-n", "g7", "link", "add", "eth1", "type", "veth", "peer", "name", "mine"], check=True
    )
    before = many.snapshot()
    with pytest.raises(
        PipeworkError, match=r"create link netns:g7/eth1 failed: .*(File exists|exists already).*taken back"
    ):
        disturbed(many, take, runtime="netns", host_interface="br1", attachments=items())
    many.sh("ip", "link", "del", "mine", ns="g7")
    many.assert_as(before)


def test_B4_a_bridge_that_goes_in_between_takes_all_back(many: Host) -> None:
    import subprocess

    many.sh("ip", "link", "add", "br1", "type", "bridge")
    before = many.snapshot()
    go_away = functools.partial(subprocess.run, ["ip", "link", "del", "br1"], check=True)
    with pytest.raises(PipeworkError, match=r"create port netns:g0/eth1 failed: .*taken back"):
        disturbed(many, go_away, runtime="netns", host_interface="br1", attachments=items())
    many.sh("ip", "link", "add", "br1", "address", before["host"]["links"]["br1"]["address"], "type", "bridge")
    many.assert_as(before)


def test_B5_what_somebody_undoes_at_once_is_noticed(many: Host) -> None:
    """The kernel is read again after the work; what is missing then is done again."""
    acted = []

    def step(operation: Any) -> None:
        if operation.subject.KIND == "port" and not acted:  # the address is there by now
            import subprocess

            acted.append(subprocess.run(["ip", "-n", "g1", "address", "flush", "dev", "eth1"], check=True))

    many.run(runtime="netns", host_interface="br1", container="g1", addresses=["10.5.0.1/24"], step=step)
    assert many.addresses("eth1", ns="g1") == ["10.5.0.1/24"]


# -- killed at any moment, also between the messages of one batch

MOMENTS = 16


def killed_after(host: Host, seconds: float, params: Params) -> None:
    """A run that is killed after a time, if it is not done by then."""
    work = host.start(lambda: run(AttachJob(params)))
    time.sleep(seconds)
    os.kill(work.pid, signal.SIGKILL)
    with contextlib.suppress(Killed):
        work.wait()


@pytest.mark.parametrize("mixed", [False, True], ids=["bridge", "mixed"])
def test_B4_killed_at_any_moment_nothing_is_lost_and_nothing_left(many: Host, mixed: bool) -> None:
    many.batch("\n".join(NIC))
    wanted: Params = {"runtime": "netns", "host_interface": "br1", "attachments": items()}
    if mixed:
        wanted["attachments"][3] = {**MACVLAN, "container": "g3", "host_interface": "nic1"}
        wanted["attachments"][5] = {**PHYS, "container": "g5"}
        many.batch("link add nic1 type veth peer name lan1\nlink set nic1 up")
    gone = {**wanted, "attachments": [{"container": f"g{n}", "state": "absent"} for n in range(12)]}
    before = many.snapshot()
    started = time.monotonic()
    many.run(**wanted)
    needed = time.monotonic() - started
    many.run(**gone)
    many.assert_as(before)
    for moment in range(MOMENTS):
        seconds = needed * (moment + 1) / MOMENTS
        killed_after(many, seconds, wanted)
        if moment % 2:
            many.run(**wanted)
            assert not many.run(**wanted)["changed"]
            killed_after(many, seconds, gone)
        many.run(**gone)
        many.assert_as(before, f"killed after {seconds:.3f} s")
