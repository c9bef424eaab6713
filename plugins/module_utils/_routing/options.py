# Copyright: pipework.containers contributors
# GNU General Public License v3.0+ (see LICENSE)
"""The options of a route and a rule, which more than one module takes; and the names that an option goes by. Pure."""

from __future__ import annotations

import typing as t

from .._core.errors import PipeworkError

Spec = dict[str, dict[str, t.Any]]

ENCAP: Spec = {
    "type": {"type": "str", "choices": ["mpls", "seg6"], "required": True},
    "labels": {"type": "list", "elements": "int"},
    "ttl": {"type": "int"},
    "mode": {"type": "str", "choices": ["encap", "inline"]},
    "segments": {"type": "list", "elements": "str"},
}
HOP: Spec = {
    "gateway": {"type": "str", "aliases": ["via"]},
    "device": {"type": "str", "aliases": ["dev"]},
    "weight": {"type": "int"},
    "onlink": {"type": "bool"},
    "encap": {"type": "dict", "options": ENCAP},
}
ROUTE: Spec = {
    "destination": {"type": "str", "aliases": ["to", "dest"]},
    "family": {"type": "str", "choices": ["ipv4", "ipv6"]},
    "gateway": {"type": "str", "aliases": ["via"]},
    "device": {"type": "str", "aliases": ["dev"]},
    "source": {"type": "str", "aliases": ["src"]},
    "source_prefix": {"type": "str", "aliases": ["from"]},
    "metric": {"type": "int"},
    "table": {"type": "str"},
    "scope": {"type": "str"},
    "protocol": {"type": "str"},
    "type": {
        "type": "str",
        "choices": [
            "unicast", "local", "broadcast", "multicast", "blackhole", "unreachable", "prohibit", "throw",
        ],
    },
    "onlink": {"type": "bool"},
    "preference": {"type": "str", "choices": ["low", "medium", "high"]},
    "tos": {"type": "str"},
    "mtu": {"type": "int"},
    "advmss": {"type": "int"},
    "metrics": {"type": "dict"},
    "encap": {"type": "dict", "options": ENCAP},
    "nexthops": {"type": "list", "elements": "dict", "options": HOP},
}

RULE: Spec = {
    "priority": {"type": "int", "aliases": ["pref", "preference"]},
    "family": {"type": "str", "choices": ["ipv4", "ipv6"]},
    "source": {"type": "str", "aliases": ["from"]},
    "destination": {"type": "str", "aliases": ["to"]},
    "iif": {"type": "str"},
    "oif": {"type": "str"},
    "fwmark": {"type": "str"},
    "tos": {"type": "str"},
    "ip_protocol": {"type": "str", "aliases": ["ipproto"]},
    "source_port": {"type": "str", "aliases": ["sport"]},
    "destination_port": {"type": "str", "aliases": ["dport"]},
    "uid_range": {"type": "str", "aliases": ["uidrange"]},
    "tun_id": {"type": "int"},
    "invert": {"type": "bool"},
    "action": {"type": "str", "choices": ["lookup", "goto", "nop", "blackhole", "unreachable", "prohibit"]},
    "table": {"type": "str", "aliases": ["lookup"]},
    "l3mdev": {"type": "bool"},
    "goto": {"type": "int"},
    "suppress_prefixlength": {"type": "int"},
    "suppress_ifgroup": {"type": "int"},
    "realms": {"type": "str"},
    "protocol": {"type": "str"},
}


def named(params: t.Mapping[str, t.Any], spec: Spec, option: str) -> dict[str, t.Any]:
    """An item that Ansible has not looked into, with the options' own names. PipeworkError for an unknown one."""
    if not isinstance(params, dict):
        raise PipeworkError(f"{option}: {params!r} is not a dictionary of options.")
    names = {alias: name for name, each in spec.items() for alias in (name, *each.get("aliases", ()))}
    found: dict[str, t.Any] = {}
    for given, value in params.items():
        if given not in names:
            raise PipeworkError(f"{option}: {given!r} is not one of the options; {', '.join(spec)} are.")
        inner = spec[names[given]].get("options")
        if inner and isinstance(value, list):
            value = [named(each, inner, f"{option}.{given}") for each in value]
        elif inner and value is not None:
            value = named(value, inner, f"{option}.{given}")
        choices = spec[names[given]].get("choices")
        if choices and value is not None and value not in choices:
            raise PipeworkError(f"{option}.{given}: {value!r} is not possible; {', '.join(choices)} are.")
        found[names[given]] = value
    return found
