# Copyright: pipework.containers contributors
# GNU General Public License v3.0+ (see LICENSE)
"""The lease agent under attack: odd servers, hosts that are out of everything, and records of other versions."""

from __future__ import annotations

import contextlib
import glob
import json
import os
import resource
import signal
import socket
import struct
import time
import typing as t
from collections.abc import Iterator

import pytest

from ansible_collections.pipework.containers.plugins.module_utils._agent import install as agent_install
from ansible_collections.pipework.containers.plugins.module_utils._agent import main as agent_main
from ansible_collections.pipework.containers.plugins.module_utils._agent.dhcp4 import Client4
from ansible_collections.pipework.containers.plugins.module_utils._agent.pace import RUNS_AT_ONCE
from ansible_collections.pipework.containers.plugins.module_utils._core.errors import PipeworkError
from ansible_collections.pipework.containers.plugins.module_utils._engine import run as engine_run
from ansible_collections.pipework.containers.plugins.module_utils._engine.run import run
from ansible_collections.pipework.containers.plugins.module_utils._ipam import dhcp4_message as dhcp
from ansible_collections.pipework.containers.plugins.module_utils._jobs.attach import AttachJob
from tests.integration.flapping import flapping
from tests.integration.keeping import LONG, alive, ended, keeper, kill
from tests.integration.lab import CLONE_NEWNET, Host, Killed, Work, eventually, unshare, wait_for
from tests.integration.test_dhcp import BUILTIN, GOOD, Given, Said, both, lease_of, playing, segment

pytestmark = pytest.mark.root
__all__ = ["segment"]

KEPT: Given = {**BUILTIN, "dhcp_keep": True, "announce": False}  # the servers here give the same address to all
GROUP_MAC = bytes.fromhex("01005e000001")
BIG = 9000


@pytest.fixture
def agent(segment: Host) -> Iterator[Host]:
    """A host on which no process is left at the end."""
    with ended(segment):
        yield segment


def times(seconds: int = 600, renews: int = 3) -> dict[int, bytes]:
    said = {dhcp.SECONDS: seconds, dhcp.RENEWS: renews, dhcp.REBINDS: seconds - 2}
    return {code: struct.pack("!I", value) for code, value in said.items()}


def statuses(host: Host) -> dict[str, dict[str, t.Any]]:
    """What the agent says of each attachment, by the container's label."""

    def look() -> dict[str, dict[str, t.Any]]:
        found = {}
        for path in glob.glob("/run/pipework/dhcp/*/keep"):
            with contextlib.suppress(FileNotFoundError, ValueError):
                with open(path, encoding="utf-8") as handle:
                    label = json.load(handle)["label"]
                with open(path[: -len("keep")] + "status", encoding="utf-8") as handle:
                    found[label] = dict(json.load(handle))
        return found

    return host.call(look)


def lease_status(host: Host, label: str = "netns:a") -> dict[str, t.Any]:
    return dict(statuses(host).get(label, {}).get("lease", {}))


def renewals(host: Host, label: str) -> t.Callable[[], bool]:
    """Whether a lease was renewed after this moment."""
    before = lease_status(host, label).get("renewed")
    return lambda: lease_status(host, label).get("renewed") not in (None, before)


def records(host: Host) -> dict[str, str]:
    def look() -> dict[str, str]:
        found = {}
        for path in sorted(glob.glob("/run/pipework/dhcp/*/keep")):
            with open(path, encoding="utf-8") as handle:
                found[path] = handle.read()
        return found

    return host.call(look)


def wake(host: Host) -> int:
    """The agent looks at all files again."""
    pid = keeper(host)
    assert pid is not None
    os.kill(pid, signal.SIGHUP)
    return pid


# -- what servers say


