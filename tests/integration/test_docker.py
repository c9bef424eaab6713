# Copyright: pipework.containers contributors
# GNU General Public License v3.0+ (see LICENSE)
"""The docker runtime on a real engine: its containers, its packet filter, its networks.

Here the host is the machine itself, because the engine is: names carry this process's number, and all goes in the end.
"""
from __future__ import annotations

import contextlib
import copy
import json
import os
import pwd
import re
import shutil
import subprocess
import sys
import threading
import time
import typing as t
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from ansible_collections.pipework.containers.plugins.module_utils import _runtimes
from ansible_collections.pipework.containers.plugins.module_utils._core.errors import PipeworkError
from ansible_collections.pipework.containers.plugins.module_utils._engine.run import run
from ansible_collections.pipework.containers.plugins.module_utils._jobs.attach import AttachJob
from ansible_collections.pipework.containers.plugins.module_utils._jobs.bridge import BridgeJob
from ansible_collections.pipework.containers.plugins.module_utils._jobs.commands import CommandsJob
from ansible_collections.pipework.containers.plugins.module_utils._model import container as model_container
from ansible_collections.pipework.containers.plugins.module_utils._runtimes import docker as docker_runtime
from tests.conftest import IMAGE
from tests.integration.lab import eventually, followed

pytestmark = [pytest.mark.root, pytest.mark.docker]

PREFIX = f"pwt{os.getpid()}"
BRIDGE = f"br{os.getpid()}"
NET4, NET6 = "198.18.77", "fd70:6970:6577:"
Result = dict[str, t.Any]


def sh(*argv: str, check: bool = True) -> str:
    done = subprocess.run(argv, capture_output=True, text=True, timeout=60, check=False)
    assert not check or done.returncode == 0, f"{argv}: {done.stdout}{done.stderr}"
    return done.stdout


def filters() -> str:
    """The machine's packet filter, without counters, and without our rules for other bridges."""
    saved = "".join(sh(program) for program in ("iptables-save", "ip6tables-save") if shutil.which(program))
    saved = re.sub(r"^#.*\n|\[\d+:\d+\]", "", saved, flags=re.MULTILINE)
    return "".join(line for line in saved.splitlines(True) if "pipework:" not in line or f"pipework:{BRIDGE}" in line)


class Site:
    """Containers of one test, and one bridge for them."""

    def __init__(self, client: t.Any) -> None:
        self.client = client
        self.containers: list[t.Any] = []

    # -- containers

    def create(self, name: str = "a", **options: t.Any) -> t.Any:
        options = {"network_mode": "none", **options}
        container = self.client.containers.create(IMAGE, name=f"{PREFIX}-{name}", **options)
        self.containers.append(container)
        return container

    def container(self, name: str = "a", **options: t.Any) -> t.Any:
        container = self.create(name, **options)
        container.start()
        return container

    def remove(self, container: t.Any) -> None:
        with contextlib.suppress(Exception):
            container.remove(force=True)

    def sh(self, container: t.Any, *argv: str) -> str:
        code, output = container.exec_run(list(argv))
        assert code == 0, f"{argv}: {output.decode()}"
        return str(output.decode())

    def ping(self, container: t.Any, address: str, seconds: float = 10) -> bool:
        """Whether there is an answer within that time; 0 is one try."""
        argv = ["ping", "-c", "1", "-W", "1", address]
        return eventually(lambda: container.exec_run(argv).exit_code == 0, seconds)

    def links(self, container: t.Any) -> list[str]:
        return sorted(name for name in self.sh(container, "ls", "/sys/class/net").split() if name != "lo")

    # -- runs

    def run(self, check: bool = False, **params: t.Any) -> Result:
        return run(AttachJob(params), check=check)

    def attach(self, container: t.Any, **params: t.Any) -> Result:
        """A check run, and then the run itself, which must do what was said."""
        params = {"host_interface": BRIDGE, **params}
        name = container if isinstance(container, str) else container.name
        said = self.run(check=True, container=name, **params)
        done = self.run(container=name, **params)
        if params.get("dhcp"):  # what comes of a lease is known when it is there
            followed(said, done)
        for part in ("changed",) if params.get("dhcp") else ("changed", "operations", "before", "after"):
            assert said[part] == done[part]
        return done

    def refused(self, **params: t.Any) -> str:
        """The message of a run that is refused before anything is touched."""
        with pytest.raises(PipeworkError) as caught:
            self.run(**{"host_interface": BRIDGE, **params})
        assert str(caught.value).endswith("Nothing was changed.")
        assert str(caught.value).count("Nothing was changed") == 1
        return str(caught.value)

    # -- the host

    def left(self) -> list[str]:
        """What there is on the host of this test's attachments."""
        links = json.loads(sh("ip", "-j", "link", "show"))
        ours = [link["ifname"] for link in links if link["ifname"] == BRIDGE or PREFIX in link.get("ifalias", "")]
        return ours + [line for line in filters().splitlines() if BRIDGE in line]

    def close(self) -> None:
        with ThreadPoolExecutor(4) as pool:
            list(pool.map(self.remove, self.containers))
        run(BridgeJob({"name": BRIDGE, "state": "absent"}))


