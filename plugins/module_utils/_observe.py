# Copyright: pipework.containers contributors
# GNU General Public License v3.0+ (see LICENSE)
"""Reads all open namespaces: one dump of each sort in each."""
from __future__ import annotations

import os

from ._facts import Facts
from ._model import HOST
from ._netlink import Namespaces


def observe(namespaces: Namespaces, routes_of_host: bool = False) -> Facts:
    """What the kernel shows. The host's own routes may be many, and matter only where a NIC or a bridge goes."""
    facts = Facts(devices={label: namespaces[label].devices() for label in namespaces}, host_seed=_host_seed())
    for label in namespaces:
        names = {device.index: device.name for device in facts.devices[label].values()}
        facts.addresses[label] = namespaces[label].addresses(names) if names else []
        if names and (label != HOST or routes_of_host):
            facts.routes[label] = namespaces[label].routes(names)
        facts.nsids[label] = namespaces[HOST].nsid(namespaces[label])
    return facts


def _host_seed() -> str:
    """What tells this host from others, so that two hosts do not give their bridges the same address."""
    try:
        with open("/etc/machine-id", encoding="ascii") as handle:
            return handle.read().strip() or os.uname().nodename
    except (OSError, UnicodeDecodeError):
        return os.uname().nodename
