# Copyright: pipework.containers contributors
# GNU General Public License v3.0+ (see LICENSE)
"""What the machines of the kernel lanes have in common."""
from __future__ import annotations

import os
import pathlib

CHECKOUT = pathlib.Path(__file__).resolve().parent.parent.parent
PATH = os.environ.get("PATH", "") + ":/usr/sbin:/sbin"

# Exit codes of the lanes themselves; everything else is pytest's.
UNAVAILABLE, NO_RESULT, TIMEOUT = 69, 70, 124


class LaneError(Exception):
    """Why no tests ran, and the exit code that says so."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code = code
