# Copyright: pipework.containers contributors
# GNU General Public License v3.0+ (see LICENSE)
"""What a message says is read back from it, for every object; with the newest pyroute2 and the oldest promised."""

from __future__ import annotations

import os
import struct
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.pipework.containers.plugins.module_utils._core.errors import PipeworkError
from ansible_collections.pipework.containers.plugins.module_utils._model.objects import (
    GROUP,
    PROTOCOL,
    TABLE_KEPT,
    Address,
    Device,
    Hop,
    Route,
)
from ansible_collections.pipework.containers.plugins.module_utils._netlink import nl80211, rtnl
from ansible_collections.pipework.containers.plugins.module_utils._netlink import route as netlink_route

ROOT = Path(__file__).resolve().parents[2]
OLDEST = "0.7.2"
OTHER = os.environ.get("PIPEWORK_OTHER_PYROUTE2")  # set where this file runs again, in a process of its own

INDEX = {"eth0": 2, "eth1": 7}
NAMES = {index: name for name, index in INDEX.items()}
MAC = "02:00:00:00:00:01"


def header(raw: bytes) -> tuple[int, int, int]:
    """Length, type and flags."""
    length, kind, flags = struct.unpack_from("=IHH", raw)
    return length, kind, flags


def test_the_oldest_pyroute2_that_is_promised(request: pytest.FixtureRequest) -> None:
    """All the others here once more, with 0.7.2."""
    if OTHER:
        pytest.skip("that is this process")
    folder = ROOT / ".cache" / f"pyroute2-{OLDEST}"
    if not (folder / "pyroute2").is_dir():
        pip = [sys.executable, "-m", "pip", "install", "-q", "--disable-pip-version-check", "--no-deps"]
        fetched = subprocess.run(
            [*pip, "--target", str(folder), f"pyroute2=={OLDEST}"], check=False, capture_output=True, text=True
        )
        if fetched.returncode:
            message = f"pyroute2 {OLDEST} cannot be installed: {fetched.stderr[-300:]}"
            (pytest.fail if os.environ.get("PIPEWORK_LANE") == "full" else pytest.skip)(message)
    environment = {**os.environ, "PYTHONPATH": str(folder), "PIPEWORK_OTHER_PYROUTE2": str(folder)}
    others = [str(ROOT / "tests" / "unit" / name) for name in ("test_rules.py", "test_vxlan.py")]
    pytest_again = [sys.executable, "-m", "pytest", "-q", __file__, *others]
    again = subprocess.run(pytest_again, cwd=ROOT, env=environment, check=False, capture_output=True, text=True)
    assert again.returncode == 0, again.stdout + again.stderr


def test_the_pyroute2_that_is_meant_is_the_one_in_use() -> None:
    import pyroute2

    if OTHER:
        assert Path(pyroute2.__file__).is_relative_to(OTHER)
    rtnl.require()


# links


@pytest.mark.parametrize(
    ("kind", "settings", "read"),
    [
        ("dummy", {}, None),
        ("bridge", {}, {}),
        ("bridge", {"stp": True, "forward_delay": 2, "hello_time": 1, "max_age": 6, "ageing_time": 300}, ...),
        ("bridge", {"stp": False, "forward_delay": 0, "ageing_time": 0}, ...),
        ("bridge", {"forward_delay": 2.5, "vlan_filtering": True, "default_pvid": 10}, ...),
        ("macvlan", {"mode": "bridge"}, ...),
        ("macvlan", {"mode": "private"}, ...),
        ("macvlan", {"mode": "vepa"}, ...),
        ("macvlan", {"mode": "passthru"}, ...),
        ("macvlan", {"mode": "source"}, ...),
    ],
)
def test_P1_P13_P19_a_new_link(kind: str, settings: dict[str, Any], read: Any) -> None:
    parent = 2 if kind == "macvlan" else None
    raw = rtnl.new_link("eth1", kind, mac=MAC, mtu=1400, settings=settings, parent=parent, netns=9)
    device = rtnl.decode_device(raw)
    assert header(raw) == (len(raw), 16, 0x605)
    assert device == Device(
        0,
        "eth1",
        kind,
        MAC,
        1400,
        up=False,
        parent_index=parent,
        group=GROUP,
        settings=settings if read is ... else read,
        ethernet=False,
    )
    assert struct.pack("=HHI", 8, 28, 9) in raw  # IFLA_NET_NS_FD


