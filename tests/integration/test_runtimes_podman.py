# Copyright: pipework.containers contributors
# GNU General Public License v3.0+ (see LICENSE)
"""Podman: root's containers, and those of a user without root."""
from __future__ import annotations

import contextlib
import fcntl
import os
import pwd
import shutil
import signal
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from ansible_collections.pipework.containers.plugins.module_utils import _runtimes
from ansible_collections.pipework.containers.plugins.module_utils._core.errors import PipeworkError
from ansible_collections.pipework.containers.plugins.module_utils._host import program
from ansible_collections.pipework.containers.plugins.module_utils._runtimes import podman
from tests.integration.engines import IMAGE, NET, Cases, Engine, busybox_root, need
from tests.integration.lab import Host, eventually

pytestmark = pytest.mark.root

CONFIGURATION = """\
[containers]
default_ulimits = ["nofile=1024:1024", "nproc=1024:1024"]
[engine]
cgroup_manager = "cgroupfs"
events_logger = "none"
"""


class Podman(Engine):
    """Its images and containers are in memory, in the usual place; those of the machine are not seen."""

    runtime = "podman"
    groups = ("libpod_parent",)
    odd_names = ("0_x.Y-", "abc", "9" * 12, "Z..__--")

    def __init__(self, host: Host | None = None) -> None:
        need("podman", "conmon")
        super().__init__(host)
        runtime = next((name for name in ("runc", "crun") if shutil.which(name)), "crun")
        (self.folder / "containers.conf").write_text(f'{CONFIGURATION}runtime = "{runtime}"\n', encoding="ascii")
        (self.folder / "storage.conf").write_text(
            '[storage]\ndriver = "vfs"\n'
            'graphroot = "/var/lib/containers/storage"\nrunroot = "/run/containers/storage"\n', encoding="ascii",
        )
        self.program("mkdir", "-p", "/var/lib/containers")
        self.program("mount", "-t", "tmpfs", "tmpfs", "/var/lib/containers")  # for this host alone
        os.environ["CONTAINERS_CONF"] = str(self.folder / "containers.conf")
        os.environ["CONTAINERS_STORAGE_CONF"] = str(self.folder / "storage.conf")
        root = busybox_root(self.folder / "root")
        subprocess.run(["tar", "-C", str(root), "-cf", str(self.folder / "root.tar"), "."], check=True)
        (self.folder / "root.tar").chmod(0o644)
        self.made: set[str] = set()
        self.podman("import", "--change", 'CMD ["sleep", "1000000"]', f"{self.folder}/root.tar", IMAGE)

    def podman(self, *argv: str, check: bool = True) -> str:
        return self.program("podman", *argv, check=check)

    def start(self, name: str, host_network: bool = False) -> None:
        if name in self.made:
            self.podman("start", "--", name)
            return
        self.made.add(name)
        network = "host" if host_network else "none"
        self.podman("run", "--detach", "--stop-signal", "KILL", "--network", network, "--name", name, IMAGE)

    def stop(self, name: str) -> None:
        self.podman("stop", "--", name)

    def remove(self, name: str) -> None:
        self.podman("rm", "--force", "--time", "0", "--", name)
        self.made.remove(name)

    def sh(self, name: str, *argv: str) -> str:
        return self.podman("exec", name, *argv)

    def remove_all(self) -> None:
        self.podman("rm", "--all", "--force", "--time", "0")
        self.made.clear()

    def end(self) -> None:
        try:
            self.remove_all()
        finally:
            del os.environ["CONTAINERS_CONF"], os.environ["CONTAINERS_STORAGE_CONF"]


class Rootless(Podman):
    """The same for a user who is made for it."""

    user = f"pwt{os.getpid()}"

    def __init__(self, host: Host | None = None) -> None:
        need("newuidmap", "useradd", "userdel", "setpriv")
        self.uid = -1
        super().__init__(host)

    def podman(self, *argv: str, check: bool = True) -> str:
        if self.uid < 0:
            subprocess.run(
                ["useradd", "--create-home", f"--home-dir={self.folder}/home", "--shell=/bin/false", str(self.user)],
                check=True, capture_output=True,
            )
            self.uid = pwd.getpwnam(str(self.user)).pw_uid
            self.program("mkdir", "-p", "-m", "755", "/run/user")
            self.program("install", "-d", "-m", "700", "-o", str(self.user), f"/run/user/{self.uid}")
            settings = self.folder / "home/.config/containers"
            settings.mkdir(parents=True)
            shutil.copy(self.folder / "containers.conf", settings)
            (settings / "storage.conf").write_text('[storage]\ndriver = "vfs"\n', encoding="ascii")
            subprocess.run(["chown", "-R", str(self.user), str(self.folder / "home")], check=True)
        return self.program(
            "setpriv", f"--reuid={self.uid}", f"--regid={pwd.getpwuid(self.uid).pw_gid}", "--init-groups",
            "podman", *argv, check=check, cwd="/",
            env={
                "PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "HOME": str(self.folder / "home"),
                "XDG_RUNTIME_DIR": f"/run/user/{self.uid}",
            },
        )

    def end(self) -> None:
        try:
            super().end()
        finally:
            pause = self.program("cat", f"/run/user/{self.uid}/libpod/tmp/pause.pid", check=False)
            with contextlib.suppress(ValueError, ProcessLookupError):
                os.kill(int(pause), signal.SIGKILL)
            time.sleep(0.1)
            subprocess.run(["userdel", str(self.user)], check=True, capture_output=True)


