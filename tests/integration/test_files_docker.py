# Copyright: pipework.containers contributors
# GNU General Public License v3.0+ (see LICENSE)
"""Files of a real engine's containers, which it mounts into them: names, and name servers of a lease."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import typing as t
from collections.abc import Iterator

import pytest

from ansible_collections.pipework.containers.plugins.module_utils._core.errors import PipeworkError
from ansible_collections.pipework.containers.plugins.module_utils._engine.run import run
from ansible_collections.pipework.containers.plugins.module_utils._jobs.hosts import HostsJob
from tests.integration.files import machine
from tests.integration.lab import Killed, Work, enter, wait_for
from tests.integration.test_docker import NET4, Site, site

__all__ = ["site"]
pytestmark = [pytest.mark.root, pytest.mark.docker]
CONFIG = (
    f"start {NET4}.100\nend {NET4}.120\ninterface eth1\nlease_file /tmp/leases\nopt subnet 255.255.255.0\n"
    f"opt dns {NET4}.254\nopt domain shop.example\nopt lease 600\n"
)
ASKING: dict[str, t.Any] = {"dhcp": "builtin", "dhcp_dns": True}


@pytest.fixture(autouse=True)
def untouched() -> Iterator[None]:
    before = machine()
    yield
    assert machine() == before


@contextlib.contextmanager
def name_server(container: t.Any, answer: str) -> Iterator[None]:
    """One in a container's network that gives one address for whatever name it is asked."""
    container.reload()
    pid = container.attrs["State"]["Pid"]

    def serve() -> None:
        with open(f"/proc/{pid}/ns/net", "rb") as handle:
            enter(handle.fileno())
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            sock.bind(("0.0.0.0", 53))
            while True:
                asked, sender = sock.recvfrom(512)
                end = asked.index(b"\0", 12) + 5
                is_a = asked[end - 4 : end - 2] == b"\0\1"
                head = asked[:2] + b"\x85\x80\0\1" + (b"\0\1" if is_a else b"\0\0") + b"\0\0\0\0"
                found = b"\xc0\x0c\0\1\0\1\0\0\0\x3c\0\4" + socket.inet_aton(answer)
                sock.sendto(head + asked[12:end] + (found if is_a else b""), sender)

    work = Work(serve)
    try:
        yield
    finally:
        os.kill(work.pid, signal.SIGKILL)
        with pytest.raises(Killed):
            work.wait()


def names(check: bool = False, **params: t.Any) -> dict[str, t.Any]:
    return run(HostsJob({"runtime": "docker", **params}), check=check)


def test_P2_containers_find_each_other_by_name(site: Site) -> None:
    web, db = site.container("web"), site.container("db")
    for guest, address in ((web, f"{NET4}.1/24"), (db, f"{NET4}.2/24")):
        site.attach(guest, addresses=[address])
    before = {guest: site.sh(guest, "cat", "/etc/hosts") for guest in (web, db)}
    entries = [{"address": f"{NET4}.1", "names": ["web1"]}, {"address": f"{NET4}.2", "names": ["db1"]}]
    given: dict[str, t.Any] = {"entries": entries, "files": [{"container": guest.name} for guest in (web, db)]}
    said, done = names(check=True, **given), names(**given)
    assert said["operations"] == done["operations"] and len(done["operations"]) == 2
    assert not names(**given)["changed"]
    assert "1 packets received" in site.sh(web, "ping", "-c", "1", "-w", "10", "db1")
    assert "1 packets received" in site.sh(db, "ping", "-c", "1", "-w", "10", "web1")
    assert site.sh(web, "cat", "/etc/hosts").startswith(before[web])
    web.restart(timeout=0)
    assert site.sh(web, "cat", "/etc/hosts") == before[web]  # the engine has written it anew
    assert [each["name"] for each in names(**given)["operations"]] == [f"docker:{web.name}/pipework"]
    names(**given, state="absent")
    assert {guest: site.sh(guest, "cat", "/etc/hosts") for guest in (web, db)} == before
    db.stop(timeout=0)
    with pytest.raises(PipeworkError, match=r"is not running .*docker start"):
        names(**given)
    assert not names(**given, state="absent")["changed"]


def test_P24_a_container_asks_the_name_server_of_its_lease(site: Site) -> None:
    server, guest = site.container("server"), site.container("a", network_mode="bridge")
    site.attach(server, addresses=[f"{NET4}.254/24"])
    site.sh(server, "sh", "-c", f"echo '{CONFIG}' >/tmp/config; touch /tmp/leases")
    server.exec_run(["udhcpd", "-f", "/tmp/config"], detach=True)
    wait_for("udhcpd", lambda: ":0043 " in site.sh(server, "cat", "/proc/net/udp"))
    with name_server(server, f"{NET4}.2"):
        wait_for("the name server", lambda: ":0035 " in site.sh(server, "cat", "/proc/net/udp"))
        _ask(site, guest)


def _ask(site: Site, guest: t.Any) -> None:
    before = site.sh(guest, "cat", "/etc/resolv.conf")
    site.attach(guest, **ASKING)
    assert f"\nnameserver {NET4}.254\nsearch shop.example\n" in site.sh(guest, "cat", "/etc/resolv.conf")
    assert f"{NET4}.2" in site.sh(guest, "nslookup", "db1.shop.example")
    assert not site.attach(guest, **ASKING)["changed"]
    guest.restart(timeout=0)
    assert site.attach(guest, **ASKING)["changed"]  # its interface is gone with its old namespace
    assert site.sh(guest, "cat", "/etc/resolv.conf").count(": begin") == 1
    site.attach(guest, **{**ASKING, "dhcp_dns": False})
    assert site.sh(guest, "cat", "/etc/resolv.conf") == before
    site.attach(guest, **ASKING)
    site.attach(guest, state="absent")
    assert site.sh(guest, "cat", "/etc/resolv.conf") == before


def test_P24_files_that_are_not_the_containers(site: Site) -> None:
    binds = {path: {"bind": path, "mode": "rw"} for path in ("/etc/hosts", "/etc/resolv.conf")}
    shared, closed = site.container("shared", volumes=binds), site.container("closed", read_only=True)
    for guest, words in ((shared, "is the host's own"), (closed, "cannot be written: Read-only file system")):
        said = site.refused(container=guest.name, **ASKING)
        assert words in said and "/etc/resolv.conf" in said
        with pytest.raises(PipeworkError, match=words):
            names(container=guest.name, entries=[{"address": f"{NET4}.1", "names": ["web1"]}])
        assert not names(container=guest.name, state="absent")["changed"]
