# Copyright: pipework.containers contributors
# GNU General Public License v3.0+ (see LICENSE)
"""Containers that need no engine, processes and named namespaces; and engines that are not there or say nothing."""
from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import threading
import time
import typing as t
from collections.abc import Iterator

import pytest

from ansible_collections.pipework.containers.plugins.module_utils._core.errors import PipeworkError
from ansible_collections.pipework.containers.plugins.module_utils._runtimes import docker, pid
from tests.conftest import IMAGE
from tests.integration.engines import NET, Deaf, end_stranger, eventually, find, take_number
from tests.integration.lab import Host

pytestmark = pytest.mark.root
ENDED = "ended, or was started anew, during the run. "
PROGRAM = "ansible_collections.pipework.containers.plugins.module_utils._host.program"


def said_when(host: Host, kind: str, restart: t.Callable[[], None], **params: t.Any) -> str:
    """What a run says during which, before the first object of a kind is made, the container becomes another one."""
    todo = [restart]

    def step(operation: t.Any) -> None:
        if todo and (operation.action, operation.subject.KIND) == ("create", kind):
            todo.pop()()

    with pytest.raises(PipeworkError) as caught:
        host.attach(step=step, addresses=[f"{NET}.1/24"], **params)
    assert str(caught.value).endswith("were taken back; everything is as it was.")
    return str(caught.value)


@pytest.mark.any_kernel
def test_B14_process_number_taken_over_during_the_run(host: Host) -> None:
    before, ours = host.snapshot(), os.stat("/proc/self/ns/net").st_ino
    for kind in ("link", "port"):
        with subprocess.Popen(["unshare", "--net", "sleep", "1000"]) as process:
            number = process.pid
            assert eventually(lambda number=number: os.stat(f"/proc/{number}/ns/net").st_ino != ours)
            threading.Thread(target=process.wait).start()  # a number is free when somebody has asked how it ended

            def restart(number: int = number) -> None:
                os.kill(number, signal.SIGKILL)
                take_number(number)

            try:
                said = said_when(host, kind, restart, container=str(number), runtime="pid")
            finally:
                assert end_stranger(number) == ["lo"]
        assert f"container: '{number}' {ENDED}" in said
        host.assert_as(before)


@pytest.mark.any_kernel
def test_B14_a_namespace_of_the_same_name_during_the_run(host: Host) -> None:
    def restart() -> None:
        for verb in ("del", "add"):
            subprocess.run(["ip", "netns", verb, "a"], check=True)

    assert f"container: 'a' {ENDED}" in said_when(host, "port", restart)
    assert (host.links(), host.links("a")) == ([], [])
    assert host.attach("a", addresses=[f"{NET}.1/24"])["changed"]


def test_B14_process_number_taken_over_while_it_is_looked_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """Between the look at the process and the opening of its namespace."""
    with subprocess.Popen(["unshare", "--net", "sleep", "1000"]) as process:
        real = pid.open_namespace

        def late(path: str) -> int:
            process.kill()
            process.wait()
            take_number(process.pid)
            return real(path)

        monkeypatch.setattr(pid, "open_namespace", late)
        born = pid.start_time(process.pid)
        assert eventually(lambda: born + 1 < time.clock_gettime(time.CLOCK_BOOTTIME) * os.sysconf("SC_CLK_TCK"))
        with pytest.raises(PipeworkError, match=f"container: process {process.pid} ended while it was looked up"):
            pid.find(str(process.pid), None)
    assert end_stranger(process.pid) == ["lo"]
    os.waitpid(process.pid, 0)


@pytest.fixture
def container(host: Host, docker_client: t.Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[t.Any]:
    """A container of the machine's engine, which the test's host sees."""
    monkeypatch.setattr(docker, "SOCKET", f"/proc/{os.getpid()}/root{os.path.realpath(docker.SOCKET)}")
    monkeypatch.setattr(docker, "_clients", {})
    made = docker_client.containers.run(IMAGE, name=f"pwt{os.getpid()}-n", network_mode="none", detach=True)
    try:
        yield made
    finally:
        made.remove(force=True)


def engine(*words: str) -> None:
    subprocess.run(["docker", "--host", f"unix://{docker.SOCKET}", *words], capture_output=True, check=True)


@pytest.mark.docker
def test_B14_docker_container_started_anew_during_the_run(host: Host, container: t.Any) -> None:
    def restart() -> None:
        engine("restart", "--time", "0", container.name)

    said = said_when(host, "port", restart, container=container.name, runtime="docker")
    assert f"container: '{container.name}' {ENDED}" in said
    assert host.links() == []
    assert host.attach(container.name, runtime="docker", addresses=[f"{NET}.1/24"])["changed"]


@pytest.mark.docker
def test_B14_docker_process_number_taken_over_before_its_namespace_is_opened(
    host: Host, container: t.Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    container.reload()
    number, real, todo = container.attrs["State"]["Pid"], docker.enter, ["stop"]

    def late(pid: int, belongs: t.Any) -> t.Any:
        if todo:
            engine(todo.pop(), "--time", "0", container.name)
            take_number(pid)
        return real(pid, belongs)

    monkeypatch.setattr(docker, "enter", late)
    try:
        with pytest.raises(PipeworkError, match=r"is not running \(exited\).*Nothing was changed"):
            host.attach(container.name, runtime="docker", addresses=[f"{NET}.1/24"])
    finally:
        assert end_stranger(number) == ["lo"]
    assert host.links() == []


def test_P39_docker_that_never_answers(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(docker, "SOCKET", "/run/deaf.socket")
    monkeypatch.setattr(docker, "SECONDS", 0.5)
    monkeypatch.setattr(docker, "_clients", {})
    since = time.monotonic()
    with contextlib.closing(Deaf(host, "/run/deaf.socket")):
        sort, words, _known = find(host, "docker", "web1")
        assert sort == "Unavailable" and "Docker does not answer at unix:///run/deaf.socket: " in words
        assert find(host, "auto", "web1")[0] == "Unavailable"
    with contextlib.closing(Deaf(host, "/run/deaf.socket", b"SSH-2.0-nothing\r\n")):
        assert find(host, "docker", "web1")[0] == "Unavailable"
    assert time.monotonic() - since < 20


def test_P39_a_runtime_that_is_not_installed(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(docker, "SOCKET", "/run/nothing.socket")
    monkeypatch.setattr(docker, "_clients", {})
    monkeypatch.setattr(f"{PROGRAM}.PATH", "/nowhere")
    before = host.snapshot()
    for runtime, words in (
        ("docker", "Docker does not answer at unix:///run/nothing.socket: No such file or directory; is it running?"),
        ("podman", "Podman cannot be asked: there is no program podman on the managed host."),
        ("lxc", "LXC cannot be asked: there is no program lxc-info on the managed host."),
        ("incus", "Incus cannot be asked: neither Incus nor LXD has a socket here; is it running?"),
        ("containerd", "containerd cannot be asked: there is no program ctr on the managed host."),
        ("cri", "containerd cannot be asked: there is no program ctr on the managed host."),
        ("nspawn", "container: nspawn knows no container 'web1'."),
        ("netns", "container: netns knows no container 'web1'."),
    ):
        with pytest.raises(PipeworkError) as caught:
            host.attach("web1", runtime=runtime)
        assert words in str(caught.value) and str(caught.value).endswith("Nothing was changed.")
    host.assert_as(before)
    assert find(host, "auto", "web1")[1].startswith("container: no runtime knows 'web1' (asked: netns).")
