# Copyright: pipework.containers contributors
# GNU General Public License v3.0+ (see LICENSE)
"""A kept lease of IPv4: what its client says and hears (RFC 2131)."""
from __future__ import annotations

import socket
import typing as t

from .._core.errors import PipeworkError
from .._ipam import dhcp4_message as dhcp
from .._ipam.dhcp4_grant import Grant, granted, unicast, unpack
from . import sockets as net
from .lease_client import REBINDING, Client
from .record import LEASE, Record


class Client4(Client):
    """See lease_client."""

    KIND = LEASE

    def __init__(self, record: Record, folder: str = "") -> None:
        super().__init__(record, folder)
        self.mac = bytes.fromhex(record.mac.replace(":", ""))
        self.options = {int(code): bytes.fromhex(value) for code, value in record.sent.items()}
        self.grant: Grant | None = None
        self.offer: dhcp.Message | None = None

    def unpack(self, text: str) -> tuple[dict[str, t.Any], Grant]:
        return unpack(text)

    def connect(self) -> None:
        self.open(net.dhcp_sockets)

    def say(self, now: float) -> None:
        self.sockets[0].sendto(self.message(), (self.record.device, 0))

    def message(self) -> bytes:
        asked = {**self.options, dhcp.WANTED: dhcp.ASKED_FOR, dhcp.MAX_SIZE: (1472).to_bytes(2, "big")}
        if self.grant is not None:  # then an address is neither asked for nor is the server named (RFC 2131, 4.3.6)
            asked = {code: value for code, value in asked.items() if code != dhcp.REQUESTED}
            own, server = socket.inet_aton(self.grant.own), socket.inet_aton(self.grant.server)
            data = dhcp.encode(dhcp.REQUEST, self.xid, self.mac, asked, own)
            if self.state == REBINDING:
                return dhcp.frame(data, self.mac, source=own)
            return dhcp.frame(data, self.mac, bytes.fromhex(self.grant.server_mac.replace(":", "")), own, server)
        if self.offer is not None:
            asked.update({dhcp.REQUESTED: self.offer.address, dhcp.SERVER: self.offer.server or b""})
            return dhcp.frame(dhcp.encode(dhcp.REQUEST, self.xid, self.mac, asked), self.mac)
        wish = {} if self.wish is None else {dhcp.REQUESTED: socket.inet_aton(self.wish)}
        return dhcp.frame(dhcp.encode(dhcp.DISCOVER, self.xid, self.mac, {**wish, **asked}), self.mac)

    def take(self, data: bytes, now: float) -> None:
        message = dhcp.unframe(data)
        if message is not None and (message.xid, message.mac) == (self.xid, self.mac):
            self.hear(message, now)

    def hear(self, message: dhcp.Message, now: float) -> None:
        asking = self.grant is not None or self.offer is not None
        if message.kind == dhcp.NAK and asking and message.credible and self._from_ours(message):
            words = message.options.get(dhcp.MESSAGE, b"")[:80].decode("ascii", "replace")
            self.refused(f"the server {socket.inet_ntoa(message.server or dhcp.NOWHERE)} refused it: {words!r}", now)
        elif message.kind == (dhcp.ACK if asking else dhcp.OFFER):
            try:
                found = granted(message, now)
            except PipeworkError as error:
                self.heard = str(error)[len("dhcp: "):]
                return
            if not asking:
                self.accept(message, now)
            elif self._from_ours(message) and found.own == self._expected():
                self.has(found, now)

    def _expected(self) -> str:
        return self.grant.own if self.grant else socket.inet_ntoa(self.offer.address) if self.offer else ""

    def _from_ours(self, message: dhcp.Message) -> bool:
        """From the server that was asked; while rebinding, that is any."""
        if self.state == REBINDING:
            return unicast(message.server or b"") is not None
        server = self.offer.server if self.offer else socket.inet_aton(self.grant.server) if self.grant else None
        return message.server == server

    def extend(self, now: float) -> None:
        if self.grant is not None:
            left = self.grant.left(now)
            seconds = None if left is None else max(left, 1)
            self.inside(net.extend, self.grant.address, seconds, seconds)

    def first_asked(self) -> dict[str, t.Any]:
        asked = {"client": "builtin", "hostname": self.record.hostname, "options": list(self.record.options)}
        return {**asked, "through": self.record.through}
