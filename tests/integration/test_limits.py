# Copyright: pipework.containers contributors
# GNU General Public License v3.0+ (see LICENSE)
"""Answers from outside have a time and a size: engines and programs that lie, hang or never end, and what they say.

None of them makes a run hang, grow, or end in a traceback, nor does one hold up the runs of others.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import os
import resource
import signal
import socket
import threading
import time
import typing as t
import zlib
from collections.abc import Iterator

import pytest

from ansible_collections.pipework.containers.plugins.module_utils import _runtimes
from ansible_collections.pipework.containers.plugins.module_utils._core.errors import PipeworkError
from ansible_collections.pipework.containers.plugins.module_utils._engine.run import lock, run
from ansible_collections.pipework.containers.plugins.module_utils._host import answers as host_answers
from ansible_collections.pipework.containers.plugins.module_utils._host import program as host_program
from ansible_collections.pipework.containers.plugins.module_utils._jobs.attach import AttachJob
from ansible_collections.pipework.containers.plugins.module_utils._jobs.bridge import BridgeJob
from ansible_collections.pipework.containers.plugins.module_utils._model import container as model_container
from tests.conftest import unavailable
from tests.integration.lab import MS_BIND, Host, Killed, _mount, wait_for

pytestmark = pytest.mark.root

SECONDS = 1.0  # that an answer has here
MORE = 12  # seconds that a machine under load may need besides
MEGABYTES = 110  # that a run may take for an answer that is refused; the limit of bytes is 32
DOCKER, INCUS = "/run/docker.sock", "/run/incus/unix.socket"
IDENT = "1f" * 32
STEERING = "\x1b]0;x\x07\u202e\x9b2J"
Talk = t.Callable[[t.Any], None]


# -- engines

def answer(body: bytes, *headers: str, code: str = "200 OK") -> bytes:
    lines = [f"HTTP/1.1 {code}", "Content-Type: application/json", f"Content-Length: {len(body)}", *headers]
    return "\r\n".join([*lines, "", ""]).encode() + body


def say(value: object) -> Talk:
    """An answer of any value."""
    return lambda conn: conn.sendall(answer(json.dumps(value).encode()))


def raw(data: bytes) -> Talk:
    return lambda conn: conn.sendall(data)


def drip(head: bytes, piece: bytes) -> Talk:
    """Always a little more, so that no single read takes long."""

    def talk(conn: t.Any) -> None:
        conn.sendall(head)
        while True:
            conn.sendall(piece)
            time.sleep(0.05)

    return talk


def flood(head: bytes, piece: bytes) -> Talk:
    def talk(conn: t.Any) -> None:
        conn.sendall(head)
        while True:
            conn.sendall(piece)

    return talk


def silent(_conn: t.Any) -> None:
    time.sleep(60)


RUNS = {"Id": IDENT, "Name": "/web", "State": {"Status": "running", "Pid": 1}}
LISTED = [{"Id": IDENT, "Names": ["/web"]}]
OK = b"HTTP/1.1 200 OK\r\n"


def bomb(conn: t.Any) -> None:
    """A quarter of a gigabyte of blanks."""
    packer = zlib.compressobj(1, zlib.DEFLATED, 31)
    blanks = b" " * (1 << 20)
    body = b"".join([*(packer.compress(blanks) for _round in range(256)), packer.flush()])
    conn.sendall(answer(body, "Content-Encoding: gzip"))


LIES: dict[str, Talk] = {
    "says nothing": silent,
    "headers by letters": drip(OK, b"X"),
    "headers one by one": drip(OK, b"X: y\r\n"),
    "always to be continued": flood(b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
    "body by letters": drip(OK + b"Content-Length: 100000\r\n\r\n[", b" "),
    "chunks by letters": drip(OK + b"Transfer-Encoding: chunked\r\n\r\n", b"1\r\n \r\n"),
    "a body without an end": flood(OK + b"\r\n[", b" " * 65536),
    "chunks without an end": flood(OK + b"Transfer-Encoding: chunked\r\n\r\n", b"10000\r\n" + b" " * 65536 + b"\r\n"),
    "a chunk without an end": flood(OK + b"Transfer-Encoding: chunked\r\n\r\n7fffffffffff\r\n", b" " * 65536),
    "a length of a chunk without an end": flood(OK + b"Transfer-Encoding: chunked\r\n\r\n", b"0" * 65536),
    "a huge body": flood(OK + b"Content-Length: 999999999999\r\n\r\n[", b" " * 65536),
    "a header without an end": flood(OK + b"X: ", b"y" * 65536),
    "a compressed one": bomb,
    "nested deeply": raw(answer(b"[" * 200_000 + b"]" * 200_000)),
    "nested deeply as objects": raw(answer(b'{"a":' * 200_000)),
    "many small values": raw(answer(b"[" + b"[]," * 3_000_000 + b"0]")),
    "a long number": raw(answer(b"[" + b"9" * 1_000_000 + b"]")),
    "not JSON": raw(answer(b"<html>" + STEERING.encode() + b"</html>")),
    "not HTTP": raw(b"\x16\x03\x01\x02\x00" * 20),
    "nothing": raw(answer(b"")),
    "closed at once": lambda _conn: None,
    "sent elsewhere": raw(answer(b"", "Location: /version", code="301 Moved Permanently")),
    "an error of another shape": raw(answer(b"[1, 2]", code="500 Internal Server Error")),
    "a long error": flood(b"HTTP/1.1 500 E\r\n\r\n", b"E" * 65536),
    "an error that steers": raw(answer(json.dumps({"message": STEERING}).encode(), code="500 Internal Server Error")),
    **{
        f"{value!r} instead": say(value)
        for value in (None, True, 7, "text", [], {}, [None], [7], ["x"], [[]], [{}], {"Id": 1}, [{"Id": 5, "Names": 3}])
    },
    "a process that is text": say({**RUNS, "State": {"Pid": "1/../1"}}),
    "a process that is none": say({**RUNS, "State": {"Pid": True}}),
    "names that are none": say([{"Id": IDENT, "Names": [1, None]}]),
    "an ID that is none": say([{"Id": ["x"], "Names": ["/web"]}]),
}  # fmt: skip


class Liar:
    """An engine on a host that answers paths by a table of their parts; where that has None, by the lie of now."""

    def __init__(self, host: Host, path: str, table: dict[str, Talk | None], accepts: bool = True) -> None:
        self.host, self.path, self.table = host, path, table
        self.seen = f"{path}.asked"  # which goes with the engine
        ready, told = os.pipe()
        self._lies, lies = os.pipe()
        self.work = host.start(self._serve, accepts, told, self._lies)
        self._lies = lies
        assert os.read(ready, 1) == b"+"
        os.close(ready)
        os.close(told)

    def _serve(self, accepts: bool, told: int, lies: int) -> None:
        signal.alarm(120)
        os.makedirs(os.path.dirname(self.path), exist_ok=True)
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(self.path)
            listener.listen(64 if accepts else 0)
            if not accepts:
                with socket.socket(socket.AF_UNIX) as client:  # with it the queue is full
                    client.connect(self.path)
                    os.write(told, b"+")
                    time.sleep(60)
            os.write(told, b"+")
            while True:
                conn, _address = listener.accept()
                threading.Thread(target=self._talk, args=(conn,), daemon=True).start()

    def _talk(self, conn: socket.socket) -> None:
        with conn, contextlib.suppress(OSError):
            while True:
                data = b""
                while b"\r\n\r\n" not in data:
                    piece = conn.recv(65536)
                    if not piece:
                        return
                    data += piece
                path = data.split(b" ")[1].decode()
                part = next((part for part in self.table if part in path), None)
                with open(self.seen, "a", encoding="ascii") as handle:
                    handle.write(f"{path}\n")
                if part is None:
                    conn.sendall(answer(b'{"message": "no such container"}', code="404 Not Found"))
                    continue
                talk = self.table[part]
                if talk is None:
                    with open(f"{self.path}.lie", encoding="ascii") as handle:
                        LIES[handle.read()](conn)
                    return
                talk(conn)

    def tell(self, lie: str) -> None:
        """From now on."""

        def write() -> None:
            with open(f"{self.path}.lie", "w", encoding="ascii") as handle:
                handle.write(lie)

        self.host.call(write)

    def asked(self) -> bool:
        return self.host.call(os.path.exists, self.seen)

    def close(self) -> None:
        os.kill(self.work.pid, signal.SIGKILL)
        with contextlib.suppress(Killed):
            self.work.wait()
        os.close(self._lies)
        self.host.sh("rm", "-f", self.path, f"{self.path}.lie", self.seen)


@contextlib.contextmanager
def lying(host: Host, path: str, table: dict[str, Talk | None], **options: t.Any) -> Iterator[Liar]:
    engine = Liar(host, path, table, **options)
    try:
        yield engine
    finally:
        engine.close()


VERSION = say({"ApiVersion": "1.44", "Version": "27.0"})


class Cost(t.NamedTuple):
    """What came of a run, and what it took."""

    words: str
    seconds: float
    megabytes: float


def asked(host: Host, runtime: str, container: str = "web", job: t.Any = AttachJob, **params: t.Any) -> Cost:
    """A run that is refused, with little time for each answer."""

    def work() -> Cost:
        importlib.import_module("docker")  # what it takes by itself is not counted
        _runtimes.SECONDS = SECONDS
        _runtimes.patience = 0.2
        for name in ("docker", "incus"):
            _runtimes.runtime_of(name).SECONDS = SECONDS
        before, start = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.monotonic()
        words = "it was done"
        try:
            given = {"container": container, "runtime": runtime, "host_interface": "br1", **params}
            run(job(given if job is AttachJob else params))
        except PipeworkError as error:
            words = str(error)
        after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return Cost(words, time.monotonic() - start, (after - before) / 1024)

    return host.call(work)


def assert_refused(cost: Cost, *words: str, where: str = "", seconds: float = SECONDS + MORE) -> None:
    assert cost.words.isprintable(), f"{where}: {cost.words!r}"
    assert len(cost.words) < 1000, f"{where}: {cost.words}"
    assert any(word in cost.words for word in words), f"{where}: {cost.words}"
    assert cost.words.endswith("Nothing was changed."), f"{where}: {cost.words}"
    assert cost.seconds < seconds, f"{where}: {cost}"
    assert cost.megabytes < MEGABYTES, f"{where}: {cost}"


# Where a lie is told, and which of them there: all are in the list.
AT: dict[str, tuple[dict[str, Talk | None], t.Collection[str]]] = {
    "the version": (
        {"/version": None},
        ("says nothing", "chunks without an end", "nested deeply", "not HTTP", "7 instead", "[] instead"),
    ),
    "the list": ({"/version": VERSION, "/containers/json": None}, LIES),
    "one container": (
        {"/version": VERSION, "/containers/json": say(LISTED), f"/{IDENT}/json": None},
        ("body by letters", "a huge body", "a compressed one", "many small values", "[] instead", "{} instead",
         "None instead", "an error that steers", "a process that is text", "a process that is none"),
    ),
}  # fmt: skip


@pytest.mark.parametrize("at", AT)
def test_B17_an_engine_that_lies_hangs_or_never_ends_is_one_clear_error(host: Host, at: str) -> None:
    before = host.snapshot()
    table, lies = AT[at]
    with lying(host, DOCKER, table) as engine:
        for lie in lies:
            engine.tell(lie)
            cost = asked(host, "docker")
            if (at, lie) == ("the list", "[] instead"):
                assert "docker knows no container 'web'" in cost.words
                continue
            assert_refused(cost, "Docker does not answer", "docker gives an answer that is not understood", where=lie)
    host.assert_as(before)


def test_B17_an_engine_that_takes_no_connection(host: Host) -> None:
    with lying(host, DOCKER, {}, accepts=False):
        assert_refused(asked(host, "docker"), "Docker does not answer")
        assert_refused(asked(host, "auto"), "netns does not know 'web', and Docker does not answer")


def test_B17_incus_that_lies_hangs_or_never_ends_is_one_clear_error(host: Host) -> None:
    with lying(host, INCUS, {"/1.0/instances": None}) as engine:
        for lie in (
            "body by letters", "headers by letters", "always to be continued", "chunks without an end", "a huge body",
            "a compressed one", "nested deeply", "many small values", "not HTTP", "nothing", "[] instead", "{} instead",
        ):  # fmt: skip
            engine.tell(lie)
            assert_refused(asked(host, "incus"), "ncus does not answer at", "is not Incus", where=lie)
    for value in (7, "text", {}, [7], [[]], [{"name": ["x"]}]):
        with lying(host, INCUS, {"/1.0/instances": say({"metadata": value})}):
            assert_refused(asked(host, "incus"), "is no list of instances", "is not understood", where=str(value))


def test_B17_a_hundred_containers_that_an_engine_delays_have_one_deadline(host: Host) -> None:
    """Each answer comes within the time for one."""
    listed = [{"Id": f"{number:064x}", "Names": [f"/web{number}"]} for number in range(100)]

    def slow(conn: t.Any) -> None:
        time.sleep(SECONDS / 2)
        conn.sendall(answer(b'{"Id": "x", "Name": "/web", "State": {"Pid": 0, "Status": "exited"}}'))

    table = {"/version": VERSION, "/containers/json": say(listed), "/json": slow}
    wanted = [{"container": f"web{number}", "interface": "eth1", "state": "absent"} for number in range(100)]
    with lying(host, DOCKER, table):

        def work() -> float:
            _runtimes.SECONDS = SECONDS
            start = time.monotonic()
            answers = _runtimes.find_all([("docker", each["container"], None) for each in wanted])
            assert isinstance(answers[-1], model_container.Unavailable), answers[-1]
            return time.monotonic() - start

        assert host.call(work) < SECONDS + 100 * _runtimes.EACH_SECONDS + MORE


# -- the lock

def test_B17_who_waits_for_an_engine_holds_up_nobody(host: Host) -> None:
    host.sh("ip", "link", "add", "br1", "type", "bridge")
    for lie in ("says nothing", "body by letters"):
        with lying(host, DOCKER, {"/version": VERSION, "/containers/json": None}) as engine:
            engine.tell(lie)
            hanging = host.start(run, AttachJob({"container": "web", "runtime": "docker", "host_interface": "br1"}))
            try:
                wait_for("the question", engine.asked)
                assert host.attach("a", interface=f"eth{len(lie)}")["changed"]
                assert os.waitpid(hanging.pid, os.WNOHANG) == (0, 0)  # it still waits
            finally:
                os.kill(hanging.pid, signal.SIGKILL)
                with pytest.raises(Killed):
                    hanging.wait()


def test_B17_a_container_that_was_started_anew_while_the_lock_was_waited_for_is_found_anew(host: Host) -> None:
    host.sh("ip", "link", "add", "br1", "type", "bridge")

    def hold() -> None:
        with lock(), open("/run/held", "w", encoding="ascii"):
            while not os.path.exists("/run/go"):
                time.sleep(0.02)

    def attach() -> None:
        found = _runtimes.find_all

        def telling(wanted: t.Any) -> t.Any:
            answers = found(wanted)
            with open("/run/found", "a", encoding="ascii") as handle:
                handle.write("+")
            return answers

        _runtimes.find_all = telling
        run(AttachJob({"container": "a", "runtime": "netns", "host_interface": "br1"}))

    holder = host.start(hold)
    wait_for("the lock", lambda: host.call(os.path.exists, "/run/held"))
    waiting = host.start(attach)
    wait_for("a look", lambda: host.call(os.path.exists, "/run/found"))
    host.end_guest("a")
    host.add_guests("a")
    host.sh("touch", "/run/go")
    holder.wait()
    waiting.wait()
    assert host.links("a") == ["eth1"]  # in the new one
    assert host.sh("cat", "/run/found") == "++"


# -- programs

PROGRAMS = {
    "says nothing": "exec sleep 1000",
    "ends for nobody": "trap '' TERM INT HUP; while :; do sleep 1; done",
    "by letters": "while :; do printf '['; sleep 0.05; done",
    "without an end": "exec yes '[[[[[[[['",
    "complains without an end": "exec yes >&2",
    "closes its output and stays": "exec >&- 2>&-; sleep 1000",
    "with a child that stays": "sleep 1000 & exec sleep 1000",
    "with a child in a session of its own": "setsid sleep 20 & echo no answer; exit 0",
    "nested deeply": "head -c 200000 /dev/zero | tr '\\0' '['",
    "many small values": "echo '['; yes '[],[],[],[],[],[],[],[],[],[],[],[],[],[],[],' | head -c 9000000",
    "another shape": "echo '[1, {\"a\": null}]'",
    "objects of another shape": "echo '{\"nftables\": [7], \"headings\": 3, \"data\": {}}'",
    "not JSON": "printf '\\033]0;x\\007 \\377\\n'",
    "steers and fails": "printf '\\033]0;x\\007\\302\\2332J\\n' >&2; exit 1",
    "fails at length": "head -c 1000000 /dev/zero | tr '\\0' x >&2; exit 1",
}

ENOUGH = ("ends for nobody", "without an end", "with a child that stays", "nested deeply", "objects of another shape",
          "steers and fails")


@contextlib.contextmanager
def instead_of(host: Host, program: str, text: str) -> Iterator[None]:
    """Another program in its place, on this host."""
    path = str(host_program.which(program))

    def mount() -> None:
        with open("/run/fake", "w", encoding="utf-8") as handle:
            handle.write(f"#!/bin/sh\necho $$ >> /run/pids\n{text}\n")
        os.chmod("/run/fake", 0o755)
        _mount("/run/fake", os.path.realpath(path), "none", MS_BIND)

    host.call(mount)
    try:
        yield
    finally:
        host.sh("umount", os.path.realpath(path))
        host.sh("rm", "-f", "/run/fake", "/run/pids")


def left_of(host: Host) -> list[str]:
    """What still runs of a program's group."""
    groups = host.sh("cat", "/run/pids").split()
    found = []
    for number in filter(str.isdigit, os.listdir("/proc")):
        with contextlib.suppress(OSError), open(f"/proc/{number}/stat", encoding="utf-8", errors="replace") as handle:
            words = handle.read().rpartition(")")[2].split()
            found += [number] if words[2] in groups and words[0] not in "ZX" else []
    return found


