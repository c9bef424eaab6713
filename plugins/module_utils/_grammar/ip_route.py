# Copyright: pipework.containers contributors
# GNU General Public License v3.0+ (see LICENSE)
"""What stands after ``ip route``, as options of pipework_route. Pure.

    [TYPE] PREFIX [via [inet6] ADDRESS] [dev NAME] [src ADDRESS] [metric N] [table T] [proto P] ... [nexthop ...]
"""

from __future__ import annotations

import typing as t

from .._core.errors import PipeworkError
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
    prefix,
    switch,
    text,
)
from .words import Words, address_of, family_of, meaning, prefix_of

VERBS = {
    "add": "add", "change": "change", "chg": "change", "replace": "replace", "prepend": "prepend", "append": "append",
    "delete": "del", "del": "del", "flush": "flush",
}
TYPES = ("unicast", "local", "broadcast", "multicast", "throw", "unreachable", "prohibit", "blackhole")
TIME = matching(r"\d+(\.\d+)?(s|ms)")
FIELDS = {
    "src": Field("source", address, "the source address"),
    "from": Field("source_prefix", prefix, "the source prefix"),
    "tos": Field("tos", text, "the type of service"),
    "metric": Field("metric", number, "the metric"),
    "scope": Field("scope", text, "the scope"),
    "protocol": Field("protocol", text, "the protocol"),
    "table": Field("table", text, "the table"),
    "dev": Field("device", device, "the interface"),
    "pref": Field("preference", one_of("low", "medium", "high"), "the preference"),
    "mtu": Field("mtu", number, "the MTU"),
    "advmss": Field("advmss", number, "the advertised MSS"),
}
METRICS = {  # those that stand in the option of this name
    "hoplimit": Field("hoplimit", byte, "the hop limit"),
    "reordering": Field("reordering", number, "the reordering"),
    "rtt": Field("rtt", TIME, "a time such as 100ms"),
    "rto_min": Field("rto_min", TIME, "a time such as 100ms"),
    "window": Field("window", number, "the window"),
    "cwnd": Field("cwnd", number, "the congestion window"),
    "initcwnd": Field("initcwnd", number, "the first congestion window"),
    "initrwnd": Field("initrwnd", number, "the first receive window"),
    "features": Field("features", lambda words, what: [one_of("ecn")(words, what)], "a feature"),
    "quickack": Field("quickack", switch, "quickack, 0 or 1"),
    "congctl": Field("congctl", text, "the congestion control"),
    "rttvar": Field("rttvar", TIME, "a time such as 100ms"),
    "ssthresh": Field("ssthresh", number, "the slow start threshold"),
}
SYNONYMS = {"dsfield": "tos", "priority": "metric", "preference": "metric", "oif": "dev"}
# In the order in which iproute2 looks: the first that begins as the word does is meant.
TABLE = {word: SYNONYMS.get(word, word) for word in (
    "src", "from", "tos", "dsfield", "metric", "priority", "preference", "scope", "mtu", "hoplimit", "advmss",
    "reordering", "rtt", "rto_min", "window", "cwnd", "initcwnd", "initrwnd", "features", "quickack", "congctl",
    "rttvar", "ssthresh", "protocol", "table", "dev", "oif", "pref",
)}
EXACT = (
    "src", "from", "tos", "preference", "scope", "mtu", "hoplimit", "advmss", "rtt", "rto_min", "dev", "oif",
)
UNLOCKABLE = ("features", "quickack", "rto_min", "initcwnd", "initrwnd")
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
        word = words.peek
        if word == "via":
            family = _via(words, found, family)
        elif word == "onlink":
            found["onlink"] = words.skip("onlink")
        elif word == "encap":
            _encap(words, found)
        elif word == "nexthop":
            family = _nexthops(words, found, family)
        elif not _metric(words, found) and not fields(words, TABLE, FIELDS, found, EXACT):
            family = _destination(words, found, family)
        for option in ("source", "source_prefix"):
            family = one_family(words, family, family_of(found.get(option)))
    if "destination" not in found:
        raise PipeworkError(
            f"{words.option}: {words.line!r} names no destination; "
            "'default', or a prefix such as 10.0.0.0/8, should be there."
        )
    if found["destination"] == "default":
        found["family"] = f"ipv{family or 4}"
    if found.get("type") == "unicast":
        del found["type"]
    return Command(verb, family or 4, found)


