# Copyright: pipework.containers contributors
# GNU General Public License v3.0+ (see LICENSE)
"""Asks a DHCPv6 server from inside a container's namespace, and keeps what it granted under /run/pipework/dhcp.

Nothing is installed or run in the container, and no file of the host but those is written.
"""
from __future__ import annotations

import os
import socket
import time
import typing as t

from .._attach.dhcp6 import Lease6
from .._core.errors import PipeworkError
from .._core.plan import Failure, Operation
from .._neighbour import dad
from .._netlink.namespaces import Namespaces
from . import dhcp6_message as dhcp6
from . import store as files
from .acquire import exchange
from .dhcp6_grant import Grant6, granted, iaid_of, unpack
from .options import DHCP_SECONDS
from .store import clock

PAUSES = (1.0, 2.0, 4.0, 8.0)  # seconds until it is sent again (RFC 8415's SOL_TIMEOUT, doubled); the last one stays
REQUEST_TRIES = 3  # to a server that has advertised something, before others are asked
AFTER_REFUSAL = 0.5
duplicates: set[str] = set()  # what this run has found to be another machine's: it is declined, not released


def read(owner: str) -> tuple[dict[str, t.Any], Grant6] | None:
    """What was asked for and granted to an attachment, by its mark; None where there is nothing valid."""
    return files.held(owner, Lease6.KIND, unpack)


def change(work: t.Sequence[Operation], namespaces: Namespaces, done: list[Operation]) -> Failure:
    """Leases that come, are asked for anew, or go; many at once. Returns one that failed, and why."""
    asking = [t.cast(Lease6, each.after) for each in work if each.action != "delete"]
    places = [dad.Newcomer(lease.ns, lease.device, dad.LINK_LOCAL) for lease in asking]
    if places:  # the address that is spoken from; it takes the kernel a second or two on a new interface
        dad.settle(places, namespaces, max(lease.seconds or DHCP_SECONDS for lease in asking))
    return exchange(work, namespaces, done, _Client())


class _Place(t.NamedTuple):
    """An interface that a client speaks through."""

    sock: socket.socket
    scope: int  # the interface's index

    def close(self) -> None:
        self.sock.close()


class _Client:
    """See acquire."""

    def open(self, lease: Lease6, namespaces: Namespaces, _going: bool) -> _Place:
        netns = namespaces[lease.ns]
        return _Place(netns.inside(lambda: _socket(lease.device)), netns.index(lease.device))

    def ask(self, lease: Lease6, place: _Place, held: Grant6 | None) -> Grant6:
        return _Exchange(lease, place.sock, place.scope, held).run()

    def release(self, lease: Lease6, place: _Place, grant: Grant6) -> None:
        place.sock.sendto(_farewell(lease, grant), (dhcp6.GROUP, dhcp6.SERVER_PORT, 0, place.scope))

    def succeed(self, _before: Lease6, _place: _Place, _grant: Grant6) -> None:
        """A DUID stays."""

    def read(self, owner: str) -> tuple[dict[str, t.Any], Grant6] | None:
        return read(owner)


def _socket(name: str) -> socket.socket:
    sock = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, name.encode("utf-8", "surrogateescape"))
        sock.bind(("::", dhcp6.CLIENT_PORT))
    except OSError:
        sock.close()
        raise
    return sock


def _farewell(lease: Lease6, grant: Grant6) -> bytes:
    kind = dhcp6.DECLINE if grant.address in duplicates else dhcp6.RELEASE
    address = socket.inet_pton(socket.AF_INET6, grant.address)
    return dhcp6.encode(kind, _number(), [
        (dhcp6.CLIENTID, bytes.fromhex(str(lease.duid))), (dhcp6.SERVERID, bytes.fromhex(grant.server)),
        (dhcp6.ELAPSED, bytes(2)), (dhcp6.IA_NA, dhcp6.association(iaid_of(lease.device), address)),
    ])


def _number() -> int:
    return int.from_bytes(os.urandom(3), "big")


class _Exchange:
    """One client asking until it has a lease, or the time is over."""

    def __init__(self, lease: Lease6, sock: socket.socket, index: int, held: Grant6 | None) -> None:
        self.lease, self.sock, self.index = lease, sock, index
        self.duid, self.iaid = bytes.fromhex(str(lease.duid)), iaid_of(lease.device)
        self.wish = socket.inet_pton(socket.AF_INET6, held.address) if held else None
        self.seconds = lease.seconds or DHCP_SECONDS
        self.start = time.monotonic()
        self.end = self.start + self.seconds
        self.sent = {dhcp6.SOLICIT: 0, dhcp6.REQUEST: 0}
        self.heard = ""  # the last answer that was of no use, in words

    def run(self) -> Grant6:
        while time.monotonic() < self.end:
            offer = self._ask(dhcp6.SOLICIT, self.wish)
            if offer is None:
                break
            address, server = socket.inet_pton(socket.AF_INET6, offer.address), bytes.fromhex(offer.server)
            grant = self._ask(dhcp6.REQUEST, address, server, REQUEST_TRIES)
            if grant is not None:
                return grant
            self.wish = None
            time.sleep(min(AFTER_REFUSAL, max(0.0, self.end - time.monotonic())))
        sent = f"{self.sent[dhcp6.SOLICIT]} Solicit and {self.sent[dhcp6.REQUEST]} Request"
        raise PipeworkError(
            f"dhcp6: no server gave an address within {self.seconds:g} s; sent were {sent} as {self.lease.hostname!r}, "
            f"DUID {self.lease.duid}.{self.heard}"
        )

    def _ask(
        self, kind: int, address: bytes | None, server: bytes | None = None, tries: int = 1 << 16,
    ) -> Grant6 | None:
        """Sends until an answer comes that can be used."""
        xid, before = _number(), self.heard
        for number in range(tries):
            if time.monotonic() >= self.end:
                return None
            packet = dhcp6.asking(
                kind, xid, self.duid, self.iaid, str(self.lease.hostname), time.monotonic() - self.start, address,
                server,
            )
            try:
                self.sock.sendto(packet, (dhcp6.GROUP, dhcp6.SERVER_PORT, 0, self.index))
                self.sent[kind] += 1
            except OSError as error:
                self.heard = f" {error.strerror}."
            found = self._listen(kind, xid, min(self.end, time.monotonic() + PAUSES[min(number, len(PAUSES) - 1)]))
            if found is not None or (kind == dhcp6.REQUEST and self.heard != before):
                return found
        return None

    def _listen(self, kind: int, xid: int, until: float) -> Grant6 | None:
        wanted = dhcp6.ADVERTISE if kind == dhcp6.SOLICIT else dhcp6.REPLY
        while True:
            left = until - time.monotonic()
            if left <= 0:
                return None
            self.sock.settimeout(left)
            try:
                message = dhcp6.decode(self.sock.recv(1 << 16))
            except socket.timeout:
                return None
            if message is None or (message.xid, message.kind) != (xid, wanted):
                continue
            if message.one(dhcp6.CLIENTID) != self.duid:
                continue
            try:
                return granted(message, self.iaid, clock())
            except PipeworkError as error:
                self.heard = f" {str(error)[len('dhcp6: '):].capitalize()}"
                if kind == dhcp6.REQUEST:
                    return None
