# Copyright: pipework.containers contributors
# GNU General Public License v3.0+ (see LICENSE)
"""P36, B7: there is no IPoIB device of software. So what goes to the kernel is compared, byte for byte, with what
iproute2 sends for the same wish, both as the kernel itself saw them (nlmon). The same for virtual functions.
"""

from __future__ import annotations

import os
import pathlib
import socket
import struct
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from ansible_collections.pipework.containers.plugins.module_utils._engine.requests import REQUESTS, create_link
from ansible_collections.pipework.containers.plugins.module_utils._model.objects import GROUP, HOST, Link
from ansible_collections.pipework.containers.plugins.module_utils._model.sriov import Vf, VfAddress
from ansible_collections.pipework.containers.plugins.module_utils._netlink.namespaces import Namespaces
from tests.kernel.conftest import run as command

pytestmark = pytest.mark.qemu
REQUEST, NEWLINK, SETLINK = 1, 16, 19
ETH_P_ALL = 3
LINKINFO, INFO_KIND = 18, 1
NESTED: Any = {LINKINFO: {2: {}}, 22: {1: {}}}  # with IFLA_INFO_DATA; IFLA_VFINFO_LIST with IFLA_VF_INFO
NET_NS_FD = 28
Message = tuple[int, int, bytes, Any]


@pytest.fixture
def sent() -> Iterator[Callable[[Callable[[], object]], list[Message]]]:
    """A function that does something and returns the changes of links that were asked of the kernel meanwhile."""
    command("ip", "link", "add", "nlmon0", "type", "nlmon")
    command("ip", "link", "set", "dev", "nlmon0", "up")
    tap = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETH_P_ALL))
    tap.bind(("nlmon0", 0))
    tap.settimeout(0)

    def listen(work: Callable[[], object]) -> list[Message]:
        work()
        found = []
        while True:  # each message is there before its answer is
            try:
                raw = tap.recv(1 << 16)
            except BlockingIOError:
                return found
            kind, flags = struct.unpack_from("=HH", raw, 4)
            if kind in (NEWLINK, SETLINK) and flags & REQUEST and len(raw) > 32:
                found.append((kind, flags, raw[16:32], attributes(raw[32:], NESTED)))

    yield listen
    tap.close()
    command("ip", "link", "delete", "dev", "nlmon0")


def attributes(data: bytes, nested: Any) -> Any:
    """By type and in order of type, those that hold others as such. The number of a file descriptor tells nothing."""
    found = []
    at = 0
    while at < len(data):
        length, kind = struct.unpack_from("=HH", data, at)
        kind &= 0x3FFF
        value: Any = data[at + 4:at + length]
        if kind == NET_NS_FD and nested is NESTED:
            value = b"a file descriptor"
        if kind == INFO_KIND and nested is NESTED[LINKINFO]:
            value = value.rstrip(b"\0")  # iproute2 leaves the end of this one string out
        found.append((kind, attributes(value, nested[kind]) if kind in nested else value))
        at += (length + 3) & ~3
    return sorted(found, key=lambda each: each[0])


def tell(ns: str, messages: list[bytes], namespaces: Namespaces) -> None:
    namespaces[ns].send(messages)


@pytest.mark.parametrize("settings", [
    {}, {"pkey": 0x8001}, {"pkey": 0x7FFF, "mode": "datagram"}, {"mode": "connected", "pkey": 0xFFFF},
], ids=str)
def test_P36_what_is_sent_for_an_ipoib_interface_is_what_iproute2_sends(sent: Any, settings: dict[str, Any]) -> None:
    command("ip", "link", "add", "ibparent", "type", "veth", "peer", "name", "ibother")
    command("ip", "netns", "add", "ibguest")
    try:
        words = [str(word) for pair in settings.items() for word in pair]
        theirs = sent(lambda: command(
            "ip", "link", "add", "link", "ibparent", "name", "ib0", "netns", "ibguest", "mtu", "2044", "group",
            str(GROUP), "type", "ipoib", *words, check=False))

        def ours_too() -> None:
            namespaces = Namespaces()
            namespaces.add("netns:ibguest", os.open("/run/netns/ibguest", os.O_RDONLY))
            link = Link("netns:ibguest", "ib0", type="ipoib", parent="ibparent", settings=settings, mtu=2044)
            for ns, message in create_link(None, link, namespaces):
                [error] = namespaces[ns].send([message])
                assert error is not None  # the kernel knows the type, and that the parent is none of that type
            namespaces.close()

        ours = sent(ours_too)
        assert len(ours) == 1
        assert ours == theirs[-1:]
    finally:
        command("ip", "netns", "delete", "ibguest")
        command("ip", "link", "delete", "dev", "ibparent")


def test_B7_what_is_sent_for_a_virtual_function_is_what_iproute2_sends(sent: Any) -> None:
    pf = sorted(path.parent.parent.name for path in pathlib.Path("/sys/class/net").glob("*/device/sriov_totalvfs"))[0]
    namespaces = Namespaces()
    changes: list[tuple[tuple[str, str], Any, Any, list[str]]] = [
        (("vf", "update"), Vf(HOST, pf, 1, 0, 0, True), Vf(HOST, pf, 1, 10, 3, True), ["vlan", "10", "qos", "3"]),
        (("vf", "update"), Vf(HOST, pf, 1, 10, 3, True), Vf(HOST, pf, 1, 10, 3, False), ["spoofchk", "off"]),
        (("vf_address", "create"), None, VfAddress(HOST, pf, 1, "02:00:00:00:00:45"), ["mac", "02:00:00:00:00:45"]),
        (("vf_address", "delete"), VfAddress(HOST, pf, 1, "02:00:00:00:00:45"), None, ["mac", "00:00:00:00:00:00"]),
    ]
    for sort, before, after, words in changes:
        [(ns, message)] = REQUESTS[sort](before, after, namespaces)
        ours = sent(lambda ns=ns, message=message: tell(ns, [message], namespaces))
        theirs = sent(lambda words=words: command("ip", "link", "set", "dev", pf, "vf", "1", *words, check=False))
        assert len(ours) == 1
        # RTM_NEWLINK where RTM_SETLINK does the same
        assert [message[2:] for message in ours] == [message[2:] for message in theirs[-1:]]
    namespaces.close()
