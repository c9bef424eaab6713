# Copyright: pipework.containers contributors
# GNU General Public License v3.0+ (see LICENSE)
"""bfifo: first come, first served, up to so many bytes."""
from __future__ import annotations

from ..spec import struct
from ..units import SIZE

KIND = struct({"limit": ("I", SIZE)}, {}, kernel="CONFIG_NET_SCH_FIFO")
