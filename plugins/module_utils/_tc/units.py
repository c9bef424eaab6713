# Copyright: pipework.containers contributors
# GNU General Public License v3.0+ (see LICENSE)
"""Quantities as tc writes them (``30%``, ``100ms``, ``10mbit``, ``32kb``), and the numbers that the kernel takes. Pure.

What the kernel rounds is rounded here too: a setting is compared in the spelling of the number that the kernel has.
"""
from __future__ import annotations

import dataclasses
import re
import typing as t

from .._core.errors import PipeworkError

U32 = (1 << 32) - 1
TICK = 64  # nanoseconds, the unit of token buckets
TIMES = {"ns": 1, "us": 10**3, "ms": 10**6, "s": 10**9}
TIME_WORDS = {
    "ns": ("ns", "nsec", "nsecs"), "us": ("us", "usec", "usecs"), "ms": ("ms", "msec", "msecs"),
    "s": ("s", "sec", "secs"),
}
RATES = {
    **{f"{prefix}bit": 1000**power for power, prefix in enumerate(("", "k", "m", "g", "t"))},
    **{f"{prefix}ibit": 1024**power for power, prefix in enumerate(("k", "m", "g", "t"), 1)},
    **{f"{prefix}bps": 8 * 1000**power for power, prefix in enumerate(("", "k", "m", "g", "t"))},
    **{f"{prefix}ibps": 8 * 1024**power for power, prefix in enumerate(("k", "m", "g", "t"), 1)},
}
SIZES = {
    "b": 1, "k": 1 << 10, "kb": 1 << 10, "m": 1 << 20, "mb": 1 << 20, "g": 1 << 30, "gb": 1 << 30,
    "kbit": 128, "mbit": 1 << 17, "gbit": 1 << 27,
}
NUMBER_MAX = 1e18
NUMBER = re.compile(r"\s*(\d+(?:\.\d+)?|\.\d+)\s*([a-z%]*)\s*", re.I)


@dataclasses.dataclass(frozen=True)
class Unit:
    """How one option is written: ``read`` makes the kernel's number of it, ``show`` the one spelling of a number."""

    read: t.Callable[[t.Any], t.Any]
    show: t.Callable[[t.Any], t.Any]
    example: str = ""
    kept: t.Callable[[t.Any], t.Any] = lambda number: number  # what the kernel makes of it


def _split(value: t.Any, example: str) -> tuple[float, str]:
    found = NUMBER.fullmatch(str(value)) if not isinstance(value, bool) else None
    if not found:
        raise PipeworkError(f"{value!r} is not understood; it is written as in {example}.")
    number = float(found.group(1))
    if number > NUMBER_MAX:
        raise PipeworkError(f"{str(value)[:40]!r} is out of range.")
    return number, found.group(2).lower()


def _plain(number: float, digits: int = 4) -> str:
    return f"{number:.{digits}f}".rstrip("0").rstrip(".")


# -- times

def read_time(value: t.Any) -> int:
    """Nanoseconds; without a unit, microseconds, as tc has it."""
    number, word = _split(value, "100ms, 1.5s or 20us")
    for unit, words in TIME_WORDS.items():
        if word in words or (not word and unit == "us"):
            return round(number * TIMES[unit])
    raise PipeworkError(f"{value!r} has no unit of time; it is written as in 100ms, 1.5s or 20us.")


