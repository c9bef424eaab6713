# Copyright: pipework.containers contributors
# GNU General Public License v3.0+ (see LICENSE)
"""pipework_attach with dhcp on several interfaces of a container: whose router is the container's."""

from __future__ import annotations

import glob
import json
import os
import signal
import typing as t

import pytest

from ansible_collections.pipework.containers.plugins.module_utils._core.errors import PipeworkError
from tests.integration.keeping import LONG, ended
from tests.integration.lab import Host, followed, wait_for
from tests.integration.test_dhcp import BUILTIN, lease_of, log, running_dnsmasq, segment, server

__all__ = ["segment"]
pytestmark = pytest.mark.root
OPTIONS = "/run/dnsmasq.options"
Given = dict[str, t.Any]


def item(interface: str, **more: t.Any) -> Given:
    given = {"container": "a", "runtime": "netns", "host_interface": "br1", "interface": interface}
    return {**given, **({} if more.get("state") == "absent" else BUILTIN), **more}


def default(host: Host) -> list[str]:
    return [line for line in host.routes("a", "route") if line.startswith("default")]


def through(interface: str, gateway: str = "10.5.0.254") -> list[str]:
    return [f"default via {gateway} dev {interface} proto 112"]


def test_P22_the_first_of_several_leases_brings_the_default_route(segment: Host) -> None:
    host, both = segment, [item("eth1"), item("eth2")]
    with server(host):
        done = host.run(attachments=both)
        assert default(host) == through("eth1")
        assert [each["gateway"] for each in done["attachments"]] == [["10.5.0.254"], []]
        [words] = done["warnings"]
        assert words.startswith("dhcp: netns:a/eth2: its router 10.5.0.254 is not used, since ")
        assert not host.run(attachments=both)["changed"]
        again = host.run(attachments=both[::-1])  # who has it keeps it
        assert not again["changed"] and again["warnings"] == done["warnings"]
        quiet = host.run(attachments=[both[0], item("eth2", gateway=[])])
        assert not quiet["changed"] and "warnings" not in quiet
        gone = host.run(attachments=[item("eth1", state="absent"), both[1]])
        assert gone["changed"] and default(host) == through("eth2")
        assert not host.run(attachments=[item("eth1", state="absent"), both[1]])["changed"]


def test_P22_leases_in_tasks_of_their_own_do_not_take_the_route_from_each_other(segment: Host) -> None:
    host = segment
    with server(host):
        for interface in ("eth1", "eth2", "eth1", "eth2"):
            done = host.run(attachments=[item(interface)])
            assert default(host) == through("eth1")
            assert ("warnings" in done) == (interface == "eth2")
        assert not done["changed"]
        static = {"dhcp": None, "dhcp_timeout": None, "addresses": ["10.5.0.9/24"], "gateway": ["10.5.0.1"]}
        host.run(attachments=[item("eth3", **static)])
        assert default(host) == through("eth3", "10.5.0.1")  # what is said goes before what a server says
        for interface in ("eth1", "eth2"):
            done = host.run(attachments=[item(interface)])
            assert not done["changed"] and "dev eth3" not in str(done) and "through eth3" in done["warnings"][0]
        host.attach("a", interface="eth3", state="absent")
        assert default(host) == through("eth1")
        said = [item("eth1"), item("eth2", gateway=["10.5.0.2"])]
        for changed in (True, False):
            assert host.run(attachments=said)["changed"] == changed
            assert default(host) == through("eth2", "10.5.0.2")


