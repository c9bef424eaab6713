# Copyright: pipework.containers contributors
# GNU General Public License v3.0+ (see LICENSE)
"""ingress: where filters of what comes in stand. Nothing waits here."""
from __future__ import annotations

from ..spec import bare

KIND = bare("CONFIG_NET_SCH_INGRESS")
