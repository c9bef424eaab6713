# Copyright: pipework.containers contributors
# GNU General Public License v3.0+ (see LICENSE)
"""Local users, their engines and containers that claim to be a container which they are not: nobody gets anything."""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import pwd
import resource
import signal
import socket
import struct
import subprocess
import tempfile
import threading
import time
import typing as t
from collections.abc import Iterator
from pathlib import Path

import pytest

from ansible_collections.pipework.containers.plugins.module_utils import _runtimes
from ansible_collections.pipework.containers.plugins.module_utils._core.errors import PipeworkError
from ansible_collections.pipework.containers.plugins.module_utils._host import trust
from ansible_collections.pipework.containers.plugins.module_utils._jobs import wait
from ansible_collections.pipework.containers.plugins.module_utils._model import container as model_container
from ansible_collections.pipework.containers.plugins.module_utils._runtimes import docker, lxc, netns, nspawn, pid
from tests.integration.engines import NET, Deaf, find, need
from tests.integration.lab import NETNS, Host, Work, wait_for

pytestmark = pytest.mark.root

BOB, EVE = pwd.getpwnam("games"), pwd.getpwnam("news")  # two local users without any rights
IDENT = "b0" * 32
NEWPID = 0x20000000
PR_SET_NAME = 15
RUNNING, GET_STATE, GET_INIT_PID = 2, 3, 4  # of LXC's commands


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_runtimes, "patience", 0.2)


@pytest.fixture
def host() -> Iterator[Host]:
    with contextlib.closing(Host("a")) as made:
        made.sh("chmod", "755", "/run")
        made.sh("ip", "link", "add", "nic0", "type", "veth", "peer", "name", "far0")
        yield made


def become(user: pwd.struct_passwd) -> None:
    os.setgroups([])
    os.setresgid(user.pw_gid, user.pw_gid, user.pw_gid)
    os.setresuid(user.pw_uid, user.pw_uid, user.pw_uid)
    ctypes.CDLL(None).prctl(4, 1, 0, 0, 0)  # PR_SET_DUMPABLE, as after an exec: its files in /proc are its own


class Actors:
    """Processes that a test starts on a host and ends with it."""

    def __init__(self, host: Host) -> None:
        self.host = host
        self.pids: list[int] = []

    def shell(self, *argv: str, user: pwd.struct_passwd | None = None, child: bool = False) -> int:
        """A process that stays, or the child that it stays for."""

        def begin() -> int:
            identity = {} if user is None else {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}
            null = subprocess.DEVNULL
            return subprocess.Popen(  # type: ignore[call-overload, no-any-return]
                argv, stdin=null, stdout=null, stderr=null, start_new_session=True, **identity
            ).pid

        number = self.host.call(begin)
        self.pids.append(number)
        there = Path(f"/proc/{number}/task/{number}/children")
        wait_for("its namespace", lambda: os.readlink(f"/proc/{number}/ns/net") != os.readlink("/proc/self/ns/net"))
        if not child:
            return number
        wait_for("its child", lambda: there.read_text(encoding="ascii"))
        number = int(there.read_text(encoding="ascii").split()[0])
        self.pids.insert(0, number)
        return number

    def roots(self) -> int:
        """A process with namespaces of root's, as a container of root's has."""
        return self.shell("unshare", "-n", "-p", "--fork", "--kill-child", "sleep", "100", child=True)

    def users(self, user: pwd.struct_passwd) -> int:
        """The same of a user's, who needs no right for it."""
        argv = ("unshare", "-U", "-r", "-n", "-p", "--fork", "--kill-child", "sleep", "100")
        return self.shell(*argv, user=user, child=True)

    def run(self, work: t.Callable[[t.Callable[[], None]], None]) -> int:
        """A function that goes on; it says when it is ready."""
        heard, say = os.pipe()
        started = self.host.start(lambda: work(lambda: os.write(say, b"+") and None))
        self.pids.append(started.pid)
        os.close(say)
        try:
            assert os.read(heard, 1) == b"+", "it did not come up"
        finally:
            os.close(heard)
        return started.pid

    def close(self) -> None:
        for number in self.pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(number, signal.SIGKILL)
        for number in self.pids:
            with contextlib.suppress(ChildProcessError):
                os.waitpid(number, 0)


@pytest.fixture
def actors(host: Host) -> Iterator[Actors]:
    with contextlib.closing(Actors(host)) as made:
        yield made


