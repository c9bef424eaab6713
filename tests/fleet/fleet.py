#!/usr/bin/env python
# Copyright: pipework.containers contributors
# GNU General Public License v3.0+ (see LICENSE)
"""A fleet in a box: hosts with their own network, files and sshd, on one machine, for Ansible to reach by ssh.

README.md beside this file says how it is used.
"""
from __future__ import annotations

import argparse
import contextlib
import ipaddress
import json
import os
import shlex
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from typing import Any

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, HERE)
import boxes  # noqa: E402
import openssh  # noqa: E402
from boxes import Impossible  # noqa: E402

ROOT = os.path.dirname(os.path.dirname(HERE))
# The underlay. Both are set aside for documentation; they are seen in the fleet's own network only.
NETWORK4, NETWORK6 = ipaddress.ip_network("203.0.113.0/24"), ipaddress.ip_network("2001:db8:f1ee::/64")
CONTROLLER, MOST = 254, 250
PATIENCE = 120  # seconds: User-Mode Linux is slow
NEEDED = {"ip": "iproute2", "ssh": "openssh-client", "ssh-keygen": "openssh-client", "nsenter": "util-linux"}


class Box:
    """A host, or the fleet's own network with the underlay in it."""

    def __init__(self, name: str, pid: int, mark: str, number: int) -> None:
        self.name, self.pid, self.mark, self.number = name, pid, mark, number
        self.address, self.address6 = str(NETWORK4[number]), str(NETWORK6[number])

    def record(self) -> dict[str, Any]:
        return {"name": self.name, "pid": self.pid, "mark": self.mark, "number": self.number}

    def runs(self) -> bool:
        return boxes.alive(self.pid, self.mark)

    def end(self) -> None:
        """All that runs in it ends with its first process."""
        if self.runs():
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, signal.SIGKILL)
        _wait("the end of " + self.name, lambda: not self.runs())

    def command(self, *argv: str) -> list[str]:
        """The command line that runs another one in it."""
        return [*boxes.entering(self.pid), *argv]

    def run(self, *argv: str, text: str = "", check: bool = True, files: Sequence[int] = ()) -> str:
        """What a program says in it."""
        done = subprocess.run(
            self.command(*argv), input=text, capture_output=True, text=True, check=False, pass_fds=files
        )
        if check and done.returncode:
            raise RuntimeError(f"{self.name}: {shlex.join(argv)}: {done.stdout}{done.stderr}")
        return done.stdout


