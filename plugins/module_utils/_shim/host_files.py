# Copyright: pipework.containers contributors
# GNU General Public License v3.0+ (see LICENSE)
"""Files of ours on the host, read and written as a whole."""
from __future__ import annotations

import contextlib
import glob
import os
import typing as t

from .._core.plan import Operation
from .._delayed import process as delayed_process
from .._model.objects import HOST
from .persistence import HostFile

NETIF = "/run/systemd/netif/links/{}"


def observe(patterns: t.Iterable[str]) -> list[HostFile]:
    """What there is in these places, whoever made it."""
    found = []
    for path in (each for pattern in patterns for each in sorted(glob.glob(pattern))):
        with contextlib.suppress(OSError), open(path, encoding="utf-8", errors="surrogateescape") as handle:
            found.append(HostFile(HOST, path, handle.read()))
    return found


def network_file(index: int) -> str | None:
    """The name of the file by which networkd sets up an interface."""
    with contextlib.suppress(OSError), open(NETIF.format(index), encoding="utf-8", errors="replace") as handle:
        for line in handle:
            if line.startswith("NETWORK_FILE="):
                return os.path.basename(line.partition("=")[2].strip()) or None
    return None


def change(operation: Operation, _namespaces: t.Any) -> None:
    """Writes a file, or takes it away with the folder that has become empty; raises OSError."""
    file = t.cast(HostFile, operation.subject)
    content = None if operation.action == "delete" else file.content
    with contextlib.suppress(FileNotFoundError):
        delayed_process.act("file", file.path, content, {})