def links_of(number: int) -> list[str]:
    said = subprocess.run(
        ["nsenter", "-t", str(number), "-n", "ip", "-j", "link"], capture_output=True, check=True, text=True
    )
    return [link["ifname"] for link in json.loads(said.stdout)]


def refused(host: Host, *aims: int, environment: dict[str, str] | None = None, **params: t.Any) -> str:
    """What a run says that wants to give the host's NIC, an address and a default route away; nothing has changed."""
    wanted = {
        "container": "web1", "host_interface": "nic0", "kind": "phys", "addresses": [f"{NET}.1/24"],
        "gateway": [f"{NET}.254"], **params,
    }  # fmt: skip
    before, links = host.snapshot(), [links_of(number) for number in aims]

    def work() -> None:
        from ansible_collections.pipework.containers.plugins.module_utils._engine.run import run
        from ansible_collections.pipework.containers.plugins.module_utils._jobs.attach import AttachJob

        os.environ.update(environment or {})
        run(AttachJob(wanted))

    with pytest.raises(PipeworkError) as caught:
        host.call(work)
    host.assert_as(before)
    assert [links_of(number) for number in aims] == links
    assert "should not have happened" not in str(caught.value)
    return str(caught.value)


# -- LXC


def speak_lxc(path: str, number: int, user: pwd.struct_passwd | None, ready: t.Callable[[], None]) -> None:
    """Listens as a container's monitor and says that the container runs, as a process."""
    if user is not None:
        become(user)
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(b"\0" + path.encode() + b"/command")
    listener.listen()
    ready()
    while True:
        there, _address = listener.accept()
        with there, contextlib.suppress(OSError, struct.error):
            command = struct.unpack_from("i", there.recv(4096))[0]
            answer = {GET_STATE: (0, 0, RUNNING), GET_INIT_PID: (0, 0, number)}.get(command, (-1, 0, 0))
            there.sendall(struct.pack("iiQ", *answer))


@pytest.fixture
def lxc_host(host: Host) -> Host:
    """LXC has been used there."""
    need("lxc-info", "lxc-ls", "lxc-config")
    host.sh("mkdir", "/run/lxc")
    host.sh("mount", "-t", "tmpfs", "-o", "mode=755", "tmpfs", lxc.HOME)
    return host


def define(host: Host, path: str, user: str = "root") -> None:
    host.sh("mkdir", "-p", path)
    host.sh("tee", f"{path}/config", text="lxc.uts.name = web1\n")
    host.sh("chown", "-R", user, path)


def fake_lxc(actors: Actors, path: str, number: int, user: pwd.struct_passwd | None = BOB) -> int:
    monitor = actors.run(lambda ready: speak_lxc(path, number, user, ready))
    where, name = os.path.split(path)
    said = actors.host.sh("lxc-info", f"--lxcpath={where}", f"--name={name}", "--pid", "--no-humanize", check=False)
    assert said.split() == [str(number)], "it is believable"
    return monitor


@pytest.mark.parametrize("runtime", ["lxc", "auto"])
def test_B17_a_local_user_is_no_lxc_container_that_nobody_defined(
    lxc_host: Host, actors: Actors, runtime: str
) -> None:
    aim = actors.users(BOB)
    fake_lxc(actors, f"{lxc.HOME}/web1", aim)
    words = "lxc knows no container 'web1'" if runtime == "lxc" else "no runtime knows 'web1' (asked: "
    assert words in refused(lxc_host, aim, runtime=runtime)
    assert lxc_host.call(lxc.running, None) == []


@pytest.mark.parametrize("runtime", ["lxc", "auto"])
def test_B17_a_local_user_is_no_lxc_container_that_does_not_run(lxc_host: Host, actors: Actors, runtime: str) -> None:
    define(lxc_host, f"{lxc.HOME}/web1")
    for aim in (actors.users(BOB), actors.roots()):
        monitor = fake_lxc(actors, f"{lxc.HOME}/web1", aim)
        said = refused(lxc_host, aim, runtime=runtime)
        assert f"process {monitor} of the user 'games', which is not LXC's; it is not asked" in said
        assert lxc_host.call(lxc.running, None) == []
        os.kill(monitor, signal.SIGKILL)
        os.waitpid(monitor, 0)


