# Copyright: pipework.containers contributors
# GNU General Public License v3.0+ (see LICENSE)
"""Stands in for the module's Python: runs it, and notes what it took.

record.py NOTES PYTHON ARGUMENT...
"""

from __future__ import annotations

import json
import os
import sys
import time

start = time.perf_counter()
_pid, status, usage = os.wait4(os.posix_spawn(sys.argv[2], sys.argv[2:], os.environ), 0)
note = {
    "wall": (time.perf_counter() - start) * 1e3,
    "cpu": (usage.ru_utime + usage.ru_stime) * 1e3,
    "peak": usage.ru_maxrss * 1024 / 1e6,
}
with open(sys.argv[1], "a", encoding="ascii") as notes:
    notes.write(json.dumps(note) + "\n")
sys.exit(os.waitstatus_to_exitcode(status))
