# Copyright: pipework.containers contributors
# GNU General Public License v3.0+ (see LICENSE)
"""One spelling for each value: addresses, MAC addresses, interface names, MTUs.

Each function takes what a user wrote and the name of the option, and returns the spelling the kernel reports,
or raises PipeworkError with a sentence that says what would be right. Pure.
"""
from __future__ import annotations

import hashlib
import ipaddress
import re
import typing as t

from .errors import PipeworkError

RESERVED = "reserved (240.0.0.0/4)"
NAME_MAX = 15  # IFNAMSIZ less its zero
MTU_MIN, MTU_MAX, MTU_MIN_IPV6 = 68, 65535, 1280


def family(address: str) -> int:
    """4 or 6, of an address or prefix in the kernel's spelling."""
    return 6 if ":" in address else 4


def interface_address(value: object, option: str, classic: bool = False) -> str | None:
    """``192.168.1.1/24`` in the kernel's spelling; None for ``0/0``, the classic word for "no address".

    ``classic``: also what the script hands to the kernel, which takes it, though few others do (see ``doubtful``).
    """
    text = str(value).strip()
    if text in ("0/0", "0.0.0.0/0", "::/0"):
        return None
    host, slash, mask = text.partition("/")
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        raise PipeworkError(
            f"{option}: {text!r} is not an IP address with a prefix length, such as 192.168.1.1/24."
        ) from None
    if "%" in host:
        raise PipeworkError(f"{option}: {text!r} has a zone; write the address without '%…', the interface is known.")
    if not slash:
        raise PipeworkError(
            f"{option}: {text!r}: the IP address should include a netmask. "
            f"Maybe you meant {address}/{24 if address.version == 4 else 64}?"
        )
    try:
        interface = ipaddress.ip_interface(f"{host}/{mask}")
    except ValueError:
        raise PipeworkError(
            f"{option}: {text!r}: {mask!r} is not a netmask; "
            f"a prefix length from 1 to {32 if address.version == 4 else 128} would be right."
        ) from None
    what = _of_no_host(address)
    if what is not None and not (classic and what == RESERVED):
        raise PipeworkError(
            f"{option}: {text!r} cannot be the address of an interface: it is {what}; "
            "a unicast address would be right."
        )
    if address.version == 6 and address.is_link_local:
        raise PipeworkError(
            f"{option}: {text!r} is a link-local address, which the kernel gives to each interface by itself; "
            "one of another network would be right."
        )
    if str(address) == broadcast(str(interface)):
        raise PipeworkError(
            f"{option}: {text!r} is the broadcast address of its network; the address of a single host would be right."
        )
    network = broadcast(str(interface)) is not None and address == interface.network.network_address
    if network and not classic:
        raise PipeworkError(
            f"{option}: {text!r} is the address of the network itself; that of a single host, such as "
            f"{address + 1}/{interface.network.prefixlen}, would be right."
        )
    if interface.network.prefixlen == 0:
        raise PipeworkError(
            f"{option}: {text!r}: a prefix length of 0 would make the whole Internet local; use 1 or more."
        )
    return f"{address}/{interface.network.prefixlen}"


def doubtful(cidr: str) -> str | None:
    """Why an address may not do what is hoped for; None for most."""
    interface = ipaddress.ip_interface(cidr)
    if interface.version == 4 and int(interface.ip) >> 28 == 15:
        return f"{cidr} is {RESERVED}; many machines drop what comes from there"
    if broadcast(cidr) is not None and interface.ip == interface.network.network_address:
        return f"{cidr} is the address of the network itself, which older kernels and machines take for a broadcast"
    return None