def test_P24_the_process_that_stays_leaves_the_route_where_it_is(segment: Host) -> None:
    both = [item(interface, dhcp_keep=True) for interface in ("eth1", "eth2")]
    with ended(segment) as host:
        host.call(write_options, "10.5.0.254")
        more = ["--dhcp-range=10.5.0.100,10.5.0.120,2m", "--no-ping", "--dhcp-authoritative"]
        with running_dnsmasq(host, [*more, f"--dhcp-optsfile={OPTIONS}"]) as pid:
            host.run(attachments=both)
            assert default(host) == through("eth1")
            host.call(write_options, "10.5.0.253")
            os.kill(pid, signal.SIGHUP)
            wait_for("the other router", lambda: default(host) == through("eth1", "10.5.0.253"), LONG)
            wait_for("both to know it", lambda: set(host.call(routers)) == {"10.5.0.253"}, LONG)
            assert not host.run(attachments=both)["changed"]
            host.attach("a", interface="eth1", state="absent")
            host.run(attachments=both[1:])
            assert default(host) == through("eth2", "10.5.0.253")
            host.attach("a", interface="eth2", state="absent")
        host.call(os.unlink, OPTIONS)


def routers() -> list[str]:
    """As the leases name them."""
    found = []
    for path in glob.glob("/run/pipework/dhcp/*/lease"):
        with open(path, encoding="utf-8") as handle:
            found.append(str(json.load(handle)["grant"]["gateway"]))
    return found


def write_options(router: str) -> None:
    with open(OPTIONS, "w", encoding="ascii") as handle:
        handle.write(f"3,{router}\noption:T1,3\noption:T2,100\n")


def test_P22_B16_another_network_is_asked_anew(segment: Host) -> None:
    """By both families; what the old one gave does not stay."""
    host = segment
    host.batch("address add fd05::254/64 dev br1 nodad\nlink set other up\n")
    host.batch("link add br2 address 02:00:00:00:06:fe type bridge\nlink set br2 up\n")
    host.batch("link add stays2 type veth peer name other2\nlink set stays2 master br2\nlink set stays2 up\n")
    host.batch("link set other2 up\naddress add 10.6.0.254/24 dev br2\naddress add fd06::254/64 dev br2 nodad\n")
    usual = ["--no-ping", "--dhcp-authoritative"]
    near = [*usual, "--dhcp-range=10.5.0.100,10.5.0.120,2m", "--dhcp-range=fd05::100,fd05::1ff,64,2m"]
    far = ["--interface=br2", "--dhcp-range=10.6.0.100,10.6.0.120,2m", "--dhcp-range=fd06::100,fd06::1ff,64,2m"]
    given: Given = {**BUILTIN, "dhcp6": True, "dhcp_timeout": 4}
    with running_dnsmasq(host, near):
        done = host.attach("a", **given)
        had = host.addresses("eth1", ns="a")
        assert len(had) == 2 and all(each.startswith(("10.5.", "fd05:")) for each in had)
        assert not host.attach("a", **given)["changed"]
        with pytest.raises(PipeworkError, match=r"dhcp6?: no server gave an address .*taken back"):
            host.attach("a", **given, host_interface="br2")
        assert host.addresses("eth1", ns="a") == had
        again = host.attach("a", **given)
        assert not again["changed"] and again["attachments"][0]["lease"]["address"] in had
        assert done["attachments"][0]["host_interface"] == "br1"
    given = {**given, "dhcp_timeout": 30, "host_interface": "br2"}
    with running_dnsmasq(host, [*near, *far], ("IP range fd06",)):
        said = host.attach("a", **given, check=True)
        done = host.attach("a", **given)
        followed(said, done)
        assert [each["kind"] for each in done["operations"] if "lease" in each["kind"]] == ["lease", "lease6"]
        now = host.addresses("eth1", ns="a")
        assert len(now) == 2 and all(each.startswith(("10.6.", "fd06:")) for each in now)
        assert not host.attach("a", **given)["changed"]


def test_P23_the_lease_of_another_mac_address_is_given_back(segment: Host) -> None:
    host = segment
    with server(host):
        macs = ("02:00:00:00:05:01", "02:00:00:00:05:02")
        old, new = (lease_of(host.run(attachments=[item("eth1", mac_address=mac)]))["address"] for mac in macs)
        assert new != old and host.addresses("eth1", ns="a") == [new]
        wait_for("the old one", lambda: f"DHCPRELEASE(br1) {old.split('/')[0]} 02:00:00:00:05:01" in log(host), LONG)
        assert log(host).count("DHCPRELEASE") == 1
