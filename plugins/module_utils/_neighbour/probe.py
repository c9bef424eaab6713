# Copyright: pipework.containers contributors
# GNU General Public License v3.0+ (see LICENSE)
"""Asks a segment who has an IPv4 address before it is used there (RFC 5227), all interfaces of a run at the same time.

RFC 5227 asks three times within seven seconds, for radios and for machines that have just begun to start. A wired
neighbour's kernel answers within a millisecond: here it is asked twice within WAIT, and who answers is asked again
until PATIENCE is over, since it may be what an ended container has left, which the kernel is about to remove.
"""
from __future__ import annotations

import array
import concurrent.futures
import contextlib
import select
import socket
import struct
import time
import typing as t

from .._core.errors import PipeworkError
from .._core.plan import Operation
from .._model.objects import Address
from .._netlink.namespaces import Namespaces, Netns
from .announce import CLOSERS
from .arp import ARPHRD_ETHER, ARPOP_REQUEST, ETH_P_ARP, ETH_P_IP, HEAD

WAIT, AGAIN, PATIENCE = 0.2, 0.08, 2.0  # seconds
MANY = 32  # each question goes to all ports of a bridge: so many are asked once
SO_ATTACH_FILTER, FILTERED_MAX = 26, 100  # a jump in a filter spans 255 instructions
LOAD, JUMP_EQUAL, RETURN = 0x20, 0x15, 0x06  # linux/bpf_common.h: BPF_LD|BPF_W|BPF_ABS, BPF_JMP|BPF_JEQ|BPF_K, BPF_RET
OUTGOING = 4


class Claim(t.NamedTuple):
    """An address that an interface is about to use. ``spared``: who may answer for it all the same."""

    label: str
    interface: str
    address: str
    spared: tuple[str, ...] = ()


def probe_frame(mac: bytes, address: str, asking: str = "0.0.0.0") -> bytes:
    """RFC 5227: who has it? From nobody's address, so that no neighbour learns anything from it, unless one is told."""
    arp = struct.pack("!HHBBH", ARPHRD_ETHER, ETH_P_IP, 6, 4, ARPOP_REQUEST) + mac + socket.inet_aton(asking) + bytes(6)
    return b"\xff" * 6 + mac + struct.pack("!H", ETH_P_ARP) + arp + socket.inet_aton(address)


def holder(frame: bytes, mac: bytes, address: str) -> bytes | None:
    """The MAC address of who has the address, or is about to take it, as far as a frame tells."""
    if len(frame) < 42 or frame[12:20] != HEAD:
        return None
    wanted, sender, said, asked = socket.inet_aton(address), frame[22:28], frame[28:32], frame[38:42]
    probes = said == bytes(4) and asked == wanted and frame[20:22] == struct.pack("!H", ARPOP_REQUEST)
    return sender if (said == wanted or probes) and sender != mac else None


def holders(claims: t.Sequence[Claim], namespaces: Namespaces, patience: float = PATIENCE) -> dict[Claim, str]:
    """Those that somebody has, and the MAC address of who has them."""
    ears: dict[str, socket.socket] = {}
    macs: dict[tuple[str, str], bytes] = {}
    try:
        for claim in claims:
            device = namespaces[claim.label].device(claim.interface)
            if device is not None and device.ethernet and device.mac and device.carrier:
                macs[claim.label, claim.interface] = bytes.fromhex(device.mac.replace(":", ""))
        asked = [claim for claim in claims if (claim.label, claim.interface) in macs]
        for label in dict.fromkeys(claim.label for claim in asked):
            ears[label] = namespaces[label].inside(listen)
            _filter(ears[label], [claim.address for claim in asked if claim.label == label])
        end = time.monotonic() + patience
        found = _ask(asked, ears, macs)
        while found and time.monotonic() < end:
            found = _ask(list(found), ears, macs)
        return found
    finally:
        if ears:
            with concurrent.futures.ThreadPoolExecutor(CLOSERS) as pool:
                list(pool.map(socket.socket.close, ears.values()))


def silent(claims: t.Sequence[Claim], namespaces: Namespaces) -> list[Claim]:
    """Those of which nobody says within WAIT that the address is his. Where there is no carrier, nobody is asked.

    They are asked for as any neighbor is: a router that answers for others does not do so when it is only probed.
    """
    ears: dict[str, socket.socket] = {}
    macs: dict[Claim, bytes] = {}
    try:
        for claim in claims:
            netns = namespaces[claim.label]
            device = netns.device(claim.interface)
            if device is not None and device.ethernet and device.mac and device.carrier:
                macs[claim] = bytes.fromhex(device.mac.replace(":", ""))
        for label in dict.fromkeys(claim.label for claim in macs):
            ears[label] = namespaces[label].inside(listen)
            _filter(ears[label], [claim.address for claim in macs if claim.label == label])
        waiting, start = set(macs), time.monotonic()
        for until in (AGAIN, WAIT):
            for claim in waiting:
                with contextlib.suppress(OSError):
                    frame = probe_frame(macs[claim], claim.address, claim.spared[0] if claim.spared else "0.0.0.0")
                    ears[claim.label].sendto(frame, (claim.interface, 0))
            _hear(waiting, ears, macs, start + until)
        return [claim for claim in macs if claim in waiting]
    finally:
        for ear in ears.values():
            ear.close()