def spelled(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> str:
    """As the kernel's tools print it; Python writes IPv4 inside of IPv6 in one way or the other, as old as it is."""
    high, low = int(address) >> 32, int(address) & 0xFFFFFFFF
    if address.version == 6 and (high == 0xFFFF or high == 0 and low > 0xFFFF):
        return f"::{'ffff:' if high else ''}{ipaddress.IPv4Address(low)}"
    return str(address)


def _of_no_host(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> str | None:
    """What an address is that neither an interface nor a router can have; None where they can."""
    number = int(address)
    if address.is_multicast:
        return "that of a group (multicast)"
    if address.version == 6:
        words = {0: "one of the machine itself", 0xFFFF: "one of IPv4 in the clothes of IPv6"}
        return words.get(number >> 32)
    if number == 0xFFFFFFFF:
        return "the broadcast address of all networks"
    return {0: "one of 'this network' (0.0.0.0/8)", 127: "one of the machine itself (127.0.0.0/8)"}.get(
        number >> 24, RESERVED if number >> 28 == 15 else None
    )


def gateway(value: object, option: str) -> str:
    """The address of a router."""
    found = address(value, option)
    what = _of_no_host(ipaddress.ip_address(found))
    if what is not None:
        raise PipeworkError(
            f"{option}: {str(value).strip()!r} cannot be the address of a router: it is {what}; "
            "a unicast address would be right."
        )
    return found


def no_gateway(gateway: str, addresses: t.Iterable[str]) -> str | None:
    """Why an interface with these addresses cannot have a gateway, None where it can."""
    for each in addresses:
        interface = ipaddress.ip_interface(each)
        if gateway == str(interface.ip):
            return f"{gateway} is the interface's own address; the gateway is another machine."
        end = broadcast(each)
        if end is not None and gateway in (end, str(interface.network.network_address)):
            what = "broadcast address" if gateway == end else "address"
            return (
                f"{gateway} is the {what} of the network {interface.network}; that of a router in it would be right."
            )
    return None


def address(value: object, option: str) -> str:
    """A plain unicast address, such as a gateway's."""
    text = str(value).strip()
    try:
        parsed = ipaddress.ip_address(text)
    except ValueError:
        raise PipeworkError(f"{option}: {text!r} is not an IP address, such as 192.168.1.254.") from None
    if parsed.is_multicast or parsed.is_unspecified or "%" in text:
        raise PipeworkError(f"{option}: {text!r} cannot be the address of a router; a unicast address would be right.")
    return str(parsed)


def broadcast(cidr: str) -> str | None:
    """The broadcast address that goes with an interface's address; None for IPv6, /31 and /32."""
    network = ipaddress.ip_interface(cidr).network
    if network.version == 6 or network.prefixlen > 30:
        return None
    return str(network.broadcast_address)


def on_link(gateway: str, addresses: tuple[str, ...]) -> bool:
    """Whether a gateway can be asked for directly from an interface that has these addresses."""
    wanted = ipaddress.ip_address(gateway)
    if wanted.version == 6 and wanted.is_link_local:
        return True
    networks = (ipaddress.ip_interface(address).network for address in addresses)
    return any(wanted.version == network.version and wanted in network for network in networks)


def octets(text: str, option: str) -> bytes:
    """A text as the kernel and files have it."""
    try:
        return text.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        raise PipeworkError(f"{option}: {text!a} holds half of a character, which nothing can be called.") from None


def mac_address(value: object, option: str = "mac_address") -> str:
    """``02:72:6c:cd:9b:8d``; ``U:<string>`` gives the stable address that the classic script gives for the string."""
    text = str(value).strip()
    if text.startswith("U:"):
        seed = text[2:]
        if not seed:
            raise PipeworkError(f"{option}: 'U:' needs a string after it, such as U:web1.")
        digest = hashlib.md5(octets(seed, option) + b"\n", usedforsecurity=False).hexdigest()
        return ":".join(["02"] + [digest[i:i + 2] for i in range(0, 10, 2)])
    if not re.fullmatch(r"(?:[0-9A-Fa-f]{2}([:-]))(?:[0-9A-Fa-f]{2}\1){4}[0-9A-Fa-f]{2}", text):
        raise PipeworkError(
            f"{option}: {text!r} is not a MAC address; "
            "six pairs of hex digits such as 02:00:00:00:00:01, or U:<string>, would be right."
        )
    mac = text.lower().replace("-", ":")
    if int(mac[:2], 16) & 1:
        raise PipeworkError(
            f"{option}: {text!r} is a multicast address, because the lowest bit of its first byte is 1; "
            f"an interface needs a unicast one, such as {int(mac[:2], 16) & 0xFE | 2:02x}{mac[2:]}."
        )
    if mac == "00:00:00:00:00:00":
        raise PipeworkError(f"{option}: {text!r} is no address; one such as 02:00:00:00:00:01 would be right.")
    return mac


def interface_name(value: object, option: str) -> str:
    """A name that the kernel takes for an interface."""
    text = str(value)
    size = len(octets(text, option))
    if size > NAME_MAX:
        raise PipeworkError(f"{option}: {text!r} has {size} characters; an interface name has at most {NAME_MAX}.")
    if text in ("", ".", "..", "all", "default") or re.search(r"[\s/:%\x00-\x1f\x7f]", text):
        raise PipeworkError(
            f"{option}: {text!r} cannot be the name of an interface; "
            f"1 to {NAME_MAX} characters without spaces, '/', ':' and '%', and not '.', '..', 'all' or 'default', "
            "would be right."
        )
    if text == "lo":
        raise PipeworkError(f"{option}: 'lo' is the loopback interface, which takes no part in this; choose another.")
    return text


def new_name(value: object, option: str, state: str | None = None) -> str:
    """The same for an interface that we make: the kernel would take what is a list, or of a shell, as a name too.
    One that is to be absent has the name that it has."""
    name = interface_name(value, option)
    if state == "absent":
        return name
    odd = re.search(r"[]\[{}()<>'\"`$;\\|&*?!,]", name)
    if odd is not None:
        raise PipeworkError(
            f"{option}: {name!r} has {odd[0]!r} in it, which no name of a new interface should; "
            "letters, digits, '.', '_' and '-', such as eth1, would be right."
        )
    return name


def partition_key(value: object) -> int:
    """Of InfiniBand: 16 bits, of which the first says whether the member is a full one; the rest is not 0."""
    text = str(value).strip()
    found = int(text, 0) if re.fullmatch(r"0[xX][0-9a-fA-F]+|0|[1-9][0-9]*", text, re.ASCII) else 0
    if not 0 < found <= 0xFFFF or found == 0x8000:
        raise PipeworkError(
            f"pkey: {text!r} is not a partition key; 0x0001 to 0xffff would be right, but not 0x8000. "
            "Without 0x it is a decimal number."
        )
    return found


def mtu(value: object, option: str = "mtu") -> int:
    """Bytes, 68 to 65535."""
    number = integer(value, option)
    if not MTU_MIN <= number <= MTU_MAX:
        raise PipeworkError(f"{option}: {number} is not possible; {MTU_MIN} to {MTU_MAX} would be right.")
    return number


def integer(value: object, option: str) -> int:
    """A whole number, also when a template has made it a string."""
    try:
        return int(str(value).strip())
    except ValueError:
        raise PipeworkError(f"{option}: {value!r} is not a whole number.") from None


def hashed_name(prefix: str, *parts: str) -> str:
    """A stable interface name of 15 characters at most, whatever the parts hold."""
    digest = hashlib.sha256("\x00".join(parts).encode("utf-8", "surrogateescape")).hexdigest()
    return prefix + digest[:NAME_MAX - len(prefix) - 2]


def stable_mac(*parts: str) -> str:
    """A locally administered unicast address that is the same each time for the same parts."""
    digest = hashlib.sha256("\x00".join(parts).encode("utf-8", "surrogateescape")).hexdigest()
    return ":".join(["02"] + [digest[i:i + 2] for i in range(0, 10, 2)])
