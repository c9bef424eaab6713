# Copyright: pipework.containers contributors
# GNU General Public License v3.0+ (see LICENSE)
"""What is kept for an attachment by the process that stays: its leases, and its link-local address. Pure."""
from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import json
import typing as t

from .._core.plan import KernelObject, Key
from .._core.strict_json import loads

FROM_SERVER = "server"  # the gateway that a lease names
ASKED = "dhcp"  # the same, also where somebody else has the default route
METRIC = "metric:"
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
    table: int | None = None  # the interface's own routing table; 0 where it has none
    duid: str = ""  # that of its DHCPv6 client, hexadecimal
    through: str | None = None  # the network that leases are of
    owner: str | None = None  # the mark of its attachment
    holder: t.Any = None  # see Held

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


VERSION = 1  # of records; one of a higher number may mean by the same fields something else


class Foreign(ValueError):
    """A record of a version after this one, or of none at all: whoever wrote it may still need it."""


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
    table: int = 0  # the interface's own routing table
    through: str | None = None  # the network that leases are of, when this was written
    boot: str = ""  # which start of the host this is of
    version: int = VERSION
    unknown: tuple[str, ...] = ()  # what a later version wrote, and is left alone

    def pack(self, before: str | None = None) -> str:
        """``before``: the record in whose place it comes; what a later version added to that stays in it."""
        fields = dataclasses.asdict(self)
        del fields["unknown"]
        with contextlib.suppress(ValueError, TypeError):
            old = loads(before or "{}")
            if old.get("version", VERSION) == VERSION:
                fields = {**{name: value for name, value in old.items() if name not in fields}, **fields}
                fields["duties"] += tuple(each for each in old.get("duties", ()) if str(each) not in DUTIES)
        return json.dumps(fields, sort_keys=True)

    @classmethod
    def unpack(cls, text: str) -> Record:
        """What is understood of it, and the names of the rest. Raises Foreign where that is not enough."""
        try:
            said = loads(text)
            if said.get("version", VERSION) != VERSION:
                raise Foreign(f"its version is {said['version']!r}, where {VERSION} is known")
            names = {field.name for field in dataclasses.fields(cls)} - {"unknown"}
            fields = {name: value for name, value in said.items() if name in names}
            listed = [str(each) for each in said.get("duties", (LEASE,))]
            unknown = [*sorted(set(said) - names), *(f"duty {each}" for each in listed if each not in DUTIES)]
            first, second = said["namespace"]
            fields.update(
                namespace=(int(first), int(second)), options=tuple(said["options"]), unknown=tuple(unknown),
                duties=tuple(each for each in listed if each in DUTIES),
            )
            found = cls(**fields)
            found.check()
            return found
        except Foreign:
            raise
        except (TypeError, KeyError, AttributeError, ValueError, OverflowError) as error:
            raise Foreign(f"{type(error).__name__}: {error}") from None

    def check(self) -> None:
        """Raises ValueError where a field is not what it has to be."""
        texts = (self.label, self.device, self.mac, self.owner, self.hostname, self.gateway, self.mtu, self.duid)
        if not all(isinstance(each, str) for each in (*texts, *self.options, self.boot)):
            raise ValueError("a text is none")
        if not isinstance(self.index, int) or not isinstance(self.holder, dict) or not isinstance(self.sent, dict):
            raise ValueError("the interface, its holder or what is sent is none")
        if not isinstance(self.table, int):
            raise ValueError("the table is no number")
        bytes.fromhex(self.mac.replace(":", ""))
        bytes.fromhex(self.duid)
        for code, value in self.sent.items():
            if not 0 < int(code) < 255 or len(bytes.fromhex(value)) > 255:
                raise ValueError(f"option {code} cannot be sent")
        if not all(isinstance(self.holder.get(each, 1), int) for each in ("pid", "born")):
            raise ValueError("the holder is no process")

    @property
    def gateways(self) -> dict[str, t.Any]:
        """The options of the attachment that are about them; ``gateway`` None where the server names it."""
        words = self.gateway.split()
        metric = next((int(word[len(METRIC):]) for word in words if word.startswith(METRIC)), None)
        static = tuple(word for word in words if word not in (FROM_SERVER, ASKED) and not word.startswith(METRIC))
        return {
            "gateway": None if FROM_SERVER in words else static, "gateway_dhcp": ASKED in words,
            "gateway_metric": metric,
        }


def token(text: str) -> str:
    """What tells one record from the next."""
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()[:16]
