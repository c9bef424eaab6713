# Copyright: pipework.containers contributors
# GNU General Public License v3.0+ (see LICENSE)
"""The options ``table``, ``routes`` and ``rules`` of an attachment. Pure."""

from __future__ import annotations

import dataclasses
import typing as t

from .._core.errors import PipeworkError
from .._core.items import Params
from .._model.route_names import TABLES, TYPES, Names
from .._routing.options import ROUTE, RULE, named
from .._routing.route_options import NO_WAY, RouteItem
from .._routing.rule_options import RuleItem


def routing_options(params: Params, interface: str, names: Names | None) -> dict[str, t.Any]:
    """What the options say, checked; None for what is not given."""
    names = names or Names()
    table = None if params.get("table") in (None, "") else names.table(params["table"])
    if table in TABLES.values():
        raise PipeworkError(f"table: {params['table']} is everybody's; a table of the interface's own would be right.")
    return {
        "table": table,
        "routes": _listed(params, "routes", lambda each, where: _route(each, where, interface, table, names)),
        "rules": _listed(params, "rules", lambda each, where: _rule(each, where, table, names)),
    }


def _listed(params: Params, option: str, read: t.Callable[[t.Any, str], t.Any]) -> tuple[t.Any, ...] | None:
    if params.get(option) is None:
        return None
    return tuple(read(each, f"{option}[{at}]") for at, each in enumerate(params[option]))


def _route(given: t.Any, where: str, interface: str, table: int | None, names: Names) -> RouteItem:
    options = named(given, ROUTE, where)
    if table is not None:
        options = {"table": table, **options}
    hops = options.get("nexthops") or ()
    for each in (options, *hops):
        if each.get("device") not in (None, "", interface):
            raise PipeworkError(
                f"{where}: device: {each['device']} is another interface; the routes of {interface} lead through it."
            )
    options["nexthops"] = [{**hop, "device": interface} for hop in hops] or None
    if not hops and TYPES.get(options.get("type") or "unicast") not in NO_WAY:
        options["device"] = interface
    elif not hops and table is None:
        raise PipeworkError(f"{where}: type: a route that leads nowhere needs 'table', one of the interface's own.")
    return RouteItem.from_params(options, f"{where}: ", names, ns=False)


def _rule(given: t.Any, where: str, table: int | None, names: Names) -> RuleItem:
    options = named(given, RULE, where)
    alone = any(options.get(name) not in (None, "", False) for name in ("action", "goto", "l3mdev", "table"))
    if table is not None and not alone:
        options["table"] = table
    return RuleItem.from_params(options, f"{where}: ", names, ns=False)


def placed(items: tuple[t.Any, ...] | None, where: str) -> tuple[t.Any, ...] | None:
    """The same items, which know in which attachment they stand."""
    return items and tuple(dataclasses.replace(item, where=where + item.where) for item in items)
