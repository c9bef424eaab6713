# Copyright: pipework.containers contributors
# GNU General Public License v3.0+ (see LICENSE)
"""Ends a timed impairment on the host, or takes back a change that nobody confirmed, whatever has become of the
controller. Runs as a process of its own.

It holds no namespace open and sits in none but the host's: when the time has come it looks for the namespace again, and
does nothing where that is gone, or where the qdisc is not any more the one that was set. It needs the standard library
alone, since the module that started it is gone by then; the messages that it sends were made by that module.
"""
from __future__ import annotations

import contextlib
import ctypes
import fcntl
import json
import os
import socket
import struct
import sys
import time
import typing as t

SO_NETNS_COOKIE = 71
CLONE_NEWNET = 0x40000000
NLMSG_ERROR, NLMSG_DONE = 2, 3
RTM_GETQDISC, REQUEST, ACK, DUMP = 38, 1, 4, 0x300
ROOT = 0xFFFFFFFF
LONGEST_SLEEP = 60.0
RUNS = 6  # of what takes a change back, until one succeeds
TRIES = 20  # after troubles, one after the other: a quarter of an hour
GONE = (FileNotFoundError, ProcessLookupError)  # nothing else says that something is not there any more


def now() -> float:
    """Also counts while the host is suspended."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


def cookie() -> int | None:
    """What tells this process's network namespace from all there were and will be, on kernels from 5.14 on."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        try:
            return int(struct.unpack("=Q", sock.getsockopt(socket.SOL_SOCKET, SO_NETNS_COOKIE, 8))[0])
        except OSError:
            return None


def exchange(messages: t.Sequence[bytes]) -> list[tuple[int, bytes]]:
    """Sends requests one by one; returns type and content of all answers."""
    found = []
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE) as sock:
        sock.bind((0, 0))
        sock.settimeout(30)
        for message in messages:
            sock.send(message)
            done = False
            while not done:
                data = sock.recv(1 << 18)
                at = 0
                while at + 16 <= len(data):
                    length, kind = struct.unpack_from("=IH", data, at)
                    done = done or kind in (NLMSG_ERROR, NLMSG_DONE)
                    found.append((kind, data[at:at + length]))
                    at += max(16, (length + 3) & ~3)
    return found


def root_of(index: int) -> list[t.Any] | None:
    """Handle, kind and options of the qdisc at an interface's root, as the kernel shows them here and now."""
    request = struct.pack("=IHHIIBxxxiIII", 36, RTM_GETQDISC, REQUEST | DUMP, 0, 0, 0, 0, 0, 0, 0)
    for kind, raw in exchange([request]):
        if kind in (NLMSG_ERROR, NLMSG_DONE):
            continue
        device, handle, parent = struct.unpack_from("=iII", raw, 20)
        if device != index or parent != ROOT:
            continue
        attrs, at = {}, 36
        while at + 4 <= len(raw):
            length, number = struct.unpack_from("=HH", raw, at)
            if length < 4:
                break
            attrs[number & 0x3FFF] = raw[at + 4:at + length].hex()
            at += (length + 3) & ~3
        return [handle, attrs.get(1, ""), attrs.get(2, "")]
    return None


def places() -> t.Iterator[str]:
    """Where network namespaces can be had hold of."""
    yield "/proc/self/ns/net"
    with open("/proc/self/mountinfo", encoding="utf-8", errors="surrogateescape") as handle:
        for line in handle:
            words = line.split()
            if " - nsfs " in line:
                yield words[4].replace("\\040", " ").replace("\\134", "\\")
    for name in os.listdir("/proc"):
        if name.isdigit():
            yield f"/proc/{name}/ns/net"


def open_namespace(device: int, inode: int) -> int | None:
    """None where it is gone. Raises OSError where that cannot be known: a host out of file descriptors, say."""
    unsure: OSError | None = None
    for path in places():
        try:
            fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        except GONE:
            continue
        except OSError as error:
            unsure = error
            continue
        status = os.fstat(fd)
        if (status.st_dev, status.st_ino) == (device, inode):
            return fd
        os.close(fd)
    if unsure is not None:
        raise unsure
    return None


