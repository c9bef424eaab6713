# Copyright: pipework.containers contributors
# GNU General Public License v3.0+ (see LICENSE)
"""The lines of one run of the module pipework, and the options of the other modules that they stand for. Pure."""

from __future__ import annotations

import dataclasses
import re
import typing as t

from .._attach.options import Attachment, Params
from .._core import normalize as norm
from .._core.errors import PipeworkError
from .._grammar import classic
from .._grammar.words import lines_of
from .._ipam.external.words import options_of

WAYS = ("cmd", "argv", "commands")


@dataclasses.dataclass(frozen=True)
class Command:
    """One line. ``where``: how an error names it, such as ``commands[2]``."""

    where: str
    line: classic.Line

    @property
    def options(self) -> Params:
        """Those of the module, which also says what the words of a DHCP client mean.

        ``dhcp``, which is for hosts without a client, is the built-in one; its words are those of BusyBox's.
        """
        found = dict(self.line.params)
        if "dhcp" not in found:
            return found
        words = found.pop("dhcp_options", ())
        try:
            found.update(options_of({"docker": "udhcpc"}.get(found["dhcp"], found["dhcp"]), words))
        except PipeworkError as error:
            raise PipeworkError(f"{self.where}: {classic.format_line(self.line)!r}: {error}") from None
        return {**found, "dhcp": {"docker": "builtin"}.get(found["dhcp"], found["dhcp"])}

    @property
    def shows(self) -> bool:
        """Whether it asks only for what there is."""
        return self.line.module == classic.SHOW

    def where_of(self, _branch: str) -> str | None:
        """Which line a part of it is of, where it stands for several."""
        return None

    def public(self) -> dict[str, t.Any]:
        if self.shows:
            argv = list(classic.words_of(self.line))
            return {"cmd": classic.format_line(self.line), "module": "pipework", "options": {"argv": argv}}
        return {"cmd": classic.format_line(self.line), "module": self.line.module, "options": self.options}


def commands_of(params: Params) -> list[Command]:
    """The lines that the options give. Raises PipeworkError."""
    ways = [way for way in WAYS if params.get(way) is not None]
    if len(ways) != 1:
        said = f"{ways[0]} and {ways[1]} are given" if ways else "none is given"
        raise PipeworkError(f"cmd: give one of {', '.join(WAYS)}; {said}.")
    given = params[ways[0]]
    listed: list[tuple[str, t.Any]] = [(ways[0], given)]
    if ways[0] == "commands":
        listed = [(f"commands[{at}]", line) for at, entry in enumerate(given) for line in lines_of(str(entry))]
    return [Command(where, classic.parse(line, where)) for where, line in listed]


def items_for(commands: t.Iterable[Command], params: Params, known: t.Collection[str]) -> list[dict[str, t.Any]]:
    """The lines of one module as items of its list. ``known``: the options that it has in this version."""
    common = {name: params[name] for name in ("runtime", "runtime_user", "missing") if params.get(name) is not None}
    found = []
    for command in commands:
        options = command.options
        for option in options:
            if option not in known:
                raise PipeworkError(
                    f"{command.where}: {classic.format_line(command.line)!r} asks for "
                    f"{option}, which is not available in this version."
                )
        script = {"classic": True} if command.line.module == "pipework_attach" else {}
        found.append({**common, **options, **script})
    return found


def doubts(commands: t.Iterable[Command]) -> list[str]:
    """Warnings about what the script hands to the kernel and few would write on purpose."""
    listed = [(each.where, address) for each in commands for address in each.line.params.get("addresses", ())]
    found = [(where, norm.doubtful(address)) for where, address in listed]
    return [f"{where}: {why}." for where, why in found if why]


def translated(message: str, lists: t.Mapping[str, t.Sequence[Command]]) -> str:
    """An error of another module about an item of its list, about the line instead."""
    def where(found: re.Match[str]) -> str:
        commands, number = lists[found[1]], int(found[2])
        if number >= len(commands):
            return found[0]
        rest, branch = found[3] or "", found[4]
        line = commands[number].where_of(branch) if branch else None
        if line is not None:
            return f"{line}: "
        return commands[number].where + (": " if rest else "") + (f"{branch}." if branch else "")

    return re.sub(rf"\b({'|'.join(lists)})\[(\d+)\](: cmd: |: (\w+\[\d+\])\.|)", where, message) if lists else message


OF_ATTACHMENTS = frozenset(Attachment.__dataclass_fields__) - {"where"}
