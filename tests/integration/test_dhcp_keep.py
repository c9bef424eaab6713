# Copyright: pipework.containers contributors
# GNU General Public License v3.0+ (see LICENSE)
"""pipework_attach with dhcp_keep: leases that are renewed, lost and had again by the one process that stays."""

from __future__ import annotations

import os
import shutil
import signal
import struct
import sys
from collections.abc import Iterator

import pytest

from ansible_collections.pipework.containers.plugins.module_utils._core.errors import PipeworkError
from ansible_collections.pipework.containers.plugins.module_utils._ipam import dhcp4_message as dhcp
from ansible_collections.pipework.containers.plugins.module_utils._jobs.commands import CommandsJob
from tests.integration.keeping import LONG, alive, ended, is_over, keeper, kinds, left, status
from tests.integration.lab import CLONE_NEWNET, Host, Killed, failing_at, followed, killed_at, unshare, wait_for
from tests.integration.test_dhcp import (
    BUILTIN,
    GOOD,
    USUAL,
    Given,
    Said,
    lease_of,
    log,
    machine,
    playing,
    segment,
    server,
)

pytestmark = pytest.mark.root
__all__ = ["segment"]

KEPT: Given = {**BUILTIN, "dhcp_keep": True}
MODE = "/run/mode"  # what the server of a test says next


@pytest.fixture
def keeping(segment: Host) -> Iterator[Host]:
    """A host on which no process is left at the end."""
    segment.call(say, "good")
    with ended(segment):
        yield segment


def say(mode: str) -> None:
    with open(MODE + ".new", "w", encoding="ascii") as handle:
        handle.write(mode)
    os.rename(MODE + ".new", MODE)


def answers(kind: int) -> Said:
    """What the test has told."""
    with open(MODE, encoding="ascii") as handle:
        mode = handle.read()
    seconds = {"short": 10, "long": 600}.get(mode, 40)
    times = {dhcp.SECONDS: seconds, dhcp.RENEWS: 3, dhcp.REBINDS: 5 if mode == "short" else seconds - 10}
    options = {**GOOD, **{code: struct.pack("!I", seconds) for code, seconds in times.items()}}
    if mode == "silent" or kind not in (dhcp.DISCOVER, dhcp.REQUEST):
        return []
    odd: Given = {}
    if mode == "other":
        odd["address"] = bytes([10, 5, 0, 9])
        options[dhcp.ROUTER] = bytes([10, 5, 0, 253])
    if mode == "refuse" and kind == dhcp.REQUEST:
        return [(dhcp.NAK, GOOD, {})]
    return [(dhcp.OFFER if kind == dhcp.DISCOVER else dhcp.ACK, options, odd)]


def with_another_way_out(host: Host) -> None:
    """The container has a default route already."""
    host.batch("link add eth0 type veth peer name far\nlink set far up\nlink set eth0 up\n", ns="a")
    host.batch("address add 10.9.0.1/24 dev eth0\nroute add default via 10.9.0.254 dev eth0\n", ns="a")


def default_routes(host: Host) -> list[str]:
    return [line for line in host.routes("a", "-4", "route") if line.startswith("default")]


def test_P21_a_lease_is_renewed_and_given_back(keeping: Host) -> None:
    host, elsewhere = keeping, machine()
    with playing(host, answers):
        before = host.snapshot()
        said = host.attach("a", check=True, **KEPT)
        host.assert_as(before)
        done = host.attach("a", **KEPT)
        assert kinds(said)[-2:] == [("create", "lease"), ("create", "dhcp_keep")]
        assert followed(said, done) == ["address", "route"]
        pid = lease_of(done)["keep"]["pid"]
        assert pid == keeper(host)
        assert lease_of(done)["keep"]["next"] < lease_of(done)["expires"]
        wait_for("it to be renewed", lambda: status(host)["renewed"], LONG)
        first = status(host)["renewed"]
        wait_for("it to be renewed again", lambda: status(host)["renewed"] != first, LONG)
        assert not host.attach("a", **KEPT)["changed"]
        assert host.addresses("eth1", ns="a") == ["10.5.0.7/24"]
        assert default_routes(host) == ["default via 10.5.0.254 dev eth1 proto 112"]
        assert os.readlink(f"/proc/{pid}/ns/net") == host.sh("readlink", "/proc/self/ns/net").strip()
        ended = host.attach("a", state="absent")
        assert ("delete", "dhcp_keep") in kinds(ended)
        assert ("delete", "lease") in kinds(ended)
        is_over(host, pid)
        host.assert_as({**before, "run": host.snapshot()["run"]})
    assert machine() == elsewhere


