# Copyright: pipework.containers contributors
# GNU General Public License v3.0+ (see LICENSE)
"""Which network a lease is of."""

from __future__ import annotations

import typing as t

import pytest

from ansible_collections.pipework.containers.plugins.module_utils._attach.network import through_of
from ansible_collections.pipework.containers.plugins.module_utils._attach.options import Attachment
from ansible_collections.pipework.containers.plugins.module_utils._ipam.dhcp4_grant import Lease
from ansible_collections.pipework.containers.plugins.module_utils._model.objects import HOST, Link, Port
from ansible_collections.pipework.containers.plugins.module_utils._model.ovs import OvsPort

LABEL = "docker:web1"


def bridged(bridge: str) -> list[t.Any]:
    return [Link(LABEL, "eth1", type="veth"), Port(HOST, f"{LABEL}/eth1", local_interface="pw1", bridge=bridge)]


@pytest.mark.parametrize(
    ("objects", "vlan", "have", "through"),
    [
        (bridged("br1"), None, None, "br1"),
        (bridged("br1"), 7, None, "br1 vlan 7"),
        (bridged("br1"), None, "br1 vlan 7", "br1 vlan 7"),  # nothing is said of it, so it stays
        (bridged("br2"), None, "br1 vlan 7", "br2"),
        (bridged("br1"), 8, "br1 vlan 7", "br1 vlan 8"),
        ([*bridged("br1"), OvsPort(HOST, "pw1", bridge="ovs1")], 7, None, "ovs1 vlan 7"),
        ([Link(LABEL, "eth1", type="macvlan", parent="eth0.7")], 7, None, "eth0.7"),
        ([Link(LABEL, "eth1", type="macvlan", parent="eth0")], None, "eth0.7", "eth0"),
        ([Link(LABEL, "eth1", type="dummy")], None, None, None),
    ],
)
def test_P22_the_network_of_an_attachment(
    objects: list[t.Any], vlan: int | None, have: str | None, through: str | None,
) -> None:
    desired = {each.key: each for each in objects}
    assert through_of(Attachment("web1", vlan=vlan), LABEL, desired, have) == through


def test_P22_a_lease_of_which_that_is_not_known_is_kept() -> None:
    wanted = Lease(LABEL, "eth1", through="br1")
    assert not wanted.differences(Lease(LABEL, "eth1"))
    assert wanted.differences(Lease(LABEL, "eth1", through="br2")) == {"through"}
