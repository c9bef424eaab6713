# Copyright: pipework.containers contributors
# GNU General Public License v3.0+ (see LICENSE)
"""The macros in command lines that containers carry in their environment or labels. Pure."""

from __future__ import annotations

import re
import typing as t

from .._core.errors import PipeworkError

MACROS = ("CONTAINER_NAME", "CONTAINER_ID", "HOSTNAME", "INSTANCE", "COMPOSE_PROJECT_NAME")
PATTERN = re.compile(f"@({'|'.join(MACROS)})@")


def expand(words: t.Iterable[str], values: t.Mapping[str, str | None], option: str = "cmd") -> tuple[str, ...]:
    """The words with each macro's value in its place.

    Words, not a line: a value with spaces or quotes stays inside its word, and a macro in a value is not looked at.
    """
    def value(found: re.Match[str]) -> str:
        text = values.get(found[1])
        if text is None:
            known = ", ".join(name for name in MACROS if values.get(name) is not None) or "none"
            raise PipeworkError(f"{option}: {found[0]} has no value for this container; those that have: {known}.")
        return text

    return tuple(PATTERN.sub(value, word) for word in words)