def test_P21_it_ends_without_an_answer_and_comes_back_with_the_server(keeping: Host) -> None:
    host = keeping
    with_another_way_out(host)
    host.call(say, "short")
    with playing(host, answers):
        host.attach("a", **KEPT, gateway=["dhcp"])
        assert default_routes(host) == ["default via 10.5.0.254 dev eth1 proto 112"]
        host.call(say, "silent")
        seen: list[str] = []

        def passes(state: str) -> bool:
            seen.append(status(host)["state"])
            return seen[-1] == state

        wait_for("its end", lambda: passes("selecting"), LONG)
        assert "rebinding" in seen
        wait_for("what was there before", lambda: "10.9.0.254" in str(default_routes(host)), LONG)
        assert host.addresses("eth1", ns="a") == []
        host.call(say, "good")
        wait_for("a lease", lambda: passes("bound"), LONG)
        wait_for("its route", lambda: "10.5.0.254" in str(default_routes(host)), LONG)
        assert host.addresses("eth1", ns="a") == ["10.5.0.7/24"]
        assert not host.attach("a", **KEPT, gateway=["dhcp"])["changed"]


def test_P21_a_refusal_is_obeyed_at_once_and_another_lease_used(keeping: Host) -> None:
    host = keeping
    host.call(say, "long")
    with_another_way_out(host)
    with playing(host, answers):
        host.attach("a", **KEPT, addresses=["10.7.0.1/24"], gateway=["dhcp"])
        host.call(say, "refuse")
        wait_for("what was there before", lambda: "10.9.0.254" in str(default_routes(host)), LONG)
        assert host.addresses("eth1", ns="a") == ["10.7.0.1/24"]
        wait_for("the words", lambda: "refused it" in str(status(host)["error"]), LONG)
        host.call(say, "other")
        wait_for("the other router", lambda: "10.5.0.253" in str(default_routes(host)), LONG)
        assert host.addresses("eth1", ns="a") == ["10.5.0.9/24", "10.7.0.1/24"]
        done = host.attach("a", **KEPT, addresses=["10.7.0.1/24"], gateway=["dhcp"])
        assert not done["changed"]
        assert lease_of(done)["router"] == "10.5.0.253"


def test_P21_a_real_server_that_knows_nothing_any_more(keeping: Host) -> None:
    host = keeping
    times = [*USUAL, "option:T1,3", "option:T2,100"]
    with server(host, options=times):
        old = lease_of(host.attach("a", **KEPT))["address"]
        asked = f"DHCPREQUEST(br1) {old.split('/')[0]}"
        wait_for("it to be renewed", lambda: log(host).count(asked) > 2 and status(host)["renewed"], LONG)
    with server(host, 150, 160, options=times):
        wait_for("another address", lambda: "10.5.0.1" in str(set(host.addresses("eth1", ns="a")) - {old}), 2 * LONG)
        new = host.addresses("eth1", ns="a")
        assert new[0].startswith(("10.5.0.15", "10.5.0.160"))
        done = host.attach("a", **KEPT)
        assert not done["changed"]
        assert [lease_of(done)["address"]] == new
        line = "pipework br1 a dhcp:-f"  # says the same
        assert not host.run(job=CommandsJob, runtime="netns", cmd=line)["changed"]
        host.attach("a", state="absent")
        released = "DHCPRELEASE(br1) " + new[0].split("/")[0]
        wait_for("the server to have it back", lambda: released in log(host))


def live() -> None:
    """A container that is a process."""
    unshare(CLONE_NEWNET)
    signal.pause()


@pytest.mark.parametrize("runtime", ["netns", "pid"])
def test_P21_a_dead_containers_network_is_let_go(keeping: Host, runtime: str) -> None:
    host = keeping
    before = host.snapshot()
    work = host.start(live) if runtime == "pid" else None
    name = str(work.pid) if work else "a"
    with playing(host, answers):
        if work:
            here = host.sh("readlink", "/proc/self/ns/net").strip()
            known = {here, os.readlink("/proc/self/ns/net")}
            wait_for("its network", lambda: os.readlink(f"/proc/{work.pid}/ns/net") not in known)
        host.attach(name, runtime=runtime, **KEPT, local_interface="end0")
        pid = keeper(host)
        assert pid is not None
        host.call(say, "silent")
        wait_for("it to be in the midst of asking", lambda: status(host)["state"] != "bound", LONG)
        if work:
            os.kill(work.pid, signal.SIGKILL)
            with pytest.raises(Killed):
                work.wait()
        else:
            host.end_guest(name)
        wait_for("the kernel to free it", lambda: host.link("end0") is None)
        is_over(host, pid)
        host.call(os.unlink, MODE)
    before.pop("a") if runtime == "netns" else None
    host.assert_as({**before, "run": host.snapshot()["run"], "host": host.snapshot()["host"]})


