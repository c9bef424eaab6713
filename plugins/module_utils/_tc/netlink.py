# Copyright: pipework.containers contributors
# GNU General Public License v3.0+ (see LICENSE)
"""Messages about qdiscs, classes and filters, made and read with pyroute2's message classes.

Its own classes of options lack many attributes and most kinds: they are built here from the layouts of ``_tc/qdiscs/``.
"""
from __future__ import annotations

import dataclasses
import functools
import os
import socket
import struct
import typing as t

from .._core.errors import PipeworkError
from .._netlink.rtnl import ACK, CREATE, DUMP, EXCL, MISSING, REQUEST
from .._netlink.wire import attributes
from .actions import ACTIONS
from .filters import FILTERS, INGRESS, TcFilter, handle_of
from .model import DISTRIBUTIONS, OURS, Qdisc, Queued, TcClass, ours
from .qdiscs import CLASSES, QDISCS
from .spec import Layout, Tree

if MISSING is None:
    from pyroute2.netlink import nla, nlmsg
    from pyroute2.netlink.rtnl.tcmsg import tcmsg

RTM_NEWQDISC, RTM_DELQDISC, RTM_GETQDISC = 36, 37, 38
RTM_NEWTFILTER, RTM_DELTFILTER, RTM_GETTFILTER = 44, 45, 46
RTM_NEWTCLASS, RTM_DELTCLASS, RTM_GETTCLASS = 40, 41, 42
TCA_KIND, TCA_OPTIONS, TCA_CHAIN = 1, 2, 11
HEADER = 36  # of netlink and of tc together
FOLDERS = ("/usr/lib/tc", "/lib/tc", "/usr/lib64/tc", "/usr/share/tc")


@functools.cache
def nla_class(form: t.Any) -> t.Any:
    """A pyroute2 class for one form of a layout; the name of a type that it has already stays a name."""
    if form == "actions":
        return _actions_class()
    if isinstance(form, str):
        return form
    if isinstance(form, tuple):
        return type("fields", (nla,), {"fields": form, "nla_map": ()})
    members: dict[str, t.Any] = {"fields": form.head, "prefix": ""}
    names = []
    for number, name, inner in form.attrs:
        built = nla_class(inner)
        word = built if isinstance(built, str) else f"form_{name}"
        if word is not built:
            members[word] = built
        names.append((number, name, word))
    return type("options", (nla,), {**members, "nla_map": tuple(names)})


def _actions_class() -> t.Any:
    """A list of actions, whose options are of their kind."""
    def options(self: t.Any, *_argv: t.Any, **_more: t.Any) -> t.Any:
        kind = next((slot[1] for slot in self["attrs"] if slot[0] == "kind"), None)
        return nla_class(ACTIONS[kind].layout) if kind in ACTIONS else self.cdata

    attrs = ((1, "kind", "asciiz"), (2, "options", "get_options"), (6, "cookie", "cdata"))
    action = type("action", (nla,), {"nla_map": attrs, "prefix": "", "get_options": staticmethod(options)})
    numbers = tuple((number, f"act{number}", "action") for number in range(1, 33))
    return type("actions", (nla,), {"nla_map": numbers, "prefix": "", "action": action})


def _encode_actions(actions: t.Sequence[t.Any]) -> t.Any:
    attrs = []
    for number, (kind, tree, cookie) in enumerate(actions, 1):
        inner = [("kind", kind), ("options", _value(ACTIONS[kind].layout, tree))]
        inner += [("cookie", cookie)] if cookie else []
        attrs.append((f"act{number}", {"attrs": inner}))
    return {"attrs": attrs}


def _decode_actions(value: t.Any) -> list[tuple[str, t.Any, bytes]]:
    found = []
    for slot in value["attrs"]:
        attrs = {inner[0]: inner[1] for inner in slot[1]["attrs"]}
        kind = attrs.get("kind", "")
        tree = _tree(ACTIONS[kind].layout, attrs["options"]) if kind in ACTIONS else {}
        found.append((kind, tree, attrs.get("cookie") or b""))
    return found


def _value(form: t.Any, value: t.Any) -> t.Any:
    """A value of a layout as pyroute2 takes it."""
    if form == "actions":
        return _encode_actions(value)
    if not isinstance(form, Layout):
        return value
    found: dict[str, t.Any] = {name: value.get(name, 0) for name, _form in form.head}
    found["attrs"] = [(name, _value(inner, value[name])) for _number, name, inner in form.attrs if name in value]
    return found


def _tree(form: t.Any, value: t.Any) -> t.Any:
    """The other way."""
    if form == "actions":
        return _decode_actions(value)
    if isinstance(form, tuple):
        return {name: value[name] for name, _form in form}
    if not isinstance(form, Layout):
        return value
    found: Tree = {name: value[name] for name, _form in form.head}
    got = {slot[0]: slot[1] for slot in value["attrs"]} if form.attrs else {}
    found.update({name: _tree(inner, got[name]) for _number, name, inner in form.attrs if name in got})
    return found