def test_B17_root_in_a_container_is_no_lxc_monitor(lxc_host: Host, actors: Actors) -> None:
    """It shares the host's network, where such sockets have their names, but not the host's processes."""
    define(lxc_host, f"{lxc.HOME}/web1")
    aim = actors.roots()

    def inside(ready: t.Callable[[], None]) -> None:
        assert ctypes.CDLL(None).unshare(NEWPID) == 0
        if os.fork() == 0:
            ctypes.CDLL(None).prctl(1, signal.SIGKILL, 0, 0, 0)  # PR_SET_PDEATHSIG
            speak_lxc(f"{lxc.HOME}/web1", aim, None, ready)
        signal.pause()

    actors.run(inside)
    assert "of root in a container, which is not LXC's" in refused(lxc_host, aim, runtime="lxc")


def test_B17_another_program_of_roots_is_no_lxc_monitor(lxc_host: Host, actors: Actors) -> None:
    define(lxc_host, f"{lxc.HOME}/web1")
    aim = actors.roots()
    fake_lxc(actors, f"{lxc.HOME}/web1", aim, user=None)
    assert "is no child of an LXC monitor which listens there" in refused(lxc_host, aim, runtime="lxc")


def test_B17_an_lxc_container_in_a_folder_that_others_can_change(lxc_host: Host, actors: Actors) -> None:
    aim = actors.users(BOB)
    for folder, mode, owner, words in (
        ("/run/bob/lxc", "755", "games", "/run/bob can be changed by the user 'games' (runtime_user says whose"),
        ("/run/all", "777", "root", "/run/all can be changed by others than root"),
        ("/run/sticky", "1777", "root", "which is not LXC's"),
    ):
        define(lxc_host, f"{folder}/web1", "games" if mode == "1777" else "root")
        lxc_host.sh("chown", owner, f"/run/{folder.split('/')[2]}")
        lxc_host.sh("chmod", mode, folder)
        monitor = fake_lxc(actors, f"{folder}/web1", aim)
        assert words in refused(lxc_host, aim, runtime="lxc", container=f"{folder}/web1")
        os.kill(monitor, signal.SIGKILL)
    lxc_host.sh("ln", "-s", "/run/bob/lxc/web1", f"{lxc.HOME}/web1")
    fake_lxc(actors, f"{lxc.HOME}/web1", aim)
    assert "can be changed by the user 'games'" in refused(lxc_host, aim, runtime="lxc")


def test_B17_a_users_own_lxc_names_nothing_of_others(lxc_host: Host, actors: Actors) -> None:
    define(lxc_host, "/run/bob/web1", "games")
    lxc_host.sh("chown", "games", "/run/bob")
    lxc_host.sh("install", "-d", "-o", "games", "-m", "700", f"/run/user/{BOB.pw_uid}")
    for aim in (actors.roots(), actors.users(EVE), actors.users(BOB)):  # what is no monitor is not believed at all
        monitor = fake_lxc(actors, "/run/bob/web1", aim)
        assert lxc_host.call(lxc._ask, "/run/bob/web1", "games") == ("running", aim), "it is believable"
        said = refused(lxc_host, aim, runtime="lxc", container="/run/bob/web1", runtime_user="games")
        assert "is no child of an LXC monitor which listens there" in said
        os.kill(monitor, signal.SIGKILL)
        os.waitpid(monitor, 0)
    define(lxc_host, "/run/eve/web1", "news")
    lxc_host.sh("chown", "news", "/run/eve")
    said = refused(lxc_host, runtime="lxc", container="/run/eve/web1", runtime_user="games")
    assert "is not believed to be the user 'games''s" in said and "can be changed by the user 'news'" in said


def test_B17_a_long_name_is_hashed_as_lxc_does_it(lxc_host: Host, actors: Actors) -> None:
    name = "w" * 120
    define(lxc_host, f"{lxc.HOME}/{name}")
    aim, place = actors.roots(), lxc._Place(lxc.HOME, name, 0)
    path = place.socket_name()[1:].decode().removesuffix("/command")
    actors.run(lambda ready: speak_lxc(path, aim, BOB, ready))
    said = lxc_host.sh("lxc-info", f"--lxcpath={lxc.HOME}", f"--name={name}", "--pid", "--no-humanize")
    assert said.split() == [str(aim)], "LXC asks there"
    assert "which is not LXC's" in refused(lxc_host, aim, runtime="lxc", container=name)


# -- Docker


