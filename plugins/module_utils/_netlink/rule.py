# Copyright: pipework.containers contributors
# GNU General Public License v3.0+ (see LICENSE)
"""Netlink messages about rules of policy routing."""
from __future__ import annotations

import dataclasses
import functools
import typing as t

from .._model.route_names import NUMBER_MAX, named
from .._model.rule import ACTIONS, Rule, mark_text
from .namespaces import Netns
from .rtnl import ACK, AF_INET, AF_INET6, CREATE, DUMP, EXCL, REQUEST, compose

try:
    from pyroute2.netlink.rtnl.fibmsg import fibmsg
except ImportError:  # said by require() in _netlink/rtnl, when it is needed
    fibmsg = None

RTM_NEWRULE, RTM_DELRULE, RTM_GETRULE = 32, 33, 34
INVERT = 2
RANGES = {"source_port": "FRA_SPORT_RANGE", "destination_port": "FRA_DPORT_RANGE", "uid_range": "FRA_UID_RANGE"}
TEXTS = {"iif": "FRA_IIFNAME", "oif": "FRA_OIFNAME"}
NUMBERS = {"ip_protocol": "FRA_IP_PROTO", "tun_id": "FRA_TUN_ID", "realms": "FRA_FLOW"}
OPTIONAL = {
    "goto": "FRA_GOTO", "suppress_prefixlength": "FRA_SUPPRESS_PREFIXLEN", "suppress_ifgroup": "FRA_SUPPRESS_IFGROUP",
}


@functools.cache
def dump_rules(version: int) -> bytes:
    return compose(fibmsg, RTM_GETRULE, REQUEST | DUMP, [], family=AF_INET6 if version == 6 else AF_INET)


def decode_rule(raw: bytes, ns: str) -> Rule:
    """Each namespace has the same few rules of the kernel's: what differs between their messages is left out."""
    return dataclasses.replace(_decoded(raw[:8] + bytes(8) + raw[16:]), ns=ns)


@functools.lru_cache(maxsize=256)
def _decoded(raw: bytes) -> Rule:
    message = fibmsg(raw)
    message.decode()
    attrs: t.Callable[[str], t.Any] = {slot[0]: slot[1] for slot in message["attrs"]}.get
    source, destination = attrs("FRA_SRC"), attrs("FRA_DST")
    found: dict[str, t.Any] = {name: attrs(attribute) or "" for name, attribute in TEXTS.items()}
    found.update({name: (attrs(attribute) or "").replace(":", "-") for name, attribute in RANGES.items()})
    found.update({name: attrs(attribute) or 0 for name, attribute in NUMBERS.items()})
    for name, attribute in OPTIONAL.items():
        value = attrs(attribute)
        found[name] = None if value in (None, NUMBER_MAX, -1) else value
    return Rule(
        ns="", family=6 if message["family"] == AF_INET6 else 4, priority=attrs("FRA_PRIORITY") or 0,
        protocol=attrs("FRA_PROTOCOL") or 0, source=f"{source}/{message['src_len']}" if source else "",
        destination=f"{destination}/{message['dst_len']}" if destination else "", tos=message["tos"],
        fwmark=mark_text(attrs("FRA_FWMARK") or 0, attrs("FRA_FWMASK") or 0), invert=bool(message["flags"] & INVERT),
        action=named(message["action"], ACTIONS), table=_table(attrs("FRA_TABLE"), message),
        l3mdev=bool(attrs("FRA_L3MDEV")), **found,
    )


def _table(attribute: int | None, message: t.Any) -> int:
    """Only a look-up has one."""
    if message["action"] != ACTIONS["lookup"]:
        return 0
    return int(message["table"] if attribute is None else attribute)


def _rule(kind: int, flags: int, rule: Rule) -> bytes:
    attrs: list[tuple[str, t.Any]] = [("FRA_PRIORITY", rule.priority), ("FRA_PROTOCOL", rule.protocol)]
    lengths = {"dst_len": 0, "src_len": 0}
    for attribute, field, prefix in (("FRA_SRC", "src_len", rule.source), ("FRA_DST", "dst_len", rule.destination)):
        if prefix:
            address, _slash, length = prefix.partition("/")
            attrs.append((attribute, address))
            lengths[field] = int(length)
    if rule.fwmark:
        mark, _slash, mask = rule.fwmark.partition("/")
        attrs += [("FRA_FWMARK", int(mark, 16)), ("FRA_FWMASK", int(mask, 16))]
    attrs += [(attribute, getattr(rule, name)) for name, attribute in TEXTS.items() if getattr(rule, name)]
    attrs += [(a, getattr(rule, name).replace("-", ":")) for name, a in RANGES.items() if getattr(rule, name)]
    attrs += [(attribute, getattr(rule, name)) for name, attribute in NUMBERS.items() if getattr(rule, name)]
    attrs += [(a, getattr(rule, name)) for name, a in OPTIONAL.items() if getattr(rule, name) is not None]
    if rule.table:
        attrs.append(("FRA_TABLE", rule.table))
    if rule.l3mdev:
        attrs.append(("FRA_L3MDEV", 1))
    return compose(
        fibmsg, kind, flags, attrs, family=AF_INET6 if rule.family == 6 else AF_INET, **lengths, tos=rule.tos,
        table=rule.table if rule.table < 256 else 0, action=ACTIONS.get(rule.action) or int(rule.action),
        flags=INVERT if rule.invert else 0,
    )


def new_rule(rule: Rule) -> bytes:
    return _rule(RTM_NEWRULE, REQUEST | ACK | CREATE | EXCL, rule)


def delete_rule(rule: Rule) -> bytes:
    return _rule(RTM_DELRULE, REQUEST | ACK, rule)


def rules_of(netns: Netns) -> list[Rule]:
    """The rules of policy routing, in the order in which the kernel looks at them."""
    return [decode_rule(raw, netns.label) for version in (4, 6) for raw in netns.dump(dump_rules(version))]
