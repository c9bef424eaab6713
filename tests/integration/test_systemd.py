# Copyright: pipework.containers contributors
# GNU General Public License v3.0+ (see LICENSE)
"""P21, B13, P17: what stays when a module has ended, on a host where systemd runs: it outlives the session or service
that started it, shows among the units, and is no trouble after a reboot.
"""

from __future__ import annotations

import json
import typing as t

import pytest

from tests.integration.lab import wait_for
from tests.integration.systemd_host import SystemdHost
from tests.integration.test_systemd_shim import HOST4, HOST6, is_up, set_up, shim, what

pytestmark = [pytest.mark.root, pytest.mark.docker]

LONG = 60  # seconds, for what a slow machine does late
TBF = {"rate": "1mbit", "burst": "4kb", "latency": "50ms"}
KEPT = {"container": "a", "runtime": "netns", "host_interface": "br1", "dhcp": "builtin", "dhcp_keep": True}
# What starts a program: a login, and a service such as that of ansible-pull.
LOGIN = ("su", "-l", "-c", 'sleep 1000 >/dev/null 2>&1 </dev/null & exec "$0" "$@"', "--", "root")
SERVICE = (
    "systemd-run", "--quiet", "--collect", "--wait", "--pipe", "--service-type=exec", "--",
    "sh", "-c", 'sleep 1000 >/dev/null 2>&1 </dev/null & exec "$0" "$@"',
)  # fmt: skip


@pytest.fixture(params=[LOGIN, SERVICE], ids=["login", "service"])
def way(request: pytest.FixtureRequest, booted: SystemdHost) -> tuple[str, ...]:
    """How a module is started. The end of a login is the end of all that it has started."""
    kills = "[Login]\nKillUserProcesses=yes\nKillExcludeUsers=nobody\n"
    booted.write("/etc/systemd/logind.conf.d/kill.conf", kills)
    booted.sh("systemctl", "restart", "systemd-logind")
    found: tuple[str, ...] = request.param
    return found


def ended(host: SystemdHost) -> None:
    """Nothing is left of what the login or the service had started."""
    wait_for("the end of all", lambda: not host.ok("pidof", "sleep"), LONG)
    wait_for("the units' end", lambda: not host.units("session-*.scope") and not host.units("run-*.service"), LONG)


def timers(host: SystemdHost) -> list[dict[str, t.Any]]:
    """The records of processes that act later."""
    said = host.sh("find", "/run/pipework/timers", "-name", "*.json", "-exec", "cat", "{}", ";")
    found, decoder = [], json.JSONDecoder()
    while said:
        record, end = decoder.raw_decode(said)
        found.append(record)
        said = said[end:]
    return found


def unit_of(host: SystemdHost, pid: int | str) -> str:
    """The unit that a process is part of."""
    return host.sh("ps", "--no-headers", "-o", "unit", "-p", str(pid)).strip()


def with_a_cable(host: SystemdHost) -> SystemdHost:
    """A container with an interface."""
    host.add_guests("a")
    host.sh("ip", "link", "add", "eth1", "type", "veth", "peer", "name", "far", ns="a")
    return host


def tc(host: SystemdHost, *inside: str, **params: t.Any) -> dict[str, t.Any]:
    return host.call_module("pipework_tc", inside, container="a", runtime="netns", **params)


def impaired(host: SystemdHost) -> bool:
    return "tbf" in host.sh("tc", "qdisc", "show", "dev", "eth1", ns="a")


def test_B13_an_impairment_ends_though_its_session_ended_before(booted: SystemdHost, way: tuple[str, ...]) -> None:
    host = with_a_cable(booted)
    assert tc(host, *way, tbf=TBF, duration="1h")["changed"]
    ended(host)
    [record] = timers(host)
    [unit] = host.units("pipework-timer-*")
    assert unit_of(host, record["pid"]) == unit and host.unit(unit) == "active"
    assert host.unit(unit, "Slice") == "system.slice"
    assert tc(host, *way, tbf=TBF, duration="3s")["changed"]
    ended(host)
    wait_for("the end", lambda: not impaired(host), LONG)
    wait_for("nothing to be left", lambda: not host.units("pipework-timer-*"), LONG)
    assert not tc(host, state="absent")["changed"]


def test_P17_what_nobody_confirms_is_taken_back_after_the_session(booted: SystemdHost, way: tuple[str, ...]) -> None:
    host = booted
    set_up(host, "networkd")
    done = host.call_module("pipework_shim", way, parent="nic0", confirm_timeout=5)
    assert done["pending"] and host.addresses("nic0m") == sorted([f"{HOST4}/24", f"{HOST6}/64"])
    ended(host)
    wait_for("all to be taken back", lambda: host.link("nic0m") is None, LONG)
    is_up(host)
    wait_for("nothing to be left", lambda: not host.units("pipework-*"), LONG)


