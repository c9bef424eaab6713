# Copyright: pipework.containers contributors
# GNU General Public License v3.0+ (see LICENSE)
"""Which filter rules a bridge needs so that frames pass inside it. firewall.py reads and changes the filter."""
from __future__ import annotations

import typing as t

from .._core.plan import Absent, State
from .._model.objects import HOST
from .._model.packet_filter import FilterRule
from .firewall import FilterState, check_name
from .verdict import BACK, OUT

# What several attachments of one bridge ask for: the strongest counts.
STRENGTH = {"unmanaged": 0, "auto": 1, "accept": 2}


def state_of(filters: FilterState) -> State:
    """The rules of ours that are there."""
    found = [FilterRule(HOST, bridge, str(place)) for bridge, place in filters.rules]
    return {rule.key: rule for rule in found}


def rules_for(bridge: str, policy: str, filters: FilterState) -> t.Iterator[FilterRule]:
    """The rules that let frames pass inside a bridge. ``auto``: only in the chains that would drop them."""
    if policy == "unmanaged":
        return
    places = filters.forward_chains() if policy == "accept" else filters.dropping(bridge)
    for place in places:
        check_name(bridge, place)
        yield FilterRule(HOST, bridge, str(place))


def routed_rules_for(bridge: str, filters: FilterState) -> t.Iterator[FilterRule]:
    """The rules that let packets pass from a bridge to elsewhere and back, in the chains that would drop them."""
    for place in filters.dropping_routed(bridge):
        for way in (OUT, BACK):
            yield FilterRule(HOST, f"{way}:{bridge}", str(place))


def no_rules_for(bridge: str, filters: FilterState, routed: bool = False) -> t.Iterator[Absent]:
    """All rules of ours for a bridge go. ``routed``: only those about what leaves it."""
    for name, place in sorted(filters.rules):
        way, _colon, of = name.rpartition(":")
        if of == bridge and (way or not routed):
            yield Absent(FilterRule(HOST, name, str(place)).key)
