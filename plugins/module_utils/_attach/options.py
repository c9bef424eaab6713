# Copyright: pipework.containers contributors
# GNU General Public License v3.0+ (see LICENSE)
"""What one attachment shall be: the options of pipework_attach, checked and in one spelling. Pure."""

from __future__ import annotations

import dataclasses
import functools
import typing as t

from .._core import normalize as norm
from .._core.errors import PipeworkError
from .._core.ineffective import OF_BRIDGED, said_alone
from .._core.items import Item, Params, blaming, container_of, items_of
from .._delayed.confirm import timeout
from .._ipam.options import DHCP_IMAGE, DHCP_SECONDS, check_dhcp, dhcp_options
from .._model import sysctl, vlans
from .._model.objects import default_metric
from .._model.route_names import Names
from .._routing.route_options import RouteItem
from .._routing.rule_options import RuleItem
from .host_interface import host_interface_of
from .modes import wrong_mode
from .routing_options import placed, routing_options

if t.TYPE_CHECKING:
    from .._tc.bandwidth import Bandwidth

PORT_OPTIONS = ("isolated", "hairpin", "learning", "mac_spoof_check")
DHCP = "dhcp"  # as a gateway
SWITCHES = ("dhcp6", "accept_ra", "link_local", "dhcp_dns")
KINDS_WITH = {  # what only some kinds have
    "vlan": ("bridge", "openvswitch", "macvlan", "macvtap", "ipvlan", "sriov"),
    "local_interface": ("bridge", "openvswitch"),
    "vlan_trunks": ("bridge", "openvswitch"), "port": ("bridge", "openvswitch", "sriov"), "pkey": ("ipoib",),
}


@dataclasses.dataclass(frozen=True)
class Attachment(Item):
    """One item of ``attachments``. None means not managed."""

    container: str | None
    runtime: str = "auto"
    runtime_user: str | None = None
    missing: str = "fail"  # or skip: what to do where the container is not there
    host_interface: str | None = None  # a name, or mac:<address>
    kind: str = "auto"
    mode: str | None = None
    interface: str = "eth1"
    local_interface: str | None = None
    addresses: tuple[str, ...] | None = None
    append: bool = False
    gateway: tuple[str, ...] | None = None
    gateway_dhcp: bool = False  # the lease's router, also where somebody else has the default route
    gateway_metric: int | None = None
    published_ports: str | None = None  # None: as keep
    table: int | None = None
    routes: tuple[RouteItem, ...] | None = None
    rules: tuple[RuleItem, ...] | None = None
    dhcp: str | None = None
    dhcp_options: tuple[str, ...] | None = None
    dhcp_hostname: str | None = None
    dhcp_image: str = DHCP_IMAGE
    dhcp_timeout: float = DHCP_SECONDS
    dhcp6: bool | None = None
    accept_ra: bool | None = None
    link_local: bool | None = None
    dhcp_keep: bool = False
    dhcp_dns: bool | None = None
    mac_address: str | None = None
    mtu: int | None = None
    vlan: int | None = None
    vlan_trunks: tuple[str, ...] | None = None
    vf: int | None = None
    force: bool | None = None
    confirm_timeout: int = 0
    pkey: int | None = None
    port: tuple[tuple[str, bool], ...] | None = None
    sysctls: tuple[tuple[str, str], ...] | None = None
    bandwidth: Bandwidth | None = None
    forwarding: str = "auto"
    announce: bool = True
    state: str = "present"
    peer: Attachment | None = None  # kind veth: the other end, which is an attachment too
    far: bool = False  # it is such a peer
    forwarding_said: bool = False  # by the item itself, not as the task's default
    interface_said: bool = True  # rather than left at its default
    where: str = ""  # how an error names the item: "attachments[2]: "

    @property
    def title(self) -> str:
        return f"{self.container or 'host'}/{self.interface}"

    @property
    def moves(self) -> bool:
        """Whether it is a NIC of the host."""
        return self.kind == "phys" or self.vf is not None

    @property
    def vlans(self) -> tuple[str, ...] | None:
        """The VLANs of the port, as the model spells them."""
        return vlans.of_port(self.vlan, self.vlan_trunks)

    @property
    def asked_gateways(self) -> list[tuple[str, int]]:
        """Those that it wants, whoever has the default route, and their families."""
        return [(each, norm.family(each)) for each in self.gateway or ()] + [(DHCP, 4)] * self.gateway_dhcp

    @classmethod
    def from_params(cls, params: Params, where: str = "", names: Names | None = None) -> Attachment:
        """Checks one item's options; raises PipeworkError. ``names``: the host's, of routing tables."""
        with blaming(where):
            made = Classic if params.get("classic") is True else cls
            found = made(**_normalized(params, names), where=where)
            peer = params.get("peer")
            _check_together(found, peer is not None)
            if peer is None and found.kind == "veth" and found.state == "present":
                raise PipeworkError("peer: kind veth needs it: the container at the other end, and its interface.")
            if peer is not None and found.kind not in ("auto", "veth"):
                raise PipeworkError(f"peer: kind {found.kind} does not have it; kind veth has.")
        found = dataclasses.replace(found, routes=placed(found.routes, where), rules=placed(found.rules, where))
        return found if peer is None else found._with_peer(peer, names)

    def _with_peer(self, params: Params, names: Names | None) -> Attachment:
        """The same, and the other end of its pair."""
        shared = {name: getattr(self, name) for name in ("append", "mtu", "announce", "state", "missing")}
        given = {name: value for name, value in params.items() if value is not None}
        if "runtime" not in given:
            given = {"runtime": self.runtime, "runtime_user": self.runtime_user, **given}
        peer = Attachment.from_params({**shared, **given, "kind": "dummy"}, f"{self.where}peer: ", names)
        peer = dataclasses.replace(peer, kind="veth", far=True)
        if peer.title == self.title and peer.runtime == self.runtime and peer.runtime_user == self.runtime_user:
            raise self.refuse(f"peer: both ends would be {self.title}; give one of them another 'interface'.")
        hosts = {address.split("/")[0] for address in self.addresses or ()}
        twice = [each for each in peer.addresses or () if each.split("/")[0] in hosts]
        if twice and self.state == "present":
            raise peer.refuse(f"addresses: {twice[0]} is given to both ends; each needs its own.")
        return dataclasses.replace(self, kind="veth", peer=peer)


