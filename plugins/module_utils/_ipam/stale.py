# Copyright: pipework.containers contributors
# GNU General Public License v3.0+ (see LICENSE)
"""Folders of leases that no listed attachment has: those that a purge gives back, and those of ended containers."""
from __future__ import annotations

import contextlib
import dataclasses
import os
import shutil
import typing as t

from .._core.errors import PipeworkError
from .._core.plan import Failure, KernelObject, Plan
from .._core.strict_json import loads
from .._model.objects import HOST, IDENT, MARK, Device, name_token, owner_fields, owner_matches
from . import store as files
from .agent import running

if t.TYPE_CHECKING:
    from .._attach.desired import Target
    from .._model.observed import Facts
    from .._netlink.namespaces import Namespaces

Known = dict[str, set[tuple[str, str]]]  # runtimes and IDs of the containers, by the labels of their namespaces


@dataclasses.dataclass(frozen=True)
class Leftover(KernelObject):
    """What an attachment of a container that has ended has left below /run/pipework/dhcp."""

    KIND = "lease_files"
    IDENTITY = ("ns", "owner")
    HINTS = frozenset({"texts"})

    owner: str  # the mark of the attachment
    files: tuple[str, ...] = ()
    texts: tuple[tuple[str, str], ...] = ()  # what is in them

    @property
    def name(self) -> str:
        return self.owner[len(MARK):]


def change(work: Plan, done: Plan) -> Failure:
    """They go, or come back."""
    for operation in work:
        left = t.cast(Leftover, operation.subject)
        try:
            if operation.action == "delete":
                with contextlib.suppress(FileNotFoundError):
                    shutil.rmtree(files.folder(left.owner))
                files.remove(left.owner)
            else:
                for name, text in left.texts:
                    files.store(left.owner, name, text)
        except (OSError, PipeworkError) as error:
            return operation, error
        done.append(operation)
    return None


# -- of containers that run

def marks(facts: Facts, known: Known, listed: t.Container[tuple[str, str]]) -> list[tuple[str, str, str]]:
    """Label, interface and mark of all attachments in open namespaces that have a folder and are not listed."""
    there = set(files.names())
    found = []
    for label, devices in facts.devices.items() if there else ():
        for device in devices.values():
            owner = _own_mark(label, device, known)
            if owner and (label, device.name) not in listed and os.path.basename(files.folder(owner)) in there:
                found.append((label, device.name, owner))
    return found


def _own_mark(label: str, device: Device, known: Known) -> str | None:
    """The mark on an interface, which a container may have written: it counts for this very container alone."""
    fields = owner_fields(device.owner)
    if fields is None or fields[3] != device.name:
        return None
    who = {(runtime, ident[:IDENT]) for runtime, ident in known.get(label, ())}
    who |= {(HOST, fields[2])} if label == HOST else set()
    return str(device.owner).split("|", 1)[0] if (fields[0], fields[2]) in who else None


# -- of those that do not

def left(
    targets: t.Sequence[Target], facts: Facts, known: Known, asked: t.Collection[str],
    in_scope: t.Callable[[str], bool] | None,
) -> list[Leftover]:
    """What goes with listed attachments that are to be absent, and in a purge (``in_scope``) with all others.

    ``asked``: the runtimes of which all running containers are known.
    """
    absent = [target for target in targets if target.item.state == "absent"]
    if not absent and in_scope is None:
        return []
    living = {(runtime, ident[:IDENT]) for each in known.values() for runtime, ident in each}
    lost = {  # the container runs, without that interface
        target.owner for target in absent
        if target.label is not None and target.item.interface not in facts.devices[target.label]
    }
    found = []
    for name in files.names():
        texts, owner = _content(name)
        fields = owner_fields(owner)
        if fields is None or (files.KEEP in texts and _keeper_runs()):
            continue  # the process that stays removes what it has kept
        if (fields[0], fields[2]) in living and owner not in lost:
            continue
        ended = in_scope is not None and fields[0] in asked and not fields[1].startswith("#")  # such may be a user's
        if any(_is_of(target, owner) for target in absent) or ended and in_scope and in_scope(_network(texts)):
            found.append(Leftover(HOST, owner, tuple(sorted(texts)), tuple(sorted(texts.items()))))
    return found


def _keeper_runs() -> bool:
    return files.is_kept() and running() is not None


def _is_of(target: Target, owner: str) -> bool:
    """Whether a mark is that of a listed attachment of a container that has ended, or of one before this one."""
    item, fields = target.item, owner_fields(owner)
    if target.label is None:
        return owner_matches(owner, item.runtime, target.name or str(item.container), item.interface)
    return fields is not None and (fields[0], fields[1], fields[3]) == (
        target.runtime, name_token(target.known_as), item.interface
    )


def _content(name: str) -> tuple[dict[str, str], str]:
    """The files in a folder, and the mark of its attachment, as far as it is known."""
    place = os.path.join(files.FOLDER, name)
    read = {each: files.read(os.path.join(place, each)) for each in files.ALL}
    texts = {each: text for each, text in read.items() if text is not None}
    for text in texts.values():
        with contextlib.suppress(ValueError, TypeError, AttributeError):
            owner = loads(text).get("owner")
            if isinstance(owner, str) and files.folder(owner) == place:
                return texts, owner
    return texts, ""


def _network(texts: t.Mapping[str, str]) -> str:
    """The host's interface that a lease was asked for through."""
    for text in texts.values():
        with contextlib.suppress(ValueError, TypeError, AttributeError, KeyError):
            return str(loads(text)["asked"]["through"]).partition(" ")[0]
    return ""


def observe_purged(namespaces: Namespaces, facts: Facts, known: Known, listed: t.Container[tuple[str, str]]) -> None:
    """Adds to the facts the leases that a purge may give back."""
    from .._attach.dhcp6 import Lease6
    from . import dhcp6_client  # which few runs need
    from .observe import observe_leases

    for label, interface, owner in marks(facts, known, listed):
        observe_leases(namespaces, facts, label, interface, owner, asked=False)
        held = dhcp6_client.read(owner)
        if held is not None:
            facts.unlisted.append(Lease6(label, interface, owner=owner, grant=held[1], **held[0]))
