# Copyright: pipework.containers contributors
# GNU General Public License v3.0+ (see LICENSE)
"""The option ``masquerade``: what leaves a bridge's IPv4 networks for elsewhere gets the address of its way out. Pure.

One table of our own in nftables; rules in iptables' POSTROUTING where the host has no nft. Either is found again by its
comment, ``pipework:masquerade:<bridge>``.
"""
from __future__ import annotations

import dataclasses
import ipaddress
import json
import typing as t

from .._core.plan import KernelObject
from .._model.objects import HOST
from .._model.sysctl import Sysctl
from .iptables import quoted, words
from .verdict import COMMENT

TABLE = {"family": "ip", "table": "pipework"}
CHAIN = {**TABLE, "name": "postrouting"}
HOOK = {"type": "nat", "hook": "postrouting", "prio": 100, "policy": "accept"}
MARK = COMMENT + "masquerade:"
IP_FORWARD = "net.ipv4.ip_forward"
Json = t.Any


@dataclasses.dataclass(frozen=True)
class Masquerade(KernelObject):
    """The rules of one bridge."""

    KIND = "masquerade"
    IDENTITY = ("ns", "bridge")

    bridge: str
    networks: tuple[str, ...] | None = None  # sorted; of rules that are damaged, with what they have instead

    @property
    def name(self) -> str:
        return self.bridge


def networks_of(addresses: t.Iterable[str]) -> tuple[str, ...]:
    """The IPv4 networks of addresses; one that is alone in its network has no others to speak for."""
    found = {ipaddress.ip_interface(address).network for address in addresses if ":" not in address}
    return tuple(str(network) for network in sorted(found) if network.prefixlen < 32)


def forwarding_on(value: str) -> Sysctl:
    """That the host passes packets on at all."""
    return Sysctl(HOST, "", IP_FORWARD, value)


# -- nftables

def nft_read(listing: Json) -> dict[str, list[tuple[str, int]]]:
    """Networks and handles of the rules of each bridge, from `nft -j list table`."""
    found: dict[str, list[tuple[str, int]]] = {}
    for item in listing["nftables"]:
        rule = item.get("rule")
        comment = str(rule.get("comment", "")) if rule else ""
        if comment.startswith(MARK) and rule["chain"] == CHAIN["name"]:
            bridge = comment[len(MARK):]
            found.setdefault(bridge, []).append((_network(rule.get("expr"), bridge), rule["handle"]))
    return found


def nft_leavings(listing: Json) -> list[Json]:
    """The commands that take away what is empty without our rules: our chain, and the table."""
    rules = [item["rule"] for item in listing["nftables"] if "rule" in item]
    if any(not str(rule.get("comment", "")).startswith(MARK) for rule in rules if rule["chain"] == CHAIN["name"]):
        return []
    chains = [item["chain"]["name"] for item in listing["nftables"] if "chain" in item]
    more = [item for item in listing["nftables"] if not set(item) & {"metainfo", "table", "chain", "rule"}]
    if more or set(chains) - {CHAIN["name"]}:
        return [{"delete": {"chain": CHAIN}}]
    return [{"delete": {"table": {"family": TABLE["family"], "name": TABLE["table"]}}}]


def _network(expr: Json, bridge: str) -> str:
    try:
        prefix = expr[0]["match"]["right"]["prefix"]
        network = f"{prefix['addr']}/{prefix['len']}"
    except (LookupError, TypeError):
        return "damaged"
    return network if expr == _expr(bridge, network) else f"{network} damaged"


def _expr(bridge: str, network: str) -> list[Json]:
    address, _slash, length = network.partition("/")
    source = {"payload": {"protocol": "ip", "field": "saddr"}}
    return [
        {"match": {"op": "==", "left": source, "right": {"prefix": {"addr": address, "len": int(length)}}}},
        {"match": {"op": "!=", "left": {"meta": {"key": "oifname"}}, "right": bridge}},
        {"masquerade": None},
    ]


def nft_commands(write: t.Mapping[str, t.Sequence[str]], handles: t.Iterable[int]) -> list[Json]:
    """One transaction. ``handles``: of the rules that go."""
    commands: list[Json] = [{"delete": {"rule": {**TABLE, "chain": CHAIN["name"], "handle": each}}} for each in handles]
    if write:
        first = [{"add": {"table": {"family": TABLE["family"], "name": TABLE["table"]}}}]
        commands = first + [{"add": {"chain": {**CHAIN, **HOOK}}}] + commands
    for bridge, networks in write.items():
        rule = {**TABLE, "chain": CHAIN["name"], "comment": MARK + bridge}
        commands += [{"add": {"rule": {**rule, "expr": _expr(bridge, network)}}} for network in networks]
    return commands


# -- iptables

def iptables_read(saved: str) -> dict[str, list[tuple[str, str]]]:
    """Networks and specifications of the rules of each bridge, from `iptables-save -t nat`."""
    found: dict[str, list[tuple[str, str]]] = {}
    for line in saved.splitlines():
        rest = words(line)
        if rest[:2] != ["-A", "POSTROUTING"] or "--comment" not in rest[:-1]:
            continue
        comment = rest[rest.index("--comment") + 1]
        if comment.startswith(MARK):
            bridge = comment[len(MARK):]
            network = rest[rest.index("-s") + 1] if "-s" in rest[:-1] else "damaged"
            same = rest[2:] == words(_spec(bridge, network))
            found.setdefault(bridge, []).append((network if same else f"{network} damaged", line[len("-A "):]))
    return found


def _spec(bridge: str, network: str) -> str:
    return f"-s {network} ! -o {quoted(bridge)} -m comment --comment {quoted(MARK + bridge)} -j MASQUERADE"


def iptables_batch(write: t.Mapping[str, t.Sequence[str]], remove: t.Iterable[str]) -> str:
    """One transaction for `iptables-restore --noflush`."""
    lines = [f"-D {spec}" for spec in remove]
    lines += [f"-A POSTROUTING {_spec(bridge, network)}" for bridge, many in write.items() for network in many]
    return "\n".join(["*nat", *lines, "COMMIT", ""])


def describe(found: t.Iterable[tuple[str, t.Any]]) -> tuple[str, ...]:
    """The networks of rules that were read, in the order of networks_of."""
    def place(text: str) -> t.Any:
        try:
            return (0, ipaddress.ip_network(text))
        except ValueError:
            return (1, json.dumps(text))

    return tuple(network for network, _handle in sorted(found, key=lambda each: place(each[0])))
