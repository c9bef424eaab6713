# Copyright: pipework.containers contributors
# GNU General Public License v3.0+ (see LICENSE)
"""Addresses that nobody lists: of a real router's advertisements and a real DHCPv6 server's, both of them dnsmasq, and
link-local ones of IPv4."""

from __future__ import annotations

import contextlib
import typing as t
from collections.abc import Iterator

import pytest

from ansible_collections.pipework.containers.plugins.module_utils._attach.slaac import candidates
from ansible_collections.pipework.containers.plugins.module_utils._core.errors import PipeworkError
from tests.integration.keeping import LONG, ended, kill, kinds, left
from tests.integration.lab import Host, Killed, failing_at, followed, killed_at, wait_for, write
from tests.integration.test_dhcp import log, running_dnsmasq

pytestmark = pytest.mark.root
MAC = "02:00:00:00:05:01"
ZEROCONF: dict[str, t.Any] = {"link_local": True, "mac_address": MAC}


@pytest.fixture
def segment(host: Host) -> Iterator[Host]:
    """A bridge on which the host has an IPv6 address, and a port that stays."""
    for where in ("all", "default"):  # the host itself is a router
        host.call(write, f"/proc/sys/net/ipv6/conf/{where}/accept_ra", "0")
    host.batch("link add br1 address 02:00:00:00:05:fe type bridge\nlink set br1 up\n")
    host.batch("address add fd05::254/64 dev br1\n")
    host.batch("link add stays type veth peer name other\nlink set stays master br1\nlink set stays up\n")
    host.batch("link set other up\n")
    with ended(host):
        yield host


@contextlib.contextmanager
def router(host: Host) -> Iterator[None]:
    """dnsmasq on br1, which advertises fd05::/64 every four seconds."""
    with running_dnsmasq(host, ["--enable-ra", "--ra-param=br1,4,1800", "--dhcp-range=fd05::,ra-only,64,30m"]):
        yield


@pytest.mark.any_kernel
def test_B16_a_router_gives_addresses_beside_listed_ones(segment: Host) -> None:
    host = segment
    wish: dict[str, t.Any] = {"accept_ra": True, "addresses": ["fd06::1/64"], "mac_address": MAC}
    own = "fd05::ff:fe00:501/64"
    with router(host):
        before = host.snapshot()
        said = host.attach("a", check=True, **wish)
        done = host.attach("a", **wish)
        assert done["operations"] == said["operations"] and done["attachments"][0]["slaac"] == [own]
        assert host.addresses("eth1", ns="a") == [own, "fd06::1/64"]
        assert any(line.startswith("default via fe80::ff:fe00:5fe dev eth1 proto ra") for line in routes(host))
        assert host.ok("ping", "-c", "1", "-w", "10", "-q", "fd05::254", ns="a")
        again = host.attach("a", **wish)
        assert not again["changed"] and again["attachments"][0]["slaac"] == [own]
        host.attach("a", append=True, addresses=["fd06::7/64"], gateway=["fd06::fe"], accept_ra=True)
        assert any(line.startswith("default via fd06::fe dev eth1") for line in routes(host))
        host.attach("a", addresses=["fd06::1/64"], accept_ra=False)  # as one who does not trust them any more
        assert host.addresses("eth1", ns="a") == ["fd06::1/64"]
        assert not host.attach("a", addresses=["fd06::1/64"], accept_ra=False)["changed"]
        after = host.attach("a", addresses=[], accept_ra=True)  # an interface that is up already asks at once
        assert after["attachments"][0]["slaac"] == [own]
        host.attach("a", state="absent")
        host.assert_as({**before, "run": host.snapshot()["run"]})


def routes(host: Host) -> list[str]:
    return host.routes("a", "-6", "route")


def test_B16_a_segment_without_a_router_is_a_warning(segment: Host) -> None:
    done = segment.attach("a", accept_ra=True, dhcp_timeout=1)
    words = "accept_ra: netns:a/eth1 has no address yet, since no router gave one within 1 s."
    assert (done["warnings"], done["attachments"][0]["slaac"]) == ([words], [])
    assert segment.sh("cat", "/proc/sys/net/ipv6/conf/eth1/accept_ra", ns="a") == "2\n"
    with pytest.raises(PipeworkError, match=r"sysctls: net.ipv6.conf.IFNAME.accept_ra is what accept_ra sets"):
        segment.attach("a", accept_ra=True, sysctls={"net.ipv6.conf.IFNAME.accept_ra": 1})


