# Copyright: pipework.containers contributors
# GNU General Public License v3.0+ (see LICENSE)
"""fq_codel: fair queueing, and codel for each flow."""
from __future__ import annotations

from ..spec import flat
from ..units import CODEL_TIME, FLAG, NUMBER32, SIZE

KIND = flat({
    "target": (1, "uint32", CODEL_TIME), "limit": (2, "uint32", NUMBER32), "interval": (3, "uint32", CODEL_TIME),
    "ecn": (4, "uint32", FLAG), "flows": (5, "uint32", NUMBER32), "quantum": (6, "uint32", NUMBER32),
    "ce_threshold": (7, "uint32", CODEL_TIME), "drop_batch": (8, "uint32", NUMBER32),
    "memory_limit": (9, "uint32", SIZE),
}, fixed=["flows"], kernel="CONFIG_NET_SCH_FQ_CODEL")
