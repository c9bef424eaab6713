# Copyright: pipework.containers contributors
# GNU General Public License v3.0+ (see LICENSE)
"""What the tasks of a topology did, or would do, in few words for many hosts. Pure."""

from __future__ import annotations

import collections
import typing as t

from .._core.errors import printable
from .._core.items import WHO
from .fleet import MODULES, Item

ACTIONS = {"create": "+", "update": "~", "delete": "-"}
RESULTS = {name: f"topology_done_{name}" for name in (*MODULES, "evpn")}  # what the role registers


def new_containers(items: t.Sequence[Item], bridged: Item, attached: Item) -> set[str | None]:
    """The containers whose interfaces or addresses a check run would make; None for the host itself.

    Routes and the like stand on them, so that nothing can be said of these before it is done.
    """
    made = [
        each["name"].partition(" ")[0] for result in (bridged, attached) for each in result.get("operations", ())
        if each["action"] != "delete" and each["kind"] in ("link", "address")
    ]
    coming = {name.rpartition("/")[0] for name in made}
    present = [item for item in items if item.get("state", "present") == "present"]
    found: set[str | None] = {None} if "" in coming else set()
    for item, result in zip(present, attached.get("attachments", ())):
        for given, done in ((item, result), (item.get("peer") or {}, result.get("peer") or {})):
            if done and f"{done['runtime']}:{done['container']}" in coming:
                found.add(given.get("container"))
    return found


def split(items: t.Sequence[Item], new: t.Collection[str | None]) -> tuple[list[Item], list[Item]]:
    """What a check run can look at, and what it has to leave for the real run.

    A container is left out as a whole: a purge of it would take what is listed for later. It is no item by itself.
    """
    later = [item for item in items if item.get("container") in new]
    return [item for item in items if item not in later], [item for item in later if not WHO.issuperset(item)]


def operations(results: t.Iterable[t.Any]) -> list[Item]:
    """Of all tasks of a host, one for each object: what comes of all of them in the end."""
    found: dict[tuple[str, str], Item] = {}
    for result in results:
        for each in (result.get("operations") or ()) if isinstance(result, dict) else ():
            key = (each["kind"], each["name"])
            before = found.get(key, each)["action"]
            action = before if each["action"] == "update" else each["action"]
            found[key] = {**each, "action": "update" if (before, action) == ("delete", "create") else action}
    return list(found.values())


def summary(
    hosts: t.Iterable[str], variables: t.Mapping[str, t.Any], through: t.Collection[str], details: bool = False
) -> list[str]:
    """A line for each host, and with details one for each operation. ``through``: the hosts that went to the end."""
    lines = []
    for host in hosts:
        of_host = variables[host]
        done = operations(of_host.get(name) for name in RESULTS.values())
        later = of_host.get("topology_later") or []
        here = of_host.get("topology_here") or {}
        words = _counted(done)
        if host not in through:
            words = f"not to the end: failed or unreachable{f'; {words}' if done else ''}"
        elif not here.get("member", True):
            words = "not in the topology"
        elif later:
            words += f"; {len(later)} more on interfaces that are not there yet"
        lines.append(f"{host}: {words}")
        if details:
            lines += [f"{host}:   {ACTIONS[each['action']]} {each['kind']} {each['name']}" for each in done]
            lines += [f"{host}:   + later: {_title(item)}" for item in later]
    return [printable(line) for line in lines]


def _counted(done: t.Sequence[Item]) -> str:
    if not done:
        return "as wanted"
    counts: dict[str, collections.Counter[str]] = {}
    for each in done:
        counts.setdefault(each["kind"], collections.Counter())[each["action"]] += 1
    return ", ".join(
        f"{kind} " + " ".join(f"{sign}{count[action]}" for action, sign in ACTIONS.items() if count[action])
        for kind, count in sorted(counts.items())
    )


def _title(item: Item) -> str:
    what = item.get("destination") or item.get("device") or item.get("source") or "eth1"
    return f"{item.get('container') or 'host'} {what}"