@functools.cache
def _message_class(layout: Layout | None) -> t.Any:
    options = nla_class(layout) if layout is not None else "cdata"
    members = {"fields": tcmsg.fields, "prefix": "TCA_", "header": nlmsg.header}
    if not isinstance(options, str):
        members["options"] = options
        options = "options"
    attrs = (
        (TCA_KIND, "TCA_KIND", "asciiz"), (TCA_OPTIONS, "TCA_OPTIONS", options), (TCA_CHAIN, "TCA_CHAIN", "uint32"),
    )
    return type("tc_message", (nlmsg,), {**members, "nla_map": attrs})


def _message(
    kind: int, how: int, index: int, parent: int, handle: int, name: str | None = None, layout: Layout | None = None,
    options: t.Any = None, info: int = 0, chain: int = 0,
) -> bytes:
    message = _message_class(layout)()
    message["header"]["type"] = kind
    message["header"]["flags"] = REQUEST | how
    for field, value in (("index", index), ("parent", parent), ("handle", handle), ("info", info)):
        message[field] = value
    attrs: list[tuple[str, t.Any]] = [("TCA_KIND", name)] if name else []
    if options is not None:
        attrs.append(("TCA_OPTIONS", options if layout is None else _value(layout, options)))
    if chain:
        attrs.append(("TCA_CHAIN", chain))
    message["attrs"] = attrs
    message.encode()
    return bytes(message.data)


# -- reading

def dump_qdiscs() -> bytes:
    """All that were made by somebody, on all interfaces."""
    return _message(RTM_GETQDISC, DUMP, 0, 0, 0)


def dump_classes(index: int) -> bytes:
    return _message(RTM_GETTCLASS, DUMP, index, 0, 0)


def dump_filters(index: int, parent: int) -> bytes:
    return _message(RTM_GETTFILTER, DUMP, index, parent, 0)


class Seen(t.NamedTuple):
    """The fixed part of a message, its kind and the bytes of its options."""

    device: int
    handle: int
    parent: int
    info: int
    kind: str
    options: bytes


def peek(raw: bytes) -> Seen:
    index, handle, parent, info = struct.unpack_from("=iIII", raw, 20)
    kind, options = "", b""
    for number, at, end in attributes(raw, HEADER, len(raw)):
        if number == TCA_KIND:
            kind = raw[at:end].rstrip(b"\0").decode("ascii", "replace")
        elif number == TCA_OPTIONS:
            options = raw[at:end]
    return Seen(index, handle, parent, info, kind, options)


def _settings(raw: bytes, seen: Seen, table: t.Mapping[str, t.Any]) -> dict[str, t.Any] | None:
    kind = table.get(seen.kind)
    if kind is None:
        return None
    if not seen.options:
        return {}
    message = _message_class(kind.layout)(raw)
    message.decode()
    tree = _tree(kind.layout, message.get_attr("TCA_OPTIONS"))
    return dict(kind.decode(tree))


def decode_qdisc(raw: bytes, ns: str, names: t.Mapping[int, str]) -> Qdisc | None:
    """None for the kernel's default."""
    seen = peek(raw)
    if not seen.handle or seen.device not in names:
        return None
    return Qdisc(
        ns, names[seen.device], seen.kind, _settings(raw, seen, QDISCS), raw=seen.options, parent=seen.parent,
        handle=seen.handle,
    )


def decode_class(raw: bytes, ns: str, names: t.Mapping[int, str]) -> TcClass | None:
    """None for what only a queue's flow is, or comes with its qdisc."""
    seen = peek(raw)
    if seen.kind not in CLASSES or seen.device not in names or not seen.handle & 0xFFFF:
        return None
    return TcClass(
        ns, names[seen.device], seen.kind, _settings(raw, seen, CLASSES), raw=seen.options, classid=seen.handle,
        parent=seen.parent,
    )


def decode_filter(raw: bytes, ns: str, names: t.Mapping[int, str]) -> TcFilter | None:
    """None for what is only the frame of a filter, such as a hash table. ``names``: of all devices of the namespace."""
    seen = peek(raw)
    kind = FILTERS.get(seen.kind)
    parent = INGRESS if seen.parent == 0xFFFF0000 else seen.parent
    base = TcFilter(
        ns, names.get(seen.device, ""), parent, socket.ntohs(seen.info & 0xFFFF), seen.info >> 16,
        kind=seen.kind, handle=seen.handle, raw=raw,
    )
    if not seen.options or not seen.handle:
        return None
    if kind is None:
        return dataclasses.replace(base, selector=f"handle {seen.handle:#x}")
    message = _message_class(kind.layout)(raw)
    message.decode()
    attrs = {slot[0]: slot[1] for slot in message["attrs"]}
    tree = _tree(kind.layout, attrs["TCA_OPTIONS"])
    if "divisor" in tree:
        return None
    actions = []
    for name, inner, cookie in tree.get("actions", ()):
        shown = ACTIONS[name].decode(inner, names.get) if name in ACTIONS else {}
        more = {"cookie": cookie.decode("utf-8", "replace")} if cookie else {}
        actions.append({"kind": name, **shown, **more})
    return dataclasses.replace(
        base, selector=kind.decode(tree, seen.handle), classid=tree.get("classid") or None,
        actions=tuple(actions), chain=attrs.get("TCA_CHAIN") or 0,
    )


