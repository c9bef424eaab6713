# Copyright: pipework.containers contributors
# GNU General Public License v3.0+ (see LICENSE)
"""DHCPv6: what is sent, and what is made of what a server says, whatever it says."""

from __future__ import annotations

import contextlib
import json
import socket
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.pipework.containers.plugins.module_utils._agent.dhcp6 import Client6
from ansible_collections.pipework.containers.plugins.module_utils._agent.lease_client import (
    BOUND,
    REBINDING,
    RENEWING,
    SELECTING,
)
from ansible_collections.pipework.containers.plugins.module_utils._agent.record import FROM_SERVER, LEASE6, Record
from ansible_collections.pipework.containers.plugins.module_utils._attach.dhcp6 import Lease6
from ansible_collections.pipework.containers.plugins.module_utils._attach.options import Attachment
from ansible_collections.pipework.containers.plugins.module_utils._core.errors import PipeworkError
from ansible_collections.pipework.containers.plugins.module_utils._ipam import dhcp6_message as dhcp6
from ansible_collections.pipework.containers.plugins.module_utils._ipam.dhcp6_grant import (
    Grant6,
    Refused,
    duid_of,
    granted,
    moments,
    unpack,
)
from tests.unit.test_attach import WEB1, lines, simple

IAID, SERVER = b"abcd", bytes.fromhex("00010001329402000000")


def packed(address: str, preferred: int = 300, valid: int = 600) -> bytes:
    value = socket.inet_pton(socket.AF_INET6, address) + struct.pack("!II", preferred, valid)
    return IAID + bytes(8) + dhcp6.pack([(dhcp6.IAADDR, value)])


def answer(*ia: bytes, server: bytes = SERVER, **options: bytes) -> dhcp6.Message:
    listed = [(dhcp6.SERVERID, server), *((dhcp6.IA_NA, each) for each in ia)]
    listed += [(getattr(dhcp6, name), value) for name, value in options.items()]
    found = dhcp6.decode(dhcp6.encode(dhcp6.REPLY, 0x123456, listed))
    assert found is not None and (found.kind, found.xid) == (dhcp6.REPLY, 0x123456)
    return found


def test_B16_what_a_lease_says() -> None:
    domains = b"\x07example\x03org\x00\x01x\x00"
    dns = socket.inet_pton(socket.AF_INET6, "fd05::53")
    found = granted(answer(packed("fd05::7"), DNS_SERVERS=dns + b"\xff" * 16 + b"x", DOMAIN_LIST=domains), IAID, 1000)
    assert found == Grant6("fd05::7", SERVER.hex(), 1300, 1600, ("fd05::53",), "example.org", 1150, 1240)
    assert found.left(1590.5) == 9
    lasting = granted(answer(packed("fd05::7", 0xFFFFFFFF, 0xFFFFFFFF)), IAID, 0)
    assert (lasting.expires, lasting.left(0)) == (None, None)
    others = b"wxyz" + packed("fd05::9")[4:]
    assert granted(answer(others, packed("::1"), packed("fd05::8")), IAID, 0).address == "fd05::8"
    assert granted(answer(packed("fd05::7"), DOMAIN_LIST=b"\x08exa;mple\x00"), IAID, 0).domain is None


@pytest.mark.parametrize(
    ("message", "words"),
    [
        (answer(packed("fd05::7"), server=b""), "without saying who it is"),
        (answer(packed("fd05::7"), server=bytes(131)), "without saying who it is"),
        (answer(packed("ff02::1")), "without an address that can be used"),
        (answer(packed("fe80::1")), "without an address that can be used"),
        (answer(packed("::ffff:10.1.0.1")), "without an address that can be used"),
        (answer(packed("fd05::7", 700, 600)), "without an address that can be used"),
        (answer(packed("fd05::7", 0, 0)), "without an address that can be used"),
        (answer(packed("fd05::7")[:30]), "without an address that can be used"),
        (answer(), "without an address that can be used"),
        (answer(IAID + bytes(8) + dhcp6.pack([(dhcp6.STATUS, b"\0\2none$(x)\n")])), r"'none\$\(x\)\\n' \(status 2\)"),
        (answer(packed("fd05::7"), STATUS=b"\0\1"), r"gives no address: '' \(status 1\)"),
    ],
)
def test_B16_a_hostile_answer_is_of_no_use(message: dhcp6.Message, words: str) -> None:
    with pytest.raises(PipeworkError, match=words):
        granted(message, IAID, 0)


