# Copyright: pipework.containers contributors
# GNU General Public License v3.0+ (see LICENSE)
"""Frames between two namespaces on a bridge, in a namespace that plays a host whose packet filter drops them."""

from __future__ import annotations

import contextlib
import ctypes
import dataclasses
import os
import re
import shutil
import subprocess
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from ansible_collections.pipework.containers.plugins.module_utils._core.errors import PipeworkError
from ansible_collections.pipework.containers.plugins.module_utils._filter import firewall
from ansible_collections.pipework.containers.plugins.module_utils._filter.firewall import FilterState, Place
from tests.integration.lab import eventually

pytestmark = pytest.mark.root

BRIDGE = "br1"
CLONE_NEWNET = 0x40000000
INET = Place("nft", "inet", "filter", "forward")
ODD_NAMES = [
    "b+c",
    "-x",
    "!",
    "'",
    "a'b",
    "a\\b",
    "b\\",
    "#a",
    "$x",
    "a,b",
    ";`$(x)",
    "brü",
    "*",
    "br*",
    "a*b",
    "0x10",
    "-j",
]


def sh(*argv: str, text: str = "", check: bool = True) -> str:
    result = subprocess.run(argv, input=text, capture_output=True, text=True, timeout=30, check=False)
    assert not check or result.returncode == 0, f"{argv}: {result.stderr}"
    return result.stdout


@dataclasses.dataclass
class Host:
    """A namespace with a bridge, and two more namespaces on it."""

    name: str

    def run(self, *argv: str, text: str = "") -> str:
        return sh("ip", "netns", "exec", self.name, *argv, text=text)

    def call(self, function: Callable[..., Any], *args: Any) -> Any:
        """Call it in a thread that has entered the namespace, as the modules enter namespaces."""
        result: list[Any] = []

        def inside() -> None:
            libc = ctypes.CDLL(None, use_errno=True)
            with open(f"/run/netns/{self.name}", "rb") as namespace:
                if libc.setns(namespace.fileno(), CLONE_NEWNET):
                    raise OSError(ctypes.get_errno(), "setns")
            try:
                result.append(function(*args))
            except PipeworkError as error:
                result.append(error)

        thread = threading.Thread(target=inside)
        thread.start()
        thread.join()
        if isinstance(result[0], PipeworkError):
            raise result[0]
        return result[0]

    def observe(self) -> FilterState:
        state = self.call(firewall.observe)
        assert isinstance(state, FilterState)
        return state

    def change(self, add: Any = (), remove: Any = ()) -> None:
        self.call(firewall.change, add, remove)

    def ping(self, address: str = "192.0.2.2", seconds: float = 10) -> bool:
        """Whether an answer comes within that time: what was dropped before leaves a neighbour that failed."""
        argv = ["ip", "netns", "exec", f"{self.name}-a", "ping", "-c", "1", "-W", "1", address]
        return eventually(lambda: subprocess.run(argv, capture_output=True, check=False).returncode == 0, seconds)

    def nf_call(self, value: int) -> None:
        for family in ("iptables", "ip6tables"):
            self.run("sh", "-c", f"echo {value} > /proc/sys/net/bridge/bridge-nf-call-{family}")

    def ruleset(self) -> str:
        """All that is in the filters, without counters, and without loading a legacy table."""
        parts = [self.run("nft", "-s", "list", "ruleset")] if shutil.which("nft") else []
        for family, program in (("ip", "iptables"), ("ip6", "ip6tables")):
            tables = self.run("cat", f"/proc/net/{family}_tables_names").split()
            parts += [program, *tables]
            if tables and shutil.which(f"{program}-legacy-save"):
                parts.append(self.run(f"{program}-legacy-save"))
        text = re.sub(r"^#.*\n|\[\d+:\d+\]|packets \d+ bytes \d+", "", "\n".join(parts), flags=re.MULTILINE)
        return text


@pytest.fixture
def host() -> Iterator[Host]:
    for program in ("ip", "ping"):
        if not shutil.which(program):
            pytest.skip(f"needs {program}")
    name = f"pwfilter{os.getpid()}"
    made = [name, f"{name}-a", f"{name}-b"]
    with contextlib.ExitStack() as stack:
        for namespace in made:
            sh("ip", "netns", "add", namespace)
            stack.callback(sh, "ip", "netns", "del", namespace)
        found = Host(name)
        found.run("ip", "link", "add", BRIDGE, "type", "bridge", "mcast_snooping", "0")
        found.run("ip", "link", "set", BRIDGE, "up")
        for number, side in enumerate("ab", 1):
            found.run(
                "ip", "link", "add", f"port{side}", "type", "veth", "peer", "name", "eth1", "netns", f"{name}-{side}"
            )
            found.run("ip", "link", "set", f"port{side}", "master", BRIDGE, "up")
            sh("ip", "-n", f"{name}-{side}", "address", "add", f"192.0.2.{number}/24", "dev", "eth1")
            sh("ip", "-n", f"{name}-{side}", "address", "add", f"2001:db8::{number}/64", "dev", "eth1", "nodad")
            sh("ip", "-n", f"{name}-{side}", "link", "set", "eth1", "up")
        if not os.path.isdir("/proc/sys/net/bridge"):
            pytest.skip("needs br_netfilter in the kernel (modprobe br_netfilter)")
        found.nf_call(1)
        assert found.ping(), "the bridge itself must work before it is filtered"
        yield found


