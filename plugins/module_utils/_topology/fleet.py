# Copyright: pipework.containers contributors
# GNU General Public License v3.0+ (see LICENSE)
"""One data structure for a fleet, taken apart: for each host, the list of each module. Pure.

Whether the structure makes sense is said by ``check.py``; here only names are looked up, which both need.
"""

from __future__ import annotations

import dataclasses
import typing as t

from . import evpn as topology_evpn
from .schema import Schema, near, resolved, violations

Item = dict[str, t.Any]
SECTIONS = ("bridges", "segments", "attachments", "links", "routes", "rules", "impairments")
# A list for each, in the order of the tasks.
MODULES = ("bridges", "segments", "attachments", "routes", "rules", "impairments")
INSIDE = ("routes", "rules", "impairments")  # what stands on interfaces of containers
BRIDGE_NAMES = {"br": "bridge", "ovs": "openvswitch"}  # what kind: auto takes a missing one for


@dataclasses.dataclass(frozen=True)
class Resident:
    """A container, and where it is. ``options``: those that say who it is, on its host."""

    host: str
    options: Item


HOST_ITSELF = Resident("", {"runtime": "host"})  # the far end of some cables


class Placed(t.NamedTuple):
    """An item of a module's list on a host. ``where``: its path in the structure."""

    where: str
    item: Item


class Segment(t.NamedTuple):
    """A network over several hosts."""

    where: str
    bridge: str
    hosts: tuple[str, ...]
    item: Item


@dataclasses.dataclass
class Fleet:
    """What the structure says. ``plans``: by host, and then by the name of the list."""

    document: Item
    inventory: t.Collection[str]
    here: str  # the host that asks
    runtime: str | None
    errors: list[str] = dataclasses.field(default_factory=list)
    hosts: dict[str, Item] = dataclasses.field(default_factory=dict)
    residents: dict[str, Resident] = dataclasses.field(default_factory=dict)
    segments: dict[str, Segment] = dataclasses.field(default_factory=dict)
    plans: dict[str, dict[str, list[Placed]]] = dataclasses.field(default_factory=dict)

    def wrong(self, where: str, words: str) -> None:
        self.errors.append(f"{where}: {words}")

    def homes(self, item: Item, where: str) -> list[str]:
        """The hosts of an item that is not a container's: those that it names, or all."""
        found = []
        for number, name in enumerate(item.get("hosts", list(self.hosts))):
            if name in self.hosts:
                found.append(name)
            else:
                self.wrong(f"{where}.hosts[{number}]", f"no host {name!r}{near(name, self.hosts)}")
        return found

    def resident(self, name: t.Any, where: str) -> Resident | None:
        """The container of that name."""
        found = self.residents.get(str(name))
        if found is None and str(name) not in self.document["containers"]:
            self.wrong(where, f"no container {str(name)!r}{near(name, self.document['containers'])}")
        return found


def listed(value: t.Any) -> list[str]:
    """One string as Ansible makes a list of it."""
    return [each.strip() for each in str(value).split(",")]


def plain(schema: Schema, document: t.Any) -> t.Any:
    """The structure with the options' own names, without what is None."""
    if isinstance(document, (list, tuple)):
        return [plain(schema, each) for each in document]
    if not isinstance(document, dict):
        return document
    return {name: plain(schema, value) for name, value in document.items() if value is not None}


def renamed(whole: Schema, part: Schema, value: t.Any) -> t.Any:
    """Other names of options become their own, and one string a list where one may stand, in what fits the schema."""
    part = resolved(whole, part)
    if "anyOf" in part:
        part = next((each for each in part["anyOf"] if not violations({**whole, **each}, value)), {})
    if "array" in part.get("type", ()) and not isinstance(value, (list, tuple)):
        return listed(value)
    if isinstance(value, list):
        return [renamed(whole, part.get("items", {}), each) for each in value]
    if not isinstance(value, dict):
        return value
    known = part.get("properties", {})
    more = part.get("additionalProperties")
    found = {}
    for name, inner in value.items():
        said = known.get(name, more if isinstance(more, dict) else {})
        found[said.get("x-alias-of", name)] = renamed(whole, said, inner)
    return found


