# Copyright: pipework.containers contributors
# GNU General Public License v3.0+ (see LICENSE)
"""sfq: a queue for each of many flows, each served in turn."""
from __future__ import annotations

from ..spec import struct
from ..units import NUMBER32, SECONDS, SIZE

KIND = struct({
    "quantum": ("I", SIZE), "perturb": ("i", SECONDS), "limit": ("I", NUMBER32), "divisor": ("I", NUMBER32),
    "flows": ("I", NUMBER32),
}, {"perturb": "0"}, fixed=["divisor"], kernel="CONFIG_NET_SCH_SFQ")
