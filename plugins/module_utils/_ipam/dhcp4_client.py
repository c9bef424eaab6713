# Copyright: pipework.containers contributors
# GNU General Public License v3.0+ (see LICENSE)
"""Asks a DHCP server from inside a container's namespace, and keeps what it granted under /run/pipework/dhcp.

Nothing is installed or run in the container, and no file of the host but those is written.
"""
from __future__ import annotations

import contextlib
import os
import socket
import time
import typing as t

from .._core.errors import PipeworkError
from .._core.plan import Failure, Operation
from .._neighbour import probe
from .._netlink.namespaces import Namespaces
from . import dhcp4_message as dhcp
from . import external_client, helper_container
from . import store as files
from .acquire import exchange
from .dhcp4_grant import Grant, Lease, granted, mac_text, unpack
from .external import BUILTIN, CLIENTS, Ask, answer
from .identity import options_of
from .options import DHCP_SECONDS
from .store import clock

PAUSES = (0.5, 1.0, 2.0, 4.0)  # seconds until it is sent again; the last one stays
REQUEST_SECONDS = 6.0  # for a server that has offered something, before others are asked
AFTER_REFUSAL = 0.5
ETH_P_ALL, ETH_P_IP = 0x0003, 0x0800  # the first one also hears what programs send


def read(owner: str) -> tuple[dict[str, t.Any], Grant] | None:
    """What was asked for and granted to an attachment, by its mark; None where there is nothing valid."""
    return files.held(owner, Lease.KIND, unpack)


def change(work: t.Sequence[Operation], namespaces: Namespaces, done: list[Operation]) -> Failure:
    """Leases that come, are asked for anew, or go; many at once. Returns one that failed, and why."""
    return exchange(work, namespaces, done, _Client())


class _Place(t.NamedTuple):
    """An interface that a client speaks through."""

    sock: socket.socket
    mac: bytes
    shared: bool  # its MAC address is that of others too
    netns: int  # the open namespace
    ear: socket.socket | None  # hears who has an address, where that is to be known
    own: tuple[str, ...] = ()  # MAC addresses of the container
    siblings: t.Mapping[str, str] = {}  # the addresses that its other interfaces have, and which

    def close(self) -> None:
        self.sock.close()
        if self.ear is not None:
            self.ear.close()


class _Client:
    """See acquire."""

    def open(self, lease: Lease, namespaces: Namespaces, going: bool) -> _Place:
        netns = namespaces[lease.ns]
        device = netns.device(lease.device)
        if device is None or not device.ethernet or not device.mac:
            raise PipeworkError(f"dhcp: {lease.ns}/{lease.device} is no Ethernet interface.")
        sock = netns.inside(lambda: _socket(lease.device, ETH_P_IP if lease.client in (None, BUILTIN) else ETH_P_ALL))
        place = _Place(sock, bytes.fromhex(device.mac.replace(":", "")), device.type == "ipvlan", netns.fd, None)
        if not lease.probe or going:
            return place
        names = {each.index: each.name for each in netns.devices().values() if each.name != lease.device}
        siblings = {each.address.split("/")[0]: each.device for each in netns.addresses(names)} if names else {}
        return place._replace(ear=netns.inside(probe.listen), own=probe.own_macs(netns), siblings=siblings)

    def ask(self, lease: Lease, place: _Place, held: Grant | None) -> Grant:
        if lease.client in CLIENTS or lease.helper is not None:
            return _by_program(lease, place, held)
        return _Exchange(lease, place, held).run()

    def release(self, lease: Lease, place: _Place, grant: Grant) -> None:
        place.sock.send(_release(lease, grant, place))

    def succeed(self, before: Lease, place: _Place, grant: Grant) -> None:
        old: Grant | None = before.grant
        if old is not None and old.mac != mac_text(place.mac) and old.address != grant.address:
            place.sock.send(_release(before, old, place))

    def read(self, owner: str) -> tuple[dict[str, t.Any], Grant] | None:
        return read(owner)


