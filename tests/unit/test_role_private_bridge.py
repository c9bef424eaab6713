# Copyright: pipework.containers contributors
# GNU General Public License v3.0+ (see LICENSE)
"""The role's variables say of containers and runtimes what the module says of its options."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from ansible_collections.pipework.containers.plugins.modules.pipework_attach import ITEM

ROLE = Path(__file__).resolve().parents[2] / "roles" / "private_bridge"
BY_THE_ROLE = {"host_interface", "kind", "vf", "pkey", "mode", "peer"}


def load(path: str) -> Any:
    return yaml.safe_load((ROLE / path).read_text(encoding="utf-8"))


OPTIONS = load("meta/argument_specs.yml")["argument_specs"]["main"]["options"]


def shape(option: dict[str, Any]) -> dict[str, Any]:
    """What decides about a value; aliases are not taken by the schema of roles."""
    return {name: option.get(name) for name in ("type", "elements", "choices")}


def test_P1_role_takes_for_a_container_what_the_module_takes():
    inner = OPTIONS["private_bridge_containers"]["options"]
    assert {name: shape(option) for name, option in inner.items()} == {
        name: shape(option) for name, option in ITEM.items() if name not in BY_THE_ROLE
    }


def test_P1_role_variables_of_all_containers_are_the_modules():
    for name in ("runtime", "mtu", "forwarding", "state"):
        assert shape(OPTIONS[f"private_bridge_{name}"]) == shape(ITEM[name]), name


def test_P1_role_defaults_are_those_that_are_documented():
    documented = {name: option["default"] for name, option in OPTIONS.items() if "default" in option}
    assert load("defaults/main.yml") == documented