class Classic(Attachment):
    """What a line of the script asks for, which takes more than the module does."""


def check_options(item: Attachment, kind: str) -> list[str]:
    """Refuses what a kind does not have. Warnings about what the script leaves aside without a word."""
    told = []
    if item.forwarding_said and kind not in OF_BRIDGED:
        raise item.refuse(f"forwarding: kind {kind} does not have it; kinds {', '.join(OF_BRIDGED)} have.")
    for option, kinds in KINDS_WITH.items():
        if getattr(item, option) is not None and kind not in kinds:
            having = f"kinds {', '.join(kinds)} have" if len(kinds) > 1 else f"kind {kinds[0]} has"
            if not isinstance(item, Classic) or option != "local_interface":
                raise item.refuse(f"{option}: kind {kind} does not have it; {having}.")
            told.append(f"{item.where}-l: kind {kind} does not have it; {having}. It is left aside.")
    return told


def attachments_from_params(params: Params, names: Names | None = None) -> list[Attachment]:
    """The list of items, or the one that the top-level options describe; top-level options are the items' defaults.

    The far end of a pair follows the item that has it as its peer."""
    listed = items_of(params, "attachments", functools.partial(Attachment.from_params, names=names), ("purge_on",))
    listed = said_alone(params, listed)
    found = [end for item in listed for end in (item, item.peer) if end is not None]
    refuse_clashes(found)
    return found


