# Copyright: pipework.containers contributors
# GNU General Public License v3.0+ (see LICENSE)
"""The options of pipework_bridge, checked. Pure."""
from __future__ import annotations

import dataclasses
import typing as t

from .._core import normalize as norm
from .._core.errors import PipeworkError
from .._core.items import Item, blaming, items_of
from .._model import vlans
from .._ovs import settings as ovs_settings
from .._ovs.settings import DATAPATHS, FAIL_MODES, Settings
from .._ovs.tables import check_name
from .._ovs.tunnels import Tunnel, tunnels_from_option
from .uplink_options import Uplink, uplinks_from_option

LINUX, SWITCH = "linux", "openvswitch"
# Seconds. With STP off the kernel takes any forward delay.
TIMERS = {"forward_delay": (2, 30), "hello_time": (1, 10), "max_age": (6, 40), "ageing_time": (0, 1_000_000)}
WHY_NOT_ZERO = {
    "max_age": " The classic advice of 0 for ESXi dates from kernels that took it; with STP off the value has no "
               "effect, leave it out.",
}


ONLY_OF = {  # options of one kind
    **dict.fromkeys(("rstp", "fail_mode", "datapath", "tunnels"), SWITCH),
    **dict.fromkeys(("vlan_filtering", "default_pvid"), LINUX),
}
WHY_ONLY = {
    SWITCH: "only bridges of Open vSwitch have it ('kind: openvswitch').",
    LINUX: "a bridge of Open vSwitch has no such switch: it always tells VLANs apart; leave it out.",
}


@dataclasses.dataclass(frozen=True)
class Bridge(Item):
    """One item of ``bridges``. None means not managed."""

    name: str
    kind: str = LINUX
    addresses: tuple[str, ...] | None = None
    mac_address: str | None = None
    mtu: int | None = None
    settings: dict[str, t.Any] = dataclasses.field(default_factory=dict)  # stp, timers in seconds, VLANs
    switched: Settings = dataclasses.field(default_factory=dict)  # those of Open vSwitch, as _ovs_settings spells them
    datapath: str | None = None
    tunnels: tuple[Tunnel, ...] | None = None
    ports: tuple[Uplink, ...] | None = None
    move_addresses: bool = False
    masquerade: bool | None = None
    forwarding: str = "auto"
    state: str = "present"
    where: str = ""

    @classmethod
    def from_params(cls, params: t.Mapping[str, t.Any], where: str = "") -> Bridge:
        """Checks one item's options; raises PipeworkError."""
        with blaming(where):
            return cls(**_normalized(params), where=where)


def bridges_from_params(params: t.Mapping[str, t.Any]) -> list[Bridge]:
    """The list of items, or the one that the top-level options describe; top-level options are the items' defaults."""
    found = items_of(params, "bridges", Bridge.from_params)
    names: dict[str, Bridge] = {}
    addresses: dict[str, Bridge] = {}
    ports: dict[str, Bridge] = {}
    for bridge in found:
        if names.setdefault(bridge.name, bridge) is not bridge:
            also = names[bridge.name].where.rstrip(": ")
            raise bridge.refuse(f"name: {bridge.name} is listed twice (also in {also}).")
        for port in bridge.ports or () if bridge.state == "present" else ():
            other = ports.setdefault(port.name, bridge)
            if other is not bridge:
                raise bridge.refuse(f"ports: {port.name} is given to both {other.name} and {bridge.name}.")
        for address in bridge.addresses or () if bridge.state == "present" else ():
            other = addresses.setdefault(address.split("/")[0], bridge)
            if other is not bridge:
                raise bridge.refuse(
                    f"addresses: {address} is given to both {other.name} and {bridge.name}; each needs its own."
                )
    return found


def _normalized(params: t.Mapping[str, t.Any]) -> dict[str, t.Any]:
    if not params.get("name"):
        raise PipeworkError("name: say which bridge.")
    kind, name = params.get("kind") or LINUX, norm.new_name(params["name"], "name", params.get("state"))
    for option, only in ONLY_OF.items():
        if only != kind and params.get(option) is not None:
            raise PipeworkError(f"{option}: {WHY_ONLY[only]}")
    if kind == SWITCH:
        check_name(name, "name")
    datapath = _one_of(params, "datapath", DATAPATHS)
    _one_of(params, "fail_mode", FAIL_MODES)
    addresses = params.get("addresses")
    mtu = None if params.get("mtu") is None else norm.mtu(params["mtu"])
    listed = [norm.interface_address(a, "addresses") for a in addresses or () if str(a).strip()]
    hosts = [str(each).partition("/")[0] for each in listed if each]
    twice = next((host for host in hosts if hosts.count(host) > 1), None)
    if twice is not None:
        raise PipeworkError(f"addresses: {twice} is listed twice; once would be right.")
    if mtu is not None and mtu < norm.MTU_MIN_IPV6 and any(a and norm.family(a) == 6 for a in listed):
        raise PipeworkError(f"mtu: {mtu} is too small for IPv6, which needs at least {norm.MTU_MIN_IPV6}.")
    return {
        "name": name,
        "kind": kind,
        "addresses": None if addresses is None else tuple(a for a in listed if a),
        "mac_address": None if not params.get("mac_address") else norm.mac_address(params["mac_address"]),
        "mtu": mtu,
        "settings": _settings(params) if kind == LINUX else {},
        "switched": ovs_settings.from_options({**params, "mtu": mtu}) if kind == SWITCH else {},
        "datapath": datapath,
        "ports": None if params.get("ports") is None else uplinks_from_option(params["ports"]),
        "move_addresses": bool(params.get("move_addresses")),
        "tunnels": None if params.get("tunnels") is None else tunnels_from_option(params["tunnels"]),
        "masquerade": None if params.get("masquerade") is None else bool(params["masquerade"]),
        "forwarding": params.get("forwarding") or "auto",
        "state": params.get("state") or "present",
    }


def _one_of(params: t.Mapping[str, t.Any], option: str, choices: tuple[str, ...]) -> str | None:
    value = params.get(option)
    if value is not None and value not in choices:
        raise PipeworkError(f"{option}: {value!r} is none of {', '.join(choices)}.")
    return value


def _settings(params: t.Mapping[str, t.Any]) -> dict[str, t.Any]:
    settings: dict[str, t.Any] = {}
    if params.get("stp") is not None:
        settings["stp"] = bool(params["stp"])
    for name in TIMERS:
        if params.get(name) is not None:
            settings[name] = _seconds(params[name], name)
    if params.get("vlan_filtering") is not None:
        settings["vlan_filtering"] = bool(params["vlan_filtering"])
    if params.get("default_pvid") is not None:
        none = str(params["default_pvid"]).strip() == "0"
        settings["default_pvid"] = 0 if none else vlans.vlan_id(params["default_pvid"], "default_pvid")
    return settings


def _seconds(value: t.Any, option: str) -> float:
    low, high = TIMERS[option]
    try:
        number = float(value)
    except (TypeError, ValueError):
        raise PipeworkError(f"{option}: {value!r} is not a number of seconds.") from None
    unchecked = option == "forward_delay" and 0 <= number < low  # whether it is possible depends on STP
    if not (low <= number <= high or unchecked):
        why = WHY_NOT_ZERO.get(option, "")
        raise PipeworkError(f"{option}: {number:g} s is not possible; the kernel takes {low} to {high} s.{why}")
    return int(number) if number == int(number) else number
