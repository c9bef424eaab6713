# Copyright: pipework.containers contributors
# GNU General Public License v3.0+ (see LICENSE)
"""Runs the module, and where the move of a NIC waits to be confirmed comes back over a new connection to confirm it."""
from __future__ import annotations

from ansible_collections.pipework.containers.plugins.action.pipework_shim import ActionModule as ShimAction


class ActionModule(ShimAction):
    """The task pipework_attach."""

    MODULE = "pipework.containers.pipework_attach"
    MANY = "attachments"
    _supports_async = True
