# Copyright: pipework.containers contributors
# GNU General Public License v3.0+ (see LICENSE)
"""One kept lease between its server's answers: what is said when, by the states of RFC 2131."""
from __future__ import annotations

import contextlib
import dataclasses
import os
import socket

from . import _dhcp_message as dhcp
from . import _keeper_io as io
from ._dhcp_keep import Record
from ._dhcp_lease import Grant, granted
from ._errors import PipeworkError

BOUND, RENEWING, REBINDING, SELECTING = "bound", "renewing", "rebinding", "selecting"
PAUSES = (1.0, 2.0, 4.0)  # seconds that an answer is waited for; then all is let go, to be tried again later
LATER = 60.0  # the least time between two attempts while there is a lease, unless it would end meanwhile
WITHOUT = (4.0, 64.0)  # the first and the longest pause between them where there is none
NEVER = float("inf")


@dataclasses.dataclass(frozen=True)
class Outcome:
    """A lease that has come; none where it was lost."""

    grant: Grant | None


class Client:
    """Talks through one interface. ``pending`` is what came of it, until somebody has taken it."""

    def __init__(self, record: Record) -> None:
        self.record = record
        self.mac = bytes.fromhex(record.mac.replace(":", ""))
        self.options = {int(code): bytes.fromhex(value) for code, value in record.sent.items()}
        self.grant: Grant | None = None
        self.pending: Outcome | None = None
        self.state, self.due = SELECTING, 0.0
        self.renewed: float | None = None
        self.heard = ""  # the last answer that was of no use, in words
        self.wish: str | None = None  # the address that it had
        self.pause = WITHOUT[0]
        self.socket: socket.socket | None = None
        self.port: socket.socket | None = None
        self.tries, self.xid = 0, 0
        self.offer: dhcp.Message | None = None

    def adopt(self, grant: Grant | None) -> None:
        """Goes on with a lease, or without any."""
        self.hush()
        self.grant, self.pending, self.due = grant, None, 0.0
        if grant is not None:
            self.wish, self.pause = grant.own, WITHOUT[0]

    def phase(self, now: float) -> str:
        grant = self.grant
        if grant is None or (grant.expires is not None and now >= grant.expires):
            return SELECTING
        if grant.rebinds is not None and now >= grant.rebinds:
            return REBINDING
        return RENEWING if grant.renews is not None and now >= grant.renews else BOUND

    def boundary(self) -> float:
        """When the state that it is in ends by itself."""
        if self.grant is None:
            return NEVER
        ends = {BOUND: self.grant.renews, RENEWING: self.grant.rebinds, REBINDING: self.grant.expires}
        end = ends.get(self.state)
        return NEVER if end is None else end

    def step(self, now: float) -> None:
        """What is due. Raises Gone."""
        phase = self.phase(now)
        if phase != self.state:
            self.hush()
            self.state = phase
        if phase == SELECTING and self.grant is not None:
            self.pending = Outcome(None)
        elif phase == BOUND:
            self.due = self.boundary()
        elif self.tries == len(PAUSES):
            self.hush()
            self.due = min(now + self._rest(now), self.boundary())
        else:
            self._say(now)

    def _rest(self, now: float) -> float:
        if self.grant is not None:
            return max(LATER, (self.boundary() - now) / 2)
        pause, self.pause = self.pause, min(self.pause * 2, WITHOUT[1])
        return pause * (1 + os.urandom(1)[0] / 1024)  # not all clients of a host at the same moment

    # -- talking

    def open(self) -> None:
        self.socket, self.port = io.inside(self.record, lambda: io.sockets(self.record))
        self.xid = int.from_bytes(os.urandom(4), "big")

    def hush(self) -> None:
        """Lets the namespace go."""
        for each in (self.socket, self.port):
            if each is not None:
                each.close()
        self.socket = self.port = self.offer = None
        self.tries = 0

    def _say(self, now: float) -> None:
        try:
            if self.socket is None:
                self.open()
            sock = self.socket
            if sock is not None:
                sock.send(self._message())
        except OSError as error:
            self.heard = f"nothing can be sent: {error.strerror}"
        self.due = min(now + PAUSES[self.tries], self.boundary())
        self.tries += 1

    def _message(self) -> bytes:
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

    # -- listening

    def listen(self, now: float) -> None:
        """Reads what has come, up to an answer that changes something."""
        with contextlib.suppress(OSError):  # nothing more, or the interface went down
            while self.socket is not None and self.pending is None:
                message = dhcp.unframe(self.socket.recv(1 << 16))
                if message is not None and (message.xid, message.mac) == (self.xid, self.mac):
                    self._take(message, now)

    def _take(self, message: dhcp.Message, now: float) -> None:
        asking = self.grant is not None or self.offer is not None
        if message.kind == dhcp.NAK and asking and self._from_ours(message):
            self._refused(message, now)
        elif message.kind == (dhcp.ACK if asking else dhcp.OFFER):
            try:
                found = granted(message, now)
            except PipeworkError as error:
                self.heard = str(error)[len("dhcp: "):]
                return
            if not asking:
                self.offer, self.tries = message, 0
                self._say(now)
            elif self._from_ours(message) and found.own == self._expected():
                self.pending, self.renewed, self.heard = Outcome(found), now, ""
                self.hush()

    def _expected(self) -> str:
        return self.grant.own if self.grant else socket.inet_ntoa(self.offer.address) if self.offer else ""

    def _from_ours(self, message: dhcp.Message) -> bool:
        """From the server that was asked; while rebinding, that is any."""
        if self.state == REBINDING:
            return message.server is not None
        server = self.offer.server if self.offer else socket.inet_aton(self.grant.server) if self.grant else None
        return message.server == server

    def _refused(self, message: dhcp.Message, now: float) -> None:
        words = message.options.get(dhcp.MESSAGE, b"")[:80].decode("ascii", "replace")
        self.heard = f"the server {socket.inet_ntoa(message.server or dhcp.NOWHERE)} refused it: {words!r}"
        self.hush()
        self.wish = None
        if self.grant is not None:
            self.pending = Outcome(None)
        else:
            self.due = now + self._rest(now)
