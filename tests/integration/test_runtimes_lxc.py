# Copyright: pipework.containers contributors
# GNU General Public License v3.0+ (see LICENSE)
"""LXC's containers, under whatever control groups this host has."""
from __future__ import annotations

import contextlib
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from ansible_collections.pipework.containers.plugins.module_utils import _runtimes
from ansible_collections.pipework.containers.plugins.module_utils._host import program
from ansible_collections.pipework.containers.plugins.module_utils._runtimes import lxc
from tests.integration.engines import NET, Cases, Engine, busybox_root, need
from tests.integration.lab import Host

pytestmark = pytest.mark.root

CONFIGURATION = """\
lxc.rootfs.path = dir:{root}
lxc.uts.name = guest
lxc.net.0.type = {network}
lxc.mount.auto = proc:mixed sys:ro
lxc.apparmor.profile = unconfined
lxc.init.cmd = /bin/sleep 1000000
lxc.signal.halt = SIGKILL
"""


class Lxc(Engine):
    runtime = "lxc"
    groups = ("lxc.monitor*", "lxc.payload*", "lxc.pivot*")
    odd_names = ("-n", "--help", "a b", "a;b", "$(id)", "ä", "%2e", "*", "..x", "a\\b")

    def __init__(self, host: Host | None = None) -> None:
        need("lxc-start", "lxc-stop", "lxc-info", "lxc-ls", "lxc-attach")
        super().__init__(host)
        self.home = "/var/lib/lxc"
        self.root = busybox_root(self.folder / "root")
        self.program("mount", "-t", "tmpfs", "tmpfs", self.home)  # for this host alone
        self.made: list[str] = []

    def start(self, name: str, host_network: bool = False) -> None:
        path = name if name.startswith("/") else f"{self.home}/{name}"
        if name not in self.made:
            text = CONFIGURATION.format(root=self.root, network="none" if host_network else "empty")
            self.host.sh("mkdir", "-p", "--", path)
            self.host.sh("tee", "--", f"{path}/config", text=text)
            self.made.append(name)
        self.lxc("start", name, "--daemon")

    def lxc(self, verb: str, name: str, *argv: str, check: bool = True) -> str:
        where, base = os.path.split(name) if name.startswith("/") else (self.home, name)
        return self.program(f"lxc-{verb}", f"--lxcpath={where}", f"--name={base}", *argv, check=check)

    def stop(self, name: str) -> None:
        self.lxc("stop", name, "--kill")

    def remove(self, name: str) -> None:
        self.lxc("stop", name, "--kill", check=False)
        path = name if name.startswith("/") else f"{self.home}/{name}"
        self.host.call(shutil.rmtree, path)
        self.made.remove(name)

    def sh(self, name: str, *argv: str) -> str:
        return self.lxc("attach", name, "--clear-env", "--", *argv)

    def remove_all(self) -> None:
        for name in list(self.made):
            self.remove(name)

    def end(self) -> None:
        self.remove_all()


@pytest.fixture(scope="module")
def started() -> Iterator[Lxc]:
    found = Lxc()
    try:
        yield found
    finally:
        found.close()


@pytest.fixture
def engine(started: Lxc) -> Iterator[Lxc]:
    yield started
    started.reset()


