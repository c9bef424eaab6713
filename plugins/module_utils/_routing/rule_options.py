# Copyright: pipework.containers contributors
# GNU General Public License v3.0+ (see LICENSE)
"""What a rule of policy routing shall be: the options of pipework_rule, checked, and the object. Pure."""

from __future__ import annotations

import dataclasses
import re
import typing as t

from .._core import normalize as norm
from .._core.errors import PipeworkError
from .._core.items import Item, Params, blaming, container_of
from .._grammar.cmd_option import said
from .._model import route_names as words
from .._model.rule import ACTIONS, CONTENT, IP_PROTOCOLS, SELECTORS, Rule, mark_text


def parse_command(words: object) -> t.Any:
    """A line of ip rule, as the options that it means. Raises PipeworkError."""
    from .._grammar import ip_rule  # which few runs need

    return ip_rule.parse(words)


@dataclasses.dataclass(frozen=True)
class RuleItem(Item):
    """One item of ``rules``. ``given``: the fields that the options name, which is all that absent goes by."""

    container: str | None
    rule: Rule  # its priority and protocol count only where they are given
    given: frozenset[str]
    runtime: str = "auto"
    runtime_user: str | None = None
    missing: str = "fail"  # or skip: what to do where the container is not there
    state: str = "present"
    where: str = ""
    verb: str = ""  # of a command line: add, del, flush

    @classmethod
    def from_params(cls, params: Params, where: str, names: words.Names, ns: bool = True) -> RuleItem:
        """Checks one item's options; raises PipeworkError. Without ``ns``: it is part of something with a container."""
        with blaming(where):
            verb, params = said(params, parse_command, ("table", "protocol"))
            if verb and params.get("action") == "unicast":
                params = {**params, "action": "lookup"}
            state = params.get("state") or "present"
            rule, given = _rule(params, names, state, bare=verb == "flush")
            place = t.cast("dict[str, t.Any]", container_of(params) if ns else {"container": None})
            return cls(rule=rule, given=given, state=state, where=where, verb=verb, **place)

    def matches(self, rule: Rule) -> bool:
        """Whether absent means this rule."""
        return self.rule.family == rule.family and all(
            getattr(self.rule, name) == getattr(rule, name) for name in self.given if hasattr(rule, name)
        )


def _rule(params: Params, names: words.Names, state: str, bare: bool = False) -> tuple[Rule, frozenset[str]]:
    def value(name: str) -> t.Any:
        found = params.get(name)
        return None if found in (None, "") else found

    given = frozenset(name for name in (*SELECTORS, *CONTENT, "priority", "protocol") if value(name) is not None)
    if not given and not bare:
        raise PipeworkError("table: say what the rule does or selects, such as 'from' and 'table'.")
    version = _family(params)
    action = value("action") or ("goto" if value("goto") is not None else "lookup")
    if action not in ACTIONS:
        raise PipeworkError(f"action: {action!r} is not known; {', '.join(ACTIONS)} are.")
    l3mdev = bool(value("l3mdev"))
    table = 0 if value("table") is None else names.table(value("table"))
    if not table and action == "lookup" and not l3mdev:
        table = words.TABLES["main"]
    rule = Rule(
        ns="", family=version,
        priority=0 if value("priority") is None else words.number(value("priority"), "priority"),
        protocol=0 if value("protocol") is None else names.protocol(value("protocol")),
        source=_prefix(value("source"), "source", version),
        destination=_prefix(value("destination"), "destination", version),
        iif=_device(value("iif"), "iif"), oif=_device(value("oif"), "oif"), fwmark=fwmark(value("fwmark")),
        tos=0 if value("tos") is None else words.number(value("tos"), "tos", 255),
        ip_protocol=_ip_protocol(value("ip_protocol")),
        source_port=_range(value("source_port"), "source_port", 65535, 1),
        destination_port=_range(value("destination_port"), "destination_port", 65535, 1),
        uid_range=_range(value("uid_range"), "uid_range", words.NUMBER_MAX, 0), invert=bool(value("invert")),
        action=action, table=table, l3mdev=l3mdev,
        goto=None if value("goto") is None else words.number(value("goto"), "goto"),
        suppress_prefixlength=_optional(
            value("suppress_prefixlength"), "suppress_prefixlength", 32 if version == 4 else 128
        ),
        suppress_ifgroup=_optional(value("suppress_ifgroup"), "suppress_ifgroup", 2**31 - 1),
        tun_id=0 if value("tun_id") is None else words.number(value("tun_id"), "tun_id"),
        realms=_realms(value("realms")),
    )
    if state == "present":
        _check(rule, given)
    return rule, given


