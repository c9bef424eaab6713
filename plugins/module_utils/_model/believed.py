# Copyright: pipework.containers contributors
# GNU General Public License v3.0+ (see LICENSE)
"""What interfaces say about themselves, held against what the host has recorded. Pure.

What is recorded is ours, whatever its name, alias and group are by now; what is not recorded is not, whatever it says.
Of a veth pair of a bridge the host's end decides, which no container reaches.
"""
from __future__ import annotations

import dataclasses
import typing as t

from .interfaces import Interfaces
from .objects import GROUP, GROUP_DELETE, HOST, MARK, UPLINK, Device, owner_fields, pair_end
from .seals import LENT, PORT, Record, claims

Entry = tuple[str, str, t.Optional[str]]
CONTAINERS_OWN = "That was written by a container, or long ago, and is not believed; the interface is left alone."


@dataclasses.dataclass(frozen=True)
class Kept:
    """What the host has kept: records, the links that runs are busy with, the secret."""

    records: t.Sequence[Record]
    journal: t.Collection[Entry]
    secret: bytes

    def __post_init__(self) -> None:
        placed: dict[tuple[str, int], list[Record]] = {}
        for each in self.records:
            if each.stays:
                placed.setdefault((each.ns, each.place.index), []).append(each)
        object.__setattr__(self, "_placed", placed)
        object.__setattr__(self, "_others", [each for each in self.records if not each.stays])

    def about(self, label: str, device: Device, ident: str) -> Record | None:
        """The record of an interface, if there is one. There may be a thousand of both."""
        near = [*self.__dict__["_placed"].get((ident, device.index), ()), *self.__dict__["_others"]]
        return next((each for each in near if _about(each, label, device, ident, self.secret)), None)


def believe(facts: Interfaces, kept: Kept, idents: t.Mapping[str, str]) -> list[Record]:
    """Replaces what interfaces say by what is known of them; returns the records of which none is there.

    ``idents``: which namespace is behind each label.
    """
    met: set[int] = set()
    for label, devices in facts.devices.items():
        for name, device in devices.items():
            devices[name] = _known(facts, kept, label, device, idents[label], met)
        if label == HOST:  # which comes first
            facts.count_host()
    return [record for record in kept.records if record.sort != LENT and id(record) not in met]


def _known(facts: Interfaces, kept: Kept, label: str, device: Device, ident: str, met: set[int]) -> Device:
    if device.group in (GROUP, GROUP_DELETE) and (ident, device.name, device.type) not in kept.journal:
        device = dataclasses.replace(device, group=0)
    said = device.alias if (device.alias or "").startswith(MARK) else None
    record = kept.about(label, device, ident)
    if record is not None:
        met.add(id(record))
        return dataclasses.replace(device, alias=record.text, unmarked=device.alias != record.alias)
    if said is None:
        return device
    what = claims(said)
    end = facts.host_end(label, device) if label != HOST else None
    if end is not None and end.owner:
        return device if what is None else dataclasses.replace(device, alias=None)
    if what is None and not _needs_a_record(label, device):
        return device
    if label == HOST or what is not None:
        what = what or "part of an attachment"
        facts.refused[label, device.name] = (
            f"The alias of {device.name} {'on the host' if label == HOST else f'in {label}'} says that it is {what}, "
            f"but this host has no record of it. {CONTAINERS_OWN}"
        )
    return dataclasses.replace(device, alias=None)


def _about(record: Record, label: str, device: Device, ident: str, secret: bytes) -> bool:
    if label != HOST:
        return record.sort != PORT and record.is_at(device, ident)
    if record.sort == LENT:
        return record.is_home(device, secret)
    return record.sort == PORT and device.alias == record.alias and record.is_at(device, ident)


def _needs_a_record(label: str, device: Device) -> bool:
    """Hardware comes home with what a container wrote; all other interfaces end with their namespace."""
    if label == HOST:
        return device.type is None
    return device.type != "veth" or pair_end(device.alias) is not None


def rename(facts: Interfaces) -> list[tuple[str, str, Device]]:
    """Gives interfaces in containers the names that they have by right; returns where and which."""
    found = []
    for label, devices in facts.devices.items():
        for device in list(devices.values()) if label != HOST else ():
            owner = device.owner
            end = facts.host_end(label, device)
            fields = owner_fields(end.owner if end is not None else owner)
            if fields is None or fields[3] == device.name or fields[3] in devices or (owner or "").startswith(UPLINK):
                continue
            del devices[device.name]
            devices[fields[3]] = dataclasses.replace(device, name=fields[3], found_as=device.name)
            found.append((label, fields[3], device))
    return found
