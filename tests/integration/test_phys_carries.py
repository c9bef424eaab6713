# Copyright: pipework.containers contributors
# GNU General Public License v3.0+ (see LICENSE)
"""A NIC that the host or others stand on moves into a container only if told so, and all of it comes home with it.

The NIC is one end of a cable to the namespace lan.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest

from ansible_collections.pipework.containers.plugins.module_utils._core.errors import PipeworkError
from ansible_collections.pipework.containers.plugins.module_utils._engine import marks
from ansible_collections.pipework.containers.plugins.module_utils._engine.run import run
from ansible_collections.pipework.containers.plugins.module_utils._jobs.attach import AttachJob
from tests.integration.lab import Host, Killed, failing_at, killed_at, refusal, wait_for

pytestmark = pytest.mark.root
MAC, LAN4, LAN6 = "06:00:00:00:00:01", "203.0.113.254", "fd08::fe"
PATHS = [path for path in sys.path if path]
PHYS: dict[str, Any] = {"host_interface": "nic0", "kind": "phys", "addresses": ["203.0.113.1/24"]}
FORCED = {**PHYS, "force": True}
HOME = f"""
link set nic0 up alias uplink|to_the|lan
address add 203.0.113.11/24 brd + dev nic0
address add 203.0.113.9/24 brd + dev nic0
address add 10.77.0.1 peer 10.77.0.2/32 dev nic0
address add 10.9.0.1/24 dev nic0 noprefixroute
address add fd08::9/64 dev nic0
address add fd08::8/64 dev nic0
route add 10.9.0.0/24 dev nic0 proto kernel scope link src 10.9.0.1 metric 100
route add default via {LAN4} dev nic0 src 203.0.113.9 metric 5 proto static
route add 10.50.0.0/16 via 203.0.113.253 metric 7 mtu 1400 table 77
route add 10.51.0.0/16 dev nic0 scope link
route add 10.52.0.0/16 nexthop via 203.0.113.253 dev nic0 weight 2 nexthop via 10.5.0.2 dev other
route add 10.53.0.0/16 table 78 nexthop via 203.0.113.253 nexthop via {LAN4}
route add 10.54.0.0/16 via 10.99.0.1 dev nic0 onlink
route add default via {LAN6} dev nic0
route add fd09::/32 via fe80::1 dev nic0 metric 77 table 77
neigh add 203.0.113.77 lladdr 02:00:00:00:00:77 dev nic0 nud permanent
neigh add proxy 203.0.113.78 dev nic0
neigh add fd08::77 lladdr 02:00:00:00:00:77 dev nic0 nud permanent
rule add iif nic0 lookup 77 priority 500
rule add oif nic0 to 10.55.0.0/16 lookup 78 priority 501
"""


@pytest.fixture
def host() -> Iterator[Host]:
    """A host with a NIC that has all that a NIC can have, and another interface."""
    found = Host("a", "b", "lan")
    found.batch(
        f"link add nic0 address {MAC} type veth peer name nic0 netns lan\n"
        "link add other address 06:00:00:00:00:05 type bridge\nlink set other up\naddress add 10.5.0.1/24 dev other\n"
        + HOME
    )
    found.sh("ip", "-6", "rule", "add", "iif", "nic0", "lookup", "77", "priority", "502")
    found.batch(f"link set nic0 up\naddress add {LAN4}/24 dev nic0\naddress add {LAN6}/64 dev nic0\n", ns="lan")
    yield found
    found.close()


def everything(host: Host) -> dict[str, Any]:
    """The snapshot, neighbors, rules, and the order of the IPv4 addresses."""
    looks = (["neigh", "show", "nud", "permanent"], ["neigh", "show", "proxy"], ["rule"], ["-6", "rule"])
    links = host.ip("-4", "address", "show")
    addresses = [each["local"] for link in links if link["ifname"] == "nic0" for each in link["addr_info"]]
    return {
        "host": host.snapshot(), "said": [sorted(host.sh("ip", *words).splitlines()) for words in looks],
        "addresses": addresses,
    }


def assert_as(host: Host, before: dict[str, Any], what: str = "") -> None:
    host.assert_as(before["host"], what)
    assert {**everything(host), "host": 0} == {**before, "host": 0}, what


def refused(host: Host, container: str = "a", **params: Any) -> str:
    """The words of a refusal, in check mode as in a real run."""
    before = everything(host)
    said = []
    for check in (True, False):
        with pytest.raises(PipeworkError) as caught:
            host.attach(container, check=check, **{**PHYS, **params})
        said.append(str(caught.value))
    assert said[0] == said[1] and said[0].endswith("Nothing was changed."), said
    assert_as(host, before)
    return said[0]


def test_B2_a_nic_with_the_hosts_default_route_moves_only_by_force_and_all_comes_home(host: Host) -> None:
    said = refused(host)
    assert "nic0 carries the host's default route for IPv4 via 203.0.113.254" in said
    assert "for IPv6 via fd08::fe" in said and "'force: true' moves it all the same" in said
    before = everything(host)
    planned = host.attach("a", check=True, **FORCED)
    done = host.attach("a", **FORCED)
    assert planned["operations"] == done["operations"] and not host.attach("a", **FORCED)["changed"]
    assert not host.attach("a", **PHYS)["changed"], "it is there already, so that nothing has to be forced"
    assert "10.52.0.0/16 via 10.5.0.2 dev other" in host.sh("ip", "route"), "what leads elsewhere too stays"
    assert host.ping("a", LAN4)
    planned = host.attach("a", check=True, state="absent")
    gone = host.attach("a", state="absent")
    assert planned["operations"] == gone["operations"] and "warnings" not in gone
    assert_as(host, before)
    assert host.ping(None, LAN4) and host.ping(None, LAN6)
    assert not host.attach("a", state="absent")["changed"]


def test_B2_purge_and_another_interface_bring_all_of_it_home(host: Host) -> None:
    before = everything(host)
    host.attach("a", **FORCED)
    host.run(attachments=[], purge=True)
    assert_as(host, before)
    host.attach("a", **FORCED)
    host.attach("a", host_interface="other", addresses=["10.5.0.7/24"])
    host.attach("a", state="absent")
    assert_as(host, before)


def test_B2_a_failure_at_any_operation_leaves_all_as_it_was(host: Host) -> None:
    for params in (FORCED, {"state": "absent"}):
        before = everything(host)
        count = len(host.attach("a", check=True, **params)["operations"])
        for number in range(0, count, 3):
            words = refusal(lambda: host.attach("a", step=failing_at(number), **params))  # noqa: B023
            if words is not None:
                assert "everything is as it was" in words or "Nothing was changed" in words, words
                assert_as(host, before, f"operation {number}: {words}")
        if params is FORCED:
            host.attach("a", **FORCED)


@pytest.mark.parametrize("share", [0.3, 0.6, 0.75, 0.9, 0.97])
def test_B2_a_run_that_is_killed_on_the_way_home_loses_nothing(host: Host, share: float) -> None:
    before = everything(host)
    host.attach("a", **FORCED)
    count = len(host.attach("a", check=True, state="absent")["operations"])
    with pytest.raises(Killed):
        host.attach("a", step=killed_at(int(count * share)), state="absent")
    host.attach("a", state="absent")
    assert_as(host, before)


@pytest.mark.parametrize("where", ["environment", "above"])
def test_B2_the_nic_of_the_ssh_session_is_refused(host: Host, where: str) -> None:
    """Whether the environment of this process says so, or that of one above, which sudo does not hand on."""
    host.sh("ip", "route", "del", "default")
    host.sh("ip", "-6", "route", "del", "default")
    host.batch("route add 198.51.100.0/24 via 203.0.113.254 dev nic0 table 99\nrule add from 203.0.113.9 lookup 99")

    def attempt() -> str | None:
        session = "198.51.100.7 4711 203.0.113.9 22"
        if where == "environment":
            os.environ["SSH_CONNECTION"] = session
            return refusal(lambda: run(AttachJob({"container": "a", "runtime": "netns", **PHYS}), check=True))
        code = (
            "import os, sys; sys.path[:0] = " + repr(PATHS) + "\n"
            "from ansible_collections.pipework.containers.plugins.module_utils._delayed.ssh_session import peer\n"
            "print(peer())"
        )
        inner = "import os, subprocess, sys\nenv = dict(os.environ); env.pop('SSH_CONNECTION')\n" \
                f"sys.exit(subprocess.run([sys.executable, '-c', {code!r}], env=env).returncode)"
        env = {**os.environ, "SSH_CONNECTION": session}
        return str(subprocess.run(
            [sys.executable, "-c", inner], env=env, capture_output=True, text=True, check=True
        ).stdout)

    said = str(host.call(attempt))
    assert "198.51.100.7" in said
    if where == "environment":
        assert "nic0 carries the SSH session from 198.51.100.7 that runs this task" in said
    os.environ.pop("SSH_CONNECTION", None)
    host.attach("a", **PHYS)  # nobody does


def test_B2_others_that_stand_on_it_are_named_and_live_on(host: Host) -> None:
    for version in ((), ("-6",)):
        host.sh("ip", *version, "route", "del", "default")
    host.attach("b", host_interface="nic0", kind="macvlan", addresses=["203.0.113.2/24"])
    said = refused(host)
    assert "nic0 carries netns:b/eth1 (macvlan in mode bridge): moving it" in said
    before = everything(host)
    host.attach("a", **FORCED)
    assert host.ping("b", LAN4), "a macvlan goes on over a NIC that has moved"
    host.attach("a", state="absent")
    assert_as(host, before)
    assert host.ping("b", LAN4)


def test_B2_a_port_of_a_bridge_is_one_again(host: Host) -> None:
    for version in ((), ("-6",)):
        host.sh("ip", *version, "route", "del", "default")
    host.batch("link set nic0 master other\nlink set nic0 type bridge_slave isolated on learning off")
    assert "a port of other" in refused(host)
    before = everything(host)
    host.attach("a", **FORCED)
    host.attach("a", state="absent")
    assert_as(host, before)


def test_B2_what_the_host_has_got_meanwhile_stays(host: Host) -> None:
    host.attach("a", **FORCED)
    host.sh("ip", "route", "add", "default", "via", "10.5.0.254", "dev", "other", "metric", "5")
    planned = host.attach("a", check=True, state="absent")
    done = host.attach("a", state="absent")
    assert planned["operations"] == done["operations"] and planned["warnings"] == done["warnings"]
    assert any("default" in each and "via 10.5.0.254 through other" in each for each in done["warnings"])
    assert host.sh("ip", "route", "show", "default").split()[:3] == ["default", "via", "10.5.0.254"]
    assert "via 203.0.113.253" in host.sh("ip", "route", "show", "table", "77")


def test_B2_a_lent_address_has_less_time_left_and_its_route_goes_with_it(host: Host) -> None:
    for version in ((), ("-6",)):
        host.sh("ip", *version, "route", "flush", "default")
    host.batch(
        "address add 192.0.2.9/24 dev nic0 valid_lft 900 preferred_lft 800\nroute add default via 192.0.2.1 dev nic0"
    )
    host.attach("a", **FORCED)
    host.attach("a", state="absent")
    shown = host.sh("ip", "address", "show", "dev", "nic0")
    assert "192.0.2.9/24" in shown and "valid_lft 8" in shown
    assert "default via 192.0.2.1" in host.sh("ip", "route")
    host.attach("a", **FORCED)

    def long_ago() -> None:
        for name in os.listdir(marks.FOLDER):
            path = f"{marks.FOLDER}/{name}"
            with open(path, encoding="utf-8") as handle:
                said = json.load(handle)
            if said["luggage"]:
                packed = json.loads(said["luggage"])
                said["luggage"] = json.dumps({**packed, "now": packed["now"] - 1000})
                with open(path, "w", encoding="utf-8") as handle:
                    json.dump(said, handle)

    host.call(long_ago)
    done = host.attach("a", state="absent")
    assert any("its gateway 192.0.2.1 is on no network" in each for each in done["warnings"])
    assert "192.0.2.9" not in host.sh("ip", "address", "show", "dev", "nic0")
    assert "203.0.113.9/24" in host.addresses("nic0")


def test_B14_what_a_container_writes_decides_nothing_about_what_comes_home(host: Host) -> None:
    before = everything(host)
    host.attach("a", **FORCED)
    host.batch(
        "link set eth1 alias pipework:netns:a:eth1|x|nic0|1500|06:00:00:00:00:66|up|192.0.2.66/24|\n"
        "route add 192.0.2.0/24 dev eth1\nlink set eth1 name eth7", ns="a",
    )
    host.attach("a", state="absent")
    assert_as(host, before)


def test_B2_more_than_can_be_remembered_is_refused(host: Host) -> None:
    host.batch("\n".join(f"route add 10.{100 + n // 250}.{n % 250}.0/24 dev nic0" for n in range(4100)))
    assert "more than the 4096 that are remembered" in refused(host, force=True)


def waiting(host: Host) -> list[str]:
    return [path for path in host.snapshot()["run"] if "timers" in path]


def test_B2_a_move_that_nobody_confirms_is_taken_back_and_one_that_is_confirmed_stays(host: Host) -> None:
    before = everything(host)
    planned = host.attach("a", check=True, confirm_timeout=1, **FORCED)
    done = host.attach("a", confirm_timeout=1, **FORCED)
    assert done["pending"] and done["operations"] == planned["operations"]
    assert done["operations"][0]["kind"] == "watchdog" and host.links("a") == ["eth1"]
    wait_for("the NIC", lambda: "nic0" in host.links() and not waiting(host))
    assert_as(host, before)
    assert host.ping(None, LAN4)
    for confirm in ({"confirm": True}, {}):  # as the task does it, and as a later run of it
        host.attach("a", confirm_timeout=600, **FORCED)
        assert waiting(host)
        again = host.attach("a", confirm_timeout=600, **confirm, **FORCED)
        assert [f"{each['action']} {each['kind']}" for each in again["operations"]] == ["delete watchdog"]
        assert not waiting(host) and host.links("a") == ["eth1"] and not again.get("pending")
        with pytest.raises(PipeworkError, match="confirm: nothing of netns:a/eth1 waits"):
            host.attach("a", confirm_timeout=600, confirm=True, **FORCED)
        host.attach("a", state="absent")
        assert_as(host, before)


def test_B2_a_move_whose_container_ends_before_anybody_confirms(host: Host) -> None:
    """A veth goes with its namespace; what waited finds nothing to be done, and leaves nothing."""
    host.attach("a", confirm_timeout=1, **FORCED)
    host.end_guest("a")
    wait_for("the end", lambda: not waiting(host))


def test_B2_a_failed_run_leaves_nobody_waiting_and_what_would_not_come_back_is_refused(host: Host) -> None:
    before = everything(host)
    for number in (0, 1, 12):
        assert refusal(lambda: host.attach("a", step=failing_at(number), confirm_timeout=9, **FORCED))  # noqa: B023
        assert_as(host, before)
    host.attach("a", host_interface="other")
    assert "netns:a/eth1 is there already, and would not come back" in refused(host, force=True, confirm_timeout=9)
    for words, params in (
        ("confirm_timeout: 3601 s is not possible", {**FORCED, "confirm_timeout": 3601}),
        ("confirm_timeout: 9: only kinds phys and sriov", {"kind": "macvlan", "confirm_timeout": 9}),
        ("force: true: only kinds phys and sriov", {"kind": "macvlan", "force": True}),
    ):
        assert words in str(refusal(lambda: host.attach("a", **params)))  # noqa: B023
