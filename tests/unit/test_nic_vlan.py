# Copyright: pipework.containers contributors
# GNU General Public License v3.0+ (see LICENSE)
"""P30: the link of a NIC's VLAN, as a plan sees it."""

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.pipework.containers.plugins.module_utils._attach.vlan_links import link_name
from ansible_collections.pipework.containers.plugins.module_utils._core.errors import PipeworkError
from tests.unit.test_attach import World, owner, plan_of

Q = {"vlan_id": 10, "vlan_protocol": "802.1q"}
ITEM = {"container": "web1", "host_interface": "eth0", "vlan": 10}


@pytest.mark.parametrize(
    ("nic", "vlan", "name"),
    [
        ("eth0", 10, "eth0.10"),
        ("enp129s0f0", 4094, "enp129s0f0.4094"),
        ("enp129s0f0np0", 100, "enp129-5c0f.100"),
        ("enp129s0f0np0", 4094, "enp12-5c0f.4094"),
        ("wärmepumpe", 1000, "wärm-4cde.1000"),
    ],
)
def test_P30_the_name_is_the_classic_one_or_one_that_fits(nic: str, vlan: int, name: str) -> None:
    assert link_name(nic, vlan) == name
    assert len(name.encode()) <= 15


def lines(world: World, *items: dict[str, Any]) -> list[str]:
    return [str(operation) for operation in plan_of(world, *items)]


def world(**link: Any) -> World:
    found = World()
    found.devices["docker:web1"] = []
    nic = found.host("eth0", mtu=1400, up=True)
    if link:
        fields = {"name": "eth0.10", "kind": "vlan", "parent_index": nic.index, "settings": Q, "up": True, **link}
        found.host(**fields)
    return found


def test_P30_it_is_made_before_what_stands_on_it_and_comes_up_after_the_nic() -> None:
    assert lines(world(), {**ITEM, "addresses": ["10.0.0.1/24"]}) == [
        "create link eth0.10",
        "create link docker:web1/eth1",
        "update link eth0.10",
        "update link docker:web1/eth1",
        "create address docker:web1/eth1 10.0.0.1/24",
    ]


def test_P30_many_share_it() -> None:
    found = lines(world(), *({**ITEM, "interface": f"eth{n}"} for n in range(5)))
    assert found.count("create link eth0.10") == found.count("update link eth0.10") == 1
    assert found.index("update link eth0.10") < found.index("update link docker:web1/eth0")


@pytest.mark.parametrize("link", [{}, {"name": "office"}, {"alias": "theirs"}])
def test_P30_one_of_others_is_used(link: dict[str, Any]) -> None:
    found = lines(world(**{"mtu": 1300, **link}), ITEM)
    assert found == ["create link docker:web1/eth1", "update link docker:web1/eth1"]


def test_P30_one_of_ours_that_a_killed_run_left_is_finished() -> None:
    left = world(group=0x70697065, up=False, mtu=1400)
    assert lines(left, ITEM)[1] == "update link eth0.10"
    assert "delete link eth0.10" not in lines(left, {**ITEM, "vlan": None})  # others may stand on it: looked up later


@pytest.mark.parametrize(
    ("link", "words"),
    [
        ({"settings": {**Q, "vlan_id": 11}}, "VLAN 11 of eth0;"),
        ({"settings": {**Q, "vlan_protocol": "802.1ad"}}, "VLAN 10 of eth0, tagged by 802.1ad;"),
        ({"parent_index": 999}, "VLAN 10 of a NIC in another namespace;"),
        ({"kind": "bridge", "settings": {}}, "somebody else's bridge;"),
        ({"kind": None, "parent_index": None, "settings": None}, "somebody else's network card;"),
    ],
)
def test_P30_another_interface_of_the_name_is_refused(link: dict[str, Any], words: str) -> None:
    with pytest.raises(PipeworkError) as said:
        lines(world(**link), ITEM)
    assert f"vlan: eth0.10 exists on the host and is not VLAN 10 of eth0, but {words}" in str(said.value)


def test_P30_the_mtu_of_one_of_ours_follows_its_nic() -> None:
    found = world(mtu=1300, alias="pipework:auto")
    found.inside(
        "docker:web1", "eth1", "macvlan", mtu=1300, up=True, parent_index=found.devices["host"][1].index,
        parent_netnsid=0, alias=owner("docker:web1"), settings={"mode": "bridge"},
    )  # fmt: skip
    assert lines(found, ITEM) == ["update link eth0.10", "update link docker:web1/eth1"]
