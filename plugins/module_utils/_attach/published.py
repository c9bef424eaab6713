# Copyright: pipework.containers contributors
# GNU General Public License v3.0+ (see LICENSE)
"""Answers to ports that an engine publishes go back through the engine's interface. Pure.

The engine translates the address of whoever asks for a published port into the container's, not the asker's. With our
default route, or an address in the asker's network, the answer would leave through our interface, where nobody
translates it back. So a rule sends what comes from the engine's address through the engine's gateway.
"""
from __future__ import annotations

import ipaddress
import typing as t

from .._core.plan import Absent, KernelObject, Key, State
from .._model.objects import HOST, PROTOCOL, PROTOCOL_ROUTE, TABLE_PUBLISHED, Link, Route, default_metric
from .._model.observed import Facts
from .._model.rule import Rule
from .._routing.default_route_owner import Seat
from .context import Target, Wish

KEEP, IGNORE = "keep", "ignore"


def concerned(target: Target) -> bool:
    """Whether the rules of its container have to be known."""
    return target.published or target.item.published_ports is not None


def wish_published(targets: t.Sequence[Target], facts: Facts, state: State, wish: Wish) -> None:
    """Adds to a wish what containers with published ports need, as long as an attachment of ours stands in them."""
    gone = {key[1] for key, want in wish.desired.items() if isinstance(want, Absent) and key[0] == "link"}
    by_label: dict[str, list[Target]] = {label: [] for label in sorted(gone)}
    for target in targets:
        by_label.setdefault(str(target.label), []).append(target)
    standing: dict[str, set[str]] | None = None  # known where somebody asks
    for label, those in by_label.items():
        if label == HOST or label not in facts.devices:
            continue
        there: list[KernelObject] = [
            each for each in (*facts.rules.get(label, ()), *facts.routes.get(label, ()))
            if isinstance(each, (Rule, Route)) and each.protocol == PROTOCOL and each.table == TABLE_PUBLISHED
        ]
        present = [each for each in those if each.item.state == "present"]
        wanted: dict[Key, KernelObject] = {}
        if any(each.published and each.item.published_ports != IGNORE for each in present):
            wanted = {each.key: each for version in (4, 6) for each in _way_back(label, version, facts)}
        elif not there:
            continue
        else:
            standing = _standing(state, wish) if standing is None else standing
            if standing.get(label, set()) - {each.item.interface for each in present if _ignores(each)}:
                continue
        for each in wanted.values():
            wish.want(each)
        for each in there:
            if each.key not in wish.desired:
                wish.want(Absent(each.key))


def _ignores(target: Target) -> bool:
    return target.item.published_ports == IGNORE


def _standing(state: State, wish: Wish) -> dict[str, set[str]]:
    """The interfaces of ours that are in each container after the run."""
    found: dict[str, set[str]] = {}
    for link in {**state, **wish.desired}.values():
        if isinstance(link, Link) and link.owner:
            found.setdefault(link.ns, set()).add(link.ifname)
    return found


def _way_back(label: str, version: int, facts: Facts) -> t.Iterator[KernelObject]:
    routes = facts.routes.get(label, [])
    seat = Seat.of(label, version, routes)
    foreign = [
        each for each in (*seat.stack, *seat.beside, seat.owner)
        if each is not None and each.protocol not in (PROTOCOL, PROTOCOL_ROUTE) and each.gateway and each.device
        and not (facts.devices[label][each.device].owner if each.device in facts.devices[label] else None)
    ]
    if not foreign:
        return
    device, gateway = str(foreign[-1].device), foreign[-1].gateway
    metric, whole = default_metric(version), 32 if version == 4 else 128
    for each in facts.addresses.get(label, ()):
        interface = ipaddress.ip_interface(each.address)
        if each.device != device or interface.version != version or interface.is_link_local:
            continue
        yield Rule(
            label, version, TABLE_PUBLISHED, PROTOCOL, source=f"{interface.ip}/{whole}", table=TABLE_PUBLISHED,
        )
        if interface.network.prefixlen < whole:
            yield Route(
                label, version, str(interface.network), table=TABLE_PUBLISHED, metric=metric, device=device,
                scope=253 if version == 4 else None, protocol=PROTOCOL,
            )
        yield Route(
            label, version, "default", table=TABLE_PUBLISHED, metric=metric, gateway=gateway, device=device,
            scope=0 if version == 4 else None, protocol=PROTOCOL,
        )
