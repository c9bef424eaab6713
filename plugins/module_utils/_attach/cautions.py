# Copyright: pipework.containers contributors
# GNU General Public License v3.0+ (see LICENSE)
"""Warnings about what a run is about to do as it is told, but hardly anybody means. Pure.

Only what comes or changes is looked at, so that a run that changes nothing says nothing.
"""
from __future__ import annotations

import collections
import functools
import ipaddress
import typing as t

from .._core.normalize import family, on_link
from .._core.plan import Absent, Desired, Plan, State
from .._model.keys import link_key, port_key
from .._model.objects import HOST, Address, Route
from .._model.observed import Facts
from .context import Target
from .segments import Look, Segments, coming, in_two_places, place


def of_attachments(targets: t.Sequence[Target], facts: Facts, state: State, desired: Desired) -> t.Iterator[str]:
    """All of them for the attachments of a run. ``desired``: all that the run wants."""
    present = [each for each in targets if each.item.state == "present" and each.label is not None]
    look = Look(state, desired)
    yield from _moved(present, look)
    fresh = [(target, new) for target, new in ((each, coming(each, look)) for each in present) if new]
    if fresh:
        segments = Segments(facts)
        yield from _host_elsewhere(fresh, segments, look)
        yield from _other_lengths(fresh, segments, look)
    yield from _out_of_reach(present, look)


def _titles(targets: t.Iterable[Target]) -> dict[tuple[str, str], str]:
    return {(str(each.label), each.item.interface): each.item.title for each in targets}


# -- the cautions

def _moved(targets: t.Iterable[Target], look: Look) -> t.Iterator[str]:
    """A container's first network is left for a second one, since nobody has said which interface that is for."""
    for target in targets:
        item, label = target.item, str(target.label)
        if item.interface_said or link_key(label, item.interface) not in look.state:
            continue
        old, new = (place(label, item.interface, each) for each in (Look(look.state), look))
        if old is not None and new is not None and old.name != new.name:
            yield f"{item.title} moved from {old.name} to {new.name}; a second network needs another interface"


def _host_elsewhere(
    fresh: t.Iterable[tuple[Target, list[str]]], segments: Segments, look: Look,
) -> t.Iterator[str]:
    """The host has a network on one interface, and an address of it comes to another one."""
    for target, new in fresh:
        item, label = target.item, str(target.label)
        where = place(label, item.interface, look)
        own = item.interface if label == HOST else None
        if where is not None and where.paired:
            where = None
        if where is None and own is None:
            continue  # the host has nothing to do with it
        name, tagged = (where.name, where.vlan is not None) if where is not None else (None, False)
        wider = where is not None and own is None and segments.is_wider(where.name, where.bridged)
        for address in new:
            if wider and not segments.has(str(name), family(address), look.desired):
                continue  # two NICs may well lead to one LAN
            found = segments.elsewhere(address, name, look.desired, own, tagged)
            if found is not None:
                yield in_two_places(f"{address} of {item.title}{f' on {name}' if name else ''}", *found)


class _Holder(t.NamedTuple):
    label: str
    interface: str
    address: str


def _other_lengths(
    fresh: t.Sequence[tuple[Target, list[str]]], segments: Segments, look: Look,
) -> t.Iterator[str]:
    """One network has one prefix length, or some there ask routers for their neighbors."""
    place_of = functools.lru_cache(maxsize=None)(lambda label, interface: place(label, interface, look))
    titles = _titles(target for target, _new in fresh)

    def segment_of(label: str, interface: str) -> t.Any:
        where = place_of(label, interface)
        if where is not None:
            return (where.name if where.paired else segments.of(where.name), where.vlan)
        return (segments.of(interface), None) if label == HOST else None

    new_ones = {_Holder(str(each.label), each.item.interface, address) for each, new in fresh for address in new}
    wanted = {segment_of(each.label, each.interface) for each in new_ones} - {None}
    held: dict[t.Any, list[_Holder]] = collections.defaultdict(list)
    for key in dict.fromkeys((*look.state, *look.desired)) if wanted else ():
        address = look(key) if key[0] == Address.KIND else None
        if isinstance(address, Address) and _lasts(address, look.desired):
            segment = segment_of(address.ns, address.device)
            if segment in wanted:
                held[segment].append(_Holder(address.ns, address.device, address.address))
    told = set()
    for holders in held.values():
        by_network = _index(holders)
        for holder in holders:
            other = _disagrees(holder, by_network) if holder in new_ones else None
            if other is None or frozenset((holder, other)) in told:
                continue
            told.add(frozenset((holder, other)))
            where = place_of(holder.label, holder.interface)
            names = [f"{each.address} of {_title(each, titles)}" for each in (holder, other)]
            on = f" on {where.name}" if where is not None and not where.paired else ""
            yield (
                f"addresses: {names[0]} and {names[1]} are of one network{on} with different prefix lengths: "
                "give all there the same one."
            )


def _title(holder: _Holder, titles: t.Mapping[tuple[str, str], str]) -> str:
    known = titles.get((holder.label, holder.interface))
    return known or (f"the host's {holder.interface}" if holder.label == HOST else f"{holder.label}/{holder.interface}")


def _lasts(address: Address, desired: Desired) -> bool:
    return address.carrier is None or not isinstance(desired.get(address.carrier), Absent)