def test_P37_a_link_without_mac_and_mtu_leaves_them_to_the_kernel() -> None:
    device = rtnl.decode_device(rtnl.new_link("eth1", "dummy"))
    assert (device.mac, device.mtu) == (None, None)


def test_P1_both_ends_of_a_veth_in_one_message() -> None:
    from pyroute2.netlink.rtnl.ifinfmsg import ifinfmsg

    raw = rtnl.new_link("eth1", "veth", mac=MAC, mtu=1400, netns=9, peer="pw1")
    near = rtnl.decode_device(raw)
    assert (near.name, near.type, near.mac, near.mtu, near.group) == ("pw1", "veth", None, 1400, GROUP)
    message = ifinfmsg(raw)
    message.decode()
    far = message.get_attr("IFLA_LINKINFO").get_attr("IFLA_INFO_DATA").get_attr("VETH_INFO_PEER")
    wanted = {"IFLA_IFNAME": "eth1", "IFLA_ADDRESS": MAC, "IFLA_MTU": 1400, "IFLA_NET_NS_FD": 9, "IFLA_GROUP": GROUP}
    assert {name: far.get_attr(name) for name in wanted} == wanted
    assert message.get_attr("IFLA_NET_NS_FD") is None


@pytest.mark.parametrize("up", [True, False, None])
def test_P42_a_change_of_a_link(up: bool | None) -> None:
    raw = rtnl.set_link(7, name="eth9", up=up, alias="pipework:x", group=5, master=3, mac=MAC, mtu=1300, netns=4)
    device = rtnl.decode_device(raw)
    assert header(raw)[1:] == (19, 5)
    assert rtnl.index_of(raw) == 7
    assert device == Device(
        7, "eth9", None, MAC, 1300, up=bool(up), master=3, alias="pipework:x", group=5, ethernet=False
    )
    flags, change = struct.unpack_from("=II", raw, 24)
    assert (flags, change) == {True: (1, 1), False: (0, 1), None: (0, 0)}[up]


def test_a_change_says_nothing_of_what_stays() -> None:
    assert len(rtnl.set_link(7, up=True)) == 32
    assert len(rtnl.set_link(7, master=0)) == 40
    assert len(rtnl.set_link(7, alias="", group=0)) > 40


@pytest.mark.parametrize(
    ("kind", "settings"), [("bridge", {"stp": False}), ("bridge", {"max_age": 20}), ("macvlan", {"mode": "vepa"})]
)
def test_P4_a_change_of_settings(kind: str, settings: dict[str, Any]) -> None:
    raw = rtnl.set_link_settings(7, kind, settings)
    assert header(raw)[1:] == (16, 5)
    assert rtnl.decode_device(raw).settings == settings


def test_B14_names_and_aliases_need_not_be_utf_8() -> None:
    raw = rtnl.set_link(7, name="et\udcffX", alias="pipework:\udcfe|ü")
    assert b"et\xffX\0" in raw
    device = rtnl.decode_device(raw)
    assert (device.name, device.alias) == ("et\udcffX", "pipework:\udcfe|ü")
    assert b"et\xffX" in rtnl.ask_link("et\udcffX")


@given(st.text(st.characters(exclude_characters="\0"), max_size=60))
def test_P15_an_alias_comes_back_as_it_was(alias: str) -> None:
    try:
        alias.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        return  # no bytes become such a text
    raw = rtnl.set_link(7, alias=alias)
    same = alias.encode("utf-8", "surrogateescape").decode("utf-8", "surrogateescape")
    assert rtnl.decode_device(raw).alias == same


def test_what_is_asked_and_deleted() -> None:
    assert header(rtnl.dump_links())[1:] == (18, 0x301)
    assert header(rtnl.ask_link("eth1"))[1:] == (18, 5)
    assert header(rtnl.delete_link(7))[1:] == (17, 5)
    assert rtnl.index_of(rtnl.delete_link(7)) == 7
    assert rtnl.index_of(rtnl.delete_group()) == 0
    assert header(rtnl.dump_addresses())[1:] == (22, 0x301)
    assert [netlink_route.dump_routes(version)[16] for version in (4, 6)] == [2, 10]


def test_the_loopback_is_told_by_its_flags() -> None:
    raw = bytearray(rtnl.set_link(1, up=True))
    assert not rtnl.is_loopback(bytes(raw))
    struct.pack_into("=I", raw, 24, 9)
    assert rtnl.is_loopback(bytes(raw))