def read(schema: Schema, document: t.Any, inventory: t.Collection[str], here: str, runtime: str | None) -> Fleet:
    """The structure, looked through. Where its ``errors`` are not empty, there may be no more than these."""
    bare = plain(schema, document)
    containers = bare.get("containers") if isinstance(bare, dict) else None
    if isinstance(containers, dict) and isinstance(document, dict):  # web1: with nothing after it is a container too
        bare["containers"] = {name: containers.get(name, {}) for name in document["containers"]}
    hosts = bare.get("hosts") if isinstance(bare, dict) else None
    if isinstance(hosts, dict) and isinstance(document, dict):
        bare["hosts"] = {name: hosts.get(name, {}) for name in document["hosts"]}
    wrong = violations(schema, bare)
    if wrong:
        return Fleet({}, inventory, here, runtime, wrong)
    fleet = Fleet(renamed(schema, schema, bare), inventory, here, runtime)
    fleet.document.setdefault("containers", {})
    _find_hosts(fleet)
    _find_containers(fleet)
    _find_segments(fleet)
    fleet.plans = {host: {name: [] for name in MODULES} for host in fleet.hosts}
    for section in SECTIONS:
        for number, item in enumerate(fleet.document.get(section, ())):
            SORTS[section](fleet, item, f"{section}[{number}]")
    return fleet


def _find_hosts(fleet: Fleet) -> None:
    """Those that are listed; else those that are named; else the one that asks."""
    document = fleet.document
    if "hosts" in document:
        fleet.hosts = dict(document["hosts"])
        for name in fleet.hosts:
            if fleet.inventory and name not in fleet.inventory:
                fleet.wrong(f"hosts.{name}", f"it is not in the inventory{near(name, fleet.inventory)}")
        return
    named = {f"containers.{name}.host": each["host"] for name, each in document["containers"].items() if "host" in each}
    for section in SECTIONS:
        for number, item in enumerate(document.get(section, ())):
            for at, host in enumerate(item.get("hosts", ())):
                named[f"{section}[{number}].hosts[{at}]"] = host
    for where, host in named.items():
        if fleet.inventory and host not in fleet.inventory:
            fleet.wrong(where, f"no host {host!r} in the inventory{near(host, fleet.inventory)}")
        fleet.hosts.setdefault(str(host), {})
    if not named:
        fleet.hosts[fleet.here] = {}


def _find_containers(fleet: Fleet) -> None:
    for name, said in fleet.document["containers"].items():
        where = f"containers.{name}"
        host = said.get("host", next(iter(fleet.hosts)) if len(fleet.hosts) == 1 else None)
        if host is None:
            known = ", ".join(sorted(fleet.hosts)) or "none"
            fleet.wrong(where, f"'host' is missing: the topology has several hosts ({known}).")
        elif host not in fleet.hosts:
            fleet.wrong(f"{where}.host", f"no host {host!r}{near(host, fleet.hosts)}")
        else:
            around = {"runtime": fleet.runtime}
            for outer in (fleet.document, fleet.hosts[host], said):
                if "runtime" in outer:
                    around = {"runtime": outer["runtime"]}
                if "runtime_user" in outer:
                    around = {**around, "runtime_user": outer["runtime_user"]}
            options = {key: value for key, value in around.items() if value is not None}
            fleet.residents[name] = Resident(host, {"container": str(said.get("name", name)), **options})


def _find_segments(fleet: Fleet) -> None:
    """On the hosts that are listed, or those of the containers that are attached."""
    for number, item in enumerate(fleet.document.get("segments", ())):
        where, name = f"segments[{number}]", str(item["name"])
        if name in fleet.segments:
            fleet.wrong(f"{where}.name", f"{name} is listed twice (also in {fleet.segments[name].where}).")
            continue
        hosts = fleet.homes(item, where)
        if "hosts" not in item:
            used = [each for each in fleet.document.get("attachments", ()) if str(each.get("segment")) == name]
            there = [fleet.residents.get(str(each.get("container"))) for each in used]
            hosts = [host for host in fleet.hosts if any(each and each.host == host for each in there)]
        fleet.segments[name] = Segment(where, str(item.get("bridge", f"br-{name}")), tuple(hosts), item)