def _socket(name: str, protocol: int) -> socket.socket:
    sock = socket.socket(socket.AF_PACKET, socket.SOCK_RAW | socket.SOCK_CLOEXEC, socket.htons(protocol))
    try:
        sock.bind((name, protocol))
    except OSError:
        sock.close()
        raise
    return sock


def _release(lease: Lease, grant: Grant, place: _Place) -> bytes:
    server, own = socket.inet_aton(grant.server), socket.inet_aton(grant.address.split("/")[0])
    mac = bytes.fromhex(grant.mac.replace(":", ""))  # which the interface may not have any more
    options = {dhcp.SERVER: server, dhcp.CLIENT: options_of(lease, mac, place.shared)[dhcp.CLIENT]}
    data = dhcp.encode(dhcp.RELEASE, _number(), mac, options, own)
    return dhcp.frame(data, place.mac, bytes.fromhex(grant.server_mac.replace(":", "")), own, server)


def _by_program(lease: Lease, place: _Place, held: Grant | None) -> Grant:
    """A program of the host asks, or one in a helper container."""
    wish = {dhcp.REQUESTED: socket.inet_aton(held.address.split("/")[0])} if held else {}
    options = {**wish, **options_of(lease, place.mac, place.shared)}
    seconds = lease.seconds or DHCP_SECONDS
    end = time.monotonic() + seconds
    listener = external_client.Listener(place.sock, place.mac)
    heard = ""
    while True:
        ask = Ask(lease.device, options, max(1, int(end - time.monotonic())))
        if lease.helper is not None:
            name, said = helper_container.run(lease.helper, ask, listener)
        else:
            name, said = str(lease.client), external_client.run(str(lease.client), ask, place.netns, listener)
        if not said.environment:
            break
        client = CLIENTS[name]
        sender = listener.sender(said.environment.get(client.names[dhcp.SERVER], ""))
        message = answer(client, said.environment, place.mac, sender)
        grant = granted(message, clock())
        heard = _taken(message, lease, place, options)
        if not heard:
            return grant
        if time.monotonic() + AFTER_REFUSAL >= end:
            raise _nobody(lease, place.mac, seconds, listener.sent, heard)
        options.pop(dhcp.REQUESTED, None)
        time.sleep(AFTER_REFUSAL)
    if not listener.sent[dhcp.DISCOVER]:
        raise PipeworkError(f"dhcp: {name} ended without having asked a server.{said.words}")
    heard += _refused(listener.refusal) if listener.refusal else ""
    raise _nobody(lease, place.mac, seconds, listener.sent, f"{heard}{said.words}")


def _taken(message: dhcp.Message, lease: Lease, place: _Place, options: t.Mapping[int, bytes]) -> str:
    """Whether somebody else has what was granted, in words. The server is told: it gives it to nobody for a while.

    RFC 2131 then waits for ten seconds, lest a server that does not listen is asked for ever; here the time is over
    some time.
    """
    address = socket.inet_ntoa(message.address)
    who = place.siblings.get(address)
    if who is None and place.ear is not None:
        who = probe.holder_of(place.ear, lease.device, place.mac, address, place.own)
    if who is None:
        return ""
    declined = {
        dhcp.REQUESTED: message.address, dhcp.SERVER: message.server or b"", dhcp.CLIENT: options[dhcp.CLIENT],
    }
    packet = dhcp.frame(dhcp.encode(dhcp.DECLINE, _number(), place.mac, declined), place.mac)
    with contextlib.suppress(OSError):
        place.sock.send(packet)
    return f" The server {socket.inet_ntoa(message.server or dhcp.NOWHERE)} gave {address}, which {who} has."


def _nobody(lease: Lease, mac: bytes, seconds: float, count: t.Mapping[int, int], more: str) -> PipeworkError:
    sent = f"{count[dhcp.DISCOVER]} DHCPDISCOVER and {count[dhcp.REQUEST]} DHCPREQUEST"
    return PipeworkError(
        f"dhcp: no server gave an address within {seconds:g} s; sent were {sent} from "
        f"{mac_text(mac)} as {lease.hostname!r}.{more}"
    )


