# Copyright: pipework.containers contributors
# GNU General Public License v3.0+ (see LICENSE)
"""What stands after ``tc``, as options of pipework_tc: queueing disciplines, classes and filters. Pure.

    qdisc add|replace|change|del dev NAME root|ingress|clsact|parent M:N [handle H:] [KIND [WORDS...]]
    class add|replace|change|del dev NAME [parent M:[N]] classid M:N [KIND WORDS...]
    filter ...: see tc_filter
"""

from __future__ import annotations

import re
import typing as t

from . import tc_filter
from .command import Command, device
from .tc_words import CHOICES, CLASSES, CURVE, FLAGS, KINDS, NETEM, VALUE, How
from .words import Words

OBJECTS = {"qdisc": "qdisc", "class": "class", "filter": "filter"}
VERBS = {"add": "add", "change": "change", "replace": "replace", "delete": "del", "del": "del"}
PLACES = ("root", "ingress", "clsact")
HANDLE = re.compile(r"(?:0x)?([0-9a-f]{1,4}):(?:0)?", re.ASCII | re.IGNORECASE)
PLACE = re.compile(r"(?:0x)?([0-9a-f]{1,4}):([0-9a-f]{0,4})", re.ASCII | re.IGNORECASE)


def parse(given: Words | object, option: str = "cmd") -> Command:
    """The meaning of the words. Raises PipeworkError, UnknownWord for a word that only tc may know."""
    words = given if isinstance(given, Words) else Words.read(given, option)
    words.skip("sudo")
    words.skip("tc")
    sort = words.keyword(OBJECTS, "qdisc, class or filter")
    verb = words.keyword(VERBS, "a verb, one of add, change, replace, del,")
    if sort == "filter":
        item = tc_filter.parse(words)
        found: dict[str, t.Any] = {"device": item.pop("device"), "filters": [item]}
    else:
        found = _qdisc(words, verb) if sort == "qdisc" else _class(words, verb)
    if verb in ("replace", "del"):
        found["force"] = True  # that is what they mean, whoever made it
    return Command(verb, 4, found)


def _qdisc(words: Words, verb: str) -> dict[str, t.Any]:
    found: dict[str, t.Any] = {}
    place = parent = None
    while words and words.peek not in KINDS or place is None and words.peek in PLACES:
        if words.peek == "handle" and "handle" not in found:
            words.take("")
            found["handle"] = _handle(words)
        elif words.peek == "parent" and place is parent is None:
            words.take("")
            parent = _place(words, "the class or qdisc above, such as 1:10,")
        elif words.peek in PLACES and place is parent is None:
            place = words.take("")
        elif not _device(words, found):
            raise words.unknown(f"dev, handle, parent, {', '.join(PLACES)}, or a kind: {', '.join(KINDS)}")
    _check_device(words, found)
    kind = words.take("") if words else None
    _check_place(words, place or parent, kind, found)
    kind = kind or (place if place != "root" else None)
    if kind is None and verb != "del":
        words.take(f"a kind, one of {', '.join(KINDS)},")
    options = {} if kind is None else NETEM.read(words) if kind == "netem" else _options(words, KINDS[kind], kind)
    if parent is None:
        return {**found, **({} if kind is None else {kind: options})}
    item = {"parent": parent, **({"kind": kind} if kind else {}), **options}
    if "handle" in found:
        item["handle"] = found.pop("handle")
    return {**found, "qdiscs": [item]}


def _class(words: Words, verb: str) -> dict[str, t.Any]:
    found: dict[str, t.Any] = {}
    item: dict[str, t.Any] = {}
    while words and words.peek not in CLASSES:
        if words.peek in ("classid", "parent") and words.peek not in item:
            name = words.take("")
            item[name] = _place(words, "a place such as 1:10")
        elif words.skip("root"):
            item["parent"] = "root"
        elif not _device(words, found):
            raise words.unknown(f"dev, parent, classid, or a kind: {', '.join(CLASSES)}")
    _check_device(words, found)
    if "classid" not in item:
        words.take("classid and the class")
        raise words.wrong("stands where 'classid' and the class, such as 1:10, should")
    if words or verb != "del":
        item["kind"] = words.take(f"a kind, one of {', '.join(CLASSES)},")
        item.update(_options(words, CLASSES[item["kind"]], item["kind"]))
    return {**found, "classes": [item]}


def _device(words: Words, found: dict[str, t.Any]) -> bool:
    if not words.skip("dev"):
        return False
    if "device" in found:
        raise words.wrong("is given twice; the interface can be given once")
    found["device"] = device(words, "the interface")
    return True


def _check_device(words: Words, found: t.Mapping[str, t.Any]) -> None:
    if "device" not in found:
        words.take("dev and the interface")
        raise words.wrong("stands where 'dev' and the interface should")