@pytest.fixture
def site(docker_client: t.Any) -> Iterator[Site]:
    found = Site(docker_client)
    try:
        yield found
    finally:
        found.close()
    # The kernel takes namespaces apart one after the other, all of the machine.
    assert eventually(lambda: not found.left(), 60), found.left()


# -- a bridge on the real engine's host

def test_P1_P2_P2b_two_containers_ping_each_other_on_a_docker_host(site: Site) -> None:
    a, b = site.container("a", network_mode="bridge"), site.container("b", network_mode="bridge")
    before = filters()
    addresses = {a: [f"{NET4}.1/24", f"{NET6}:1/64"], b: [f"{NET4}.2/24", f"{NET6}:2/64"]}

    for container in (a, b):
        assert site.attach(container, addresses=addresses[container], forwarding="unmanaged")["changed"]
    assert filters() == before, "forwarding: unmanaged leaves the filter alone"
    closed = not site.ping(a, f"{NET4}.2", seconds=0)

    done = site.attach(a, addresses=addresses[a])
    if not closed:
        assert not done["changed"], "where frames pass, nothing is added"
        pytest.skip("the packet filter of this host lets bridged frames pass")
    assert {(o["action"], o["kind"]) for o in done["operations"]} == {("create", "filter")}
    assert site.ping(a, f"{NET4}.2")
    assert site.ping(b, f"{NET4}.1")
    assert site.ping(a, f"{NET6}:2")
    rules = filters()
    others = "".join(line for line in rules.splitlines(True) if BRIDGE not in line)
    assert (others, rules != before) == (before, True), "other rules are as they were"

    for container in (a, b):
        assert not site.attach(container, addresses=addresses[container])["changed"], "a second run"
    assert filters() == rules
    assert site.attach(a, state="absent")["changed"]
    assert filters() == rules, "the rule stays with the bridge's last attachment"
    assert site.attach(b, state="absent")["changed"]
    assert not site.attach(b, state="absent")["changed"]
    assert filters() == before
    assert site.left() == []
    assert site.links(a) == ["eth0"]


def test_P3_host_and_containers_reach_each_other(site: Site) -> None:
    a = site.container("a")
    run(BridgeJob({"name": BRIDGE, "addresses": [f"{NET4}.254/24"]}))
    site.attach(a, addresses=[f"{NET4}.1/24"])
    assert site.ping(a, f"{NET4}.254")
    assert subprocess.run(["ping", "-c", "1", "-w", "10", f"{NET4}.1"], check=False).returncode == 0
    site.attach(a, state="absent")
    assert BRIDGE in site.left(), "a bridge of pipework_bridge stays"
    assert run(BridgeJob({"name": BRIDGE, "state": "absent"}))["changed"]


def test_P9_published_ports_answer_whoever_has_the_default_route(site: Site) -> None:
    port = 20000 + os.getpid() % 10000
    serving = ["sh", "-c", "while true; do nc -l -p 80 -e id; done"]
    a = site.container("a", network_mode="bridge", ports={"80/tcp": port}, command=serving)
    b = site.container("b")
    run(BridgeJob({"name": BRIDGE, "addresses": [f"{NET4}.254/24", "198.18.78.254/24"]}))
    site.attach(b, addresses=[f"{NET4}.50/24", "198.18.78.50/24"])

    def answered(seconds: float = 10, host: str = "198.18.78.254") -> bool:
        argv = ["nc", "-w", "1", host, str(port)]
        return eventually(lambda: b"uid" in b.exec_run(argv).output, seconds)

    assert answered()
    before = site.sh(a, "ip", "rule"), site.sh(a, "ip", "route")
    given: dict[str, t.Any] = {"addresses": [f"{NET4}.1/24"]}
    site.attach(a, **given)
    assert answered(host=f"{NET4}.254"), "from a network where it has an address"
    given["gateway"] = [f"{NET4}.253"]
    site.attach(a, **given)
    assert answered(), "from elsewhere"
    assert not site.attach(a, **given)["changed"]
    assert site.attach(a, **given, published_ports="ignore")["changed"]
    assert site.sh(a, "ip", "rule") == before[0]
    assert not answered(0), "what the rule is for"
    site.attach(a, **given)
    assert answered()
    site.attach(a, state="absent")
    assert (site.sh(a, "ip", "rule"), site.sh(a, "ip", "route")) == before
    assert "28793" not in site.sh(a, "ip", "route", "show", "table", "all")
    assert run(BridgeJob({"name": BRIDGE, "state": "absent"}))["changed"] in (True, False)


