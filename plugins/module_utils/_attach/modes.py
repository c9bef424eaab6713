# Copyright: pipework.containers contributors
# GNU General Public License v3.0+ (see LICENSE)
"""The modes that some kinds of attachment have, and words for one that a kind does not have. Pure."""
from __future__ import annotations

MACVLAN_MODES = ("bridge", "private", "vepa", "passthru", "source")
KINDS_WITH_MODE = {
    "macvlan": MACVLAN_MODES, "macvtap": MACVLAN_MODES, "ipvlan": ("l2", "l3", "l3s"),
    "ipoib": ("datagram", "connected"),
}


def wrong_mode(mode: str | None, kind: str, found: str = "") -> str | None:
    """What is wrong with a mode; which kind ``auto`` stands for shows later. ``found``: words for how it was found."""
    having = [each for each, modes in KINDS_WITH_MODE.items() if mode in modes]
    if mode is None or kind in having or (kind == "auto" and having):
        return None
    if kind == "auto":
        listed = "; ".join(f"{', '.join(modes)} ({each})" for each, modes in KINDS_WITH_MODE.items())
        return f"mode: {mode!r} is not a mode of any kind; there are {listed}."
    more = f"{found} {mode} is one of {' and '.join(having)}; say which as 'kind' if you mean it." if having else found
    if kind not in KINDS_WITH_MODE:
        return f"mode: kind {kind} has no modes; {', '.join(KINDS_WITH_MODE)} have.{more}"
    return f"mode: {mode!r} is not a mode of {kind}; {', '.join(KINDS_WITH_MODE[kind])} are.{more}"
