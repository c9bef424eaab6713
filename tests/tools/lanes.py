# Copyright: pipework.containers contributors
# GNU General Public License v3.0+ (see LICENSE)
"""lanes.py NAME…: run the named lanes one after another, show and keep what they print, and add up.

A test against real kernels, engines that fails is tried once more, on hosts made anew, and named at the end:
what they do beside (reports, probes, start-up) keeps its own time. A defect fails twice.

A lane is a command that ends with pytest's summary, or with a line `N passed, N failed`. One that fails without
saying what counts as one failure, and so does one that says nothing at all: a lane that tests nothing has not passed.
The last line here is `N passed, N failed`, with `, N skipped` where something was; the reasons stand above it.
"""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(os.environ["ROOT"])
CACHE = Path(os.environ["CACHE"])
LOGS = CACHE / "logs"

PYTEST = [sys.executable, "-m", "pytest", "--color=no"]
COMMANDS = {
    "lint": ["tests/tools/lint"],
    "build": ["tests/tools/build"],
    "sanity": ["tests/tools/sanity"],
    "unit": PYTEST + ["tests/unit"],
    "fuzz": PYTEST + ["tests/fuzz"],
    # Each host of the tests has namespaces of its own, so that two workers share the files among them.
    "integration": PYTEST
    + ["-n", "2", "--dist", "loadfile", "--reruns=1", "-raR", "--durations=25"]
    + [f"--junitxml={LOGS}/integration.xml", "tests/integration"],
    "kernel": ["tests/kernel/run"],
    "qemu": ["tests/kernel/run", "--kernel=qemu"],
    "molecule": [sys.executable, "tests/tools/molecule_gate.py"],
}
ROOT_NEEDED = {"integration", "kernel", "qemu", "molecule"}
ENGINE_NEEDED = {"integration", "molecule"}
# These are machines of their own and keep one processor busy: they run beside the others, which do the same.
BESIDE = {"kernel", "qemu"}
LIMIT = 70 * 60  # seconds: a lane that hangs must fail before the build server gives up on everything

ANSI = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")
PLAIN = re.compile(r"(\d+) passed, (\d+) failed(?:, (\d+) skipped)?")
COUNT = r"\d+ (?:passed|failed|errors?|skipped|deselected|xfailed|xpassed|warnings?|subtests passed|rerun)"
SUMMARY = re.compile(rf"=* ?({COUNT}(?:, {COUNT})*) in [\d.]+s.*")
SKIPPED = re.compile(r"SKIPPED\b.*")
AGAIN = re.compile(r"RERUN \S.*")


@dataclass
class Result:
    """What one lane did."""

    lane: str
    passed: int = 0
    failed: int = 0
    skipped: int = 0
    seconds: float = 0.0
    skips: list[str] = field(default_factory=list)
    again: list[str] = field(default_factory=list)
    remark: str = ""


def count(lines: list[str], status: int, result: Result) -> None:
    """Add up what a lane's output says. Its own last word, where it has one, goes before the pytest runs inside it."""
    plain = [match for match in map(PLAIN.fullmatch, lines) if match]
    for match in plain:
        result.passed += int(match[1])
        result.failed += int(match[2])
        result.skipped += int(match[3] or 0)
    for match in map(SUMMARY.fullmatch, lines):
        if match and not plain:
            for number, word in re.findall(r"(\d+) (\w+)", match[1]):
                if word in ("passed", "xfailed"):
                    result.passed += int(number)
                elif word in ("failed", "error", "errors", "xpassed"):
                    result.failed += int(number)
                elif word == "skipped":
                    result.skipped += int(number)
    result.skips = [line for line in lines if SKIPPED.fullmatch(line)]
    result.again = [line for line in lines if AGAIN.fullmatch(line)]
    if status != 0 and result.failed == 0:
        result.failed = 1
        result.remark = f"ended with status {status}"
    elif result.passed + result.failed == 0:
        result.failed = 1
        result.remark = "tested nothing"


def say(line: str) -> None:
    """To whoever looks on."""
    print(line, flush=True)


