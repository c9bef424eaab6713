# Copyright: pipework.containers contributors
# GNU General Public License v3.0+ (see LICENSE)
"""Wireless NICs: their interfaces do not move by themselves, but with the NIC ("phy"), which nl80211 moves."""
from __future__ import annotations

import contextlib
import errno
import socket
import struct
import typing as t

from .._core.plan import Operation
from .._model.objects import HOST, Link, Nic
from .._netlink import nl80211, rtnl
from .._netlink.kernel_error import KernelError, error_of
from .._netlink.namespaces import Namespaces, Netns
from . import marks

NLMSG_ERROR, NLMSG_DONE = 2, 3
NETLINK_GENERIC = 16
RECEIVE_BYTES = 1 << 16


class Radio:
    """What nl80211 says in one namespace. KernelError ENOENT where the kernel knows nothing of wireless NICs."""

    def __init__(self, netns: Netns) -> None:
        self._socket = netns.inside(_generic)
        try:
            [raw] = self._talk(nl80211.ask_family())
            self._family = nl80211.decode_family(raw)
        except BaseException:
            self.close()
            raise

    def interfaces(self) -> list[tuple[int, int]]:
        """The NIC's number and the index of the interface, of each."""
        found = (nl80211.decode_interface(raw) for raw in self._talk(nl80211.dump_interfaces(self._family)))
        return [(wiphy, index) for wiphy, index in found if index is not None]

    def move(self, wiphy: int, target: Netns) -> None:
        self._talk(nl80211.move(self._family, wiphy, target.fd))

    def close(self) -> None:
        self._socket.close()

    def _talk(self, message: bytes) -> list[bytes]:
        self._socket.send(message)
        found: list[bytes] = []
        while True:
            data = self._socket.recv(RECEIVE_BYTES)
            at = 0
            while at + 16 <= len(data):
                length, kind, flags = struct.unpack_from("=IHH", data, at)
                raw = data[at:at + length]
                if kind == NLMSG_ERROR:
                    error = error_of(raw, flags)
                    if error is not None:
                        raise error
                if kind in (NLMSG_ERROR, NLMSG_DONE):
                    return found
                found.append(raw)
                at += (length + 3) & ~3


def _generic() -> socket.socket:
    sock = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, NETLINK_GENERIC)
    sock.bind((0, 0))
    return sock


def observe(namespaces: Namespaces) -> dict[int, int]:
    """The wireless interfaces of the host, by index, and the NIC's number of each."""
    try:
        with contextlib.closing(Radio(namespaces[HOST])) as radio:
            return {index: wiphy for wiphy, index in radio.interfaces()}
    except KernelError as error:
        if error.errno != errno.ENOENT:
            raise
        return {}


def carry(operation: Operation, namespaces: Namespaces) -> None:
    """Does such an operation. KernelError where it is refused."""
    link = t.cast(Link, operation.subject)
    (lend if operation.action == "create" else bring_home)(link, namespaces)


def lend(link: Link, namespaces: Namespaces) -> None:
    """Into a container. What it was is in its alias before it moves."""
    nic = t.cast(Nic, link.nic)
    host, there = namespaces[HOST], namespaces[link.ns]
    index = host.index(nic.name)
    wiphy = _wiphy(host, index)
    _send(host, rtnl.set_link(index, alias=marks.lend(link, namespaces)))
    try:
        _move(wiphy, host, there)
    except KernelError:
        _send(host, rtnl.set_link(index, alias=nic.alias))
        raise
    try:
        index = _index(wiphy, there)
        _send(there, rtnl.set_link(index, up=False))
        _send(there, rtnl.set_link(index, name=link.ifname, mac=link.mac, mtu=link.mtu))
    except KernelError:
        _move(wiphy, there, host)
        _send(host, rtnl.set_link(_index(wiphy, host), name=nic.name, alias=nic.alias))
        raise
    finally:
        host.forget(nic.name)
        there.forget(link.ifname)


def bring_home(link: Link, namespaces: Namespaces) -> None:
    """Out of a container, under its old name."""
    nic = t.cast(Nic, link.nic)
    host, there = namespaces[HOST], namespaces[link.ns]
    index = there.index(link.ifname)
    wiphy = _wiphy(there, index)
    _send(there, rtnl.set_link(index, up=False))
    alias = marks.mark(link, namespaces, link.ifname)
    _send(there, rtnl.set_link(index, mac=nic.mac, mtu=nic.mtu, group=0, alias=alias))
    _move(wiphy, there, host)
    there.forget(link.ifname)
    host.forget(nic.name)
    _send(host, rtnl.set_link(_index(wiphy, host), name=nic.name))


def _send(netns: Netns, message: bytes) -> None:
    [error] = netns.send([message])
    if error is not None:
        raise error


def _move(wiphy: int, origin: Netns, target: Netns) -> None:
    with contextlib.closing(Radio(origin)) as radio:
        radio.move(wiphy, target)


def _wiphy(netns: Netns, index: int) -> int:
    with contextlib.closing(Radio(netns)) as radio:
        return next(wiphy for wiphy, each in radio.interfaces() if each == index)


def _index(wiphy: int, netns: Netns) -> int:
    """In the new place an interface may have another index, and another name."""
    with contextlib.closing(Radio(netns)) as radio:
        return next(index for each, index in radio.interfaces() if each == wiphy)
