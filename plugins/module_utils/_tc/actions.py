# Copyright: pipework.containers contributors
# GNU General Public License v3.0+ (see LICENSE)
"""What a filter does with what it matches: actions, in one spelling and in the wire's form. Pure."""
from __future__ import annotations

import dataclasses
import typing as t

from .._core.errors import PipeworkError
from .spec import Layout, Settings, Tree, ratespec, ratespec_fields
from .units import NUMBER32, RATE, SIZE, U32, size_of, ticks_of

CONTROLS = {
    "continue": -1, "pass": 0, "ok": 0, "reclassify": 1, "drop": 2, "shot": 2, "pipe": 3, "stolen": 4, "trap": 8,
}
SHOWN = {-1: "continue", 0: "pass", 1: "reclassify", 2: "drop", 3: "pipe", 4: "stolen", 8: "trap"}
MARK = "pipework"  # a cookie of ours begins so
GENERAL = (("index", "I"), ("capab", "I"), ("action", "i"), ("refcnt", "i"), ("bindcnt", "i"))
Resolve = t.Callable[[t.Any], t.Any]


def read_control(value: t.Any, what: str) -> int:
    if str(value) not in CONTROLS:
        raise PipeworkError(f"{what}: {value!r} is not one of {', '.join(sorted(set(SHOWN.values())))}.")
    return CONTROLS[str(value)]


def show_control(number: int) -> str:
    return SHOWN.get(number, str(number))


@dataclasses.dataclass(frozen=True)
class Action:
    """A kind of action. ``encode`` and ``decode`` are told how a device's name becomes its index, and back."""

    layout: Layout
    options: tuple[str, ...]
    encode: t.Callable[[Settings, Resolve], Tree]
    decode: t.Callable[[Tree, Resolve], Settings]


# -- mirred: to another device of the namespace

MIRRED = {1: "egress redirect", 2: "egress mirror", 3: "ingress redirect", 4: "ingress mirror"}


def _encode_mirred(given: Settings, index: Resolve) -> Tree:
    numbers = {words: number for number, words in MIRRED.items()}
    how = str(given.get("to", "egress redirect"))
    if how not in numbers:
        raise PipeworkError(f"mirred.to: {how!r} is not one of {', '.join(numbers)}.")
    if not given.get("device"):
        raise PipeworkError("mirred.device: say to which device.")
    usual = "pipe" if "mirror" in how else "stolen"
    return {"parms": {
        "action": read_control(given.get("control", usual), "mirred.control"), "eaction": numbers[how],
        "ifindex": index(given["device"]),
    }}


def _decode_mirred(tree: Tree, name: Resolve) -> Settings:
    parms = tree["parms"]
    return {
        "to": MIRRED.get(parms["eaction"], str(parms["eaction"])), "device": name(parms["ifindex"]) or "*",
        "control": show_control(parms["action"]),
    }


# -- police: no more than a rate

ANY_FRAME = 255 << 8  # the longest that is let through where nothing is said


def _encode_police(given: Settings, _index: Resolve) -> Tree:
    for name in ("rate", "burst"):
        if given.get(name) is None:
            raise PipeworkError(f"police.{name}: say how much, as in {'10mbit' if name == 'rate' else '32kb'}.")
    try:
        rate, burst = RATE.read(given["rate"]), SIZE.read(given["burst"])
        mtu = SIZE.read(given.get("mtu", 0))
    except PipeworkError as error:
        raise PipeworkError(f"police: {error}") from None
    parms = {
        "index": 0, "action": read_control(given.get("exceed", "reclassify"), "police.exceed"), "limit": 0,
        "burst": ticks_of(rate, burst), "mtu": mtu, **ratespec("r_", rate), **ratespec("p_", 0),
    }
    parms["r_cell_log"] = next(log for log in range(1, 32) if 255 << log >= (mtu or ANY_FRAME))
    tree: Tree = {"parms": parms, "rate": b"\0" * 1024}
    if rate > U32:
        tree["rate64"] = rate
    if given.get("conform") is not None:
        tree["result"] = read_control(given["conform"], "police.conform") & U32
    return tree


def _decode_police(tree: Tree, _name: Resolve) -> Settings:
    parms = tree["parms"]
    rate = tree.get("rate64") or parms["r_rate"]
    result = tree.get("result", 0)
    return {
        "rate": RATE.show(rate), "burst": SIZE.show(size_of(rate, parms["burst"])), "mtu": SIZE.show(
            parms["mtu"] if parms["mtu"] != ANY_FRAME else 0),
        "exceed": show_control(parms["action"]),
        "conform": show_control(result - (1 << 32) if result > 1 << 31 else result),
    }


