# Copyright: pipework.containers contributors
# GNU General Public License v3.0+ (see LICENSE)
"""A check run writes nothing: every module is watched by strace while it says what it would do.

What it opens, sends, makes, mounts and runs is held against a list of what is allowed; all else is a failure.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import sys
import typing as t
from collections.abc import Iterator
from pathlib import Path

import pytest

from ansible_collections.pipework.containers.plugins.module_utils._attach.kinds import KINDS
from tests.conftest import ROOT, unavailable
from tests.integration.files import private_etc
from tests.integration.lab import Host
from tests.integration.vswitch import VSwitch

pytestmark = pytest.mark.root
Params = dict[str, t.Any]
TRACE, TRACED = "/run/trace", "/run/traced"
ADDRESS = ["10.5.0.9/24", "fd05::9/64"]
PORT = {"isolated": True, "learning": False}

# -- what is allowed

LOCK = ("/run/pipework", "/run/pipework/lock")
OPENS = {"/dev/null", LOCK[1]}  # for writing
MAKES = re.compile(rf'"{LOCK[0]}", 0755\)')
# Requests that only ask. Each type that a check run may send is named, so that a new one is thought about.
ASKED = {
    "NETLINK_ROUTE": {
        "RTM_GETLINK": 18, "RTM_GETADDR": 22, "RTM_GETROUTE": 26, "RTM_GETNEIGH": 30, "RTM_GETRULE": 34,
        "RTM_GETQDISC": 38, "RTM_GETTCLASS": 42, "RTM_GETTFILTER": 46, "RTM_GETNSID": 90, "RTM_GETVLAN": 114,
    },
    "NETLINK_NETFILTER": {
        "NFT_MSG_GETTABLE": 0xA01, "NFT_MSG_GETCHAIN": 0xA04, "NFT_MSG_GETRULE": 0xA07, "NFT_MSG_GETSET": 0xA0A,
        "NFT_MSG_GETSETELEM": 0xA0D, "NFT_MSG_GETGEN": 0xA10, "NFT_MSG_GETOBJ": 0xA13, "NFT_MSG_GETFLOWTABLE": 0xA17,
        "NFNL_MSG_COMPAT_GET": 0xB00,
    },
    "NETLINK_GENERIC": {"nlctrl": 16},  # by which names of families are asked for
}  # fmt: skip
# What is said to an engine or to Open vSwitch's database.
SAID = re.compile(
    r'"(GET |HEAD |\{\\"id\\":\d+,\\"method\\":\\"(get_schema|list_dbs|echo|monitor(_cond(_since)?)?)\\")'
)
IOCTLS = {
    "TCGETS", "TIOCGWINSZ", "FIOCLEX", "FIONCLEX", "FIONBIO", "FIONREAD", "SIOCGIFINDEX", "NS_GET_NSTYPE",
    "NS_GET_USERNS", "NS_GET_OWNER_UID", "NS_GET_PARENT",
}  # fmt: skip
PROGRAMS = (
    r"\S+/(python[0-9.]*|sh|dash|env)$",
    r"(\S+/)?nft (-\S+ )*list ",
    r"(\S+/)?ip6?tables(-nft|-legacy)? .*(-S|--list-rules|-L|-C)\b",
    r"(\S+/)?ip6?tables(-nft|-legacy)?-save\b",
    r"(\S+/)?ovs-vsctl .*\b(list|list-br|find|get|--version|show)\b",
)
WRITING = re.compile(r"O_(WRONLY|RDWR|CREAT|TRUNC|APPEND|TMPFILE)")
NETLINK = re.compile(r"nlmsg_type=([^,]+),")
SENDS = ("send", "sendto", "sendmsg", "sendmmsg", "write", "writev", "pwrite64", "pwritev", "pwritev2")
CALLS = (
    "open", "openat", "openat2", "creat", "mkdir", "mkdirat", "mknod", "mknodat", "unlink", "unlinkat", "rmdir",
    "rename", "renameat", "renameat2", "link", "linkat", "symlink", "symlinkat", "chmod", "fchmod", "fchmodat",
    "fchmodat2", "chown", "lchown", "fchown", "fchownat", "truncate", "ftruncate", "fallocate", "utime", "utimes",
    "utimensat", "futimesat", "setxattr", "lsetxattr", "fsetxattr", "removexattr", "lremovexattr", "fremovexattr",
    "mount", "umount2", "pivot_root", "chroot", "move_mount", "fsopen", "fsmount", "fsconfig", "open_tree",
    "mount_setattr", "sethostname", "setdomainname", "ioctl", "bind", "connect", "listen", "execve", "execveat",
    "kill", "tkill", "tgkill", "pidfd_send_signal", "rt_sigqueueinfo", "ptrace", "bpf", "init_module", "finit_module",
    "delete_module", "reboot", "kexec_load", "swapon", "settimeofday", "clock_settime", "adjtimex", "quotactl",
    "unshare", "setns", "socket", "name_to_handle_at", "open_by_handle_at", "io_uring_setup", "setpriority", "syslog",
    "perf_event_open", "fanotify_init", "userfaultfd", "add_key", "keyctl", "process_vm_writev", *SENDS,
)  # fmt: skip


def violation(call: str, rest: str, sockets: dict[str, str]) -> bool:
    """Whether a system call is none of those that a check run may do. ``rest``: its arguments, as strace shows them;
    ``sockets``: protocols of netlink by the numbers of sockets, which strace does not know in other namespaces."""
    if call in ("open", "openat", "openat2", "creat"):
        path = re.search(r'"([^"]*)"', rest)
        return bool(call == "creat" or WRITING.search(rest)) and not (path and path[1] in OPENS)
    if call == "mkdir":
        return not MAKES.match(rest)
    if call in SENDS:
        return sends(call, rest, sockets)
    if call == "ioctl":
        words = rest.split(", ")
        return not (len(words) > 1 and re.split(r"[\s)]", words[1])[0] in IOCTLS)
    if call == "bind":
        return "AF_NETLINK" not in rest and "AF_UNSPEC" not in rest
    if call == "connect":
        return not re.search(r"sa_family=AF_(UNIX|NETLINK)", rest)  # what it says there is seen on its own
    if call == "execve":
        path, words = re.match(r'"([^"]*)", \[(.*?)\]', rest).groups()  # type: ignore[union-attr]
        line = " ".join([path, *re.findall(r'"((?:[^"\\]|\\.)*)"', words)[1:]])
        return not any(re.match(each, line) or re.match(each, path) for each in PROGRAMS)
    if call == "socket":
        return False  # what is said by it counts
    if call == "setns":
        return "CLONE_NEWNET" not in rest
    return call not in ("unshare",) or "CLONE_NEWNET" in rest or "CLONE_NEWNS" in rest


def sends(call: str, rest: str, sockets: dict[str, str]) -> bool:
    """Whether something is sent that does more than ask."""
    what = re.match(r"\d+<([A-Za-z0-9]+)(?:-\w+)?:\[(?:([A-Z_]+):)?(\w+)", rest)
    kind = what[1] if what else ""
    if what and kind == "NETLINK":
        known = ASKED.get(f"NETLINK_{what[2]}" if what[2] else sockets.get(what[3], ""), {})
        types = [re.sub(r"^.*\||\s*/\*.*$", "", each) for each in NETLINK.findall(rest)]
        return not types or any(each not in known and _number(each) not in known.values() for each in types)
    if kind.startswith("UNIX"):
        return not SAID.search(rest)
    return not call.startswith(("write", "pwrite")) or kind in ("TCP", "UDP", "RAW", "PACKET", "TCPv6", "UDPv6", "PING")


def _number(text: str) -> int:
    return int(text, 16) if re.fullmatch(r"0x[0-9a-f]+", text) else -1


def test_the_list_itself_refuses_what_writes() -> None:
    """So that it is not the list that is empty."""
    for line in (
        'openat(AT_FDCWD, "/run/pipework/secret.new", O_WRONLY|O_CREAT|O_TRUNC|O_NOFOLLOW|O_CLOEXEC, 0600) = 3',
        'openat(AT_FDCWD, "/etc/hosts", O_RDWR|O_CLOEXEC) = 3', 'mkdir("/run/pipework/dhcp", 0700) = 0',
        'rename("/run/a", "/run/b") = 0', 'mount("none", "/", NULL, MS_PRIVATE, NULL) = 0', 'unlink("/run/a") = 0',
        'sendto(3<NETLINK:[7]>, [{nlmsg_len=1, nlmsg_type=RTM_NEWLINK, nlmsg_flags=NLM_F_REQUEST}], 4) = 4',
        'sendto(3<NETLINK:[7]>, [{nlmsg_len=1, nlmsg_type=RTM_GETLINK, x}, {nlmsg_type=RTM_DELLINK, x}], 4) = 4',
        'execve("/usr/sbin/nft", ["nft", "-f", "-"], 0x7f) = 0', 'ioctl(3<x>, SIOCSIFFLAGS, {}) = 0',
        'execve("/usr/bin/ovs-vsctl", ["ovs-vsctl", "--timeout=9", "add-br", "x"], 0x7f) = 0', "kill(7, SIGHUP) = 0",
        'execve("/usr/sbin/udhcpc", ["udhcpc"], 0x7f) = 0', "bind(3<x>, {sa_family=AF_PACKET}, 20) = 0",
        'sendto(3<NETLINK:[7]>, [{nlmsg_len=40, nlmsg_type=0x10 /* NLMSG_??? */, nlmsg_flags=x}, "x"], 40, 0) = 40',
        'sendto(3<UNIX-STREAM:[1->2]>, "POST /containers/create HTTP/1.1", 9, 0, NULL, 0) = 9',
        'sendto(3<PACKET:[1]>, "x", 1, 0, NULL, 0) = 1', 'execve("/usr/sbin/ip", ["ip", "link", "del", "x"], 0x7) = 0',
    ):  # fmt: skip
        call, _bracket, rest = line.partition("(")
        assert violation(call, rest, {"7": "NETLINK_ROUTE"}), line


# -- what is tried

EACH_KIND: dict[str, Params] = {
    "bridge": {"host_interface": "br1", "gateway": ["10.5.0.1"], "port": PORT, "mtu": 1400},
    "openvswitch": {"host_interface": "ovs1", "kind": "openvswitch", "vlan": 7},
    "macvlan": {"host_interface": "nic", "mac_address": "U:check"},
    "macvtap": {"host_interface": "nic", "kind": "macvtap"},
    "ipvlan": {"host_interface": "nicfar", "kind": "ipvlan"},  # which goes with no macvlan
    "phys": {"host_interface": "nic2", "kind": "phys"},
    "sriov": {"host_interface": "nic", "kind": "sriov"},
    "ipoib": {"host_interface": "nic", "kind": "ipoib"},
    "dummy": {"host_interface": "dummy"},
    "veth": {"kind": "veth", "peer": {"container": "b", "interface": "eth8", "addresses": ["10.8.0.2/30"]}},
}
NOT_HERE = {"sriov", "ipoib", "openvswitch"}  # refused where there is no such card or no switch; nor do these write
LEASES: Params = {"host_interface": "br1", "dhcp_timeout": 20}
CASES: dict[str, dict[str, Params]] = {
    "pipework_attach": {
        "leases": {"runtime": "netns", "attachments": [
            {**LEASES, "container": "a", "interface": "eth4", "dhcp": "builtin", "dhcp_keep": True, "dhcp_dns": True},
            {**LEASES, "container": "b", "interface": "eth4", "dhcp": "udhcpc"},
            {**LEASES, "container": "b", "interface": "eth5", "dhcp6": True},
            {"container": "b", "interface": "eth6", "host_interface": "br1", "link_local": True, "accept_ra": True},
        ]},
        "new bridges": {"runtime": "netns", "attachments": [
            {"container": "b", "interface": "eth4", "host_interface": "brnew", "addresses": ADDRESS,
             "sysctls": {"net.ipv4.conf.IFNAME.rp_filter": 0}, "bandwidth": {"egress": "2mbit"},
             "table": 77, "routes": [{"destination": "10.77.0.0/16", "gateway": "10.5.0.1"}]},
        ]},
        "purge": {"purge": True, "attachments": []},
        "absent": {"container": "a", "runtime": "netns", "interface": "eth1", "state": "absent"},
    },
    "pipework_bridge": {
        "new": {"name": "br2", "addresses": ["10.6.0.1/24"], "mtu": 1400, "stp": False,
                "ports": ["nic2"], "move_addresses": True, "masquerade": True},
        "purge": {"purge": True, "bridges": [{"name": "br3"}]},
        "absent": {"name": "br9", "state": "absent"},
    },
    "pipework_hosts": {
        "guests": {"runtime": "netns", "entries": [{"address": "10.1.0.1", "names": ["x"]}],
                   "files": [{"container": "a"}, {"container": "b"}]},
        "host": {"runtime": "host", "entries": [{"address": "10.1.0.1", "names": ["x"]}]},
    },
    "pipework_route": {
        "new": {"container": "a", "runtime": "netns", "purge": True, "table": 100, "routes": [
            {"destination": "default", "gateway": "10.5.0.1"}, {"destination": "10.66.0.0/16", "type": "blackhole"}]},
        "as with ip": {"container": "a", "runtime": "netns", "cmd": "replace 10.9.0.0/16 via 10.5.0.1"},
    },
    "pipework_rule": {
        "new": {"container": "a", "runtime": "netns", "purge": True, "rules": [{"source": "10.5.0.7", "table": 100}]},
    },
    "pipework_shim": {
        "move": {"parent": "nic2", "confirm_timeout": 60},
        "one more": {"parent": "nic2", "addresses": ["10.5.7.250/32"], "routes": ["10.5.7.192/27"]},
    },
    "pipework_tc": {
        "timed": {"container": "a", "runtime": "netns", "interface": "eth1", "duration": "10min",
                  "tbf": {"rate": "10mbit", "burst": "32kb", "latency": "50ms"}},
        "mirror": {"container": "a", "runtime": "netns", "interface": "eth1",
                   "mirror": {"to_container": "b", "to_interface": "eth1"}},
        "purge": {"runtime": "netns", "purge": True, "interfaces": [
            {"container": "b", "interface": "eth1", "htb": {"default": 10}}]},
    },
    "pipework_vxlan": {
        "new": {"bridge": "br2", "vni": 100, "local": "10.5.7.1", "remotes": ["10.5.7.1", "10.5.7.2"]},
        "purge": {"purge": True, "local": "10.5.7.1", "segments": []},
    },
    "pipework_wait": {
        "there": {"container": "a", "runtime": "netns", "interface": "eth1", "until": "addressed", "timeout": 5},
        "never": {"container": "a", "runtime": "netns", "interface": "eth9", "until": "present", "timeout": 1},
    },
    "pipework": {
        "commands": {"runtime": "netns", "commands": [
            "pipework br2 -i eth5 a 10.6.0.7/24@10.6.0.1 U:x", "pipework --direct-phys nic2 -i eth5 b 0/0",
            "pipework route a add 10.0.0.0/8 via 10.5.0.1", "pipework rule a add from 10.5.0.7 table 100",
        ]},
    },
}  # fmt: skip
REFUSED = {("pipework_wait", "never")}


def modules() -> list[str]:
    return sorted(path.stem for path in (ROOT / "plugins" / "modules").glob("*.py"))


def test_each_module_and_each_kind_has_a_case() -> None:
    assert modules() == sorted(CASES)
    assert set(EACH_KIND) == set(KINDS)


# -- how


def fresh(host: Host) -> None:
    """Two NICs with addresses, a bridge, and what watches."""
    if shutil.which("strace") is None:
        unavailable("strace is not installed: sudo make setup-system")
    private_etc(host)
    for name, address in (("nic", "10.4.7.1/24"), ("nic2", "10.5.7.1/24")):
        host.batch(f"link add {name} type veth peer name {name}far\nlink set {name}far up\nlink set {name} up\n")
        host.batch(f"address add {address} dev {name}\n")
    host.batch("route add 10.55.0.0/16 via 10.5.7.254 dev nic2\n")
    calls = ",".join(f"?{each}" for each in CALLS)
    script = f"#!/bin/sh\nexport PYTHONDONTWRITEBYTECODE=1\nexec {shutil.which('strace')} -f -qq -v -yy -s 4096"
    script += f' --seccomp-bpf -e signal=none -e trace={calls} -o {TRACE} {sys.executable} "$@"\n'

    def put() -> None:
        Path(TRACED).write_text(script, encoding="utf-8")
        os.chmod(TRACED, 0o755)

    host.call(put)


@pytest.fixture(scope="module")
def prepared() -> Iterator[Host]:
    """A host with an attachment, on which much would change. A check run changes nothing, so that one is enough."""
    host = Host("a", "b")
    fresh(host)
    host.batch("link add br1 type bridge\nlink set br1 up\naddress add 10.5.0.254/24 dev br1\n")
    for name, address in (("a", "10.5.0.7/24"), ("b", "10.5.0.8/24")):
        host.attach(name, addresses=[address], gateway=["10.5.0.254"])
    assert host.module("pipework_bridge", {"name": "br9"})["changed"]
    assert host.module("pipework_vxlan", {"bridge": "br8", "vni": 8, "local": "10.4.7.1", "remotes": []})["changed"]
    yield host
    host.close()


def files() -> dict[str, t.Any]:
    """All there is under /run, with what was written over the machine's /etc, and when; but for the lock."""
    found: dict[str, t.Any] = {}
    for folder, folders, names in os.walk("/run"):
        if folder == "/run/etc":
            folders.remove("work")
        found[folder] = os.lstat(folder).st_mtime_ns
        for path in (os.path.join(folder, name) for name in names):
            status = os.lstat(path)
            plain = os.path.isfile(path) and not os.path.islink(path) and not path.startswith("/run/netns/")
            data = hashlib.sha256(Path(path).read_bytes()).hexdigest() if plain else ""
            found[path] = (status.st_mode, status.st_uid, status.st_mtime_ns, data)
    return {path: value for path, value in found.items() if path not in (TRACE, "/run", *LOCK)}


