# Copyright: pipework.containers contributors
# GNU General Public License v3.0+ (see LICENSE)
"""Containers that share a network namespace do not take an interface from each other, in runs of their own."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.integration.lab import Host, refusal

pytestmark = pytest.mark.root

A: dict[str, Any] = {"host_interface": "br1", "runtime": "netns", "addresses": ["10.1.0.1/24"]}
KINDS: list[dict[str, Any]] = [
    {},
    {"local_interface": "web1"},
    {"kind": "macvlan", "host_interface": "nic0"},
]


@pytest.fixture
def host() -> Iterator[Host]:
    made = Host("a", "c")
    try:
        made.batch("link add nic0 type veth peer name nic0x\nlink set nic0 up\nlink set nic0x up")
        # Another name of the same namespace.
        made.sh("touch", "/run/netns/b")
        made.sh("mount", "--bind", "/run/netns/a", "/run/netns/b")
        yield made
    finally:
        made.close()


@pytest.mark.parametrize("kind", KINDS, ids=str)
def test_B3_the_interface_of_another_one_in_the_same_namespace_is_not_taken(host: Host, kind: dict[str, Any]) -> None:
    mine = {**A, **kind}
    host.run(**mine, container="a")
    before = host.snapshot()
    for more in ({}, {"check": True}, {"state": "absent"}, {"addresses": ["10.1.0.9/24"]}):
        words = refusal(lambda given={**mine, **more}: host.run(**given, container="b")) or ""
        assert "eth1 is the attachment of netns:a already" in words and words.endswith("Nothing was changed."), words
        host.assert_as(before)
    assert not host.run(**mine, container="a")["changed"]
    # another interface is its own to have, and the same place may be given as a path
    second = {**mine, "interface": "eth2", "addresses": ["10.2.0.2/24"], "local_interface": None}
    assert host.run(**second, container="b")["changed"] and not host.run(**second, container="b")["changed"]
    host.run(**mine, container="/run/netns/a")
    host.run(**mine, container="a")
    # a rename: there is no such name any more
    host.sh("umount", "/run/netns/a")
    host.sh("mv", "/run/netns/a", "/run/netns/old")
    host.run(**mine, container="b")
    assert not host.run(**mine, container="b")["changed"]
    host.sh("touch", "/run/netns/a")
    host.sh("mount", "--bind", "/run/netns/c", "/run/netns/a")
    assert not host.run(**mine, container="b")["changed"], "the name is that of another namespace now"
    assert host.run(**mine, container="b", state="absent")["changed"]


def test_B3_one_that_joined_another_network_takes_over_what_the_dead_have_left(host: Host) -> None:
    """As a container does whose network another one had made, which is made anew with a network of its own."""
    host.run(**A, container="a")
    host.sh("umount", "/run/netns/a")
    host.sh("rm", "/run/netns/a")
    host.add_guests("new")
    host.sh("mv", "/run/netns/new", "/run/netns/a", check=False)
    assert host.run(**A, container="b")["changed"]
    assert not host.run(**A, container="b")["changed"]
