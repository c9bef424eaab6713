# Copyright: pipework.containers contributors
# GNU General Public License v3.0+ (see LICENSE)
"""Seals and records: what a container wrote is never taken for this host's own words."""

from __future__ import annotations

import dataclasses

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from ansible_collections.pipework.containers.plugins.module_utils._bridge.uplinks import Record as UplinkRecord
from ansible_collections.pipework.containers.plugins.module_utils._model.believed import Kept, believe
from ansible_collections.pipework.containers.plugins.module_utils._model.objects import (
    GROUP,
    GROUP_DELETE,
    HOST,
    MARK,
    UNFINISHED,
    UPLINK,
    Device,
    Nic,
)
from ansible_collections.pipework.containers.plugins.module_utils._model.observed import Facts
from ansible_collections.pipework.containers.plugins.module_utils._model.seals import (
    INSIDE,
    LENT,
    PORT,
    SEAL,
    Place,
    Record,
    claims,
    genuine,
    seal,
)

SECRET = b"only root knows it"
OWNER = "pipework:docker:web1:3f2a9c41d0b7:eth1"
PERM, OTHER = "52:54:00:00:00:01", "52:54:00:00:00:02"
NIC = Nic("nic0", 1500, PERM, True, ("192.0.2.1/24",), "uplink|1")
RECORD = Record(
    LENT,
    NIC.pack(OWNER),
    "",
    "77",
    1,
    "eth1",
    None,
    Place(5, None, None),
    Place(5, None, None),
    PERM,
    "0000:01:00.0",
    "0123456789ab",
)
RECORD = dataclasses.replace(RECORD, alias=seal(RECORD.text, RECORD, SECRET))
ODD = st.text() | st.text("|:/;~0a²\udcff").map(lambda text: MARK + text) | st.text("|0aup").map(lambda x: UPLINK + x)


def device(**fields: object) -> Device:
    given_: dict[str, object] = {"index": 5, "name": "eth1", "type": None, "mac": PERM, "mtu": 1500, "up": True}
    return Device(**{**given_, "perm": PERM, "bus": "0000:01:00.0", **fields})  # type: ignore[arg-type]


def known(label: str, *devices: Device, records: tuple[Record, ...] = (RECORD,), journal: tuple = ()) -> Facts:
    facts = Facts({HOST: {}, label: {each.name: each for each in devices}})
    believe(facts, Kept(records, journal, SECRET), {HOST: "1", label: "1" if label == HOST else "77"})
    return facts


def test_a_seal_is_as_long_as_its_constant_says() -> None:
    assert len(RECORD.alias) == len(RECORD.text) + SEAL
    assert genuine(RECORD.alias, RECORD, SECRET)


@given(st.data())
def test_B17_an_alias_that_was_changed_anywhere_is_not_genuine(data: st.DataObject) -> None:
    place = data.draw(st.integers(0, len(RECORD.alias) - 1))
    letter = data.draw(st.characters(codec="utf-8"))
    changed = RECORD.alias[:place] + letter + RECORD.alias[place + 1 :]
    assert genuine(changed, RECORD, SECRET) == (changed == RECORD.alias)


@pytest.mark.parametrize(
    "fields",
    [
        {"perm": OTHER},
        {"bus": "0000:02:00.0"},
        {"kind": "veth"},
        {"nonce": "ba9876543210"},
        {"sort": PORT},
    ],
    ids=str,
)
def test_B17_a_seal_is_bound_to_device_nonce_and_sort(fields: dict[str, str]) -> None:
    assert not genuine(RECORD.alias, dataclasses.replace(RECORD, **fields), SECRET)  # type: ignore[arg-type]
    assert not genuine(RECORD.alias, RECORD, b"another secret")
    assert not genuine(RECORD.alias, RECORD, b"")


@given(ODD)
@example(UPLINK)
@example(UPLINK + "br1|up|192.0.2.66/24|")
@example("pipework:|a|" + "9" * 5000 + "||up|||")
def test_B17_whatever_an_alias_says_nothing_is_believed_without_a_record(alias: str) -> None:
    for label in ("docker:web1", HOST):
        facts = known(label, device(alias=alias), records=())
        found = facts.devices[label]["eth1"]
        assert found.owner is None and Nic.unpack(found.alias or "") is None
        assert UplinkRecord.unpack(found.alias) is None
        assert not alias.startswith(MARK) or found.alias is None
        assert not claims(alias) or (label, "eth1") in facts.refused


@given(ODD | st.none())
def test_B17_a_lent_nic_is_known_whatever_the_container_wrote_and_calls_it(alias: str | None) -> None:
    for label, name in (("docker:web1", "evil"), (HOST, "eth7")):
        found = known(label, device(name=name, index=9, alias=alias)).devices[label][name]
        assert Nic.unpack(found.alias or "") == (OWNER, NIC)


@pytest.mark.parametrize(
    "fields", [{"perm": OTHER}, {"bus": "0000:02:00.0"}, {"type": "veth"}, {"perm": None, "bus": None}], ids=str
)
def test_B17_another_device_with_the_whole_alias_is_not_the_nic(fields: dict[str, str]) -> None:
    for label in ("docker:web1", HOST):
        facts = known(label, device(alias=RECORD.alias, **fields))
        assert facts.devices[label]["eth1"].alias is None
        assert "no record of it" in facts.refused[label, "eth1"]


@pytest.mark.parametrize("group", [GROUP, GROUP_DELETE])
def test_B17_a_link_group_alone_says_nothing(group: int) -> None:
    for kind in ("veth", "macvlan", None):
        mine = device(type=kind, group=group)
        assert known("docker:web1", mine, records=()).devices["docker:web1"]["eth1"].owner is None
        busy = ((("77", "eth1", "veth")),)
        listed = known("docker:web1", mine, records=(), journal=busy).devices["docker:web1"]["eth1"].owner
        assert listed == (UNFINISHED if kind == "veth" else None)


def test_B17_an_interface_is_ours_by_its_numbers_not_by_its_words() -> None:
    place = Place(9, 3, 0)
    record = Record(INSIDE, OWNER, OWNER, "77", 1, "eth1", "macvlan", place)
    ours = device(index=9, type="macvlan", perm=None, bus=None, parent_index=3, parent_netnsid=0, name="x")
    found = known("docker:web1", ours, records=(record,)).devices["docker:web1"]["x"]
    assert found.owner == OWNER and found.unmarked
    for fields in ({"index": 10}, {"parent_index": 4}, {"parent_netnsid": None}, {"type": "macvtap"}):
        other = dataclasses.replace(ours, alias=OWNER, **fields)  # type: ignore[arg-type]
        assert known("docker:web1", other, records=(record,)).devices["docker:web1"]["x"].owner is None
