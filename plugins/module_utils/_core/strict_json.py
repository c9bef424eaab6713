# Copyright: pipework.containers contributors
# GNU General Public License v3.0+ (see LICENSE)
"""JSON of files, read so that nothing in it makes anybody stumble: whatever is wrong is one ValueError."""
from __future__ import annotations

import json
import math
import typing as t


def loads(text: str) -> dict[str, t.Any]:
    """An object. Raises ValueError for all else, also for what is too deep and for numbers that are none."""
    try:
        found = json.loads(text, parse_constant=_refuse)
    except RecursionError:
        raise ValueError("it is too deep") from None
    if not isinstance(found, dict):
        raise ValueError("it is no object")
    return found


def number(value: t.Any) -> float:
    """A finite number. Raises ValueError."""
    try:
        found = float(value)
    except (TypeError, OverflowError) as error:
        raise ValueError(str(error)) from None
    if not math.isfinite(found):
        raise ValueError("it is no finite number")
    return found


def _refuse(word: str) -> t.Any:
    raise ValueError(f"{word} is no number")