def container(number: int, ident: str = IDENT, **more: t.Any) -> dict[str, t.Any]:
    now = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(time.time() + 0.9)) + ".5Z"
    state = {"Status": "running", "Running": True, "Pid": number, "StartedAt": now}
    return {"Id": ident, "Names": ["/web1"], "Name": "/web1", "State": state, "HostConfig": {"PidMode": "x"}, **more}


def speak_http(
    path: str | int, answers: dict[str, t.Any], user: pwd.struct_passwd | None, ready: t.Callable[[], None]
) -> None:
    """An engine that says what it likes, at a path or on a port: an answer by the end of what is asked for."""
    if user is not None:
        become(user)
    if isinstance(path, int):
        listener = socket.create_server(("127.0.0.1", path))
    else:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(path)
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(path)
    listener.listen()
    ready()

    def serve(there: socket.socket) -> None:
        with there, contextlib.suppress(OSError):
            asked = b""
            while b"\r\n\r\n" not in asked:
                piece = there.recv(65536)
                if not piece:
                    return
                asked += piece
            target = asked.split()[1].decode().partition("?")[0]
            found = next((value for end, value in answers.items() if target.endswith(end)), {})
            body = json.dumps(found).encode()
            head = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nLibpod-Api-Version: 4.3.1\r\n"
            there.sendall(f"{head}Content-Length: {len(body)}\r\nConnection: close\r\n\r\n".encode() + body)

    while True:
        threading.Thread(target=serve, args=(listener.accept()[0],), daemon=True).start()


def fake_docker(
    actors: Actors, *said: dict[str, t.Any], user: pwd.struct_passwd | None = BOB, path: str | None = None
) -> None:
    """A user's engine; ``said``: what it lists, and what it says of each, if that is another one."""
    pytest.importorskip("docker")
    folder = f"/run/user/{(user or BOB).pw_uid}"
    actors.host.sh("install", "-d", "-o", str((user or BOB).pw_uid), "-m", "700", folder)
    listed, told = said[0], said[-1]
    answers = {
        "/version": {"ApiVersion": "1.41"}, "/_ping": {}, "/containers/json": [listed],
        f"/{listed['Id']}/json": told,
    }  # fmt: skip
    actors.run(lambda ready: speak_http(path or f"{folder}/docker.sock", answers, user, ready))


def test_B17_a_users_docker_has_containers_of_its_own(host: Host, actors: Actors) -> None:
    """The engine that lies below is believed as far as it tells the truth."""
    aim = actors.users(BOB)
    fake_docker(actors, container(aim))
    found = find(host, "docker", "web1", "games")
    assert isinstance(found, model_container.Found), found
    assert (found.pid, found.whose, found.label) == (aim, BOB.pw_uid, "docker:web1@games")
    assert isinstance(find(host, "auto", "web1", "games"), model_container.Found)


def test_B17_a_users_docker_names_a_process_of_others(host: Host, actors: Actors) -> None:
    for aim in (actors.roots(), actors.users(EVE)):
        fake_docker(actors, container(aim))
        for runtime in ("docker", "auto"):
            said = refused(host, aim, runtime=runtime, runtime_user="games")
            assert f"process {aim}, says docker of the user 'games', but that is not one of the user 'games'" in said
            assert "is left alone" in refused(host, aim, runtime=runtime, runtime_user="games", state="absent")


def test_B17_a_users_docker_names_a_process_of_roots_in_the_users_network(host: Host, actors: Actors) -> None:
    """Its files are root's."""
    users = actors.users(BOB)
    aim = actors.shell(
        "nsenter", "-t", str(users), "-n", "unshare", "-p", "--fork", "--kill-child", "sleep", "100", child=True
    )
    fake_docker(actors, container(aim))
    assert f"process {aim}, says docker of the user 'games', but" in refused(
        host, aim, runtime="docker", runtime_user="games"
    )


def test_B17_a_users_docker_names_the_host(host: Host, actors: Actors) -> None:
    def rest(ready: t.Callable[[], None]) -> None:
        ready()
        signal.pause()

    fake_docker(actors, container(actors.run(rest)))
    assert "shares the host's network namespace" in refused(host, runtime="docker", runtime_user="games")


