# Copyright: pipework.containers contributors
# GNU General Public License v3.0+ (see LICENSE)
"""A host of one's own: network and mount namespaces with a /run, and named namespaces that play containers.

Nothing of the machine's own network is seen or touched, and hosts do not disturb each other. Work on a host is done in
a forked child that has entered it: it can be killed at any point, and what it changed is the host's alone.
"""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import json
import os
import pickle
import re
import select
import shutil
import signal
import socket
import struct
import subprocess
import sys
import time
import traceback
import typing as t

from ansible_collections.pipework.containers.plugins.module_utils._core.errors import PipeworkError
from ansible_collections.pipework.containers.plugins.module_utils._engine.run import run
from ansible_collections.pipework.containers.plugins.module_utils._jobs.attach import AttachJob

CLONE_NEWNS, CLONE_NEWNET = 0x00020000, 0x40000000
MS_BIND, MS_REC, MS_PRIVATE = 0x1000, 0x4000, 0x40000
SIOCSIFFLAGS, IFF_UP = 0x8914, 1
LIMIT = 120  # seconds, for one piece of work
NETNS = "/run/netns"
T = t.TypeVar("T")
Params = dict[str, t.Any]

_libc = ctypes.CDLL(None, use_errno=True)


class Killed(Exception):
    """A piece of work was ended by a signal."""


class Injected(Exception):
    """A failure that a test brings about."""

    expected = True


def _check(result: int) -> None:
    if result != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


def _mount(source: str, target: str, kind: str, flags: int = 0) -> None:
    _check(_libc.mount(source.encode(), target.encode(), kind.encode(), ctypes.c_ulong(flags), None))


def enter(fd: int, kind: int = CLONE_NEWNET) -> None:
    _check(_libc.setns(fd, kind))


def unshare(kind: int) -> None:
    _check(_libc.unshare(kind))


def write(path: str, value: str) -> None:
    with contextlib.suppress(OSError), open(path, "w", encoding="ascii") as handle:
        handle.write(value)


def eventually(condition: t.Callable[[], t.Any], seconds: float = 10) -> bool:
    """Whether a condition holds within that time; it is tried once at least."""
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() >= end:
            return False
        time.sleep(0.02)
    return True


def wait_for(what: str, condition: t.Callable[[], t.Any], seconds: float = 10) -> None:
    """Until a condition holds."""
    assert eventually(condition, seconds), f"waited {seconds} s for {what}"


class Work(t.Generic[T]):
    """A function that runs in a forked child."""

    def __init__(self, function: t.Callable[..., T], *args: t.Any) -> None:
        self._pipe, out = os.pipe()
        self.pid = os.fork()
        if self.pid == 0:
            status = 1
            try:
                os.close(self._pipe)
                _tell(out, _outcome(function, args))
                status = 0
            finally:
                os._exit(status)
        os.close(out)

    def wait(self, limit: float = LIMIT) -> T:
        """What the function returned. What it raised is raised here; Killed where a signal ended it."""
        data, end = b"", time.monotonic() + limit
        try:
            while True:
                ready = select.select([self._pipe], [], [], max(0, end - time.monotonic()))[0]
                assert ready, f"not done within {limit} s"
                piece = os.read(self._pipe, 1 << 16)
                if not piece:
                    break
                data += piece
        except BaseException:
            os.kill(self.pid, signal.SIGKILL)
            raise
        finally:
            os.close(self._pipe)
            _pid, status = os.waitpid(self.pid, 0)
        if os.WIFSIGNALED(status):
            raise Killed(signal.Signals(os.WTERMSIG(status)).name)
        sort, value = pickle.loads(data)
        if sort == "refused":
            raise PipeworkError(value)
        if sort == "failed":
            raise AssertionError(value)
        return t.cast(T, value)


def _outcome(function: t.Callable[..., t.Any], args: tuple[t.Any, ...]) -> bytes:
    try:
        return pickle.dumps(("done", function(*args)))
    except PipeworkError as error:
        return pickle.dumps(("refused", str(error)))
    except BaseException:
        return pickle.dumps(("failed", traceback.format_exc()))


def _tell(fd: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(fd, view) :]


