# Copyright: pipework.containers contributors
# GNU General Public License v3.0+ (see LICENSE)
"""Which words about an interface are this host's own: one sealed format, and the records that they are held against.

A container with the right to do so writes what it likes into the alias of its interfaces, and a NIC brings that home.
So a seal is bound to the device and to a number used once, of which the host keeps the current one. Pure.
"""
from __future__ import annotations

import dataclasses
import hashlib
import hmac
import typing as t

from .objects import MARK, UPLINK, Device, Nic

NONCE, TAG = 12, 20  # hexadecimal digits of a seal
SEAL = NONCE + TAG + 1  # by how much it makes an alias longer
INSIDE, LENT, PORT = "inside", "lent", "port"  # what a record is about
FIELDS_OF_A_NIC = 6


@dataclasses.dataclass(frozen=True)
class Place:
    """Where an interface is and what it stands on, as the kernel counts: no container can choose these numbers."""

    index: int
    lower: int | None  # of a macvlan, the NIC's index; of a veth, that of its other end
    across: int | None  # the number of the namespace in which that is

    @classmethod
    def of(cls, device: Device) -> Place:
        return cls(device.index, device.parent_index, device.parent_netnsid)


@dataclasses.dataclass(frozen=True)
class Record:
    """What the host keeps about an interface of ours that a container can reach, or about a NIC in a bridge."""

    sort: str
    text: str  # the mark, with what a NIC was
    alias: str  # the same as it was written, with its seal
    ns: str  # the namespace where it is
    inode: int
    name: str  # and its name there
    kind: str | None
    place: Place
    home: Place | None = None  # where it was on the host
    perm: str | None = None
    bus: str | None = None
    nonce: str = ""
    settled: bool = True  # False: it may be about to move, and get another index
    luggage: str = ""  # of a lent NIC: what stood on it, as _model/luggage packs it

    @property
    def hardware(self) -> bool:
        return self.kind is None and bool(self.perm or self.bus)

    @property
    def stays(self) -> bool:
        """Whether its place alone says which interface it is about."""
        return self.sort == INSIDE and self.settled and not self.hardware

    @property
    def readdressed(self) -> bool:
        """Whether it is a virtual function, whose permanent address follows the MAC address that its card gives it."""
        found = Nic.unpack(self.text) if self.sort == LENT else None
        return found is not None and found[1].vf is not None

    def is_of(self, device: Device) -> bool:
        """Whether a device is of the kind, and may be the hardware, that the record is about."""
        if device.type != self.kind or not (self._has_address(device) or self.readdressed):
            return False
        return not (self.bus and device.bus) or device.bus == self.bus

    def _has_address(self, device: Device) -> bool:
        return (device.perm or None) == (self.perm or None)

    def _certain(self, device: Device) -> bool:
        """Whether hardware is known by what it is, wherever it was carried."""
        return self.hardware and (self._has_address(device) or bool(self.bus and device.bus))

    def is_at(self, device: Device, ns: str) -> bool:
        """Whether it is the device, in a container."""
        if not self.is_of(device):
            return False
        if self._certain(device):
            return True
        if self.ns != ns:
            return False
        if self.settled:
            return Place.of(device) == self.place
        return device.name == self.name and device.parent_index == self.place.lower

    def is_home(self, device: Device, secret: bytes) -> bool:
        """Whether a lent NIC is this device of the host, which has come home by itself."""
        if not self.is_of(device):
            return False
        own_words = device.alias == self.alias and genuine(self.alias, self, secret)
        if self.hardware:
            return own_words or (self.settled and self._certain(device))
        there = self.home is not None and (device.parent_index, device.parent_netnsid) == (
            self.home.lower, self.home.across)
        return there and (own_words or (self.settled and device.index == t.cast(Place, self.home).index))


def seal(text: str, record: Record, secret: bytes) -> str:
    """The alias: the first field of the text, the seal, the rest."""
    first, _bar, rest = text.partition("|")
    return f"{first}|{record.nonce}{_tag(text, record, secret)}|{rest}"


def genuine(alias: str | None, record: Record, secret: bytes) -> bool:
    """Whether an alias has the seal that this host gave to the device of a record, and no older one."""
    fields = (alias or "").split("|", 2)
    if len(fields) != 3 or not secret or not record.nonce:
        return False
    text, found = f"{fields[0]}|{fields[2]}", fields[1].encode("utf-8", "surrogatepass")
    return hmac.compare_digest(found, (record.nonce + _tag(text, record, secret)).encode())


def _tag(text: str, record: Record, secret: bytes) -> str:
    parts = (record.sort, record.nonce, record.kind or "", record.perm or "", record.bus or "", text)
    words = "\0".join(parts).encode("utf-8", "surrogatepass")  # of whatever a record says
    return hmac.new(secret, words, hashlib.sha256).hexdigest()[:TAG]


def claims(alias: str | None) -> str | None:
    """What an alias says the interface is, where that would decide what the host gets; in words."""
    if alias is None or not alias.startswith(MARK):
        return None
    if alias.startswith(UPLINK):
        return "a port of a bridge that keeps addresses for it"
    return "a NIC that this host has lent" if alias.count("|") >= FIELDS_OF_A_NIC else None
