# Copyright: pipework.containers contributors
# GNU General Public License v3.0+ (see LICENSE)
"""Inputs that are nearly right: valid messages, texts and documents with a few things changed in them.

What is wrong everywhere is thrown away by the first check; what is right but for one length reaches the code behind it.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any

from hypothesis import strategies as st

EDITS = 4  # at most, in one input
MANY = 5000  # more digits than Python makes a number of, and deeper than it reads JSON
BYTES = (0, 1, 2, 4, 5, 6, 7, 8, 15, 16, 0x20, 0x3F, 0x40, 0x7F, 0x80, 0xC0, 0xFE, 0xFF)
NUMBERS = (0, 1, -1, 2, 0x7F, 0x80, 0xFF, 0x7FFF, 0x8000, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF, 1 << 63, 1 << 64)
TOKENS = (
    "",
    " ",
    "\n",
    "\r\n",
    "\t",
    "\0",
    "\x1b[2J",
    "\x7f",
    "\u2028",
    "\u202e",
    "\ud800",
    "\udcff",
    "ü",
    "²",
    "٣",
    "٣/٣",
    "'",
    '"',
    "\\",
    "\\\n",
    "`",
    "$(x)",
    "$X",
    ";",
    "&&",
    "#",
    "%",
    "%s",
    "{0}",
    "@",
    "@@",
    ":",
    "::",
    "/",
    "//",
    "|",
    "||",
    ",",
    ".",
    "..",
    "../..",
    "=",
    "-",
    "--",
    "+",
    "*",
    "~",
    "[",
    "]",
    "{",
    "}",
    "0",
    "-1",
    "00",
    "0x",
    "0x1",
    "1e9",
    "1e999",
    "-1e999",
    "nan",
    "inf",
    "Infinity",
    "NaN",
    "null",
    "true",
    "4294967296",
    "18446744073709551616",
    "9" * 30,
    "9" * MANY,
    "-" + "9" * MANY,
    "0x" + "f" * MANY,
    "[" * MANY,
    '{"a":' * MANY,
    "(" * MANY,
    "a" * MANY,
    "0.0.0.0",
    "255.255.255.255",
    "::",
    "::1",
    "fe80::1%eth0",
    "::ffff:1.2.3.4",
    "1.2.3.4/99",
    "1.2.3.4/-1",
    "default",
)


def _nested(depth: int) -> Any:
    found: Any = []
    for _level in range(depth):
        found = [found]
    return found


ODD: tuple[Any, ...] = (
    None,
    True,
    False,
    [],
    {},
    [[]],
    [{}],
    {"": None},
    [None],
    1.5,
    1e308,
    float("inf"),
    float("nan"),
    10**30,
    -(10**30),
    _nested(60),
    {"a": {"a": {"a": []}}},
    [1, "a"],
    ["set", []],
    ["map", []],
    ["map", [["a"]]],
    ["set", [["uuid"]]],
)
SMALL = st.integers(0, 64)


@st.composite
def blobs(draw: st.DrawFn, seeds: Sequence[bytes]) -> bytes:
    """Messages with some octets, lengths and parts changed."""
    data = bytearray(draw(st.sampled_from(seeds)))
    for _edit in range(draw(st.integers(0, EDITS))):
        at = draw(st.integers(0, max(0, len(data) - 1)))
        how = draw(st.sampled_from(("octet", "number", "cut", "from", "insert", "twice", "drop", "long")))
        if how == "octet" and data:
            data[at] = draw(st.sampled_from(BYTES))
        elif how == "number":
            size = draw(st.sampled_from((2, 4, 8)))
            number = draw(st.sampled_from(NUMBERS)) & ((1 << size * 8) - 1)
            data[at : at + size] = number.to_bytes(size, draw(st.sampled_from(("big", "little"))))
        elif how == "cut":
            del data[at:]
        elif how == "from":
            del data[:at]
        elif how == "insert":
            data[at:at] = draw(st.binary(max_size=24))
        elif how == "twice":
            data[at:at] = data[at : at + draw(SMALL)] * draw(st.integers(1, 8))
        elif how == "drop":
            del data[at : at + draw(SMALL)]
        else:
            data[at:at] = bytes((draw(st.sampled_from(BYTES)),)) * draw(st.sampled_from((255, 256, 1500, 4400, 65536)))
    return bytes(data[: 1 << 17])


@st.composite
def texts(draw: st.DrawFn, seeds: Sequence[str]) -> str:
    """Lines with some characters, words and parts changed."""
    text = draw(st.sampled_from(seeds))
    for _edit in range(draw(st.integers(0, EDITS))):
        at = draw(st.integers(0, len(text)))
        end = draw(st.integers(at, min(len(text), at + 64)))
        how = draw(st.sampled_from(("token", "token", "word", "cut", "from", "twice", "drop", "swap", "any")))
        if how == "token":
            text = text[:at] + draw(st.sampled_from(TOKENS)) + text[end if draw(st.booleans()) else at :]
        elif how == "word":
            words = text.split(" ")
            words[draw(st.integers(0, len(words) - 1))] = draw(st.sampled_from(TOKENS))
            text = " ".join(words)
        elif how == "cut":
            text = text[:at]
        elif how == "from":
            text = text[at:]
        elif how == "twice":
            text = text[:end] + text[at:end] * draw(st.integers(1, 8)) + text[end:]
        elif how == "drop":
            text = text[:at] + text[end:]
        elif how == "swap":
            text = text[end:] + text[at:end] + text[:at]
        else:
            text = text[:at] + draw(st.text(max_size=8)) + text[at:]
    return text


def _places(value: Any, found: list[tuple[Any, Any]]) -> list[tuple[Any, Any]]:
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, each in inner:
        found.append((value, key))
        _places(each, found)
    return found


@st.composite
def documents(draw: st.DrawFn, seeds: Sequence[Any]) -> Any:
    """Structures with some values, keys and items changed."""
    whole: Any = {"": json.loads(json.dumps(draw(st.sampled_from(seeds))))}
    for _edit in range(draw(st.integers(0, EDITS))):
        holder, key = draw(st.sampled_from(_places(whole, [])))
        how = draw(st.sampled_from(("odd", "odd", "text", "number", "drop", "twice", "wrap", "more", "move")))
        if how == "odd":
            holder[key] = json.loads(json.dumps(draw(st.sampled_from(ODD))))
        elif how == "text":
            old = holder[key] if isinstance(holder[key], str) else "1"
            holder[key] = draw(texts((old,)))
        elif how == "number":
            holder[key] = draw(st.sampled_from(NUMBERS))
        elif how == "drop" and key != "":
            del holder[key]
        elif how == "twice" and isinstance(holder, list):
            holder.insert(key, json.loads(json.dumps(holder[key])))
        elif how == "wrap":
            holder[key] = (
                [holder[key]] if draw(st.booleans()) else {draw(st.sampled_from(("a", "0", "set"))): holder[key]}
            )
        elif how == "more" and isinstance(holder[key], dict):
            holder[key][draw(st.sampled_from(TOKENS))] = json.loads(json.dumps(draw(st.sampled_from(ODD))))
        elif how == "move":
            other, place = draw(st.sampled_from(_places(whole, [])))
            other[place] = json.loads(json.dumps(holder[key])) if key in _keys(holder) else None
    return whole.get("")


def _keys(holder: Any) -> Any:
    return holder if isinstance(holder, dict) else range(len(holder))


def json_texts(seeds: Sequence[Any]) -> st.SearchStrategy[str]:
    """The same as text, of which some is no JSON any more."""
    dump: Callable[[Any], str] = json.dumps
    return documents(seeds).map(dump) | texts([json.dumps(seed) for seed in seeds])
