# Copyright: pipework.containers contributors
# GNU General Public License v3.0+ (see LICENSE)
"""Leases that are kept: what an attachment wants of the client that stays, and what that client has to know. Pure."""
from __future__ import annotations

import dataclasses
import hashlib
import json
import typing as t

from ._plan import KernelObject, Key

FROM_SERVER = "server"  # the gateway that a lease names


@dataclasses.dataclass(frozen=True)
class Keep(KernelObject):
    """A client that stays with an interface."""

    KIND = "dhcp_keep"
    IDENTITY = ("ns", "device")
    HINTS = frozenset({"owner", "holder"})

    device: str
    running: bool | None = None
    program: str | None = None  # which version of ours
    hostname: str | None = None
    options: tuple[str, ...] | None = None
    mac: str | None = None
    gateway: str | None = None  # FROM_SERVER, or those of the attachment
    mtu: str | None = None  # FROM_SERVER, or that of the attachment
    dns: bool | None = None  # whether the container's resolv.conf follows
    owner: str | None = None  # the mark of its attachment
    holder: t.Any = None  # see _runtimes.Held

    @property
    def name(self) -> str:
        return self.device

    def over(self, observed: KernelObject) -> KernelObject:
        return dataclasses.replace(t.cast("Keep", super().over(observed)), owner=self.owner, holder=self.holder)

    @property
    def carrier(self) -> Key:
        return ("link", self.ns, self.device)


@dataclasses.dataclass(frozen=True)
class Record:
    """All that the client knows of an attachment beside its lease."""

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
    dns: bool = False

    def pack(self) -> str:
        return json.dumps(dataclasses.asdict(self), sort_keys=True)

    @classmethod
    def unpack(cls, text: str) -> Record:
        """Raises ValueError for what is none."""
        try:
            fields = json.loads(text)
            first, second = fields["namespace"]
            return cls(**{**fields, "namespace": (int(first), int(second)), "options": tuple(fields["options"])})
        except (TypeError, KeyError, AttributeError) as error:
            raise ValueError(str(error)) from None

    @property
    def gateways(self) -> tuple[str, ...] | None:
        """Those of the attachment; None where the server names it."""
        return None if self.gateway == FROM_SERVER else tuple(self.gateway.split())


def token(text: str) -> str:
    """What tells one record from the next."""
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()[:16]
