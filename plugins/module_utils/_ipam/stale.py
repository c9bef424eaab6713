# Copyright: pipework.containers contributors
# GNU General Public License v3.0+ (see LICENSE)
"""Files of leases that no listed attachment has: those that a purge gives back, those of ended containers, and those
of attachments that go whose lease has run out, so that nothing is left to give back."""
from __future__ import annotations

import contextlib
import dataclasses
import os
import shutil
import typing as t

from .._agent.record import Keep
from .._attach.dhcp6 import Lease6
from .._core.errors import PipeworkError
from .._core.plan import Absent, Desired, Failure, KernelObject, Plan, State
from .._core.strict_json import loads
from .._model.objects import HOST, IDENT, MARK, Device, name_token, owner_fields, owner_matches
from . import store as files
from .agent import running
from .dhcp4_grant import Lease

if t.TYPE_CHECKING:
    from .._attach.desired import Target
    from .._model.observed import Facts
    from .._netlink.namespaces import Namespaces

Known = dict[str, set[tuple[str, str]]]  # runtimes and IDs of the containers, by the labels of their namespaces


@dataclasses.dataclass(frozen=True)
class Leftover(KernelObject):
    """What an attachment that is no more has left below /run/pipework/dhcp."""

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
                if not set(_found(files.folder(left.owner))) - set(left.files):
                    with contextlib.suppress(FileNotFoundError):
                        shutil.rmtree(files.folder(left.owner))
                files.remove(left.owner, *left.files)
            else:
                for name, text in left.texts:
                    files.store(left.owner, name, text)
        except (OSError, PipeworkError) as error:
            return operation, error
        done.append(operation)
    return None


def _found(place: str) -> dict[str, str]:
    """The files of an attachment that are there, and what is in them."""
    read = {each: files.read(os.path.join(place, each)) for each in files.ALL}
    return {each: text for each, text in read.items() if text is not None}


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


def _of_those_that_go(facts: Facts, known: Known, state: State, desired: Desired) -> dict[str, set[str]]:
    """Marks of attachments that go, and their files that go with an object of this run."""
    found = {}
    for key, want in desired.items():
        device = facts.devices.get(key[1], {}).get(key[2]) if key[0] == "link" and isinstance(want, Absent) else None
        owner = _own_mark(key[1], device, known) if device is not None else None
        if owner:
            kept = (Keep.KIND, *key[1:]) in state or _keeper_runs()
            leases = {kind for kind in (Lease.KIND, Lease6.KIND) if (kind, *key[1:]) in state}
            found[owner] = leases | set(files.FOR_KEEPING if kept else ())
    return found


# -- of those that do not

def left(
    targets: t.Sequence[Target], facts: Facts, known: Known, asked: t.Collection[str],
    in_scope: t.Callable[[str], bool] | None, state: State, desired: Desired,
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
    going = _of_those_that_go(facts, known, state, desired) if files.names() else {}
    listed = {(target.label, target.item.interface) for target in targets if target.item.state == "present"}
    for name in files.names():
        texts, owner = _content(name)
        fields = owner_fields(owner)
        if owner in going:
            texts = {each: text for each, text in texts.items() if each not in going[owner]}
            found += [_leftover(owner, texts)] if texts else []
            continue
        if fields is None or (files.KEEP in texts and _keeper_runs()):
            continue  # the process that stays removes what it has kept
        if (fields[0], fields[2]) in living and owner not in lost:
            bare = in_scope is not None and _without(fields, facts, known, listed)  # it was started anew since
            found += [_leftover(owner, texts)] if bare and in_scope and in_scope(_network(texts)) else []
            continue
        ended = in_scope is not None and fields[0] in asked and not fields[1].startswith("#")  # such may be a user's
        if any(_is_of(target, owner) for target in absent) or ended and in_scope and in_scope(_network(texts)):
            found.append(_leftover(owner, texts))
    return found


def _leftover(owner: str, texts: t.Mapping[str, str]) -> Leftover:
    return Leftover(HOST, owner, tuple(sorted(texts)), tuple(sorted(texts.items())))


def _without(
    fields: tuple[str, ...], facts: Facts, known: Known, listed: t.Container[tuple[str | None, str]],
) -> bool:
    """Whether the container of a mark runs without that interface, which nobody lists."""
    labels = [label for label, each in known.items() if (fields[0], fields[2]) in {(r, i[:IDENT]) for r, i in each}]
    return bool(labels) and all(
        label in facts.devices and fields[3] not in facts.devices[label] and (label, fields[3]) not in listed
        for label in labels
    )


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
    texts = _found(place)
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
    from . import dhcp6_client  # which few runs need
    from .observe import observe_leases

    for label, interface, owner in marks(facts, known, listed):
        observe_leases(namespaces, facts, label, interface, owner, asked=False)
        held = dhcp6_client.read(owner)
        if held is not None:
            facts.unlisted.append(Lease6(label, interface, owner=owner, grant=held[1], **held[0]))
