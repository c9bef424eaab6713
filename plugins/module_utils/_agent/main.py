# Copyright: pipework.containers contributors
# GNU General Public License v3.0+ (see LICENSE)
"""How the process that stays begins: as the only one of its host."""
from __future__ import annotations

import fcntl
import json
import os
import resource
import signal
import sys
import time
import traceback

from .._ipam import store as files
from .loop import HOME, Keeper


def _alone(program: str) -> int | None:
    """The lock that says who keeps this host's leases; None where another process does."""
    handle = os.open(os.path.join(HOME, "lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    for _attempt in range(50):  # somebody may just be looking whether it is free
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            time.sleep(0.02)
            continue
        os.ftruncate(handle, 0)
        os.write(handle, json.dumps({"pid": os.getpid(), "program": program}).encode())
        return handle
    return None


def main() -> None:
    come, gone = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
    signal.signal(signal.SIGHUP, lambda _number, _frame: None)  # before anybody knows whom to send it to
    signal.set_wakeup_fd(gone, warn_on_full_buffer=False)
    if _alone(os.path.basename(sys.argv[0])) is None:
        return
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    keeper = Keeper()

    def look_again() -> None:
        os.read(come, 1 << 10)
        keeper.look_again()

    keeper.listen_to(come, look_again)
    try:
        keeper.run()
    except Exception:
        files.write(os.path.join(HOME, "crash"), traceback.format_exc())  # nobody else hears it
        raise
