# Copyright: pipework.containers contributors
# GNU General Public License v3.0+ (see LICENSE)
"""A routing table of the interface's own, which leases and routers fill: several uplinks, each answered by its own way.

The servers are dnsmasq, and one that changes its mind at a renewal.
"""

from __future__ import annotations

import contextlib
import typing as t
from collections.abc import Iterator

import pytest

from ansible_collections.pipework.containers.plugins.module_utils._core.errors import PipeworkError
from tests.integration.keeping import LONG, ended
from tests.integration.lab import Host, failing_at, followed, wait_for, write
from tests.integration.test_autoconf import DHCP6, MAC
from tests.integration.test_autoconf import server as server6
from tests.integration.test_dhcp import BUILTIN, USUAL, playing, running_dnsmasq, server
from tests.integration.test_dhcp import segment as segment4
from tests.integration.test_dhcp_keep import KEPT, answers, say

pytestmark = pytest.mark.root
__all__ = ["segment4"]

ROUTES = "121,172.16.9.0/24,10.5.0.1,192.0.2.77/32,198.51.100.1,0.0.0.0/0,10.5.0.254"


def rules(host: Host, family: str = "-4") -> list[str]:
    """Those that we made, without their priorities."""
    lines = host.sh("ip", family, "rule", ns="a").splitlines()
    return sorted(line.partition(":\t")[2].strip() for line in lines if "proto 112" in line)


def table(host: Host, number: int, family: str = "-4") -> list[str]:
    lines = host.routes("a", family, "route", "show", "table", str(number))
    return sorted(line.partition(" metric")[0] for line in lines)


def attach(host: Host, **given: t.Any) -> dict[str, t.Any]:
    """A check run, the run, and a second one, which has nothing to do."""
    said = host.attach("a", check=True, **given)
    done = host.attach("a", **given)
    followed(said, done)
    again = host.attach("a", **given)
    assert not again["changed"], again["operations"]
    return done


def test_P20_B6_a_lease_fills_the_table_of_its_interface(segment4: Host) -> None:
    host = segment4
    with server(host, options=[*USUAL, ROUTES]):
        before = host.snapshot()
        done = attach(host, **BUILTIN, table="101")
        address = done["attachments"][0]["lease"]["address"].split("/")[0]
        assert table(host, 101) == [
            "10.5.0.0/24 dev eth1 proto 112 scope link src " + address,
            "172.16.9.0/24 via 10.5.0.1 dev eth1 proto 112",
            "192.0.2.77 via 198.51.100.1 dev eth1 proto 112",
            "198.51.100.1 dev eth1 proto 112 scope link",
            "default via 10.5.0.254 dev eth1 proto 112",
        ]
        assert rules(host) == [f"from {address} lookup 101 proto 112"]
        assert not any("proto 112" in line for line in host.routes("a", "route")), "nothing of it in the main table"
        assert done["attachments"][0]["gateway"] == ["10.5.0.254"]
        assert {"rule", "route"} <= {each["kind"] for each in done["operations"]}
        # to the main table, and back
        attach(host, **BUILTIN, gateway=["10.5.0.253"], table="101")
        assert "default via 10.5.0.253 dev eth1 proto 112" in table(host, 101)
        attach(host, **BUILTIN, gateway=[], table="101")
        assert not any("default" in line for line in table(host, 101))
        attach(host, addresses=["10.5.0.7/24"], gateway=["10.5.0.254"], table="101")
        assert rules(host) == ["from 10.5.0.7 lookup 101 proto 112"]
        attach(host, **BUILTIN, addresses=[], table="102")
        assert rules(host) == [f"from {address} lookup 102 proto 112"] and table(host, 101) == []
        host.attach("a", state="absent")
        host.assert_as({**before, "run": host.snapshot()["run"]})
        for number in (4, 9, 11):
            with contextlib.suppress(IndexError), pytest.raises(PipeworkError, match="a failure was injected"):
                host.attach("a", step=failing_at(number), **BUILTIN, table="101")
            host.assert_as({**before, "run": host.snapshot()["run"]}, f"operation {number}")


