# Copyright: pipework.containers contributors
# GNU General Public License v3.0+ (see LICENSE)
"""systemd-nspawn's containers, which machined does not know of."""
from __future__ import annotations

import os
import shutil
import signal
import subprocess
from collections.abc import Iterator

import pytest

from ansible_collections.pipework.containers.plugins.module_utils._runtimes import nspawn
from tests.integration.engines import NET, Cases, Engine, busybox_root, gone, need
from tests.integration.lab import Host, eventually

pytestmark = pytest.mark.root


class Nspawn(Engine):
    runtime = "nspawn"
    groups = ("payload", "supervisor")
    odd_names = ("x" * 60, "A.b-0", "0")

    def __init__(self, host: Host | None = None) -> None:
        need("systemd-nspawn", "nsenter")
        super().__init__(host)
        self.root = busybox_root(self.folder / "root")
        self.program("mkdir", "-p", nspawn.IMAGES)
        self.program("mount", "-t", "tmpfs", "tmpfs", nspawn.IMAGES)  # for this host alone
        self.running: dict[str, int] = {}

    def start(self, name: str, host_network: bool = False, leave: bool = False) -> None:
        place = f"{nspawn.IMAGES}/{name}"
        argv = ["systemd-nspawn", "--quiet", f"--directory={place}", f"--machine={name}", "--register=no"]
        argv += ["--keep-unit", "--console=pipe", *([] if host_network else ["--private-network"])]
        argv += ["/bin/sleep", "1000000"]

        def begin() -> int:
            if not os.path.exists(place):
                shutil.copytree(self.root, place, symlinks=True)
            null = subprocess.DEVNULL
            return subprocess.Popen(argv, stdin=null, stdout=null, stderr=null, start_new_session=True).pid

        self.running[name] = self.host.call(begin)
        if not leave:
            assert eventually(lambda: self.host.call(lambda: name in nspawn._processes()))

    def stop(self, name: str) -> None:
        """Ends the container's process, as it could itself; systemd-nspawn then cleans up."""
        supervisor = self.running.pop(name)
        if name in self.host.call(nspawn._processes):
            os.kill(self.host.call(nspawn._processes)[name], signal.SIGKILL)
        assert eventually(lambda: gone(supervisor))

    def remove(self, name: str) -> None:
        if name in self.running:
            self.stop(name)
        self.host.call(shutil.rmtree, f"{nspawn.IMAGES}/{name}")

    def sh(self, name: str, *argv: str) -> str:
        pid = self.host.call(nspawn._processes)[name]
        return self.program("nsenter", "-t", str(pid), "-a", "/bin/busybox", *argv)

    def remove_all(self) -> None:
        for name in [name for name in self.host.call(os.listdir, nspawn.IMAGES) if not name.startswith(".")]:
            self.remove(name)

    def end(self) -> None:
        self.remove_all()


@pytest.fixture(scope="module")
def started() -> Iterator[Nspawn]:
    found = Nspawn()
    try:
        yield found
    finally:
        found.close()


@pytest.fixture
def engine(started: Nspawn) -> Iterator[Nspawn]:
    yield started
    started.reset()


class TestNspawn(Cases):
    def test_P39_starting_container_is_waited_for(self, engine: Nspawn) -> None:
        engine.start("web1")
        engine.stop("web1")
        for _time in range(3):
            engine.start("web1", leave=True)
            assert eventually(lambda: "web1" in engine.host.call(lambda: nspawn._listed(nspawn.FOLDER)))
            assert engine.attach("web1", addresses=[f"{NET}.1/24"])["attachments"][0]["interface"] == "eth1"
            engine.stop("web1")

    def test_B14_a_container_cannot_pass_for_another(self, engine: Nspawn) -> None:
        """It may mount what it likes, under any name: not the folder that systemd-nspawn made for the other."""
        for name in ("good1", "evil1"):
            engine.start(name)
        fake = f"/tmp{nspawn.FOLDER}/good1"
        engine.sh("evil1", "mkdir", "-p", fake, "/mnt/a")
        engine.sh("evil1", "mount", "-o", "bind", fake, "/mnt/a")
        good = engine.host.call(nspawn._processes)["good1"]
        found = engine.find("good1")
        assert found.name == "good1"
        engine.attach("good1", addresses=[f"{NET}.1/24"])
        assert (engine.links("good1"), engine.links("evil1")) == (["eth1"], [])
        assert engine.host.call(nspawn._processes)["good1"] == good

    def test_B14_process_number_of_another_process(self, engine: Nspawn, monkeypatch: pytest.MonkeyPatch) -> None:
        """The process that was seen has ended since, and its number was taken over."""
        for name in ("web1", "web2"):
            engine.start(name)
        real = nspawn._processes
        other = engine.host.call(real)["web2"]
        for pid in (other, os.getpid(), 1, 1 << 22):
            with monkeypatch.context() as patch:
                said = [{"web1": pid}]
                patch.setattr(nspawn, "_processes", lambda said=said: said.pop() if said else real())
                assert engine.attach("web1", addresses=[f"{NET}.1/24"])["attachments"][0]["interface"] == "eth1"
            assert (engine.links("web1"), engine.links("web2")) == (["eth1"], [])
            engine.attach("web1", state="absent")

    def test_runtime_user_is_refused(self, engine: Nspawn) -> None:
        assert "runtime_user: nspawn has no use for it" in engine.refused("web1", options=True, runtime_user="nobody")