def _metric(words: Words, found: dict[str, t.Any]) -> bool:
    """One of the metrics, perhaps with ``lock`` before its value: the kernel leaves that one as it is."""
    name = meaning(words.peek or "", TABLE, EXACT)
    if name not in METRICS and name not in ("mtu", "advmss"):
        return False
    words.take("")
    metrics = found.setdefault("metrics", {})
    field, into = (METRICS[name], metrics) if name in METRICS else (FIELDS[name], found)
    if field.option in into:
        raise words.wrong(f"is given twice; {field.what} can be given once")
    if words.peek == "lock" and name not in UNLOCKABLE:
        words.take("")
        metrics.setdefault("lock", []).append(name)
    into[field.option] = field.read(words, field.what)
    if not metrics:
        del found["metrics"]
    return True


def _encap(words: Words, found: dict[str, t.Any]) -> None:
    """``encap mpls 100/200 [ttl N]``, ``encap seg6 mode encap segs A,B``"""
    words.take("")
    if "encap" in found:
        raise words.wrong("is given twice; what packets are wrapped into can be said once")
    if words.peek not in ("mpls", "seg6"):
        raise words.unknown("mpls or seg6")
    sort = words.take("")
    if sort == "mpls":
        labels = matching(r"\d{1,7}(/\d{1,7})*")(words, "labels such as 100/200")
        found["encap"] = {"type": sort, "labels": [int(label) for label in labels.split("/")]}
        if words.skip("ttl"):
            found["encap"]["ttl"] = words.number("the time to live", 1, 255)
        return
    found["encap"] = {"type": sort}
    if words.skip("mode"):
        found["encap"]["mode"] = one_of("encap", "inline")(words, "the mode")
    if not words.skip("segs"):
        words.take("segs and the segments")
        raise words.wrong("stands where 'segs' and the segments should")
    segments = [address_of(each) for each in words.take("segments such as 2001:db8::1,2001:db8::2").split(",")]
    if not all(each and family_of(each) == 6 for each in segments):
        raise words.wrong("is no list of segments; IPv6 addresses with commas between them would be right")
    found["encap"]["segments"] = segments


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
    found["destination"] = "default" if value in ("0.0.0.0/0", "::/0") else value
    return one_family(words, family, mine)


def _nexthops(words: Words, found: dict[str, t.Any], family: int | None) -> int | None:
    hops = found.setdefault("nexthops", [])
    while words.skip("nexthop"):
        hop: dict[str, t.Any] = {}
        while words and words.peek != "nexthop":
            if words.peek == "via":
                family = _via(words, hop, family)
            elif words.peek == "encap":
                _encap(words, hop)
            elif words.peek == "dev":
                words.take("")
                hop["device"] = device(words, "the interface")
            elif words.peek == "weight":
                words.take("")
                hop["weight"] = words.number("the weight", 1, 256)
            elif words.peek == "onlink":
                hop["onlink"] = words.skip("onlink")
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
    ways = (params, *params.get("nexthops", ()))
    foreign = "family" in params and any(family_of(way.get("gateway")) == 6 for way in ways)
    found = [*(["ip", f"-{command.family}", "route"] if command.family == 6 or foreign else []), command.verb]
    params.pop("family", None)
    if command.verb != "flush":
        found += [params.pop("type")] if "type" in params else []
        found.append(params.pop("destination"))
    hops = params.pop("nexthops", ())
    found += _way(params, command.family)
    metrics = dict(params.pop("metrics", {}))
    locked = metrics.pop("lock", ())
    options = {field.option: word for word, field in (*FIELDS.items(), *METRICS.items())}
    for option, value in (*params.items(), *metrics.items()):
        value = value[0] if isinstance(value, list) else int(value) if isinstance(value, bool) else value
        found += [options[option], *(["lock"] if option in locked else []), str(value)]
    for hop in hops:
        hop = dict(hop)
        found += ["nexthop", *_way(hop, command.family)]
        for option, value in hop.items():
            found += ["dev" if option == "device" else option, str(value)]
    return tuple(found)


def _way(params: dict[str, t.Any], family: int) -> list[str]:
    """Takes the encapsulation, the gateway and onlink out of the options."""
    found: list[str] = []
    encap = params.pop("encap", None)
    if encap and encap["type"] == "mpls":
        found += ["encap", "mpls", "/".join(str(label) for label in encap["labels"])]
        found += ["ttl", str(encap["ttl"])] if "ttl" in encap else []
    elif encap:
        mode = ["mode", encap["mode"]] if "mode" in encap else []
        found += ["encap", "seg6", *mode, "segs", ",".join(encap["segments"])]
    if "gateway" in params:
        gateway: str = params.pop("gateway")
        foreign = family_of(gateway) == 6 and family == 4
        found += ["via", "inet6", gateway] if foreign else ["via", gateway]
    return found + (["onlink"] if params.pop("onlink", False) else [])
