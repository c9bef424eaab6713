# Copyright: pipework.containers contributors
# GNU General Public License v3.0+ (see LICENSE)
"""Measures playbooks over several hosts, reached by ssh; writes the tables into docs/benchmarks.md."""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import re
import signal
import statistics
import sys
import time
from collections import defaultdict
from pathlib import Path

import host

from bench import machine, stop

CHECKOUT = Path(__file__).resolve().parents[1]
sys.path.append(str(CHECKOUT / "tests" / "fleet"))

from fleet import Fleet  # noqa: E402

PAGE = CHECKOUT / "docs" / "benchmarks.md"
BEGIN, END = "<!-- fleet: begin -->", "<!-- fleet: end -->"
ROUNDS = 3
HOSTS = (2, 4, 8)
EACH = 50
LOOPED = {2: EACH, 4: 10, 8: 10}  # attachments of the loop: all of them only where it does not take too long
TASKS = 10  # of the playbook that shows what a task costs
SSH_HOSTS = 4

ATTACH = "pipework.containers.pipework_attach"
COMMON = {"runtime": "netns", "kind": "bridge", "host_interface": "br1", "mtu": 1500}
ITEMS = [{"container": f"c{number}", "addresses": [f"10.77.0.{number}/16"]} for number in range(1, EACH + 1)]
ITEM = {"container": "{{ item.container }}", "addresses": "{{ item.addresses }}"}
PING = {"ansible.builtin.ping": None}
PLAYBOOKS = {
    "ping": [PING],
    "one": [{ATTACH: {**COMMON, "attachments": ITEMS}}],
    "absent": [{ATTACH: {**COMMON, "attachments": [], "purge": True}}],
    "loop": [{ATTACH: {**COMMON, **ITEM}, "loop": "{{ items[:looped | int] }}"}],
    "tasks": [PING] * TASKS,
}
ROWS = {
    "one": ("**one task**, new bridge", "1"),
    "again": ("**one task** again, nothing to change", "1"),
    "check": ("check run of **one task**, all to be made", "1"),
    "absent": ("**one task**, all absent", "1"),
    "loop": ("one task per attachment, in a loop", str(EACH)),
}
OFF = {"persist": {"ansible_ssh_args": "-C -o ControlMaster=no"}, "pipelining": {"ansible_pipelining": False}}
SSH = {
    "connections kept, pipelining": {},
    "connections kept, no pipelining (Ansible's default)": OFF["pipelining"],
    "a connection each time, pipelining": OFF["persist"],
    "a connection each time, no pipelining": {**OFF["persist"], **OFF["pipelining"]},
}


class Plays:
    """ansible-playbook over the first hosts of a fleet."""

    def __init__(self, fleet: Fleet) -> None:
        self.fleet = fleet
        self.folder = Path(fleet.directory)
        for name, tasks in PLAYBOOKS.items():
            play = {"hosts": "fleet", "gather_facts": False, "vars": {"items": ITEMS}, "tasks": tasks}
            (self.folder / f"{name}.yml").write_text(json.dumps([play]))

    def __call__(self, name: str, hosts: int, changed: int, *options: str, **variables: object) -> float:
        """Seconds; each host must have had so many changes."""
        limit = ",".join(list(self.fleet.hosts)[:hosts])
        words = [sys.executable, "-m", "ansible", "playbook", "-i", self.fleet.inventory, "--limit", limit]
        words += [f"{self.folder}/{name}.yml", "-e", json.dumps(variables), *options]
        start = time.perf_counter()
        said = host.run(words, env={**self.fleet.environment(), "ANSIBLE_NOCOLOR": "1"})
        took = time.perf_counter() - start
        recaps = re.findall(r": ok=\d+ +changed=(\d+)", said)
        if recaps != [str(changed)] * hosts:
            raise RuntimeError(f"{name}: {recaps} where {hosts} times changed={changed} was expected")
        return took


