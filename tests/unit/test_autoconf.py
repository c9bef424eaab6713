# Copyright: pipework.containers contributors
# GNU General Public License v3.0+ (see LICENSE)
"""accept_ra and link_local: what they mean to the kernel's parameters and objects, and what goes with what."""

from __future__ import annotations

import ipaddress
import struct
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.pipework.containers.plugins.module_utils._agent.record import Keep
from ansible_collections.pipework.containers.plugins.module_utils._attach.desired import compile_wish
from ansible_collections.pipework.containers.plugins.module_utils._attach.options import (
    Attachment,
    attachments_from_params,
)
from ansible_collections.pipework.containers.plugins.module_utils._attach.slaac import LinkLocal, candidates
from ansible_collections.pipework.containers.plugins.module_utils._core.errors import PipeworkError
from ansible_collections.pipework.containers.plugins.module_utils._core.plan import reconcile, simulate
from ansible_collections.pipework.containers.plugins.module_utils._model.objects import Address
from ansible_collections.pipework.containers.plugins.module_utils._neighbour import arp
from tests.unit.test_attach import WEB1, attached, lines, simple, target


def test_B16_listening_to_routers_is_kernel_parameters_before_the_link_is_up() -> None:
    said = lines(simple(), {**WEB1, "accept_ra": True})
    parameters = [f"create sysctl docker:web1/net.ipv6.conf.eth1.{name}" for name in
                  ("accept_ra", "autoconf", "disable_ipv6")]
    assert said[2:5] == parameters and said[5].startswith("update link docker:web1/eth1: ")


def test_B16_who_does_not_trust_routers_any_more_loses_their_addresses() -> None:
    world = attached("10.1.0.1/24")
    for address, valid in (("fd01::7/64", 600), ("fd01::8/128", 600), ("10.1.0.9/24", 600), ("fd01::1/64", None)):
        world.addresses["docker:web1"].append(Address("docker:web1", "eth1", address, valid=valid))
    said = lines(world, {**WEB1, "accept_ra": False})
    assert [line for line in said if "address" in line] == ["delete address docker:web1/eth1 fd01::7/64"]


def test_P46_the_same_interface_tries_the_same_addresses() -> None:
    drawn = list(candidates("02:00:00:00:00:01"))
    assert drawn == list(candidates("02:00:00:00:00:01")) != list(candidates("02:00:00:00:00:02"))
    first, last = ipaddress.IPv4Address("169.254.1.0"), ipaddress.IPv4Address("169.254.254.255")
    assert len(set(drawn)) == 11 and all(first <= ipaddress.IPv4Address(each) <= last for each in drawn)


def test_P46_an_address_is_kept_unless_somebody_else_has_it() -> None:
    want = LinkLocal("a", "eth1")
    for conflict, actions in ((None, []), (True, ["update"])):
        have = LinkLocal("a", "eth1", conflict=conflict, address="169.254.1.1/16")
        assert [each.action for each in reconcile({want.key: want}, {have.key: have})] == actions


@pytest.mark.parametrize(
    ("params", "words"),
    [
        ({"link_local": True, "addresses": ["10.1.0.1/24"]}, "link_local: .* by addresses: 10.1.0.1/24"),
        ({"link_local": True, "dhcp": "builtin"}, "link_local: .* by dhcp"),
        ({"accept_ra": True, "kind": "dummy"}, "accept_ra: .* hears no router"),
        ({"accept_ra": True, "mtu": 1000}, "mtu: 1000 is too small for IPv6"),
    ],
)
def test_B16_P46_bad_options_are_refused(params: dict[str, Any], words: str) -> None:
    with pytest.raises(PipeworkError, match=words):
        Attachment.from_params({"container": "a", "host_interface": "br1", **params})


def test_B16_a_gateway_can_be_reached_from_a_routers_address() -> None:
    params = {"container": "a", "host_interface": "br1", "accept_ra": True, "addresses": [], "gateway": ["fd05::1"]}
    assert Attachment.from_params(params).gateway == ("fd05::1",)


MAC, OTHER, OWN = bytes.fromhex("020000000001"), bytes.fromhex("020000000002"), arp.packed("169.254.7.1")


def said(sender: bytes, address: bytes, kind: int = 1, asked: bytes = OWN) -> bytes:
    """An ARP frame."""
    return b"\xff" * 6 + sender + arp.HEAD + struct.pack("!H", kind) + sender + address + bytes(6) + asked + bytes(18)


