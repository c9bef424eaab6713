# Copyright: pipework.containers contributors
# GNU General Public License v3.0+ (see LICENSE)
"""A DHCP client that somebody has taken over: it stands where the genuine one was, tries all it can, and tells."""

from __future__ import annotations

import errno
import inspect
import json
import os
import resource
import socket
import subprocess
import sys
import typing as t
from pathlib import Path

import pytest

from ansible_collections.pipework.containers.plugins.module_utils._core.errors import PipeworkError
from ansible_collections.pipework.containers.plugins.module_utils._ipam import external_client, sandbox
from ansible_collections.pipework.containers.plugins.module_utils._ipam.external import CLIENTS, SAID, Ask
from tests.integration.lab import NETNS, Host, wait_for

pytestmark = pytest.mark.root
ATTACK = Path(__file__).parent / "sandbox_attack.py"
BAITS = ("/root", "/home", "/usr/local/bin", "/srv", "/mnt", "/var/lib", "/var/tmp", "/tmp")
BAIT = "pipework-bait"
SOURCE = inspect.getsource(sandbox)  # since the folder with the collection may be one of those


@pytest.fixture
def prey(host: Host) -> Host:
    """A host with places of its own where the attacker may leave traces, and a container that has an interface."""
    host.batch("link add eth1 type veth peer name far\nlink set far up\nlink set eth1 up\n", ns="a")

    def make() -> None:
        for place in BAITS:
            subprocess.run(["mount", "-t", "tmpfs", "none", place], check=True)
            with open(f"{place}/{BAIT}", "w", encoding="ascii") as handle:
                handle.write("secret")
            os.chmod(f"{place}/{BAIT}", 0o666)  # whoever sees it could write to it
        with open(f"/run/{BAIT}", "w", encoding="ascii") as handle:
            handle.write("secret")

    host.call(make)
    return host


def replaced(host: Host, client: str, text: str) -> None:
    """Something else stands where the program was."""
    path = external_client.require(client)

    def put() -> None:
        with open("/run/replaced", "w", encoding="utf-8") as handle:
            handle.write(text)
        os.chmod("/run/replaced", 0o755)
        subprocess.run(["mount", "--bind", "/run/replaced", os.path.realpath(path)], check=True)

    host.call(put)


def ask(client: str, seconds: int = 10, source: str = SOURCE) -> external_client.Said:
    """What a run of the collection does, but for the rest of it."""
    external_client.inspect.getsource = lambda _module: source  # type: ignore[assignment]  # in a child of its own
    sys.executable = python()
    with open(f"{NETNS}/a", "rb") as handle, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as quiet:
        listener = external_client.Listener(quiet, b"\2\0\0\0\0\1")
        wanted = Ask("eth1", {12: b"a", 61: b"\1\2\0\0\0\0\1"}, seconds)
        return external_client.run(client, wanted, handle.fileno(), listener)


def python() -> str:
    """An interpreter that every user can run."""
    path = os.path.realpath(sys.executable)
    return path if path.startswith("/usr/") else "/usr/bin/python3"


def traces() -> dict[str, t.Any]:
    """What an attacker would have changed."""
    found: dict[str, t.Any] = {}
    for place in (*BAITS, "/run", "/run/pipework", "/etc", "/usr", "/usr/bin", "/"):
        found[place] = sorted(os.listdir(place)) if os.path.isdir(place) else None
    for place in (*BAITS, "/run"):
        with open(f"{place}/{BAIT}", encoding="ascii") as handle:
            status = os.stat(f"{place}/{BAIT}")
            found[f"{place}/{BAIT}"] = (handle.read(), status.st_uid, status.st_mode, status.st_nlink)
    for path in ("/proc/sys/kernel/core_pattern", "/proc/sys/kernel/hostname", "/etc/resolv.conf", "/etc/passwd"):
        with open(path, encoding="utf-8") as handle:
            found[path] = handle.read()
    return found


def alone(host: Host) -> bool:
    """Whether nothing runs in the container's network."""

    def there() -> bool:
        own = os.stat("/proc/self/ns/net").st_ino
        pids = [int(name) for name in os.listdir("/proc") if name.isdigit() and int(name) != os.getpid()]
        return not any(_network(pid) == own for pid in pids)

    return host.call(there, ns="a")


def _network(pid: int) -> int:
    try:
        return os.stat(f"/proc/{pid}/ns/net").st_ino
    except OSError:
        return 0


