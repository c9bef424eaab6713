# Copyright: pipework.containers contributors
# GNU General Public License v3.0+ (see LICENSE)
"""pipework_hosts: names in hosts files of named namespaces, of processes with a root of their own, and of the host."""

from __future__ import annotations

import os
import typing as t
from collections.abc import Iterator
from pathlib import Path

import pytest

from ansible_collections.pipework.containers.plugins.module_utils._core.errors import PipeworkError
from ansible_collections.pipework.containers.plugins.module_utils._jobs.hosts import HostsJob
from tests.integration.files import TRAPS, content, guest, machine, private_etc
from tests.integration.lab import Host, failing_at, killed_at, refusal

pytestmark = pytest.mark.root

Params = dict[str, t.Any]
ENTRIES = [{"address": "10.1.0.2", "names": ["db1", "db1.example.org"]}, {"address": "fd01::2", "names": ["db1"]}]
BOTH = {"runtime": "netns", "entries": ENTRIES, "files": [{"container": "a"}, {"container": "b"}]}


@pytest.fixture(autouse=True)
def site(host: Host) -> Iterator[Host]:
    """A host with an /etc of its own; the machine's is as before."""
    before = machine()
    private_etc(host)
    yield host
    assert machine() == before


def names(host: Host, check: bool = False, **params: t.Any) -> Params:
    return host.run(job=HostsJob, check=check, **params)


def sure(host: Host, **params: t.Any) -> Params:
    """A check run, and then the run itself, which must do what was said, and nothing when it is repeated."""
    said, done = names(host, check=True, **params), names(host, **params)
    for part in ("changed", "operations", "before", "after"):
        assert said[part] == done[part]
    assert not names(host, **params)["changed"]
    return done


def test_P2_namespaces_find_each_other_by_name(host: Host) -> None:
    for name, address in (("a", "10.1.0.1/24"), ("b", "10.1.0.2/24")):
        host.attach(name, addresses=[address])
    assert not host.ok("ip", "netns", "exec", "a", "ping", "-c", "1", "-w", "5", "db1")
    done = sure(host, **BOTH)
    assert [each["name"] for each in done["operations"]] == ["netns:a/pipework", "netns:b/pipework"]
    assert [each["kind"] for each in done["operations"]] == ["hosts", "hosts"]
    assert done["after"] == {
        f"hosts netns:{name}/pipework": {"lines": ("10.1.0.2 db1 db1.example.org", "fd01::2 db1")} for name in "ab"
    }
    assert done["files"][1] == {"container": "b", "runtime": "netns", "block": "pipework", "entries": ENTRIES}
    found = host.sh("ip", "netns", "exec", "a", "getent", "hosts", "db1.example.org").split()
    assert found[0] == "10.1.0.2"
    assert host.sh("ip", "netns", "exec", "a", "getent", "hosts", "db1").split()[0] == "fd01::2"
    assert host.ok("ip", "netns", "exec", "a", "ping", "-c", "1", "-w", "5", "db1")
    assert not host.ok("getent", "hosts", "db1.example.org")
    sure(host, **{**BOTH, "state": "absent"})
    assert not host.ok("ls", "/etc/netns")


def test_P2_other_lines_and_files_stay(host: Host) -> None:
    text = b"127.0.0.1 localhost\r\n\xff\0 x\n# pipework other: begin\n10.9.9.9 x"
    os_path = "/etc/netns/a/hosts"

    def write() -> None:
        os.makedirs("/etc/netns/a")
        Path(os_path).write_bytes(text)
        Path("/etc/netns/a/nsswitch.conf").touch()

    host.call(write)
    inode = host.call(lambda: os.stat(os_path).st_ino)
    one = {"runtime": "netns", "container": "a"}
    assert [each["action"] for each in sure(host, **one, block="x", entries=ENTRIES)["operations"]] == ["create"]
    assert (content(host, os_path) or b"").startswith(text + b"\n# pipework x: begin")
    sure(host, **one, block="y.1", entries=ENTRIES[:1])
    assert [each["action"] for each in sure(host, **one, block="x", entries=ENTRIES[1:])["operations"]] == ["update"]
    assert host.sh("ip", "netns", "exec", "a", "getent", "hosts", "db1").split()[0] == "fd01::2"
    assert [each["action"] for each in sure(host, **one, block="x", entries=[])["operations"]] == ["delete"]
    sure(host, **one, block="y.1", state="absent")
    assert content(host, os_path) == text
    assert host.call(lambda: os.stat(os_path).st_ino) == inode  # it was written in place
    assert host.sh("ls", "/etc/netns/a").split() == ["hosts", "nsswitch.conf"]


