# Copyright: pipework.containers contributors
# GNU General Public License v3.0+ (see LICENSE)
"""How interfaces and bridge ports are told apart in a state. Pure."""
from __future__ import annotations

from .._core.plan import Key
from .objects import HOST


def link_key(label: str, name: str) -> Key:
    return ("link", label, name)


def port_key(label: str, name: str) -> Key:
    return ("port", HOST, f"{label}/{name}")
