# Copyright: pipework.containers contributors
# GNU General Public License v3.0+ (see LICENSE)
"""The check of MAC addresses at ports: what a container sends has to come from the address that the host gave it.

A chain for each port, at its ingress (nftables' family netdev) and not in the bridge: a bridge learns from frames to
01:80:c2:00:00:0X before its own chains see them, so that a container could draw another's frames to itself. Each frame
meets the two rules of its own port, however many ports there are.
"""
from __future__ import annotations

import typing as t

from .._core.errors import PipeworkError
from .firewall import nft_do, nft_list
from .verdict import COMMENT

TABLE = {"family": "netdev", "table": "pipework"}
EMPTY = "(empty table)"  # stands for what older kernels leave, where a chain goes with its interface
PREFIX = "from-"
PRIORITY = -500  # before all that others have there
SENDERS = (("ether", "saddr"), ("arp", "saddr ether"))
Json = t.Any


def observe(wanted: bool) -> tuple[dict[str, str], str | None]:
    """The checks that are there, each port's MAC address by its name; why there can be none, where one is wanted."""
    checks, _others = _read()
    return checks, _lacking() if wanted and not checks else None


def change(write: t.Mapping[str, str], remove: t.Iterable[str]) -> None:
    """One transaction. The table goes with the last check."""
    checks, others = _read()
    remove = [*remove, *(name for name, mac in write.items() if not mac)]  # taking back the repair of a damaged one
    write = {name: mac for name, mac in write.items() if mac}
    going = [name for name in remove if name in checks]
    commands: list[Json] = [
        {verb: {"chain": {**TABLE, "name": PREFIX + name}}}
        for name in (*going, *(name for name in write if name in checks)) if name != EMPTY
        for verb in ("flush", "delete")
    ]
    if write:
        commands.insert(0, {"add": {"table": {"family": TABLE["family"], "name": TABLE["table"]}}})
    for name, mac in write.items():
        commands += _commands(name, mac)
    if going and not (write or others or set(checks) - set(going)):
        commands.append({"delete": {"table": {"family": TABLE["family"], "name": TABLE["table"]}}})
    said = nft_do(commands) if commands else None
    if said is not None:
        raise PipeworkError(f"nft refused it: {said}")


def _commands(name: str, mac: str) -> list[Json]:
    chain = {**TABLE, "name": PREFIX + name, "type": "filter", "hook": "ingress", "dev": name, "prio": PRIORITY}
    rules = [
        {"add": {"rule": {**TABLE, "chain": PREFIX + name, "comment": COMMENT + name, "expr": expr}}}
        for expr in _rules(mac)
    ]
    return [{"add": {"chain": {**chain, "policy": "accept"}}}, *rules]


def _rules(mac: str) -> list[Json]:
    return [
        [
            {"match": {"op": "!=", "left": {"payload": {"protocol": protocol, "field": field}}, "right": mac}},
            {"drop": None},
        ]
        for protocol, field in SENDERS
    ]


def _read() -> tuple[dict[str, str], bool]:
    """The checks, and whether others have put something into the table. An address is empty where a rule is damaged."""
    found: dict[str, list[Json]] = {}
    others, entries = False, nft_list("list", "table", *TABLE.values())["nftables"]
    if [kind for entry in entries for kind in entry if kind != "metainfo"] == ["table"]:
        return {EMPTY: ""}, False
    for entry in entries:
        [(kind, item)] = entry.items()
        if kind == "chain" and item["name"].startswith(PREFIX):
            found.setdefault(item["name"][len(PREFIX):], [])
        elif kind == "rule" and item["chain"].startswith(PREFIX):
            found.setdefault(item["chain"][len(PREFIX):], []).append(item)
        elif kind not in ("metainfo", "table"):
            others = True
    ours = {name: _mac(name, rules) for name, rules in found.items()}
    return {name: mac for name, mac in ours.items() if mac is not None}, others or None in ours.values()


def _mac(name: str, rules: list[Json]) -> str | None:
    """The address that the rules of a port let pass; None where they are somebody else's."""
    if rules and not any(rule.get("comment") == COMMENT + name for rule in rules):
        return None
    exprs = [rule["expr"] for rule in rules]
    try:
        mac = str(exprs[0][0]["match"]["right"])
    except (LookupError, TypeError):
        return ""
    return mac if exprs == _rules(mac) else ""


def _lacking() -> str | None:
    """Tries without doing it, at an interface that every host has."""
    table = {"add": {"table": {"family": TABLE["family"], "name": TABLE["table"]}}}
    said = nft_do([table, *_commands("lo", "02:00:00:00:00:01")], "-c")
    if said is None:
        return None
    if "no program" in said:
        return "it needs the program nft on the managed host, which the package nftables brings."
    return (
        f"this host cannot filter at the ingress of an interface (nft says: {said}); the kernel needs "
        "CONFIG_NF_TABLES_NETDEV and CONFIG_NETFILTER_INGRESS, built in or as modules."
    )
