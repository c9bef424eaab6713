# Copyright: pipework.containers contributors
# GNU General Public License v3.0+ (see LICENSE)
"""drr: classes that are served in turn. The qdisc and its classes."""
from __future__ import annotations

from ..spec import bare, flat
from ..units import SIZE

KIND = bare("CONFIG_NET_SCH_DRR", classful=True)
CLASS = flat({"quantum": (1, "uint32", SIZE)})
