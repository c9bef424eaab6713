# Copyright: pipework.containers contributors
# GNU General Public License v3.0+ (see LICENSE)
"""The kernel lane: who runs where, and what its tests get. See README.md next to this file."""
from __future__ import annotations

import json
import os
import pathlib
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

import pytest

HERE = pathlib.Path(__file__).parent
LANE = os.environ.get("PIPEWORK_KERNEL_LANE")
# The mark of a test, and why it is skipped outside the lane that it names.
ELSEWHERE = {
    "kernel": "needs a kernel with dummy, 8021q, netem and NICs to play with: runs in the lane tests/kernel/run",
    "qemu": "needs SR-IOV or wireless NICs: runs in the lane tests/kernel/run --kernel=qemu",
}
MARKS = {"kernel": "uml", "qemu": "qemu"}
T = TypeVar("T")
PLATFORM = pathlib.Path("/sys/bus/platform/devices")


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "kernel: needs the full kernel of the kernel lane (tests/kernel/run)")
    config.addinivalue_line("markers", "qemu: needs the machine of the qemu lane (tests/kernel/run --kernel=qemu)")
    config.addinivalue_line("markers", "any_kernel: runs in the kernel lane as well as on the host's own kernel")
    config.addinivalue_line("markers", "oldest: runs in the qemu lane as well, on the oldest kernel that is served")


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if HERE in item.path.parents and not item.get_closest_marker("qemu"):
            item.add_marker("kernel")
        for mark, lane in MARKS.items():
            if item.get_closest_marker(mark) and lane != LANE:
                item.add_marker(pytest.mark.skip(reason=ELSEWHERE[mark]))


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Iterator[None]:
    """In its lane, a test that needs it must run: it runs nowhere else."""
    outcome: Any = yield
    report = outcome.get_result()
    only_here = any(item.get_closest_marker(mark) for mark, lane in MARKS.items() if lane == LANE)
    if only_here and report.skipped and not hasattr(report, "wasxfail"):
        report.outcome = "failed"
        report.longrepr = f"skipped in the only lane in which it can run: {report.longrepr[2]}"


def run(*argv: str, check: bool = True) -> str:
    done = subprocess.run(
        argv, check=False, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    assert not check or done.returncode == 0, f"{' '.join(argv)}: {done.stdout}"
    return done.stdout


def wait_for(what: str, condition: Callable[[], T], timeout: float = 10) -> T:
    """The first true answer of `condition`."""
    end = time.monotonic() + timeout
    while True:
        answer = condition()
        if answer:
            return answer
        assert time.monotonic() < end, f"{what}: not within {timeout} s"
        time.sleep(0.02)


class Nic:
    """A NIC of the machine: a platform device without rtnl_link_ops, known by its device, whatever its name is."""

    def __init__(self, device: str) -> None:
        self.device = device
        self.name = self.wait_here()
        link = self.link()
        self.mac: str = link["address"]
        self.mtu: int = link["mtu"]

    def here(self) -> str | None:
        """Its name now in the host's namespace; None when it is elsewhere."""
        net = PLATFORM / self.device / "net"
        names = sorted(path.name for path in net.iterdir()) if net.is_dir() else []
        return names[0] if names else None

    def wait_here(self) -> str:
        """Its name in the host's namespace, as soon as it is (back) there: the kernel cleans up in the background."""
        name = wait_for(f"{self.device} in the host's namespace", self.here)
        assert name is not None
        return name

    def link(self) -> dict[str, Any]:
        """`ip -d link show`, by its present name in the host's namespace."""
        return json.loads(run("ip", "-j", "-d", "link", "show", "dev", self.wait_here()))[0]

    def addresses(self) -> list[str]:
        """Its addresses in the host's namespace, except link-local."""
        shown = json.loads(run("ip", "-j", "address", "show", "dev", self.wait_here()))[0]["addr_info"]
        return sorted(f"{one['local']}/{one['prefixlen']}" for one in shown if one["scope"] == "global")

    def move_to(self, guest: Guest, name: str) -> None:
        """Into the guest's namespace, renamed there, down."""
        link = self.wait_here()
        run("ip", "link", "set", "dev", link, "netns", str(guest.pid))
        guest.run("ip", "link", "set", "dev", link, "name", name)

    def restore(self) -> None:
        """As the kernel made it."""
        name = self.wait_here()
        run("ip", "link", "set", "dev", name, "down")  # first: some take no address while they are up
        run("ip", "link", "set", "dev", name, "nomaster", "alias", "", "group", "default",
            "address", self.mac, "mtu", str(self.mtu))
        run("ip", "address", "flush", "dev", name)
        for altname in self.link().get("altnames", ()):
            run("ip", "link", "property", "del", "dev", name, "altname", altname)
        if name != self.name:
            run("ip", "link", "set", "dev", name, "name", self.name)


class Guest:
    """A container as the kernel sees it: a network namespace that lives as long as its one process."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(("unshare", "--net", "--", "sleep", "infinity"), stdin=subprocess.DEVNULL)
        self.pid = self._process.pid
        ours = os.readlink("/proc/self/ns/net")
        wait_for("a namespace of its own", lambda: os.readlink(f"/proc/{self.pid}/ns/net") != ours)

    def run(self, *argv: str, check: bool = True) -> str:
        """Output of a command in the guest's network namespace."""
        return run("nsenter", "--net", f"--target={self.pid}", "--", *argv, check=check)

    def kill(self) -> None:
        """Its last process dies; the namespace goes with it, a little later."""
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGKILL)
            self._process.wait()


@pytest.fixture
def nics() -> Iterator[list[Nic]]:
    """Two NICs, wired to each other, as the kernel made them; restored afterwards."""
    found = [Nic(path.name) for path in sorted(PLATFORM.glob("uml-vector.*"))]
    yield found
    for nic in found:
        nic.restore()


@pytest.fixture
def make_guest(nics: list[Nic]) -> Iterator[Callable[[], Guest]]:  # nics: guests die first, then the NICs are restored
    """A function that starts guests; they end with the test."""
    guests: list[Guest] = []

    def make() -> Guest:
        guests.append(Guest())
        return guests[-1]

    yield make
    for guest in guests:
        guest.kill()


@pytest.fixture
def guest(make_guest: Callable[[], Guest]) -> Guest:
    return make_guest()