def test_P21_the_next_run_starts_it_again_and_changes_what_it_says(keeping: Host) -> None:
    host = keeping
    host.call(say, "long")
    with playing(host, answers):
        host.attach("a", **KEPT)
        first = keeper(host)
        assert first is not None
        os.kill(first, signal.SIGKILL)
        wait_for("its end", lambda: not alive(first))
        said = host.attach("a", check=True, **KEPT)
        done = host.attach("a", **KEPT)
        assert said["operations"] == done["operations"]
        assert kinds(done) == [("update", "dhcp_keep")]
        assert (done["operations"][0]["before"]["running"], done["operations"][0]["after"]["running"]) == (False, True)
        assert not host.attach("a", **KEPT)["changed"]
        wait_for("it to be renewed by the new one", lambda: status(host)["renewed"], LONG)
        second = keeper(host)
        done = host.attach("a", **KEPT, dhcp_hostname="web1")
        assert kinds(done) == [("update", "lease"), ("update", "dhcp_keep")]
        assert keeper(host) == second != first
        moved = host.attach("a", **KEPT, dhcp_hostname="web1", mac_address="02:00:00:00:05:01")
        assert kinds(moved) == [("update", "link"), ("update", "lease"), ("update", "dhcp_keep")]
        assert not host.attach("a", **KEPT, dhcp_hostname="web1", mac_address="02:00:00:00:05:01")["changed"]
        done = host.attach("a", **BUILTIN, dhcp_hostname="web1")
        assert kinds(done) == [("delete", "dhcp_keep")]
        assert lease_of(done)["keep"] is None
        wait_for("its end", lambda: not alive(second or 0), LONG)
        assert not host.attach("a", **BUILTIN, dhcp_hostname="web1")["changed"]


def test_P21_what_both_left_that_were_killed_goes_with_the_next_run(keeping: Host) -> None:
    host = keeping
    host.call(say, "long")
    with playing(host, answers):
        host.attach("a", **KEPT)
        first = keeper(host)
        assert first is not None
        os.kill(first, signal.SIGKILL)
        host.end_guest("a")
        host.call(say, "short")
        host.attach("b", **{**KEPT, "dhcp": "udhcpc"} if shutil.which("udhcpc") else KEPT)
        wait_for("one lease to be left", lambda: len(folders(host)) == 1, LONG)
        wait_for("it to be renewed", lambda: status(host).get("renewed"), LONG)  # by ours, whoever got it
        second = keeper(host)
        host.attach("b", state="absent")
        is_over(host, second or 0)


def folders(host: Host) -> list[str]:
    return host.call(lambda: os.listdir("/run/pipework/dhcp"))


def test_P21_one_process_keeps_all_and_goes_with_the_last(keeping: Host) -> None:
    host = keeping
    items: list[Given] = [{"container": "a"}, {"container": "b"}]
    common: Given = {"runtime": "netns", "host_interface": "br1", **KEPT}
    with server(host):
        done = host.run(**common, attachments=items)
        pids = {each["lease"]["keep"]["pid"] for each in done["attachments"]}
        assert pids == {keeper(host)}
        host.run(**common, attachments=[{**items[0], "state": "absent"}])
        assert not host.run(**common, attachments=[items[1]])["changed"]
        assert {keeper(host)} == pids
        host.run(runtime="netns", attachments=[], purge=True)
        is_over(host, pids.pop())


def test_P21_a_failure_or_a_kill_at_any_operation(keeping: Host) -> None:
    host = keeping
    with server(host):
        host.attach("a", **KEPT, state="absent")
        before = host.snapshot()
        steps = 5 + 3  # those of the plan, and an address, its route and an MTU
        for number in range(steps):
            with pytest.raises(PipeworkError, match="a failure was injected"):
                host.attach("a", step=failing_at(number), **KEPT)
            wait_for("nothing to be left", lambda: not left(host), LONG)
            host.assert_as({**before, "run": host.snapshot()["run"]}, f"operation {number}")
        for number in (3, 4, 5):
            with pytest.raises(Killed):
                host.attach("a", step=killed_at(number), **KEPT)
            host.attach("a", **KEPT)
            assert not host.attach("a", **KEPT)["changed"]
            pid = keeper(host)
            host.attach("a", state="absent")
            is_over(host, pid or 0)


def test_P21_it_stays_when_the_modules_own_files_are_gone(keeping: Host) -> None:
    host = keeping
    options = "container=a runtime=netns host_interface=br1 dhcp=builtin dhcp_keep=true"
    words = ["ansible", "-i", "localhost,", "-c", "local", "localhost", "-m", "pipework.containers.pipework_attach"]
    host.call(say, "long")
    with playing(host, answers):
        said = host.sh(*words, "-e", f"ansible_python_interpreter={sys.executable}", "-a", options)
        assert "CHANGED" in said
        host.call(say, "refuse")
        wait_for("a run of its own", lambda: host.addresses("eth1", ns="a") == [], LONG)
        host.call(say, "good")
        wait_for("another lease", lambda: host.addresses("eth1", ns="a") == ["10.5.0.7/24"], LONG)
        assert not host.attach("a", **KEPT)["changed"]
