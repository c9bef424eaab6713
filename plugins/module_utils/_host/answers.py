# Copyright: pipework.containers contributors
# GNU General Public License v3.0+ (see LICENSE)
"""Answers from outside: each has a time and a size, and is what it claims to be.

``within`` gives all that a thread asks one deadline together; ``call`` leaves behind what does not come back, and
``read`` and ``parse`` take no more than there may be. Programs are the same in program.py.
"""
from __future__ import annotations

import contextlib
import json
import threading
import time
import typing as t

from .._core.errors import PipeworkError

LIMIT = 32 << 20  # bytes of one answer
PIECE = 1 << 16
WORDS_SHOWN = 300  # characters of somebody else's words in a message
NUMBER_DIGITS = 20
# A value takes eight bytes of JSON at least, on average: many small ones would take far more memory than their text.
VALUES, VALUE_BYTES = 1 << 18, 8

T = t.TypeVar("T")
_thread = threading.local()


class Late(PipeworkError):
    """There was no answer in time."""


class TooLong(ValueError):
    """An answer longer than any that is right."""


@contextlib.contextmanager
def within(seconds: float) -> t.Iterator[None]:
    """All that this thread asks meanwhile has this time, together. An earlier end of somebody around it stays."""
    outer = getattr(_thread, "end", None)
    end = time.monotonic() + seconds
    _thread.end = end if outer is None else min(outer, end)
    try:
        yield
    finally:
        _thread.end = outer


def left(seconds: float) -> float:
    """How much of a time is left to this thread; not more than nothing where its deadline has passed."""
    end = getattr(_thread, "end", None)
    return seconds if end is None else min(seconds, end - time.monotonic())


def call(seconds: float, function: t.Callable[..., T], *args: t.Any, **kwargs: t.Any) -> T:
    """Calls what may not come back, in a thread that is then left behind. Raises Late."""
    seconds = left(seconds)
    outcome: list[tuple[t.Any, BaseException | None]] = []

    def work() -> None:
        try:
            outcome.append((function(*args, **kwargs), None))
        except BaseException as error:  # pylint: disable=broad-except  # it is raised where it is waited for
            outcome.append((None, error))

    worker = threading.Thread(target=work, daemon=True)
    if seconds > 0:
        worker.start()
        worker.join(seconds)
    if not outcome:
        raise Late(f"there was no whole answer within {max(seconds, 0):.3g} s" if seconds > 0 else "the time is over")
    value, error = outcome[0]
    if error is not None:
        raise error
    return t.cast(T, value)


def read(response: t.Any, limit: int | None = None) -> bytes:
    """The body of an answer of http.client. Raises TooLong."""
    limit = LIMIT if limit is None else limit
    if (response.headers.get("Content-Encoding") or "identity").strip().lower() != "identity":
        raise ValueError("an answer is compressed, which nobody asked for")
    found = bytearray()
    while True:
        piece = response.read1(PIECE)
        if not piece:
            return bytes(found)
        found += piece
        if len(found) > limit:
            raise TooLong(f"an answer is longer than {limit} bytes")


def check_values(text: str | bytes) -> None:
    """Raises TooLong for JSON that would take far more memory than its text does."""
    many = (text.count(b",") + text.count(b"[") + text.count(b"{") if isinstance(text, bytes)
            else text.count(",") + text.count("[") + text.count("{"))
    if many > VALUES + len(text) // VALUE_BYTES:
        raise TooLong(f"JSON of {many} values in {len(text)} bytes")


def parse(text: str | bytes, strict: bool = True) -> t.Any:
    """JSON from outside. ValueError for whatever is wrong with it."""
    if isinstance(text, bytes):
        text = text.decode("utf-8", "surrogateescape")
    check_values(text)
    try:
        return json.loads(text, strict=strict, parse_int=_number, parse_constant=_refuse)
    except RecursionError:
        raise ValueError("JSON that is nested too deeply") from None


def listed(value: t.Any) -> list[t.Any]:
    """What has to be a list. An empty answer of another shape does not mean that there is nothing."""
    if not isinstance(value, list):
        raise TypeError(f"{type(value).__name__} instead of a list")
    return value


def _number(digits: str) -> int:
    if len(digits) > NUMBER_DIGITS:
        raise ValueError(f"a number of {len(digits)} digits")
    return int(digits)


def _refuse(word: str) -> t.Any:
    raise ValueError(f"{word} is no number")


def odd(error: BaseException) -> str:
    """In few words, what is odd about an answer."""
    words = str(error) if isinstance(error, ValueError) else f"{type(error).__name__}: {error}"
    return shortened_words(words.rstrip("."))


def shortened_words(words: str) -> str:
    """Somebody else's words, as far as a message takes them."""
    return words if len(words) <= WORDS_SHOWN else words[:WORDS_SHOWN] + "…"


class Sized:
    """What a session of the library requests has to have before it: answers of a limited size, not compressed, and
    from where they were asked for."""

    def send(self, request: t.Any, **options: t.Any) -> t.Any:
        request.headers["Accept-Encoding"] = "identity"
        response = super().send(  # type: ignore[misc]
            request, **{**options, "stream": True, "allow_redirects": False}
        )
        response.encoding = "utf-8"  # else it is guessed, which takes long
        if not options.get("stream") or response.status_code >= 400:
            raw = response.raw
            response._content = read(raw._fp)  # pylint: disable=protected-access  # as requests itself does
            response._content_consumed = True  # pylint: disable=protected-access
            raw.release_conn()
        return response

    def _result(self, response: t.Any, json: bool = False, binary: bool = False) -> t.Any:
        """Docker's SDK: what an answer says."""
        self._raise_for_status(response)  # type: ignore[attr-defined]
        if not json:
            return response.content if binary else response.text
        value = parse(response.content)
        if value is None:  # which the caller takes for something that is not there
            raise TypeError("an answer is null")
        return value

    def _stream_helper(self, response: t.Any, decode: bool = False) -> t.Iterator[bytes]:
        """Docker's SDK: an answer without an end, in pieces as they come."""
        while True:
            piece = response.raw._fp.read1(PIECE)  # pylint: disable=protected-access
            if not piece:
                return
            yield piece
