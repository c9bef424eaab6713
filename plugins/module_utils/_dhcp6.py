# Copyright: pipework.containers contributors
# GNU General Public License v3.0+ (see LICENSE)
"""Asks a DHCPv6 server from inside a container's namespace, and keeps what it granted under /run/pipework/dhcp6.

Nothing is installed or run in the container, and no file of the host but those is written.
"""
from __future__ import annotations

import concurrent.futures
import contextlib
import hashlib
import os
import socket
import time
import typing as t

from . import _dad
from . import _dhcp6_message as dhcp6
from ._attachment import DHCP_SECONDS
from ._dhcp import AT_ONCE, clock
from ._dhcp6_lease import Grant6, Lease6, granted, iaid_of, unpack
from ._errors import PipeworkError
from ._netlink import Namespaces
from ._plan import Operation

FOLDER = "/run/pipework/dhcp6"
PAUSES = (1.0, 2.0, 4.0, 8.0)  # seconds until it is sent again (RFC 8415's SOL_TIMEOUT, doubled); the last one stays
REQUEST_TRIES = 3  # to a server that has advertised something, before others are asked
AFTER_REFUSAL = 0.5
duplicates: set[str] = set()  # what this run has found to be another machine's: it is declined, not released

Failure = t.Optional[tuple[Operation, Exception]]


# -- files

def _path(owner: str) -> str:
    return os.path.join(FOLDER, hashlib.sha256(owner.encode("utf-8", "surrogateescape")).hexdigest()[:24])


def read(owner: str) -> tuple[dict[str, t.Any], Grant6] | None:
    """What was asked for and granted to an attachment, by its mark; None where there is nothing valid."""
    return _read(_path(owner))


def _read(path: str) -> tuple[dict[str, t.Any], Grant6] | None:
    try:
        with open(os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW), encoding="utf-8") as handle:
            asked, grant = unpack(handle.read(1 << 16))
    except (OSError, ValueError):
        return None
    left = grant.left(clock())
    return (asked, grant) if left is None or left > 0 else None


def _write(lease: Lease6, grant: Grant6) -> None:
    os.makedirs(FOLDER, mode=0o700, exist_ok=True)
    for name in os.listdir(FOLDER):  # of containers that are gone
        if _read(os.path.join(FOLDER, name)) is None:
            os.unlink(os.path.join(FOLDER, name))
    path = _path(str(lease.owner))
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW
    with open(os.open(f"{path}.new", flags, 0o600), "w", encoding="utf-8") as handle:
        handle.write(grant.pack({"hostname": lease.hostname, "duid": lease.duid}))
    os.rename(f"{path}.new", path)


def _remove(lease: Lease6) -> None:
    with contextlib.suppress(OSError):
        os.unlink(_path(str(lease.owner)))
    with contextlib.suppress(OSError):
        os.rmdir(FOLDER)  # with the last one


# -- operations

def change(work: t.Sequence[Operation], namespaces: Namespaces, done: list[Operation]) -> Failure:
    """Leases that come, are asked for anew, or go; many at once. Returns one that failed, and why."""
    wrong: Failure = None
    asking = [t.cast(Lease6, each.after) for each in work if each.action != "delete"]
    places = [_dad.Newcomer(lease.ns, lease.device, _dad.LINK_LOCAL) for lease in asking]
    if places:  # the address that is spoken from; it takes the kernel a second or two on a new interface
        _dad.settle(places, namespaces, max(lease.seconds or DHCP_SECONDS for lease in asking))
    opened = [(each, _open(each, namespaces)) for each in work]  # by the one thread that enters namespaces
    with concurrent.futures.ThreadPoolExecutor(AT_ONCE) as pool:
        for operation, answer in [(each, pool.submit(_one, each, place)) for each, place in opened]:
            try:
                grant = answer.result()
                if grant is not None:
                    _write(t.cast(Lease6, operation.after), grant)
                else:
                    _remove(t.cast(Lease6, operation.before))
                done.append(operation)
            except (PipeworkError, OSError) as error:
                wrong = operation, error
    return wrong


class _Place(t.NamedTuple):
    """An interface that a client speaks through. A failure to open it is kept, to be told in its turn."""

    sock: socket.socket | None
    scope: int = 0  # the interface's index
    error: Exception | None = None


def _open(operation: Operation, namespaces: Namespaces) -> _Place:
    lease = t.cast(Lease6, operation.subject)
    try:
        netns = namespaces[lease.ns]
        return _Place(netns.inside(lambda: _socket(lease.device)), netns.index(lease.device))
    except (PipeworkError, OSError) as error:
        return _Place(None, error=error)


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


def _one(operation: Operation, place: _Place) -> Grant6 | None:
    """None for a lease that is given back. That is a courtesy: no answer is waited for, a failure does not matter."""
    lease = t.cast(Lease6, operation.subject)
    try:
        if operation.action == "delete":
            known = read(str(lease.owner))  # one that has just come does not know what was granted
            grant = lease.grant or (known[1] if known else None)
            if place.sock is not None and grant is not None:
                with contextlib.suppress(OSError):
                    place.sock.sendto(_farewell(lease, grant), (dhcp6.GROUP, dhcp6.SERVER_PORT, 0, place.scope))
            return None
        if place.error is not None or place.sock is None:
            raise place.error or OSError("no socket")
        before = t.cast("Lease6 | None", operation.before)
        return _Exchange(lease, place.sock, place.scope, before.grant if before else lease.grant).run()
    finally:
        if place.sock is not None:
            place.sock.close()


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
            offer = self._ask(dhcp6.SOLICIT, [], self.wish)
            if offer is None:
                break
            address, server = socket.inet_pton(socket.AF_INET6, offer.address), bytes.fromhex(offer.server)
            grant = self._ask(dhcp6.REQUEST, [(dhcp6.SERVERID, server)], address, REQUEST_TRIES)
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
        self, kind: int, more: list[tuple[int, bytes]], address: bytes | None, tries: int = 1 << 16,
    ) -> Grant6 | None:
        """Sends until an answer comes that can be used."""
        xid, before = _number(), self.heard
        for number in range(tries):
            if time.monotonic() >= self.end:
                return None
            elapsed = min(0xFFFF, int((time.monotonic() - self.start) * 100))
            packet = dhcp6.encode(kind, xid, [
                (dhcp6.CLIENTID, self.duid), *more, (dhcp6.ELAPSED, elapsed.to_bytes(2, "big")),
                (dhcp6.IA_NA, dhcp6.association(self.iaid, address)),
                (dhcp6.ORO, b"".join(code.to_bytes(2, "big") for code in (dhcp6.DNS_SERVERS, dhcp6.DOMAIN_LIST))),
                (dhcp6.CLIENT_FQDN, dhcp6.fqdn(str(self.lease.hostname))),
            ])
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
