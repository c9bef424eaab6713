# Copyright: pipework.containers contributors
# GNU General Public License v3.0+ (see LICENSE)
"""The words and numbers of routes and rules: tables, protocols, scopes, types, metrics. Pure."""

from __future__ import annotations

import dataclasses
import ipaddress
import re
import typing as t

from .._core import normalize as norm
from .._core.errors import PipeworkError
from .layer3 import TABLE_KEPT, TABLE_PUBLISHED, TABLE_WAITING

TABLES = {"unspec": 0, "default": 253, "main": 254, "local": 255}
PROTOCOLS = {"unspec": 0, "redirect": 1, "kernel": 2, "boot": 3, "static": 4, "ra": 9, "dhcp": 16}
OF_THE_KERNEL = (1, 2, 9)  # redirect, kernel, ra: what it made by itself
TYPES = {
    "unicast": 1, "local": 2, "broadcast": 3, "multicast": 5, "blackhole": 6, "unreachable": 7, "prohibit": 8,
    "throw": 9,
}
SCOPES = {"global": 0, "universe": 0, "site": 200, "link": 253, "host": 254}
SCOPE_NUMBERS = {"global": 0, "site": 200, "link": 253, "host": 254}
PREFERENCES = {"medium": 0, "high": 1, "low": 3}
FAMILIES = {"ipv4": 4, "ipv6": 6}
NUMBER_MAX = 2**32 - 1

# Name: attribute, by what the value is multiplied (times are in ms), the greatest that the kernel keeps
METRICS: dict[str, tuple[str, int, int]] = {
    "mtu": ("RTAX_MTU", 1, 65535 - 15), "window": ("RTAX_WINDOW", 1, NUMBER_MAX), "rtt": ("RTAX_RTT", 8, NUMBER_MAX),
    "rttvar": ("RTAX_RTTVAR", 4, NUMBER_MAX), "ssthresh": ("RTAX_SSTHRESH", 1, NUMBER_MAX),
    "cwnd": ("RTAX_CWND", 1, NUMBER_MAX), "advmss": ("RTAX_ADVMSS", 1, 65535 - 40),
    "reordering": ("RTAX_REORDERING", 1, NUMBER_MAX), "hoplimit": ("RTAX_HOPLIMIT", 1, 255),
    "initcwnd": ("RTAX_INITCWND", 1, NUMBER_MAX), "rto_min": ("RTAX_RTO_MIN", 1, NUMBER_MAX),
    "initrwnd": ("RTAX_INITRWND", 1, NUMBER_MAX), "quickack": ("RTAX_QUICKACK", 1, NUMBER_MAX),
}
LOCKS = {name: number for number, name in enumerate((
    "mtu", "window", "rtt", "rttvar", "ssthresh", "cwnd", "advmss", "reordering", "hoplimit", "initcwnd",
    "features", "rto_min", "initrwnd", "quickack",
), 2)}
ECN = 1


@dataclasses.dataclass(frozen=True)
class Names:
    """What the host calls tables and protocols."""

    tables: t.Mapping[str, int] = dataclasses.field(default_factory=lambda: dict(TABLES))
    protocols: t.Mapping[str, int] = dataclasses.field(default_factory=lambda: dict(PROTOCOLS))

    def table(self, value: t.Any, option: str = "table") -> int:
        """A table's number."""
        number = _numbered(value, self.tables, NUMBER_MAX)
        if number is None:
            known = ", ".join(sorted(name for name in self.tables if name != "unspec"))
            raise PipeworkError(
                f"{option}: {str(value)!r} is not the name of a routing table; the host's rt_tables have {known}. "
                "A number from 1 to 4294967295 would be right too."
            )
        if number in (0, TABLE_KEPT, TABLE_WAITING, TABLE_PUBLISHED):
            why = "is kept for routes that come back" if number else "stands for no table"
            raise PipeworkError(f"{option}: {value} {why}; name another table.")
        return number

    def protocol(self, value: t.Any, option: str = "protocol") -> int:
        """A routing protocol's number."""
        number = _numbered(value, self.protocols, 255)
        if number is None:
            known = ", ".join(sorted(self.protocols))
            raise PipeworkError(
                f"{option}: {str(value)!r} is not known; the host's rt_protos have {known}. "
                "A number from 3 to 255 would be right too."
            )
        if number in (0, *OF_THE_KERNEL):
            raise PipeworkError(
                f"{option}: {value} marks what the kernel made by itself, which is left alone; "
                "static or a number from 3 to 255 would be right."
            )
        return number


def _numbered(value: t.Any, names: t.Mapping[str, int], most: int) -> int | None:
    text = str(value).strip()
    if text in names:
        return names[text]
    if not re.fullmatch(r"0[xX][0-9a-fA-F]{1,16}|[0-9]{1,20}", text):
        return None
    number = int(text, 16) if text[:2].lower() == "0x" else int(text)
    return number if number <= most else None


def word(value: t.Any, words: t.Mapping[str, int], option: str) -> int:
    """The number behind one of few words."""
    text = str(value).strip().lower()
    if text not in words:
        raise PipeworkError(f"{option}: {value!r} is not known; {', '.join(words)} are.")
    return words[text]


def scope(value: t.Any) -> int:
    number = _numbered(value, SCOPES, 254)
    if number is None:
        raise PipeworkError(f"scope: {value!r} is not known; {', '.join(SCOPES)} and numbers up to 254 are.")
    return number


