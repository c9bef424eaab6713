# Copyright: pipework.containers contributors
# GNU General Public License v3.0+ (see LICENSE)
"""What a host's packet filter does with frames forwarded inside one bridge. Pure.

The question is asked of the first frame between two ports of a bridge: it comes in by the bridge and goes out by it,
and nothing else is known of it. Each rule then matches surely, surely not, or perhaps (addresses, connection state,
rate). A rule that matches perhaps settles nothing: an ACCEPT of established connections does not save the first frame,
a DROP of invalid ones does not lose it. A frame is dropped when a sure rule drops or rejects it, or when it reaches the
end of a chain whose policy is drop; jumps are followed. A rule of somebody else that names the bridge on both sides
settles it for that bridge, whatever it says: it is not ours to overrule.
"""
from __future__ import annotations

import dataclasses
import typing as t

from .._core.errors import PipeworkError

COMMENT = "pipework:"
# Which way a rule of ours lets pass: inside a bridge, out of it, or back. It stands before the bridge's name and a
# colon, which no interface has in its name.
OUT, BACK = "out", "back"
IPV4, IPV6 = "ipv4", "ipv6"
ACCEPT, DROP, RETURN, JUMP, GOTO, PASS = "accept", "drop", "return", "jump", "goto", ""
DECIDED = "decided"  # somebody else has a rule for this very bridge


@dataclasses.dataclass(frozen=True, order=True)
class Place:
    """One chain at the forward hook. `backend` is nft, or a program with its variant such as ip6tables-legacy."""

    backend: str
    family: str
    table: str
    chain: str

    def __str__(self) -> str:
        if self.backend == "nft":
            return f"nft {self.family} {self.table} {self.chain}"
        return f"{self.backend} {self.chain}"

    @classmethod
    def parse(cls, text: str) -> Place:
        words = text.split(" ")
        if len(words) == 4 and words[0] == "nft":
            return cls(*words)
        if len(words) == 2 and words[0].startswith(("iptables-", "ip6tables-")):
            return cls(words[0], "ip6" if words[0].startswith("ip6") else "ip", "filter", words[1])
        raise PipeworkError(
            f"{text!r} names no chain of a packet filter; "
            "right would be 'nft inet filter forward' or 'iptables-nft FORWARD'"
        )


@dataclasses.dataclass(frozen=True)
class Condition:
    """What a rule asks of a field ("in", "out", "protocol", "bridged"): one of some names; with True, a prefix."""

    field: str
    names: frozenset[tuple[str, bool]]
    negated: bool = False

    def holds(self, value: str) -> bool:
        return self.negated != any(value.startswith(name) if prefix else value == name for name, prefix in self.names)

    def means(self, value: str) -> bool:
        """Does it name this value, and not merely let it pass?"""
        return not self.negated and (value, False) in self.names


@dataclasses.dataclass(frozen=True)
class Rule:
    """One rule of any backend. `sure` is false when it also asks for something that no frame need have."""

    verdict: str
    target: str = ""
    conditions: tuple[Condition, ...] = ()
    sure: bool = True
    ours: str = ""   # the bridge whose rule it is
    handle: int = 0  # nft's number for it


@dataclasses.dataclass(frozen=True)
class Filter:
    """One place, with its policy and all the chains of its table."""

    place: Place
    policy: str
    chains: t.Mapping[str, t.Sequence[Rule]]
    protocols: tuple[str, ...] = ()  # bridged frames of these pass here
    owned: bool = False                # nft lets nobody but a running program change it

    def ours(self) -> list[Rule]:
        return [rule for rule in self.chains.get(self.place.chain, ()) if rule.ours]

    def drops(self, bridge: str) -> bool:
        return any(self._drops({"in": bridge, "out": bridge}, protocol, "yes") for protocol in self.protocols)

    def drops_routed(self, bridge: str) -> bool:
        """Whether IPv4 packets between a bridge and elsewhere are dropped, either way."""
        if self.place.family not in ("ip", "inet"):
            return False
        ways: tuple[dict[str, str], ...] = ({"in": bridge, "out": ""}, {"in": "", "out": bridge})
        return any(self._drops(way, IPV4, "no") for way in ways)

    def _drops(self, way: dict[str, str], protocol: str, bridged: str) -> bool:
        values = {**way, "protocol": protocol, "bridged": bridged}
        return (self._verdict(values) or self.policy) == DROP

    def _verdict(self, values: dict[str, str]) -> str:
        seen: dict[tuple[str, frozenset[str]], str] = {}  # each chain once: chains may meet again in many ways

        def walk(chain: str, named: frozenset[str]) -> str:
            if (chain, named) not in seen:
                seen[chain, named] = PASS
                seen[chain, named] = run(chain, named)
            return seen[chain, named]

        def run(chain: str, named: frozenset[str]) -> str:
            for rule in self.chains.get(chain, ()):
                if rule.ours or not all(c.holds(values[c.field]) for c in rule.conditions):
                    continue
                names = named | {c.field for c in rule.conditions if c.means(values[c.field])}
                verdict = rule.verdict
                if verdict in (JUMP, GOTO):
                    verdict = walk(rule.target, names)
                elif verdict in (ACCEPT, DROP) and {"in", "out"} <= names:
                    verdict = DECIDED
                if verdict == DECIDED:
                    return verdict
                if rule.sure:
                    if verdict in (ACCEPT, DROP):
                        return verdict
                    if verdict == RETURN or rule.verdict == GOTO:
                        return PASS
            return PASS

        return walk(self.place.chain, frozenset())


def check_name(bridge: str, place: Place) -> None:
    """PipeworkError unless a rule in this place can mean this bridge alone, also after the host's save and restore."""
    why = ""
    if '"' in bridge:
        why = "a quotation mark in it breaks saved rulesets"
    elif place.backend != "nft":
        if bridge.endswith("+"):
            why = "a + at the end means any name that begins so"
    elif bridge.startswith("@"):
        why = "an @ at the beginning means a set"
    elif bridge.endswith("\\*"):
        why = "\\* at the end means a *"
    elif any("\udc80" <= character <= "\udcff" for character in bridge):
        why = "it is not UTF-8"
    if why:
        raise PipeworkError(
            f"bridge {bridge!r}: a rule that lets its frames pass in {place} cannot name it ({why}); "
            "use another name, or forwarding: unmanaged"
        )
