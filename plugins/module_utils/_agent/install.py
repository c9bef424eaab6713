# Copyright: pipework.containers contributors
# GNU General Public License v3.0+ (see LICENSE)
"""Sees to it that somebody stays with the attachments that want it: their records, and the one process for all.

The collection is gone from the host when a module has ended, so that process runs from a copy of it under /run.
"""
from __future__ import annotations

import contextlib
import functools
import hashlib
import json
import os
import shutil
import signal
import sys
import time
import typing as t

from .._core.errors import PipeworkError
from .._core.plan import Operation
from .._core.strict_json import loads
from .._host import own_code, systemd_scope
from .._host import program as host_program
from .._host import stopped as host_stopped
from .._ipam import store as files
from .._ipam.agent import HOME, poke, running
from .._ipam.identity import options_of
from .._model.observed import Facts
from .._netlink.namespaces import Namespaces
from .record import FROM_SERVER, LEASE, Keep, Record, token

MADE_OF = (  # and its runs
    "_agent/dhcp4", "_agent/dhcp6", "_agent/duty", "_agent/entry", "_agent/host", "_agent/lease_client",
    "_agent/link_local", "_agent/loop", "_agent/main", "_agent/pace", "_agent/record", "_agent/runs", "_agent/sockets",
    "_attach/default_route", "_attach/ip_config", "_attach/observe_resolv_conf", "_attach/resolv_conf",
    "_attach/source_routing", "_core/errors", "_core/normalize", "_core/order", "_core/plan", "_core/strict_json",
    "_files/blocks", "_files/container_file", "_host/as_container", "_host/guest_place", "_host/in_container",
    "_ipam/dhcp4_grant", "_ipam/dhcp4_message", "_ipam/dhcp6_grant", "_ipam/dhcp6_message", "_ipam/ipv4_link_local",
    "_ipam/store", "_jobs/agent", "_model/domain_name", "_neighbour/arp",
)
START_SECONDS = 60
PAGE = 4096
ABOUT = "Leases and addresses kept by pipework"
MAIN = """import sys
if sys.argv[1:]:
    sys.path += {paths!r}
    from module_utils._jobs.agent import main
else:
    from module_utils._agent.main import main
main()
"""


def observe(
    namespaces: Namespaces, facts: Facts, label: str, device: str, owner: str, holder: t.Mapping[str, t.Any],
) -> None:
    """Adds to the facts who stays with an attachment."""
    folder = files.folder(owner)
    text = files.read(os.path.join(folder, files.KEEP))  # an OSError fails the run: it is not known who is there
    there = facts.devices[label].get(device)
    if text is None or there is None:
        return
    try:
        record = Record.unpack(text)
    except ValueError:
        return
    status = os.fstat(namespaces[label].fd)
    here = ((status.st_dev, status.st_ino), there.index, there.mac)
    if (record.namespace, record.index, record.mac) != here or (holder and record.holder != holder):
        return
    said = _status(folder)
    now = running()
    facts.keeps.append(Keep(
        label, device, running=bool(now and said.get("pid") == now["pid"] and said.get("token") == token(text)),
        program=str(now["program"]) if now else None, duties=record.duties, hostname=record.hostname,
        options=record.options, mac=record.mac, gateway=record.gateway, mtu=record.mtu, duid=record.duid,
        dns=record.dns, table=record.table, through=record.through, owner=owner, holder=record.holder,
    ))


def observe_all(namespaces: Namespaces, facts: Facts) -> None:
    """The same for all that stay in the open namespaces."""
    places = {}
    for label in namespaces:
        status = os.fstat(namespaces[label].fd)
        places[status.st_dev, status.st_ino] = label
    seen = {each.key[1:] for each in facts.keeps}
    for _name, text in files.records():
        with contextlib.suppress(ValueError):
            record = Record.unpack(text)
            there = places.get(record.namespace)
            if there is not None and (there, record.device) not in seen:
                observe(namespaces, facts, there, record.device, record.owner, record.holder)


def _status(folder: str) -> dict[str, t.Any]:
    try:
        return loads(files.read(os.path.join(folder, files.STATUS)) or "{}")
    except ValueError:
        return {}


# -- records

def change(
    work: t.Sequence[Operation], namespaces: Namespaces, done: list[Operation],
) -> tuple[Operation, Exception] | None:
    """Those who come, go on in another way, or go. Returns one that failed, and why."""
    wrong = None
    waiting: list[tuple[Operation, str, str]] = []
    before: dict[int, str | None] = {}  # the records in whose place others came
    for operation in work:
        keep = t.cast(Keep, operation.subject)
        try:
            if operation.action == "delete":
                files.remove(str(keep.owner), *files.FOR_KEEPING)
                done.append(operation)
            else:
                old = before[id(operation)] = files.read(os.path.join(files.folder(str(keep.owner)), files.KEEP))
                text = _record(keep, namespaces).pack(old)
                files.store(str(keep.owner), files.KEEP, text)
                waiting.append((operation, files.folder(str(keep.owner)), token(text)))
        except (OSError, PipeworkError) as error:
            wrong = operation, error
    try:
        if waiting:
            _ensure()
        else:
            poke()
    except (OSError, PipeworkError) as error:
        words = (files.no_room(error) if isinstance(error, OSError) else None) or error
        for operation, _folder, _mark in waiting:
            _put_back(operation, before[id(operation)])
        return waiting[0][0] if waiting else work[0], words
    end = files.clock() + START_SECONDS
    for operation, folder, mark in waiting:
        try:
            _wait(folder, mark, end)
            done.append(operation)
        except PipeworkError as error:
            wrong = operation, error
            _put_back(operation, before[id(operation)])
    return wrong


