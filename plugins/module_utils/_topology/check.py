# Copyright: pipework.containers contributors
# GNU General Public License v3.0+ (see LICENSE)
"""Whether a fleet's structure makes sense, as far as that can be said without the hosts. Pure.

Each item is read as its module will read it. What only the whole shows comes on top: an address that is given twice.
"""

from __future__ import annotations

import ipaddress
import itertools
import typing as t

from .._attach.options import Attachment, refuse_clashes
from .._bridge.desired import Bridge
from .._core.errors import PipeworkError
from .._model.route_names import Names
from .._routing.route_options import RouteItem
from .._routing.rule_options import RuleItem
from .._tc.options import TcItem
from .._vxlan.options import Segment
from . import evpn
from .fleet import MODULES, Fleet, Item, Placed


class AnyNames(Names):
    """The names of tables and protocols are the hosts', which are not asked here."""

    def table(self, value: t.Any, option: str = "table") -> int:
        return super().table(value, option) if _numeric(value) or value in self.tables else 1

    def protocol(self, value: t.Any, option: str = "protocol") -> int:
        return super().protocol(value, option) if _numeric(value) or value in self.protocols else 114


def _numeric(value: t.Any) -> bool:
    return str(value).strip()[:1].isdigit()


NAMES = AnyNames()
READERS: dict[str, t.Callable[[Item, str], t.Any]] = {
    "bridges": Bridge.from_params,
    "segments": Segment.from_params,
    "attachments": lambda item, where: Attachment.from_params(item, where, NAMES),
    "routes": lambda item, where: RouteItem.from_params(item, where, NAMES),
    "rules": lambda item, where: RuleItem.from_params(item, where, NAMES),
    "impairments": TcItem.from_params,
}


def check(fleet: Fleet) -> list[str]:
    """All that is wrong."""
    if fleet.errors:
        return fleet.errors
    spoken = [evpn.Spoken(each.where, each.hosts, each.item) for each in fleet.segments.values()]
    addresses = {name: said.get("address") for name, said in fleet.hosts.items()}
    found: list[str] = [*_segments(fleet), *evpn.check(spoken, addresses)]
    seen: dict[t.Any, str] = {}
    for host, plan in fleet.plans.items():
        found += _addresses(fleet, host, plan, seen)
        read: dict[str, list[t.Any]] = {name: [] for name in MODULES}
        for name in MODULES:
            for where, item in plan[name]:
                try:
                    read[name].append(READERS[name](item, f"{where}: "))
                except PipeworkError as error:
                    found.append(_of_the_ends(where, str(error)))
        if not found:
            found += _clashes(plan, read)
    return list(dict.fromkeys(found))


def _segments(fleet: Fleet) -> t.Iterator[str]:
    """What two segments must not have in common, on whichever hosts they are; and hosts, for their sake."""
    seen: dict[t.Any, str] = {}
    for host, said in fleet.hosts.items():
        other = seen.setdefault(said.get("address", host), host)
        if other != host:
            yield f"hosts.{host}.address: {said['address']} is that of {other} too."
    networks: list[tuple[t.Any, str, str]] = []
    for name, segment in fleet.segments.items():
        if segment.item.get("state") == "absent":
            continue
        for option, value in (("vni", str(segment.item["vni"])), ("bridge", segment.bridge)):
            other = seen.setdefault((option, value), segment.where)
            if other != segment.where:
                yield f"{segment.where}.{option}: {value} is given twice (also in {other}); each segment needs its own."
        mine = list(_networks(fleet, name))
        clashes = (
            f"{where}: {network} of segment {name} overlaps {theirs} of segment {other} (also in {there})."
            for network, where, _name in mine for theirs, there, other in networks
            if network.version == theirs.version and network.overlaps(theirs)
        )
        yield from itertools.islice(clashes, 1)
        yield from _outside(fleet, name)
        networks += mine


