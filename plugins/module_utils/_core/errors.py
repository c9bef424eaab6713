# Copyright: pipework.containers contributors
# GNU General Public License v3.0+ (see LICENSE)
"""The errors that reach a user: one clear message each."""
from __future__ import annotations

import contextlib
import typing as t

# What reading ends with where the shape is not the expected one.
ODD = (ArithmeticError, AttributeError, LookupError, MemoryError, RecursionError, TypeError, ValueError)
SHOWN_MAX = 200  # characters of what is wrong with it


def printable(text: str) -> str:
    """Text for a terminal: whatever is no character to be seen, such as ESC or a change of direction, is written out.

    Names, aliases and programs' last words are others' choice. Twice is the same as once.
    """
    if text.isprintable():
        return text
    return "".join(each if each.isprintable() else each.encode("unicode_escape").decode("ascii") for each in text)


class PipeworkError(Exception):
    """What went wrong, in one sentence that names the option, the value and what would be right.

    ``undone`` tells whether anything had been changed when it happened: ``None`` when nothing was touched,
    else a sentence about what was taken back and what could not be.
    """

    def __init__(self, message: str, undone: str | None = None) -> None:
        message, undone = printable(message), None if undone is None else printable(undone)
        super().__init__(message if undone is None else f"{message} {undone}")
        self.message = message
        self.results: dict[str, object] = {}  # what a failed task returns besides
        self.undone = undone


def not_understood(error: Exception) -> str:
    """What was wrong, for the end of a sentence."""
    return ascii(f"{type(error).__name__}: {error}"[:SHOWN_MAX])[1:-1]


@contextlib.contextmanager
def understood(what: str) -> t.Iterator[None]:
    """For reading what others have written: whatever is wrong with it is one clear error.

    ``what``: the beginning of its sentence, such as ``What nft lists``.
    """
    try:
        yield
    except ODD as error:
        raise PipeworkError(f"{what} is not understood ({not_understood(error)}).") from None
