# Copyright: pipework.containers contributors
# GNU General Public License v3.0+ (see LICENSE)
"""Lines of ours in files that are others': what stands there, how they come, and how the file is without them. Pure.

All is bytes, since a container writes what it likes into its files. What is not of our spelling is not ours. All that
is needed to take the lines away again, byte for byte, stands in the file itself.
"""
from __future__ import annotations

import dataclasses
import re
import typing as t

from .._core.plan import KernelObject, Key

NAME = r"[!-9;-~]{1,64}"  # of a block: printable ASCII without a colon
BEGIN = re.compile(rb"^# pipework (%s): begin((?:, [a-z]+)*)\n" % NAME.encode(), re.MULTILINE)
LINES_MAX = 4096
PRINTABLE = re.compile(rb"[ -~]*")


class Style(t.NamedTuple):
    """A sort of file."""

    file: str
    hides: tuple[bytes, ...] = ()  # words that begin the lines which do not count beside ours; they come back with us
    first: bool = False  # whether ours stand before all others


RESOLVER = Style("resolv.conf", (b"nameserver", b"domain", b"search"), first=True)
HOSTS = Style("hosts")


class Where(t.NamedTuple):
    """Whose files: a process's, by its start time, a named network namespace's, or the host's own."""

    pid: int = 0
    born: int = 0
    netns: str = ""


@dataclasses.dataclass(frozen=True)
class OwnBlock(KernelObject):
    """A block of ours in one file of a container."""

    IDENTITY = ("ns", "block")
    HINTS = frozenset({"where", "raw"})
    STYLE: t.ClassVar[Style] = HOSTS

    block: str
    lines: tuple[str, ...] | None = None
    where: Where | None = None
    raw: bytes | None = None  # all that was in the file, where the block was seen in it

    @property
    def name(self) -> str:
        return self.block

    def over(self, observed: KernelObject) -> KernelObject:
        return dataclasses.replace(t.cast("OwnBlock", super().over(observed)), where=self.where, raw=None)


class Resolver(OwnBlock):
    """The name servers of a lease, in a container's resolv.conf. ``block`` is the interface that they came by."""

    KIND = "resolver"
    STYLE = RESOLVER

    @property
    def carrier(self) -> Key:
        return ("link", self.ns, self.block)


class Names(OwnBlock):
    """Names of machines, in a hosts file."""

    KIND = "hosts"


class Span(t.NamedTuple):
    """Where a block stands, with its first and its last line."""

    name: str
    start: int
    end: int
    flags: tuple[bytes, ...]
    lines: tuple[str, ...]


def spans(content: bytes) -> list[Span]:
    """All whole blocks. One that is begun and not ended is none, nor is one with characters that we never write."""
    found = []
    begins = list(BEGIN.finditer(content)) if b"# pipework " in content else []  # which is much quicker to see
    for at, begin in enumerate(begins):
        limit = begins[at + 1].start() if at + 1 < len(begins) else len(content)
        last = b"# pipework %s: end\n" % begin.group(1)
        stop = content.find(b"\n" + last, begin.end() - 1, limit)
        inner = content[begin.end():stop + 1] if stop >= 0 else b""
        lines = inner.split(b"\n")[:-1]
        if stop >= 0 and len(lines) <= LINES_MAX and all(PRINTABLE.fullmatch(line) for line in lines):
            flags = tuple(begin.group(2).split(b", ")[1:])
            text = tuple(line.decode("ascii") for line in lines)
            found.append(Span(begin.group(1).decode("ascii"), begin.start(), stop + 1 + len(last), flags, text))
    return found


def read(content: bytes) -> dict[str, tuple[str, ...]]:
    """The lines of each block; those of several that have one name together, which no single one would be."""
    found: dict[str, tuple[str, ...]] = {}
    for span in spans(content):
        found[span.name] = (*found[span.name], "", *span.lines) if span.name in found else span.lines
    return found


def put(content: bytes | None, name: str, lines: t.Sequence[str], style: Style, folder: bool = False) -> bytes:
    """The file with a block. ``content``: None where there is none; ``folder``: one has to be made for it."""
    old = content or b""
    mine = [span for span in spans(old) if span.name == name]
    while len(mine) > 1:
        old = old[:mine[-1].start] + old[mine[-1].end:]
        mine = [span for span in spans(old) if span.name == name]
    if mine:
        return old[:mine[0].start] + _block(name, mine[0].flags, lines) + old[mine[0].end:]
    flags = [b"made"] * (content is None) + [b"folder"] * folder
    if style.first:
        return _block(name, flags, lines) + _hide(old, name, style)
    torn = old != b"" and not old.endswith(b"\n")
    return old + b"\n" * torn + _block(name, [*flags, *[b"newline"] * torn], lines)


def drop(content: bytes, name: str, style: Style) -> tuple[bytes | None, bool]:
    """The file without the blocks of a name; None where it goes as well, and whether the folder that it is in does."""
    flags: list[bytes] = []
    while True:  # what stood around one may be another then
        span = next((each for each in reversed(spans(content)) if each.name == name), None)
        if span is None:
            break
        before, after = content[:span.start], content[span.end:]
        if b"newline" in span.flags and not after and before.endswith(b"\n"):
            before = before[:-1]
        content = before + after
        flags += [flag for flag in span.flags if flag != b"newline" or BEGIN.match(after)]
    if style.hides:
        content = re.sub(rb"^%s" % re.escape(_was(name)), b"", content, flags=re.MULTILINE)
    rest = spans(content)
    if rest and flags:  # whoever goes last knows what is to go with it
        heir = rest[0]
        kept = dict.fromkeys((*heir.flags, *flags))
        content = content[:heir.start] + _block(heir.name, kept, heir.lines) + content[heir.end:]
    if b"made" in flags and not content:
        return None, b"folder" in flags
    return content, False


def _block(name: str, flags: t.Iterable[bytes], lines: t.Sequence[str]) -> bytes:
    who = b"# pipework " + name.encode("ascii", "replace")
    begin = who + b": begin" + b"".join(b", " + flag for flag in flags) + b"\n"
    return begin + "".join(f"{line}\n" for line in lines).encode("ascii") + who + b": end\n"


def _was(name: str) -> bytes:
    return b"# pipework " + name.encode("ascii", "replace") + b": was "


def _hide(content: bytes, name: str, style: Style) -> bytes:
    """The lines that would count beside ours, as comments; those that look like such already once more."""
    words = b"|".join(style.hides)
    pattern = rb"^(?=[ \t]*(?:%s)(?:[ \t\r\n]|\Z)|%s)" % (words, re.escape(_was(name)))
    return re.sub(pattern, lambda _found: _was(name), content, flags=re.MULTILINE)
