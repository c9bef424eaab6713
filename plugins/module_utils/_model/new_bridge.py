# Copyright: pipework.containers contributors
# GNU General Public License v3.0+ (see LICENSE)
"""The bridge that is made where one is missing. Pure."""
from __future__ import annotations

from .._core.normalize import stable_mac
from .objects import HOST, Link


def new_bridge(name: str, seed: str, owner: str) -> Link:
    """A bridge as it is first made."""
    return Link(HOST, name, type="bridge", mac=stable_mac("bridge", seed, name), up=True, owner=owner)
