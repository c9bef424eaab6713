# Copyright: pipework.containers contributors
# GNU General Public License v3.0+ (see LICENSE)
"""pipework_attach, kind dummy, on a kernel that has such interfaces."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from ansible_collections.pipework.containers.plugins.module_utils._core.errors import PipeworkError
from tests.integration.lab import Host


@pytest.fixture
def host() -> Iterator[Host]:
    """A fresh host with the guests a and b."""
    found = Host("a", "b")
    yield found
    found.close()


@pytest.mark.parametrize(
    "options", [{"host_interface": "dummy"}, {"host_interface": "dummy0"}, {"host_interface": None, "kind": "dummy"}]
)
def test_P19_P44_a_dummy_with_addresses_that_answer(host: Host, options: dict[str, str]) -> None:
    before = host.snapshot()
    wanted = {**options, "addresses": ["10.9.9.9/32", "fd09::9/128"], "mac_address": "U:web1", "mtu": 1300}
    said = host.attach("a", check=True, **wanted)
    done = host.attach("a", **wanted)
    assert said["operations"] == done["operations"]
    assert done["attachments"][0]["kind"] == "dummy"
    link = host.link("eth1", ns="a")
    assert link and link["linkinfo"]["info_kind"] == "dummy" and "UP" in link["flags"]
    assert (link["mtu"], link["address"]) == (1300, done["attachments"][0]["mac_address"])
    assert host.ping("a", "10.9.9.9") and host.ping("a", "fd09::9")
    assert host.links() == []
    assert not host.attach("a", **wanted)["changed"]
    host.attach("a", state="absent", **options)
    host.assert_as(before)


def test_B2_a_dummy_changes_in_place(host: Host) -> None:
    host.attach("a", host_interface="dummy", addresses=["10.9.9.9/32"])
    index = (host.link("eth1", ns="a") or {})["ifindex"]
    host.attach("a", host_interface="dummy", addresses=["10.9.9.8/32"], mtu=1400, mac_address="02:00:00:00:00:01")
    link = host.link("eth1", ns="a")
    assert link and (link["ifindex"], link["mtu"], link["address"]) == (index, 1400, "02:00:00:00:00:01")
    assert host.addresses("eth1", ns="a") == ["10.9.9.8/32"]


def test_from_dummy_to_bridge_and_back(host: Host) -> None:
    before = host.snapshot()
    for interface in ("dummy", "br1", "dummy"):
        host.attach("a", host_interface=interface, addresses=["10.9.9.9/32"])
        assert host.addresses("eth1", ns="a") == ["10.9.9.9/32"]
    assert host.links() == []
    host.attach("a", state="absent")
    host.assert_as(before)


def test_purge_takes_the_dummies_that_are_not_listed(host: Host) -> None:
    host.sh("ip", "link", "add", "lo1", "type", "dummy", ns="a")
    before = host.snapshot()
    host.attach("a", host_interface="dummy", addresses=["10.9.9.9/32"])
    host.attach("b", host_interface="dummy", addresses=["10.9.9.8/32"])
    host.run(
        runtime="netns",
        attachments=[{"container": "b", "host_interface": "dummy", "addresses": ["10.9.9.8/32"]}],
        purge=True,
    )
    assert host.links("a") == ["lo1"] and host.links("b") == ["eth1"]
    host.run(attachments=[], purge=True)
    host.assert_as(before)


def test_a_dummy_of_somebody_else_is_refused(host: Host) -> None:
    host.sh("ip", "link", "add", "eth1", "type", "dummy", ns="a")
    before = host.snapshot()
    with pytest.raises(
        PipeworkError, match=r"eth1 exists in netns:a and is not ours: it is somebody else's dummy.*Nothing was changed"
    ):
        host.attach("a", host_interface="dummy")
    host.assert_as(before)
