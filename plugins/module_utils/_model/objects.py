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

from .._core.normalize import family
from .._core.plan import KernelObject, Key
from .sriov_record import VirtualFunction, escaped, unescaped

if t.TYPE_CHECKING:
    from .luggage import Luggage

HOST = "host"
MARK = "pipework:"
OWNER_AUTO = MARK + "auto"  # a bridge that pipework_attach made on the way
OWNER_BRIDGE = MARK + "bridge"  # a bridge that pipework_bridge made
OWNER_VXLAN = MARK + "vxlan"  # a link of pipework_vxlan
OWNER_SHIM = MARK + "shim"  # how the mark of the host's own macvlans begins
UPLINK = MARK + "uplink:"  # a NIC that is a port of a bridge; the rest of the alias is for _bridge/uplinks to read
UNFINISHED = MARK + "unfinished"  # what a killed run leaves: made, but not yet marked, or about to be deleted
STAND_IN = "pwt"  # how the name begins that an interface has until it can have its own
GROUP = 0x70697065  # the link group of what is unfinished
GROUP_DELETE = GROUP + 1  # and of what is about to go, all at once
PROTOCOL = 112  # of the routes that an attachment's gateway needs; in no rt_protos file of iproute2
PROTOCOL_LISTED = 113  # of the routes and rules that an attachment lists
PROTOCOL_ROUTE = 114  # of those of pipework_route and pipework_rule
TABLE_MAIN = 254
PREFERENCE_HIGH = 1  # of an IPv6 default route, RFC 4191
TABLE_KEPT = 0x7077  # where the default route waits that ours replaced; no rule leads there
TABLE_WAITING = TABLE_KEPT + 1  # where attachments' default routes wait that another one replaced; see _seat
TABLE_PUBLISHED = TABLE_KEPT + 2  # the way back of answers to published ports; also the priority of rules to it
PAIR_TYPES = ("pair", "peer")  # the ends of a veth pair between two containers
FIXED_SETTINGS = ("pkey", "vni", "port", "family", "device")  # which the kernel cannot change in place
ON_A_NIC = ("macvlan", "macvtap", "ipvlan")  # the types that stand on a NIC of the host
BRIDGE_PORTS_MAX, ALIAS_MAX = 1023, 255
VALID_JITTER, IDENT = 5, 12  # seconds by which the kernel and a lease may differ; how much of an ID a mark holds


@dataclasses.dataclass(frozen=True)
class Device:
    """A network interface as one dump shows it. ``peer`` and ``parent_index`` are the kernel's IFLA_LINK."""

    index: int
    name: str
    type: str | None  # rtnetlink's kind: veth, bridge, macvlan; None for hardware
    mac: str | None
    mtu: int
    up: bool
    master: int | None = None
    parent_index: int | None = None
    parent_netnsid: int | None = None
    alias: str | None = None
    group: int = 0
    settings: dict[str, t.Any] | None = None
    ethernet: bool = True
    infiniband: bool = False  # its address is longer than those here, and nobody's to give: ``mac`` is None
    running: bool = False  # its operational state is up, or unknown as of those that have none
    carrier: bool = False  # up, and with a carrier, also while it is not operational yet
    port: dict[str, bool] | None = None  # of a port of a bridge: its options
    perm: str | None = None  # hardware: the address that it was made with,
    bus: str | None = None  # and its name on its bus
    found_as: str | None = None  # the name that a container gave it, where it is known as another
    unmarked: bool = False  # ours, although the mark that was on it is not there any more

    @property
    def owner(self) -> str | None:
        """Our mark on it, if it has one."""
        if self.group in (GROUP, GROUP_DELETE):
            return UNFINISHED
        return self.alias if self.alias and self.alias.startswith(MARK) and not self.alias.startswith(UPLINK) else None


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
class Address(KernelObject):
    """An address that somebody gave to an interface; those that the kernel makes itself are not seen here."""

    KIND = "address"
    IDENTITY = ("ns", "device", "address")
    FIXED = frozenset({"duplicate"})
    HINTS = frozenset({"scope", "peer", "flags", "valid", "preferred", "claimed"})

    device: str
    address: str  # 192.168.1.1/24
    broadcast: str | None = None
    scope: int | None = None
    peer: str | None = None
    flags: int | None = None
    valid: int | None = None  # seconds that are left of one that was lent; None for ever
    preferred: int | None = None  # and for how many of them new connections may come from it
    duplicate: bool | None = None  # the kernel found it in use by another machine (IPv6), and does not use it
    claimed: tuple[str, ...] | None = None  # not before nobody else answers for it, but these MAC addresses

    @property
    def name(self) -> str:
        return f"{self.device} {self.address}"

    @property
    def order_kind(self) -> str:
        return self.KIND if self.claimed is None else "claim"

    def differences(self, observed: KernelObject) -> frozenset[str]:
        # It is there or it is not: one without a broadcast address works as well, and is not worth losing routes.
        there = t.cast("Address", observed)
        lent = self.valid is not None and (there.valid is None or abs(there.valid - self.valid) > VALID_JITTER)
        return frozenset(({"valid"} if lent else set()) | ({"duplicate"} if there.duplicate else set()))

    def over(self, observed: KernelObject) -> KernelObject:
        return dataclasses.replace(t.cast("Address", super().over(observed)), valid=self.valid)

    @property
    def carrier(self) -> Key:
        return ("link", self.ns, self.device)


