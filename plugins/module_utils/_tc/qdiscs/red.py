# Copyright: pipework.containers contributors
# GNU General Public License v3.0+ (see LICENSE)
"""red: drops at random, the more the longer the queue is."""
from __future__ import annotations

import math
import struct

from ..._core.errors import PipeworkError
from ..spec import Kind, Layout, Settings, Tree
from ..units import FLAG, NUMBER32, PERCENT, RATE, SIZE, Unit, ticks_of

FLAGS = {"ecn": 1, "harddrop": 2, "adaptive": 4, "nodrop": 8}


def _read_chance(value: object) -> int:
    text = str(value)
    return PERCENT.read(text if "%" in text else f"{float(text) * 100:f}")


OPTIONS = {
    "limit": SIZE, "min": SIZE, "max": SIZE, "avpkt": SIZE, "burst": NUMBER32, "bandwidth": RATE,
    "probability": Unit(_read_chance, PERCENT.show, "2%"), **dict.fromkeys(FLAGS, FLAG),
    "ewma": NUMBER32,
}
LAYOUT = Layout(attrs=(
    (1, "parms", (("limit", "I"), ("min", "I"), ("max", "I"), ("wlog", "B"), ("plog", "B"), ("scell", "B"),
                  ("flags", "B"))),
    (2, "stab", "cdata"), (3, "max_p", "uint32"),
))
DEFAULTS: Settings = {"probability": "2%", **dict.fromkeys(FLAGS, False)}


def _check(given: Settings) -> None:
    for name in ("limit", "avpkt"):
        if name not in given:
            raise PipeworkError(f"{name}: say how much, as in {OPTIONS[name].example}.")
    if given.get("nodrop") and not given.get("ecn"):
        raise PipeworkError("nodrop: it needs 'ecn'.")
    filled = _filled(given)
    if filled["min"] >= filled["max"]:
        raise PipeworkError(f"min: {filled['min']} is not less than max, {filled['max']}.")
    try:
        _ewma(filled)
    except (ValueError, OverflowError):
        raise PipeworkError("burst: no average can be made of these min, burst and avpkt.") from None


def _filled(given: Settings) -> dict[str, int]:
    """As tc does: what is not given follows from what is."""
    value = {name: OPTIONS[name].read(given[name]) for name in given if name not in FLAGS}
    value.setdefault("avpkt", 1000)
    value.setdefault("bandwidth", 10_000_000 // 8)
    value.setdefault("max", (value["min"] * 3 if "min" in value else value["limit"] // 4))
    value.setdefault("min", value["max"] // 3)
    value.setdefault("burst", (2 * value["min"] + value["max"]) // (3 * value["avpkt"]))
    return value


def _ewma(value: dict[str, int]) -> int:
    if value.get("ewma"):
        return value["ewma"]
    a, weight = value["burst"] + 1 - value["min"] / value["avpkt"], 0.5
    if a < 1:
        raise ValueError
    for log in range(2, 32):
        weight /= 2
        if a <= (1 - (1 - weight) ** value["burst"]) / weight:
            return log
    raise ValueError


def encode(given: Settings) -> Tree:
    value = _filled(given)
    wlog = _ewma(value)
    damping = -math.log(1 - 1 / (1 << wlog)) / ticks_of(value["bandwidth"], value["avpkt"]) * 1.0
    cell = next(log for log in range(32) if 31 / damping / (1 << log) < 512)
    stab = [min(31, int((place << cell) * damping)) for place in range(255)] + [31]
    share, plog = value["probability"] / 0xFFFFFFFF / (value["max"] - value["min"]), 0
    while plog < 32 and share <= 1:
        share *= 2
        plog += 1
    return {
        "parms": {
            "limit": value["limit"], "min": value["min"], "max": value["max"], "wlog": wlog, "plog": plog & 31,
            "scell": cell, "flags": sum(bit for name, bit in FLAGS.items() if FLAG.read(given.get(name, False))),
        },
        "stab": struct.pack("256B", *stab), "max_p": value["probability"],
    }


def decode(tree: Tree) -> Settings:
    parms = tree["parms"]
    return {
        "limit": SIZE.show(parms["limit"]), "min": SIZE.show(parms["min"]), "max": SIZE.show(parms["max"]),
        "ewma": parms["wlog"], "probability": PERCENT.show(tree.get("max_p") or 0),
        **{name: bool(parms["flags"] & bit) for name, bit in FLAGS.items()},
    }


class Red(Kind):
    """Burst and average packet come back as the weight of the average that they make."""

    def canonical(self, given: Settings) -> Settings:
        return decode(encode(given))


KIND = Red(
    LAYOUT, OPTIONS, encode, decode, defaults=DEFAULTS, check=_check, kernel="CONFIG_NET_SCH_RED", classful=True,
    unseen=frozenset({"avpkt", "burst", "bandwidth"}),
)
