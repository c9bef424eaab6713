# Copyright: pipework.containers contributors
# GNU General Public License v3.0+ (see LICENSE)
"""What becomes of leases that no listed attachment has any more: purge, and containers that have ended."""

from __future__ import annotations

import contextlib
import glob
import json
import typing as t
from collections.abc import Iterator

import pytest

from tests.integration.keeping import LONG, ended, kill, kinds, left
from tests.integration.lab import Host, failing_at, refusal, wait_for
from tests.integration.test_dhcp import BUILTIN, log, running_dnsmasq
from tests.integration.test_dhcp import segment as segment4

__all__ = ["segment4"]
pytestmark = pytest.mark.root
FAMILIES: dict[str, t.Any] = {**BUILTIN, "dhcp6": True}
DELETED = ("delete", "lease_files")


@pytest.fixture
def segment(segment4: Host) -> Iterator[Host]:
    """A server of both families."""
    host = segment4
    host.batch("address add fd05::254/64 dev br1 nodad\nlink set other up\n")
    with ended(host), server(host):
        yield host


@contextlib.contextmanager
def server(host: Host) -> Iterator[None]:
    ranges = ["--dhcp-range=10.5.0.100,10.5.0.120,2m", "--dhcp-range=fd05::100,fd05::1ff,64,2m"]
    with running_dnsmasq(host, [*ranges, "--no-ping", "--dhcp-authoritative"]):
        yield


def folders(host: Host) -> int:
    return len(host.sh("sh", "-c", "ls /run/pipework/dhcp 2>/dev/null || true").split())


def releases(host: Host) -> list[int]:
    text = log(host)
    return [text.count("DHCPRELEASE(br1) 10.5."), text.count("status  0 release received")]


@pytest.mark.parametrize("keep", [False, True], ids=["left", "kept"])
def test_P21_B11_purge_gives_leases_back(segment: Host, keep: bool) -> None:
    host = segment
    before = host.snapshot()
    host.attach("a", **FAMILIES, dhcp_keep=keep)
    host.attach("b", **FAMILIES, dhcp_keep=keep)
    stays: dict[str, t.Any] = {
        "runtime": "netns", "host_interface": "br1", "purge": True, "attachments": [{"container": "b", "mtu": 1400}]
    }
    said = host.run(check=True, **stays)
    assert {("delete", "lease"), ("delete", "lease6")} <= set(kinds(said)) and folders(host) == 2
    done = host.run(**stays)
    assert done["operations"] == said["operations"] and kinds(done).count(("delete", "lease")) == 1
    wait_for("the server to have both back", lambda: releases(host) == [1, 1], LONG)
    assert folders(host) == 1 and not host.run(**stays)["changed"]
    host.run(runtime="netns", purge=True, attachments=[])
    wait_for("the server to have all back", lambda: releases(host) == [2, 2], LONG)
    wait_for("all to be gone", lambda: not left(host), LONG)
    host.assert_as({**before, "run": host.snapshot()["run"]})


def test_P21_what_an_ended_container_has_left_goes(segment: Host) -> None:
    host = segment
    host.attach("a", **FAMILIES)
    host.attach("b", **FAMILIES)
    host.end_guest("a")
    gone: dict[str, t.Any] = {"container": "a", "state": "absent"}
    other = host.attach("b", interface="eth7", state="absent")
    assert not other["changed"] and not host.attach("a", interface="eth7", state="absent")["changed"]
    said = host.attach(**gone, check=True)
    assert DELETED in kinds(said) and folders(host) == 2
    assert refusal(lambda: host.attach(**gone, step=failing_at(len(said["operations"]) - 1))) and folders(host) == 2
    done = host.attach(**gone)
    assert done["operations"] == said["operations"] and folders(host) == 1
    assert [each["name"].split(":")[0::3] for each in done["operations"] if each["kind"] == "lease_files"] == [
        ["netns", "eth1"]
    ]
    assert not host.attach(**gone)["changed"]
    host.add_guests("a")
    again = host.attach("a", **FAMILIES)
    assert ("create", "lease") in kinds(again)  # it asks by itself
    host.end_guest("a")
    host.add_guests("a")  # at once, maybe with the number of the old one
    assert DELETED in kinds(host.attach(**gone)) and folders(host) == 1
    assert not host.attach("b", **FAMILIES)["changed"]  # nothing of a living one has gone


