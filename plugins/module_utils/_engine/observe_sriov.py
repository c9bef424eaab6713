# Copyright: pipework.containers contributors
# GNU General Public License v3.0+ (see LICENSE)
"""Reads the virtual functions of cards: their settings by netlink, and which interface is whose from /sys."""
from __future__ import annotations

import contextlib
import os
import typing as t

from .._model.objects import HOST
from .._model.observed import Facts
from .._model.sriov import Card, Function
from .._netlink.namespaces import Namespaces
from .._netlink.sriov import functions_of

CLASS = "/sys/class/net"


def observe_cards(namespaces: Namespaces, facts: Facts, names: t.Iterable[str]) -> None:
    """Adds to the facts those of these interfaces that are on the host."""
    for name in names:
        if name in facts.host:
            functions = [
                Function(vf, _device(f"{CLASS}/{name}/device/virtfn{vf.number}", facts),
                         _driver(f"{CLASS}/{name}/device/virtfn{vf.number}"))
                for vf in functions_of(namespaces[HOST], name)
            ]
            facts.cards[name] = Card({function.vf.number: function for function in functions}, _most(name))


def _device(function: str, facts: Facts) -> str | None:
    with contextlib.suppress(OSError):
        return next((name for name in sorted(os.listdir(f"{function}/net")) if name in facts.host), None)
    return None


def _driver(function: str) -> str | None:
    with contextlib.suppress(OSError):
        return os.path.basename(os.readlink(f"{function}/driver"))
    return None


def _most(name: str) -> int:
    with contextlib.suppress(OSError, ValueError), open(f"{CLASS}/{name}/device/sriov_totalvfs", encoding="ascii") as h:
        return int(h.read())
    return 0