def act(kind: str, place: str, content: str | None, names: dict[str, int]) -> None:
    """One step of what takes a change back. A message has placeholders where the index of an interface belongs."""
    if kind == "netlink":
        message = bytes.fromhex(str(content))
        for name, number in names.items():
            stand_in = struct.pack("=I", number)
            if stand_in in message:
                message = message.replace(stand_in, struct.pack("=I", socket.if_nametoindex(name)))
        exchange([message])
    elif kind == "frame":
        with socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0) as packet:
            packet.sendto(bytes.fromhex(str(content)), (place, 0))
    elif kind == "sysctl":
        with open(place, "w", encoding="ascii") as handle:
            handle.write(str(content))
    elif content is None:
        os.unlink(place)
        if place.endswith(".conf"):  # the folder of a drop-in file, unless there are others in it
            with contextlib.suppress(OSError):
                os.rmdir(os.path.dirname(place))
    else:
        os.makedirs(os.path.dirname(place), mode=0o755, exist_ok=True)
        mode = 0o600 if place.endswith(".nmconnection") else 0o644
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW
        with open(os.open(place + "~", flags, mode), "w", encoding="utf-8", errors="surrogateescape") as handle:
            handle.write(content)
        os.rename(place + "~", place)


def end(record: dict[str, t.Any]) -> None:
    """Takes the impairment back, if it is still the one that was set; or the change, whatever is left of it."""
    fd = open_namespace(*record["namespace"])
    if fd is None or ctypes.CDLL(None, use_errno=True).setns(fd, CLONE_NEWNET) != 0:
        return
    same = record["cookie"] in (None, cookie())
    if same and "steps" in record:
        for kind, place, content in record["steps"]:
            with contextlib.suppress(OSError):  # of what was not done, nothing can be taken back
                act(kind, place, content, record["names"])
        return
    if same and root_of(record["index"]) == record["expected"]:
        exchange([bytes.fromhex(message) for message in record["messages"]])


def main(path: str) -> None:
    with contextlib.suppress(OSError):
        os.unlink(sys.argv[0])
    token = None
    troubles = 0
    while troubles < TRIES:  # of which each comes later than the one before
        try:
            if token is None:
                token = read(path)["token"]
            record = read(path)
            if record["token"] != token:
                return  # another one has taken over
            left = record["deadline"] - now()
            if left > 0:
                time.sleep(min(left, LONGEST_SLEEP))  # which does not count while the host is suspended: looked at anew
                fd = open_namespace(*record["namespace"])
                if fd is not None:
                    os.close(fd)
                    troubles = 0
                    continue
            if act_once(path, token, record):
                return
        except (FileNotFoundError, ValueError):
            return  # taken back
        except OSError:  # not known, not to be done now: later, lest a change stays that was to be for a time
            troubles += 1
            time.sleep(min(2.0 ** troubles, LONGEST_SLEEP))


def read(path: str) -> dict[str, t.Any]:
    with open(path, encoding="ascii") as handle:
        return dict(json.load(handle))


def act_once(path: str, token: str, record: dict[str, t.Any]) -> bool:
    """What the process is for, under the host's lock. Raises OSError where nothing could be done."""
    with open(record["lock"], "w", encoding="ascii") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if read(path)["token"] != token:
            return True
        if "argv" not in record:
            end(record)
        os.unlink(path)
    run(record)
    return True


def run(record: dict[str, t.Any]) -> None:
    """What takes a change back by a run of its own, which has to have the lock itself; again where it fails."""
    argv: list[str] = record.get("argv", [])
    for attempt in range(RUNS if argv else 0):
        _pid, status = os.waitpid(os.posix_spawn(argv[0], argv, dict(os.environ)), 0)
        if status == 0:
            break
        time.sleep(2.0 ** attempt)
    for gone in record.get("remove", ()):
        with contextlib.suppress(OSError):
            os.unlink(gone)


if __name__ == "__main__":
    main(sys.argv[1])
