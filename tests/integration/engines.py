# Copyright: pipework.containers contributors
# GNU General Public License v3.0+ (see LICENSE)
"""Container runtimes that a test starts and ends, on a host of its own, and the cases that are the same for all."""
from __future__ import annotations

import contextlib
import ctypes
import dataclasses
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import typing as t
from pathlib import Path

import pytest

from ansible_collections.pipework.containers.plugins.module_utils import _runtimes
from ansible_collections.pipework.containers.plugins.module_utils._core.errors import PipeworkError
from ansible_collections.pipework.containers.plugins.module_utils._jobs.hosts import HostsJob
from ansible_collections.pipework.containers.plugins.module_utils._jobs.wait import WaitJob, wait
from ansible_collections.pipework.containers.plugins.module_utils._lookup import finder, process_events
from ansible_collections.pipework.containers.plugins.module_utils._model import container
from tests.conftest import unavailable
from tests.integration.lab import Host, eventually, wait_for

NET = "198.18.79"
Result = dict[str, t.Any]
IMAGE = "pipework/busybox:local"


def need(*programs: str) -> None:
    missing = [program for program in programs if shutil.which(program) is None]
    if missing:
        unavailable(f"not found: {', '.join(missing)}: sudo make setup-system")


def busybox_root(folder: Path) -> Path:
    """A root file system of nothing but busybox."""
    need("busybox")
    for name in ("bin", "dev", "etc", "proc", "root", "run", "sbin", "sys", "tmp", "usr/bin", "var"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    shutil.copy(str(shutil.which("busybox")), folder / "bin/busybox")
    for applet in ("sh", "sleep", "ping", "ip", "ls", "cat", "true"):
        with contextlib.suppress(FileExistsError):
            (folder / "bin" / applet).symlink_to("busybox")
    (folder / "etc/passwd").write_text("root:x:0:0:root:/root:/bin/sh\n", encoding="ascii")
    (folder / "etc/group").write_text("root:x:0:\n", encoding="ascii")
    (folder / "etc/os-release").write_text("ID=busybox\n", encoding="ascii")
    return folder


def lingering(*argv: str) -> list[str]:
    """The words that run an applet and stay a moment: ctr drops what a program says that ends at once."""
    return ["/bin/busybox", "sh", "-c", '/bin/busybox "$@"; code=$?; /bin/busybox sleep 0.2; exit $code', "sh", *argv]


def gone(pid: int) -> bool:
    """Whether a process has ended, waited for or not."""
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8") as handle:
            return handle.read().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return True


def find(host: Host, runtime: str, name: str, user: str | None = None) -> t.Any:
    """What the look-up on a host gives; an error is returned, and an open namespace closed."""
    def look() -> t.Any:
        [answer] = _runtimes.find_all([(runtime, name, user)])
        if isinstance(answer, container.Found):
            os.close(answer.fd)
            return dataclasses.replace(answer, fd=-1)
        return type(answer).__name__, str(answer), getattr(answer, "known_as", None)

    return host.call(look)


DEAF = """
import socket, sys
listener = socket.socket(socket.AF_UNIX)
listener.bind(sys.argv[1])
listener.listen()
print("+", end="", flush=True)
kept = []
while True:
    there, _address = listener.accept()
    kept.append(there)
    if sys.argv[2]:
        there.recv(65536)
        there.sendall(bytes.fromhex(sys.argv[2]))
        kept.pop().close()
"""


class Deaf:
    """A socket on a host that accepts and never says a word, or always the same ones; an engine that hangs."""

    def __init__(self, host: Host, path: str, words: bytes = b"") -> None:
        self.host, self.path = host, path

        def begin() -> int:
            argv = [sys.executable, "-c", DEAF, path, words.hex()]
            null = subprocess.DEVNULL
            started = subprocess.Popen(argv, stdin=null, stdout=subprocess.PIPE, stderr=null, start_new_session=True)
            assert started.stdout is not None and started.stdout.read(1) == b"+"
            return started.pid

        self.pid = host.call(begin)

    def close(self) -> None:
        os.kill(self.pid, signal.SIGKILL)
        self.host.sh("rm", self.path)


class CloneArguments(ctypes.Structure):
    _fields_ = tuple(
        (name, ctypes.c_uint64)
        for name in (
            "flags", "pidfd", "child_tid", "parent_tid", "exit_signal", "stack", "stack_size", "tls", "set_tid",
            "set_tid_size", "cgroup",
        )
    )


def take_number(pid: int) -> None:
    """Another process, in a network namespace of its own, gets the number of one that has ended."""
    assert eventually(lambda: not os.path.exists(f"/proc/{pid}"))
    libc, clone3, new_network = ctypes.CDLL(None, use_errno=True), 435, 0x40000000
    numbers = (ctypes.c_int * 1)(pid)
    arguments = CloneArguments(
        flags=new_network, exit_signal=signal.SIGCHLD, set_tid=ctypes.addressof(numbers), set_tid_size=1
    )
    program = str(shutil.which("sleep"))
    made = libc.syscall(clone3, ctypes.byref(arguments), ctypes.c_size_t(ctypes.sizeof(arguments)))
    if made == 0:
        os.execv(program, ["sleep", "100000"])
    assert made == pid, os.strerror(ctypes.get_errno())


def end_stranger(pid: int) -> list[str]:
    """Ends the process that took the number; returns the names of the interfaces that it had."""
    words = Path(f"/proc/{pid}/cmdline")
    assert eventually(lambda: words.read_text(encoding="ascii").split("\0")[:2] == ["sleep", "100000"])
    lines = Path(f"/proc/{pid}/net/dev").read_text(encoding="ascii").splitlines()
    os.kill(pid, signal.SIGKILL)
    return [line.partition(":")[0].strip() for line in lines if ":" in line]


class Engine:
    """A runtime on a host of its own. Its files are in ``folder``, its state under that host's /run."""

    runtime = ""
    user: str | None = None
    odd_names: tuple[str, ...] = ()
    groups: tuple[str, ...] = ()  # control groups at the top that it makes and leaves
    keeps_stopped = True  # a container that has ended is still known
    has_files = True  # a container is one with files
    keeps_ident = True  # and the same one when it is started again

    def __init__(self, host: Host | None = None) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="pipework-", dir="/var/tmp"))
        self.folder.chmod(0o755)
        self.shares_host = host is not None
        self.host = host or Host("a", "b")
        self.groups_before = self.control_groups()

    def start(self, name: str, host_network: bool = False) -> None:
        """Starts a new container, or one that was stopped."""
        raise NotImplementedError

    def stop(self, name: str) -> None:
        raise NotImplementedError

    def remove(self, name: str) -> None:
        raise NotImplementedError

    def sh(self, name: str, *argv: str) -> str:
        """What a program in a container says."""
        raise NotImplementedError

    def end(self) -> None:
        """Ends all containers and whatever else was started."""

    def reset(self) -> None:
        """For the next test."""
        self.remove_all()
        for name in [name for name in self.host.guests if name not in ("a", "b")]:
            self.host.end_guest(name)
        for name in self.host.links():
            self.host.sh("ip", "link", "del", name, check=False)

    def remove_all(self) -> None:
        raise NotImplementedError

    def control_groups(self) -> set[Path]:
        places = [*Path("/sys/fs/cgroup").glob("*"), Path("/sys/fs/cgroup")]
        return {path for place in places for group in self.groups for path in place.glob(group)}

    def close(self) -> None:
        try:
            self.end()
        finally:
            for group in self.control_groups() - self.groups_before:
                for path in sorted([group, *group.rglob("*/")], reverse=True):
                    with contextlib.suppress(OSError):  # somebody else uses it too
                        path.rmdir()
            if not self.shares_host:
                self.host.close()
            # What cleans up after a container may still be at it.
            assert eventually(lambda: shutil.rmtree(self.folder, ignore_errors=True) or not self.folder.exists())

    # -- what tests do with it

    def links(self, name: str) -> list[str]:
        return sorted(each for each in self.sh(name, "ls", "/sys/class/net").split() if each != "lo")

    def params(self, name: str, **params: t.Any) -> dict[str, t.Any]:
        given = {"container": name, "runtime": self.runtime, "runtime_user": self.user, "host_interface": "br1"}
        return {**given, **params}

    def attach(self, name: str, **params: t.Any) -> Result:
        """A check run, and then the run itself, which must do what was said."""
        said = self.host.run(check=True, **self.params(name, **params))
        done = self.host.run(**self.params(name, **params))
        for part in ("changed", "operations", "before", "after"):
            assert said[part] == done[part]
        return done

    def refused(self, name: str, options: bool = False, **params: t.Any) -> str:
        """What is said. ``options``: they are wrong by themselves, before anything is looked at."""
        with pytest.raises(PipeworkError) as caught:
            self.host.run(**self.params(name, **params))
        assert str(caught.value).endswith("Nothing was changed.") is not options  # which the module adds then
        return str(caught.value)

    def find(self, name: str, runtime: str | None = None) -> t.Any:
        return find(self.host, runtime or self.runtime, name, self.user)

    def program(self, *argv: str, check: bool = True, **options: t.Any) -> str:
        """A program on the host."""
        def work() -> str:
            given = {"capture_output": True, "text": True, "timeout": 60, "stdin": subprocess.DEVNULL, **options}
            done = subprocess.run(argv, check=False, **given)
            assert not check or done.returncode == 0, f"{argv}: {done.stdout}{done.stderr}"
            return done.stdout

        return self.host.call(work)