def test_P7_ipv6_where_docker_has_switched_it_off(site: Site) -> None:
    a, b = site.container("a", network_mode="bridge"), site.container("b", network_mode="bridge")
    off = "/proc/sys/net/ipv6/conf/{}/disable_ipv6"
    before = site.sh(a, "cat", off.format("default"), off.format("eth0"))
    for number, container in enumerate((a, b), 1):
        site.attach(container, addresses=[f"{NET6}:{number}/64"], gateway=[f"{NET6}:ff"])
    assert site.ping(a, f"{NET6}:2")
    assert f"default via {NET6}:ff dev eth1" in site.sh(a, "ip", "-6", "route")
    assert not site.attach(a, addresses=[f"{NET6}:1/64"], gateway=[f"{NET6}:ff"])["changed"]
    assert site.sh(a, "cat", off.format("default"), off.format("eth0")) == before, "Docker's own interface is as it was"
    assert site.sh(a, "cat", off.format("eth1")) == "0\n"


def test_P9_P10_gateway_replaces_dockers_default_route(site: Site) -> None:
    a = site.container("a", network_mode="bridge")
    before = site.sh(a, "ip", "route", "show", "table", "all")
    assert site.sh(a, "ip", "route").startswith("default via ")
    site.attach(a, addresses=[f"{NET4}.1/24"], gateway=[f"{NET4}.254"])
    defaults = [line for line in site.sh(a, "ip", "route").splitlines() if line.startswith("default")]
    assert [line.split()[:5] for line in defaults] == [["default", "via", f"{NET4}.254", "dev", "eth1"]]
    site.attach(a, addresses=[f"{NET4}.1/24"], gateway=["198.51.100.1"])
    assert "default via 198.51.100.1 dev eth1" in site.sh(a, "ip", "route")
    assert "198.51.100.1 dev eth1" in site.sh(a, "ip", "route")
    site.attach(a, addresses=[f"{NET4}.1/24"], gateway=[])
    assert site.sh(a, "ip", "route").startswith(before.splitlines()[0].rstrip()), "an empty list brings Docker's back"
    site.attach(a, addresses=[f"{NET4}.1/24"], gateway=[f"{NET4}.254"])
    site.attach(a, state="absent")
    assert site.sh(a, "ip", "route", "show", "table", "all") == before


def test_P42_dockers_own_interface_is_refused(site: Site) -> None:
    a = site.container("a", network_mode="bridge")
    said = site.refused(container=a.name, interface="eth0", addresses=[f"{NET4}.1/24"])
    assert re.search("interface: eth0 exists in .*Docker's veth, whose other end is veth.* on the bridge docker0", said)
    assert not site.attach(a, interface="eth0", state="absent")["changed"]
    assert site.links(a) == ["eth0"]


# -- which container is meant

def test_P39_names_ids_and_short_ids(site: Site) -> None:
    a = site.container("a")
    ident = a.id
    first = site.attach(a, addresses=[f"{NET4}.1/24"])
    others = [each.id for each in site.client.containers.list(all=True, ignore_removed=True) if each.id != ident]
    length = next(n for n in range(1, 65) if not any(other.startswith(ident[:n]) for other in others))
    for name in (ident, ident[:12], ident[:length], f"/{a.name}"):
        again = site.attach(name, addresses=[f"{NET4}.1/24"])
        assert not again["changed"]
        assert again["attachments"] == first["attachments"]
        assert again["attachments"][0]["container_id"] == ident
        assert again["attachments"][0]["container"] == a.name
    for name in (ident + "0", ident[:12].upper(), "-x", "a;b", "a b", "$(id)", "..", ".", "/", "ä", "%2e", "*", "/."):
        assert "docker knows no container" in site.refused(container=name, runtime="docker")
    for odd in (f"0x{PREFIX}", f"00{os.getpid()}.1_-", f"Z..__--{os.getpid()}", ident[:6] + "-", "9" * 40 + PREFIX):
        a.rename(odd)
        found = site.attach(odd, addresses=[f"{NET4}.1/24"])
        assert found["attachments"][0]["container"] == odd
        assert not site.attach(odd, addresses=[f"{NET4}.1/24"])["changed"]
    a.rename(f"{PREFIX}-a")
    assert site.attach(ident[:12], state="absent")["changed"]


