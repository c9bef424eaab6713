# Copyright: pipework.containers contributors
# GNU General Public License v3.0+ (see LICENSE)
"""Classic lines that ask only for what there is, such as ``route web1 show``: what the program prints in the container.

The words are those of a list, which change nothing, and no shell is between.
"""
from __future__ import annotations

import contextlib
import dataclasses
import itertools
import typing as t

from .._core.errors import PipeworkError
from .._host import program
from .._host.privileges import require_privileges
from .._lookup.containers import open_guests
from .._netlink.namespaces import Namespaces
from .passthrough import inside

if t.TYPE_CHECKING:
    from .commands import Command


@dataclasses.dataclass(frozen=True)
class Shown:
    """One such line, and the container that it is about."""

    container: str
    runtime: str
    runtime_user: str | None
    where: str
    argv: tuple[str, ...]
    line: str
    state: str = "present"
    missing: str = "fail"

    def refuse(self, message: str) -> PipeworkError:
        return PipeworkError(f"{self.where}: {message}")

    @classmethod
    def of(cls, command: Command, runtime: str, runtime_user: str | None) -> Shown:
        params = command.line.params
        flags = list(itertools.takewhile(lambda word: word.startswith("-"), params["cmd"]))
        rest = params["cmd"][len(flags):]
        argv = ("tc", *flags, *rest) if params["sort"] == "tc" else ("ip", *flags, params["sort"], *rest)
        return cls(params["container"], runtime, runtime_user, command.where, argv, " ".join(argv))


def show(listed: t.Sequence[Shown]) -> list[str]:
    """What each prints."""
    require_privileges()
    with contextlib.closing(Namespaces()) as namespaces:
        return [
            _print(each, namespaces, str(place.label)) for each, place in zip(listed, open_guests(listed, namespaces))
        ]


def _print(each: Shown, namespaces: Namespaces, label: str) -> str:
    if program.which(each.argv[0]) is None:
        raise each.refuse(f"there is no program {each.argv[0]} on the host.")
    done = inside(namespaces, namespaces[label], *each.argv)
    if done.code:
        raise each.refuse(f"'{each.line}' failed: {done.said.rstrip('.')}.")
    return done.output