class Fleet:
    """Hosts h1, h2, … As a context manager it ends with its block, or with the process, however that ends."""

    def __init__(self, directory: str, mtu: int = 1500, containers: Sequence[str] = (), stays: bool = False) -> None:
        self.directory, self.mtu, self.containers, self.stays = directory, mtu, list(containers), stays
        self.hosts: dict[str, Box] = {}
        self.underlay: Box | None = None
        self._children: list[int] = []
        self._guard: socket.socket | None = None
        self._sshd: list[str] = []

    @classmethod
    def up(cls, count: int, directory: str = "", **options: Any) -> Fleet:
        """A new one. Its directory may not be there yet, or is empty."""
        directory = directory or tempfile.mkdtemp(prefix="pipework-fleet.")
        os.makedirs(directory, 0o700, exist_ok=True)
        if os.listdir(directory):
            raise Impossible(f"{directory} is not empty")
        fleet = cls(os.path.realpath(directory), **options)
        try:
            fleet._begin()
            for number in range(1, count + 1):
                fleet.start(f"h{number}")
        except BaseException:
            fleet.down()
            raise
        return fleet

    @classmethod
    def find(cls, directory: str) -> Fleet:
        """One that is there."""
        with open(os.path.join(directory, "fleet.json"), encoding="utf-8") as handle:
            found = json.load(handle)
        fleet = cls(os.path.realpath(directory), found["mtu"], found["containers"], stays=True)
        fleet._sshd = found["sshd"]
        fleet.underlay = Box(**found["underlay"])
        fleet.hosts = {record["name"]: Box(**record) for record in found["hosts"]}
        return fleet

    def __enter__(self) -> Fleet:
        return self

    def __exit__(self, *_: object) -> None:
        self.down()

    # -- hosts

    def start(self, name: str) -> Box:
        """A host joins, or comes back as after a reboot that lost all it had."""
        assert self.underlay, "no fleet"
        number = int(name[1:]) if name[:1] == "h" and name[1:].isdigit() else 0
        if not 0 < number <= MOST or (name in self.hosts and self.hosts[name].runs()):
            raise Impossible(f"{name}: not one of h1 to h{MOST}, or it runs already")
        box = self.hosts[name] = self._box(name, number, self.containers, self._sshd)
        with open(f"/proc/{box.pid}/ns/net", "rb") as there:
            pair = f"type veth peer name eth0 mtu {self.mtu} netns /proc/self/fd/{there.fileno()}"
            lines = f"link add u-{name} mtu {self.mtu} {pair}\nlink set u-{name} master underlay up\n"
            self.underlay.run("ip", "-batch", "-", text=lines, files=[there.fileno()])
        box.run("ip", "-batch", "-", text=_addressed("eth0", number))
        self._save()
        self._wait_for_sshd(name)
        return box

    def _wait_for_sshd(self, name: str) -> None:
        """Until it answers, knows the key, and starts programs."""
        words = ["ssh", "-F", f"{self.directory}/ssh_config", "-o", "ControlMaster=no", name, "true"]
        end = time.monotonic() + PATIENCE
        while True:
            done = subprocess.run(words, capture_output=True, text=True, check=False)
            if done.returncode == 0:
                return
            if time.monotonic() > end:
                raise Impossible(f"sshd of {name}: {done.stderr.strip()}; {_last_line(f'{self.directory}/{name}.log')}")
            time.sleep(0.02)

    def stop(self, name: str) -> None:
        """A host's end, as if its plug was pulled; ssh is told, which else would wait for it on a connection it has."""
        self.hosts[name].end()
        assert self.underlay, "no fleet"
        with contextlib.suppress(RuntimeError):  # the kernel takes its time with a network, and may have done it by now
            self.underlay.run("ip", "link", "del", f"u-{name}")
        master = f"{self.directory}/{name}"
        if os.path.exists(master):
            words = ["ssh", "-F", f"{self.directory}/ssh_config", "-S", master, "-O", "exit", name]
            subprocess.run(words, capture_output=True, check=False)

    def down(self) -> None:
        """All ends, and what was written goes."""
        if self.underlay:
            self.underlay.end()  # the hosts' processes are in its process namespace
        for box in self.hosts.values():
            _wait("the end of " + box.name, lambda box=box: not box.runs())  # type: ignore[misc]
        if self._guard:
            self._guard.close()
        for child in self._children:
            os.waitpid(child, 0)
        self._children.clear()
        shutil.rmtree(self.directory, ignore_errors=True)

    # -- what Ansible needs

    @property
    def inventory(self) -> str:
        """A file for `ansible-playbook -i`: the group fleet."""
        return os.path.join(self.directory, "inventory.json")

    def environment(self) -> dict[str, str]:
        """For `ansible-playbook` by itself, whatever settings the user has."""
        kept = {name: value for name, value in os.environ.items() if not name.startswith("ANSIBLE_")}
        kept["ANSIBLE_COLLECTIONS_PATH"] = os.path.join(ROOT, ".cache", "collections")
        kept["ANSIBLE_CONFIG"] = os.path.join(HERE, "ansible.cfg")
        kept["ANSIBLE_HOME"] = os.path.join(self.directory, "ansible")
        return kept

    def _save(self) -> None:
        hosts = {name: {"fleet_address": b.address, "fleet_address6": b.address6} for name, b in self.hosts.items()}
        variables = {
            "ansible_connection": "ssh",
            "ansible_user": "root",
            "ansible_python_interpreter": sys.executable,
            "ansible_pipelining": True,
            "ansible_ssh_common_args": f"-F {self.directory}/ssh_config",
        }
        if len(self.directory) < 60:  # the path of a socket has room for 107 characters
            variables["ansible_control_path"] = f"{self.directory}/%%n"
        openssh.write(self.inventory, json.dumps({"fleet": {"hosts": hosts, "vars": variables}}, indent=2) + "\n")
        assert self.underlay
        state = {
            "underlay": self.underlay.record(), "mtu": self.mtu, "containers": self.containers, "sshd": self._sshd,
            "hosts": [box.record() for box in self.hosts.values()],
        }
        openssh.write(os.path.join(self.directory, "fleet.json"), json.dumps(state, indent=2) + "\n")

    # -- how it is made

    def _begin(self) -> None:
        missing = [f"{name} (Debian: {package})" for name, package in NEEDED.items() if not shutil.which(name)]
        if missing:
            raise Impossible(f"not found: {', '.join(missing)}")
        places = {"fleet": CONTROLLER, **{f"h{number}": number for number in range(1, MOST + 1)}}
        known = [f"{network[number]} {name}\n" for name, number in places.items() for network in (NETWORK4, NETWORK6)]
        openssh.write(f"{self.directory}/hosts", "".join(["127.0.0.1 localhost\n", "::1 localhost\n", *known]))
        self._sshd = openssh.prepare(self.directory, [(name, str(NETWORK4[n])) for name, n in places.items()])
        self.underlay = self._box("fleet", CONTROLLER, [], [])
        bridge = f"link add underlay mtu {self.mtu} type bridge mcast_snooping 0\n"
        self.underlay.run("ip", "-batch", "-", text=bridge + _addressed("underlay", CONTROLLER))
        self._save()

    def _box(self, name: str, number: int, containers: list[str], sshd: list[str]) -> Box:
        prefix = os.path.join(self.directory, name)
        meeting, log, settings = f"{prefix}.socket", f"{prefix}.log", f"{prefix}.json"
        openssh.write(settings, json.dumps({
            "name": name, "socket": meeting, "log": log, "containers": containers, "sshd": sshd,
            "hosts": f"{self.directory}/hosts", "guarded": not self.underlay and not self.stays,
            # Two on top of each other are the most that the kernel allows, and the machine's root may be one.
            "overlays": 0 if not self.underlay else 1 if os.geteuid() else None,
            "environment": openssh.environment(),
            "keep": [os.path.realpath(path) for path in (ROOT, self.directory, sys.prefix, sys.base_prefix)],
        }))
        enter = boxes.entering(self.underlay.pid) if self.underlay else []
        words = [*enter, *boxes.unsharing(), sys.executable, "-IS", f"{HERE}/first.py", settings]
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(meeting)
            listener.listen()
            child = boxes.spawn(words, log, user_namespace=not self.underlay and os.geteuid() != 0)
            self._children.append(child)
            connection = self._meet(listener, child, name, log)
        os.unlink(meeting)
        # The kernel says the process's ID as it is seen from here.
        pid = struct.unpack("3i", connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))[0]
        box = Box(name, pid, boxes.mark_of(pid), number)
        if self.underlay or self.stays:
            connection.close()
        else:
            self._guard = connection
        return box

    def _meet(self, listener: socket.socket, child: int, name: str, log: str) -> socket.socket:
        """The connection of a box's first process, once it is ready."""
        listener.settimeout(0.1)
        end = time.monotonic() + PATIENCE
        while time.monotonic() < end:
            with contextlib.suppress(TimeoutError):
                connection = listener.accept()[0]
                connection.settimeout(max(1, end - time.monotonic()))
                if connection.recv(1) == b"+":
                    connection.settimeout(None)
                    return connection
                break  # it says why on its way out
            if os.waitpid(child, os.WNOHANG) != (0, 0):
                self._children.remove(child)
                break
        else:
            os.kill(child, signal.SIGKILL)
        if child in self._children:
            os.waitpid(child, 0)
            self._children.remove(child)
        hint = " It may with sudo." if os.geteuid() else ""
        raise Impossible(f"{name} did not come up: {_last_line(log)}.{hint}")


