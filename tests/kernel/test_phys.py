# Copyright: pipework.containers contributors
# GNU General Public License v3.0+ (see LICENSE)
"""P15 with NICs that the kernel returns when their container dies: as they were in there, or under another name."""

from __future__ import annotations

import functools
import re
from collections.abc import Callable
from typing import Any

import pytest

from ansible_collections.pipework.containers.plugins.module_utils._core.errors import PipeworkError
from ansible_collections.pipework.containers.plugins.module_utils._engine.run import run
from ansible_collections.pipework.containers.plugins.module_utils._jobs.attach import AttachJob
from tests.integration.lab import Killed, Work, eventually, failing_at, killed_at, refusal
from tests.kernel.conftest import Guest, Nic
from tests.kernel.conftest import run as command

HOME = ["10.44.0.9/24", "fd44::9/64"]


def attach(guest: Guest, **options: Any) -> dict[str, Any]:
    """In a child, since a run leaves nothing behind but what it changed."""
    step = options.pop("step", None)
    params = {"container": str(guest.pid), "runtime": "pid", "kind": "phys", **options}
    return Work(lambda: run(AttachJob(params), step=step)).wait()


@pytest.fixture
def nic(nics: list[Nic]) -> Nic:
    """A NIC with a life of its own on the host."""
    found = nics[0]
    command("ip", "link", "set", "dev", found.name, "mtu", "1450", "alias", "uplink|1", "up")
    for address in HOME:
        command("ip", "address", "add", address, "dev", found.name)
    return found


def at_home(nic: Nic) -> dict[str, Any]:
    link = nic.link()
    return {
        "name": link["ifname"],
        "mtu": link["mtu"],
        "mac": link["address"],
        "up": "UP" in link["flags"],
        "alias": link.get("ifalias"),
        "group": link.get("group"),
        "addresses": nic.addresses(),
    }


WANTED = {"addresses": ["10.44.0.1/24"], "mtu": 1300, "mac_address": "02:00:00:00:00:44"}


@pytest.mark.parametrize("by_mac", [False, True])
def test_P15_moves_and_comes_back(nic: Nic, guest: Guest, by_mac: bool) -> None:
    before = at_home(nic)
    name = f"mac:{nic.mac.upper()}" if by_mac else nic.name
    assert attach(guest, host_interface=name, **WANTED)["changed"]
    assert nic.here() is None
    assert "10.44.0.1/24" in guest.run("ip", "address", "show", "dev", "eth1")
    assert not attach(guest, host_interface=name, **WANTED)["changed"]
    assert attach(guest, host_interface=name, state="absent")["changed"]
    assert at_home(nic) == before
    assert not attach(guest, host_interface=name, state="absent")["changed"]


def test_P15_two_containers_with_a_nic_each_reach_each_other(nics: list[Nic], make_guest: Callable[[], Guest]) -> None:
    guests = [make_guest(), make_guest()]
    for number, (nic, guest) in enumerate(zip(nics, guests), start=1):
        attach(guest, host_interface=nic.name, addresses=[f"10.44.0.{number}/24"])
    guests[0].run("ping", "-c", "1", "-W", "5", "10.44.0.2")
    for guest in guests:
        attach(guest, state="absent")
    assert [nic.here() for nic in nics] == [nic.name for nic in nics]


def test_P15_after_the_container_died_absent_brings_it_back(nic: Nic, guest: Guest) -> None:
    before = at_home(nic)
    attach(guest, host_interface=nic.name, **WANTED)
    guest.kill()
    assert nic.wait_here() == "eth1"
    assert at_home(nic) != before
    assert attach(guest, host_interface=nic.name, state="absent")["changed"]
    assert at_home(nic) == before
    assert not attach(guest, host_interface=nic.name, state="absent")["changed"]


def test_P15_after_the_container_died_and_its_name_was_taken(nics: list[Nic], make_guest: Callable[[], Guest]) -> None:
    """The kernel calls the second one devN then."""
    guests = [make_guest(), make_guest()]
    before = [at_home(nic) for nic in nics]
    for nic, guest in zip(nics, guests):
        attach(guest, host_interface=nic.name, mtu=1300)
    for nic, guest in zip(nics, guests):
        guest.kill()
        nic.wait_here()
    assert nics[0].here() == "eth1" and str(nics[1].here()).startswith("dev")
    attach(guests[1], host_interface=nics[1].name, state="absent")
    assert (nics[0].here(), nics[1].here()) == ("eth1", nics[1].name)
    attach(guests[0], host_interface=nics[0].name, state="absent")
    assert [at_home(nic) for nic in nics] == before


def test_P15_after_the_container_died_it_can_be_given_to_the_next(nic: Nic, make_guest: Callable[[], Guest]) -> None:
    before = at_home(nic)
    first, second = make_guest(), make_guest()
    attach(first, host_interface=nic.name, **WANTED)
    first.kill()
    nic.wait_here()
    assert attach(second, host_interface=nic.name, addresses=["10.44.0.2/24"])["changed"]
    assert "10.44.0.2/24" in second.run("ip", "address", "show", "dev", "eth1")
    attach(second, state="absent")
    assert at_home(nic) == before


