# Copyright: pipework.containers contributors
# GNU General Public License v3.0+ (see LICENSE)
"""Segments of a topology that BGP EVPN tells of: what FRR says on each host, once for all of its segments. Pure."""

from __future__ import annotations

import ipaddress
import typing as t

from .schema import near

Item = dict[str, t.Any]
OPTIONS = ("control_plane", "asn", "route_reflectors")
ASN = 65000
ASN_MAX = (1 << 32) - 1


class Spoken(t.NamedTuple):
    """A segment, where it stands in the structure, and its hosts."""

    where: str
    hosts: t.Sequence[str]
    item: Item


def speaks(item: Item) -> bool:
    """Whether BGP tells of a segment."""
    return item.get("control_plane") == "evpn" and item.get("state") != "absent"


def reflectors(hosts: t.Sequence[str], item: Item) -> list[str]:
    """Whom all others have a session with."""
    return [str(each) for each in item.get("route_reflectors", hosts[:2])]


def of(host: str, segments: t.Iterable[tuple[t.Sequence[str], Item]], addresses: t.Mapping[str, str]) -> Item:
    """What the daemon of one host is told; empty where there is no such segment."""
    mine = [(hosts, item) for hosts, item in segments if host in hosts and speaks(item)]
    peers: set[str] = set()
    clients: set[str] = set()
    for hosts, item in mine:
        reflecting = reflectors(hosts, item)
        peers |= set(hosts if host in reflecting else reflecting)
        clients |= set(hosts).difference(reflecting) if host in reflecting else set()
    if not mine:
        return {}
    neighbors = [name for name in addresses if name in peers and name != host]
    return {
        "asn": asn_of(mine[0][1]), "local": addresses[host], "neighbors": [addresses[name] for name in neighbors],
        "clients": [addresses[name] for name in neighbors if name in clients],
        "vnis": sorted(int(item["vni"]) for _hosts, item in mine),
    }


def asn_of(item: Item) -> int:
    return int(item.get("asn", ASN))


def check(segments: t.Sequence[Spoken], addresses: t.Mapping[str, t.Any]) -> t.Iterator[str]:
    """What is wrong with these segments, whichever hosts they are on."""
    seen: dict[str, Spoken] = {}
    for each in segments:
        where, hosts, item = each
        if item.get("control_plane") != "evpn":
            for option in OPTIONS[1:]:
                if option in item:
                    yield f"{where}.{option}: it is of 'control_plane: evpn', which the segment does not have."
            continue
        if not 1 <= asn_of(item) <= ASN_MAX:
            yield f"{where}.asn: {item['asn']} is not possible; 1 to {ASN_MAX} would be right."
        for number, name in enumerate(reflectors(hosts, item)):
            here = f"{where}.route_reflectors[{number}]"
            if name not in addresses:
                yield f"{here}: no host {name!r}{near(name, addresses)}"
            elif name not in hosts:
                yield f"{here}: {name} is not on segment {item['name']}, which is on {', '.join(hosts) or 'none'}."
        if not reflectors(hosts, item) and len(hosts) > 1:
            yield f"{where}.route_reflectors: the list is empty; say which hosts all others have a session with."
        yield from _families(each, addresses)
        for host in hosts if speaks(item) else ():
            other = seen.setdefault(host, each)
            if asn_of(other.item) != asn_of(item):
                yield (
                    f"{where}.asn: {asn_of(item)} is not the {asn_of(other.item)} of {other.where}, and {host} is on "
                    "both; a host has one."
                )
                break


def _families(segment: Spoken, addresses: t.Mapping[str, t.Any]) -> t.Iterator[str]:
    first: tuple[int, str] | None = None
    for host in segment.hosts:
        try:
            version = ipaddress.ip_address(str(addresses[host])).version
        except ValueError:
            continue  # of which the module's own check tells
        first = first or (version, host)
        if version != first[0]:
            yield (
                f"hosts.{host}.address: {addresses[host]} is of IPv{version}, that of {first[1]} of IPv{first[0]}; the "
                f"tunnels of {segment.where} go over one of them."
            )
            return
