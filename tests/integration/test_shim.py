# Copyright: pipework.containers contributors
# GNU General Public License v3.0+ (see LICENSE)
"""P17, D5: the host reaches the containers on its NIC, by its own addresses or one more; what nobody confirms is taken
back.

The NIC is one end of a cable to a LAN, from where the host is reached as a controller would reach it.
"""

from __future__ import annotations

import functools
import subprocess
from collections.abc import Iterator
from typing import Any

import pytest

from ansible_collections.pipework.containers.plugins.module_utils._jobs.shim import ShimJob
from tests.integration.lab import Host, Injected, Killed, failing_at, killed_at, refusal, wait_for

pytestmark = pytest.mark.root
LAN4, LAN6 = "203.0.113.254", "fd03::fe"
HOST4, HOST6 = "203.0.113.10", "fd03::10"
WIRING = f"""
link set nic0 up
address add 203.0.113.11/24 broadcast + dev nic0
address add {HOST4}/24 dev nic0
address add {HOST6}/64 dev nic0
route add default via {LAN4} dev nic0 src {HOST4} metric 5 proto static
route add default via {LAN6} dev nic0
rule add iif nic0 lookup 77 priority 500
rule add oif nic0 to 10.55.0.0/16 lookup 77 priority 500
"""
MORE = f"""
address add 198.51.100.1 peer 198.51.100.2/32 dev nic0
address add 10.9.0.1/24 dev nic0 noprefixroute
address add fd03::11/64 dev nic0
route add 10.9.0.0/24 dev nic0 proto kernel scope link src 10.9.0.1 metric 100
route add 10.8.0.0/16 via 10.99.0.1 dev nic0 onlink table 77
route add 10.7.0.0/16 dev nic0 scope link mtu 1400
route add 10.6.0.0/16 nexthop via {LAN4} dev nic0 weight 2 nexthop dev other
route add fd08::/32 via fe80::1 dev nic0 metric 77
rule add from 10.8.0.0/16 lookup 77 priority 501
"""


@pytest.fixture
def host() -> Iterator[Host]:
    """A host with the NIC nic0, its addresses and routes, a container a on it, and the LAN beyond."""
    found = Host("a", "lan")
    found.batch(
        "link add nic0 address 06:00:00:00:00:01 mtu 1450 type veth peer name nic0 mtu 1450 netns lan\n"
        "link add other type bridge\nlink set other up\naddress add 10.5.0.1/24 dev other\n" + WIRING
    )
    found.batch(f"link set nic0 up\naddress add {LAN4}/24 dev nic0\naddress add {LAN6}/64 dev nic0\n", ns="lan")
    found.attach("a", host_interface="nic0", addresses=["203.0.113.1/24", "fd03::1/64"])
    yield found
    shim(found, state="absent")  # no process outlives the test
    found.close()


def shim(host: Host, check: bool = False, step: Any = None, **params: Any) -> dict[str, Any]:
    return host.run(check, step, ShimJob, **{"parent": "nic0", **params})


def waiting(host: Host) -> list[str]:
    """The files of watchdogs, which go as they end."""
    return [path for path in host.snapshot()["run"] if "timers" in path]


def what(done: dict[str, Any]) -> list[str]:
    return [f"{each['action']} {each['kind']} {each['name']}" for each in done["operations"]]


def reached(host: Host) -> bool:
    """From the LAN and from the container, by both families."""
    return all(host.ping(ns, address) for ns in ("lan", "a") for address in (HOST4, HOST6))


def test_P17_addresses_and_routes_move_at_once_and_come_back(host: Host) -> None:
    host.batch(MORE)
    host.sh("ip", "-6", "rule", "add", "oif", "nic0", "lookup", "78", "priority", "502")
    for rule in ("iif nic0 to 10.54.0.0/16 lookup 79", "oif nic0 iif lo fwmark 7/0xff prohibit proto static"):
        host.sh("ip", "rule", "add", *rule.split(), "priority", "500")
    rules = [host.sh("ip", "-d", *family, "rule") for family in ((), ("-6",))]
    before = host.snapshot()
    assert host.ping("lan", HOST4) and not host.ping("a", HOST4, seconds=0)
    said = shim(host, check=True)
    assert host.snapshot() == before
    done = shim(host)
    assert done["operations"] == said["operations"] and done["after"] == said["after"]
    assert reached(host) and host.ping(None, "203.0.113.1") and host.ping(None, "fd03::1")
    assert host.addresses("nic0") == []
    assert host.addresses("nic0m") == sorted([
        f"{HOST4}/24", "203.0.113.11/24", "198.51.100.1/32", "10.9.0.1/24", f"{HOST6}/64", "fd03::11/64",
    ])
    for words in (["route", "show", "table", "all"], ["-6", "route", "show", "table", "all"], ["rule"], ["-6", "rule"]):
        lines = [line for line in host.sh("ip", *words).splitlines() if "nic0 " in line]
        assert all("fe80::/64" in line or "fe80:" in line or "ff00::/8" in line for line in lines), lines
    assert [host.sh("ip", "-d", *family, "rule") for family in ((), ("-6",))] == [
        text.replace("nic0", "nic0m") for text in rules
    ]
    assert not done.get("warnings") and not shim(host)["changed"]
    [found] = done["shims"]
    assert found["moved"] and found["parent"] == "nic0" and found["mtu"] == 1450 and not done["pending"]
    gone = shim(host, state="absent")
    assert gone["changed"] and not shim(host, state="absent")["changed"]
    host.assert_as(before)
    assert [host.sh("ip", "-d", *family, "rule") for family in ((), ("-6",))] == rules
    host.sh("ip", "rule", "add", "from", "10.3.0.0/16", "lookup", "82", "priority", "500")
    assert any("stands behind the others of its priority 500" in each for each in shim(host)["warnings"])


