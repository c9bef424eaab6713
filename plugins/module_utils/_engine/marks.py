# Copyright: pipework.containers contributors
# GNU General Public License v3.0+ (see LICENSE)
"""What the host keeps under /run about marks that containers can reach: records, a journal of links, the secret.

All of it lasts until the host starts again, as namespaces do; then every NIC is at home, without an alias. Where it was
removed before, no mark in a container and no sealed alias is believed: they are named, and left alone.
"""
from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import json
import os
import typing as t

from .._core.errors import PipeworkError
from .._core.normalize import hashed_name
from .._core.plan import Operation, Plan
from .._delayed import process as delayed_process
from .._host import other_netns
from .._ipam import store as files
from .._model.objects import GROUP, GROUP_DELETE, HOST, PAIR_TYPES, STAND_IN, UPLINK, Device, Link, Nic, Port, end_key
from .._model.seals import INSIDE, LENT, NONCE, PORT, Place, Record, seal
from .._netlink.kernel_error import KernelError
from .._netlink.namespaces import Namespaces
from .executors import Journal

FOLDER = "/run/pipework/marks"
JOURNAL = "/run/pipework/links"
SECRET = "/run/pipework/secret"
ELSEWHERE_MAX = 64  # namespaces that are not open, of which a run looks whether they are the ones that are recorded
JOURNAL_MAX = 20000
DEVICES = "/sys/class/net"

Entry = tuple[str, str, t.Optional[str]]  # namespace, name and kind of a link that is being made, or goes


# -- files

def _write(path: str, content: str | bytes) -> None:
    try:
        os.makedirs(FOLDER, mode=0o700, exist_ok=True)
        files.write(path, content)
    except OSError as error:
        raise files.no_room(error) or PipeworkError(f"{path} cannot be written: {error.strerror}.") from None


def _read(path: str) -> bytes | None:
    try:
        with open(path, "rb") as handle:
            return handle.read()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise PipeworkError(f"{path} cannot be read: {error.strerror}.") from None


def secret(make: bool = False) -> bytes:
    """32 random bytes that last until the host starts again."""
    found = _read(SECRET)
    if found is None and make:
        _write(SECRET, os.urandom(32))
        found = _read(SECRET)
    return found or b""


def records() -> list[Record]:
    """All of them. One that is not understood, as that of a newer version, is left alone."""
    found = []
    with contextlib.suppress(FileNotFoundError):
        for name in sorted(os.listdir(FOLDER)):
            raw = None if name.endswith(".new") else _read(f"{FOLDER}/{name}")
            with contextlib.suppress(ValueError, TypeError, KeyError):
                found.append(_unpacked(json.loads(raw or b"")))
    return found


def _unpacked(said: dict[str, t.Any]) -> Record:
    home = Place(**said["home"]) if said["home"] else None
    return Record(**{**said, "place": Place(**said["place"]), "home": home})


def _path(record: Record) -> str:
    # The same each time, so that what is taken back leaves what was there before.
    about = (record.sort, record.name if record.sort == PORT else record.text, record.ns)
    return f"{FOLDER}/{hashlib.sha256(repr(about).encode()).hexdigest()[:32]}"


def _keep(record: Record) -> None:
    _write(_path(record), json.dumps(dataclasses.asdict(record)))


_LAST: dict[tuple[t.Any, ...], str] = {}  # numbers of records that this run dropped: what is taken back is as it was


def _about(record: Record) -> tuple[t.Any, ...]:
    return record.sort, record.text, record.kind, record.perm, record.bus


