# Copyright: pipework.containers contributors
# GNU General Public License v3.0+ (see LICENSE)
"""LXC's containers, by name, or by the path of their folder where that is not in LXC's usual place.

lxc-info asks the container's monitor over a socket, so it does not matter how the host's control groups are laid out.
But that socket's name is free to anybody on the host. So a container is one that is defined where root alone can write
(or the user whose it is), what listens is LXC's own program, run by root (or by that user) on this host, and the
process that lxc-info names is that one's child.
"""
from __future__ import annotations

import functools
import os
import time
import typing as t

from .._core.errors import PipeworkError
from .._host import program as host_program
from .._host import trust
from .._model.container import GONE, Answer, Found, NotRunning, Unavailable, Who, stopped, unread, without_id
from .pid import command, enter, status

FOLDER = "/run/lxc"  # where all of its programs keep their locks
HOME = "/var/lib/lxc"
POLL_SECONDS = 0.05
NAME_BYTES = 255  # of a folder
SOCKET_BYTES = 105  # of a socket's name; one that is longer is hashed
PROGRAMS = "lxc-"  # lxc-start and others that a container's monitor is forked by
TITLE = "[lxc monitor] "  # what it calls itself, also where a program of another name has started it
ACCEPTS = 0x10000  # __SO_ACCEPTCON, of a socket that listens


def installed(user: str | None) -> bool:
    """Worth asking where it has been used since the host started: else nothing runs, and asking would leave files."""
    folder = FOLDER
    if user is not None:
        try:
            folder = f"/run/user/{host_program.uid_of(user)}/lxc"
        except PipeworkError:
            return False
    return os.path.isdir(folder) and host_program.which("lxc-info") is not None


def find_many(wanted: list[Who], patience: float = 0.0) -> list[Answer]:
    deadline = time.monotonic() + patience
    answers: list[Answer] = []
    for name, user in wanted:
        try:
            answers.append(_find(str(name), user, deadline))
        except PipeworkError as error:
            answers.append(error)
    return answers


def running(user: str | None) -> list[str]:
    """lxc-ls lists what has a socket of such a name, whose ever it is."""
    done = host_program.run(_tool("lxc-ls"), "-1", "--active", user=user)
    if done.code != 0:
        raise Unavailable(f"runtime: LXC does not answer: {done.said}.")
    return [name for name in (line.strip() for line in done.output.splitlines()) if name and _runs(name, user)]


def _runs(name: str, user: str | None) -> bool:
    try:
        place = _placed(name, user)
        return place is not None and place.owners() is not None and place.speaks()
    except PipeworkError:
        return False


def _tool(name: str) -> str:
    program = host_program.which(name)
    if program is None:
        raise Unavailable(f"LXC cannot be asked: there is no program {name} on the managed host.")
    return program


class _Place(t.NamedTuple):
    """Where a container is defined, and by whom: root, or a user."""

    folder: str
    name: str
    uid: int

    def owners(self) -> set[int] | None:
        """Those besides root and the user who own the container's folder: the first user of its user namespace, where
        LXC has mapped the users. None where it is not defined."""
        try:
            found = trust.writers(f"{self.folder}/{self.name}/config")
            around = found if os.path.islink(f"{self.folder}/{self.name}") else trust.writers(self.folder)
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as error:
            raise unread(f"{self.folder}/{self.name}/config", error) from None
        for uid, place in found.items():
            if uid == self.uid or (uid != trust.ANYBODY and uid not in around):
                continue
            whose = "root" if self.uid == 0 else trust.user_words(self.uid)
            hint = "" if uid == trust.ANYBODY or self.uid else " (runtime_user says whose container it is)"
            raise PipeworkError(
                f"container: {self.name!r} of LXC is not believed to be {whose}'s, because {place} can be changed by "
                f"{trust.user_words(uid)}{hint}."
            )
        return set(found) - {self.uid}

    def speaks(self) -> bool:
        """Whether somebody speaks for it who may: root's process on this host, or the user's. The socket says who made
        it listen, which is a process that has ended since where the monitor went on by itself. Raises NotRunning."""
        import socket

        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
            connection.settimeout(host_program.SECONDS)
            try:
                connection.connect(self.socket_name())
            except ConnectionRefusedError:
                return False
            except OSError as error:
                raise Unavailable(f"LXC does not answer: {error.strerror or error}.") from None
            pid, uid = trust.peer_of(connection)
        if uid == self.uid and pid and (trust.is_of_host(pid) or not self._listens(pid)):
            return True
        whose = "root in a container" if uid == self.uid == 0 else trust.user_words(uid) if uid else "root"
        refused = NotRunning(
            f"container: {self.name!r} is not running: what listens as its monitor is process {pid} of {whose}, "
            "which is not LXC's; it is not asked."
        )
        refused.known_as = self.full_name()
        raise refused

    def is_monitor(self, pid: int) -> bool:
        """Whether a process is LXC's own program, run by root on this host, or by the user, and has that socket."""
        program = trust.program_of(pid, self.uid)
        titled = command(pid)[0] == f"{TITLE}{self.folder} {self.name}"
        if program is None or not (program.startswith(PROGRAMS) or titled):
            return False
        return self._listens(pid)

    def _listens(self, pid: int) -> bool:
        """Whether a process has the socket that listens."""
        wanted = {f"socket:[{inode}]" for inode in _listening(self.socket_name())}
        try:
            return any(_link(f"/proc/{pid}/fd/{number}") in wanted for number in os.listdir(f"/proc/{pid}/fd"))
        except GONE:
            return False

    def full_name(self) -> str:
        return self.name if self.folder == _home(self.uid) else f"{self.folder}/{self.name}"

    def socket_name(self) -> bytes:
        """The abstract socket's; one that is too long for it is FNV-1a hashed."""
        path = os.fsencode(f"{self.folder}/{self.name}")
        if len(path) + len("/command") > SOCKET_BYTES:
            number = 0xCBF29CE484222325
            for byte in path:
                number = (number ^ byte) * 0x100000001B3 & 0xFFFFFFFFFFFFFFFF
            path = b"lxc/%016x" % number
        return b"\0" + path + b"/command"