@pytest.mark.parametrize("text", [b"", b"x", b"127.0.0.1 localhost\n", b"# pipework pipework: begin\n", b"\0" * 9])
def test_P3_the_hosts_own_file(host: Host, text: bytes) -> None:
    host.call(lambda: Path("/etc/hosts").write_bytes(text))
    done = sure(host, runtime="host", entries=ENTRIES)
    assert done["operations"][0]["name"] == "pipework"
    assert host.sh("getent", "hosts", "db1.example.org").split()[0] == "10.1.0.2"
    sure(host, runtime="host", state="absent")
    assert content(host, "/etc/hosts") == text


def test_B1_the_module_itself_with_a_difference(host: Host) -> None:
    said = host.module("pipework_hosts", {"runtime": "host", "entries": ENTRIES}, check=True)
    done = host.module("pipework_hosts", {"runtime": "host", "entries": ENTRIES})
    assert said["operations"] == done["operations"] and said["diff"] == done["diff"]
    assert '"10.1.0.2 db1 db1.example.org"' in done["diff"]["after"] and done["diff"]["before"] == "{}\n"
    bad = host.module("pipework_hosts", {"runtime": "host", "entries": [{"address": "x", "names": ["y"]}]})
    assert bad["failed"] and bad["msg"].endswith("Nothing was changed.") and "exception" not in bad


def test_B4_a_failure_leaves_the_bytes_as_before(host: Host) -> None:
    old = b"127.0.0.1 localhost\n# pipework gone: begin\n10.0.0.7 seven\n# pipework gone: end\ntail"
    run: Params = {
        "runtime": "netns", "entries": ENTRIES,
        "files": [
            {"container": "a"}, {"container": "b", "block": "gone", "state": "absent"},
            {"container": "b", "block": "new"}, {"runtime": "host", "block": "gone"},
        ],
    }  # fmt: skip

    def write() -> None:
        os.makedirs("/etc/netns/b")
        for path in ("/etc/netns/b/hosts", "/etc/hosts"):
            Path(path).write_bytes(old)

    def state() -> dict[str, bytes]:
        return {str(path): path.read_bytes() for path in [*Path("/etc/netns").rglob("*s"), Path("/etc/hosts")]}

    host.call(write)
    before = host.call(state)
    count = len(names(host, check=True, **run)["operations"])
    assert count == 4
    for number in range(count):
        said = refusal(lambda number=number: host.run(job=HostsJob, step=failing_at(number), **run)) or ""
        assert said.endswith("Nothing was changed." if number == 0 else "everything is as it was."), said
        assert host.call(state) == before and host.sh("ls", "/etc/netns").split() == ["b"]
    with pytest.raises(Exception, match="SIGKILL"):
        host.run(job=HostsJob, step=killed_at(2), **run)
    sure(host, **run)


@pytest.mark.parametrize("trap", TRAPS)
def test_B14_what_a_container_puts_in_its_place(host: Host, trap: str) -> None:
    make, words = TRAPS[trap]
    with guest(host, lambda: make("etc/hosts")) as found:
        for check in (True, False):
            with pytest.raises(PipeworkError) as caught:
                names(host, check=check, **found.given, entries=ENTRIES)
            said = str(caught.value)
            assert said.startswith(f"container: {found.pid}: /etc/hosts {words}"), said
            assert said.endswith("Nothing was changed.") and "\n" not in said
        assert not names(host, **found.given, state="absent")["changed"]


