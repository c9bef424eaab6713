# Copyright: pipework.containers contributors
# GNU General Public License v3.0+ (see LICENSE)
"""The VLANs of a bridge's port in one spelling: ``("10 pvid untagged", "101", "200-210")``. Pure.

A range holds neighbours that are treated alike. ``pvid``: frames that come without a tag belong to it; ``untagged``:
its frames leave without one. An access port has one VLAN, which is both; those of a trunk are neither.
"""
from __future__ import annotations

import re
import typing as t

from .._core.errors import PipeworkError

VID_MAX = 4094
PVID, UNTAGGED = 2, 4  # the kernel's flags, BRIDGE_VLAN_INFO_*
WORDS = {PVID: "pvid", UNTAGGED: "untagged"}
KERNEL_OPTION = "CONFIG_BRIDGE_VLAN_FILTERING"
NO_KERNEL = f"this host's kernel cannot tell VLANs apart on a bridge, because it was built without {KERNEL_OPTION}."


def vlan_id(value: object, option: str) -> int:
    """1 to 4094."""
    found = _number(str(value))
    if found is None:
        raise PipeworkError(f"{option}: {str(value)!r} is not a VLAN ID; 1 to {VID_MAX} would be right.")
    return found


def _number(text: str) -> int | None:
    digits = text.strip()
    return int(digits) if re.fullmatch(r"[0-9]{1,4}", digits) and 1 <= int(digits) <= VID_MAX else None


def trunks(values: t.Iterable[object], option: str = "vlan_trunks") -> tuple[str, ...]:
    """IDs and ranges such as ``200-210`` in the kernel's spelling: sorted, neighbours as one range."""
    seen: dict[int, str] = {}
    for value in values:
        text = str(value).strip()
        low, dash, high = text.partition("-")
        first, last = _number(low), _number(high if dash else low)
        if first is None or last is None:
            raise PipeworkError(
                f"{option}: {text!r} is not a VLAN ID; 1 to {VID_MAX}, or a range such as 200-210, would be right."
            )
        if last < first:
            raise PipeworkError(f"{option}: {text!r} runs backwards; {last}-{first} would be right.")
        for number in range(first, last + 1):
            if number in seen:
                raise PipeworkError(f"{option}: {text} and {seen[number]} overlap in {number}; list each VLAN once.")
            seen[number] = text
    return spell(dict.fromkeys(seen, 0))


def of_port(vlan: int | None, tagged: tuple[str, ...] | None) -> tuple[str, ...] | None:
    """What the options say of a port; None where they say nothing."""
    if vlan is None and tagged is None:
        return None
    flags = {number: 0 for first, last, _flags in read(tagged or ()) for number in range(first, last + 1)}
    if vlan in flags:
        raise PipeworkError(f"vlan_trunks: {vlan} is the VLAN of frames without a tag already (vlan); leave it out.")
    if vlan is not None:
        flags[vlan] = PVID | UNTAGGED
    if not flags:
        raise PipeworkError("vlan_trunks: an empty list leaves the port no VLAN at all; say 'vlan' as well.")
    return spell(flags)


def spell(flags: t.Mapping[int, int]) -> tuple[str, ...]:
    """From VLAN IDs and their flags."""
    ranges: list[tuple[int, int, int]] = []
    for number in sorted(flags):
        flag = flags[number]
        if ranges and not flag & PVID and ranges[-1][1:] == (number - 1, flag):
            ranges[-1] = (ranges[-1][0], number, flag)
        else:
            ranges.append((number, number, flag))
    found = []
    for first, last, flag in ranges:
        words = [word for bit, word in WORDS.items() if flag & bit]
        found.append(" ".join([str(first) if first == last else f"{first}-{last}", *words]))
    return tuple(found)


def read(vlans: t.Iterable[str]) -> list[tuple[int, int, int]]:
    """First and last ID, and flags, of each range."""
    found = []
    for text in vlans:
        ids, *words = text.split()
        first, _dash, last = ids.partition("-")
        found.append((int(first), int(last or first), sum(bit for bit, word in WORDS.items() if word in words)))
    return found


def others(vlans: t.Iterable[str]) -> list[tuple[int, int, int]]:
    """All other IDs, as ranges."""
    found, free = [], 1
    for first, last, _flags in [*read(vlans), (VID_MAX + 1, VID_MAX + 1, 0)]:
        if free < first:
            found.append((free, first - 1, 0))
        free = last + 1
    return found


def native(vlans: t.Iterable[str] | None) -> int | None:
    """The VLAN of frames without a tag."""
    return next((first for first, _last, flags in read(vlans or ()) if flags & PVID), None)


def tagged(vlans: t.Iterable[str] | None) -> list[str]:
    """The VLANs of a trunk."""
    return [text for text in vlans or () if " " not in text]
