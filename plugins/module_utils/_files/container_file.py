# Copyright: pipework.containers contributors
# GNU General Public License v3.0+ (see LICENSE)
"""A container's own /etc/resolv.conf and /etc/hosts: looked at and changed by a child that has become its root.

Those of named namespaces, and the host's own, are the host's, and need nobody.
"""
from __future__ import annotations

import os
import typing as t

from .._core.errors import PipeworkError
from .._core.plan import Failure, Operation
from .._host import as_container
from .._host.guest_place import ETC_NETNS, Place
from .._host.in_container import Ended, Inside, Question, Silent, Unfit, Unusable, Who, Work, here
from .._runtimes.netns import FOLDER
from .blocks import OwnBlock, Style, Where, drop, put, read

__all__ = ["Ended", "Silent", "Unfit", "Unusable", "change", "check", "of_name", "probe", "seen", "where"]
MISSING, THERE = b"-", b"+"


def where(runtime: str, holder: t.Mapping[str, t.Any]) -> Where:
    """Whose files a container's are. Raises Unfit where it has none."""
    if runtime == "cri":
        raise Unfit(
            "a pod has no files of its own, only its containers have; name one of them, by 'runtime: containerd' or "
            "'runtime: pid'"
        )
    if "pid" in holder:
        return Where(pid=int(holder["pid"]), born=int(holder["born"]))
    if runtime == "host":
        return Where()
    folder, _slash, name = str(holder.get("path") or "?").rpartition("/")
    if folder != FOLDER:
        raise Unfit(
            f"a network namespace that is known by a path alone ({folder}/{name}) has no files of its own; one with a "
            f"name has them in /{ETC_NETNS}/NAME"
        )
    return of_name(name)


def of_name(name: str) -> Where:
    """Whose files those of a named network namespace are, whether it is there or not."""
    if "/" in name or name in ("", ".", "..") or "\0" in name:
        raise Unfit(f"{name!r} is no name of a network namespace")
    return Where(netns=name)


def probe(places: t.Iterable[Where], style: Style) -> None:
    """Finds out whose file systems do not answer, before anybody else has to wait for that."""
    as_container.ask_many([_question(place, style, False) for place in dict.fromkeys(places) if place.pid])


def seen(place: Where, style: Style, kind: type[OwnBlock], label: str, writing: bool = False) -> list[OwnBlock]:
    """The blocks of ours in a container's file. Raises Unfit, if ``writing`` also where one could not be written."""
    return _blocks(_look(place, style, _reading(place, style, writing)), kind, label, place)


def seen_many(
    places: t.Mapping[tuple[Where, bool], str], style: Style, kind: type[OwnBlock],
) -> dict[tuple[Where, bool], list[OwnBlock] | Unusable]:
    """The same for many at a time, by place and ``writing``, with what would be raised. Given are their labels."""
    found: dict[tuple[Where, bool], list[OwnBlock] | Unusable] = {}
    many = [each for each in places if each[0].pid]
    for key, answer in zip(many, as_container.ask_many([_question(place, style, w) for place, w in many])):
        if isinstance(answer, bytes):
            found[key] = _blocks(answer, kind, places[key], key[0])
        else:
            found[key] = answer if isinstance(answer, Unusable) else _unfit(style, answer)
    for key in places:
        if key not in found:
            try:
                found[key] = seen(key[0], style, kind, places[key], key[1])
            except Unusable as error:
                found[key] = error
    return found


def _question(place: Where, style: Style, writing: bool) -> Question:
    return Who(place.pid, place.born), f"/etc/{style.file}", _reading(place, style, writing)


def _blocks(answer: bytes, kind: type[OwnBlock], label: str, place: Where) -> list[OwnBlock]:
    content = answer[1:] if answer[:1] == THERE else None
    return [kind(label, name, lines, place, content) for name, lines in read(content or b"").items()]


def check(place: Where, style: Style, block: str, lines: t.Sequence[str]) -> None:
    """Raises Unfit where a file cannot be written, or would become too large."""
    def work(inside: Inside) -> bytes:
        with Place(place, style, inside) as file:
            file.check_size(put(file.read(writing=True), block, lines, style))
        return b""

    _look(place, style, work)


def _look(place: Where, style: Style, work: Work) -> bytes:
    try:
        return _ask(place, style, work)
    except OSError as error:
        raise _unfit(style, error) from None


def _unfit(style: Style, error: Exception) -> Unfit:
    return Unfit(f"/etc/{style.file} cannot be used: {getattr(error, 'strerror', None) or error}")


def _reading(place: Where, style: Style, writing: bool) -> Work:
    def work(inside: Inside) -> bytes:
        with Place(place, style, inside) as file:
            content = file.read(writing)
        return MISSING if content is None else THERE + content

    return work


def _ask(place: Where, style: Style, work: Work) -> bytes:
    """What comes of work on a file, done by whom it takes. Raises Unusable, OSError."""
    if place.pid:
        return as_container.ask(Who(place.pid, place.born), f"/etc/{style.file}", work)
    inside = here()
    try:
        return work(inside)
    finally:
        os.close(inside.fds)


def change(work: t.Sequence[Operation], done: list[Operation]) -> Failure:
    """Blocks that come, differ, or go, one after the other. Returns one that failed, and why."""
    for operation in work:
        try:
            _change(operation)
        except Silent as error:
            return operation, error
        except Ended as error:
            if operation.action != "delete":
                return operation, error
        except Unfit as error:
            if operation.action != "delete" or operation.before is None or operation.before.__dict__["raw"] is None:
                return operation, error  # else the block is gone with the file that it was seen in
        except OSError as error:
            return operation, PipeworkError(f"{error.strerror}")
        done.append(operation)
    return None


def _change(operation: Operation) -> None:
    block = t.cast(OwnBlock, operation.subject)
    place = block.where or Where()

    def work(inside: Inside) -> bytes:
        with Place(place, block.STYLE, inside) as file:
            _write(operation, block, file)
        return b""

    _ask(place, block.STYLE, work)


def _write(operation: Operation, block: OwnBlock, file: Place) -> None:
    now = file.read(writing=operation.action != "delete")
    folder = False
    if operation.action == "delete":
        if now is None or block.block not in read(now):
            return
        new, folder = drop(now, block.block, block.STYLE)
    elif block.raw is not None:  # it is taken back
        new = block.raw
    else:
        new = put(now, block.block, block.lines or (), block.STYLE, file.missing > 0)
    file.check_size(new or b"")
    file.write(new, folder)
