# Copyright: pipework.containers contributors
# GNU General Public License v3.0+ (see LICENSE)
"""What a segment over many hosts costs one of them: run vxlan (see run).

The list of hosts is measured at its full size, for it is entries on one host. EVPN is measured with a few hosts of a
fleet in a box that run FRR, which docs/vxlan-scale.md extrapolates.
"""
from __future__ import annotations

import json
import os
import statistics
import sys
import time
import typing as t
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(CHECKOUT / ".cache" / "collections"), str(CHECKOUT)]

from ansible_collections.pipework.containers.plugins.module_utils._jobs.vxlan import VxlanJob  # noqa: E402
from tests.integration.lab import Host, wait_for  # noqa: E402
from tests.integration.machines import Machine, Machines  # noqa: E402

HOSTS = (10, 100, 1000, 10000)
FLEETS = (2, 4, 8)
ROUNDS = 3
LIMIT = 120  # seconds
PLAY = {
    "target": "fleet", "vxlan_segment_vni": 100, "vxlan_segment_address_variable": "fleet_address",
    "vxlan_segment_frr_packages": [],
}


def listed(count: int) -> list[str]:
    """The addresses of so many hosts, of which 10.0.0.1 is this one."""
    return [f"10.{n >> 16}.{n >> 8 & 255}.{n & 255}" for n in range(1, count + 1)]


def static() -> None:
    """Milliseconds of one run: all new, nothing to do, one host more."""
    print("hosts   entries   new   nothing to do   one joins   (ms on each host)")
    for count in HOSTS:
        taken: dict[str, list[float]] = {"new": [], "same": [], "join": []}
        for _round in range(ROUNDS):
            host = Host()
            try:
                host.batch("link add eth0 type veth peer name far\naddress add 10.0.0.1/8 dev eth0\nlink set eth0 up")
                for what, size in (("new", count), ("same", count), ("join", count + 1)):
                    start = time.monotonic()
                    host.run(job=VxlanJob, vni=100, bridge="br1", local="10.0.0.1", remotes=listed(size))
                    taken[what].append((time.monotonic() - start) * 1000)
            finally:
                host.close()
        new, same, join = (statistics.median(taken[what]) for what in ("new", "same", "join"))
        print(f"{count:6} {count - 1:8} {new:7.0f} {same:10.0f} {join:12.0f}")


def told(host: Machine, *words: str) -> t.Any:
    return json.loads(host.sh("vtysh", "-c", " ".join(words), check=False) or "{}")


def resident(host: Machine, name: str) -> int:
    """KiB of memory of a daemon."""
    pid = host.sh("cat", f"/run/frr/{name}.pid").strip()
    lines = host.sh("cat", f"/proc/{pid}/status").splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS"))


def floods(host: Machine) -> int:
    shown = json.loads(host.sh("bridge", "-j", "fdb", "show", "dev", "vxlan100"))
    return sum(entry["mac"] == "00:00:00:00:00:00" for entry in shown)


def evpn() -> None:
    """Sessions, routes and memory of a route reflector and of another host, and how soon all send to a new one."""
    print("hosts   sessions (reflector, other, all)   routes   entries   bgpd KiB (reflector, other)   joined after s")
    for count in FLEETS:
        machines = Machines(count, "a")
        try:
            machines.play("pipework.containers.vxlan", **PLAY, vxlan_segment_control_plane="evpn")
            hosts = list(machines.hosts.values())
            wait_for("all to know all", lambda: all(floods(h) == count - 1 for h in hosts), LIMIT)  # noqa: B023
            sessions = [len(told(h, "show bgp l2vpn evpn summary json").get("peers", {})) for h in hosts]
            routes = told(hosts[-1], "show bgp l2vpn evpn route json").get("numPrefix")
            memory = [resident(host, "bgpd") for host in (hosts[0], hosts[-1])]
            last = hosts[-1]
            last.sh("service", "frr", "stop")
            wait_for("its leave", lambda: floods(hosts[0]) == count - 2, LIMIT)  # noqa: B023
            start = time.monotonic()
            last.sh("service", "frr", "start")
            wait_for("all to know all", lambda: all(floods(h) == count - 1 for h in hosts), LIMIT)  # noqa: B023
            took = time.monotonic() - start
            print(
                f"{count:5} {sessions[0]:8} {sessions[-1]:5} {sum(sessions) // 2:5} {routes!s:>18} {floods(last):9} "
                f"{memory[0]:12} {memory[1]:8} {took:12.1f}"
            )
        finally:
            machines.close()


if __name__ == "__main__":
    static()
    if os.path.exists("/usr/lib/frr/bgpd"):
        evpn()
    else:
        print("bench: without FRR (packages frr and frr-pythontools), EVPN is left out")
