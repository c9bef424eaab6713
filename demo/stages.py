# Copyright: pipework.containers contributors
# GNU General Public License v3.0+ (see LICENSE)
"""Where the demo takes place: each stage has two containers, web1 and db1, and goes away again."""
from __future__ import annotations

import ipaddress
import os
import shutil
import subprocess
import sys
import threading
from typing import Any

import kernel
from ping import ping
from show import ROOT, command, play, say, title

TOOLS = os.path.join(ROOT, "tests", "tools")
CONTAINERS = ("web1", "db1")
BRIDGE, NETWORK = "br1", "198.51.100.0/24"


class Impossible(Exception):
    """Why the demo cannot take place here, and how it can."""


class Stage:
    """What the stages have in common."""

    runtime = what = ""
    no_return = False  # a process that has entered it cannot leave
    stays = False

    def prepare(self) -> None:
        """What is not a part of the demo, and has to be there before it."""

    def open(self) -> None:
        """Makes the containers."""
        raise NotImplementedError

    def path(self, name: str) -> str:
        """A container's network namespace."""
        raise NotImplementedError

    def ping(self, name: str, address: str) -> bool:
        """Whether a container reaches an address."""
        raise NotImplementedError

    def remark(self) -> None:
        """What more there is to see here."""

    def ask(self) -> None:
        """Whether it shall stay."""

    def close(self) -> None:
        """Removes what was made."""


class Namespaces(Stage):
    """Plain network namespaces, in a network (and mounts) of the demo's own that go away with its last process."""

    runtime = "netns"
    what = "The containers are network namespaces, in a network of the demo's own that goes away with it."
    no_return = True

    def open(self) -> None:
        user, group = os.geteuid(), os.getegid()
        try:
            kernel.call("unshare", kernel.CLONE_NEWNET | kernel.CLONE_NEWNS | (kernel.CLONE_NEWUSER if user else 0))
            if user:
                for file, line in (("setgroups", "deny"), ("uid_map", f"0 {user} 1"), ("gid_map", f"0 {group} 1")):
                    with open(f"/proc/self/{file}", "w", encoding="ascii") as handle:
                        handle.write(line)
            kernel.mount("none", "/", None, kernel.MS_REC | kernel.MS_PRIVATE)
            kernel.mount("tmpfs", "/run", "tmpfs")
        except OSError as error:
            why = f"make a network of its own ({error.filename}: {error.strerror})"
            if user:
                raise Impossible(f"This system lets no ordinary user {why}. Go on with: sudo make demo") from None
            raise Impossible(f"Not even root may {why}, as in most containers. Try a virtual machine.") from None
        os.mkdir("/run/netns")
        for name in CONTAINERS:
            # In a thread of its own, since what unshares is in the new namespace from then on.
            maker = threading.Thread(target=self._make, args=(self.path(name),))
            maker.start()
            maker.join()

    @staticmethod
    def _make(path: str) -> None:
        kernel.call("unshare", kernel.CLONE_NEWNET)
        with open(path, "wb"):
            pass
        kernel.mount("/proc/thread-self/ns/net", path, None, kernel.MS_BIND)

    def path(self, name: str) -> str:
        return f"/run/netns/{name}"

    def ping(self, name: str, address: str) -> bool:
        with kernel.inside(self.path(name)):
            return _say_ping(name, address)


