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

from ansible_collections.pipework.containers.plugins.module_utils import _dhcp6_message as dhcp6
from ansible_collections.pipework.containers.plugins.module_utils._attachment import Attachment
from ansible_collections.pipework.containers.plugins.module_utils._dhcp6_lease import (
    Grant6,
    Lease6,
    duid_of,
    granted,
    unpack,
)
from ansible_collections.pipework.containers.plugins.module_utils._errors import PipeworkError
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
    assert found == Grant6("fd05::7", SERVER.hex(), 1300, 1600, ("fd05::53",), "example.org")
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


def test_P25_a_file_that_was_tampered_with_holds_no_lease() -> None:
    asked = {"hostname": "web1", "duid": "0004"}
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
