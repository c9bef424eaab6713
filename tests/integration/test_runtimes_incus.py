# Copyright: pipework.containers contributors
# GNU General Public License v3.0+ (see LICENSE)
"""Incus's containers, or LXD's where that is what the host has: the same questions to the same kind of daemon."""
from __future__ import annotations

import contextlib
import io
import os
import shutil
import signal
import subprocess
import tarfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from ansible_collections.pipework.containers.plugins.module_utils._runtimes import incus
from tests.conftest import unavailable
from tests.integration.engines import NET, Cases, Deaf, Engine, busybox_root, eventually, gone, need
from tests.integration.lab import Host

pytestmark = pytest.mark.root

DEBIANS_INCUS = "/usr/libexec/incus/incusd"
PRESEED = """\
storage_pools:
- {name: default, driver: dir}
profiles:
- name: default
  devices:
    root: {path: /, pool: default, type: disk}
"""
METADATA = b"architecture: x86_64\ncreation_date: 1\nproperties: {description: busybox, os: busybox}\n"


def image(folder: Path) -> Path:
    """A root file system of nothing but busybox, with an init that sleeps."""
    root = busybox_root(folder / "rootfs")
    (root / "sbin/init").write_text("#!/bin/sh\nexec /bin/sleep 1000000\n", encoding="ascii")
    (root / "sbin/init").chmod(0o755)
    described = tarfile.TarInfo("metadata.yaml")
    described.size = len(METADATA)
    with tarfile.open(folder / "image.tar", "w") as archive:
        archive.addfile(described, io.BytesIO(METADATA))
        archive.add(root, "rootfs")
    return folder / "image.tar"


class Incus(Engine):
    """A daemon of the test's own; names are given as ``project/name`` or without the project."""

    runtime = "incus"
    groups = ("lxc.monitor*", "lxc.payload*", "lxc.pivot*")
    odd_names = ("A1", "a--b", "x" * 63)

    def __init__(self, host: Host | None = None) -> None:
        daemon = shutil.which("incusd") or (DEBIANS_INCUS if os.path.exists(DEBIANS_INCUS) else None)
        self.client = "incus" if daemon else "lxc"
        daemon = daemon or shutil.which("lxd")
        if daemon is None:
            unavailable("neither incusd nor lxd: sudo make setup-system")
        need(self.client)
        super().__init__(host)
        self.home = "/run/incus" if self.client == "incus" else "/run/lxd"
        prefix = "INCUS" if self.client == "incus" else "LXD"
        self.environment = {
            **os.environ, f"{prefix}_DIR": self.home, f"{prefix}_CONF": str(self.folder / "client"),
            "HOME": str(self.folder),
        }
        self.made: set[str] = set()

        def begin() -> int:
            os.makedirs(self.home)
            with open(self.folder / "log", "wb") as log:
                return subprocess.Popen(
                    [str(daemon), "--group", "root"], stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                    env=self.environment, start_new_session=True,
                ).pid

        self.pid = self.host.call(begin)
        assert eventually(lambda: self.host.call(os.path.exists, f"{self.home}/unix.socket"), 30), self.log()
        admin = ["incus", "admin"] if self.client == "incus" else ["lxd"]
        self.program(*admin, "waitready", "--timeout=60", env=self.environment)
        self.program(*admin, "init", "--preseed", env=self.environment, stdin=None, input=PRESEED)
        self.ask("image", "import", str(image(self.folder)), "--alias=busybox")

    def log(self) -> str:
        return (self.folder / "log").read_text(encoding="utf-8", errors="replace")

    def ask(self, *argv: str, check: bool = True) -> str:
        return self.program(self.client, *argv, check=check, env=self.environment)

    @staticmethod
    def split(name: str) -> tuple[str, str]:
        project, _slash, base = name.rpartition("/")
        return base, f"--project={project or 'default'}"

    def start(self, name: str, host_network: bool = False) -> None:
        base, project = self.split(name)
        if name not in self.made:
            self.made.add(name)
            options = ["--config=security.privileged=true"]
            if host_network:
                self.host.sh("touch", "/run/own-network")
                self.host.sh("mount", "--bind", "/proc/self/ns/net", "/run/own-network")
                options.append("--config=raw.lxc=lxc.namespace.share.net=/run/own-network")
            self.ask("init", "busybox", base, project, *options)
        self.ask("start", base, project)

    def stop(self, name: str) -> None:
        self.ask("stop", "--force", *self.split(name))

    def remove(self, name: str) -> None:
        self.ask("delete", "--force", *self.split(name))
        self.made.remove(name)

    def sh(self, name: str, *argv: str) -> str:
        return self.ask("exec", *self.split(name), "--", *argv)

    def remove_all(self) -> None:
        for name in list(self.made):
            self.remove(name)

    def end(self) -> None:
        try:
            self.remove_all()
        finally:
            os.kill(self.pid, signal.SIGTERM)
            assert eventually(lambda: gone(self.pid), 30)


@pytest.fixture(scope="module")
def started() -> Iterator[Incus]:
    found = Incus()
    try:
        yield found
    finally:
        found.close()


