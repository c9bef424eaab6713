# Copyright: pipework.containers contributors
# GNU General Public License v3.0+ (see LICENSE)
"""Rules of policy routing. Pure.

The kernel knows a rule by all that it says, so a rule that says something else is another one.
"""
from __future__ import annotations

import dataclasses
import typing as t

from .._core.plan import KernelObject
from . import route_names as words

ACTIONS = {"lookup": 1, "goto": 2, "nop": 3, "blackhole": 6, "unreachable": 7, "prohibit": 8}
IP_PROTOCOLS = {
    "icmp": 1, "igmp": 2, "tcp": 6, "udp": 17, "dccp": 33, "gre": 47, "esp": 50, "ah": 51, "ipv6-icmp": 58,
    "ospf": 89, "sctp": 132, "udplite": 136,
}
SELECTORS = (
    "source", "destination", "iif", "oif", "fwmark", "tos", "ip_protocol", "source_port", "destination_port",
    "uid_range", "invert", "tun_id",
)
CONTENT = ("action", "table", "goto", "suppress_prefixlength", "suppress_ifgroup", "l3mdev", "realms")


@dataclasses.dataclass(frozen=True)
class Rule(KernelObject):
    """A rule of policy routing. What is empty is not asked for."""

    KIND = "rule"

    family: int  # 4 or 6
    priority: int
    protocol: int
    source: str = ""
    destination: str = ""
    iif: str = ""
    oif: str = ""
    fwmark: str = ""  # 0x1/0xff
    tos: int = 0
    ip_protocol: int = 0
    source_port: str = ""  # 80-80
    destination_port: str = ""
    uid_range: str = ""
    invert: bool = False
    tun_id: int = 0
    action: str = "lookup"
    table: int = 0
    goto: int | None = None
    suppress_prefixlength: int | None = None
    suppress_ifgroup: int | None = None
    l3mdev: bool = False
    realms: int = 0

    @property
    def name(self) -> str:
        family = "" if self.source or self.destination else f" (IPv{self.family})"
        return f"{self.priority}: {self.sentence()} proto {self.protocol}{family}"

    def sentence(self) -> str:
        """The rule as ip prints it."""
        parts = ["not"] if self.invert else []
        parts += ["from", self.source or "all"] + (["to", self.destination] if self.destination else [])
        parts += [f"tos {self.tos:#04x}"] if self.tos else []
        parts += [f"fwmark {self.fwmark}"] if self.fwmark else []
        parts += [f"iif {self.iif}"] if self.iif else []
        parts += [f"oif {self.oif}"] if self.oif else []
        parts += [f"ipproto {words.named(self.ip_protocol, IP_PROTOCOLS)}"] if self.ip_protocol else []
        parts += [f"sport {self.source_port}"] if self.source_port else []
        parts += [f"dport {self.destination_port}"] if self.destination_port else []
        parts += [f"uidrange {self.uid_range}"] if self.uid_range else []
        parts += [f"tun_id {self.tun_id}"] if self.tun_id else []
        if self.action == "lookup":
            parts += ["lookup", "l3mdev" if self.l3mdev else words.named(self.table, words.TABLES)]
        else:
            parts += [self.action] + ([str(self.goto)] if self.goto is not None else [])
        if self.suppress_prefixlength is not None:
            parts.append(f"suppress_prefixlength {self.suppress_prefixlength}")
        parts += [f"suppress_ifgroup {self.suppress_ifgroup}"] if self.suppress_ifgroup is not None else []
        parts += [f"realms {self.realms:#x}"] if self.realms else []
        return " ".join(parts)

    def public(self) -> dict[str, t.Any]:
        return {name: value for name, value in sorted(self.said().items()) if value not in (None, "", False)}

    def said(self) -> dict[str, t.Any]:
        """The rule in the words of the options."""
        found = {**self.__dict__, "family": f"ipv{self.family}"}
        found["protocol"] = words.named(self.protocol, words.PROTOCOLS)
        found["ip_protocol"] = words.named(self.ip_protocol, IP_PROTOCOLS) if self.ip_protocol else None
        for name in ("tos", "table", "tun_id", "realms"):
            found[name] = found[name] or None
        for name in ("source_port", "destination_port", "uid_range"):
            found[name] = _short(found[name])
        del found["ns"]
        return found

    def part(self, names: t.Iterable[str]) -> tuple[t.Any, ...]:
        """Some of its fields, to be compared."""
        return (self.family, *(getattr(self, name) for name in names))


def _short(text: str) -> str:
    first, _dash, last = text.partition("-")
    return first if first == last else text


def mark_text(mark: int, mask: int) -> str:
    return f"{mark:#x}/{mask:#x}" if mark or mask else ""


def made_by_kernel(rule: Rule) -> bool:
    return rule.protocol in words.OF_THE_KERNEL or rule.protocol == 0 and rule.priority in (0, 32766, 32767)