def needs(*programs: str) -> None:
    for program in programs:
        if not shutil.which(program):
            pytest.skip(f"needs {program}")


def close(host: Host, backend: str) -> tuple[Place, str]:
    """A filter of this backend that drops what is forwarded; returns its chain and an address that it keeps away."""
    if backend.startswith("nft "):
        needs("nft")
        place = Place.parse(backend)
        where = f"{place.family} {place.table}"
        host.run(
            "nft",
            "-f",
            "-",
            text=f"""
            add table {where}
            add chain {where} allowed
            add chain {where} {place.chain} {{ type filter hook forward priority 0; policy drop; }}
            add rule {where} {place.chain} ct state established,related accept
            add rule {where} {place.chain} iifname "eth*" jump allowed
            add rule {where} allowed oifname "br1" accept comment "not yours"
            """,
        )
    else:
        needs(backend, "iptables-nft-save")
        place = Place.parse(f"{backend} FORWARD")
        host.run(backend, "-N", "OTHER")
        host.run(
            backend,
            "-A",
            "FORWARD",
            "-i",
            "eth+",
            "-o",
            "br1",
            "-m",
            "comment",
            "--comment",
            "not yours",
            "-j",
            "OTHER",
        )
        host.run(backend, "-A", "OTHER", "-j", "ACCEPT")
        host.run(backend, "-P", "FORWARD", "DROP")
    return place, "2001:db8::2" if place.family == "ip6" else "192.0.2.2"


BACKENDS = [
    "nft inet filter forward",
    "nft ip filter forward",
    "nft ip6 guard through",
    "iptables-nft",
    "ip6tables-nft",
    "iptables-legacy",
    "ip6tables-legacy",
]


@pytest.mark.parametrize("backend", BACKENDS)
def test_P2b_bridged_frames_pass_a_closed_filter(host: Host, backend: str) -> None:
    place, address = close(host, backend)
    assert not host.ping(address, seconds=0)
    before = host.ruleset()
    assert host.observe().dropping(BRIDGE) == (place,)
    assert host.observe().rules == frozenset()
    assert host.ruleset() == before, "looking changes nothing"

    rule = (BRIDGE, place)
    host.change(add=[rule])
    assert host.ping(address)
    state = host.observe()
    assert state.rules == {rule}
    assert state.dropping(BRIDGE) == (place,), "the answer is the same with our rule there"
    assert state.dropping("br2") == (place,), "the rule is for this bridge alone"
    with_rule = host.ruleset()
    assert without_ours(with_rule) == before, "what others have is as it was"
    host.change(add=[rule])
    assert host.ruleset() == with_rule, "a second time changes nothing"

    host.change(remove=[rule])
    assert host.ruleset() == before
    assert host.observe().rules == frozenset()
    assert not host.ping(address, seconds=0)
    host.change(remove=[rule])
    assert host.ruleset() == before


def without_ours(ruleset: str) -> str:
    mine = re.compile(rf'.*(pipework:|iifname "{BRIDGE}" oifname "{BRIDGE}").*')
    return "".join(line for line in ruleset.splitlines(keepends=True) if not mine.match(line))


@pytest.mark.parametrize("backend", BACKENDS)
def test_P2b_odd_names_go_in_and_out(host: Host, backend: str) -> None:
    place, address = close(host, backend)
    before = host.ruleset()
    rules = {(name, place) for name in ODD_NAMES}
    host.change(add=rules)
    assert host.observe().rules == rules
    assert not host.ping(address, seconds=0), "none of them is a wildcard"
    host.change(remove=sorted(rules)[::2])
    assert host.observe().rules == set(sorted(rules)[1::2])
    host.change(remove=rules)
    assert host.ruleset() == before


def test_P2b_nothing_is_added_without_such_a_filter(host: Host) -> None:
    before = host.ruleset()
    state = host.observe()
    assert state.dropping(BRIDGE) == ()
    assert state.rules == frozenset()
    assert state.forward_chains() == ()
    assert host.ruleset() == before, "no table was made or loaded by looking"


def test_P2b_without_br_netfilter_frames_do_not_pass_the_filter(host: Host) -> None:
    place, address = close(host, "iptables-nft")
    host.nf_call(0)
    assert host.ping(address)
    assert host.observe().dropping(BRIDGE) == ()
    assert host.observe().forward_chains() == (place,)
    host.change(add=[(BRIDGE, place)])
    assert host.observe().rules == {(BRIDGE, place)}, "a rule from before is found all the same"


