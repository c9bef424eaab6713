# Copyright: pipework.containers contributors
# GNU General Public License v3.0+ (see LICENSE)
"""B8: which ports have their MAC addresses checked, for which address, and what nft is told and tells."""

from __future__ import annotations

import json
from typing import Any

import pytest

from ansible_collections.pipework.containers.plugins.module_utils._attach import spoof_checks
from ansible_collections.pipework.containers.plugins.module_utils._attach.desired import Target, compile_wish
from ansible_collections.pipework.containers.plugins.module_utils._attach.options import Attachment
from ansible_collections.pipework.containers.plugins.module_utils._core.errors import PipeworkError
from ansible_collections.pipework.containers.plugins.module_utils._core.plan import Absent, Plan, reconcile
from ansible_collections.pipework.containers.plugins.module_utils._filter import mac_spoof
from tests.unit.test_attach import IDENT, World

MAC, OTHER = "06:00:00:00:00:01", "06:00:00:00:00:02"


def plan(world: World, checks: dict[str, str], lacking: str | None = None, **options: Any) -> Plan:
    facts = world.facts()
    facts.spoof_checks, facts.no_spoof_checks = checks, lacking
    item = Attachment.from_params({"container": "a", "runtime": "netns", "host_interface": "br1", **options})
    wish, state = compile_wish([Target(item, "netns:a", "netns", "a", IDENT)], facts)
    for gone in spoof_checks.surplus(facts, state, wish.desired):
        assert isinstance(gone, Absent)
        wish.want(gone)
    return reconcile(wish.desired, state)


def steps(done: Plan) -> list[str]:
    return [str(operation) for operation in done]


@pytest.fixture
def world() -> World:
    found = World()
    found.devices["netns:a"] = []
    found.bridge()
    return found


@pytest.fixture
def attached(world: World) -> World:
    world.pair("netns:a", "eth1", "pw1", "br1", mac=MAC)
    return world


def test_B8_a_new_port_is_checked_before_it_joins(world: World) -> None:
    done = plan(world, {}, port={"mac_spoof_check": True}, local_interface="pw1")
    kinds = [operation.subject.KIND for operation in done]
    assert kinds.index("link") < kinds.index("spoof_check") < kinds.index("port")
    macs = {operation.after.mac for operation in done if getattr(operation.after, "mac", None)}
    assert len(macs) == 1, "the link is made with the address that the check lets pass"


@pytest.mark.parametrize(
    ("checks", "options", "expected"),
    [
        ({}, {"port": {"mac_spoof_check": True}}, ["create spoof_check pw1"]),
        ({"pw1": MAC}, {"port": {"mac_spoof_check": True}}, []),
        ({"pw1": MAC}, {}, []),
        ({"pw1": MAC}, {"port": {"mac_spoof_check": False}}, ["delete spoof_check pw1"]),
        ({"pw1": OTHER}, {}, ["update link netns:a/eth1"]),
        ({"pw1": ""}, {}, ["update spoof_check pw1"]),
        ({"pw1": MAC}, {"mac_address": OTHER}, ["update link netns:a/eth1", "update spoof_check pw1"]),
        (
            {"pw1": MAC},
            {"local_interface": "pw2"},
            ["delete spoof_check pw1", "update port netns:a/eth1", "create spoof_check pw2"],
        ),
        ({"pw1": MAC, "gone": OTHER}, {}, ["delete spoof_check gone"]),
        ({"br1": MAC}, {}, []),
    ],
)
def test_B8_the_check_of_a_port(
    attached: World, checks: dict[str, str], options: dict[str, Any], expected: list[str]
) -> None:
    assert steps(plan(attached, checks, **options)) == expected


def test_B8_it_goes_first_where_the_port_goes(attached: World) -> None:
    attached.host("nic0")
    done = steps(plan(attached, {"pw1": MAC}, host_interface="nic0", kind="macvlan"))
    assert done[0] == "delete spoof_check pw1" and "delete link netns:a/eth1" in done
    assert steps(plan(attached, {"pw1": MAC}, state="absent"))[0] == "delete spoof_check pw1"


def test_B8_what_the_host_lacks_is_said(attached: World) -> None:
    with pytest.raises(PipeworkError, match="port: mac_spoof_check: no nft"):
        plan(attached, {}, "no nft", port={"mac_spoof_check": True})
    assert plan(attached, {}, "no nft") == []


class Nft:
    """What nft would list, and what it is told."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *entries: dict[str, Any]) -> None:
        self.told: list[Any] = []
        self.entries = list(entries)
        monkeypatch.setattr(mac_spoof, "nft_list", lambda *_words: {"nftables": self.entries})
        monkeypatch.setattr(mac_spoof, "nft_do", self.do)

    def do(self, commands: list[Any], *_options: str) -> None:
        self.told += commands


def listed(name: str, mac: str, **more: Any) -> list[dict[str, Any]]:
    rules = [{"chain": f"from-{name}", "comment": f"pipework:{name}", "expr": e, **more} for e in mac_spoof._rules(mac)]
    return [{"chain": {"name": f"from-{name}"}}, *({"rule": rule} for rule in rules)]


def test_B8_what_nft_lists_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    theirs = {"rule": {"chain": "from-b", "expr": [{"drop": None}]}}
    damaged = listed("c", MAC)[:2]
    empty = {"chain": {"name": "from-d"}}
    Nft(monkeypatch, *listed("a", MAC), {"chain": {"name": "from-b"}}, theirs, *damaged, empty)
    assert mac_spoof.observe(wanted=True) == ({"a": MAC, "c": "", "d": ""}, None)


def test_B8_the_table_goes_with_the_last_check(monkeypatch: pytest.MonkeyPatch) -> None:
    nft = Nft(monkeypatch, *listed("a", MAC), *listed("b", MAC))
    mac_spoof.change({}, ["a"])
    assert "table" not in json.dumps([list(command["delete"]) for command in nft.told if "delete" in command])
    nft.told.clear()
    mac_spoof.change({}, ["a", "b", "c"])
    assert list(nft.told[-1]["delete"]) == ["table"]
    nft.told.clear()
    nft.entries.append({"set": {"name": "theirs"}})
    mac_spoof.change({}, ["a", "b"])
    assert list(nft.told[-1]["delete"]) == ["chain"]
    nft.told.clear()
    mac_spoof.change({}, ["c"])
    assert nft.told == []
    nft.entries = [{"metainfo": {}}, {"table": {"name": "pipework"}}]
    assert mac_spoof.observe(wanted=False) == ({mac_spoof.EMPTY: ""}, None)
    mac_spoof.change({}, [mac_spoof.EMPTY])
    assert [list(command["delete"]) for command in nft.told] == [["table"]]
