# Copyright: pipework.containers contributors
# GNU General Public License v3.0+ (see LICENSE)
"""The errors that reach a user: one clear message each."""
from __future__ import annotations


class PipeworkError(Exception):
    """What went wrong, in one sentence that names the option, the value and what would be right.

    ``undone`` tells whether anything had been changed when it happened: ``None`` when nothing was touched,
    else a sentence about what was taken back and what could not be.
    """

    def __init__(self, message: str, undone: str | None = None) -> None:
        super().__init__(message if undone is None else f"{message} {undone}")
        self.message = message
        self.results: dict[str, object] = {}  # what a failed task returns besides
        self.undone = undone
