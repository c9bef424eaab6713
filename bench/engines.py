# Copyright: pipework.containers contributors
# GNU General Public License v3.0+ (see LICENSE)
"""Docker and Podman with state of their own in a directory of ours, on the benchmark's private host."""

from __future__ import annotations

import ctypes
import json
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import host

IMAGE = "pipework/busybox:local"
MAKE_IMAGE = Path(__file__).resolve().parent.parent / "tests" / "tools" / "image"
PR_SET_PDEATHSIG = 1

CONTAINERS_CONF = """\
[containers]
default_ulimits = ["nofile=20000:20000", "nproc=32768:32768"]
[network]
network_config_dir = "{directory}/networks"
[engine]
cgroup_manager = "cgroupfs"
events_logger = "file"
tmp_dir = "{directory}/tmp"
runtime = "runc"
"""
STORAGE_CONF = """\
[storage]
driver = "overlay"
graphroot = "{directory}/storage"
runroot = "{directory}/run"
"""


@contextmanager
def docker(directory: Path) -> Iterator[dict[str, str]]:
    """An engine of our own; yields the environment in which its client finds it."""
    (directory / "daemon.json").write_text(json.dumps({"bridge": "none"}))
    socket = f"unix://{directory}/socket"
    files = {"config-file": "daemon.json", "data-root": "data", "exec-root": "exec", "pidfile": "pid"}
    arguments = ["dockerd", "-H", socket, *(f"--{option}={directory / name}" for option, name in files.items())]
    environment = {**os.environ, "DOCKER_HOST": socket}
    with open(directory / "log", "wb") as log:
        daemon = subprocess.Popen(arguments, stdout=log, stderr=log, preexec_fn=end_with_parent)
    try:
        wait_for_answer(daemon, environment)
        yield environment
    finally:
        daemon.terminate()
        daemon.wait(60)


def end_with_parent() -> None:
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)


def wait_for_answer(daemon: subprocess.Popen[bytes], environment: dict[str, str]) -> None:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and daemon.poll() is None:
        with suppress(RuntimeError):
            host.run(["docker", "version"], env=environment)
            return
        time.sleep(0.2)
    raise RuntimeError("dockerd does not answer")


@contextmanager
def podman(directory: Path) -> Iterator[dict[str, str]]:
    """There is no daemon: the environment says it all."""
    (directory / "networks").mkdir()
    (directory / "containers.conf").write_text(CONTAINERS_CONF.format(directory=directory))
    (directory / "storage.conf").write_text(STORAGE_CONF.format(directory=directory))
    yield {
        **os.environ,
        "CONTAINERS_CONF": str(directory / "containers.conf"),
        "CONTAINERS_STORAGE_CONF": str(directory / "storage.conf"),
    }


START = {"docker": docker, "podman": podman}


@contextmanager
def containers(engine: str, directory: Path, count: int) -> Iterator[tuple[dict[str, str], list[str]]]:
    """Running containers on a first network, and a second one (`pwbnet`) to connect them to."""
    names = [f"pwb{number:04d}" for number in range(count)]
    with START[engine](directory) as environment:
        host.run([MAKE_IMAGE, engine], env=environment)
        try:
            host.run([engine, "network", "create", "--subnet", "10.78.0.0/16", "pwbfirst"], env=environment)
            host.run([engine, "network", "create", "--subnet", "10.77.0.0/16", "pwbnet"], env=environment)
            for name in names:
                start = [engine, "run", "-d", "--name", name, "--network", "pwbfirst", IMAGE, "sleep", "infinity"]
                host.run(start, env=environment)
            yield environment, names
        finally:
            with suppress(RuntimeError):
                host.run([engine, "rm", "-f", *(["-t", "0"] if engine == "podman" else []), *names], env=environment)
            for network in ("pwbfirst", "pwbnet"):
                with suppress(RuntimeError):
                    host.run([engine, "network", "rm", network], env=environment)


def connect(engine: str, environment: dict[str, str], names: list[str]) -> float:
    """Milliseconds for all; disconnects them again."""

    def each(action: str) -> None:
        for name in names:
            host.run([engine, "network", action, "pwbnet", name], env=environment)

    took = host.timed(lambda: each("connect"))
    each("disconnect")
    return took
