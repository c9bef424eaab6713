# Copyright: pipework.containers contributors
# GNU General Public License v3.0+ (see LICENSE)
"""Tunnels as ports of a bridge of Open vSwitch: the option, checked. Pure."""
from __future__ import annotations

import dataclasses
import ipaddress
import re
import typing as t

from .._core import normalize as norm
from .._core.errors import PipeworkError
from .._model import vlans as model_vlans
from .settings import TUNNELS, Settings
from .tables import check_name

KEY_BITS = {"vxlan": 24, "geneve": 24, "gre": 32}
OPTIONS = ("name", "type", "remote", "local", "key", "port", "vlan", "vlan_trunks")


@dataclasses.dataclass(frozen=True)
class Tunnel:
    """One item of ``tunnels``."""

    name: str
    interface: tuple[tuple[str, str], ...]
    vlans: tuple[str, ...] | None

    @property
    def settings(self) -> Settings:
        return dict(self.interface)


def tunnels_from_option(items: t.Sequence[t.Mapping[str, t.Any]]) -> tuple[Tunnel, ...]:
    """The list, checked; raises PipeworkError."""
    found: dict[str, Tunnel] = {}
    for number, item in enumerate(items):
        try:
            tunnel = _tunnel({name: value for name, value in item.items() if value is not None})
        except PipeworkError as error:
            raise PipeworkError(f"tunnels[{number}]: {error}") from None
        if tunnel.name in found:
            raise PipeworkError(f"tunnels[{number}]: name: {tunnel.name} is listed twice.")
        found[tunnel.name] = tunnel
    return tuple(found.values())


def _tunnel(item: t.Mapping[str, t.Any]) -> Tunnel:
    for option in ("name", "remote"):
        if not item.get(option):
            raise PipeworkError(f"{option}: say it; a tunnel needs a name and the address of its other end.")
    kind = str(item.get("type") or "vxlan")
    if kind not in TUNNELS:
        raise PipeworkError(f"type: {kind!r} is none of {', '.join(TUNNELS)}.")
    remote = _address(item["remote"], "remote")
    found = {"type": kind, "options:remote_ip": remote}
    if item.get("local") is not None:
        found["options:local_ip"] = _address(item["local"], "local")
        if (":" in remote) != (":" in found["options:local_ip"]):
            raise PipeworkError(f"local: {item['local']} and remote {remote} are not of one family.")
    if item.get("key") is not None:
        found["options:key"] = str(_number(item["key"], "key", 0, 2 ** KEY_BITS[kind] - 1))
    if item.get("port") is not None:
        if kind == "gre":
            raise PipeworkError("port: gre has none; vxlan and geneve have.")
        found["options:dst_port"] = str(_number(item["port"], "port", 1, 65535))
    trunks, vlan = item.get("vlan_trunks"), item.get("vlan")
    vlans = model_vlans.of_port(
        None if vlan is None else model_vlans.vlan_id(vlan, "vlan"),
        None if trunks is None else model_vlans.trunks(trunks),
    )
    name = check_name(norm.interface_name(item["name"], "name"), "name")
    return Tunnel(name, tuple(sorted(found.items())), vlans)


def _address(value: t.Any, option: str) -> str:
    try:
        return str(ipaddress.ip_address(str(value).strip()))
    except ValueError:
        raise PipeworkError(f"{option}: {str(value)!r} is not an IP address.") from None


def _number(value: t.Any, option: str, low: int, high: int) -> int:
    text = str(value).strip()
    if not (re.fullmatch("[0-9]{1,19}", text) and low <= int(text) <= high):
        raise PipeworkError(f"{option}: {text!r} is not a number from {low} to {high}.")
    return int(text)
