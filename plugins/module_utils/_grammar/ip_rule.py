# Copyright: pipework.containers contributors
# GNU General Public License v3.0+ (see LICENSE)
"""What stands after ``ip rule``, as options of pipework_rule. Pure.

    [not] [from PREFIX] [to PREFIX] [iif NAME] [fwmark MARK[/MASK]] [pref N] ... table T | goto N | ACTION
"""

from __future__ import annotations

import typing as t

from .._core.errors import PipeworkError
from .command import Command, Field, byte, device, fields, leading, matching, number, one_family, prefix, text
from .words import Words, family_of

VERBS = {"add": "add", "delete": "del", "del": "del", "flush": "flush"}
ACTIONS = ("blackhole", "unreachable", "prohibit", "nop", "unicast")
MARK = r"(0[xX][0-9a-fA-F]+|\d+)"
PORTS = matching(r"\d{1,5}(-\d{1,5})?")
FIELDS = {
    "from": Field("source", prefix, "the source prefix"),
    "to": Field("destination", prefix, "the destination prefix"),
    "preference": Field("priority", number, "the priority"),
    "tos": Field("tos", text, "the type of service"),
    "fwmark": Field("fwmark", matching(f"{MARK}(/{MARK})?"), "a mark such as 0x1/0xff"),
    "realms": Field("realms", text, "the realms"),
    "protocol": Field("protocol", text, "the protocol"),
    "tun_id": Field("tun_id", number, "the tunnel's ID"),
    "table": Field("table", text, "the table"),
    "suppress_prefixlength": Field("suppress_prefixlength", byte, "a prefix length"),
    "suppress_ifgroup": Field("suppress_ifgroup", text, "a group of interfaces"),
    "iif": Field("iif", device, "the interface"),
    "oif": Field("oif", device, "the interface"),
    "uidrange": Field("uid_range", matching(r"\d{1,10}-\d{1,10}"), "a range of UIDs such as 1000-1999"),
    "ipproto": Field("ip_protocol", text, "the protocol, such as tcp"),
    "sport": Field("source_port", PORTS, "a port, or a range such as 1000-1999"),
    "dport": Field("destination_port", PORTS, "a port, or a range such as 1000-1999"),
    "goto": Field("goto", number, "the priority of the rule to go to"),
}
TABLE = {  # in the order in which iproute2 looks
    "from": "from", "to": "to", "preference": "preference", "order": "preference", "priority": "preference",
    "tos": "tos", "dsfield": "tos", "fwmark": "fwmark", "realms": "realms", "protocol": "protocol", "tun_id": "tun_id",
    "table": "table", "lookup": "table", "suppress_prefixlength": "suppress_prefixlength",
    "sup_pl": "suppress_prefixlength", "suppress_ifgroup": "suppress_ifgroup", "sup_group": "suppress_ifgroup",
    "dev": "iif", "iif": "iif", "oif": "oif", "uidrange": "uidrange", "ipproto": "ipproto", "sport": "sport",
    "dport": "dport", "goto": "goto",
}
EXACT = frozenset(TABLE) - {"preference", "order", "priority", "dsfield", "realms", "protocol", "table"}
FLUSH = {"table": "table", "lookup": "table", "protocol": "protocol"}
EXPECTED = "not, from, to, iif, oif, fwmark, pref, table, goto, blackhole, or another word of 'ip rule'"


def parse(given: Words | object, option: str = "cmd") -> Command:
    """The meaning of the words. Raises PipeworkError, UnknownWord for a word that only iproute2 may know."""
    words = given if isinstance(given, Words) else Words.read(given, option)
    family = leading(words, "rule", "ru")
    verb = words.keyword(VERBS, "a verb, one of add, del, flush,")
    found: dict[str, t.Any] = {}
    table, exact = (FLUSH, ("lookup",)) if verb == "flush" else (TABLE, EXACT)
    while words:
        if verb == "flush":
            if not fields(words, table, FIELDS, found, exact):
                raise words.unknown("'table T' or 'proto P', which say what is to go")
        elif not _flag(words, found) and not fields(words, table, FIELDS, found, exact):
            raise words.unknown(EXPECTED)
    for option_of_prefix in ("source", "destination"):
        value = found.get(option_of_prefix)
        family = one_family(words, family, family_of(value))
        if value == "default":
            del found[option_of_prefix]  # from all
    if not found:
        raise PipeworkError(f"{words.option}: {words.line!r} says of no rule what it is; expected {EXPECTED}.")
    if verb == "add":
        _check_end(words, found)
    _check_ranges(words, found)
    return Command(verb, family or 4, found)


def _flag(words: Words, found: dict[str, t.Any]) -> bool:
    if words.skip("not"):
        found["invert"] = True
    elif words.skip("l3mdev"):
        found["l3mdev"] = True
    else:
        words.skip("type")
        if words.peek not in ACTIONS:
            return False
        if "action" in found:
            words.take("")
            raise words.wrong(f"is a second action; the first is {found['action']}")
        found["action"] = words.take("an action")
    return True


def _check_end(words: Words, found: dict[str, t.Any]) -> None:
    """What happens to what the rule selects; iproute2 takes the main table where nothing is said."""
    ends = [option for option in ("table", "goto", "l3mdev") if option in found]
    if len(ends) > 1:
        raise PipeworkError(
            f"{words.option}: {words.line!r}: {ends[0]} and {ends[1]} exclude each other; leave one out."
        )
    if not ends and found.get("action", "unicast") == "unicast":
        found["table"] = "main"


def _check_ranges(words: Words, found: t.Mapping[str, t.Any]) -> None:
    for option in ("source_port", "destination_port", "uid_range"):
        low, _dash, high = str(found.get(option, "0")).partition("-")
        if high and int(low) > int(high):
            raise PipeworkError(f"{words.option}: {words.line!r}: {low}-{high} is no range; the smaller comes first.")


def words_of(command: Command) -> tuple[str, ...]:
    """The words for what ``parse`` returns."""
    params = dict(command.params)
    found = [*(["ip", "-6", "rule"] if command.family == 6 else []), command.verb]
    found += [word for option, word in (("invert", "not"), ("l3mdev", "l3mdev")) if params.pop(option, False)]
    found += ["type", params.pop("action")] if "action" in params else []
    options = {field.option: word for word, field in FIELDS.items()}
    for option, value in params.items():
        found += [options[option], str(value)]
    return tuple(found)
