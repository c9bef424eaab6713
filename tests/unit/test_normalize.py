# Copyright: pipework.containers contributors
# GNU General Public License v3.0+ (see LICENSE)
"""One spelling for each value, and words for what cannot be one."""

from __future__ import annotations

import ipaddress
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.pipework.containers.plugins.module_utils._core import normalize as norm
from ansible_collections.pipework.containers.plugins.module_utils._core.errors import PipeworkError

# addresses


@pytest.mark.parametrize(
    ("given", "spelled"),
    [
        ("192.168.1.1/24", "192.168.1.1/24"),
        (" 192.168.1.1/24\n", "192.168.1.1/24"),
        ("192.168.1.1/255.255.255.0", "192.168.1.1/24"),
        ("10.0.0.0/31", "10.0.0.0/31"),
        ("10.0.0.1/31", "10.0.0.1/31"),
        ("10.0.0.1/32", "10.0.0.1/32"),
        ("2001:DB8:0:0::1/64", "2001:db8::1/64"),
        ("2001:db8::/64", "2001:db8::/64"),
        ("fd00::1/128", "fd00::1/128"),
    ],
)
def test_P7_addresses_are_spelled_as_the_kernel_does(given: str, spelled: str) -> None:
    assert norm.interface_address(given, "addresses") == spelled


@pytest.mark.parametrize("word", ["0/0", "0.0.0.0/0", "::/0"])
def test_P11_the_classic_word_for_no_address(word: str) -> None:
    assert norm.interface_address(word, "addresses") is None


@pytest.mark.parametrize(
    ("given", "meant"),
    [("192.168.1.1", "192.168.1.1/24"), ("2001:db8::1", "2001:db8::1/64"), ("10.0.0.1", "10.0.0.1/24")],
)
def test_P8_an_address_without_netmask_gets_the_classic_help(given: str, meant: str) -> None:
    with pytest.raises(PipeworkError) as caught:
        norm.interface_address(given, "addresses")
    assert str(caught.value) == (
        f"addresses: {given!r}: the IP address should include a netmask. Maybe you meant {meant}?"
    )


@pytest.mark.parametrize(
    ("given", "why"),
    [
        ("300.1.1.1/24", "not an IP address"),
        ("192.168.1/24", "not an IP address"),
        ("web1/24", "not an IP address"),
        ("/24", "not an IP address"),
        ("", "not an IP address"),
        ("192.168.1.1/33", "'33' is not a netmask; a prefix length from 1 to 32"),
        ("192.168.1.1/-1", "is not a netmask"),
        ("192.168.1.1/", "'' is not a netmask"),
        ("192.168.1.1/24/8", "is not a netmask"),
        ("192.168.1.1/255.0.255.0", "is not a netmask"),
        ("2001:db8::1/129", "'129' is not a netmask; a prefix length from 1 to 128"),
        ("192.168.1.1/0", "prefix length of 0"),
        ("2001:db8::1/0", "prefix length of 0"),
        ("224.0.0.1/24", "unicast"),
        ("ff02::1/64", "unicast"),
        ("0.0.0.0/24", "unicast"),
        ("::/64", "unicast"),
        ("::1/128", "unicast"),
        ("::ffff:10.0.0.1/120", "unicast"),
        ("255.255.255.255/32", "unicast"),
        ("192.168.1.255/24", "broadcast address"),
        ("192.168.1.0/24", "the network itself; that of a single host, such as 192.168.1.1/24, would be right."),
        ("10.0.0.4/30", "the network itself"),
        ("127.0.0.1/8", "the machine itself (127.0.0.0/8); a unicast address would be right."),
        ("240.0.0.1/24", "reserved (240.0.0.0/4); a unicast address would be right."),
        ("0.1.2.3/24", "'this network'"),
        ("fe80::1/64", "link-local"),
        ("fe80::1%eth0/64", "zone"),
    ],
)
def test_P8_impossible_addresses_are_refused_with_option_and_value(given: str, why: str) -> None:
    with pytest.raises(PipeworkError, match=re.escape(why)) as caught:
        norm.interface_address(given, "addresses")
    assert str(caught.value).startswith(f"addresses: {given!r}")