def _put_back(operation: Operation, text: str | None) -> None:
    """The record of one that did not begin, as it was before."""
    owner = str(t.cast(Keep, operation.subject).owner)
    with contextlib.suppress(OSError, PipeworkError):
        if text is None:
            files.remove(owner, *files.FOR_KEEPING)
        else:
            files.store(owner, files.KEEP, text)


def _record(keep: Keep, namespaces: Namespaces) -> Record:
    netns = namespaces[keep.ns]
    device = netns.device(keep.device)
    if device is None or not device.mac:
        raise PipeworkError(f"dhcp_keep: {keep.ns}/{keep.device} is not there")
    place = os.fstat(netns.fd)
    shared = device.type == "ipvlan"
    asks = LEASE in (keep.duties or ())
    sent = options_of(keep, bytes.fromhex(device.mac.replace(":", "")), shared) if asks else {}
    return Record(
        label=keep.ns, device=keep.device, index=device.index, mac=device.mac, shared=shared,
        namespace=(place.st_dev, place.st_ino), owner=str(keep.owner), holder=dict(keep.holder or {}),
        sent={str(code): value.hex() for code, value in sent.items()}, hostname=keep.hostname or "",
        options=keep.options or (), gateway=keep.gateway or FROM_SERVER, mtu=keep.mtu or FROM_SERVER,
        duties=keep.duties or (), duid=keep.duid, dns=bool(keep.dns), table=keep.table or 0,
        through=keep.through, boot=files.boot(),
    )


def _wait(folder: str, mark: str, end: float) -> None:
    while files.clock() < end:
        said = _status(folder)
        now = running()
        if said.get("token") == mark and said.get("state") == "gone":
            raise PipeworkError("dhcp_keep: the container ended meanwhile")
        if said.get("token") == mark and now is not None and said.get("pid") == now["pid"]:
            return
        files.room()  # or it could not say so
        time.sleep(0.01)
    now = running()
    stopped = host_stopped.words(now["pid"]) if now is not None else ""
    if now is not None and stopped:
        raise PipeworkError(
            f"dhcp_keep: the process {now['pid']}, which keeps leases, did not begin with this one within "
            f"{START_SECONDS} s, since it{stopped}"
        )
    raise PipeworkError(f"dhcp_keep: the process that stays did not begin within {START_SECONDS} s")


# -- the process

def _ensure() -> None:
    """It runs, in the version that is here."""
    now = running()
    if now is not None and now["program"] == program():
        poke()
        return
    sources = dict(_sources())
    needed = sum(_pages(len(text.encode("utf-8", "surrogateescape"))) for text in sources.values()) + _pages(0) * 4
    files.room(max(1, needed - _size(HOME)))
    end = files.clock() + START_SECONDS
    while now is not None:
        with contextlib.suppress(ProcessLookupError):
            os.kill(now["pid"], signal.SIGTERM)
        if files.clock() > end:
            stopped = host_stopped.words(now["pid"])
            raise PipeworkError(
                f"dhcp_keep: the process {now['pid']}, which keeps leases, does not end"
                f"{f', since it{stopped}' if stopped else ''}"
            )
        time.sleep(0.02)
        now = running()
    shutil.rmtree(HOME, ignore_errors=True)
    place = os.path.join(HOME, program())
    try:
        os.makedirs(place, mode=0o700)
        os.chmod(HOME, 0o700)
        for name, text in sources.items():
            path = os.path.join(place, name)
            os.makedirs(os.path.dirname(path), mode=0o700, exist_ok=True)
            files.write(path, text)
        files.write(os.path.join(place, "__main__.py"), MAIN.format(paths=own_code.paths()))
    except OSError:
        shutil.rmtree(HOME, ignore_errors=True)
        raise
    _start(sys.executable, "-I", "-S", place)


def _pages(size: int) -> int:
    """What a file takes on a tmpfs."""
    return (size // PAGE + 1) * PAGE


def _size(folder: str) -> int:
    found = 0
    for place, _folders, names in os.walk(folder):
        for name in names:
            with contextlib.suppress(FileNotFoundError):
                found += _pages(os.stat(os.path.join(place, name)).st_size)
    return found


def _start(*argv: str) -> None:
    """As a unit where systemd runs, which starts it again if it was killed; else as a process in its own session."""
    if systemd_scope.runs_systemd("net", "mnt", "pid") and host_program.which("systemd-run"):
        unit = f"pipework-dhcp-{os.urandom(4).hex()}"
        words = ["--quiet", "--collect", f"--unit={unit}", f"--description={ABOUT}"]
        words += ["--property=Restart=on-failure", "--property=RestartSec=1"]
        if host_program.run("systemd-run", *words, "--", *argv).code == 0:
            return
    systemd_scope.let_outlive(host_program.detach(*argv), "dhcp", ABOUT)


@functools.lru_cache(maxsize=1)
def program() -> str:
    """The version of the process, which goes by what it is made of."""
    texts = dict(_sources(MADE_OF))
    return hashlib.sha256(json.dumps(texts, sort_keys=True).encode()).hexdigest()[:12]


def _sources(only: t.Collection[str] = ()) -> t.Iterator[tuple[str, str]]:
    """Path and text of the collection's files, wherever they have been loaded from."""
    from . import main  # noqa: F401  # pylint: disable=unused-import  # so that both are there

    return own_code.sources(only)
