# Copyright: pipework.containers contributors
# GNU General Public License v3.0+ (see LICENSE)
"""netem: delay, loss and other ills of a long way. The kernel keeps what a change does not name: all is always sent."""
from __future__ import annotations

import typing as t

from ..._core.errors import PipeworkError
from ..spec import Kind, Layout, Settings, Tree
from ..units import FLAG, LONG, NUMBER32, PERCENT, RATE, SIGNED, SIZE, TIME, U32, Unit

DISTRIBUTIONS = ("uniform", "normal", "pareto", "paretonormal", "experimental")
LAYOUT = Layout(
    head=(("latency", "I"), ("limit", "I"), ("loss", "I"), ("gap", "I"), ("duplicate", "I"), ("jitter", "I")),
    attrs=(
        (1, "corr", (("delay", "I"), ("loss", "I"), ("duplicate", "I"))),
        (2, "distribution", "cdata"),
        (3, "reorder", (("probability", "I"), ("correlation", "I"))),
        (4, "corrupt", (("probability", "I"), ("correlation", "I"))),
        (5, "model", Layout(attrs=(
            (1, "state", (("p13", "I"), ("p31", "I"), ("p32", "I"), ("p14", "I"), ("p23", "I"))),
            (2, "gemodel", (("p", "I"), ("r", "I"), ("h", "I"), ("k1", "I"))),
        ))),
        (6, "rate", (("rate", "I"), ("packet_overhead", "i"), ("cell_size", "I"), ("cell_overhead", "i"))),
        (7, "ecn", "uint32"), (8, "rate64", "uint64"), (10, "latency64", "int64"), (11, "jitter64", "int64"),
        (12, "slot", (("min_delay", "q"), ("max_delay", "q"), ("max_packets", "i"), ("max_bytes", "i"),
                      ("dist_delay", "q"), ("dist_jitter", "q"))),
        (14, "seed", "uint64"),
    ),
)
MODELS = {"state": ("p13", "p31", "p32", "p23", "p14"), "gemodel": ("p", "r", "h", "k1")}
TICKS_MAX = U32 * 64


def _chances(value: t.Any) -> list[int]:
    """A percentage, and how much it depends on the one before."""
    words = str(value).split()
    if not 1 <= len(words) <= 2:
        raise PipeworkError(f"{value!r} is not understood; it is written as in 30%, or 30% 25% with a correlation.")
    return [PERCENT.read(word) for word in (*words, "0%")[:2]]


def _show_chances(found: t.Sequence[int]) -> str:
    return " ".join(PERCENT.show(number) for place, number in enumerate(found) if number or not place)


def _loss(value: t.Any) -> tuple[str, list[int]]:
    words = str(value).replace("%", "% ").split()
    if not words or words[0] not in ("random", *MODELS):
        return "random", _chances(value)
    if words[0] == "random":
        return "random", _chances(" ".join(words[1:]))
    numbers = [PERCENT.read(word) for word in words[1:]]
    names = MODELS[words[0]]
    if not 1 <= len(numbers) <= len(names):
        raise PipeworkError(f"{value!r}: {words[0]} is followed by one to {len(names)} percentages.")
    if words[0] == "gemodel":
        # As tc: r is 100% - p if missing; it takes 1-h and 1-k, the kernel h and 1-k.
        p, r, h, k1 = (numbers + [U32 - numbers[0], U32, 0][len(numbers) - 1:])
        return "gemodel", [p, r, U32 - h, k1]
    filled = numbers + [U32 - numbers[0], 0, U32, 0][len(numbers) - 1:]
    return "state", filled


def _show_loss(model: str, numbers: t.Sequence[int]) -> str:
    if model == "random":
        return _show_chances(numbers)
    if model == "gemodel":
        numbers = [numbers[0], numbers[1], U32 - numbers[2], numbers[3]]
    return f"{model} {' '.join(PERCENT.show(number) for number in numbers)}"


CHANCES = Unit(_chances, _show_chances, "30%")
LOSS = Unit(_loss, lambda found: _show_loss(*found), "30%")


def _slot(value: t.Any) -> Tree:
    """``MIN [MAX] [packets N] [bytes N]``."""
    words = str(value).split()
    found = {"min_delay": 0, "max_delay": 0, "max_packets": 0, "max_bytes": 0, "dist_delay": 0, "dist_jitter": 0}
    times: list[int] = []
    while words:
        word = words.pop(0)
        if word in ("packets", "bytes") and words:
            found[f"max_{word}"] = (NUMBER32 if word == "packets" else SIZE).read(words.pop(0))
        elif len(times) < 2 and not found["max_packets"] and not found["max_bytes"]:
            times.append(TIME.read(word))
        else:
            raise PipeworkError(f"{value!r} is not understood; it is written as in '10ms 20ms packets 100 bytes 64kb'.")
    found["min_delay"], found["max_delay"] = (times or [0])[0], (times or [0])[-1]
    return found


def _show_slot(found: Tree) -> str:
    parts = [TIME.show(found["min_delay"])]
    if found["max_delay"] != found["min_delay"]:
        parts.append(TIME.show(found["max_delay"]))
    for word, none in (("packets", 0x7FFFFFFF), ("bytes", 0x7FFFFFFF)):
        if found[f"max_{word}"] not in (0, none):
            parts += [word, str(found[f"max_{word}"])]
    return " ".join(parts)


def _distribution(value: t.Any) -> str:
    if str(value) not in DISTRIBUTIONS:
        raise PipeworkError(f"{value!r} is not one of {', '.join(DISTRIBUTIONS)}.")
    return str(value)


