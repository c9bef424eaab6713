# Copyright: pipework.containers contributors
# GNU General Public License v3.0+ (see LICENSE)
"""Objects and marks: whose an interface is, and what a lent NIC was."""

from __future__ import annotations

import dataclasses

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from ansible_collections.pipework.containers.plugins.module_utils._core.normalize import NAME_MAX
from ansible_collections.pipework.containers.plugins.module_utils._model.objects import (
    ALIAS_MAX,
    GROUP,
    HOST,
    MARK,
    PROTOCOL,
    TABLE_KEPT,
    UNFINISHED,
    Address,
    Device,
    Link,
    Nic,
    Port,
    Route,
    default_route,
    name_token,
    owner_fields,
    owner_matches,
    owner_of,
)
from ansible_collections.pipework.containers.plugins.module_utils._netlink.route import number_routes

RUNTIMES = st.sampled_from(("docker", "netns", "pid", "host"))
CONTAINERS = st.text(min_size=1, max_size=80) | st.sampled_from(
    ("web1", "/run/netns/a b", "a:b", "a|b", "#x", "é", "%7C")
)
IDENTS = st.text("0123456789abcdef", min_size=1, max_size=64)
INTERFACES = st.text(
    st.characters(codec="utf-8", exclude_categories=("Z", "C"), exclude_characters="/:"), min_size=1, max_size=NAME_MAX
)
ODD_TEXT = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=60)

NICS = st.builds(
    Nic,
    name=INTERFACES,
    mtu=st.integers(68, 65535),
    mac=st.none() | st.just("52:54:00:12:34:56"),
    up=st.booleans(),
    addresses=st.lists(st.sampled_from(("10.0.0.1/24", "2001:db8::1/64")), unique=True).map(tuple),
    alias=ODD_TEXT | st.sampled_from(("|", "||||||||", "uplink|left", "pipework:", "a,b")),
)


# marks


@given(RUNTIMES, CONTAINERS, IDENTS, INTERFACES)
def test_B14_a_mark_is_found_again_by_the_name(runtime: str, container: str, ident: str, interface: str) -> None:
    owner = owner_of(runtime, container, ident, interface)
    assert owner_matches(owner, runtime, container, interface)
    assert owner_matches(owner, "auto", container, interface)
    assert owner_fields(owner) == (runtime, name_token(container), ident[:12], interface)
    assert len(owner.encode()) <= ALIAS_MAX


@given(RUNTIMES, CONTAINERS, IDENTS, INTERFACES, CONTAINERS, INTERFACES)
def test_B14_and_by_no_other_name(
    runtime: str, container: str, ident: str, interface: str, other: str, elsewhere: str
) -> None:
    owner = owner_of(runtime, container, ident, interface)
    if other != container and not (len(ident) >= 12 and other.startswith(ident[:12])):
        assert not owner_matches(owner, runtime, other, interface)
    if elsewhere != interface:
        assert not owner_matches(owner, runtime, container, elsewhere)
    assert not owner_matches(owner, "lxc", container, interface)


@pytest.mark.parametrize(
    ("container", "matches"),
    [
        ("web1", True),
        ("3f2a9c41d0b7", True),
        ("3f2a9c41d0b7e5", True),
        ("3f2a9c41d0b7" + "0" * 52, True),
        ("3f2a9c41d0b", False),
        ("3f2a", False),
        ("web", False),
        ("web11", False),
        ("", False),
    ],
)
def test_P39_a_dead_container_is_known_by_its_name_or_id(container: str, matches: bool) -> None:
    owner = owner_of("docker", "web1", "3f2a9c41d0b7" + "0" * 52, "eth1")
    assert owner == "pipework:docker:web1:3f2a9c41d0b7:eth1"
    assert owner_matches(owner, "auto", container, "eth1") is matches


def test_P39_the_beginning_of_a_name_is_no_id() -> None:
    assert not owner_matches(owner_of("pid", "1", "77", "eth1"), "auto", "77-and-something", "eth1")


@pytest.mark.parametrize(
    "alias", [None, "", "pipework:", "pipework:auto", "pipework:bridge", UNFINISHED, "uplink", "pipe:a:b:c:d"]
)
def test_other_marks_are_no_attachments(alias: str | None) -> None:
    assert owner_fields(alias) is None
    assert not owner_matches(alias, "auto", "a", "eth1")


