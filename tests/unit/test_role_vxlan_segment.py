# Copyright: pipework.containers contributors
# GNU General Public License v3.0+ (see LICENSE)
"""What the role vxlan_segment says of its variables, and what it tells FRR."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import jinja2
import pytest
import yaml

ROLE = Path(__file__).resolve().parents[2] / "roles" / "vxlan_segment"


def load(path: str) -> Any:
    return yaml.safe_load((ROLE / path).read_text(encoding="utf-8"))


def test_B9_role_defaults_are_those_that_are_documented() -> None:
    options = load("meta/argument_specs.yml")["argument_specs"]["main"]["options"]
    documented = {name: option["default"] for name, option in options.items() if "default" in option}
    plain = {name: value for name, value in load("defaults/main.yml").items() if "{{" not in str(value)}
    assert plain == documented
    assert set(load("defaults/main.yml")) <= set(options)


def told(host: str, peers: list[str], reflectors: list[str], **addresses: str) -> list[str]:
    """The lines of a host's block."""
    environment = jinja2.Environment(trim_blocks=True)
    environment.filters["hash"] = lambda text, kind: hashlib.new(kind, text.encode()).hexdigest()
    template = environment.from_string((ROLE / "templates" / "frr.conf.j2").read_text(encoding="utf-8"))
    return template.render(
        vxlan_segment_local=addresses[host], vxlan_segment_asn=65000, vxlan_segment_peers=peers,
        vxlan_segment_address_variable="underlay", vxlan_segment_reflects=host in reflectors,
        vxlan_segment_route_reflectors=reflectors, hostvars={h: {"underlay": a} for h, a in addresses.items()},
    ).splitlines()  # fmt: skip


HOSTS = {"a": "10.0.0.1", "b": "10.0.0.2", "c": "10.0.0.3"}


@pytest.mark.parametrize(
    ("host", "peers", "clients"),
    [("a", ["b", "c"], ["10.0.0.3"]), ("b", ["a", "c"], ["10.0.0.3"]), ("c", ["a", "b"], [])],
)
def test_B9_reflectors_have_the_others_as_clients(host: str, peers: list[str], clients: list[str]) -> None:
    lines = told(host, peers, ["a", "b"], **HOSTS)
    assert lines[:2] == ["router bgp 65000", f" bgp router-id {HOSTS[host]}"]
    assert [line.split()[1] for line in lines if line.endswith("route-reflector-client")] == clients
    assert [line.split()[1] for line in lines if line.endswith("activate")] == [HOSTS[peer] for peer in peers]
    assert lines[-3:] == ["  advertise-all-vni", " exit-address-family", "exit"]


def test_B9_a_router_id_is_four_numbers_also_over_ipv6() -> None:
    first, second = (told(host, [], [], a="fd00::1", b="fd00::2")[1] for host in "ab")
    assert first != second and first.startswith(" bgp router-id 10.") and first.count(".") == 3
