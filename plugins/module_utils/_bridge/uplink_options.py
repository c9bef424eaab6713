# Copyright: pipework.containers contributors
# GNU General Public License v3.0+ (see LICENSE)
"""The option ``ports`` of a bridge, checked. Pure."""
from __future__ import annotations

import dataclasses
import typing as t

from .._core import normalize as norm
from .._core.errors import PipeworkError
from .._model import vlans as model_vlans

OPTIONS = ("name", "vlan", "vlan_trunks")


@dataclasses.dataclass(frozen=True)
class Uplink:
    """One item of ``ports``. ``vlans``: as _model/vlans spells them; None: not managed."""

    name: str
    vlans: tuple[str, ...] | None = None


def uplinks_from_option(items: t.Sequence[t.Any]) -> tuple[Uplink, ...]:
    """The list, checked; raises PipeworkError."""
    found: dict[str, Uplink] = {}
    for item in items:
        if not isinstance(item, t.Mapping):
            item = {"name": item}
        odd = sorted(str(name) for name in item if name not in OPTIONS)
        if odd:
            raise PipeworkError(f"ports: {odd[0]} is no option of a port; {', '.join(OPTIONS)} are.")
        name = norm.interface_name(str(item.get("name") or ""), "ports")
        vlan, trunks = item.get("vlan"), item.get("vlan_trunks")
        vlans = model_vlans.of_port(
            None if vlan is None else model_vlans.vlan_id(vlan, "ports: vlan"),
            None if trunks is None else model_vlans.trunks(
                trunks if isinstance(trunks, list) else str(trunks).split(","), "ports: vlan_trunks",
            ),
        )
        if name in found:
            raise PipeworkError(f"ports: {name} is listed twice.")
        found[name] = Uplink(name, vlans)
    return tuple(found.values())
