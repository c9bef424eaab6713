# Copyright: pipework.containers contributors
# GNU General Public License v3.0+ (see LICENSE)
"""Waits until the kernel has looked for duplicates of new IPv6 addresses, in all containers of a run at the same time.

The kernel says when it is done with each, so nothing is polled. It takes a second or two (RFC 4862).
"""
from __future__ import annotations

import select
import socket
import struct
import time
import typing as t

from . import _codec
from ._netlink import RECEIVE_BYTES, Namespaces
from ._wire import attributes

SECONDS = 30.0  # for a machine that has much to do; the kernel's own time is dad_transmits seconds and one
RTMGRP_IPV6_IFADDR = 0x100
RTM_NEWADDR = 20
IFA_ADDRESS, IFA_LOCAL = 1, 2
TENTATIVE, OPTIMISTIC, FAILED = 0x40, 0x04, 0x08
USABLE, DUPLICATE, UNDECIDED, DARK = "usable", "duplicate", "tentative", "without a carrier"


class Newcomer(t.NamedTuple):
    """An address of an interface, without the length of its prefix."""

    label: str
    interface: str
    address: str


class _Ear:
    """What one namespace says about its addresses."""

    def __init__(self, label: str, newcomers: t.Sequence[Newcomer], namespaces: Namespaces) -> None:
        self._netns = namespaces[label]
        self.states: dict[Newcomer, str] = {}
        self._wanted: dict[tuple[int, bytes], Newcomer] = {}
        for name in {each.interface for each in newcomers}:
            device = self._netns.device(name)
            for each in newcomers if device is not None else ():
                if each.interface == name:
                    self._wanted[device.index, socket.inet_pton(socket.AF_INET6, each.address)] = each  # type: ignore[union-attr]
                    self.states[each] = UNDECIDED if device.carrier else DARK  # type: ignore[union-attr]
        self.events = self._netns.inside(_listen)  # before the first look
        self.look()

    def look(self) -> None:
        for raw in self._netns.read(_codec.dump_addresses()):
            self._note(raw)

    def catch_up(self) -> None:
        """Reads what the kernel has said; if it had more to say than there was room for, looks anew."""
        try:
            data = self.events.recv(RECEIVE_BYTES, socket.MSG_DONTWAIT)
        except BlockingIOError:
            return
        except OSError:  # ENOBUFS
            self.look()
            return
        at = 0
        while at + 16 <= len(data):
            length, kind = struct.unpack_from("=IH", data, at)
            if kind == RTM_NEWADDR:
                self._note(data[at:at + length])
            at += (max(length, 16) + 3) & ~3

    def _note(self, raw: bytes) -> None:
        index, flags = struct.unpack_from("=I", raw, 20)[0], raw[18]
        values = {kind: raw[at:end] for kind, at, end in attributes(raw, 24, len(raw)) if kind <= IFA_LOCAL}
        each = self._wanted.get((index, values.get(IFA_LOCAL) or values.get(IFA_ADDRESS) or b""))
        if each is not None:
            waiting = flags & TENTATIVE and not flags & OPTIMISTIC
            dark = DARK if self.states[each] == DARK else UNDECIDED
            self.states[each] = DUPLICATE if flags & FAILED else dark if waiting else USABLE

    def undecided(self) -> bool:
        return UNDECIDED in self.states.values()


def _listen() -> socket.socket:
    sock = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, socket.NETLINK_ROUTE)
    sock.bind((0, RTMGRP_IPV6_IFADDR))
    return sock


def settle(
    newcomers: t.Sequence[Newcomer], namespaces: Namespaces, seconds: float = SECONDS,
) -> dict[Newcomer, str]:
    """What has become of each in the end."""
    by_label: dict[str, list[Newcomer]] = {}
    for each in newcomers:
        by_label.setdefault(each.label, []).append(each)
    ears: dict[int, _Ear] = {}
    states: dict[Newcomer, str] = {}
    poller = select.poll()
    end = time.monotonic() + seconds
    try:
        for label, listed in by_label.items():
            ear = _Ear(label, listed, namespaces)
            states.update(ear.states)
            ears[ear.events.fileno()] = ear
            poller.register(ear.events, select.POLLIN)
        waiting = {fd for fd, ear in ears.items() if ear.undecided()}
        while waiting and time.monotonic() < end:
            for fd, _event in poller.poll(max(0.0, end - time.monotonic()) * 1000):
                ears[fd].catch_up()
                if not ears[fd].undecided():
                    waiting.discard(fd)
        for ear in ears.values():
            states.update(ear.states)
        return states
    finally:
        for ear in ears.values():
            ear.events.close()
