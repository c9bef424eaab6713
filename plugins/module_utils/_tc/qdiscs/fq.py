# Copyright: pipework.containers contributors
# GNU General Public License v3.0+ (see LICENSE)
"""fq: fair queueing, and pacing of what the host itself sends."""
from __future__ import annotations

from ..._core.errors import PipeworkError
from ..spec import flat
from ..units import FLAG, MICROSECONDS, NUMBER32, RATE32, SIZE, TIME, Unit


def _read_log(value: object) -> int:
    number = NUMBER32.read(value)
    if number < 1 or number & number - 1:
        raise PipeworkError(f"{value!r} is not a power of two.")
    return number.bit_length() - 1


KIND = flat({
    "limit": (1, "uint32", NUMBER32), "flow_limit": (2, "uint32", NUMBER32), "quantum": (3, "uint32", SIZE),
    "initial_quantum": (4, "uint32", SIZE), "pacing": (5, "uint32", FLAG), "maxrate": (7, "uint32", RATE32),
    "buckets": (8, "uint32", Unit(_read_log, lambda log: 1 << log, "1024")),
    "refill_delay": (9, "uint32", MICROSECONDS), "orphan_mask": (10, "uint32", NUMBER32),
    "low_rate_threshold": (11, "uint32", RATE32), "ce_threshold": (12, "uint32", MICROSECONDS),
    "timer_slack": (13, "uint32", TIME), "horizon": (14, "uint32", MICROSECONDS), "horizon_drop": (15, "uint8", FLAG),
}, kernel="CONFIG_NET_SCH_FQ")
