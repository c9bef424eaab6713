# Copyright: pipework.containers contributors
# GNU General Public License v3.0+ (see LICENSE)
"""What an attachment wants of DHCP, and what the lease that it has means to its interface. Pure."""
from __future__ import annotations

import dataclasses
import typing as t

from ._attachment import Attachment
from ._dhcp_clients import DOCKER
from ._dhcp_keep import FROM_SERVER, Keep
from ._dhcp_lease import Grant, Helper, Lease, hostname_of
from ._facts import link_key
from ._model import PROTOCOL, Link, Route
from ._plan import Absent, Desired, KernelObject, Key, State

if t.TYPE_CHECKING:
    from ._attach import Target


def lease_key(label: str, interface: str) -> Key:
    return ("lease", label, interface)


def keep_key(label: str, interface: str) -> Key:
    return ("dhcp_keep", label, interface)


def held(label: str, interface: str, state: State) -> Lease | None:
    return t.cast("Lease | None", state.get(lease_key(label, interface)))


def drops(item: Attachment) -> bool:
    """Whether an attachment has static addresses now, and nothing else."""
    return item.dhcp is None and item.addresses is not None and not item.append


def wanted_dhcp(target: Target, keeper: str, state: State, desired: Desired) -> t.Iterator[KernelObject | Absent]:
    """The lease of an attachment, the client that stays, and the MTU that the lease brings."""
    item, label = target.item, str(target.label)
    yield from _wanted_keep(target, keeper)
    have = held(label, item.interface, state)
    if item.dhcp is None:
        if drops(item):
            yield from (Absent(key) for key in (lease_key(label, item.interface), keep_key(label, item.interface)))
        return
    yield Lease(
        label, item.interface, client=item.dhcp, hostname=item.dhcp_hostname or hostname_of(target.name),
        options=item.dhcp_options or (), mac=item.mac_address, owner=target.owner, seconds=item.dhcp_timeout,
        grant=have.grant if have else None, probe=item.announce,
        helper=Helper(target.ident, target.user, item.dhcp_image) if item.dhcp == DOCKER else None,
    )
    link, now = (each.get(link_key(label, item.interface)) for each in (desired, state))
    if not isinstance(link, Link) or item.mtu is not None:
        return
    if have is None and isinstance(now, Link):  # the next lease will tell
        yield dataclasses.replace(link, mtu=now.mtu)
    elif have is not None and have.grant and have.grant.mtu:
        yield dataclasses.replace(link, mtu=min(have.grant.mtu, link.mtu or have.grant.mtu))


def _wanted_keep(target: Target, program: str) -> t.Iterator[KernelObject | Absent]:
    item, label = target.item, str(target.label)
    if item.dhcp is not None and item.dhcp_keep:
        yield Keep(
            label, item.interface, running=True, program=program,
            hostname=item.dhcp_hostname or hostname_of(target.name), options=item.dhcp_options or (),
            mac=item.mac_address, owner=target.owner, holder=dict(target.holder),
            gateway=FROM_SERVER if item.gateway is None else " ".join(item.gateway),
            mtu=FROM_SERVER if item.mtu is None else str(item.mtu), dns=bool(item.dhcp_dns),
        )
    elif item.dhcp is not None:
        yield Absent(keep_key(label, item.interface))


def grant_of(item: Attachment, label: str, state: State) -> Grant | None:
    """The lease that an attachment has and keeps."""
    have = held(label, item.interface, state)
    return t.cast("Grant | None", have.grant) if have is not None and item.dhcp is not None else None


def routes_of(grant: Grant, label: str, device: str) -> t.Iterator[Route]:
    """The routes that a server gives beside the default one."""
    for destination, gateway in grant.routes:
        yield Route(
            label, 4, destination, gateway=gateway, device=device, scope=0 if gateway else 253, protocol=PROTOCOL
        )