def passes(code: tuple[tuple[int, int, int, int], ...], frame: bytes) -> bool:
    """What the kernel does with a filter."""
    at, value = 0, 0
    while True:
        sort, yes, no, k = code[at]
        at += 1
        if sort == arp.RETURN:
            return k > 0
        if sort == arp.EQUAL:
            at += yes if value == k else no
        else:
            size = 4 if sort == arp.LOAD else 2
            if k + size > len(frame):
                return False
            value = int.from_bytes(frame[k : k + size], "big")


@pytest.mark.parametrize(
    ("frame", "found"),
    [
        (said(OTHER, OWN), OTHER),
        (said(OTHER, OWN, 2), OTHER),
        (said(MAC[:5] + b"\x03", OWN), MAC[:5] + b"\x03"),
        (said(b"\x04" + MAC[1:], OWN), b"\x04" + MAC[1:]),
        (said(MAC, OWN), None),
        (said(OTHER, bytes(4)), None),  # it asks before it takes one
        (said(OTHER, arp.packed("169.254.7.2")), None),
        (said(OTHER, OWN)[:12] + b"\x08\x00" + said(OTHER, OWN)[14:], None),
        (said(OTHER, OWN)[:18] + b"\x08\x04" + said(OTHER, OWN)[20:], None),
        (said(OTHER, OWN)[:30], None),
    ],
)
def test_P46_who_claims_an_address_that_is_ours(frame: bytes, found: bytes | None) -> None:
    assert arp.rival(frame, MAC, OWN) == found
    assert passes(arp.rivals_only(MAC, OWN), frame) == (found is not None)


@given(st.binary(max_size=60))
def test_P46_the_filter_lets_through_what_counts_and_nothing_else(noise: bytes) -> None:
    for frame in (noise, said(OTHER, OWN)[: len(noise)] + noise, said(OTHER, OWN)[:20] + noise):
        if len(frame) >= 42:
            assert passes(arp.rivals_only(MAC, OWN), frame) == (arp.rival(frame, MAC, OWN) is not None)


def test_P46_an_announcement_is_no_claim_of_somebody_else() -> None:
    frame = arp.gratuitous_arp("02:00:00:00:00:01", "169.254.7.1")
    assert arp.rival(frame, MAC, OWN) is None
    assert arp.rival(frame, OTHER, OWN) == MAC


@pytest.mark.parametrize(
    ("had", "wish", "after"),
    [
        ((), {"link_local": True}, ["link_local"]),
        ((), {"dhcp6": True, "dhcp_keep": True}, ["lease6"]),
        ((), {"dhcp": "builtin", "dhcp6": True, "dhcp_keep": True}, ["lease", "lease6"]),
        ((), {"dhcp6": True, "dhcp_keep": True, "link_local": True}, ["lease6", "link_local"]),
        ((), {"dhcp6": True}, None),
        (("lease", "lease6"), {"dhcp6": False}, ["lease"]),
        (("lease", "lease6"), {"dhcp6": True}, ["lease"]),
        (("lease", "lease6"), {"addresses": ["10.1.0.1/24"]}, ["lease6"]),
        (("lease6", "link_local"), {"link_local": False}, ["lease6"]),
        (("link_local",), {"dhcp6": True, "dhcp_keep": True}, ["lease6", "link_local"]),
        (("lease", "lease6"), {}, ["lease", "lease6"]),
        (("lease",), {"dhcp": "builtin"}, None),
        (("lease6",), {"dhcp6": False}, None),
        (("link_local",), {"link_local": False}, None),
    ],
)
def test_P21_P46_who_stays_and_for_what(had: tuple[str, ...], wish: dict[str, Any], after: list[str] | None) -> None:
    """What an attachment says nothing about stays as it is."""
    world, label = attached(), "docker:web1"
    facts, items = world.facts(), attachments_from_params({"attachments": [{**WEB1, **wish}]})
    facts.keeper = "new"
    if had:
        facts.keeps.append(Keep(label, "eth1", running=True, program="new", duties=had, hostname="web1", options=()))
    found, state = compile_wish([target(world, item) for item in items], facts)
    plan = [each for each in reconcile(found.desired, state) if each.key[0] == "dhcp_keep"]
    state = simulate(state, plan)
    left = state.get(("dhcp_keep", label, "eth1"))
    assert (list(left.duties or ()) if isinstance(left, Keep) else None) == after
    assert not [each for each in reconcile(found.desired, state) if each.key[0] == "dhcp_keep"]
