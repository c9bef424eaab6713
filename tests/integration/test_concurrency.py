# Copyright: pipework.containers contributors
# GNU General Public License v3.0+ (see LICENSE)
"""B4: what happens beside a run: other runs, the process that keeps leases, engines, firewalls, interfaces that come
and go. Nothing is lost; a run succeeds or takes all back with one message; in the end a second run changes nothing.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from ansible_collections.pipework.containers.plugins.module_utils._core.errors import PipeworkError
from ansible_collections.pipework.containers.plugins.module_utils._engine.run import run
from ansible_collections.pipework.containers.plugins.module_utils._jobs.attach import AttachJob
from tests.integration import keeping
from tests.integration.disturbed import settled
from tests.integration.lab import Host, Killed, Params, difference
from tests.integration.test_dhcp import server
from tests.integration.test_docker import Site
from tests.integration.test_docker import site as docker_site

pytestmark = pytest.mark.root
__all__ = ["docker_site"]
WHOLE = ("taken back; everything is as it was.", "Nothing was changed.")
CLOSED = "table inet closed {\nchain forward {\ntype filter hook forward priority 0; policy drop;\n}\n}\n"


def wanted(*guests: str, **more: Any) -> Params:
    listed = [
        {"container": name, "addresses": [f"10.1.0.{number}/24"], **more} for number, name in enumerate(guests, 1)
    ]
    return {"runtime": "netns", "host_interface": "br1", "attachments": listed}


def gone(*guests: str) -> Params:
    listed = [{"container": name, "state": "absent"} for name in guests]
    return {"runtime": "netns", "host_interface": "br1", "attachments": listed}


def one_message(work: Callable[[], Any]) -> bool:
    """Whether it succeeded; if not, it says in one message that all is as before."""
    try:
        work()
    except PipeworkError as error:
        said = str(error)
        assert said.endswith(WHOLE) and "should not have happened" not in said and "Traceback" not in said, said
        return False
    return True


@contextlib.contextmanager
def meanwhile(host: Host, what: Callable[[], None], ns: str | None = None) -> Iterator[None]:
    """Something that is done again and again, as fast as it goes."""

    def forever() -> None:
        while True:
            what()

    work = host.start(forever, ns=ns)
    try:
        yield
    finally:
        os.kill(work.pid, signal.SIGKILL)
        with pytest.raises(Killed):
            work.wait()


def quiet(*argv: str, text: str = "") -> None:
    subprocess.run(argv, input=text, text=True, capture_output=True, check=False)


def calm(host: Host, *guests: str, before: dict[str, Any]) -> None:
    """With nobody beside: a run, a second one that changes nothing, and all away again."""
    host.run(**wanted(*guests))
    again = host.run(**wanted(*guests))
    assert not again["changed"], again["operations"]
    host.run(**gone(*guests))
    assert difference(settled(before), settled(host.snapshot())) == []


def test_B4_two_runs_at_once_come_one_after_the_other(host: Host) -> None:
    before = host.snapshot()
    for _round in range(4):
        runs = [host.start(lambda: run(AttachJob(wanted("a", "b"))), ns=None) for _each in range(3)]
        done = [each.wait() for each in runs]
        assert sorted(each["changed"] for each in done) == [False, False, True]
        assert not host.run(**wanted("a", "b"))["changed"]
        runs = [host.start(lambda names=names: run(AttachJob(gone(*names)))) for names in (("a",), ("b",), ("a", "b"))]
        assert True in [each.wait()["changed"] for each in runs]
        host.assert_as(before)


def test_B4_a_run_that_wants_it_and_one_that_does_not(host: Host) -> None:
    before = host.snapshot()
    for _round in range(4):
        runs = [host.start(lambda wish=wish: run(AttachJob(wish))) for wish in (wanted("a", "b"), gone("a", "b"))]
        for each in runs:
            each.wait()
        assert len(host.links("a")) == len(host.links("b")), "both or none"
    calm(host, "a", "b", before=before)


def test_B4_runs_and_the_process_that_keeps_a_lease(host: Host) -> None:
    host.batch("link add br1 address 06:00:00:00:05:fe type bridge\nlink set br1 up\naddress add 10.5.0.254/24 dev br1")
    host.batch("link add stays type veth peer name other\nlink set stays master br1\nlink set stays up")
    lease = {"dhcp": "builtin", "dhcp_keep": True, "dhcp_timeout": 20}
    with keeping.ended(host), server(host):
        address = host.attach("a", **lease)["attachments"][0]["lease"]["address"]
        pid = keeping.keeper(host)

        def lose() -> None:
            """What is lost lets the process begin runs of its own."""
            quiet("ip", "address", "flush", "dev", "eth1")
            time.sleep(0.05)

        with meanwhile(host, lose, ns="a"):
            for number in range(4):
                one_message(lambda: host.attach("b", addresses=["10.5.0.2/24"]))
                one_message(lambda number=number: host.attach("a", mtu=1400 + number, **lease))
                one_message(lambda: host.attach("b", state="absent"))
        host.attach("a", mtu=1400, **lease)
        again = host.attach("a", mtu=1400, **lease)
        assert not again["changed"], again["operations"]
        assert host.addresses("eth1", ns="a") == [address], "the lease is the same"
        assert keeping.keeper(host) == pid
        host.attach("a", state="absent")


def test_B4_a_firewall_that_is_loaded_anew_all_the_time(host: Host) -> None:
    host.sh("nft", "-f", "-", text=CLOSED)
    before = host.snapshot()
    checked = {"port": {"mac_spoof_check": True}}

    def rebuild() -> None:
        quiet("nft", "-f", "-", text="flush ruleset\n" + CLOSED)

    with meanwhile(host, rebuild):
        for _round in range(6):
            one_message(lambda: host.run(**wanted("a", "b", **checked)))
            one_message(lambda: host.run(**gone("a")))
    host.run(**wanted("a", "b", **checked))
    again = host.run(**wanted("a", "b", **checked))
    assert not again["changed"], again["operations"]
    listed = host.sh("nft", "list", "ruleset")
    assert listed.count("pipework:br1") == 1 and "policy drop" in listed
    host.run(**gone("a", "b"))
    assert difference(settled(before), settled(host.snapshot())) == []


@pytest.mark.parametrize("where", ["a", None], ids=["container", "host"])
def test_B4_interfaces_that_come_and_go_and_flap(host: Host, where: str | None) -> None:
    before = host.snapshot()
    lines = (
        "link add come type veth peer name gone\nlink set come up\nlink set gone up\n"
        "address add 10.99.0.1/24 dev come\nlink set come down\nlink set come name came\nlink del came\n"
    )
    with meanwhile(host, lambda: quiet("ip", "-batch", "-", text=lines), ns=where):
        done = []
        for _round in range(6):
            done.append(one_message(lambda: host.run(**wanted("a", "b"))))
            done.append(one_message(lambda: host.run(**gone("a", "b"))))
    assert any(done), "what happens to other interfaces keeps no run from being done"
    for ns in (None, "a"):
        for name in ("come", "came", "gone"):
            host.sh("ip", "link", "del", name, ns=ns, check=False)
    calm(host, "a", "b", before=before)


def test_B4_its_own_interface_flaps_and_is_taken_away(host: Host) -> None:
    before = host.snapshot()

    def flap() -> None:
        quiet("ip", "link", "set", "eth1", "down")
        quiet("ip", "link", "set", "eth1", "up")
        quiet("ip", "link", "del", "eth1")
        time.sleep(0.02)

    with meanwhile(host, flap, ns="a"):
        for _round in range(6):
            one_message(lambda: host.run(**wanted("a", "b")))
            one_message(lambda: host.run(**gone("b")))
    calm(host, "a", "b", before=before)


@pytest.mark.docker
def test_B4_docker_connects_and_disconnects_networks_meanwhile(docker_site: Site) -> None:
    site = docker_site
    container = site.container("a", network_mode="bridge")
    network = site.client.networks.create(f"pwt{os.getpid()}-net", driver="bridge", internal=True)
    over, troubles = threading.Event(), []

    def reconnect() -> None:
        while not over.is_set():
            try:
                network.connect(container)
                network.disconnect(container)
            except Exception as error:  # the engine's own affair, and said at the end
                troubles.append(str(error))
                return

    beside = threading.Thread(target=reconnect)
    params: Params = {"container": container.name, "host_interface": f"br{os.getpid()}", "interface": "side0"}
    params["addresses"] = ["198.18.77.1/24"]
    beside.start()
    try:
        for _round in range(5):
            assert one_message(lambda: site.run(**params)), "others' networks keep no run from being done"
            assert "side0" in site.links(container)
            one_message(lambda: site.run(**{**params, "addresses": None, "state": "absent"}))
        site.run(**params)
    finally:
        over.set()
        beside.join(60)
        with contextlib.suppress(Exception):
            network.disconnect(container, force=True)
        network.remove()
    assert not troubles, troubles
    again = site.run(**params)
    assert not again["changed"], again["operations"]
    assert "198.18.77.1" in site.sh(container, "ip", "address", "show", "dev", "side0")
    assert site.run(**{**params, "addresses": None, "state": "absent"})["changed"]


ROUNDS = int(os.environ.get("PIPEWORK_SOAK_ROUNDS", "40"))


def test_B4_rounds_of_coming_and_going_let_nothing_grow(host: Host) -> None:
    """`bench/run soak` does a thousand. All rounds are one process's, so that what it holds open would show."""
    host.sh("nft", "-f", "-", text=CLOSED)
    there, away = wanted("a", "b", port={"mac_spoof_check": True}), gone("a", "b")
    before = host.snapshot()

    def rounds() -> tuple[list[int], list[int]]:
        descriptors, memory = [], []
        for number in range(ROUNDS):
            run(AttachJob(there))
            run(AttachJob(away))
            if number % 10 == 9:
                descriptors.append(len(os.listdir("/proc/self/fd")))
                with open("/proc/self/statm", encoding="ascii") as handle:
                    memory.append(int(handle.read().split()[1]) * 4)
        return descriptors, memory

    descriptors, memory = host.start(rounds).wait(limit=120 + 2 * ROUNDS)
    print(json.dumps({"rounds": ROUNDS, "descriptors": descriptors, "kilobytes": memory}))
    assert len(set(descriptors)) == 1, descriptors
    assert memory[-1] - memory[0] < 2048 + ROUNDS * 2, memory
    assert difference(settled(before), settled(host.snapshot())) == [], "links, rules and records"
    assert host.call(os.listdir, "/run/pipework") and not host.links("a")
