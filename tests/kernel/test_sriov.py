# Copyright: pipework.containers contributors
# GNU General Public License v3.0+ (see LICENSE)
"""B7, P15: virtual functions of two real (emulated) cards, igb with igbvf, wired to each other."""

from __future__ import annotations

import functools
import json
import pathlib
import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from ansible_collections.pipework.containers.plugins.module_utils._core.errors import PipeworkError
from ansible_collections.pipework.containers.plugins.module_utils._engine.run import run
from ansible_collections.pipework.containers.plugins.module_utils._jobs.attach import AttachJob
from tests.integration.lab import Killed, Work, failing_at, killed_at, refusal
from tests.kernel.conftest import Guest, wait_for
from tests.kernel.conftest import run as command

pytestmark = pytest.mark.qemu
NET = pathlib.Path("/sys/class/net")
VFS = 2


class Card:
    """A card with VFS virtual functions."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.device = NET / name / "device"
        command("ip", "link", "set", "dev", name, "up")
        if (self.device / "sriov_numvfs").read_text().strip() != str(VFS):
            (self.device / "sriov_numvfs").write_text(str(VFS))
        wait_for(f"a carrier of {name}", lambda: (NET / name / "carrier").read_text().strip() == "1", 30)

    def here(self, number: int) -> str | None:
        """The name of a function's interface, where that is on the host."""
        names = [path.name for path in (self.device / f"virtfn{number}" / "net").glob("*")]
        return names[0] if names else None

    def shown(self, number: int) -> str:
        """What the card says about a function."""
        lines = command("ip", "link", "show", "dev", self.name).splitlines()
        return next(line.strip() for line in lines if line.strip().startswith(f"vf {number} "))

    def at_home(self, number: int) -> dict[str, Any]:
        """All of a function that has to be as before when it comes back."""
        name = wait_for(f"vf {number} of {self.name}", lambda: self.here(number))
        link = json.loads(command("ip", "-j", "-d", "address", "show", "dev", name))[0]
        alone = {each["local"] for each in link["addr_info"] if each["scope"] == "global"}
        # The address that the function has chosen for itself shows at the card only when it has told it.
        own = self.shown(number).replace(link["address"], "own").replace("00:00:00:00:00:00", "own")
        return {"name": name, "mac": link["address"], "mtu": link["mtu"], "up": "UP" in link["flags"],
                "alias": link.get("ifalias"), "group": link.get("group"), "addresses": alone, "card": own}


@pytest.fixture(scope="module")
def cards() -> list[Card]:
    return [Card(path.parent.parent.name) for path in sorted(NET.glob("*/device/sriov_totalvfs"))]


@pytest.fixture
def card(cards: list[Card]) -> Iterator[Card]:
    """The first one; its first function has a life of its own on the host."""
    found = cards[0]
    name = found.here(0)
    assert name is not None
    command("ip", "link", "set", "dev", name, "mtu", "1450", "up")
    command("ip", "address", "add", "10.45.0.9/24", "dev", name)
    yield found
    name = wait_for("the function", lambda: found.here(0))
    command("ip", "address", "flush", "dev", name)


@pytest.fixture
def make_guest() -> Iterator[Callable[[], Guest]]:
    guests: list[Guest] = []

    def make() -> Guest:
        guests.append(Guest())
        return guests[-1]

    yield make
    for guest in guests:
        guest.kill()


def attach(guest: Guest, look: bool = False, **options: Any) -> dict[str, Any]:
    """In a child, since a run leaves nothing behind but what it changed. ``look``: a check run says the same before."""
    step = options.pop("step", None)
    params = {"container": str(guest.pid), "runtime": "pid", **options}

    def both() -> dict[str, Any]:
        said = run(AttachJob(params), check=True) if look else None
        done = run(AttachJob(params), step=step)
        assert said is None or said["operations"] == done["operations"]
        return done

    return Work(both).wait()


WANTED: dict[str, Any] = {
    "vf": 0, "addresses": ["10.45.0.1/24"], "mtu": 1400, "mac_address": "02:00:00:00:00:45", "vlan": 10,
    "port": {"mac_spoof_check": False},
}


def test_B7_moves_with_mac_vlan_and_spoof_check_changes_in_place_and_comes_back(
    card: Card, make_guest: Callable[[], Guest]
) -> None:
    before, guest = card.at_home(0), make_guest()
    wanted = {"host_interface": card.name, "kind": "sriov", **WANTED}
    done = attach(guest, look=True, **wanted)
    assert done["changed"] and card.here(0) is None
    told = {name: done["attachments"][0][name] for name in ("kind", "host_interface", "vlan", "mac_address", "mtu")}
    assert told == {"kind": "sriov", "host_interface": card.name, "vlan": 10, "mac_address": "02:00:00:00:00:45",
                    "mtu": 1400}
    assert re.search(r"02:00:00:00:00:45.*vlan 10.*spoof checking off", card.shown(0))
    inside = guest.run("ip", "address", "show", "dev", "eth1")
    assert "02:00:00:00:00:45" in inside and "10.45.0.1/24" in inside and "mtu 1400" in inside
    assert not attach(guest, look=True, **wanted)["changed"]
    other = {**wanted, "mac_address": "02:00:00:00:00:46", "vlan": 20, "port": {"mac_spoof_check": True}}
    assert attach(guest, look=True, **other)["changed"]
    assert re.search(r"02:00:00:00:00:46.*vlan 20.*spoof checking on", card.shown(0))
    assert "02:00:00:00:00:46" in guest.run("ip", "link", "show", "dev", "eth1")
    assert not attach(guest, look=True, **other)["changed"]
    assert attach(guest, look=True, state="absent")["changed"]
    assert card.at_home(0) == before
    assert not attach(guest, look=True, state="absent")["changed"]