class Hop(t.NamedTuple):
    """One way of a route that has several."""

    gateway: str | None
    device: str | None
    weight: int = 1
    onlink: bool = False
    encap: str | None = None


@dataclasses.dataclass(frozen=True)
class Route(KernelObject):
    """A route. The kernel tells routes apart by family, table, destination and metric, and so do we."""

    KIND = "route"
    IDENTITY = ("ns", "family", "table", "destination", "metric", "origin", "tos", "nth")
    HINTS = frozenset({"protocol", "type", "source", "metrics", "preference", "nexthops", "encap", "late"})

    family: int  # 4 or 6
    destination: str  # 10.0.0.0/8, or default
    table: int = TABLE_MAIN
    metric: int = 0
    gateway: str | None = None
    device: str | None = None
    scope: int | None = None
    onlink: bool | None = None
    protocol: int | None = None
    type: int | None = None
    source: str | None = None
    metrics: tuple[tuple[str, t.Any], ...] | None = None
    preference: int | None = None
    nexthops: tuple[Hop, ...] | None = None
    encap: str | None = None  # as _model/encap spells it
    origin: str = ""  # IPv6: the prefix that packets come from
    tos: int = 0
    nth: int = 0  # of several in the same place, as 'ip route append' makes them, from 1; -1 is to be the first
    late: bool = False  # it comes when claimed addresses are there

    @property
    def name(self) -> str:
        table = "" if self.table == TABLE_MAIN else f" table {self.table}"
        metric = f" metric {self.metric}" if self.metric and (self.family, self.metric) != (6, 1024) else ""
        destination = f"default (IPv{self.family})" if self.destination == "default" else self.destination
        origin = (f" from {self.origin}" if self.origin else "") + (f" tos {self.tos:#04x}" if self.tos else "")
        return destination + origin + metric + table + (f" #{max(self.nth, 0)}" if self.nth else "")

    @property
    def order_kind(self) -> str:
        kept = self.table in (TABLE_KEPT, TABLE_WAITING)
        way = "kept" if kept else "route" if self.gateway or self.nexthops else "way"
        return f"late {way}" if self.late else way

    @property
    def carrier(self) -> Key | None:
        # One of several hops goes with the interface where all of them lead through it.
        ways = {self.device or "", *(hop.device or "" for hop in self.nexthops or ())} - {""}
        return ("link", self.ns, ways.pop()) if len(ways) == 1 else None

    def over(self, observed: KernelObject) -> KernelObject:
        """Another way is another route: what the old one carried along (source, metrics, hops) is of no use to it."""
        if self.differences(observed):
            return self
        return dataclasses.replace(t.cast(Route, super().over(observed)), late=self.late)


def default_metric(version: int) -> int:
    """The metric that the kernel gives to a route that names none."""
    return 1024 if version == 6 else 0


def default_route(ns: str, gateway: str, device: str) -> Route:
    """The default route of one family through a gateway. Where a router advertises another, ours is preferred."""
    version = family(gateway)
    return Route(
        ns, version, "default", metric=default_metric(version), gateway=gateway, device=device,
        scope=0 if version == 4 else None, protocol=PROTOCOL, preference=PREFERENCE_HIGH if version == 6 else None,
    )


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
