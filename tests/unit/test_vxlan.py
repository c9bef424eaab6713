# Copyright: pipework.containers contributors
# GNU General Public License v3.0+ (see LICENSE)
"""Segments over several hosts, as far as no kernel is needed."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.pipework.containers.plugins.module_utils._core.errors import PipeworkError
from ansible_collections.pipework.containers.plugins.module_utils._core.plan import Absent, reconcile, simulate
from ansible_collections.pipework.containers.plugins.module_utils._model.fdb import (
    ALL,
    LEARNED_ELSEWHERE,
    SELF,
    FdbEntry,
)
from ansible_collections.pipework.containers.plugins.module_utils._model.objects import HOST, Link
from ansible_collections.pipework.containers.plugins.module_utils._netlink import fdb as netlink_fdb
from ansible_collections.pipework.containers.plugins.module_utils._netlink import rtnl
from ansible_collections.pipework.containers.plugins.module_utils._vxlan.options import Segment, segments_from_params

PLAIN = {"vni": 100, "bridge": "br1", "local": "10.0.0.1"}


@given(
    st.sampled_from([ALL, "02:00:00:00:00:01"]),
    st.one_of(st.ip_addresses(v=4), st.ip_addresses(v=6)).map(str),
    st.tuples(st.integers(0, 65535), st.integers(0, (1 << 24) - 1), st.integers(0, 99)),
    st.sampled_from([SELF, SELF | LEARNED_ELSEWHERE]),
)
def test_what_is_encoded_and_decoded_keeps_all(mac: str, dst: str, odd: tuple[int, int, int], flags: int) -> None:
    entry = FdbEntry(HOST, "vxlan1", mac, dst, odd, flags=flags)
    for raw in (netlink_fdb.new_entry(entry, 7), netlink_fdb.delete_entry(entry, 7)):
        assert netlink_fdb.decode_entry(raw, HOST, "vxlan1", 7) == entry
        assert netlink_fdb.decode_entry(raw, HOST, "vxlan1", 8) is None
    learnt = bytearray(netlink_fdb.new_entry(entry, 7))
    struct.pack_into("=H", learnt, 24, 0x02)  # reachable, not permanent
    assert netlink_fdb.decode_entry(bytes(learnt), HOST, "vxlan1", 7) is None


@pytest.mark.parametrize("local", ["10.0.0.1", "fd00::1"])
def test_a_link_is_read_as_it_was_written(local: str) -> None:
    settings = {"vni": 100, "port": 4789, "local": local, "learning": False, "link": 3}
    raw = bytearray(rtnl.new_link("vxlan100", "vxlan", mtu=1450, settings=settings))
    found = rtnl.decode_device(bytes(raw)).settings
    assert found == {**settings, "family": 6 if ":" in local else 4}


def test_only_plain_entries_for_all_are_those_of_the_list() -> None:
    ours = FdbEntry(HOST, "vxlan1", ALL, "10.0.0.2")
    assert ours.floods and ours.carrier == ("link", HOST, "vxlan1")
    for odd in (
        FdbEntry(HOST, "vxlan1", "02:00:00:00:00:01", "10.0.0.2"),
        FdbEntry(HOST, "vxlan1", ALL, "10.0.0.2", (8472, 0, 0)),
        FdbEntry(HOST, "vxlan1", ALL, "10.0.0.2", flags=SELF | LEARNED_ELSEWHERE),
        FdbEntry(HOST, "vxlan1", ALL, "10.0.0.2", state=0x40),
    ):
        assert not odd.floods


def test_a_new_link_keeps_the_entries_of_others_and_comes_before_them() -> None:
    link = Link(HOST, "vxlan1", type="vxlan", settings={"vni": 1, "port": 4789}, owner="pipework:vxlan")
    other = FdbEntry(HOST, "vxlan1", "02:00:00:00:00:01", "10.0.0.2")
    gone = FdbEntry(HOST, "vxlan1", ALL, "10.0.0.3")
    observed = {item.key: item for item in (link, other, gone)}
    want = Link(HOST, "vxlan1", type="vxlan", settings={"port": 8472}, owner="pipework:vxlan")
    desired = {want.key: want, gone.key: Absent(gone.key)}
    plan = reconcile(desired, observed)
    assert [(o.action, o.key[0]) for o in plan if not o.implied] == [
        ("delete", "link"),
        ("create", "link"),
        ("update", "link"),
        ("create", "fdb"),
    ]
    after = simulate(observed, plan)
    assert other.key in after and gone.key not in after and not reconcile(desired, after)


def test_the_same_list_serves_all_hosts_and_defaults_are_those_of_the_task() -> None:
    segment = Segment.from_params({**PLAIN, "remotes": ["10.0.0.2", "10.0.0.1", " 10.0.0.2"]})
    assert (segment.name, segment.port, segment.remotes) == ("vxlan100", 4789, ("10.0.0.2",))
    first, second = segments_from_params({
        "vni": None, "local": "10.0.0.1", "mtu": 1400,
        "segments": [{"vni": "1", "bridge": "a"}, {"vni": 2, "bridge": "b", "mtu": 1300, "state": "present"}],
    })  # fmt: skip
    assert (first.vni, first.mtu, first.remotes, second.mtu) == (1, 1400, None, 1300)


def test_a_subnet_is_written_with_its_length() -> None:
    for text, meant in (("10.0.0.1", "10.0.0.0/24"), ("fd00::1", "fd00::/64"), ("10.0.0.1/16", "10.0.0.0/16")):
        with pytest.raises(PipeworkError, match=rf"^subnets: '{text}'.* Maybe you meant {meant}\?$"):
            segments_from_params({**PLAIN, "subnets": [text]})
    for port in (0, "0"):
        with pytest.raises(PipeworkError, match="port: 0 is not possible; 1 to 65535 would be right"):
            segments_from_params({**PLAIN, "port": port})
    assert segments_from_params({**PLAIN, "port": ""})[0].port == 4789