def checked(host: Host, module: str, params: Params) -> Params:
    """What a check run says, after it was seen to do nothing."""
    before, state = host.call(files), host.snapshot()
    said = host.module(module, params, check=True, python=TRACED)
    trace = host.call(lambda: Path(TRACE).read_text(encoding="utf-8", errors="replace"))
    host.call(lambda: os.unlink(TRACE))
    lines = [line.split(None, 1)[-1] for line in trace.splitlines() if "resumed>" not in line]
    calls = [line.partition("(") for line in lines if re.match(r"[a-z0-9_]+\(", line)]
    assert any(call == "execve" for call, _bracket, _rest in calls), trace[:2000]
    made = [re.search(r"(NETLINK_\w+)\).* = \d+<NETLINK:\[(?:\w+:)?(\d+)\]", rest) for _call, _bracket, rest in calls]
    sockets = {each[2]: each[1] for each in made if each}
    found = dict.fromkeys(f"{call}({rest}"[:600] for call, _bracket, rest in calls if violation(call, rest, sockets))
    assert not found, "\n".join([str(said.get("msg")), *found])
    assert host.call(files) == before
    host.assert_as(state)
    return said


@pytest.mark.parametrize(("module", "case"), [(module, case) for module in CASES for case in CASES[module]])
def test_B17_a_check_run_writes_nothing(prepared: Host, module: str, case: str) -> None:
    params = CASES[module][case]
    said = checked(prepared, module, params)
    if (module, case) in REFUSED:
        assert said.get("failed")
    else:
        assert not said.get("failed"), said.get("msg")
        assert said["changed"] == (module != "pipework_wait"), said


