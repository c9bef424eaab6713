# Copyright: pipework.containers contributors
# GNU General Public License v3.0+ (see LICENSE)
"""A block of names in a hosts file: the options of pipework_hosts, checked and in one spelling. Pure."""
from __future__ import annotations

import dataclasses
import ipaddress
import re
import typing as t

from .._core.errors import PipeworkError
from .._core.items import Params, container_of, items_of
from .._model.domain_name import domain_name
from .blocks import LINES_MAX

BLOCK = "pipework"
PLAIN = re.compile(r"[A-Za-z0-9_.-]{1,64}", re.ASCII)
NAMES_MAX = 32  # in one entry, whose line some C libraries cut


class Entry(t.NamedTuple):
    """One line."""

    address: str
    names: tuple[str, ...]

    def __str__(self) -> str:
        return " ".join((self.address, *self.names))


@dataclasses.dataclass(frozen=True)
class HostsItem:
    """One item of ``files``."""

    container: str | None
    runtime: str = "auto"
    runtime_user: str | None = None
    missing: str = "fail"  # or skip: what to do where the container is not there
    block: str = BLOCK
    entries: tuple[Entry, ...] = ()
    state: str = "present"
    where: str = ""  # how an error names the item: "files[2]: "

    def refuse(self, message: str) -> PipeworkError:
        """The error that says which item is wrong."""
        return PipeworkError(f"{self.where}{message}")

    @property
    def lines(self) -> tuple[str, ...]:
        return tuple(map(str, self.entries)) if self.state == "present" else ()

    @classmethod
    def from_params(cls, params: Params, where: str = "") -> HostsItem:
        """Checks one item's options; raises PipeworkError."""
        try:
            block, entries = str(params.get("block") or BLOCK), params.get("entries")
            state = str(params.get("state") or "present")
            if not PLAIN.fullmatch(block):
                raise PipeworkError(
                    f"block: {block!r} cannot be the name of a block; 1 to 64 letters, digits, '-', '_' and '.', "
                    "such as web, would be right."
                )
            if entries is None and state == "present":
                raise PipeworkError(
                    "entries: say which names there shall be, each with its address; an empty list takes the block "
                    "away."
                )
            found = tuple(_entry(entry, at) for at, entry in enumerate(entries or ()))
            if len(found) > LINES_MAX:
                raise PipeworkError(f"entries: {len(found)} are too many for one block; it takes {LINES_MAX}.")
            return cls(**t.cast("dict[str, t.Any]", container_of(params)), block=block, entries=found, state=state,
                       where=where)
        except PipeworkError as error:
            raise PipeworkError(f"{where}{error}") from None


def items_from_params(params: Params) -> list[HostsItem]:
    """The list of items, or the one that the top-level options describe, which are the items' defaults."""
    return items_of(params, "files", HostsItem.from_params)


def _entry(entry: t.Any, at: int) -> Entry:
    where = f"entries[{at}]: "
    text, names = str((entry or {}).get("address")).strip(), (entry or {}).get("names") or ()
    try:
        address = str(ipaddress.ip_address(text))
    except ValueError:
        address = "%"
    if "%" in address:
        plain = f" Without its prefix length, {text.partition('/')[0]}, it would be." if "/" in text else ""
        raise PipeworkError(f"{where}address: {text!r} is not an IP address, such as 192.168.1.1.{plain}")
    if not names:
        raise PipeworkError(f"{where}names: {address} has none; one at least is needed.")
    if len(names) > NAMES_MAX:
        raise PipeworkError(f"{where}names: {address} has {len(names)}, and an entry takes {NAMES_MAX}; make two.")
    return Entry(address, tuple(dict.fromkeys(host_name(str(name), f"{where}names") for name in names)))


def host_name(text: str, option: str) -> str:
    """A name that can stand in a hosts file."""
    if domain_name(text) != text or re.fullmatch(r"[0-9.]+", text):
        raise PipeworkError(
            f"{option}: {text!r} is not the name of a host; letters, digits, '-' and '_' in parts of at most 63, "
            "with '.' between them, such as db1 or db1.example.org, would be right."
        )
    return text
