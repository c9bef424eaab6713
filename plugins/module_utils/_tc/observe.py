# Copyright: pipework.containers contributors
# GNU General Public License v3.0+ (see LICENSE)
"""Reads qdiscs, classes and filters of interfaces."""
from __future__ import annotations

import dataclasses
import typing as t

from .._core.plan import KernelObject, Key, State
from .._model.interfaces import Interfaces
from .._model.keys import link_key
from .._model.layer3 import HOST
from .._netlink.namespaces import Namespaces
from . import netlink
from .filters import EGRESS, INGRESS
from .model import Qdisc, TcClass, place
from .qdiscs import CLASSES


def observe_tc(
    namespaces: Namespaces, label: str, names: t.Mapping[int, str], all_names: t.Mapping[int, str],
) -> State:
    """All that stands on some interfaces of a namespace; ``names``: of those, by index."""
    netns = namespaces[label]
    found = [netlink.decode_qdisc(raw, label, names) for raw in netns.dump(netlink.dump_qdiscs())]
    qdiscs = [qdisc for qdisc in found if qdisc is not None]
    classes: list[TcClass] = []
    for index, name in names.items():
        if any(qdisc.device == name and qdisc.kind in CLASSES for qdisc in qdiscs):
            seen = (netlink.decode_class(raw, label, names) for raw in netns.dump(netlink.dump_classes(index)))
            classes += [each for each in seen if each is not None]
    found_state = place(qdiscs, classes)
    for qdisc in qdiscs:
        found_state.update(_filters(namespaces, label, qdisc, names, all_names))
    return found_state


def observe_interfaces(
    namespaces: Namespaces, facts: Interfaces, interfaces: t.Sequence[tuple[str, str]],
) -> list[KernelObject]:
    """What stands on interfaces of containers and on their ends on the host, all of which goes with the former."""
    used: dict[str, set[str]] = {}
    above: dict[Key, Key] = {}
    for label, name in interfaces:
        device = facts.devices[label].get(name)
        if device is None:
            continue
        used.setdefault(label, set()).add(name)
        end = facts.host_end(label, device)
        if end is not None:
            used.setdefault(HOST, set()).add(end.name)
            above[link_key(HOST, end.name)] = link_key(label, name)
    found: list[KernelObject] = []
    for label, names in used.items():
        all_names = {device.index: name for name, device in facts.devices[label].items()}
        some = {index: name for index, name in all_names.items() if name in names}
        for item in observe_tc(namespaces, label, some, all_names).values():
            stands_on = above.get(item.carrier) if item.carrier is not None else None
            found.append(dataclasses.replace(t.cast(Qdisc, item), above=stands_on) if stands_on else item)
    return found


def _filters(
    namespaces: Namespaces, label: str, qdisc: Qdisc, names: t.Mapping[int, str], all_names: t.Mapping[int, str],
) -> State:
    """Those that stand at one qdisc."""
    sides = {"ingress": [INGRESS], "clsact": [INGRESS, EGRESS]}.get(str(qdisc.kind), [qdisc.handle or 0])
    index = next(index for index, name in names.items() if name == qdisc.device)
    state: State = {}
    for side in sides:
        for raw in namespaces[label].dump(netlink.dump_filters(index, side)):
            found = netlink.decode_filter(raw, label, all_names)
            if found is not None:
                found = dataclasses.replace(found, parent=side, above=qdisc.key)
                state[found.key] = found
    return state
