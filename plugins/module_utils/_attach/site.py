# Copyright: pipework.containers contributors
# GNU General Public License v3.0+ (see LICENSE)
"""The place of one attachment, which each kind is asked about. Below all kinds. Pure."""
from __future__ import annotations

import dataclasses
import typing as t

from .._core.errors import PipeworkError
from .._core.plan import State
from .._model.keys import link_key, port_key
from .._model.objects import Device, Link, Port
from .._model.observed import Facts, named
from .options import Attachment

NEW_BRIDGE_MTU = 1500  # as the kernel makes it


@dataclasses.dataclass(frozen=True)
class Site:
    """Where one attachment is to be made: the container, found and open, and what is known of it and of the host."""

    item: Attachment
    label: str
    owner: str
    ident: str
    facts: Facts
    state: State
    other: tuple[str, str] | None  # label and interface of the other end, for kind veth
    mtus: t.Mapping[str, int]  # the smallest MTU that the run gives to ports of a bridge

    @property
    def link(self) -> Link | None:
        """The container's interface as it is."""
        return t.cast("Link | None", self.state.get(link_key(self.label, self.item.interface)))

    @property
    def port(self) -> Port | None:
        """Its host end as it is."""
        return t.cast("Port | None", self.state.get(port_key(self.label, self.item.interface)))

    def parent(self) -> Device:
        """The host's interface that ``host_interface`` names; PipeworkError where there is none."""
        name = host_interface(self.item, self.facts)
        if name not in self.facts.host:
            raise self.item.refuse(unknown_interface(name, self.facts))
        return self.facts.host[name]

    def inherited_mtu(self, parent: Device | None) -> int | None:
        """The parent's MTU, or the smaller one that other ports of the same run will bring it to."""
        given = self.mtus.get(parent.name if parent else str(self.item.host_interface))
        if parent is None:  # a bridge to come: what moves to it from elsewhere has its MTU, too
            return given or (NEW_BRIDGE_MTU if self.link is not None else None)
        return min(parent.mtu, given) if given else parent.mtu


def unknown_interface(name: str, facts: Facts) -> str:
    """The classic words for a host interface that is not there."""
    near = ", ".join(sorted(facts.host)[:8]) or "none"
    return (
        f"host_interface: I do not know how to setup interface {name}: "
        f"it does not exist on the host (which has {near})."
    )


def host_interface(item: Attachment, facts: Facts) -> str:
    """The name behind ``mac:<address>``, or the name itself."""
    try:
        return named(str(item.host_interface), facts)
    except PipeworkError as error:
        raise item.refuse(str(error)) from None
