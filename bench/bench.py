# Copyright: pipework.containers contributors
# GNU General Public License v3.0+ (see LICENSE)
"""Measures attachments against the floor, in one run, and writes the tables into docs/benchmarks.md."""

from __future__ import annotations

import argparse
import ctypes
import importlib.metadata
import os
import platform
import re
import shutil
import signal
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import clients
import engines
import host
import namespaces
from results import ROWS, SIZES, Results, table, verdicts

from playbooks import CHECKOUT, Playbooks

PAGE = CHECKOUT / "docs" / "benchmarks.md"
BEGIN, END = "<!-- bench: begin -->", "<!-- bench: end -->"
ROUNDS = 3
ENGINE_SIZE = 10
PR_SET_CHILD_SUBREAPER = 36

# Groups of rows that stand or fall together, and the programs each needs, with the Debian package that has them.
GROUPS: dict[str, dict[str, str]] = {
    "floor": {"gcc": "gcc", "ip": "iproute2"},
    "module": {"ip": "iproute2"},
    "loop": {"ip": "iproute2"},
    "ip": {"ip": "iproute2", "nsenter": "util-linux"},
    "cni": {"ip": "iproute2"},
    "docker": {"docker": "docker.io", "dockerd": "docker.io", "busybox": "busybox-static"},
    "podman": {"podman": "podman", "runc": "runc", "busybox": "busybox-static"},
}
KEYS = {
    "floor": ("floor live", "floor new", "floor delete", "floor delete-each"),
    "module": (
        "attach live",
        "attach live module",
        "attach new",
        "attach new module",
        "converged",
        "check",
        "absent",
        "absent module",
    ),
    "loop": ("loop",),
    "ip": clients.BATCHES,
    "cni": ("cni",),
    "docker": ("docker",),
    "podman": ("podman",),
}


def say(text: str) -> None:
    print(f"bench: {text}", file=sys.stderr, flush=True)


class Bench:
    def __init__(self, directory: Path, sizes: tuple[int, ...], groups: list[str]) -> None:
        self.directory = directory
        self.sizes = sizes
        self.results = Results()
        self.pings: list[float] = []
        self.groups = []
        self.failed = False
        for group in GROUPS:
            reason = "left out" if group not in groups else lacking(group)
            if reason is None:
                self.groups.append(group)
            else:
                self.skip(group, reason)

    def skip(self, group: str, reason: str) -> None:
        if reason != "left out":
            say(f"{group}: {reason}")
        for key in KEYS[group]:
            self.results.missing[key] = reason

    def attempt(self, group: str, action: Callable[[], None]) -> None:
        """One measurement; a group that fails is not tried again, and its row says why."""
        if group not in self.groups:
            return
        try:
            action()
        except (RuntimeError, OSError, ValueError) as error:
            self.groups.remove(group)
            self.failed = True
            self.skip(group, str(error).replace("|", "/"))

    def run(self) -> None:
        for engine in ("docker", "podman"):
            self.attempt(engine, lambda engine=engine: self.engine(engine))  # type: ignore[misc]
        host.clear()
        if "floor" in self.groups:
            self.floor_program = clients.compile_floor(self.directory)
        self.cni = clients.find_cni()
        playbooks = self.directory / "playbooks"
        playbooks.mkdir()
        self.playbooks = Playbooks(playbooks)
        with namespaces.namespaces(max(self.sizes)) as names:
            for size in self.sizes:
                self.rounds(names[:size])

    def engine(self, engine: str) -> None:
        directory = self.directory / engine
        directory.mkdir()
        say(f"{engine}: {ENGINE_SIZE} containers")
        with engines.containers(engine, directory, ENGINE_SIZE) as (environment, names):
            for _round in range(ROUNDS):
                host.rest(ENGINE_SIZE)
                self.results.add(engine, ENGINE_SIZE, engines.connect(engine, environment, names))

    def rounds(self, names: list[str]) -> None:
        """Everything once, then everything again: what disturbs the machine disturbs all rows."""
        addresses = [f"10.77.{number // 256}.{number % 256}/16" for number in range(1, len(names) + 1)]
        self.playbooks.attach_these(names, addresses)
        batch = clients.IpBatch(self.directory, names, addresses)
        for number in range(1, ROUNDS + 1):
            say(f"{len(names)} attachments, round {number} of {ROUNDS}")
            for group, action in (
                ("floor", lambda: self.floor(len(names))),
                ("module", lambda: self.module(len(names))),
                ("loop", lambda: self.loop(len(names))),
                ("ip", lambda: self.ip(len(names), batch)),
                ("cni", lambda: self.cni_plugin(names, addresses)),
            ):
                try:
                    self.attempt(group, action)
                finally:
                    host.clear()

    def floor(self, count: int) -> None:
        for bridge in ("live", "new"):
            if bridge == "live":
                host.make_bridge()
            host.rest(count)
            self.results.add(f"floor {bridge}", count, clients.floor(self.floor_program, bridge, count))
            host.rest(count)
            each = bridge == "new" and wanted("floor delete-each", count)
            action = "delete-each" if each else "delete"
            self.results.add(f"floor {action}", count, clients.floor(self.floor_program, action, count))
            host.clear()

    def module(self, count: int) -> None:
        play = self.playbooks.play
        ping = self.ping()

        def note(key: str, playbook: str, changed: bool, *options: str, parts: bool = False) -> None:
            host.rest(count)
            took = play(playbook, changed, *options)
            self.results.add(key, count, took.total - ping)
            if parts:
                self.results.add(f"{key} module", count, took.module)
            if key.startswith("attach"):
                self.results.peaks[count].append(took.peak)

        host.make_bridge()
        note("attach live", "attach", True, parts=True)
        note("converged", "attach", False)
        note("absent", "absent", True, parts=True)
        host.clear()
        note("check", "attach", True, "--check")
        note("attach new", "attach", True, parts=True)

    def ping(self) -> float:
        """What ansible-playbook takes by itself: the median of all so far, as single runs vary a lot."""
        self.pings += [self.playbooks.play("ping", False).total for _round in range(2)]
        return statistics.median(self.pings)

    def loop(self, count: int) -> None:
        if not wanted("loop", count):
            return
        ping = self.ping()
        host.rest(count)
        self.results.add("loop", count, self.playbooks.play("loop", True).total - ping)

    def ip(self, count: int, batch: clients.IpBatch) -> None:
        for form in clients.BATCHES:
            host.rest(count)
            self.results.add(form, count, batch.attach(form))
            host.clear()

    def cni_plugin(self, names: list[str], addresses: list[str]) -> None:
        if self.cni is None:
            raise RuntimeError("there is no CNI bridge plugin (package containernetworking-plugins)")
        host.make_bridge()
        host.rest(len(names))
        self.results.add("cni", len(names), clients.cni_add(self.cni, names, addresses))


