# Copyright: pipework.containers contributors
# GNU General Public License v3.0+ (see LICENSE)
"""Kinds of qdiscs: one small file each, and this table. Pure.

A kind is a module with ``KIND``, and ``CLASS`` where its classes are made one by one.
"""
from __future__ import annotations

import types

from ..._core.errors import PipeworkError
from ..spec import Kind
from . import (
    bfifo,
    cake,
    clsact,
    codel,
    drr,
    fq,
    fq_codel,
    hfsc,
    htb,
    ingress,
    netem,
    pfifo,
    prio,
    red,
    sfq,
    tbf,
)

MODULES: dict[str, types.ModuleType] = {
    "netem": netem, "tbf": tbf, "htb": htb, "hfsc": hfsc, "fq_codel": fq_codel, "fq": fq, "cake": cake, "codel": codel,
    "sfq": sfq, "prio": prio, "drr": drr, "red": red, "pfifo": pfifo, "bfifo": bfifo, "ingress": ingress,
    "clsact": clsact,
}
QDISCS: dict[str, Kind] = {name: module.KIND for name, module in MODULES.items()}
CLASSES: dict[str, Kind] = {name: module.CLASS for name, module in MODULES.items() if hasattr(module, "CLASS")}
AT_THE_DOOR = ("ingress", "clsact")  # those that stand beside the root


def kind_of(name: str, option: str) -> Kind:
    if name not in QDISCS:
        raise PipeworkError(f"{option}: {name!r} is not a qdisc that is known here; {', '.join(QDISCS)} are.")
    return QDISCS[name]
