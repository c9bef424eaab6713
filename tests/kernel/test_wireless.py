# Copyright: pipework.containers contributors
# GNU General Public License v3.0+ (see LICENSE)
"""P16: wireless NICs (mac80211_hwsim), whose phy moves."""

from __future__ import annotations

import functools
import json
import pathlib
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from ansible_collections.pipework.containers.plugins.module_utils._engine.run import run
from ansible_collections.pipework.containers.plugins.module_utils._jobs.attach import AttachJob
from tests.integration.lab import Killed, Work, failing_at, killed_at, refusal
from tests.kernel.conftest import Guest, wait_for
from tests.kernel.conftest import run as command

pytestmark = pytest.mark.qemu
NET = pathlib.Path("/sys/class/net")
WANTED: dict[str, Any] = {"addresses": ["10.46.0.1/24"], "mtu": 1400, "mac_address": "02:00:00:00:00:46"}


class Radio:
    """A wireless NIC, known by its device, with one interface."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.device = (NET / name / "device").resolve()

    def here(self) -> str | None:
        names = [path.name for path in (self.device / "net").glob("*")]
        return names[0] if names else None

    def at_home(self) -> dict[str, Any]:
        name = wait_for("the interface on the host", self.here)
        link = json.loads(command("ip", "-j", "-d", "address", "show", "dev", name))[0]
        mine = sorted(each["local"] for each in link["addr_info"] if each["scope"] == "global")
        return {"name": name, "mac": link["address"], "mtu": link["mtu"], "up": "UP" in link["flags"],
                "alias": link.get("ifalias"), "group": link.get("group"), "addresses": mine}


@pytest.fixture
def radio() -> Iterator[Radio]:
    """The first wireless NIC, with a life of its own on the host."""
    found = Radio(sorted(path.name for path in NET.iterdir() if (path / "phy80211").exists())[0])
    command("ip", "link", "set", "dev", found.name, "mtu", "1450", "alias", "hall|1", "up")
    command("ip", "address", "add", "10.46.0.9/24", "dev", found.name)
    command("ip", "address", "add", "fd46::9/64", "dev", found.name)
    yield found
    command("ip", "address", "flush", "dev", wait_for("the interface", found.here))


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
    params = {"container": str(guest.pid), "runtime": "pid", "kind": "phys", **options}

    def both() -> dict[str, Any]:
        said = run(AttachJob(params), check=True) if look else None
        done = run(AttachJob(params), step=step)
        assert said is None or said["operations"] == done["operations"]
        return done

    return Work(both).wait()


def test_P16_moves_and_comes_back_also_from_a_container_that_has_its_name(
    radio: Radio, make_guest: Callable[[], Guest]
) -> None:
    before, guest = radio.at_home(), make_guest()
    guest.run("ip", "link", "add", radio.name, "type", "veth", "peer", "name", "other")
    assert attach(guest, look=True, host_interface=radio.name, **WANTED)["changed"]
    assert radio.here() is None
    inside = guest.run("ip", "address", "show", "dev", "eth1")
    assert "02:00:00:00:00:46" in inside and "10.46.0.1/24" in inside and "mtu 1400" in inside
    assert not attach(guest, look=True, host_interface=radio.name, **WANTED)["changed"]
    assert attach(guest, look=True, host_interface=radio.name, state="absent")["changed"]
    assert radio.at_home() == before
    assert not attach(guest, look=True, host_interface=radio.name, state="absent")["changed"]


def test_P16_after_the_container_died(radio: Radio, make_guest: Callable[[], Guest]) -> None:
    before, first, second = radio.at_home(), make_guest(), make_guest()
    attach(first, host_interface=radio.name, **WANTED)
    first.kill()
    wait_for("the interface", radio.here)
    assert radio.at_home() != before
    attach(second, host_interface=radio.name, addresses=["10.46.0.2/24"])
    assert "10.46.0.2/24" in second.run("ip", "address", "show", "dev", "eth1")
    second.kill()
    wait_for("the interface", radio.here)
    attach(second, host_interface=radio.name, state="absent")
    assert radio.at_home() == before


@pytest.mark.parametrize("state", ["present", "absent"])
def test_B4_killed_and_failed_runs_lose_nothing_of_a_wireless_nic(
    radio: Radio, make_guest: Callable[[], Guest], state: str
) -> None:
    before, guest = radio.at_home(), make_guest()
    options = {"host_interface": radio.name, **WANTED}
    number = 0
    while True:
        if state == "absent":
            attach(guest, **options)
        said = refusal(functools.partial(attach, guest, **options, state=state, step=failing_at(number)))
        if said is None:
            break
        assert "as it was" in said or "Nothing was changed" in said
        assert (radio.here() is None) == (state == "absent")
        if state == "present":
            assert radio.at_home() == before, f"after a failure at operation {number}"
        with pytest.raises(Killed):
            attach(guest, **options, state=state, step=killed_at(number))
        attach(guest, **options, state=state)
        attach(guest, state="absent")
        assert radio.at_home() == before, f"after a kill at operation {number}"
        number += 1
    attach(guest, state="absent")
    assert radio.at_home() == before
    assert number > 3
