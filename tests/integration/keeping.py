# Copyright: pipework.containers contributors
# GNU General Public License v3.0+ (see LICENSE)
"""Looks at the process that stays with leases and addresses, and ends it with a test."""

from __future__ import annotations

import contextlib
import glob
import json
import os
import signal
import typing as t
from collections.abc import Iterator

from tests.integration.lab import Host, wait_for

LONG = 60  # seconds, for what a slow machine does late


def alive(pid: int) -> bool:
    with contextlib.suppress(OSError), open(f"/proc/{pid}/stat", encoding="ascii", errors="replace") as handle:
        return handle.read().rpartition(")")[2].split()[0] != "Z"
    return False


def status(host: Host, duty: str = "lease") -> dict[str, t.Any]:
    """What it says of the one attachment that it keeps."""

    def look() -> dict[str, t.Any]:
        found: list[dict[str, t.Any]] = []
        for path in glob.glob("/run/pipework/dhcp/*/status"):
            with contextlib.suppress(FileNotFoundError), open(path, encoding="utf-8") as handle:
                said = json.load(handle)
                found.append({**said, **said.get(duty, {})})
        return found[0] if found else {}

    return host.call(look)


def keeper(host: Host) -> int | None:
    """Its process ID."""

    def look() -> int | None:
        with contextlib.suppress(OSError, ValueError), open("/run/pipework/keeper/lock", encoding="ascii") as handle:
            return int(json.load(handle)["pid"])
        return None

    return host.call(look)


def kill(host: Host) -> None:
    """As the kernel does when there is no memory left."""
    pid = keeper(host)
    if pid is not None and alive(pid):
        os.kill(pid, signal.SIGKILL)
        wait_for("its end", lambda: not alive(pid))


@contextlib.contextmanager
def ended(host: Host) -> Iterator[Host]:
    """A host on which no process is left at the end."""
    try:
        yield host
    finally:
        kill(host)


def left(host: Host) -> list[str]:
    folders = ("/run/pipework/keeper", "/run/pipework/dhcp")
    return host.call(lambda: [each for each in folders if os.path.exists(each)])


def is_over(host: Host, pid: int) -> None:
    """Nothing is left of the process."""
    wait_for("the end of the process", lambda: not alive(pid), LONG)
    assert not left(host)


def kinds(done: dict[str, t.Any]) -> list[tuple[str, str]]:
    return [(each["action"], each["kind"]) for each in done["operations"]]