def test_P20_B6_two_uplinks_by_dhcp_are_each_answered_by_their_own_way(segment4: Host) -> None:
    host = segment4
    host.batch("link add br2 address 02:00:00:00:06:fe type bridge\nlink set br2 up\naddress add 10.6.0.254/24 dev br2")
    host.batch("address add 203.0.113.9/32 dev lo")  # somewhere beyond both
    second = ["--interface=br2", "--dhcp-range=10.6.0.100,10.6.0.120,2m", "--dhcp-option=tag:br2,3,10.6.0.254"]
    ranges = ["--dhcp-range=10.5.0.100,10.5.0.120,2m", "--no-ping", "--dhcp-authoritative", *second]
    with running_dnsmasq(host, ranges, ready=("IP range 10.6.0",)):
        both = [
            {"host_interface": "br1", "table": "101"},
            {"host_interface": "br2", "interface": "eth2", "table": "102"},
        ]
        given: dict[str, t.Any] = {"container": "a", "runtime": "netns", **BUILTIN, "attachments": both}
        done = host.run(**given)
        assert not host.run(**given)["changed"]
        leases = [each["lease"]["address"].split("/")[0] for each in done["attachments"]]
        assert rules(host) == sorted(f"from {each} lookup {101 + at} proto 112" for at, each in enumerate(leases))
        for at, (address, router) in enumerate(zip(leases, ("10.5.0.254", "10.6.0.254"))):
            way = host.sh("ip", "route", "get", "203.0.113.9", "from", address, ns="a")
            assert f"via {router} dev eth{at + 1} table {101 + at}" in way
            assert host.ok("ping", "-c", "1", "-w", "5", "-q", "-I", address, "203.0.113.9", ns="a")
        with pytest.raises(PipeworkError, match="table: 101 is the routing table of eth1 in netns:a already"):
            host.run(**{**given, "attachments": [both[0], {**both[1], "table": "101"}]})


def test_P21_B6_a_kept_lease_that_changes_takes_the_table_along(segment4: Host) -> None:
    host = segment4
    host.call(say, "good")
    with ended(host), playing(host, answers):
        given = {**KEPT, "table": "101", "addresses": ["10.7.0.1/24"]}
        attach(host, **given)
        assert rules(host) == ["from 10.5.0.7 lookup 101 proto 112", "from 10.7.0.1 lookup 101 proto 112"]
        host.call(say, "refuse")
        wait_for("the lease to be lost", lambda: rules(host) == ["from 10.7.0.1 lookup 101 proto 112"], LONG)
        wait_for("its routes to go", lambda: len(table(host, 101)) == 1, LONG)
        host.call(say, "other")
        wait_for("the other router", lambda: "default via 10.5.0.253 dev eth1 proto 112" in table(host, 101), LONG)
        assert rules(host) == ["from 10.5.0.9 lookup 101 proto 112", "from 10.7.0.1 lookup 101 proto 112"]
        assert not any("default" in line for line in host.routes("a", "route"))
        again = host.attach("a", **given)
        assert not again["changed"], again["operations"]
        attach(host, **{**KEPT, "addresses": []})  # says nothing of a table: it stays as it is
        host.attach("a", state="absent")
        assert rules(host) == []


@pytest.fixture
def segment6(host: Host) -> Iterator[Host]:
    """A bridge on which the host has an IPv6 address."""
    for where in ("all", "default"):
        host.call(write, f"/proc/sys/net/ipv6/conf/{where}/accept_ra", "0")
    host.batch("link add br1 address 02:00:00:00:05:fe type bridge\nlink set br1 up\naddress add fd05::254/64 dev br1")
    host.batch("link add stays type veth peer name other\nlink set stays master br1\nlink set stays up")
    host.batch("link set other up")
    return host


@pytest.mark.any_kernel
@pytest.mark.parametrize("leased", [False, True])
def test_B16_B6_routers_fill_the_table_of_an_interface(segment6: Host, leased: bool) -> None:
    host = segment6
    own = "fd05::ff:fe00:501"
    words = ["--enable-ra", "--ra-param=br1,4,1800", "--dhcp-range=fd05::,ra-only,64,30m"]
    with server6(host) if leased else running_dnsmasq(host, words):
        before = host.snapshot()
        given = {"mac_address": MAC, "table": "101", **(DHCP6 if leased else {"accept_ra": True})}
        done = attach(host, **given)
        address = done["attachments"][0]["lease6"]["address"].split("/")[0] if leased else own
        assert f"from {address} lookup 101 proto 112" in rules(host, "-6")
        router = "fe80::ff:fe00:5fe"
        assert f"default via {router} dev eth1 proto 112" in table(host, 101, "-6")
        if not leased:
            assert "fd05::/64 dev eth1 proto 112" in table(host, 101, "-6")
            assert done["attachments"][0]["slaac"] == [f"{own}/64"]
        way = host.sh("ip", "-6", "route", "get", "2001:db8::1", "from", address, ns="a")
        assert f"via {router} dev eth1 table 101" in way
        assert host.ok("ping", "-c", "1", "-w", "10", "-q", "-I", address, "fd05::254", ns="a")
        host.attach("a", state="absent")
        host.assert_as({**before, "run": host.snapshot()["run"]})


@pytest.mark.any_kernel
def test_B16_B6_where_no_router_is_the_table_has_no_default_route_and_a_warning_says_so(segment6: Host) -> None:
    done = segment6.attach("a", addresses=["fd06::1/64"], accept_ra=True, dhcp_timeout=1, table="101")
    assert any("table 101 has no default route for IPv6" in words for words in done["warnings"])
    assert rules(segment6, "-6") == ["from fd06::1 lookup 101 proto 112"]
