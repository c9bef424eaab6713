# Copyright: pipework.containers contributors
# GNU General Public License v3.0+ (see LICENSE)
"""P30 where it needs no VLANs: what is said on a kernel without them, and who is found to stand on an interface.

The rest is in tests/kernel/test_nic_vlan.py.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
from collections.abc import Iterator

import pytest

from ansible_collections.pipework.containers.plugins.module_utils._core.errors import PipeworkError
from ansible_collections.pipework.containers.plugins.module_utils._host.other_netns import unused
from ansible_collections.pipework.containers.plugins.module_utils._netlink.namespaces import Namespaces
from tests.integration.lab import Host, wait_for

pytestmark = pytest.mark.root


@pytest.fixture
def host() -> Iterator[Host]:
    found = Host("a", "b")
    found.batch("link add nic0 type veth peer name lan0")
    yield found
    found.close()


def test_P30_a_kernel_without_vlans_says_what_it_lacks(host: Host) -> None:
    if host.ok("ip", "link", "add", "link", "nic0", "name", "probe", "type", "vlan", "id", "10"):
        pytest.skip("this kernel has VLANs: tests/kernel/test_nic_vlan.py")
    before = host.snapshot()
    with pytest.raises(
        PipeworkError,
        match=r"create link nic0\.10 failed: .*needs CONFIG_VLAN_8021Q.*'modprobe 8021q'.*everything is as it was",
    ):
        host.attach("a", host_interface="nic0", vlan=10)
    host.assert_as(before)


def found_unused(host: Host) -> tuple[list[str], list[str]]:
    def look() -> tuple[list[str], list[str]]:
        with contextlib.closing(Namespaces()) as namespaces:
            devices, warnings = unused([namespaces["host"].devices()["nic0"]], namespaces)
            return [device.name for device in devices], warnings

    return host.call(look)


@pytest.mark.any_kernel
def test_P30_what_stands_on_an_interface_is_found_in_every_namespace(host: Host) -> None:
    """A macvlan in a mounted namespace, in one that only a process is in, and in one that nobody can look into."""
    # Where other namespaces of this machine cannot be looked into, nothing is sure: said in warnings.
    used = ([], [])
    assert found_unused(host) != used
    host.batch("link add link nic0 name mv0 type macvlan\nlink set mv0 netns a")
    assert found_unused(host) == used
    host.sh("ip", "link", "del", "mv0", ns="a")
    assert found_unused(host) != used
    with subprocess.Popen(["unshare", "--net", "sleep", "60"], stdin=subprocess.DEVNULL) as process:
        try:
            own = os.readlink("/proc/self/ns/net")
            wait_for("a namespace", lambda: os.readlink(f"/proc/{process.pid}/ns/net") != own)
            host.batch(f"link add link nic0 name mv0 type macvlan\nlink set mv0 netns {process.pid}")
            assert found_unused(host) == used
        finally:
            process.kill()
    wait_for("the namespace to go", lambda: found_unused(host) != used)


def test_P30_where_a_namespace_cannot_be_looked_into_nothing_is_sure(host: Host) -> None:
    """It is mounted in somebody else's mount namespace, whose paths are not followed."""
    other = Host("hidden")
    try:
        devices, warnings = found_unused(host)
        assert devices == []
        assert "nic0 stays" in warnings[0] and "could not be looked into" in warnings[0]
        assert "ip link delete dev nic0" in warnings[0]
    finally:
        other.close()
