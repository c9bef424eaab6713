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


def told(host: str, peers: list[str], reflectors: list[str], vnis: Any = None, **addresses: str) -> list[str]:
    """The lines of a host's block."""
    environment = jinja2.Environment(trim_blocks=True)
    environment.filters["hash"] = lambda text, kind: hashlib.new(kind, text.encode()).hexdigest()
    template = environment.from_string((ROLE / "templates" / "frr.conf.j2").read_text(encoding="utf-8"))
    clients = [addresses[each] for each in peers if host in reflectors and each not in reflectors]
    only = {} if vnis is None else {"vxlan_segment_vnis": vnis}
    return template.render(
        vxlan_segment_local=addresses[host], vxlan_segment_asn=65000, vxlan_segment_clients=clients,
        vxlan_segment_neighbors=[addresses[each] for each in peers], **only,
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


def test_B9_segments_that_others_see_to_are_left_out() -> None:
    lines = told("a", ["b"], [], [100, 300], **HOSTS)
    assert lines[:5] == [
        "bgp extcommunity-list standard pipework seq 5 permit rt 65000:100",
        "bgp extcommunity-list standard pipework seq 10 permit rt 65000:300",
        "route-map pipework permit 10", " match extcommunity pipework", "exit",
    ]  # fmt: skip
    assert [line for line in lines if "route-map pipework " in line][1:] == [
        f"  neighbor {HOSTS['b']} route-map pipework {way}" for way in ("in", "out")
    ]
    assert [line for line in lines if line not in told("a", ["b"], [], **HOSTS)] == [*lines[:4], *lines[-5:-3]]
