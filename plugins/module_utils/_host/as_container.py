# Copyright: pipework.containers contributors
# GNU General Public License v3.0+ (see LICENSE)
"""Work on a container's files, done by a child that may do there what the container's own root may do, and no more.

What it answers is bounded, and believed no more than the container is. A file system may never answer: then the child
is left behind, and its container is not asked again.
"""
from __future__ import annotations

import contextlib
import os
import select
import signal
import time
import typing as t

from .in_container import ALONE, HEAD, MOST, Ended, Question, Silent, Unfit, Unusable, Who, Work, serve

SECONDS, ALL_SECONDS, BRIEF = 3.0, 12.0, 1.0  # for one question; for all that were in vain, and for each after these
AFTERWARDS = 0.3  # seconds, for the end of a child that has answered
AT_ONCE, TOGETHER = 16, 64  # children; containers that one child goes to
WORDS_MAX = 300

_silent: set[Who] = set()
_in_vain = [0.0]  # seconds


def ask(who: Who, path: str, work: Work) -> bytes:
    """What the work returns that is done as the container's root. ``path`` is for words. Raises Unusable, OSError."""
    _refuse_silent(who, path)
    return _Child([(who, path, work)]).answer(time.monotonic() + _patience())


def ask_many(questions: t.Sequence[Question]) -> list[bytes | Exception]:
    """The same for many at a time, for work that changes nothing; what would be raised is among the answers."""
    found: dict[int, bytes | Exception] = {}
    for start in range(0, len(questions), TOGETHER):
        _ask_together(list(enumerate(questions))[start:start + TOGETHER], found)
    todo = [number for number in range(len(questions)) if number not in found]
    while todo:
        now, todo = todo[:AT_ONCE], todo[AT_ONCE:]
        children: dict[int, _Child] = {}
        for number in now:
            try:
                _refuse_silent(*questions[number][:2])
                children[number] = _Child([questions[number]])
            except Unusable as error:
                found[number] = error
        end = time.monotonic() + _patience()
        for number, child in children.items():
            try:
                found[number] = child.answer(end)
            except (Unusable, OSError) as error:
                found[number] = error
    return [found[number] for number in range(len(questions))]


def _ask_together(chunk: list[tuple[int, Question]], found: dict[int, bytes | Exception]) -> None:
    """By one child for all who are in the host's user namespace. Those whom it did not come to are asked alone."""
    asked = [(number, question) for number, question in chunk if question[0] not in _silent]
    if len(asked) < 2:
        return
    with contextlib.suppress(Unusable):
        answers = _Child([question for _number, question in asked]).answers(time.monotonic() + _patience())
        for (number, _question), answer in zip(asked, answers):
            if answer is not None:
                found[number] = answer


def _patience() -> float:
    return min(SECONDS, max(BRIEF, ALL_SECONDS - _in_vain[0]))


def _refuse_silent(who: Who, path: str) -> None:
    if who in _silent:
        raise Silent(f"{path} was not looked at, since the container's file systems do not answer")


class _Child:
    """One that has been started. It may never end, so that it is waited for within limits only."""

    def __init__(self, questions: t.Sequence[Question]) -> None:
        self.who, self.path, _work = questions[0]
        self.count = len(questions)
        self.began = time.monotonic()
        parent = os.getpid()
        self.pipe, out = os.pipe()
        try:
            self.pid = os.fork()
            if self.pid == 0:
                serve(out, parent, questions)
        except OSError as error:
            os.close(self.pipe)
            raise Unfit(f"{self.path} cannot be looked at: {error.strerror}") from None
        finally:
            os.close(out)

    def answer(self, end: float) -> bytes:
        """Of one who was asked alone. Raises Unusable, OSError."""
        data, in_time = self._hear(end)
        if not in_time:
            _silent.add(self.who)
            raise Silent(
                f"{self.path} did not answer within {time.monotonic() - self.began:.1f} s, by a file system of the "
                "container's that lets others wait"
            )
        answers = list(_answers(data))
        if len(answers) != 1 or answers[0] is None:
            raise Silent(f"{self.path} cannot be used: what looked at it was ended before it was done")
        if isinstance(answers[0], Exception):
            raise answers[0]
        return answers[0]

    def answers(self, end: float) -> list[bytes | Exception | None]:
        """As far as there are any; None for who has to be asked alone."""
        return list(_answers(self._hear(end)[0]))

    def _hear(self, end: float) -> tuple[bytes, bool]:
        """What it says, and whether that was all it had to say."""
        pieces: list[bytes] = []
        size, poller, began = 0, select.poll(), time.monotonic()
        poller.register(self.pipe, select.POLLIN)
        try:
            while size <= self.count * (HEAD.size + MOST + 1):
                if not poller.poll(max(0, end - time.monotonic()) * 1000):
                    _in_vain[0] += time.monotonic() - began
                    return b"".join(pieces), False
                piece = os.read(self.pipe, 1 << 16)
                if not piece:
                    break
                pieces.append(piece)
                size += len(piece)
            return b"".join(pieces), True
        finally:
            self._leave()

    def _leave(self) -> None:
        """Ends it. Where a file system holds it, that may take for ever, and is nothing to wait for."""
        os.close(self.pipe)
        with contextlib.suppress(OSError):
            os.kill(self.pid, signal.SIGKILL)
            ended = os.pidfd_open(self.pid)
            try:
                poller = select.poll()  # which any descriptor is good for, unlike select
                poller.register(ended, select.POLLIN)
                poller.poll(AFTERWARDS * 1000)
            finally:
                os.close(ended)
            os.waitpid(self.pid, os.WNOHANG)


def _answers(data: bytes) -> t.Iterator[bytes | Exception | None]:
    """What a child said, taken apart; it comes from where the container may have had its hands in."""
    at = 0
    while at + HEAD.size <= len(data):
        code, length = HEAD.unpack_from(data, at)
        said = data[at + HEAD.size:at + HEAD.size + length]
        at += HEAD.size + length
        if at > len(data):
            return
        if code == b"=":
            yield said
        elif code == ALONE:
            yield None
        elif code == b"o" and said[:4].isdigit():
            yield OSError(int(said[:4]), os.strerror(int(said[:4])))
        else:
            words = "".join(each if each.isprintable() else "?" for each in said.decode("utf-8", "replace"))
            yield (Ended if code == b"e" else Unfit)(words[:WORDS_MAX])
