# Copyright: pipework.containers contributors
# GNU General Public License v3.0+ (see LICENSE)
"""What an attachment wants of DHCPv6, and what the lease that it has means to its interface. Pure."""
from __future__ import annotations

import dataclasses
import typing as t

from .._core.plan import Absent, Desired, KernelObject, Key, State
from .._ipam.dhcp4_grant import hostname_of
from .._ipam.dhcp6_grant import Grant6, duid_of
from .._model.keys import link_key
from .._model.objects import Address
from .context import Scene
from .network import through_of
from .options import Attachment


@dataclasses.dataclass(frozen=True)
class Lease6(KernelObject):
    """What was asked for and granted. Its address is an object of its own, when it is there."""

    KIND = "lease6"
    IDENTITY = ("ns", "device")
    HINTS = frozenset({"owner", "seconds", "grant"})

    device: str
    hostname: str | None = None
    duid: str | None = None  # hexadecimal
    through: str | None = None  # the network that it is of, as that of IPv4
    owner: str | None = None  # the mark of its attachment
    seconds: float | None = None  # how long to ask for it
    grant: t.Any = None

    @property
    def name(self) -> str:
        return self.device

    @property
    def carrier(self) -> Key:
        return link_key(self.ns, self.device)

    @property
    def asked(self) -> dict[str, t.Any]:
        """What was asked for, as it is kept with what was granted."""
        return {"hostname": self.hostname, "duid": self.duid, "through": self.through}

    def differences(self, observed: KernelObject) -> frozenset[str]:
        found = super().differences(observed)
        return found - {"through"} if t.cast("Lease6", observed).through is None else found  # of earlier versions

    def over(self, observed: KernelObject) -> KernelObject:
        changed = t.cast("Lease6", super().over(observed))
        return dataclasses.replace(changed, owner=self.owner, seconds=self.seconds)


def held(label: str, interface: str, state: State) -> Lease6 | None:
    return t.cast("Lease6 | None", state.get((Lease6.KIND, label, interface)))


def grant_of(item: Attachment, label: str, state: State) -> Grant6 | None:
    """The lease that an attachment has and keeps."""
    have = held(label, item.interface, state)
    return t.cast("Grant6 | None", have.grant) if have is not None and item.dhcp6 else None


def wanted_lease(
    item: Attachment, label: str, name: str, owner: str, scene: Scene, desired: Desired,
) -> t.Iterator[KernelObject | Absent]:
    """The lease of an attachment, and its address."""
    have = held(label, item.interface, scene.state)
    if item.dhcp6 is False and have is not None or grant_of(item, label, scene.state) is not None:
        yield from leased(item, label, scene)
    if item.dhcp6 is False and have is not None:
        yield Absent(have.key)
    if not item.dhcp6:
        return
    yield Lease6(
        ns=label, device=item.interface, hostname=item.dhcp_hostname or hostname_of(name),
        duid=duid_of(scene.facts.host_seed, label, item.interface).hex(), owner=owner, seconds=item.dhcp_timeout,
        grant=have.grant if have else None, through=through_of(item, label, desired, have.through if have else None),
    )


def leased(item: Attachment, label: str, scene: Scene) -> t.Iterator[KernelObject | Absent]:
    """The address of a lease, and none of another one. Those of DHCPv6 have no prefix, unlike those of routers."""
    grant = grant_of(item, label, scene.state)
    wanted = []
    if grant is not None:
        now = scene.facts.now
        preferred = None if grant.preferred is None else max(0, int(grant.preferred - now))
        wanted.append(
            Address(label, item.interface, f"{grant.address}/128", valid=grant.left(now), preferred=preferred)
        )
    for address in scene.carried[link_key(label, item.interface)]:
        lent = isinstance(address, Address) and address.valid is not None and address.address.endswith("/128")
        if lent and address.key not in {each.key for each in wanted}:
            yield Absent(address.key)
    yield from wanted
