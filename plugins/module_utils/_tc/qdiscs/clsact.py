# Copyright: pipework.containers contributors
# GNU General Public License v3.0+ (see LICENSE)
"""clsact: where filters of both directions stand. Nothing waits here."""
from __future__ import annotations

from ..spec import bare

KIND = bare("CONFIG_NET_SCH_INGRESS")
