# Copyright: pipework.containers contributors
# GNU General Public License v3.0+ (see LICENSE)
"""Routes of ours in tables of interfaces, which rules of policy routing may lead to. Pure."""
from __future__ import annotations

from .layer3 import PROTOCOL, PROTOCOL_LISTED, TABLE_KEPT, TABLE_MAIN, TABLE_WAITING, Route

MARKS = (PROTOCOL, PROTOCOL_LISTED)


def is_marked(route: Route) -> bool:
    """Whether a route stands in an interface's own table, so that there may be rules that lead there."""
    return route.protocol in MARKS and route.table not in (TABLE_MAIN, TABLE_KEPT, TABLE_WAITING)
