# Copyright: pipework.containers contributors
# GNU General Public License v3.0+ (see LICENSE)
"""The fleet in a box (tests/fleet): hosts of their own, reached by Ansible's ssh, of which nothing stays."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys

import pytest

from tests.integration.lab import wait_for
from tests.integration.machines import Machines, box

FLEET = os.path.join(box.HERE, "fleet.py")


@pytest.mark.any_kernel
def test_D1_each_host_has_its_own_name_network_files_and_processes() -> None:
    with contextlib.closing(Machines(2, "a", "b", mtu=1400)) as machines:
        of_their_own(machines)


def of_their_own(machines: Machines) -> None:
    for name in ("h1", "h2"):
        host = machines[name]
        assert host.sh("hostname").strip() == host.sh("cat", "/etc/hostname").strip() == name
        assert host.links() == ["eth0"] and host.links("a") == []
        assert host.link("eth0")["mtu"] == 1400  # type: ignore[index]
        assert host.addresses("eth0") == [f"2001:db8:f1ee::{name[1]}/64", f"203.0.113.{name[1]}/24"]
        assert sorted(os.path.basename(path) for path in host.sh("ls", "/run/netns").split()) == ["a", "b"]
        assert "first.py" in host.sh("cat", "/proc/1/cmdline")
        host.sh("sh", "-c", f"echo {name} >/etc/fleet-was-here && echo {name} >/run/fleet-was-here")
    assert machines["h1"].sh("cat", "/etc/fleet-was-here", "/run/fleet-was-here").split() == ["h1", "h1"]
    assert not os.path.exists("/etc/fleet-was-here") and not os.path.exists("/run/fleet-was-here")
    for there in (machines["h2"].address, machines["h2"].address6):
        assert machines["h1"].ping(None, there)
        assert machines.underlay.ping(None, there)


SCRIPT = """
import sys; sys.path.insert(0, {here!r}); import fleet
made = fleet.Fleet.up(1)
print(made.directory, made.underlay.pid, made.hosts["h1"].pid, flush=True)
sys.stdin.read()
"""


def test_D1_nothing_stays_of_a_fleet_whose_maker_was_killed() -> None:
    words = [sys.executable, "-c", SCRIPT.format(here=box.HERE)]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as maker:
        assert maker.stdout
        directory, *pids = maker.stdout.readline().split()
        assert os.path.isdir(directory)
        maker.kill()
    wait_for("the end of its processes", lambda: not any(os.path.exists(f"/proc/{pid}/ns/net") for pid in pids), 60)
    wait_for("the end of its files", lambda: not os.path.exists(directory), 60)


def test_D1_up_stays_until_down() -> None:
    words = [sys.executable, FLEET, "up", "1", "--containers", "a"]
    up = subprocess.run(words, capture_output=True, text=True, check=True)
    directory = up.stdout.split()[0]
    try:
        with open(f"{directory}/inventory.json", encoding="utf-8") as handle:
            assert list(json.load(handle)["fleet"]["hosts"]) == ["h1"]
        assert not {"underlay", "u-h1"} & set(os.listdir("/sys/class/net"))
        inside = subprocess.run(
            [sys.executable, FLEET, "enter", directory, "h1", "ip", "netns"], capture_output=True, text=True, check=True
        )
        assert inside.stdout.split() == ["a"]
    finally:
        subprocess.run([sys.executable, FLEET, "down", directory], check=True)
    assert not os.path.exists(directory)


def test_D1_interrupted_it_cleans_up() -> None:
    words = [sys.executable, FLEET, "run", "1", "--", "sh", "-c", "echo $FLEET; exec sleep 1000"]
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        directory = process.stdout.readline().strip()
        assert os.path.isdir(directory)
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 128 + signal.SIGTERM
    assert not os.path.exists(directory)
