# Copyright: pipework.containers contributors
# GNU General Public License v3.0+ (see LICENSE)
"""What stands after ``tc filter``, as an item of pipework_tc's ``filters``. Pure.

    filter add|replace|change|del dev NAME ingress|egress|parent M:[N] [protocol P] [prio N] [chain N]
           [handle MARK[/MASK]] u32|flower|matchall|fw|bpf WHAT... [classid M:N] [action ...]...
"""

from __future__ import annotations

import re
import typing as t

from .command import device
from .words import Words

KINDS = ("u32", "flower", "matchall", "fw", "bpf")
PLACE = re.compile(r"(?:0x)?([0-9a-f]{0,4}):([0-9a-f]{0,4})", re.ASCII | re.IGNORECASE)
NUMBER = re.compile(r"0x[0-9a-f]+|\d+", re.ASCII | re.IGNORECASE)
CONTROLS = ("continue", "pass", "ok", "reclassify", "drop", "shot", "pipe", "stolen", "trap")
SPELLED = {"ok": "pass", "shot": "drop"}
HEADER = {"protocol": "protocol", "prio": "priority", "pref": "priority", "preference": "priority", "chain": "chain"}
CLASS = ("classid", "flowid")
FLOWER = {
    **{word: word for word in ("dst_mac", "src_mac", "ip_proto", "dst_ip", "src_ip", "dst_port", "src_port")},
    "vlan_id": "vlan_id", "vlan_prio": "vlan_prio",
}
FIELDS = {  # of u32, with their number of values; one more may be a mask
    "ip": ("tos", "dsfield", "protocol", "sport", "dport", "icmp_type", "icmp_code"),
    "ip6": ("protocol", "sport", "dport"),
}
SIZES = ("u32", "u16", "u8")
POLICE = {"rate": "rate", "burst": "burst", "buffer": "burst", "maxburst": "burst", "mtu": "mtu", "minburst": "mtu"}
EDITS = ("priority", "queue_mapping", "mark")
Item = dict[str, t.Any]


def parse(words: Words) -> Item:
    """The item, after ``filter`` and its verb, with ``device`` in it. Raises PipeworkError, UnknownWord."""
    found: Item = {}
    mark: str | None = None
    while words and words.peek not in KINDS:
        if words.skip("dev") and "device" not in found:
            found["device"] = device(words, "the interface")
        elif words.peek in ("ingress", "egress", "parent") and "parent" not in found:
            found["parent"] = words.take("")
            if found["parent"] == "parent":
                above = _place(words, "the qdisc or class above, such as 1:,")
                found["parent"] = "ingress" if above == "ffff:" else above
        elif words.peek in HEADER and HEADER[words.peek] not in found:
            word = words.take("")
            found[HEADER[word]] = words.take(f"the value of {word}")
        elif words.peek == "handle" and mark is None:
            words.take("")
            mark = words.take("the handle")
        else:
            raise words.unknown(f"dev, ingress, egress, parent, {', '.join(HEADER)}, or a kind: {', '.join(KINDS)}")
    for name, what in (("device", "dev and the interface"), ("parent", "parent and a handle, ingress or egress")):
        if name not in found:
            words.take(what)
            raise words.wrong(f"stands where {what} should")
    if not words:
        words.take(f"a kind, one of {', '.join(KINDS)}, and what it matches")
    found["kind"] = words.take("")
    found.setdefault("protocol", "all")
    if found["kind"] == "fw" and mark is not None:
        found["mark"] = mark
    elif mark is not None:  # only tc knows its tables
        words.place -= 1
        raise words.unknown("fw after a handle; filters of other kinds get theirs from the kernel")
    _rest(words, found)
    return found


def _rest(words: Words, found: Item) -> None:
    """What is matched, and what then is done."""
    kind = found["kind"]
    actions: list[Item] = []
    while words:
        if words.peek in CLASS and "classid" not in found:
            words.take("")
            found["classid"] = _place(words, "the class, such as 1:10,")
        elif words.peek == "action":
            words.take("")
            actions.append(_action(words))
        elif words.peek == "police":
            actions.append(_action(words))
        elif kind == "u32" and words.skip("match"):
            found.setdefault("match", []).append(_match(words))
        elif kind == "flower" and words.peek in FLOWER and FLOWER[words.peek] not in found:
            word = words.take("")
            found[FLOWER[word]] = words.take(f"the value of {word}")
        elif kind == "bpf" and words.skip("da", "direct-action"):
            found["direct_action"] = True
        elif kind == "bpf" and words.skip("object-pinned", "pinned", "fd"):
            found["path"] = words.take("the path of a pinned program")
        else:
            own = {"u32": ("match",), "flower": tuple(FLOWER), "bpf": ("direct-action", "object-pinned")}.get(kind, ())
            raise words.unknown(", ".join((*own, *CLASS, "action")))
    if kind == "bpf":
        found.setdefault("direct_action", False)
    if actions:
        found["actions"] = actions


