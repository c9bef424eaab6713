# Copyright: pipework.containers contributors
# GNU General Public License v3.0+ (see LICENSE)
"""What a run of attachments is about: its targets, what the kernel shows, and what is wanted. Below all kinds. Pure."""
from __future__ import annotations

import collections
import dataclasses
import typing as t

from .._core.plan import Absent, Desired, KernelObject, Key, State
from .._model.keys import link_key, port_key
from .._model.objects import Device, Link, Nic, Port, owner_of
from .._model.observed import Facts
from .options import Attachment


@dataclasses.dataclass(frozen=True)
class Target:
    """An attachment and the container that was found for it; ``label`` is None where there is none (any more)."""

    item: Attachment
    label: str | None
    runtime: str = ""
    name: str = ""
    ident: str = ""
    user: str | None = None  # whose rootless engine knows it
    other: tuple[str, str] | None = None  # kind veth: label and interface of the other end
    holder: t.Mapping[str, t.Any] = dataclasses.field(default_factory=dict)  # what its namespace is found by again
    published: bool = False  # whether its engine publishes ports of it

    @property
    def known_as(self) -> str:
        """Its name in marks: two users' engines may know the same one."""
        return f"{self.name}@{self.user}" if self.user else self.name

    @property
    def owner(self) -> str:
        return owner_of(self.runtime, self.known_as, self.ident, self.item.interface)


@dataclasses.dataclass
class Wish:
    """What a run wants, and which keys belong to the attachments themselves rather than to what they stand on."""

    desired: Desired = dataclasses.field(default_factory=dict)
    own: set[Key] = dataclasses.field(default_factory=set)
    bridges: set[str] = dataclasses.field(default_factory=set)  # that attachments use
    left: set[str] = dataclasses.field(default_factory=set)  # that attachments leave, and that go if we made them
    users: dict[str, Attachment] = dataclasses.field(default_factory=dict)  # of NICs
    standing: set[str] = dataclasses.field(default_factory=set)  # what attachments stand on,
    vacated: set[str] = dataclasses.field(default_factory=set)  # and did until now
    parted: set[Key] = dataclasses.field(default_factory=set)  # other ends of pairs that are no more
    told: list[str] = dataclasses.field(default_factory=list)  # warnings
    news: list[str] = dataclasses.field(default_factory=list)  # those about what the run itself changes

    def want(self, item: KernelObject | Absent, own: bool = True) -> None:
        key = item.key
        self.desired[key] = item
        if own:
            self.own.add(key)

    def want_all(self, items: t.Iterable[KernelObject | Absent], own: bool = True) -> None:
        for item in items:
            self.want(item, own)


class Scene:
    """What the kernel shows, with the look-ups that a run of a thousand attachments needs to be quick."""

    def __init__(self, facts: Facts, state: State) -> None:
        self.facts, self.state = facts, state
        self.carried: dict[Key, list[KernelObject]] = collections.defaultdict(list)
        self.marked: dict[str, list[Device]] = collections.defaultdict(list)  # the host's interfaces by their mark
        for item in state.values():
            if item.carrier is not None:
                self.carried[item.carrier].append(item)
        for device in facts.host.values():
            if device.owner:
                self.marked[device.owner].append(device)
        self.lent = [owner for owner in self.marked if Nic.unpack(owner)]  # of NICs that came back by themselves

    def link(self, label: str, name: str) -> Link | None:
        return t.cast("Link | None", self.state.get(link_key(label, name)))

    def port(self, label: str, name: str) -> Port | None:
        return t.cast("Port | None", self.state.get(port_key(label, name)))
