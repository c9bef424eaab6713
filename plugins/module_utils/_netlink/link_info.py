# Copyright: pipework.containers contributors
# GNU General Public License v3.0+ (see LICENSE)
"""What is peculiar to a type of interface: its settings, from netlink attributes and to them."""
from __future__ import annotations

import typing as t

from .._model.device import ON_A_NIC

USER_HZ = 100  # the unit of a bridge's timers
IPVLAN_MODES = ("l2", "l3", "l3s")
VLAN_PROTOCOLS = {0x8100: "802.1q", 0x88A8: "802.1ad"}
BRIDGE_SECONDS = {
    "forward_delay": "IFLA_BR_FORWARD_DELAY", "hello_time": "IFLA_BR_HELLO_TIME",
    "max_age": "IFLA_BR_MAX_AGE", "ageing_time": "IFLA_BR_AGEING_TIME",
}
BRIDGE_NUMBERS = {
    "stp": "IFLA_BR_STP_STATE", "vlan_filtering": "IFLA_BR_VLAN_FILTERING",
    "default_pvid": "IFLA_BR_VLAN_DEFAULT_PVID",
}


def _bridge_settings(data: t.Any) -> dict[str, t.Any]:
    found: dict[str, t.Any] = {}
    for name, attribute in BRIDGE_SECONDS.items():
        value = data.get_attr(attribute)
        if value is not None:
            found[name] = value // USER_HZ if value % USER_HZ == 0 else value / USER_HZ
    for name, attribute in BRIDGE_NUMBERS.items():
        value = data.get_attr(attribute)
        if value is not None:
            found[name] = value if name == "default_pvid" else bool(value)
    if "default_pvid" not in found:
        found.pop("vlan_filtering", None)  # shown as off, and not to be set, where the kernel cannot filter VLANs
    return found


def _macvlan_settings(data: t.Any) -> dict[str, t.Any]:
    mode = data.get_attr("IFLA_MACVLAN_MODE") or data.get_attr("IFLA_MACVTAP_MODE")
    return {"mode": mode} if mode is not None else {}


def _ipvlan_settings(data: t.Any) -> dict[str, t.Any]:
    mode = data.get_attr("IFLA_IPVLAN_MODE")
    return {"mode": IPVLAN_MODES[mode]} if mode is not None else {}


def _vlan_settings(data: t.Any) -> dict[str, t.Any]:
    number = data.get_attr("IFLA_VLAN_PROTOCOL")
    return {"vlan_id": data.get_attr("IFLA_VLAN_ID"), "vlan_protocol": VLAN_PROTOCOLS.get(number, number)}


def _ipoib_settings(data: t.Any) -> dict[str, t.Any]:
    found = {"pkey": data.get_attr("IFLA_IPOIB_PKEY"), "mode": data.get_attr("IFLA_IPOIB_MODE")}
    return {name: value for name, value in found.items() if value is not None}


def _vxlan_settings(data: t.Any) -> dict[str, t.Any]:
    found = {
        "vni": data.get_attr("IFLA_VXLAN_ID"), "port": data.get_attr("IFLA_VXLAN_PORT"),
        "local": data.get_attr("IFLA_VXLAN_LOCAL") or data.get_attr("IFLA_VXLAN_LOCAL6"),
        "link": data.get_attr("IFLA_VXLAN_LINK") or 0, "learning": bool(data.get_attr("IFLA_VXLAN_LEARNING")),
    }
    if found["local"]:
        found["family"] = 6 if ":" in found["local"] else 4
    return {name: value for name, value in found.items() if value is not None}


def _vxlan_attrs(settings: dict[str, t.Any]) -> t.Iterator[tuple[str, t.Any]]:
    names = {"vni": "ID", "link": "LINK", "port": "PORT", "learning": "LEARNING"}
    for name, value in settings.items():
        if name == "local":
            yield "IFLA_VXLAN_LOCAL6" if ":" in value else "IFLA_VXLAN_LOCAL", value
        elif name in names:
            yield f"IFLA_VXLAN_{names[name]}", int(value)


DECODERS: dict[str, t.Callable[[t.Any], dict[str, t.Any]]] = {
    "bridge": _bridge_settings, "macvlan": _macvlan_settings, "macvtap": _macvlan_settings, "ipvlan": _ipvlan_settings,
    "vlan": _vlan_settings, "ipoib": _ipoib_settings, "vxlan": _vxlan_settings,
}


def settings_attrs(kind: str | None, settings: dict[str, t.Any]) -> list[tuple[str, t.Any]]:
    if kind in ON_A_NIC:
        mode = settings.get("mode")
        value = IPVLAN_MODES.index(mode) if kind == "ipvlan" and mode else mode
        return [] if mode is None else [(f"IFLA_{str(kind).upper()}_MODE", value)]
    if kind == "ipoib":
        return [(f"IFLA_IPOIB_{name.upper()}", settings[name]) for name in ("pkey", "mode") if name in settings]
    if kind == "vxlan":
        return list(_vxlan_attrs(settings))
    if kind == "vlan":
        return [("IFLA_VLAN_ID", settings["vlan_id"])]
    seconds = [(BRIDGE_SECONDS[n], round(v * USER_HZ)) for n, v in settings.items() if n in BRIDGE_SECONDS]
    return seconds + [(BRIDGE_NUMBERS[n], int(v)) for n, v in settings.items() if n in BRIDGE_NUMBERS]
