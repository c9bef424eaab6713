# Copyright: pipework.containers contributors
# GNU General Public License v3.0+ (see LICENSE)
"""hfsc: classes with guaranteed delay. The qdisc and its classes."""
from __future__ import annotations

import typing as t

from ..._core.errors import PipeworkError
from ..spec import Kind, Layout, Settings, Tree
from ..units import MICROSECONDS, MINOR, RATE, Unit

KIND = Kind(
    Layout(head=(("default", "H"),)), {"default": MINOR},
    lambda given: {"default": MINOR.read(given["default"])}, lambda tree: {"default": MINOR.show(tree["default"])},
    defaults={"default": "0"}, kernel="CONFIG_NET_SCH_HFSC", classful=True,
)


def _read_curve(value: t.Any) -> Tree:
    """``10mbit``, ``rate 10mbit`` or ``m1 20mbit d 10ms m2 10mbit``."""
    words = str(value).split()
    if len(words) == 1:
        words = ["m2", *words]
    if len(words) % 2:
        raise PipeworkError(f"{value!r} is not understood; it is written as in 10mbit, or m1 20mbit d 10ms m2 10mbit.")
    found = {"m1": 0, "d": 0, "m2": 0}
    for name, word in zip(words[::2], words[1::2]):
        name = {"rate": "m2", "ls": "m2"}.get(name, name)
        if name not in found:
            raise PipeworkError(f"{value!r}: {name!r} is none of m1, d, m2 and rate.")
        found[name] = MICROSECONDS.read(word) if name == "d" else RATE.read(word)
    return found


def _show_curve(found: Tree) -> str:
    if found["d"]:
        first = RATE.show(found["m1"]) if found["m1"] else "0bit"
        return f"m1 {first} d {MICROSECONDS.show(found['d'])} m2 {RATE.show(found['m2'])}"
    return RATE.show(found["m2"])


CURVE = Unit(_read_curve, _show_curve, "10mbit")
CURVES = ("rt", "ls", "ul")
FIELDS = (("m1", "I"), ("d", "I"), ("m2", "I"))


def _check(given: Settings) -> None:
    if not {"rt", "ls", "sc"} & set(given):
        raise PipeworkError("sc: a class needs 'rt', 'ls' or 'sc', as in sc: 10mbit.")
    if "sc" in given and {"rt", "ls"} & set(given):
        raise PipeworkError("sc: it stands for both 'rt' and 'ls'; leave those out.")
    if "ul" in given and "rt" in given and "ls" not in given:
        raise PipeworkError("ul: an upper limit needs 'ls' or 'sc'.")


def encode(given: Settings) -> Tree:
    both = {"rt": given["sc"], "ls": given["sc"]} if "sc" in given else {}
    return {name: CURVE.read({**both, **given}[name]) for name in CURVES if name in {**both, **given}}


def decode(tree: Tree) -> Settings:
    return {name: CURVE.show(tree[name]) for name in CURVES if tree.get(name)}


class HfscClass(Kind):
    """A curve that is not given is not there."""

    def canonical(self, given: Settings) -> Settings:
        return decode(encode(given))


CLASS = HfscClass(
    Layout(attrs=((1, "rt", FIELDS), (2, "ls", FIELDS), (3, "ul", FIELDS))),
    {"sc": CURVE, **dict.fromkeys(CURVES, CURVE)}, encode, decode, check=_check, fixed=frozenset(CURVES),
)