@pytest.mark.parametrize("ident", ["", "/", "0", "b0" * 31, "b0" * 33, "B0" * 32, ".." + "b0" * 31, "sleep", 7])
def test_B17_a_users_docker_has_odd_ids(host: Host, actors: Actors, ident: t.Any) -> None:
    aim = actors.roots()
    fake_docker(actors, container(aim, ident))
    said = refused(host, aim, runtime="docker", runtime_user="games")
    assert "docker gives an answer that is not understood (" in said


def test_B17_a_users_docker_answers_anything(host: Host, actors: Actors) -> None:
    aim = actors.roots()
    right = container(aim)
    for told in (
        {**right, "Id": "c0" * 32}, {**right, "State": None}, {**right, "State": {"Pid": str(aim)}},
        {**right, "State": {"Pid": True}}, {**right, "State": {"Pid": -1}}, {**right, "State": {"Pid": 1 << 40}},
        {**right, "State": {"Pid": 0, "Status": "\x1b[2J"}},
        {**right, "Name": "/\x1b[2Jweb1"}, {**right, "Name": 7}, {**right, "Name": "../web1"}, {}, [], 7,
    ):  # fmt: skip
        fake_docker(actors, right, told)  # type: ignore[arg-type]
        said = refused(host, aim, runtime="docker", runtime_user="games")
        assert "docker gives an answer that is not understood (" in said and "\x1b" not in said


def test_B17_a_users_docker_socket_that_leads_to_roots(host: Host, actors: Actors) -> None:
    aim = actors.roots()
    fake_docker(actors, container(aim), user=None, path="/run/docker.sock")
    host.sh("ln", "-sf", "/run/docker.sock", f"/run/user/{BOB.pw_uid}/docker.sock")
    said = refused(host, aim, runtime="docker", runtime_user="games")
    assert f"is not believed, because /run/user/{BOB.pw_uid} can be changed by the user 'games'" in said
    host.sh("chown", "root", f"/run/user/{BOB.pw_uid}")
    said = refused(host, aim, runtime="docker", runtime_user="games")
    assert "is not the user's, but root's" in said


def test_B17_docker_host_of_a_users_is_believed_as_that_users(host: Host, actors: Actors) -> None:
    own = {"DOCKER_HOST": f"unix:///run/user/{BOB.pw_uid}/docker.sock"}
    aim = actors.roots()
    fake_docker(actors, container(aim))
    assert "says docker of the user 'games', but that is not one of" in refused(
        host, aim, runtime="docker", environment=own
    )
    # Root's own, by a path that a user can change: it may be another one of root's.
    fake_docker(actors, container(aim), user=None, path="/run/docker.sock")
    host.sh("ln", "-sf", "/run/docker.sock", f"/run/user/{BOB.pw_uid}/docker.sock")
    said = refused(host, aim, runtime="docker", environment=own)
    assert f"is not believed, because /run/user/{BOB.pw_uid} can be changed by the user 'games'" in said


