# Copyright: pipework.containers contributors
# GNU General Public License v3.0+ (see LICENSE)
"""Reads what stands of leases' name servers in containers' own resolv.conf, where that matters to a run."""
from __future__ import annotations

import contextlib
import typing as t

from .._files import container_file
from .._files.blocks import RESOLVER, OwnBlock, Resolver, Where
from .._model.observed import Facts
from . import resolv_conf
from .context import Target


def probe(targets: t.Iterable[Target], others: t.Iterable[tuple[str, t.Any]]) -> None:
    """Finds out which containers' files do not answer, of those that a run looks at as far as is known by now."""
    def asked() -> t.Iterator[Where]:
        own = [(each.runtime, each.holder) for each in targets
               if each.label is not None and each.item.runtime != "host" and resolv_conf.is_about(each.item)]
        for runtime, holder in (*own, *others):
            with contextlib.suppress(container_file.Unusable):
                yield container_file.where(runtime, holder)

    container_file.probe(asked(), RESOLVER)


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
    concerned = [(target, label) for target, label in concerned if resolv_conf.concerns(target.item, label, facts)]
    found = _read(concerned, others)
    for target, label in concerned:
        asked = _asks(target)
        if label in looked and not asked:
            continue
        try:
            place = _where(target)
            there = found[place, asked]
            if isinstance(there, container_file.Unusable):
                raise there
        except container_file.Unusable as error:
            if asked:
                raise target.item.refuse(f"dhcp_dns: {target.name}: {error}.") from None
            continue
        places[label] = place
        if label not in looked:
            facts.blocks += there
            looked.add(label)
    for label, holder in others.items():
        if label not in looked:
            with contextlib.suppress(container_file.Unusable):
                other = found[container_file.where(*holder), False]
                facts.blocks += [] if isinstance(other, container_file.Unusable) else other
    return places


def _read(
    concerned: t.Iterable[tuple[Target, str]], others: t.Mapping[str, tuple[str, t.Any]],
) -> dict[tuple[Where, bool], list[OwnBlock] | container_file.Unusable]:
    """What stands in all of these files, by place and whether it could be written."""
    asked: dict[tuple[Where, bool], str] = {}
    for target, label in concerned:
        with contextlib.suppress(container_file.Unusable):
            asked[_where(target), _asks(target)] = label
    for label, holder in others.items():
        with contextlib.suppress(container_file.Unusable):
            asked.setdefault((container_file.where(*holder), False), label)
    return container_file.seen_many(asked, RESOLVER, Resolver)


def _label(target: Target) -> str:
    """Of a namespace that is gone, the files may be there."""
    return target.label or f"netns:{target.name}"


def _asks(target: Target) -> bool:
    return bool(target.item.dhcp_dns) and target.item.state == "present"


def _where(target: Target) -> Where:
    if target.label is None:
        return container_file.of_name(target.name)
    return container_file.where(target.runtime, target.holder)


def of_record(holder: t.Mapping[str, t.Any], label: str) -> tuple[Where | None, list[OwnBlock]]:
    """The same for one kept lease. None where the file cannot be written: that is no reason to lose an address."""
    with contextlib.suppress(container_file.Unusable):
        place = container_file.where(label.partition(":")[0], holder)
        return place, container_file.seen(place, RESOLVER, Resolver, label, writing=True)
    return None, []
