# Copyright: pipework.containers contributors
# GNU General Public License v3.0+ (see LICENSE)
"""What a run of attachments brings to the host's NICs, or moves away. Pure."""
from __future__ import annotations

import typing as t

from .._core.plan import Desired, State
from .._model.keys import link_key
from .._model.objects import Link
from .context import Target
from .nic_users import FAMILIES, Newcomer, upper_of


def newcomers(targets: t.Iterable[Target], state: State, desired: Desired) -> list[Newcomer]:
    """The interfaces that come to a NIC or change there, and NICs that move into a container. Empty in a run that
    changes none of these: nobody has to look into other namespaces for it."""
    found = []
    for target in targets:
        key = link_key(str(target.label), target.item.interface)
        link, have = desired.get(key), state.get(key)
        if not isinstance(link, Link) or not link.parent:
            continue
        upper = upper_of(f"{target.label}/{link.ifname}", link)
        if link.type == "phys":
            if have is None or link.must_replace(have):
                found.append(Newcomer(target.item, link.parent, upper, moves=True, force=bool(target.item.force)))
        elif link.type in FAMILIES and (have is None or link.differences(have) & {"type", "parent", "settings", "mac"}):
            found.append(Newcomer(target.item, link.parent, upper))
    return found