def test_B17_a_container_that_listens_as_roots_docker(
    host: Host, actors: Actors, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Root in a container, by a folder that it shares with the host."""
    monkeypatch.setattr(docker, "SOCKET", "/run/docker.sock")
    monkeypatch.setattr(docker, "_clients", {})
    aim = actors.roots()
    answers = {"/version": {"ApiVersion": "1.41"}, "/containers/json": [container(aim)], "/json": container(aim)}

    def inside(ready: t.Callable[[], None]) -> None:
        assert ctypes.CDLL(None).unshare(NEWPID) == 0
        if os.fork() == 0:
            ctypes.CDLL(None).prctl(1, signal.SIGKILL, 0, 0, 0)  # PR_SET_PDEATHSIG
            speak_http("/run/docker.sock", answers, None, ready)
        signal.pause()

    actors.run(inside)
    assert "because it is a process of a container" in refused(host, aim, runtime="docker")


GROUPS = (Path("/sys/fs/cgroup/pids"), Path("/sys/fs/cgroup"))
GROUP = next((path for path in GROUPS if (path / "cgroup.procs").exists()), None)


@pytest.mark.parametrize(
    ("name", "is_its"),
    [
        (f"x{IDENT}", False), (f"{IDENT}x", False), (f"pwt-{IDENT}", False), (f"libpod-conmon-{IDENT}.scope", False),
        (f"docker-{IDENT}.scope.d", False), (f"libpod-{IDENT}", True), (f"docker-{IDENT}.scope", True), (IDENT, True),
        (f"system.slice:docker:{IDENT}", True), (f"a-b.slice:cri-containerd:{IDENT}", True),
    ],
)  # fmt: skip
def test_B17_a_control_group_is_known_by_its_whole_name(actors: Actors, name: str, is_its: bool) -> None:
    if GROUP is None:
        pytest.skip("no control groups here")
    folder = GROUP / f"pwt{os.getpid()}" / name
    folder.mkdir(parents=True)
    try:
        number = actors.shell("unshare", "-n", "sleep", "100")
        (folder / "cgroup.procs").write_text(str(number), encoding="ascii")
        assert pid.in_group(number, IDENT) == is_its
        actors.close()
    finally:
        wait_for("the end of what is in it", lambda: not (folder / "cgroup.procs").read_text(encoding="ascii"))
        folder.rmdir()
        folder.parent.rmdir()


def test_B17_a_local_user_on_the_port_of_docker(host: Host, actors: Actors, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("docker")
    monkeypatch.delenv("DOCKER_TLS_VERIFY", raising=False)
    host.sh("ip", "link", "set", "lo", "up")
    aim = actors.roots()
    answers = {"/version": {"ApiVersion": "1.41"}, "/containers/json": [container(aim)], "/json": container(aim)}
    actors.run(lambda ready: speak_http(2375, answers, BOB, ready))
    for place in ("tcp://127.0.0.1:2375", "tcp://localhost", "tcp://[::ffff:127.0.0.1]:2375"):
        said = refused(host, aim, runtime="docker", environment={"DOCKER_HOST": place})
        assert "says docker of the user 'games', but that is not one of" in said or "does not answer" in said
    said = refused(host, aim, runtime="docker", environment={"DOCKER_HOST": "tcp://192.0.2.1:2376"})
    assert "DOCKER_HOST is tcp://192.0.2.1:2376, where anybody on the way could answer" in said


# -- Podman


@pytest.fixture
def user(host: Host) -> Iterator[pwd.struct_passwd]:
    """A user whose Podman asks a service, which may be anything."""
    need("podman", "useradd", "userdel")
    name = f"pwt{os.getpid()}"
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o755)
        subprocess.run(
            ["useradd", "--create-home", f"--home-dir={folder}/home", "--shell=/bin/false", name],
            check=True, capture_output=True,
        )  # fmt: skip
        try:
            made = pwd.getpwnam(name)
            run = f"/run/user/{made.pw_uid}"
            settings = Path(folder, "home/.config/containers/containers.conf")
            settings.parent.mkdir(parents=True)
            settings.write_text(
                '[engine]\nremote = true\nactive_service = "x"\n'
                f'[engine.service_destinations.x]\nuri = "unix://{run}/podman.sock"\n', encoding="ascii",
            )  # fmt: skip
            subprocess.run(["chown", "-R", name, f"{folder}/home"], check=True)
            host.sh("install", "-d", "-m", "755", "/run/user")
            host.sh("install", "-d", "-m", "700", "-o", name, run)
            host.sh("install", "-d", "-m", "700", "-o", name, f"{run}/libpod")
            yield made
        finally:
            subprocess.run(["userdel", name], check=True, capture_output=True)


def fake_podman(actors: Actors, user: pwd.struct_passwd, number: t.Any, ident: t.Any = IDENT) -> None:
    listed = {"Id": ident, "Names": ["web1"], "Pid": number, "State": "running", "Created": "2026-01-01T00:00:00Z"}
    path = f"/run/user/{user.pw_uid}/podman.sock"
    actors.run(lambda ready: speak_http(path, {"/containers/json": [listed]}, user, ready))


def test_B17_a_users_podman_names_a_process_of_others(host: Host, user: pwd.struct_passwd, actors: Actors) -> None:
    # What it says is believed where it is true: a process of its user's, which conmon has started.
    script = f"import os, subprocess; p = subprocess.Popen({['unshare', '-U', '-r', '-n', 'sleep', '100']!r}); p.wait()"

    def conmon(ready: t.Callable[[], None]) -> None:
        become(user)
        words = ["conmon", "-c", script, IDENT]
        child = subprocess.Popen(words, executable="/usr/bin/python3")  # one that the user may run
        there = Path(f"/proc/{child.pid}/task/{child.pid}/children")
        wait_for("its child", lambda: there.read_text(encoding="ascii"))
        number = int(there.read_text(encoding="ascii"))
        own = os.readlink("/proc/self/ns/net")

        def apart() -> bool:
            with contextlib.suppress(PermissionError):  # while it changes its user namespace
                return os.readlink(f"/proc/{number}/ns/net") != own
            return False

        wait_for("its namespace", apart)
        Path(f"/run/user/{user.pw_uid}/number").write_text(f"{child.pid} {number}", encoding="ascii")
        ready()
        signal.pause()

    actors.run(conmon)
    parent, honest = map(int, host.sh("cat", f"/run/user/{user.pw_uid}/number").split())
    actors.pids += [parent, honest]
    fake_podman(actors, user, honest)
    found = find(host, "podman", "web1", user.pw_name)
    assert isinstance(found, model_container.Found) and (found.pid, found.whose) == (honest, user.pw_uid), found
    for aim in (actors.roots(), actors.users(EVE)):
        fake_podman(actors, user, aim)
        said = refused(host, aim, runtime="podman", runtime_user=user.pw_name)
        assert f"runs as process {aim}, says Podman, but here that is no process of it" in said


def test_B17_a_users_podman_answers_anything(host: Host, user: pwd.struct_passwd, actors: Actors) -> None:
    aim = actors.roots()
    for number, ident in ((aim, ""), (aim, "/"), (aim, "b0" * 31), (aim, "0"), (-1, IDENT), (1 << 40, IDENT)):
        fake_podman(actors, user, number, ident)
        said = refused(host, aim, runtime="podman", runtime_user=user.pw_name)
        assert "gives an answer that is no list of containers" in said


# -- others


def test_B17_what_belongs_to_whom(actors: Actors) -> None:
    for number, users in ((actors.roots(), {0}), (actors.users(BOB), {BOB.pw_uid}), (actors.users(EVE), {EVE.pw_uid})):
        fd = os.open(f"/proc/{number}/ns/net", os.O_RDONLY)
        try:
            assert {uid for uid in (0, BOB.pw_uid, EVE.pw_uid) if trust.belongs_to(fd, uid)} == users
        finally:
            os.close(fd)


def test_P39_root_in_a_user_namespace_is_root_of_what_is_in_it() -> None:
    """As in a container with users of its own, whose user namespace was made by somebody who is nobody there."""

    unshared, mapped = os.pipe(), os.pipe()

    def inside() -> list[bool]:
        assert ctypes.CDLL(None).unshare(0x10000000) == 0  # CLONE_NEWUSER
        os.write(unshared[1], b"+")
        os.read(mapped[0], 1)
        os.setuid(0)
        assert ctypes.CDLL(None).unshare(0x40000000) == 0  # CLONE_NEWNET
        fd = os.open("/proc/self/ns/net", os.O_RDONLY)
        return [trust.belongs_to(fd, uid) for uid in (0, 65534, BOB.pw_uid)]

    work = Work(inside)
    os.read(unshared[0], 1)
    Path(f"/proc/{work.pid}/uid_map").write_text("0 100000 1", encoding="ascii")
    os.write(mapped[1], b"+")
    assert work.wait() == [True, False, False]
    for fd in (*unshared, *mapped):
        os.close(fd)


def test_B17_a_socket_of_incus_or_containerd_that_a_user_made(host: Host, actors: Actors) -> None:
    need("ctr")
    host.sh("chmod", "1777", "/run")  # then anybody may be first
    for folder, name, runtime in (("incus", "unix.socket", "incus"), ("containerd", "containerd.sock", "containerd")):
        host.sh("install", "-d", "-o", "games", f"/run/{folder}")
        actors.run(lambda ready, path=f"/run/{folder}/{name}": speak_http(path, {}, BOB, ready))  # type: ignore[misc]
        said = refused(host, runtime=runtime)
        assert "is not believed, because it is not root's" in said
    with contextlib.closing(Deaf(host, "/run/incus/other.socket")):  # root's, in a folder of the user's
        host.sh("ln", "-sf", "other.socket", "/run/incus/unix.socket")
        said = refused(host, runtime="incus")
        assert "is not believed, because /run/incus can be changed by the user 'games'" in said


def test_B17_a_user_who_calls_himself_systemd_nspawn(host: Host, actors: Actors) -> None:
    """He may mount what he can reach, also the folder that systemd-nspawn made for a container."""
    host.sh("mkdir", "-p", f"{nspawn.FOLDER}/web1")
    said: list[int] = []

    def impostor(ready: t.Callable[[], None]) -> None:
        become(BOB)
        libc = ctypes.CDLL(None)
        libc.prctl(PR_SET_NAME, b"systemd-nspawn", 0, 0, 0)
        script = f"mount --bind {nspawn.FOLDER}/web1 /mnt && echo + && exec sleep 100"
        child = subprocess.Popen(["unshare", "-U", "-r", "-n", "-m", "sh", "-c", script], stdout=subprocess.PIPE)
        assert child.stdout is not None and child.stdout.read(1) == b"+"
        ready()
        signal.pause()

    monitor = actors.run(impostor)
    said = [int(word) for word in Path(f"/proc/{monitor}/task/{monitor}/children").read_text(encoding="ascii").split()]
    actors.pids += said
    root = f"{host.call(nspawn._mounted_as, nspawn.FOLDER)}/web1"
    assert root in nspawn._roots(said[0]), "it has what a container would have"
    assert "nspawn knows no container 'web1'" in refused(host, said[0], runtime="nspawn")
    assert host.call(nspawn.running, None) == []


def test_B17_a_namespaces_path_in_the_hands_of_a_user(host: Host, actors: Actors) -> None:
    host.sh("install", "-d", "-o", "games", "/run/bob")
    host.sh("ln", "-s", f"{NETNS}/a", "/run/bob/ns")
    said = refused(host, runtime="netns", container="/run/bob/ns")
    assert "is not of those who can change /run/bob (the user 'games')" in said
    host.sh("mkdir", "-m", "777", "/run/all")
    host.sh("ln", "-s", f"{NETNS}/a", "/run/all/ns")
    assert "others than root" in refused(host, runtime="netns", container="/run/all/ns")
    host.sh("mkdir", "/run/good")
    host.sh("ln", "-s", f"{NETNS}/a", "/run/good/ns")
    assert isinstance(find(host, "netns", "/run/good/ns"), model_container.Found)
    host.sh("mkdir", "/run/bob/\x1b[2J")
    host.sh("chown", "games", "/run/bob/\x1b[2J")
    host.sh("ln", "-s", "/run/bob/\x1b[2J/ns", "/run/good/odd")
    host.sh("ln", "-s", f"{NETNS}/a", "/run/bob/\x1b[2J/ns")
    host.sh("chown", "root", "/run/bob")
    said = refused(host, runtime="netns", container="/run/good/odd")
    assert "can change /run/bob/?[2J (the user 'games')" in said and "\x1b" not in said
    host.sh("chown", "games", "/run/bob")
    own = actors.users(BOB)
    host.sh("ln", "-sfn", f"/proc/{own}/ns/net", "/run/bob/ns")
    assert isinstance(find(host, "netns", "/run/bob/ns"), model_container.Found), "it is the user's own"


# -- what may not be looked at has not gone


def test_P39_a_namespace_that_may_not_be_opened_has_not_gone(host: Host, actors: Actors) -> None:
    aim = actors.roots()

    def look() -> str:
        become(BOB)
        [answer] = _runtimes.find_all([("pid", str(aim), None)])
        assert isinstance(answer, PipeworkError) and not isinstance(answer, model_container.NoContainer)
        return str(answer)

    words = f"the network namespace of process {aim} cannot be looked at: Permission denied"
    assert words in host.call(look)


def test_P39_no_file_left_to_be_opened_does_not_mean_gone(host: Host, actors: Actors) -> None:
    aim = actors.roots()

    def look() -> list[str]:
        held = pid.enter(aim, lambda _pid, _born: True)
        assert held is not None
        asked: list[tuple[t.Callable[..., t.Any], tuple[t.Any, ...]]] = [
            (pid.find, (str(aim), None)), (pid.enter, (aim, lambda _pid, _born: True)), (pid.lives, (aim, 1)),
            (wait._process, (aim, held)), (netns.find, ("a", None)), (netns.running, (None,)),
            (nspawn.running, (None,)),
        ]  # fmt: skip
        found = []
        resource.setrlimit(resource.RLIMIT_NOFILE, (3, 3))
        for function, words in asked:
            try:
                found.append(f"{function.__name__} said {function(*words)}")
            except (model_container.NoContainer, model_container.NotRunning) as error:
                found.append(f"gone: {error}")
            except PipeworkError as error:
                found.append(str(error))
        return found

    host.sh("mkdir", "-p", f"{nspawn.FOLDER}/web1")
    assert [words for words in host.call(look) if "Too many open files" not in words] == []
