# Copyright: pipework.containers contributors
# GNU General Public License v3.0+ (see LICENSE)
"""The option ``sysctls``: kernel parameters of one interface, by names in which IFNAME stands for its name. Pure."""
from __future__ import annotations

import dataclasses
import re
import typing as t

from .._core.errors import PipeworkError
from .._core.plan import KernelObject, Key

PLACEHOLDER = "IFNAME"
KNOWN = ("net.ipv4.conf", "net.ipv6.conf", "net.ipv4.neigh", "net.ipv6.neigh", "net.mpls.conf")
NAME = re.compile(rf"({'|'.join(re.escape(each) for each in KNOWN)})\.(.+)\.([a-z0-9_]+)")
VALUE_MAX = 64
OF_TEXT = ".stable_secret"  # an address of IPv6; all others are numbers
WHOLE = re.compile(r"0|-?[1-9][0-9]{0,9}", re.ASCII)
NUMBER_MIN, NUMBER_MAX = -2**31, 2**32 - 1


@dataclasses.dataclass(frozen=True)
class Sysctl(KernelObject):
    """A kernel parameter of one interface. It comes with it; to create it is to set it for the first time."""

    KIND = "sysctl"
    IDENTITY = ("ns", "device", "parameter")

    device: str
    parameter: str  # net.ipv4.conf.IFNAME.arp_ignore
    value: str | None = None

    @property
    def name(self) -> str:
        return self.parameter.replace("IFNAME", self.device)

    @property
    def carrier(self) -> Key:
        return ("link", self.ns, self.device)

    def refused(self, why: str | None) -> PipeworkError:
        """The kernel's no, which knows best which numbers a parameter takes."""
        return PipeworkError(
            f"sysctls: {self.parameter}: the kernel does not take {self.value!r} ({why}); its documentation "
            "(ip-sysctl) says what would be right"
        )


def from_option(option: t.Mapping[t.Any, t.Any]) -> tuple[tuple[str, str], ...]:
    """Names and values, sorted; raises PipeworkError for what is no parameter of an interface."""
    return tuple(sorted((_name(name), _value(name, value)) for name, value in option.items()))


def _name(name: object) -> str:
    found = NAME.fullmatch(str(name))
    if found is None:
        listed = ", ".join(f"{each}.{PLACEHOLDER}.*" for each in KNOWN)
        raise PipeworkError(f"sysctls: {str(name)!r} is not a parameter of an interface; {listed} are.")
    if found[2] != PLACEHOLDER:
        raise PipeworkError(
            f"sysctls: {str(name)!r}: {found[1]}.{PLACEHOLDER}.{found[3]} would be right; "
            f"{PLACEHOLDER} stands for the name of the interface."
        )
    return found[0]


def _value(name: object, value: object) -> str:
    text = str(int(value)) if isinstance(value, bool) else str("" if value is None else value).strip()
    if not 0 < len(text) <= VALUE_MAX or not text.isascii() or not text.isprintable():
        raise PipeworkError(f"sysctls: {name}: {text!r} cannot be a value; a number would be right.")
    if str(name).endswith(OF_TEXT):
        return text
    # Other ways to write a number the kernel takes, but does not show again.
    if not WHOLE.fullmatch(text) or not NUMBER_MIN <= int(text) <= NUMBER_MAX:
        raise PipeworkError(
            f"sysctls: {name}: {text!r} is not a value of this parameter; a whole number (decimal, "
            f"{NUMBER_MIN} to {NUMBER_MAX}) would be right."
        )
    return text


def path_of(name: str, device: str) -> str:
    """The file under /proc/sys. A device's name may hold dots, but no slashes."""
    return "/".join(device if part == PLACEHOLDER else part for part in name.split("."))
