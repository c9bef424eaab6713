# Copyright: pipework.containers contributors
# GNU General Public License v3.0+ (see LICENSE)
"""Incus's containers, and LXD's, by name, over the daemon's socket: one list, and the state of each that is meant.

``project/name`` says in which project; without it the project default is meant.
"""
from __future__ import annotations

import os
import re
import time
import typing as t

from .._core.errors import ODD, PipeworkError
from .._host import answers as host_answers
from .._host import trust
from .._model.container import Ambiguous, Answer, Found, NotRunning, Unavailable, Who, stopped, without_id
from .pid import command, enter, status

SECONDS = 10.0  # for one answer
POLL_SECONDS = 0.1
DEFAULT = "default"
NAME = re.compile(r"[A-Za-z][A-Za-z0-9-]{0,62}")
# Each daemon's variables, of which one that is set takes the place of the usual sockets; those; and its client.
DAEMONS = (
    (("INCUS_SOCKET", "INCUS_DIR"), ("/run/incus/unix.socket", "/var/lib/incus/unix.socket"), "incus"),
    (("LXD_SOCKET", "LXD_DIR"), ("/var/snap/lxd/common/lxd/unix.socket", "/var/lib/lxd/unix.socket"), "lxc"),
)
Instance = dict[str, t.Any]
Key = tuple[str, str]  # project, name


class _Daemon(t.NamedTuple):
    """One that answers, and what it has."""

    socket: str
    client: str
    instances: dict[Key, Instance]


def installed(user: str | None) -> bool:
    return user is None and bool(_sockets())


def find_many(wanted: list[Who], patience: float = 0.0) -> list[Answer]:
    deadline = time.monotonic() + patience
    daemons: list[_Daemon] = []
    answers: list[Answer] = []
    for name, user in wanted:
        try:
            if user is not None:
                raise PipeworkError("runtime_user: incus has no use for it.")
            daemons = daemons or _daemons()
            answers.append(_find(str(name), daemons, deadline))
        except PipeworkError as error:
            answers.append(error)
    return answers


def running(_user: str | None) -> list[str]:
    try:
        return [
            _full(*key) for daemon in _daemons() for key, each in daemon.instances.items()
            if each.get("type") == "container" and each.get("status") in ("Running", "Frozen")
        ]
    except Unavailable as error:
        raise Unavailable(f"runtime: {error}") from None


# -- the daemons

def _sockets() -> list[tuple[str, str]]:
    """The sockets that are there, and the clients to speak of."""
    found = []
    for variables, usual, client in DAEMONS:
        own = [os.environ[name] for name in variables if os.environ.get(name)]
        paths = [os.path.join(path, "unix.socket") if os.path.isdir(path) else path for path in own[:1]] or usual
        found += [(path, client) for path in paths if os.path.exists(path)][:1]
    return found


def _daemons() -> list[_Daemon]:
    sockets = _sockets()
    if not sockets:
        raise Unavailable("Incus cannot be asked: neither Incus nor LXD has a socket here; is it running?")
    return [_Daemon(path, client, _instances(path)) for path, client in sockets]


def _instances(socket: str) -> dict[Key, Instance]:
    listed = _get(socket, "/1.0/instances?recursion=1&all-projects=true")
    try:
        return {(each.get("project") or DEFAULT, each["name"]): each for each in host_answers.listed(listed)}
    except (KeyError, TypeError, AttributeError):
        raise Unavailable(f"Incus gives an answer at {socket} that is no list of instances.") from None


