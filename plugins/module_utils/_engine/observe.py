# Copyright: pipework.containers contributors
# GNU General Public License v3.0+ (see LICENSE)
"""Reads all open namespaces: one dump of each sort in each."""
from __future__ import annotations

import contextlib
import os
import typing as t

from .._core.errors import PipeworkError
from .._delayed import process as delayed_process
from .._model.luggage import Luggage
from .._model.objects import HOST, UNFINISHED, Device, pair_end
from .._model.observed import End, Facts
from .._model.own_tables import is_marked
from .._model.sysctl import KNOWN, PLACEHOLDER, Sysctl, path_of
from .._netlink.namespaces import Namespaces
from .._netlink.route import routes_of
from .._netlink.rule import rules_of
from .observe_interfaces import whose


def observe(
    namespaces: Namespaces, routes_of_host: bool = False, vlans: bool = False, rules: t.Collection[str] = (),
    by_right: bool = False,
) -> Facts:
    """What the kernel shows. The host's own routes may be many, and matter only where a NIC or a bridge goes.

    ``vlans``: a bridge may be about to filter them; where one does so already, they are read anyway. ``rules``: the
    namespaces where rules of policy routing matter, which they also do where routes of ours stand in tables of their
    own. ``by_right``: what a container has renamed is known by the name that we gave it.
    """
    facts = Facts(devices={label: namespaces[label].devices() for label in namespaces}, host_seed=_host_seed())
    kept = whose(facts, namespaces, by_right)
    for record in kept.records:
        with contextlib.suppress(ValueError, TypeError, KeyError):  # that of a newer version is left alone
            packed = Luggage.unpack(record.luggage, delayed_process.now())
            facts.luggage.update({record.text: packed} if packed is not None else {})
    for label in namespaces:
        names = {device.index: device.name for device in facts.devices[label].values()}
        facts.addresses[label] = namespaces[label].addresses(names) if names else []
        if names and (label != HOST or routes_of_host or facts.luggage):
            facts.routes[label] = routes_of(namespaces[label], names)
        if label in rules or any(is_marked(route) for route in facts.routes.get(label, ())):
            facts.rules[label] = rules_of(namespaces[label])
    facts.pairs = _pairs(namespaces, facts.devices)
    if vlans or any((device.settings or {}).get("vlan_filtering") for device in facts.host.values()):
        facts.vlans = namespaces[HOST].vlans()
        if facts.vlans is None and not os.path.isdir("/sys/module/bridge"):
            facts.vlans = {}  # the kernel has had no bridge so far, and loads what it needs for the first
    return facts


def _pairs(namespaces: Namespaces, devices: dict[str, dict[str, Device]]) -> dict[End, End]:
    """The ends of veths of ours that have their other end in another open namespace, or in the same one."""
    all_of_them = [(label, device) for label, each in devices.items() for device in each.values()]
    veths = [(label, device) for label, device in all_of_them if device.type == "veth" and device.parent_index]
    ours = [(label, d) for label, d in veths if d.owner == UNFINISHED or pair_end(d.owner)]
    ends: dict[tuple[int, int | None], list[tuple[str, Device]]] = {}
    for label, device in veths if ours else ():
        ends.setdefault((device.index, device.parent_index), []).append((label, device))
    found: dict[End, End] = {}
    for label, device in ours:
        for there, other in ends.get((device.parent_index or 0, device.index), ()):
            numbers = (namespaces[label].nsid(namespaces[there]), namespaces[there].nsid(namespaces[label]))
            if numbers == (device.parent_netnsid, other.parent_netnsid) and (None not in numbers or label == there):
                found[label, device.name], found[there, other.name] = (there, other.name), (label, device.name)
    return found


def observe_sysctls(namespaces: Namespaces, facts: Facts, label: str, device: str, names: t.Sequence[str]) -> None:
    """Adds to the facts the named parameters of an interface. PipeworkError for one that the kernel does not have."""
    there = device in facts.devices[label]
    real = facts.devices[label][device].found_as or device if there else "lo"
    # The loopback has all that others have, and is everywhere.
    found = namespaces[label].read_sysctls([path_of(name, real) for name in names])
    for name, value in zip(names, found):
        if value is None:
            raise PipeworkError(f"sysctls: this host's kernel has no {name}.")
        if there:
            facts.sysctls.append(Sysctl(label, device, name, value))


def observe_own_sysctls(namespaces: Namespaces, facts: Facts, places: t.Iterable[tuple[str, str]]) -> None:
    """Adds the parameters of interfaces that go, where they differ from a new one's: they come back with it.

    There are a hundred files for each, so that of interfaces which the kernel shows alike, one is read.
    """
    alike: dict[bytes, list[tuple[str, str]]] = {}
    for label, device in places:
        if device in facts.devices.get(label, ()):
            shown = namespaces[label].parameters(device)
            if shown is None or shown not in alike:
                found = namespaces[label].inside(lambda there=device: list(changed_parameters(there)))  # type: ignore[misc]
                alike[shown or b""] = found
            facts.sysctls += [Sysctl(label, device, name, value) for name, value in alike[shown or b""]]


def changed_parameters(device: str) -> t.Iterator[tuple[str, str]]:
    """Names and values of those that are not as on a new interface, in the network where one is."""
    for name in KNOWN:
        folder, new = path_of(name, ""), "default" if name.endswith("conf") else "lo"
        try:
            files_there = os.listdir(f"/proc/sys/{folder}/{device}")
        except OSError:
            continue  # without IPv6 or MPLS
        for each in sorted(files_there):
            if each == "mtu" or f"{each}_ms" in files_there:
                continue  # the interface's own, and those that are there twice
            value = _parameter(f"/proc/sys/{folder}/{device}/{each}")
            if value and value != _parameter(f"/proc/sys/{folder}/{new}/{each}"):
                yield f"{name}.{PLACEHOLDER}.{each}", value


def _parameter(path: str) -> str:
    """Its value, nothing where there is none or it cannot be set."""
    try:
        with open(path, encoding="ascii") as handle:
            return handle.read().strip() if os.fstat(handle.fileno()).st_mode & 0o200 else ""
    except OSError:
        return ""


def _host_seed() -> str:
    """What tells this host from others, so that two hosts do not give their bridges the same address."""
    try:
        with open("/etc/machine-id", encoding="ascii") as handle:
            return handle.read().strip() or os.uname().nodename
    except (OSError, UnicodeDecodeError):
        return os.uname().nodename
