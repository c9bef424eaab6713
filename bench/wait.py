# Copyright: pipework.containers contributors
# GNU General Public License v3.0+ (see LICENSE)
"""Measures how soon those return who wait for an interface; writes the table into docs/benchmarks.md."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import random
import socket
import statistics
import struct
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(CHECKOUT / ".cache" / "collections"), str(CHECKOUT)]

from tests.integration.lab import IFF_UP, SIOCSIFFLAGS, Host, wait_for  # noqa: E402

PAGE = CHECKOUT / "docs" / "benchmarks.md"
BEGIN, END = "<!-- wait: begin -->", "<!-- wait: end -->"
ROUNDS = 20
TARGET = 20.0
CLASSIC = "while ! grep -q '^1$' /sys/class/net/eth1/carrier 2>/dev/null; do sleep 1; done"
MODULE = f"""
import sys; sys.path[:0] = {[p for p in sys.path if p]!r}
import ansible.module_utils.basic as basic; basic._ANSIBLE_PROFILE = 'legacy'
from ansible_collections.pipework.containers.plugins.modules import pipework_wait; pipework_wait.main()
"""
ARGUMENTS = {"container": "a", "runtime": "netns", "_ansible_remote_tmp": "/run"}


def listens(host: Host) -> bool:
    lines = host.sh("cat", "/proc/net/netlink", ns="a").splitlines()[1:]
    return any(line.split()[1] == "0" and int(line.split()[3], 16) & 1 for line in lines)


def measure(host: Host, argv: list[str], ready: Callable[[], bool]) -> tuple[float, float]:
    """Milliseconds from the moment that the far end comes up to the answer, and to the end of who waits."""
    host.batch("link add far type veth peer name eth1\nlink set eth1 netns a\n")
    host.batch("link set eth1 up\n", ns="a")
    text = json.dumps({"ANSIBLE_MODULE_ARGS": ARGUMENTS})

    def run() -> tuple[float, float]:
        with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdin is not None and process.stdout is not None
            process.stdin.write(text)
            process.stdin.close()
            process.stdout.readline()
            answered = time.monotonic()
            assert process.wait() == 0
        return answered, time.monotonic()

    def event() -> float:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            now = time.monotonic()
            fcntl.ioctl(sock, SIOCSIFFLAGS, struct.pack("16sh14x", b"far", IFF_UP))
        return now

    work = host.start(run)
    wait_for("it to wait", ready, 30)
    time.sleep(random.uniform(0, 1))  # any moment of a loop that looks once a second
    begun = host.call(event)
    answered, ended = work.wait()
    host.batch("link del far\n")
    return (answered - begun) * 1000, (ended - begun) * 1000


def main() -> int:
    inside = ["ip", "netns", "exec", "a"]
    rows = (
        ("`pipework_wait`", [sys.executable, "-c", MODULE], True),
        ("`files/pipework-wait` (sh, looks ten times a second)", [*inside, "sh", str(CHECKOUT / "files/pipework-wait")],
         False),
        ("the classic loop (`sleep 1`)", [*inside, "sh", "-c", CLASSIC], False),
    )
    lines = ["| ms from the event, waiting for | median | 95 % | most |", "|---|--:|--:|--:|"]
    met = True
    with contextlib.closing(Host("a")) as host:
        for title, argv, heard in rows:
            begun = time.monotonic()
            ready = (lambda: listens(host)) if heard else (lambda since=begun: time.monotonic() > since + 0.3)
            both = [measure(host, argv, ready) for _round in range(ROUNDS)]
            for place, what in ((0, "to its answer"), (1, "to the end of its process")):
                if place == 1 or heard:
                    times = sorted(each[place] for each in both)
                    median, most = statistics.median(times), times[-1]
                    shown = f"{title}, {what}" if heard else title
                    lines.append(f"| {shown} | {median:.1f} | {times[int(ROUNDS * 0.95) - 1]:.1f} | {most:.1f} |")
                    met = median < TARGET if heard and place == 0 else met
    lines += ["", f"Target: `pipework_wait` answers within {TARGET:g} ms: {'met' if met else '**not met**'}."]
    text = "\n".join(lines)
    print(text)
    page = PAGE.read_text()
    PAGE.write_text(f"{page.split(BEGIN)[0]}{BEGIN}\n{text}\n{END}{page.split(END)[1]}")
    return 0


if __name__ == "__main__":
    if os.geteuid() != 0:
        sys.exit("bench: needs root: sudo make bench")
    sys.exit(main())
