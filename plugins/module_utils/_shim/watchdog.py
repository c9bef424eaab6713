# Copyright: pipework.containers contributors
# GNU General Public License v3.0+ (see LICENSE)
"""Takes a run back unless it is confirmed in time: by a process on the host that needs neither the run nor
the controller.

What it does is made here, before anything is changed: the messages of the plan's undo, with placeholders for the
indexes of interfaces, which may be others by then. Each of them may find nothing to be done.
"""
from __future__ import annotations

import os
import typing as t
import zlib

from .._core.plan import Operation, undo
from .._delayed import process as delayed_process
from .._delayed import records as delayed_records
from .._delayed.confirm import Watchdog
from .._engine.requests import REQUESTS
from .._model.objects import HOST, Address, Link
from .._model.sysctl import Sysctl, path_of
from .._netlink import rtnl
from .._netlink.namespaces import Namespaces
from .persistence import HostFile

FIRST = 0x7B000000  # of the placeholders: no interface gets that far
Step = tuple[str, str, t.Optional[str]]


def observe(namespaces: Namespaces, shim: str) -> Watchdog | None:
    """The one that waits."""
    record = delayed_records.read(_path(namespaces, shim))
    if record is None:
        return None
    return Watchdog(HOST, shim, record["seconds"], record["nonce"], record=record)


def change(operation: Operation, namespaces: Namespaces) -> None:
    """Starts, replaces or ends one."""
    watchdog = t.cast(Watchdog, operation.subject)
    path = _path(namespaces, watchdog.shim)
    waiting = observe(namespaces, watchdog.shim)
    record = None if operation.action == "delete" else watchdog.record or _record(watchdog, waiting, namespaces)
    delayed_records.stop(path, forget=record is None)
    if record is not None:
        delayed_records.start(path, record, "watchdog", "pipework_shim: takes back what nobody confirms")


def _path(namespaces: Namespaces, shim: str) -> str:
    return delayed_records.path_of("watchdog", str(os.fstat(namespaces[HOST].fd).st_ino), shim)


def _record(watchdog: Watchdog, waiting: Watchdog | None, namespaces: Namespaces) -> delayed_records.Record:
    places = Placeholders()
    steps = [step for operation in undo(list(watchdog.plan or ())) for step in _steps(operation, places)]
    names = places.names
    if waiting is not None and waiting.record is not None:  # what was there before all that is not confirmed
        names = {**names, **waiting.record["names"]}
        steps += waiting.record["steps"]
    steps += [("frame", interface, frame) for interface, frame in watchdog.frames or ()]
    status = os.fstat(namespaces[HOST].fd)
    return {
        "namespace": [status.st_dev, status.st_ino], "cookie": namespaces[HOST].inside(delayed_process.cookie),
        "steps": steps, "names": names, "nonce": watchdog.nonce, "seconds": watchdog.seconds,
        "deadline": delayed_process.now() + (watchdog.seconds or 0),
    }


def _steps(operation: Operation, places: Placeholders) -> t.Iterator[Step]:
    subject = operation.subject
    namespaces = t.cast(Namespaces, places)
    if isinstance(subject, Sysctl):
        yield "sysctl", "/proc/sys/" + path_of(subject.parameter, subject.device), subject.value
    elif isinstance(subject, Link) and operation.action == "delete":
        yield "netlink", "", rtnl.delete_link(places.index(subject.ifname)).hex()
    elif isinstance(subject, HostFile):
        yield "file", subject.path, None if operation.action == "delete" else subject.content
    elif not isinstance(subject, Watchdog):
        encode = REQUESTS[Address.KIND if isinstance(subject, Address) else subject.order_kind, operation.action]
        for _ns, message in encode(operation.before, operation.after, namespaces):
            yield "netlink", "", message.hex()


class Placeholders:
    """What stands for the open namespaces when messages are made for later."""

    fd = -1

    def __init__(self) -> None:
        self.names: dict[str, int] = {}

    def __getitem__(self, label: str) -> Placeholders:
        return self

    def index(self, name: str) -> int:
        return self.names.setdefault(name, FIRST + zlib.crc32(name.encode("utf-8", "surrogateescape")) % (1 << 24))

    def forget(self, name: str) -> None:
        """Nothing is known that could change."""

    def sysctl(self, path: str, value: str) -> None:
        """Set by then."""