def wanted(key: str, count: int) -> bool:
    return any(row.key == key and count in row.only for row in ROWS)


def lacking(group: str) -> str | None:
    needed = GROUPS[group].items()
    missing = [f"{program} (package {package})" for program, package in needed if not shutil.which(program)]
    return f"there is no {', '.join(missing)}" if missing else None


def machine(minutes: float) -> str:
    models = re.findall(r"^model name\s*:\s*(.+)", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    cpu = models[0] if models else platform.machine()
    versions = [f"{package} {importlib.metadata.version(package)}" for package in ("ansible-core", "pyroute2")]
    words = [f"kernel {platform.release()}", f"{os.cpu_count()} × {cpu}", f"Python {platform.python_version()}"]
    calm = f", {host.restless} measurements on a machine that did not come to rest" if host.restless else ""
    return f"{', '.join(words + versions)}. Medians of {ROUNDS} rounds, {minutes:.0f} minutes in all{calm}."


def write(text: str) -> None:
    page = PAGE.read_text()
    before, rest = page.split(BEGIN)
    after = rest.split(END)[1]
    PAGE.write_text(f"{before}{BEGIN}\n{text}\n{END}{after}")
    say(f"written to {PAGE.relative_to(CHECKOUT)}")


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="bench/run", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="10 and 100 attachments; nothing is written")
    parser.add_argument("--only", metavar="GROUP,…", help=f"of {', '.join(GROUPS)}; nothing is written")
    given = parser.parse_args()
    given.groups = given.only.split(",") if given.only else list(GROUPS)
    if set(given.groups) - set(GROUPS):
        parser.error(f"--only: choose of {', '.join(GROUPS)}")
    return given


def stop(signum: int, _frame: object) -> None:
    raise SystemExit(128 + signum)  # through every finally


def main() -> int:
    given = arguments()
    if os.geteuid() != 0:
        say("needs root: sudo make bench")
        return 1
    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGHUP, stop)
    start = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="pipework-bench-") as directory, namespaces.private_host():
        # Containers' monitors lose their parents: they become this process's children, and end with it.
        ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1)
        host.run(["ip", "link", "set", "lo", "up"])
        host.remember()
        bench = Bench(Path(directory), SIZES[:2] if given.quick else SIZES, given.groups)
        try:
            bench.run()
        finally:
            host.clear()
            reap()
    text = "\n\n".join([machine((time.monotonic() - start) / 60), table(bench.results), verdicts(bench.results)])
    print(text)
    if not (given.quick or given.only):
        write(text)
    return int(bench.failed)


def reap() -> None:
    try:
        while os.waitpid(-1, os.WNOHANG) != (0, 0):
            pass
    except ChildProcessError:
        pass


if __name__ == "__main__":
    sys.exit(main())
