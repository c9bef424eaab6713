# Copyright: pipework.containers contributors
# GNU General Public License v3.0+ (see LICENSE)
"""Options of DHCP in every length, records of other versions, and how often the lease agent tries something."""

from __future__ import annotations

import contextlib
import json
import struct
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.pipework.containers.plugins.module_utils._agent.pace import (
    BETWEEN_RUNS,
    RUNS_AT_ONCE,
    SELDOM,
    Pace,
    Trouble,
)
from ansible_collections.pipework.containers.plugins.module_utils._agent.record import DUTIES, Foreign, Record
from ansible_collections.pipework.containers.plugins.module_utils._core.errors import PipeworkError
from ansible_collections.pipework.containers.plugins.module_utils._ipam import dhcp4_grant, dhcp6_grant
from ansible_collections.pipework.containers.plugins.module_utils._ipam import dhcp4_message as dhcp
from ansible_collections.pipework.containers.plugins.module_utils._ipam import dhcp6_message as dhcp6
from ansible_collections.pipework.containers.plugins.module_utils._ipam import store as ipam_store

MAC, SERVER_MAC = bytes.fromhex("020000000001"), bytes.fromhex("0200000005fe")
SERVER, OWN = bytes([10, 5, 0, 254]), bytes([10, 5, 0, 7])
USUAL = {
    dhcp.TYPE: bytes([dhcp.ACK]), dhcp.SERVER: SERVER, dhcp.MASK: b"\xff\xff\xff\0",
    dhcp.SECONDS: struct.pack("!I", 600),
}  # fmt: skip
LENGTHS = [*range(301), 1785, 1786, 1800, 5000]
SOME = [*range(18), 63, 64, 65, 254, 255, 256, 257, 300, 1786, 5000]  # for options that nobody reads
READ = {*dhcp.FIXED, dhcp.ROUTER, dhcp.DNS, dhcp.DOMAIN, dhcp.ROUTES}
NEEDED = {dhcp.TYPE, dhcp.SERVER, dhcp.SECONDS, dhcp.OVERLOAD}


def packet(options: dict[int, bytes], sender: bytes = SERVER_MAC) -> bytes:
    """A server's frame, with options in parts where they are long (RFC 3396)."""
    data = bytearray(dhcp.encode(dhcp.ACK, 1, MAC, {})[:240])
    data[0], data[16:20] = 2, OWN
    for code, value in options.items():
        for start in range(0, max(len(value), 1), 255):
            part = value[start : start + 255]
            data += bytes([code, len(part)]) + part
    framed = bytearray(dhcp.frame(bytes(data) + b"\xff", sender, source=SERVER))
    framed[34:38] = struct.pack("!HH", 67, 68)
    return bytes(framed)


def granted(message: dhcp.Message) -> tuple[dhcp4_grant.Grant | None, str]:
    """A lease, or the one error that there may be."""
    try:
        return dhcp4_grant.granted(message, 0), ""
    except PipeworkError as error:
        return None, str(error)


@pytest.mark.parametrize("code", range(1, 255))
def test_B17_each_option_of_dhcp_in_each_length_is_a_lease_or_one_clear_error(code: int) -> None:
    for length in LENGTHS if code in READ else SOME:
        for filler in (b"\0", b"\x09", b"\xff"):
            message = dhcp.unframe(packet({**USUAL, code: filler * length}))
            if message is None:
                assert code == dhcp.OVERLOAD
                continue
            grant, words = granted(message)
            if grant is None:
                assert 0 < len(words) < 300 and code in (*NEEDED, dhcp.MASK)
            else:
                asked = {"client": "builtin", "hostname": "a", "options": []}
                assert dhcp4_grant.unpack(grant.pack(asked))[1] == grant
                if code in dhcp.FIXED and length not in (0, dhcp.FIXED[code]):  # it counts for nothing
                    assert code not in (*NEEDED - {dhcp.TYPE}, dhcp.MASK)
                    assert grant == dhcp4_grant.granted(dhcp.unframe(packet(USUAL)) or message, 0)


def test_B17_a_lease_time_of_1786_bytes_is_told_by_its_length() -> None:
    message = dhcp.unframe(packet({**USUAL, dhcp.SECONDS: b"\x09" * 1786}))
    assert message is not None
    with pytest.raises(PipeworkError, match="option 51 in 1786 bytes, where 4 would be right"):
        dhcp4_grant.granted(message, 0)


@pytest.mark.parametrize("sender", ["010000000001", "333300000001", "01005e000001", "000000000000"])
def test_B17_an_answer_from_where_no_machine_is(sender: str) -> None:
    message = dhcp.unframe(packet(USUAL, bytes.fromhex(sender)))
    assert message is not None and not message.credible
    with pytest.raises(PipeworkError, match="which no machine has"):
        dhcp4_grant.granted(message, 0)
    assert dhcp.unframe(packet(USUAL, b"\xff" * 6)) is None


def test_B17_a_server_that_gives_its_own_address() -> None:
    with pytest.raises(PipeworkError, match="cannot be the address of an interface"):
        dhcp4_grant.granted(dhcp.Message(1, MAC, SERVER, USUAL, SERVER_MAC), 0)


IAID = b"iaid"
READ6 = (dhcp6.SERVERID, dhcp6.IA_NA, dhcp6.IAADDR, dhcp6.STATUS, dhcp6.DNS_SERVERS, dhcp6.DOMAIN_LIST)


