# Copyright: pipework.containers contributors
# GNU General Public License v3.0+ (see LICENSE)
"""Whether a fleet's structure makes sense, as far as that can be said without the hosts. Pure.

Each item is read as its module will read it. What only the whole shows comes on top: an address that is given twice.
"""

from __future__ import annotations

import typing as t

from ._attachment import Attachment, refuse_clashes
from ._bridge import Bridge
from ._errors import PipeworkError
from ._route_words import Names
from ._routes import RouteItem
from ._rules import RuleItem
from ._tc_options import TcItem
from ._topology import MODULES, Fleet, Item, Placed


class AnyNames(Names):
    """The names of tables and protocols are the hosts', which are not asked here."""

    def table(self, value: t.Any, option: str = "table") -> int:
        return super().table(value, option) if _numeric(value) or value in self.tables else 1

    def protocol(self, value: t.Any, option: str = "protocol") -> int:
        return super().protocol(value, option) if _numeric(value) or value in self.protocols else 114


def _numeric(value: t.Any) -> bool:
    return str(value).strip()[:1].isdigit()


NAMES = AnyNames()
READERS: dict[str, t.Callable[[Item, str], t.Any]] = {
    "bridges": Bridge.from_params,
    "attachments": lambda item, where: Attachment.from_params(item, where, NAMES),
    "routes": lambda item, where: RouteItem.from_params(item, where, NAMES),
    "rules": lambda item, where: RuleItem.from_params(item, where, NAMES),
    "impairments": TcItem.from_params,
}


def check(fleet: Fleet) -> list[str]:
    """All that is wrong."""
    if fleet.errors:
        return fleet.errors
    found: list[str] = []
    for host, plan in fleet.plans.items():
        found += _addresses(host, plan)
        read: dict[str, list[t.Any]] = {name: [] for name in MODULES}
        for name in MODULES:
            for where, item in plan[name]:
                try:
                    read[name].append(READERS[name](item, f"{where}: "))
                except PipeworkError as error:
                    found.append(_of_the_ends(where, str(error)))
        if not found:
            found += _clashes(plan, read)
    return list(dict.fromkeys(found))


def _of_the_ends(where: str, words: str) -> str:
    return words.replace("endpoints[0]: peer: ", "endpoints[1]: ") if "endpoints" in where else words


def _clashes(plan: dict[str, list[Placed]], read: dict[str, list[t.Any]]) -> t.Iterator[str]:
    """Two items of one host that cannot both be true."""
    ends = [end for item in read["attachments"] for end in (item, item.peer) if end is not None]
    try:
        refuse_clashes(ends)
    except PipeworkError as error:
        yield str(error).replace("endpoints[0]: peer: ", "endpoints[1]: ").replace("endpoints[0]: peer", "endpoints[1]")
    for name, option, what in (("bridges", "name", "bridge"), ("impairments", "device", "interface")):
        seen: dict[t.Any, str] = {}
        for (where, _item), each in zip(plan[name], read[name]):
            key = (getattr(each, "container", None), getattr(each, option))
            other = seen.setdefault(key, where)
            if other != where:
                yield f"{where}: {option}: the {what} {getattr(each, option)} is listed twice (also in {other})."


def _addresses(host: str, plan: dict[str, list[Placed]]) -> t.Iterator[str]:
    """One address on two interfaces of a bridge, a NIC's or a cable's network."""
    seen: dict[t.Any, str] = {}
    for where, item in plan["bridges"]:
        yield from _twice(seen, (item["name"], None), item, where, "addresses")
    for where, item in plan["attachments"]:
        network = (where,) if "peer" in item else (item.get("host_interface"), item.get("vlan"))
        yield from _twice(seen, network, item, where, "addresses")
        if "peer" in item:
            far = f"{where[:-3]}[1]" if where.endswith("endpoints[0]") else where
            yield from _twice(seen, network, item["peer"], far, "addresses")


def _twice(seen: dict[t.Any, str], network: t.Any, item: Item, where: str, option: str) -> t.Iterator[str]:
    if item.get("state") == "absent" or "dummy" in (item.get("kind"), item.get("host_interface")):
        return
    for number, address in enumerate(item.get(option, [])):
        here = f"{where}.{option}[{number}]"
        alone = address.split("/")[0].lower()
        if alone in ("0", "", "::"):  # the classic word for none
            continue
        other = seen.setdefault((network, alone), here)
        if other != here:
            yield f"{here}: {address} is given twice (also in {other}); each interface needs its own."