def ran(host: Host, work: t.Callable[[], t.Any]) -> Cost:
    """The same as ``asked`` for anything else."""

    def there() -> Cost:
        before, start = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.monotonic()
        words = "it was done"
        try:
            with host_answers.within(SECONDS):
                work()
        except PipeworkError as error:
            words = str(error)
        after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return Cost(words, time.monotonic() - start, (after - before) / 1024)

    return host.call(there)


@pytest.mark.parametrize("program", ["ovs-vsctl", "nft", "podman"])
def test_B17_a_program_that_hangs_or_never_ends_is_ended_with_all_that_it_started(host: Host, program: str) -> None:
    if host_program.which(program) is None:
        unavailable(f"{program} is not installed: sudo make setup-system")
    host.sh("ip", "link", "add", "br1", "type", "bridge")
    host.sh("mkdir", "-p", "/run/libpod")
    attachment = {"container": "a", "runtime": "netns", "host_interface": "br2", "kind": "openvswitch"}
    jobs: dict[str, t.Callable[[], t.Any]] = {
        "ovs-vsctl": lambda: AttachJob(attachment),
        "nft": lambda: BridgeJob({"name": "br1", "masquerade": True, "addresses": ["198.18.9.1/24"]}),
        "podman": lambda: AttachJob({**attachment, "container": "web", "runtime": "podman", "kind": "bridge"}),
    }
    before = host.snapshot() if program != "nft" else None
    some = PROGRAMS if program == "ovs-vsctl" else ENOUGH
    for name, text in ((name, PROGRAMS[name]) for name in some):
        with instead_of(host, program, text):
            cost = ran(host, lambda: run(jobs[program]()))
            assert not left_of(host), name
        words = (program, "Open vSwitch does not answer", "Podman does not answer", "Podman gives an answer")
        assert_refused(cost, *words, where=name)
    if before is not None:
        host.assert_as(before)