@pytest.fixture
def engine(started: Incus) -> Iterator[Incus]:
    yield started
    started.reset()


class TestIncus(Cases):
    def test_B6_projects(self, engine: Incus) -> None:
        engine.ask("project", "create", "shop", "--config=features.images=false", "--config=features.profiles=false")
        try:
            engine.start("shop/web1")
            assert all(engine.find(name)[0] == "NoContainer" for name in ("web1", "shop/web2", "nobody/web1"))
            engine.start("web1")
            done = engine.attach("shop/web1", addresses=[f"{NET}.1/24"])
            assert done["attachments"][0]["container"] == "shop/web1"
            assert (engine.links("web1"), engine.links("shop/web1")) == ([], ["eth1"])
            assert not engine.attach("default/web1", state="absent")["changed"]
            assert engine.host.run(attachments=[], purge=True)["changed"]
            assert engine.links("shop/web1") == []
            engine.stop("shop/web1")
            assert f"start it ('{engine.client} start web1 --project shop')" in engine.refused("shop/web1")
        finally:
            engine.remove_all()
            engine.ask("project", "delete", "shop")

    def test_B6_frozen_and_what_a_name_cannot_be(self, engine: Incus) -> None:
        engine.start("web1")
        engine.ask("pause", "web1")
        assert engine.attach("web1", addresses=[f"{NET}.1/24"])["changed"]
        engine.ask("start", "web1")
        assert engine.links("web1") == ["eth1"]
        for name in ("local:web1", "/web1", "default//web1", "web", "WEB1", "web1?project=x", "../instances/web1"):
            assert engine.find(name)[0] == "NoContainer", name
        assert "runtime_user: incus has no use for it" in engine.refused("web1", options=True, runtime_user="nobody")

    def test_B6_a_container_has_its_id_for_life(self, engine: Incus) -> None:
        engine.start("web1")
        ident = engine.find("web1").ident
        engine.stop("web1")
        engine.start("web1")
        assert engine.find("web1").ident == ident
        engine.remove("web1")
        engine.start("web1")
        assert engine.find("web1").ident != ident

    def test_B14_process_number_of_another_process(self, engine: Incus, monkeypatch: pytest.MonkeyPatch) -> None:
        for name in ("web1", "web2"):
            engine.start(name)
        real = incus._state
        [daemon] = engine.host.call(incus._daemons)
        other = (engine.host.call(real, ("default", "web2"), daemon) or {})["pid"]
        with subprocess.Popen(["unshare", "-n", "sleep", "60"]) as stranger:
            for pid in (other, stranger.pid, 1 << 22):
                said = [{"status": "Running", "pid": pid}]
                monkeypatch.setattr(incus, "_state", lambda *a, said=said: said.pop() if said else real(*a))
                assert engine.attach("web1", addresses=[f"{NET}.1/24"])["attachments"][0]["interface"] == "eth1"
                assert (engine.links("web1"), engine.links("web2")) == (["eth1"], [])
                engine.attach("web1", state="absent")
            stranger.kill()

    def test_B14_where_the_monitor_does_not_show_itself_the_daemon_is_asked_again(
        self, engine: Incus, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        engine.start("web1")
        monkeypatch.setattr(incus, "command", lambda _pid: ["lxd forkstart web1"])
        assert engine.find("web1").name == "web1"

    def test_daemon_that_does_not_answer(self, engine: Incus, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(incus, "SECONDS", 0.5)
        monkeypatch.setenv("INCUS_SOCKET", "/run/nothing.socket")
        monkeypatch.setenv("LXD_SOCKET", "/run/nothing.socket")
        assert "runtime: Incus cannot be asked: neither Incus nor LXD has a socket here" in engine.refused("web1")
        assert engine.find("web1", "auto")[0] == "NoContainer", "no socket: not installed"
        monkeypatch.delenv("LXD_SOCKET")
        monkeypatch.setenv("INCUS_SOCKET", "/run/deaf.socket")
        engine.host.sh("touch", "/run/deaf.socket")
        assert "runtime: Incus does not answer at /run/deaf.socket: Connection refused" in engine.refused("web1")
        engine.host.sh("rm", "/run/deaf.socket")
        since = time.monotonic()
        with contextlib.closing(Deaf(engine.host, "/run/deaf.socket")):
            assert "runtime: Incus does not answer at /run/deaf.socket" in engine.refused("web1")
            assert "Incus does not answer at" in engine.refused("web1", runtime="auto", state="absent")
        assert time.monotonic() - since < 20
        for words in (b"SSH-2.0\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n[]", b"HTTP/1.1 200 OK\r\n\r\n{"):
            with contextlib.closing(Deaf(engine.host, "/run/deaf.socket", words)):
                assert "runtime: What answers at /run/deaf.socket is not Incus." in engine.refused("web1")
        no = b'HTTP/1.1 403 Forbidden\r\nContent-Length: 18\r\n\r\n{"error": "Sorry"}'
        with contextlib.closing(Deaf(engine.host, "/run/deaf.socket", no)):
            assert "runtime: Incus refuses to answer at /run/deaf.socket: Sorry." in engine.refused("web1")