def _numbered(record: Record) -> Record:
    """With a number, and the sealed alias. The same words about the same device keep theirs."""
    for each in records():
        if each.nonce and _about(each) == _about(record):
            _LAST[_about(each)] = each.nonce
    record = dataclasses.replace(record, nonce=_LAST.get(_about(record)) or os.urandom(NONCE // 2).hex())
    return dataclasses.replace(record, alias=seal(record.text, record, secret(make=True)))


def _drop(record: Record) -> None:
    if record.nonce:
        _LAST[_about(record)] = record.nonce
    with contextlib.suppress(FileNotFoundError):
        os.unlink(_path(record))


# -- marks that are written

def _described(namespaces: Namespaces, label: str, name: str) -> Device:
    device = namespaces[label].device(name)
    if device is None:
        raise PipeworkError(f"{label} has no interface {name} any more.")
    if device.bus is None and label == HOST:  # kernels before 5.14 do not tell it
        with contextlib.suppress(OSError):
            bus = os.path.basename(os.readlink(f"{DEVICES}/{name}/device"))
            device = dataclasses.replace(device, bus=bus)
    return device


def mark(link: Link, namespaces: Namespaces, real: str, before: str | None = None) -> str | None:
    """Records an interface in a container as ours; returns the alias for it. ``before``: the mark that it had."""
    netns = namespaces[link.ns]
    if link.type == "phys":
        return next((each.alias for each in records() if each.sort == LENT and each.text == link.owner), link.owner)
    if link.owner and link.ns != HOST and link.type != "veth":  # the host's end of a bridge's veth says enough
        device = _described(namespaces, link.ns, real)
        record = Record(
            INSIDE, link.owner, link.owner, netns.ident, netns.inode, link.ifname, device.type, Place.of(device),
            perm=device.perm, bus=device.bus,
        )
        _keep(record)
        if before and before != link.owner:
            _drop(dataclasses.replace(record, text=before))
    return link.owner


def lend(link: Link, namespaces: Namespaces) -> str:
    """Records a NIC that is about to move into a container; returns the sealed alias for it."""
    nic = t.cast(Nic, link.nic)
    device, luggage = _described(namespaces, HOST, nic.name), nic.luggage
    netns, place = namespaces[link.ns], Place.of(device)
    for each in records():  # what it was before is of no use any more
        if each.nonce and each.is_of(device) and (each.hardware or place in (each.home, each.place)):
            _drop(each)
    record = Record(
        LENT, str(link.owner), "", netns.ident, netns.inode, link.ifname, device.type, place, home=place,
        perm=device.perm, bus=device.bus, settled=False, luggage=luggage.pack(delayed_process.now()) if luggage else "",
    )
    record = _numbered(record)
    _keep(record)
    return record.alias


def port(owner: str, name: str, namespaces: Namespaces) -> str:
    """Records what a NIC was before it became a port of a bridge; returns the sealed alias for it."""
    device, host = _described(namespaces, HOST, name), namespaces[HOST]
    record = Record(
        PORT, owner, "", host.ident, host.inode, name, device.type, Place.of(device), perm=device.perm,
        bus=device.bus,
    )
    record = _numbered(record)
    _keep(record)
    return record.alias


def done(operation: Operation, namespaces: Namespaces) -> None:
    """What is to be kept when a NIC has moved, or is what it was again."""
    link = operation.subject
    if not isinstance(link, Link) or link.type not in ("phys", "nic") or operation.action == "delete":
        return
    if link.type == "phys" and operation.action == "create":
        for each in records():
            if each.sort == LENT and not each.settled and each.text == link.owner:
                with contextlib.suppress(KernelError):
                    device = namespaces[link.ns].device(link.ifname)
                    if device is not None and each.is_of(device):
                        _keep(dataclasses.replace(each, place=Place.of(device), settled=True))
    elif link.type == "nic" and operation.action == "update" and link.owner is not None \
            and not Nic.unpack(link.owner):
        returned(link.ifname, namespaces)


def returned(name: str, namespaces: Namespaces) -> list[Record]:
    """A NIC is what it was again: its record is of no use any more. Returns what was dropped."""
    device = _described(namespaces, HOST, name)
    found = []
    for each in records():
        if each.sort == LENT and each.is_of(device) and each.home is not None and (
                each.hardware or (each.home.lower, each.home.across) == (
                    device.parent_index, device.parent_netnsid)):
            _drop(each)
            found.append(each)
    return found


def kept_again(records_: t.Iterable[Record]) -> None:
    """What was dropped and is taken back."""
    for each in records_:
        _keep(each)


# -- links that are being made or go

def journal() -> set[Entry]:
    """Those that a run had to do with that is under way, or was killed."""
    with contextlib.suppress(ValueError, TypeError):
        return {(str(ns), str(name), kind) for ns, name, kind in json.loads(_read(JOURNAL) or b"[]")}
    return set()


def begin(plan: Plan, namespaces: Namespaces) -> None:
    """A link group alone says nothing, since a container can set it: what is in one of ours has to be listed too."""
    new = _entries(plan, namespaces)
    if new:
        _write(JOURNAL, json.dumps([*sorted(new, key=str), *sorted(journal() - new, key=str)][:JOURNAL_MAX]))


def _entries(plan: Plan, namespaces: Namespaces) -> set[Entry]:
    idents = {label: namespaces[label].ident for label in namespaces}
    return {(idents[ns], name, kind) for ns, name, kind in _touched(plan) if ns in idents}


def _touched(plan: Plan) -> t.Iterator[tuple[str, str, str | None]]:
    for operation in plan:
        link = operation.subject
        if isinstance(link, Port) and link.local_interface:
            yield HOST, link.local_interface, "veth"
        if not isinstance(link, Link) or link.type in ("phys", "nic", "internal", None):
            continue
        kind = "veth" if link.type in PAIR_TYPES else link.type
        yield link.ns, link.ifname, kind
        if link.ns != HOST:
            yield link.ns, hashed_name(STAND_IN, link.ns, link.ifname), kind
        if link.type in PAIR_TYPES and link.parent:
            _link, ns, name = end_key(link.parent)
            yield ns, name, kind
        if link.type == "veth" and link.peer:
            yield HOST, link.peer, kind


def end(plan: Plan, namespaces: Namespaces, failed: bool = False) -> None:
    """A run has done what it was to do, or has taken it back: what it noted on the way and removed is forgotten."""
    with contextlib.suppress(OSError, PipeworkError):
        here = {namespaces[label].ident: label for label in namespaces}
        listed = journal()
        others = listed - (set() if failed else _entries(plan, namespaces))
        rest = {each for each in others if each[0] not in here or _in_a_group(here[each[0]], each, namespaces)}
        if rest != listed:
            _write(JOURNAL, json.dumps(sorted(rest, key=str)))
        if not rest:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(JOURNAL)
        if failed:
            changed = {operation.subject.ns for operation in plan if isinstance(operation.subject, (Link, Port))}
            _forget_gone({ident: label for ident, label in here.items() if label in changed}, namespaces)
        else:
            _forget_unmet(set(here), namespaces)
        with contextlib.suppress(FileNotFoundError, OSError):
            os.rmdir(FOLDER)  # if it is empty


def tidy(namespaces: Namespaces) -> None:
    """There is nothing to do, but perhaps a run was killed before, or a container has ended."""
    if namespaces.unmet or os.path.exists(JOURNAL):
        end([], namespaces)


def _forget_unmet(here: set[str], namespaces: Namespaces) -> None:
    """Drops the records of interfaces that are not there any more, in open namespaces and in those that have ended."""
    elsewhere = [each for each in namespaces.unmet if each.ns not in here]
    for each in namespaces.unmet:
        if each.ns in here:
            _drop(each)
    alive = other_netns.alive({each.inode for each in elsewhere}) if elsewhere else {}
    for number, each in enumerate(elsewhere):
        path = alive.get(each.inode, "")
        if path is None or (path and number >= ELSEWHERE_MAX):
            continue
        if not path or namespaces.ident_of(path) not in (each.ns, None):  # or the number is another one's by now
            _drop(each)


def _forget_gone(changed: dict[str, str], namespaces: Namespaces) -> None:
    """Drops the records of interfaces that are not there any more, of namespaces where something was taken back."""
    devices: dict[str, list[Device]] = {}
    for each in records() if changed else ():
        if each.sort == LENT or each.ns not in changed:
            continue
        label = changed[each.ns]
        if label not in devices:
            devices[label] = list(namespaces[label].devices().values())
        found = [device for device in devices[label] if each.is_at(device, each.ns)]
        if not found or (each.sort == PORT and found[0].alias != each.alias):
            _drop(each)


def _in_a_group(label: str, entry: Entry, namespaces: Namespaces) -> bool:
    device = namespaces[label].device(entry[1])
    return device is not None and device.group in (GROUP, GROUP_DELETE)


def alias_of(owner: str | None, name: str, namespaces: Namespaces) -> str:
    """The alias for an interface of the host."""
    return port(owner, name, namespaces) if owner and owner.startswith(UPLINK) else owner or ""


class LinkJournal(Journal):
    """Of links that are being made or go."""

    def begin(self, plan: Plan, namespaces: Namespaces) -> None:
        begin(plan, namespaces)

    def end(self, plan: Plan, namespaces: Namespaces, failed: bool = False) -> None:
        end(plan, namespaces, failed)

    def tidy(self, namespaces: Namespaces) -> None:
        tidy(namespaces)