def test_numbers_of_namespaces() -> None:
    raw = rtnl.ask_nsid(11)
    assert header(raw)[1] == 90
    assert struct.pack("=I", 11) in raw[-4:]
    answer = bytearray(raw)
    struct.pack_into("=HHI", answer, len(raw) - 8, 8, 1, 3)  # NETNSA_NSID
    assert rtnl.decode_nsid(bytes(answer)) == 3
    struct.pack_into("=HHi", answer, len(raw) - 8, 8, 1, -1)
    assert rtnl.decode_nsid(bytes(answer)) is None
    assert rtnl.decode_nsid(b"") is None


# addresses

V4 = st.ip_addresses(v=4).map(str)
V6 = st.integers(0x2000 << 112, (0x4000 << 112) - 1).map(lambda number: str(__import__("ipaddress").ip_address(number)))


@given(V4, st.integers(1, 32), st.none() | V4, st.sampled_from((None, 0x200, 0x400)))
def test_P7_P12_addresses(host: str, length: int, broadcast: str | None, flags: int | None) -> None:
    address = Address("c", "eth1", f"{host}/{length}", broadcast=broadcast, scope=0, flags=flags)
    raw = rtnl.new_address(address, 7)
    assert header(raw)[1:] == (20, 0x605)
    assert rtnl.decode_address(raw, "c", NAMES) == address


@given(V6, st.integers(1, 128))
def test_P7_ipv6_addresses_are_spelled_as_they_are_written(host: str, length: int) -> None:
    address = Address("c", "eth1", f"{host}/{length}", scope=0)
    assert rtnl.decode_address(rtnl.new_address(address, 7), "c", NAMES) == address


def test_an_address_with_a_peer() -> None:
    address = Address("c", "eth1", "10.0.0.1/32", scope=0, peer="10.0.0.2")
    assert rtnl.decode_address(rtnl.new_address(address, 7), "c", NAMES) == address
    raw = rtnl.delete_address(address, 7)
    assert header(raw)[1:] == (21, 5)
    assert rtnl.decode_address(raw, "c", NAMES).address == "10.0.0.1/32"


@pytest.mark.parametrize(
    ("flags", "scope", "index", "static"),
    [
        (0x80, 0, 7, True),
        (0xC0, 0, 7, True),
        (0x80, 253, 7, False),
        (0x80, 254, 7, False),
        (0, 0, 7, False),
        (0x80, 0, 1, False),
    ],
)
def test_P7_which_addresses_somebody_gave(flags: int, scope: int, index: int, static: bool) -> None:
    raw = bytearray(rtnl.new_address(Address("c", "eth1", "10.0.0.1/24"), index))
    raw[18], raw[19] = flags, scope
    assert rtnl.is_static_address(bytes(raw), NAMES) is static


# routes


def there_and_back(route: Route) -> Route:
    raw = netlink_route.new_route(route, INDEX.__getitem__)
    beside = route.family == 6 and route.destination == "default"  # a router may advertise another
    assert header(raw)[1:] == (24, 0x405 if beside else 0x605)
    assert netlink_route.replace_route(route, INDEX.__getitem__)[16:] == raw[16:]
    assert header(netlink_route.replace_route(route, INDEX.__getitem__))[1:] == (24, 0x505)
    return netlink_route.decode_route(raw, route.ns, NAMES)


