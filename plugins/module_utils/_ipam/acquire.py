# Copyright: pipework.containers contributors
# GNU General Public License v3.0+ (see LICENSE)
"""What leases of both families have in common: many are asked for at once, and what is granted stands in files."""
from __future__ import annotations

import concurrent.futures
import contextlib
import os
import shutil
import typing as t

from .._agent.record import Record
from .._attach.dhcp6 import Lease6
from .._core.errors import PipeworkError
from .._core.plan import Failure, Operation
from .._netlink.namespaces import Namespaces
from . import dhcp4_grant, dhcp6_grant
from . import store as files
from .agent import poke
from .dhcp4_grant import Lease

AT_ONCE = 64
WORDS = 200  # of an error that nobody has foreseen


class Place(t.Protocol):
    """An open interface."""

    def close(self) -> None:
        """Lets it go."""


P = t.TypeVar("P", bound=Place)
G = t.TypeVar("G", dhcp4_grant.Grant, dhcp6_grant.Grant6)


class Client(t.Protocol[P, G]):
    """One that asks, in the one family or the other."""

    def open(self, lease: t.Any, namespaces: Namespaces, going: bool) -> P:
        """An interface to speak through."""

    def ask(self, lease: t.Any, place: P, held: G | None) -> G:
        """Until there is a lease. Raises PipeworkError."""

    def release(self, lease: t.Any, place: P, grant: G) -> None:
        """Gives it back. That is a courtesy: no answer is waited for, and a failure does not matter."""

    def succeed(self, before: t.Any, place: P, grant: G) -> None:
        """Gives back what another client was granted, as which the interface asked before."""

    def read(self, owner: str) -> tuple[dict[str, t.Any], G] | None:
        """What was granted, and is valid."""


def exchange(
    work: t.Sequence[Operation], namespaces: Namespaces, done: list[Operation], client: Client[P, G],
) -> Failure:
    """Leases that come, are asked for anew, or go; many at once. Returns one that failed, and why."""
    wrong: Failure = None
    if any(each.action != "delete" for each in work):
        _tidy()
    opened = [(each, _open(each, namespaces, client)) for each in work]  # by the one thread that enters namespaces
    with concurrent.futures.ThreadPoolExecutor(AT_ONCE) as pool:
        for operation, answer in [(each, pool.submit(_one, each, place, client)) for each, place in opened]:
            lease = t.cast("Lease | Lease6", operation.subject)
            try:
                grant = answer.result()
                if grant is not None:
                    text = grant.pack(lease.asked, str(lease.owner), files.boot())
                    files.store(str(lease.owner), lease.KIND, text)
                else:
                    files.remove(str(lease.owner), lease.KIND)
                done.append(operation)
            except (PipeworkError, OSError) as error:
                wrong = operation, error
            except Exception as error:  # pylint: disable=broad-except  # of one lease, which is no other one's business
                wrong = operation, _unforeseen(lease, error)
    if files.is_kept():
        poke()
    return wrong


def _open(operation: Operation, namespaces: Namespaces, client: Client[P, G]) -> P | Exception:
    """A failure is kept, to be told in its turn."""
    try:
        return client.open(operation.subject, namespaces, operation.action == "delete")
    except Exception as error:  # pylint: disable=broad-except
        return error


def _unforeseen(lease: Lease | Lease6, error: Exception) -> PipeworkError:
    protocol = "dhcp" if lease.KIND == Lease.KIND else "dhcp6"
    return PipeworkError(
        f"{protocol}: what came of asking for {lease.ns}/{lease.device} could not be understood "
        f"({type(error).__name__}: {str(error)[:WORDS]}); please report it."
    )


def _one(operation: Operation, place: P | Exception, client: Client[P, G]) -> G | None:
    """None for a lease that is given back."""
    lease = t.cast("Lease | Lease6", operation.subject)
    if isinstance(place, Exception):
        if operation.action == "delete":
            return None
        raise place
    try:
        if operation.action == "delete":
            known = client.read(str(lease.owner))  # one that has just come does not know what was granted
            grant = lease.grant or (known[1] if known else None)
            if grant is not None:
                with contextlib.suppress(OSError):
                    client.release(lease, place, grant)
            return None
        before = t.cast("Lease | Lease6 | None", operation.before)
        grant = client.ask(lease, place, before.grant if before else lease.grant)
        if before is not None and before.through == lease.through:
            with contextlib.suppress(OSError):
                client.succeed(before, place, grant)
        return grant
    finally:
        place.close()


def _tidy() -> None:
    """What containers that are gone have left; what is kept, its keeper lets go. What is not understood stays."""
    for name in files.names():
        place = os.path.join(files.FOLDER, name)
        with contextlib.suppress(OSError, ValueError):  # then it may be a living one's
            record = files.read(os.path.join(place, files.KEEP))
            if record is not None:
                Record.unpack(record)
            kept = record is not None and files.is_kept()
            if not kept and not (_is_valid(place, Lease.KIND) or _is_valid(place, Lease6.KIND)):
                shutil.rmtree(place, ignore_errors=True)


def _is_valid(place: str, kind: str) -> bool:
    """Whether a lease there is still granted. Raises OSError, and ValueError for one that is not understood."""
    text = files.read(os.path.join(place, kind))
    if text is None:
        return False
    left = (dhcp4_grant.unpack if kind == Lease.KIND else dhcp6_grant.unpack)(text)[1].left(files.clock())
    return (left is None or left > 0) and files.is_of_this_boot(text)