def _listening(name: bytes) -> t.Iterator[int]:
    """The inode of the abstract socket of a name that listens."""
    with open("/proc/net/unix", "rb") as handle:
        for line in handle:
            words = line.rstrip(b"\n").split(None, 7)
            if len(words) == 8 and words[7] == name.replace(b"\0", b"@") and int(words[3], 16) & ACCEPTS:
                yield int(words[6])


def _link(path: str) -> str | None:
    try:
        return os.readlink(path)
    except GONE:  # it has been closed meanwhile
        return None


def _home(uid: int) -> str:
    """Where LXC looks for containers that are given by name."""
    import pwd

    return _configured(None if uid == 0 else pwd.getpwuid(uid).pw_name)


@functools.cache
def _configured(user: str | None) -> str:
    program = host_program.which("lxc-config")
    done = host_program.run(program, "lxc.lxcpath", user=user) if program else None
    path = done.output.strip().rstrip("/") if done and done.code == 0 else ""
    return path if path.startswith("/") and "\0" not in path and "\n" not in path else HOME


def _placed(name: str, user: str | None) -> _Place | None:
    """None for what can be no container's name."""
    uid = 0 if user is None else host_program.uid_of(user)
    folder, base = os.path.split(name) if name.startswith("/") else ("", name)
    if "/" in base or base in ("", ".", "..") or "\0" in name or len(os.fsencode(base)) > NAME_BYTES:
        return None
    return _Place(folder or _home(uid), base, uid)


def _find(name: str, user: str | None, deadline: float) -> Found | None:
    _tool("lxc-info")
    place = _placed(name, user)
    owners = place.owners() if place else None
    if place is None or owners is None:
        if place and user is not None and not installed(user) and not os.path.isdir(place.folder):
            raise PipeworkError(
                f"runtime_user: lxc has no use for it, because the user {user!r} has no containers of LXC: "
                f"there is no folder {place.folder}."
            )
        return None
    ask = _ask if user is None else functools.partial(_ask, user=user)
    while True:
        state, pid = ask(name) if place.speaks() else ("stopped", None)
        if state is None:
            return None
        fd = enter(pid, functools.partial(_belongs, place, owners)) if pid else None
        if fd is not None:
            return Found("lxc", name, without_id(name), fd, user, pid=pid, whose=place.uid)
        late = time.monotonic() > deadline
        if late and pid and state != "stopped":
            raise PipeworkError(
                f"container: {name!r} runs as process {pid}, says what listens as its monitor, but that is no child of "
                "an LXC monitor which listens there; it is left alone."
            )
        if late or state == "stopped":
            raise stopped(name, state, f"lxc-start -n {name}")
        time.sleep(POLL_SECONDS)


def _belongs(place: _Place, owners: set[int], pid: int, _born: int) -> bool:
    """Whether a process is a child of the container's monitor, and its folder is of a user in its user namespace."""
    monitor = int(status(pid, "PPid")[0])
    if monitor == 0 or not place.is_monitor(monitor) or status(pid, "PPid") != [str(monitor)]:
        return False
    with open(f"/proc/{pid}/uid_map", encoding="ascii") as handle:
        mapped = [[int(word) for word in line.split()] for line in handle]
    return all(any(first <= uid < first + count for _in, first, count in mapped) for uid in owners)


def _ask(name: str, user: str | None = None) -> tuple[str | None, int | None]:
    """A container's state, None where there is no such container, and its first process."""
    place = _placed(name, user)
    if place is None:
        return None, None
    where = [f"--lxcpath={place.folder}"] if name.startswith("/") else []
    words = (*where, f"--name={place.name}", "--state", "--pid", "--no-humanize")
    try:
        done = host_program.run(_tool("lxc-info"), *words, user=user)
    except host_program.NoEnd as error:
        raise Unavailable(f"LXC does not answer: {error}") from None
    said = dict(line.replace(":", " ").split()[:2] for line in done.output.splitlines() if ":" in line)
    if "State" in said:
        return said["State"].lower(), int(said["PID"]) if said.get("PID", "").isdigit() else None
    if done.said.endswith("doesn't exist"):
        return None, None
    raise Unavailable(f"LXC does not answer: {done.said}.")
