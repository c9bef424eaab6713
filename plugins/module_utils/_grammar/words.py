# Copyright: pipework.containers contributors
# GNU General Public License v3.0+ (see LICENSE)
"""The words of one command line, read from left to right. Pure.

Quotes and backslashes mean what they mean to a shell, and nothing else does: a word is data, and none is ever run.
"""

from __future__ import annotations

import ipaddress
import re
import shlex
import typing as t

from .._core.errors import PipeworkError

SHELL = r"\$\(|[;&|<>()$`]"  # outside of quotes these would be a shell's
QUOTED = re.compile(r"\\.|'[^']*'|\"((?:\\.|[^\"\\])*)\"", re.DOTALL)


class UnknownWord(PipeworkError):
    """A word that the grammar does not know, though the program itself may."""


class Words:
    """A place in a line of words. Errors name the line, the word, and what was expected in its place."""

    def __init__(self, words: t.Iterable[str], option: str = "cmd") -> None:
        self.words = tuple(words)
        self.option = option
        self.place = 0

    @classmethod
    def read(cls, given: object, option: str = "cmd") -> Words:
        """A line, or a list of words that are taken as they are."""
        if isinstance(given, str):
            return cls(_split(given, option), option)
        if not isinstance(given, (list, tuple)):
            raise PipeworkError(f"{option}: {given!r} is not a line; a string, or a list of words, would be right.")
        for number, word in enumerate(given, 1):
            if isinstance(word, bool) or not isinstance(word, (str, int)):
                raise PipeworkError(f"{option}: word {number}, {word!r}, is not a string; put quotes around it.")
        return cls((str(word) for word in given), option)

    def __bool__(self) -> bool:
        return self.place < len(self.words)

    @property
    def line(self) -> str:
        return shlex.join(self.words)

    @property
    def peek(self) -> str | None:
        """The next word, which stays; None at the end."""
        return self.words[self.place] if self else None

    def take(self, expected: str) -> str:
        """The next word. ``expected`` says what it should be, for the error at the end of the line."""
        if not self:
            after = f" after {self.words[-1]!r}" if self.words else ""
            raise PipeworkError(f"{self.option}: {self.line!r} is not complete: {expected} should follow{after}.")
        self.place += 1
        return self.words[self.place - 1]

    def skip(self, *words: str) -> bool:
        """Goes past the next word if it is one of these."""
        found = self and self.words[self.place] in words
        self.place += bool(found)
        return bool(found)

    def rest(self) -> tuple[str, ...]:
        """All that is left."""
        found, self.place = self.words[self.place:], len(self.words)
        return found

    def wrong(self, message: str, back: int = 1) -> PipeworkError:
        """The error about the word that was taken last, or ``back`` words ago."""
        return PipeworkError(self._said(message, self.place - back))

    def unknown(self, expected: str) -> UnknownWord:
        """The error about the next word, which could not be understood."""
        if not self:
            self.take(expected)  # raises
        return UnknownWord(self._said(f"is not known here; expected {expected.rstrip(',')}", self.place))

    def _said(self, message: str, place: int) -> str:
        end = "" if message.endswith("?") else "."
        return f"{self.option}: {self.line!r}: word {place + 1}, {self.words[place]!r}, {message}{end}"

    # -- values

    def number(self, what: str, low: int = 0, high: int = 0xFFFFFFFF) -> int:
        """A number, also in hex."""
        text = self.take(f"{what}, a number,")
        if not re.fullmatch(r"0|[1-9][0-9]{0,19}|0[xX][0-9a-fA-F]{1,16}", text, re.ASCII):
            raise self.wrong(f"is not a number; {what} from {low} to {high} would be right")
        value = int(text, 0)
        if not low <= value <= high:
            raise self.wrong(f"is not possible; {what} from {low} to {high} would be right")
        return value

    def address(self, what: str) -> str:
        """An IP address in the kernel's spelling."""
        text = self.take(what)
        found = address_of(text)
        if found is None:
            raise self.wrong(f"is not an IP address; {what} would be right")
        return found

    def prefix(self, what: str) -> str:
        """``default``, ``0.0.0.0/0`` or ``::/0``, or a prefix with its length; ``10/8`` is 10.0.0.0/8."""
        text = self.take(what)
        if text in ("default", "any", "all"):
            return "default"
        found = prefix_of(text)
        if found is None:
            raise self.wrong(f"is not a network prefix; {what} would be right")
        return found

    def keyword(self, table: t.Mapping[str, str], expected: str, exact: t.Collection[str] = ()) -> str:
        """What the next word stands for in a table of words; a beginning will do, as it does for iproute2.

        Of several words that begin so, the first of the table is meant. ``exact``: words that cannot be shortened.
        """
        word = self.peek
        found = meaning(word, table, exact) if word else None
        if found is None:
            if word is None:
                self.take(expected)
            raise self.unknown(expected)
        self.place += 1
        return found