@pytest.mark.parametrize("code", [*range(1, 60), 65535])
def test_B17_each_option_of_dhcpv6_in_each_length_too(code: int) -> None:
    address = dhcp6.pack([(dhcp6.IAADDR, bytes.fromhex("fd05" + "0" * 27 + "7") + struct.pack("!II", 300, 600))])
    usual = [(dhcp6.SERVERID, b"\0\3\0\1server"), (dhcp6.IA_NA, IAID + bytes(8) + address)]
    for length in LENGTHS if code in READ6 else SOME:
        for inside in (False, True):
            odd = (code, b"\x09" * length)
            inner = IAID + bytes(8) + address + dhcp6.pack([odd])
            options = [usual[0], (dhcp6.IA_NA, inner)] if inside else [*usual, odd]
            message = dhcp6.decode(dhcp6.encode(dhcp6.REPLY, 1, options))
            assert message is not None
            with contextlib.suppress(PipeworkError):  # and nothing else
                grant = dhcp6_grant.granted(message, IAID, 0)
                assert dhcp6_grant.unpack(grant.pack({"hostname": "a", "duid": "00"}))[1] == grant


# -- files


@pytest.mark.parametrize("text", ["[" * 60000, "9" * 6000, "NaN", '{"grant": 1e999}', "[]", "null", ""])
def test_B17_what_is_no_file_of_a_lease(text: str) -> None:
    for unpack in (dhcp4_grant.unpack, dhcp6_grant.unpack, Record.unpack):
        with pytest.raises(ValueError, match=r".*"):
            unpack(text)


@given(st.sampled_from(["expires", "renews", "rebinds", "mtu", "address", "dns", "routes"]), st.data())
def test_B17_a_lease_file_with_anything_in_it_is_a_lease_or_none(name: str, data: st.DataObject) -> None:
    values = st.one_of(st.none(), st.floats(), st.integers(), st.text(), st.lists(st.text()))
    grant = dhcp4_grant.granted(dhcp.Message(1, MAC, OWN, USUAL, SERVER_MAC), 0)
    held = json.loads(grant.pack({"client": "builtin", "hostname": "a", "options": []}))
    held["grant"][name] = data.draw(values)
    with contextlib.suppress(ValueError):
        dhcp4_grant.unpack(json.dumps(held))[1].left(1.0)


def test_B17_a_lease_of_an_earlier_start_of_the_host_is_none(tmp_path: Path) -> None:
    grant = dhcp4_grant.granted(dhcp.Message(1, MAC, OWN, USUAL, SERVER_MAC), ipam_store.clock())
    asked = {"client": "builtin", "hostname": "a", "options": []}
    path = str(tmp_path / "lease")
    for boot, valid in ((ipam_store.boot(), True), ("", True), ("another", False)):
        ipam_store.write(path, grant.pack(asked, "x", boot))
        assert (ipam_store.load(path, dhcp4_grant.unpack) is not None) == valid


def record(**more: Any) -> str:
    usual = Record(
        label="netns:a", device="eth1", index=2, mac="02:00:00:00:00:01", shared=False, namespace=(4, 5), owner="x",
        holder={}, sent={}, hostname="a", options=(), gateway="server", mtu="server",
    )  # fmt: skip
    return json.dumps({**json.loads(usual.pack()), **more})


def test_B17_what_a_later_version_added_to_a_record_is_named_and_stays() -> None:
    text = record(frobnicate=[1], duties=["lease", "sing"])
    found = Record.unpack(text)
    assert (found.duties, found.unknown) == (("lease",), ("frobnicate", "duty sing"))
    again = json.loads(found.pack(text))
    assert again["frobnicate"] == [1] and again["duties"] == ["lease", "sing"]
    assert json.loads(found.pack()) == json.loads(record())


@given(st.sampled_from(sorted(json.loads(record()))), st.data())
def test_B17_a_record_with_anything_in_it_is_one_or_foreign(name: str, data: st.DataObject) -> None:
    values = (st.none(), st.integers(), st.text(), st.lists(st.text()), st.dictionaries(st.text(), st.text()))
    value = data.draw(st.one_of(*values))
    with contextlib.suppress(Foreign):  # and nothing else
        found = Record.unpack(record(**{name: value}))
        assert set(found.duties) <= set(DUTIES)
    with pytest.raises(Foreign, match="version"):
        Record.unpack(record(version=2))


# -- how often


def test_B17_news_without_an_end_get_ever_fewer_runs() -> None:
    pace, now, runs = Pace(), 1000.0, []
    while now < 1000 + 3600:
        if pace.next(now) <= now:
            pace.began(now)
            runs.append(now)
        now += 3
    assert runs[:RUNS_AT_ONCE] == [1000.0 + 3 * number for number in range(RUNS_AT_ONCE)]
    later = [second - first for first, second in zip(runs[RUNS_AT_ONCE - 1 :], runs[RUNS_AT_ONCE:])]
    assert later[0] >= BETWEEN_RUNS and later == sorted(later) and len(runs) < 15
    now += SELDOM + BETWEEN_RUNS  # it was quiet
    assert pace.next(now) == now


def test_B17_troubles_are_counted_and_tried_again_later_and_later() -> None:
    trouble, waits = Trouble(), []
    for _time in range(12):
        trouble.met("no", 100.0)
        waits.append(trouble.until - 100)
    assert waits == sorted(waits) and waits[0] == 10 and waits[-1] == 600 and trouble.total == 12
    trouble.over()
    assert (trouble.count, trouble.total, trouble.until) == (0, 12, 0.0)
