# Copyright: pipework.containers contributors
# GNU General Public License v3.0+ (see LICENSE)
"""Namespaces that no attachment of the run is about: who stands on the host's VLAN links, other ends of pairs.

With a link the kernel deletes all that stands on it, in whatever namespace, and it cannot be asked what that is. So
all namespaces are looked into that a process is in, or that are mounted; where one cannot be, the link stays.
"""
from __future__ import annotations

import contextlib
import errno
import os
import typing as t

from .._core.errors import PipeworkError
from .._model.device import Device
from .._model.layer3 import Address
from .._netlink.namespaces import Namespaces, Netns

NSFS = "nsfs"
GONE = (FileNotFoundError, ProcessLookupError)


def unused(devices: t.Sequence[Device], namespaces: Namespaces) -> tuple[list[Device], list[str]]:
    """Those of the host's interfaces that nothing stands on anywhere; and warnings about those that are kept unsure."""
    left = {device.index: device for device in devices}
    doubts = []
    if left:
        for where, path in _elsewhere(namespaces.inodes()):
            if path is None:
                doubts.append(where)
                continue
            try:
                fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
                for index in namespaces.look(fd, Netns.lowers):
                    left.pop(index, None)
            except GONE:
                continue
            except OSError as error:
                doubts.append(f"{where}: {error.strerror}")
            if not left:
                break
    if not doubts:
        return list(left.values()), []
    return [], [
        f"The VLAN link {device.name} stays, although nothing is known to use it: a network namespace could not be "
        f"looked into ({doubts[0]}). If it is not needed: ip link delete dev {device.name}" for device in left.values()
    ]


def standing(
    nics: t.Collection[int], types: t.Collection[str], namespaces: Namespaces,
) -> t.Iterator[tuple[str, Device, list[Address]]]:
    """What stands on these interfaces of the host, or is their other end, in namespaces that are not open: where, the
    interface, and its addresses. One that cannot be looked into is passed over: the kernel has the last word."""
    def find(netns: Netns, host: Netns) -> list[tuple[Device, list[Address]]]:
        found = [each for each in netns.uppers(host) if each.type in types and each.parent_index in nics]
        addresses = netns.addresses({each.index: each.name for each in found}) if found else []
        return [(each, [address for address in addresses if address.device == each.name]) for each in found]

    for where, path in _elsewhere(namespaces.inodes()) if nics else ():
        with contextlib.suppress(OSError):
            if path is not None:
                fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
                yield from ((where.removeprefix("that "), *each) for each in namespaces.look(fd, find))


def open_other_ends(halves: t.Sequence[tuple[str, Device]], namespaces: Namespaces) -> bool:
    """Opens the namespaces in which pairs have their other ends, so that they can be made again if a run fails."""
    wanted = {(label, device.parent_netnsid) for label, device in halves}
    opened = False
    for _words, path in _elsewhere(namespaces.inodes()) if wanted else ():
        if path is None or not wanted:
            continue
        try:
            fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        except OSError:
            continue
        found = {(label, number) for label, number in wanted if namespaces[label].nsid_of(fd) == number}
        wanted -= found
        if not found:
            os.close(fd)
            continue
        with contextlib.suppress(PipeworkError):
            namespaces.add(_label(path), fd)
            opened = True
    return opened


def alive(inodes: t.Collection[int]) -> dict[int, str | None]:
    """Which of these network namespaces a process is in, or are mounted somewhere; and a path to each, if there is."""
    found: dict[int, str | None] = {}
    mounts: set[int] = set()
    for process in ["self", *(name for name in os.listdir("/proc") if name.isdigit())]:
        with contextlib.suppress(OSError):
            inode = os.stat(f"/proc/{process}/ns/net").st_ino
            if inode in inodes:
                found[inode] = f"/proc/{process}/ns/net"
        with contextlib.suppress(OSError):
            inode = os.stat(f"/proc/{process}/ns/mnt").st_ino
            if inode not in mounts:
                mounts.add(inode)
                for number, path in _mounted(process):
                    if number in inodes:
                        found.setdefault(number, path if process == "self" else None)
    return found


def _label(path: str) -> str:
    """How operations name such a namespace, as its runtime would."""
    process = path.split("/")[2]
    return f"pid:{process}" if path.startswith("/proc/") else f"netns:{path.removeprefix('/run/netns/')}"


def _elsewhere(seen: set[int]) -> t.Iterator[tuple[str, str | None]]:
    """Words and path of each other network namespace; no path for those that only another mount namespace shows."""
    mounts: set[int] = set()
    processes = [name for name in os.listdir("/proc") if name.isdigit()]
    for process in processes:
        try:
            inode = os.stat(f"/proc/{process}/ns/net").st_ino
        except GONE:
            continue
        except OSError as error:
            yield f"that of process {process}: {error.strerror}", None
            continue
        if inode not in seen:
            seen.add(inode)
            yield f"that of process {process}", f"/proc/{process}/ns/net"
    for process in ["self", *processes]:
        try:
            inode = os.stat(f"/proc/{process}/ns/mnt").st_ino
            if inode in mounts:
                continue
            mounts.add(inode)
            found = list(_mounted(process))
        except (*GONE, PermissionError):  # it went, or its namespace of mounts belongs to somebody else
            continue
        except OSError as error:
            if error.errno != errno.EINVAL:  # the kernel says so of one that has just ended
                yield f"what process {process} has mounted: {error.strerror}", None
            continue
        for inode, path in found:
            if inode not in seen:
                seen.add(inode)
                # A path of another mount namespace is in the hands of those who live there: it is not followed.
                yield (path, path) if process == "self" else (f"{path} of process {process}", None)


def _mounted(process: str) -> t.Iterator[tuple[int, str]]:
    """Inode and path of the network namespaces that a process sees mounted."""
    with open(f"/proc/{process}/mountinfo", encoding="utf-8", errors="surrogateescape") as handle:
        for line in handle:
            before, _dash, after = line.partition(" - ")
            fields = before.split()
            if after.startswith(NSFS + " ") and fields[3].startswith("net:["):
                path = fields[4].replace("\\040", " ").replace("\\011", "\t").replace("\\012", "\n")
                yield int(fields[3][5:-1]), path.replace("\\134", "\\")