def show_time(number: int) -> str:
    unit = next((unit for unit in ("s", "ms", "us") if number and number % (TIMES[unit] // 1000 or 1) == 0
                 and number >= TIMES[unit]), "ns")
    return "0" if not number else f"{_plain(number / TIMES[unit], 6)}{unit}"


def _microseconds(value: t.Any) -> int:
    return round(read_time(value) / 1000)


def _codel_kept(number: int) -> int:
    """codel keeps times in units of 1024 ns, and shows them rounded down once more."""
    return (number * 1000 >> 10) * 1024 // 1000


def _codel_shown(number: int) -> str:
    ticks = -(-number * 1000 // 1024)
    return show_time(-(-ticks * 1024 // 1000) * 1000)


TIME = Unit(read_time, show_time, "100ms")
MICROSECONDS = Unit(_microseconds, lambda number: show_time(number * 1000), "100ms")
CODEL_TIME = Unit(_microseconds, _codel_shown, "5ms", _codel_kept)
SECONDS = Unit(lambda value: round(read_time(f"{value}s" if str(value).isdigit() else value) / 10**9),
               lambda number: f"{number}s" if number else "0", "10s")


# -- rates and sizes

def read_rate(value: t.Any) -> int:
    """Bytes a second; without a unit, the number is bits a second, as tc has it."""
    number, word = _split(value, "10mbit, 512kbit or 2mbps (bytes)")
    if word and word not in RATES:
        raise PipeworkError(f"{value!r} has no unit of a rate; it is written as in 10mbit, 512kbit or 2mbps (bytes).")
    found = round(number * RATES[word or "bit"] / 8)
    if not found:
        raise PipeworkError(f"{value!r} is no rate: it has to be at least 8bit.")
    return found


def show_rate(number: int) -> str:
    bits = number * 8
    unit = next((unit for unit in ("gbit", "mbit", "kbit") if bits >= RATES[unit] and bits * 1000 % RATES[unit] == 0),
                "bit")
    return _plain(bits / RATES[unit], 3) + unit


def read_size(value: t.Any) -> int:
    """Bytes."""
    number, word = _split(value, "32kb, 1500b or 1mb")
    if word and word not in SIZES:
        raise PipeworkError(f"{value!r} has no unit of a size; it is written as in 32kb, 1500b or 1mb.")
    return _u32(round(number * SIZES[word or "b"]), value)


def show_size(number: int) -> str:
    unit = next((unit for unit in ("mb", "kb") if number and number % SIZES[unit] == 0), "b")
    return f"{number // SIZES[unit]}{unit}"


RATE = Unit(read_rate, show_rate, "10mbit")
RATE32 = Unit(lambda value: min(read_rate(value), U32), show_rate, "10mbit")
SIZE = Unit(read_size, show_size, "32kb")


def ticks_of(rate: int, size: int) -> int:
    """How long a token bucket takes to send so much, in ticks."""
    return min(U32, size * 10**9 // (rate * TICK))


def size_of(rate: int, ticks: int) -> int:
    """The size that takes so many ticks: a whole number of kb, if that is as far off as the kernel's rounding."""
    exact = ticks * TICK * rate / 10**9
    slack = TICK * rate / 10**9 + 1
    for unit in (SIZES["kb"], 100, 10):
        near = round(exact / unit) * unit
        if near and abs(near - exact) <= slack and ticks_of(rate, near) == ticks:
            return near
    size = int(exact)
    return size if ticks_of(rate, size) == ticks else size + 1


# -- the rest

def read_percent(value: t.Any) -> int:
    """Of all that 32 bits can hold."""
    number, word = _split(value, "30%")
    if word not in ("", "%"):
        raise PipeworkError(f"{value!r} is not a percentage; it is written as in 30%.")
    if number > 100:
        raise PipeworkError(f"{value!r} is more than all; a percentage is between 0% and 100%.")
    return int(number / 100 * U32 + 0.5)


def show_percent(number: int) -> str:
    return f"{_plain(number * 100 / U32)}%"


def _u32(number: int, value: t.Any) -> int:
    if not 0 <= number <= U32:
        raise PipeworkError(f"{value!r} is out of range; the most is {U32}.")
    return number


def read_number(value: t.Any) -> int:
    try:
        return _u32(int(str(value).strip().lower().removesuffix("p").removesuffix("b"), 0), value)
    except ValueError:
        raise PipeworkError(f"{value!r} is not a whole number.") from None


def read_signed(value: t.Any) -> int:
    try:
        number = int(str(value).strip(), 0)
    except ValueError:
        raise PipeworkError(f"{value!r} is not a whole number.") from None
    if not -(1 << 63) <= number < 1 << 64:
        raise PipeworkError(f"{str(value)[:40]!r} is out of range; it has 64 bits.")
    return number


def read_long(value: t.Any) -> int:
    number = read_signed(value)
    if not 0 <= number < 1 << 64:
        raise PipeworkError(f"{value!r} is out of range; it has 64 bits.")
    return number


def read_flag(value: t.Any) -> int:
    word = str(value).strip().lower()
    if word in ("true", "yes", "on", "1"):
        return 1
    if word in ("false", "no", "off", "0"):
        return 0
    raise PipeworkError(f"{value!r} is neither true nor false.")


def _minor(value: t.Any) -> int:
    """As tc has it, in hexadecimal: ``default 30`` is the class 1:30."""
    try:
        number = int(str(value).strip().rpartition(":")[2], 16)
    except ValueError:
        number = -1
    if not 0 <= number <= 0xFFFF:
        raise PipeworkError(f"{value!r} is not the minor number of a class, such as 30 or 1:30 (in hexadecimal).")
    return number


def choice(*words: str) -> Unit:
    """One word of several; the kernel has its place."""
    def read(value: t.Any) -> int:
        if str(value) not in words:
            raise PipeworkError(f"{value!r} is not one of {', '.join(words)}.")
        return words.index(str(value))

    return Unit(read, lambda number: words[number] if number < len(words) else str(number), words[0])


PERCENT = Unit(read_percent, show_percent, "30%")
NUMBER32 = Unit(read_number, lambda number: number, "10")
SIGNED = Unit(read_signed, lambda number: number, "10")
LONG = Unit(read_long, lambda number: number, "10")
FLAG = Unit(read_flag, bool, "true")
MINOR = Unit(_minor, lambda number: f"{number:x}", "30")


# -- handles

def read_handle(value: t.Any, option: str) -> int:
    """``1:`` or ``1:10``, in hexadecimal, as one number."""
    text = str(value).strip().lower()
    words = {"root": 0xFFFFFFFF, "ingress": 0xFFFFFFF1, "clsact": 0xFFFFFFF1}
    if text in words:
        return words[text]
    found = re.fullmatch(r"(?:0x)?([0-9a-f]{1,4}):(?:0x)?([0-9a-f]{0,4})", text)
    if not found:
        raise PipeworkError(f"{option}: {value!r} is not a handle, such as 1: or 1:10.")
    return int(found.group(1), 16) << 16 | int(found.group(2) or "0", 16)


def show_handle(number: int) -> str:
    if number == 0xFFFFFFFF:
        return "root"
    return f"{number >> 16:x}:" + (f"{number & 0xFFFF:x}" if number & 0xFFFF else "")
