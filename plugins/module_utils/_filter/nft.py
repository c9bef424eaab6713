# Copyright: pipework.containers contributors
# GNU General Public License v3.0+ (see LICENSE)
"""nftables: what `nft -j list` says, and the transaction that `nft -j -f -` is given. Pure.

Every base chain at a hook must let a frame pass, so our rule goes to the top of each chain that would drop it;
a chain of our own that accepts would change nothing. JSON both ways: nothing has to be quoted for nft's grammar.
"""
from __future__ import annotations

import itertools
import json
import re
import typing as t

from . import verdict as fr

Json = t.Any
_SIDES = {"iifname": "in", "iif": "in", "oifname": "out", "oif": "out"}
_BRIDGE_SIDES = {"ibrname": "in", "obrname": "out"}  # in the bridge family iifname is the port
_FAMILIES = ("ip", "ip6", "inet", "bridge")
_PROTOCOLS = {"ipv4": fr.IPV4, "ip": fr.IPV4, "ipv6": fr.IPV6, "ip6": fr.IPV6}
_VERDICTS = {"accept": fr.ACCEPT, "queue": fr.ACCEPT, "drop": fr.DROP, "reject": fr.DROP, "return": fr.RETURN,
             "continue": fr.PASS, "jump": fr.JUMP, "goto": fr.GOTO}
# Statements that do something and let the frame go on in its rule; what is not known counts as a condition.
_ACTIONS = frozenset(
    ["counter", "log", "mangle", "notrack", "ct helper", "ct timeout", "set", "map", "dup", "flow", "secmark"]
)


def forward_chains(listing: Json) -> list[fr.Place]:
    """The filter chains at the forward hook, from `nft -j list chains`."""
    chains = [item["chain"] for item in listing["nftables"] if "chain" in item]
    return sorted(
        fr.Place("nft", chain["family"], chain["table"], chain["name"])
        for chain in chains
        if (chain.get("hook"), chain.get("type")) == ("forward", "filter") and chain["family"] in _FAMILIES
    )


def has_flags(listing: Json) -> bool:
    """Does the table have flags? Some versions write a wrong word for them in JSON, so only that they are is taken."""
    return any(item["table"].get("flags") for item in listing["nftables"] if "table" in item)


def flags_in(text: str) -> list[str]:
    """A table's flags, from `nft list table` without JSON, where they stand before everything else."""
    found = re.match(r"(?:#.*\n)*table [^{]*\{[^\n]*\n\s*flags ([a-z, ]+)", text)
    return re.split(r",\s*", found[1].strip()) if found else []


def parse(
    listing: Json, place: fr.Place, protocols: tuple[str, ...], flags: t.Container[str] = ()
) -> fr.Filter | None:
    """A base chain and what it leads to, from `nft -j list table`; None when the table sleeps or the chain is gone."""
    table: dict[str, list[Json]] = {}
    for item in listing["nftables"]:
        for kind, value in item.items():
            table.setdefault(kind, []).append(value)
    base = [chain for chain in table.get("chain", ()) if chain["name"] == place.chain]
    if not base or "dormant" in flags:
        return None
    sets = {found["name"]: found.get("elem", []) for found in table.get("set", []) + table.get("map", [])}
    chains: dict[str, list[fr.Rule]] = {chain["name"]: [] for chain in table["chain"]}
    for rule in table.get("rule", ()):
        chains.setdefault(rule["chain"], []).extend(_rules(rule, place.family, sets))
    policy = fr.DROP if base[0].get("policy") == "drop" else fr.ACCEPT
    return fr.Filter(place, policy, chains, protocols, owned="owner" in flags)


def _rules(rule: Json, family: str, sets: t.Mapping[str, Json]) -> list[fr.Rule]:
    """The rule as simple ones: a set of pairs, or a verdict map, becomes one for each element."""
    expr, comment = rule.get("expr", []), rule.get("comment", "")
    bridge = comment[len(fr.COMMENT):]
    if comment.startswith(fr.COMMENT) and bridge and _without_counter(expr) == _expr(bridge, family):
        return [fr.Rule(fr.ACCEPT, ours=bridge, handle=rule["handle"])]
    found = [fr.Rule(fr.PASS)]
    for statement in expr:
        steps = _steps(statement, family, sets)
        found = [
            fr.Rule(
                step.verdict or before.verdict, step.target or before.target,
                before.conditions + step.conditions, before.sure and step.sure,
            )
            for before, step in itertools.product(found, steps)
        ]
    return found


def _steps(statement: Json, family: str, sets: t.Mapping[str, Json]) -> list[fr.Rule]:
    """What one statement of a rule asks or does; several when there are several ways to fulfil it."""
    [(name, value)] = statement.items()
    if name in _VERDICTS:
        return [_verdict(statement)]
    if name == "match":
        return _match(value, family, sets)
    if name == "vmap":
        fields = _fields(value["key"], family)
        elements = _elements(value["data"], sets)
        steps = []
        for key, verdict in elements:
            conditions, sure = _conditions(fields, key, [element[0] for element in elements])
            end = _verdict(verdict)
            steps.append(fr.Rule(end.verdict, end.target, conditions, sure))
        return steps or [fr.Rule(fr.PASS, sure=False)]
    return [fr.Rule(fr.PASS, sure=name in _ACTIONS)]