Index = dict[tuple[int, int, int, bool], list[_Holder]]  # family, length, network, whether that is its own length


def _index(holders: t.Iterable[_Holder]) -> Index:
    """By each length that occurs, so that thousands of addresses are soon compared."""
    read = [(each, ipaddress.ip_interface(each.address)) for each in holders]
    read = [(each, face) for each, face in read if face.network.prefixlen < face.max_prefixlen]
    lengths = {(face.version, face.network.prefixlen) for _each, face in read}
    found: Index = collections.defaultdict(list)
    for each, face in read:
        for version, length in lengths:
            if version == face.version:
                own = length == face.network.prefixlen
                found[version, length, int(face.ip) >> (face.max_prefixlen - length), own].append(each)
    return found


def _disagrees(holder: _Holder, index: Index) -> _Holder | None:
    """Somebody whose network holds this one's address, or the other way round, but is another one."""
    face = ipaddress.ip_interface(holder.address)
    mine = face.network.prefixlen
    if mine == face.max_prefixlen:
        return None
    within = index.get((face.version, mine, int(face.ip) >> (face.max_prefixlen - mine), False))
    if within:
        return within[0]
    for version, length in {key[:2] for key in index}:
        if version == face.version and length != mine:
            around = index.get((version, length, int(face.ip) >> (face.max_prefixlen - length), True))
            if around:
                return around[0]
    return None


def _out_of_reach(targets: t.Iterable[Target], look: Look) -> t.Iterator[str]:
    """A gateway through an interface that has no address of its family."""
    asking = [target for target in targets if target.item.gateway]
    routes: dict[tuple[str, str | None], list[Route]] = collections.defaultdict(list)
    for want in look.desired.values() if asking else ():
        if isinstance(want, Route) and want.gateway and want.destination == "default":
            have = look.state.get(want.key)
            if not isinstance(have, Route) or (have.gateway, have.device) != (want.gateway, want.device):
                routes[want.ns, want.device].append(want)
    addressed: set[tuple[str, str, int]] = set()
    for key in dict.fromkeys((*look.state, *look.desired)) if routes else ():
        address = look(key) if key[0] == Address.KIND else None
        if isinstance(address, Address) and _lasts(address, look.desired):
            addressed.add((address.ns, address.device, family(address.address)))
    for target in asking:
        item, label = target.item, str(target.label)
        for route in routes.get((label, item.interface), ()):
            version = route.family
            local = version == 6 and ipaddress.ip_address(str(route.gateway)).is_link_local
            given = local or _by_others(item, version) or (label, item.interface, version) in addressed
            if route.gateway in (item.gateway or ()) and not given:
                yield (
                    f"gateway: {route.gateway} of {item.title}: the interface has no IPv{version} address to reach it "
                    "from; add one to 'addresses'."
                )


class Asked(t.NamedTuple):
    """A gateway that is new, and who asks for it: one interface of each segment."""

    title: str
    label: str
    interface: str
    gateway: str
    asking: str | None  # its own address


def new_gateways(targets: t.Iterable[Target], facts: Facts, plan: Plan, state: State) -> list[Asked]:
    """Those of IPv4 that came in a run, where somebody else may be who answers for them."""
    came = {
        (route.ns, route.device): str(route.gateway) for route in (each.after for each in plan)
        if isinstance(route, Route) and (route.family, route.destination) == (4, "default") and route.gateway
    }
    found: dict[t.Any, Asked] = {}
    ports = _ports(facts) if came else {}
    for target in targets if came else ():
        item, label = target.item, str(target.label)
        gateway = came.get((label, item.interface))
        if item.state != "present" or not item.announce or gateway is None or gateway not in (item.gateway or ()):
            continue
        where = place(label, item.interface, Look(state))
        port = state.get(port_key(label, item.interface))
        if where is None or where.paired or where.bridged and not (
            ports.get(where.name, set()) - {getattr(port, "local_interface", None)}
        ):
            continue  # where nobody else is, nobody is asked
        own = [each.address.partition("/")[0] for each in (
            state.get(Address(label, item.interface, address).key) for address in item.addresses or ()
        ) if isinstance(each, Address) and on_link(gateway, (each.address,))]
        found.setdefault((where, gateway), Asked(item.title, label, item.interface, gateway, own[0] if own else None))
    return list(found.values())


def _ports(facts: Facts) -> dict[str, set[str | None]]:
    """The ports of each bridge, and the bridge itself where the host has an address on it."""
    found: dict[str, set[str | None]] = collections.defaultdict(set)
    for device in facts.host.values():
        bridge = facts.bridge_under(device)
        if bridge is not None and bridge != device.name:
            found[bridge].add(device.name)
    for address in facts.addresses.get(HOST, ()):
        found[address.device].add(address.device)
    return found


def unanswered(asked: Asked) -> str:
    return (
        f"gateway: {asked.gateway} of {asked.title}: nobody on its segment answers for that address yet, so that "
        "nothing reaches other networks through it until somebody does."
    )


def _by_others(item: t.Any, version: int) -> bool:
    """Whether an address comes that nobody lists."""
    return bool((item.dhcp or item.link_local) if version == 4 else (item.dhcp6 or item.accept_ra))
