# Copyright: pipework.containers contributors
# GNU General Public License v3.0+ (see LICENSE)
"""containerd's containers, in its namespaces, and by the names that nerdctl gives them."""
from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Iterator

import pytest

from ansible_collections.pipework.containers.plugins.module_utils._runtimes import containerd
from tests.integration.engines import NET, Cases, Deaf, Engine, busybox_root, gone, lingering, need
from tests.integration.lab import Host, eventually

pytestmark = pytest.mark.root

CONFIGURATION = """\
version = 2
root = "{folder}/containerd"
state = "/run/containerd"
disabled_plugins = ["io.containerd.grpc.v1.cri", "io.containerd.internal.v1.opt"]
[grpc]
address = "/run/containerd/containerd.sock"
"""


class Containerd(Engine):
    """A daemon of the test's own; names are given as ``namespace/name`` or without the namespace."""

    runtime = "containerd"
    groups = ("default", "other", "moby", "k8s.io")
    odd_names = ("0", "A.b_c-d", "x" * 60)

    def __init__(self, host: Host | None = None) -> None:
        need("containerd", "ctr", "containerd-shim-runc-v2", "runc")
        super().__init__(host)
        self.root = busybox_root(self.folder / "root")
        (self.folder / "config.toml").write_text(CONFIGURATION.format(folder=self.folder), encoding="ascii")
        self.made: set[str] = set()

        def begin() -> int:
            with open(self.folder / "log", "wb") as log:
                argv = ["containerd", "--config", f"{self.folder}/config.toml"]
                null = subprocess.DEVNULL
                return subprocess.Popen(argv, stdin=null, stdout=log, stderr=log, start_new_session=True).pid

        self.pid = self.host.call(begin)
        assert eventually(lambda: self.host.ok("ctr", "version"), 30), (self.folder / "log").read_text()

    def ctr(self, name: str, *argv: str, check: bool = True) -> str:
        space = name.rpartition("/")[0] or "default"
        return self.program("ctr", f"--namespace={space}", *argv, check=check)

    def start(self, name: str, host_network: bool = False, label: str | None = None) -> None:
        base = name.rpartition("/")[2]
        if name in self.made:
            self.ctr(name, "tasks", "start", "--detach", base)
            return
        options = [*(["--net-host"] if host_network else []), *([f"--label=nerdctl/name={label}"] if label else [])]
        self.made.add(name)
        self.ctr(name, "run", "--detach", *options, "--rootfs", str(self.root), base, "/bin/sleep", "1000000")

    def stop(self, name: str) -> None:
        base = name.rpartition("/")[2]
        self.ctr(name, "tasks", "kill", "--signal", "SIGKILL", base)
        self.ctr(name, "tasks", "delete", "--force", base)

    def remove(self, name: str) -> None:
        with contextlib.suppress(AssertionError):
            self.stop(name)
        self.ctr(name, "containers", "delete", name.rpartition("/")[2])
        self.made.remove(name)

    def sh(self, name: str, *argv: str) -> str:
        number, base = f"e{time.monotonic_ns()}", name.rpartition("/")[2]
        return self.ctr(name, "tasks", "exec", "--exec-id", number, base, *lingering(*argv))

    def remove_all(self) -> None:
        for name in list(self.made):
            self.remove(name)

    def end(self) -> None:
        try:
            self.remove_all()
        finally:
            os.kill(self.pid, signal.SIGTERM)
            assert eventually(lambda: gone(self.pid))


@pytest.fixture(scope="module")
def started() -> Iterator[Containerd]:
    found = Containerd()
    try:
        yield found
    finally:
        found.close()


@pytest.fixture
def engine(started: Containerd) -> Iterator[Containerd]:
    yield started
    started.reset()


class TestContainerd(Cases):
    def test_B6_names_of_nerdctl_and_short_ids(self, engine: Containerd) -> None:
        ident = "0123456789abcdef" * 4
        engine.start(ident, label="web1")
        first = engine.attach("web1", addresses=[f"{NET}.1/24"])
        assert first["attachments"][0]["container"] == "web1"
        assert first["attachments"][0]["container_id"] == ident
        for name in (ident, ident[:12], "default/web1", f"default/{ident}"):
            assert not engine.attach(name, addresses=[f"{NET}.1/24"])["changed"], name
        assert engine.links(ident) == ["eth1"]

    def test_B6_namespaces(self, engine: Containerd) -> None:
        engine.start("web1")
        assert engine.find("other/web1")[0] == "NoContainer"
        engine.start("other/web1")
        assert "Found more than one container matching web1: default/web1, other/web1" in engine.refused("web1")
        done = engine.attach("other/web1", addresses=[f"{NET}.1/24"])
        assert done["attachments"][0]["container"] == "other/web1"
        assert (engine.links("web1"), engine.links("other/web1")) == ([], ["eth1"])
        engine.remove("web1")
        assert not engine.attach("web1", addresses=[f"{NET}.1/24"])["changed"]

    @pytest.mark.parametrize("space", ["moby", "k8s.io"])
    def test_namespaces_of_docker_and_kubernetes_are_not_searched(self, engine: Containerd, space: str) -> None:
        engine.start(f"{space}/web1")
        assert engine.find("web1")[0] == "NoContainer"
        assert engine.find("web1", "auto")[0] == "NoContainer"

    def test_B14_process_number_of_another_process(self, engine: Containerd, monkeypatch: pytest.MonkeyPatch) -> None:
        for name in ("web1", "web2"):
            engine.start(name)
        real = containerd._space
        other = engine.host.call(real, "default").tasks["web2"][0]
        for pid in (other, os.getpid(), 1, 1 << 22):
            spaces = {"default": engine.host.call(real, "default")}
            spaces["default"].tasks["web1"] = (pid, "running")
            monkeypatch.setattr(containerd, "_spaces", lambda spaces=spaces: spaces)
            assert "'web1' is not running (its task has ended)" in engine.refused("web1")

    def test_engine_that_does_not_answer(self, engine: Containerd, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("CONTAINERD_ADDRESS", f"{engine.folder}/nothing.sock")
        assert f"runtime: containerd cannot be asked: there is no socket {engine.folder}" in engine.refused("web1")
        assert engine.find("web1", "auto")[0] == "NoContainer", "no socket: not installed"
        (engine.folder / "nothing.sock").touch()
        assert "runtime: containerd does not answer" in engine.refused("web1")
        assert "containerd does not answer" in engine.refused("web1", runtime="auto", state="absent")
        os.unlink(engine.folder / "nothing.sock")
        since = time.monotonic()
        with contextlib.closing(Deaf(engine.host, f"{engine.folder}/nothing.sock")):
            assert "runtime: containerd does not answer" in engine.refused("web1")
        assert time.monotonic() - since < 20
        monkeypatch.undo()
