# Copyright: pipework.containers contributors
# GNU General Public License v3.0+ (see LICENSE)
"""The options of pipework_shim, and the operations that follow from them on hosts made by hand."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from ansible_collections.pipework.containers.plugins.module_utils._core.errors import PipeworkError
from ansible_collections.pipework.containers.plugins.module_utils._core.plan import reconcile, simulate, undo
from ansible_collections.pipework.containers.plugins.module_utils._model.moved_address import MovedAddress
from ansible_collections.pipework.containers.plugins.module_utils._model.objects import HOST, Address, Device, Route
from ansible_collections.pipework.containers.plugins.module_utils._model.observed import Facts
from ansible_collections.pipework.containers.plugins.module_utils._model.sysctl import Sysctl
from ansible_collections.pipework.containers.plugins.module_utils._neighbour.announce import advertisement
from ansible_collections.pipework.containers.plugins.module_utils._routing.routes_desired import Ground
from ansible_collections.pipework.containers.plugins.module_utils._routing.rule_options import Rule
from ansible_collections.pipework.containers.plugins.module_utils._shim.desired import ARP_IGNORE, Scene, wanted
from ansible_collections.pipework.containers.plugins.module_utils._shim.options import Shim, default_name, site_of

NIC = Device(2, "eth0", None, "02:00:00:00:00:02", 1500, True)
MOVED = Device(
    3, "eth0m", "macvlan", "02:00:00:00:00:03", 1500, True, parent_index=2, alias="pipework:shim:moved:0",
    settings={"mode": "bridge"},
)


def scene(*devices: Device, holder: str = "eth0", arp_ignore: str = "0") -> Scene:
    """A host whose addresses and routes are on one of its interfaces."""
    facts = Facts({HOST: {d.name: d for d in devices}}, host_seed="seed")
    facts.addresses[HOST] = [
        MovedAddress(HOST, holder, "192.0.2.11/24", broadcast="192.0.2.255"),
        MovedAddress(HOST, holder, "192.0.2.10/24", rank=1),
    ]
    facts.sysctls.append(Sysctl(HOST, "eth0", ARP_IGNORE, arp_ignore))
    routes = [
        Route(HOST, 4, "192.0.2.0/24", device=holder, protocol=2, type=1, scope=253),
        Route(HOST, 4, "default", gateway="192.0.2.1", device=holder, protocol=4, type=1, scope=0),
    ]
    ground = Ground.of(HOST, set(facts.host), routes)
    rules = [Rule(HOST, 4, 500, 0, iif=holder, table=77)]
    state = facts.state()
    state.update((each.key, each) for each in (*ground.routes, *rules))
    return Scene(facts, ground, rules, state)


def lines(found: Scene, **options: Any) -> list[str]:
    """The operations; after them nothing is left to do, and their undo leads back."""
    sites = [site_of(Shim.from_params({"parent": "eth0", **options}), found.facts)]
    desired = wanted(sites, found)
    plan = reconcile(desired, found.state)
    after = simulate(found.state, plan)
    assert reconcile(desired, after) == []
    assert simulate(after, undo(plan)) == found.state
    return [f"{each.action} {each.subject.name}" for each in plan]


def test_P17_the_order_in_which_all_moves() -> None:
    rule, back = (f"500: from all iif {name} lookup 77 proto 0 (IPv4)" for name in ("eth0m", "eth0"))
    assert lines(scene(NIC)) == [
        "create eth0m", "update eth0m", "update net.ipv4.conf.eth0.arp_ignore",
        "create eth0m 192.0.2.11/24", "create eth0m 192.0.2.10/24", "update default (IPv4)",
        f"create {rule}", f"delete {back}", "delete eth0 192.0.2.10/24", "delete eth0 192.0.2.11/24",
    ]
    assert lines(scene(NIC, MOVED, holder="eth0m", arp_ignore="1")) == []
    gone = lines(scene(NIC, MOVED, holder="eth0m", arp_ignore="1"), state="absent")
    assert gone[:4] == [
        "update net.ipv4.conf.eth0.arp_ignore", "create eth0 192.0.2.11/24", "create eth0 192.0.2.10/24",
        "update default (IPv4)",
    ]
    assert gone[-1] == "delete eth0m"
    assert "update net.ipv4.conf.eth0.arp_ignore" not in lines(scene(NIC, arp_ignore="2"))


def test_P17_a_prefix_route_of_somebody_elses_making_moves_as_it_is() -> None:
    found = scene(NIC)
    metric = Route(HOST, 4, "192.0.2.0/24", metric=100, device="eth0", protocol=2, type=1, scope=253)
    found.ground = Ground.of(HOST, {"eth0"}, [metric])
    desired = wanted([site_of(Shim.from_params({"parent": "eth0"}), found.facts)], found)
    moved = [each for each in desired.values() if isinstance(each, Address)]
    assert [each.flags for each in moved] == [0x200, 0x200]
    assert desired[metric.key].device == "eth0m"  # type: ignore[union-attr]


def test_D5_routes_to_the_containers_alone() -> None:
    assert lines(scene(NIC), addresses=["192.0.2.250/32"], routes=["192.0.2.64/27"]) == [
        "create eth0m", "update eth0m", "create eth0m 192.0.2.250/32", "create 192.0.2.64/27",
    ]
    own = dataclasses.replace(MOVED, alias="pipework:shim")
    assert lines(scene(NIC, own), addresses=[], mode="vepa") == ["update eth0m"]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"parent": None}, "parent: say which NIC"),
        ({"parent": "ethO"}, "parent: the host has no interface ethO; did you mean eth0 or eth0m?"),
        ({"parent": "wlan9"}, "parent: the host has no interface wlan9; it has eth0, eth0m"),
        ({"mode": "passthru"}, "mode: 'passthru' is not one of bridge, private, vepa"),
        ({"confirm_timeout": -1}, "confirm_timeout: -1 s is not possible"),
        ({"name": "a name"}, "name: 'a name' cannot be the name of an interface"),
        ({"addresses": []}, "addresses: the shim eth0m has the NIC's addresses and would get addresses of its own"),
    ],
)
def test_P17_what_cannot_be(options: dict[str, Any], words: str) -> None:
    with pytest.raises(PipeworkError) as refused:
        lines(scene(NIC, MOVED, holder="eth0m"), **options)
    assert words in str(refused.value)


@pytest.mark.parametrize("address", ["192.0.2.10/24", "192.0.2.11/32"])
def test_D5_the_address_of_the_nic_is_not_one_of_the_shims_own(address: str) -> None:
    with pytest.raises(PipeworkError, match=f"^addresses: {address} is that of eth0, which two .* would be right"):
        lines(scene(NIC), addresses=[address])


def test_P17_names_fit_into_15_characters() -> None:
    assert default_name("eth0") == "eth0m" and default_name("enp0s31f6d123ab") == "enp0s31f6d123am"


def test_P17_an_advertisement_has_the_right_checksum() -> None:
    frame = advertisement("02:00:00:00:00:01", "2001:db8::1")
    body, total = frame[54:], 0
    for part in (frame[22:54], len(body).to_bytes(4, "big"), (58).to_bytes(4, "big"), body):
        total += sum(int.from_bytes(part[at : at + 2], "big") for at in range(0, len(part), 2))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    assert total == 0xFFFF and frame[12:14] == b"\x86\xdd" and len(frame) == 14 + 40 + 32