@given(st.binary(max_size=400))
def test_B16_no_packet_makes_it_stumble(noise: bytes) -> None:
    dhcp6.names(noise)
    whole = [(dhcp6.SERVERID, SERVER), (dhcp6.IA_NA, IAID + bytes(8) + noise)]
    for data in (noise, dhcp6.encode(dhcp6.REPLY, 1, whole)):
        found = dhcp6.decode(data)
        if found is not None:
            with contextlib.suppress(PipeworkError):  # and nothing else
                grant = granted(found, IAID, 0)
                assert unpack(grant.pack({"hostname": "a", "duid": "00"}))[1] == grant


DAYS = st.integers(0, 0xFFFFFFFF)


@given(DAYS, DAYS, DAYS, DAYS)
def test_P21_more_time_is_asked_for_in_time_whatever_is_said(t1: int, t2: int, preferred: int, valid: int) -> None:
    if preferred > valid or valid < 10:
        return
    renews, rebinds = moments((t1, t2), preferred, valid)
    if valid == 0xFFFFFFFF:
        assert (renews, rebinds) == (None, None)
    else:
        assert renews is not None and rebinds is not None and 3 <= renews <= rebinds < valid


@pytest.mark.parametrize(
    ("said", "preferred", "valid", "found"),
    [
        ((100, 200), 300, 600, (100, 200)),
        ((0, 0), 300, 600, (150, 240)),
        ((0, 400), 300, 600, (150, 400)),
        ((300, 200), 300, 600, (150, 200)),  # RFC 8415 would ignore the address
        ((1, 2), 300, 600, (150, 240)),
        ((0xFFFFFFFF, 0xFFFFFFFF), 300, 600, (150, 240)),
        ((0, 0), 1, 600, (3, 3)),
        ((0, 0), 0, 600, (300, 480)),
    ],
)
def test_P21_when_a_lease_is_renewed(
    said: tuple[int, int], preferred: int, valid: int, found: tuple[int, int]
) -> None:
    assert moments(said, preferred, valid) == found
    value = packed("fd05::7", preferred, valid)
    timed = value[:4] + struct.pack("!II", *said) + value[12:]
    grant = granted(answer(timed), IAID, 1000)
    assert (grant.renews, grant.rebinds) == tuple(1000 + each for each in found)
    assert unpack(grant.pack({"hostname": "a", "duid": "00"}))[1] == grant


def test_P21_a_server_may_take_an_address_back() -> None:
    with pytest.raises(Refused, match="takes fd05::7 back"):
        granted(answer(packed("fd05::7", 0, 0)), IAID, 0, "fd05::7")
    both = packed("fd05::9") + packed("fd05::7")[12:]
    assert granted(answer(both), IAID, 0).address == "fd05::9"
    assert granted(answer(both), IAID, 0, "fd05::7").address == "fd05::7"
    for code, kind in ((1, PipeworkError), (2, Refused), (3, Refused), (4, Refused), (5, PipeworkError)):
        with pytest.raises(PipeworkError, match=f"status {code}") as caught:
            granted(answer(IAID + bytes(8) + dhcp6.pack([(dhcp6.STATUS, struct.pack("!H", code))])), IAID, 0, "fd05::7")
        assert isinstance(caught.value, Refused) == (kind is Refused)


RECORD = Record(
    "netns:a", "eth1", 7, "02:00:00:00:00:01", False, (4, 99), "pipework:x", {"pid": 1, "born": 2}, {}, "a", (),
    FROM_SERVER, FROM_SERVER, (LEASE6,), "0004aabb",
)  # fmt: skip


def client() -> Client6:
    found = Client6(RECORD)
    found.adopt(Grant6("fd05::7", SERVER.hex(), 1300, 1600, renews=1150, rebinds=1240))
    return found


def test_P21_B16_a_client_says_what_its_state_asks_for() -> None:
    asks = client()
    assert [asks.phase(now) for now in (1149, 1150, 1240, 1600)] == [BOUND, RENEWING, REBINDING, SELECTING]
    own = socket.inet_pton(socket.AF_INET6, "fd05::7")
    for state, kind, server in ((RENEWING, dhcp6.RENEW, SERVER), (REBINDING, dhcp6.REBIND, b"")):
        asks.state, asks.since = state, 1000
        said = dhcp6.decode(asks.message(1002.5))
        assert said is not None
        assert (said.kind, said.one(dhcp6.SERVERID), said.one(dhcp6.CLIENTID)) == (kind, server, b"\0\4\xaa\xbb")
        assert said.one(dhcp6.ELAPSED) == (250).to_bytes(2, "big")
        assert said.one(dhcp6.IA_NA)[4:12] == bytes(8)
        assert said.one(dhcp6.IA_NA)[16:32] == own
    asks.adopt(None)
    asks.state = SELECTING
    said = dhcp6.decode(asks.message(1003))
    assert said is not None
    assert (said.kind, said.one(dhcp6.IA_NA)[16:32]) == (dhcp6.SOLICIT, own)  # the one that it had