def _place(fleet: Fleet, item: Item, where: str) -> list[tuple[str, Item]]:
    """An item of a container, or of hosts themselves, on its hosts; what says where it belongs is replaced."""
    own = {key: value for key, value in item.items() if key not in ("hosts", "container")}
    if item.get("runtime") == "host" or "container" not in item:
        if item.get("runtime") != "host":
            fleet.wrong(where, "'container' is missing; only with 'runtime: host' it is not needed.")
            return []
        return [(host, own) for host in fleet.homes(item, where)]
    if "hosts" in item:
        fleet.wrong(f"{where}.hosts", "a container is on one host, which containers says.")
    resident = fleet.resident(item["container"], f"{where}.container")
    return [(resident.host, {**resident.options, **own})] if resident else []


def _bridge(fleet: Fleet, item: Item, where: str) -> None:
    own = {key: value for key, value in item.items() if key != "hosts"}
    for host in fleet.homes(item, where):
        fleet.plans[host]["bridges"].append(Placed(where, own))


def _segment(fleet: Fleet, item: Item, where: str) -> None:
    """Each host's own part. Who the others are is said by the structure, whichever hosts are played on."""
    segment = fleet.segments[str(item["name"])]
    if segment.where != where:
        return
    addresses = {host: fleet.hosts[host].get("address") for host in segment.hosts}
    for host, address in addresses.items():
        if address is None and item.get("state") != "absent":
            why = f"segment {item['name']} needs to know where its tunnel ends."
            fleet.wrong(f"hosts.{host}", f"'address' is missing: {why}")
    own = {key: value for key, value in item.items() if key not in ("name", "hosts", *topology_evpn.OPTIONS)}
    spoken = topology_evpn.speaks(item)
    if spoken:
        own = {"learning": False, "neigh_suppress": True, **own}
    for host, address in addresses.items():
        others = [each for name, each in addresses.items() if name != host and not spoken]
        found = {**own, "bridge": segment.bridge, "local": address, "remotes": others}
        fleet.plans[host]["segments"].append(Placed(where, found))


def _attachment(fleet: Fleet, item: Item, where: str) -> None:
    for host, own in _place(fleet, item, where):
        if "segment" in own and not _on_segment(fleet, own, host, where):
            continue
        found = {each.item["name"]: each.item for each in fleet.plans[host]["bridges"]}
        bridge = found.get(str(own.get("host_interface")))
        _check_bridge(fleet, own, host, found, where)
        if bridge is not None and own.get("kind", "auto") in ("auto", bridge.get("kind", "linux"), "bridge"):
            # Said here, so that a check run can do without the bridge, which it only would have made.
            kind = {"openvswitch": "openvswitch"}.get(bridge.get("kind", "linux"), "bridge")
            own = {"forwarding": "unmanaged", **own, "kind": kind}
            if "mtu" in bridge:
                own = {"mtu": bridge["mtu"], **own}
        fleet.plans[host]["attachments"].append(Placed(where, own))


def _on_segment(fleet: Fleet, own: Item, host: str, where: str) -> bool:
    """The segment's bridge is what it stands on; whether that can be."""
    name = str(own.pop("segment"))
    segment = fleet.segments.get(name)
    if segment is None:
        fleet.wrong(f"{where}.segment", f"no segment {name!r}{near(name, fleet.segments)}")
    elif "host_interface" in own:
        why = f"stands beside segment, whose bridge is {segment.bridge}; leave one out."
        fleet.wrong(f"{where}.host_interface", why)
    elif host not in segment.hosts:
        fleet.wrong(f"{where}.segment", f"{name} is not on {host}; {segment.where}.hosts says where it is.")
    else:
        own.update({"host_interface": segment.bridge, "kind": "bridge", "forwarding": "unmanaged", **own})
        if "mtu" in segment.item:
            own.setdefault("mtu", segment.item["mtu"])
        return True
    return False


def _check_bridge(fleet: Fleet, own: Item, host: str, bridges: t.Collection[str], where: str) -> None:
    """A bridge that nobody lists is most likely a slip of the pen."""
    name, kind = own.get("host_interface"), own.get("kind", "auto")
    there = [*fleet.hosts[host].get("interfaces", []), *(each.bridge for each in fleet.segments.values())]
    if name is None or name in bridges or name in there or own.get("state") == "absent":
        return
    guessed = next((kind for start, kind in BRIDGE_NAMES.items() if str(name).startswith(start)), None)
    if kind in BRIDGE_NAMES.values() or kind == "auto" and guessed:
        fleet.wrong(
            f"{where}.host_interface",
            f"no bridge {name!r} on {host}{near(name, bridges)} What somebody else makes there stands in "
            f"hosts.{host}.interfaces.",
        )


