# Copyright: pipework.containers contributors
# GNU General Public License v3.0+ (see LICENSE)
"""The objects that are reconciled, and the marks that say whose they are. Pure.

Every object of ours is marked in the kernel itself: links by their alias, routes by their protocol, filter rules by
their comment. Whatever does not carry a mark belongs to somebody else.
"""

from __future__ import annotations

import dataclasses
import hashlib
import typing as t

from .._core.plan import KernelObject, Key
from .device import GROUP, GROUP_DELETE, MARK, ON_A_NIC, UNFINISHED, UPLINK, Device
from .layer3 import (
    HOST,
    PREFERENCE_HIGH,
    PROTOCOL,
    PROTOCOL_LISTED,
    PROTOCOL_ROUTE,
    TABLE_KEPT,
    TABLE_MAIN,
    TABLE_PUBLISHED,
    TABLE_WAITING,
    VALID_JITTER,
    Address,
    Hop,
    Route,
    default_metric,
    default_route,
)
from .luggage import Luggage
from .sriov_record import VirtualFunction, escaped, unescaped

OWNER_AUTO = MARK + "auto"  # a bridge that pipework_attach made on the way
OWNER_BRIDGE = MARK + "bridge"  # a bridge that pipework_bridge made
OWNER_VXLAN = MARK + "vxlan"  # a link of pipework_vxlan
OWNER_SHIM = MARK + "shim"  # how the mark of the host's own macvlans begins
STAND_IN = "pwt"  # how the name begins that an interface has until it can have its own
PAIR_TYPES = ("pair", "peer")  # the ends of a veth pair between two containers
FIXED_SETTINGS = ("pkey", "vni", "port", "family", "device")  # which the kernel cannot change in place
BRIDGE_PORTS_MAX, ALIAS_MAX = 1023, 255
IDENT = 12  # how much of an ID a mark holds
__all__ = [  # all objects can be had from here
    "GROUP", "GROUP_DELETE", "HOST", "MARK", "ON_A_NIC", "PREFERENCE_HIGH", "PROTOCOL", "PROTOCOL_LISTED",
    "PROTOCOL_ROUTE", "TABLE_KEPT", "TABLE_MAIN", "TABLE_PUBLISHED", "TABLE_WAITING", "UNFINISHED", "UPLINK",
    "VALID_JITTER", "Address", "Device", "Hop", "Route", "default_metric", "default_route",
]


@dataclasses.dataclass(frozen=True)
class Link(KernelObject):
    """A network interface. type: veth, bridge, dummy, vlan, those of ON_A_NIC; phys for a lent NIC, nic for one at
    home; pair and peer, the ends of a veth between containers; internal for that of a bridge of Open vSwitch; None for
    any on the host that is there already."""

    KIND = "link"
    IDENTITY = ("ns", "ifname")
    FIXED = frozenset({"type", "parent"})
    HINTS = frozenset({"peer", "peer_mac", "nic"})

    ifname: str
    type: str | None = None
    mac: str | None = None
    mtu: int | None = None
    up: bool | None = None
    owner: str | None = None  # our mark; of a NIC at home, the alias that somebody gave it, or ""
    parent: str | None = None  # of those on a NIC: the NIC or its VLAN link, on the host; phys: the name it has there;
    # pair and peer: the other end, as docker:web1/eth1
    settings: dict[str, t.Any] | None = None  # of the type: a macvlan's mode, a bridge's timers (in seconds)
    peer: str | None = None  # veth: the name of the host end
    peer_mac: str | None = None  # and its address
    nic: Nic | None = None  # phys, and nic that is not quite home: what to restore
    renamed: str | None = None  # the name that the container gave it; wanted: "", to have its own again
    marked: bool | None = None  # False: the container took our mark off

    @property
    def name(self) -> str:
        return self.ifname

    @property
    def order_kind(self) -> str:
        if self.renamed == "":
            return "renamed"
        if self.type == "veth" and self.ns == HOST and self.peer is None:
            return "stray"  # a host end whose container is not looked at, or gone
        if self.type is None and self.ns == HOST:
            return "uplink"
        if self.type in ("vlan", "vxlan") and self.ns == HOST:
            return self.type
        if self.type in PAIR_TYPES and self.parent is None:
            return "half"  # the other end is in a namespace that is not looked at
        return self.type if self.type in ("peer", "bridge", "phys", "nic", "internal") else "link"

    @property
    def of_the_host(self) -> bool:
        """No part of an attachment: a bridge, a NIC at home, a shim, a segment's link."""
        at_home = self.type == "bridge" or (self.type == "nic" and self.nic is None)
        return at_home or (self.owner or "").startswith((OWNER_SHIM, OWNER_VXLAN))

    def must_replace(self, observed: KernelObject) -> bool:
        mine, theirs = (link.settings or {} for link in (self, t.cast("Link", observed)))
        if any(name in mine and mine[name] != theirs.get(name) for name in FIXED_SETTINGS):
            return True
        modes = mine.get("mode"), theirs.get("mode")
        return super().must_replace(observed) or (modes[0] is not None and modes[0] != modes[1] and "passthru" in modes)

    def newborn(self) -> Link:
        # A NIC that comes home has the mark of its attachment until the rest, its addresses too, is as it was.
        if self.type == "internal":
            return Link(ns=self.ns, ifname=self.ifname, type="internal", up=False, owner=self.owner)
        owner = {"phys": self.owner, "nic": None}.get(str(self.type), UNFINISHED)
        return dataclasses.replace(self, up=False, owner=owner)

    @property
    def carrier(self) -> Key | None:
        if self.type == "internal":
            return ("ovs_bridge", HOST, self.ifname)
        return end_key(self.parent) if self.type == "peer" and self.parent else None

    def dying(self) -> Link:
        # Whoever stood on it may be finished on another one by the time that it goes.
        return dataclasses.replace(self, owner=UNFINISHED) if self.order_kind == "vlan" else self


