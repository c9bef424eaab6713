# Copyright: pipework.containers contributors
# GNU General Public License v3.0+ (see LICENSE)
"""What is kept for an attachment by the process that stays: its leases, and its link-local address. Pure."""
from __future__ import annotations

import dataclasses
import hashlib
import json
import typing as t

from ._errors import ODD
from ._plan import KernelObject, Key

FROM_SERVER = "server"  # the gateway that a lease names
LEASE, LEASE6, LINK_LOCAL = DUTIES = ("lease", "lease6", "link_local")  # what is kept, by the kinds of those objects


@dataclasses.dataclass(frozen=True)
class Keep(KernelObject):
    """That somebody stays with an interface, and for what."""

    KIND = "dhcp_keep"
    IDENTITY = ("ns", "device")
    HINTS = frozenset({"owner", "holder", "duid", "through"})

    device: str
    running: bool | None = None
    duties: tuple[str, ...] | None = None
    program: str | None = None  # which version of ours
    hostname: str | None = None
    options: tuple[str, ...] | None = None
    mac: str | None = None
    gateway: str | None = None  # FROM_SERVER, or those of the attachment
    mtu: str | None = None  # FROM_SERVER, or that of the attachment
    dns: bool | None = None  # whether the container's resolv.conf follows
    duid: str = ""  # that of its DHCPv6 client, hexadecimal
    through: str | None = None  # the network that leases are of
    owner: str | None = None  # the mark of its attachment
    holder: t.Any = None  # see _runtimes.Held

    @property
    def name(self) -> str:
        return self.device

    def over(self, observed: KernelObject) -> KernelObject:
        changed = t.cast("Keep", super().over(observed))
        hints = {name: getattr(self, name) or getattr(changed, name) for name in ("duid", "through")}
        return dataclasses.replace(changed, owner=self.owner, holder=self.holder, **hints)

    @property
    def carrier(self) -> Key:
        return ("link", self.ns, self.device)


@dataclasses.dataclass(frozen=True)
class Record:
    """All that the process knows of an attachment beside its leases."""

    label: str
    device: str
    index: int
    mac: str
    shared: bool  # the MAC address is that of other interfaces too
    namespace: tuple[int, int]  # device and inode
    owner: str
    holder: dict[str, t.Any]
    sent: dict[str, str]  # options, by their numbers, hexadecimal
    hostname: str
    options: tuple[str, ...]
    gateway: str
    mtu: str
    duties: tuple[str, ...] = (LEASE,)  # as in records of earlier versions
    duid: str = ""
    dns: bool = False  # whether the container's resolv.conf follows
    through: str | None = None  # the network that leases are of, when this was written

    def pack(self) -> str:
        return json.dumps(dataclasses.asdict(self), sort_keys=True)

    @classmethod
    def unpack(cls, text: str) -> Record:
        """Raises ValueError for what is none."""
        try:
            fields = json.loads(text)
            first, second = fields["namespace"]
            duties = tuple(each for each in fields.get("duties", (LEASE,)) if each in DUTIES)
            fields.update(namespace=(int(first), int(second)), options=tuple(fields["options"]), duties=duties)
            record = cls(**fields)
            texts: tuple[str, ...] = (record.label, record.device, record.mac, record.owner, record.hostname)
            texts += (record.gateway, record.mtu, record.duid, record.through or "", *record.options)
            if not all(isinstance(each, str) for each in texts):
                raise ValueError("what should be a text is none")
            sorts = ((record.index, int), (record.holder, dict), (record.sent, dict))
            if not all(isinstance(each, sort) for each, sort in sorts):
                raise ValueError("a field is of another sort")
            return record
        except ODD as error:
            raise ValueError(str(error)) from None

    @property
    def gateways(self) -> tuple[str, ...] | None:
        """Those of the attachment; None where the server names it."""
        return None if self.gateway == FROM_SERVER else tuple(self.gateway.split())


def token(text: str) -> str:
    """What tells one record from the next."""
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()[:16]