def reply(asks: Client6, ia: bytes, xid: int = 0, kind: int = dhcp6.REPLY, **odd: bytes) -> bytes:
    said = {"CLIENTID": asks.duid, "SERVERID": SERVER, "IA_NA": asks.iaid + ia[4:], **odd}
    return dhcp6.encode(kind, xid, [(getattr(dhcp6, name), value) for name, value in said.items()])


def test_P21_B16_a_client_believes_only_whom_it_asked() -> None:
    asks = client()
    asks.state = RENEWING
    good, other = packed("fd05::7"), SERVER + b"x"
    taken = packed("fd05::7", 0, 0)
    for wrong in (
        reply(asks, good, xid=1), reply(asks, good, CLIENTID=b"\0\4\xaa\xbc"), reply(asks, packed("fd05::8")),
        reply(asks, packed("ff02::1")), reply(asks, good, SERVERID=other), reply(asks, taken, SERVERID=other),
        reply(asks, good, kind=dhcp6.ADVERTISE), reply(asks, good, SERVERID=b""), b"", b"\7",
        reply(asks, packed("fd05::7", 1, 2)), reply(asks, good, STATUS=b"\0\1"),
    ):  # fmt: skip
        asks.take(wrong, 1160)
        assert asks.pending is None
    asks.take(reply(asks, good), 1160)
    assert asks.pending is not None
    assert (asks.pending.grant.renews, asks.pending.grant.expires) == (1310, 1760)
    asks = client()
    asks.state = REBINDING
    asks.take(reply(asks, good, SERVERID=other), 1250)
    assert asks.pending is not None
    assert asks.pending.grant.server == other.hex()
    for lost in (reply(asks, taken), reply(asks, good, STATUS=b"\0\3")):
        asks = client()
        asks.state = RENEWING
        asks.take(lost, 1160)
        assert asks.pending is not None
        assert asks.pending.grant is None


@given(st.binary(max_size=300))
def test_P21_B16_no_packet_makes_a_client_stumble(noise: bytes) -> None:
    asks = client()
    asks.state = RENEWING
    asks.take(noise, 1160)
    asks.take(reply(asks, IAID + bytes(8) + noise), 1160)


def test_P25_a_file_that_was_tampered_with_holds_no_lease() -> None:
    asked = {"hostname": "web1", "duid": "0004", "through": "br1"}
    text = Grant6("fd05::7", SERVER.hex(), 1.0, 2.0, ("fd05::53",), "example.org").pack(asked)
    assert unpack(text)[0] == asked
    held = json.loads(text)
    wrong = [("address", "fd05::7/64"), ("address", 7), ("server", "../x"), ("dns", [1]), ("expires", "soon")]
    for field, value in wrong:
        with pytest.raises(ValueError, match=r"^(?s:.*)$"):
            unpack(json.dumps({**held, "grant": {**held["grant"], field: value}}))
    for broken in ("", "[]", "{}", "\0"):
        with pytest.raises(ValueError, match=r"^(?s:.*)$"):
            unpack(broken)


def test_B16_an_attachment_has_the_same_duid_each_time() -> None:
    first = duid_of("seed", "docker:web1", "eth1")
    assert (len(first), first[:2]) == (18, b"\0\4")
    assert first == duid_of("seed", "docker:web1", "eth1")
    assert len({first, duid_of("seed", "docker:web1", "eth2"), duid_of("other", "docker:web1", "eth1")}) == 3


def test_B16_a_lease_comes_last_and_its_address_when_it_is_there() -> None:
    said = lines(simple(), {**WEB1, "dhcp6": True})
    assert said[2] == "create sysctl docker:web1/net.ipv6.conf.eth1.disable_ipv6"
    assert said[-1] == "create lease6 docker:web1/eth1" and "address" not in str(said)
    have = Lease6("a", "eth1", hostname="x", duid="00", grant=Grant6("fd05::7", "00"))
    assert Lease6("a", "eth1", hostname="x", duid="00").differences(have) == frozenset()
    assert Lease6("a", "eth1", hostname="y", duid="00").differences(have) == {"hostname"}


def test_B16_bad_options_are_refused() -> None:
    for params, words in (({"kind": "dummy"}, "dhcp6: .* reaches no server"), ({"mtu": 1000}, "too small for IPv6")):
        with pytest.raises(PipeworkError, match=words):
            Attachment.from_params({"container": "a", "host_interface": "br1", "dhcp6": True, **params})
