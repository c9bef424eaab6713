# Copyright: pipework.containers contributors
# GNU General Public License v3.0+ (see LICENSE)
"""DHCP messages and leases: what is sent, and what is made of what a server says, whatever it says."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import struct
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.pipework.containers.plugins.module_utils._agent.dhcp4 import Client4
from ansible_collections.pipework.containers.plugins.module_utils._agent.lease_client import (
    BOUND,
    REBINDING,
    RENEWING,
    SELECTING,
)
from ansible_collections.pipework.containers.plugins.module_utils._agent.record import FROM_SERVER, Record, token
from ansible_collections.pipework.containers.plugins.module_utils._attach.options import Attachment
from ansible_collections.pipework.containers.plugins.module_utils._core.errors import PipeworkError
from ansible_collections.pipework.containers.plugins.module_utils._ipam import dhcp4_message as dhcp
from ansible_collections.pipework.containers.plugins.module_utils._ipam.dhcp4_grant import (
    Grant,
    check_hostname,
    granted,
    hostname_of,
    option_of,
    unpack,
)
from ansible_collections.pipework.containers.plugins.module_utils._ipam.external import CLIENTS, Ask
from ansible_collections.pipework.containers.plugins.module_utils._ipam.external import answer as answer_of
from ansible_collections.pipework.containers.plugins.module_utils._ipam.external.words import options_of
from ansible_collections.pipework.containers.plugins.module_utils._ipam.external_client import last_words

MAC = bytes.fromhex("020000000001")
SERVER, OWN = bytes([10, 5, 0, 254]), bytes([10, 5, 0, 7])
USUAL = {
    dhcp.TYPE: bytes([dhcp.ACK]),
    dhcp.SERVER: SERVER,
    dhcp.MASK: bytes([255, 255, 255, 0]),
    dhcp.SECONDS: struct.pack("!I", 600),
    dhcp.ROUTER: SERVER,
}


def answer(options: dict[int, bytes], address: bytes = OWN) -> dhcp.Message:
    return dhcp.Message(1, MAC, address, options, sender=b"\x02\0\0\0\0\x99")


def lease(address: bytes = OWN, **options: bytes) -> Grant:
    given_ = {getattr(dhcp, name): value for name, value in options.items()}
    return granted(answer({**USUAL, **given_}, address), now=1000)


def reply(data: bytes) -> bytes:
    """A client's message as a server's."""
    return b"\x02" + data[1:]


def test_P20_a_message_goes_there_and_back() -> None:
    data = dhcp.encode(dhcp.DISCOVER, 77, MAC, {dhcp.HOSTNAME: b"web1"})
    assert len(data) >= 300 and data[10] & 0x80  # to be answered by broadcast
    packet = dhcp.frame(reply(data), MAC)
    assert dhcp.unframe(packet) is None  # it goes to the server's port
    turned = packet[:34] + struct.pack("!HH", 67, 68) + packet[38:]
    found = dhcp.unframe(turned)
    assert found is not None
    assert (found.xid, found.mac, found.kind, found.sender) == (77, MAC, dhcp.DISCOVER, MAC)
    assert found.options[dhcp.HOSTNAME] == b"web1"
    assert dhcp.decode(data) is None  # a client speaks


@given(st.binary(max_size=700))
def test_P20_no_packet_makes_it_stumble(noise: bytes) -> None:
    dhcp.unframe(noise)
    whole = reply(dhcp.encode(dhcp.ACK, 1, MAC, {}))[:240] + noise
    found = dhcp.decode(whole)
    if found is not None:
        with contextlib.suppress(PipeworkError):  # and nothing else
            granted(found, 0)


@given(st.dictionaries(st.integers(1, 254), st.binary(max_size=255), max_size=12), st.binary(min_size=4, max_size=4))
def test_P20_no_options_make_it_stumble(options: dict[int, bytes], address: bytes) -> None:
    with contextlib.suppress(PipeworkError):  # and nothing else
        found = granted(answer({**USUAL, **options}, address), 0)
        _asked, again = unpack(found.pack({"client": "builtin", "hostname": "a", "options": []}))
        assert again == found


def test_P20_options_in_parts_and_in_other_fields() -> None:
    data = reply(dhcp.encode(dhcp.ACK, 1, MAC, {}))
    parts = bytes([dhcp.OVERLOAD, 1, 3, dhcp.DOMAIN, 3]) + b"exa" + bytes([dhcp.DOMAIN, 4]) + b"mple" + b"\xff"
    sname, file = bytes([dhcp.HOSTNAME, 1]) + b"x\xff", bytes([dhcp.MTU, 2, 5, 0, 255])
    whole = data[:44] + sname.ljust(64, b"\0") + file.ljust(128, b"\0") + data[236:240] + parts
    found = dhcp.decode(whole)
    assert found is not None
    assert found.options[dhcp.DOMAIN] == b"example"
    assert found.options[dhcp.HOSTNAME] == b"x" and found.options[dhcp.MTU] == b"\x05\0"
    assert dhcp.decode(data[:240] + bytes([dhcp.DOMAIN, 200]) + b"short") is None


def test_P20_what_a_lease_says() -> None:
    found = lease(DNS=SERVER * 2, DOMAIN=b"example.org", MTU=b"\x05\x78")
    assert (found.address, found.server, found.gateway, found.mtu) == ("10.5.0.7/24", "10.5.0.254", "10.5.0.254", 1400)
    assert (found.dns, found.domain, found.expires) == (("10.5.0.254", "10.5.0.254"), "example.org", 1600)
    assert (found.mac, found.server_mac) == ("02:00:00:00:00:01", "02:00:00:00:00:99")
    assert found.left(1590.5) == 9
    assert lease(SECONDS=b"\xff" * 4).expires is None
    assert lease(MASK=b"").address == "10.5.0.7/8"


def test_P20_routes_go_before_the_router() -> None:
    routes = bytes([24, 172, 16, 9, 10, 5, 0, 1, 0, 10, 5, 0, 2, 32, 10, 9, 9, 9, 0, 0, 0, 0])
    found = lease(ROUTES=routes)
    assert found.gateway == "10.5.0.2"
    assert found.routes == (("172.16.9.0/24", "10.5.0.1"), ("10.9.9.9/32", None))
    assert lease(ROUTES=bytes([24, 172, 16, 9, 10, 5, 0, 1])).gateway is None
    for broken in (bytes([33, 1, 2, 3, 4, 5]), bytes([24, 172]), bytes([0, 10, 5])):
        assert lease(ROUTES=broken).gateway == "10.5.0.254"
    odd = bytes([8, 127, 10, 5, 0, 1, 4, 224, 10, 5, 0, 1, 0, 127, 0, 0, 1, 0, 0, 0, 0, 0])
    assert (lease(ROUTES=odd).routes, lease(ROUTES=odd).gateway) == ((), None)


@pytest.mark.parametrize(
    ("options", "address", "words"),
    [
        ({dhcp.SERVER: b"\xe0\0\0\x01"}, OWN, "without saying who it is"),
        ({dhcp.SERVER: b""}, OWN, "without saying who it is"),
        ({dhcp.MASK: b"\xff\0\xff\0"}, OWN, "cannot be the address of an interface"),
        ({dhcp.MASK: bytes(4)}, b"\xe0\0\0\x01", "cannot be the address of an interface"),
        ({}, bytes(4), "cannot be the address of an interface"),
        ({}, b"\x7f\0\0\x01", "cannot be the address of an interface"),
        ({}, bytes([10, 5, 0, 255]), "cannot be the address of an interface"),
        ({dhcp.SECONDS: bytes(4)}, OWN, "for 0 s, which is too short"),
        ({dhcp.SECONDS: b"\xff" * 8}, OWN, "too short"),
    ],
)
def test_P20_a_hostile_answer_is_of_no_use(options: dict[int, bytes], address: bytes, words: str) -> None:
    with pytest.raises(PipeworkError, match=words):
        granted(answer({**USUAL, **options}, address), 0)


def test_P24_what_is_odd_beside_the_address_is_left_out() -> None:
    found = lease(
        DOMAIN=b"example.org;reboot",
        ROUTER=b"\x7f\0\0\x01" + OWN + b"\x0a",
        DNS=b"\xe0\0\0\x01" + SERVER,
        MTU=b"\0\x44",
    )
    assert (found.domain, found.gateway, found.dns, found.mtu) == (None, None, ("10.5.0.254",), None)


def test_P25_a_file_that_was_tampered_with_holds_no_lease() -> None:
    asked = {"client": "builtin", "hostname": "a", "options": ["vendor-class=x"], "through": "br1 vlan 7"}
    text = lease(DOMAIN=b"example.org").pack(asked)
    assert unpack(text) == ({**asked, "options": ("vendor-class=x",)}, lease(DOMAIN=b"example.org"))
    held = json.loads(text)
    for field, value in (
        ("address", "10.5.0.7"),
        ("address", None),
        ("gateway", "$(reboot)"),
        ("routes", [["default via", None]]),
        ("routes", 7),
        ("dns", [1]),
        ("mac", "../x"),
        ("mtu", 9),
        ("expires", "soon"),
    ):
        with pytest.raises(ValueError, match=r"^(?s:.*)$"):
            unpack(json.dumps({**held, "grant": {**held["grant"], field: value}}))
    for broken in ("", "[]", "{}", '{"asked": {}}', "\0"):
        with pytest.raises(ValueError, match=r"^(?s:.*)$"):
            unpack(broken)


@pytest.mark.parametrize(
    ("container", "hostname"),
    [
        ("web1", "web1"),
        ("k8s.io/web$(x)", "web-x"),
        ("/home/me/web 1", "web-1"),
        ("ü", "container"),
        ("a" * 80, "a" * 63),
    ],
)
def test_P23_the_containers_name_as_a_hosts(container: str, hostname: str) -> None:
    assert hostname_of(container) == hostname


def test_P23_a_hostname_is_one() -> None:
    assert check_hostname("web1.example.org") == "web1.example.org"
    for wrong in ("web 1", "-web", "web;reboot", "a" * 64, "a..b"):
        with pytest.raises(PipeworkError, match=r"dhcp_hostname: .* is not the name of a host"):
            check_hostname(wrong)


@pytest.mark.parametrize(
    ("text", "option"),
    [
        ("requested-address=10.5.0.7", (50, OWN)),
        ("lease-time=600", (51, struct.pack("!I", 600))),
        ("vendor-class=web", (60, b"web")),
        ("61=0x01ab", (61, b"\x01\xab")),
        ("77=a=b", (77, b"a=b")),
    ],
)
def test_P22_options_are_words_with_a_value(text: str, option: tuple[int, bytes]) -> None:
    assert option_of(text) == option


@pytest.mark.parametrize(
    "text",
    ["-f", "", "60", "60=", "0=x", "255=x", "53=x", "12=x", "-x hostname:a", "61=0xabc", "lease-time=-1", "50=web1"]
    + ["77=" + "x" * 65, "²=x"],
)
def test_P22_what_is_none_is_refused(text: str) -> None:
    with pytest.raises(PipeworkError, match="dhcp_options: "):
        option_of(text)


@pytest.mark.parametrize(
    ("text", "right"),
    [
        ("lease-time=1h", "a whole number of seconds, such as lease-time=3600, would be right"),
        ("requested-address=foo", "an address of IPv4, such as requested-address=192.168.1.50, would be right"),
        ("60=0xabc", "after 0x an even number of hex digits, for at most 64 bytes, such as 60=0x0abc, would be right"),
        ("77=" + "x" * 65, "at most 64 bytes would be right"),
        ("53=1", "option 53 is sent by the client itself; leave it out"),
        ("12=web1", "option 12 is sent by the client itself; 'dhcp_hostname' says it"),
    ],
)
def test_P22_what_would_be_right_for_each(text: str, right: str) -> None:
    with pytest.raises(PipeworkError) as caught:
        option_of(text)
    assert str(caught.value).startswith(f"dhcp_options: {text!r}: ") and right in str(caught.value)


def test_P21_the_last_words_of_a_client_are_not_its_banner() -> None:
    banner = [
        "Internet Systems Consortium DHCP Client 4.4.3-P1", "Copyright 2004-2022 Internet Systems Consortium.",
        "All rights reserved.", "For info, please visit https://www.isc.org/software/dhcp/", "",
    ]  # fmt: skip
    said = last_words(CLIENTS["dhclient"], [*banner, "No DHCPOFFERS received.", "Unable to obtain a lease."])
    assert said == " dhclient says: No DHCPOFFERS received. / Unable to obtain a lease."
    assert last_words(CLIENTS["dhclient"], banner) == ""


@pytest.mark.parametrize(
    ("params", "words"),
    [
        ({"dhcp": "magic"}, "dhcp: 'magic' is not one of builtin"),
        ({"dhcp": "docker", "dhcp_image": "-x"}, "dhcp_image: '-x' is not the name of an image"),
        ({"dhcp": "builtin", "kind": "dummy"}, "reaches no server"),
        ({"dhcp": "builtin", "dhcp_timeout": 0}, "dhcp_timeout: 0 is not possible"),
        ({"dhcp_options": ["60=a", "vendor-class=b"]}, "says again what another one says"),
    ],
)
def test_P20_bad_options_are_refused(params: dict[str, Any], words: str) -> None:
    with pytest.raises(PipeworkError, match=words):
        Attachment.from_params({"container": "a", "host_interface": "br1", **params})


def test_P20_a_gateway_can_be_reached_from_an_address_that_dhcp_brings() -> None:
    params = {"container": "a", "host_interface": "br1", "dhcp": "builtin", "addresses": [], "gateway": ["10.5.0.1"]}
    assert Attachment.from_params(params).gateway == ("10.5.0.1",)


# -- programs that ask

SAYS: dict[str, dict[str, str]] = {
    "udhcpc": {
        "ip": "10.5.0.7", "subnet": "255.255.255.0", "router": "10.5.0.254", "dns": "10.5.0.53 10.5.0.54",
        "lease": "600", "domain": "example.org", "mtu": "1400", "serverid": "10.5.0.254",
        "staticroutes": "172.16.0.0/12 10.5.0.1",
    },
    "dhclient": {
        "new_ip_address": "10.5.0.7", "new_subnet_mask": "255.255.255.0", "new_routers": "10.5.0.254",
        "new_domain_name_servers": "10.5.0.53 10.5.0.54", "new_domain_name": "example.org", "new_interface_mtu": "1400",
        "new_dhcp_lease_time": "600", "new_dhcp_server_identifier": "10.5.0.254",
        "new_rfc3442_classless_static_routes": "12 172 16 10 5 0 1",
    },
}  # fmt: skip
SAYS["dhcpcd"] = {
    **{name: value for name, value in SAYS["dhclient"].items() if "rfc" not in name},
    "new_classless_static_routes": "172.16.0.0/12 10.5.0.1",
}


def lease_said(client: str, environment: dict[str, str]) -> Grant:
    return granted(answer_of(CLIENTS[client], environment, MAC, b"\xff" * 6), 100.0)


@pytest.mark.parametrize("client", CLIENTS)
def test_P20_a_programs_lease_is_the_one_that_the_built_in_client_would_have(client: str) -> None:
    found = lease_said(client, SAYS[client])
    assert (found.address, found.server, found.expires, found.mtu) == ("10.5.0.7/24", "10.5.0.254", 700.0, 1400)
    assert (found.gateway, found.routes) == (None, (("172.16.0.0/12", "10.5.0.1"),))
    assert (found.dns, found.domain) == (("10.5.0.53", "10.5.0.54"), "example.org")
    assert unpack(found.pack({"client": client, "hostname": "a", "options": []}))[1] == found


@given(st.sampled_from(sorted(CLIENTS)), st.data())
def test_P24_whatever_a_program_says_is_a_lease_or_an_error(client: str, data: st.DataObject) -> None:
    words = st.sampled_from(
        ["", "bad", "$(reboot)", "-1", "99999999999", "10.5.0.300", "1.2.3.4/33 x", "\udc80\x1b[0m"]
    )
    said = {name: data.draw(st.one_of(st.just(value), words)) for name, value in SAYS[client].items()}
    try:
        found = lease_said(client, said)
    except PipeworkError:
        return
    assert found.address.partition("/")[0] == "10.5.0.7" and "reboot" not in found.pack({})
    assert unpack(found.pack({"client": client, "hostname": "a", "options": []}))[1] == found


@pytest.mark.parametrize("client", CLIENTS)
def test_P24_what_a_client_is_told_is_never_more_than_a_word(client: str) -> None:
    options = dict([option_of('60=x;\nscript /evil"'), option_of("client-id=`id`"), option_of("50=10.5.0.9")])
    ask = Ask('e"; #', {12: b"web1", **options}, 30)
    told = " ".join((*CLIENTS[client].argv(ask)[:-1], *CLIENTS[client].files(ask).values()))
    assert not any(each in told for each in ("evil", "`id`", '"; #\n', "; #\n"))


@pytest.mark.parametrize(
    ("params", "words"),
    [
        ({"dhcp": "dhcpcd", "dhcp_options": ["77=x"]}, "'77=x': dhcpcd cannot send this option"),
        ({"dhcp": "dhclient", "kind": "ipvlan"}, r"dhclient cannot ask for answers .*\(kind ipvlan\)"),
    ],
)
def test_P22_what_a_program_cannot_do_is_refused(params: dict[str, Any], words: str) -> None:
    with pytest.raises(PipeworkError, match=words):
        Attachment.from_params({"container": "a", "host_interface": "br1", **params})
    Attachment.from_params({"container": "a", "host_interface": "br1", **params, "dhcp": "udhcpc"})


@pytest.mark.parametrize(
    ("client", "words", "options"),
    [
        ("udhcpc", "-r 10.0.0.5 -T 2 -n", {"dhcp_options": ["requested-address=10.0.0.5"], "dhcp_timeout": 6.0}),
        ("udhcpc", "-x hostname:w -x 0x4d:6162 -x lease:60 -t 5", {
            "dhcp_hostname": "w", "dhcp_options": ["77=0x6162", "lease-time=60"], "dhcp_timeout": 15.0}),
        ("dhclient", "-H w -C 01:02 -V shop -1 -v", {
            "dhcp_hostname": "w", "dhcp_options": ["client-id=0x0102", "vendor-class=shop"]}),
        ("dhcpcd", "-h w -I web1 -l 60 -t 9", {
            "dhcp_hostname": "w", "dhcp_options": ["client-id=web1", "lease-time=60"], "dhcp_timeout": 9.0}),
    ],
)  # fmt: skip
def test_P22_words_of_the_programs_are_options_here(client: str, words: str, options: dict[str, Any]) -> None:
    assert options_of(client, words.split()) == options


@pytest.mark.parametrize(
    ("client", "words", "error"),
    [
        ("udhcpc", "-s /tmp/x", "'-s' is not an option of udhcpc that is known here; -r, "),
        ("udhcpc", "-x router:x", "'-x router:x' is not known here"),
        ("dhclient", "-H", "'-H' lacks its value"),
        ("dhcpcd", "-t soon", "have to be numbers"),
    ],
)
def test_P22_words_that_mean_nothing_here_are_refused(client: str, words: str, error: str) -> None:
    with pytest.raises(PipeworkError, match=error):
        options_of(client, words.split())


def test_P20_what_a_client_sends_is_told_from_what_it_hears() -> None:
    sent = dhcp.frame(dhcp.encode(dhcp.REQUEST, 7, MAC, {}), MAC)
    assert dhcp.asked(sent, MAC) == dhcp.REQUEST
    assert dhcp.asked(sent, b"\2" * 6) is None and dhcp.asked(sent[:100], MAC) is None and dhcp.asked(b"", MAC) is None


@pytest.mark.parametrize(
    ("said", "moments"),
    [
        ({}, (1300, 1525)),
        ({"RENEWS": 100, "REBINDS": 200}, (1100, 1200)),
        ({"RENEWS": 200, "REBINDS": 100}, (1100, 1100)),
        ({"RENEWS": 0, "REBINDS": 700}, (1300, 1525)),
        ({"RENEWS": 1, "REBINDS": 2}, (1002, 1002)),
    ],
)
def test_P21_when_a_lease_is_renewed(said: dict[str, int], moments: tuple[int, int]) -> None:
    found = lease(**{name: struct.pack("!I", seconds) for name, seconds in said.items()})
    assert (found.renews, found.rebinds) == moments
    assert unpack(found.pack({"client": "builtin", "hostname": "a", "options": []}))[1] == found


def test_P21_a_lease_without_end_is_never_renewed() -> None:
    found = lease(SECONDS=b"\xff" * 4, RENEWS=struct.pack("!I", 100))
    assert (found.renews, found.rebinds, found.expires) == (None, None, None)


def test_P21_a_lease_of_an_earlier_version_is_kept() -> None:
    held = json.loads(lease().pack({"client": "builtin", "hostname": "a", "options": []}))
    del held["grant"]["renews"], held["grant"]["rebinds"]
    assert unpack(json.dumps(held))[1].renews is None


def test_P21_nothing_is_kept_where_nothing_is_asked() -> None:
    params = {"container": "a", "host_interface": "br1", "dhcp_keep": True}
    with pytest.raises(PipeworkError, match="dhcp_keep: without 'dhcp' or 'dhcp6' there is no lease to keep; say who"):
        Attachment.from_params(params)
    with pytest.raises(PipeworkError, match="dhcp_keep: without 'dhcp' or 'dhcp6'"):
        Attachment.from_params({**params, "link_local": True, "dhcp6": False})
    assert Attachment.from_params({**params, "dhcp": "builtin"}).dhcp_keep
    assert Attachment.from_params({**params, "dhcp6": True}).dhcp_keep
    assert not Attachment.from_params({**params, "state": "absent"}).dhcp


RECORD = Record(
    "netns:a", "eth1", 7, "02:00:00:00:00:01", False, (4, 99), "pipework:x", {"pid": 1, "born": 2}, {"12": "61"}, "a",
    ("lease-time=60",), FROM_SERVER, FROM_SERVER,
)  # fmt: skip


def test_P21_a_record_goes_there_and_back() -> None:
    assert Record.unpack(RECORD.pack()) == RECORD
    assert RECORD.gateways == {"gateway": None, "gateway_dhcp": False, "gateway_metric": None}
    assert dataclasses.replace(RECORD, gateway="10.0.0.1 fd00::1").gateways["gateway"] == ("10.0.0.1", "fd00::1")
    asked = dataclasses.replace(RECORD, gateway="fd00::1 dhcp metric:7").gateways
    assert asked == {"gateway": ("fd00::1",), "gateway_dhcp": True, "gateway_metric": 7}
    assert token(RECORD.pack()) != token(dataclasses.replace(RECORD, index=8).pack())
    old = json.loads(RECORD.pack())
    del old["duties"], old["duid"]
    assert Record.unpack(json.dumps(old)) == RECORD  # one of an earlier version
    assert Record.unpack(json.dumps({**old, "duties": ["lease6", "odd"]})).duties == ("lease6",)
    for text in ("", "[]", "{}", '{"namespace": 3}', '{"namespace": [1, 2], "options": 5}'):
        with contextlib.suppress(ValueError):
            Record.unpack(text)
            pytest.fail(text)


def test_P21_a_client_says_what_its_state_asks_for() -> None:
    client = Client4(RECORD)
    client.adopt(lease())
    assert [client.phase(now) for now in (1299, 1300, 1525, 1600)] == [BOUND, RENEWING, REBINDING, SELECTING]
    renewing, rebinding = [], []
    for state, found in ((RENEWING, renewing), (REBINDING, rebinding)):
        client.state = state
        found.append(client.message())
    assert renewing[0][:6] == b"\x02\0\0\0\0\x99"
    assert renewing[0][30:34] == SERVER
    assert rebinding[0][:6] == b"\xff" * 6
    for frame in (renewing[0], rebinding[0]):
        assert (frame[26:30], frame[54:58]) == (OWN, OWN)  # its own address, as sender and in the message
        assert bytes([dhcp.SERVER, 4]) not in frame[282:]
        assert bytes([dhcp.REQUESTED, 4]) not in frame[282:]
    client.adopt(None)
    client.state = SELECTING
    assert bytes([dhcp.REQUESTED, 4]) + OWN in client.message()


def test_P21_a_client_believes_only_whom_it_asked() -> None:
    client = Client4(RECORD)
    client.adopt(lease())
    client.state = RENEWING
    other = {**USUAL, dhcp.SERVER: bytes([10, 5, 0, 66])}
    for wrong in (
        answer(other), answer({**other, dhcp.TYPE: bytes([dhcp.NAK])}), answer(USUAL, bytes([10, 5, 0, 8])),
        answer({**USUAL, dhcp.TYPE: bytes([dhcp.OFFER])}), answer({**USUAL, dhcp.SECONDS: bytes(4)}),
    ):  # fmt: skip
        client.hear(wrong, 1300)
        assert client.pending is None
    client.state = REBINDING
    client.hear(answer(other), 1525)
    assert client.pending is not None
    assert client.pending.grant is not None
    assert (client.pending.grant.server, client.pending.grant.expires) == ("10.5.0.66", 2125)
