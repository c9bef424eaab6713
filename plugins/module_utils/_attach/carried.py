# Copyright: pipework.containers contributors
# GNU General Public License v3.0+ (see LICENSE)
"""What a NIC of the host carries besides itself, so that the host or others would be cut off without it. Pure."""
from __future__ import annotations

import typing as t

from .._model.objects import TABLE_MAIN, Route
from .._model.observed import Facts


def burdens(nic: str, facts: Facts) -> list[str]:
    """Words for each. What stands on it in other namespaces is found elsewhere."""
    found = []
    for route in facts.host_ways:
        if route.destination == "default" and route.leads_through(nic) and route.type in (None, 1):
            found.append(f"the host's default route{_where(route)}")
    if facts.session is not None and facts.session[1] == nic:
        found.append(f"the SSH session from {facts.session[0]} that runs this task")
    device = facts.host.get(nic)
    if device is not None and device.master is not None:
        found.append(f"{facts.bridge_under(device) or 'another interface'}, of which it is a port")
    return list(dict.fromkeys(found))


def _where(route: Route) -> str:
    gateways = [route.gateway] if route.gateway else [hop.gateway for hop in route.nexthops or ()]
    via = " and ".join(str(gateway) for gateway in gateways if gateway)
    table = "" if route.table == TABLE_MAIN else f" of table {route.table}"
    return f" for IPv{route.family}{table}" + (f" via {via}" if via else "")


def sentence(nic: str, carried: t.Sequence[str]) -> str:
    """The refusal of a move."""
    return (
        f"{nic} carries {', '.join(carried)}: moving it into a container takes that from the host. "
        "'force: true' moves it all the same, and brings routes, rules and neighbors back with it; with "
        "'confirm_timeout' the host takes it back by itself unless that is confirmed."
    )
