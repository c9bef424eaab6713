# Copyright: pipework.containers contributors
# GNU General Public License v3.0+ (see LICENSE)
"""Local users and containers that want a file of the host's written, or a run to wait for ever.

A local user here is a user ID that nobody has, who makes user, mount and network namespaces of his own.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import re
import select
import shutil
import signal
import stat
import struct
import sys
import time
import typing as t
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from ansible_collections.pipework.containers.plugins.module_utils._core.errors import PipeworkError
from ansible_collections.pipework.containers.plugins.module_utils._files import container_file
from ansible_collections.pipework.containers.plugins.module_utils._files.blocks import HOSTS, Names, Where
from ansible_collections.pipework.containers.plugins.module_utils._host import as_container, in_container
from ansible_collections.pipework.containers.plugins.module_utils._jobs.hosts import HostsJob
from ansible_collections.pipework.containers.plugins.module_utils._runtimes.pid import start_time
from tests.integration.files import content, guest, machine, private_etc
from tests.integration.lab import MS_BIND, MS_PRIVATE, MS_REC, Host, Killed, _mount, refusal, unshare

pytestmark = pytest.mark.root

Params = dict[str, t.Any]
UID, OTHER, REMAPPED = 54321, 54322, 540000
NEWNS, NEWUSER, NEWNET = 0x00020000, 0x10000000, 0x40000000
ENTRIES = [{"address": "10.1.0.2", "names": ["db1"]}]
TEXT = b"only root may write here\n"
SITE, SECRET, OWN = "/run/site", "/run/site/secret", "/run/own"
LIMIT = 8  # seconds: a run that meets somebody who never answers; what is said after three is said within that
libc = ctypes.CDLL(None, use_errno=True)


@pytest.fixture(autouse=True)
def site(host: Host) -> Iterator[Host]:
    """A host with a folder of root's, of which nothing changes whatever the test does."""

    def prepare() -> None:
        os.makedirs(SITE)
        for name, owner, mode in (("secret", 0, 0o440), ("open", 0, 0o666), ("of_other", OTHER, 0o660)):
            Path(SITE, name).write_bytes(TEXT)
            os.chown(f"{SITE}/{name}", owner, owner)
            os.chmod(f"{SITE}/{name}", mode)
        os.link(SECRET, f"{SITE}/hard")
        os.symlink(SECRET, f"{SITE}/hosts")
        os.symlink(SECRET, f"{SITE}/resolv.conf")
        os.makedirs(OWN)
        os.chown(OWN, UID, UID)
        os.mknod("/run/fuse", stat.S_IFCHR | 0o666, os.makedev(10, 229))
        os.chmod("/run/fuse", 0o666)

    def state() -> dict[str, t.Any]:
        paths = [Path(SITE), *Path(SITE).iterdir()]
        return {str(p): (p.is_dir() or p.read_bytes(), (s := p.stat()).st_mode, s.st_uid, s.st_mtime_ns) for p in paths}

    before = machine()
    private_etc(host)
    host.call(prepare)
    there = host.call(state)
    yield host
    assert host.call(state) == there
    assert machine() == before


def mount(source: str, target: str, kind: str, flags: int = 0, data: str = "") -> None:
    if libc.mount(source.encode(), target.encode(), kind.encode(), ctypes.c_ulong(flags), data.encode()) != 0:
        raise OSError(ctypes.get_errno(), f"mount {target}")


def local_user() -> None:
    """Becomes an ordinary user of the host."""
    os.setgroups([])
    os.setresgid(UID, UID, UID)
    os.setresuid(UID, UID, UID)
    libc.prctl(4, ctypes.c_ulong(1), 0, 0, 0)  # as after login


def own_namespaces() -> None:
    """What ``unshare -Urmn`` does."""
    uid, gid = os.getuid(), os.getgid()
    unshare(NEWUSER | NEWNS | NEWNET)
    Path("/proc/self/setgroups").write_text("deny", encoding="ascii")
    Path("/proc/self/uid_map").write_text(f"0 {uid} 1", encoding="ascii")
    Path("/proc/self/gid_map").write_text(f"0 {gid} 1", encoding="ascii")
    _mount("none", "/", "none", MS_REC | MS_PRIVATE)


def rootless() -> None:
    local_user()
    own_namespaces()


