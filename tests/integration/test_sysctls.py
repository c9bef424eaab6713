# Copyright: pipework.containers contributors
# GNU General Public License v3.0+ (see LICENSE)
"""B16: kernel parameters of a container's interface."""

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.pipework.containers.plugins.module_utils._core.errors import PipeworkError
from ansible_collections.pipework.containers.plugins.module_utils._jobs.bridge import BridgeJob
from tests.integration.lab import Host, Killed, failing_at, killed_at, refusal

pytestmark = pytest.mark.root

NAMES = {
    "net.ipv4.conf.IFNAME.arp_ignore": "1",
    "net.ipv6.conf.IFNAME.accept_ra": "0",
    "net.ipv4.neigh.IFNAME.gc_stale_time": "90",
    "net.ipv6.neigh.IFNAME.gc_stale_time": "91",
}


def value(host: Host, name: str, ns: str = "a", device: str = "eth1") -> str:
    path = "/proc/sys/" + name.replace(".", "/").replace("IFNAME", device)
    return host.sh("cat", path, ns=ns).strip()


def values(host: Host, **where: str) -> dict[str, str]:
    return {name: value(host, name, **where) for name in NAMES}


def attach(host: Host, **params: Any) -> dict[str, Any]:
    planned = host.attach(check=True, **params)
    done = host.attach(**params)
    assert planned["operations"] == done["operations"]
    assert not host.attach(**params)["changed"]
    return done


def short(done: dict[str, Any]) -> list[tuple[str, str, str, str]]:
    return [
        (each["action"], each["name"], each["before"].get("value", ""), each["after"].get("value", ""))
        for each in done["operations"]
        if each["kind"] == "sysctl"
    ]


@pytest.mark.any_kernel
def test_B16_parameters_are_set_in_the_container_and_nowhere_else(host: Host) -> None:
    host.attach("b", interface="eth1")
    default = values(host, ns="b")
    done = attach(host, addresses=["10.9.0.1/24"], sysctls={name: int(wanted) for name, wanted in NAMES.items()})
    assert values(host) == NAMES
    assert values(host, ns="b") == default
    assert ("create", "netns:a/net.ipv4.conf.eth1.arp_ignore", "", "1") in short(done)
    sorts = [(each["action"], each["kind"]) for each in done["operations"]]
    assert sorts.index(("create", "sysctl")) < sorts.index(("update", "link"))  # before it goes up


def test_B16_parameters_change_in_place_and_what_is_not_listed_stays(host: Host) -> None:
    attach(host, sysctls=NAMES)
    changed = attach(host, sysctls={"net.ipv4.conf.IFNAME.arp_ignore": 2})
    assert short(changed) == [("update", "netns:a/net.ipv4.conf.eth1.arp_ignore", "1", "2")]
    assert len(changed["operations"]) == 1
    assert values(host) == {**NAMES, "net.ipv4.conf.IFNAME.arp_ignore": "2"}


def test_B16_an_interface_that_is_made_anew_gets_its_parameters(host: Host) -> None:
    host.sh("ip", "link", "add", "nic0", "type", "veth", "peer", "name", "lan0")
    attach(host, sysctls=NAMES)
    attach(host, host_interface="nic0", kind="macvlan", sysctls=NAMES)
    assert values(host) == NAMES


def test_B16_any_name_of_an_interface_will_do(host: Host) -> None:
    attach(host, interface="eth1.5", sysctls={"net.ipv4.conf.IFNAME.arp_ignore": 1})
    assert host.sh("cat", "/proc/sys/net/ipv4/conf/eth1.5/arp_ignore", ns="a").strip() == "1"


@pytest.mark.parametrize("earlier", [False, True])
def test_B4_a_failure_at_every_operation_leaves_the_parameters_before(host: Host, earlier: bool) -> None:
    if earlier:
        attach(host, sysctls=NAMES)
    before, old = host.snapshot(), values(host) if earlier else {}
    params: dict[str, Any] = {"mtu": 1400, "sysctls": {**NAMES, "net.ipv4.conf.IFNAME.arp_ignore": "2"}}
    number = len(host.attach(check=True, **params)["operations"])
    for place in range(number):
        with pytest.raises(PipeworkError, match=r"everything is as it was|Nothing was changed"):
            host.attach(step=failing_at(place), **params)
        host.assert_as(before, f"failed at {place}")
        assert not earlier or values(host) == old
    for place in range(number):
        with pytest.raises(Killed):
            host.attach(step=killed_at(place), **params)
        host.attach(**params)
        assert value(host, "net.ipv4.conf.IFNAME.arp_ignore") == "2"
        host.attach(state="absent")
        if earlier:
            attach(host, sysctls=NAMES)


@pytest.mark.parametrize("wanted", ["many", "99999999999999"])
def test_B14_a_value_that_is_no_number_is_refused_first(host: Host, wanted: str) -> None:
    before = host.snapshot()
    with pytest.raises(PipeworkError, match=f"^sysctls: net.ipv4.conf.IFNAME.arp_ignore: '{wanted}' is not a value"):
        host.attach(addresses=["10.9.0.1/24"], sysctls={"net.ipv4.conf.IFNAME.arp_ignore": wanted})
    host.assert_as(before)


