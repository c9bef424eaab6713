# Copyright: pipework.containers contributors
# GNU General Public License v3.0+ (see LICENSE)
"""What a route wraps packets into, in one spelling. Pure.

``mpls 100/200 ttl 5``, ``seg6 encap 2001:db8::1,2001:db8::2``
"""

from __future__ import annotations

import ipaddress
import typing as t

from .._core.errors import PipeworkError
from .._core.normalize import integer

MPLS, SEG6 = 1, 5
MODES = ("encap", "inline")
ONLY_OF = {"labels": "mpls", "ttl": "mpls", "mode": "seg6", "segments": "seg6"}


def from_option(options: t.Mapping[str, t.Any] | None) -> str | None:
    """The spelling of what a user wrote."""
    if not options:
        return None
    sort = options.get("type")
    for option, of in ONLY_OF.items():
        if options.get(option) not in (None, "", []) and sort not in (of, None):
            raise PipeworkError(f"encap.{option}: only type {of} has it, not {sort}; leave it out.")
    if sort == "mpls":
        labels = [str(label).strip() for label in options.get("labels") or ()]
        for label in labels:
            if not 0 <= integer(label, "encap.labels") < 1 << 20:
                raise PipeworkError(f"encap.labels: {label} is not possible; 0 to 1048575 would be right.")
        if not labels:
            raise PipeworkError("encap.labels: type mpls needs labels, such as [100, 200].")
        ttl = options.get("ttl")
        if ttl is not None and not 1 <= integer(ttl, "encap.ttl") <= 255:
            raise PipeworkError(f"encap.ttl: {ttl} is not possible; 1 to 255 would be right.")
        return "mpls " + "/".join(str(int(label)) for label in labels) + (f" ttl {int(ttl)}" if ttl is not None else "")
    if sort == "seg6":
        mode = options.get("mode") or "encap"
        if mode not in MODES:
            raise PipeworkError(f"encap.mode: {mode!r} is not known; {' and '.join(MODES)} are.")
        segments = [_segment(each) for each in options.get("segments") or ()]
        if not segments:
            raise PipeworkError("encap.segments: type seg6 needs segments, such as ['2001:db8::1'].")
        return f"seg6 {mode} {','.join(segments)}"
    raise PipeworkError(f"encap.type: {sort!r} is not known; mpls and seg6 are.")


def _segment(value: t.Any) -> str:
    try:
        return str(ipaddress.IPv6Address(str(value).strip()))
    except ValueError:
        raise PipeworkError(f"encap.segments: {value!r} is not an IPv6 address.") from None


def attributes(text: str) -> tuple[int, list[tuple[str, t.Any]]]:
    """The number of the type and its attributes, as rtnetlink has them."""
    words = text.split()
    if words[0] == "mpls":
        labels = words[1].split("/")
        last = len(labels) - 1
        stack = [{"label": int(label), "bos": int(place == last)} for place, label in enumerate(labels)]
        ttl = [("MPLS_IPTUNNEL_TTL", int(words[3]))] if len(words) > 2 else []
        return MPLS, [("MPLS_IPTUNNEL_DST", stack), *ttl]
    if words[0] == "seg6":
        # In the header the last segment comes first.
        return SEG6, [("SEG6_IPTUNNEL_SRH", {"mode": words[1], "segs": words[2].split(",")[::-1]})]
    raise PipeworkError(f"A route that wraps packets in another way ({text}) cannot be made here.")


def shown(number: int | None, data: t.Any) -> str | None:
    """The spelling of what the kernel shows."""
    if not number or data is None:
        return None
    if number == MPLS:
        ttl = data.get_attr("MPLS_IPTUNNEL_TTL")
        labels = "/".join(str(each["label"]) for each in data.get_attr("MPLS_IPTUNNEL_DST") or ())
        return f"mpls {labels}" + (f" ttl {ttl}" if ttl else "")
    if number == SEG6:
        header = data.get_attr("SEG6_IPTUNNEL_SRH")
        segments = list(header["segs"])[::-1]
        if header["mode"] == "inline" and segments[-1] == "::":
            segments.pop()  # the place of the packet's own destination
        return f"seg6 {header['mode']} {','.join(segments)}"
    return f"type {number}"
