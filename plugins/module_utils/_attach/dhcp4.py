# Copyright: pipework.containers contributors
# GNU General Public License v3.0+ (see LICENSE)
"""What an attachment wants of DHCP, and what the lease that it has means to its interface. Pure."""
from __future__ import annotations

import dataclasses
import typing as t

from .._agent.record import ASKED, DUTIES, FROM_SERVER, LEASE, LEASE6, LINK_LOCAL, METRIC, Keep
from .._core.plan import Absent, Desired, KernelObject, Key, State
from .._ipam.dhcp4_grant import Grant, Helper, Lease, hostname_of
from .._ipam.dhcp6_grant import duid_of
from .._ipam.external import DOCKER
from .._model.keys import link_key
from .._model.objects import PROTOCOL, Link, Route
from .._model.observed import Facts
from .context import Target
from .network import through_of
from .options import Attachment


def lease_key(label: str, interface: str) -> Key:
    return ("lease", label, interface)


def keep_key(label: str, interface: str) -> Key:
    return ("dhcp_keep", label, interface)


def held(label: str, interface: str, state: State) -> Lease | None:
    return t.cast("Lease | None", state.get(lease_key(label, interface)))


def drops(item: Attachment) -> bool:
    """Whether an attachment has static addresses now, and nothing else."""
    return item.dhcp is None and item.addresses is not None and not item.append


def wanted_dhcp(target: Target, facts: Facts, state: State, desired: Desired) -> t.Iterator[KernelObject | Absent]:
    """The lease of an attachment, who stays with it, and the MTU that the lease brings."""
    item, label = target.item, str(target.label)
    yield from _wanted_keep(target, facts, state, through_of(item, label, desired, None))
    have = held(label, item.interface, state)
    if item.dhcp is None:
        if drops(item):
            yield Absent(lease_key(label, item.interface))
        return
    yield Lease(
        label, item.interface, client=item.dhcp, hostname=item.dhcp_hostname or hostname_of(target.name),
        options=item.dhcp_options or (), mac=item.mac_address, owner=target.owner, seconds=item.dhcp_timeout,
        grant=have.grant if have else None, probe=item.announce,
        through=through_of(item, label, desired, have.through if have else None),
        helper=Helper(target.ident, target.user, item.dhcp_image) if item.dhcp == DOCKER else None,
    )
    link, now = (each.get(link_key(label, item.interface)) for each in (desired, state))
    if not isinstance(link, Link) or item.mtu is not None:
        return
    if have is None and isinstance(now, Link):  # the next lease will tell
        yield dataclasses.replace(link, mtu=now.mtu)
    elif have is not None and have.grant and have.grant.mtu:
        yield dataclasses.replace(link, mtu=min(have.grant.mtu, link.mtu or have.grant.mtu))


def _wanted_keep(
    target: Target, facts: Facts, state: State, through: str | None,
) -> t.Iterator[KernelObject | Absent]:
    """Of what an attachment says nothing about, all stays as it is."""
    item, label = target.item, str(target.label)
    said = {
        LEASE: item.dhcp_keep if item.dhcp is not None else False if drops(item) else None,
        LEASE6: item.dhcp_keep if item.dhcp6 else item.dhcp6, LINK_LOCAL: item.link_local,
    }
    have = t.cast("Keep | None", state.get(keep_key(label, item.interface)))
    now = (have.duties if have is not None else None) or ()
    wanted = tuple(duty for duty in DUTIES if said[duty] or said[duty] is None and duty in now)
    if wanted and (any(said.values()) or wanted != now):
        asks, named = said[LEASE], said[LEASE] or said[LEASE6]
        yield Keep(
            label, item.interface, running=True, program=facts.keeper, duties=wanted, mac=item.mac_address,
            hostname=(item.dhcp_hostname or hostname_of(target.name)) if named else None,
            options=item.dhcp_options or () if asks else None,
            gateway=_gateways(item) if asks else None,
            mtu=None if not asks else FROM_SERVER if item.mtu is None else str(item.mtu),
            duid=duid_of(facts.host_seed, label, item.interface).hex(), dns=bool(item.dhcp_dns),
            table=(item.table or 0) if named else None, through=through, owner=target.owner, holder=dict(target.holder),
        )
    elif not wanted and False in said.values():
        yield Absent(keep_key(label, item.interface))


def _gateways(item: Attachment) -> str:
    """As the record of who stays has them."""
    words = [FROM_SERVER] if item.gateway is None else [*item.gateway]
    words += [ASKED] if item.gateway_dhcp else []
    return " ".join(words if item.gateway_metric is None else [*words, f"{METRIC}{item.gateway_metric}"])


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
