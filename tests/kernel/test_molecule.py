# Copyright: pipework.containers contributors
# GNU General Public License v3.0+ (see LICENSE)
"""The playbooks of those molecule scenarios of which the machine's own kernel can do a part only, with namespaces."""
from __future__ import annotations

import os
import pathlib
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]
SCENARIOS = ROOT / "extensions/molecule"


ACTIONS = ("prepare", "converge", "converge", "verify", "cleanup")
FAMILIES = ("bridge", "nic", "impair")
LEFT_OUT = ("CONFIG_BRIDGE_VLAN_FILTERING", "CONFIG_IPVLAN", "CONFIG_NET_SCH_NETEM")
SHOWN = (
    "molecule-bridge-web -> 10.87.4.67", "molecule-bridge-web -/-> 10.87.4.66", "molecule-nic-ip -> 10.87.6.94",
    "molecule-impair-web eth1: netem loss 100%",
)


def test_P31_P34_B7_whole_scenarios_on_a_kernel_that_has_all() -> None:
    # One call: starting Ansible is what takes its time here. What a failure leaves goes with this kernel.
    argv = [
        sys.executable, "-m", "ansible", "playbook", "--inventory", str(SCENARIOS / "inventory"),
        "--limit", ",".join(f"{family}_netns" for family in FAMILIES),
        *(str(SCENARIOS / scenario / f"{action}.yml") for action in ACTIONS for scenario in FAMILIES),
    ]
    settings = {
        "ANSIBLE_COLLECTIONS_PATH": str((ROOT / ".cache/collections").resolve()),
        "ANSIBLE_FORCE_COLOR": "0", "ANSIBLE_PIPELINING": "1",
    }
    done = subprocess.run(
        argv, env={**os.environ, **settings}, check=False, stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )
    assert done.returncode == 0, done.stdout
    print(done.stdout)
    for words in LEFT_OUT:
        assert words not in done.stdout
    for words in SHOWN:
        assert words in done.stdout
