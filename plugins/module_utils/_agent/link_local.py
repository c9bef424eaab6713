# Copyright: pipework.containers contributors
# GNU General Public License v3.0+ (see LICENSE)
"""Defends a link-local address (RFC 3927, 2.5): a socket that hears only frames of those who say that it is theirs.

The first of them is told that it is not. When it goes on within a while, the address is given up, and a run takes
another one.
"""
from __future__ import annotations

import json
import typing as t

from .._ipam import store as files
from .._neighbour import arp
from . import host as io
from . import sockets as net
from .duty import NEVER, Duty
from .lease_client import AT_A_TIME
from .record import LINK_LOCAL, Record

DEFEND_INTERVAL, MAX_CONFLICTS, RATE_LIMIT = 10.0, 10, 60.0  # seconds, addresses, seconds (RFC 3927, 9)
OWN_SECONDS = 10.0  # or a container that says so all the time would have them read for each frame
REMEMBERED = 5  # addresses that were given up, and are not tried again
DEFENDING, WITHOUT = "defending", "without an address"


class Defender(Duty):
    """``pending``: the address that is given up; empty where there is none, and another one is to be found."""

    KIND = LINK_LOCAL
    LASTING = True
    PACED = False  # RATE_LIMIT

    def __init__(self, record: Record, folder: str = "") -> None:
        super().__init__(record, folder)
        self.mac = bytes.fromhex(record.mac.replace(":", ""))
        self.address: str | None = None
        self.seen: float | None = None  # when somebody else had it,
        self.defended: float | None = None  # and was told
        self.lost, self.resume = 0, 0.0
        self.heard = ""
        self.own: set[str] = set()  # MAC addresses of the container's interfaces, as they were a moment ago
        self.own_until = 0.0

    def _look(self) -> str | None:
        found: str | None = self.inside(net.link_local)
        return found

    def reload(self) -> bool:
        found = self._look()
        if found == self.address and (found is None) != bool(self.sockets):
            return False
        self.hush()
        self.address, self.seen = found, None
        if found is not None:
            if len(self.mac) == 6:  # Ethernet's
                code = arp.rivals_only(self.mac, arp.packed(found))
                self.open(lambda record: [net.packets(record, arp.ETH_P_ARP, code)])
            self.pending, self.due, self.trouble = None, NEVER, ""
        else:
            self.due = self.resume
        return True

    def step(self, now: float) -> None:
        if self.address is None and now >= self.resume:
            self.pending = ""
        self.due = NEVER if self.address is not None else max(self.resume, now)

    def listen(self, now: float) -> None:
        try:
            for _frame in range(AT_A_TIME):
                if self.sockets and self.address is not None and self.pending is None:
                    frame = self.sockets[0].recv(128)
                    rival = arp.rival(frame, self.mac, arp.packed(self.address))
                    if rival is not None:
                        self._meet(rival.hex(":"), now)
        except BlockingIOError:
            return
        except OSError:  # the interface went down, or away
            self.reload()

    def _meet(self, rival: str, now: float) -> None:
        if rival in self.own and now < self.own_until:
            return
        self.own, self.own_until = self.inside(net.macs), now + OWN_SECONDS
        if rival in self.own:  # the container itself, through an interface that may be new
            return
        self.heard = f"{rival} says that {self.address} is its own"
        again = self.seen is not None and now - self.seen < DEFEND_INTERVAL
        if self.reload() or self.address is None:  # it is another one by now
            return
        self.seen = now
        if again:
            self.hush()
            self.pending = self.address
        else:
            self.sockets[0].send(arp.gratuitous_arp(self.record.mac, self.address))
            self.defended = now

    def commit(self, now: float) -> bool:
        given, self.pending = self.pending, None
        if given and given == self._look():  # a run may have changed it meanwhile
            self.inside(net.remove_link_local, given)
            listed = [each for each in files.given_up(self.record.owner) if each != given]
            files.write(self.path(files.GIVEN_UP), json.dumps([*listed, given][-REMEMBERED:]))
            self.lost += 1
            self.resume = now + RATE_LIMIT if self.lost > MAX_CONFLICTS else 0.0
        self.reload()
        wanting = self.address is None and now >= self.resume
        self.due = NEVER if wanting or self.address is not None else self.resume
        return wanting

    def said(self, now: float) -> dict[str, t.Any]:
        return {
            "state": DEFENDING if self.address else WITHOUT, "address": self.address,
            "defended": io.moment(self.defended, now), "next": io.moment(self.due, now),
            "error": self.trouble or self.heard or None,
        }
