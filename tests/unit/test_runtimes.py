# Copyright: pipework.containers contributors
# GNU General Public License v3.0+ (see LICENSE)
"""From names to containers, as far as no engine is needed: who is asked, and what is said when it is not clear."""

from __future__ import annotations

import importlib
import os
import types
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.pipework.containers.plugins.module_utils import _runtimes
from ansible_collections.pipework.containers.plugins.module_utils._core.errors import PipeworkError
from ansible_collections.pipework.containers.plugins.module_utils._host import program
from ansible_collections.pipework.containers.plugins.module_utils._model import container
from ansible_collections.pipework.containers.plugins.module_utils._model.container import (
    Ambiguous,
    Found,
    NoContainer,
    NotRunning,
    Unavailable,
    open_namespace,
)
from ansible_collections.pipework.containers.plugins.module_utils._model.runtime_names import NAMES
from ansible_collections.pipework.containers.plugins.module_utils._runtimes import find_all, netns, pid


def handle() -> int:
    return os.open("/dev/null", os.O_RDONLY)


def is_open(fd: int) -> bool:
    try:
        os.fstat(fd)
    except OSError:
        return False
    return True


class Stand:
    """A runtime that knows what it is told; an exception is raised."""

    def __init__(self, known: dict[str, Any], installed: bool = True) -> None:
        self.known, self.here, self.asked = known, installed, 0

    def installed(self, _user: str | None) -> bool:
        return self.here

    def find(self, name: str, _user: str | None) -> Found | None:
        self.asked += 1
        answer = self.known.get(name)
        if isinstance(answer, Exception):
            raise answer
        return answer


@pytest.fixture
def table(monkeypatch: pytest.MonkeyPatch) -> dict[str, Stand]:
    here = ("docker", "netns", "pid", "host")
    stands = {name: Stand({}, installed=name in here) for name in NAMES}
    monkeypatch.setattr(_runtimes, "runtime_of", stands.__getitem__)
    return stands


def one(runtime: str, name: str) -> Found | PipeworkError:
    return find_all([(runtime, name, None)])[0]


def test_P39_auto_asks_those_that_name_containers(table: dict[str, Stand]) -> None:
    web = Found("docker", "web1", "1", handle())
    table["docker"].known["web1"] = web
    assert one("auto", "web1") is web
    assert web.label == "docker:web1"
    assert table["netns"].asked == 1
    assert table["pid"].asked == table["host"].asked == 0
    os.close(web.fd)


def test_B3_a_name_is_asked_for_once(table: dict[str, Stand]) -> None:
    answers = find_all([("netns", "a", None), ("netns", "b", None), ("netns", "a", None)])
    assert table["netns"].asked == 2
    assert str(answers[0]) == str(answers[2])
    assert all(isinstance(answer, NoContainer) for answer in answers)


def test_P41_a_name_that_several_know_is_refused_and_nothing_stays_open(table: dict[str, Stand]) -> None:
    found = [Found("docker", "web1", "1", handle()), Found("netns", "web1", "2", handle())]
    table["docker"].known["web1"], table["netns"].known["web1"] = found
    answer = one("auto", "web1")
    assert isinstance(answer, PipeworkError)
    assert not isinstance(answer, NoContainer)
    assert "container: 'web1' is known to several runtimes: docker, netns" in str(answer)
    assert not any(is_open(one.fd) for one in found)


def test_P39_a_name_counts_for_more_than_the_beginning_of_an_id(table: dict[str, Stand]) -> None:
    by_id = Found("docker", "other", "abc0", handle(), exact=False)
    by_name = Found("netns", "abc", "2", handle())
    table["docker"].known["abc"], table["netns"].known["abc"] = by_id, by_name
    assert one("auto", "abc") is by_name
    assert not is_open(by_id.fd)
    os.close(by_name.fd)


def test_P41_nobody_knows_it(table: dict[str, Stand]) -> None:
    answer = one("auto", "web1")
    assert isinstance(answer, NoContainer)
    assert str(answer).startswith("container: no runtime knows 'web1' (asked: docker, netns).")
    table["docker"].here = table["netns"].here = False
    assert "none is installed" in str(one("auto", "web1"))
    assert "'runtime: pid'" in str(one("auto", "4711"))


@pytest.mark.parametrize(("runtime", "hint"), [("docker", "docker ps"), ("netns", "ip netns list"), ("pid", "")])
def test_P41_a_runtime_that_was_named_does_not_know_it(table: dict[str, Stand], runtime: str, hint: str) -> None:
    answer = one(runtime, "web1")
    assert isinstance(answer, NoContainer)
    assert f"container: {runtime} knows no container 'web1'." in str(answer)
    assert hint in str(answer)


