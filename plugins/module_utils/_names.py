# Copyright: pipework.containers contributors
# GNU General Public License v3.0+ (see LICENSE)
"""Names that the host gives to numbers of routing tables and protocols, as iproute2 reads them."""
from __future__ import annotations

import glob
import os
import re

from ._route_words import PROTOCOLS, TABLES, Names

FOLDERS = ("/usr/share/iproute2", "/etc/iproute2")  # the latter goes before the former


def read_names() -> Names:
    """Those of the host; a container's own are never read."""
    return Names({**TABLES, **_read("rt_tables")}, {**PROTOCOLS, **_read("rt_protos")})


def _read(name: str) -> dict[str, int]:
    found: dict[str, int] = {}
    for folder in FOLDERS:
        path = os.path.join(folder, name)
        for each in (path, *sorted(glob.glob(glob.escape(path) + ".d/*.conf"))):
            try:
                with open(each, encoding="utf-8", errors="replace") as handle:
                    found.update(parse(handle.read()))
            except OSError:
                continue
    return found


def parse(text: str) -> dict[str, int]:
    """Lines of a number and a name. The numbers may be written in hex."""
    found = {}
    for line in text.splitlines():
        match = re.match(r"\s*(0[xX][0-9a-fA-F]+|\d+)\s+([^\s#]+)", line)
        if match:
            found[match[2]] = int(match[1], 0) if match[1].lower().startswith("0x") else int(match[1])
    return found