@pytest.fixture
def leasing(booted: SystemdHost) -> SystemdHost:
    """A host whose bridge has a DHCP server; leases are to be renewed after some seconds."""
    lease(booted)
    return booted


def lease(host: SystemdHost) -> None:
    host.add_guests("a")
    host.sh("ip", "-batch", "-", text="link add br1 type bridge\nlink set br1 up\naddress add 10.5.0.254/24 dev br1\n")
    words = ["--conf-file=/dev/null", "--no-daemon", "--port=0", "--bind-interfaces", "--interface=br1", "--pid-file="]
    words += ["--dhcp-range=10.5.0.10,10.5.0.19,120", "--dhcp-option=option:T1,3", "--dhcp-leasefile=/run/leases"]
    words += ["--dhcp-authoritative", "--no-ping", "--user=root"]
    host.sh("systemd-run", "--quiet", "--unit=server", "--", "dnsmasq", *words)
    wait_for("dnsmasq", lambda: "sockets bound exclusively to interface br1" in log(host), LONG)


def log(host: SystemdHost) -> str:
    return host.sh("journalctl", "--unit=server", "--output=cat", "--no-pager")


def goes_on(host: SystemdHost) -> None:
    """The lease is renewed once more."""
    before = log(host).count("DHCPACK(br1)")
    wait_for("it to be renewed", lambda: log(host).count("DHCPACK(br1)") > before, LONG)
    assert not host.call_module("pipework_attach", **KEPT)["changed"]


def keepers(host: SystemdHost) -> list[str]:
    return host.units("pipework-dhcp-*")


def test_P21_a_unit_keeps_leases_and_goes_with_the_last(leasing: SystemdHost, way: tuple[str, ...]) -> None:
    host = leasing
    assert host.call_module("pipework_attach", way, **KEPT)["changed"]
    ended(host)
    [unit] = keepers(host)
    assert unit.endswith(".service") and "active (running)" in host.sh("systemctl", "status", "pipework-dhcp-*")
    goes_on(host)
    first = host.unit(unit, "MainPID")
    host.sh("kill", "-9", first)
    wait_for("systemd to start it again", lambda: host.unit(unit, "MainPID") not in (first, "0"), LONG)
    goes_on(host)
    assert keepers(host) == [unit]
    host.call_module("pipework_attach", **{**KEPT, "state": "absent"})
    wait_for("its end", lambda: not keepers(host), LONG)
    assert not host.ok("systemctl", "status", unit)
    assert host.sh("systemctl", "--failed", "--plain", "--quiet", "--no-pager") == ""
    wait_for("the server to have it back", lambda: "DHCPRELEASE(br1)" in log(host), LONG)


def test_P21_B13_what_another_boot_left_under_run_does_no_harm(leasing: SystemdHost) -> None:
    """Somebody's /run is on a disk: records name processes and namespaces that are others' by now."""
    host = leasing
    shaped = {"tbf": TBF, "duration": "1h"}

    def all_of_it() -> list[bool]:
        attached = host.call_module("pipework_attach", **KEPT)["changed"]
        return [attached, tc(host, **shaped)["changed"], bool(what(shim(host, confirm_timeout=3600)))]

    host.sh("ip", "-batch", "-", text=f"link set nic0 up\naddress add {HOST4}/24 dev nic0\n")
    assert all_of_it() == [True] * 3
    assert len(timers(host)) == 2
    host.sh("cp", "-a", "/run/pipework", "/var/lib/left")
    host.reboot()
    assert not host.ok("test", "-e", "/run/pipework") and host.units("pipework-*") == []
    host.sh("systemd-run", "--quiet", "--unit=other", "--", "sleep", "1000")
    other = host.unit("other", "MainPID")
    files = host.sh("find", "/var/lib/left", "-type", "f").split()
    host.sh("sed", "-i", "-E", f's/"pid": [0-9]+/"pid": {other}/', *files)
    host.sh("cp", "-a", "/var/lib/left", "/run/pipework")
    lease(host)
    host.sh("ip", "-batch", "-", text=f"link set nic0 up\naddress add {HOST4}/24 dev nic0\n")
    assert all_of_it() == [True] * 3
    goes_on(host)
    assert what(tc(host, **shaped)) == [] and len(keepers(host)) == len(host.units("pipework-timer-*")) == 1
    assert shim(host, confirm=True)["changed"] and not host.units("pipework-watchdog-*")
    assert (host.unit("other"), host.unit("other", "MainPID")) == ("active", other)
    tc(host, state="absent")
    host.call_module("pipework_attach", **{**KEPT, "state": "absent"})
    shim(host, state="absent")
    wait_for("nothing to be left", lambda: not host.units("pipework-*"), LONG)
