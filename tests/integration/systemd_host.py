# Copyright: pipework.containers contributors
# GNU General Public License v3.0+ (see LICENSE)
"""A host on which systemd is PID 1, in a container of Docker: it boots, and it reboots.

Its root file system is made by tests/tools/image-systemd. The NIC nic0 leads to the namespace lan; both are there
before systemd is. The modules run on its own Python, from this checkout.
"""

from __future__ import annotations

import contextlib
import csv
import io
import json
import os
import subprocess
import sysconfig
import time
import typing as t
from collections.abc import Iterator
from pathlib import Path

from tests.conftest import ROOT, unavailable
from tests.integration.lab import LIMIT, Host

ARCHIVE = ROOT / ".cache" / "systemd" / "root.tar"
TREE, SITE = "/opt/tree", "/opt/site"
HERE = f"{TREE}/ansible_collections/pipework/containers"
MACHINE = [  # not --privileged: the machine's devices and its kernel's parameters are none of its business
    "--network=none", "--cgroupns=private", "--env=container=docker", "--stop-signal=SIGRTMIN+3",
    "--tmpfs=/run:exec", "--tmpfs=/run/lock", "--tmpfs=/tmp", "--cap-add=ALL", "--cap-drop=SYS_RESOURCE",
    *(f"--security-opt={each}=unconfined" for each in ("seccomp", "apparmor", "systempaths")),
]  # fmt: skip
IMAGE, LABEL = f"pipework/systemd:{os.getpid()}", f"pipework.test={os.getpid()}"
BOOT = 60  # seconds; it takes one
UP = ("running", "degraded")


class SystemdHost(Host):
    """One such host. Work on it is done by programs of its own: functions cannot be called there."""

    def __init__(self, image: str) -> None:
        self.guests = []
        mounts = [(ROOT / "plugins", f"{HERE}/plugins"), (sysconfig.get_paths()["purelib"], SITE)]
        done = docker("create", "--label", LABEL, *MACHINE, *(_mount(*each) for each in mounts), image)
        assert done.returncode == 0, done.stderr
        self.container = done.stdout.strip()
        try:
            self._start("start")
        except BaseException:
            self.close()
            raise

    def _start(self, *words: str) -> None:
        done = docker(*words, self.container)
        if done.returncode != 0:
            unavailable(f"the Docker engine cannot run systemd as PID 1: {done.stderr.strip()}")
        state, end = "", time.monotonic() + BOOT
        while state not in UP and time.monotonic() < end:
            time.sleep(0.05)
            state = self.sh("systemctl", "is-system-running", check=False).strip()
            if docker("inspect", "--format={{.State.Running}}", self.container).stdout.strip() != "true":
                break
        if state not in UP:
            said = docker("logs", "--tail=10", self.container)
            unavailable(f"systemd does not get up as PID 1 in a container here: {state}{said.stdout}{said.stderr}")

    def close(self) -> None:
        docker("rm", "--force", "--volumes", self.container)

    def reboot(self) -> None:
        """Down in good order, and up again, with another network and nothing in /run."""
        self.sh("touch", "/run/before")
        self._start("restart", "--time=30")
        assert not self.ok("test", "-e", "/run/before")

    # -- work on the host

    def words(self, *argv: str, ns: str | None = None) -> list[str]:
        """What a program is started by from outside."""
        inside = ["ip", "netns", "exec", ns] if ns else []
        return ["docker", "exec", "-i", self.container, *inside, *argv]

    def sh(self, *argv: str, ns: str | None = None, text: str = "", check: bool = True) -> str:
        done = subprocess.run(
            self.words(*argv, ns=ns), input=text, capture_output=True, text=True, timeout=LIMIT, check=False
        )
        assert not check or done.returncode == 0, f"{' '.join(argv)}: {done.stdout}{done.stderr}"
        return done.stdout

    def ok(self, *argv: str, ns: str | None = None) -> bool:
        done = subprocess.run(self.words(*argv, ns=ns), capture_output=True, timeout=LIMIT, check=False)
        return done.returncode == 0

    def write(self, path: str, text: str, mode: str = "644") -> None:
        self.sh("install", "-D", "-m", mode, "/dev/stdin", path, text=text)

    def add_guests(self, *names: str) -> None:
        for name in names:
            self.sh("ip", "netns", "add", name)
            self.sh("ip", "link", "set", "lo", "up", ns=name)
        self.guests += [name for name in names if name not in self.guests]

    def call_module(self, name: str, inside: t.Sequence[str] = (), **params: t.Any) -> dict[str, t.Any]:
        """One run of a module. ``inside``: what starts the program, such as a session."""
        code = f"/run/test-{name}.py"
        module = f"ansible_collections.pipework.containers.plugins.modules.{name}"
        self.write(code, (
            f"import sys; sys.path += {[TREE, SITE]!r}\nimport ansible.module_utils.basic as basic\n"
            "basic._ANSIBLE_PROFILE = 'legacy'\n"
            f"import importlib; importlib.import_module({module!r}).main()\n"
        ))  # fmt: skip
        check = bool(params.pop("check", False))
        arguments = {**params, "_ansible_check_mode": check, "_ansible_diff": False, "_ansible_remote_tmp": "/run"}
        said = self.sh(
            *inside, "python3", "-B", code, text=json.dumps({"ANSIBLE_MODULE_ARGS": arguments}), check=False
        )
        found = dict(json.loads(said[said.index("{") :]) if "{" in said else {"failed": True, "msg": said})
        assert not found.get("failed"), found
        return found

    # -- looking

    def unit(self, name: str, what: str = "ActiveState") -> str:
        """What systemd says of a unit."""
        return self.sh("systemctl", "show", f"--property={what}", "--value", name).strip()

    def units(self, pattern: str) -> list[str]:
        """Those that are loaded."""
        words = ("systemctl", "list-units", "--all", "--plain", "--quiet", "--no-pager", pattern)
        return [line.split()[0] for line in self.sh(*words).splitlines() if line.strip()]


def docker(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["docker", *words], capture_output=True, text=True, timeout=LIMIT, check=False)


def _mount(source: str | Path, target: str) -> str:
    words = io.StringIO()
    csv.writer(words).writerow(["type=bind", f"source={source}", f"target={target}", "readonly"])
    return f"--mount={words.getvalue().strip()}"


@contextlib.contextmanager
def imported() -> Iterator[str]:
    """The image, which is there for this run of the tests only, and so are its containers."""
    if not ARCHIVE.exists():
        unavailable("there is no .cache/systemd/root.tar: sudo make setup-system")
    done = docker("import", "--change", 'CMD ["/usr/local/sbin/power-on"]', str(ARCHIVE), IMAGE)
    assert done.returncode == 0, done.stderr
    try:
        yield IMAGE
    finally:
        left = docker("ps", "--all", "--quiet", f"--filter=label={LABEL}").stdout.split()
        docker("rm", "--force", "--volumes", *left) if left else None
        docker("rmi", "--force", IMAGE)