def test_P2b_every_chain_at_the_hook_must_let_them_pass(host: Host) -> None:
    places = {close(host, backend)[0] for backend in ("nft inet filter forward", "iptables-nft", "iptables-legacy")}
    before = host.ruleset()
    state = host.observe()
    assert set(state.dropping(BRIDGE)) == places
    rules = [(BRIDGE, place) for place in state.dropping(BRIDGE)]
    for number in range(len(rules)):
        host.change(add=rules[:number])
        assert not host.ping(seconds=0)
    host.change(add=rules)
    assert host.ping()
    host.change(remove=rules)
    assert host.ruleset() == before


def test_P2b_somebody_elses_rule_for_the_bridge_settles_it(host: Host) -> None:
    place, _address = close(host, "iptables-nft")
    host.run("iptables-nft", "-A", "FORWARD", "-i", BRIDGE, "-o", BRIDGE, "-j", "DROP")
    assert host.observe().dropping(BRIDGE) == ()
    assert host.observe().dropping("br2") == (place,)
    host.run("iptables-nft", "-R", "FORWARD", "2", "-i", BRIDGE, "-o", BRIDGE, "-j", "ACCEPT")
    assert host.observe().dropping(BRIDGE) == ()
    assert host.ping()


def test_P2b_all_or_nothing_over_several_programs(host: Host) -> None:
    closed, _address = close(host, "iptables-nft")
    inet, _address = close(host, str(INET))
    host.change(add=[("br2", closed), ("br2", inet)])
    before = host.ruleset()
    gone = Place("nft", "inet", "filter", "nowhere")
    with pytest.raises(PipeworkError, match="nft inet filter nowhere"):
        host.change(add=[(BRIDGE, closed), (BRIDGE, inet), (BRIDGE, gone)], remove=[("br2", closed), ("br2", inet)])
    assert host.ruleset() == before
    with pytest.raises(PipeworkError, match="forwarding: unmanaged"):
        host.change(add=[(BRIDGE, closed), ("br+", closed)])
    assert host.ruleset() == before


def test_P2b_a_table_of_nft_with_the_name_of_iptables(host: Host) -> None:
    """iptables cannot read a map; such a chain is nft's, although its name is the one iptables uses."""
    needs("nft")
    host.run("nft", "add", "table", "ip", "filter")
    host.run("nft", "add", "chain", "ip", "filter", "FORWARD", "{ type filter hook forward priority 0; policy drop; }")
    host.run("nft", "add", "rule", "ip", "filter", "FORWARD", "ct state vmap { established : accept, invalid : drop }")
    before = host.ruleset()
    place = Place("nft", "ip", "filter", "FORWARD")
    assert host.observe().dropping(BRIDGE) == (place,)
    host.change(add=[(BRIDGE, place)])
    assert host.observe().rules == {(BRIDGE, place)}
    assert host.ping()
    host.change(remove=[(BRIDGE, place)])
    assert host.ruleset() == before


def test_P2b_a_sleeping_table_and_one_that_a_program_owns(host: Host) -> None:
    needs("nft")
    host.run(
        "nft",
        "-f",
        "-",
        text="add table ip nap { flags dormant; }\n"
        "add chain ip nap f { type filter hook forward priority 0; policy drop; }\n",
    )
    assert host.ping()
    assert host.observe().dropping(BRIDGE) == ()
    argv = ["ip", "netns", "exec", host.name, "nft", "-i"]
    with subprocess.Popen(
        argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as owner:
        try:
            assert owner.stdin
            assert owner.stdout
            owner.stdin.write("add table inet own { flags owner; }\n")
            owner.stdin.write(
                "add chain inet own f { type filter hook forward priority 0; policy drop; }\nlist tables\n"
            )
            owner.stdin.flush()
            for line in owner.stdout:
                if "inet own" in line:
                    break
            else:
                pytest.skip("this nft knows no owner of a table")
            place = Place("nft", "inet", "own", "f")
            with pytest.raises(PipeworkError, match=r"nft inet own f, which only the program that owns"):
                host.observe().dropping(BRIDGE)
            with pytest.raises(PipeworkError, match="belongs to a running program"):
                host.change(add=[(BRIDGE, place)])
        finally:
            owner.stdin.close()  # nft ends with its input, and its table with it


def test_P2b_bridge_family(host: Host) -> None:
    needs("nft")
    where = "bridge l2"
    host.run("nft", "add", "table", *where.split())
    host.run("nft", "add", "chain", *where.split(), "forward", "{ type filter hook forward priority 0; policy drop; }")
    host.nf_call(0)
    place = Place("nft", "bridge", "l2", "forward")
    before = host.ruleset()
    assert host.observe().dropping(BRIDGE) == (place,), "nft's bridge family sees bridged frames without br_netfilter"
    try:
        host.change(add=[(BRIDGE, place)])
    except PipeworkError as error:
        assert host.ruleset() == before
        pytest.skip(f"this kernel cannot match a bridge's name there: {error}")
    assert host.ping()
    assert host.observe().rules == {(BRIDGE, place)}
    host.change(remove=[(BRIDGE, place)])
    assert host.ruleset() == before
