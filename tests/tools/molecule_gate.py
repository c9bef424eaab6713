# Copyright: pipework.containers contributors
# GNU General Public License v3.0+ (see LICENSE)
"""molecule_gate.py [SCENARIO…]: run the molecule scenarios and hold them to more than the exit code.

Molecule passes over a missing playbook and a play that matched no host. Here every scenario that there is must have
done every action of its sequence, and every task of its verify.yml must have run.
Ends with `N passed, N failed`, one for each scenario.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(os.environ["ROOT"])
SCENARIOS = ROOT / "extensions" / "molecule"
HOME = Path(os.environ["CACHE"]) / "molecule"

ANSI = re.compile(r"\x1b\[[0-9;]*m")
ACTION = re.compile(r".* (?P<scenario>\S+) ➜ (?P<action>\S+): (?P<what>Executing|Executed: .*)")


def load(path: Path) -> Any:
    """A YAML file, or an empty mapping where there is none."""
    return (yaml.safe_load(path.read_text(encoding="utf-8")) if path.exists() else None) or {}


def sequence(scenario: str) -> list[str]:
    """The actions that a scenario has to do."""
    for path in (SCENARIOS / scenario / "molecule.yml", SCENARIOS / "config.yml"):
        actions = load(path).get("scenario", {}).get("test_sequence")
        if actions:
            return actions
    return []


def task_names(entries: Any) -> Iterator[str]:
    """The names of the tasks in a playbook, through all blocks; handlers run only when something calls them."""
    for entry in entries or []:
        inner = [entry[key] for key in ("pre_tasks", "tasks", "post_tasks", "block") if key in entry]
        if not inner and "name" in entry and "hosts" not in entry and "{{" not in entry["name"]:
            yield entry["name"]
        for tasks in inner:
            yield from task_names(tasks)


def run(arguments: list[str]) -> tuple[int, list[str]]:
    """Run molecule, show what it prints, and return that."""
    lines = []
    with subprocess.Popen(
        [sys.executable, "-m", "molecule", *arguments],
        cwd=ROOT,
        env={**os.environ, "ANSIBLE_HOME": str(HOME), "ANSIBLE_LOCAL_TEMP": str(HOME / "tmp"), "COLUMNS": "200"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
    ) as process:
        assert process.stdout is not None
        for raw in process.stdout:
            line = ANSI.sub("", raw).rstrip()
            print(line, flush=True)
            lines.append(line)
    return process.returncode, lines


def complaints(scenario: str, lines: list[str]) -> list[str]:
    """What is wrong with a scenario's part of the output."""
    wrong = []
    done: dict[str, str] = {}
    printed: dict[str, list[str]] = {}
    action = None
    for line in lines:
        match = ACTION.fullmatch(" " + line)
        if match and match["scenario"] == scenario:
            action = match["action"] if match["what"] == "Executing" else None
            if action is None:
                done[match["action"]] = match["what"]
            else:
                printed[action] = []
        elif action is not None:
            printed[action].append(line)
    if any("Idempotence test failed" in line for line in printed.get("idempotence", [])):
        wrong.append("idempotence: the second run changed something")
    for action in sequence(scenario):
        outcome = done.get(action, "did not run")
        if outcome != "Executed: Successful":
            wrong.append(f"{action}: {outcome}")
        if any("no hosts matched" in line for line in printed.get(action, [])):
            wrong.append(f"{action}: no hosts matched")
    if scenario != "default":
        names = list(task_names(load(SCENARIOS / scenario / "verify.yml")))
        if not names:
            wrong.append("verify.yml has no task")
        output = "\n".join(printed.get("verify", []))
        wrong += [f"verify: no task [{name}]" for name in names if f"{name}]" not in output]
        if "verify" not in sequence(scenario) or "idempotence" not in sequence(scenario):
            wrong.append("the sequence lacks verify or idempotence")
    return wrong


def main(chosen: list[str]) -> int:
    """Run, judge, report."""
    there = sorted(path.parent.name for path in SCENARIOS.glob("*/molecule.yml"))
    scenarios = ["default", *chosen] if chosen else there
    if set(scenarios) - set(there) or scenarios == ["default"] or not scenarios:
        sys.exit(f"molecule: no such scenario, or none at all: {scenarios}; there are {there}")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that containers are removed all the same
    # What an interrupted run remembers having created may be gone.
    shutil.rmtree(HOME, ignore_errors=True)
    (HOME / "tmp").mkdir(parents=True)
    which = [word for name in chosen for word in ("--scenario-name", name)] or ["--all"]
    status, lines = 1, []
    try:
        status, lines = run(["test", *which, "--continue-on-failure", "--report", "--no-command-borders"])
    finally:
        if status != 0:
            run(["destroy", "--scenario-name", "default"])
    passed = failed = 0
    for scenario in scenarios:
        wrong = complaints(scenario, lines)
        for complaint in wrong:
            print(f"FAILED {scenario}: {complaint}")
        passed, failed = (passed, failed + 1) if wrong else (passed + 1, failed)
    if failed == 0 and (status != 0 or any(re.search(r"missing=[1-9]|failed=[1-9]", line) for line in lines)):
        print(f"FAILED molecule: status {status}, or something is missing in its recap")
        failed = 1
    print(f"{passed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