def remapped() -> None:
    """As an engine does that maps its containers' users to others."""
    asked, ready = os.pipe(), os.pipe()
    me, child = os.getpid(), os.fork()
    if child == 0:
        os.read(asked[0], 1)
        for name in ("uid_map", "gid_map"):
            Path(f"/proc/{me}/{name}").write_text(f"0 {REMAPPED} 65536", encoding="ascii")
        os.write(ready[1], b"+")
        os._exit(0)
    unshare(NEWUSER | NEWNS | NEWNET)
    os.write(asked[1], b"+")
    os.read(ready[0], 1)
    os.waitpid(child, 0)
    os.setgroups([])
    os.setresgid(0, 0, 0)
    os.setresuid(0, 0, 0)
    _mount("none", "/", "none", MS_REC | MS_PRIVATE)


def plain() -> None:
    """A container without a user namespace, still as the host's root."""
    unshare(NEWNS | NEWNET)
    _mount("none", "/", "none", MS_REC | MS_PRIVATE)


def own_etc() -> None:
    _mount("none", "/etc", "tmpfs")


@contextlib.contextmanager
def process(
    host: Host, begin: Callable[[], t.Any], *steps: Callable[[], t.Any], then: Callable[[], t.Any] = signal.pause
) -> Iterator[Params]:
    """A process on the host that does these things, and is there until the test is over. Yields what names it."""
    ready, out = os.pipe()

    def live() -> None:
        begin()
        for step in steps:
            step()
        os.write(out, b"+")
        os.close(out)
        then()

    work = host.start(live)
    os.close(out)
    try:
        if not os.read(ready, 1):
            work.wait()
        yield {"container": str(work.pid), "runtime": "pid"}
    finally:
        os.close(ready)
        with contextlib.suppress(ProcessLookupError):
            os.kill(work.pid, signal.SIGKILL)
        with contextlib.suppress(Killed):
            work.wait()


def names(host: Host, check: bool = False, **params: t.Any) -> Params:
    return host.run(job=HostsJob, check=check, **{"entries": ENTRIES, **params})


def refused(host: Host, given: Params, words: str) -> None:
    for check in (True, False):
        said = refusal(lambda check=check: names(host, check=check, **given)) or "nothing was refused"
        assert said.startswith(f"container: {given['container']}: "), said
        assert re.search(words, said) and "/etc" in said, said
        assert said.endswith("Nothing was changed.") and said.isprintable()
    asked = {"dhcp": "builtin", "dhcp_dns": True, "dhcp_timeout": 2}
    said = refusal(lambda: host.attach(**given, **asked)) or "nothing was refused"
    assert said.startswith(f"dhcp_dns: {given['container']}: ") and said.endswith("Nothing was changed."), said
    assert not names(host, **given, state="absent")["changed"]


# -- files of others

BOTH = ("hosts", "resolv.conf")


def links_to(path: str) -> Callable[[], None]:
    return lambda: [os.symlink(path, f"/etc/{name}") for name in BOTH] and None


def bound(path: str) -> Callable[[], None]:
    def bind() -> None:
        for name in BOTH:
            Path(f"/etc/{name}").touch()
            _mount(path, f"/etc/{name}", "none", MS_BIND)

    return bind


def folder_bound() -> None:
    os.makedirs("/etc/shared")
    _mount(SITE, "/etc/shared", "none", MS_BIND | MS_REC)
    for name in BOTH:
        os.symlink("shared/../shared/secret", f"/etc/{name}")


def etc_is_a_link() -> None:
    os.makedirs("/etc/root/run/site")
    _mount(SITE, "/etc/root/run/site", "none", MS_BIND | MS_REC)
    os.symlink("run/site", "/etc/root/etc")
    os.chroot("/etc/root")
    os.chdir("/")


def etc_is_bound() -> None:
    _mount(SITE, "/etc", "none", MS_BIND | MS_REC)


WAYS: dict[str, Callable[[], None]] = {
    "link": links_to(SECRET),
    "hard_link": links_to(f"{SITE}/hard"),
    "writable_by_all": links_to(f"{SITE}/open"),
    "of_another_user": links_to(f"{SITE}/of_other"),
    "bind_mount": bound(SECRET),
    "bind_mount_of_a_folder": folder_bound,
    "the_folder_is_a_link": etc_is_a_link,
    "the_folder_is_bound": etc_is_bound,
}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("who", [rootless, remapped])
def test_B17_a_file_that_the_container_may_not_write_itself(host: Host, who: Callable[[], None], way: str) -> None:
    with process(host, who, own_etc, WAYS[way]) as given:
        refused(host, given, r"belongs to somebody who is not of the container|is a link that leads nowhere")


