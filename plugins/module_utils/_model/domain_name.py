# Copyright: pipework.containers contributors
# GNU General Public License v3.0+ (see LICENSE)
"""Names of domains. Pure."""
from __future__ import annotations

import re

WORD = re.compile(r"[A-Za-z0-9_]([A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?")


def domain_name(text: str) -> str | None:
    """A domain's name, None for what is none: it may come to stand in files and in the output of programs."""
    words = text.rstrip(".").split(".")
    return ".".join(words) if len(text) < 254 and all(WORD.fullmatch(word) for word in words) else None
