# Copyright: pipework.containers contributors
# GNU General Public License v3.0+ (see LICENSE)
"""What the grammars of iproute2's commands have in common. Pure."""

from __future__ import annotations

import dataclasses
import re
import typing as t

from .._core import normalize as norm
from .._core.errors import PipeworkError
from .words import Words, meaning

Read = t.Callable[[Words, str], t.Any]


@dataclasses.dataclass(frozen=True)
class Command:
    """What a command asks for.

    verb: add (must not be there with other values), append, prepend, replace, change (must be there), del, flush.
    family: 4 or 6; 4 where no word tells, as iproute2 has it. params: options of the module that does it.
    """

    verb: str
    family: int
    params: dict[str, t.Any]

    @property
    def state(self) -> str:
        return "absent" if self.verb in ("del", "flush") else "present"


@dataclasses.dataclass(frozen=True)
class Field:
    """A word that is followed by a value, and the option that takes the value."""

    option: str
    read: Read
    what: str


def fields(
    words: Words, table: t.Mapping[str, str], known: t.Mapping[str, Field], found: dict[str, t.Any],
    exact: t.Collection[str] = (),
) -> bool:
    """Takes one word and its value, if the next word is in the table. Each option can be given once."""
    word = meaning(words.peek or "", table, exact)
    if word is None:
        return False
    field = known[word]
    words.take("")
    if field.option in found:
        raise words.wrong(f"is given twice; {field.what} can be given once")
    found[field.option] = field.read(words, field.what)
    return True


def leading(words: Words, *names: str) -> int | None:
    """Goes past ``ip -6 route`` where somebody wrote all of it; returns the family, if that is said."""
    family = None
    words.skip("sudo")
    if words.skip("ip"):
        while words.peek in ("-4", "-6"):
            family = int(words.take("")[1])
        if not words.skip(*names):
            words.take(names[0])
            raise words.wrong(f"is not '{names[0]}', which is what this is about")
    elif words.peek in ("-4", "-6"):
        family = int(words.take("")[1])
    return family


def one_family(words: Words, found: int | None, other: int | None) -> int | None:
    """The family that two parts of a command agree on."""
    if found is not None and other is not None and found != other:
        raise PipeworkError(f"{words.option}: {words.line!r} mixes IPv4 and IPv6; all of it has to be of one family.")
    return found if found is not None else other


# -- readers of values


def text(words: Words, what: str) -> str:
    value = words.take(what)
    if not value or re.search(r"[\s\x00-\x1f\x7f]", value):
        raise words.wrong(f"is not a word; {what} would be right")
    return value


def number(words: Words, what: str) -> int:
    return words.number(what)


def byte(words: Words, what: str) -> int:
    return words.number(what, 0, 255)


def address(words: Words, what: str) -> str:
    return words.address(what)


def prefix(words: Words, what: str) -> str:
    return words.prefix(what)


def device(words: Words, what: str) -> str:
    value = words.take(what)
    return value if value == "lo" else norm.interface_name(value, f"{words.option}: {words.line!r}: device")


def one_of(*choices: str) -> Read:
    def read(words: Words, what: str) -> str:
        value = words.take(what)
        if value not in choices:
            raise words.wrong(f"is not possible; {what}, one of {', '.join(choices)}, would be right")
        return value

    return read


def matching(pattern: str) -> Read:
    def read(words: Words, what: str) -> str:
        value = words.take(what)
        if not re.fullmatch(pattern, value, re.ASCII):
            raise words.wrong(f"is not possible; {what} would be right")
        return value

    return read


def switch(words: Words, what: str) -> bool:
    return words.number(what, 0, 1) == 1