@dataclasses.dataclass(frozen=True)
class Port(KernelObject):
    """The host end of a container's veth pair, or a NIC of the host, and the bridge that it is a port of.

    What a port has on its bridge it loses when it leaves: where the bridge is another one, all is set again.
    """

    KIND = "port"
    IDENTITY = ("ns", "guest")

    guest: str  # the other end: docker:web1/eth1; of a NIC, itself
    local_interface: str | None = None
    bridge: str | None = None
    mtu: int | None = None
    up: bool | None = None
    owner: str | None = None
    settings: dict[str, bool] | None = None  # isolated, hairpin, learning
    vlans: tuple[str, ...] | None = None  # as _model/vlans spells them

    @property
    def name(self) -> str:
        return self.guest

    @property
    def carrier(self) -> Key | None:
        ns, _slash, ifname = self.guest.rpartition("/")
        return ("link", ns or HOST, ifname)


@dataclasses.dataclass(frozen=True)
class Nic:
    """What a NIC was on the host, kept in its alias while it is in a container, so that it can come back as it was.

    A container with the right to do so can write that alias, and must not decide which name and addresses the host
    gets: _model/seals says when it is believed.
    """

    name: str
    mtu: int
    mac: str | None
    up: bool
    addresses: tuple[str, ...] = ()
    alias: str = ""
    vf: VirtualFunction | None = None  # of which card it is one, and what that card said about it
    wireless: bool = False
    luggage: Luggage | None = None  # what stood on it, which the host's record of it has

    def pack(self, owner: str) -> str:
        """The text that remembers both the owner and the NIC."""
        state = ("up" if self.up else "down") + "~" * self.wireless + (self.vf.pack() if self.vf else "")
        listed = ",".join(self.addresses)
        return "|".join([owner, escaped(self.name), str(self.mtu), self.mac or "", state, listed, self.alias])

    @classmethod
    def unpack(cls, text: str) -> tuple[str, Nic] | None:
        """Owner and NIC of a text that is known to be ours, or None where it holds no NIC."""
        fields = text.split("|", 6)
        if not text.startswith(MARK) or len(fields) != 7 or not (fields[2].isascii() and fields[2].isdigit()):
            return None
        owner, name, mtu, mac, state, addresses, rest = fields
        listed = tuple(address for address in addresses.split(",") if address)
        state, _slash, packed = state.partition("/")
        try:
            vf = VirtualFunction.unpack(packed) if packed else None
            up, wireless = state.startswith("up"), state.endswith("~")
            return owner, cls(unescaped(name), int(mtu), mac or None, up, listed, rest, vf, wireless)
        except (ValueError, TypeError):  # not ours after all
            return None


class Mark:
    """Which end of a pair between containers a mark stands on; the kind bridge has none of them."""

    PAIR, PEER = "veth", "peer"


def pair_mark(owner: str, end: str) -> str:
    """The mark of one end of a pair between containers."""
    return f"{owner}|{end}"


def pair_end(owner: str | None) -> str | None:
    """Which end a mark says it stands on."""
    end = (owner or "").rpartition("|")[2]
    return end if (owner or "").count("|") == 1 and end in (Mark.PAIR, Mark.PEER) else None


def end_key(title: str) -> Key:
    """The link that ``docker:web1/eth1`` means."""
    label, _slash, ifname = title.rpartition("/")
    return ("link", label, ifname)


def owner_of(runtime: str, container: str, ident: str, interface: str) -> str:
    """The mark of an attachment's links: ``pipework:docker:web1:3f2a9c41d0b7:eth1``. Odd names go in as a hash."""
    return MARK + ":".join((runtime, name_token(container), ident[:IDENT], escaped(interface)))


def owner_fields(owner: str | None) -> tuple[str, str, str, str] | None:
    """What an attachment's mark says: runtime, container's name as a token, beginning of its ID, interface."""
    fields = (owner or "").split("|")[0].split(":", 4)
    if len(fields) != 5 or fields[0] + ":" != MARK:
        return None
    return fields[1], fields[2], fields[3], unescaped(fields[4])


def name_token(container: str) -> str:
    """A container's name as a mark holds it."""
    if len(container) <= 64 and all(c.isalnum() and c.isascii() or c in "_.-" for c in container):
        return container
    return "#" + hashlib.sha256(container.encode("utf-8", "surrogateescape")).hexdigest()[:24]


def owner_matches(owner: str | None, runtime: str | None, container: str, interface: str) -> bool:
    """Whether a mark is that of an attachment of a container that may be gone, known by its name or its ID."""
    fields = owner_fields(owner)
    if fields is None:
        return False
    same_id = len(fields[2]) == IDENT and container.startswith(fields[2])
    same_name = fields[1] == name_token(container)
    return (same_id or same_name) and fields[3] == interface and runtime in (None, "auto", fields[0])
