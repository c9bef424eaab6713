# Copyright: pipework.containers contributors
# GNU General Public License v3.0+ (see LICENSE)
"""Programs that ask a DHCP server: what they are told, and what they say of a lease. One small file each. Pure.

None of them configures anything: each is given a hook of ours, which only hands on its environment. What was granted is
checked and carried out in the same way as what the built-in client gets.
"""
from __future__ import annotations

import ipaddress
import typing as t

from ..._core.errors import PipeworkError
from .. import dhcp4_message as dhcp
from . import dhclient, dhcpcd, udhcpc
from .client import FOLDER, HOOK_TEXT, SAID, Ask, Client

__all__ = ["CHOICES", "CLIENTS", "FOLDER", "HOOK_TEXT", "IN_IMAGES", "SAID", "Ask", "Client", "answer", "check_client"]

BUILTIN, DOCKER = "builtin", "docker"
CLIENTS: dict[str, Client] = {each.name: each for each in (udhcpc.CLIENT, dhclient.CLIENT, dhcpcd.CLIENT)}
IN_IMAGES = ("udhcpc", "dhclient")  # what is looked for in the image of a helper container, in this order
CHOICES = (BUILTIN, *CLIENTS, DOCKER)
INTEGERS = {dhcp.SECONDS: 4, dhcp.MTU: 2}
ADDRESSES = (dhcp.MASK, dhcp.SERVER, dhcp.ROUTER, dhcp.DNS)


def check_client(name: str | None, kind: str, codes: t.Mapping[int, str]) -> None:
    """Refuses what a client cannot do. ``codes``: the numbers of options, and as they are written."""
    client = CLIENTS.get(str(name))
    if client is None:
        return
    for code, text in codes.items():
        if client.sends is not None and code not in client.sends:
            raise PipeworkError(
                f"dhcp_options: {text!r}: {name} cannot send this option, only those that have names; "
                "dhcp=builtin, udhcpc or dhclient can."
            )
    if kind == "ipvlan" and not client.broadcasts:
        raise PipeworkError(
            f"dhcp: {name} cannot ask for answers that interfaces with a shared MAC address hear (kind ipvlan); "
            "builtin, udhcpc or dhcpcd can."
        )


def answer(client: Client, environment: t.Mapping[str, str], mac: bytes, sender: bytes) -> dhcp.Message:
    """What a server has granted, as the client's environment tells it; what is no value of its option is left out."""
    options = {dhcp.TYPE: bytes((dhcp.ACK,))}
    for code, name in client.names.items():
        words = [word for word in environment.get(name, "").split() if word != client.censored]
        try:
            value = _value(code, words)
        except (ValueError, OverflowError):
            continue
        if value:
            options[code] = value
    try:
        address = ipaddress.IPv4Address(environment.get(client.address, "")).packed
    except ValueError:
        address = dhcp.NOWHERE
    return dhcp.Message(0, mac, address, options, sender)


def _value(code: int, words: list[str]) -> bytes:
    if code in INTEGERS:
        return int(words[0]).to_bytes(INTEGERS[code], "big") if words else b""
    if code in ADDRESSES:
        return b"".join(ipaddress.IPv4Address(word).packed for word in words)
    if code == dhcp.ROUTES:
        return _routes(words)
    return " ".join(words).encode("utf-8", "surrogateescape")


def _routes(words: list[str]) -> bytes:
    """Those of RFC 3442: octets, or networks and gateways in turn."""
    if all(word.isdigit() for word in words):
        return bytes(int(word) for word in words)
    found = b""
    for to, via in zip(words[::2], words[1::2]):
        network = ipaddress.IPv4Network(to, strict=False)
        octets = network.network_address.packed[:(network.prefixlen + 7) // 8]
        found += bytes((network.prefixlen,)) + octets + ipaddress.IPv4Address(via).packed
    return found
