# Copyright: pipework.containers contributors
# GNU General Public License v3.0+ (see LICENSE)
"""What stands after ``ip route``, as options of pipework_route. Pure.

    [TYPE] PREFIX [via [inet6] ADDRESS] [dev NAME] [src ADDRESS] [metric N] [table T] [proto P] ... [nexthop ...]
"""

from __future__ import annotations

import typing as t

from .._errors import PipeworkError
from .command import (
    Command,
    Field,
    address,
    byte,
    device,
    fields,
    leading,
    matching,
    number,
    one_family,
    one_of,
    switch,
    text,
)
from .words import Words, family_of, prefix_of

VERBS = {
    "add": "add", "change": "change", "chg": "change", "replace": "replace", "prepend": "prepend", "append": "append",
    "delete": "del", "del": "del", "flush": "flush",
}
TYPES = ("unicast", "local", "broadcast", "multicast", "throw", "unreachable", "prohibit", "blackhole", "anycast")
TIME = matching(r"\d+(\.\d+)?(s|sec|secs|ms|msec|msecs|us|usec|usecs|ns)?")
# In the order in which iproute2 looks: the first that begins as the word does is meant.
FIELDS = {
    "src": Field("source", address, "the source address"),
    "tos": Field("tos", text, "the type of service"),
    "metric": Field("metric", number, "the metric"),
    "scope": Field("scope", text, "the scope"),
    "mtu": Field("mtu", number, "the MTU"),
    "hoplimit": Field("hoplimit", byte, "the hop limit"),
    "advmss": Field("advmss", number, "the advertised MSS"),
    "reordering": Field("reordering", number, "the reordering"),
    "rtt": Field("rtt", TIME, "the round-trip time"),
    "rto_min": Field("rto_min", TIME, "the least retransmission time"),
    "window": Field("window", number, "the window"),
    "cwnd": Field("cwnd", number, "the congestion window"),
    "initcwnd": Field("initcwnd", number, "the first congestion window"),
    "initrwnd": Field("initrwnd", number, "the first receive window"),
    "quickack": Field("quickack", switch, "quickack, 0 or 1"),
    "congctl": Field("congctl", text, "the congestion control"),
    "rttvar": Field("rttvar", TIME, "the variance of the round-trip time"),
    "ssthresh": Field("ssthresh", number, "the slow start threshold"),
    "realms": Field("realms", text, "the realms"),
    "protocol": Field("protocol", text, "the protocol"),
    "table": Field("table", text, "the table"),
    "dev": Field("device", device, "the interface"),
    "pref": Field("preference", one_of("low", "medium", "high"), "the preference"),
    "fastopen_no_cookie": Field("fastopen_no_cookie", switch, "fastopen_no_cookie, 0 or 1"),
}
SYNONYMS = {"dsfield": "tos", "priority": "metric", "preference": "metric", "oif": "dev"}
EXACT = ("src", "tos", "preference", "scope", "mtu", "hoplimit", "advmss", "rtt", "rto_min", "dev", "oif")
LOOKED_UP = (
    "src", "tos", "dsfield", "metric", "priority", "preference", "scope", "mtu", "hoplimit", "advmss", "reordering",
    "rtt", "rto_min", "window", "cwnd", "initcwnd", "initrwnd", "quickack", "congctl", "rttvar", "ssthresh", "realms",
    "protocol", "table", "dev", "oif", "pref", "fastopen_no_cookie",
)
TABLE = {word: SYNONYMS.get(word, word) for word in LOOKED_UP}
FAMILIES = {"inet": 4, "inet6": 6}
FLUSH = {"table": "table", "protocol": "protocol"}
EXPECTED = "via, dev, src, metric, table, proto, scope, onlink, mtu, nexthop, or another word of 'ip route'"


def parse(given: Words | object, option: str = "cmd") -> Command:
    """The meaning of the words. Raises PipeworkError, UnknownWord for a word that only iproute2 may know."""
    words = given if isinstance(given, Words) else Words.read(given, option)
    family = leading(words, "route", "ro", "r")
    verb = words.keyword(VERBS, f"a verb, one of {', '.join(dict.fromkeys(VERBS.values()))},", exact=("chg",))
    if verb == "flush":
        return Command(verb, family or 4, _flush(words))
    return _route(words, verb, family)


def _flush(words: Words) -> dict[str, t.Any]:
    found: dict[str, t.Any] = {}
    while words:
        if not fields(words, FLUSH, FIELDS, found):
            raise words.unknown("'table T' or 'proto P', which say what is to go")
    if "table" not in found:
        words.take("'table T', which says what is to go,")
    return found