OWN = {"addresses": ["203.0.113.250/32", "fd03::250/128"], "routes": ["203.0.113.1", "203.0.113.64/27", "fd03::1"]}


def test_D5_a_shim_with_an_address_of_its_own(host: Host) -> None:
    before = host.snapshot()
    said = shim(host, check=True, **OWN)
    done = shim(host, **OWN)
    assert done["operations"] == said["operations"]
    assert not shim(host, **OWN)["changed"]
    assert host.ping(None, "203.0.113.1") and host.ping(None, "fd03::1") and host.ping("a", "203.0.113.250")
    assert host.ping("a", HOST4) and host.ping("lan", HOST4), "the NIC is as it was"
    assert done["shims"][0]["routes"] == ["203.0.113.1/32", "203.0.113.64/27", "fd03::1/128"]
    change = {"addresses": ["203.0.113.250/32"], "routes": ["203.0.113.1"], "mac_address": "U:shim"}
    assert what(shim(host, **change)) == [
        "update link nic0m", "delete route 203.0.113.64/27", "delete route fd03::1/128",
        "delete address nic0m fd03::250/128",
    ]
    assert host.ping(None, "203.0.113.1") and host.addresses("nic0m") == ["203.0.113.250/32"]
    assert what(shim(host, state="absent"))[-1] == "delete link nic0m"
    host.assert_as(before)


def test_P17_what_the_nic_is_given_once_more_goes_over_too(host: Host) -> None:
    """As when the service is started anew that sets up the NIC."""
    before = host.snapshot()
    shim(host)
    moved = host.snapshot()
    again = WIRING.replace("route add", "route append").partition("rule")[0]
    host.batch(again)
    twice = host.snapshot()
    said = shim(host, check=True)
    for number in range(len(said["operations"])):
        assert "a failure was injected" in str(refusal(lambda: shim(host, step=failing_at(number))))  # noqa: B023
        host.assert_as(twice, f"operation {number}")
    assert shim(host)["operations"] == said["operations"]
    host.assert_as(moved)
    assert reached(host) and not shim(host)["changed"]
    host.batch(again)
    shim(host, state="absent")
    host.assert_as(before)


def test_P17_bad_input_is_refused_before_anything_is_touched(host: Host) -> None:
    host.batch(
        "link add br9 type bridge\nlink add port9 type veth peer name port8\nlink set port9 master br9\n"
        "link add taken type bridge\nlink add bare type veth peer name bare8\n"
    )
    shim(host, parent="other", **{**OWN, "routes": []})
    before = host.snapshot()
    for params, words in (
        ({"parent": "nic9"}, "parent: the host has no interface nic9; did you mean nic0"),
        ({"parent": "mac:02:11:22:33:44:55"}, "parent: no interface of the host has the address 02:11:22:33:44:55"),
        ({"parent": "port9"}, "parent: port9 is a port of br9"),
        ({"parent": "otherm"}, "parent: otherm is a macvlan itself; other would be right"),
        ({"parent": "bare"}, "addresses: bare has none that could move to barem"),
        ({"name": "taken"}, "name: taken exists on the host, and it is somebody else's bridge"),
        ({"name": "taken", "state": "absent"}, "name: taken exists on the host"),
        ({"name": "nic0"}, "name: nic0 is the NIC itself"),
        ({"name": "otherm", "addresses": []}, "parent: otherm is a shim on other, not on nic0"),
        ({"parent": "other"}, "addresses: the shim otherm has addresses of its own and would get the NIC's"),
        ({"addresses": ["203.0.113.9"]}, "addresses: '203.0.113.9': the IP address should include a netmask"),
        (
            {"addresses": [], "routes": ["203.0.113.0/24"]},
            "routes: the host has a route to 203.0.113.0/24 already, through nic0",
        ),
        ({"routes": ["203.0.113.1"]}, "routes: are those of a shim with addresses of its own"),
        ({"addresses": [], "routes": ["default"]}, "routes: 'default' would lead all"),
        ({"confirm_timeout": 4000}, "confirm_timeout: 4000 s is not possible"),
        ({"confirm": True}, "confirm: nothing of nic0m waits to be confirmed"),
        ({"shims": [{}, {"name": "second"}]}, "shims[1]: parent: the addresses of nic0 move to nic0m already"),
        ({"shims": [{"addresses": []}, {"addresses": []}]}, "shims[1]: name: nic0m is listed twice"),
    ):
        said = refusal(functools.partial(shim, host, **params))
        assert said is not None and words in said, (params, said)
    host.assert_as(before)
    shim(host, parent="other", state="absent")


