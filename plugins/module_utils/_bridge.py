# Copyright: pipework.containers contributors
# GNU General Public License v3.0+ (see LICENSE)
"""What a bridge shall be: the options of pipework_bridge, and with what the kernel shows the wanted objects. Pure."""

from __future__ import annotations

import dataclasses
import typing as t

from . import _normalize as norm
from . import _vlans
from ._errors import PipeworkError
from ._facts import Facts, link_key
from ._items import items_of
from ._kinds.bridge import new_bridge
from ._model import HOST, OWNER_AUTO, OWNER_BRIDGE, UNFINISHED, Address, Device, Port
from ._plan import Absent, KernelObject, State

OURS = (OWNER_AUTO, OWNER_BRIDGE, UNFINISHED)
# Seconds. With STP off the kernel takes any forward delay.
TIMERS = {"forward_delay": (2, 30), "hello_time": (1, 10), "max_age": (6, 40), "ageing_time": (0, 1_000_000)}
WHY_NOT_ZERO = {
    "max_age": " The classic advice of 0 for ESXi dates from kernels that took it; with STP off the value has no "
               "effect, leave it out.",
}


@dataclasses.dataclass(frozen=True)
class Bridge:
    """One item of ``bridges``. None means not managed."""

    name: str
    addresses: tuple[str, ...] | None = None
    mac_address: str | None = None
    mtu: int | None = None
    settings: dict[str, t.Any] = dataclasses.field(default_factory=dict)  # stp, timers in seconds, VLANs
    forwarding: str = "auto"
    state: str = "present"
    where: str = ""

    def refuse(self, message: str) -> PipeworkError:
        """The error that says which item is wrong."""
        return PipeworkError(f"{self.where}{message}")

    @classmethod
    def from_params(cls, params: t.Mapping[str, t.Any], where: str = "") -> Bridge:
        """Checks one item's options; raises PipeworkError."""
        try:
            return cls(**_normalized(params), where=where)
        except PipeworkError as error:
            raise PipeworkError(f"{where}{error}") from None


def bridges_from_params(params: t.Mapping[str, t.Any]) -> list[Bridge]:
    """The list of items, or the one that the top-level options describe; top-level options are the items' defaults."""
    found = items_of(params, "bridges", Bridge.from_params)
    names: dict[str, Bridge] = {}
    addresses: dict[str, Bridge] = {}
    for bridge in found:
        if names.setdefault(bridge.name, bridge) is not bridge:
            also = names[bridge.name].where.rstrip(": ")
            raise bridge.refuse(f"name: {bridge.name} is listed twice (also in {also}).")
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
        settings["default_pvid"] = 0 if none else _vlans.vlan_id(params["default_pvid"], "default_pvid")
    addresses = params.get("addresses")
    mtu = None if params.get("mtu") is None else norm.mtu(params["mtu"])
    listed = [norm.interface_address(a, "addresses") for a in addresses or () if str(a).strip()]
    if mtu is not None and mtu < norm.MTU_MIN_IPV6 and any(a and norm.family(a) == 6 for a in listed):
        raise PipeworkError(f"mtu: {mtu} is too small for IPv6, which needs at least {norm.MTU_MIN_IPV6}.")
    return {
        "name": norm.interface_name(params["name"], "name"),
        "addresses": None if addresses is None else tuple(a for a in listed if a),
        "mac_address": None if not params.get("mac_address") else norm.mac_address(params["mac_address"]),
        "mtu": mtu,
        "settings": settings,
        "forwarding": params.get("forwarding") or "auto",
        "state": params.get("state") or "present",
    }


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


def wanted(bridge: Bridge, facts: Facts, state: State) -> t.Iterator[KernelObject | Absent]:
    """The objects that a bridge is made of. Raises PipeworkError for what cannot be."""
    device = facts.host.get(bridge.name)
    if bridge.state == "absent":
        yield from _unwanted(bridge, device, facts, state)
        return
    if device is not None and device.type != "bridge":
        what = device.type or "a network card"
        raise bridge.refuse(f"name: {bridge.name} exists on the host and is not a bridge but {what}.")
    _check_delay(bridge, device)
    link = new_bridge(bridge.name, facts.host_seed, OWNER_BRIDGE)
    yield dataclasses.replace(
        link, mac=bridge.mac_address or (link.mac if device is None else None), mtu=bridge.mtu,
        settings=_possible(bridge, facts) or None,
        owner=OWNER_BRIDGE if device is None or device.owner in OURS else None,
    )
    listed = [Address(HOST, bridge.name, a, broadcast=norm.broadcast(a)) for a in bridge.addresses or ()]
    yield from listed
    if bridge.addresses is not None and (device is None or device.owner in OURS):
        keys = {address.key for address in listed}
        have = [address for address in facts.addresses.get(HOST, ()) if address.device == bridge.name]
        yield from (Absent(address.key) for address in have if address.key not in keys)


def _possible(bridge: Bridge, facts: Facts) -> dict[str, t.Any]:
    """The settings that the kernel has. One that filters no VLANs need not be told so."""
    if facts.vlans is not None:
        return bridge.settings
    for option in ("vlan_filtering", "default_pvid"):
        if bridge.settings.get(option):
            raise bridge.refuse(f"{option}: {_vlans.NO_KERNEL}")
    return {name: value for name, value in bridge.settings.items() if name not in ("vlan_filtering", "default_pvid")}


def _check_delay(bridge: Bridge, device: Device | None) -> None:
    delay, (low, high) = bridge.settings.get("forward_delay"), TIMERS["forward_delay"]
    stp = bridge.settings.get("stp", ((device.settings if device else None) or {}).get("stp", False))
    if delay is not None and delay < low and stp:
        raise bridge.refuse(
            f"forward_delay: {delay} s is not possible while STP is on; the kernel takes {low} to {high} s then."
        )


def _unwanted(bridge: Bridge, device: Device | None, facts: Facts, state: State) -> t.Iterator[Absent]:
    """A bridge of ours goes; its ports are let go first, so that they can be had back if something fails."""
    if device is None:
        return
    if device.type != "bridge" or device.owner not in OURS:
        what = "bridge" if device.type == "bridge" else device.type or "network card"
        raise bridge.refuse(f"name: {bridge.name} is somebody else's {what}, which is never removed here.")
    ports = facts.ports_of(bridge.name)
    foreign = sorted(port.name for port in ports if not port.owner)
    if foreign:
        listed = ", ".join(foreign)
        raise bridge.refuse(f"name: {bridge.name} has ports that are not ours: {listed}; take them out first.")
    for port in ports:
        loose = Port(
            HOST, port.name, local_interface=port.name, bridge=bridge.name, settings=port.port,
            vlans=facts.vlans_of(port),
        )
        state[loose.key] = loose
        yield Absent(loose.key)
    yield Absent(link_key(HOST, bridge.name))


def others(bridges: t.Sequence[Bridge], facts: Facts) -> list[Bridge]:
    """The bridges of pipework_bridge on this host that are not listed, as absent ones."""
    listed = {bridge.name for bridge in bridges}
    return [
        Bridge(device.name, state="absent", where="purge: ") for device in facts.host.values()
        if device.type == "bridge" and device.owner == OWNER_BRIDGE and device.name not in listed
    ]