@given(st.ip_addresses(), st.integers(0, 128))
def test_an_address_is_refused_or_stays_what_it_is(address: ipaddress.IPv4Address, length: int) -> None:
    text = f"{address}/{length}"
    try:
        found = norm.interface_address(text, "addresses")
    except PipeworkError:
        return
    if found is not None:
        assert ipaddress.ip_interface(found) == ipaddress.ip_interface(text)
        assert norm.interface_address(found, "addresses") == found


@pytest.mark.parametrize(
    ("cidr", "expected"),
    [
        ("192.168.1.1/24", "192.168.1.255"),
        ("10.0.0.1/30", "10.0.0.3"),
        ("10.0.0.1/31", None),
        ("10.0.0.1/32", None),
        ("2001:db8::1/64", None),
    ],
)
def test_P12_broadcast(cidr: str, expected: str | None) -> None:
    assert norm.broadcast(cidr) == expected


@pytest.mark.parametrize(
    ("gateway", "addresses", "expected"),
    [
        ("10.0.0.254", ("10.0.0.1/24",), True),
        ("10.0.1.254", ("10.0.0.1/24",), False),
        ("10.0.1.254", ("10.0.0.1/24", "10.0.1.1/24"), True),
        ("10.0.0.254", ("10.0.0.1/32",), False),
        ("10.0.0.254", (), False),
        ("2001:db8::1", ("10.0.0.1/24",), False),
        ("2001:db8::1", ("2001:db8::2/64",), True),
        ("fe80::1", (), True),
    ],
)
def test_P10_whether_a_gateway_is_on_the_link(gateway: str, addresses: tuple[str, ...], expected: bool) -> None:
    assert norm.on_link(gateway, addresses) is expected


@pytest.mark.parametrize(
    "given",
    [
        "10.0.0.256", "10.0.0.1/24", "router", "", "224.0.0.1", "0.0.0.0", "::", "fe80::1%eth0", "127.0.0.1",
        "255.255.255.255", "240.0.0.1", "0.0.0.1", "ff02::1", "::1", "::ffff:10.1.1.2",
    ],
)
def test_P9_impossible_gateways_are_refused_with_option_and_value(given: str) -> None:
    with pytest.raises(PipeworkError, match=r"would be right|such as") as caught:
        norm.gateway(given, "gateway")
    assert str(caught.value).startswith(f"gateway: {given!r}")


# MAC addresses


def test_P27_the_classic_address_of_a_string() -> None:
    assert norm.mac_address("U:myhost.foo.com") == "02:72:6c:cd:9b:8d"


def test_P27_any_string_gives_one_address() -> None:
    assert norm.mac_address("U:wéb 1") == norm.mac_address("U:wéb 1") != norm.mac_address("U:web 1")
    with pytest.raises(PipeworkError, match="U:web1"):
        norm.mac_address("U:")


@given(st.text(min_size=1))
def test_P27_any_string_gives_a_unicast_address(seed: str) -> None:
    if seed.strip() == seed:
        assert re.fullmatch(r"02(:[0-9a-f]{2}){5}", norm.mac_address(f"U:{seed}"))


@pytest.mark.parametrize("given", ["02:AB:cd:00:00:01", "02-ab-CD-00-00-01"])
def test_P26_mac_addresses_have_one_spelling(given: str) -> None:
    assert norm.mac_address(given) == "02:ab:cd:00:00:01"


@pytest.mark.parametrize(
    ("given", "why"),
    [
        ("01:00:5e:00:00:01", "multicast address, .* such as 02:00:5e:00:00:01"),
        ("ff:ff:ff:ff:ff:ff", "multicast"),
        ("00:00:00:00:00:00", "is no address"),
        ("02:00:00:00:00", "not a MAC address"),
        ("02:00:00:00:00:0g", "not a MAC address"),
        ("02:00-00:00:00:01", "not a MAC address"),
        ("020000000001", "not a MAC address"),
        ("80:00:02:08:fe:80:00:00:00:00:00:00:00:02:c9:03:00:31:21:71", "not a MAC address"),
        ("", "not a MAC address"),
    ],
)
def test_P28_multicast_infiniband_and_odd_addresses_are_refused(given: str, why: str) -> None:
    with pytest.raises(PipeworkError, match=why) as caught:
        norm.mac_address(given)
    assert str(caught.value).startswith(f"mac_address: {given!r}")