@pytest.mark.parametrize(
    "route",
    [
        Route("c", 4, "default", gateway="10.0.0.254", device="eth1", scope=0, protocol=PROTOCOL, type=1),
        Route("c", 4, "default", table=TABLE_KEPT, gateway="10.0.0.254", device="eth0", scope=0, protocol=3, type=1),
        Route("c", 4, "10.9.0.1/32", device="eth1", scope=253, protocol=PROTOCOL, type=1),
        Route(
            "c",
            4,
            "10.0.0.0/8",
            metric=100,
            gateway="10.1.1.1",
            device="eth1",
            scope=0,
            onlink=True,
            protocol=4,
            type=1,
        ),
        Route(
            "c",
            4,
            "default",
            gateway="10.0.0.254",
            device="eth1",
            scope=0,
            protocol=3,
            type=1,
            source="10.0.0.7",
            metrics=(("RTAX_MTU", 1400), ("RTAX_ADVMSS", 1360)),
        ),
        Route(
            "c",
            4,
            "default",
            scope=0,
            protocol=3,
            type=1,
            nexthops=(Hop("10.0.0.1", "eth0"), Hop("10.0.0.2", "eth1", 3)),
        ),
        Route("c", 4, "10.8.0.0/16", scope=0, protocol=3, type=6),
        Route("c", 6, "default", metric=1024, gateway="2001:db8::1", device="eth1", protocol=PROTOCOL, type=1),
        Route("c", 6, "default", metric=1024, gateway="fe80::1", device="eth1", protocol=4, type=1, preference=1),
        Route("c", 4, "10.7.0.0/16", gateway="fe80::1", device="eth1", scope=0, protocol=3, type=1, tos=16),
        Route(
            "c",
            4,
            "10.6.0.0/16",
            scope=0,
            protocol=3,
            type=1,
            nexthops=(Hop("fe80::1", "eth0", 1, True), Hop("10.0.0.2", "eth1", 256, False, "mpls 100/200 ttl 7")),
        ),
        Route("c", 4, "10.5.0.0/16", gateway="10.0.0.1", scope=0, protocol=3, type=1, encap="mpls 16"),
        Route("c", 6, "2001:db8:2::/48", device="eth1", protocol=3, type=1, encap="seg6 encap fd00::1,fd00::2"),
        Route("c", 6, "2001:db8:3::/48", device="eth1", protocol=3, type=1, encap="seg6 inline 2001:db8::1"),
        Route("c", 6, "default", origin="2001:db8::/32", gateway="2001:db8::1", device="eth1", protocol=3, type=1),
        Route("c", 6, "2001:db8:1::1/128", metric=1024, device="eth1", protocol=PROTOCOL, type=1),
    ],
    ids=str,
)
def test_P9_P10_routes(route: Route) -> None:
    assert there_and_back(route) == route


def test_P9_a_route_that_says_little_gets_the_usual() -> None:
    found = there_and_back(Route("c", 4, "default", gateway="10.0.0.254", device="eth1"))
    assert (found.protocol, found.type, found.scope) == (4, 1, 0)


def test_P9_a_route_is_deleted_by_what_tells_it_apart_alone() -> None:
    route = Route(
        "c",
        4,
        "default",
        table=TABLE_KEPT,
        metric=7,
        gateway="10.0.0.254",
        device="gone",
        scope=0,
        protocol=3,
        type=1,
    )
    raw = netlink_route.delete_route(route, INDEX.__getitem__)
    assert header(raw)[1:] == (25, 5)
    found = netlink_route.decode_route(raw, "c", NAMES)
    assert (found.key, found.gateway, found.device, found.protocol) == (route.key, None, None, 0)


@pytest.mark.parametrize(
    ("protocol", "flags", "table", "tos", "static"),
    [
        (3, 0, 254, 0, True),
        (PROTOCOL, 0, 0, 0, True),
        (16, 0, 254, 0, True),
        (2, 0, 254, 0, False),
        (1, 0, 254, 0, False),
        (9, 0, 254, 0, False),
        (3, 0x200, 254, 0, False),
        (3, 0, 255, 0, False),
        (3, 0, 254, 16, True),
    ],
)
def test_P9_which_routes_somebody_made(protocol: int, flags: int, table: int, tos: int, static: bool) -> None:
    raw = bytearray(netlink_route.new_route(Route("c", 4, "default", device="eth1"), INDEX.__getitem__))
    raw[19], raw[20], raw[21] = tos, table, protocol
    struct.pack_into("=I", raw, 24, flags)
    assert netlink_route.is_static_route(bytes(raw)) is static


# pyroute2 itself


@pytest.mark.parametrize(
    ("missing", "word"), [("No module named 'pyroute2'", "missing"), ("No module named 'pyroute2.requests'", "too old")]
)
def test_a_missing_or_old_pyroute2_is_said_with_the_remedy(
    missing: str, word: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rtnl, "MISSING", ImportError(missing))
    with pytest.raises(PipeworkError) as caught:
        rtnl.require()
    for words in (word, sys.executable, "0.7.2", "python3-pyroute2", "Nothing was changed"):
        assert words in str(caught.value)


def test_P16_messages_about_wireless_nics() -> None:
    asked = nl80211.ask_family()
    assert struct.unpack_from("=HHIIBB", asked, 4) == (16, 5, 0, 0, 3, 1)
    assert asked[20:] == struct.pack("=HH8s", 12, 2, b"nl80211\0")
    moved = nl80211.move(28, 3, 9)
    assert struct.unpack_from("=HHIIBB", moved, 4) == (28, 5, 0, 0, 49, 1)
    assert moved[20:] == struct.pack("=HHIHHI", 8, 1, 3, 8, 219, 9)