class Host:
    """One host. ``guests``: the named namespaces on it."""

    def __init__(self, *guests: str) -> None:
        self.guests: list[str] = []
        ready, go = os.pipe(), os.pipe()
        pid = os.fork()
        if pid == 0:
            try:
                os.close(go[1])
                unshare(CLONE_NEWNET | CLONE_NEWNS)
                _mount("none", "/", "none", MS_REC | MS_PRIVATE)
                _mount("tmpfs", "/run", "tmpfs")
                os.makedirs(NETNS)
                _calm()
                os.write(ready[1], b"+")
                os.read(go[0], 1)
            finally:
                os._exit(0)
        os.close(ready[1])
        assert os.read(ready[0], 1) == b"+", "no namespaces of its own"
        self.net, self.mnt = (os.open(f"/proc/{pid}/ns/{kind}", os.O_RDONLY | os.O_CLOEXEC) for kind in ("net", "mnt"))
        for fd in (ready[0], go[0], go[1]):
            os.close(fd)
        os.waitpid(pid, 0)
        self.add_guests(*guests)

    def close(self) -> None:
        """The namespaces, and all in them, go with the last that holds them."""
        os.close(self.net)
        os.close(self.mnt)

    # -- work on the host

    def start(self, function: t.Callable[..., T], *args: t.Any, ns: str | None = None) -> Work[T]:
        """Begins a function on the host, or in a guest's network."""

        def there() -> T:
            os.environ.pop("DOCKER_HOST", None)  # the machine's engine is none of this host's
            os.environ.setdefault("INCUS_SOCKET", "/run/incus/unix.socket")  # nor are its other daemons
            os.environ.setdefault("LXD_SOCKET", "/run/lxd/unix.socket")
            enter(self.mnt, CLONE_NEWNS)
            enter(self.net)
            os.chdir("/")
            if ns is not None:
                with open(f"{NETNS}/{ns}", "rb") as handle:
                    enter(handle.fileno())
            return function(*args)

        return Work(there)

    def call(self, function: t.Callable[..., T], *args: t.Any, ns: str | None = None) -> T:
        """Runs a function on the host, or in a guest's network."""
        return self.start(function, *args, ns=ns).wait()

    def sh(self, *argv: str, ns: str | None = None, text: str = "", check: bool = True) -> str:
        """What a program says on its output."""
        return self.call(_sh, argv, text, check, ns=ns)

    def batch(self, lines: str, ns: str | None = None) -> None:
        """Commands for ip, one a line."""
        self.sh("ip", "-batch", "-", ns=ns, text=lines)

    def ok(self, *argv: str, ns: str | None = None) -> bool:
        """Whether a program succeeds."""
        return self.call(lambda: subprocess.run(argv, capture_output=True, check=False).returncode == 0, ns=ns)

    def add_guests(self, *names: str) -> None:
        def make() -> None:
            for name in names:
                os.close(os.open(f"{NETNS}/{name}", os.O_CREAT | os.O_EXCL, 0o444))
                unshare(CLONE_NEWNET)
                _mount("/proc/self/ns/net", f"{NETNS}/{name}", "none", MS_BIND)
                _calm()

        self.call(make)
        self.guests += names

    def end_guest(self, name: str) -> None:
        """The namespace goes, with all that is in it."""
        self.guests.remove(name)
        self.sh("ip", "netns", "del", name)

    # -- the collection's own work

    def run(self, check: bool = False, step: t.Any = None, job: t.Any = AttachJob, **params: t.Any) -> dict[str, t.Any]:
        """One run of a module's job."""
        return self.call(lambda: run(job(params), check=check, step=step))

    def attach(self, container: str = "a", **params: t.Any) -> dict[str, t.Any]:
        """One attachment of a guest."""
        return self.run(**{"container": container, "runtime": "netns", "host_interface": "br1", **params})

    def module(
        self, name: str, params: Params, check: bool = False, diff: bool = True, python: str = sys.executable
    ) -> dict[str, t.Any]:
        """The module itself, as Ansible starts it on the host, without Ansible's way there."""
        arguments = {
            "ANSIBLE_MODULE_ARGS": {
                **params,
                "_ansible_check_mode": check,
                "_ansible_diff": diff,
                "_ansible_remote_tmp": "/run",
            }
        }
        module = f"ansible_collections.pipework.containers.plugins.modules.{name}"
        code = (
            f"import sys; sys.path[:0] = {[p for p in sys.path if p]!r}\nimport ansible.module_utils.basic as basic\n"
            "basic._ANSIBLE_PROFILE = 'legacy'\n"
            f"import importlib; importlib.import_module({module!r}).main()"
        )
        said = self.sh(python, "-c", code, text=json.dumps(arguments), check=False)
        return dict(json.loads(said))

    # -- looking

    def ip(self, *words: str, ns: str | None = None) -> list[t.Any]:
        """What ip tells about the host or a guest, read from its JSON."""
        return list(json.loads(self.sh("ip", "-j", "-d", *words, ns=ns) or "[]"))

    def link(self, name: str, ns: str | None = None) -> dict[str, t.Any] | None:
        """An interface, None where there is none of the name."""
        found = [link for link in self.ip("link", "show", ns=ns) if link["ifname"] == name]
        return dict(found[0]) if found else None

    def links(self, ns: str | None = None) -> list[str]:
        """The names of the interfaces, without the loopback."""
        return sorted(link["ifname"] for link in self.ip("link", "show", ns=ns) if link["ifname"] != "lo")

    def addresses(self, name: str, ns: str | None = None) -> list[str]:
        """The addresses of an interface that the kernel did not make itself."""
        shown = self.ip("address", "show", "dev", name, ns=ns)
        return sorted(
            f"{a['local']}/{a['prefixlen']}"
            for link in shown
            for a in link.get("addr_info", ())
            if a["scope"] != "link"
        )

    def routes(self, ns: str, *words: str) -> list[str]:
        """Routes as ip prints them, but for the preference of IPv6."""
        lines = self.sh("ip", *words, ns=ns).splitlines()
        return [" ".join(line.partition(" pref ")[0].split()) for line in lines]

    def ping(self, ns: str | None, address: str, seconds: float = 10) -> bool:
        """Whether an answer comes within that time; 0 is one try, for where none may come."""
        return eventually(lambda: self.ok("ping", "-c", "1", "-W", "1", "-q", address, ns=ns), seconds)

    def sockets(self, make: t.Callable[[], socket.socket], ns: str | None = None) -> socket.socket:
        """A socket that was opened in a namespace and is used from here."""
        here, there = socket.socketpair()
        with here, there:

            def send() -> None:
                with make() as made:
                    socket.send_fds(there, [b"+"], [made.fileno()])

            self.call(send, ns=ns)
            _data, fds, _flags, _address = socket.recv_fds(here, 1, 1)
        return socket.socket(fileno=fds[0])

    def snapshot(self) -> dict[str, t.Any]:
        """All that is there: links, addresses, routes of all tables, rules, filter rules, files under /run.

        Left out is what comes and goes by itself: indexes, timers, carrier, the addresses and routes that the kernel
        makes of a MAC address; and under /run/pipework the lock and the secret, which stay by design, and the journal
        of a run that was killed, which goes with the next that makes something.
        """
        return self.call(_snapshot, self.guests)

    def assert_as(self, before: dict[str, t.Any], what: str = "") -> None:
        """The state is the one of a snapshot, or soon will be."""
        end = time.monotonic() + 10
        while True:
            found = difference(before, self.snapshot())
            if not found or time.monotonic() > end:
                break
        assert found == [], f"{what} {found}"