def test_B17_nor_with_any_kind(prepared: Host) -> None:
    common: Params = {"runtime": "netns", "attachments": [
        {"container": "a", "interface": f"in{number}", "addresses": [f"10.7.{number}.1/24"], **EACH_KIND[kind]}
        for number, kind in enumerate(EACH_KIND) if kind not in NOT_HERE
    ]}  # fmt: skip
    said = checked(prepared, "pipework_attach", common)
    assert not said.get("failed") and len(said["operations"]) > 20, said.get("msg")


@pytest.mark.parametrize("kind", sorted(NOT_HERE))
def test_B17_nor_with_a_kind_that_is_refused_here(prepared: Host, kind: str) -> None:
    said = checked(prepared, "pipework_attach", {"container": "a", "runtime": "netns", **EACH_KIND[kind]})
    assert said.get("failed")


def unsealed(shown: t.Any) -> str:
    """What is shown, without the seals of NICs: nobody knows what they will be."""
    return re.sub(r"\|[0-9a-f]{16}\|", "|", json.dumps(shown))


def test_B17_on_a_host_that_was_never_used_the_lock_is_all_that_stays() -> None:
    """A NIC is lent: what seals it is not made yet, and what is said is what happens."""
    host = Host("a", "b")
    try:
        fresh(host)
        params: Params = {"container": "a", "runtime": "netns", "interface": "in5", **EACH_KIND["phys"]}
        host.call(lambda: os.makedirs(LOCK[0]))
        host.call(lambda: Path(LOCK[1]).touch(0o600))
        said = checked(host, "pipework_attach", params)
        assert host.call(lambda: os.listdir(LOCK[0])) == ["lock"]
        host.call(lambda: shutil.rmtree(LOCK[0]))
        assert host.module("pipework_attach", params, check=True)["operations"] == said["operations"]
        assert host.call(lambda: os.listdir(LOCK[0])) == ["lock"]
        done = host.module("pipework_attach", params)
        for part in ("operations", "before", "after", "diff"):
            assert unsealed(done[part]) == unsealed(said[part])
        assert checked(host, "pipework_attach", params)["changed"] is False
        assert checked(host, "pipework_attach", {**params, "state": "absent"})["changed"]
    finally:
        host.close()


def test_B17_nor_with_open_vswitch() -> None:
    host = Host("a")
    fresh(host)
    switch = VSwitch(host)
    try:
        switch.bridge("ovs1")
        given = {"container": "a", "runtime": "netns", **EACH_KIND["openvswitch"]}
        before = switch.snapshot()
        assert checked(host, "pipework_attach", given)["changed"]
        new = {"name": "ovs2", "kind": "openvswitch", "addresses": ["10.6.0.1/24"], "fail_mode": "standalone"}
        assert checked(host, "pipework_bridge", new)["changed"]
        assert switch.snapshot() == before
    finally:
        switch.close()
        host.close()
