# Copyright: pipework.containers contributors
# GNU General Public License v3.0+ (see LICENSE)
"""What stands on the host's NICs, in whatever namespace, and what can stand there beside it. Pure.

The kernel refuses some of this with a bare error number, and some it does silently: it changes the mode of all ipvlans
of a NIC with that of one, and deletes the macvlans of a NIC that moves. So it is found out before, in check mode too.
"""
from __future__ import annotations

import dataclasses
import typing as t

from .._core.items import Item
from .._core.plan import Absent, Desired, State
from .._model.keys import link_key
from .._model.objects import HOST, Device, Link, owner_fields
from .._model.observed import Facts
from .carried import burdens, sentence

FAMILIES = {"macvlan": "macvlan", "macvtap": "macvlan", "ipvlan": "ipvlan", "ipvtap": "ipvlan"}  # one a NIC
UPPERS = (*FAMILIES, "vlan", "macsec")
HOLDING = (*FAMILIES, "macsec")  # what takes the frames of its NIC, so that no bridge can have them
PASSTHRU = "passthru"


class Upper(t.NamedTuple):
    """An interface that stands on a NIC, and where it is."""

    title: str  # docker:web1/eth1
    type: str | None
    mode: str | None
    mac: str | None
    leaves: bool = False  # in this run, but only when what comes is there

    def __str__(self) -> str:
        mode = f" in mode {self.mode}" if self.mode else ""
        leaves = ", which this run removes only afterwards: do that in a task before" if self.leaves else ""
        return f"{self.title} ({self.type}{mode}{leaves})"


@dataclasses.dataclass(frozen=True)
class Newcomer:
    """What a run wants to put on a NIC, or the NIC itself, which it wants to move."""

    item: Item
    nic: str
    upper: Upper
    moves: bool = False
    force: bool = False  # whatever it carries


def known(facts: Facts, state: State, desired: Desired) -> dict[str, list[Upper]]:
    """What stands on NICs, and what will when all is done, in the namespaces that are open, by the NIC's name."""
    found: dict[str, list[Upper]] = {}
    for key in dict.fromkeys((*state, *desired)):
        have, want = state.get(key), desired.get(key)
        link = want.over(have) if isinstance(want, Link) and have is not None else want or have
        leaves = isinstance(want, Absent)
        link = have if leaves else link
        if isinstance(link, Link) and link.type in UPPERS and link.parent:
            upper = upper_of(f"{link.ns}/{link.ifname}", link)
            found.setdefault(link.parent, []).append(upper._replace(leaves=leaves))
    for device in facts.host.values():
        key = link_key(HOST, device.name)
        nic = facts.host_name(device.parent_index) if device.parent_netnsid is None else None
        if key in desired or nic is None or device.type not in UPPERS:
            continue
        upper = Upper(device.name, device.type, (device.settings or {}).get("mode"), device.mac)
        if upper not in found.setdefault(nic, []):  # somebody else's are no links with a parent
            found[nic].append(upper)
    return found


def elsewhere(where: str, device: Device) -> Upper:
    """One in a namespace that no attachment of the run is about. Whose it is, only its mark says."""
    fields = owner_fields(device.owner)
    title = f"{fields[0]}:{fields[1]}/{device.name}" if fields else f"{device.name} in the network namespace {where}"
    return Upper(title, device.type, (device.settings or {}).get("mode"), device.mac)


def upper_of(title: str, link: Link) -> Upper:
    return Upper(title.removeprefix(f"{HOST}/"), link.type, (link.settings or {}).get("mode"), link.mac)


def check(coming: t.Iterable[Newcomer], standing: t.Mapping[str, t.Sequence[Upper]], facts: Facts) -> None:
    """Raises PipeworkError, which names what stands there, for what cannot be beside it."""
    for new in coming:
        others = [upper for upper in standing.get(new.nic, ()) if upper.title != new.upper.title]
        if new.moves:
            carried = [*burdens(new.nic, facts), *([_listed(others)] if others else [])]
            if carried and not new.force:
                raise new.item.refuse(f"host_interface: {sentence(new.nic, carried)}")
            continue
        _check_family(new, others)
        _check_mac(new, others, facts)


def _check_family(new: Newcomer, others: t.Sequence[Upper]) -> None:
    mine = FAMILIES[str(new.upper.type)]
    for other in others:
        theirs = FAMILIES.get(str(other.type))
        if theirs is None:
            continue
        if theirs != mine:
            raise new.item.refuse(
                f"kind: {new.upper.type} is not possible on {new.nic}, which carries {other}: a NIC has macvlans and "
                "macvtaps, or ipvlans, but not both."
            )
        if mine == "ipvlan" and other.mode is not None and other.mode != new.upper.mode:
            raise new.item.refuse(
                f"mode: {new.upper.mode} is not possible, since {new.nic} carries {other}, and all on one NIC have "
                "the same mode."
            )
        if mine == "macvlan" and PASSTHRU in (new.upper.mode, other.mode):
            raise new.item.refuse(
                f"mode: {new.upper.mode} is not possible, since {new.nic} carries {other}: an interface in mode "
                f"{PASSTHRU} has the NIC for itself."
            )


def _check_mac(new: Newcomer, others: t.Sequence[Upper], facts: Facts) -> None:
    if new.upper.mac is None or FAMILIES[str(new.upper.type)] == "ipvlan" or new.upper.mode == PASSTHRU:
        return
    nic = facts.host.get(new.nic)
    if nic is not None and nic.mac == new.upper.mac:
        raise new.item.refuse(f"mac_address: {new.upper.mac} is the address of {new.nic} itself; choose another one.")
    for other in others:
        if other.mac == new.upper.mac and other.type in FAMILIES:
            raise new.item.refuse(
                f"mac_address: {new.upper.mac} is the address of {other} already, which stands on {new.nic} too; "
                "choose another one."
            )


def _listed(uppers: t.Sequence[Upper]) -> str:
    shown = ", ".join(str(upper) for upper in uppers[:3])
    return shown if len(uppers) <= 3 else f"{shown} and {len(uppers) - 3} more"


def holds(port: str, uppers: t.Sequence[Upper]) -> str | None:
    """Why the kernel does not let a NIC be a port of a bridge; None where it does."""
    holding = [upper for upper in uppers if upper.type in HOLDING]
    if not holding:
        return None
    return (
        f"{port} carries {_listed(holding)}, and the kernel lets no NIC be a port of a bridge as well; remove that "
        f"first, or attach to {port} without a bridge."
    )