def test_B3_one_that_joined_the_network_of_another_does_not_take_its_interface(site: Site) -> None:
    a = site.container("a")
    b = site.container("b", network_mode=f"container:{a.id}")
    site.attach(a, addresses=[f"{NET4}.1/24"])
    for more in ({"check": True}, {}, {"state": "absent"}):
        said = site.refused(container=b.name, addresses=[f"{NET4}.1/24"], **more)
        assert f"eth1 is the attachment of docker:{a.name} already" in said
    a.rename(f"{PREFIX}-x")
    assert site.attach(f"{PREFIX}-x", addresses=[f"{NET4}.1/24"])["operations"]
    said = site.refused(container=b.name, addresses=[f"{NET4}.1/24"])
    assert f"docker:{PREFIX}-x already" in said
    site.remove(a)
    again = site.container("a")  # with a network of its own, while the old one is that of the other
    site.attach(again, addresses=[f"{NET4}.9/24"])
    site.attach(b, addresses=[f"{NET4}.1/24"])
    assert not site.attach(b, addresses=[f"{NET4}.1/24"])["changed"]
    assert not site.attach(again, addresses=[f"{NET4}.9/24"])["changed"]
    for each in (b, again):
        site.attach(each, state="absent")


def test_P39_P47_a_classic_line_on_docker(site: Site) -> None:
    a = site.container("a", network_mode="bridge")
    line = f"pipework {BRIDGE} -i eth2 {a.id[:12]} {NET4}.1/24@{NET4}.254 U:{a.name}"
    said = run(CommandsJob({"cmd": line, "runtime": "docker"}), check=True)
    done = run(CommandsJob({"cmd": line, "runtime": "docker"}))
    assert done["changed"] and said["operations"] == done["operations"]
    assert f"inet {NET4}.1/24 brd {NET4}.255" in site.sh(a, "ip", "address", "show", "eth2")
    assert site.sh(a, "ip", "route").startswith(f"default via {NET4}.254 dev eth2")
    assert not run(CommandsJob({"argv": line.split()}))["changed"], "auto finds it too"
    site.attach(a, interface="eth2", state="absent")


def test_P39_a_name_counts_for_more_than_the_beginning_of_an_id(site: Site) -> None:
    a, b = site.container("a"), site.container("b")
    b.rename(a.id[:8])
    with namespace(a.id[:9]):
        [by_name, by_id, other] = find(a.id[:8], a.id[:7], a.id[:9])
    assert (by_name.runtime, by_name.ident) == ("docker", b.id)
    assert (by_id.runtime, by_id.ident) == ("docker", a.id)
    assert other.runtime == "netns"


def test_P41_short_id_of_several_containers(site: Site) -> None:
    seen: dict[str, t.Any] = {}
    for number in range(17):
        new = site.create(f"n{number}")
        if new.id[0] in seen:
            break
        seen[new.id[0]] = new
    old = seen[new.id[0]]
    said = site.refused(container=new.id[0])
    assert f"container: Found more than one container matching {new.id[0]}: " in said
    for container in (old, new):
        assert f"{container.name} ({container.id[:12]})" in said or " more; " in said
    assert "use the name or a longer ID" in said
    assert site.refused(container=new.id[0], state="absent") == said, "absent does not guess either"


def find(*names: str, runtime: str = "auto", user: str | None = None) -> list[t.Any]:
    """What the look-up gives; its open namespaces are closed."""
    answers = _runtimes.find_all([(runtime, name, user) for name in names])
    for answer in answers:
        if isinstance(answer, model_container.Found):
            os.close(answer.fd)
    return answers


@contextlib.contextmanager
def namespace(name: str) -> Iterator[None]:
    sh("ip", "netns", "add", name)
    try:
        yield
    finally:
        sh("ip", "netns", "del", name)


def test_auto_says_when_several_runtimes_know_a_name(site: Site) -> None:
    a, b = site.container("a"), site.create("b")
    [found] = find(a.name)
    assert found.runtime == "docker"
    with namespace(a.name):
        said = site.refused(container=a.name)
        assert f"container: {a.name!r} is known to several runtimes: docker, netns; 'runtime' says which one." in said
        assert site.attach(a, runtime="docker", addresses=[f"{NET4}.1/24"])["changed"]
        assert site.attach(a, runtime="netns", addresses=[f"{NET4}.2/24"])["changed"]
        assert site.attach(a, runtime="netns", state="absent")["changed"]
        assert site.links(a) == ["eth1"]
    b.start()
    b.kill()
    with namespace(b.name):
        assert "docker (not running), netns" in site.refused(container=b.name)