def test_P41_a_stopped_container_is_an_answer(table: dict[str, Stand]) -> None:
    table["docker"].known["web1"] = NotRunning("container: 'web1' is not running")
    assert isinstance(one("auto", "web1"), NotRunning)
    assert isinstance(one("docker", "web1"), NotRunning)


def test_P41_an_engine_that_does_not_answer_is_not_taken_for_one_that_does_not_know(table: dict[str, Stand]) -> None:
    table["docker"].known["web1"] = Unavailable("Docker does not answer.")
    answer = one("auto", "web1")
    assert isinstance(answer, PipeworkError)
    assert not isinstance(answer, (NoContainer, NotRunning))
    assert "Docker does not answer" in str(answer)


def test_P41_several_ids_that_begin_so(table: dict[str, Stand]) -> None:
    table["docker"].known["abc"] = Ambiguous(
        "container: Found more than one container matching abc: a (abc1), b (abc2)"
    )
    assert "Found more than one container matching abc" in str(one("auto", "abc"))


def test_the_label_says_whose_engine_it_is() -> None:
    assert Found("docker", "web1", "1", -1, "bob").label == "docker:web1@bob"
    assert Found("host", "host", "1", -1).label == "host"


# namespaces by name and by process


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", "../etc/passwd", "a\0b"])
def test_B14_a_name_that_is_a_path_in_disguise(name: str) -> None:
    with pytest.raises(PipeworkError, match="container: "):
        netns.find(name, None)


def test_P41_a_namespace_that_is_not_there_and_files_that_are_none(tmp_path: Path) -> None:
    assert netns.find(str(tmp_path / "none"), None) is None
    (tmp_path / "empty").touch()
    os.mkfifo(tmp_path / "fifo")
    for path in (tmp_path / "empty", tmp_path / "fifo", tmp_path, Path("/proc/self/ns/uts"), Path("/dev/null")):
        with pytest.raises(NotRunning, match=f"container: {path} cannot be used as a network namespace"):
            netns.find(str(path), None)


def test_a_namespace_by_its_path() -> None:
    found = netns.find("/proc/self/ns/net", None)
    assert found is not None
    assert (found.runtime, found.name) == ("netns", "/proc/self/ns/net")
    assert found.ident == str(os.fstat(found.fd).st_ino)
    assert not os.get_inheritable(found.fd)
    os.close(found.fd)


@pytest.mark.parametrize("name", ["", "0", "-1", "web1", "1.5", "٣", "4194304", " 1", "1 "])
def test_P39_what_is_no_process_id(name: str) -> None:
    with pytest.raises(PipeworkError, match="is not a process ID"):
        pid.find(name, None)


def test_B14_a_process_is_known_by_its_number_and_its_start() -> None:
    found = pid.find(str(os.getpid()), None)
    assert found.ident == str(pid.start_time(os.getpid()))
    os.close(found.fd)


def test_P41_a_process_that_has_ended() -> None:
    child = os.fork()
    if child == 0:
        os._exit(0)
    os.waitid(os.P_PID, child, os.WEXITED | os.WNOWAIT)
    with pytest.raises(NoContainer, match=f"there is no process {child}"):
        pid.find(str(child), None)
    os.waitpid(child, 0)
    with pytest.raises(NoContainer, match=f"there is no process {child}"):
        pid.find(str(child), None)


def test_only_network_namespaces_are_opened() -> None:
    before = len(os.listdir("/proc/self/fd"))
    for path in ("/proc/self/ns/mnt", "/dev/null", "/proc/self/status"):
        with pytest.raises(OSError, match="not a network namespace"):
            open_namespace(path)
    assert len(os.listdir("/proc/self/fd")) == before


# Docker, as far as it is about words


@pytest.fixture
def docker() -> types.ModuleType:
    return _runtimes.runtimes()["docker"]


LISTING = {"a" * 64: "web1", "ab" + "c" * 62: "db1", "f" * 64: "abc"}


@pytest.mark.parametrize(
    ("name", "ident"),
    [
        ("web1", "a" * 64),
        ("a" * 64, "a" * 64),
        ("aaa", "a" * 64),
        ("ab", "ab" + "c" * 62),
        ("abc", "f" * 64),
        ("web", None),
        ("WEB1", None),
        ("f00", None),
        ("", None),
        ("../web1", None),
    ],
)
def test_P39_names_ids_and_short_ids(docker: types.ModuleType, name: str, ident: str | None) -> None:
    listing = docker._Listing({shown: ident for ident, shown in LISTING.items()}, LISTING)
    assert docker._resolve(listing, name) == ident