def test_B14_links_lead_nowhere_but_inside(host: Host) -> None:
    def prepare() -> None:
        os.makedirs("run/real")
        os.rmdir("etc/../tmp")
        os.rename("etc", "run/etc")
        os.symlink("../../../../../run/etc", "etc")
        os.symlink("/run/real/../real/hosts", "run/etc/hosts")
        Path("run/real/hosts").write_bytes(b"10.0.0.9 nine\n")

    with guest(host, prepare) as found:
        sure(host, **found.given, entries=ENTRIES)
        assert found.inside(lambda: b"10.1.0.2 db1" in Path("/run/real/hosts").read_bytes())
        assert not host.call(lambda: os.path.exists("/run/real"))
        sure(host, **found.given, state="absent")
        assert found.inside(lambda: Path("/run/real/hosts").read_bytes()) == b"10.0.0.9 nine\n"


def test_B14_a_file_that_is_missing_is_made_and_goes(host: Host) -> None:
    with guest(host) as found:
        sure(host, **found.given, entries=ENTRIES)
        status = found.inside(lambda: os.stat("/etc/hosts"))
        assert status.st_mode & 0o777 == 0o644
        found.inside(lambda: Path("/etc/hosts").chmod(0o600))
        sure(host, **found.given, state="absent")
        assert not found.inside(lambda: os.path.exists("/etc/hosts"))


def test_B14_forged_blocks_end(host: Host) -> None:
    one = b"# pipework pipework: begin, made\n\x1b[31m\n# pipework pipework: end\n"
    two = b"# pipework pipework: begin\n10.0.0.%d x\n# pipework pipework: end\n"
    text = one + b"".join(two % number for number in range(200))
    with guest(host, lambda: t.cast(None, Path("etc/hosts").write_bytes(text))) as found:
        done = sure(host, **found.given, entries=ENTRIES)
        assert [each["action"] for each in done["operations"]] == ["update"]
        sure(host, **found.given, state="absent")
        assert found.inside(lambda: Path("/etc/hosts").read_bytes()) == one


def test_B14_a_process_that_has_the_hosts_files(host: Host) -> None:
    pid = host.call(lambda: int(os.popen("unshare --net sleep 1000000 >/dev/null 2>&1 & echo $!").read()))  # noqa: S605
    try:
        said = refusal(lambda: names(host, runtime="pid", container=str(pid), entries=ENTRIES)) or ""
        assert "it shares the host's files, of which none is written for it. Nothing was changed." in said
    finally:
        os.kill(pid, 9)


def test_P41_missing_containers_and_paths(host: Host) -> None:
    said = refusal(lambda: names(host, runtime="netns", container="nobody", entries=ENTRIES)) or ""
    assert "netns knows no container 'nobody'" in said
    assert not sure(host, runtime="netns", container="nobody", state="absent")["changed"]
    said = refusal(lambda: names(host, runtime="netns", container="/run/netns/../netns/a", entries=ENTRIES)) or ""
    assert "known by a path alone (/run/netns/../netns/a) has no files of its own" in said
    names(host, **BOTH)
    host.end_guest("b")
    sure(host, runtime="netns", container="b", state="absent")  # what is left of it goes
    assert host.sh("ls", "/etc/netns").split() == ["a"]


def test_P2_listed_twice_and_too_much(host: Host) -> None:
    both = [{"container": "a"}, {"container": "/run/netns/a", "block": "pipework"}]
    said = refusal(lambda: names(host, runtime="netns", entries=ENTRIES, files=both)) or ""
    assert said.startswith("files[1]: block: pipework of netns:a is listed twice (also in files[0])")
    many = [{"address": f"10.{n >> 8}.{n & 255}.1", "names": ["x" * 60]} for n in range(1000)]
    said = refusal(lambda: names(host, runtime="netns", container="a", entries=many)) or ""
    assert "/etc/netns/a/hosts would have" in said and "more than 65536 are not written. Nothing was changed." in said
    assert not host.ok("ls", "/etc/netns")
