# Copyright: pipework.containers contributors
# GNU General Public License v3.0+ (see LICENSE)
"""Timed impairments: one file under /run and one process for each interface that has one."""
from __future__ import annotations

import contextlib
import hashlib
import inspect
import json
import os
import signal
import sys
import typing as t

from . import _codec_tc, _program, _timer
from ._errors import PipeworkError
from ._netlink import Namespaces
from ._plan import Operation
from ._tc_model import Timer

RUN_FOLDER = "/run/pipework"  # the same as _run's
FOLDER = os.path.join(RUN_FOLDER, "timers")


def _path(label: str, device: str) -> str:
    name = hashlib.sha256(f"{label}/{device}".encode("utf-8", "surrogateescape")).hexdigest()[:24]
    return os.path.join(FOLDER, f"{name}.json")


def observe(namespaces: Namespaces, label: str, device: str) -> Timer | None:
    """The timer that runs for an interface; None for one whose process is gone, or whose container is another one."""
    record = _read(_path(label, device))
    status = os.fstat(namespaces[label].fd)
    if record is None or record["namespace"] != [status.st_dev, status.st_ino]:
        return None
    return Timer(label, device, record["seconds"], record["settings"], record=record)


def _read(path: str) -> dict[str, t.Any] | None:
    """A record whose process runs."""
    try:
        with open(path, encoding="ascii") as handle:
            record = dict(json.load(handle))
    except (OSError, ValueError):
        return None
    return record if _started(record["pid"]) == record["started"] != "" else None


def change(operation: Operation, namespaces: Namespaces) -> None:
    """Starts, renews or ends a timer."""
    timer = t.cast(Timer, operation.subject)
    path = _path(timer.ns, timer.device)
    running = observe(namespaces, timer.ns, timer.device)
    record = None if operation.action == "delete" else timer.record or _record(timer, running, namespaces)
    other = _read(path)  # also that of a container which had the name before
    if other is not None:
        with contextlib.suppress(ProcessLookupError):
            os.kill(other["pid"], signal.SIGTERM)
    if record is None:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(path)
        return
    _start(path, record)


def left(timer: Timer) -> float:
    """Seconds until it ends."""
    return max(0.0, round(float((timer.record or {}).get("deadline", 0)) - _timer.now(), 1))


def _record(timer: Timer, running: Timer | None, namespaces: Namespaces) -> dict[str, t.Any]:
    """All that the process needs to know."""
    netns = namespaces[timer.ns]
    index = netns.index(timer.device)
    expected, cookie = netns.inside(lambda: (_timer.root_of(index), _timer.cookie()))
    if expected is None or timer.ends is None:
        raise PipeworkError(f"duration: {timer.device} has no qdisc to be timed.")
    back: dict[str, t.Any] | None = None
    if running is not None and running.record:
        back = running.record["back"]  # what was there before the first of them
    elif timer.restore is not None:
        old = timer.restore
        back = {"kind": old.kind, "handle": old.handle, "message": _codec_tc.new_qdisc(old, index).hex()}
    messages = [_codec_tc.delete_qdisc(timer.ends, index).hex()]
    if back is not None and (back["kind"], back["handle"]) == (timer.ends.kind, timer.ends.handle):
        messages = [_codec_tc.as_change(bytes.fromhex(back["message"])).hex()]
    elif back is not None:
        messages.append(back["message"])
    status = os.fstat(netns.fd)
    return {
        "namespace": [status.st_dev, status.st_ino], "cookie": cookie, "index": index, "expected": expected,
        "messages": messages, "back": back, "lock": os.path.join(RUN_FOLDER, "lock"),
        "deadline": _timer.now() + (timer.seconds or 0), "seconds": timer.seconds, "settings": timer.settings,
    }


def _start(path: str, record: dict[str, t.Any]) -> None:
    os.makedirs(FOLDER, mode=0o700, exist_ok=True)
    script = path.removesuffix(".json") + ".py"
    _write(script, inspect.getsource(_timer))  # the process removes it when it has read it
    record = {**record, "token": os.urandom(8).hex(), "pid": 0, "started": ""}
    _write(path, json.dumps(record))
    pid = _program.detach(sys.executable, "-I", "-S", script, path)
    _write(path, json.dumps({**record, "pid": pid, "started": _started(pid)}))


def _write(path: str, text: str) -> None:
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW
    with open(os.open(path + ".new", flags, 0o600), "w", encoding="utf-8") as handle:
        handle.write(text)
    os.rename(path + ".new", path)


def _started(pid: int) -> str:
    """When a process was started, which tells it from a later one with its number; empty where there is none."""
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as handle:
            words = handle.read().rpartition(")")[2].split()
    except OSError:
        return ""
    return "" if words[0] == "Z" else words[19]