def refuse_clashes(items: t.Sequence[Attachment]) -> None:
    """Two items of one list that cannot both be true."""
    interfaces: dict[t.Any, Attachment] = {}
    host_ends: dict[t.Any, Attachment] = {}
    segments: dict[t.Any, Attachment] = {}
    for item in items:
        other = interfaces.setdefault((item.container, item.runtime, item.runtime_user, item.interface), item)
        if other is not item:
            also = other.where.rstrip(": ")
            raise item.refuse(
                f"interface: {item.title} is listed twice (also in {also}); each interface can be listed once."
            )
        if item.state != "present":
            continue
        other = host_ends.setdefault(item.local_interface or item, item)
        if other is not item:
            raise item.refuse(
                f"local_interface: {item.local_interface} is given to both {other.title} and {item.title}; "
                "each needs its own, or leave it out."
            )
        if item.host_interface is None or "dummy" in (item.kind, item.host_interface):
            continue
        hosts = [address.split("/")[0] for address in item.addresses or ()]
        for option, value in [("addresses", host) for host in hosts] + [("mac_address", item.mac_address)]:
            other = segments.setdefault((item.host_interface, item.vlan, value), item) if value else item
            if other is not item:
                raise item.refuse(
                    f"{option}: {value} is given to both {other.title} and {item.title} on {item.host_interface}; "
                    "each needs its own."
                )


def _normalized(params: Params, names: Names | None) -> dict[str, t.Any]:
    def given(name: str) -> t.Any:
        value = params.get(name)
        return None if value is None or value == "" else value

    kind = given("kind") or "auto"
    # What a list's items have as a default is of no use to a pair between containers.
    host_interface = host_interface_of(params) if kind != "veth" and params.get("peer") is None else None
    local_interface = given("local_interface")
    addresses = params.get("addresses")
    gateway = params.get("gateway")
    interface = norm.new_name(given("interface") or _default_name(params), "interface", given("state"))
    return {
        **container_of(params),
        **routing_options(params, interface, names),
        "host_interface": host_interface,
        "kind": kind,
        "mode": given("mode"),
        "interface": interface,
        "local_interface": local_interface and norm.new_name(local_interface, "local_interface", given("state")),
        "addresses": None if addresses is None else _addresses(addresses, params.get("classic") is True),
        "append": bool(params.get("append")),
        "gateway": None if gateway is None else tuple(
            norm.gateway(g, "gateway") for g in gateway if str(g).strip() not in ("", "[]", DHCP)),
        "gateway_dhcp": DHCP in [str(g).strip() for g in gateway or ()],
        "gateway_metric": None if given("gateway_metric") is None else _metric(params["gateway_metric"]),
        "published_ports": given("published_ports"),
        **dhcp_options(params),
        **{name: None if params.get(name) is None else bool(params[name]) for name in SWITCHES},
        "mac_address": None if given("mac_address") is None else norm.mac_address(params["mac_address"]),
        "mtu": None if given("mtu") is None else norm.mtu(params["mtu"]),
        "vlan": None if given("vlan") is None else vlans.vlan_id(params["vlan"], "vlan"),
        "vlan_trunks": None if params.get("vlan_trunks") is None else vlans.trunks(params["vlan_trunks"]),
        "vf": None if given("vf") is None else _vf(params["vf"]),
        "force": bool(params.get("force")) or None,
        "confirm_timeout": timeout(params.get("confirm_timeout")),
        "pkey": None if given("pkey") is None else norm.partition_key(params["pkey"]),
        "port": _port(params.get("port") or {}),
        "sysctls": sysctl.from_option(params.get("sysctls") or {}) or None,
        "bandwidth": _bandwidth(params.get("bandwidth")),
        "forwarding": given("forwarding") or "auto",
        "announce": params.get("announce") is not False,
        "state": given("state") or "present",
    }


def _bandwidth(value: t.Any) -> Bandwidth | None:
    if value is None:
        return None
    from .._tc.bandwidth import from_option  # which few runs need

    return from_option(value)


def _default_name(params: Params) -> str:
    """As in the classic script."""
    infiniband = params.get("pkey") or str(params.get("host_interface") or "").startswith("ib")
    return "ib0" if params.get("kind") == "ipoib" or params.get("kind") in (None, "auto") and infiniband else "eth1"


def _metric(value: t.Any) -> int:
    text = str(value)
    number = int(text) if text.isascii() and text.isdigit() and len(text) < 11 else 0
    if not 1 <= number < 1 << 32:
        raise PipeworkError(f"gateway_metric: {value!r} is no metric; a number from 1 to 4294967295 would be right.")
    return number


def _vf(value: t.Any) -> int:
    try:
        number = int(str(value))
    except ValueError:
        number = -1
    if number < 0:
        raise PipeworkError(f"vf: {value!r} is not the number of a virtual function; the first one is 0.")
    return number


