# Copyright: pipework.containers contributors
# GNU General Public License v3.0+ (see LICENSE)
"""Name servers of leases in containers' own resolv.conf, for attachments that ask for them. Pure."""
from __future__ import annotations

import re
import typing as t

from .._core.plan import Absent, KernelObject, Key, State
from .._files.blocks import NAME, OwnBlock, Resolver, Where
from .._model.keys import link_key
from .._model.objects import Link
from .._model.observed import Facts
from . import dhcp4, dhcp6
from .context import Target, Wish
from .options import Attachment

SERVERS_MAX = 3  # more are not asked by any C library


def resolver_key(label: str, interface: str) -> Key:
    return (Resolver.KIND, label, interface)


def lines_of(grants: t.Iterable[t.Any], interface: str) -> tuple[str, ...]:
    """The lines that leases make; none where they name no servers."""
    given = [grant for grant in grants if grant is not None]
    servers = list(dict.fromkeys(
        f"{server}%{interface}" if server.lower().startswith("fe80:") else server
        for grant in given for server in grant.dns
    ))
    domain = next((grant.domain for grant in given if grant.domain), None)
    found = tuple(f"nameserver {server}" for server in servers[:SERVERS_MAX])
    return (*found, f"search {domain}") if found and domain else found


def is_about(item: Attachment) -> bool:
    """Whether an attachment's options alone may concern such a file."""
    return item.state == "absent" or any(each is not None for each in (item.dhcp_dns, item.dhcp, item.dhcp6))


def concerns(item: Attachment, label: str, facts: Facts) -> bool:
    """Whether lines of ours may be in the container's file."""
    if is_about(item):
        return True
    held = {lease.key for lease in facts.leases} | {lease.key for lease in facts.unlisted}
    return bool(held & {(kind, label, item.interface) for kind in ("lease", "lease6")})


def wish_resolvers(
    targets: t.Sequence[Target], places: t.Mapping[str, Where], state: State, wish: Wish,
) -> t.Iterator[str]:
    """What a run wants in these files, and warnings. ``places``: whose files they are, by container."""
    listed = {(target.label, target.item.interface) for target in targets}
    asking: dict[str | None, Target] = {}
    for target in targets:
        item, label = target.item, target.label
        if item.state == "absent":
            known = label or f"netns:{target.name or item.container}"
            wish.want(Absent(resolver_key(known, item.interface)))
        elif item.dhcp_dns:
            other = asking.setdefault(label, target)
            if other is not target:
                raise item.refuse(
                    f"dhcp_dns: {label} would get name servers by {other.item.interface} and by {item.interface}, but "
                    "its resolv.conf can have those of one lease; leave it out for one of them."
                )
            if not re.fullmatch(NAME, item.interface):
                raise item.refuse(f"dhcp_dns: the interface's name {item.interface!r} must be of ASCII for it.")
            yield from _asked(target, places[str(label)], state, wish)
        elif item.dhcp_dns is False or (item.dhcp, item.dhcp6) != (None, None) or dhcp4.drops(item):
            wish.want(Absent(resolver_key(str(label), item.interface)))
    for block in [each for each in state.values() if isinstance(each, Resolver)]:
        if block.ns in asking and (block.ns, block.block) not in listed:
            link = state.get(link_key(block.ns, block.block))
            item = asking[block.ns].item
            if isinstance(link, Link) and link.owner and not isinstance(wish.desired.get(link.key), Absent):
                raise item.refuse(
                    f"dhcp_dns: {block.ns} has name servers by {block.block} already; take them away there first, with "
                    "'dhcp_dns: false'."
                )
            wish.want(Absent(block.key))  # its interface is gone, and its lease with it


def _asked(target: Target, place: Where, state: State, wish: Wish) -> t.Iterator[str]:
    item, label = target.item, str(target.label)
    grants = [dhcp4.grant_of(item, label, state), dhcp6.grant_of(item, label, state)]
    known = [grant for grant in grants if grant is not None]
    lines = lines_of(grants, item.interface)
    if lines:
        wish.want(Resolver(label, item.interface, lines, place))
    elif len(known) == bool(item.dhcp) + bool(item.dhcp6):
        wish.want(Absent(resolver_key(label, item.interface)))
        yield (
            f"dhcp_dns: the lease of {label}/{item.interface} names no servers; the container's resolv.conf is left "
            "as it is."
        )


def renewed(
    item: Attachment, label: str, state: State, place: Where | None, there: t.Sequence[OwnBlock],
) -> t.Iterator[KernelObject | Absent]:
    """What becomes of them with another lease, or with none."""
    lines = lines_of([dhcp4.grant_of(item, label, state), dhcp6.grant_of(item, label, state)], item.interface)
    if lines and place is not None:
        yield Resolver(label, item.interface, lines, place)
    else:
        yield from (Absent(each.key) for each in there if each.block == item.interface)
