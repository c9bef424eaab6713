# Copyright: pipework.containers contributors
# GNU General Public License v3.0+ (see LICENSE)
"""B8: options of the port that a container has on its bridge. VLANs need another kernel: tests/kernel/test_vlan.py."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from ansible_collections.pipework.containers.plugins.module_utils._core.errors import PipeworkError
from ansible_collections.pipework.containers.plugins.module_utils._jobs.bridge import BridgeJob
from tests.integration.lab import Host, failing_at

pytestmark = pytest.mark.root
DEFAULTS = {"isolated": False, "hairpin": False, "learning": True}


@pytest.fixture
def host() -> Iterator[Host]:
    found = Host("a", "b", "c")
    yield found
    found.close()


def options(host: Host, end: str) -> dict[str, bool]:
    """As bridge prints them."""
    shown = json.loads(host.sh("bridge", "-j", "-d", "link", "show", "dev", end))[0]
    return {name: shown[name] for name in DEFAULTS}


def attach(host: Host, container: str, number: int, **more: Any) -> tuple[dict[str, Any], str]:
    params = {"addresses": [f"10.8.0.{number}/24"], **more}
    planned = host.attach(container, check=True, **params)
    done = host.attach(container, **params)
    assert planned["operations"] == done["operations"]
    assert not host.attach(container, **params)["changed"]
    return done, done["attachments"][0]["local_interface"]


@pytest.mark.oldest
@pytest.mark.any_kernel
def test_B8_isolated_ports_reach_only_those_that_are_not(host: Host) -> None:
    for number, name in enumerate("ab", start=1):
        attach(host, name, number, port={"isolated": True})
    attach(host, "c", 3)
    assert host.ping("a", "10.8.0.3") and host.ping("b", "10.8.0.3")
    assert not host.ping("a", "10.8.0.2", seconds=0)

    done, _end = attach(host, "b", 2, port={"isolated": False})
    assert [(each["action"], each["kind"]) for each in done["operations"]] == [("update", "port")]
    assert host.ping("a", "10.8.0.2")


def test_B8_options_are_set_changed_and_left_alone(host: Host) -> None:
    _done, end = attach(host, "a", 1)
    assert options(host, end) == DEFAULTS
    attach(host, "a", 1, port={"hairpin": True, "learning": False})
    assert options(host, end) == {"isolated": False, "hairpin": True, "learning": False}
    done, _end = attach(host, "a", 1, port={"learning": True})
    [operation] = done["operations"]
    assert operation["before"]["settings"] == {"isolated": False, "hairpin": True, "learning": False}
    assert operation["after"]["settings"] == {"isolated": False, "hairpin": True, "learning": True}
    assert options(host, end) == {"isolated": False, "hairpin": True, "learning": True}
    attach(host, "a", 2)
    assert options(host, end) == {"isolated": False, "hairpin": True, "learning": True}


def test_B8_a_port_that_reflects_sends_frames_back(host: Host) -> None:
    """A frame that comes in by a port with hairpin, for an address that was last seen there, leaves by it."""
    _done, end = attach(host, "a", 1, port={"hairpin": True})
    host.sh("ip", "-batch", "-", ns="a", text="link add link eth1 name mv0 type macvlan mode vepa\nlink set mv0 up\n")
    host.sh("ip", "netns", "exec", "a", "ip", "link", "set", "mv0", "netns", "c")
    host.sh("ip", "-batch", "-", ns="c", text="address add 10.8.0.9/24 dev mv0\nlink set mv0 up\n")
    assert host.ping("c", "10.8.0.1")  # both behind one port
    attach(host, "a", 1, port={"hairpin": False})
    host.sh("ip", "neigh", "flush", "all", ns="c")
    assert not host.ping("c", "10.8.0.1", seconds=0)
    assert not options(host, end)["hairpin"]


def test_B8_options_go_along_to_another_bridge(host: Host) -> None:
    _done, end = attach(host, "a", 1, port={"isolated": True})
    host.attach("a", host_interface="br2")
    assert options(host, end) == {**DEFAULTS, "isolated": True}


def test_B8_one_item_can_have_options_of_its_own(host: Host) -> None:
    done = host.run(
        runtime="netns",
        host_interface="br1",
        port={"isolated": True},
        attachments=[
            {"container": "a"},
            {"container": "b", "port": {"hairpin": True}},
        ],
    )
    assert [options(host, each["local_interface"]) for each in done["attachments"]] == [
        {**DEFAULTS, "isolated": True},
        {**DEFAULTS, "hairpin": True},
    ]


@pytest.mark.parametrize(
    "more",
    [
        {"port": {"isolated": False, "hairpin": True}},
        {"port": {"isolated": False}, "host_interface": "br2"},
        {"state": "absent"},
    ],
)
def test_B4_a_failure_at_every_operation_leaves_the_options_before(host: Host, more: dict[str, Any]) -> None:
    attach(host, "a", 1, port={"isolated": True})
    attach(host, "b", 2)
    before = host.snapshot()  # with what ip shows of a port
    number = len(host.attach("a", check=True, **more)["operations"])
    assert number
    for place in range(number):
        with pytest.raises(PipeworkError):
            host.attach("a", step=failing_at(place), **more)
        host.assert_as(before, f"failed at {place}")


def test_B4_a_bridge_that_cannot_go_gives_its_ports_back_their_options(host: Host) -> None:
    host.run(job=BridgeJob, name="br1")
    _done, end = attach(host, "a", 1, port={"isolated": True})
    before = host.snapshot()
    with pytest.raises(PipeworkError):
        host.run(job=BridgeJob, name="br1", state="absent", step=failing_at(1))
    host.assert_as(before)
    assert options(host, end)["isolated"]


@pytest.mark.parametrize("kind", ["macvlan", "phys"])
def test_B8_other_kinds_have_no_port(host: Host, kind: str) -> None:
    host.sh("ip", "link", "add", "nic0", "type", "veth", "peer", "name", "lan0")
    before = host.snapshot()
    with pytest.raises(PipeworkError, match=rf"port: kind {kind} does not have it; kinds bridge, "):
        host.attach("a", host_interface="nic0", kind=kind, port={"isolated": True})
    host.assert_as(before)


@pytest.mark.parametrize(
    ("name", "params", "option"),
    [
        ("pipework_attach", {"container": "a", "runtime": "netns", "host_interface": "br1", "vlan": 10}, "vlan"),
        (
            "pipework_attach",
            {"container": "a", "runtime": "netns", "host_interface": "br1", "vlan_trunks": ["5"]},
            "vlan_trunks",
        ),
        ("pipework_bridge", {"name": "br1", "vlan_filtering": True}, "vlan_filtering"),
        ("pipework_bridge", {"name": "br1", "default_pvid": 5}, "default_pvid"),
    ],
)
def test_P31_a_kernel_without_vlans_on_bridges_is_named(
    host: Host, name: str, params: dict[str, Any], option: str
) -> None:
    host.sh("ip", "link", "add", "probe", "type", "bridge")
    if "vlan_default_pvid" in host.ip("link", "show", "dev", "probe")[0]["linkinfo"]["info_data"]:
        pytest.skip("this kernel filters VLANs on bridges")
    host.sh("ip", "link", "del", "probe")
    before = host.snapshot()
    for check in (True, False):
        said = host.module(name, params, check=check)
        assert said["failed"]
        assert said["msg"].startswith(f"{option}: this host's kernel cannot")
        assert "without CONFIG_BRIDGE_VLAN_FILTERING. Nothing was changed." in said["msg"]
    host.assert_as(before)
    assert not host.module("pipework_bridge", {"name": "br1", "vlan_filtering": False}).get("failed")