def _addressed(link: str, number: int) -> str:
    """The lines for ip that give a place in the underlay to an interface."""
    nets = (NETWORK4, NETWORK6) if os.path.isdir("/proc/sys/net/ipv6") else (NETWORK4,)
    return f"link set {link} up\n" + "".join(f"addr add {n[number]}/{n.prefixlen} dev {link}\n" for n in nets)


def _last_line(log: str) -> str:
    with contextlib.suppress(FileNotFoundError), open(log, encoding="utf-8", errors="replace") as handle:
        return " ".join(handle.read().strip().splitlines()[-1:])
    return ""


def _wait(what: str, condition: Any) -> None:
    end = time.monotonic() + PATIENCE
    while not condition():
        if time.monotonic() > end:
            raise Impossible(f"waited {PATIENCE} s for {what}")
        time.sleep(0.02)


# -- the command line


def _up(given: argparse.Namespace) -> int:
    fleet = Fleet.up(given.hosts, given.directory or "", mtu=given.mtu, containers=given.containers, stays=True)
    print(f"{fleet.directory}\n  ansible -i {fleet.inventory} all -m ansible.builtin.ping", flush=True)
    return 0


def _down(given: argparse.Namespace) -> int:
    with contextlib.suppress(FileNotFoundError):  # there is none: well
        Fleet.find(given.directory).down()
    return 0


