# Copyright: pipework.containers contributors
# GNU General Public License v3.0+ (see LICENSE)
"""pipework_wait and a real Docker engine: a container that starts, and one that ends."""

from __future__ import annotations

import os
import typing as t
from collections.abc import Iterator

import pytest

from ansible_collections.pipework.containers.plugins.module_utils._core.errors import PipeworkError
from ansible_collections.pipework.containers.plugins.module_utils._jobs.wait import WaitJob, wait
from tests.conftest import IMAGE
from tests.integration.lab import Work, wait_for

pytestmark = [pytest.mark.root, pytest.mark.docker]


@pytest.fixture
def container(docker_client: t.Any) -> Iterator[t.Any]:
    """One that has been made and not started; its eth0 is the engine's."""
    found = docker_client.containers.create(IMAGE, name=f"pwtwait{os.getpid()}", command=["sleep", "600"])
    yield found
    found.remove(force=True)


def waiting(container: t.Any, runtime: str, **params: t.Any) -> Work[dict[str, t.Any]]:
    given = {"container": container.name, "runtime": runtime, "interface": "eth0", "timeout": 60, **params}
    return Work(lambda: wait(WaitJob(given)))


@pytest.mark.parametrize("runtime", ["docker", "auto"])
def test_P18_a_docker_container_that_starts(container: t.Any, runtime: str) -> None:
    with pytest.raises(PipeworkError, match="has been created but not started"):
        waiting(container, runtime, timeout=0).wait()
    work = waiting(container, runtime, until="routed")
    listeners = 2 if runtime == "docker" else 3  # with the main thread
    wait_for("somebody who listens", lambda: len(os.listdir(f"/proc/{work.pid}/task")) >= listeners)
    container.start()
    found = work.wait()["waits"][0]
    assert (found["runtime"], found["container_id"], found["met"]) == ("docker", container.id, True)
    assert found["saw"]["gateway"]


def test_P18_a_docker_container_that_ends_meanwhile(container: t.Any) -> None:
    container.start()
    work = waiting(container, "docker", interface="eth7")
    absent = waiting(container, "docker", until="absent")
    wait_for("both to watch it", lambda: all(watches(each.pid) for each in (work, absent)))
    container.kill()
    with pytest.raises(PipeworkError, match=rf"container: {container.name} ended while eth7 was waited for"):
        work.wait()
    assert absent.wait()["waits"][0]["met"]


def watches(pid: int) -> bool:
    return any("pidfd" in os.readlink(f"/proc/{pid}/fd/{name}") for name in os.listdir(f"/proc/{pid}/fd"))
