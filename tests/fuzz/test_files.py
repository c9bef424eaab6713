# Copyright: pipework.containers contributors
# GNU General Public License v3.0+ (see LICENSE)
"""What stands in files and marks: a container, another version, or a host that died may have written it."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.pipework.containers.plugins.module_utils._agent import install as agent_install
from ansible_collections.pipework.containers.plugins.module_utils._agent.record import Record
from ansible_collections.pipework.containers.plugins.module_utils._bridge import uplinks
from ansible_collections.pipework.containers.plugins.module_utils._delayed import records as delayed_records
from ansible_collections.pipework.containers.plugins.module_utils._files import blocks
from ansible_collections.pipework.containers.plugins.module_utils._files.hosts import HostsItem
from ansible_collections.pipework.containers.plugins.module_utils._ipam import dhcp4_grant, dhcp6_grant
from ansible_collections.pipework.containers.plugins.module_utils._ipam import stale as ipam_stale
from ansible_collections.pipework.containers.plugins.module_utils._ipam import store as ipam_store
from ansible_collections.pipework.containers.plugins.module_utils._model import objects as model_objects
from ansible_collections.pipework.containers.plugins.module_utils._model import seals, sriov_record
from ansible_collections.pipework.containers.plugins.module_utils._routing import rt_names
from tests.fuzz.harness import BYTES, JSON, Target, fuzz, parameters, try_kept
from tests.fuzz.mutations import blobs, documents, json_texts, texts

OWNER = "pipework:docker:web1:3f2a9c41d0b7:eth1"
MAC = "02:00:00:00:00:01"


@pytest.fixture(autouse=True, scope="module")
def _folder() -> Iterator[None]:
    """Leases are in a folder of their own here."""
    before = ipam_store.FOLDER
    with tempfile.TemporaryDirectory() as folder:
        ipam_store.FOLDER = os.path.join(folder, "dhcp")
        yield
    ipam_store.FOLDER = before


# -- leases, and who keeps them

LEASES = [
    {
        "asked": {"client": "builtin", "hostname": "web1", "options": ["vendor-class=a"], "through": "br1 10"},
        "owner": OWNER,
        "grant": {
            "address": "10.5.0.7/24",
            "server": "10.5.0.1",
            "server_mac": "02:00:00:00:00:02",
            "mac": MAC,
            "expires": 1e6,
            "gateway": "10.5.0.1",
            "routes": [["10.6.0.0/24", "10.5.0.1"], ["default", None]],
            "mtu": 1400,
            "dns": ["8.8.8.8"],
            "domain": "example.org",
            "renews": 5.0,
            "rebinds": None,
        },
    }
]
LEASES6 = [
    {
        "asked": {"hostname": "web1", "duid": "0004" + "00" * 16, "through": None},
        "owner": OWNER,
        "grant": {
            "address": "fd05::7",
            "server": "00030001020000000002",
            "preferred": None,
            "expires": 1e6,
            "dns": ["::2"],
            "domain": None,
            "renews": 5.0,
            "rebinds": 6,
        },
    }
]
RECORDS = [
    dataclasses.asdict(
        Record(
            "docker:web1",
            "eth1",
            7,
            MAC,
            False,
            (4, 4026532000),
            OWNER,
            {"pid": 7, "born": 9},
            {"12": "776562"},
            "web1",
            ("vendor-class=a",),
            "server",
            "server",
            ("lease",),
            "0004",
            True,
            "br1",
        )
    )
]
STATUSES = [
    {"pid": 7, "token": "a", "state": "kept", "lease": {"state": "bound", "renewed": None, "next": 1, "error": ""}}
]


def read_lease(text: str) -> None:
    """What was read can be used, and is written as it was read."""
    asked, grant = dhcp4_grant.unpack(text)
    assert isinstance((grant.own, grant.left(10.0), grant.same(grant)), tuple)
    assert dhcp4_grant.unpack(grant.pack(asked)) == (asked, grant)


def read_lease6(text: str) -> None:
    asked, grant = dhcp6_grant.unpack(text)
    assert isinstance((grant.own, grant.left(10.0), grant.same(grant)), tuple)
    assert dhcp6_grant.unpack(grant.pack(asked)) == (asked, grant)


def read_record(text: str) -> None:
    record = Record.unpack(text)
    assert isinstance((record.gateways, record.duties), tuple)
    assert Record.unpack(record.pack()) == dataclasses.replace(record, unknown=())


def read_folder(text: str) -> None:
    """Any of the files of an attachment, by all that read them."""
    ipam_store.remove(OWNER, *ipam_store.ALL)
    for name in ipam_store.ALL:
        with contextlib.suppress(UnicodeEncodeError):  # then it would not be in a file
            ipam_store.store(OWNER, name, text)
    ipam_store.held(OWNER, "lease", dhcp4_grant.unpack)
    ipam_store.held(OWNER, "lease6", dhcp6_grant.unpack)
    ipam_store.kept(OWNER, "lease")
    ipam_store.given_up(OWNER)
    agent_install._status(ipam_store.folder(OWNER))
    found, _owner = ipam_stale._content(os.path.basename(ipam_store.folder(OWNER)))
    ipam_stale._network(found)


# -- detached processes

DETACHED = [{"pid": 7, "started": "9", "device": "eth1", "since": 1.0}]


def read_detached(text: str) -> None:
    path = Path(ipam_store.FOLDER).parent / "timer.json"
    with contextlib.suppress(UnicodeEncodeError):
        path.write_text(text, encoding="utf-8")
    delayed_records.read(str(path))


# -- marks

NIC = model_objects.Nic(
    "nic0", 1500, MAC, True, ("10.0.0.1/24",), "an alias|of others", sriov_record.VirtualFunction("pf", 1),
)
MARKS = [
    NIC.pack(OWNER),
    OWNER,
    f"{OWNER}|veth",
    f"{OWNER}|peer",
    "pipework:auto",
    uplinks.Record("br1", True, ("10.0.0.1/24", "fd00::1/64"), "x|y", ("r1", "r2")).pack(),
]


LENT = seals.Record(
    seals.LENT, NIC.pack(OWNER), "", "netns:a", 1, "eth1", None, seals.Place(7, None, None), nonce="0123456789abcdef",
    perm=MAC,
)


def read_mark(text: str) -> None:
    """Whatever an alias says, by all that look at one."""
    text = text[:256]
    model_objects.owner_fields(text)
    model_objects.owner_matches(text, None, "web1", "eth1")
    model_objects.pair_end(text)
    model_objects.end_key(text)
    uplinks.Record.unpack(text)
    model_objects.Nic.unpack(text)
    seals.claims(text)
    assert not seals.genuine(text, LENT, b"secret"), "nobody knows the secret"
    device = model_objects.Device(7, "eth1", "veth", MAC, 1500, True, alias=text)
    assert isinstance(device.owner, (str, type(None)))
    LENT.is_at(device, LENT.ns)
    LENT.is_home(device, b"secret")


# -- blocks in files of others

CONTENTS = [
    b"nameserver 127.0.0.11\noptions ndots:0\nsearch a b",
    b"127.0.0.1 localhost\n# pipework web: begin, made\n10.0.0.1 x\n# pipework web: end\n::1 localhost\r\n",
    b"# pipework eth1: begin, newline\nnameserver 1.1.1.1\n# pipework eth1: was nameserver 2.2.2.2\n",
    b"# pipework eth1: begin\n# pipework eth1: end\n# pipework web: begin\n",
    b"",
    b"\xff\xfe\0\n",
]
LINES = ("10.0.0.1 x", "10.0.0.2 y z")


def read_blocks(content: bytes) -> None:
    """Laws: what is put is read; put again, nothing changes; dropped, each byte of others is as before."""
    for style in (blocks.HOSTS, blocks.RESOLVER):
        for name in ("eth1", "web", "new"):
            new = blocks.put(content, name, LINES, style)
            assert blocks.read(new)[name] == LINES
            assert blocks.put(new, name, LINES, style) == new
            back, _folder = blocks.drop(new, name, style)
            if name not in blocks.read(content):
                assert back == content, "a byte of others is another one"
            else:
                assert back is None or name not in blocks.read(back)
            gone, _folder = blocks.drop(content, name, style)
            assert gone is None or name not in blocks.read(gone)


ENTRIES = [
    {
        "container": "web1",
        "block": "web",
        "state": "present",
        "entries": [{"address": "10.0.0.1", "names": ["a", "b.example.org"]}, {"address": "::1", "names": ["c"]}],
    }
]


def read_hosts(given: Any) -> None:
    """The options of pipework_hosts: what is accepted can be written."""
    if isinstance(given, dict):
        entries = given.get("entries")
        if not isinstance(entries, (list, type(None))) or not all(isinstance(each, dict) for each in entries or ()):
            return  # Ansible's own check
        for entry in entries or ():
            names = entry.get("names")
            entry["names"] = [str(name) for name in names] if isinstance(names, list) else None
        item = HostsItem.from_params(given)
        new = blocks.put(b"", item.block, item.lines, blocks.HOSTS)
        assert item.lines == blocks.read(new)[item.block]


# -- the host's names of tables

NAMES = ["# reserved\n255\tlocal\n254\tmain\n0x10 ten # ten\n 300  blue\n", "1 a\n1 b\n2 a\n"]


def read_names(text: str) -> None:
    rt_names.known({"main": 254}, [text, text])


TARGETS = [
    Target("lease", json_texts(LEASES), read_lease, (ValueError,)),
    Target("lease6", json_texts(LEASES6), read_lease6, (ValueError,)),
    Target("record", json_texts(RECORDS), read_record, (ValueError,)),
    Target("folder", json_texts(LEASES + LEASES6 + RECORDS + STATUSES + [["169.254.1.1"]]), read_folder, ()),
    Target("detached", json_texts(DETACHED), read_detached, ()),
    Target("mark", texts(MARKS), read_mark, (), form=JSON),
    Target("blocks", blobs(CONTENTS), read_blocks, (), form=BYTES),
    Target("hosts", documents(ENTRIES), read_hosts, form=JSON),
    Target("names", texts(NAMES), read_names, ()),
]
kept, made_up = parameters(TARGETS)


@kept
def test_B17_a_file_that_was_stumbled_over_once(target: Target, path: Path) -> None:
    try_kept(target, path)


@made_up
def test_B17_no_file_and_no_mark_ends_a_reader(target: Target) -> None:
    fuzz(target)