# -- which state it is in

def test_P39_created_container_is_waited_for(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    a = site.create("a")
    since = time.monotonic()
    said = site.refused(container=a.name, addresses=[f"{NET4}.1/24"])
    assert time.monotonic() - since >= 3
    assert f"container: {a.name!r} has been created but not started" in said
    assert f"'docker start {a.name}'" in said
    monkeypatch.setattr(_runtimes, "patience", 60)
    threading.Timer(0.7, a.start).start()
    done = site.run(container=a.name, host_interface=BRIDGE, addresses=[f"{NET4}.1/24"])
    assert done["changed"]
    assert site.links(a) == ["eth1"]


def test_P39_waits_do_not_add_up(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_runtimes, "patience", 5)
    names = [site.create(f"n{number}").name for number in range(3)]
    since = time.monotonic()
    assert all(isinstance(answer, model_container.NotRunning) for answer in find(*names))
    assert time.monotonic() - since < 10, "one after the other would be 15 s at least"


def test_stopped_and_removed_containers(site: Site) -> None:
    a = site.container("a")
    site.attach(a, addresses=[f"{NET4}.1/24"])
    a.kill()
    said = site.refused(container=a.name, addresses=[f"{NET4}.1/24"])
    assert f"container: {a.name!r} is not running (exited)" in said
    assert f"start it ('docker start {a.name}')" in said
    assert eventually(lambda: sh("ip", "link", "show", "master", BRIDGE) == ""), "the kernel takes the host end away"
    done = site.attach(a, state="absent")
    assert {o["kind"] for o in done["operations"]} <= {"link", "filter"}, "the bridge that was made for it"
    assert site.left() == []
    assert not site.attach(a, state="absent")["changed"]
    a.start()
    site.attach(a, addresses=[f"{NET4}.1/24"])
    a.remove(force=True)
    said = site.refused(container=a.name, addresses=[f"{NET4}.1/24"])
    assert f"container: no runtime knows {a.name!r} (asked: docker" in said
    site.run(container=a.name, state="absent")
    assert site.left() == []
    assert not site.attach(a, state="absent")["changed"]
    assert not site.attach(a, state="absent", runtime="docker")["changed"]


def test_container_that_ends_again_and_again(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    a = site.container("a", command="false", restart_policy={"Name": "always"})
    monkeypatch.setattr(_runtimes, "patience", 0)
    assert eventually(lambda: a.reload() or (a.attrs["RestartCount"] > 2 and a.status == "restarting"))
    [said] = find(a.name)
    assert f"see 'docker logs {a.name}'" in str(said)


def test_paused_container(site: Site) -> None:
    a = site.container("a")
    a.pause()
    assert site.attach(a, addresses=[f"{NET4}.1/24"])["changed"]
    assert not site.attach(a, addresses=[f"{NET4}.1/24"])["changed"]
    a.unpause()
    assert f"inet {NET4}.1/24" in site.sh(a, "ip", "address", "show", "eth1")


def test_P27_restart_loses_the_interface_and_the_next_run_restores_it(site: Site) -> None:
    a, b = site.container("a"), site.container("b")
    params = {"addresses": [f"{NET4}.1/24"], "mac_address": "U:myhost.foo.com"}
    first = site.attach(a, **params)
    site.attach(b, addresses=[f"{NET4}.2/24"])
    assert first["attachments"][0]["mac_address"] == "02:72:6c:cd:9b:8d"
    a.restart(timeout=0)
    assert site.links(a) == []
    again = site.run(container=a.name, host_interface=BRIDGE, **params)  # its old host end may go meanwhile
    assert again["attachments"] == first["attachments"], "the same MAC address and the same host end"
    assert site.ping(b, f"{NET4}.1")


# -- whose namespace it is

def test_network_of_the_host_is_refused(site: Site) -> None:
    a = site.container("a", network_mode="host")
    said = site.refused(container=a.name, addresses=[f"{NET4}.1/24"])
    assert f"container: {a.name} shares the host's network namespace" in said
    assert "'runtime: host'" in said
    assert site.left() == []


def test_shared_namespace(site: Site) -> None:
    a = site.container("a")
    b = site.container("b", network_mode=f"container:{a.name}")
    assert site.attach(b, addresses=[f"{NET4}.1/24"], interface="eth1")["changed"]
    assert site.links(a) == site.links(b) == ["eth1"]
    said = site.refused(attachments=[{"container": a.name}, {"container": b.name}])
    assert "attachments[1]: interface: " in said
    assert "are the same interface" in said
    two = [{"container": a.name, "interface": "eth2"}, {"container": b.name, "interface": "eth1"}]
    assert site.run(host_interface=BRIDGE, attachments=two)["changed"]
    assert not site.run(host_interface=BRIDGE, attachments=two)["changed"]
    assert site.links(a) == ["eth1", "eth2"]


class Substituted:
    """A client whose engine is behind: so many inspections name a process that is not the container's (any more)."""

    def __init__(self, client: t.Any, times: float, **state: t.Any) -> None:
        self.client, self.times, self.state = client, times, state

    def __getattr__(self, name: str) -> t.Any:
        return getattr(self.client, name)

    def inspect_container(self, ident: str) -> t.Any:
        info = copy.deepcopy(self.client.inspect_container(ident))
        if self.times > 0:
            info["State"].update(self.state)
        self.times -= 1
        return info


@pytest.fixture
def stranger() -> Iterator[int]:
    """A process with a network namespace and a PID namespace that are no container's."""
    with subprocess.Popen(["unshare", "-n", "-p", "--fork", "--kill-child", "sleep", "100"]) as process:
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
        assert eventually(lambda: children.read_text(encoding="ascii"))
        pid = int(children.read_text(encoding="ascii"))
        yield pid
        links = json.loads(sh("nsenter", "-t", str(pid), "-n", "ip", "-j", "link"))
        assert [link["ifname"] for link in links] == ["lo"], "nothing was done to it"
        process.kill()


def test_B14_process_number_of_another_process(
    site: Site, stranger: int, monkeypatch: pytest.MonkeyPatch, docker_client: t.Any,
) -> None:
    a = site.container("a")
    monkeypatch.setattr(_runtimes, "patience", 0.3)
    # The stranger is older than the container, but may have begun in the same second.
    monkeypatch.setattr(docker_runtime, "BIRTH_SECONDS", -1)

    def engine(times: float, **state: t.Any) -> None:
        monkeypatch.setattr(docker_runtime, "_clients", {None: Substituted(docker_client.api, times, **state)})

    for pid in (stranger, os.getpid(), 1):
        engine(1, Pid=pid)
        done = site.run(container=a.name, host_interface=BRIDGE, addresses=[f"{NET4}.1/24"])
        assert done["changed"]
        assert site.links(a) == ["eth1"], "asked again, the engine named the right one"
        site.run(container=a.name, host_interface=BRIDGE, state="absent")
    for pid in (stranger, os.getpid(), 1, 1 << 22):
        engine(1e9, Pid=pid)
        said = site.refused(container=a.name, addresses=[f"{NET4}.1/24"])
        assert f"container: {a.name!r} runs as process {pid}, says Docker" in said
        site.refused(container=a.name, state="absent")
    assert site.links(a) == []


def test_B14_engine_without_control_groups(
    site: Site, stranger: int, monkeypatch: pytest.MonkeyPatch, docker_client: t.Any,
) -> None:
    """There the age tells: a process that took the number over began after the container."""
    a = site.container("a")
    monkeypatch.setattr(_runtimes, "patience", 0.1)
    born = os.stat(f"/proc/{stranger}").st_ctime
    for after, found in ((0.5, True), (5, True), (-5, False), (-3600, False), (3600, False)):
        for zone, shift in (("Z", 0), ("+01:00", 3600), ("-09:30", -34200)):
            text = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(born + after + 0.99 + shift)) + ".123456789" + zone
            client = Substituted(docker_client.api, 1e9, Pid=stranger, StartedAt=text)
            monkeypatch.setattr(docker_runtime, "_clients", {None: client})
            [answer] = find(a.name, runtime="docker")
            assert isinstance(answer, model_container.Found) == found, (after, zone, str(answer))


def test_B14_container_that_restarts_all_the_time(site: Site) -> None:
    a = site.container("a", stop_signal="KILL")
    home = os.readlink("/proc/self/ns/net")
    links = set(os.listdir("/sys/class/net"))
    stop = threading.Event()

    def restart() -> None:
        while not stop.is_set():
            a.restart(timeout=0)

    thread = threading.Thread(target=restart)
    thread.start()
    refusals = []
    try:
        for _time in range(15):
            try:
                site.run(container=a.name, host_interface=BRIDGE, addresses=[f"{NET4}.1/24"])
            except PipeworkError as error:
                refusals.append(str(error))
    finally:
        stop.set()
        thread.join()
    assert not [said for said in refusals if "should not have happened" in said or "could not be taken back" in said]
    assert os.readlink("/proc/thread-self/ns/net") == home
    assert f"{NET4}.1/24" not in sh("ip", "address")
    assert "eth1" not in set(os.listdir("/sys/class/net")) - links
    assert site.attach(a, addresses=[f"{NET4}.1/24"])["attachments"][0]["interface"] == "eth1"
    assert site.links(a) == ["eth1"]


# -- network cards

@pytest.fixture
def nic() -> Iterator[str]:
    """One end of a cable plays a network card of the host."""
    name = f"nic{os.getpid()}"
    sh("ip", "link", "add", name, "type", "veth", "peer", "name", f"far{os.getpid()}")
    try:
        for end in (name, f"far{os.getpid()}"):
            sh("ip", "link", "set", end, "up")
        yield name
    finally:
        sh("ip", "link", "del", f"far{os.getpid()}")


def test_P13_macvlan_on_a_network_card(site: Site, nic: str) -> None:
    a, b = site.container("a"), site.container("b")
    before = filters()
    for number, container in enumerate((a, b), 1):
        done = site.attach(container, host_interface=nic, addresses=[f"{NET4}.{number}/24"])
        assert done["attachments"][0]["kind"] == "macvlan"
        assert not site.attach(container, host_interface=nic, addresses=[f"{NET4}.{number}/24"])["changed"]
    assert site.ping(a, f"{NET4}.2")
    assert filters() == before, "frames between macvlans do not pass the host's filter"
    kept = [{"container": a.name, "addresses": [f"{NET4}.1/24"]}]
    assert site.run(host_interface=nic, attachments=kept, purge=True)["changed"]
    assert (site.links(a), site.links(b)) == (["eth1"], [])
    assert site.attach(a, host_interface=nic, state="absent")["changed"]
    assert os.path.exists(f"/sys/class/net/{nic}")


def test_P15_network_card_moves_in_and_out(site: Site, nic: str) -> None:
    a = site.container("a")
    sh("ip", "address", "add", "198.18.78.1/24", "dev", nic)
    mac = Path(f"/sys/class/net/{nic}/address").read_text(encoding="ascii")
    site.attach(a, host_interface=nic, kind="phys", addresses=[f"{NET4}.1/24"], mtu=1400)
    assert site.links(a) == ["eth1"]
    assert not os.path.exists(f"/sys/class/net/{nic}")
    assert not site.attach(a, host_interface=nic, kind="phys", addresses=[f"{NET4}.1/24"], mtu=1400)["changed"]
    site.attach(a, host_interface=nic, kind="phys", state="absent")
    assert site.links(a) == []
    assert Path(f"/sys/class/net/{nic}/address").read_text(encoding="ascii") == mac
    assert Path(f"/sys/class/net/{nic}/mtu").read_text(encoding="ascii") == "1500\n"
    assert "198.18.78.1/24" in sh("ip", "address", "show", nic)


# -- many at once

def test_B3_thirty_containers_in_one_run(site: Site) -> None:
    with ThreadPoolExecutor(4) as pool:
        containers = list(pool.map(lambda number: site.container(f"n{number}", mem_limit="16m"), range(30)))
    items = [{"container": c.name, "addresses": [f"{NET4}.{n}/24"]} for n, c in enumerate(containers, 1)]
    said = site.run(check=True, host_interface=BRIDGE, attachments=items)
    done = site.run(host_interface=BRIDGE, attachments=items)
    assert said["operations"] == done["operations"]
    assert [a["container_id"] for a in done["attachments"]] == [c.id for c in containers]
    assert not site.run(host_interface=BRIDGE, attachments=items)["changed"]
    assert site.ping(containers[0], f"{NET4}.30")
    assert site.ping(containers[-1], f"{NET4}.15")
    containers[7].restart(timeout=0)
    again = site.run(host_interface=BRIDGE, attachments=items)
    inside = {o["name"].split("/")[0] for o in again["operations"] if o["action"] != "delete"}
    assert inside == {f"docker:{containers[7].name}"}, "but for its old host end, if that is still there"
    bad = [*items, {"container": f"{PREFIX}-nobody", "addresses": [f"{NET4}.99/24"]}]
    assert site.refused(attachments=bad).startswith("attachments[30]: container: no runtime knows")
    containers[3].kill()
    containers[4].remove(force=True)
    gone = site.run(host_interface=BRIDGE, attachments=[{**item, "state": "absent"} for item in items])
    assert gone["changed"]
    assert site.left() == []


# -- engines that cannot be asked, as a user meets it

def ansible(*words: str, python: str = sys.executable, **env: str) -> Result:
    """One ad hoc call of the module on this machine."""
    argv = [sys.executable, "-m", "ansible", "adhoc", "-i", "localhost,", "-c", "local", "localhost"]
    argv += ["-e", f"ansible_python_interpreter={python}", "-m", "pipework.containers.pipework_attach"]
    env = {**os.environ, "ANSIBLE_LOAD_CALLBACK_PLUGINS": "1", "ANSIBLE_STDOUT_CALLBACK": "json", **env}
    argv += ["-a", " ".join(words)]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=60, check=False, env=env)
    try:
        document = json.loads(done.stdout[done.stdout.index("{"):])
    except ValueError:
        raise AssertionError(done.stdout + done.stderr) from None
    return dict(document["plays"][0]["tasks"][0]["hosts"]["localhost"])


