# Copyright: pipework.containers contributors
# GNU General Public License v3.0+ (see LICENSE)
"""What comes to NICs and bridges goes with what stands there already, in all namespaces of the host."""
from __future__ import annotations

import typing as t

from .._core.plan import Desired, State
from .._host import other_netns
from .._model.observed import Facts
from .._netlink.namespaces import Namespaces
from . import nic_users, taken
from .context import Target
from .newcomers import newcomers


def check(
    targets: t.Sequence[Target], facts: Facts, state: State, desired: Desired, namespaces: Namespaces,
) -> None:
    """Other namespaces are looked into once, and only where something comes that may not go with what is there."""
    coming, comers = newcomers(targets, state, desired), taken.comers(targets, facts, state, desired)
    if not coming and not comers:
        return
    standing, holders = nic_users.known(facts, state, desired), taken.known(comers, facts, state, desired)
    nics = {facts.host[new.nic].index: new.nic for new in coming if new.nic in facts.host}
    ports = taken.ends(comers, facts, desired)
    for where, device, addresses in other_netns.standing({*nics, *ports}, taken.TYPES, namespaces):
        index, upper = int(device.parent_index or 0), nic_users.elsewhere(where, device)
        if index in nics and device.type in nic_users.UPPERS:
            standing.setdefault(nics[index], []).append(upper)
        if index in ports and device.type in (("veth",) if ports[index].bridged else nic_users.FAMILIES):
            holders.append(taken.Holder(upper.title, ports[index], device.mac, taken.hosts_of(addresses)))
    nic_users.check(coming, standing, facts)
    taken.check(comers, holders)
