# Copyright: pipework.containers contributors
# GNU General Public License v3.0+ (see LICENSE)
"""IPv6 gateways beside a router that advertises itself, on a network that a container is on already."""

from __future__ import annotations

import json
import socket
import struct

import pytest

from tests.integration.lab import Host, wait_for

pytestmark = pytest.mark.root


def advertise() -> None:
    """One router advertisement to all nodes on eth0, with a lifetime of half an hour and no prefix."""
    with socket.socket(socket.AF_INET6, socket.SOCK_RAW, socket.IPPROTO_ICMPV6) as sender:
        sender.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_HOPS, 255)
        sender.sendto(
            struct.pack("!BBHBBHII", 134, 0, 0, 64, 0, 1800, 0, 0),
            ("ff02::1", 0, 0, socket.if_nametoindex("eth0")),
        )


def defaults(host: Host) -> list[tuple[str, str]]:
    """Protocol and device of each IPv6 default route of the container."""
    shown = json.loads(host.sh("ip", "-6", "-j", "route", "show", "default", ns="a") or "[]")
    return sorted((route["protocol"], route["dev"]) for route in shown)


@pytest.mark.any_kernel
def test_P9_an_ipv6_gateway_goes_before_an_advertised_one_which_stays(host: Host) -> None:
    host.sh("ip", "link", "add", "eth0", "netns", "b", "type", "veth", "peer", "name", "eth0", "netns", "a")
    for ns in "ab":
        host.sh("ip", "link", "set", "eth0", "addrgenmode", "eui64", "up", ns=ns)

    def usable(ns: str) -> bool:
        shown = host.sh("ip", "-6", "address", "show", "dev", "eth0", ns=ns)
        return "fe80" in shown and "tentative" not in shown

    wait_for("link-local addresses", lambda: usable("a") and usable("b"))

    def advertised() -> bool:
        host.call(advertise, ns="b")
        return defaults(host) == [("ra", "eth0")]

    wait_for("the router's default route", advertised)
    options = {"host_interface": "br1", "addresses": ["fd05::5/64"], "gateway": ["fd05::1"]}
    assert host.attach("a", **options)["changed"]
    assert defaults(host) == [("112", "eth1"), ("ra", "eth0")]
    assert not host.attach("a", **options)["changed"]
    host.call(advertise, ns="b")
    assert defaults(host) == [("112", "eth1"), ("ra", "eth0")]
    chosen = {
        json.loads(host.sh("ip", "-6", "-j", "route", "get", f"2001:db8::{number:x}", ns="a"))[0]["dev"]
        for number in range(1, 9)
    }
    assert chosen == {"eth1"}
    assert host.attach("a", host_interface="br1", state="absent")["changed"]
    assert defaults(host) == [("ra", "eth0")]