def test_B17_an_over_long_lease_time_fails_one_item_with_clear_words(agent: Host) -> None:
    agent.batch(f"link set stays mtu {BIG}\nlink set br1 mtu {BIG}\n")
    before = agent.snapshot()
    words = "option 51 in 1800 bytes, where 4 would be right"
    with playing(agent, both({dhcp.SECONDS: b"\x09" * 1800})), pytest.raises(PipeworkError, match=words) as told:
        agent.attach("a", dhcp="builtin", dhcp_timeout=2, mtu=BIG)
    assert "no server gave an address" in str(told.value) and "ValueError" not in str(told.value)
    agent.assert_as({**before, "run": agent.snapshot()["run"]})


def test_B17_an_over_long_lease_time_leaves_the_agent_and_its_leases_alone(agent: Host) -> None:
    agent.batch(f"link set stays mtu {BIG}\nlink set br1 mtu {BIG}\n")
    mode = "/run/mode"

    def answers(kind: int) -> Said:
        odd = {dhcp.SECONDS: b"\x09" * 1800} if os.path.exists(mode) else {}
        return both({**times(), **odd})(kind)

    with playing(agent, answers):
        agent.attach("a", **KEPT, mtu=BIG)
        pid = keeper(agent)
        agent.call(lambda: os.close(os.open(mode, os.O_CREAT)))
        wait_for("the words", lambda: "option 51 in 1800 bytes" in str(lease_status(agent).get("error")), LONG)
        agent.call(os.unlink, mode)
    assert keeper(agent) == pid and alive(pid or 0)
    assert agent.addresses("eth1", ns="a") == ["10.5.0.7/24"]


def raw_server(source: bytes, kinds: dict[int, int], path: str = "") -> None:
    """Answers each message by frames with this source; nothing while there is no file of that name, if one is given."""
    heard = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(0x0800))
    heard.bind(("br1", 0x0800))
    while True:
        raw = heard.recv(4096)
        if raw[23] != dhcp.UDP or raw[36:38] != struct.pack("!H", 67) or (path and not os.path.exists(path)):
            continue
        kind = dhcp.asked(raw, raw[70:76])
        if kind not in kinds:
            continue
        data = bytearray(raw[42:282])
        data[0], data[16:20] = 2, bytes([10, 5, 0, 7])
        for code, value in {dhcp.TYPE: bytes([kinds[kind]]), **GOOD, **times()}.items():
            data += bytes([code, len(value)]) + value
        packet = bytearray(dhcp.frame(bytes(data) + b"\xff", source, source=bytes([10, 5, 0, 254])))
        packet[34:38] = struct.pack("!HH", 67, 68)
        heard.send(bytes(packet))


@contextlib.contextmanager
def raw_playing(host: Host, *args: t.Any) -> Iterator[None]:
    work: Work[None] = host.start(raw_server, *args)
    try:
        time.sleep(0.3)
        yield
    finally:
        os.kill(work.pid, signal.SIGKILL)
        with contextlib.suppress(Killed):
            work.wait()


OFFERS = {dhcp.DISCOVER: dhcp.OFFER, dhcp.REQUEST: dhcp.ACK}


def test_B17_an_answer_from_the_mac_address_of_a_group_is_no_lease(agent: Host) -> None:
    before = agent.snapshot()
    words = "01:00:5e:00:00:01, which no machine has"
    with raw_playing(agent, GROUP_MAC, OFFERS), pytest.raises(PipeworkError, match=words):
        agent.attach("a", dhcp="builtin", dhcp_timeout=2)
    agent.assert_as({**before, "run": agent.snapshot()["run"]})
    with raw_playing(agent, bytes.fromhex("0200000005fe"), OFFERS):  # from a machine's, the same is one
        assert lease_of(agent.attach("a", **BUILTIN))["address"] == "10.5.0.7/24"


def test_B17_nor_does_a_refusal_from_there_end_one(agent: Host) -> None:
    mode = "/run/mode"
    with raw_playing(agent, GROUP_MAC, {dhcp.REQUEST: dhcp.NAK}, mode), playing(agent, both(times(40))):
        agent.attach("a", **KEPT)
        agent.call(lambda: os.close(os.open(mode, os.O_CREAT)))
        for _again in range(2):
            wait_for("it to be renewed all the same", renewals(agent, "netns:a"), LONG)
    assert agent.addresses("eth1", ns="a") == ["10.5.0.7/24"]


