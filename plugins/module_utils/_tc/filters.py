# Copyright: pipework.containers contributors
# GNU General Public License v3.0+ (see LICENSE)
"""Filters: kinds, and the object of a plan. A filter is known by where it stands and by what it matches. Pure."""
from __future__ import annotations

import dataclasses
import ipaddress
import struct
import typing as t

from .._core.errors import PipeworkError
from .._core.plan import KernelObject, Key
from . import flower
from .actions import MARK
from .spec import Layout, Settings, Tree, lacking
from .units import NUMBER32, show_handle

PROTOCOLS = {
    "all": 0x0003, "ip": 0x0800, "ipv6": 0x86DD, "arp": 0x0806, "802.1q": 0x8100, "802.1ad": 0x88A8, "lldp": 0x88CC,
}
IP_PROTOCOLS = {"icmp": 1, "tcp": 6, "udp": 17, "icmpv6": 58, "sctp": 132}
INGRESS, EGRESS = 0xFFFFFFF2, 0xFFFFFFF3  # parents of filters at ingress or clsact
SIDES = {INGRESS: "ingress", EGRESS: "egress"}
EVERYTHING = "match 00000000/00000000 at 0"


def read_protocol(value: t.Any) -> int:
    word = str(value).lower()
    if word in PROTOCOLS:
        return PROTOCOLS[word]
    try:
        number = int(word, 0)
    except ValueError:
        number = -1
    if not 0 < number <= 0xFFFF:
        raise PipeworkError(f"protocol: {value!r} is not one of {', '.join(PROTOCOLS)}, nor a number such as 0x0800.")
    return number


def show_protocol(number: int) -> str:
    return next((word for word, value in PROTOCOLS.items() if value == number), f"{number:#06x}")


@dataclasses.dataclass(frozen=True)
class TcFilter(KernelObject):
    """One filter. What it matches is part of its name; what it then does can be changed."""

    KIND = "tc_filter"
    IDENTITY = ("ns", "device", "parent", "protocol", "priority", "chain", "kind", "selector")
    HINTS = frozenset({"handle", "above", "raw", "path", "verb"})

    device: str
    parent: int = INGRESS
    protocol: int = 3
    priority: int = 0
    chain: int = 0
    kind: str = "u32"
    selector: str = EVERYTHING
    classid: int | None = None
    actions: tuple[Settings, ...] | None = None
    handle: int | None = None
    above: Key | None = None
    raw: bytes | None = None  # as the kernel shows it
    path: str | None = None  # of a pinned program
    verb: str = ""  # of the command line that asks for it

    def unsupported(self) -> str:
        return lacking(self.kind, "cls")

    @property
    def name(self) -> str:
        chain = f" chain {self.chain}" if self.chain else ""
        what = "all" if self.selector in (EVERYTHING, "") else self.selector
        return (
            f"{self.device} {show_side(self.parent)} prio {self.priority}{chain} {show_protocol(self.protocol)} "
            f"{self.kind} {what}"
        )

    @property
    def carrier(self) -> Key | None:
        return self.above

    @property
    def owner(self) -> str | None:
        """The mark of ours that it carries."""
        cookies = [str(action.get("cookie") or "") for action in self.actions or ()]
        return next((cookie for cookie in cookies if cookie.startswith(MARK)), None)

    def public(self) -> dict[str, t.Any]:
        found = super().public()
        if self.classid is not None:
            found["classid"] = show_handle(self.classid)
        found.pop("actions", None)
        if self.actions:
            found["actions"] = [dict(action) for action in self.actions]
        return found


def show_side(parent: int) -> str:
    return SIDES.get(parent) or show_handle(parent)


@dataclasses.dataclass(frozen=True)
class FilterKind:
    """``match`` reads a user's options into the one spelling of what is matched."""

    layout: Layout
    classid: str
    match: t.Callable[[Settings, int], str]
    encode: t.Callable[[str, int], Tree]  # what is matched, and the protocol
    decode: t.Callable[[Tree, int], str]
    options: tuple[str, ...] = ()