def _port(options: Params) -> tuple[tuple[str, bool], ...] | None:
    for name in options:
        if name not in PORT_OPTIONS:
            raise PipeworkError(f"port: {name} is not an option of a port; {', '.join(PORT_OPTIONS)} are.")
    return tuple((name, bool(options[name])) for name in PORT_OPTIONS if options.get(name) is not None) or None


def _addresses(values: t.Iterable[t.Any], classic: bool = False) -> tuple[str, ...]:
    found = [norm.interface_address(value, "addresses", classic) for value in values if str(value).strip()]
    return tuple(address for address in found if address is not None)


def check_gateways(item: Attachment, addresses: t.Iterable[str]) -> None:
    """That they are not the interface's own addresses, and no network's. Raises PipeworkError."""
    for why in (norm.no_gateway(gateway, addresses) for gateway in item.gateway or ()):
        if why is not None:
            raise PipeworkError(f"gateway: {why}")


def _check_metric(item: Attachment, families: t.Collection[int]) -> None:
    if item.table is not None:
        raise PipeworkError("gateway_metric: a 'table' of its own has one default route; leave one of them out.")
    if not families and (item.dhcp is None or item.gateway is not None):
        raise PipeworkError("gateway_metric: without 'gateway' or 'dhcp' there is no default route; say which gateway.")
    if 6 in families and item.gateway_metric == default_metric(6):
        raise PipeworkError(
            "gateway_metric: 1024 is what the one default route of IPv6 has; leave it out, or choose another one."
        )


def _check_together(item: Attachment, peered: bool) -> None:
    if item.state != "present":
        return
    if item.host_interface is None and item.kind not in ("dummy", "veth") and not peered:
        raise PipeworkError(
            "host_interface: say to what the container shall be attached: "
            "a bridge, a NIC, mac:<address of a NIC>, or dummy."
        )
    wrong = wrong_mode(item.mode, item.kind)
    if wrong is not None:
        raise PipeworkError(wrong)
    check_dhcp(item)
    if item.vf is not None and item.kind not in ("auto", "sriov"):
        raise PipeworkError(f"vf: kind {item.kind} has no virtual functions; kind sriov has.")
    if item.vf is None and item.kind == "sriov":
        raise PipeworkError("vf: say which virtual function of the card it shall be; the first one is 0.")
    vlans.of_port(item.vlan, item.vlan_trunks)
    if item.gateway_dhcp and item.dhcp is None:
        raise PipeworkError("gateway: dhcp: without 'dhcp' no lease names a router; say who asks ('dhcp: builtin').")
    families = [version for _gateway, version in item.asked_gateways]
    if item.gateway_metric is not None:
        _check_metric(item, families)
    whole = {norm.family(address) for address in item.addresses or ()} if not item.append else {4, 6}
    whole |= ({4} if item.dhcp is not None else set()) | ({6} if item.accept_ra or item.dhcp6 else set())
    for version in (4, 6):
        if families.count(version) > 1:
            listed = ", ".join(g for g, other in item.asked_gateways if other == version)
            raise PipeworkError(f"gateway: {listed}: an interface has one gateway for IPv{version}; leave one out.")
        if version in families and version not in whole and item.addresses is not None:
            gateway = next(g for g, other in item.asked_gateways if other == version)
            raise PipeworkError(
                f"gateway: {gateway}: the interface gets no IPv{version} address to reach it from; add one."
            )
    hosts = [address.split("/")[0] for address in item.addresses or ()]
    twice = [host for host in hosts if hosts.count(host) > 1]
    if twice:
        raise PipeworkError(f"addresses: {twice[0]} is listed twice for {item.title}.")
    check_gateways(item, item.addresses or ())
    with_ipv6 = any(norm.family(address) == 6 for address in (item.addresses or ()) + (item.gateway or ()))
    with_ipv6 = with_ipv6 or bool(item.accept_ra or item.dhcp6)
    if item.mtu is not None and item.mtu < norm.MTU_MIN_IPV6 and with_ipv6:
        raise PipeworkError(f"mtu: {item.mtu} is too small for IPv6, which needs at least {norm.MTU_MIN_IPV6}.")
