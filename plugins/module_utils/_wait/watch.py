# Copyright: pipework.containers contributors
# GNU General Public License v3.0+ (see LICENSE)
"""What the kernel shows of an interface, kept up to date by the kernel's own messages; there is no polling.

A message only says that something may have changed, and what; that is then read anew. So a lost message does no harm
that reading all anew would not mend (ENOBUFS).
"""
from __future__ import annotations

import errno
import socket
import struct
import typing as t

from .._model.objects import HOST, Device
from .._model.seen import Seen
from .._netlink import neighbour, rtnl, wire
from .._netlink import route as netlink_route
from .._netlink.namespaces import RECEIVE_BYTES, Netns
from .conditions import Sight, Wait, to_ask

# linux/rtnetlink.h: RTMGRP_LINK, _NEIGH, _IPV4_IFADDR and _IPV6_IFADDR, _IPV4_ROUTE and _IPV6_ROUTE
GROUPS = {"link": 1, "neighbours": 4, "addresses": 0x10 | 0x100, "routes": 0x40 | 0x400}
LINK, ADDRESS, ROUTE, NEIGHBOUR = (16, 17), (20, 21), (24, 25), (28, 29)
IFLA_IFNAME = 3


class Watch:
    """One wait in one open namespace."""

    def __init__(self, netns: Netns, wait: Wait, buffer: int | None = None) -> None:
        self.wait = wait
        self.resyncs = 0
        self._netns = netns
        mask = GROUPS["link"]
        for part in wait.reads:
            mask |= GROUPS[part]

        def listen() -> socket.socket:
            sock = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, socket.NETLINK_ROUTE)
            if buffer is not None:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer)
            sock.bind((0, mask))
            return sock

        self._events = listen() if netns.label == HOST else netns.inside(listen)  # before the first look
        self._device: Device | None = None
        self._parts: dict[str, t.Any] = {}
        self._read({"link"})

    def fileno(self) -> int:
        return self._events.fileno()

    def close(self) -> None:
        self._events.close()

    @property
    def sight(self) -> Sight:
        return Sight(self._device, **self._parts)

    def catch_up(self) -> None:
        """Reads anew what the messages that have come say has changed."""
        changed: set[str] = set()
        while True:
            try:
                data = self._events.recv(RECEIVE_BYTES, socket.MSG_DONTWAIT)
            except BlockingIOError:
                break
            except OSError as error:
                if error.errno != errno.ENOBUFS:
                    raise
                self.resyncs += 1
                changed.add("link")
                continue
            at = 0
            while at + 16 <= len(data):
                length, kind = struct.unpack_from("=IH", data, at)
                changed |= self._concerns(kind, data[at:at + length])
                at += (max(length, 16) + 3) & ~3
        if changed:
            self._read(changed)

    def _concerns(self, kind: int, raw: bytes) -> set[str]:
        """What a message is about, as far as it matters here."""
        index = self._device.index if self._device else None
        if kind in LINK and len(raw) >= 32:
            if struct.unpack_from("=i", raw, 20)[0] == index or self._is_named(raw):
                return {"link"}
        elif kind in ADDRESS and len(raw) >= 24 and struct.unpack_from("=I", raw, 20)[0] == index:
            return {"addresses"}
        elif kind in ROUTE and len(raw) >= 28 and (raw[17] == 0 or self.wait.target):  # its prefix length
            return {"routes"}
        elif kind in NEIGHBOUR and len(raw) >= 28 and neighbour.index_of(raw) == index:
            return {"neighbours"}
        return set()

    def _is_named(self, raw: bytes) -> bool:
        names = (raw[at:end] for kind, at, end in wire.attributes(raw, 32, len(raw)) if kind == IFLA_IFNAME)
        return any(name.rstrip(b"\0") == self.wait.interface.encode("utf-8", "surrogateescape") for name in names)

    def _read(self, parts: set[str]) -> None:
        if "link" in parts:  # with it, addresses and routes may come and go without a word
            self._device = self._netns.device(self.wait.interface)
            self._parts = {}
            parts = set(self.wait.reads)
        if self._device is None:
            return
        for part in parts & set(self.wait.reads):
            self._parts[part] = getattr(self, f"_{part}")(self._device)
        question = to_ask(self.wait, self.sight)
        if question is not None:
            hop, known = question
            self._netns.send([neighbour.ask_for(hop, self._device.index, known)])
            self._parts["neighbours"] = self._neighbours(self._device)

    def _addresses(self, device: Device) -> tuple[Seen, ...]:
        dump = self._netns.dump(rtnl.dump_addresses())
        mine = [raw for raw in dump if struct.unpack_from("=I", raw, 20)[0] == device.index]
        return tuple(neighbour.decode_seen(raw) for raw in mine)

    def _routes(self, device: Device) -> tuple[t.Any, ...]:
        names = {device.index: device.name}
        dumps = [raw for version in (4, 6) for raw in self._netns.dump(netlink_route.dump_routes(version))]
        wanted = [raw for raw in dumps if raw[17] == 0 or self.wait.target]
        return tuple(netlink_route.decode_route(raw, self._netns.label, names) for raw in wanted)

    def _neighbours(self, device: Device) -> dict[str, str]:
        version = 6 if ":" in str(self.wait.target) else 4
        dump = self._netns.dump(neighbour.dump_neighbours(version))
        return dict(neighbour.decode_neighbour(raw) for raw in dump if neighbour.index_of(raw) == device.index)
