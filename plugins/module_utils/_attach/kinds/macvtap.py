# Copyright: pipework.containers contributors
# GNU General Public License v3.0+ (see LICENSE)
"""Kind macvtap: a macvlan that a program can also read and write frames on, as virtual machines do."""
from __future__ import annotations

import typing as t

from ..._core.plan import Absent, KernelObject
from ..site import Site
from .macvlan import upon_nic


def wanted(site: Site) -> t.Iterator[KernelObject | Absent]:
    return upon_nic(site, "macvtap", site.item.mode or "bridge")