# -- writing

def _options(item: Queued, table: t.Mapping[str, t.Any]) -> tuple[Layout | None, t.Any]:
    kind = table.get(str(item.kind))
    if kind is None or item.settings is None:
        return None, item.raw or None
    given = item.given if item.given is not None else item.settings
    tree = kind.encode({**(item.settings or {}), **given}) if given or item.settings else None
    return (kind.layout, tree) if tree else (None, None)


def _with_distribution(item: Qdisc, tree: t.Any) -> t.Any:
    word = (item.given or {}).get("distribution")
    if word is None and ours(item.handle):
        word = DISTRIBUTIONS[(int(item.handle or 0) >> 16) - OURS]
    if item.kind == "netem" and tree and word not in (None, "uniform"):
        return {**tree, "distribution": distribution(str(word))}
    return tree


def new_qdisc(item: Qdisc, index: int) -> bytes:
    layout, tree = _options(item, QDISCS)
    return _message(
        RTM_NEWQDISC, ACK | CREATE | EXCL, index, item.parent, item.handle or 0, item.kind, layout,
        _with_distribution(item, tree),
    )


def change_qdisc(item: Qdisc, index: int) -> bytes:
    """In place: what waits in it stays."""
    layout, tree = _options(item, QDISCS)
    return _message(
        RTM_NEWQDISC, ACK, index, item.parent, item.handle or 0, item.kind, layout, _with_distribution(item, tree),
    )


def as_change(message: bytes) -> bytes:
    """The message that makes a qdisc, as one that changes it."""
    return message[:6] + struct.pack("=H", REQUEST | ACK) + message[8:]


def delete_qdisc(item: Qdisc, index: int) -> bytes:
    return _message(RTM_DELQDISC, ACK, index, item.parent, item.handle or 0)


def new_class(item: TcClass, index: int, how: int = CREATE | EXCL) -> bytes:
    layout, tree = _options(item, CLASSES)
    return _message(RTM_NEWTCLASS, ACK | how, index, item.parent, item.classid, item.kind, layout, tree)


def change_class(item: TcClass, index: int) -> bytes:
    return new_class(item, index, 0)


def delete_class(item: TcClass, index: int) -> bytes:
    return _message(RTM_DELTCLASS, ACK, index, item.parent, item.classid)


def new_filter(item: TcFilter, index: int, index_of: t.Callable[[str], int], how: int = CREATE | EXCL) -> bytes:
    if item.raw and (item.kind not in FILTERS or any(a["kind"] not in ACTIONS for a in item.actions or ())):
        return item.raw[:4] + struct.pack("=HH", RTM_NEWTFILTER, REQUEST | ACK | how) + item.raw[8:]  # as it was shown
    kind = FILTERS[item.kind]
    tree = kind.encode(item.selector, item.protocol)
    if item.classid:
        tree["classid"] = item.classid
    if item.actions:
        tree["actions"] = [
            (action["kind"], ACTIONS[action["kind"]].encode(action, index_of), str(action.get("cookie") or "").encode())
            for action in item.actions
        ]
    return _message(
        RTM_NEWTFILTER, ACK | how, index, item.parent, item.handle or handle_of(item), item.kind, kind.layout, tree,
        item.priority << 16 | socket.htons(item.protocol), item.chain,
    )


def change_filter(item: TcFilter, index: int, index_of: t.Callable[[str], int]) -> bytes:
    return new_filter(item, index, index_of, CREATE)


def delete_filter(item: TcFilter, index: int) -> bytes:
    return _message(
        RTM_DELTFILTER, ACK, index, item.parent, item.handle or 0, item.kind,
        info=item.priority << 16 | socket.htons(item.protocol), chain=item.chain,
    )


@functools.cache
def distribution(word: str) -> bytes:
    """The table that comes with iproute2."""
    for folder in (*FOLDERS, *_multiarch()):
        try:
            with open(os.path.join(folder, f"{word}.dist"), encoding="ascii") as handle:
                lines = [line.split("#")[0] for line in handle]
        except FileNotFoundError:
            continue
        numbers = [int(part) for line in lines for part in line.split()]
        return struct.pack(f"={len(numbers)}h", *numbers)
    raise PipeworkError(
        f"netem.distribution: {word!r} needs the file {word}.dist of iproute2, which is not on this host "
        f"(in {', '.join(FOLDERS)}); install the package iproute2."
    )


def _multiarch() -> list[str]:
    try:
        return [f"/usr/lib/{name}/tc" for name in sorted(os.listdir("/usr/lib")) if name.endswith("-linux-gnu")]
    except OSError:
        return []
