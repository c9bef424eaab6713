# Copyright: pipework.containers contributors
# GNU General Public License v3.0+ (see LICENSE)
"""rtnetlink messages, made and read with pyroute2's message classes, which no file imports but this and _codec_*.

Works with pyroute2 0.7.2 to the newest: only the message classes are used, which have not changed between them.
Whether a message of a dump matters is read from its fixed header first, since decoding costs 0.1 ms a message.
"""
from __future__ import annotations

import functools
import struct
import typing as t

from .._core.errors import PipeworkError
from .._core.normalize import family
from .._model.device import GROUP, GROUP_DELETE, Device
from .._model.layer3 import Address
from .link_info import DECODERS, settings_attrs
from .wire import attributes, decode_options, hardware

try:
    # This part came with 0.7; the version number cannot be relied on.
    import pyroute2.requests  # noqa: F401  # pylint: disable=unused-import
    from pyroute2.netlink.rtnl.ifaddrmsg import ifaddrmsg
    from pyroute2.netlink.rtnl.ifinfmsg import ifinfmsg
    from pyroute2.netlink.rtnl.nsidmsg import nsidmsg
    MISSING = None
except ImportError as error:  # said by require(), when it is needed
    MISSING = error

RTM_NEWLINK, RTM_DELLINK, RTM_GETLINK, RTM_SETLINK = 16, 17, 18, 19
RTM_NEWADDR, RTM_DELADDR, RTM_GETADDR = 20, 21, 22
RTM_GETNSID = 90
REQUEST, ACK, DUMP, REPLACE, EXCL, CREATE = 1, 4, 0x300, 0x100, 0x200, 0x400
AF_INET, AF_INET6 = 2, 10
IFF_UP, IFF_LOOPBACK, IFF_RUNNING, IFF_LOWER_UP = 1, 8, 0x40, 0x10000
ARPHRD_ETHER, ARPHRD_INFINIBAND = 1, 32
IFA_F_NODAD, IFA_F_DADFAILED = 0x02, 0x08
IFA_F_PERMANENT = 0x80
IFA_F_TENTATIVE_BITS = 0x40 | 0x08 | 0x20 | 0x01  # tentative, dadfailed, deprecated, secondary
RT_SCOPE_LINK = 253
RTEXT_FILTER_SKIP_STATS = 8


def require() -> None:
    """Says what to install where pyroute2 is missing or too old."""
    if MISSING is not None:
        import sys

        what = "too old" if "pyroute2.requests" in str(MISSING) else "missing"
        raise PipeworkError(
            f"The Python library pyroute2 is {what} for {sys.executable} on the managed host: 0.7.2 or newer is "
            f"needed, from the package python3-pyroute2 or by 'pip install pyroute2'. Nothing was changed. ({MISSING})"
        )


def _message(cls: t.Any, kind: int, how: int, attrs: list[tuple[str, t.Any]], /, **fields: t.Any) -> bytes:
    message = cls()
    message["header"]["type"] = kind
    message["header"]["flags"] = how
    for field, value in fields.items():
        message[field] = value
    message["attrs"] = attrs
    message.encode()
    return bytes(message.data)


compose = _message  # for the other files of the codec


# -- links

@functools.cache
def dump_links() -> bytes:
    return _message(ifinfmsg, RTM_GETLINK, REQUEST | DUMP, [("IFLA_EXT_MASK", RTEXT_FILTER_SKIP_STATS)])


@functools.lru_cache(maxsize=64)  # in a thousand containers, the same
def ask_link(name: str) -> bytes:
    attrs = [("IFLA_IFNAME", _bytes(name)), ("IFLA_EXT_MASK", RTEXT_FILTER_SKIP_STATS)]
    return _message(ifinfmsg, RTM_GETLINK, REQUEST | ACK, attrs)


def _bytes(text: str | None) -> bytes | None:
    return None if text is None else text.encode("utf-8", "surrogateescape")


def _text(value: t.Any) -> t.Any:
    """Names and aliases that a container chose need not be UTF-8; pyroute2 leaves those as bytes."""
    return value.decode("utf-8", "surrogateescape") if isinstance(value, bytes) else value


def index_of(raw: bytes) -> int:
    return int(struct.unpack_from("=i", raw, 20)[0])


def is_loopback(raw: bytes) -> bool:
    return bool(struct.unpack_from("=I", raw, 24)[0] & IFF_LOOPBACK)


# The attributes of a link that a Device is made of: it has some forty more, each of which takes time to decode.
_DEVICE_ATTRIBUTES = frozenset({1, 3, 4, 5, 10, 18, 20, 27, 37})


def _slimmed(raw: bytes, header: int, wanted: frozenset[int]) -> bytes:
    """The message with the wanted attributes alone."""
    parts = [raw[:header]]
    parts += [raw[at - 4:(end + 3) & ~3] for kind, at, end in attributes(raw, header, len(raw)) if kind in wanted]
    slim = b"".join(parts)
    return struct.pack("=I", len(slim)) + slim[4:]


