# Copyright: pipework.containers contributors
# GNU General Public License v3.0+ (see LICENSE)
"""What follows when attachments are in place: duplicates are found, neighbours hear of them, and routers are heard."""
from __future__ import annotations

import contextlib
import dataclasses
import functools
import time
import typing as t

from .._core.errors import PipeworkError
from .._core.plan import Plan, State
from .._ipam.observe import observe_router
from .._model.keys import link_key, port_key
from .._model.objects import HOST, Address, Link, Port
from .._model.observed import Facts
from .._model.ovs import OvsPort, port_row_key
from .._neighbour import dad
from .._neighbour.announce import News, announce, notifies, solicit
from .._netlink.namespaces import Namespaces
from .._netlink.neighbour import lent_addresses
from . import cautions, dhcp6, slaac
from .context import Target
from .dhcp4 import grant_of
from .options import Attachment

ROUTER_SECONDS = 4.0  # the least time between two advertisements is 3 s


def arrive(
    targets: t.Sequence[Target], facts: Facts, plan: Plan, namespaces: Namespaces, state: State,
) -> list[str]:
    """The kernel ends its duplicate detection, then the neighbours hear of what is new."""
    warnings: list[str] = []
    lonely, listed = _lonely(facts, plan), list(_news(targets, plan, state))
    told = [news for bridge, news in listed if bridge not in lonely]
    notifies(told, namespaces)
    announce((_part(news, lambda address: ":" not in address) for news in told), namespaces)
    newcomers = {
        dad.Newcomer(news.label, news.interface, address.split("/")[0]): address
        for _bridge, news in listed for address in news.addresses if ":" in address
    }
    states = dad.settle(list(newcomers), namespaces) if newcomers else {}
    for each, what in states.items():
        where = f"{newcomers[each]} of {each.label}/{each.interface}"
        if what == dad.DUPLICATE:
            from .._ipam import dhcp6_client  # which few runs need

            dhcp6_client.duplicates.add(each.address)
            raise PipeworkError(
                f"addresses: {where} is in use already: another machine on that segment answered to the kernel's "
                "duplicate address detection; give it another one."
            )
        if what != dad.USABLE:
            warnings.append(f"addresses: {where} cannot be used yet: it is {what}.")
    warnings += _hear_routers(targets, facts, plan, namespaces)
    warnings += _ask_for_gateways(cautions.new_gateways(targets, facts, plan, state), namespaces)
    usable = {(each.label, newcomers[each]) for each, what in states.items() if what == dad.USABLE}
    announce((_part(news, lambda address, label=news.label: (label, address) in usable)  # type: ignore[misc]
              for news in told), namespaces)
    return warnings


def _ask_for_gateways(asked: t.Sequence[cautions.Asked], namespaces: Namespaces) -> list[str]:
    if not asked:
        return []
    from .._neighbour.probe import Claim, silent  # which few runs need

    claims = {
        Claim(each.label, each.interface, each.gateway, (each.asking,) if each.asking else ()): each for each in asked
    }
    with contextlib.suppress(OSError):  # nothing is worse for a host that cannot ask
        return [cautions.unanswered(claims[claim]) for claim in silent(list(claims), namespaces)]
    return []


def _part(news: News, wanted: t.Callable[[str], bool]) -> News:
    return dataclasses.replace(news, addresses=tuple(address for address in news.addresses if wanted(address)))


def _hear_routers(
    targets: t.Sequence[Target], facts: Facts, plan: Plan, namespaces: Namespaces,
) -> t.Iterator[str]:
    """Until each interface has an address by a router's advertisement, where something has changed.

    With DHCPv6 there need not be one: such routers say no more than where they are.
    """
    touched = {operation.key for operation in plan} | {operation.subject.carrier for operation in plan}
    asked = {
        dad.Newcomer(str(target.label), target.item.interface, ""): target.item for target in targets
        if target.item.accept_ra and not target.item.dhcp6 and target.item.state == "present"
        and link_key(str(target.label), target.item.interface) in touched
    }
    if not asked:
        return
    seconds = max(item.dhcp_timeout for item in asked.values())
    heard = dad.settle(list(asked), namespaces, seconds, functools.partial(solicit, namespaces))
    for each, what in heard.items():
        if what != dad.USABLE:
            why = "it has no carrier" if what == dad.DARK else f"no router gave one within {seconds:g} s"
            yield f"accept_ra: {each.label}/{each.interface} has no address yet, since {why}."
    for each in heard:
        device = facts.devices[each.label][each.interface]
        facts.addresses[each.label] += lent_addresses(namespaces[each.label], device, 6)


