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

from .._netlink import rtnl
from .._netlink.namespaces import RECEIVE_BYTES, Namespaces
from .._netlink.wire import attributes

SECONDS = 30.0  # for a machine that has much to do; the kernel's own time is dad_transmits seconds and one
RTMGRP_IPV6_IFADDR = 0x100
RTM_NEWADDR, RTM_DELADDR = 20, 21
RT_SCOPE_LINK, LINK_LOCAL = 253, "fe80::"
IFA_ADDRESS, IFA_LOCAL = 1, 2
TENTATIVE, OPTIMISTIC, FAILED, PERMANENT = 0x40, 0x04, 0x08, 0x80
USABLE, DUPLICATE, UNDECIDED, DARK = "usable", "duplicate", "tentative", "without a carrier"


class Newcomer(t.NamedTuple):
    """An address of an interface, without the length of its prefix."""

    label: str
    interface: str
    address: str


class Ear:
    """What one namespace says about its addresses.

    An address that is empty stands for any that a router gave, and LINK_LOCAL for the one that the kernel made.
    """

    def __init__(self, label: str, newcomers: t.Sequence[Newcomer], namespaces: Namespaces) -> None:
        self._netns = namespaces[label]
        self.states: dict[Newcomer, str] = {}
        self._wanted: dict[tuple[int, bytes], Newcomer] = {}
        for each in newcomers:
            device = self._netns.device(each.interface)
            if device is not None:
                address = socket.inet_pton(socket.AF_INET6, each.address) if each.address else b""
                self._wanted[device.index, address] = each
                self.states[each] = UNDECIDED if device.carrier else DARK
        self._seen: set[Newcomer] = set()
        self.events = self._netns.inside(_listen)  # before the first look
        self.look()

    def look(self) -> None:
        for raw in self._netns.dump(rtnl.dump_addresses()):
            self._note(raw)
        for each in set(self.states) - self._seen:
            if each.address not in ("", LINK_LOCAL):
                self.states[each] = DUPLICATE  # the kernel has removed it, as it does with lent ones

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
            if kind in (RTM_NEWADDR, RTM_DELADDR):
                self._note(data[at:at + length], gone=kind == RTM_DELADDR)
            at += (max(length, 16) + 3) & ~3

    def _note(self, raw: bytes, gone: bool = False) -> None:
        index, flags = struct.unpack_from("=I", raw, 20)[0], raw[18]
        values = {kind: raw[at:end] for kind, at, end in attributes(raw, 24, len(raw)) if kind <= IFA_LOCAL}
        address = values.get(IFA_LOCAL) or values.get(IFA_ADDRESS) or b""
        each = self._wanted.get((index, address))
        if each is None and raw[16] == socket.AF_INET6 and raw[17] < 128 and not raw[19] and not flags & PERMANENT:
            each = self._wanted.get((index, b""))
        if each is None and raw[16] == socket.AF_INET6 and raw[19] == RT_SCOPE_LINK:
            each = self._wanted.get((index, socket.inet_pton(socket.AF_INET6, LINK_LOCAL)))
        if each is not None and gone:
            self.states[each] = DUPLICATE if each.address not in ("", LINK_LOCAL) else UNDECIDED
        elif each is not None:
            self._seen.add(each)
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
    remind: t.Callable[[Newcomer], float | None] = lambda _each: None,
) -> dict[Newcomer, str]:
    """What has become of each in the end. ``remind`` is called for those that are still undecided, at first and then
    after as many seconds as it says."""
    by_label: dict[str, list[Newcomer]] = {}
    for each in newcomers:
        by_label.setdefault(each.label, []).append(each)
    ears: dict[int, Ear] = {}
    poller = select.poll()
    end = time.monotonic() + seconds
    try:
        for label, listed in by_label.items():
            ear = Ear(label, listed, namespaces)
            ears[ear.events.fileno()] = ear
            poller.register(ear.events, select.POLLIN)
        waiting = {fd for fd, ear in ears.items() if ear.undecided()}
        again = 0.0
        while waiting and time.monotonic() < end:
            if time.monotonic() >= again:
                open_ones = [each for fd in waiting for each, what in ears[fd].states.items() if what == UNDECIDED]
                pauses = [pause for pause in map(remind, open_ones) if pause is not None]
                again = time.monotonic() + min(pauses, default=seconds)
            for fd, _event in poller.poll(max(0.0, min(end, again) - time.monotonic()) * 1000):
                ears[fd].catch_up()
                if not ears[fd].undecided():
                    waiting.discard(fd)
        return {each: what for ear in ears.values() for each, what in ear.states.items()}
    finally:
        for ear in ears.values():
            ear.events.close()


def await_source(label: str, address: str, namespaces: Namespaces) -> None:
    """Until an address, on whichever interface it is, can be a route's source, or never will."""
    settle([Newcomer(label, device.name, address) for device in namespaces[label].devices().values()], namespaces)