@pytest.fixture(scope="module", params=[Podman, Rootless], ids=["rootful", "rootless"])
def started(request: pytest.FixtureRequest) -> Iterator[Podman]:
    found = request.param()
    try:
        yield found
    finally:
        found.close()


@pytest.fixture
def engine(started: Podman) -> Iterator[Podman]:
    yield started
    started.reset()


class TestPodman(Cases):
    def test_P39_podman_that_hangs(self, engine: Podman, monkeypatch: pytest.MonkeyPatch) -> None:
        """Something holds the locks of its storage."""
        engine.start("web1")
        home = pwd.getpwnam(engine.user).pw_dir if engine.user else "/var/lib/containers"

        def hold() -> int:
            files = [path for pattern in ("*.lock", "*.db") for path in Path(home).rglob(pattern)]
            kept = [path.open("r+b") for path in files]
            for each in kept:
                fcntl.lockf(each, fcntl.LOCK_EX)
                fcntl.flock(each, fcntl.LOCK_EX)
            Path("/run/held").touch()
            assert eventually(lambda: not os.path.exists("/run/held"), 60)
            return len(kept)

        monkeypatch.setattr(program, "SECONDS", 3)
        holder = engine.host.start(hold)
        assert eventually(lambda: engine.host.call(os.path.exists, "/run/held"))
        said = engine.refused("web1", state="absent")
        monkeypatch.undo()
        engine.host.sh("rm", "/run/held")
        assert holder.wait() > 0
        assert "runtime: Podman" in said and "does not answer" in said and "did not end within 3 s" in said
        assert eventually(lambda: getattr(engine.find("web1"), "name", None) == "web1")

    def test_P39_ids_and_short_ids(self, engine: Podman) -> None:
        engine.start("web1")
        ident = engine.find("web1").ident
        for name in (ident, ident[:12], ident[:8]):
            found = engine.find(name)
            assert (found.name, found.ident, found.exact) == ("web1", ident, name == ident)
        engine.start(ident[:6])
        assert engine.find(ident[:6]).name == ident[:6], "a name counts for more than the beginning of an ID"
        assert engine.find(ident[:12].upper())[0] == "NoContainer"

    def test_P39_created_container_is_waited_for(self, engine: Podman) -> None:
        engine.made.add("web1")
        engine.podman("create", "--stop-signal", "KILL", "--network", "none", "--name", "web1", IMAGE)
        assert "has been created but not started" in engine.refused("web1")
        threading.Timer(0.5, engine.start, ["web1"]).start()
        assert engine.attach("web1")["changed"]

    def test_containers_of_a_pod_share_a_network(self, engine: Podman) -> None:
        engine.start("web1")
        engine.made.add("web2")
        engine.podman("run", "-d", "--stop-signal", "KILL", "--network", "container:web1", "--name", "web2", IMAGE)
        engine.attach("web1", addresses=[f"{NET}.1/24"])
        assert engine.links("web2") == ["eth1"]
        items = [engine.params(name) for name in ("web1", "web2")]
        with pytest.raises(PipeworkError, match="web2/eth1 and web1/eth1 are the same interface"):
            engine.host.run(attachments=items)
        engine.remove("web2")

    def test_paused(self, engine: Podman) -> None:
        if engine.user:
            return  # without root there may be no control group to freeze
        engine.start("web1")
        engine.podman("pause", "web1")
        assert engine.attach("web1", addresses=[f"{NET}.1/24"])["changed"]
        engine.podman("unpause", "web1")
        assert engine.links("web1") == ["eth1"]

    def test_B14_process_number_of_another_process(self, engine: Podman, monkeypatch: pytest.MonkeyPatch) -> None:
        """The number that Podman names has been taken over since."""
        engine.start("web1")
        monkeypatch.setattr(_runtimes, "patience", 0.3)
        real = podman._list
        with subprocess.Popen(["unshare", "-n", "sleep", "60"]) as stranger:
            for pid in (stranger.pid, os.getpid(), 1, 1 << 22):
                monkeypatch.setattr(
                    podman, "_list", lambda user, pid=pid: {k: {**v, "Pid": pid} for k, v in real(user).items()}
                )
                assert f"'web1' runs as process {pid}, says Podman" in engine.refused("web1")
            stranger.kill()


def test_B14_a_user_cannot_name_another_users_container(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a user's own Podman says is the user's own word."""
    monkeypatch.setattr(podman, "_belongs", lambda _pid, _ident: True)
    with subprocess.Popen(["unshare", "-n", "sleep", "60"]) as stranger:
        assert eventually(lambda: os.readlink(f"/proc/{stranger.pid}/ns/net") != os.readlink("/proc/self/ns/net"))
        fd = podman._enter({"Pid": stranger.pid, "Id": "1"}, None)
        assert fd is not None
        os.close(fd)
        assert podman._enter({"Pid": stranger.pid, "Id": "1"}, "nobody") is None
        stranger.kill()