def sabotaged() -> None:
    """The agent itself, with a fault that one container's packets bring about."""
    step = Client4.step

    def fails(self: Client4, now: float) -> None:
        if self.record.label == "netns:a":
            raise ValueError("nobody has foreseen this")
        step(self, now)

    Client4.step = fails  # type: ignore[method-assign]
    agent_main.main()


def test_B17_a_fault_that_one_lease_brings_about_reaches_no_other(agent: Host) -> None:
    items: list[Given] = [{"container": "a"}, {"container": "b"}]
    with playing(agent, both(times(40))):
        agent.run(runtime="netns", host_interface="br1", **KEPT, attachments=items)
        kill(agent)
        work = agent.start(sabotaged)
        try:
            wait_for("it to be said", lambda: "foreseen" in str(lease_status(agent, "netns:a").get("error")))
            wait_for("the other one to be renewed", renewals(agent, "netns:b"), LONG)
            assert statuses(agent)["netns:a"]["failures"] >= 1
            assert alive(work.pid) and len(records(agent)) == 2
        finally:
            os.kill(work.pid, signal.SIGKILL)
            with contextlib.suppress(Killed):
                work.wait()


def test_B17_a_server_with_news_every_three_seconds_begins_few_runs(agent: Host) -> None:
    count = [0]

    def answers(kind: int) -> Said:
        count[0] += kind == dhcp.REQUEST
        return both({**times(40), dhcp.ROUTER: bytes([10, 5, 0, 100 + count[0] % 100])})(kind)

    with playing(agent, answers):
        agent.attach("a", **KEPT)
        pid = keeper(agent)
        assert pid is not None
        seen, end = {str(agent.routes("a", "-4", "route"))}, time.monotonic() + 17
        while time.monotonic() < end:
            seen.add(str(agent.routes("a", "-4", "route")))
            time.sleep(0.3)
        assert len(seen) == 1 + RUNS_AT_ONCE  # five times it said something new
        said = lease_status(agent)
        assert said["state"] == "bound" and said["renewed"]
        assert agent.addresses("eth1", ns="a") == ["10.5.0.7/24"]


def test_B17_a_container_that_changes_all_the_time_does_not_hold_up_a_purge(segment: Host) -> None:
    host = segment
    host.attach("a", addresses=["10.5.0.1/24"])
    host.attach("b", addresses=["10.5.0.2/24"])
    with flapping(host, "a", 800):
        start = time.monotonic()
        host.run(runtime="netns", attachments=[{"container": "b", "host_interface": "br1"}], purge=True)
        assert time.monotonic() - start < 5
        assert host.link("eth1", ns="a") is None and host.link("eth1", ns="b") is not None


# -- a host that is out of something


def live() -> None:
    """A container that is a process."""
    unshare(CLONE_NEWNET)
    signal.pause()


@pytest.mark.parametrize("limit", [8, 24, 40])
def test_B17_without_file_descriptors_nothing_is_held_to_be_gone(agent: Host, limit: int) -> None:
    host = agent
    works = [host.start(live) for _number in range(10 if limit > 8 else 2)]
    here = {host.sh("readlink", "/proc/self/ns/net").strip(), os.readlink("/proc/self/ns/net")}
    try:
        for work in works:
            wait_for("its network", lambda pid=work.pid: os.readlink(f"/proc/{pid}/ns/net") not in here)
        items = [{"container": str(work.pid)} for work in works]

        def answers(kind: int) -> Said:
            return both(times(40))(kind)

        with playing(host, answers):
            host.run(runtime="pid", host_interface="br1", **KEPT, attachments=items)
            before, pid = records(host), keeper(host)
            assert pid is not None and len(before) == len(works)
            most = resource.prlimit(pid, resource.RLIMIT_NOFILE)
            resource.prlimit(pid, resource.RLIMIT_NOFILE, (limit, most[1]))
            for _again in range(4):
                wake(host)
                time.sleep(0.7)
            assert alive(pid) and records(host) == before
            assert not [label for label, said in statuses(host).items() if said.get("state") == "gone"]
            resource.prlimit(pid, resource.RLIMIT_NOFILE, most)
            wake(host)
            label = f"pid:{works[0].pid}"
            wait_for("it to be renewed", renewals(host, label), LONG)
            assert keeper(host) == pid and records(host) == before
    finally:
        for work in works:
            os.kill(work.pid, signal.SIGKILL)
            with contextlib.suppress(Killed):
                work.wait()


