# Copyright: pipework.containers contributors
# GNU General Public License v3.0+ (see LICENSE)
"""pipework_wait, and the script for images without Python, on real namespaces."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import time
import typing as t

import pytest

from ansible_collections.pipework.containers.plugins.module_utils import _runtimes
from ansible_collections.pipework.containers.plugins.module_utils._core.errors import PipeworkError
from ansible_collections.pipework.containers.plugins.module_utils._jobs.wait import WaitJob, wait
from ansible_collections.pipework.containers.plugins.module_utils._model.container import open_namespace
from ansible_collections.pipework.containers.plugins.module_utils._netlink.namespaces import Namespaces
from ansible_collections.pipework.containers.plugins.module_utils._wait.conditions import Wait
from ansible_collections.pipework.containers.plugins.module_utils._wait.watch import Watch
from tests.conftest import ROOT
from tests.integration.lab import Host, Listener, Work, wait_for, write

pytestmark = pytest.mark.root
IN_A = {"container": "a", "runtime": "netns"}
Result = dict[str, t.Any]


def once(host: Host, **params: t.Any) -> Result:
    """One look."""
    return host.call(lambda: wait(WaitJob({**IN_A, "timeout": 0, **params})))


def waiting(host: Host, ns: str | None = "a", **params: t.Any) -> Work[Result]:
    """A wait that has begun: it listens to the kernel."""
    work = host.start(lambda: wait(WaitJob({**IN_A, "timeout": 60, **params})))
    if ns is not None:
        wait_for("somebody who listens", lambda: listens(host, ns))
    return work


def listens(host: Host, ns: str) -> bool:
    lines = host.sh("cat", "/proc/net/netlink", ns=ns).splitlines()[1:]
    return any(line.split()[1] == "0" and int(line.split()[3], 16) & 1 for line in lines)


def pair(host: Host, ns: str = "a") -> None:
    """eth1 in a guest, and its other end, far, on the host."""
    host.batch("link add far type veth peer name eth1\n")
    host.batch(f"link set eth1 netns {ns}\n")


# -- states


@pytest.mark.any_kernel
def test_P18_each_state_is_told_when_it_comes_and_not_before(host: Host) -> None:
    steps = [
        ("present", r"there is no such interface", lambda: pair(host)),
        ("carrier", r"it is not up", lambda: host.batch("link set far up\n")),  # not enough
        ("carrier", r"it is not up", lambda: host.batch("link set eth1 up\n", ns="a")),
        ("addressed", r"it has no address", lambda: host.batch("address add 10.1.0.1/24 dev eth1\n", ns="a")),
        ("routed", r"no default route", lambda: host.batch("route add default via 10.1.0.254\n", ns="a")),
        ("absent", r"it is there", lambda: host.batch("link del far\n")),
    ]
    for number, (until, words, step) in enumerate(steps):
        with pytest.raises(PipeworkError, match=rf"timeout: 0 s were not enough for a/eth1 \(until {until}\): {words}"):
            once(host, until=until)
        if number == 1:
            step()
            continue
        work = waiting(host, until=until)
        step()
        found = work.wait()
        assert found["waits"][0]["met"] and not found["changed"] and found["operations"] == []
        assert once(host, until=until)["waits"][0]["met"]
    assert found["waits"][0]["saw"] == {"present": False}


def test_P18_a_carrier_that_goes_and_comes(host: Host) -> None:
    pair(host)
    host.batch("link set eth1 up\n", ns="a")
    with pytest.raises(PipeworkError, match="it has no carrier"):
        once(host)
    work = waiting(host)
    host.batch("link set far up\n")
    assert work.wait()["waits"][0]["saw"]["up"]


def test_P18_a_link_that_gets_the_name_later(host: Host) -> None:
    host.batch("link add x type veth peer name far\nlink set far up\nlink set x up\n", ns="a")
    work = waiting(host)
    host.batch("link set x name eth1\n", ns="a")
    assert work.wait()["waits"][0]["met"]


@pytest.mark.any_kernel
def test_P18_an_address_counts_when_no_other_machine_has_it(host: Host) -> None:
    def dad(number: int) -> None:
        write("/proc/sys/net/ipv6/conf/all/accept_dad", "1")
        write("/proc/sys/net/ipv6/conf/eth1/accept_dad", "1")
        write("/proc/sys/net/ipv6/conf/eth1/dad_transmits", str(number))

    pair(host)
    host.batch("link set far up\n")
    host.batch("link set eth1 up\n", ns="a")
    host.call(dad, 100, ns="a")
    host.batch("address add fd01::1/64 dev eth1\n", ns="a")
    with pytest.raises(PipeworkError, match=r"its address fd01::1/64 is still tentative"):
        once(host, until="addressed")
    work = waiting(host, until="addressed")
    host.batch("address del fd01::1/64 dev eth1\n", ns="a")
    host.call(dad, 1, ns="a")
    host.batch("address add fd01::1/64 dev eth1\n", ns="a")
    assert work.wait()["waits"][0]["saw"]["addresses"] == ["fd01::1/64"]
    host.batch("address flush dev eth1\n", ns="a")
    host.batch("address add fd01::1/64 dev far nodad\n")
    host.batch("address add fd01::1/64 dev eth1\n", ns="a")

    def duplicate() -> bool:
        with contextlib.suppress(PipeworkError):
            once(host, until="addressed")
            raise AssertionError("an address that another machine has is of no use")
        return "dadfailed" in host.sh("ip", "address", "show", "dev", "eth1", ns="a")

    wait_for("the duplicate to be found", duplicate)
    with pytest.raises(PipeworkError, match=r"its address fd01::1/64 is a duplicate: another machine has it"):
        once(host, until="addressed")


# -- somebody to reach


def segment(host: Host) -> None:
    host.run(
        runtime="netns",
        host_interface="br1",
        attachments=[
            {"container": "a", "addresses": ["10.1.0.1/24", "fd01::1/64"], "gateway": ["10.1.0.2", "fd01::2"]},
            {"container": "b"},
        ],
    )
    for family in ("ipv4", "ipv6"):  # so that asking in vain does not take long
        host.call(lambda name=family: write(f"/proc/sys/net/{name}/neigh/eth1/retrans_time_ms", "50"), ns="a")


@pytest.mark.parametrize(
    "target",
    ["10.1.0.2", "fd01::2", "198.51.100.9", pytest.param("2001:db8::9", marks=pytest.mark.any_kernel)],
)
def test_P18_reachable_is_told_when_the_neighbour_answers(host: Host, target: str) -> None:
    segment(host)
    hop = "fd01::2" if ":" in target else "10.1.0.2"
    asked = socket.inet_pton(socket.AF_INET6 if ":" in hop else socket.AF_INET, hop)
    listener, questions = Listener(host, "b", "eth1"), [0]

    def enough(frame: bytes) -> bool:
        questions[0] += asked in frame[28:]
        return questions[0] > 4  # after three in vain the kernel gives up

    work = waiting(host, until="reachable", target=target)
    listener.frames(10, enough)
    listener.close()
    assert enough(b"")
    with pytest.raises(PipeworkError, match=rf"{hop}(, the router to {target},)? does not answer"):
        once(host, until="reachable", target=target)
    host.attach("b", addresses=["10.1.0.2/24", "fd01::2/64"])
    seen = work.wait()["waits"][0]["saw"]
    assert (seen["next_hop"], seen["neighbour"]) == (hop, "reachable")


def test_P18_reachable_does_not_believe_what_is_old(host: Host) -> None:
    segment(host)
    host.attach("b", addresses=["10.1.0.2/24", "fd01::2/64"])
    for target in ("10.1.0.2", "fd01::2"):
        for mac in (host.link("eth1", ns="b") or {})["address"], "02:00:00:00:00:99":  # the second is nobody's
            host.batch(f"neigh replace {target} lladdr {mac} nud stale dev eth1\n", ns="a")
            with pytest.raises(PipeworkError, match="does not answer"):
                once(host, until="reachable", target="10.1.0.77")
            work = host.start(lambda to=target: wait(WaitJob({**IN_A, "until": "reachable", "target": to})))
            assert work.wait()["waits"][0]["saw"]["neighbour"] == "reachable"
    assert "02:00:00:00:00:99" not in host.sh("ip", "neigh", ns="a")


def test_P18_reachable_needs_a_way(host: Host) -> None:
    host.attach("a", addresses=["10.1.0.1/24"])
    with pytest.raises(PipeworkError, match=r"no route leads to 8.8.8.8 through it"):
        once(host, until="reachable", target="8.8.8.8")
    assert once(host, until="reachable", target="10.1.0.1")["waits"][0]["met"]  # itself
    host.batch("neigh add 10.1.0.3 lladdr 02:00:00:00:00:03 dev eth1\n", ns="a")
    assert once(host, until="reachable", target="10.1.0.3")["waits"][0]["saw"]["neighbour"] == "permanent"


# -- the container


def test_P18_a_container_that_comes_later(host: Host) -> None:
    work = host.start(lambda: wait(WaitJob({"container": "late", "runtime": "netns", "timeout": 60})))
    wait_for("somebody who listens", lambda: "inotify" in descriptors(work.pid))
    host.add_guests("late")
    host.attach("late")
    assert work.wait()["waits"][0]["container_id"].isdigit()


def test_P18_also_when_it_is_the_first_one_of_the_host(host: Host) -> None:
    for name in list(host.guests):
        host.end_guest(name)
    host.call(lambda: os.rmdir("/run/netns"))
    works = [
        host.start(lambda one=runtime: wait(WaitJob({"container": "late", "runtime": one, "timeout": 60})))
        for runtime in ("netns", "auto")
    ]
    wait_for("somebody who listens", lambda: all("inotify" in descriptors(work.pid) for work in works))
    host.sh("ip", "netns", "add", "late")
    host.attach("late")
    for work in works:
        assert work.wait()["waits"][0]["runtime"] == "netns"


def descriptors(pid: int) -> str:
    found = []
    for name in os.listdir(f"/proc/{pid}/fd"):
        with contextlib.suppress(OSError):
            found.append(os.readlink(f"/proc/{pid}/fd/{name}"))
    return " ".join(found)


def test_P18_a_container_that_is_not_there_is_an_error_in_the_end(host: Host) -> None:
    with pytest.raises(PipeworkError, match=r"0 s were not enough for web1/eth1 \(until up\): container: netns"):
        once(host, container="web1")
    assert once(host, container="web1", until="absent")["waits"][0]["met"]
    with pytest.raises(PipeworkError, match=r"there is no process 4194303"):
        once(host, container="4194303", runtime="pid", timeout=60)


def test_P18_a_container_that_ends_meanwhile(host: Host) -> None:
    host.attach("b")
    work, absent = waiting(host), waiting(host, "b", container="b", until="absent")
    wait_for("both to watch", lambda: all("inotify" in descriptors(each.pid) for each in (work, absent)))
    host.end_guest("a")
    host.end_guest("b")
    with pytest.raises(PipeworkError, match=r"container: a ended while eth1 was waited for \(until up\)"):
        work.wait()
    assert absent.wait()["waits"][0]["saw"] == {"present": False}


def test_P18_a_process_that_ends_meanwhile(host: Host) -> None:
    def start() -> int:
        return subprocess.Popen(["unshare", "--net", "sleep", "600"], start_new_session=True).pid

    pid = host.call(start)
    try:
        wait_for("its namespace", lambda: not host.call(lambda: same_namespace(pid)))
        works = [
            host.start(lambda one=until: wait(WaitJob({"container": str(pid), "runtime": "pid", "until": one})))
            for until in ("up", "addressed")
        ]
        wait_for("somebody who watches", lambda: all("pidfd" in descriptors(work.pid) for work in works))
    finally:
        os.kill(pid, signal.SIGKILL)
    for work in works:
        with pytest.raises(PipeworkError, match=rf"container: {pid} ended while eth1 was waited for"):
            work.wait()


def same_namespace(pid: int) -> bool:
    return os.readlink(f"/proc/{pid}/ns/net") == os.readlink("/proc/self/ns/net")


def test_P18_a_container_with_the_hosts_network_is_refused(host: Host) -> None:
    params = {"runtime": "pid", "timeout": 60}
    with pytest.raises(PipeworkError, match="shares the host's network namespace"):
        host.call(lambda: wait(WaitJob({**params, "container": str(os.getpid())})))


# -- many, and none


def test_B3_a_list_is_waited_for_in_one_run(host: Host) -> None:
    items = [{"container": "a", "until": "addressed"}, {"container": "b", "interface": "eth2"}, {"container": None}]
    work = host.start(
        lambda: wait(WaitJob({"runtime": "netns", "timeout": 60, "waits": items, "interface": "eth1"}))
    )
    wait_for("somebody who listens", lambda: listens(host, "a") and listens(host, "b"))
    host.attach("a", addresses=["10.1.0.1/24"], local_interface="eth1")
    host.attach("a", state="absent")  # what has come true counts
    host.batch("link add eth1 type veth peer name y\nlink set eth1 up\nlink set y up\n")
    host.attach("b", interface="eth2")
    found = work.wait()
    assert [item["met"] for item in found["waits"]] == [True, True, True]
    assert [item["runtime"] for item in found["waits"]] == ["netns", "netns", "host"]
    assert found["elapsed"] >= max(item["elapsed"] for item in found["waits"])


def test_P18_all_that_is_missing_is_listed(host: Host) -> None:
    pair(host)
    items = [{"container": "a", "until": "present"}, {"container": "a"}, {"container": "b"}]
    with pytest.raises(PipeworkError, match=r"a/eth1 \(until up\): it is not up; b/eth1 \(until up\): there is no"):
        host.call(lambda: wait(WaitJob({"runtime": "netns", "timeout": 0, "waits": items})))
    assert host.call(lambda: wait(WaitJob({"waits": []})))["waits"] == []


def test_P18_nothing_is_asked_while_nothing_happens(host: Host) -> None:
    work = waiting(host, until="routed")

    def wakings() -> str:
        with open(f"/proc/{work.pid}/status", encoding="ascii") as handle:
            return next(line for line in handle if line.startswith("voluntary_ctxt_switches"))

    def asleep() -> bool:
        with open(f"/proc/{work.pid}/stat", encoding="ascii") as handle:
            return handle.read().rpartition(")")[2].split()[0] == "S"

    wait_for("it to sleep", asleep)
    before = wakings()
    time.sleep(1.5)  # is what is measured
    after = wakings()
    os.kill(work.pid, signal.SIGKILL)
    with contextlib.suppress(Exception):
        work.wait()
    assert int(after.split()[1]) - int(before.split()[1]) <= 1  # it may just have been about to


def test_P18_lost_messages_do_no_harm(host: Host) -> None:
    def flood() -> tuple[int, bool, str | None]:
        with contextlib.closing(Namespaces()) as namespaces:
            label = namespaces.add("netns:a", open_namespace("/run/netns/a"))
            watch = Watch(namespaces[label], Wait("a", "netns", until="addressed"), buffer=1)
            lines = "".join(f"address add 10.7.{n // 200}.{n % 200 + 1}/32 dev lo\n" for n in range(400))
            made = "link add eth1 type veth peer name far\nlink set far up\nlink set eth1 up\n"
            text = lines + made + "address add 10.1.0.1/24 dev eth1\n"
            subprocess.run(["ip", "-n", "a", "-batch", "-"], input=text, text=True, check=True)
            watch.catch_up()
            sight = watch.sight
            watch.close()
            return watch.resyncs, bool(sight.device and sight.device.up), str([s.address for s in sight.addresses])

    resyncs, up, addresses = host.call(flood)
    assert resyncs > 0
    assert up
    assert "10.1.0.1/24" in str(addresses)


def test_P18_the_host_itself_needs_no_root_and_no_container(host: Host) -> None:
    host.batch("link add eth1 type veth peer name far\nlink set far up\nlink set eth1 up\n")

    def as_nobody() -> Result:
        _runtimes.runtime_of("host")  # the files may lie where nobody else can read
        os.setgroups([])
        os.setgid(65534)
        os.setuid(65534)
        return wait(WaitJob({"timeout": 0}))

    assert host.call(as_nobody)["waits"][0]["runtime"] == "host"


def test_P18_other_modules_work_meanwhile(host: Host) -> None:
    work = waiting(host, until="addressed")
    host.attach("a", interface="eth5")
    host.attach("a", addresses=["10.1.0.1/24"])
    assert work.wait()["waits"][0]["saw"]["addresses"] == ["10.1.0.1/24"]


@pytest.mark.parametrize("check", [False, True])
def test_B1_the_module_itself_also_in_check_mode(host: Host, check: bool) -> None:
    failed = host.module("pipework_wait", {**IN_A, "timeout": 0}, check=check)
    assert failed["failed"] and "there is no such interface" in failed["msg"]
    assert failed["waits"][0]["met"] is False and failed["elapsed"] >= 0
    work = host.start(lambda: host.module("pipework_wait", {**IN_A, "timeout": 60}, check=check))
    wait_for("somebody who listens", lambda: listens(host, "a"), 60)
    host.attach("a")
    found = work.wait()
    assert found["waits"][0]["met"] and not found["changed"], found
    assert found["before"] == found["after"] == {}
    assert "timeout: -1 is not possible" in host.module("pipework_wait", {**IN_A, "timeout": -1})["msg"]


# -- the script

SCRIPT = str(ROOT / "files" / "pipework-wait")
SHELLS = [("busybox", "sh"), ("dash",)]


def script(host: Host, shell: tuple[str, ...], *words: str, ns: str = "a") -> Work[tuple[int, str]]:
    def run() -> tuple[int, str]:
        done = subprocess.run(  # 'ip netns exec' gives it a /sys of the guest's
            ["ip", "netns", "exec", ns, *shell, SCRIPT, *words], capture_output=True, text=True, check=False, timeout=90
        )
        return done.returncode, done.stdout + done.stderr

    return host.start(run)


@pytest.mark.parametrize("shell", SHELLS, ids=lambda shell: shell[0])
def test_D6_the_script_waits_and_then_runs_the_service(host: Host, shell: tuple[str, ...]) -> None:
    assert script(host, shell, "-t", "0").wait() == (1, "pipework-wait: eth1 is not 'up' after 0 s; it is not there\n")
    works = [
        script(host, shell, "--wait", "-i", "eth1", "-t", "60", "echo", "the service", "runs"),
        script(host, shell, "-u", "addressed", "-t", "60", "--", "sh", "-c", "exit 7"),
    ]
    pair(host)
    host.batch("link set eth1 up\n", ns="a")
    assert script(host, shell, "-u", "present", "-t", "0").wait() == (0, "")
    assert script(host, shell, "-t", "0").wait()[0] == 1  # it merely exists, and has no carrier
    host.batch("link set far up\n")
    assert works[0].wait() == (0, "the service runs\n")
    assert script(host, shell, "-u", "addressed", "-t", "1").wait()[0] == 1
    host.batch("address add 10.1.0.1/24 dev eth1\n", ns="a")
    assert works[1].wait() == (7, "")
    assert script(host, shell, "-u", "absent", "-i", "eth9", "-t", "0").wait() == (0, "")
    assert script(host, shell, "-u", "absent", "-i", "eth9", "-t", "0000000000089").wait() == (0, "")
    assert script(host, shell, "-u", "absent", "-i", "eth9", "-t", "999999999").wait() == (0, "")


@pytest.mark.parametrize("shell", SHELLS, ids=lambda shell: shell[0])
def test_D6_the_script_says_how_it_is_called(host: Host, shell: tuple[str, ...]) -> None:
    for words, said in (
        (("-i",), "-i needs a value"),
        (("-i", "../x"), "'../x' cannot be the name of an interface"),
        (("-t", "1.5"), "'1.5' is not a whole number"),
        (("-t", "99999999999999999999"), "-t: '99999999999999999999' is too large; at most 999999999 seconds"),
        (("-u", "soon"), "'soon' is not one of"),
        (("-x",), "unknown option -x"),
    ):
        code, text = script(host, shell, *words).wait()
        assert code == 2 and said in text and "Usage: pipework-wait" in text
