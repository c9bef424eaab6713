# Copyright: pipework.containers contributors
# GNU General Public License v3.0+ (see LICENSE)
"""P17: shims on hosts whose network systemd-networkd, NetworkManager or ifupdown brings up, and reboots of them."""

from __future__ import annotations

import json
import typing as t

import pytest

from tests.integration.lab import wait_for
from tests.integration.systemd_host import SystemdHost

pytestmark = [pytest.mark.root, pytest.mark.docker]

LAN4, LAN6, HOST4, HOST6 = "203.0.113.254", "fd03::fe", "203.0.113.10", "fd03::10"
OWN: dict[str, t.Any] = {
    "addresses": ["203.0.113.250/32", "fd03::250/128"],
    "routes": ["203.0.113.64/27", "203.0.113.1/32", "fd03::1/128"],
}
NETWORKD = f"""[Match]
Name=nic0
[Network]
Address={HOST4}/24
Address={HOST6}/64
Gateway={LAN4}
Gateway={LAN6}
IPv6AcceptRA=no
"""
NETWORKMANAGER = f"""[connection]
id=nic0
type=ethernet
interface-name=nic0
[ipv4]
method=manual
address1={HOST4}/24,{LAN4}
[ipv6]
method=manual
address1={HOST6}/64,{LAN6}
"""
IFUPDOWN = f"""auto nic0
iface nic0 inet static
    address {HOST4}/24
    gateway {LAN4}
iface nic0 inet6 static
    address {HOST6}/64
    gateway {LAN6}
    dad-attempts 0
    accept_ra 0
"""
SETUPS: dict[str, tuple[str, str, str, tuple[str, ...]]] = {  # what brings up the NIC, and how it reads files again
    "networkd": ("/etc/systemd/network/10-nic.network", NETWORKD, "systemd-networkd", ("networkctl", "reload")),
    "networkmanager": (
        "/etc/NetworkManager/system-connections/nic0.nmconnection", NETWORKMANAGER, "NetworkManager",
        ("nmcli", "connection", "reload"),
    ),
    "ifupdown": ("/etc/network/interfaces.d/nic0", IFUPDOWN, "networking", ("ifup", "--all")),
}  # fmt: skip


def shim(host: SystemdHost, **params: t.Any) -> dict[str, t.Any]:
    return host.call_module("pipework_shim", **{"parent": "nic0", **params})


def what(done: dict[str, t.Any]) -> list[str]:
    return [f"{each['action']} {each['kind']} {each['name']}" for each in done["operations"]]


def set_up(host: SystemdHost, by: str) -> None:
    """The NIC is brought up by one of them."""
    path, text, service, _again = SETUPS[by]
    host.write(path, text, "600" if path.endswith(".nmconnection") else "644")
    host.sh("systemctl", "enable", "--quiet", "--now", service)
    is_up(host)


def read_again(host: SystemdHost, by: str) -> None:
    """It is told of files that have changed; and it is started anew, as when its package comes in a newer version."""
    host.sh(*SETUPS[by][3])
    is_up(host)
    host.sh("systemctl", "restart", SETUPS[by][2])
    is_up(host)


def is_up(host: SystemdHost) -> None:
    wait_for("the NIC's addresses", lambda: has(host, "nic0", f"{HOST4}/24", f"{HOST6}/64"), 30)
    for version in ("-4", "-6"):
        wait_for("its route", lambda version=version: "nic0" in default_routes(host, version), 30)  # type: ignore[misc]


def default_routes(host: SystemdHost, version: str) -> list[str]:
    """The interfaces that they lead through."""
    found = json.loads(host.sh("ip", "-j", version, "route", "show", "default") or "[]")
    return [way["dev"] for each in found for way in each.get("nexthops", [each])]


def has(host: SystemdHost, name: str, *addresses: str) -> bool:
    return host.link(name) is not None and host.addresses(name) == sorted(addresses)


def is_whole(host: SystemdHost) -> None:
    """The shim with all that it was given, and nothing failed beside."""
    wait_for("the shim's addresses", lambda: has(host, "nic0m", *OWN["addresses"]), 30)
    link = host.link("nic0m") or {}
    assert (link["linkinfo"]["info_data"]["mode"], link["link"], "UP" in link["flags"]) == ("bridge", "nic0", True)
    for each in OWN["routes"]:
        wait_for("its routes", lambda each=each: "dev nic0m" in host.sh("ip", "route", "get", each.split("/")[0]), 30)  # type: ignore[misc]
    assert host.ping("lan", "203.0.113.250")


def no_service_failed(host: SystemdHost) -> None:
    assert host.sh("systemctl", "--failed", "--plain", "--quiet", "--no-pager") == ""


@pytest.mark.parametrize("by", list(SETUPS))
def test_P17_the_shim_is_back_after_a_reboot(booted: SystemdHost, by: str) -> None:
    host, given = booted, {**OWN, "persistence": by}
    set_up(host, by)
    assert shim(host, **given)["changed"]
    mac = (host.link("nic0m") or {})["address"]
    is_whole(host)
    read_again(host, by)
    is_whole(host)
    assert what(shim(host, **given)) == []
    host.reboot()
    is_up(host)
    is_whole(host)
    no_service_failed(host)
    assert (host.link("nic0m") or {})["address"] == mac
    assert what(shim(host, check=True, **given)) == []
    assert what(shim(host, **given)) == []
    host.sh("ip", "route", "add", "203.0.113.2/32", "dev", "nic0m", "proto", "static")
    less = {**given, "addresses": OWN["addresses"][:1], "routes": OWN["routes"][1:2]}
    assert what(shim(host, **less)) != []
    assert what(shim(host, **less)) == []
    shown = host.sh("ip", "-4", "-o", "route", "show", "dev", "nic0m")
    assert [line.split()[0] for line in shown.splitlines()] == ["203.0.113.1", "203.0.113.2"], "somebody's stays"
    shim(host, **given)
    shim(host, state="absent")
    read_again(host, by)
    assert host.link("nic0m") is None
    host.reboot()
    is_up(host)
    no_service_failed(host)
    assert host.link("nic0m") is None
    assert what(shim(host, state="absent")) == []


@pytest.mark.parametrize("by", list(SETUPS))
def test_P17_what_has_moved_is_back_on_the_nic_after_a_reboot(booted: SystemdHost, by: str) -> None:
    """Its files are others', and the NIC is brought up as they say; the task then moves everything again."""
    host = booted
    set_up(host, by)
    assert shim(host)["changed"]
    has_moved(host)
    if by != "ifupdown":  # whose ifup fails where there is a default route, whoever made it
        host.sh("systemctl", "restart", SETUPS[by][2])
        is_up(host)  # it makes all once more, beside what has moved
        said = shim(host, check=True)
        assert shim(host)["operations"] == said["operations"] != []
        has_moved(host)
    host.reboot()
    is_up(host)
    no_service_failed(host)
    assert host.link("nic0m") is None and host.ping("lan", HOST4)
    assert host.sh("cat", "/proc/sys/net/ipv4/conf/nic0/arp_ignore").strip() == "0"
    assert shim(host)["changed"]
    has_moved(host)
    shim(host, state="absent")
    is_up(host)


def has_moved(host: SystemdHost) -> None:
    """All of it, and to stay."""
    assert has(host, "nic0m", f"{HOST4}/24", f"{HOST6}/64") and host.addresses("nic0") == []
    assert default_routes(host, "-4") == default_routes(host, "-6") == ["nic0m"]
    assert host.ping("lan", HOST4) and host.ping("lan", HOST6)
    assert what(shim(host)) == []