def _check(rule: Rule, given: frozenset[str]) -> None:
    if (rule.action == "goto") != (rule.goto is not None):
        raise PipeworkError("goto: says to which priority, for the action goto.")
    if rule.action != "lookup":
        for option in ("table", "suppress_prefixlength", "suppress_ifgroup", "l3mdev"):
            if option in given and getattr(rule, option):
                raise PipeworkError(f"{option}: goes with the action lookup, not with {rule.action}.")
    if rule.family == 6 and rule.realms:
        raise PipeworkError("realms: only IPv4 has them.")
    if rule.l3mdev and rule.table:
        raise PipeworkError("l3mdev: means the table of the packet's VRF; leave out 'table'.")
    if "priority" in given:
        check_goto(rule)


def check_goto(rule: Rule) -> None:
    """The kernel only goes on to what comes later."""
    if rule.goto is not None and rule.goto <= rule.priority:
        raise PipeworkError(f"goto: {rule.goto} does not come after the rule's own priority, {rule.priority}.")


def _family(params: Params) -> int:
    if params.get("family"):
        return words.word(params["family"], words.FAMILIES, "family")
    for name in ("source", "destination"):
        if params.get(name) and ":" in str(params[name]):
            return 6
    return 4


def _prefix(value: t.Any, option: str, version: int) -> str:
    found = "default" if value is None else words.prefix(value, option, version)
    return "" if found == "default" else found


def _device(value: t.Any, option: str) -> str:
    return "" if value is None else "lo" if str(value) == "lo" else norm.interface_name(value, option)


def _optional(value: t.Any, option: str, most: int) -> int | None:
    return None if value is None else words.number(value, option, most)


def fwmark(value: t.Any) -> str:
    """``0x1/0xff``, with its mask always."""
    if value is None:
        return ""
    mark, _slash, mask = str(value).partition("/")
    one, all_ = words.number(mark, "fwmark"), words.number(mask or "0xffffffff", "fwmark")
    if one & ~all_:
        raise PipeworkError(f"fwmark: {value}: the mark has bits that its mask has not, so nothing would have it.")
    return mark_text(one, all_)


def _realms(value: t.Any) -> int:
    """``1/2`` and ``2``: of the source, and of the destination."""
    if value is None:
        return 0
    first, slash, last = str(value).rpartition("/")
    from_ = words.number(first, "realms", 65535) if slash else 0
    return from_ << 16 | words.number(last, "realms", 65535)


def _ip_protocol(value: t.Any) -> int:
    if value is None:
        return 0
    text = str(value).strip().lower()
    known = {**IP_PROTOCOLS, "icmpv6": 58}
    if text not in known and not text[:1].isdigit():
        raise PipeworkError(
            f"ip_protocol: {text!r} is not known; {', '.join(sorted(known))} and numbers from 1 to 255 are."
        )
    return known[text] if text in known else words.number(value, "ip_protocol", 255, 1)


def _range(value: t.Any, option: str, most: int, least: int) -> str:
    """``80`` and ``80-90`` as ``80-80`` and ``80-90``."""
    if value is None:
        return ""
    match = re.fullmatch(r"\s*(\d+)\s*(?:-\s*(\d+)\s*)?", str(value))
    if not match:
        raise PipeworkError(f"{option}: {value!r} is not a number or a range such as 1000-1999.")
    first, last = int(match[1]), int(match[2] or match[1])
    if not least <= first <= last <= most:
        raise PipeworkError(f"{option}: {value} is not possible; {least} to {most}, the lower first, would be right.")
    return f"{first}-{last}"
