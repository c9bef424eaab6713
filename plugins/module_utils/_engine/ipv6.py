# Copyright: pipework.containers contributors
# GNU General Public License v3.0+ (see LICENSE)
"""IPv6 on interfaces that get an IPv6 address. Engines, Docker among them, switch it off in containers, and the kernel
takes no such address then: to switch it on for that interface is an operation like others, of every module."""
from __future__ import annotations

import typing as t

from .._core.errors import PipeworkError
from .._core.plan import Desired, Key, State
from .._model.keys import link_key
from .._model.objects import Address, Link
from .._model.sysctl import Sysctl, path_of
from .._netlink.namespaces import Namespaces
from .executors import Passes

PARAMETER = "net.ipv6.conf.IFNAME.disable_ipv6"
ON, OFF = "0", "1"

Place = tuple[str, str]  # label and name of an interface


class Ipv6(Passes):
    """What a run switches on: it is looked at again in each of its passes."""

    def __init__(self) -> None:
        self._switched: set[Place] = set()

    def add(self, state: State, desired: Desired, namespaces: Namespaces) -> None:
        """Adds the parameter of interfaces where it is in the way to both. PipeworkError where it is wanted so."""
        _refuse_both(desired)
        anew = {key for key, want in desired.items() if isinstance(want, Link) and key in state
                and want.must_replace(state[key])}
        places: dict[str, dict[str, None]] = {}  # the devices of each namespace, once and in order
        for label, device in (*_places(state, desired, anew), *sorted(self._switched)):
            places.setdefault(label, {})[device] = None
        for label, devices in places.items():
            there = {device: _there(state, anew, label, device) for device in devices}
            paths = [path_of(PARAMETER, there[device] or "default") for device in devices]
            for device, value in zip(devices, namespaces[label].read_sysctls(paths)):
                if value == OFF:
                    self._switched.add((label, device))
                if value is None or (label, device) not in self._switched:
                    continue
                wanted = Sysctl(label, device, PARAMETER, ON)
                if there[device]:
                    state.setdefault(wanted.key, Sysctl(label, device, PARAMETER, value))
                desired.setdefault(wanted.key, wanted)


def _there(state: State, anew: t.Container[Key], label: str, device: str) -> str:
    """The name of an interface that stays, in its namespace; nothing for one that is made, which is as the default."""
    link = state.get(link_key(label, device))
    return (link.renamed or device) if isinstance(link, Link) and link.key not in anew else ""


def _places(state: State, desired: Desired, anew: t.Container[Key]) -> t.Iterator[Place]:
    """The interfaces that get an IPv6 address."""
    for key, want in desired.items():
        if isinstance(want, Address) and ":" in want.address and (key not in state or want.carrier in anew):
            yield want.ns, want.device
    for key, have in state.items() if anew else ():
        if isinstance(have, Address) and ":" in have.address and have.carrier in anew and key not in desired:
            yield have.ns, have.device  # it is made anew with its interface


def _refuse_both(desired: Desired) -> None:
    off = {(want.ns, want.device) for want in desired.values()
           if isinstance(want, Sysctl) and (want.parameter, want.value) == (PARAMETER, OFF)}
    for want in desired.values() if off else ():
        if isinstance(want, Address) and ":" in want.address and (want.ns, want.device) in off:
            raise PipeworkError(
                f"sysctls: {PARAMETER}: {OFF} switches IPv6 off on {want.ns}/{want.device}, which is to have the "
                f"address {want.address}; leave one of them out."
            )