def _refused(message: dhcp.Message) -> str:
    words = message.options.get(dhcp.MESSAGE, b"")[:80].decode("ascii", "replace")
    return f" The server {socket.inet_ntoa(message.server or dhcp.NOWHERE)} refused it: {words!r}."


def _number() -> int:
    return int.from_bytes(os.urandom(4), "big")


class _Exchange:
    """One client asking until it has a lease, or the time is over."""

    def __init__(self, lease: Lease, place: _Place, held: Grant | None) -> None:
        self.lease, self.place = lease, place
        self.options = options_of(lease, place.mac, place.shared)
        self.held = socket.inet_aton(held.address.split("/")[0]) if held else None
        self.seconds = lease.seconds or DHCP_SECONDS  # one that comes back does not know how long it was asked for
        self.end = time.monotonic() + self.seconds
        self.sent = {dhcp.DISCOVER: 0, dhcp.REQUEST: 0}
        self.heard = ""  # the last answer that was of no use, in words

    def run(self) -> Grant:
        wish = {} if self.held is None else {dhcp.REQUESTED: self.held}
        while time.monotonic() < self.end:
            xid = _number()
            offer = self._ask(dhcp.DISCOVER, xid, {**wish, **self.options}, self.end, (dhcp.OFFER,))
            if offer is None:
                break
            own = {code: value for code, value in self.options.items() if code != dhcp.REQUESTED}
            request = {dhcp.REQUESTED: offer.address, dhcp.SERVER: offer.server or b"", **own}
            until = min(self.end, time.monotonic() + REQUEST_SECONDS)
            answer = self._ask(dhcp.REQUEST, xid, request, until, (dhcp.ACK, dhcp.NAK), offer)
            if answer is not None and answer.kind == dhcp.ACK and not self._taken(answer):
                return granted(answer, clock())
            if answer is not None:
                wish = {}
                time.sleep(AFTER_REFUSAL)
        raise _nobody(self.lease, self.place.mac, self.seconds, self.sent, self.heard)

    def _taken(self, answer: dhcp.Message) -> bool:
        """Whether somebody else has what was granted."""
        taken = _taken(answer, self.lease, self.place, self.options)
        if taken:
            self.heard = taken
            self.options.pop(dhcp.REQUESTED, None)
        return bool(taken)

    def _ask(
        self, kind: int, xid: int, options: t.Mapping[int, bytes], end: float, wanted: tuple[int, ...],
        offer: dhcp.Message | None = None,
    ) -> dhcp.Message | None:
        """Sends until an answer comes that can be used."""
        sock = self.place.sock
        asked = {**options, dhcp.WANTED: dhcp.ASKED_FOR, dhcp.MAX_SIZE: (1472).to_bytes(2, "big")}
        packet = dhcp.frame(dhcp.encode(kind, xid, self.place.mac, asked), self.place.mac)
        for number in range(1 << 16):
            if time.monotonic() >= end:
                return None
            with contextlib.suppress(BlockingIOError):
                sock.send(packet)
            self.sent[kind] += 1
            again = min(end, time.monotonic() + PAUSES[min(number, len(PAUSES) - 1)])
            while True:
                left = again - time.monotonic()
                if left <= 0:
                    break
                sock.settimeout(left)
                try:
                    message = dhcp.unframe(sock.recv(1 << 16))
                except socket.timeout:
                    break
                if message is None or (message.xid, message.mac) != (xid, self.place.mac):
                    continue
                if message.kind in wanted and self._is_good(message, offer):
                    return message
        return None

    def _is_good(self, message: dhcp.Message, offer: dhcp.Message | None) -> bool:
        if offer is not None and message.server != offer.server:
            return False
        if message.kind == dhcp.NAK:
            if not message.credible:
                return False
            self.heard = _refused(message)
            return True
        if offer is not None and message.address != offer.address:
            self.heard = " A server acknowledged another address than it had offered."
            return False
        try:
            granted(message, 0)
            return True
        except PipeworkError as error:
            self.heard = f" {str(error)[len('dhcp: '):].capitalize()}"
            return False
