# Copyright: pipework.containers contributors
# GNU General Public License v3.0+ (see LICENSE)
"""iptables and ip6tables, legacy and nft: what iptables-save says, what iptables-restore is told. Pure.

Our rule stands at the top of FORWARD, not in DOCKER-USER: FORWARD is on every host, Docker never empties it, and on its
own restart Docker puts only jumps above ours, which do not drop frames inside a bridge that is not Docker's.
DOCKER-USER comes and goes with Docker.
"""
from __future__ import annotations

import re
import typing as t

from . import verdict as fr

CHAIN = "FORWARD"
INCOMPATIBLE = "is incompatible"  # what iptables-nft says of a table that nft made

# A word in quotation marks, as iptables-save writes comments; interface names stand as they are, even with a mark.
_WORD = re.compile(r'"((?:[^"\\]|\\.)*)"(?=\s|$)|(\S+)')
_SIDES = {"-i": "in", "--in-interface": "in", "-o": "out", "--out-interface": "out"}
_VERDICTS = {
    "ACCEPT": fr.ACCEPT, "DROP": fr.DROP, "REJECT": fr.DROP, "RETURN": fr.RETURN,
    "QUEUE": fr.ACCEPT, "NFQUEUE": fr.ACCEPT,  # another program decides; nothing here drops
}


def place(program: str) -> fr.Place:
    return fr.Place(program, "ip6" if program.startswith("ip6") else "ip", "filter", CHAIN)


def words(line: str) -> list[str]:
    return [raw or re.sub(r"\\(.)", r"\1", quoted) for quoted, raw in _WORD.findall(line)]


def parse(saved: str, program: str, protocols: tuple[str, ...]) -> fr.Filter | None:
    """The FORWARD chain of an `iptables-save -t filter`; None when that shows no filter table."""
    policies: dict[str, str] = {}
    lines = []
    for line in saved.splitlines():
        if line.startswith(":"):
            name, policy = line[1:].split(" ")[:2]
            policies[name] = policy
        elif line.startswith("-A "):
            lines.append(words(line))
    if CHAIN not in policies:
        return None
    chains: dict[str, list[fr.Rule]] = {name: [] for name in policies}
    for line_words in lines:
        chains.setdefault(line_words[1], []).append(_rule(line_words[2:], policies))
    return fr.Filter(place(program), fr.DROP if policies[CHAIN] == "DROP" else fr.ACCEPT, chains, protocols)


def _rule(rest: list[str], chains: t.Container[str]) -> fr.Rule:
    conditions: list[fr.Condition] = []
    sure, negated, comment, verdict, target = True, False, "", fr.PASS, ""
    queue = iter(rest)
    for word in queue:
        if word == "!":
            negated = True
            continue
        if word in _SIDES:
            name = next(queue, "")
            pattern = (name[:-1], True) if name.endswith("+") else (name, False)
            conditions.append(fr.Condition(_SIDES[word], frozenset([pattern]), negated))
        elif word == "--physdev-is-bridged":
            conditions.append(fr.Condition("bridged", frozenset([("yes", False)]), negated))
        elif word == "--comment":
            comment = next(queue, "")
        elif word in ("-m", "--match"):
            next(queue, "")  # the module alone asks nothing; what it asks follows
        elif word in ("-j", "-g", "--jump", "--goto"):
            target = next(queue, "")
            verdict = _VERDICTS.get(target, fr.PASS)
            if target in chains:
                verdict = fr.JUMP if word in ("-j", "--jump") else fr.GOTO
            break  # the target's own options follow
        else:
            sure = False
        negated = False
    rule = fr.Rule(verdict, target if verdict in (fr.JUMP, fr.GOTO) else "", tuple(conditions), sure)
    bridge = comment[len(fr.COMMENT):]
    if comment.startswith(fr.COMMENT) and rest == words(_spec(bridge)):
        return fr.Rule(rule.verdict, rule.target, rule.conditions, rule.sure, ours=bridge)
    return rule


def quoted(text: str) -> str:
    return '"' + re.sub(r'(["\\])', r"\\\1", text) + '"'


def _spec(ident: str) -> str:
    way, _colon, bridge = ident.rpartition(":")
    comment = f"-m comment --comment {quoted(fr.COMMENT + ident)} -j ACCEPT"
    if way == fr.OUT:
        return f"-i {quoted(bridge)} ! -o {quoted(bridge)} {comment}"
    if way == fr.BACK:
        return f"! -i {quoted(bridge)} -o {quoted(bridge)} -m conntrack --ctstate RELATED,ESTABLISHED {comment}"
    return f"-i {quoted(bridge)} -o {quoted(bridge)} -m comment --comment {quoted(fr.COMMENT + bridge)} -j ACCEPT"


def batch(add: t.Iterable[str], remove: t.Iterable[str]) -> str:
    """One transaction for `iptables-restore --noflush`; a bridge to remove stands there once for each rule it has."""
    lines = [f"-D {CHAIN} {_spec(bridge)}" for bridge in remove] + [f"-I {CHAIN} 1 {_spec(bridge)}" for bridge in add]
    return "\n".join(["*filter", *lines, "COMMIT", ""])
