# Copyright: pipework.containers contributors
# GNU General Public License v3.0+ (see LICENSE)
"""What the process that stays does for one attachment: the interface that all its duties have."""
from __future__ import annotations

import functools
import os
import socket
import typing as t

from . import host as io
from .pace import Trouble
from .record import Record

NEVER = float("inf")


class Duty:
    """One thing that is kept. ``pending`` is what came of it, until it could be brought to files and kernel.

    ``due``: when its next step is. ``opened`` and ``closing`` are called with the file descriptor that it listens to.
    """

    KIND = ""  # as records name it, and the status
    LASTING = False  # its sockets are not for an exchange
    PACED = True  # its runs have a budget; False where it has one by itself

    def __init__(self, record: Record, folder: str = "") -> None:
        self.record, self.folder = record, folder
        self.due = 0.0
        self.pending: t.Any = None
        self.trouble = ""  # what stands in its way, in words
        self.failed = Trouble()  # what nobody has foreseen
        self.sockets: list[socket.socket] = []
        self.opened: t.Callable[[int], None] = lambda _fd: None
        self.closing: t.Callable[[int], None] = lambda _fd: None

    def talks(self, now: float) -> bool:
        """Whether its next step opens sockets for as long as an exchange with a server lasts."""
        return False

    def reload(self) -> bool:
        """Looks what others have done since; whether that was something. Raises Gone, OSError."""
        raise NotImplementedError

    def step(self, now: float) -> None:
        """What is due. Raises Gone, OSError."""
        raise NotImplementedError

    def listen(self, now: float) -> None:
        """Reads what has come. Raises Gone, OSError."""
        raise NotImplementedError

    def commit(self, now: float) -> bool:
        """Brings what is pending to files and kernel, under the host's lock; whether the rest is a run's business."""
        raise NotImplementedError

    def said(self, now: float) -> dict[str, t.Any]:
        """What others can read about it."""
        raise NotImplementedError

    # -- sockets

    def open(self, make: t.Callable[[Record], list[socket.socket]]) -> None:
        """In the container's namespace; it is listened to the first."""
        self.sockets = self.inside(make)
        self.opened(self.sockets[0].fileno())

    def inside(self, work: t.Callable[..., t.Any], *args: t.Any) -> t.Any:
        """Does something in the container's namespace. Raises Gone, OSError."""
        return io.inside(self.record, functools.partial(work, self.record, *args))

    def hush(self) -> None:
        """Lets the namespace go."""
        if self.sockets:
            self.closing(self.sockets[0].fileno())
        for each in self.sockets:
            each.close()
        self.sockets = []

    def path(self, name: str) -> str:
        return os.path.join(self.folder, name)