def test_B4_a_value_that_the_kernel_refuses_takes_all_back(host: Host) -> None:
    before = host.snapshot()
    with pytest.raises(PipeworkError, match=r"create sysctl netns:a/net\.ipv6\.conf\.eth1\.mtu failed: .*taken back"):
        host.attach(addresses=["10.9.0.1/24"], sysctls={"net.ipv6.conf.IFNAME.mtu": 9})
    host.assert_as(before)


@pytest.mark.parametrize("there", [False, True])
def test_B16_a_parameter_that_the_kernel_has_not_is_refused_first(host: Host, there: bool) -> None:
    if there:
        host.attach()
    before = host.snapshot()
    for check in (True, False):
        with pytest.raises(
            PipeworkError, match=r"sysctls: this host's kernel has no net\.ipv4\.conf\.IFNAME\.magic\. Nothing was"
        ):
            host.attach(check=check, sysctls={"net.ipv4.conf.IFNAME.magic": 1})
    host.assert_as(before)


def test_B16_the_module_takes_them(host: Host) -> None:
    params = {
        "container": "a",
        "runtime": "netns",
        "host_interface": "br1",
        "sysctls": {"net.ipv4.conf.IFNAME.arp_ignore": 1},
    }
    assert host.module("pipework_attach", params)["changed"]
    assert not host.module("pipework_attach", params)["changed"]
    assert host.module("pipework_attach", {**params, "state": "absent"})["changed"]


@pytest.mark.parametrize(
    ("name", "wrong"), [("net.ipv6.conf.IFNAME.mtu", "10"), ("net.ipv6.conf.IFNAME.stable_secret", "abc")]
)
def test_B16_a_value_that_only_the_kernel_can_refuse(host: Host, name: str, wrong: str) -> None:
    before = host.snapshot()
    said = str(refusal(lambda: host.attach(sysctls={name: wrong})))
    assert f"sysctls: {name}: the kernel does not take '{wrong}' (I" in said
    assert "Errno" not in said and "everything is as it was" in said
    host.assert_as(before)


OFF = "net.ipv6.conf.IFNAME.disable_ipv6"


def switch_ipv6_off(host: Host, *devices: str, ns: str | None = "a") -> None:
    """As an engine does it for its containers."""
    for device in devices:
        host.sh("tee", "/proc/sys/" + OFF.replace(".", "/").replace("IFNAME", device), ns=ns, text="1")


def test_B16_P7_ipv6_that_is_switched_off_is_switched_on_by_an_operation(host: Host) -> None:
    switch_ipv6_off(host, "all", "default")
    before = host.snapshot()
    both: dict[str, Any] = {"addresses": ["10.9.0.1/24", "2001:db8::1/64"]}
    planned = host.attach("a", check=True, **both)
    operation = ("create", "netns:a/net.ipv6.conf.eth1.disable_ipv6", "", "0")
    assert short(planned) == [operation]
    for number in range(len(planned["operations"])):
        assert refusal(lambda number=number: host.attach("a", **both, step=failing_at(number)))  # type: ignore[misc]
        host.assert_as(before)
    done = attach(host, **both)
    assert done["operations"] == planned["operations"]
    name = operation[1]
    assert done["after"][f"sysctl {name}"] == planned["after"][f"sysctl {name}"] == {"value": "0"}
    assert (value(host, OFF), value(host, OFF, device="lo")) == ("0", "1")

    # of an interface that is there, and of one that is made anew with an address that nobody lists
    attach(host, addresses=[])
    switch_ipv6_off(host, "eth1")
    changed = attach(host, append=True, addresses=["2001:db8::2/64"])
    assert short(changed) == [("update", name, "1", "0")]
    host.sh("ip", "link", "add", "nic0", "type", "veth", "peer", "name", "lan0")
    moved = attach(host, host_interface="nic0", kind="macvlan", append=True, addresses=["10.9.0.1/24"])
    assert [each[:2] for each in short(moved)] == [operation[:2]]
    assert "2001:db8::2" in str(host.ip("-6", "address", "show", "dev", "eth1", ns="a"))
    assert short(attach(host, host_interface="nic0", kind="macvlan", addresses=["10.9.0.1/24"])) == []

    before = host.snapshot()
    for check in (True, False):
        with pytest.raises(PipeworkError, match=r"sysctls: .*disable_ipv6: 1 switches IPv6 off on netns:a/eth2, which"):
            host.attach("a", check=check, interface="eth2", **both, sysctls={OFF: 1})
        host.assert_as(before)
    assert short(attach(host, interface="eth2", addresses=["10.9.1.1/24"], sysctls={OFF: 1}))


def test_B16_P7_ipv6_of_a_bridge_where_the_host_has_switched_it_off(host: Host) -> None:
    switch_ipv6_off(host, "default", ns=None)
    params: dict[str, Any] = {"job": BridgeJob, "name": "br7", "addresses": ["2001:db8:7::1/64"]}
    planned = host.run(check=True, **params)
    done = host.run(**params)
    assert planned["operations"] == done["operations"]
    assert short(done) == [("create", "net.ipv6.conf.br7.disable_ipv6", "", "0")]
    assert not host.run(**params)["changed"]
