# Copyright: pipework.containers contributors
# GNU General Public License v3.0+ (see LICENSE)
"""accept_ra and link_local: what they mean to the kernel's parameters and objects, and what goes with what."""

from __future__ import annotations

import ipaddress
from typing import Any

import pytest

from ansible_collections.pipework.containers.plugins.module_utils._attachment import Attachment
from ansible_collections.pipework.containers.plugins.module_utils._autoconf import LinkLocal, candidates
from ansible_collections.pipework.containers.plugins.module_utils._errors import PipeworkError
from ansible_collections.pipework.containers.plugins.module_utils._model import Address
from ansible_collections.pipework.containers.plugins.module_utils._plan import reconcile
from tests.unit.test_attach import WEB1, attached, lines, simple


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
