# Copyright: pipework.containers contributors
# GNU General Public License v3.0+ (see LICENSE)
"""Names that the host gives to numbers of routing tables and protocols, as iproute2 reads them."""
from __future__ import annotations

import glob
import os
import re
import typing as t

from .._model.route_names import PROTOCOLS, TABLES, Names

FOLDERS = ("/usr/share/iproute2", "/etc/iproute2")  # the latter goes before the former


def read_names() -> Names:
    """Those of the host; a container's own are never read."""
    return Names(known(TABLES, _read("rt_tables")), known(PROTOCOLS, _read("rt_protos")))


def _read(name: str) -> t.Iterator[str]:
    for folder in FOLDERS:
        path = os.path.join(folder, name)
        for each in (path, *sorted(glob.glob(glob.escape(path) + ".d/*.conf"))):
            try:
                with open(each, encoding="utf-8", errors="replace") as handle:
                    yield handle.read()
            except OSError:
                continue


def known(own: t.Mapping[str, int], texts: t.Iterable[str]) -> dict[str, int]:
    """The numbers by their names. The last file names a number; of numbers with one name (FRR has a second ``static``)
    the lowest is meant, as iproute2 has it.
    """
    names = {number: name for name, number in own.items()}
    for text in texts:
        names.update((number, name) for name, number in parse(text).items())
    return {names[number]: number for number in sorted(names, reverse=True)}


def parse(text: str) -> dict[str, int]:
    """Lines of a number and a name. The numbers may be written in hex."""
    found = {}
    for line in text.splitlines():
        match = re.match(r"\s*(0[xX][0-9a-fA-F]{1,8}|[0-9]{1,10})\s+([^\s#]+)", line)
        if match:
            found[match[2]] = int(match[1], 0) if match[1].lower().startswith("0x") else int(match[1])
    return found