def test_P15_purge_brings_home_what_died(nic: Nic, guest: Guest) -> None:
    before = at_home(nic)
    attach(guest, host_interface=nic.name, **WANTED)
    guest.kill()
    nic.wait_here()
    Work(lambda: run(AttachJob({"attachments": [], "purge": True}))).wait()
    assert at_home(nic) == before


def test_P15_another_interface_of_its_old_name_is_in_the_way_and_named(nic: Nic, guest: Guest) -> None:
    before = at_home(nic)
    attach(guest, host_interface=nic.name, **WANTED)
    guest.kill()
    nic.wait_here()
    command("ip", "link", "add", nic.name, "type", "dummy")
    try:
        with pytest.raises(PipeworkError, match=rf"the NIC {nic.name} cannot come home.*Nothing was changed"):
            attach(guest, host_interface=nic.name, state="absent")
        assert nic.here() == "eth1"
    finally:
        command("ip", "link", "del", nic.name)
    attach(guest, host_interface=nic.name, state="absent")
    assert at_home(nic) == before


def test_B14_a_record_that_the_container_wrote_is_not_believed(nic: Nic, guest: Guest) -> None:
    before = at_home(nic)
    attach(guest, host_interface=nic.name, **WANTED)
    forged = f"pipework:pid:{guest.pid}:eth1|0123456789abcdef|evil0|1500|02:00:00:00:00:66|up|10.66.0.1/24|"
    guest.run("ip", "link", "set", "dev", "eth1", "alias", forged)
    guest.kill()
    nic.wait_here()
    attach(guest, host_interface=nic.name, state="absent")
    assert at_home(nic) == before, "what the host has recorded decides"


@pytest.mark.parametrize("state", ["present", "absent"])
def test_B4_killed_and_failed_runs_lose_nothing_of_a_real_nic(
    nic: Nic, make_guest: Callable[[], Guest], state: str
) -> None:
    before = at_home(nic)
    guest = make_guest()
    options: dict[str, Any] = {"host_interface": nic.name, **WANTED}
    number = 0
    while True:
        if state == "absent":
            attach(guest, **options)
        said = refusal(functools.partial(attach, guest, **options, state=state, step=failing_at(number)))
        if said is None:
            break
        assert "as it was" in said or "Nothing was changed" in said
        assert (nic.here() is None) == (state == "absent")
        with pytest.raises(Killed):
            attach(guest, **options, state=state, step=killed_at(number))
        attach(guest, **options, state=state)
        assert (nic.here() is None) == (state == "present")
        attach(guest, state="absent")
        assert at_home(nic) == before, f"after a failure and a kill at operation {number}"
        number += 1
    attach(guest, state="absent")
    assert at_home(nic) == before
    assert number > 3


def test_B2_after_the_container_died_routes_and_neighbors_come_home_with_it(
    nic: Nic, guest: Guest, request: pytest.FixtureRequest
) -> None:
    for words in (
        "address add 10.44.0.8/24", "route add default via 10.44.0.254", "route add 10.45.0.0/16 table 77",
        "route add default via fd44::fe", "neigh add 10.44.0.77 lladdr 02:00:00:00:00:77 nud permanent",
        "rule add iif {} lookup 77",
    ):
        device = [] if "{}" in words else ["dev", nic.name]
        command("ip", *(["-6"] if "fd44" in words else []), *words.format(nic.name).split(), *device)
    request.addfinalizer(functools.partial(command, "ip", "rule", "del", "lookup", "77"))
    request.addfinalizer(functools.partial(command, "ip", "link", "del", "upper7"))
    command("ip", "link", "add", "link", nic.name, "name", "upper7", "mtu", "1200", "type", "vlan", "id", "7")
    command("ip", "link", "set", "dev", "upper7", "up")

    def shown() -> list[str]:
        """What belongs to the NIC, without what is otherwise each time that it comes."""
        looks = ("route show table all", "-6 route show default", "neigh show nud permanent", "rule show",
                 f"-4 -o address show dev {nic.name}", "link show upper7")
        lines = [line for words in looks for line in command("ip", *words.split()).splitlines()]
        kept = [line.split("valid_lft")[0].strip() for line in lines if "upper7" not in line or "@" in line]
        return sorted(re.sub(r"^[0-9]+: +|state [A-Z]+|,?M-DOWN", "", line) for line in kept)

    before, was = at_home(nic), shown()
    said = refusal(lambda: attach(guest, host_interface=nic.name, **WANTED))
    assert said is not None and "the host's default route" in said and "upper7 (vlan)" in said
    attach(guest, host_interface=nic.name, force=True, **WANTED)
    guest.kill()
    assert nic.wait_here() == "eth1"
    attach(guest, host_interface=nic.name, state="absent")
    assert at_home(nic) == before
    # The kernel looks for duplicates of its own link-local address before it has routes of it.
    assert eventually(lambda: shown() == was), set(was) ^ set(shown())