def number(value: t.Any, option: str, most: int = NUMBER_MAX, least: int = 0) -> int:
    """A number in a range; hex will do."""
    text = str(value).strip()
    hexadecimal = re.fullmatch(r"0[xX][0-9a-fA-F]+", text)
    if not hexadecimal and not re.fullmatch(r"[+-]?[0-9]+", text, re.ASCII):
        raise PipeworkError(f"{option}: {text!r} is not a whole number; {least} to {most} would be right.")
    found = int(text, 16 if hexadecimal else 10)
    if not least <= found <= most:
        raise PipeworkError(f"{option}: {value} is not possible; {least} to {most} would be right.")
    return found


def prefix(value: t.Any, option: str, version: int | None = None) -> str:
    """A destination in the kernel's spelling: ``default``, or a prefix; a plain address is a prefix of its own."""
    text = str(value).strip()
    if text in ("default", "any", "all"):
        return "default"
    host, slash, length = text.partition("/")
    if slash and re.fullmatch(r"[0-9.]+", host) and host.count(".") < 3:
        host += ".0" * (3 - host.count("."))  # 10/8, as ip takes it
    try:
        network = ipaddress.ip_network(f"{host}/{length}" if slash else host, strict=False)
    except ValueError:
        raise PipeworkError(
            f"{option}: {text!r} is not a destination; a prefix such as 10.0.0.0/8, an address, or 'default' "
            "would be right."
        ) from None
    if version is not None and network.version != version:
        raise PipeworkError(f"{option}: {text!r} is of IPv{network.version}, but the family is IPv{version}.")
    if ipaddress.ip_address(host) != network.network_address:
        raise PipeworkError(f"{option}: {text!r} has bits beyond its length; maybe you meant {network}?")
    if network.prefixlen == 0:
        return "default"
    return f"{norm.spelled(network.network_address)}/{network.prefixlen}"


def usual_table(kind: int) -> int:
    """Where ip puts a route of a type."""
    return TABLES["local" if kind in (TYPES["local"], TYPES["broadcast"]) else "main"]


def version_of(text: str) -> int:
    return 6 if ":" in text else 4


def metrics(options: t.Mapping[str, t.Any], version: int = 4) -> tuple[tuple[str, t.Any], ...]:
    """The metrics of a route, as the kernel keeps them. Zero is none."""
    found: dict[str, t.Any] = {}
    for name, value in options.items():
        if value is None or name not in METRICS:
            continue
        attribute, factor, most = METRICS[name]
        kept = min(_amount(value, name, factor), most)
        least = norm.MTU_MIN_IPV6 if version == 6 else norm.MTU_MIN
        if name == "mtu" and 0 < kept < least:
            raise PipeworkError(
                f"mtu: {value} is less than IPv{version} can do with; {least} to {most} would be right."
            )
        if kept:
            found[attribute] = kept
    features = options.get("features") or ()
    for feature in features:
        if feature != "ecn":
            raise PipeworkError(f"metrics.features: {feature!r} is not known; ecn is.")
        found["RTAX_FEATURES"] = ECN
    if options.get("congctl"):
        found["RTAX_CC_ALGO"] = str(options["congctl"])
    # The kernel goes by a least timeout only if it is locked, and so ip locks it.
    lock = 1 << LOCKS["rto_min"] if "RTAX_RTO_MIN" in found else 0
    for name in options.get("lock") or ():
        if name not in LOCKS:
            raise PipeworkError(f"metrics.lock: {name!r} is not a metric that can be locked; {', '.join(LOCKS)} are.")
        lock |= 1 << LOCKS[name]
    if lock:
        found["RTAX_LOCK"] = lock
    for name in options:
        if name not in METRICS and name not in ("features", "congctl", "lock"):
            known = ", ".join((*METRICS, "features", "congctl", "lock"))
            raise PipeworkError(f"metrics: {name!r} is not one of them; {known} are.")
    return tuple(sorted(found.items()))


def _amount(value: t.Any, name: str, factor: int) -> int:
    """A number, or a time in ms or with its unit."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*(ms|s|)", str(value).strip())
    timed = name in ("rtt", "rttvar", "rto_min")
    if isinstance(value, bool):
        return int(value)
    if not match or (match[2] and not timed) or ("." in match[1] and not timed):
        what = "a time such as 100ms" if timed else "a whole number"
        raise PipeworkError(f"{name}: {value!r} is not {what}.")
    if not timed:
        return number(match[1], name)
    return number(round(float(match[1]) * (1000 if match[2] == "s" else 1) * factor), name)


def shown_metrics(found: t.Iterable[tuple[str, t.Any]]) -> dict[str, t.Any]:
    """The metrics as a user gives them."""
    by_attribute = {attribute: (name, factor) for name, (attribute, factor, _most) in METRICS.items()}
    shown: dict[str, t.Any] = {}
    for attribute, value in found:
        if attribute in by_attribute:
            name, factor = by_attribute[attribute]
            shown[name] = value // factor if value % factor == 0 else value / factor
        elif attribute == "RTAX_FEATURES":
            shown["features"] = ["ecn"] if value & ECN else []
        elif attribute == "RTAX_CC_ALGO":
            shown["congctl"] = value
        elif attribute == "RTAX_LOCK":
            shown["lock"] = [name for name, bit in LOCKS.items() if value >> bit & 1 and name != "rto_min"]
    return shown


def named(number_: int, names: t.Mapping[str, int]) -> str:
    """A number's usual name, or the number."""
    return next((name for name, each in names.items() if each == number_), str(number_))