def await_routers(
    targets: t.Sequence[Target], facts: Facts, namespaces: Namespaces,
) -> tuple[bool, list[str]]:
    """Until those are known that tables of interfaces lead to; whether there is one such table, and warnings.

    Who advertises an address, or is there for the servers of DHCPv6, answers within half a second (RFC 4861).
    """
    led = [target for target in targets if target.item.state == "present" and slaac.led_by_routers(target.item)]
    waiting = [target for target in led if (str(target.label), target.item.interface) not in facts.routers]
    end, again = time.monotonic() + ROUTER_SECONDS, 0.0
    while waiting and time.monotonic() < end:
        if time.monotonic() >= again:
            again = time.monotonic() + min(
                solicit(namespaces, dad.Newcomer(str(each.label), each.item.interface, "")) for each in waiting)
        time.sleep(0.05)
        waiting = [
            each for each in waiting if not observe_router(namespaces, facts, str(each.label), each.item.interface)
        ]
    return bool(led), [
        f"table: no router on the segment of {each.label}/{each.item.interface} says that it is a default one, so that "
        f"table {each.item.table} has no default route for IPv6." for each in waiting
    ]


def _news(targets: t.Sequence[Target], plan: Plan, state: State) -> t.Iterator[tuple[str | None, News]]:
    """What is new of each interface, and the bridge that it is on."""
    touched = {operation.key for operation in plan} | {operation.subject.carrier for operation in plan}
    for target in targets:
        item, label = target.item, target.label
        if item.state != "present" or not item.announce or label is None:
            continue
        port = state.get(port_key(label, item.interface))
        row = on_switch(port, state)
        if not touched & {link_key(label, item.interface), port_key(label, item.interface)}:
            continue
        link = state[link_key(label, item.interface)]
        addresses = tuple(key[2].split(" ")[1] for key in addresses_of(item, label, state))
        if isinstance(link, Link) and link.mac and addresses:
            bridge = row.bridge if row else port.bridge if isinstance(port, Port) else None
            yield bridge, News(label, item.interface, link.mac, addresses)


def _lonely(facts: Facts, plan: Plan) -> set[str]:
    """The bridges on which all is new: nobody there remembers anything, and a broadcast to many takes long."""
    created = [each.subject for each in plan if each.action == "create"]
    came = {item.local_interface for item in created if isinstance(item, Port)}
    switch = facts.switch.members if facts.switch else {}
    addressed = {address.device for address in facts.addresses.get(HOST, ())}
    return {
        device.name for device in facts.host.values()
        if device.type == "bridge" and device.name not in addressed
        and all(port.name in came for port in facts.ports_of(device.name))
    } | {name for name, ports in switch.items() if name not in addressed and came.issuperset(ports)}


def on_switch(port: t.Any, state: State) -> OvsPort | None:
    """What the host's end of a pair is in Open vSwitch."""
    found = state.get(port_row_key(str(port.local_interface))) if isinstance(port, Port) else None
    return found if isinstance(found, OvsPort) else None


def addresses_of(item: Attachment, label: str, state: State) -> list[t.Any]:
    grant = grant_of(item, label, state)
    grant6 = dhcp6.grant_of(item, label, state)
    listed = (item.addresses or ()) + ((grant.address,) if grant else ())
    listed += (f"{grant6.address}/128",) if grant6 else ()
    return [Address(label, item.interface, address).key for address in dict.fromkeys(listed)]
