# Copyright: pipework.containers contributors
# GNU General Public License v3.0+ (see LICENSE)
"""What stands after ``tc``, as options of pipework_tc: queueing disciplines at the root, ingress and clsact. Pure.

    qdisc add|replace|change|del dev NAME root|ingress|clsact [handle H:] [KIND [WORDS...]]
"""

from __future__ import annotations

import re
import typing as t

from .command import Command, device
from .tc_words import CHOICES, FLAGS, KINDS, NETEM, VALUE
from .words import Words

OBJECTS = {"qdisc": "qdisc"}
VERBS = {"add": "add", "change": "change", "replace": "replace", "delete": "del", "del": "del"}
PLACES = ("root", "ingress", "clsact")
HANDLE = re.compile(r"(?:0x)?([0-9a-f]{1,4}):(?:0)?", re.ASCII | re.IGNORECASE)


def parse(given: Words | object, option: str = "cmd") -> Command:
    """The meaning of the words. Raises PipeworkError, UnknownWord for a word that only tc may know."""
    words = given if isinstance(given, Words) else Words.read(given, option)
    words.skip("sudo")
    words.skip("tc")
    words.keyword(OBJECTS, "qdisc; trees of classes and filters are not taken as commands")
    verb = words.keyword(VERBS, "a verb, one of add, change, replace, del,")
    found: dict[str, t.Any] = {}
    place = None
    while words and words.peek not in KINDS or place is None and words.peek in PLACES:
        if words.skip("dev"):
            if "device" in found:
                raise words.wrong("is given twice; the interface can be given once")
            found["device"] = device(words, "the interface")
        elif words.skip("handle"):
            found["handle"] = _handle(words)
        elif words.peek in PLACES and place is None:
            place = words.take("")
        else:
            raise words.unknown(f"dev, handle, {', '.join(PLACES)}, or a kind: {', '.join(KINDS)}")
    if "device" not in found:
        words.take("dev and the interface")
        raise words.wrong("stands where 'dev' and the interface should")
    kind = words.take("") if words else None
    _place(words, verb, place, kind, found)
    kind = kind or (place if place != "root" else None)
    if kind is not None:
        found[kind] = NETEM.read(words) if kind == "netem" else _options(words, kind)
    elif verb != "del":
        words.take(f"a kind, one of {', '.join(KINDS)},")
    if verb in ("replace", "del"):
        found["force"] = True  # that is what they mean, whoever made it
    return Command(verb, 4, found)


def _place(words: Words, verb: str, place: str | None, kind: str | None, found: dict[str, t.Any]) -> None:
    """That a kind stands where it can."""
    beside = kind in ("ingress", "clsact")
    if place is None and not beside:
        if kind is None:
            words.take("root")  # raises
        raise words.wrong("stands where 'root' should")
    if place == "root" and beside:
        raise words.wrong("does not stand at the root; leave 'root' out")
    if place in ("ingress", "clsact") and kind not in (None, place):
        raise words.wrong(f"cannot stand at {place}, where only {place} itself can")
    if beside or place in ("ingress", "clsact"):
        found.pop("handle", None)  # there is one that is always the same


def _handle(words: Words) -> str:
    given = words.take("a handle such as 1:")
    match = HANDLE.fullmatch(given)
    if not match or not int(match[1], 16):
        raise words.wrong("is not the handle of a qdisc; one such as 1: would be right")
    return f"{int(match[1], 16):x}:"


def _options(words: Words, kind: str) -> dict[str, t.Any]:
    found: dict[str, t.Any] = {}
    table = KINDS[kind]
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
        elif how is VALUE:
            found[option] = quantity(words, f"the value of {word}")
        else:
            found[option] = " ".join(quantity(words, f"the value of {word}") for _number in range(t.cast(int, how)))
    return found


def quantity(words: Words, what: str) -> str:
    """A number, with or without a unit."""
    value = words.take(what)
    if not re.fullmatch(r"[-+]?(0x[0-9a-fA-F]+|\d*\.?\d[\w.%/]*:?\w*)", value, re.ASCII):
        raise words.wrong(f"is not a quantity; {what}, such as 10, 30%, 100ms or 10mbit, would be right")
    return value


def words_of(command: Command) -> tuple[str, ...]:
    """The words for what ``parse`` returns."""
    params = command.params
    kind = next((name for name in KINDS if name in params), None)
    place = kind if kind in ("ingress", "clsact") else "root"
    found = ["qdisc", command.verb, "dev", params["device"], place]
    found += ["handle", params["handle"]] if "handle" in params else []
    if kind is None or kind == place:
        return tuple(found)
    found.append(kind)
    if kind == "netem":
        return (*found, *NETEM.words(params[kind]))
    for option, value in params[kind].items():
        for word, (name, how) in KINDS[kind].items():
            if name == option and (how is not FLAGS or CHOICES[kind, word] == value):
                found += [word] if how is FLAGS else [word, *str(value).split()]
                break
    return tuple(found)
