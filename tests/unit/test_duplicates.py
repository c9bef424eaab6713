# Copyright: pipework.containers contributors
# GNU General Public License v3.0+ (see LICENSE)
"""Which addresses are asked for before they are used, and what counts as an answer."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from ansible_collections.pipework.containers.plugins.module_utils._attach.conflicts import claim
from ansible_collections.pipework.containers.plugins.module_utils._attach.desired import compile_wish
from ansible_collections.pipework.containers.plugins.module_utils._attach.options import attachments_from_params
from ansible_collections.pipework.containers.plugins.module_utils._core.plan import reconcile
from ansible_collections.pipework.containers.plugins.module_utils._neighbour.announce import advertisement
from ansible_collections.pipework.containers.plugins.module_utils._neighbour.probe import holder, probe_frame
from tests.unit.test_attach import WEB1, World, attached, simple, target

MAC, OTHER = bytes.fromhex("020000000001"), bytes.fromhex("020000000002")
ASKED = probe_frame(MAC, "10.1.0.1")
IP, ELSE = bytes([10, 1, 0, 1]), bytes([10, 1, 0, 2])


def frame(kind: int, sender: bytes, said: bytes, asked: bytes) -> bytes:
    return ASKED[:20] + bytes([0, kind]) + sender + said + bytes(6) + asked


@pytest.mark.parametrize(
    ("heard", "who"),
    [
        (frame(2, OTHER, IP, bytes(4)), OTHER),  # an answer
        (frame(1, OTHER, IP, ELSE), OTHER),  # somebody who uses it and asks for another one
        (frame(1, OTHER, bytes(4), IP), OTHER),  # somebody who is about to take it
        (ASKED, None),
        (frame(1, OTHER, ELSE, IP), None),  # somebody who asks for it
        (frame(2, OTHER, ELSE, IP), None),
        (frame(2, MAC, IP, bytes(4)), None),  # our own, as another interface of the container sends it
        (frame(2, OTHER, IP, bytes(4))[:30], None),
        (b"\x86" + frame(2, OTHER, IP, bytes(4))[1:12] + b"\x86\xdd" + bytes(40), None),
    ],
)
def test_D6_who_has_an_address(heard: bytes, who: bytes | None) -> None:
    assert holder(heard, MAC, "10.1.0.1") == who


def plan_of(world: World, *items: dict[str, Any], **shared: Any) -> list[str]:
    targets = [target(world, item) for item in attachments_from_params({"attachments": items, **shared})]
    facts = world.facts()
    wish, state = compile_wish(targets, facts)
    plain = reconcile(wish.desired, state)
    claim(targets, facts, state, wish.desired)
    plan = reconcile(wish.desired, state)
    assert {str(operation) for operation in plan} == {str(operation) for operation in plain}
    return [f"{operation.subject.order_kind} {operation.key[2]}" for operation in plan]


def test_D6_addresses_are_asked_for_when_frames_pass_and_routes_come_after_them() -> None:
    wish = {**WEB1, "addresses": ["10.1.0.1/24", "fd01::1/64"], "gateway": ["10.1.0.254"]}
    alone, crowded, addressed = simple(), simple(), simple()
    assert "address eth1 10.1.0.1/24" in plan_of(alone, wish)  # nobody is on a bridge that is to be made
    crowded.bridge()
    assert "address eth1 10.1.0.1/24" in plan_of(crowded, wish)  # nor on one without ports
    crowded.pair("docker:db1", "eth1", "pw9", "br1")
    plan = plan_of(crowded, wish)
    assert plan.index("port docker:web1/eth1") < plan.index("claim eth1 10.1.0.1/24")
    assert plan.index("claim eth1 10.1.0.1/24") < plan.index("late route default (IPv4)")
    assert plan.index("address eth1 fd01::1/64") < plan.index("port docker:web1/eth1")  # the kernel looks for these
    assert not [line for line in plan_of(crowded, {**wish, "announce": False}) if "claim" in line or "late" in line]
    addressed.bridge()
    addressed.address("host", "br1", "10.1.0.254/24")
    assert "claim eth1 10.1.0.1/24" in plan_of(addressed, wish)
    assert "claim" not in str(plan_of(addressed, {**wish, "host_interface": "dummy", "gateway": []}))


def test_D6_who_has_it_until_now_may_answer() -> None:
    world = attached("10.1.0.1/24")
    world.pair("docker:db1", "eth1", "pw9", "br1")
    items = [{**WEB1, "state": "absent"}, {**WEB1, "container": "db1", "addresses": ["10.1.0.1/24"]}]
    targets = [target(world, item) for item in attachments_from_params({"attachments": items})]
    wish, state = compile_wish(targets, world.facts())
    claim(targets, world.facts(), state, wish.desired)
    wanted = wish.desired["address", "docker:db1", "eth1 10.1.0.1/24"]
    mac = next(each for each in world.devices["docker:web1"] if each.name == "eth1").mac
    assert dataclasses.asdict(wanted)["claimed"] == (mac,)  # type: ignore[call-overload]


def test_P38_an_advertisement_is_whole() -> None:
    packet = advertisement("02:00:00:00:00:01", "fd01::1")
    assert (len(packet), packet[54], packet[58]) == (86, 136, 0x20)
    words = packet[22:54] + (32).to_bytes(4, "big") + (58).to_bytes(4, "big") + packet[54:]
    total = sum(int.from_bytes(words[at:at + 2], "big") for at in range(0, len(words), 2))
    assert total % 0xFFFF == 0
