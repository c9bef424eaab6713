# Copyright: pipework.containers contributors
# GNU General Public License v3.0+ (see LICENSE)
"""Containers of several runtimes on one host, and on one bridge."""
from __future__ import annotations

import contextlib
import itertools
import os
import typing as t
from collections.abc import Iterator

import pytest

from ansible_collections.pipework.containers.plugins.module_utils._runtimes import docker
from tests.conftest import IMAGE
from tests.integration.engines import NET, Engine, find
from tests.integration.lab import Host, eventually
from tests.integration.test_runtimes_containerd import Containerd
from tests.integration.test_runtimes_incus import Incus
from tests.integration.test_runtimes_lxc import Lxc
from tests.integration.test_runtimes_nspawn import Nspawn
from tests.integration.test_runtimes_podman import Podman

pytestmark = pytest.mark.root


@pytest.fixture
def site() -> Iterator[tuple[Host, list[Engine]]]:
    """One host with all engines."""
    engines: list[Engine] = []
    with contextlib.ExitStack() as stack:
        host = Host()
        stack.callback(host.close)
        for kind in (Podman, Lxc, Incus, Containerd, Nspawn):
            engines.append(kind(host))
            stack.callback(engines[-1].close)
        yield host, engines


def ping(engine: Engine, name: str, address: str) -> bool:
    """Whether there is an answer before long."""

    def once() -> bool:
        with contextlib.suppress(AssertionError):
            engine.sh(name, "ping", "-c", "1", "-W", "1", address)
            return True
        return False

    return eventually(once)


def test_B6_B11_one_task_for_all_runtimes(site: tuple[Host, list[Engine]]) -> None:
    host, engines = site
    for number, engine in enumerate(engines):
        engine.start(f"web{number}")
    host.add_guests("web5")
    items = [{"container": f"web{number}", "addresses": [f"{NET}.{number + 1}/24"]} for number in range(6)]
    done = host.run(attachments=items, host_interface="br1")
    assert [each["runtime"] for each in done["attachments"]] == [*(engine.runtime for engine in engines), "netns"]
    for (number, engine), other in itertools.product(enumerate(engines), range(6)):
        if other != number:
            assert ping(engine, f"web{number}", f"{NET}.{other + 1}"), (engine.runtime, other)
    assert host.ping("web5", f"{NET}.1")

    assert not host.run(attachments=items, host_interface="br1")["changed"]
    assert host.run(attachments=items[:1], host_interface="br1", purge=True)["changed"]
    assert [engine.links(f"web{number}") for number, engine in enumerate(engines)] == [["eth1"], [], [], [], []]
    assert host.run(attachments=[], purge=True)["changed"]
    assert host.links() == []


def test_P41_a_name_that_all_of_them_know(site: tuple[Host, list[Engine]]) -> None:
    host, engines = site
    host.add_guests("web1")
    for engine in engines:
        engine.start("web1")
    said = find(host, "auto", "web1")[1]
    assert "'web1' is known to several runtimes: podman, lxc, incus, containerd, nspawn, netns;" in said
    engines[1].stop("web1")
    said = find(host, "auto", "web1")[1]
    assert "several runtimes: podman, lxc (not running), incus, containerd, nspawn, netns;" in said
    for number, engine in enumerate((engines[0], *engines[2:]), 1):
        assert engine.attach("web1", addresses=[f"{NET}.{number}/24"])["changed"]
        assert engine.links("web1") == ["eth1"]
    said = find(host, "auto", "nobody")[1]
    assert "asked: podman, lxc, incus, containerd, nspawn, netns" in said
    assert "'podman ps', 'lxc-ls', 'incus list', 'nerdctl ps', 'machinectl list' and 'ip netns list' show" in said


@pytest.mark.docker
def test_B6_docker_and_podman_on_one_bridge(
    site: tuple[Host, list[Engine]], docker_client: t.Any, monkeypatch: pytest.MonkeyPatch,
) -> None:
    host, [engine, *_others] = site
    # The machine's engine, seen from the test's host.
    monkeypatch.setattr(docker, "SOCKET", f"/proc/{os.getpid()}/root{os.path.realpath(docker.SOCKET)}")
    monkeypatch.setattr(docker, "_clients", {})
    container = docker_client.containers.run(IMAGE, name=f"pwt{os.getpid()}-t", network_mode="none", detach=True)
    try:
        engine.start("web1")
        items = [
            {"container": container.name, "addresses": [f"{NET}.1/24"]},
            {"container": "web1", "addresses": [f"{NET}.2/24"]},
        ]
        done = host.run(attachments=items, host_interface="br1")
        assert [each["runtime"] for each in done["attachments"]] == ["docker", "podman"]
        assert ping(engine, "web1", f"{NET}.1")
        assert eventually(lambda: container.exec_run(["ping", "-c", "1", "-W", "1", f"{NET}.2"]).exit_code == 0)
        engine.start(container.name)
        assert "several runtimes: docker, podman;" in find(host, "auto", container.name)[1]
    finally:
        container.remove(force=True)
    assert eventually(lambda: len(host.links()) == 2)


def test_the_socket_of_podman_in_dockers_place(site: tuple[Host, list[Engine]]) -> None:
    """As the package podman-docker makes it: one container is not two."""
    host, [engine, *_others] = site
    engine.start("web1")
    host.sh("mkdir", "-p", "/run/podman")
    host.sh("touch", "/run/podman/podman.sock")
    host.sh("ln", "-s", "/run/podman/podman.sock", "/run/docker.sock")
    assert find(host, "auto", "web1").runtime == "podman"