@pytest.mark.parametrize("who", [rootless, remapped])
def test_P2_a_container_of_a_local_user_has_its_lines_written(host: Host, who: Callable[[], None]) -> None:
    owner = UID if who is rootless else REMAPPED
    old = b"127.0.0.1 localhost"

    def own_file() -> None:
        Path("/etc/hosts").write_bytes(old)
        os.chmod("/etc/hosts", 0o600)

    with process(host, who, own_etc, own_file) as given:
        path = f"/proc/{given['container']}/root/etc/hosts"
        assert names(host, check=True, **given)["changed"] and content(host, path) == old
        assert names(host, **given)["changed"] and not names(host, **given)["changed"]
        assert b"\n10.1.0.2 db1\n" in (content(host, path) or b"")
        assert names(host, **given, state="absent")["changed"] and content(host, path) == old
    with process(host, who, own_etc) as given:  # a file that is made there is the container's
        path = f"/proc/{given['container']}/root/etc/hosts"
        names(host, **given)
        status = host.call(lambda: os.stat(path))
        assert (status.st_uid, status.st_gid, status.st_mode & 0o777) == (owner, owner, 0o644)
        names(host, **given, state="absent")
        assert content(host, path) is None


def without_rights() -> None:
    """Root, but without what root may do with others' files."""
    data = struct.pack("=6I", 1 << 18, 1 << 18, 0, 0, 0, 0)
    assert libc.capset(struct.pack("=Ii", 0x20080522, 0), data) == 0


def files_of_root() -> None:
    for name in BOTH:
        Path(f"/etc/{name}").write_bytes(b"")


def test_B17_in_the_hosts_user_namespace_only_roots_links_are_followed(host: Host) -> None:
    for begin in (links_to(SECRET), folder_bound, etc_is_a_link):
        with process(host, plain, own_etc, begin, local_user) as given:
            refused(host, given, "is a link, which is followed only where the container's first process is its root")
    with process(host, plain, own_etc, files_of_root, local_user) as given:  # as Docker makes them
        assert names(host, **given)["changed"]


def test_B17_a_container_without_capabilities_gets_none(host: Host) -> None:
    def of_other() -> None:
        for name in BOTH:
            Path(f"/etc/{name}").write_bytes(b"")
            os.chmod(f"/etc/{name}", 0o600)
            os.chown(f"/etc/{name}", OTHER, OTHER)

    with process(host, plain, own_etc, of_other, without_rights) as given:
        refused(host, given, "/etc/hosts cannot be (read|written): Permission denied")
    with process(host, plain, own_etc, of_other) as given:
        assert names(host, **given)["changed"]


def test_B17_of_several_containers_each_gets_what_is_its_own(host: Host) -> None:
    """One child goes through those that have no user namespace of their own, with each one's rights in turn."""

    def of_other(text: bytes) -> Callable[[], None]:
        def write() -> None:
            Path("/etc/hosts").write_bytes(text)
            os.chmod("/etc/hosts", 0o600)
            os.chown("/etc/hosts", OTHER, OTHER)

        return write

    kinds = [(plain, of_other(b"1"), without_rights), (plain, of_other(b"2")), (rootless, links_to(SECRET))]
    kinds += [(plain, links_to(SECRET), local_user), (plain, of_other(b"3")), (plain, of_other(b"4"), without_rights)]
    with contextlib.ExitStack() as stack:
        given = [stack.enter_context(process(host, begin, own_etc, *steps)) for begin, *steps in kinds]
        pids = [int(each["container"]) for each in given]
        places = {(Where(pid, start_time(pid)), False): str(pid) for pid in pids}

        def look() -> list[str]:
            found = container_file.seen_many(places, HOSTS, Names)
            said = [found[place] for place in places]
            return [str(each) if isinstance(each, PipeworkError) else "read" for each in said]

        denied, link = "/etc/hosts cannot be read: Permission denied", "/etc/hosts is a link, which is followed only"
        said = host.call(look)
        assert [said[0], said[1], said[4], said[5]] == [denied, "read", "read", denied]
        assert "belongs to somebody who is not of the container" in said[2] and said[3].startswith(link)