class Docker(Stage):
    """Two containers of the Docker engine, and a bridge on this machine."""

    runtime = "docker"
    what = "The containers are Docker's, and the bridge is this machine's until the end of the demo."
    image = "pipework/busybox:local"
    label = "pipework.demo"

    def __init__(self) -> None:
        self.engine_started = self.image_made = False

    def prepare(self) -> None:
        if os.geteuid() != 0:
            raise Impossible("Only root can give Docker's containers an interface: sudo make demo RUNTIME=docker")
        _install_docker()
        self.engine_started = _engine("status", stdout=subprocess.DEVNULL) != 0
        self.image_made = self.engine_started or not _docker("images", "-q", self.image)
        if _engine("start"):
            raise Impossible("Without a Docker engine: make demo")
        if self._containers():
            say("What an earlier demo left is removed first.")
            self._remove()
        _check_room()

    def open(self) -> None:
        for name in CONTAINERS:
            _docker("run", "-d", "--name", name, "--hostname", name, "--label", self.label, self.image)

    def path(self, name: str) -> str:
        return f"/proc/{_docker('inspect', '-f', '{{.State.Pid}}', name)}/ns/net"

    def ping(self, name: str, address: str) -> bool:
        words = ["docker", "exec", name, "ping", "-c", "2", "-W", "2", address]
        say(f"$ {' '.join(words)}")
        return subprocess.run(words, check=False).returncode == 0

    def remark(self) -> None:
        if shutil.which("iptables-save"):
            saved = subprocess.run(["iptables-save", "-t", "filter"], capture_output=True, text=True, check=False)
            rules = [line for line in saved.stdout.splitlines() if f"pipework:{BRIDGE}" in line]
            if rules:
                say("The host's packet filter would have dropped that. This rule lets it pass, on this bridge alone:")
                say("\n".join(rules))

    def ask(self) -> None:
        self.stays = bool(os.environ.get("KEEP"))
        if sys.stdin.isatty() and not self.stays and not os.environ.get("CLEAN"):
            say()
            print(f"Remove {', '.join(CONTAINERS)} and {BRIDGE} again? [Y/n] ", end="", flush=True)
            self.stays = sys.stdin.readline().strip().lower().startswith("n")
        if self.stays:
            say("\nIt stays. To remove it:")
            say(f"  sudo tests/tools/run {' '.join(command(self.runtime, private_bridge_state='absent'))}")
            say(f"  sudo docker rm -f {' '.join(CONTAINERS)}")

    def close(self) -> None:
        if self.stays:
            return
        title("Remove it")
        self._remove()
        if self.image_made:
            subprocess.run(["docker", "rmi", self.image], capture_output=True, check=False)
        if self.engine_started:
            _engine("stop")

    def _containers(self) -> list[str]:
        return _docker("ps", "-aq", "--filter", f"label={self.label}").split()

    def _remove(self) -> None:
        try:
            play(self.runtime, private_bridge_state="absent")
        finally:
            if self._containers():
                _docker("rm", "-f", *self._containers())


def _say_ping(name: str, address: str) -> bool:
    times = ping(address)
    average = f", {sum(times) / len(times):.2f} ms on average" if times else ""
    say(f"{name}: ping {address}: {len(times)} of 3 answered{average}")
    return len(times) == 3


def _engine(word: str, **options: Any) -> int:
    return subprocess.run([f"{TOOLS}/engine", word], check=False, **options).returncode


def _docker(*words: str) -> str:
    result = subprocess.run(["docker", *words], capture_output=True, text=True, check=False)
    if result.returncode:
        raise Impossible(f"docker {words[0]}: {result.stderr.strip()}")
    return result.stdout.strip()


def _install_docker() -> None:
    """As `sudo make test` does, but only what the demo needs."""
    packages = {"docker": "docker.io", "busybox": "busybox-static"}
    missing = [program for program in packages if not shutil.which(program)]
    if missing and shutil.which("apt-get"):
        wanted = [packages[program] for program in missing]
        apt_install = [f"{TOOLS}/apt-install"]
        subprocess.run(apt_install, check=False)
        known = subprocess.run(["apt-cache", "show", "docker-cli"], capture_output=True, check=False).stdout
        if "docker" in missing and known:
            wanted.append("docker-cli")  # newer Debian has the client in a package of its own
        say(f"demo: installing with apt: {' '.join(wanted)}")
        subprocess.run([*apt_install, *wanted], check=False)
        missing = [program for program in missing if not shutil.which(program)]
    if missing:
        raise Impossible(f"Not found: {', '.join(missing)}; install that first. Without Docker: make demo")


def _check_room() -> None:
    """What is somebody else's is not touched."""
    links = kernel.links().values()
    there = [f"container {name}" for name in CONTAINERS if _docker("ps", "-aq", "--filter", f"name=^{name}$")]
    there += [f"interface {link['name']}" for link in links if link["name"] == BRIDGE]
    there += [f"network {NETWORK} (on {link['name']})" for link in links if _overlaps(link)]
    if there:
        raise Impossible(f"This machine has a {there[0]} already, which is not the demo's. Without Docker: make demo")


def _overlaps(link: dict[str, Any]) -> bool:
    nets = (ipaddress.ip_interface(address).network for address in link["addresses"])
    return any(net.version == 4 and net.overlaps(ipaddress.ip_network(NETWORK)) for net in nets)
