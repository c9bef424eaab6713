# Copyright: pipework.containers contributors
# GNU General Public License v3.0+ (see LICENSE)
"""Messages of generic netlink about wireless NICs, made and read with pyroute2's message classes."""
from __future__ import annotations

import typing as t

GENL_ID_CTRL, CTRL_CMD_GETFAMILY = 16, 3
CMD_GET_INTERFACE, CMD_SET_WIPHY_NETNS = 5, 49
REQUEST, ACK, DUMP = 1, 4, 0x300


def _message(cls: t.Any, kind: int, how: int, cmd: int, attrs: list[tuple[str, t.Any]]) -> bytes:
    message = cls()
    message["header"]["type"] = kind
    message["header"]["flags"] = how
    message["cmd"] = cmd
    message["version"] = 1
    message["attrs"] = attrs
    message.encode()
    return bytes(message.data)


def _nl80211cmd() -> t.Any:
    from pyroute2.netlink.nl80211 import nl80211cmd  # a large file, and few have to do with it

    return nl80211cmd


def ask_family() -> bytes:
    """The number of the family nl80211, which is another one each time the host starts."""
    from pyroute2.netlink import ctrlmsg

    return _message(ctrlmsg, GENL_ID_CTRL, REQUEST | ACK, CTRL_CMD_GETFAMILY, [("CTRL_ATTR_FAMILY_NAME", "nl80211")])


def decode_family(raw: bytes) -> int:
    from pyroute2.netlink import ctrlmsg

    message = ctrlmsg(raw)
    message.decode()
    return int(message.get_attr("CTRL_ATTR_FAMILY_ID"))


def dump_interfaces(family: int) -> bytes:
    """The interfaces of all wireless NICs of a namespace."""
    return _message(_nl80211cmd(), family, REQUEST | DUMP, CMD_GET_INTERFACE, [])


def decode_interface(raw: bytes) -> tuple[int, int | None]:
    """The number of the NIC, and the index of its interface, where it is a network interface."""
    message = _nl80211cmd()(raw)
    message.decode()
    return int(message.get_attr("NL80211_ATTR_WIPHY")), message.get_attr("NL80211_ATTR_IFINDEX")


def move(family: int, wiphy: int, netns: int) -> bytes:
    """A NIC with all its interfaces into another namespace."""
    attrs = [("NL80211_ATTR_WIPHY", wiphy), ("NL80211_ATTR_NETNS_FD", netns)]
    return _message(_nl80211cmd(), family, REQUEST | ACK, CMD_SET_WIPHY_NETNS, attrs)
