# Copyright: pipework.containers contributors
# GNU General Public License v3.0+ (see LICENSE)
"""What the integration tests share: a host of one's own for each test."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

import pytest

from tests.integration.lab import Host
from tests.integration.systemd_host import SystemdHost, imported

IN_LANE = os.environ.get("PIPEWORK_KERNEL_LANE") == "uml"
ELSEWHERE = "needs a kernel with dummy interfaces: runs in the kernel lane, tests/kernel/run"


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "kernel: needs the full kernel of the kernel lane (tests/kernel/run)")
    config.addinivalue_line("markers", "any_kernel: runs in the kernel lane as well as on the host's own kernel")
    config.addinivalue_line("markers", "oldest: runs in the qemu lane as well, on the oldest kernel that is served")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.get_closest_marker("kernel") and not IN_LANE:
            item.add_marker(pytest.mark.skip(reason=ELSEWHERE))


@pytest.fixture
def host() -> Iterator[Host]:
    """A fresh host with the guests a and b."""
    found = Host("a", "b")
    yield found
    found.close()


@pytest.fixture(scope="session")
def systemd_image(docker_client: Any) -> Iterator[str]:
    """What hosts with systemd start from."""
    with imported() as name:
        yield name


@pytest.fixture
def booted(systemd_image: str) -> Iterator[SystemdHost]:
    """A host that has just been switched on, where systemd is PID 1."""
    found = SystemdHost(systemd_image)
    yield found
    found.close()
