# Copyright: pipework.containers contributors
# GNU General Public License v3.0+ (see LICENSE)
"""VLAN links of the host's NICs, such as eth0.10, that attachments stand on: found, made, and given up. Pure."""
from __future__ import annotations

import hashlib
import typing as t

from .._core.normalize import NAME_MAX
from .._core.plan import Absent, State
from .._model.keys import link_key
from .._model.objects import HOST, OWNER_AUTO, UNFINISHED, Device, Link
from .._model.observed import Facts, whose
from .context import Scene, Wish
from .options import Attachment

PROTOCOL = "802.1q"


def link_name(nic: str, vlan: int) -> str:
    """eth0.10; of a long name the beginning, so that it still tells the NIC, and its hash."""
    name = f"{nic}.{vlan}"
    if len(name.encode()) <= NAME_MAX:
        return name
    end = f"-{hashlib.sha256(nic.encode()).hexdigest()[:4]}.{vlan}"
    return nic.encode()[:NAME_MAX - len(end)].decode("utf-8", "ignore") + end


def found(facts: Facts, nic: Device, vlan: int) -> Device | None:
    """The VLAN's link, whatever its name is: the kernel lets a NIC have one of each."""
    wanted = {"vlan_id": vlan, "vlan_protocol": PROTOCOL}
    for device in facts.host.values():
        if device.type == "vlan" and device.settings == wanted and _lower(facts, device) is nic:
            return device
    return None


def underneath(item: Attachment, facts: Facts, nic: Device) -> tuple[str, int]:
    """Name and MTU of what an attachment of a NIC stands on: the NIC, or the link of its VLAN, which may be to come."""
    if item.vlan is None:
        return nic.name, nic.mtu
    have = found(facts, nic, item.vlan)
    if have is not None:
        return have.name, have.mtu if not _ours(have) else nic.mtu
    return link_name(nic.name, item.vlan), nic.mtu


def wanted(item: Attachment, facts: Facts, nic: Device) -> t.Iterator[Link]:
    """The VLAN's link; one that somebody else made is used as it is. PipeworkError where the name is not free."""
    if item.vlan is None:
        return
    have = found(facts, nic, item.vlan)
    name, mtu = underneath(item, facts, nic)
    other = facts.host.get(name) if have is None else None
    if other is not None:
        what = _description(facts, other)
        raise item.refuse(
            f"vlan: {name} exists on the host and is not VLAN {item.vlan} of {nic.name}, but {what}; "
            "rename or remove it."
        )
    if have is not None and not _ours(have):
        yield Link(HOST, name, up=True)
    else:
        yield Link(
            HOST, name, type="vlan", parent=nic.name, settings={"vlan_id": item.vlan, "vlan_protocol": PROTOCOL},
            mtu=mtu, up=True, owner=OWNER_AUTO,
        )


def nic_of(facts: Facts, name: str) -> str:
    """The NIC under a VLAN's link, or the name itself."""
    device = facts.host.get(name)
    lower = _lower(facts, device) if device is not None and device.type == "vlan" else None
    return lower.name if lower is not None else name


def ours(scene: Scene) -> list[str]:
    """All VLAN links that pipework_attach made."""
    return [device.name for device in scene.marked[OWNER_AUTO] if device.type == "vlan"]


def vacant(wish: Wish, facts: Facts, state: State) -> list[Device]:
    """The links of ours that attachments have left, and that nothing uses in the namespaces that were looked at."""
    names = wish.vacated - wish.standing
    devices = [facts.host[name] for name in sorted(names) if name in facts.host]
    devices = [device for device in devices if device.type == "vlan" and _ours(device) and device.master is None]
    if not devices:
        return []
    used = {address.device for address in facts.addresses.get(HOST, ())}
    used |= {str(facts.host_name(index)) for index in _carrying(wish, facts, state)}
    return [device for device in devices if device.name not in used]


def _carrying(wish: Wish, facts: Facts, state: State) -> t.Iterator[int]:
    """The indexes of the host's interfaces that something stands on, and will when all is done."""
    for label, devices in facts.devices.items():
        for device in devices.values():
            on_host = (device.parent_netnsid is None) == (label == HOST)
            if device.parent_index is None or not on_host or device.type == "veth":
                continue
            want = wish.desired.get(link_key(label, device.name))
            moves = isinstance(want, Link) and want.must_replace(state[want.key])
            if not (isinstance(want, Absent) or moves):
                yield device.parent_index


def _ours(device: Device) -> bool:
    return device.owner in (OWNER_AUTO, UNFINISHED)


def _lower(facts: Facts, device: Device) -> Device | None:
    if device.parent_netnsid is not None or device.parent_index is None:
        return None
    return facts.by_index.get(device.parent_index)


def _description(facts: Facts, device: Device) -> str:
    if device.type != "vlan":
        return whose(facts, HOST, device).replace("it is ", "").replace("it ", "")
    settings, lower = device.settings or {}, _lower(facts, device)
    protocol = settings.get("vlan_protocol")
    tagged = "" if protocol == PROTOCOL else f", tagged by {protocol}"
    return f"VLAN {settings.get('vlan_id')} of {lower.name if lower else 'a NIC in another namespace'}{tagged}"
