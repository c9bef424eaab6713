# Copyright: pipework.containers contributors
# GNU General Public License v3.0+ (see LICENSE)
"""Processes that do something later, whatever has become of the run that started them: one file of what they are to do,
and one process (process.py) for each.
"""
from __future__ import annotations

import contextlib
import hashlib
import inspect
import json
import os
import signal
import sys
import typing as t

from .._core.strict_json import loads
from .._host import program, systemd_scope
from .._ipam import store as ipam_store
from . import process

RUN_FOLDER = "/run/pipework"  # the same as _engine/run's
FOLDER = os.path.join(RUN_FOLDER, "timers")
Record = dict[str, t.Any]


def path_of(*parts: str) -> str:
    """Where the record of such a process is kept."""
    name = hashlib.sha256("/".join(parts).encode("utf-8", "surrogateescape")).hexdigest()[:24]
    return os.path.join(FOLDER, f"{name}.json")


def _script(path: str) -> str:
    return path.removesuffix(".json") + ".py"


def read(path: str) -> Record | None:
    """A record whose process runs. Raises OSError where that cannot be known."""
    try:
        with open(path, encoding="ascii") as handle:
            record = loads(handle.read())
        runs = _started(int(record["pid"])) == record["started"] != ""
    except (FileNotFoundError, ValueError, KeyError, TypeError):
        return None
    return record if runs and record.get("boot", ipam_store.boot()) == ipam_store.boot() else None


def stop(path: str, forget: bool = True) -> None:
    """Ends the process, and takes away its record unless another one comes in its place."""
    record = read(path)
    if record is not None:
        with contextlib.suppress(ProcessLookupError):
            os.kill(record["pid"], signal.SIGTERM)
    for gone in (path, _script(path)) if forget else ():
        with contextlib.suppress(FileNotFoundError):
            os.unlink(gone)


def start(path: str, record: Record, name: str, about: str) -> None:
    """Starts a process with what it needs to know. ``name``, ``about``: what the host's list of units says of it."""
    os.makedirs(FOLDER, mode=0o700, exist_ok=True)
    script = _script(path)
    _write(script, inspect.getsource(process))  # the process removes it when it has read it
    record = {
        **record, "lock": os.path.join(RUN_FOLDER, "lock"), "token": os.urandom(8).hex(), "pid": 0, "started": "",
        "boot": ipam_store.boot(),
    }
    _write(path, json.dumps(record))
    pid = program.detach(sys.executable, "-I", "-S", script, path)
    _write(path, json.dumps({**record, "pid": pid, "started": _started(pid)}))
    systemd_scope.let_outlive(pid, name, about)


def left(record: Record | None) -> float:
    """Seconds until it acts."""
    return max(0.0, round(float((record or {}).get("deadline", 0)) - process.now(), 1))


def _write(path: str, text: str) -> None:
    try:
        ipam_store.write(path, text)
    except OSError as error:
        raise ipam_store.no_room(error) or error from None


def _started(pid: int) -> str:
    """When a process was started, which tells it from a later one with its number; empty where there is none."""
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as handle:
            words = handle.read().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return ""
    return "" if words[0] == "Z" else words[19]