def test_B17_few_file_descriptors_from_the_start_serve_many_containers(agent: Host) -> None:
    """Those whose end nothing tells of are looked for now and then."""
    host = agent
    works = [host.start(live) for _number in range(10)]
    here = {host.sh("readlink", "/proc/self/ns/net").strip(), os.readlink("/proc/self/ns/net")}
    try:
        for work in works:
            wait_for("its network", lambda pid=work.pid: os.readlink(f"/proc/{pid}/ns/net") not in here)

        def few() -> None:
            os.closerange(3, 4096)
            resource.setrlimit(resource.RLIMIT_NOFILE, (24, 24))
            agent_main.main()

        items = [{"container": str(work.pid)} for work in works]
        with playing(host, both(times(40))):
            host.run(runtime="pid", host_interface="br1", **KEPT, attachments=items)
            kill(host)
            agent_of_few = host.start(few)
            try:
                labels = [f"pid:{work.pid}" for work in works]
                wait_for(
                    "all to be renewed",
                    lambda: all(lease_status(host, label).get("renewed") for label in labels), LONG,
                )
                last = works.pop()
                os.kill(last.pid, signal.SIGKILL)
                with contextlib.suppress(Killed):
                    last.wait()
                wait_for("its record to go", lambda: len(records(host)) == len(works), LONG)
            finally:
                os.kill(agent_of_few.pid, signal.SIGKILL)
                with contextlib.suppress(Killed):
                    agent_of_few.wait()
    finally:
        for work in works:
            os.kill(work.pid, signal.SIGKILL)
            with contextlib.suppress(Killed):
                work.wait()


def fill(path: str = "/run/ballast") -> None:
    with contextlib.suppress(OSError), open(path, "ab", buffering=0) as handle:
        while True:
            handle.write(bytes(4096))


def test_B17_a_container_keeps_its_address_while_run_is_full(agent: Host) -> None:
    host = agent
    host.sh("mount", "-o", "remount,size=8m", "/run")
    with playing(host, both(times(10))):
        host.attach("a", **KEPT)
        pid = keeper(host)
        host.call(fill)
        end = time.monotonic() + 12
        while time.monotonic() < end:  # longer than the lease
            assert host.addresses("eth1", ns="a") == ["10.5.0.7/24"]
            time.sleep(0.5)
        start = time.monotonic()
        with pytest.raises(PipeworkError, match="/run/pipework is full") as told:
            host.attach("b", **KEPT)
        assert time.monotonic() - start < 10
        assert "taken back" in str(told.value) or "Nothing was changed" in str(told.value)
        assert host.link("eth1", ns="b") is None
        host.call(os.unlink, "/run/ballast")
        wait_for("it to be said", renewals(host, "netns:a"), LONG)
        wait_for("it to be written", lambda: lease_status(host, "netns:a").get("error") is None, LONG)
        assert keeper(host) == pid
        assert host.attach("a", **KEPT)["operations"] == []


@pytest.mark.parametrize("how", ["size=64k", "ro"])
def test_B17_run_too_small_or_read_only_is_said_at_once(agent: Host, how: str) -> None:
    host = agent
    with playing(host, both(times())):
        host.attach("a", **BUILTIN)
        host.attach("a", state="absent")
        before = host.snapshot()
        host.sh("mount", "-o", f"remount,{how}", "/run")
        try:
            start = time.monotonic()
            with pytest.raises(PipeworkError, match="/run/pipework") as told:
                host.attach("a", **KEPT)
            assert time.monotonic() - start < 15
            assert "taken back" in str(told.value) or "Nothing was changed" in str(told.value)
        finally:
            host.sh("mount", "-o", "remount,rw,size=50%", "/run")
        host.assert_as({**before, "run": host.snapshot()["run"]})
        assert not records(host)


