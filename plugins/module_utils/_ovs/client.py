# Copyright: pipework.containers contributors
# GNU General Public License v3.0+ (see LICENSE)
"""Open vSwitch on the host, asked and changed by ovs-vsctl: one call each time, and a change is one transaction.

ovs-vsctl finds the database by itself, or by OVS_RUNDIR in the environment. It succeeds as soon as the database has
taken a change and ovs-vswitchd has tried to carry it out; whether that went well is looked up afterwards.
"""
from __future__ import annotations

import os
import signal
import typing as t

from .._core.errors import ODD, PipeworkError
from .._core.plan import Operation
from .._host import answers
from .._host.program import run, which
from .._model.objects import HOST
from .._model.ovs import MISSING, OvsBridge, OvsPort, Switch, no_datapath
from . import tables

if t.TYPE_CHECKING:
    from .._netlink.namespaces import Namespaces

PROGRAM = "ovs-vsctl"
FOLDERS = ("/run/openvswitch", "/var/run/openvswitch", "/usr/local/var/run/openvswitch")
READ_SECONDS = 10
CHANGE_SECONDS, EACH_SECONDS = 30, 0.3  # it takes its time over many
MOST = 2000  # of operations in one command line


class Refused(PipeworkError):
    """A transaction that was not done. One by one, its operations would be refused as well."""

    whole = True


class Silent(PipeworkError):
    """Nobody knows whether it was done, since the database does not answer any more."""

    whole = True


class NotCarriedOut(PipeworkError):
    """The database has it, but ovs-vswitchd did not do it."""


def look(needed: bool) -> tuple[Switch | None, str]:
    """What Open vSwitch has, or None and why. Where nobody needs it, it is asked only if it seems to run."""
    if which(PROGRAM) is None:
        return None, MISSING if needed else ""
    own = os.environ.get("OVS_RUNDIR")
    if not needed and not any(os.path.exists(f"{folder}/db.sock") for folder in ([own] if own else FOLDERS)):
        return None, ""
    try:
        return _read(), ""
    except PipeworkError as error:
        return None, str(error)


def _read() -> Switch:
    done = run(PROGRAM, f"--timeout={READ_SECONDS}", "--format=json", *tables.look(), seconds=READ_SECONDS + 5)
    if done.code == -signal.SIGALRM:
        raise PipeworkError(f"Open vSwitch does not answer: its database gave no answer within {READ_SECONDS} s.")
    if done.code != 0:
        raise PipeworkError(f"Open vSwitch does not answer; is ovsdb-server running? ({_plain(done.said)})")
    try:
        answers.check_values(done.output)
        return tables.decode(done.output)
    except ODD as error:
        raise PipeworkError(f"{PROGRAM} printed what is not understood ({answers.odd(error)}).") from None


def change(work: t.Sequence[Operation]) -> None:
    """Carries out operations in one transaction; in several only where one command line could not hold them.

    Refused, where nothing was done; after any other exception, all or some of it may be.
    """
    for start in range(0, len(work), MOST):
        try:
            _transaction(work[start:start + MOST])
        except Refused as error:
            if start:
                raise PipeworkError(str(error)) from None
            raise


def _transaction(work: t.Sequence[Operation]) -> None:
    seconds = int(CHANGE_SECONDS + EACH_SECONDS * len(work))
    first = tables.requests_given_back(work)
    if first:
        _carry_out(first, seconds)
    said = _carry_out(tables.commands(work), seconds)
    if said:  # it complains, and nevertheless succeeds
        _check(work, said)


def _carry_out(words: t.Sequence[str], seconds: int) -> str:
    """Does one transaction; returns what is complained of. Raises Refused, Silent and NotCarriedOut."""
    room = os.sysconf("SC_ARG_MAX") - sum(len(os.fsencode(f"{k}={v}")) + 9 for k, v in os.environ.items()) - 4096
    if sum(len(os.fsencode(word)) + 9 for word in words) > room:
        raise Refused("the changes are too many for one command line; attach fewer containers at a time")
    done = run(PROGRAM, f"--timeout={seconds}", *words, seconds=seconds + 5)
    if done.code == -signal.SIGALRM:
        try:
            _read()
        except PipeworkError as error:
            raise Silent(str(error).rstrip(".")) from None
        raise NotCarriedOut(
            f"the database of Open vSwitch took the change, but ovs-vswitchd did not do it within {seconds} s; "
            "is it running?"
        )
    if done.code != 0:
        raise Refused(f"Open vSwitch refused the transaction: {_plain(done.said)}")
    return "" if done.said == "exit code 0" else _plain(done.said)


def _check(work: t.Sequence[Operation], said: str) -> None:
    switch = _read()
    for operation in work:
        want = operation.after
        if isinstance(want, OvsBridge):
            found: t.Any = switch.bridges.get(want.bridge)
        else:
            found = switch.ports.get(want.port) if isinstance(want, OvsPort) else None
        if found is None or not found.error or operation.before is not None:
            continue
        if isinstance(found, OvsBridge) and not os.path.isdir("/sys/module/openvswitch"):
            raise NotCarriedOut(f"{found.bridge} does not work, since {no_datapath(found.bridge)}")
        raise NotCarriedOut(f"{found.name}: {found.error} ({said})")


def _plain(said: str) -> str:
    return said.partition(": ")[2].strip().rstrip(".") if said.startswith(PROGRAM) else said.rstrip(".")


def pids(namespaces: Namespaces, labels: t.Iterable[str]) -> dict[str, int]:
    """The first process in each of these namespaces, as the host numbers it; of a container, the one it began with."""
    wanted: dict[tuple[int, int], str] = {}
    for label in set(labels) - {HOST}:
        status = os.fstat(namespaces[label].fd)
        wanted[status.st_dev, status.st_ino] = label
    found: dict[str, int] = {}
    for pid in sorted(int(name) for name in os.listdir("/proc") if name.isdigit()) if wanted else ():
        try:
            status = os.stat(f"/proc/{pid}/ns/net")
        except OSError:
            continue
        place = (status.st_dev, status.st_ino)
        if place in wanted:
            found.setdefault(wanted[place], pid)
    return found
