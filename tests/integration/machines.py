# Copyright: pipework.containers contributors
# GNU General Public License v3.0+ (see LICENSE)
"""A fleet for tests: hosts that Ansible reaches by ssh, and the tests as they reach any other host of the lab."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import typing as t
from dataclasses import dataclass

from tests.conftest import unavailable
from tests.integration.lab import LIMIT, Host, T, Work, enter

sys.path.append(os.path.join(os.path.dirname(__file__), "..", "fleet"))
import fleet as box
import openssh

CLONE_NEWPID, CLONE_NEWUTS = 0x20000000, 0x04000000
COUNTS = {"failed": "failures"}  # the callback has another word than the recap


class Machine(Host):
    """A host of the fleet, or the network between them."""

    def __init__(self, made: box.Box, guests: t.Sequence[str] = ()) -> None:
        self.box, self.name, self.guests = made, made.name, list(guests)
        self.address, self.address6 = made.address, made.address6
        files = (os.open(f"/proc/{made.pid}/ns/{kind}", os.O_RDONLY) for kind in ("net", "mnt", "pid", "uts"))
        self.net, self.mnt, self._pid, self._uts = files

    def start(self, function: t.Callable[..., T], *args: t.Any, ns: str | None = None) -> Work[T]:
        def there() -> T:
            enter(self._uts, CLONE_NEWUTS)
            return function(*args)

        # Its /proc knows its own processes only: whoever looks there has to be one.
        here = os.open("/proc/self/ns/pid", os.O_RDONLY | os.O_CLOEXEC)
        try:
            enter(self._pid, CLONE_NEWPID)
            return super().start(there, ns=ns)
        finally:
            enter(here, CLONE_NEWPID)
            os.close(here)

    def close(self) -> None:
        super().close()
        os.close(self._pid)
        os.close(self._uts)


@dataclass(frozen=True)
class Played:
    """What ansible-playbook did. ``hosts``: their numbers in the recap; ``tasks``: of each, the results by host."""

    status: int
    output: str
    hosts: dict[str, dict[str, int]]
    tasks: list[dict[str, t.Any]]

    def counts(self, *names: str) -> dict[str, tuple[int, ...]]:
        """Of each host, these numbers of the recap."""
        return {h: tuple(numbers[COUNTS.get(n, n)] for n in names) for h, numbers in sorted(self.hosts.items())}


class Machines:
    """N hosts h1, h2, … each with the same guests, and ansible-playbook for them."""

    def __init__(self, count: int, *guests: str, mtu: int = 1500) -> None:
        try:
            openssh.server()
        except box.Impossible as error:
            unavailable(str(error))
        self.fleet = box.Fleet.up(count, containers=guests, mtu=mtu)
        self.underlay = Machine(t.cast(box.Box, self.fleet.underlay))
        self.hosts = {name: Machine(each, guests) for name, each in self.fleet.hosts.items()}

    def __getitem__(self, name: str) -> Machine:
        return self.hosts[name]

    def close(self) -> None:
        for each in (self.underlay, *self.hosts.values()):
            each.close()
        self.fleet.down()

    def stop(self, name: str) -> None:
        """A host's end."""
        self.hosts.pop(name).close()
        self.fleet.stop(name)

    def begin(self, name: str) -> Machine:
        """A host joins, or comes back empty."""
        made = self.hosts[name] = Machine(self.fleet.start(name), self.fleet.containers)
        return made

    def play(self, playbook: str | list[t.Any], *options: str, **variables: t.Any) -> Played:
        """Runs a playbook: a file, a name with the collection's, or plays."""
        if not isinstance(playbook, str):
            path = os.path.join(self.fleet.directory, "playbook.json")
            openssh.write(path, json.dumps(playbook))
            playbook = path
        words = [sys.executable, "-m", "ansible", "playbook", "-i", self.fleet.inventory, playbook, *options]
        words += ["-e", json.dumps(variables)]
        settings = {"ANSIBLE_STDOUT_CALLBACK": "ansible.posix.json", "ANSIBLE_DEPRECATION_WARNINGS": "0"}
        with tempfile.TemporaryFile("w+") as said:  # no pipe: ssh's connections stay, and might hold it open
            done = subprocess.run(
                words, env={**self.fleet.environment(), **settings}, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                stderr=said, text=True, timeout=5 * LIMIT, check=False,
            )  # fmt: skip
            said.seek(0)
            output = done.stdout + said.read()
        try:
            found = json.loads(done.stdout[done.stdout.index("{") :])
        except ValueError:
            raise AssertionError(f"ansible-playbook ended with {done.returncode}: {output}") from None
        tasks = [task["hosts"] for play in found["plays"] for task in play["tasks"]]
        return Played(done.returncode, output, found["stats"], tasks)
