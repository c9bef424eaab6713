# Copyright: pipework.containers contributors
# GNU General Public License v3.0+ (see LICENSE)
"""The role's variables say of containers and runtimes what the module says of its options."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from ansible_collections.pipework.containers.plugins.module_utils._core.errors import PipeworkError
from ansible_collections.pipework.containers.plugins.module_utils._topology.private_bridge import plan
from ansible_collections.pipework.containers.plugins.modules.pipework_attach import ITEM

ROLE = Path(__file__).resolve().parents[2] / "roles" / "private_bridge"
BY_THE_ROLE = {"host_interface", "kind", "vf", "pkey", "mode", "peer", "force", "confirm_timeout"}
OF_THE_ROLE = {"hostname", "aliases"}


def load(path: str) -> Any:
    return yaml.safe_load((ROLE / path).read_text(encoding="utf-8"))


OPTIONS = load("meta/argument_specs.yml")["argument_specs"]["main"]["options"]


def shape(option: dict[str, Any]) -> dict[str, Any]:
    """What decides about a value; aliases are not taken by the schema of roles."""
    return {name: option.get(name) for name in ("type", "elements", "choices")}


def test_P1_role_takes_for_a_container_what_the_module_takes():
    for inner in (
        OPTIONS["private_bridge_containers"]["options"],
        OPTIONS["private_bridge_networks"]["options"]["containers"]["options"],
    ):
        assert {name: shape(option) for name, option in inner.items() if name not in OF_THE_ROLE} == {
            name: shape(option) for name, option in ITEM.items() if name not in BY_THE_ROLE
        }
        assert set(inner) > OF_THE_ROLE


def test_P1_role_takes_for_a_network_what_it_takes_for_one():
    for name, option in OPTIONS["private_bridge_networks"]["options"].items():
        assert shape(option) == shape(OPTIONS[f"private_bridge_{name}"]), name


def test_P1_role_variables_of_all_containers_are_the_modules():
    for name in ("runtime", "mtu", "forwarding", "state"):
        assert shape(OPTIONS[f"private_bridge_{name}"]) == shape(ITEM[name]), name


def test_P1_role_defaults_are_those_that_are_documented():
    documented = {name: option["default"] for name, option in OPTIONS.items() if "default" in option}
    assert load("defaults/main.yml") == documented


# the lists that it makes

WEB = {"container": "web1", "addresses": ["192.168.1.1/24", "fd00:1::1/64", "192.168.1.11/24"]}
DB = {"container": "shop/db_1", "addresses": ["192.168.1.2/24"], "aliases": ["db"], "port": {"hairpin": True}}
BACK = {"container": "shop/db_1", "interface": "eth2", "addresses": ["10.0.0.2/24"], "hostname": "store"}
FRONT: dict[str, Any] = {"name": "br1", "addresses": ["192.168.1.254/24"], "isolated": True, "containers": [WEB, DB]}
TWO = [FRONT, {"name": "br2", "mtu": 1400, "runtime": "netns", "containers": [BACK]}]
ONE = {"name": "br1", "runtime": "auto", "forwarding": "auto", "isolated": False, "state": "present"}


def test_P1_role_one_network_is_as_before() -> None:
    found = plan({**ONE, "containers": [WEB], "addresses": ["192.168.1.254/24"], "mtu": 1400})
    assert found["bridges"] == [
        {"name": "br1", "addresses": ["192.168.1.254/24"], "mtu": 1400, "masquerade": None, "forwarding": "auto"}
    ]
    assert found["attachments"] == [{"host_interface": "br1", "mtu": 1400, "runtime": "auto", **WEB}]
    assert (found["files"], found["names"]) == ([], ["br1"])


def test_P1_role_several_networks() -> None:
    found = plan({**ONE, "networks": TWO, "mtu": 1300, "containers": []})
    assert [(each["name"], each["mtu"], each["forwarding"]) for each in found["bridges"]] == [
        ("br1", 1300, "auto"), ("br2", 1400, "auto"),
    ]  # fmt: skip
    web, db, back = found["attachments"]
    assert (web["host_interface"], web["port"], web["mtu"]) == ("br1", {"isolated": True}, 1300)
    assert (db["port"], "aliases" in db) == ({"isolated": True, "hairpin": True}, False)
    assert (back["host_interface"], back["runtime"], back["interface"]) == ("br2", "netns", "eth2")
    assert "port" not in back and "hostname" not in back
    assert found["names"] == ["br1", "br2"]
    gone = plan({**ONE, "networks": TWO, "state": "absent"})
    assert gone["bridges"] == [{"name": "br1", "state": "absent"}, {"name": "br2", "state": "absent"}]
    assert {each["state"] for each in gone["attachments"]} == {"absent"}


def test_P2_role_names_of_the_containers_of_a_network() -> None:
    given = {**ONE, "networks": TWO, "hosts_files": "yes", "host_names": True}
    entries = [
        {"address": "192.168.1.1", "names": ["web1"]}, {"address": "fd00:1::1", "names": ["web1"]},
        {"address": "192.168.1.2", "names": ["db_1", "db"]},
    ]  # fmt: skip
    files = plan(given)["files"]
    assert [(each.get("container"), each["runtime"], each["block"]) for each in files] == [
        ("web1", "auto", "private_bridge.br1"), ("shop/db_1", "auto", "private_bridge.br1"),
        (None, "host", "private_bridge.br1"), ("shop/db_1", "netns", "private_bridge.br2"),
        (None, "host", "private_bridge.br2"),
    ]  # fmt: skip
    assert [each["entries"] for each in files[:3]] == [entries] * 3
    assert files[3]["entries"] == [{"address": "10.0.0.2", "names": ["store"]}]
    left = {**FRONT, "containers": [{**WEB, "state": "absent"}, DB]}
    files = plan({**given, "networks": [left], "host_names": False})["files"]
    assert [(each["state"], each["entries"]) for each in files] == [("absent", []), ("present", entries[2:])]
    assert {each["state"] for each in plan({**given, "state": "absent"})["files"]} == {"absent"}
    assert plan({**given, "hosts_files": "false", "host_names": False})["files"] == []


@pytest.mark.parametrize(
    ("networks", "words"),
    [
        ([FRONT, FRONT], "private_bridge_networks[1]: name: br1 is listed twice (also in private_bridge_networks[0])"),
        ([{}], "private_bridge_networks[0]: name: say which bridge"),
        (
            [FRONT, {"name": "br2", "containers": [{"container": "web1"}]}],
            "private_bridge_networks[1].containers[0]: interface: web1/eth1 is listed twice",
        ),
        (
            [FRONT, {"name": "br2", "addresses": ["192.168.0.1/16"]}],
            "private_bridge_networks[1]: addresses: 192.168.0.1/16 is in 192.168.1.0/24, which is the subnet of p",
        ),
        ([{"name": "br1", "addresses": ["192.168.1.1"]}], "private_bridge_networks[0]: addresses: '192.168.1.1'"),
        (
            [{"name": "br1", "containers": [{"container": "77", "addresses": ["10.0.0.1/24"]}]}],
            "private_bridge_networks[0].containers[0]: hostname: the container's name '77' is not that of a host",
        ),
        (
            [{"name": "br1", "containers": [{**WEB, "aliases": ["a b"]}]}],
            "private_bridge_networks[0].containers[0]: aliases: 'a b' is not the name of a host",
        ),
    ],
)
def test_P1_role_networks_that_cannot_be(networks: Any, words: str) -> None:
    with pytest.raises(PipeworkError) as caught:
        plan({**ONE, "networks": networks, "hosts_files": True})
    assert str(caught.value).startswith(words), caught.value


def test_P1_role_a_single_networks_variables_are_not_defaults_of_several() -> None:
    with pytest.raises(PipeworkError, match="private_bridge_containers: with 'private_bridge_networks' each network"):
        plan({**ONE, "networks": TWO, "containers": [WEB]})
    with pytest.raises(PipeworkError, match=r"private_bridge_containers\[1\]: interface: web1/eth1 is listed twice"):
        plan({**ONE, "containers": [WEB, WEB]})