# names and numbers


@pytest.mark.parametrize("name", ["eth1", "a", "fifteen-chars-x", "br-lan.10", "a|b", "ü1", "-x", "'", "$x"])
def test_P5_names_that_the_kernel_takes(name: str) -> None:
    assert norm.interface_name(name, "interface") == name


@pytest.mark.parametrize(
    "name",
    [
        "",
        ".",
        "..",
        "a/b",
        "a b",
        "a\tb",
        "a:b",
        "a%d",
        "sixteen-chars-xx",
        "üüüüüüüü",
        "a\0b",
        "a\n",
        "all",
        "default",
    ],
)
def test_P5_names_that_it_does_not_are_refused_with_option_and_value(name: str) -> None:
    with pytest.raises(PipeworkError, match="15") as caught:
        norm.interface_name(name, "interface")
    assert str(caught.value).startswith(f"interface: {name!r}")


@pytest.mark.parametrize(("given", "number"), [(1500, 1500), ("1500", 1500), (68, 68), (65535, 65535)])
def test_P37_mtus(given: object, number: int) -> None:
    assert norm.mtu(given) == number


@pytest.mark.parametrize("given", [0, 67, 65536, -1, "big", "1500.5", True])
def test_P37_impossible_mtus_are_refused_with_option_and_value(given: object) -> None:
    with pytest.raises(PipeworkError, match=f"^mtu: '?{given}"):
        norm.mtu(given)


@given(st.lists(st.text(), min_size=1))
def test_P6_the_default_name_of_the_host_end_always_fits(parts: list[str]) -> None:
    name = norm.hashed_name("pw", *parts)
    assert norm.interface_name(name, "local_interface") == name == norm.hashed_name("pw", *parts)


def test_P6_different_containers_get_different_names() -> None:
    parts = [
        ("docker:web1", "1", "eth1"),
        ("docker:web1", "2", "eth1"),
        ("docker:web1", "1", "eth2"),
        ("docker:web", "11", "eth1"),
    ]
    assert len({norm.hashed_name("pw", *each) for each in parts}) == len(parts)
    assert len({norm.stable_mac(*each) for each in parts}) == len(parts)


@given(st.text())
def test_a_bridges_own_address_is_local_and_unicast(seed: str) -> None:
    assert norm.mac_address(norm.stable_mac("bridge", seed)).startswith("02:")


@pytest.mark.parametrize(
    ("gateway", "addresses", "why"),
    [
        ("10.1.1.1", ("10.1.1.1/24",), "own address"),
        ("10.1.1.0", ("10.1.1.1/24",), "the address of the network 10.1.1.0/24"),
        ("10.1.1.255", ("10.0.0.1/8", "10.1.1.1/24"), "the broadcast address of the network 10.1.1.0/24"),
        ("10.1.1.0", ("10.1.1.1/31",), None),
        ("10.1.1.1", ("10.1.1.0/31",), None),
        ("10.1.1.0", ("10.1.1.1/32",), None),
        ("10.1.1.0", ("10.1.0.1/16",), None),
        ("fd00::", ("fd00::1/64",), None),
    ],
)
def test_P9_what_is_no_router_on_a_network(gateway: str, addresses: tuple[str, ...], why: str | None) -> None:
    found = norm.no_gateway(gateway, addresses)
    assert found is None if why is None else why in str(found)


@pytest.mark.parametrize(
    ("address", "spelled"),
    [("::FFFF:a00:1", "::ffff:10.0.0.1"), ("::a00:1", "::10.0.0.1"), ("::1", "::1"), ("FD00::1", "fd00::1")],
)
def test_P32_ipv4_inside_of_ipv6_is_spelled_as_the_kernel_does(address: str, spelled: str) -> None:
    assert norm.spelled(ipaddress.ip_address(address)) == spelled