def _outside(fleet: Fleet, name: str) -> t.Iterator[str]:
    """Addresses on a segment that are in none of its subnets."""
    subnets = [network for network, where, _name in _networks(fleet, name) if ".subnets[" in where]
    for where, address in _on(fleet, name) if subnets else ():
        found = _interface(address)
        if found and not any(found.version == each.version and found.ip in each for each in subnets):
            listed = ", ".join(str(each) for each in subnets)
            yield f"{where}: {address} is in none of the subnets of segment {name} ({listed})."


def _interface(address: str) -> t.Any:
    """None for what is none, of which the module's own check tells."""
    try:
        return ipaddress.ip_interface(address)
    except ValueError:
        return None


def _on(fleet: Fleet, name: str) -> t.Iterator[tuple[str, str]]:
    """The addresses on a segment, and where they stand."""
    for at, item in enumerate(fleet.document.get("attachments", ())):
        for number, address in enumerate(item.get("addresses", ()) if str(item.get("segment")) == name else ()):
            yield f"attachments[{at}].addresses[{number}]", address


def _networks(fleet: Fleet, name: str) -> t.Iterator[tuple[t.Any, str, str]]:
    """Those that a segment says it has, or else those of the addresses on it."""
    segment = fleet.segments[name]
    for number, subnet in enumerate(segment.item.get("subnets", ())):
        if _interface(subnet):
            yield _interface(subnet).network, f"{segment.where}.subnets[{number}]", name
    for where, address in _on(fleet, name) if "subnets" not in segment.item else ():
        if _interface(address):
            yield _interface(address).network, where, name


def _of_the_ends(where: str, words: str) -> str:
    return words.replace("endpoints[0]: peer: ", "endpoints[1]: ") if "endpoints" in where else words


def _clashes(plan: dict[str, list[Placed]], read: dict[str, list[t.Any]]) -> t.Iterator[str]:
    """Two items of one host that cannot both be true."""
    ends = [end for item in read["attachments"] for end in (item, item.peer) if end is not None]
    try:
        refuse_clashes(ends)
    except PipeworkError as error:
        yield str(error).replace("endpoints[0]: peer: ", "endpoints[1]: ").replace("endpoints[0]: peer", "endpoints[1]")
    for name, option, what in (("bridges", "name", "bridge"), ("impairments", "device", "interface")):
        seen: dict[t.Any, str] = {}
        for (where, _item), each in zip(plan[name], read[name]):
            key = (getattr(each, "container", None), getattr(each, option))
            other = seen.setdefault(key, where)
            if other != where:
                yield f"{where}: {option}: the {what} {getattr(each, option)} is listed twice (also in {other})."


def _addresses(fleet: Fleet, host: str, plan: dict[str, list[Placed]], seen: dict[t.Any, str]) -> t.Iterator[str]:
    """One address on two interfaces of a bridge, a NIC's or a cable's network, or of a segment, on whichever hosts."""
    segments = {each.bridge: name for name, each in fleet.segments.items() if host in each.hosts}

    def network_of(name: t.Any, vlan: t.Any) -> t.Any:
        return ("segment", segments[name]) if name in segments else (host, name, vlan)

    for where, item in plan["bridges"]:
        yield from _twice(seen, network_of(item["name"], None), item, where, "addresses")
    for where, item in plan["attachments"]:
        network = where if "peer" in item else network_of(item.get("host_interface"), item.get("vlan"))
        yield from _twice(seen, network, item, where, "addresses")
        if "peer" in item:
            far = f"{where[:-3]}[1]" if where.endswith("endpoints[0]") else where
            yield from _twice(seen, network, item["peer"], far, "addresses")


def _twice(seen: dict[t.Any, str], network: t.Any, item: Item, where: str, option: str) -> t.Iterator[str]:
    if item.get("state") == "absent" or "dummy" in (item.get("kind"), item.get("host_interface")):
        return
    for number, address in enumerate(item.get(option, [])):
        here = f"{where}.{option}[{number}]"
        alone = address.split("/")[0].lower()
        if alone in ("0", "", "::"):  # the classic word for none
            continue
        other = seen.setdefault((network, alone), here)
        if other != here:
            yield f"{here}: {address} is given twice (also in {other}); each interface needs its own."