def test_B17_a_stopped_agent_is_named(agent: Host) -> None:
    host = agent

    def impatient() -> None:
        agent_install.START_SECONDS = 3
        run(AttachJob({"container": "b", "runtime": "netns", "host_interface": "br1", **KEPT}))

    with playing(host, both(times())):
        host.attach("a", **KEPT)
        pid = keeper(host)
        assert pid is not None
        os.kill(pid, signal.SIGSTOP)
        try:
            start = time.monotonic()
            with pytest.raises(PipeworkError, match=f"process {pid}, .*is stopped.*'kill -CONT {pid}'"):
                host.call(impatient)
            assert 3 <= time.monotonic() - start < 30
            assert host.link("eth1", ns="b") is None
        finally:
            os.kill(pid, signal.SIGCONT)
        assert host.attach("b", **KEPT)["changed"]


def test_B17_a_stopped_process_that_holds_the_hosts_lock_is_named(segment: Host) -> None:
    host = segment

    def hold() -> None:
        with engine_run.lock():
            os.close(os.open("/run/held", os.O_CREAT))
            signal.pause()

    def impatient() -> None:
        engine_run.LOCK_SECONDS = 1
        run(AttachJob({"container": "b", "runtime": "netns", "host_interface": "br1"}))

    work = host.start(hold)
    try:
        wait_for("the lock", lambda: host.call(os.path.exists, "/run/held"))
        os.kill(work.pid, signal.SIGSTOP)
        words = f"held /run/pipework/lock for 1 s: the process {work.pid} is stopped .*'kill -CONT {work.pid}'"
        with pytest.raises(PipeworkError, match=words):
            host.call(impatient)
    finally:
        os.kill(work.pid, signal.SIGKILL)
        with contextlib.suppress(Killed):
            work.wait()


# -- records of other versions


def rewrite(host: Host, **more: t.Any) -> str:
    """Adds to the one record there is."""
    [(path, text)] = records(host).items()
    changed = json.dumps({**json.loads(text), **more})

    def write() -> None:
        with open(path, "w", encoding="utf-8") as handle:
            handle.write(changed)

    host.call(write)
    return changed


def test_B17_what_a_later_version_wrote_into_a_record_is_left_alone(agent: Host) -> None:
    host = agent
    with playing(host, both(times(40))):
        host.attach("a", **KEPT)
        changed = rewrite(host, frobnicate={"x": 1}, duties=["lease", "sing"])
        wake(host)
        wait_for("its words", lambda: "frobnicate" in str(statuses(host)["netns:a"].get("not_understood")))
        assert "sing" in str(statuses(host)["netns:a"]["not_understood"])
        wait_for("the lease to go on", renewals(host, "netns:a"), LONG)
        assert list(records(host).values()) == [changed]
        assert host.addresses("eth1", ns="a") == ["10.5.0.7/24"]


@pytest.mark.parametrize("odd", [{"version": 2}, {"namespace": "elsewhere"}, {"duid": "xyz"}])
def test_B17_a_record_that_is_not_understood_is_kept(agent: Host, odd: Given) -> None:
    host = agent
    with playing(host, both(times(40))):
        host.attach("a", **KEPT)
        host.attach("b", **KEPT)
        path = next(path for path, text in records(host).items() if '"netns:a"' in text)
        lease = path[: -len("keep")] + "lease"
        text = json.dumps({**json.loads(records(host)[path]), **odd})

        def write() -> None:
            with open(path, "w", encoding="utf-8") as handle:
                handle.write(text)

        host.call(write)
        wake(host)
        wait_for("its words", lambda: statuses(host)["netns:a"].get("state") == "not understood")
        wait_for("the other one", renewals(host, "netns:b"), LONG)
        assert records(host)[path] == text and host.call(os.path.exists, lease)
        assert eventually(lambda: host.addresses("eth1", ns="a") == ["10.5.0.7/24"])
