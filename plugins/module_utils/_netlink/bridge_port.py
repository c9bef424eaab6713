# Copyright: pipework.containers contributors
# GNU General Public License v3.0+ (see LICENSE)
"""Netlink messages that change the ports of bridges: their options and their VLANs."""
from __future__ import annotations

import typing as t

from .._model import vlans as model_vlans
from .rtnl import RTM_DELLINK, RTM_NEWLINK, RTM_SETLINK, about_link

AF_UNSPEC, AF_BRIDGE = 0, 7
RANGE_BEGIN, RANGE_END = 8, 16
BRPORT = {
    "hairpin": "IFLA_BRPORT_MODE", "learning": "IFLA_BRPORT_LEARNING", "isolated": "IFLA_BRPORT_ISOLATED",
    "neigh_suppress": "IFLA_BRPORT_NEIGH_SUPPRESS",
}


def set_options(index: int, options: t.Mapping[str, bool]) -> bytes:
    """Changes options of an interface that is a port already."""
    data = [(BRPORT[name], int(value)) for name, value in sorted(options.items())]
    info = [("IFLA_INFO_SLAVE_KIND", "bridge"), ("IFLA_INFO_SLAVE_DATA", {"attrs": data})]
    return about_link(RTM_NEWLINK, AF_UNSPEC, index, [("IFLA_LINKINFO", {"attrs": info})])


def set_vlans(index: int, vlans: t.Sequence[str]) -> list[bytes]:
    """Gives a port these VLANs and takes all others from it, whichever they are; what it keeps is not disturbed."""
    requests = []
    for kind, ranges in ((RTM_SETLINK, model_vlans.read(vlans)), (RTM_DELLINK, model_vlans.others(vlans))):
        if ranges:
            spec = [info for each in ranges for info in _vlan_info(*each)]
            requests.append(about_link(kind, AF_BRIDGE, index, [("IFLA_AF_SPEC", {"attrs": spec})]))
    return requests


def _vlan_info(first: int, last: int, flags: int) -> list[tuple[str, dict[str, int]]]:
    ends = [(flags, first)] if first == last else [(flags | RANGE_BEGIN, first), (flags | RANGE_END, last)]
    return [("IFLA_BRIDGE_VLAN_INFO", {"vid": number, "flags": flag}) for flag, number in ends]
