# Copyright: pipework.containers contributors
# GNU General Public License v3.0+ (see LICENSE)
"""Reads what stands of leases' name servers in containers' own resolv.conf, where that matters to a run."""
from __future__ import annotations

import contextlib
import typing as t

from . import _guest_files, _resolver
from ._attach import Target
from ._blocks import RESOLVER, OwnBlock, Resolver, Where
from ._facts import Facts


def probe(targets: t.Iterable[Target], others: t.Iterable[tuple[str, t.Any]]) -> None:
    """Finds out which containers' files do not answer, of those that a run looks at as far as is known by now."""
    def asked() -> t.Iterator[Where]:
        own = [(each.runtime, each.holder) for each in targets
               if each.label is not None and each.item.runtime != "host" and _resolver.is_about(each.item)]
        for runtime, holder in (*own, *others):
            with contextlib.suppress(_guest_files.Unusable):
                yield _guest_files.where(runtime, holder)

    _guest_files.probe(asked(), RESOLVER)


def observe(
    targets: t.Iterable[Target], others: t.Mapping[str, tuple[str, t.Any]], facts: Facts,
) -> dict[str, Where]:
    """Adds it to the facts. Returns whose files those are that shall have some, by container; these could be written.

    ``others``: runtimes and holders of containers that no attachment is about. PipeworkError where one asks for name
    servers that cannot be written.
    """
    places: dict[str, Where] = {}
    looked: set[str] = set()
    concerned = [(target, _label(target)) for target in targets if target.item.runtime != "host"]
    concerned = [(target, label) for target, label in concerned if _resolver.concerns(target.item, label, facts)]
    found = _read(concerned, others)
    for target, label in concerned:
        asked = _asks(target)
        if label in looked and not asked:
            continue
        try:
            place = _where(target)
            there = found[place, asked]
            if isinstance(there, _guest_files.Unusable):
                raise there
        except _guest_files.Unusable as error:
            if asked:
                raise target.item.refuse(f"dhcp_dns: {target.name}: {error}.") from None
            continue
        places[label] = place
        if label not in looked:
            facts.blocks += there
            looked.add(label)
    for label, holder in others.items():
        if label not in looked:
            with contextlib.suppress(_guest_files.Unusable):
                other = found[_guest_files.where(*holder), False]
                facts.blocks += [] if isinstance(other, _guest_files.Unusable) else other
    return places


def _read(
    concerned: t.Iterable[tuple[Target, str]], others: t.Mapping[str, tuple[str, t.Any]],
) -> dict[tuple[Where, bool], list[OwnBlock] | _guest_files.Unusable]:
    """What stands in all of these files, by place and whether it could be written."""
    asked: dict[tuple[Where, bool], str] = {}
    for target, label in concerned:
        with contextlib.suppress(_guest_files.Unusable):
            asked[_where(target), _asks(target)] = label
    for label, holder in others.items():
        with contextlib.suppress(_guest_files.Unusable):
            asked.setdefault((_guest_files.where(*holder), False), label)
    return _guest_files.seen_many(asked, RESOLVER, Resolver)


def _label(target: Target) -> str:
    """Of a namespace that is gone, the files may be there."""
    return target.label or f"netns:{target.name}"


def _asks(target: Target) -> bool:
    return bool(target.item.dhcp_dns) and target.item.state == "present"


def _where(target: Target) -> Where:
    if target.label is None:
        return _guest_files.of_name(target.name)
    return _guest_files.where(target.runtime, target.holder)


def of_record(holder: t.Mapping[str, t.Any], label: str) -> tuple[Where | None, list[OwnBlock]]:
    """The same for one kept lease. None where the file cannot be written: that is no reason to lose an address."""
    with contextlib.suppress(_guest_files.Unusable):
        place = _guest_files.where(label.partition(":")[0], holder)
        return place, _guest_files.seen(place, RESOLVER, Resolver, label, writing=True)
    return None, []