def decode_attributes(raw: bytes, wanted: frozenset[int]) -> t.Callable[[str], t.Any]:
    """The wanted attributes of a link, by name."""
    message = ifinfmsg(_slimmed(raw, 32, wanted))
    message.decode()
    return t.cast("t.Callable[[str], t.Any]", message.get_attr)


def decode_device(raw: bytes) -> Device:
    slim = _slimmed(raw, 32, _DEVICE_ATTRIBUTES)
    message = ifinfmsg(slim)
    message.decode()
    attrs: t.Callable[[str], t.Any] = {slot[0]: slot[1] for slot in message["attrs"]}.get
    info: t.Any = attrs("IFLA_LINKINFO")
    kind = info.get_attr("IFLA_INFO_KIND") if info is not None else None
    settings = None
    if kind in DECODERS:
        data = info.get_attr("IFLA_INFO_DATA")
        settings = DECODERS[kind](data) if data is not None else {}
    infiniband = message["ifi_type"] == ARPHRD_INFINIBAND
    perm, bus = hardware(raw)
    return Device(
        index=message["index"], name=_text(attrs("IFLA_IFNAME")), type=kind,
        mac=None if infiniband else attrs("IFLA_ADDRESS"),
        mtu=attrs("IFLA_MTU"), up=bool(message["flags"] & IFF_UP), master=attrs("IFLA_MASTER"),
        parent_index=attrs("IFLA_LINK"),
        parent_netnsid=attrs("IFLA_LINK_NETNSID"), alias=_text(attrs("IFLA_IFALIAS")), group=attrs("IFLA_GROUP") or 0,
        settings=settings, infiniband=infiniband, ethernet=message["ifi_type"] == ARPHRD_ETHER,
        running=bool(message["flags"] & IFF_RUNNING), carrier=bool(message["flags"] & IFF_LOWER_UP),
        port=decode_options(slim) if attrs("IFLA_MASTER") else None, perm=perm, bus=bus,
    )


def _info(kind: str, data: list[tuple[str, t.Any]]) -> tuple[str, t.Any]:
    attrs: list[tuple[str, t.Any]] = [("IFLA_INFO_KIND", kind)]
    if data:
        attrs.append(("IFLA_INFO_DATA", {"attrs": data}))
    return ("IFLA_LINKINFO", {"attrs": attrs})


def new_link(
    name: str, kind: str, *, mac: str | None = None, mtu: int | None = None, settings: dict[str, t.Any] | None = None,
    parent: int | None = None, netns: int | None = None, peer: str | None = None, peer_mac: str | None = None,
) -> bytes:
    """Makes an interface in one message, in the unfinished group; a veth's far end has ``name``, MAC and namespace."""
    attrs: list[tuple[str, t.Any]] = [("IFLA_IFNAME", name), ("IFLA_GROUP", GROUP)]
    if mac:
        attrs.append(("IFLA_ADDRESS", mac))
    if mtu:
        attrs.append(("IFLA_MTU", mtu))
    if netns is not None:
        attrs.append(("IFLA_NET_NS_FD", netns))
    if kind == "veth":
        near: list[tuple[str, t.Any]] = [("IFLA_IFNAME", peer), ("IFLA_GROUP", GROUP)]
        near += [("IFLA_MTU", mtu)] if mtu else []
        near += [("IFLA_ADDRESS", peer_mac)] if peer_mac else []
        attrs = near + [_info("veth", [("VETH_INFO_PEER", {"attrs": attrs})])]
    else:
        if parent is not None:
            attrs.append(("IFLA_LINK", parent))
        attrs.append(_info(kind, settings_attrs(kind, settings or {})))
    return _message(ifinfmsg, RTM_NEWLINK, REQUEST | ACK | CREATE | EXCL, attrs)


def set_link(
    index: int = 0, *, name: str | None = None, up: bool | None = None, alias: str | None = None,
    group: int | None = None, master: int | None = None, mac: str | None = None, mtu: int | None = None,
    netns: int | None = None,
) -> bytes:
    """Changes an interface, found by its index or, where that is 0, by its name. With both, the name is a new one."""
    attrs: list[tuple[str, t.Any]] = []
    for attribute, value in (
        ("IFLA_NET_NS_FD", netns), ("IFLA_IFNAME", _bytes(name)), ("IFLA_ADDRESS", mac), ("IFLA_MTU", mtu),
        ("IFLA_IFALIAS", _bytes(alias)), ("IFLA_GROUP", group), ("IFLA_MASTER", master),
    ):
        if value is not None:
            attrs.append((attribute, value))
    change = 0 if up is None else IFF_UP
    make = _about_itself if {name, alias, mac} == {None} else _about_itself.__wrapped__
    message = make(tuple(attrs), IFF_UP if up else 0, change)
    return message[:20] + struct.pack("=i", index) + message[24:]