def held(host: Host, ns: str = "a") -> list[str]:
    shown = host.ip("-4", "address", "show", "dev", "eth1", ns=ns)
    listed = [address for each in shown for address in each.get("addr_info", ()) if "local" in address]
    assert all((each["scope"], each["prefixlen"]) == ("link", 16) for each in listed)
    return [each["local"] for each in listed]


def test_P46_an_address_of_ones_own_that_nobody_else_has(segment: Host) -> None:
    host, tried = segment, list(candidates(MAC))
    before = host.snapshot()
    said = host.attach("a", check=True, **ZEROCONF)
    host.assert_as(before)
    done = host.attach("a", **ZEROCONF)
    assert done["operations"] == said["operations"]
    assert (done["attachments"][0]["link_local"], held(host)) == (f"{tried[0]}/16", [tried[0]])
    assert not host.attach("a", **ZEROCONF)["changed"]
    host.attach("a", mtu=1400)  # says nothing about it
    assert held(host) == [tried[0]]
    kill(host)  # then nobody defends it,
    host.attach("b", addresses=[f"{tried[0]}/16"], announce=False)  # and somebody takes it without looking
    said = host.attach("a", check=True, **ZEROCONF)
    moved = host.attach("a", **ZEROCONF)
    assert kinds(moved) == kinds(said) == [("update", "link_local"), ("update", "dhcp_keep")]
    assert (moved["attachments"][0]["link_local"], held(host)) == (f"{tried[1]}/16", [tried[1]])
    assert not host.attach("a", **ZEROCONF)["changed"]
    assert host.ping("a", tried[0])
    assert host.attach("a", link_local=False)["changed"] and not held(host)
    assert host.attach("a", **ZEROCONF)["attachments"][0]["link_local"] == f"{tried[1]}/16"  # the first one is taken
    with pytest.raises(PipeworkError, match=r"link_local: eth1 has the address 169.254.*/16, and a link-local one"):
        host.attach("b", link_local=True)
    with pytest.raises(PipeworkError, match=r"link_local: .* gets one by addresses: 10.1.0.1/24"):
        host.attach("a", addresses=["10.1.0.1/24"], link_local=True)


def test_P46_many_at_once_and_a_failure_at_any_operation(segment: Host) -> None:
    host = segment
    host.attach("a", **ZEROCONF, state="absent")
    before = host.snapshot()
    steps = len(host.attach("a", check=True, **ZEROCONF)["operations"])
    for number in range(steps):
        with pytest.raises(PipeworkError, match="a failure was injected"):
            host.attach("a", step=failing_at(number), **ZEROCONF)
        wait_for("nothing to be left", lambda: not left(host), LONG)
        host.assert_as(before, f"operation {number}")
    host.batch(f"address add {next(candidates(MAC))}/16 dev other\n")
    both = [{"container": "a", "mac_address": MAC}, {"container": "b"}]
    done = host.run(runtime="netns", host_interface="br1", link_local=True, attachments=both)
    found = [each["link_local"] for each in done["attachments"]]
    assert found[0] == f"{list(candidates(MAC))[1]}/16" and found[1] not in (None, found[0])


# -- DHCPv6

RELEASED = "status  0 release received"
DHCP6: dict[str, t.Any] = {"dhcp6": True, "dhcp_timeout": 20}


@contextlib.contextmanager
def server(host: Host, last: str = "1ff", seconds: str = "10m") -> Iterator[None]:
    """dnsmasq on br1, which gives the addresses from fd05::100 on, and advertises itself as the router."""
    words = ["--enable-ra", f"--dhcp-range=fd05::100,fd05::{last},64,{seconds}"]
    words += ["--dhcp-option=option6:dns-server,[fd05::53]", "--dhcp-option=option6:domain-search,example.org"]
    with running_dnsmasq(host, words):
        yield


def lease_of(result: dict[str, t.Any]) -> dict[str, t.Any]:
    return dict(result["attachments"][0]["lease6"])


