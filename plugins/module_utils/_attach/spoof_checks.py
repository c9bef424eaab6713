# Copyright: pipework.containers contributors
# GNU General Public License v3.0+ (see LICENSE)
"""Which ports have their MAC addresses checked, and for which address. Pure.

What counts is what the host said: an address that a container has given itself is none that the check would let pass.
"""
from __future__ import annotations

import re
import typing as t

from .._core.normalize import stable_mac
from .._core.plan import Absent, Desired, State
from .._model.keys import link_key
from .._model.objects import HOST, Link, Port
from .._model.observed import Facts
from .._model.packet_filter import SpoofCheck
from .site import Site

OPTION = "mac_spoof_check"
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")  # what every version of nft takes and gives back


def checked_mac(site: Site) -> str | None:
    """The address that the port's check lets pass and its interface has; None where it is not to be checked."""
    item, port = site.item, site.port
    have = site.facts.spoof_checks.get(str(port.local_interface)) if port else None
    if not dict(item.port or ()).get(OPTION, have is not None):
        return None
    link = site.link
    current = link.mac if link is not None and link.type == "veth" else None
    made = stable_mac("port", site.facts.host_seed, site.label, site.ident, item.interface)
    return item.mac_address or have or current or made


def spoof_check(site: Site, local: str, mac: str | None) -> t.Iterator[SpoofCheck | Absent]:
    """What is wanted at a port, under the name that it will have."""
    old = site.port.local_interface if site.port else None
    if old is not None and old in site.facts.spoof_checks and (mac is None or old != local):
        yield Absent(SpoofCheck(HOST, old).key)
    if mac is None:
        return
    if site.facts.no_spoof_checks:
        raise site.item.refuse(f"port: {OPTION}: {site.facts.no_spoof_checks}")
    if not NAME.fullmatch(local):
        raise site.item.refuse(
            f"local_interface: {local!r}: with {OPTION} the name may hold letters, digits and _.- only, since it "
            "becomes part of a packet filter; choose another name or leave it out."
        )
    yield SpoofCheck(HOST, local, mac, active=True, renamed=old is not None and old != local)


def surplus(facts: Facts, state: State, desired: Desired) -> t.Iterator[Absent]:
    """The checks of ports that go, and of those that have gone already."""
    ports = {item.local_interface: item for item in state.values() if isinstance(item, Port)}
    for check in [item for item in state.values() if isinstance(item, SpoofCheck)]:
        name = check.local_interface
        if check.key in desired:
            continue
        device, port = facts.host.get(name), ports.get(name)
        ours = device is not None and device.owner
        if not ours or isinstance(desired.get(link_key(HOST, name)), Absent) or port and _goes(port, state, desired):
            yield Absent(check.key)


def _goes(port: Port, state: State, desired: Desired) -> bool:
    carrier = port.carrier or port.key
    link, have = desired.get(carrier), state.get(carrier)
    if isinstance(link, Absent) or isinstance(desired.get(port.key), Absent):
        return True
    return isinstance(link, Link) and isinstance(have, Link) and link.must_replace(have)