class TestLxc(Cases):
    def test_P40_frozen(self, engine: Lxc) -> None:
        engine.start("web1")
        engine.lxc("freeze", "web1")
        assert engine.attach("web1", addresses=[f"{NET}.1/24"])["changed"]
        engine.lxc("unfreeze", "web1")
        assert engine.links("web1") == ["eth1"]

    def test_P40_container_in_another_folder(self, engine: Lxc) -> None:
        path = f"{engine.folder}/other/web1"
        engine.start(path)
        assert engine.find("web1")[0] == "NoContainer"
        done = engine.attach(path, addresses=[f"{NET}.1/24"])
        assert done["attachments"][0]["container"] == path
        assert engine.links(path) == ["eth1"]
        engine.stop(path)
        assert f"container: '{path}' is not running (stopped)" in engine.refused(path)
        assert engine.find(f"{engine.folder}/other/nobody")[0] == "NoContainer"
        assert engine.find("/")[0] == engine.find(f"{path}/")[0] == "NoContainer"

    def test_B14_process_number_of_another_process(self, engine: Lxc, monkeypatch: pytest.MonkeyPatch) -> None:
        """The number that the monitor named has been taken over since."""
        engine.start("web1")
        monkeypatch.setattr(_runtimes, "patience", 0.3)
        real = lxc._ask
        with subprocess.Popen(["unshare", "-n", "sleep", "60"]) as stranger:
            for pid in (stranger.pid, os.getpid(), 1, 1 << 22):
                said = [("running", pid)]
                monkeypatch.setattr(lxc, "_ask", lambda name, said=said: said.pop() if said else real(name))
                assert engine.attach("web1", addresses=[f"{NET}.1/24"])["attachments"][0]["interface"] == "eth1"
                assert engine.links("web1") == ["eth1"]
                engine.attach("web1", state="absent")
            stranger.kill()

    def test_P40_monitor_that_does_not_answer(self, engine: Lxc, monkeypatch: pytest.MonkeyPatch) -> None:
        engine.start("web1")
        monkeypatch.setattr(program, "SECONDS", 2)
        number = int(engine.lxc("info", "web1", "--pid", "--no-humanize"))
        monitor = int(Path(f"/proc/{number}/stat").read_text(encoding="ascii").rpartition(")")[2].split()[1])
        os.kill(monitor, signal.SIGSTOP)
        try:
            assert "runtime: LXC does not answer: " in engine.refused("web1")
            assert "did not end within 2 s" in engine.refused("web1", runtime="auto", state="absent")
        finally:
            os.kill(monitor, signal.SIGCONT)

    def test_runtime_user_is_refused(self, engine: Lxc) -> None:
        assert "runtime_user: lxc has no use for it" in engine.refused("web1", runtime_user="nobody")


GROUPS = Path("/sys/fs/cgroup")


class Layout(Host):
    """A host that sees control groups of one version only, whatever the machine has."""

    def __init__(self, version: int) -> None:
        super().__init__("a")
        self.version = version
        self.before: list[Path] = []
        self.call(self._mount)
        self.before = self.call(self._groups)

    def _mount(self) -> None:
        lines = Path("/proc/self/mountinfo").read_text(encoding="ascii").splitlines()
        for place in sorted((line.split()[4] for line in lines), reverse=True):
            if place.startswith(str(GROUPS)):
                subprocess.run(["umount", "--lazy", place], check=True)
        subprocess.run(["mount", "-t", "tmpfs" if self.version == 1 else "cgroup2", "none", GROUPS], check=True)
        if self.version == 1:  # without controllers, which the machine may have in use elsewhere
            (GROUPS / "pipework").mkdir()
            options = "none,name=pipework"
            subprocess.run(["mount", "-t", "cgroup", "-o", options, "none", GROUPS / "pipework"], check=True)

    def _groups(self) -> list[Path]:
        return [path for place in (GROUPS, GROUPS / "pipework") for path in place.glob("lxc.*")]

    def close(self) -> None:
        def clean() -> None:
            for group in set(self._groups()) - set(self.before):
                for path in sorted([group, *group.rglob("*/")], reverse=True):
                    path.rmdir()

        self.call(clean)
        super().close()


@pytest.mark.parametrize("version", [1, 2])
def test_P40_control_groups_of_one_version_alone(version: int) -> None:
    with contextlib.closing(Layout(version)) as host:
        if version == 1 and not host.ok("test", "-e", f"{GROUPS}/pipework/cgroup.procs"):
            pytest.skip("this kernel has no control groups of version 1")
        with contextlib.closing(Lxc(host)) as engine:
            engine.start("web1")
            number = int(engine.lxc("info", "web1", "--pid", "--no-humanize"))
            shown = Path(f"/proc/{number}/cgroup").read_text(encoding="ascii").splitlines()
            assert any("lxc.payload" in line and line.startswith("0::") == (version == 2) for line in shown), shown
            assert engine.find("web1", "auto").runtime == "lxc"
            engine.attach("web1", addresses=[f"{NET}.1/24"])
            host.attach("a", addresses=[f"{NET}.2/24"])
            assert host.ok("ping", "-c", "1", "-w", "10", f"{NET}.1", ns="a")
            engine.attach("web1", state="absent")


