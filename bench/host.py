# Copyright: pipework.containers contributors
# GNU General Public License v3.0+ (see LICENSE)
"""The benchmark's own host: its bridge, its links, and whether it has come to rest."""

from __future__ import annotations

import os
import re
import subprocess
import time
from collections.abc import Callable, Sequence
from pathlib import Path

BRIDGE = "pwbbr0"
GROUP = "1886872166"  # nothing else uses it
LINKS = Path("/sys/class/net")

IDLE = 0.9  # of all CPU time
WINDOW = 0.25
# At most so long, in s; then measure all the same, and say so.
PATIENCE, PATIENCE_PER_LINK = 2.0, 0.013

found: set[str] = set()  # links of a fresh namespace, such as lo
restless = 0  # measurements that began on a busy machine


def remember() -> None:
    found.update(os.listdir(LINKS))


def run(arguments: Sequence[str | os.PathLike[str]], **more: object) -> str:
    """The program's output; its complaint becomes the exception's message."""
    done = subprocess.run(arguments, check=False, capture_output=True, text=True, **more)  # type: ignore[call-overload]
    if done.returncode:
        said = (done.stdout + done.stderr).strip().splitlines() or [f"rc {done.returncode}"]
        error = next((line for line in said if re.match(r"\[?(ERROR|fatal)\b", line)), said[-1])
        raise RuntimeError(f"{Path(arguments[0]).name}: {error[:300]}")
    return str(done.stdout)


def timed(action: Callable[[], object]) -> float:
    """Milliseconds."""
    start = time.perf_counter()
    action()
    return (time.perf_counter() - start) * 1e3


def make_bridge(up: bool = True) -> None:
    run(["ip", "link", "add", BRIDGE, "mtu", "1500", "type", "bridge"])
    if up:
        run(["ip", "link", "set", BRIDGE, "up"])


def clear() -> None:
    """Removes every link that a measurement has made, all in one go."""
    links = sorted(set(os.listdir(LINKS)) - found)
    if links:
        batch = "".join(f"link set {link} group {GROUP}\n" for link in links)
        run(["ip", "-batch", "-"], input=batch)
        run(["ip", "link", "del", "group", GROUP])


def rest(count: int) -> None:
    """Waits until the frames that new ends send by themselves (DAD, MLD, RS) are flooded and the deleted are gone."""
    global restless
    deadline = time.monotonic() + PATIENCE + count * PATIENCE_PER_LINK
    calm = 0
    while calm < 2:
        if time.monotonic() > deadline:
            restless += 1
            return
        idle, total = cpu_time()
        time.sleep(WINDOW)
        idle_now, total_now = cpu_time()
        calm = calm + 1 if idle_now - idle >= IDLE * (total_now - total) else 0


def cpu_time() -> tuple[int, int]:
    values = [int(value) for value in Path("/proc/stat").read_text().splitlines()[0].split()[1:]]
    return values[3] + values[4], sum(values)