@pytest.mark.parametrize("keep", [False, True], ids=["left", "kept"])
def test_P21_B11_purge_removes_what_ended_containers_have_left(segment: Host, keep: bool) -> None:
    host = segment
    host.attach("a", **FAMILIES, dhcp_keep=keep)
    host.attach("b", **FAMILIES)
    if keep:
        kill(host)  # nobody else cleans up
    host.end_guest("a")
    wish: dict[str, t.Any] = {"runtime": "netns", "purge": True, "attachments": [{"container": "b", "mtu": 1400}]}
    elsewhere = host.run(**wish, purge_on=["br9"], host_interface="br1")
    assert DELETED not in kinds(elsewhere) and folders(host) == 2
    said = host.run(**wish, host_interface="br1", check=True)
    done = host.run(**wish, host_interface="br1")
    assert done["operations"] == said["operations"] and DELETED in kinds(done)
    assert folders(host) == 1 and not host.run(**wish, host_interface="br1")["changed"]
    assert not host.attach("b", **FAMILIES)["changed"]


def run_out(host: Host, name: str) -> None:
    """As if the leases of a family were older than they are: the kernel has taken the addresses away."""
    family = "-6" if name == "lease6" else "-4"
    host.sh("ip", family, "address", "flush", "dev", "eth1", "scope", "global", "dynamic", ns="a")

    def age() -> None:
        paths = glob.glob(f"/run/pipework/dhcp/*/{name}")
        assert paths
        for path in paths:
            with open(path, encoding="utf-8") as handle:
                said = json.load(handle)
            assert said["grant"]["expires"] > 1
            said["grant"]["expires"] = 1
            with open(path, "w", encoding="utf-8") as handle:
                json.dump(said, handle)

    host.call(age)


@pytest.mark.parametrize("how", ["absent", "purge"])
def test_P21_what_has_run_out_goes_with_its_attachment(segment: Host, how: str) -> None:
    host = segment
    before = host.snapshot()
    host.attach("b", **BUILTIN)
    host.attach("a", **FAMILIES)
    gone: dict[str, t.Any] = {"attachments": [{"container": "a", "state": "absent"}]}
    if how == "purge":
        gone = {"purge": True, "purge_on": ["br1"], "attachments": [{"container": "b", "mtu": 1400}]}
    gone = {"runtime": "netns", "host_interface": "br1", **gone}
    assert DELETED not in kinds(host.run(check=True, **gone))  # what is valid is given back
    run_out(host, "lease6")
    assert {DELETED, ("delete", "lease")} <= set(kinds(host.run(check=True, **gone)))
    run_out(host, "lease")
    said = host.run(check=True, **gone)
    assert kinds(said).count(DELETED) == 1 and folders(host) == 2
    assert refusal(lambda: host.run(**gone, step=failing_at(len(said["operations"]) - 1))) and folders(host) == 2
    done = host.run(**gone)
    assert done["operations"] == said["operations"] and folders(host) == 1
    assert not host.run(**gone)["changed"]
    host.attach("b", state="absent")
    assert folders(host) == 0
    host.assert_as({**before, "run": host.snapshot()["run"]})


def test_P21_B11_purge_removes_what_a_container_had_before_it_was_started_anew(segment: Host) -> None:
    host = segment
    host.attach("a", **BUILTIN)
    host.attach("b", **BUILTIN)
    host.batch("link delete eth1", ns="a")  # as if its namespace were another one
    wish: dict[str, t.Any] = {"runtime": "netns", "purge": True, "host_interface": "br1"}
    listed = host.run(**wish, attachments=[{"container": "a", **BUILTIN}, {"container": "b"}], check=True)
    assert DELETED not in kinds(listed)  # it will have its address again
    assert DELETED not in kinds(host.run(**wish, purge_on=["br9"], attachments=[{"container": "b"}], check=True))
    assert DELETED in kinds(host.run(**wish, attachments=[{"container": "b"}]))
    assert folders(host) == 1 and not host.run(**wish, attachments=[{"container": "b"}])["changed"]
