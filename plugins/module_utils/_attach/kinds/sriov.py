# Copyright: pipework.containers contributors
# GNU General Public License v3.0+ (see LICENSE)
"""Kind sriov: a virtual function of a card, by its number; its interface moves into the container as a NIC does."""
from __future__ import annotations

import typing as t

from ..._core.plan import Absent, KernelObject
from ..._model.objects import HOST, Device, Link, Nic
from ..._model.sriov import Card, Function, Vf, VfAddress
from ..._model.sriov_record import VirtualFunction
from ..site import Site
from . import phys


def wanted(site: Site) -> t.Iterator[KernelObject | Absent]:
    item = site.item
    number = int(t.cast(int, item.vf))
    if site.label == HOST:
        raise item.refuse("kind: sriov moves a virtual function into a container; on the host it is already.")
    pf = site.parent().name
    function = _function(site, pf, number)

    def is_meant(nic: Nic) -> bool:
        return nic.vf is not None and (nic.vf.pf, nic.vf.number) == (pf, number)

    def find() -> Device:
        if function.device not in site.facts.host:
            raise item.refuse(f"vf: {_nowhere(site, pf, function)}")
        return site.facts.host[function.device]

    options = dict(item.port or ())
    checks = options.pop("mac_spoof_check", None)
    if options:
        raise item.refuse(f"port: {', '.join(options)}: kind sriov has mac_spoof_check alone.")
    for option, value, known in (("vlan", item.vlan, function.vf.vlan),
                                 ("port: mac_spoof_check", checks, function.vf.spoof_check)):
        if value is not None and known is None:
            raise item.refuse(f"{option}: the driver of {pf} does not set this for its virtual functions.")
    yield Link(HOST, pf, up=True)
    # What a container that died has left behind is not for the next one.
    left = phys.thrown_back(site, is_meant)
    nic = phys.remembered(left, site.facts) if left else None
    rest = VirtualFunction(pf, number)
    if nic and nic.vf:
        rest = nic.vf
        yield from (each for each in phys.restored(nic, site.facts) if each.key[0] == VfAddress.KIND)
    yield Vf(
        HOST, pf, number, vlan=rest.vlan if item.vlan is None else item.vlan,
        qos=rest.qos if item.vlan is None else 0, spoof_check=rest.spoof_check if checks is None else checks,
    )
    if item.mac_address:
        yield VfAddress(HOST, pf, number, mac=item.mac_address, lent=True)
    yield from phys.moved(site, is_meant, find, function.vf)


def _function(site: Site, pf: str, number: int) -> Function:
    """The function of that number, or an error that says which there are."""
    card = site.facts.cards.get(pf, Card({}))
    if number in card.functions:
        return card.functions[number]
    if not card.functions and not card.most:
        raise site.item.refuse(f"host_interface: {pf} is not a card with virtual functions (SR-IOV).")
    more = f"'echo {number + 1} > /sys/class/net/{pf}/device/sriov_numvfs' makes more, while none is in use."
    if not card.functions:
        more = more.replace("makes more, while none is in use", "makes them")
        has = f"{pf} has no virtual functions so far, of {card.most} that it can have"
    else:
        has = f"{pf} has {len(card.functions)} virtual function(s), 0 to {max(card.functions)}"
        has += f", of {card.most} that it can have"
    if number >= card.most:
        raise site.item.refuse(f"vf: {number}: {has}.")
    raise site.item.refuse(f"vf: {number}: {has}; {more}")


def _nowhere(site: Site, pf: str, function: Function) -> str:
    """Why a function has no interface on the host."""
    number = function.vf.number
    for link in site.state.values():
        nic = link.nic if isinstance(link, Link) else None
        if nic is not None and nic.vf is not None and (nic.vf.pf, nic.vf.number) == (pf, number):
            return f"{number} of {pf} is in {link.ns} already, as {link.name}; remove that attachment first."
    if function.driver is None:
        return (
            f"{number} of {pf} has no driver, and so no network interface: load the driver of the card's virtual "
            "functions."
        )
    return (
        f"{number} of {pf} has no network interface on the host: it is in another container, "
        f"or its driver ({function.driver}) makes none."
    )