def test_B14_a_container_cannot_name_itself_into_another_ones_mark() -> None:
    assert owner_of("docker", "a:b:eth1|x", "1", "eth1") != owner_of("docker", "a", "b", "eth1|x:1:eth1")
    assert name_token("a:b").startswith("#")
    assert ":" not in name_token("a:b")
    assert name_token("#" + "0" * 24).startswith("#")
    assert name_token("#" + "0" * 24) != "#" + "0" * 24


def test_the_owner_of_an_interface_is_its_alias_or_its_group() -> None:
    device = Device(1, "eth1", "veth", None, 1500, True)
    assert device.owner is None
    assert dataclasses.replace(device, alias="uplink").owner is None
    assert dataclasses.replace(device, alias="pipework:auto").owner == "pipework:auto"
    assert dataclasses.replace(device, alias="pipework:auto", group=GROUP).owner == UNFINISHED


# lent NICs


@given(NICS, RUNTIMES, CONTAINERS, INTERFACES)
def test_P15_the_alias_remembers_the_nic(nic: Nic, runtime: str, container: str, interface: str) -> None:
    owner = owner_of(runtime, container, "3f2a9c41d0b7", interface)
    text = nic.pack(owner)
    assert Nic.unpack(text) == (owner, nic)
    assert owner_matches(text, runtime, container, interface)


@given(st.text() | st.text("|:/~0a²\udcff").map(lambda text: MARK + text))
@example("pipework:|\udcff|1|||||")
@example("pipework:|a|1||up/x/y/z|||")
@example("pipework:|a|" + "9" * 5000 + "||up|||")
def test_B14_any_alias_can_be_looked_at(alias: str) -> None:
    """With or without a NIC in it: never an exception."""
    found = Nic.unpack(alias)
    assert found is None or alias.startswith(MARK)


# objects


@pytest.mark.parametrize(
    ("item", "carrier"),
    [
        (Link(HOST, "br1"), None),
        (Port(HOST, "netns:c1/eth1"), ("link", "netns:c1", "eth1")),
        (Port(HOST, "netns:/run/netns/a/eth1"), ("link", "netns:/run/netns/a", "eth1")),
        (Port(HOST, "vxlan7"), ("link", HOST, "vxlan7")),
        (Address("netns:c1", "eth1", "10.0.0.1/24"), ("link", "netns:c1", "eth1")),
        (Route("netns:c1", 4, "default", device="eth1"), ("link", "netns:c1", "eth1")),
        (Route("netns:c1", 4, "default"), None),
    ],
)
def test_what_an_object_stands_on(item: Link | Port | Address | Route, carrier: object) -> None:
    assert item.carrier == carrier


def test_P9_default_routes_have_the_kernels_own_metrics() -> None:
    four, six = default_route("c", "10.0.0.1", "eth1"), default_route("c", "2001:db8::1", "eth1")
    assert (four.family, four.metric, four.protocol) == (4, 0, PROTOCOL)
    assert (six.family, six.metric, six.protocol) == (6, 1024, PROTOCOL)
    assert (four.name, six.name) == ("default (IPv4)", "default (IPv6)")
    assert dataclasses.replace(four, table=TABLE_KEPT, metric=5).name == "default (IPv4) metric 5 table 28791"


def test_P12_an_address_without_broadcast_is_not_made_anew() -> None:
    wanted = Address("c", "eth1", "10.0.0.1/24", broadcast="10.0.0.255")
    assert not wanted.differences(Address("c", "eth1", "10.0.0.1/24"))


def test_what_is_born_is_down_and_unfinished_except_a_nic_that_moves() -> None:
    veth = Link("c", "eth1", type="veth", up=True, owner="pipework:x").newborn()
    assert (veth.up, veth.owner) == (False, UNFINISHED)
    nic = Link("c", "eth1", type="phys", up=True, owner="pipework:x|…").newborn()
    assert (nic.up, nic.owner) == (False, "pipework:x|…")


def test_P32_routes_in_the_same_place_are_told_apart() -> None:
    first = Route("c", 4, "10.1.0.0/16", gateway="10.0.0.1", device="eth0")
    second = Route("c", 4, "10.1.0.0/16", gateway="10.0.0.2", device="eth0")
    other = Route("c", 4, "10.2.0.0/16", gateway="10.0.0.2", device="eth0")
    found = number_routes([first, other, second])
    assert [route.name for route in found] == ["10.1.0.0/16", "10.2.0.0/16", "10.1.0.0/16 #2"]
    assert found[2].gateway == "10.0.0.2"
