# Copyright: pipework.containers contributors
# GNU General Public License v3.0+ (see LICENSE)
"""IPv4 link-local addresses (RFC 3927): chosen from the MAC address, asked for, set and announced.

The kernel answers for one, so that who asks before taking it takes another one. Who takes it all the same is told by
the process that stays (_agent/link_local); if that does not help, a run gives the interface another one.
"""
from __future__ import annotations

import dataclasses
import struct
import typing as t

from .._attach.slaac import PREFIX, LinkLocal, candidates
from .._core.errors import PipeworkError
from .._core.plan import Failure, Operation
from .._model.objects import Address
from .._neighbour.announce import News, announce
from .._neighbour.probe import Claim, holders, own_macs
from .._netlink import rtnl
from .._netlink.namespaces import Namespaces, Netns
from . import store as files
from .agent import poke

AF_INET = 2


def observe(namespaces: Namespaces, places: t.Iterable[tuple[str, str, str]]) -> list[LinkLocal]:
    """The link-local addresses of interfaces, by label, name and owner, and whether somebody else has them too."""
    found: dict[Claim, LinkLocal] = {}
    own: dict[str, tuple[str, ...]] = {}
    for label, interface, owner in places:
        for each in _held(namespaces, label, interface):
            own[label] = own.get(label) or own_macs(namespaces[label])
            claim = Claim(label, interface, each.address.split("/")[0], own[label])
            found[claim] = LinkLocal(label, interface, address=each.address, owner=owner)
    taken = holders(list(found), namespaces, patience=0)
    return [dataclasses.replace(each, conflict=True if claim in taken else None) for claim, each in found.items()]


def _held(namespaces: Namespaces, label: str, interface: str) -> list[Address]:
    device = namespaces[label].device(interface)
    return _addresses(namespaces[label], {device.index: interface}) if device is not None else []


def _addresses(netns: Netns, names: dict[int, str]) -> list[Address]:
    mine = [
        raw for raw in netns.dump(rtnl.dump_addresses())
        if (raw[16], raw[19]) == (AF_INET, rtnl.RT_SCOPE_LINK) and struct.unpack_from("=I", raw, 20)[0] in names
    ]
    listed = (rtnl.decode_address(raw, netns.label, names) for raw in mine)
    return [address for address in listed if address.address.startswith(PREFIX)]


def change(work: t.Sequence[Operation], namespaces: Namespaces, done: list[Operation]) -> Failure:
    """Addresses that come, are exchanged for others, or go; all are asked for together."""
    failure: Failure = None
    coming: list[tuple[Operation, str]] = []
    for operation in work:
        subject = t.cast(LinkLocal, operation.subject)
        after = t.cast("LinkLocal | None", operation.after)
        try:
            netns = namespaces[subject.ns]
            device = netns.device(subject.device)
            for address in _held(namespaces, subject.ns, subject.device) if operation.before is not None else ():
                _send(namespaces, address, gone=True)
            if after is None or device is None:
                done.append(operation)
            elif after.address is not None:  # it comes back
                _send(namespaces, _address(after, after.address.split("/")[0]))
                done.append(operation)
            else:
                coming.append((operation, str(device.mac)))
        except OSError as error:
            failure = operation, error
    for operation, host, mac in _free(coming, namespaces):
        want = t.cast(LinkLocal, operation.after)
        try:
            if host is None:
                raise PipeworkError("link_local: each address that was tried is in use already.")
            _send(namespaces, _address(want, host))
            done.append(operation)
            announce([News(want.ns, want.device, mac, (host,))], namespaces)
        except (PipeworkError, OSError) as error:
            failure = operation, error
    if files.is_kept():
        poke()
    return failure


def _free(
    coming: t.Sequence[tuple[Operation, str]], namespaces: Namespaces,
) -> t.Iterator[tuple[Operation, str | None, str]]:
    """An address that nobody has, for each."""
    own: dict[str, tuple[str, ...]] = {}
    used: dict[str, set[str]] = {}  # in the same container: nobody else would say so
    for label in {operation.subject.ns for operation, _mac in coming}:
        own[label] = own_macs(namespaces[label])
        names = {device.index: device.name for device in namespaces[label].devices().values()}
        used[label] = {each.address.split("/")[0] for each in _addresses(namespaces[label], names)}
    left = {
        (operation.subject.ns, operation.key[2]): (operation, mac, _to_try(operation, mac)) for operation, mac in coming
    }
    while left:
        tried: dict[tuple[str, str], str | None] = {}
        for place, (_operation, _mac, drawn) in left.items():
            tried[place] = next((each for each in drawn if each not in used[place[0]]), None)
            used[place[0]].update([str(tried[place])])
        claims = {place: Claim(*place, address, own[place[0]]) for place, address in tried.items() if address}
        taken = holders(list(claims.values()), namespaces, 0)
        for place, address in tried.items():
            if address is None or claims[place] not in taken:
                operation, mac, _drawn = left.pop(place)
                yield operation, address, mac


def _to_try(operation: Operation, mac: str) -> t.Iterator[str]:
    """Those to try, but for those that were given up."""
    left = files.given_up(str(t.cast(LinkLocal, operation.subject).owner))
    return (each for each in candidates(mac) if each not in left)


def _address(want: LinkLocal, host: str) -> Address:
    return Address(
        want.ns, want.device, f"{host}/16", broadcast=f"{PREFIX}255.255", scope=rtnl.RT_SCOPE_LINK,
    )


def _send(namespaces: Namespaces, address: Address, gone: bool = False) -> None:
    netns = namespaces[address.ns]
    make = rtnl.delete_address if gone else rtnl.new_address
    [error] = netns.send([make(address, netns.index(address.device))])
    if error is not None:
        raise error