def meaning(word: str, table: t.Mapping[str, str], exact: t.Collection[str] = ()) -> str | None:
    """What a word or the beginning of one stands for."""
    if word in table:
        return table[word]
    return next((table[name] for name in table if word and name.startswith(word) and name not in exact), None)


def address_of(text: str) -> str | None:
    """An address in the kernel's spelling; iproute2 fills up a short IPv4 address with zeros on the right."""
    if re.fullmatch(r"[0-9]{1,3}(\.[0-9]{1,3}){0,2}\.?", text, re.ASCII):
        text = ".".join((text.rstrip(".").split(".") + ["0"] * 3)[:4])
    try:
        found = ipaddress.ip_address(text)
    except ValueError:
        return None
    return None if "%" in text else str(found)


def prefix_of(text: str) -> str | None:
    """A prefix with its length; a plain address is one of full length. Bits of the host stay for others to judge."""
    host, slash, mask = text.partition("/")
    address = address_of(host)
    if address is None:
        return None
    try:
        length = ipaddress.ip_interface(f"{address}/{mask}" if slash else address).network.prefixlen
    except ValueError:
        return None
    return f"{address}/{length}"


def family_of(text: str | None) -> int | None:
    """4 or 6, of an address or a prefix; None of ``default`` and of nothing."""
    if not text or text == "default":
        return None
    return 6 if ":" in text else 4


def lines_of(script: str) -> list[str]:
    """The lines of a script, without comments and blank ones, and without a semicolon at their end."""
    found, line, quote, at = [], "", "", 0
    while at < len(script):
        char = script[at]
        if char == "\\" and quote != "'":
            line += "" if script.startswith("\\\n", at) else script[at:at + 2]
            at += 1
        elif char == "#" and not quote and line[-1:] in ("", " ", "\t", ";"):
            end = script.find("\n", at)
            at = (end if end >= 0 else len(script)) - 1
        elif char == "\n" and not quote:
            found.append(line)
            line = ""
        else:
            line += char
            quote = char if not quote and char in "'\"" else "" if char == quote else quote
        at += 1
    return [each for each in (re.sub(r"(?<![\\;]);$", "", each.strip()).rstrip() for each in (*found, line)) if each]


def _split(line: str, option: str) -> list[str]:
    try:
        words = shlex.split(" ".join(lines_of(line)))
    except ValueError as error:
        reason = "a quote is not closed" if "quotation" in str(error) else "a backslash stands at the end"
        raise PipeworkError(f"{option}: {line!r}: {reason}.") from None
    found = re.search(SHELL, QUOTED.sub(_expanded, " ".join(lines_of(line))))
    if found:
        raise PipeworkError(
            f"{option}: {line!r}: {found[0]!r} is for a shell, and nothing here is run by one; "
            "write the value itself, in single quotes if such characters are part of it."
        )
    return words


def _expanded(quoted: re.Match[str]) -> str:
    """What a shell would still see of a quoted part."""
    return "".join(re.findall(r"(?<!\\)[$`]", quoted[1] or ""))