def test_B17_no_program_is_taken_from_the_container(host: Host) -> None:
    """A module of Python that is not loaded yet would be looked for in the container's own folders."""

    def everywhere() -> None:
        library = os.path.dirname(os.__file__)
        _mount("none", library, "tmpfs")
        Path(library, "wave.py").write_bytes(b"evil = True\n")

    def work(_inside: t.Any) -> bytes:
        import wave

        return b"evil" if "evil" in vars(wave) else b""

    with process(host, plain, own_etc, everywhere) as given:
        pid = int(given["container"])
        assert "wave" not in sys.modules
        who = as_container.Who(pid, start_time(pid))
        said = refusal(lambda: host.call(as_container.ask, who, "/etc/hosts", work)) or "it was run"
        assert "what looked at it was ended before it was done" in said


def test_B17_a_user_namespace_without_a_root(host: Host) -> None:
    def begin() -> None:
        local_user()
        unshare(NEWUSER | NEWNS | NEWNET)
        Path("/proc/self/uid_map").write_text(f"{UID} {UID} 1", encoding="ascii")
        own_etc()

    with process(host, begin) as given:
        said = refusal(lambda: names(host, **given)) or ""
        assert "its files cannot be reached: its user namespace has no user 0" in said


# -- who changes all the time


def test_B17_files_that_change_under_the_run(host: Host) -> None:
    def swap() -> None:
        while True:
            for way in (lambda: Path("/etc/new").write_bytes(b"x\n"), lambda: os.symlink(SECRET, "/etc/new")):
                way()
                os.rename("/etc/new", "/etc/hosts")

    with process(host, rootless, own_etc, then=swap) as given:
        wrote, end = 0, time.monotonic() + 2.5
        while time.monotonic() < end:
            for state in ("present", "absent"):
                with contextlib.suppress(PipeworkError):
                    wrote += names(host, **given, state=state)["changed"]


def test_B17_a_file_that_grows_without_end(host: Host) -> None:
    def grow() -> None:
        fd = os.open("/etc/hosts", os.O_WRONLY | os.O_CREAT, 0o644)
        for number in range(sys.maxsize):
            os.pwrite(fd, b"#" * 4096, number % 1000 << 12)
            if number % 1000 == 999:
                os.ftruncate(fd, 0)

    with process(host, rootless, own_etc, then=grow) as given:
        said = set()
        for _attempt in range(6):
            began = time.monotonic()
            said.add(re.sub("[0-9]+", "N", refusal(lambda: names(host, **given)) or "done"))
            assert time.monotonic() - began < LIMIT
        assert any("bytes, and more than N are not read" in each or "not read" in each for each in said), said