class Cases:
    """The cases, which a runtime's own test file inherits; it gives the fixture ``engine``."""

    def test_B6_attached_and_reachable(self, engine: Engine) -> None:
        engine.start("web1")
        done = engine.attach("web1", addresses=[f"{NET}.1/24", "fd70:6970::1/64"], mtu=1400)
        [shown] = done["attachments"]
        assert (shown["container"], shown["runtime"], shown["mtu"]) == ("web1", engine.runtime, 1400)
        assert shown["container_id"]
        assert not engine.attach("web1", addresses=[f"{NET}.1/24", "fd70:6970::1/64"], mtu=1400)["changed"]
        engine.host.attach("a", addresses=[f"{NET}.2/24", "fd70:6970::2/64"])
        assert engine.host.ping("a", f"{NET}.1")
        assert eventually(lambda: engine.host.ping("a", "fd70:6970::1"))
        assert engine.links("web1") == ["eth1"]
        assert f"{NET}.1/24" in engine.sh("web1", "ip", "address")
        assert engine.attach("web1", state="absent")["changed"]
        assert not engine.attach("web1", state="absent")["changed"]
        assert engine.links("web1") == []
        engine.host.attach("a", state="absent")
        assert engine.host.links() == []

    def test_P2_a_machine_is_found_by_its_name(self, engine: Engine) -> None:
        engine.start("web1")
        engine.attach("web1", addresses=[f"{NET}.1/24"])
        engine.host.attach("a", addresses=[f"{NET}.2/24"])
        with open("/etc/hosts", encoding="utf-8") as handle:
            of_the_host = handle.read()
        names = {**engine.params("web1"), "entries": [{"address": f"{NET}.2", "names": ["db1"]}]}
        del names["host_interface"]
        if not engine.has_files:
            with pytest.raises(PipeworkError, match="a pod has no files of its own"):
                engine.host.run(job=HostsJob, **names)
            return
        before = engine.sh("web1", "sh", "-c", "cat /etc/hosts || echo none")
        said = engine.host.run(job=HostsJob, check=True, **names)
        done = engine.host.run(job=HostsJob, **names)
        assert said["operations"] == done["operations"] and len(done["operations"]) == 1
        assert not engine.host.run(job=HostsJob, **names)["changed"]
        heard = engine.sh("web1", "sh", "-c", "ping -c 1 -w 10 db1 2>&1; true")
        assert f"PING db1 ({NET}.2)" in heard
        assert "1 packets transmitted, 1 " in heard or engine.user  # who may not send such
        assert engine.host.run(job=HostsJob, **{**names, "state": "absent"})["changed"]
        assert engine.sh("web1", "sh", "-c", "cat /etc/hosts || echo none") == before
        with open("/etc/hosts", encoding="utf-8") as handle:
            assert handle.read() == of_the_host
        engine.stop("web1")
        assert engine.find("web1")[0] in ("NotRunning", "NoContainer")
        with pytest.raises(PipeworkError, match="'web1'"):
            engine.host.run(job=HostsJob, **names)
        assert not engine.host.run(job=HostsJob, **{**names, "state": "absent"})["changed"]

    def test_P18_its_start_is_heard(self, engine: Engine) -> None:
        """Nobody asks meanwhile: the kernel tells."""
        params = {**engine.params("web1"), "until": "present", "timeout": 60}
        del params["host_interface"]

        def work() -> Result:
            process_events.INITIAL = f"/proc/{os.getppid()}/ns/net"
            finder.ASK_AGAIN = finder.LISTEN_AGAIN = 3600
            return wait(WaitJob(params))

        waiting = engine.host.start(work)
        wait_for("the listener", lambda: len(os.listdir(f"/proc/{waiting.pid}/task")) > 1)
        engine.start("web1")
        engine.attach("web1")
        assert waiting.wait()["waits"][0]["met"]

    def test_P41_stopped_and_started_again(self, engine: Engine) -> None:
        engine.start("web1")
        first = engine.attach("web1", addresses=[f"{NET}.1/24"])
        engine.stop("web1")
        said = engine.refused("web1", addresses=[f"{NET}.1/24"])
        words = "is not running" if engine.keeps_stopped else f"{engine.runtime} knows no container"
        assert words in said and "'web1'" in said
        engine.attach("web1", state="absent")
        assert not engine.attach("web1", state="absent")["changed"]
        assert engine.host.links() == []
        engine.start("web1")
        again = engine.attach("web1", addresses=[f"{NET}.1/24"])
        same = again["attachments"][0]["local_interface"] == first["attachments"][0]["local_interface"]
        assert same == engine.keeps_ident
        assert engine.links("web1") == ["eth1"]

    def test_P41_removed(self, engine: Engine) -> None:
        engine.start("web1")
        engine.attach("web1", addresses=[f"{NET}.1/24"])
        engine.remove("web1")
        assert f"container: {engine.runtime} knows no container 'web1'." in engine.refused("web1")
        engine.attach("web1", state="absent")
        assert not engine.attach("web1", state="absent")["changed"]
        assert engine.host.links() == []

    def test_P41_auto_finds_it_and_says_who_else_knows_the_name(self, engine: Engine) -> None:
        engine.start("web1")
        assert engine.find("web1", "auto").runtime == engine.runtime
        engine.host.add_guests("web1")
        if engine.user is not None:  # of users, named namespaces are none
            assert engine.find("web1", "auto").runtime == engine.runtime
            return
        said = engine.refused("web1", runtime="auto")
        assert f"container: 'web1' is known to several runtimes: {engine.runtime}, netns; 'runtime' says which" in said
        if engine.keeps_stopped:
            engine.stop("web1")
            assert f"{engine.runtime} (not running), netns" in engine.refused("web1", runtime="auto")
        assert engine.find("nobody", "auto")[0] == "NoContainer"

    def test_the_hosts_own_network_is_refused(self, engine: Engine) -> None:
        engine.start("web1", host_network=True)
        before = engine.host.links()
        assert "web1 shares the host's network namespace" in engine.refused("web1", addresses=[f"{NET}.1/24"])
        assert engine.host.links() == before

    def test_B14_odd_names(self, engine: Engine) -> None:
        for name in engine.odd_names:
            engine.start(name)
            assert engine.attach(name, addresses=[f"{NET}.1/24"])["attachments"][0]["container"] == name
            assert not engine.attach(name, addresses=[f"{NET}.1/24"])["changed"]
            assert engine.attach(name, state="absent")["changed"]
            engine.remove(name)
        for name in ("-x", "--help", "--all", "a;b", "a b", "$(id)", "..", "ä", "%2e", "*", "x" * 300, "a/b", "a\\b"):
            assert engine.find(name)[0] == "NoContainer", name

    def test_B11_purge_finds_it(self, engine: Engine) -> None:
        for name in ("web1", "web2"):
            engine.start(name)
        engine.host.sh("ip", "link", "add", "nic0", "type", "veth", "peer", "name", "far0")
        items = [
            engine.params("web1", host_interface="nic0", kind="macvlan"),
            engine.params("web2", host_interface="nic0", kind="macvlan"),
        ]
        engine.host.run(attachments=items)
        assert (engine.links("web1"), engine.links("web2")) == (["eth1"], ["eth1"])
        done = engine.host.run(attachments=items[:1], purge=True)
        assert [o["action"] for o in done["operations"]] == ["delete"]
        assert (engine.links("web1"), engine.links("web2")) == (["eth1"], [])

    def test_B4_ended_in_the_middle(self, engine: Engine) -> None:
        engine.start("web1")
        before = engine.host.links()

        def step(operation: t.Any) -> None:
            if (operation.action, operation.subject.KIND) == ("create", "port"):
                engine.stop("web1")

        with pytest.raises(PipeworkError) as caught:
            engine.host.run(step=step, **engine.params("web1", addresses=[f"{NET}.1/24"]))
        assert "container: 'web1' ended, or was started anew, during the run. " in str(caught.value)
        assert str(caught.value).endswith("were taken back; everything is as it was.")
        assert engine.host.links() == before

    def test_B14_process_number_taken_over_before_its_namespace_is_opened(
        self, engine: Engine, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        engine.start("web1")
        module, note = _runtimes.runtimes()[engine.runtime], engine.folder / "number"
        real = vars(module)["enter"]

        def late(pid: int, belongs: t.Any) -> t.Any:
            if not note.exists():
                note.write_text(str(pid), encoding="ascii")
                engine.stop("web1")
                take_number(pid)
            return real(pid, belongs)

        monkeypatch.setattr(module, "enter", late)
        before = engine.host.links()
        try:
            assert "container: " in engine.refused("web1", addresses=[f"{NET}.1/24"])
        finally:
            assert end_stranger(int(note.read_text(encoding="ascii"))) == ["lo"]
            note.unlink()
        assert engine.host.links() == before

    def test_B14_restarted_all_the_time(self, engine: Engine) -> None:
        engine.start("web1")
        stop = threading.Event()

        def restart() -> None:
            while not stop.is_set():
                engine.stop("web1")
                engine.start("web1")

        thread = threading.Thread(target=restart)
        thread.start()
        refusals = []
        try:
            for _time in range(8):
                try:
                    engine.host.run(**engine.params("web1", addresses=[f"{NET}.1/24"]))
                except PipeworkError as error:
                    refusals.append(str(error))
        finally:
            stop.set()
            thread.join()
        for said in refusals:
            assert "should not have happened" not in said and "could not be taken back" not in said
        assert engine.host.addresses("br1") == [] if "br1" in engine.host.links() else True
        assert "eth1" not in engine.host.links()
        engine.attach("web1", addresses=[f"{NET}.1/24"])
        assert engine.links("web1") == ["eth1"]