@pytest.mark.parametrize("state", ["present", "absent"])
def test_B4_a_failure_or_a_kill_at_any_operation(host: Host, state: str) -> None:
    run, base = {"state": state}, {"state": "absent" if state == "present" else "present"}
    shim(host, **base)
    before = host.snapshot()
    number = len(shim(host, check=True, confirm_timeout=600, **run)["operations"])
    after: dict[str, Any] = {}
    assert number > 5
    for at in range(number):
        said = refusal(functools.partial(shim, host, step=failing_at(at), confirm_timeout=600, **run))
        assert said is not None and "a failure was injected" in said, at
        host.assert_as(before, f"after a failure at {at}: {said}")
        with pytest.raises(Killed):
            shim(host, step=killed_at(at), confirm_timeout=600, **run)
        shim(host, **run)
        after = after or host.snapshot()
        host.assert_as(after, f"after a kill at {at}")
        shim(host, **base)
        host.assert_as(before, f"back after a kill at {at}")


def test_P17_the_host_is_reached_between_any_two_operations(host: Host) -> None:
    """By its addresses, from the LAN, as a controller would."""
    assert host.ping("lan", HOST4) and host.ping("lan", HOST6)

    def step(operation: Any) -> None:
        for address in (HOST4, HOST6):
            argv = ["ip", "netns", "exec", "lan", "ping", "-q", "-c", "1", "-w", "10", address]
            if subprocess.run(argv, capture_output=True, check=False).returncode:
                raise Injected(f"{address} is not reached before {operation}.")

    for state in ("present", "absent"):
        assert shim(host, step=step, state=state)["changed"]


def test_P17_a_lent_address_moves_with_its_time(host: Host) -> None:
    host.batch("address add 10.3.0.1/24 dev nic0 valid_lft 3600 preferred_lft 3600\n")
    done = shim(host)
    assert "10.3.0.1/24" in done["shims"][0]["addresses"] and "10.3.0.1/24 of nic0 is lent" in done["warnings"][0]
    [lent] = [a for a in host.ip("address", "show", "dev", "nic0m")[0]["addr_info"] if a["local"] == "10.3.0.1"]
    assert 3000 < lent["valid_life_time"] <= 3600 and not shim(host)["changed"]
    assert shim(host, state="absent")["changed"] and "10.3.0.1/24" in host.addresses("nic0")


@pytest.mark.parametrize("back", [False, True], ids=["there", "back"])
def test_P17_what_nobody_confirms_is_taken_back(host: Host, back: bool) -> None:
    first, run = ({"state": "present"}, {"state": "absent"}) if back else ({"state": "absent"}, {"state": "present"})
    shim(host, **first)
    before, rules = host.snapshot(), host.sh("ip", "-d", "rule")
    done = shim(host, confirm_timeout=2, **run)
    assert host.sh("ip", "-d", "rule") == (
        rules.replace("nic0m", "nic0") if back else rules.replace("nic0", "nic0m")
    )
    assert done["pending"] and what(done)[0] == "create watchdog nic0m"
    wait_for("the watchdog", lambda: not waiting(host), 30)
    host.assert_as(before)
    assert host.sh("ip", "-d", "rule") == rules
    assert not back or reached(host)
    assert "nothing of nic0m waits" in str(refusal(lambda: shim(host, confirm=True)))


def test_P17_what_is_confirmed_stays(host: Host) -> None:
    first = shim(host, confirm_timeout=600)
    assert 500 < first["shims"][0]["ends_in"] <= 600
    after = host.snapshot()
    done = shim(host, confirm=True)
    assert what(done) == ["delete watchdog nic0m"] and not done["pending"]
    assert host.snapshot() == {**after, "run": [path for path in after["run"] if "timers" not in path]}
    shim(host, state="absent", confirm_timeout=600)
    assert what(shim(host, state="absent")) == ["delete watchdog nic0m"], "the same run again confirms as well"


def test_P17_a_killed_run_is_taken_back_by_its_watchdog(host: Host) -> None:
    before = host.snapshot()
    number = len(shim(host, check=True, confirm_timeout=2)["operations"])
    for at in (number // 2, number - 1):
        with pytest.raises(Killed):
            shim(host, step=killed_at(at), confirm_timeout=2)
        wait_for("the watchdog", lambda: not waiting(host), 30)
        host.assert_as(before, str(at))