# -- skbedit: marks for what comes later

SKBEDIT: tuple[str, ...] = ("priority", "queue_mapping", "mark")


def _encode_skbedit(given: Settings, _index: Resolve) -> Tree:
    try:
        numbers = {name: NUMBER32.read(given[name]) for name in SKBEDIT if name in given}
    except PipeworkError as error:
        raise PipeworkError(f"skbedit: {error}") from None
    return {"parms": {"action": read_control(given.get("control", "pipe"), "skbedit.control")}, **numbers}


def _decode_skbedit(tree: Tree, _name: Resolve) -> Settings:
    found = {name: tree[name] for name in SKBEDIT if name in tree}
    return {**found, "control": show_control(tree["parms"]["action"])}


ACTIONS: dict[str, Action] = {
    "gact": Action(
        Layout(attrs=((2, "parms", GENERAL),)), ("control",),
        lambda given, _index: {"parms": {"action": read_control(given.get("control", "pass"), "gact.control")}},
        lambda tree, _name: {"control": show_control(tree["parms"]["action"])},
    ),
    "mirred": Action(
        Layout(attrs=((2, "parms", (*GENERAL, ("eaction", "i"), ("ifindex", "I"))),)), ("to", "device", "control"),
        _encode_mirred, _decode_mirred,
    ),
    "police": Action(
        Layout(attrs=(
            (1, "parms", (("index", "I"), ("action", "i"), ("limit", "I"), ("burst", "I"), ("mtu", "I"),
                          *ratespec_fields("r_"), *ratespec_fields("p_"), ("refcnt", "i"), ("bindcnt", "i"),
                          ("capab", "I"))),
            (2, "rate", "cdata"), (5, "result", "uint32"), (8, "rate64", "uint64"),
        )), ("rate", "burst", "mtu", "exceed", "conform"), _encode_police, _decode_police,
    ),
    "skbedit": Action(
        Layout(attrs=(
            (2, "parms", GENERAL), (3, "priority", "uint32"), (4, "queue_mapping", "uint16"), (5, "mark", "uint32"),
        )), ("priority", "queue_mapping", "mark", "control"), _encode_skbedit, _decode_skbedit,
    ),
}


def read_actions(given: t.Any, what: str) -> tuple[Settings, ...]:
    """A user's list of actions, each with ``kind`` and its options."""
    found = []
    for number, item in enumerate(given or ()):
        where = f"{what}.actions[{number}]"
        if not isinstance(item, dict) or item.get("kind") not in ACTIONS:
            kind = item.get("kind") if isinstance(item, dict) else item
            raise PipeworkError(f"{where}: {kind!r} is not an action that is known here; {', '.join(ACTIONS)} are.")
        spec = ACTIONS[item["kind"]]
        options = {name: value for name, value in item.items() if value is not None and name != "kind"}
        for name in options:
            if name not in spec.options and name != "cookie":
                listed = ", ".join(spec.options)
                raise PipeworkError(f"{where}.{name}: {item['kind']} has no such option; it has {listed}.")
        try:
            spec.encode(options, lambda name: 1)
        except PipeworkError as error:
            raise PipeworkError(f"{where}.{error}") from None
        found.append({"kind": item["kind"], **options})
    return tuple(found)


def canonical_actions(given: t.Sequence[Settings]) -> tuple[Settings, ...]:
    """As they are read back."""
    return tuple(_canonical(item) for item in given)


def _canonical(item: Settings) -> Settings:
    spec = ACTIONS[item["kind"]]
    names: list[t.Any] = [None]  # a device's index stands for its name

    def index(name: t.Any) -> int:
        names.append(name)
        return len(names) - 1

    shown = spec.decode(_filled(spec.layout, spec.encode(item, index)), names.__getitem__)
    return {"kind": item["kind"], **shown, **({"cookie": item["cookie"]} if "cookie" in item else {})}


def _filled(layout: Layout, tree: Tree) -> Tree:
    """With the zeros that fields have which are not said."""
    forms = {name: form for _number, name, form in layout.attrs}
    return {
        name: {**dict.fromkeys((field for field, _form in forms[name]), 0), **value}
        if isinstance(forms[name], tuple) else value for name, value in tree.items()
    }