def test_B17_what_a_program_is_told_and_says_comes_through_whole_and_its_children_are_not_waited_for() -> None:
    text = "ä\udcff line\n" * 200_000
    assert host_program.run(str(host_program.which("cat")), text=text).output == text  # more than a pipe holds
    start = time.monotonic()
    done = host_program.run("/bin/sh", "-c", "sleep 7 & echo $!; echo no >&2; exit 3")
    assert (done.code, done.said, done.errors) == (3, "no", "no\n")
    assert time.monotonic() - start < 6
    os.kill(int(done.output), signal.SIGKILL)  # it was not touched
    with pytest.raises(host_program.NoEnd, match="did not end within"):
        host_program.run(str(host_program.which("sleep")), "100", text="x" * 1_000_000, seconds=0.2)
    with pytest.raises(host_program.NoEnd, match="said more than 1000 bytes"):
        host_program.run(str(host_program.which("yes")), limit=1000)


# -- words that others chose

def test_B17_names_ids_aliases_and_paths_do_not_steer_a_terminal(host: Host) -> None:
    host.sh("ip", "link", "add", "br1", "type", "bridge")
    named = {"Id": IDENT, "Name": f"/{STEERING}", "State": {"Status": STEERING, "Pid": 0}}
    listed = [{"Id": IDENT, "Names": [f"/{STEERING}"]}]
    table = {"/version": VERSION, "/containers/json": say(listed), "/json": say(named)}
    given: dict[str, t.Any] = {"runtime": "netns", "host_interface": "br1"}
    said = []
    with lying(host, DOCKER, table):
        said.append(host.module("pipework_attach", {**given, "container": IDENT, "runtime": "docker"}))
    place = f"/run/{STEERING}"
    host.call(lambda: os.close(os.open(place, os.O_CREAT)))
    said.append(host.module("pipework_attach", {**given, "container": place}))
    host.sh("ip", "link", "add", "br2", "type", "veth", "peer", "name", "br3")
    host.sh("ip", "link", "set", "br2", "alias", f"pipework:{STEERING}:eth1")
    said.append(host.module("pipework_attach", {**given, "container": "a", "local_interface": "br2"}))
    with instead_of(host, "ovs-vsctl", "printf '\\033]0;x\\007\\342\\200\\256\\302\\2332J\\n' >&2; exit 1"):
        said.append(host.module("pipework_bridge", {"name": "br4", "kind": "openvswitch"}))
    for each in said:
        assert each["failed"], each
        assert "\\x1b]0;x\\x07\\u202e\\x9b2J" in each["msg"], each["msg"]
        assert each["msg"].isprintable()