def test_ad_hoc(site: Site) -> None:
    a = site.container("a")
    options = (f"container={a.name}", f"host_interface={BRIDGE}", f"addresses={NET4}.1/24")
    done = ansible(*options)
    assert done["changed"], done
    assert site.links(a) == ["eth1"]
    again = ansible(*options)
    assert (again["changed"], again["operations"]) == (False, [])
    assert again["before"] == again["after"]
    assert set(again["after"]) < set(done["after"]), "the attachment, without the bridge that was made for it"


def test_engine_that_does_not_answer(tmp_path: Path) -> None:
    dead = f"unix://{tmp_path}/dead.sock"
    said = ansible("container=web1", "runtime=docker", f"host_interface={BRIDGE}", DOCKER_HOST=dead)["msg"]
    assert said.endswith(
        f"runtime: Docker does not answer at {dead}: No such file or directory; is it running, and DOCKER_HOST right? "
        "Nothing was changed."
    )
    gone = ansible("container=web1", "state=absent", DOCKER_HOST=dead)
    assert gone["failed"], "whether the container is gone is not known"
    assert f"and Docker does not answer at {dead}" in gone["msg"] or "'web1' cannot be looked up" in gone["msg"]
    purged = ansible(json.dumps({"attachments": [], "purge": True, "host_interface": BRIDGE}), DOCKER_HOST=dead)
    assert f"runtime: Docker does not answer at {dead}" in purged["msg"]