def run(lane: str, tell: Callable[[str], None] = say, stopped: threading.Event | None = None) -> Result:
    """Run one lane in a process group of its own, which ends with it, or when it is stopped."""
    tell(f"\n===== {lane}")
    started = time.monotonic()
    lines: list[str] = []
    result = Result(lane)
    with (LOGS / f"{lane}.log").open("w", encoding="utf-8") as log:
        process = subprocess.Popen(
            COMMANDS[lane],
            cwd=ROOT,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            start_new_session=True,
        )

        def end(number: int = signal.SIGTERM) -> None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, number)

        def too_late() -> None:
            result.remark = f"did not end within {LIMIT} s"
            end()

        def left_behind() -> None:  # by a lane that has ended: it would hold the pipe open
            process.wait()
            time.sleep(3)
            end()

        def when_stopped() -> None:
            if stopped is not None and stopped.wait() and process.poll() is None:
                end()

        timer = threading.Timer(LIMIT, too_late)
        timer.start()
        threading.Thread(target=left_behind, daemon=True).start()
        threading.Thread(target=when_stopped, daemon=True).start()
        try:
            assert process.stdout is not None
            for raw in process.stdout:
                log.write(raw)
                log.flush()
                line = ANSI.sub("", raw).strip()
                lines.append(line)
                if not PLAIN.fullmatch(line):  # the one line of this form is the last of all
                    tell(raw.rstrip())
            status = process.wait()
        finally:  # also when interrupted: the lane gets its chance to clean up
            timer.cancel()
            end()
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(60)
            end(signal.SIGKILL)
    remark = result.remark
    count(lines, status, result)
    result.remark = remark or result.remark
    result.seconds = time.monotonic() - started
    return result


class Beside(threading.Thread):
    """Lanes one after another beside the others; what they print is shown at the end."""

    def __init__(self, lanes: list[str]) -> None:
        super().__init__()
        self.lanes = lanes
        self.results: list[Result] = []
        self._said: list[str] = []
        self._stopped = threading.Event()

    def run(self) -> None:
        for lane in self.lanes:
            if not self._stopped.is_set():
                self.results.append(run(lane, self._said.append, self._stopped))

    def finish(self) -> list[Result]:
        """Wait for them."""
        self.join()
        say("\n".join(self._said))
        return self.results

    def stop(self) -> None:
        """End what still runs."""
        self._stopped.set()
        if self.ident is not None:
            self.join()


def engine(command: str) -> bool:
    """Ask tests/tools/engine; whether it could."""
    done = subprocess.run(["tests/tools/engine", command], cwd=ROOT, stdin=subprocess.DEVNULL, check=False)
    return done.returncode == 0


def main(lanes: list[str]) -> int:
    """Run the lanes and report."""
    unknown = set(lanes) - set(COMMANDS)
    if unknown or not lanes:
        sys.exit(f"lanes: {', '.join(sorted(unknown)) or 'none'}: choose from {', '.join(COMMANDS)}")
    if os.geteuid() != 0 and set(lanes) & ROOT_NEEDED:
        sys.exit(f"lanes: this needs root: sudo make {' '.join(lanes)}")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    LOGS.mkdir(parents=True, exist_ok=True)
    started_here = not (CACHE / "engine").exists()
    results = []
    apart = [lane for lane in lanes if lane in BESIDE] if (os.cpu_count() or 1) > 1 else []
    beside = Beside(apart)
    try:
        if apart:
            say(f"{' and '.join(apart)}: running beside the others, shown at the end")
        beside.start()
        for lane in lanes:
            if lane in apart:
                continue
            if lane in ENGINE_NEEDED and not engine("start"):
                results.append(Result(lane, failed=1, remark="there is no Docker engine"))
                continue
            results.append(run(lane))
        results += beside.finish()
    finally:
        beside.stop()
        if started_here and (CACHE / "engine").exists():
            engine("stop")
    print()
    for result in results:
        for line in result.skips + result.again:
            print(f"{result.lane}: {line}")
    for r in results:
        numbers = f"{r.passed:5} ok {r.failed:4} not ok {r.skipped:4} left out {r.seconds:7.1f} s"
        print(f"{r.lane:12} {numbers}  .cache/logs/{r.lane}.log  {r.remark}".rstrip())
    passed, failed, skipped = (sum(getattr(r, what) for r in results) for what in ("passed", "failed", "skipped"))
    print(f"\n{passed} passed, {failed} failed" + (f", {skipped} skipped" if skipped else ""), flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
