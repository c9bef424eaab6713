# Copyright: pipework.containers contributors
# GNU General Public License v3.0+ (see LICENSE)
"""prio: bands, of which a later one waits for all before it."""
from __future__ import annotations

import typing as t

from ..._core.errors import PipeworkError
from ..spec import Kind, Layout, Settings, Tree
from ..units import NUMBER32, Unit


def _read_map(value: t.Any) -> list[int]:
    words = value if isinstance(value, (list, tuple)) else str(value).split()
    found = [NUMBER32.read(word) for word in words]
    if len(found) != 16:
        raise PipeworkError(f"{value!r} has {len(found)} bands; there are 16 priorities, each with a band.")
    return found


PRIOMAP = Unit(_read_map, lambda bands: " ".join(str(band) for band in bands), "1 2 2 2 1 2 0 0 1 1 1 1 1 1 1 1")
OPTIONS = {"bands": NUMBER32, "priomap": PRIOMAP}
DEFAULTS: Settings = {"bands": 3, "priomap": PRIOMAP.example}


def _check(given: Settings) -> None:
    bands = NUMBER32.read(given["bands"])
    if not 2 <= bands <= 16:
        raise PipeworkError(f"bands: {given['bands']!r} is not possible; there are 2 to 16.")
    if max(PRIOMAP.read(given["priomap"])) >= bands:
        raise PipeworkError(f"priomap: {given['priomap']!r} names a band that is not there (0 to {bands - 1}).")


def encode(settings: Settings) -> Tree:
    bands = PRIOMAP.read(settings["priomap"])
    return {"bands": NUMBER32.read(settings["bands"]), **{f"p{place}": band for place, band in enumerate(bands)}}


def decode(tree: Tree) -> Settings:
    return {"bands": tree["bands"], "priomap": PRIOMAP.show([tree[f"p{place}"] for place in range(16)])}


KIND = Kind(
    Layout(head=(("bands", "i"), *((f"p{place}", "B") for place in range(16)))), OPTIONS, encode, decode,
    defaults=DEFAULTS, check=_check, kernel="CONFIG_NET_SCH_PRIO", classful=True,
)