# -- u32: any bits at any place

def _key(value: int, mask: int, at: int) -> tuple[int, int, int]:
    """A field of less than 32 bits, in the word that it is in."""
    return value & mask, mask, at


def _field(words: list[str], size: int, at: int) -> tuple[int, int, int]:
    value = int(words[0], 0)
    mask = int(words[1], 0) if len(words) > 1 else (1 << size) - 1
    if not 0 <= value < 1 << size or not 0 <= mask < 1 << size:
        raise ValueError
    shift = 32 - size - 8 * (at % 4)
    return _key(value << shift, mask << shift, at - at % 4)


def _address(text: str, version: int, at: int) -> list[tuple[int, int, int]]:
    network = ipaddress.ip_network(text, strict=False)
    if network.version != version:
        raise ValueError
    count = 1 if version == 4 else 4
    values = struct.unpack(f"!{count}I", network.network_address.packed)
    masks = struct.unpack(f"!{count}I", network.netmask.packed)
    return [_key(value, mask, at + 4 * place) for place, (value, mask) in enumerate(zip(values, masks)) if mask]


FIELDS = {  # size and place
    "ip": {"tos": (8, 1), "dsfield": (8, 1), "protocol": (8, 9), "sport": (16, 20), "dport": (16, 22),
           "icmp_type": (8, 20), "icmp_code": (8, 21)},
    "ip6": {"protocol": (8, 6), "sport": (16, 40), "dport": (16, 42)},
}
ADDRESSES = {("ip", "src"): (4, 12), ("ip", "dst"): (4, 16), ("ip6", "src"): (6, 8), ("ip6", "dst"): (6, 24)}
SIZES = {"u32": 32, "u16": 16, "u8": 8}


def _read_match(text: str) -> list[tuple[int, int, int]]:
    words = str(text).split()
    try:
        if words[0] in SIZES:
            if words[3] != "at" or len(words) != 5:
                raise ValueError
            numbers = [str(int(word, 16)) for word in words[1:3]]
            return [_field(numbers, SIZES[words[0]], int(words[4], 0))]
        if tuple(words[:2]) in ADDRESSES:
            version, at = ADDRESSES[words[0], words[1]]
            if len(words) != 3:
                raise ValueError
            return _address(words[2], version, at)
        size, at = FIELDS[words[0]][words[1]]
        if words[1] == "protocol":
            words[2] = str(IP_PROTOCOLS.get(words[2], words[2]))
        if len(words) not in (3, 4):
            raise ValueError
        return [_field(words[2:], size, at)]
    except (IndexError, KeyError, ValueError):
        raise PipeworkError(
            f"match: {text!r} is not understood; it is written as in 'ip dst 10.0.0.0/8', 'ip dport 80 0xffff', "
            "'ip protocol 6 0xff', 'ip6 src 2001:db8::/32' or 'u32 0x0a000000 0xff000000 at 16'."
        ) from None


def _match_u32(given: Settings, _protocol: int) -> str:
    listed = given.get("match")
    texts = [listed] if isinstance(listed, str) else list(listed or ())
    keys = [key for text in texts for key in _read_match(text)] or [(0, 0, 0)]
    merged: dict[int, tuple[int, int]] = {}
    for value, mask, at in keys:  # as tc: fields of one word are one key
        old = merged.get(at, (0, 0))
        merged[at] = (old[0] | value, old[1] | mask)
    return _show_keys([(value, mask, at) for at, (value, mask) in merged.items()])


def _show_keys(keys: t.Iterable[tuple[int, int, int]]) -> str:
    return " ".join(f"match {value:08x}/{mask:08x} at {at}" for value, mask, at in keys)


def _encode_u32(selector: str, _protocol: int) -> Tree:
    words = selector.split()
    keys = [(*(int(part, 16) for part in words[place + 1].split("/")), int(words[place + 3]))
            for place in range(0, len(words), 4)]
    head = struct.pack("=BBBxHHhhI", 1, 0, len(keys), 0, 0, 0, 0, 0)
    return {"sel": head + b"".join(struct.pack("!II", mask, value) + struct.pack("=ii", at, 0)
                                   for value, mask, at in keys)}


