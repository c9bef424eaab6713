# Copyright: pipework.containers contributors
# GNU General Public License v3.0+ (see LICENSE)
"""What a file about a DHCP client says. Pure."""
from __future__ import annotations

import dataclasses
import typing as t

from .. import dhcp4_message as dhcp

FOLDER = "/run/pipework"  # of the client alone: it sees another /run than the host
HOOK = f"{FOLDER}/hook"
SAID = f"{FOLDER}/said"  # where the hook writes to
# All variables as they are, with a NUL after each: nothing that a server said is ever a word of a shell.
HOOK_TEXT = f"""#!/bin/sh
# Hands on what a DHCP client says of a lease, and configures nothing.
case "${{1-}} ${{reason-}}" in
bound\\ * | renew\\ * | *\\ BOUND | *\\ RENEW | *\\ REBIND | *\\ REBOOT)
    cat /proc/self/environ >{SAID}
    kill -9 "$PPID"
    ;;
esac
exit 0
"""
PACE = (1, 4)  # seconds between two messages: the first ones, the later ones


@dataclasses.dataclass(frozen=True)
class Ask:
    """What a client is to ask for. ``options``: what it sends, by number."""

    interface: str
    options: t.Mapping[int, bytes]
    seconds: int

    def hexadecimal(self, code: int, between: str = ":") -> str:
        return self.options[code].hex(between) if between else self.options[code].hex()

    @property
    def requested(self) -> str:
        """The address that is asked for, empty without."""
        value = self.options.get(dhcp.REQUESTED, b"")
        return ".".join(str(octet) for octet in value)


@dataclasses.dataclass(frozen=True)
class Client:
    """A program. ``names``: the variables in which it tells options, by their numbers."""

    name: str
    package: str  # of Debian
    argv: t.Callable[[Ask], tuple[str, ...]]
    files: t.Callable[[Ask], dict[str, str]]  # that it reads, beside the hook
    names: t.Mapping[int, str]
    address: str  # the variable with the address
    hook: str = HOOK
    sends: tuple[int, ...] | None = None  # the options that it can send; None: all
    broadcasts: bool = True  # can tell servers to broadcast their answers
    banner: tuple[str, ...] = ()  # how the lines begin that it always says first
    censored: str = ""  # stands in the place of a name that it does not believe