def test_B16_an_address_from_a_server_and_back(segment: Host) -> None:
    host = segment
    with server(host):
        before = host.snapshot()
        said = host.attach("a", check=True, accept_ra=True, **DHCP6)
        done = host.attach("a", accept_ra=True, **DHCP6)
        assert said["operations"][-1]["kind"] == "lease6" and followed(said, done) == ["address"]
        lease = lease_of(done)
        assert lease["address"].startswith("fd05::1") and lease["address"].endswith("/128")
        assert (lease["dns"], lease["domain"]) == (["fd05::53"], "example.org")
        assert lease["duid"].startswith("0004") and lease["preferred"] and lease["expires"]
        [shown] = [a for a in host.ip("-6", "address", "show", "dev", "eth1", ns="a")[0]["addr_info"]
                   if a["prefixlen"] == 128]
        assert shown["local"] == lease["address"][:-4] and 500 < shown["valid_life_time"] <= 600
        default = "default via fe80::ff:fe00:5fe dev eth1 proto ra"
        wait_for("the router", lambda: any(line.startswith(default) for line in routes(host)))
        assert host.ok("ping", "-c", "1", "-w", "10", "-q", "-I", shown["local"], "fd05::254", ns="a")
        assert "client provides name: a\n" in log(host)
        again = host.attach("a", accept_ra=True, **DHCP6)
        assert not again["changed"] and lease_of(again)["address"] == lease["address"]
        renamed = host.attach("a", dhcp_hostname="web1", **DHCP6)
        assert [(each["action"], each["kind"]) for each in renamed["operations"]] == [("update", "lease6")]
        assert {**lease_of(renamed), "preferred": 0, "expires": 0} == {**lease, "preferred": 0, "expires": 0}
        assert not host.attach("a", addresses=["fd06::1/64"], append=True)["attachments"][0]["lease6"]
        host.attach("a", dhcp6=False)
        assert lease["address"] not in host.addresses("eth1", ns="a")
        wait_for("the server to have it back", lambda: RELEASED in log(host))
        assert lease_of(host.attach("a", **DHCP6))["duid"] == lease["duid"]
        host.attach("a", state="absent")
        wait_for("the server to have it back again", lambda: log(host).count(RELEASED) == 2)
        host.assert_as({**before, "run": host.snapshot()["run"]})
        assert "dhcp" not in host.sh("find", "/run/pipework")


def test_B16_no_server_and_no_address_left_are_errors(segment: Host) -> None:
    host = segment
    before = host.snapshot()
    words = r"create lease6 netns:a/eth1 failed: dhcp6: no server gave an address within 1 s; sent were [0-9]+ Solicit "
    with pytest.raises(PipeworkError, match=words + r"and 0 Request as 'a', DUID 0004[0-9a-f]{32}\..* taken back"):
        host.attach("a", dhcp6=True, dhcp_timeout=1)
    host.assert_as(before)
    both = [{"container": "a"}, {"container": "b"}]
    common: dict[str, t.Any] = {"runtime": "netns", "host_interface": "br1", "dhcp6": True, "dhcp_timeout": 5}
    with server(host, last="100"):
        with pytest.raises(PipeworkError, match=r"lease6 netns:[ab]/eth1 failed: .*address.*\(status 2\)"):
            host.run(**common, attachments=both)
        host.assert_as({**before, "run": host.snapshot()["run"]})
        wait_for("it to be given back", lambda: RELEASED in log(host))
        assert "dhcp" not in host.sh("find", "/run/pipework")
        steps = len(host.attach("a", check=True, **DHCP6)["operations"]) + 1  # and the address, when the lease is there
        for number in range(3, steps):
            with pytest.raises(PipeworkError, match="a failure was injected"):
                host.attach("a", step=failing_at(number), **DHCP6)
            host.assert_as({**before, "run": host.snapshot()["run"]}, f"operation {number}")
            with pytest.raises(Killed):
                host.attach("a", step=killed_at(number), **DHCP6)
            host.attach("a", **DHCP6)
            assert not host.attach("a", **DHCP6)["changed"]
            host.attach("a", state="absent")


def test_B16_an_address_of_somebody_else_is_declined(segment: Host) -> None:
    host = segment
    for where in ("all", "default"):
        host.call(write, f"/proc/sys/net/ipv6/conf/{where}/accept_dad", "1", ns="a")
    host.attach("b", addresses=["fd05::100/64"])
    with server(host, last="100"):
        with pytest.raises(PipeworkError, match=r"fd05::100/128 of netns:a/eth1 is in use already: "):
            host.attach("a", **DHCP6)
        wait_for("the server to be told", lambda: "DHCPDECLINE(br1)" in log(host))