@pytest.mark.parametrize("client", sorted(CLIENTS))
def test_B17_a_client_that_was_taken_over_gets_nowhere(prey: Host, client: str) -> None:
    host = prey
    with subprocess.Popen(["sleep", "60"]) as victim, socket.socket(socket.AF_UNIX) as engine:
        try:
            constants = f"VICTIM, SAID, BAIT = {(victim.pid, SAID, BAIT)}"
            attack = ATTACK.read_text(encoding="utf-8").replace('VICTIM, SAID, BAIT = 0, "", ""', constants)
            replaced(host, client, f"#!{python()} -ISB\n{attack}")

            def run() -> tuple[t.Any, t.Any, dict[str, str]]:
                engine.bind("/run/engine.sock")
                engine.listen()
                os.chmod("/run/engine.sock", 0o666)
                before = traces()
                said = ask(client)
                return before, traces(), {**said.environment, "words": said.words}

            before, after, said = host.call(run)
            assert after == before
            assert "report" in said, said
            assert victim.poll() is None
        finally:
            victim.kill()
    report = json.loads(said["report"])
    state = report.pop("state")
    done = {name: what for name, what in report.items() if what["done"]}
    assert done == {} and len(report) > 80
    rights = sum(1 << number for number in sandbox.KEPT)
    assert {state[f"Cap{name}"] for name in ("Eff", "Prm", "Inh", "Bnd", "Amb")} == {rights}
    assert rights == 1 << 10 | 1 << 13  # net_bind_service, net_raw
    assert state["NoNewPrivs"] == 1 and state["uids"] == state["gids"] and len(set(state["uids"])) == 1
    assert state["uids"][0] >= sandbox.FIRST_UID and state["groups"] == []
    filtered = os.uname().machine in sandbox.AUDIT_ARCH and os.path.exists("/proc/sys/kernel/seccomp")
    assert state["Seccomp"] == (2 if filtered else 0)
    assert state["fds"] == [0, 1, 2] and state["processes"] <= 3
    assert state["forks"] <= 16 and state["written"] <= 4 << 20 and state["memory"] < 512 << 20
    assert set(state["root"]) <= {*sandbox.SHOWN, "dev", "home", "proc", "root", "run", "sys", "tmp", "var"}
    assert state["filled"] == {"/home": [], "/root": [], "/sys": []} and "sys" not in state["proc"]
    wait_for("the end of what it left behind", lambda: alone(host))


def test_B17_two_programs_cannot_disturb_each_other(prey: Host) -> None:
    """They have different users, and each sees its own processes and files."""
    replaced(prey, "dhclient", f"#!/bin/sh\nprintf 'id=%s\\0' \"$(id -u)\" >{SAID}\n")
    first, second = (prey.call(ask, "dhclient").environment["id"] for _each in range(2))
    assert first != second and int(first) > 1 << 30 < int(second)


def test_B17_a_program_that_talks_without_end_is_bounded(prey: Host) -> None:
    replaced(prey, "dhclient", "#!/bin/sh\nyes >&2 &\nexec yes\n")

    def run() -> tuple[int, int]:
        try:
            words = ask("dhclient", 2).words
        except PipeworkError as error:
            words = str(error)
        return len(words), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss

    before = prey.call(lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
    start, external_client.START_SECONDS = external_client.START_SECONDS, 2
    try:
        words, after = prey.call(run)
    finally:
        external_client.START_SECONDS = start
    assert words < 400 and after - before < 32 << 10, (before, after)
    wait_for("its end", lambda: alone(prey))


def test_B17_what_cannot_be_kept_apart_is_not_run(prey: Host) -> None:
    """A kernel that refuses a mount: the program is not run without it."""
    replaced(prey, "dhclient", f"#!/bin/sh\necho ran >{SAID}\n")

    def run() -> str:
        source = SOURCE.replace('"proc", f"{ROOT}/proc"', '"no-such", "/no-such"')
        try:
            return str(ask("dhclient", source=source).environment)
        except PipeworkError as error:
            return str(error)

    words = prey.call(run)
    assert words == "dhcp: dhclient cannot be run apart from the host's files: mount: No such file or directory."


def test_B17_linux_5_10_has_no_mount_setattr_and_each_mount_is_made_read_only(prey: Host) -> None:
    def run() -> list[tuple[str, int | None]]:
        genuine = sandbox.call

        def old(name: str, *args: t.Any) -> int:
            if name == "syscall":
                raise OSError(errno.ENOSYS, "mount_setattr")
            return genuine(name, *args)

        sandbox.call = old  # type: ignore[assignment]
        for path in ("/run/tree", "/run/tree/a b", "/run/view"):
            os.mkdir(path)
            if path != "/run/view":
                subprocess.run(["mount", "-t", "tmpfs", "none", path], check=True)
        sandbox.bind("/run/tree", "/run/view", recursive=True)
        found = []
        for path in ("/run/view/x", "/run/view/a b/x", "/run/tree/a b/x"):
            try:
                os.close(os.open(path, os.O_CREAT | os.O_WRONLY))
                found.append((path, None))
            except OSError as error:
                found.append((path, error.errno))
        return found

    assert prey.call(run) == [
        ("/run/view/x", errno.EROFS), ("/run/view/a b/x", errno.EROFS), ("/run/tree/a b/x", None),
    ]  # fmt: skip
