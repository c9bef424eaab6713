# Copyright: pipework.containers contributors
# GNU General Public License v3.0+ (see LICENSE)
"""A kept lease of IPv6: what its client says and hears (RFC 8415)."""
from __future__ import annotations

import socket
import typing as t

from .._core.errors import PipeworkError
from .._ipam import dhcp6_message as dhcp6
from .._ipam.dhcp6_grant import Grant6, Refused, granted, iaid_of, unpack
from . import sockets as net
from .lease_client import REBINDING, Client
from .record import LEASE6, Record


class Client6(Client):
    """See lease_client."""

    KIND = LEASE6

    def __init__(self, record: Record, folder: str = "") -> None:
        super().__init__(record, folder)
        self.duid, self.iaid = bytes.fromhex(record.duid), iaid_of(record.device)
        self.grant: Grant6 | None = None
        self.offer: Grant6 | None = None

    def unpack(self, text: str) -> tuple[dict[str, t.Any], Grant6]:
        return unpack(text)

    def connect(self) -> None:
        self.open(net.dhcp6_sockets)

    def say(self, now: float) -> None:
        self.sockets[0].sendto(self.message(now), (dhcp6.GROUP, dhcp6.SERVER_PORT, 0, self.record.index))

    def message(self, now: float) -> bytes:
        """By multicast, also to the one server that gave the lease (RFC 8415, 18.2)."""
        held = self.grant or self.offer
        if self.grant is not None:
            kind = dhcp6.REBIND if self.state == REBINDING else dhcp6.RENEW
        else:
            kind = dhcp6.SOLICIT if self.offer is None else dhcp6.REQUEST
        wish = held.address if held is not None else self.wish
        address = None if wish is None else socket.inet_pton(socket.AF_INET6, wish)
        server = None if held is None or kind == dhcp6.REBIND else bytes.fromhex(held.server)
        return dhcp6.asking(
            kind, self.xid & 0xFFFFFF, self.duid, self.iaid, self.record.hostname, now - self.since, address, server,
        )

    def take(self, data: bytes, now: float) -> None:
        message = dhcp6.decode(data)
        held = self.grant or self.offer
        wanted = dhcp6.ADVERTISE if held is None else dhcp6.REPLY
        if message is None or (message.xid, message.kind) != (self.xid & 0xFFFFFF, wanted):
            return
        if message.one(dhcp6.CLIENTID) != self.duid:
            return
        server = message.one(dhcp6.SERVERID).hex()
        if held is not None and self.state != REBINDING and server != held.server:
            return  # only the one that was asked
        try:
            found = granted(message, self.iaid, now, held.address if held is not None else None)
        except PipeworkError as error:
            self.heard = str(error)[len("dhcp6: "):]
            if held is not None and isinstance(error, Refused):
                self.refused(self.heard, now)
            return
        if held is None:
            self.accept(found, now)
        else:
            self.has(found, now)

    def extend(self, now: float) -> None:
        if self.grant is not None:
            preferred, left = self.grant.preferred, self.grant.left(now)
            valid = None if left is None else max(left, 1)
            soft = None if preferred is None else max(0, int(preferred - now))
            self.inside(net.extend, f"{self.grant.address}/128", soft, valid)

    def first_asked(self) -> dict[str, t.Any]:
        return {"hostname": self.record.hostname, "duid": self.record.duid, "through": self.record.through}
