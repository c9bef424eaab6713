# Copyright: pipework.containers contributors
# GNU General Public License v3.0+ (see LICENSE)
"""Has a program of the host ask a DHCP server, and listens to what it sends and hears.

The program runs in the container's network namespace, with files and rights of its own: see sandbox.py.
"""
from __future__ import annotations

import contextlib
import inspect
import json
import os
import socket
import subprocess
import sys
import time
import typing as t

from .._attach.options import Attachment
from .._core.errors import PipeworkError
from .._host import answers, program
from . import dhcp4_message as dhcp
from . import sandbox
from .external import CLIENTS, HOOK_TEXT, SAID, Ask, Client

START_SECONDS = 20  # until a program sends something
SAID_BYTES = 1 << 20  # that a program may say in all
SAID_LINES = 8  # of a program's last words, in which the one that matters is looked for
HEARD_MAX = 4096  # frames that are looked at before anything else has its turn


class Listener:
    """The frames of one exchange, as they pass by on the interface."""

    def __init__(self, sock: socket.socket, mac: bytes) -> None:
        self.sock, self.mac = sock, mac
        self.sent = {dhcp.DISCOVER: 0, dhcp.REQUEST: 0}
        self.refusal: dhcp.Message | None = None  # the last one
        self.senders: dict[bytes, bytes] = {}  # MAC addresses of servers

    def hear(self) -> None:
        """All that has come so far."""
        self.sock.setblocking(False)
        with contextlib.suppress(OSError):
            for _frame in range(HEARD_MAX):
                raw = self.sock.recv(1 << 16)
                kind = dhcp.asked(raw, self.mac)
                if kind in self.sent:
                    self.sent[kind] += 1
                message = dhcp.unframe(raw)
                if message is not None and message.mac == self.mac and message.server:
                    self.refusal = message if message.kind == dhcp.NAK else self.refusal
                    self.senders[message.server] = message.sender

    def sender(self, server: str) -> bytes:
        """The MAC address that a server answered from; none where nothing was heard."""
        with contextlib.suppress(OSError):
            return self.senders.get(socket.inet_aton(server), b"")
        return b""


def require(name: str) -> str:
    """The path of a client's program. Raises PipeworkError where it is not installed."""
    path = program.which(name)
    if path is None:
        raise PipeworkError(
            f"dhcp: the program {name} is not installed on the managed host (in Debian and Ubuntu, the package "
            f"{CLIENTS[name].package} has it); 'builtin' needs no program."
        )
    return path


def check(item: Attachment) -> None:
    """Refuses an attachment whose client is not there, before anything is done."""
    if item.state == "present" and item.dhcp in CLIENTS:
        try:
            require(str(item.dhcp))
        except PipeworkError as error:
            raise item.refuse(str(error)) from None


class Said(t.NamedTuple):
    """What came of a program: what it told of a lease, or its last words."""

    environment: dict[str, str]
    words: str


def run(name: str, ask: Ask, netns: int, listener: Listener) -> Said:
    """One exchange. No environment where no server answered in time."""
    client = CLIENTS[name]
    path = require(name)
    spec = {
        "parent": os.getpid(), "netns": netns, "said": SAID, "argv": [path, *client.argv(ask)],
        "files": {each: (text, 0o644) for each, text in client.files(ask).items()} | {client.hook: (HOOK_TEXT, 0o755)},
    }
    command = (sys.executable, "-I", "-S", "-c", inspect.getsource(sandbox))
    process = subprocess.Popen(  # pylint: disable=consider-using-with  # which waits without an end
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd="/", pass_fds=(netns,),
        env={"PATH": program.PATH, "LC_ALL": "C"}, start_new_session=True,
    )
    try:
        output, errors = _follow(process, json.dumps(spec).encode("ascii"), ask.seconds, listener)
    except answers.TooLong as error:
        raise PipeworkError(f"dhcp: {name} said more than {error} bytes.") from None
    finally:
        program.finish(process)
    lines = errors.decode("utf-8", "replace").splitlines()
    if process.returncode == sandbox.CANNOT:
        why = lines[-1] if lines else "it cannot be run"
        raise PipeworkError(f"dhcp: {name} cannot be run apart from the host's files: {why}.")
    return Said(environment_of(output), last_words(client, lines))


def _follow(
    process: subprocess.Popen[bytes], text: bytes, seconds: float, listener: Listener,
) -> tuple[bytes, bytes]:
    """What a process says until it ends, or the time is over, which begins with the first message that is sent."""
    end, asks = time.monotonic() + START_SECONDS, False

    def hear() -> None:
        nonlocal end, asks
        listener.hear()
        if not asks and listener.sent[dhcp.DISCOVER]:
            end, asks = time.monotonic() + seconds, True

    out, err = bytearray(), bytearray()
    with contextlib.suppress(TimeoutError):
        program.follow(process, out, err, lambda: end, text, SAID_BYTES, (listener.sock, hear))
    listener.hear()
    return bytes(out), bytes(err)


def environment_of(data: bytes) -> dict[str, str]:
    """Variables, each ended by a NUL."""
    words = data.decode("utf-8", "surrogateescape").split("\0")
    return {name: value for name, equals, value in (word.partition("=") for word in words) if equals}


def last_words(client: Client, lines: t.Sequence[str]) -> str:
    """The end of what a program says, in one line that can be shown."""
    lines = [line for line in lines if line.strip() and not line.startswith(client.banner)]
    shown = "".join(each if each.isprintable() else "?" for each in " / ".join(lines[-SAID_LINES:]))
    return f" {client.name} says: {shown[-300:].rstrip('.')}." if shown else ""
