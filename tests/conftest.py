# Copyright: pipework.containers contributors
# GNU General Public License v3.0+ (see LICENSE)
"""What all tests share: the collection on the import path, and the Docker engine."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parent.parent
TREE = ROOT / ".cache" / "collections"
IMAGE = "pipework/busybox:local"

if (TREE / "ansible_collections" / "pipework" / "containers").resolve() != ROOT:
    raise pytest.UsageError(f"{TREE} does not lead to this checkout: run `make setup` in {ROOT} first")
sys.path.insert(0, str(TREE))


def unavailable(what: str) -> None:
    """Skip, except where everything is promised to be there: `make test` sets PIPEWORK_LANE=full."""
    if os.environ.get("PIPEWORK_LANE") == "full":
        pytest.fail(what, pytrace=False)
    pytest.skip(what)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """A test marked `root` does not start without it."""
    if os.geteuid() == 0:
        return
    for item in items:
        if item.get_closest_marker("root"):
            item.add_marker(pytest.mark.skip(reason="needs root: sudo make integration"))


@pytest.fixture(scope="session")
def docker_client() -> Iterator[Any]:
    """A client of an engine that answers and has IMAGE (`make engine` starts one)."""
    import docker
    from docker.errors import DockerException, ImageNotFound

    try:
        client = docker.from_env()
        client.ping()
    except DockerException as error:
        unavailable(f"no Docker engine answers ({error}): sudo make engine")
    with_image = False
    try:
        client.images.get(IMAGE)
        with_image = True
    except ImageNotFound:
        pass
    if not with_image:
        unavailable(f"the Docker engine has no image {IMAGE}: sudo make engine")
    yield client
    client.close()