def _link(fleet: Fleet, item: Item, where: str) -> None:
    ends: list[tuple[Resident, Item]] = []
    for number, said in enumerate(item["endpoints"]):
        here = f"{where}.endpoints[{number}]"
        end = dict(zip(("container", "interface"), said.split(":"))) if isinstance(said, str) else said
        own = {key: value for key, value in end.items() if key != "container"}
        if end.get("runtime") == "host":
            ends.append((HOST_ITSELF, own))
        elif "container" not in end:
            fleet.wrong(here, "'container' is missing; only with 'runtime: host' it is not needed.")
        else:
            resident = fleet.resident(end["container"], here)
            ends += [(resident, own)] if resident else []
    if len(ends) < 2:
        return
    ends.sort(key=lambda end: end[0] is HOST_ITSELF)
    (first, own), (second, other) = ends
    if first is HOST_ITSELF:
        fleet.wrong(where, "both ends are the host's own; one has to be a container's.")
        return
    if second.host not in ("", first.host):
        fleet.wrong(
            where, f"its ends are on two hosts, {first.host} and {second.host}; a cable joins containers of one host."
        )
        return
    shared = {key: value for key, value in item.items() if key != "endpoints"}
    peer: Item = {**second.options, "interface": "eth1", **other}
    found: Item = {**first.options, "kind": "veth", "interface": "eth1", **shared, **own, "peer": peer}
    fleet.plans[first.host]["attachments"].append(Placed(f"{where}.endpoints[0]", found))


def _route(fleet: Fleet, item: Item, where: str) -> None:
    for host, own in _place(fleet, item, where):
        fleet.plans[host]["routes"].append(Placed(where, own))


def _rule(fleet: Fleet, item: Item, where: str) -> None:
    for host, own in _place(fleet, item, where):
        fleet.plans[host]["rules"].append(Placed(where, own))


def _impairment(fleet: Fleet, item: Item, where: str) -> None:
    for host, own in _place(fleet, item, where):
        mirror = own.get("mirror") or {}
        if mirror.get("to_container"):
            other = fleet.resident(mirror["to_container"], f"{where}.mirror.to_container")
            if other is None:
                continue
            if other.host != host:
                fleet.wrong(
                    f"{where}.mirror.to_container", f"{mirror['to_container']} is on {other.host}, not on {host}."
                )
                continue
            own = {**own, "mirror": {**{f"to_{key}": value for key, value in other.options.items()}, **{
                key: value for key, value in mirror.items() if key != "to_container"
            }}}
        fleet.plans[host]["impairments"].append(Placed(where, own))


SORTS: dict[str, t.Callable[[Fleet, Item, str], None]] = {
    "bridges": _bridge, "segments": _segment, "attachments": _attachment, "links": _link, "routes": _route,
    "rules": _rule, "impairments": _impairment,
}


def lists_of(fleet: Fleet, host: str, absent: bool = False, purge: bool = False) -> dict[str, t.Any]:
    """The lists of one host; all absent, or with what takes away what is not listed. ``evpn``: what FRR is to say."""
    addresses = {name: str(each.get("address")) for name, each in fleet.hosts.items()}
    segments = [(each.hosts, each.item) for each in fleet.segments.values()]
    evpn = {} if absent else topology_evpn.of(host, segments, addresses)
    found = {name: [placed.item for placed in fleet.plans[host][name]] for name in MODULES}
    if absent:
        found = {name: [_gone(item) for item in items] for name, items in found.items()}
    if purge:
        here = [each.options for each in fleet.residents.values() if each.host == host]
        # Nothing is listed for some containers. What was, goes all the same.
        found.update({name: found[name] + here for name in INSIDE})
    return {**found, "evpn": evpn}


def _gone(item: Item) -> Item:
    return {**{key: value for key, value in item.items() if key != "duration"}, "state": "absent"}