def _hear(
    waiting: set[Claim], ears: t.Mapping[str, socket.socket], macs: t.Mapping[Claim, bytes], end: float,
) -> None:
    """Takes out those that somebody answers for, until there are none or the time is over."""
    poller = select.poll()
    by_fd = {ear.fileno(): label for label, ear in ears.items()}
    for fd in by_fd:
        poller.register(fd, select.POLLIN)
    while waiting and time.monotonic() < end:
        for fd, _event in poller.poll(max(0, end - time.monotonic()) * 1000):
            label = by_fd[fd]
            with contextlib.suppress(OSError):
                frame, origin = ears[label].recvfrom(128, socket.MSG_DONTWAIT)
                if origin[2] != OUTGOING:
                    waiting -= {
                        claim for claim in waiting if (claim.label, claim.interface) == (label, origin[0])
                        and holder(frame, macs[claim], claim.address)
                    }


def own_macs(netns: Netns) -> tuple[str, ...]:
    """Whose answers are the container's own: a kernel answers for an address through each of its interfaces."""
    return tuple(device.mac for device in netns.devices().values() if device.mac)


def ask_around(work: t.Iterable[Operation], namespaces: Namespaces) -> tuple[Operation, Exception] | None:
    """The first of the addresses that are about to come that somebody has, and the words for it."""
    claims: dict[Claim, Operation] = {}
    for operation in work:
        want = t.cast(Address, operation.after)
        claims[Claim(want.ns, want.device, want.address.split("/")[0], want.claimed or ())] = operation
    for claim, mac in holders(list(claims), namespaces).items():
        own = [device.name for device in namespaces[claim.label].devices().values() if device.mac == mac]
        who = f"its own {own[0]}" if own else mac
        words = f"{claim.address} is in use already, by {who}; give {claim.label}/{claim.interface} another one"
        return claims[claim], PipeworkError(f"addresses: {words}, or use 'announce: false'")
    return None


def holder_of(
    ear: socket.socket, interface: str, mac: bytes, address: str, spared: tuple[str, ...] = (),
) -> str | None:
    """The same for one address, by a socket that was opened in its namespace."""
    _filter(ear, [address])
    claim = Claim("", interface, address, spared)
    return _ask([claim], {"": ear}, {("", interface): mac}).get(claim)


def listen() -> socket.socket:
    """Hears all interfaces of a namespace: to bind it to one would wait for the kernel's readers."""
    return socket.socket(socket.AF_PACKET, socket.SOCK_RAW | socket.SOCK_CLOEXEC, socket.htons(ETH_P_ARP))


def _filter(ear: socket.socket, addresses: t.Sequence[str]) -> None:
    """Or a thousand that ask at once fill its queue."""
    if len(addresses) <= FILTERED_MAX:
        numbers = [int.from_bytes(socket.inet_aton(address), "big") for address in addresses]
        steps = [(LOAD, 28), *((JUMP_EQUAL, each) for each in numbers)]  # the sender's address, and
        steps += [(LOAD, 38), *((JUMP_EQUAL, each) for each in numbers), (RETURN, 0), (RETURN, 0xFFFF)]  # who is asked
        code = array.array("B", b"".join(
            struct.pack("=HBBI", sort, len(steps) - at - 2 if sort == JUMP_EQUAL else 0, 0, value)
            for at, (sort, value) in enumerate(steps)
        ))
        program = struct.pack("@HP", len(steps), code.buffer_info()[0])
        with contextlib.suppress(OSError):
            ear.setsockopt(socket.SOL_SOCKET, SO_ATTACH_FILTER, program)


def _ask(
    claims: t.Sequence[Claim], ears: t.Mapping[str, socket.socket], macs: t.Mapping[tuple[str, str], bytes],
) -> dict[Claim, str]:
    """One round; who has none of the addresses says nothing, so it takes its time only if there are any."""
    found: dict[Claim, str] = {}
    if not claims:
        return found
    poller = select.poll()
    by_fd = {ears[label].fileno(): label for label in {claim.label for claim in claims}}
    for fd in by_fd:
        poller.register(fd, select.POLLIN)
    end, moments = 0.0, [0.0, AGAIN] if len(claims) <= MANY else [0.0]
    start = time.monotonic()
    while True:
        now = time.monotonic()
        if moments and now >= start + moments[0]:
            moments.pop(0)
            for claim in claims:
                mac = macs[claim.label, claim.interface]
                with contextlib.suppress(OSError):
                    ears[claim.label].sendto(probe_frame(mac, claim.address), (claim.interface, 0))
            end = max(start + WAIT, time.monotonic() + WAIT - AGAIN)
        left = (start + moments[0] if moments else end) - time.monotonic()
        if left <= 0 and not moments:
            return found
        for fd, _event in poller.poll(max(0, left) * 1000):
            label = by_fd[fd]
            with contextlib.suppress(OSError):
                frame, origin = ears[label].recvfrom(128, socket.MSG_DONTWAIT)
                for claim in claims:
                    if (claim.label, claim.interface) != (label, origin[0]) or origin[2] == OUTGOING:
                        continue
                    who = holder(frame, macs[label, claim.interface], claim.address)
                    words = who.hex(":") if who else ""
                    if who and words not in claim.spared:
                        found[claim] = words
