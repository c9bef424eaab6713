# Copyright: pipework.containers contributors
# GNU General Public License v3.0+ (see LICENSE)
"""Reads the interfaces of all open namespaces, and holds what they say against what the host has recorded."""
from __future__ import annotations

from .._model.believed import Kept, believe, rename
from .._model.interfaces import Interfaces
from .._model.layer3 import HOST
from .._netlink.namespaces import Namespaces
from . import marks


def observe_interfaces(namespaces: Namespaces) -> Interfaces:
    """For who needs no more than them."""
    found = Interfaces({label: namespaces[label].devices() for label in namespaces})
    whose(found, namespaces)
    return found


def whose(facts: Interfaces, namespaces: Namespaces, by_right: bool = False) -> Kept:
    """Replaces what interfaces say by what is known of them. ``by_right``: what a container has renamed is known by the
    name that we gave it."""
    for label in namespaces:
        facts.nsids[label] = namespaces[HOST].nsid(namespaces[label])
    kept = Kept(marks.records(), marks.journal(), marks.secret())
    namespaces.unmet = believe(facts, kept, {label: namespaces[label].ident for label in namespaces})
    for label, name, device in rename(facts) if by_right else ():
        namespaces[label].name_it(name, device.index)
        facts.renamed.append(f"{name} in {label} had been renamed to {device.name} there.")
    return kept
