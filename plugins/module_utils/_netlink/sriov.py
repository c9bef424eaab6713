# Copyright: pipework.containers contributors
# GNU General Public License v3.0+ (see LICENSE)
"""Netlink messages about the virtual functions of a card (SR-IOV)."""
from __future__ import annotations

import typing as t

from .._model.sriov_record import VirtualFunction
from .namespaces import Netns
from .rtnl import RTEXT_FILTER_SKIP_STATS, RTM_GETLINK, RTM_SETLINK, about_link, decode_attributes

AF_UNSPEC = 0
RTEXT_FILTER_VF = 1
IFLA_VFINFO_LIST = 22
NO_MAC = "00:00:00:00:00:00"


def ask_vfs(name: str) -> bytes:
    """A card with all that it says about its functions."""
    mask = RTEXT_FILTER_VF | RTEXT_FILTER_SKIP_STATS
    attrs = [("IFLA_IFNAME", name.encode("utf-8", "surrogateescape")), ("IFLA_EXT_MASK", mask)]
    return about_link(RTM_GETLINK, AF_UNSPEC, 0, attrs)


def decode_vfs(raw: bytes, pf: str) -> list[VirtualFunction]:
    found = []
    listed: t.Any = decode_attributes(raw, frozenset({IFLA_VFINFO_LIST}))("IFLA_VFINFO_LIST")
    for info in listed.get_attrs("IFLA_VF_INFO") if listed is not None else ():
        mac, vlan, check = (info.get_attr(f"IFLA_VF_{name}") for name in ("MAC", "VLAN", "SPOOFCHK"))
        # 0xFFFFFFFF: the driver does not tell.
        known = check is not None and check["spoofchk"] in (0, 1)
        found.append(VirtualFunction(
            pf, mac["vf"], "" if mac["mac"] == NO_MAC else mac["mac"], vlan["vlan"] if vlan else None,
            vlan["qos"] if vlan else None, bool(check["spoofchk"]) if known else None,
        ))
    return found


def set_vf(
    index: int, number: int, *, mac: str | None = None, vlan: tuple[int, int] | None = None,
    spoof_check: bool | None = None,
) -> bytes:
    """Changes a function through its card. ``vlan``: the ID and the priority."""
    attrs: list[tuple[str, t.Any]] = []
    if mac is not None:
        attrs.append(("IFLA_VF_MAC", {"vf": number, "mac": mac}))
    if vlan is not None:
        attrs.append(("IFLA_VF_VLAN", {"vf": number, "vlan": vlan[0], "qos": vlan[1]}))
    if spoof_check is not None:
        attrs.append(("IFLA_VF_SPOOFCHK", {"vf": number, "spoofchk": int(spoof_check)}))
    info = [("IFLA_VF_INFO", {"attrs": attrs})]
    return about_link(RTM_SETLINK, AF_UNSPEC, index, [("IFLA_VFINFO_LIST", {"attrs": info})])


def functions_of(netns: Netns, name: str) -> list[VirtualFunction]:
    """The virtual functions of a card, as the card knows them."""
    return decode_vfs(netns.ask(ask_vfs(name)), name)