def _run(given: argparse.Namespace) -> int:
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda number, _frame: sys.exit(128 + number))
    with Fleet.up(given.hosts, mtu=given.mtu, containers=given.containers) as fleet:
        environment = {**os.environ, "FLEET": fleet.directory, "ANSIBLE_INVENTORY": fleet.inventory}
        return subprocess.run(given.command, env=environment, check=False).returncode


def _enter(given: argparse.Namespace) -> int:
    fleet = Fleet.find(given.directory)
    box = fleet.hosts.get(given.host) or fleet.underlay
    assert box
    return subprocess.run(box.command(*given.command), check=False).returncode


def _start(given: argparse.Namespace) -> int:
    Fleet.find(given.directory).start(given.host)
    return 0


def _stop(given: argparse.Namespace) -> int:
    Fleet.find(given.directory).stop(given.host)
    return 0


def main() -> int:
    parser = argparse.ArgumentParser(prog="fleet.py", description=__doc__)
    words = parser.add_subparsers(required=True, metavar="up|down|run|enter|start|stop")

    def word(name: str, action: Any, help_: str) -> argparse.ArgumentParser:
        made = words.add_parser(name, help=help_)
        made.set_defaults(action=action)
        return made

    up = word("up", _up, "make a fleet that stays until down")
    down = word("down", _down, "end it")
    run = word("run", _run, "make a fleet for one command, after --: $FLEET and $ANSIBLE_INVENTORY lead there")
    enter = word("enter", _enter, "run a command on a host, or on `fleet`, where the underlay is")
    start = word("start", _start, "a host joins, or comes back empty")
    stop = word("stop", _stop, "end one host")
    for each in (up, run):
        each.add_argument("hosts", type=int)
        each.add_argument("--mtu", type=int, default=1500, help="of the underlay")
        each.add_argument("--containers", default="", type=lambda text: [name for name in text.split(",") if name],
                          metavar="NAME,…", help="named network namespaces on each host")
    up.add_argument("--directory", help="where its files go; default: a new one under /tmp")
    for each in (down, enter, start, stop):
        each.add_argument("directory")
    for each in (enter, start, stop):
        each.add_argument("host")
    enter.add_argument("command", nargs=argparse.REMAINDER)
    cut = sys.argv.index("--") if sys.argv[1:2] == ["run"] and "--" in sys.argv else len(sys.argv)
    run.set_defaults(command=sys.argv[cut + 1 :])
    given = parser.parse_args(sys.argv[1:cut])
    if given.action is _run and not given.command:
        parser.error("run: the command stands after --")
    try:
        return int(given.action(given))
    except Impossible as error:
        print(f"fleet: {error}", file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main())
