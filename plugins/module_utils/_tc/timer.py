# Copyright: pipework.containers contributors
# GNU General Public License v3.0+ (see LICENSE)
"""Timed impairments: one file under /run and one process for each interface that has one."""
from __future__ import annotations

import os
import typing as t

from .._core.errors import PipeworkError
from .._core.plan import Operation
from .._delayed import process as delayed_process
from .._delayed import records as delayed_records
from .._engine.executors import Executors, one_by_one
from .._netlink.namespaces import Namespaces
from . import netlink
from .model import Timer


def _path(label: str, device: str) -> str:
    return delayed_records.path_of(label, device)


def observe(namespaces: Namespaces, label: str, device: str) -> Timer | None:
    """The timer that runs for an interface; None for one whose process is gone, or whose container is another one."""
    record = delayed_records.read(_path(label, device))
    status = os.fstat(namespaces[label].fd)
    if record is None or record["namespace"] != [status.st_dev, status.st_ino]:
        return None
    if record["cookie"] not in (None, namespaces[label].inside(delayed_process.cookie)):
        return None  # the number of a namespace that is gone may be that of another one
    restore = None
    if record["back"] is not None:
        message = bytes.fromhex(record["back"]["message"])
        restore = netlink.decode_qdisc(message, label, {netlink.peek(message).device: device})
    return Timer(label, device, record["seconds"], record["settings"], restore=restore, record=record)


def change(operation: Operation, namespaces: Namespaces) -> None:
    """Starts, renews or ends a timer."""
    timer = t.cast(Timer, operation.subject)
    path = _path(timer.ns, timer.device)
    running = observe(namespaces, timer.ns, timer.device)
    record = None if operation.action == "delete" else timer.record or _record(timer, running, namespaces)
    delayed_records.stop(path, forget=record is None)  # also that of a container which had the name before
    if record is not None:
        delayed_records.start(path, record, "timer", "pipework_tc: ends a timed impairment")


def left(timer: Timer) -> float:
    """Seconds until it ends."""
    return delayed_records.left(timer.record)


def _record(timer: Timer, running: Timer | None, namespaces: Namespaces) -> dict[str, t.Any]:
    """All that the process needs to know."""
    netns = namespaces[timer.ns]
    index = netns.index(timer.device)
    expected, cookie = netns.inside(lambda: (delayed_process.root_of(index), delayed_process.cookie()))
    if expected is None or timer.ends is None:
        raise PipeworkError(f"duration: {timer.device} has no qdisc to be timed.")
    back: dict[str, t.Any] | None = None
    if running is not None and running.record:
        back = running.record["back"]  # what was there before the first of them
    elif timer.restore is not None:
        old = timer.restore
        back = {"kind": old.kind, "handle": old.handle, "message": netlink.new_qdisc(old, index).hex()}
    messages = [netlink.delete_qdisc(timer.ends, index).hex()]
    if back is not None and (back["kind"], back["handle"]) == (timer.ends.kind, timer.ends.handle):
        messages = [netlink.as_change(bytes.fromhex(back["message"])).hex()]
    elif back is not None:
        messages.append(back["message"])
    status = os.fstat(netns.fd)
    return {
        "namespace": [status.st_dev, status.st_ino], "cookie": cookie, "index": index, "expected": expected,
        "messages": messages, "back": back,
        "deadline": delayed_process.now() + (timer.seconds or 0), "seconds": timer.seconds, "settings": timer.settings,
    }


EXECUTORS: Executors = {"timer": one_by_one(change)}
