# Copyright: pipework.containers contributors
# GNU General Public License v3.0+ (see LICENSE)
"""The kinds that stand on a NIC of the host, on a kernel that has them all: ipvlan, macvtap, macvlan."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from ansible_collections.pipework.containers.plugins.module_utils._core.errors import PipeworkError
from ansible_collections.pipework.containers.plugins.module_utils._engine.run import run
from ansible_collections.pipework.containers.plugins.module_utils._jobs.attach import AttachJob
from tests.kernel.conftest import Guest, Nic
from tests.kernel.conftest import run as command

CASES = [
    ("ipvlan", "l2"), ("ipvlan", "l3"), ("ipvlan", "l3s"),
    ("macvtap", "bridge"), ("macvtap", "private"), ("macvlan", "vepa"),
]


def attach(guest: Guest, **options: Any) -> dict[str, Any]:
    """A check run and then the real one, which does what the first said."""
    params = {"container": str(guest.pid), "runtime": "pid", **options}
    said = run(AttachJob(params), check=True)
    done = run(AttachJob(params))
    assert said["operations"] == done["operations"]
    return done


def shown(guest: Guest) -> dict[str, Any]:
    return json.loads(guest.run("ip", "-d", "-j", "link", "show", "dev", "eth1"))[0]


@pytest.mark.parametrize(("kind", "mode"), CASES)
def test_B7_made_changed_and_removed(
    nics: list[Nic], guest: Guest, make_guest: Callable[[], Guest], kind: str, mode: str
) -> None:
    command("ip", "link", "set", "dev", nics[0].name, "up")
    before = command("ip", "-o", "link")
    options = {"host_interface": nics[0].name, "kind": kind, "mode": mode, "addresses": ["10.9.0.1/24"]}
    assert attach(guest, **options)["changed"]
    info = shown(guest)["linkinfo"]
    assert (info["info_kind"], info["info_data"]["mode"]) == (kind, mode)
    assert not attach(guest, **options)["changed"]
    index = shown(guest)["ifindex"]
    assert attach(guest, **{**options, "mtu": 1400, "addresses": ["10.9.0.3/24"]})["changed"]
    assert (shown(guest)["ifindex"], shown(guest)["mtu"]) == (index, 1400)
    twin = make_guest()  # the same by iproute2: the kernel shows the same
    command("ip", "link", "add", "link", nics[0].name, "name", "twin0", "type", kind, "mode", mode)
    command("ip", "link", "set", "dev", "twin0", "netns", str(twin.pid), "name", "eth1")
    assert shown(twin)["linkinfo"] == info
    twin.run("ip", "link", "delete", "dev", "eth1")
    assert attach(guest, host_interface=nics[0].name, state="absent")["after"] == {}
    assert command("ip", "-o", "link") == before


@pytest.mark.parametrize("mode", ["l2", "l3"])
def test_B7_ipvlans_of_one_nic_reach_each_other(
    nics: list[Nic], make_guest: Callable[[], Guest], mode: str
) -> None:
    one, other = make_guest(), make_guest()
    run(AttachJob({"host_interface": nics[0].name, "kind": "ipvlan", "mode": mode, "runtime": "pid", "attachments": [
        {"container": str(one.pid), "addresses": ["10.9.0.1/24"]},
        {"container": str(other.pid), "addresses": ["10.9.0.2/24"]},
    ]}))
    assert "1 received" in one.run("ping", "-c1", "-W5", "10.9.0.2")
    assert shown(one)["address"] == shown(other)["address"] == nics[0].mac


def test_B7_ipvlan_refusals_touch_nothing(nics: list[Nic], make_guest: Callable[[], Guest]) -> None:
    one, other = make_guest(), make_guest()
    attach(one, host_interface=nics[0].name, kind="ipvlan", mode="l2")
    for options, words in (
        ({"mac_address": "02:00:00:00:00:09"}, "mac_address: 02:00:00:00:00:09 cannot be set"),
        ({"mode": "vepa"}, "mode: 'vepa' is not a mode of ipvlan; l2, l3, l3s are"),
    ):
        with pytest.raises(PipeworkError, match=words):
            attach(other, host_interface=nics[0].name, kind="ipvlan", **options)
    items = [{"container": str(one.pid)}, {"container": str(other.pid), "mode": "l3"}]
    with pytest.raises(PipeworkError, match=r"attachments\[1\]: mode: l3 is not possible.*Nothing was changed"):
        run(AttachJob({"host_interface": nics[0].name, "kind": "ipvlan", "runtime": "pid", "attachments": items}))
    assert "eth1" not in other.run("ip", "-o", "link")
    assert shown(one)["linkinfo"]["info_data"]["mode"] == "l2"


def test_B7_B19_what_does_not_go_beside_an_ipvlan_is_refused_beforehand(
    nics: list[Nic], make_guest: Callable[[], Guest]
) -> None:
    """In a run that is not about the first container: the kernel would change its mode without a word."""
    one, other = make_guest(), make_guest()
    attach(one, host_interface=nics[0].name, kind="ipvlan", mode="l2")
    before = (command("ip", "-o", "link"), one.run("ip", "-o", "link"), other.run("ip", "-o", "link"))
    for options, words in (
        ({"kind": "macvlan"}, "kind: macvlan is not possible on"),
        ({"kind": "ipvlan", "mode": "l3"}, "mode: l3 is not possible.* in mode l2"),
        ({"kind": "phys"}, "carries .* takes that from the host"),
    ):
        params = {"container": str(other.pid), "runtime": "pid", "host_interface": nics[0].name, **options}
        for check in (True, False):
            with pytest.raises(PipeworkError, match=f"{words}.*Nothing was changed") as refused:
                run(AttachJob(params), check=check)
            assert f"pid:{one.pid}/eth1" in str(refused.value)
    assert (command("ip", "-o", "link"), one.run("ip", "-o", "link"), other.run("ip", "-o", "link")) == before
    assert shown(one)["linkinfo"]["info_data"]["mode"] == "l2"
