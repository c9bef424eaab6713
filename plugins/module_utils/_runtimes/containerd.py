# Copyright: pipework.containers contributors
# GNU General Public License v3.0+ (see LICENSE)
"""containerd's containers, by ID, by the beginning of one, or by nerdctl's name, through the program ctr.

``namespace/name`` says in which of containerd's namespaces; without it all are searched but those in which Docker and
Kubernetes keep theirs.
"""
from __future__ import annotations

import json
import os
import re
import typing as t

from .._core.errors import PipeworkError
from .._host import answers as host_answers
from .._host import program as host_program
from .._host import trust
from .._model.container import Ambiguous, Answer, Found, Unavailable, Who, resolve, stopped
from .pid import command, enter, in_group, status

SOCKETS = ("/run/containerd/containerd.sock", "/run/k3s/containerd/containerd.sock")
SECONDS = 3.0  # until the daemon has to take a connection
DEFAULT = "default"
OF_OTHERS = ("moby", "k8s.io")
LABEL = "nerdctl/name"
IDENTIFIER = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,127}")


class _Space(t.NamedTuple):
    """What one of containerd's namespaces holds: the container IDs, and the process and state of each task."""

    idents: frozenset[str]
    tasks: dict[str, tuple[int, str]]


def installed(user: str | None) -> bool:
    return user is None and os.path.exists(socket()) and host_program.which("ctr") is not None


def find_many(wanted: list[Who], _patience: float = 0.0) -> list[Answer]:
    spaces: dict[str, _Space] = {}
    answers: list[Answer] = []
    for name, user in wanted:
        try:
            if user is not None:
                raise PipeworkError("runtime_user: containerd has no use for it.")
            spaces = spaces or _spaces()
            answers.append(_find(str(name), spaces))
        except PipeworkError as error:
            answers.append(error)
    return answers


def running(_user: str | None) -> list[str]:
    try:
        spaces = _spaces()
    except Unavailable as error:
        raise Unavailable(f"runtime: {error}") from None
    return [
        f"{space}/{ident}" for space, each in spaces.items() if space not in OF_OTHERS
        for ident, (pid, _state) in each.tasks.items() if pid
    ]


def socket() -> str:
    """Where the daemon listens, also where it is not there."""
    there = [path for path in SOCKETS if os.path.exists(path)]
    return os.environ.get("CONTAINERD_ADDRESS") or (there or SOCKETS)[0]


def ctr(*argv: str) -> str:
    """What the program ctr says. Raises Unavailable."""
    program = host_program.which("ctr")
    if program is None:
        raise Unavailable("containerd cannot be asked: there is no program ctr on the managed host.")
    if not os.path.exists(socket()):
        raise Unavailable(f"containerd cannot be asked: there is no socket {socket()}; is it running?")
    _check_engine(socket())
    try:
        done = host_program.run(program, f"--address={socket()}", "--connect-timeout=3s", *argv)
    except PipeworkError as error:
        raise Unavailable(f"containerd does not answer: {error}") from None
    if done.code != 0:
        raise Unavailable(f"containerd does not answer: {done.said}.")
    return done.output


def _check_engine(path: str) -> None:
    """That it is root's own daemon which ctr will ask."""
    try:
        if trust.engine_at(path, SECONDS) != 0:
            raise trust.Untrusted(f"what listens at {path} is not believed, because it is not root's")
    except trust.Untrusted as error:
        raise Unavailable(f"containerd cannot be asked: {error}.") from None
    except (OSError, ValueError) as error:
        said = getattr(error, "strerror", None) or error
        raise Unavailable(f"containerd does not answer at {path}: {said}; is it running?") from None


def _spaces() -> dict[str, _Space]:
    return {name: _space(name) for name in ctr("namespaces", "list", "--quiet").split()}


def _space(name: str) -> _Space:
    if name == OF_OTHERS[0]:
        return _Space(frozenset(), {})
    idents = frozenset(ctr(f"--namespace={name}", "containers", "list", "--quiet").split())
    lines = ctr(f"--namespace={name}", "tasks", "list").splitlines()[1:] if idents else []
    rows = [line.split() for line in lines if len(line.split()) == 3]
    return _Space(idents, {ident: (int(pid), state.lower()) for ident, pid, state in rows})


def _find(name: str, spaces: dict[str, _Space]) -> Found | None:
    space, slash, base = name.rpartition("/")
    if not IDENTIFIER.fullmatch(base) or (slash and space not in spaces):
        return None
    known: list[tuple[str, str, bool]] = []
    for place in [space] if slash else [place for place in spaces if place not in OF_OTHERS]:
        known += [(place, ident, exact) for ident, exact in _known(base, place, spaces[place])]
    known = [each for each in known if each[2]] or known
    if len(known) > 1:
        listed = ", ".join(f"{place}/{ident[:12]}" for place, ident, _exact in sorted(known))
        raise Ambiguous(f"container: Found more than one container matching {name}: {listed}; use one of these names.")
    if not known:
        return None
    place, ident, exact = known[0]
    pid, state = spaces[place].tasks.get(ident, (0, "no task"))
    shown = _labelled(place, ident) or ident
    fd = enter(pid, lambda number, _born: _belongs(number, place, ident)) if pid else None
    if fd is None:
        state = "its task has ended" if pid else state
        raise stopped(_full(place, shown), state, f"nerdctl --namespace {place} start {shown}", exact)
    return Found("containerd", _full(place, shown), ident, fd, exact=exact, pid=pid)


def _full(space: str, name: str) -> str:
    return name if space == DEFAULT else f"{space}/{name}"


def _known(name: str, space: str, held: _Space) -> list[tuple[str, bool]]:
    """The IDs behind a name in one namespace, and whether it is their whole name."""
    if name in held.idents:
        return [(name, True)]
    if not held.idents:
        return []
    labelled = f'labels."{LABEL}"=={json.dumps(name)}'
    named = ctr(f"--namespace={space}", "containers", "list", "--quiet", labelled).split()
    if named:
        return [(ident, True) for ident in named]
    ident = resolve({}, {ident: ident for ident in held.idents}, name)
    return [(ident, False)] if ident else []


def _labelled(space: str, ident: str) -> str | None:
    """The name that nerdctl gave it."""
    try:
        return (host_answers.parse(ctr(f"--namespace={space}", "containers", "info", ident))["Labels"] or {}).get(LABEL)
    except (ValueError, KeyError, TypeError):
        return None


def _belongs(pid: int, space: str, ident: str) -> bool:
    """Whether a process is a child of the container's shim, or in its control group where several share a shim."""
    program, *arguments = command(int(status(pid, "PPid")[0]))
    options = dict(zip(arguments, arguments[1:]))
    if os.path.basename(program).startswith("containerd-shim") and options.get("-namespace") == space:
        return options.get("-id") == ident or len(ident) == 64 and in_group(pid, ident)
    return False
