# Copyright: pipework.containers contributors
# GNU General Public License v3.0+ (see LICENSE)
"""One kept lease between its server's answers: what is said when. RFC 2131 and RFC 8415 have the same states."""
from __future__ import annotations

import contextlib
import dataclasses
import os
import typing as t

from .._ipam import store as files
from . import host as io
from .duty import NEVER, Duty
from .record import Record

BOUND, RENEWING, REBINDING, SELECTING = "bound", "renewing", "rebinding", "selecting"
PAUSES = (1.0, 2.0, 4.0)  # seconds that an answer is waited for; then all is let go, to be tried again later
LATER = 60.0  # the least time between two attempts while there is a lease, unless it would end meanwhile
WITHOUT = (4.0, 64.0)  # the first and the longest pause between them where there is none
AGAIN = 10.0  # until a lease is tried to be written again
AT_A_TIME = 64  # answers that are read before others have their turn


@dataclasses.dataclass(frozen=True)
class Outcome:
    """A lease that has come; none where it was lost."""

    grant: t.Any


class Client(Duty):
    """What both families have in common."""

    def __init__(self, record: Record, folder: str = "") -> None:
        super().__init__(record, folder)
        self.grant: t.Any = None
        self.asked: dict[str, t.Any] = {}
        self.signature: tuple[int, int] | None = None
        self.state = SELECTING
        self.renewed: float | None = None
        self.heard = ""  # the last answer that was of no use, in words
        self.wish: str | None = None  # the address that it had
        self.pause = WITHOUT[0]
        self.tries, self.xid, self.since = 0, 0, 0.0
        self.offer: t.Any = None
        self.unsaved, self.save_again = "", 0.0  # a lease that its file does not have yet

    # -- what differs

    def unpack(self, text: str) -> tuple[dict[str, t.Any], t.Any]:
        """A lease from its file. Raises ValueError."""
        raise NotImplementedError

    def connect(self) -> None:
        """Opens its sockets."""
        raise NotImplementedError

    def say(self, now: float) -> None:
        """Sends what its state asks for."""
        raise NotImplementedError

    def take(self, data: bytes, now: float) -> None:
        """What is to be made of a packet."""
        raise NotImplementedError

    def extend(self, now: float) -> None:
        """Gives the address the time that the lease has now. Raises OSError."""
        raise NotImplementedError

    # -- states

    def adopt(self, grant: t.Any) -> None:
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
        return NEVER if end is None else float(end)

    def talks(self, now: float) -> bool:
        return not self.sockets and self.phase(now) != BOUND

    def step(self, now: float) -> None:
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
            self.due = min(now + self.rest(now), self.boundary())
        else:
            self.try_once(now)

    def rest(self, now: float) -> float:
        if self.grant is not None:
            return max(LATER, (self.boundary() - now) / 2)
        pause, self.pause = self.pause, min(self.pause * 2, WITHOUT[1])
        return pause * (1 + os.urandom(1)[0] / 1024)  # not all clients of a host at the same moment

    def try_once(self, now: float) -> None:
        try:
            if not self.sockets:
                self.connect()
                self.xid, self.since = int.from_bytes(os.urandom(4), "big"), now
            self.say(now)
        except OSError as error:
            self.heard = f"nothing can be sent: {error.strerror}"
        self.due = min(now + PAUSES[self.tries], self.boundary())
        self.tries += 1

    def hush(self) -> None:
        super().hush()
        self.offer, self.tries = None, 0

    # -- answers

    def listen(self, now: float) -> None:
        """Up to an answer that changes something."""
        with contextlib.suppress(OSError):  # nothing more, or the interface went down
            for _packet in range(AT_A_TIME):
                if self.sockets and self.pending is None:
                    self.take(self.sockets[0].recv(1 << 16), now)

    def accept(self, offer: t.Any, now: float) -> None:
        """Asks for what a server has offered."""
        self.offer, self.tries = offer, 0
        self.try_once(now)

    def has(self, grant: t.Any, now: float) -> None:
        self.pending, self.renewed, self.heard = Outcome(grant), now, ""
        self.hush()

    def refused(self, words: str, now: float) -> None:
        self.heard = words
        self.hush()
        self.wish = None
        if self.grant is not None:
            self.pending = Outcome(None)
        else:
            self.due = now + self.rest(now)

    # -- files

    def reload(self) -> bool:
        path = self.path(self.KIND)
        now = files.signature(path)
        if now == self.signature:
            self.save()
            return False
        text = files.read(path) or ""
        self.signature, self.unsaved = now, ""
        try:
            self.asked, grant = self.unpack(text)
            self.adopt(grant if files.is_of_this_boot(text) else None)
        except ValueError:
            self.adopt(None)
        return True

    def save(self) -> None:
        """Writes what could not be written before: there was no room, say."""
        if self.unsaved and files.clock() >= self.save_again:
            self.save_again = files.clock() + AGAIN
            with contextlib.suppress(OSError):
                path = self.path(self.KIND)
                files.write(path, self.unsaved)
                self.signature, self.unsaved, self.trouble = files.signature(path), "", ""

    def commit(self, now: float) -> bool:
        was, found = self.grant, self.pending.grant
        if self.reload():
            return False  # a run has asked by itself meanwhile
        path, self.trouble = self.path(self.KIND), ""
        same = found is not None and was is not None and was.same(found)
        if found is not None:
            text = found.pack(self.asked or self.first_asked(), self.record.owner, files.boot())
            try:
                files.write(path, text)
                self.unsaved = ""
            except OSError as error:
                if not same:
                    raise  # a run could not read it
                self.unsaved, self.save_again = text, now + AGAIN
                self.trouble = f"it is kept in memory: {error.strerror}: {error.filename}"
        elif self.signature is not None:
            os.unlink(path)
        self.signature = files.signature(path)
        self.adopt(found)
        if same:
            try:
                self.extend(now)
                return False
            except OSError as error:
                self.trouble = f"the address got no more time: {error.strerror}"
        return True

    def first_asked(self) -> dict[str, t.Any]:
        """What stands beside a lease whose predecessor was not seen."""
        raise NotImplementedError

    def said(self, now: float) -> dict[str, t.Any]:
        grant = self.grant
        return {
            "state": self.state, "address": grant.own if grant else None, "server": grant.server if grant else None,
            "renewed": io.moment(self.renewed, now), "next": io.moment(self.due, now),
            "expires": io.moment(grant.expires if grant else None, now), "error": self.trouble or self.heard or None,
        }