def _check_place(words: Words, place: str | None, kind: str | None, found: dict[str, t.Any]) -> None:
    """That a kind stands where it can."""
    beside = kind in ("ingress", "clsact")
    if place is None and not beside:
        if kind is None:
            words.take("root")  # raises
        raise words.wrong("stands where 'root' should")
    if beside and place not in (None, kind):
        raise words.wrong(f"does not stand at {place}; leave '{place}' out")
    if place in ("ingress", "clsact") and kind not in (None, place):
        raise words.wrong(f"cannot stand at {place}, where only {place} itself can")
    if beside or place in ("ingress", "clsact"):
        found.pop("handle", None)  # there is one that is always the same


def _place(words: Words, what: str) -> str:
    match = PLACE.fullmatch(words.take(what))
    if not match or not int(match[1], 16):
        raise words.wrong(f"is not a handle; {what.rstrip(',')} would be right")
    return f"{int(match[1], 16):x}:" + (f"{int(match[2], 16):x}" if int(match[2] or "0", 16) else "")


def _handle(words: Words) -> str:
    given = words.take("a handle such as 1:")
    match = HANDLE.fullmatch(given)
    if not match or not int(match[1], 16):
        raise words.wrong("is not the handle of a qdisc; one such as 1: would be right")
    return f"{int(match[1], 16):x}:"


def _options(words: Words, table: t.Mapping[str, tuple[str, How]], kind: str) -> dict[str, t.Any]:
    found: dict[str, t.Any] = {}
    while words:
        word = words.peek or ""
        if word not in table:
            known = ", ".join(table) or "nothing more"
            raise words.unknown(f"{known}, which are the words of {kind}")
        words.take("")
        option, how = table[word]
        if option in found:
            raise words.wrong(f"is a second word about {option}, which can be said once")
        if how is FLAGS:
            found[option] = CHOICES[kind, word]
        elif how is CURVE:
            found[option] = _curve(words, word)
        elif how is VALUE:
            found[option] = quantity(words, f"the value of {word}")
        else:
            found[option] = " ".join(quantity(words, f"the value of {word}") for _number in range(t.cast(int, how)))
    return found


def _curve(words: Words, word: str) -> str:
    found: list[str] = []
    while words.peek in ("m1", "d", "m2", "rate"):
        name = words.take("")
        found += [name, quantity(words, f"the value of {name}")]
    if not found:
        raise words.unknown(f"m1, d, m2 or rate, which make the curve of {word}")
    return " ".join(found)


def quantity(words: Words, what: str) -> str:
    """A number, with or without a unit."""
    value = words.take(what)
    if not re.fullmatch(r"[-+]?(0x[0-9a-fA-F]+|\d*\.?\d[\w.%/]*:?\w*)", value, re.ASCII):
        raise words.wrong(f"is not a quantity; {what}, such as 10, 30%, 100ms or 10mbit, would be right")
    return value


def words_of(command: Command) -> tuple[str, ...]:
    """The words for what ``parse`` returns."""
    params = command.params
    start = (command.verb, "dev", params["device"])
    if "classes" in params:
        item = dict(params["classes"][0])
        parent = item.pop("parent", None)
        found = ["class", *start, *([] if parent is None else ["root"] if parent == "root" else ["parent", parent])]
        found += ["classid", item.pop("classid")]
        kind = item.pop("kind", None)
        return (*found, *([kind, *_option_words(kind, CLASSES[kind], item)] if kind else []))
    if "filters" in params:
        return ("filter", *start, *tc_filter.words_of(params["filters"][0]))
    if "qdiscs" in params:
        item = dict(params["qdiscs"][0])
        kind, where = item.pop("kind", None), ["parent", item.pop("parent")]
        handle = item.pop("handle", None)
    else:
        kind = next((name for name in KINDS if name in params), None)
        item, handle = params.get(str(kind), {}), params.get("handle")
        where = [kind if kind in ("ingress", "clsact") else "root"]
    found = ["qdisc", *start, *where, *(["handle", handle] if handle else [])]
    if kind is None or [kind] == where:
        return tuple(found)
    return (*found, kind, *(NETEM.words(item) if kind == "netem" else _option_words(kind, KINDS[kind], item)))


def _option_words(kind: str, table: t.Mapping[str, tuple[str, How]], options: t.Mapping[str, t.Any]) -> list[str]:
    found: list[str] = []
    for option, value in options.items():
        for word, (name, how) in table.items():
            if name == option and (how is not FLAGS or CHOICES[kind, word] == value):
                found += [word] if how is FLAGS else [word, *str(value).split()]
                break
    return found
