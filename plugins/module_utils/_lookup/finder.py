# Copyright: pipework.containers contributors
# GNU General Public License v3.0+ (see LICENSE)
"""Looks for containers that do not run yet, each time that a runtime says that one has started.

Runtimes are asked in a thread, and listened to in one for each, so that who waits for something else hears it at once.
The threads are of no consequence when the process ends.
"""
from __future__ import annotations

import contextlib
import os
import queue
import threading
import time
import typing as t

from .. import _runtimes
from .._core.errors import PipeworkError
from .._model.container import Found
from .._model.runtime_names import AUTO
from . import process_events

ASK_AGAIN = 0.5  # seconds, where a runtime does not tell when a container starts
LISTEN_AGAIN = 5.0  # where it has stopped to, and where only the kernel tells
STARTS = ("", None)  # the listener to the kernel, for all runtimes that do not tell themselves
Request = tuple[str, t.Optional[str], t.Optional[str]]  # runtime, name, user
Answers = dict[Request, t.Any]


class Finder:
    """The runtimes, as somebody sees them who waits for containers."""

    def __init__(self) -> None:
        self._heard, self._wake = os.pipe()
        os.set_blocking(self._heard, False)
        os.set_blocking(self._wake, False)
        self._lock = threading.Lock()
        self._closed = False
        self._listeners: dict[tuple[str, str | None], bool] = {}  # and whether each of them hears something
        self._found: queue.SimpleQueue[Answers] = queue.SimpleQueue()
        self._busy = self._again = False
        self._asked = 0.0
        _runtimes.at_once()

    def fileno(self) -> int:
        return self._heard

    def close(self) -> None:
        with self._lock:
            self._closed = True
            os.close(self._heard)
            os.close(self._wake)

    def ask(self, wanted: t.Iterable[Request]) -> Answers:
        """Asks the runtimes now."""
        unique = list(dict.fromkeys(wanted))
        return dict(zip(unique, _runtimes.find_all(unique)))

    def listen(self, wanted: t.Iterable[Request]) -> None:
        """Listens to the runtimes that these containers may be of."""
        names: dict[tuple[str, str | None], list[str]] = {}
        for runtime, name, user in wanted:
            for each in _of(runtime):
                names.setdefault((each, user), []).append(str(name))
        for (runtime, user), listed in names.items():
            key = self._listener(runtime, user)
            if key is not None and key not in self._listeners:
                self._listeners[key] = False
                threading.Thread(target=self._listen, args=(key, listed), daemon=True).start()

    def pause(self, wanted: t.Collection[Request]) -> float:
        """Seconds until it is time to ask for these again, where no runtime tells."""
        keys = {self._listener(runtime, user) for runtime, _name, user in wanted}
        if not all(key is not None and self._listeners.get(key) for key in keys):
            again = ASK_AGAIN
        else:
            again = LISTEN_AGAIN if STARTS in keys else float("inf")
        return max(0.0, self._asked + again - time.monotonic())

    def answers(self, wanted: t.Collection[Request]) -> Answers:
        """What has been found meanwhile. Begins to look for these where somebody told that it may be worth it."""
        told = b""
        with contextlib.suppress(BlockingIOError):
            told = os.read(self._heard, 1 << 16)
        found: Answers = {}
        while not self._found.empty():
            found.update(self._found.get())
            self._busy = False
        left = [request for request in wanted if not isinstance(found.get(request), Found)]
        self._again |= b"+" in told or self.pause(left) <= 0
        if left and self._again and not self._busy:
            self._busy, self._again = True, False
            self._asked = time.monotonic()
            threading.Thread(target=self._look, args=(left,), daemon=True).start()
        return found

    @staticmethod
    def _listener(runtime: str, user: str | None) -> tuple[str, str | None] | None:
        """Who tells of a runtime's containers: it does itself, or the kernel, for all that have a first program."""
        if runtime == "auto":
            return STARTS
        if hasattr(_runtimes.runtime_of(runtime), "watch"):
            return runtime, user
        return STARTS if runtime in AUTO else None

    # -- in threads

    def _tell(self, what: bytes) -> None:
        with self._lock:
            if not self._closed:
                with contextlib.suppress(BlockingIOError):  # then there is enough to wake up for
                    os.write(self._wake, what)

    def _look(self, wanted: list[Request]) -> None:
        try:
            answers = self.ask(wanted)
        except Exception as error:  # pylint: disable=broad-except  # it would be lost in the thread
            words = f"This should not have happened, please report it: {type(error).__name__}: {error}."
            answers = dict.fromkeys(wanted, PipeworkError(words))
        self._found.put(answers)
        self._tell(b"=")

    def _listen(self, key: tuple[str, str | None], names: list[str]) -> None:
        def tell() -> None:
            self._listeners[key] = True
            self._tell(b"+")

        runtime, user = key
        while not self._closed:
            with contextlib.suppress(Exception):  # it does not tell, for whatever reason: then it is asked
                if key == STARTS:
                    process_events.watch(tell)
                else:
                    _runtimes.runtime_of(runtime).watch(names, user, tell)
            self._listeners[key] = False
            self._tell(b"+")
            time.sleep(LISTEN_AGAIN)


def _of(runtime: str) -> tuple[str, ...]:
    return AUTO if runtime == "auto" else (runtime,)
