# Copyright: pipework.containers contributors
# GNU General Public License v3.0+ (see LICENSE)
"""htb: a tree of classes that lend each other what they do not use. The qdisc and its classes."""
from __future__ import annotations

from ..._core.errors import PipeworkError
from ..spec import Kind, Layout, Settings, Tree, ratespec, ratespec_fields
from ..units import MINOR, NUMBER32, RATE, SIZE, U32, size_of, ticks_of

VERSION = 3
OPTIONS = {"default": MINOR, "r2q": NUMBER32, "direct_qlen": NUMBER32}
LAYOUT = Layout(attrs=(
    (2, "init", (("version", "I"), ("r2q", "I"), ("default", "I"), ("debug", "I"), ("direct_packets", "I"))),
    (5, "direct_qlen", "uint32"),
))
MTU = 1600  # from which tc makes the burst


def encode(given: Settings) -> Tree:
    tree: Tree = {"init": {
        "version": VERSION, "r2q": NUMBER32.read(given.get("r2q", 10)), "default": MINOR.read(given.get("default", 0)),
        "debug": 0, "direct_packets": 0,
    }}
    if "direct_qlen" in given:
        tree["direct_qlen"] = NUMBER32.read(given["direct_qlen"])
    return tree


def decode(tree: Tree) -> Settings:
    init = tree["init"]
    found: Settings = {"default": MINOR.show(init["default"]), "r2q": init["r2q"]}
    if tree.get("direct_qlen") is not None:
        found["direct_qlen"] = tree["direct_qlen"]
    return found


KIND = Kind(
    LAYOUT, OPTIONS, encode, decode, fixed=frozenset(OPTIONS), defaults={"default": "0", "r2q": 10},
    kernel="CONFIG_NET_SCH_HTB", classful=True,
)

CLASS_OPTIONS = {
    "rate": RATE, "ceil": RATE, "burst": SIZE, "cburst": SIZE, "quantum": SIZE, "prio": NUMBER32, "mpu": NUMBER32,
    "overhead": NUMBER32,
}
CLASS_LAYOUT = Layout(attrs=(
    (1, "parms", (*ratespec_fields("r_"), *ratespec_fields("c_"), ("buffer", "I"), ("cbuffer", "I"), ("quantum", "I"),
                  ("level", "I"), ("prio", "I"))),
    (6, "rate64", "uint64"), (7, "ceil64", "uint64"),
))


def _check(given: Settings) -> None:
    if "rate" not in given:
        raise PipeworkError("rate: say how much, as in 10mbit.")
    if NUMBER32.read(given.get("prio", 0)) > 7:
        raise PipeworkError(f"prio: {given['prio']!r} is not possible; there are 0 to 7.")


def encode_class(given: Settings) -> Tree:
    rate = RATE.read(given["rate"])
    ceil = RATE.read(given["ceil"]) if "ceil" in given else rate
    burst, cburst = (SIZE.read(given[name]) if name in given else MTU for name in ("burst", "cburst"))
    overhead, mpu = (NUMBER32.read(given.get(name, 0)) for name in ("overhead", "mpu"))
    tree: Tree = {"parms": {
        **ratespec("r_", rate, overhead, mpu), **ratespec("c_", ceil, overhead, mpu), "buffer": ticks_of(rate, burst),
        "cbuffer": ticks_of(ceil, cburst), "quantum": SIZE.read(given["quantum"]) if "quantum" in given else 0,
        "level": 0, "prio": NUMBER32.read(given.get("prio", 0)),
    }}
    tree.update({name: value for name, value in (("rate64", rate), ("ceil64", ceil)) if value > U32})
    return tree


def decode_class(tree: Tree) -> Settings:
    parms = tree["parms"]
    rate, ceil = tree.get("rate64") or parms["r_rate"], tree.get("ceil64") or parms["c_rate"]
    return {
        "rate": RATE.show(rate), "ceil": RATE.show(ceil), "burst": SIZE.show(size_of(rate, parms["buffer"])),
        "cburst": SIZE.show(size_of(ceil, parms["cbuffer"])), "quantum": SIZE.show(parms["quantum"]),
        "prio": parms["prio"], "overhead": parms["r_overhead"], "mpu": parms["r_mpu"],
    }


class HtbClass(Kind):
    """All is managed but the quantum, which the kernel makes of the rate where none is given."""

    def canonical(self, given: Settings) -> Settings:
        found = decode_class(encode_class(given))
        return found if "quantum" in given else {name: found[name] for name in found if name != "quantum"}


CLASS = HtbClass(CLASS_LAYOUT, CLASS_OPTIONS, encode_class, decode_class, check=_check)