def forms(play: Plays, times: dict[tuple[str, int], list[float]]) -> None:
    """Every form once with every number of hosts; all but the loop once more in each round."""
    for number in range(1, ROUNDS + 1):
        for hosts in HOSTS:
            print(f"bench: {hosts} hosts, round {number} of {ROUNDS}", file=sys.stderr, flush=True)

            def note(key: str, took: float, hosts: int = hosts) -> None:
                times[key, hosts].append(took)
                host.rest(EACH)

            play("ping", hosts, 0)  # connects
            note("ping", play("ping", hosts, 0))
            note("check", play("one", hosts, 1, "--check"))
            note("one", play("one", hosts, 1))
            note("again", play("one", hosts, 0))
            note("absent", play("absent", hosts, 1))
            if number == 1:
                note("loop", play("loop", hosts, 1, looped=LOOPED[hosts]))
                play("absent", hosts, 1)


def connections(play: Plays) -> dict[str, list[float]]:
    found = defaultdict(list)
    for _round in range(ROUNDS):
        for title, variables in SSH.items():
            play("ping", SSH_HOSTS, 0, **variables)
            host.rest(0)
            found[title].append(play("tasks", SSH_HOSTS, 0, **variables) / TASKS)
    return found


def table(times: dict[tuple[str, int], list[float]]) -> str:
    """Seconds of the whole run, less those of a ping, and how many times as long the loop takes."""
    base = {hosts: statistics.median(times["ping", hosts]) for hosts in HOSTS}
    taken = {key: {hosts: statistics.median(times[key, hosts]) - base[hosts] for hosts in HOSTS} for key in ROWS}
    for hosts, looped in LOOPED.items():
        taken["loop"][hosts] *= EACH / looped
    heads = " | ".join(f"{hosts} hosts" for hosts in HOSTS)
    lines = [f"| s, {EACH} attachments on each host | tasks per host | {heads} |", "|---|--:|" + "--:|" * len(HOSTS)]
    for key, (title, tasks) in ROWS.items():
        shown = [f"{taken[key][hosts]:.1f}" for hosts in HOSTS]
        if key == "loop":
            shown = [f"({text})" if LOOPED[hosts] < EACH else text for hosts, text in zip(HOSTS, shown)]
        lines.append(f"| {title} | {tasks} | {' | '.join(shown)} |")
    ratios = " | ".join(f"{taken['loop'][hosts] / max(taken['one'][hosts], 0.01):.0f} ×" for hosts in HOSTS)
    lines.append(f"| the loop against one task | | {ratios} |")
    lines.append(f"| a run that only pings | 1 | {' | '.join(f'{base[hosts]:.1f}' for hosts in HOSTS)} |")
    return "\n".join(lines)


def ssh_table(found: dict[str, list[float]]) -> str:
    lines = [f"| ssh to {SSH_HOSTS} hosts | ms per task |", "|---|--:|"]
    lines += [f"| {title} | {statistics.median(times) * 1e3:.0f} |" for title, times in found.items()]
    return "\n".join(lines)


def main() -> int:
    argparse.ArgumentParser(prog="bench/run fleet", description=__doc__).parse_args(sys.argv[1:])
    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGHUP, stop)
    start = time.monotonic()
    times: dict[tuple[str, int], list[float]] = defaultdict(list)
    with contextlib.ExitStack() as stack:
        fleet = stack.enter_context(Fleet.up(max(HOSTS), containers=[item["container"] for item in ITEMS]))
        play = Plays(fleet)
        forms(play, times)
        found = connections(play)
    about = machine((time.monotonic() - start) / 60)
    busy = " The machine was busy with other work: what stands in one column can be compared, the seconds not."
    about += " The loop was run once." + busy * (host.restless > len(times))
    text = "\n\n".join([about, table(times), ssh_table(found)])
    print(text)
    page = PAGE.read_text()
    PAGE.write_text(f"{page.split(BEGIN)[0]}{BEGIN}\n{text}\n{END}{page.split(END)[1]}")
    return 0


if __name__ == "__main__":
    if os.geteuid() != 0:
        sys.exit("bench: needs root: sudo make bench")
    sys.exit(main())