OPTIONS = {
    "loss": LOSS, "delay": TIME, "jitter": TIME, "correlation": PERCENT,
    "distribution": Unit(_distribution, lambda word: word, "normal"),
    "duplicate": CHANCES, "corrupt": CHANCES, "reorder": CHANCES, "gap": NUMBER32, "rate": RATE,
    "packet_overhead": SIGNED, "cell_size": NUMBER32, "cell_overhead": SIGNED, "limit": NUMBER32,
    "slot": Unit(_slot, _show_slot, "10ms"), "seed": LONG, "ecn": FLAG,
}
DEFAULTS: Settings = {
    "loss": "0%", "delay": "0", "jitter": "0", "correlation": "0%", "duplicate": "0%", "corrupt": "0%",
    "reorder": "0%", "gap": 0, "packet_overhead": 0, "cell_size": 0, "cell_overhead": 0, "limit": 1000, "ecn": False,
    "rate": "0bit", "slot": "0", "distribution": "uniform",
}


def _check(given: Settings) -> None:
    value = {name: OPTIONS[name].read(given[name]) for name in given if name != "rate"}
    if value["jitter"] and not value["delay"]:
        raise PipeworkError(f"jitter: {given['jitter']!r} varies a delay, and there is none; add 'delay'.")
    if value["correlation"] and not value["jitter"]:
        raise PipeworkError(
            f"correlation: {given['correlation']!r} is that of the jitter, and there is none; add 'jitter'. That of "
            "a loss stands behind it: loss: 30% 25%."
        )
    if value["distribution"] != "uniform" and not value["jitter"]:
        raise PipeworkError(f"distribution: {given['distribution']!r} is that of the jitter, and there is none.")
    if value["reorder"][0] and not value["delay"]:
        raise PipeworkError(f"reorder: {given['reorder']!r} needs a delay that the others have; add 'delay'.")
    if value["gap"] and not value["reorder"][0]:
        raise PipeworkError(f"gap: {given['gap']!r} is that between reordered packets; add 'reorder'.")
    if any(given[name] != DEFAULTS[name] for name in ("packet_overhead", "cell_size", "cell_overhead")) and \
            given["rate"] == DEFAULTS["rate"]:
        raise PipeworkError("rate: the overhead and the cells are those of a rate; add 'rate'.")


def encode(given: Settings) -> Tree:
    settings = {**DEFAULTS, **given}
    value = {name: OPTIONS[name].read(settings[name]) for name in settings if name != "rate"}
    rate = 0 if settings["rate"] == DEFAULTS["rate"] else RATE.read(settings["rate"])
    model, loss = value["loss"]
    random = loss if model == "random" else [0, 0]
    tree: Tree = {
        "latency": min(value["delay"], TICKS_MAX) // 64, "jitter": min(value["jitter"], TICKS_MAX) // 64,
        "limit": value["limit"], "loss": random[0], "duplicate": value["duplicate"][0],
        "gap": value["gap"] or (1 if value["reorder"][0] else 0),
        "corr": {"delay": value["correlation"], "loss": random[1], "duplicate": value["duplicate"][1]},
        "reorder": dict(zip(("probability", "correlation"), value["reorder"])),
        "corrupt": dict(zip(("probability", "correlation"), value["corrupt"])),
        "rate": {"rate": min(rate, U32), **{name: value[name] for name in
                                            ("packet_overhead", "cell_size", "cell_overhead")}},
        "ecn": value["ecn"], "latency64": value["delay"], "jitter64": value["jitter"], "slot": value["slot"],
    }
    if rate > U32:
        tree["rate64"] = rate
    if model != "random":
        tree["model"] = {model: dict(zip(MODELS[model], loss))}
    if "seed" in value:
        tree["seed"] = value["seed"]
    return tree


def decode(tree: Tree) -> Settings:
    corr, rate = tree.get("corr") or {}, tree.get("rate") or {}
    model: Tree = tree.get("model") or {}
    name = next(iter(model), "random")
    loss = [model[name][part] for part in MODELS[name]] if model else [tree["loss"], corr.get("loss", 0)]
    found: Settings = {
        "loss": _show_loss(name, loss), "limit": tree["limit"], "ecn": bool(tree.get("ecn")),
        "delay": TIME.show(tree["latency64"] if tree.get("latency64") is not None else tree["latency"] * 64),
        "jitter": TIME.show(tree["jitter64"] if tree.get("jitter64") is not None else tree["jitter"] * 64),
        "correlation": PERCENT.show(corr.get("delay", 0)),
        "duplicate": _show_chances([tree["duplicate"], corr.get("duplicate", 0)]),
        "gap": 0 if tree["gap"] == 1 else tree["gap"],
        "rate": RATE.show(tree.get("rate64") or rate.get("rate", 0)),
        **{part: rate.get(part, 0) for part in ("packet_overhead", "cell_size", "cell_overhead")},
        "slot": _show_slot(tree["slot"]) if tree.get("slot") else "0",
    }
    for part in ("reorder", "corrupt"):
        each = tree.get(part) or {}
        found[part] = _show_chances([each.get("probability", 0), each.get("correlation", 0)])
    if tree.get("seed") is not None:
        found["seed"] = tree["seed"]
    return found


KIND = Kind(
    LAYOUT, OPTIONS, encode, decode, defaults=DEFAULTS, unseen=frozenset({"distribution"}), check=_check,
    kernel="CONFIG_NET_SCH_NETEM", classful=True,
)