def _get(socket: str, path: str) -> t.Any:
    """One answer of a daemon; None for what it does not know."""
    import http.client
    import socket as sockets

    class Connection(http.client.HTTPConnection):
        def connect(self) -> None:
            self.sock = sockets.socket(sockets.AF_UNIX, sockets.SOCK_STREAM)
            self.sock.settimeout(SECONDS)
            self.sock.connect(socket)
            if trust.speaker(self.sock, socket) != 0:
                raise trust.Untrusted(f"what listens at {socket} is not believed, because it is not root's")

    connection = Connection("localhost")

    def ask() -> tuple[int, t.Any]:
        connection.request("GET", path)
        answer = connection.getresponse()
        return answer.status, host_answers.parse(host_answers.read(answer))

    try:
        status, said = host_answers.call(SECONDS, ask)
        if status == 404:
            return None
        if status != 200:
            raise Unavailable(f"Incus refuses to answer at {socket}: {said.get('error')}.")
        return said["metadata"]
    except trust.Untrusted as error:
        raise Unavailable(f"Incus cannot be asked: {error}.") from None
    except (host_answers.Late, TimeoutError):
        raise Unavailable(f"Incus does not answer at {socket} within {SECONDS:g} s.") from None
    except OSError as error:
        raise Unavailable(f"Incus does not answer at {socket}: {error.strerror or error}; is it running?") from None
    except host_answers.TooLong as error:
        raise Unavailable(f"Incus does not answer at {socket} as it should: {error}.") from None
    except (http.client.HTTPException, *ODD):
        raise Unavailable(f"What answers at {socket} is not Incus.") from None
    finally:
        connection.close()


# -- the container

def _find(name: str, daemons: list[_Daemon], deadline: float) -> Found | None:
    project, slash, base = name.rpartition("/")
    key = (project if slash else DEFAULT, base)
    if not NAME.fullmatch(base) or (slash and not project):
        return None
    known = [daemon for daemon in daemons if key in daemon.instances]
    if len(known) > 1:
        error = Ambiguous(f"container: {name!r} is known to both Incus and LXD; remove or rename one of them.")
        error.exact = True
        raise error
    return _open(key, known[0], deadline) if known else None


def _open(key: Key, daemon: _Daemon, deadline: float) -> Found | None:
    shown, instance = _full(*key), daemon.instances[key]
    _refuse_elsewhere(shown, instance, daemon)
    while True:
        state = _state(key, daemon)
        if state is None:
            return None
        pid, words = int(state.get("pid") or 0), str(state.get("status", "")).lower()
        fd = enter(pid, lambda number, _born: _belongs(number, key, daemon)) if pid > 0 else None
        if fd is not None:
            ident = (instance.get("config") or {}).get("volatile.uuid") or without_id(shown)
            return Found("incus", shown, ident.replace("-", ""), fd, pid=pid)
        if words in ("stopped", "error") or time.monotonic() > deadline:
            where = "" if key[0] == DEFAULT else f" --project {key[0]}"
            raise stopped(shown, words, f"{daemon.client} start {key[1]}{where}")
        time.sleep(POLL_SECONDS)


def _full(project: str, name: str) -> str:
    return name if project == DEFAULT else f"{project}/{name}"


def _refuse_elsewhere(shown: str, instance: Instance, daemon: _Daemon) -> None:
    if instance.get("type") != "container":
        error = NotRunning(f"container: {shown!r} is a virtual machine, which has no network namespace on the host.")
        error.known_as = shown
        raise error
    place = instance.get("location") or "none"
    if place != "none" and place != (_get(daemon.socket, "/1.0") or {}).get("environment", {}).get("server_name"):
        raise PipeworkError(
            f"container: {shown!r} is on the cluster member {place!r}; the module has to run on that host."
        )


def _state(key: Key, daemon: _Daemon) -> dict[str, t.Any] | None:
    from urllib.parse import quote

    found = _get(daemon.socket, f"/1.0/instances/{quote(key[1], safe='')}/state?project={quote(key[0], safe='')}")
    return found if isinstance(found, dict) or found is None else {}


def _belongs(pid: int, key: Key, daemon: _Daemon) -> bool:
    """Whether a process is a child of the container's monitor, a process of the host. In doubt the daemon is asked."""
    parent = int(status(pid, "PPid")[0])
    words = command(parent)[0].rsplit(" ", 1)
    name = key[1] if key[0] == DEFAULT else "_".join(key)
    if words[0].startswith("[lxc monitor] ") and words[1:] == [name]:
        return len(status(parent, "NSpid")) == len(status(os.getpid(), "NSpid"))
    return int((_state(key, daemon) or {}).get("pid") or 0) == pid
