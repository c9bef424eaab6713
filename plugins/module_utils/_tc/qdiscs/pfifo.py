# Copyright: pipework.containers contributors
# GNU General Public License v3.0+ (see LICENSE)
"""pfifo: first come, first served, up to so many packets."""
from __future__ import annotations

from ..spec import struct
from ..units import NUMBER32

KIND = struct({"limit": ("I", NUMBER32)}, {}, kernel="CONFIG_NET_SCH_FIFO")