def test_library_that_is_missing(tmp_path: Path) -> None:
    import pyroute2

    sh(sys.executable, "-m", "venv", "--without-pip", str(tmp_path / "venv"))
    [packages] = (tmp_path / "venv").glob("lib/python*/site-packages")
    (packages / "pyroute2").symlink_to(Path(pyroute2.__file__).parent)
    python = str(tmp_path / "venv/bin/python")
    said = ansible("container=web1", "runtime=docker", f"host_interface={BRIDGE}", python=python)["msg"]
    assert said.endswith(
        "runtime: Docker cannot be asked, because the Python library docker is missing on the managed host "
        f"for {python}; the package python3-docker or 'pip install docker' brings it. Nothing was changed."
    )
    with namespace(f"{PREFIX}-n"):
        done = ansible(f"container={PREFIX}-n", f"host_interface={BRIDGE}", python=python)
        assert done["changed"], "what needs no Docker works without"
        assert ansible(f"container={PREFIX}-n", f"host_interface={BRIDGE}", "state=absent", python=python)["changed"]


def test_runtime_user(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    a = site.container("a")
    user = pwd.getpwnam("nobody")
    folder = Path(f"/run/user/{user.pw_uid}")
    assert not folder.exists()
    said = site.refused(container=a.name, runtime="docker", runtime_user="nobody")
    assert f"runtime: Docker of the user 'nobody' cannot be asked: there is no socket {folder}/docker.sock" in said
    assert "Docker of the user 'nobody' cannot be asked" in site.refused(container=a.name, runtime_user="nobody")
    assert "runtime_user: there is no user 'no-such'" in site.refused(container=a.name, runtime_user="no-such")
    made = [path for path in (folder.parent, folder) if not path.exists()]
    monkeypatch.setattr(docker_runtime, "_clients", {})
    try:
        folder.mkdir(parents=True)
        (folder / "docker.sock").symlink_to(docker_runtime.SOCKET)
        said = site.refused(container=a.name, runtime="docker", runtime_user="nobody")
        assert f"what listens at {folder}/docker.sock is not the user's, but root's" in said
        assert site.links(a) == [], "root's engine is not believed as a user's"
    finally:
        with contextlib.suppress(OSError):
            (folder / "docker.sock").unlink()
        for path in reversed(made):
            path.rmdir()