def _decode_u32(tree: Tree, _handle: int) -> str:
    sel = t.cast(bytes, tree.get("sel") or b"")
    count = sel[2] if len(sel) >= 16 else 0
    keys = []
    for place in range(count):
        mask, value = struct.unpack_from("!II", sel, 16 + 16 * place)
        at, _offmask = struct.unpack_from("=ii", sel, 24 + 16 * place)
        keys.append((value, mask, at))
    return _show_keys(keys)


# -- fw: by the firewall's mark; the mark is the handle

def _match_fw(given: Settings, _protocol: int) -> str:
    if given.get("mark") is None:
        raise PipeworkError("mark: say which mark of the firewall, as in 10 or 10/0xff.")
    mark, _slash, mask = str(given["mark"]).partition("/")
    shown = f"mark {NUMBER32.read(mark)}"
    return f"{shown}/{NUMBER32.read(mask):#x}" if mask and NUMBER32.read(mask) != 0xFFFFFFFF else shown


def _encode_fw(selector: str, _protocol: int) -> Tree:
    _mark, _slash, mask = selector.partition("/")
    return {"mask": int(mask, 16)} if mask else {}


def _decode_fw(tree: Tree, handle: int) -> str:
    mask = tree.get("mask", 0xFFFFFFFF)
    return f"mark {handle}" + (f"/{mask:#x}" if mask != 0xFFFFFFFF else "")


# -- bpf: by a program that is pinned in the kernel's own file system. Only tc can put it into a message: _tc/program

PINNED = ":[*fsobj]"  # what tc adds to the name of the file


def _match_bpf(given: Settings, _protocol: int) -> str:
    path = str(given.get("path") or "")
    if not path.startswith("/") or path.endswith("/") or any(ord(c) <= 32 for c in path):
        raise PipeworkError(f"path: {path!r} is not the absolute path of a pinned program, such as /sys/fs/bpf/drop.")
    how = "" if given.get("direct_action") in (False, "false", "no") else " direct-action"
    return f"pinned {path.rpartition('/')[2]}{how}"


def _decode_bpf(tree: Tree, _handle: int) -> str:
    name = str(tree.get("name", ""))
    how = " direct-action" if tree.get("flags", 0) & 1 else ""
    return (f"pinned {name[:-len(PINNED)]}" if name.endswith(PINNED) else f"name {name}") + how


FILTERS: dict[str, FilterKind] = {
    "u32": FilterKind(
        Layout(attrs=((1, "classid", "uint32"), (2, "hash", "uint32"), (4, "divisor", "uint32"), (5, "sel", "cdata"),
                      (7, "actions", "actions"))),
        "classid", _match_u32, _encode_u32, _decode_u32, ("match",),
    ),
    "matchall": FilterKind(
        Layout(attrs=((1, "classid", "uint32"), (2, "actions", "actions"))), "classid", lambda given, protocol: "",
        lambda selector, protocol: {}, lambda tree, handle: "",
    ),
    "flower": FilterKind(
        flower.LAYOUT, "classid", flower.match, flower.encode, flower.decode, flower.OPTIONS,
    ),
    "bpf": FilterKind(
        Layout(attrs=(
            (1, "actions", "actions"), (3, "classid", "uint32"), (7, "name", "asciiz"), (8, "flags", "uint32"),
        )),
        "classid", _match_bpf, lambda selector, protocol: {}, _decode_bpf, ("path", "direct_action"),
    ),
    "fw": FilterKind(
        Layout(attrs=((1, "classid", "uint32"), (4, "actions", "actions"), (5, "mask", "uint32"))),
        "classid", _match_fw, _encode_fw, _decode_fw, ("mark",),
    ),
}


def handle_of(item: TcFilter) -> int:
    """The handle to make it with; 0 lets the kernel choose."""
    if item.kind == "fw":
        return int(item.selector.split()[1].split("/")[0])
    return 0