def _match(words: Words) -> str:
    what = words.take("what is matched, such as ip dst 10.0.0.0/8,")
    found = [what]
    if what in SIZES:
        found += [words.take(f"{name} of {what}") for name in ("the value", "the mask", "'at'", "the place")]
        return " ".join(found)
    if what not in FIELDS:
        words.place -= 1
        raise words.unknown(f"{', '.join((*FIELDS, *SIZES))}, after match")
    field = words.take(f"a field of {what}, such as dst,")
    found += [field, words.take(f"the value of {what} {field}")]
    if field not in ("src", "dst"):
        if field not in FIELDS[what]:
            words.place -= 2
            raise words.unknown(f"src, dst, {', '.join(FIELDS[what])}, which are fields of {what}")
        if words.peek and NUMBER.fullmatch(words.peek):
            found.append(words.take(""))
    return " ".join(found)


def _action(words: Words) -> Item:
    word = words.take("an action, such as drop, mirred or police,")
    if word == "gact":
        word = words.take(f"one of {', '.join(CONTROLS)}")
    if word in CONTROLS:
        return {"kind": "gact", "control": SPELLED.get(word, word)}
    if word == "mirred":
        way = [words.take("egress or ingress"), words.take("redirect or mirror")]
        if way[0] not in ("egress", "ingress") or way[1] not in ("redirect", "mirror"):
            raise words.wrong("is not possible; egress redirect, egress mirror, and the same of ingress would be right")
        if not words.skip("dev"):
            words.take("dev and the interface")
            raise words.wrong("stands where 'dev' and the interface should")
        return {"kind": "mirred", "to": " ".join(way), "device": device(words, "the interface"), **_control(words)}
    if word == "police":
        return _police(words)
    if word == "skbedit":
        found: Item = {"kind": "skbedit"}
        while words.peek in EDITS and words.peek not in found:
            name = words.take("")
            found[name] = words.number(f"the value of {name}")
        return {**found, **_control(words)}
    words.place -= 1
    raise words.unknown(f"an action, one of {', '.join(('gact', 'mirred', 'police', 'skbedit', *CONTROLS))}")


def _police(words: Words) -> Item:
    found: Item = {"kind": "police"}
    while words.peek in POLICE and POLICE[words.peek] not in found:
        word = words.take("")
        found[POLICE[word]] = words.take(f"the value of {word}")
    if words.skip("conform-exceed"):
        exceed, slash, conform = words.take("what is done above the rate, such as drop,").partition("/")
        for name, value in (("exceed", exceed), ("conform", conform)):
            if value not in CONTROLS and (name == "exceed" or slash):
                raise words.wrong(f"is not possible; one of {', '.join(CONTROLS)} would be right")
            if value:
                found[name] = SPELLED.get(value, value)
    elif words.peek in CONTROLS:
        word = words.take("")
        found["exceed"] = SPELLED.get(word, word)
    return found


def _control(words: Words) -> Item:
    if words.peek not in CONTROLS:
        return {}
    word = words.take("")
    return {"control": SPELLED.get(word, word)}


def _place(words: Words, what: str) -> str:
    match = PLACE.fullmatch(words.take(what))
    if not match or not match[1] and not match[2]:
        raise words.wrong(f"is not a handle; {what.rstrip(',')} would be right")
    return f"{int(match[1] or '0', 16):x}:" + (f"{int(match[2], 16):x}" if int(match[2] or "0", 16) else "")


def words_of(item: t.Mapping[str, t.Any]) -> list[str]:
    """The words for an item that ``parse`` returned, after the device."""
    side = item["parent"]
    found = [side] if side in ("ingress", "egress") else ["parent", side]
    for word, option in (("protocol", "protocol"), ("prio", "priority"), ("chain", "chain")):
        found += [word, str(item[option])] if option in item else []
    found += ["handle", item["mark"]] if "mark" in item else []
    found.append(item["kind"])
    for text in item.get("match", ()):
        found += ["match", *text.split()]
    for word in FLOWER:
        found += [word, str(item[word])] if word in item else []
    found += ["object-pinned", item["path"]] if "path" in item else []
    found += ["direct-action"] if item.get("direct_action") else []
    found += ["classid", item["classid"]] if "classid" in item else []
    for action in item.get("actions", ()):
        found += ["action", *_action_words(action)]
    return found


def _action_words(action: t.Mapping[str, t.Any]) -> list[str]:
    kind = action["kind"]
    control = [action["control"]] if "control" in action else []
    if kind == "gact":
        return ["gact", *control]
    if kind == "mirred":
        return ["mirred", *action["to"].split(), "dev", action["device"], *control]
    options = [word for name, value in action.items() if name not in ("kind", "control", "exceed", "conform")
               for word in (name, str(value))]
    if kind == "skbedit":
        return ["skbedit", *options, *control]
    limits = "/".join(action[name] for name in ("exceed", "conform") if name in action)
    return ["police", *options, *(["conform-exceed", limits] if limits else [])]