def _verdict(statement: Json) -> fr.Rule:
    [(name, value)] = statement.items()
    target = value["target"] if name in ("jump", "goto") else ""
    if not isinstance(target, str):
        raise TypeError("the name of a chain is no text")
    return fr.Rule(_VERDICTS.get(name, fr.PASS), target)


def _match(match: Json, family: str, sets: t.Mapping[str, Json]) -> list[fr.Rule]:
    fields, negated = _fields(match["left"], family), match["op"] == "!="
    values = _elements(match["right"], sets)
    if not any(fields) or match["op"] not in ("==", "!=", "in"):
        return [fr.Rule(fr.PASS, sure=False)]
    if len(fields) == 1:
        names = frozenset(_name(fields[0], value) for value in values)
        return [fr.Rule(fr.PASS, conditions=(fr.Condition(fields[0], names, negated),))]
    if negated:
        return [fr.Rule(fr.PASS, sure=False)]
    return [fr.Rule(fr.PASS, "", *_conditions(fields, value)) for value in values]


def _fields(left: Json, family: str) -> list[str]:
    """The fields that are compared, "" for each that says nothing here."""
    parts = left["concat"] if isinstance(left, dict) and "concat" in left else [left]
    sides = _BRIDGE_SIDES if family == "bridge" else _SIDES
    keys = [part["meta"]["key"] if isinstance(part, dict) and "meta" in part else "" for part in parts]
    return ["protocol" if key in ("nfproto", "protocol") else sides.get(key, "") for key in keys]


def _conditions(fields: list[str], value: Json, others: t.Sequence[Json] = ()) -> tuple[tuple[fr.Condition, ...], bool]:
    """What one element asks, and whether that is all it asks; "*" stands for whatever no other element names."""
    if value == "*":
        if len(fields) > 1 or not fields[0]:
            return (), False
        named = frozenset(_name(fields[0], other) for other in others if other != "*")
        return (fr.Condition(fields[0], named, negated=True),), True
    values = value["concat"] if isinstance(value, dict) and "concat" in value else [value]
    pairs = list(zip(fields, values))
    conditions = tuple(fr.Condition(field, frozenset([_name(field, part)])) for field, part in pairs if field)
    return conditions, all(fields)


def _name(field: str, value: Json) -> tuple[str, bool]:
    text = str(value)
    if field == "protocol":
        return _PROTOCOLS.get(text, text), False
    if text.endswith("\\*"):
        return text[:-2] + "*", False
    return (text[:-1], True) if text.endswith("*") else (text, False)


def _elements(right: Json, sets: t.Mapping[str, Json]) -> list[Json]:
    """The values of a right-hand side: one, a list, a set, or a named set."""
    if isinstance(right, str) and right.startswith("@"):
        right = sets.get(right[1:], [])
    elif isinstance(right, dict) and "set" in right:
        right = right["set"]
    return [_bare(value) for value in _listed(right)]


def _bare(value: Json) -> Json:
    """The value without its timeout, counter or comment."""
    if isinstance(value, list) and value:
        return [_bare(value[0]), *value[1:]]
    return value["elem"]["val"] if isinstance(value, dict) and "elem" in value else value


def _listed(value: Json) -> list[Json]:
    return [] if value is None else value if isinstance(value, list) else [value]


def _without_counter(expr: list[Json]) -> list[Json]:
    return [statement for statement in expr if "counter" not in statement]


def _expr(ident: str, family: str) -> list[Json]:
    way, _colon, bridge = ident.rpartition(":")
    if way:
        return _routed(way, bridge)
    name = bridge[:-1] + "\\*" if bridge.endswith("*") else bridge  # else it would mean any name that begins so
    sides = _BRIDGE_SIDES if family == "bridge" else {"iifname": "in", "oifname": "out"}
    same = [{"match": {"op": "==", "left": {"meta": {"key": key}}, "right": name}} for key in sides]
    return [*same, {"accept": None}]


def _routed(way: str, bridge: str) -> list[Json]:
    """Packets that leave a bridge for elsewhere, or the answers to them."""
    name = bridge[:-1] + "\\*" if bridge.endswith("*") else bridge
    here, there = ("iifname", "oifname") if way == fr.OUT else ("oifname", "iifname")
    both = ((here, "=="), (there, "!="))
    sides = [{"match": {"op": op, "left": {"meta": {"key": key}}, "right": name}} for key, op in both]
    states = {"match": {"op": "in", "left": {"ct": {"key": "state"}}, "right": ["established", "related"]}}
    return [*sides, *([states] if way == fr.BACK else []), {"accept": None}]


def batch(add: t.Iterable[tuple[str, fr.Place]], remove: t.Iterable[tuple[fr.Rule, fr.Place]]) -> str:
    """One transaction: nft applies all of it or nothing."""
    def chain(place: fr.Place) -> dict[str, Json]:
        return {"family": place.family, "table": place.table, "chain": place.chain}

    commands: list[Json] = [{"delete": {"rule": {**chain(place), "handle": rule.handle}}} for rule, place in remove]
    for bridge, place in add:
        rule = {**chain(place), "comment": fr.COMMENT + bridge, "expr": _expr(bridge, place.family)}
        commands.append({"insert": {"rule": rule}})
    return json.dumps({"nftables": commands})
