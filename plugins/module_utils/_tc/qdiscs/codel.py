# Copyright: pipework.containers contributors
# GNU General Public License v3.0+ (see LICENSE)
"""codel: drops what has waited too long."""
from __future__ import annotations

from ..spec import flat
from ..units import CODEL_TIME, FLAG, NUMBER32

KIND = flat({
    "target": (1, "uint32", CODEL_TIME), "limit": (2, "uint32", NUMBER32), "interval": (3, "uint32", CODEL_TIME),
    "ecn": (4, "uint32", FLAG), "ce_threshold": (5, "uint32", CODEL_TIME),
}, kernel="CONFIG_NET_SCH_CODEL")