def test_P40_container_with_users_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """Root has started it; LXC gives its folder to its first user."""
    mapped = "lxc.idmap = u 0 100000 65536\nlxc.idmap = g 0 100000 65536\n"
    monkeypatch.setattr("tests.integration.test_runtimes_lxc.CONFIGURATION", CONFIGURATION + mapped)
    monkeypatch.setattr(_runtimes, "patience", 0.5)
    with contextlib.closing(Lxc()) as engine:
        engine.folder.chmod(0o755)
        engine.start("web1")
        home = f"{engine.home}/web1"
        engine.host.sh("chmod", "755", engine.home)
        engine.host.sh("chmod", "770", home)
        engine.host.sh("chown", "100000:100000", home)
        assert engine.attach("web1", addresses=[f"{NET}.1/24"])["changed"]
        assert engine.links("web1") == ["eth1"]
        engine.host.sh("chown", "99999:99999", home)
        assert "is no child of an LXC monitor" in engine.refused("web1", addresses=[f"{NET}.1/24"])
        engine.host.sh("chown", "root:root", home)
        engine.attach("web1", state="absent")


def test_P40_container_of_a_user() -> None:
    """With runtime_user alone; what root has defined is not the user's, and what the user has defined not root's."""
    need("lxc-start", "newuidmap", "useradd", "userdel", "setpriv")
    name = f"pwt{os.getpid()}"
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        folder.chmod(0o755)
        subprocess.run(
            ["useradd", "--create-home", f"--home-dir={folder}/home", "--shell=/bin/false", name],
            check=True, capture_output=True,
        )
        stack.callback(subprocess.run, ["userdel", name], check=True, capture_output=True)
        user = pwd.getpwnam(name)
        mapped = [line.split(":") for line in Path("/etc/subuid").read_text(encoding="ascii").splitlines()]
        first = next((words[1] for words in mapped if words[0] == name), None)
        host = stack.enter_context(contextlib.closing(Layout(1)))
        if first is None or not host.ok("test", "-e", f"{GROUPS}/pipework/cgroup.procs"):
            pytest.skip("no subordinate IDs, or no control groups of version 1")
        group, run = GROUPS / "pipework" / f"lxc.{name}", f"/run/user/{user.pw_uid}"
        host.sh("mkdir", str(group))
        host.sh("chown", "-R", name, str(group))
        host.sh("install", "-d", "-m", "755", "/run/user")
        host.sh("install", "-d", "-m", "700", "-o", name, run)
        engine = stack.enter_context(contextlib.closing(Lxc(host)))
        engine.folder.chmod(0o755)
        home = folder / "home/.local/share/lxc/web1"
        home.mkdir(parents=True)
        ids = "".join(f"lxc.idmap = {kind} 0 {first} 65536\n" for kind in "ug")
        (home / "config").write_text(CONFIGURATION.format(root=engine.root, network="empty") + ids, encoding="ascii")
        (folder / "home").chmod(0o755)
        subprocess.run(["chown", "-R", name, str(folder / "home")], check=True)

        def lxc_as_user(verb: str, *words: str) -> None:
            def work() -> None:
                with open(f"{group}/cgroup.procs", "w", encoding="ascii") as handle:
                    handle.write(str(os.getpid()))
                subprocess.run(
                    ["setpriv", f"--reuid={user.pw_uid}", f"--regid={user.pw_gid}", "--init-groups", f"lxc-{verb}",
                     "--name=web1", *words],
                    check=True, capture_output=True, cwd="/",
                    env={"PATH": program.PATH, "HOME": str(folder / "home"), "XDG_RUNTIME_DIR": run},
                )

            host.call(work)

        lxc_as_user("start", "--daemon")
        try:
            for runtime in ("lxc", "auto"):
                assert engine.attach("web1", runtime=runtime, runtime_user=name, addresses=[f"{NET}.1/24"])
            assert engine.attach(str(home), runtime_user=name, state="absent") is not None
            assert engine.find("web1")[0] == "NoContainer"
            assert f"can be changed by the user '{name}' (runtime_user says whose" in engine.refused(str(home))
            assert f"'nobody''s, because {folder}/home can be changed by the user '{name}'" in engine.refused(
                str(home), runtime_user="nobody"
            )
            assert engine.attach("web1", runtime_user=name, state="absent") is not None
        finally:
            lxc_as_user("stop", "--kill")
        assert "'web1' is not running (stopped)" in engine.refused("web1", runtime_user=name)
