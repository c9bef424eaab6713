# Copyright: pipework.containers contributors
# GNU General Public License v3.0+ (see LICENSE)
"""The qemu lane itself: a distribution's own kernel, with SR-IOV and wireless NICs."""
from __future__ import annotations

import pathlib

import pytest

from tests.kernel.conftest import run

pytestmark = pytest.mark.qemu
NET = pathlib.Path("/sys/class/net")


def test_nothing_reaches_the_host_but_the_results() -> None:
    mounts = [line.split()[1:3] for line in pathlib.Path("/proc/mounts").read_text().splitlines()]
    assert [kind for where, kind in mounts if where == "/"][-1] == "overlay"
    assert [kind for where, kind in mounts if where == "/run"] == ["tmpfs"]
    assert [where.rsplit("/", 1)[1] for where, kind in mounts if kind == "9p"] == ["results"]


def test_the_machine_has_nics_with_virtual_functions_and_wireless_ones() -> None:
    capable = [path for path in sorted(NET.iterdir()) if (path / "device" / "sriov_totalvfs").exists()]
    assert [(path / "address").read_text().strip() for path in capable] == ["02:00:00:00:01:01", "02:00:00:00:01:02"]
    assert len([path for path in NET.iterdir() if (path / "phy80211").exists()]) == 2


def test_tables_of_all_families_can_be_made() -> None:
    """Which the kernel of the other lane cannot: Debian builds it without nf_tables for IPv4 and IPv6."""
    for family in ("ip", "ip6", "inet", "arp", "bridge"):
        run("nft", "add", "table", family, "probe")
        run("nft", "delete", "table", family, "probe")
