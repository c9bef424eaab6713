# Copyright: pipework.containers contributors
# GNU General Public License v3.0+ (see LICENSE)
"""Brings a NIC home unless its move is confirmed in time: a process on the host that needs neither the run nor the
controller. What it does is a run of its own, which removes that attachment, from a copy of the collection's files.
"""
from __future__ import annotations

import contextlib
import json
import os
import sys
import typing as t

from .._core.plan import Desired, Operation, State
from .._delayed import process as delayed_process
from .._delayed import records as delayed_records
from .._delayed.confirm import Watchdog
from .._engine.executors import Executors, one_by_one
from .._host import own_code
from .._ipam import store as ipam_store
from .._model.objects import HOST
from .._netlink.namespaces import Namespaces
from .context import Target
from .unconfirmed import confirmed, guards, title

ABOUT = "pipework_attach: brings a NIC home when nobody confirms that it moved"


def observe(namespaces: Namespaces, title: str) -> Watchdog | None:
    """The one that waits."""
    record = delayed_records.read(_path(namespaces, title))
    return None if record is None else Watchdog(HOST, title, record["seconds"], record["nonce"], record=record)


def change(operation: Operation, namespaces: Namespaces) -> None:
    """Starts or ends one."""
    watchdog = t.cast(Watchdog, operation.subject)
    path = _path(namespaces, watchdog.shim)
    program = path.removesuffix(".json") + ".zip"
    record = None if operation.action == "delete" else _record(watchdog, program, namespaces)
    delayed_records.stop(path, forget=record is None)
    if record is None:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(program)
        return
    os.makedirs(delayed_records.FOLDER, mode=0o700, exist_ok=True)
    ipam_store.write(program, own_code.archive("_jobs.attach"))
    delayed_records.start(path, record, "watchdog", ABOUT)


def _path(namespaces: Namespaces, title: str) -> str:
    return delayed_records.path_of("guard", str(os.fstat(namespaces[HOST].fd).st_ino), title)


def _record(watchdog: Watchdog, program: str, namespaces: Namespaces) -> delayed_records.Record:
    status = os.fstat(namespaces[HOST].fd)
    return {
        "namespace": [status.st_dev, status.st_ino], "cookie": namespaces[HOST].inside(delayed_process.cookie),
        "argv": [sys.executable, "-I", "-S", program, json.dumps(dict(watchdog.params or ()))], "remove": [program],
        "nonce": watchdog.nonce, "seconds": watchdog.seconds,
        "deadline": delayed_process.now() + (watchdog.seconds or 0),
    }


def wish_guards(
    targets: t.Sequence[Target], namespaces: Namespaces, state: State, desired: Desired, made: Desired | None,
    confirm: bool,
) -> Desired:
    """Adds who waits, and who is to wait. ``made``: what the run's first picture wanted of it, which counts."""
    waiting = (
        [observe(namespaces, title(target)) for target in targets] if os.path.isdir(delayed_records.FOLDER) else []
    )
    state.update((each.key, each) for each in waiting if each is not None)
    if made is None and confirm:
        made = confirmed(targets, state)
    elif made is None:
        made = {each.key: each for each in guards(targets, state, desired, os.urandom(8).hex())}
    desired.update(made)
    return made


EXECUTORS: Executors = {"watchdog": one_by_one(change)}