def test_P41_a_short_id_of_several(docker: types.ModuleType) -> None:
    listing = docker._Listing({shown: ident for ident, shown in LISTING.items()}, LISTING)
    with pytest.raises(Ambiguous, match="Found more than one container matching a: ") as caught:
        docker._resolve(listing, "a")
    assert "web1 (aaaaaaaaaaaa)" in str(caught.value)
    assert "db1 (abcccccccccc)" in str(caught.value)


@pytest.mark.parametrize(
    ("state", "words"),
    [
        ({"Status": "exited"}, "is not running (exited)"),
        ({"Status": "created"}, "has been created but not started"),
        ({"Status": "restarting"}, "is restarted again and again"),
        ({"Status": "running", "Pid": 4711}, "the module has to run on the engine's own host"),
    ],
)
def test_P41_a_container_without_a_namespace(docker: types.ModuleType, state: dict[str, Any], words: str) -> None:
    error = docker._no_namespace("web1", state, True)
    assert str(error).startswith("container: 'web1' ")
    assert words in str(error)
    assert isinstance(error, NotRunning) == ("Pid" not in state)


# runtimes that are asked through programs


def test_B14_programs_are_found_on_a_fixed_path_and_get_names_as_data(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    (tmp_path / "podman").write_text("#!/bin/false\n")
    (tmp_path / "podman").chmod(0o755)
    assert program.which("podman") != str(tmp_path / "podman")
    done = program.run(str(program.which("printf")), "%s|", "$(id)", ";", "a b")
    assert (done.code, done.output) == (0, "$(id)|;|a b|")


def test_a_program_that_does_not_end_or_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(program, "SECONDS", 0.2)
        with pytest.raises(PipeworkError, match=r"sleep 60 did not end within 0\.2 s"):
            program.run(str(program.which("sleep")), "60")
    with pytest.raises(PipeworkError, match="cannot be run: No such file"):
        program.run("/nowhere/program")
    assert program.run(str(program.which("ls")), "/nowhere").said.endswith("No such file or directory")


def test_a_user_that_is_not_there(table: dict[str, Stand]) -> None:
    for runtime in ("docker", "podman"):
        module = importlib.import_module(f"{_runtimes.__name__}.{runtime}")
        [answer] = module.find_many([("web1", "no-such-user")])
        if runtime == "docker" or program.which("podman"):
            assert str(answer) == "runtime_user: there is no user 'no-such-user' on the managed host."
        assert module.installed("no-such-user") == (runtime == "docker")


def containers(**pids: int) -> dict[str, dict[str, Any]]:
    """What Podman lists."""
    listed = {}
    for number, (name, pid_) in enumerate(pids.items()):
        state = "running" if pid_ else "exited"
        listed[f"{number:x}" * 64] = {"Id": f"{number:x}" * 64, "Names": [name], "State": state, "Pid": pid_}
    return listed


def test_P41_what_podman_says(monkeypatch: pytest.MonkeyPatch) -> None:
    from ansible_collections.pipework.containers.plugins.module_utils._runtimes import podman

    monkeypatch.setattr(_runtimes, "patience", 0)
    monkeypatch.setattr(podman, "_list", lambda _user: containers(web1=0, db1=os.getpid()))
    stopped, stranger, by_id, unknown = podman.find_many([(name, None) for name in ("web1", "db1", "00", "web")])
    assert isinstance(stopped, NotRunning)
    assert "'web1' is not running (exited)" in str(stopped) and "'podman start web1'" in str(stopped)
    assert f"'db1' runs as process {os.getpid()}, says Podman, but here that is no process of it" in str(stranger)
    assert (by_id.known_as, by_id.exact) == ("web1", False)
    assert unknown is None
    [users] = podman.find_many([("web1", "me")])
    assert "'sudo -u me podman start web1'" in str(users)


def test_B14_whose_namespace_it_is() -> None:
    fd = os.open("/proc/self/ns/net", os.O_RDONLY)
    try:
        assert container.is_own(fd)
        assert not pid.is_of_user(fd, 4711)
    finally:
        os.close(fd)


def test_two_users_containers_of_one_name_have_marks_of_their_own() -> None:
    from ansible_collections.pipework.containers.plugins.module_utils._attach.desired import Target
    from ansible_collections.pipework.containers.plugins.module_utils._attach.options import Attachment

    item = Attachment("web1", runtime="podman")
    owners = {Target(item, None, "podman", "web1", user=user).owner for user in (None, "me", "you")}
    assert len(owners) == 3