def _route(words: Words, verb: str, family: int | None) -> Command:
    found: dict[str, t.Any] = {}
    while words:
        if words.peek == "via":
            family = _via(words, found, family)
        elif words.peek == "onlink":
            words.take("")
            found["onlink"] = True
        elif words.peek == "nexthop":
            family = _nexthops(words, found, family)
        elif not _mtu_lock(words, found) and not fields(words, TABLE, FIELDS, found, EXACT):
            family = _destination(words, found, family)
        if found.get("source"):
            family = one_family(words, family, family_of(found["source"]))
    if "destination" not in found:
        raise PipeworkError(
            f"{words.option}: {words.line!r} names no destination; "
            "'default', or a prefix such as 10.0.0.0/8, should be there."
        )
    if found["destination"] == "default" and family == 6:
        found["destination"] = "::/0"
    if found.get("type") == "unicast":
        del found["type"]
    return Command(verb, family or 4, found)


def _mtu_lock(words: Words, found: dict[str, t.Any]) -> bool:
    """``mtu lock 1400``: also path MTU discovery leaves it so."""
    if words.peek != "mtu" or words.words[words.place + 1:][:1] != ("lock",):
        return False
    words.take("")
    words.take("")
    if "mtu" in found:
        raise words.wrong("is given twice; the MTU can be given once")
    found["mtu"], found["mtu_lock"] = words.number("the MTU"), True
    return True


def _via(words: Words, found: dict[str, t.Any], family: int | None) -> int | None:
    words.take("")
    if "gateway" in found:
        raise words.wrong("is given twice; of several gateways each needs its 'nexthop'")
    named = FAMILIES.get(words.take("")) if words.peek in FAMILIES else None
    found["gateway"] = words.address("the gateway's address")
    mine = family_of(found["gateway"])
    if named is not None and named != mine:
        raise words.wrong("is not of the family that is named before it")
    if named == 6 and family == 4:
        return family  # an IPv4 route by an IPv6 neighbour
    return one_family(words, family, mine)


def _destination(words: Words, found: dict[str, t.Any], family: int | None) -> int | None:
    words.skip("to")
    if words.peek in TYPES and "type" not in found:
        found["type"] = words.take("a type")
    word = words.peek
    if word is not None and word not in ("default", "any", "all") and prefix_of(word) is None:
        raise words.unknown(EXPECTED if "destination" in found else f"a destination such as 10.0.0.0/8, {EXPECTED}")
    value = words.prefix("a destination, such as 10.0.0.0/8 or default,")
    if "destination" in found:
        raise words.wrong(f"is a second destination; the first is {found['destination']}")
    mine = family_of(value)
    found["destination"] = "default" if value == "0.0.0.0/0" else value
    return one_family(words, family, mine)


def _nexthops(words: Words, found: dict[str, t.Any], family: int | None) -> int | None:
    hops = found.setdefault("nexthops", [])
    while words.skip("nexthop"):
        hop: dict[str, t.Any] = {}
        while words and words.peek != "nexthop":
            if words.peek == "via":
                family = _via(words, hop, family)
            elif words.peek == "dev":
                words.take("")
                hop["device"] = device(words, "the interface")
            elif words.peek == "weight":
                words.take("")
                hop["weight"] = words.number("the weight", 1, 256)
            elif words.peek == "onlink":
                words.take("")
                hop["onlink"] = True
            else:
                raise words.unknown("via, dev, weight, onlink, or the next nexthop; words about the route stand before")
        if not {"gateway", "device"} & set(hop):
            words.take("via or dev")
            raise words.wrong("stands where via or dev of the nexthop before it should", back=1)
        hops.append(hop)
    return family


def words_of(command: Command) -> tuple[str, ...]:
    """The words for what ``parse`` returns."""
    params = dict(command.params)
    found = [*(["ip", "-6", "route"] if command.family == 6 else []), command.verb]
    if command.verb != "flush":
        found += [params.pop("type")] if "type" in params else []
        found.append(params.pop("destination"))
    hops = params.pop("nexthops", ())
    found += _way(params, command.family)
    if params.pop("mtu_lock", False):
        found += ["mtu", "lock", str(params.pop("mtu"))]
    options = {field.option: word for word, field in FIELDS.items()}
    for option, value in params.items():
        found += [options[option], str(int(value) if isinstance(value, bool) else value)]
    for hop in hops:
        hop = dict(hop)
        found += ["nexthop", *_way(hop, command.family)]
        for option, value in hop.items():
            found += ["dev" if option == "device" else option, str(value)]
    return tuple(found)


def _way(params: dict[str, t.Any], family: int) -> list[str]:
    """Takes the gateway and onlink out of the options."""
    found: list[str] = []
    if "gateway" in params:
        gateway: str = params.pop("gateway")
        foreign = family_of(gateway) == 6 and family == 4
        found += ["via", "inet6", gateway] if foreign else ["via", gateway]
    return found + (["onlink"] if params.pop("onlink", False) else [])