def test_B7_functions_of_two_cards_reach_each_other_in_one_vlan_alone(
    cards: list[Card], make_guest: Callable[[], Guest]
) -> None:
    guests = [make_guest(), make_guest()]
    for number, (card, guest) in enumerate(zip(cards, guests), start=1):
        attach(guest, host_interface=card.name, vf=1, vlan=10, addresses=[f"10.45.1.{number}/24"],
               mac_address=f"02:00:00:00:45:0{number}")
    guests[0].run("ping", "-c", "1", "-w", "20", "10.45.1.2")
    attach(guests[1], host_interface=cards[1].name, vf=1, vlan=20)
    assert "0 received" in guests[0].run("ping", "-c", "1", "-W", "2", "10.45.1.2", check=False)
    attach(guests[1], host_interface=cards[1].name, vf=1, vlan=10)
    guests[0].run("ping", "-c", "1", "-w", "20", "10.45.1.2")
    for guest in guests:
        attach(guest, state="absent")


def test_P15_after_the_container_died_the_function_is_as_it_was(card: Card, make_guest: Callable[[], Guest]) -> None:
    before, first, second = card.at_home(0), make_guest(), make_guest()
    attach(first, host_interface=card.name, **WANTED)
    first.kill()
    wait_for("the function", lambda: card.here(0))
    assert card.at_home(0) != before
    attach(second, host_interface=card.name, **{**WANTED, "vlan": 30})
    assert "vlan 30" in card.shown(0)
    second.kill()
    wait_for("the function", lambda: card.here(0))
    purged = {"attachments": [], "purge": True, "host_interface": card.name}
    assert Work(lambda: run(AttachJob(purged))).wait()["changed"]
    assert card.at_home(0) == before


@pytest.mark.parametrize("state", ["present", "absent"])
def test_B4_killed_and_failed_runs_lose_nothing_of_a_function(
    card: Card, make_guest: Callable[[], Guest], state: str
) -> None:
    before, guest = card.at_home(0), make_guest()
    options = {"host_interface": card.name, **WANTED}
    number = 0
    while True:
        if state == "absent":
            attach(guest, **options)
        said = refusal(functools.partial(attach, guest, **options, state=state, step=failing_at(number)))
        if said is None:
            break
        assert "as it was" in said or "Nothing was changed" in said
        assert (card.here(0) is None) == (state == "absent")
        if state == "present":
            assert card.at_home(0) == before, f"after a failure at operation {number}"
        with pytest.raises(Killed):
            attach(guest, **options, state=state, step=killed_at(number))
        attach(guest, **options, state=state)
        attach(guest, state="absent")
        assert card.at_home(0) == before, f"after a kill at operation {number}"
        number += 1
    attach(guest, state="absent")
    assert card.at_home(0) == before
    assert number > 4


def test_B7_what_cannot_be_is_refused(cards: list[Card], make_guest: Callable[[], Guest]) -> None:
    guest, other = make_guest(), make_guest()
    name = cards[0].name
    for options, words in (
        ({"host_interface": name, "vf": 5}, rf"vf: 5: {name} has 2 virtual function\(s\), 0 to 1, of 7 .*echo 6 > "),
        ({"host_interface": name, "vf": 7}, rf"vf: 7: {name} has 2 .*of 7 that it can have\."),
        ({"host_interface": "wlan0", "vf": 0}, "wlan0 is not a card with virtual functions"),
        ({"host_interface": name, "vf": 0, "port": {"isolated": True}}, "isolated: kind sriov has mac_spoof_check"),
    ):
        with pytest.raises(PipeworkError, match=words + ".*Nothing was changed"):
            attach(guest, **options)
    attach(guest, host_interface=name, vf=0)
    with pytest.raises(PipeworkError, match=f"vf: 0 of {name} has no network interface on the host: it is in another"):
        attach(other, host_interface=name, vf=0)
    attach(guest, state="absent")
    (cards[1].device / "sriov_numvfs").write_text("0")
    try:
        with pytest.raises(PipeworkError, match=rf"{cards[1].name} has no virtual functions so far, of 7 .*echo 1 >"):
            attach(guest, host_interface=cards[1].name, vf=0)
    finally:
        (cards[1].device / "sriov_numvfs").write_text(str(VFS))