@functools.lru_cache(maxsize=64)  # what many interfaces are told is encoded once; the index is written into it
def _about_itself(attrs: tuple[tuple[str, t.Any], ...], flags: int, change: int) -> bytes:
    return _message(ifinfmsg, RTM_SETLINK, REQUEST | ACK, list(attrs), flags=flags, change=change)


def set_link_settings(index: int, kind: str, settings: dict[str, t.Any]) -> bytes:
    """Changes what is peculiar to a kind of interface: a bridge's timers, a macvlan's mode."""
    return _message(ifinfmsg, RTM_NEWLINK, REQUEST | ACK, [_info(kind, settings_attrs(kind, settings))], index=index)


def about_link(kind: int, family: int, index: int, attrs: list[tuple[str, t.Any]]) -> bytes:
    """A message about an interface as a family of addresses sees it."""
    return _message(ifinfmsg, kind, REQUEST | ACK, attrs, index=index, family=family)


def delete_link(index: int) -> bytes:
    return _message(ifinfmsg, RTM_DELLINK, REQUEST | ACK, [], index=index)


def delete_group() -> bytes:
    """Deletes all interfaces of one group at once: the kernel waits for its readers once, not for each."""
    return _message(ifinfmsg, RTM_DELLINK, REQUEST | ACK, [("IFLA_GROUP", GROUP_DELETE)])


@functools.cache
def _ask_nsid() -> bytes:
    return _message(nsidmsg, RTM_GETNSID, REQUEST | ACK, [("NETNSA_FD", 0)])


def ask_nsid(fd: int) -> bytes:
    return _ask_nsid()[:-4] + struct.pack("=I", fd)  # encoded once: its one attribute is the last thing in it


def decode_nsid(raw: bytes) -> int | None:
    if not raw:
        return None
    message = nsidmsg(raw)
    message.decode()
    number = message.get_attr("NETNSA_NSID")
    return None if number is None or number in (-1, 0xFFFFFFFF) else int(number)


# -- addresses

@functools.cache
def dump_addresses() -> bytes:
    return _message(ifaddrmsg, RTM_GETADDR, REQUEST | DUMP, [])


def is_static_address(raw: bytes, names: dict[int, str]) -> bool:
    """Not of the loopback, not made by the kernel (fe80::…), not lent by a router."""
    _family, _length, flags, scope, index = struct.unpack_from("=BBBBI", raw, 16)
    return bool(index in names and flags & IFA_F_PERMANENT and scope < RT_SCOPE_LINK)


_ADDRESS_ATTRIBUTES = frozenset({1, 2, 4, 8})  # address, local, broadcast, flags


def decode_address(raw: bytes, ns: str, names: dict[int, str]) -> Address:
    message = ifaddrmsg(_slimmed(raw, 24, _ADDRESS_ATTRIBUTES))
    message.decode()
    attrs = {slot[0]: slot[1] for slot in message["attrs"]}.get
    local, other = attrs("IFA_LOCAL"), attrs("IFA_ADDRESS")
    shown = attrs("IFA_FLAGS") or message["flags"]
    flags = shown & ~(IFA_F_PERMANENT | IFA_F_TENTATIVE_BITS)
    return Address(
        ns=ns, device=names[message["index"]], address=f"{local or other}/{message['prefixlen']}",
        broadcast=attrs("IFA_BROADCAST"), scope=message["scope"],
        peer=other if local and local != other else None, flags=flags or None,
        duplicate=True if shown & IFA_F_DADFAILED else None,
    )


def _address(kind: int, flags: int, address: Address, index: int) -> bytes:
    local, _slash, length = address.address.partition("/")
    attrs: list[tuple[str, t.Any]] = [("IFA_LOCAL", local), ("IFA_ADDRESS", address.peer or local)]
    if address.broadcast:
        attrs.append(("IFA_BROADCAST", address.broadcast))
    if address.flags:
        attrs.append(("IFA_FLAGS", address.flags))
    if address.valid is not None:
        preferred = address.valid if address.preferred is None else min(address.preferred, address.valid)
        attrs.append(("IFA_CACHEINFO", {"ifa_preferred": preferred, "ifa_valid": address.valid}))
    return _message(
        ifaddrmsg, kind, flags, attrs, family=AF_INET6 if family(local) == 6 else AF_INET,
        prefixlen=int(length), scope=address.scope or 0, index=index,
    )


def new_address(address: Address, index: int) -> bytes:
    return _address(RTM_NEWADDR, REQUEST | ACK | CREATE | EXCL, address, index)


def replace_address(address: Address, index: int) -> bytes:
    return _address(RTM_NEWADDR, REQUEST | ACK | CREATE | REPLACE, address, index)


def delete_address(address: Address, index: int) -> bytes:
    return _address(RTM_DELADDR, REQUEST | ACK, address, index)