def test_B17_a_process_that_changes_its_namespaces_meanwhile(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    """A service of the host's root with mounts of its own, and a user without rights, who has the run go elsewhere."""
    go, gone = os.pipe(), os.pipe()

    def wait() -> None:
        os.read(go[0], 1)
        own_namespaces()
        own_etc()
        links_to(SECRET)()
        os.write(gone[1], b"+")
        signal.pause()

    there = in_container.status

    def at_the_worst_moment(pid: int, field: str) -> list[str]:
        if field == "Uid":  # its namespaces are open by then, and its root is not
            os.write(go[1], b"+")
            os.read(gone[0], 1)
        return there(pid, field)

    def all_but_these(out: int) -> None:
        for fd in {int(name) for name in os.listdir("/proc/self/fd")} - {out, go[1], gone[0]}:
            with contextlib.suppress(OSError):
                os.close(fd)

    monkeypatch.setattr(in_container, "status", at_the_worst_moment)
    monkeypatch.setattr(in_container, "_keep_only", all_but_these)
    with process(host, plain, local_user, then=wait) as given:
        pid = int(given["container"])
        who = as_container.Who(pid, start_time(pid))

        def work(_inside: object) -> bytes:
            return b"in " + Path("/etc/hosts").read_bytes()

        said = refusal(lambda: host.call(lambda: as_container.ask(who, "/etc/hosts", work)))
        assert said == "its files cannot be reached: it has just gone into other namespaces"
    for fd in (*go, *gone):
        os.close(fd)


# -- who never answers

IN, OUT = struct.Struct("=IIQQIIIHH"), struct.Struct("=IiQ")
INIT = 26


def fuse(serve: Callable[[int], None] | None) -> tuple[Callable[[], None], Callable[[], None]]:
    """A file system in the place of /etc, and who serves it: nobody, or one who reads all that he is asked."""
    held: list[int] = []

    def begin() -> None:
        held.append(os.open("/run/fuse", os.O_RDWR))
        mount("trap", "/etc", "fuse", 0, f"fd={held[0]},rootmode=40755,user_id=0,group_id=0,allow_other")

    def live() -> None:
        (serve or (lambda _fd: signal.pause()))(held[0])

    return begin, live


def silent(fd: int) -> None:
    """Says hello, and nothing any more."""
    while True:
        asked = os.read(fd, 1 << 17)
        _length, code, unique = IN.unpack_from(asked)[:3]
        if code == INIT:
            said = struct.pack("=IIIIHHIIHHI7I", 7, 31, 0, 0, 1, 1, 4096, 1, 1, 0, 0, *[0] * 7)
            os.write(fd, OUT.pack(OUT.size + len(said), 0, unique) + said)


@pytest.fixture
def with_fuse() -> None:
    if "fuse" not in Path("/proc/filesystems").read_text(encoding="ascii").split():
        pytest.skip("this kernel has no FUSE")


@pytest.mark.parametrize("serve", [None, silent], ids=["nobody", "silent"])
@pytest.mark.usefixtures("with_fuse")
def test_B17_a_file_system_that_never_answers(host: Host, serve: Callable[[int], None] | None) -> None:
    begin, live = fuse(serve)
    with process(host, rootless, begin, then=live) as given:
        began = time.monotonic()
        said = refusal(lambda: names(host, **given, check=True)) or ""
        assert time.monotonic() - began < LIMIT
        assert said.startswith(f"container: {given['container']}: /etc/hosts "), said
        assert "not answer" in said
        began = time.monotonic()
        said = refusal(lambda: host.attach(**given, dhcp="builtin", dhcp_dns=True)) or ""
        assert said.startswith(f"dhcp_dns: {given['container']}: /etc/resolv.conf ") and "not answer" in said
        assert time.monotonic() - began < LIMIT
        # Others are none the worse for it: the one that waits in there for ever has nothing of the host's, no lock.
        both = {"files": [{**given, "state": "absent"}, {"container": "a", "runtime": "netns"}]}
        assert "not answer" in (refusal(lambda: names(host, **both)) or "")
        began = time.monotonic()
        assert names(host, container="a", runtime="netns")["changed"]
        assert host.attach(**given, addresses=["10.5.0.9/24"])["changed"]
        assert host.attach(**given, state="absent")["changed"]
        assert time.monotonic() - began < LIMIT


@pytest.mark.usefixtures("with_fuse")
def test_B17_many_that_never_answer_cost_no_more_than_one(host: Host) -> None:
    begin, live = fuse(None)
    with contextlib.ExitStack() as stack:
        many = [stack.enter_context(process(host, rootless, begin, then=live)) for _number in range(6)]
        began = time.monotonic()
        said = refusal(lambda: names(host, files=[*many, {"container": "a", "runtime": "netns"}])) or ""
        assert "not answer" in said
        assert time.monotonic() - began < LIMIT


@pytest.mark.usefixtures("with_fuse")
def test_B17_nobody_else_waits_for_who_never_answers(host: Host) -> None:
    begin, live = fuse(silent)
    with process(host, rootless, begin, then=live) as given:
        run = host.start(names_here, given)
        try:
            time.sleep(0.5)
            assert names(host, container="a", runtime="netns")["changed"]
            assert not select.select([run._pipe], [], [], 0)[0]  # it waits still, and has no lock
        finally:
            assert "not answer" in str(refusal(run.wait))


@pytest.mark.usefixtures("with_fuse")
def test_B17_nobody_gets_hold_of_the_child(host: Host) -> None:
    """The server of the file system, who is the container's root and sees the host's processes, attacks who asks."""
    told, tell = os.pipe()

    def attack(fd: int) -> None:
        while True:
            asked = os.read(fd, 1 << 17)
            _length, code, unique, _node, _uid, _gid, pid = IN.unpack_from(asked)[:7]
            if code == INIT:
                said = struct.pack("=IIIIHHIIHHI7I", 7, 31, 0, 0, 1, 1, 4096, 1, 1, 0, 0, *[0] * 7)
                os.write(fd, OUT.pack(OUT.size + len(said), 0, unique) + said)
                continue
            found = [f"ptrace {libc.ptrace(16, pid, 0, 0)}"]
            for way, flags in (("mem", os.O_RDWR), ("exe", os.O_RDONLY), ("fd", os.O_RDONLY), ("environ", os.O_RDONLY)):
                try:
                    handle = os.open(f"/proc/{pid}/{way}", flags)
                    found.append(f"{way} {os.listdir(handle) if way == 'fd' else 'open'}")
                except OSError as error:
                    found.append(f"{way} {error.strerror}")
            os.write(tell, "\n".join([str(pid), *found]).encode() + b"\0")

    begin, live = fuse(attack)
    with process(host, rootless, begin, then=live) as given:
        run = host.start(names_here, given)
        try:
            assert select.select([told], [], [], 5)[0], "nobody came"
            pid, *found = os.read(told, 4096).partition(b"\0")[0].decode().split("\n")
            denied = ["mem Permission denied", "exe Permission denied", "fd Permission denied"]
            assert found == ["ptrace -1", *denied, "environ Permission denied"]
            status = dict(
                line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text(encoding="ascii").splitlines()
            )
            assert status["Uid"].split() == status["Gid"].split() == [str(UID)] * 4
            assert status["NoNewPrivs"].strip() == "1" and not int(status["CapEff"], 16) & ~0b11
            assert not status["Groups"].split()
            leads = {os.readlink(f"/proc/{pid}/fd/{fd}").partition(":")[0] for fd in os.listdir(f"/proc/{pid}/fd")}
            assert leads <= {"pipe", f"/proc/{pid}/fd", "/", "/etc"}, leads  # the latter two are the container's
            for kind in ("user", "mnt"):
                assert os.readlink(f"/proc/{pid}/ns/{kind}") == os.readlink(f"/proc/{given['container']}/ns/{kind}")
        finally:
            assert "not answer" in str(refusal(run.wait))
    os.close(told)
    os.close(tell)


def names_here(given: Params) -> None:
    from ansible_collections.pipework.containers.plugins.module_utils._engine.run import run

    os.setgroups([0, 6])  # as root has after a login
    run(HostsJob({"entries": ENTRIES, **given}))


# -- a check run


@pytest.mark.skipif(not shutil.which("strace"), reason="needs strace")
def test_B1_a_check_run_opens_no_file_for_writing(host: Host) -> None:
    with guest(host, lambda: t.cast(None, Path("etc/hosts").write_bytes(b"x\n"))) as found:
        files = [{"runtime": "host"}, {"runtime": "netns", "container": "a"}, found.given]
        code = (
            f"import sys; sys.path[:0] = {[p for p in sys.path if p]!r}\n"
            "from ansible_collections.pipework.containers.plugins.module_utils._jobs.hosts import HostsJob\n"
            "from ansible_collections.pipework.containers.plugins.module_utils._engine.run import run\n"
            f"print(len(run(HostsJob({{'files': {files!r}, 'entries': {ENTRIES!r}}}), check=True)['operations']))"
        )
        calls = (
            "trace=open,openat,openat2,creat,truncate,ftruncate,rename,renameat,renameat2,unlink,unlinkat,mkdir,mkdirat"
        )
        strace = ["strace", "-f", "-qq", "-o", "/run/trace", "-e", calls, sys.executable, "-B", "-c", code]
        assert host.sh(*strace).split() == ["3"]
        trace = (content(host, "/run/trace") or b"").decode("utf-8", "replace")
    assert trace.count('"etc/hosts"') >= 4  # it saw what was done, in the child too
    change = re.compile(r"O_WRONLY|O_RDWR|O_CREAT|O_TRUNC|creat\(|truncate|rename|unlink|mkdir")
    wrote = [line for line in trace.splitlines() if change.search(line)]
    assert all(re.search(r'"/run/pipework(/lock)?"|"/dev/null"', line) for line in wrote), wrote