def _sh(argv: t.Sequence[str], text: str, check: bool) -> str:
    done = subprocess.run(argv, input=text, capture_output=True, text=True, timeout=LIMIT, check=False)
    if check and done.returncode:
        raise AssertionError(f"{' '.join(argv)}: {done.stdout}{done.stderr}")
    return done.stdout


def _calm() -> None:
    """Loopback up; no waiting for the detection of doubled IPv6 addresses."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        fcntl.ioctl(sock, SIOCSIFFLAGS, struct.pack("16sh14x", b"lo", IFF_UP))
    for where in ("all", "default"):
        write(f"/proc/sys/net/ipv6/conf/{where}/accept_dad", "0")


# -- snapshots

VOLATILE = {
    "ifindex",
    "link_index",
    "link_netnsid",
    "operstate",
    "promiscuity",
    "allmulti",
    "numtxqueues",
    "numrxqueues",
    "hello_timer",
    "tcn_timer",
    "topology_change_timer",
    "gc_timer",
    "topology_change",
    "topology_change_detected",
    "message_age_timer",
    "forward_delay_timer",
    "hold_timer",
    "id",
    "no",
    "designated_port",
    "state",
    "root_port",
    "root_path_cost",
    "tentative",
    "root_id",
    "bridge_id",
    "config_pending",
    "tso_max_size",
    "topology_change_ack",
    "multicast_router",
}
SEAL = re.compile(r"\|[0-9a-f]{32}\|")  # in an alias, another one each time
VOLATILE_FLAGS = {"LOWER_UP", "NO-CARRIER", "RUNNING", "M-DOWN", "linkdown", "dead", "DORMANT"}


def _snapshot(guests: list[str]) -> dict[str, t.Any]:
    found: dict[str, t.Any] = {"host": _namespace()}
    found["host"]["filter"] = _filters()
    found["run"] = _files()
    for name in guests:
        with open(f"{NETNS}/{name}", "rb") as handle:
            enter(handle.fileno())
        found[name] = _namespace()
    return found


def _namespace() -> dict[str, t.Any]:
    batch = "link show\naddress show\nroute show table all\nrule show\n"
    links, addresses, routes, rules4 = _documents(_sh(["ip", "-j", "-d", "-batch", "-"], batch, True), 4)
    rules6 = _documents(_sh(["ip", "-6", "-j", "rule", "show"], "", True), 1)[0]
    return {
        "links": {link["ifname"]: lasting(link) for link in links},
        "addresses": sorted(
            f"{link['ifname']} {json.dumps(lasting(address), sort_keys=True)}"
            for link in addresses
            for address in link.get("addr_info", ())
            if not _kernel_made(address.get("local", ""), address)
        ),
        "routes": sorted(
            json.dumps(lasting(r), sort_keys=True) for r in routes if not _kernel_made(str(r.get("dst")), r)
        ),
        "rules": rules4 + rules6,
        "sysctls": {
            path: _content("/proc/sys/net/" + path)
            for path in (
                "ipv4/ip_forward",
                "ipv6/conf/all/forwarding",
                "ipv4/conf/all/promote_secondaries",
                "ipv4/conf/default/promote_secondaries",
                "ipv6/conf/all/disable_ipv6",
                "ipv6/conf/default/disable_ipv6",
                "ipv4/conf/all/arp_notify",
            )
        },
    }


def _documents(text: str, count: int) -> list[t.Any]:
    decoder, at, found = json.JSONDecoder(), 0, []
    while text[at:].strip():
        at += len(text[at:]) - len(text[at:].lstrip())
        value, at = decoder.raw_decode(text, at)
        found.append(value)
    assert len(found) == count, text
    return found


def lasting(value: t.Any) -> t.Any:
    """What ip told, without what comes and goes by itself."""
    if isinstance(value, dict):
        return {
            k: sorted(set(v) - VOLATILE_FLAGS)
            if k == "flags"
            else (SEAL.sub("|seal|", v) if k == "ifalias" else lasting(v))
            for k, v in value.items()
            if k not in VOLATILE
        }
    if isinstance(value, list):
        return [lasting(item) for item in value]
    return "noqueue" if value == "noop" else value  # what an interface has until it is first set up


def _kernel_made(address: str, item: dict[str, t.Any]) -> bool:
    return (
        address.startswith(("fe80:", "ff00:"))
        and item.get("protocol", "kernel") == "kernel"
        and item.get("scope", "link") in ("link", "global")
    ) or (":" in address and item.get("table") == "local")  # these come a little later


def _filters() -> str:
    said = _sh(["nft", "-s", "list", "ruleset"], "", False) if shutil.which("nft") else ""
    for family, program in (("ip", "iptables-legacy-save"), ("ip6", "ip6tables-legacy-save")):
        if _content(f"/proc/self/net/{family}_tables_names") and shutil.which(program):
            said += "".join(
                line for line in _sh([program], "", False).splitlines(True) if not line.startswith(("#", ":"))
            )
    return said


STAYING = ("/run/pipework/lock", "/run/pipework/secret", "/run/pipework/links")


def _files() -> list[str]:
    return sorted(
        os.path.join(folder, name)
        for folder, _folders, files in os.walk("/run")
        for name in files
        if os.path.join(folder, name) not in STAYING
    )


def _content(path: str) -> str:
    try:
        with open(path, encoding="ascii") as handle:
            return handle.read().strip()
    except OSError:
        return ""


def difference(before: t.Any, after: t.Any, where: str = "") -> list[str]:
    """What differs between two snapshots."""
    if isinstance(before, dict) and isinstance(after, dict):
        return [
            line
            for key in sorted(set(before) | set(after))
            for line in difference(before.get(key), after.get(key), f"{where}/{key}")
        ]
    if isinstance(before, list) and isinstance(after, list):
        gone = [f"{where}: gone: {item}" for item in before if item not in after]
        return gone + [f"{where}: come: {item}" for item in after if item not in before]
    return [] if before == after else [f"{where}: {before!r} became {after!r}"]


# -- failures


def followed(said: dict[str, t.Any], done: dict[str, t.Any]) -> list[str]:
    """That what a check run said was done; the kinds of what followed from it, as the addresses of a new lease."""
    both = [[(each["action"], each["kind"], each["name"]) for each in run["operations"]] for run in (said, done)]
    assert both[1][: len(both[0])] == both[0], both
    return [kind for _action, kind, _name in both[1][len(both[0]) :]]


def refusal(work: t.Callable[[], t.Any]) -> str | None:
    """What a run is refused with, None where it is not."""
    try:
        work()
    except PipeworkError as error:
        return str(error)
    return None


def failing_at(number: int) -> t.Callable[[t.Any], None]:
    """A step hook that lets so many operations pass and then fails."""
    return _at(number, _fail)


def killed_at(number: int, how: int = signal.SIGKILL) -> t.Callable[[t.Any], None]:
    """A step hook that lets so many operations pass and then sends the process a signal."""
    return _at(number, lambda: os.kill(os.getpid(), how))


def _fail() -> None:
    raise Injected("a failure was injected.")


def _at(number: int, act: t.Callable[[], None]) -> t.Callable[[t.Any], None]:
    passed = [0]

    def step(_operation: t.Any) -> None:
        passed[0] += 1
        if passed[0] == number + 1:
            act()

    return step


# -- frames


class Listener:
    """What a packet socket on an interface hears."""

    def __init__(self, host: Host, ns: str | None, interface: str) -> None:
        def make() -> socket.socket:
            heard = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(0x0003))
            heard.bind((interface, 0x0003))
            return heard

        self._socket = host.sockets(make, ns)

    def frames(self, seconds: float, until: t.Callable[[bytes], bool] = lambda frame: False) -> list[bytes]:
        """Frames heard in a time, which ends with the one that was waited for."""
        found: list[bytes] = []
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            self._socket.settimeout(max(0.01, end - time.monotonic()))
            try:
                found.append(self._socket.recv(2048))
            except (TimeoutError, socket.timeout):
                break
            if until(found[-1]):
                break
        return found

    def close(self) -> None:
        self._socket.close()


def is_gratuitous_arp(frame: bytes, mac: str, address: str) -> bool:
    """An ARP frame in which somebody tells all that an address is his."""
    hardware, ip = bytes.fromhex(mac.replace(":", "")), socket.inet_aton(address)
    return (
        frame[:6] == b"\xff" * 6
        and frame[12:14] == b"\x08\x06"
        and frame[22:32] == hardware + ip
        and frame[38:42] == ip
    )


def is_advertisement(frame: bytes, address: str) -> bool:
    """An unsolicited neighbour advertisement (ICMPv6 type 136) for an address."""
    if len(frame) < 78 or frame[12:14] != b"\x86\xdd" or frame[20] != 58:
        return False
    kind, flags = struct.unpack_from("!BxxxI", frame, 54)
    return kind == 136 and not flags & 0x40000000 and frame[62:78] == socket.inet_pton(socket.AF_INET6, address)
