# Copyright: pipework.containers contributors
# GNU General Public License v3.0+ (see LICENSE)
"""What a segment over several hosts shall be: the options of pipework_vxlan, checked. Pure."""

from __future__ import annotations

import dataclasses
import ipaddress
import typing as t

from .._core import normalize as norm
from .._core.errors import PipeworkError
from .._core.items import Item, blaming, items_of

VNI_MAX = (1 << 24) - 1
PORT = 4789
OVERHEAD = {4: 50, 6: 70}  # bytes: the inner Ethernet header, VXLAN, UDP and IP


@dataclasses.dataclass(frozen=True)
class Segment(Item):
    """One item of ``segments``. None means not managed."""

    vni: int
    name: str
    bridge: str | None = None
    local: str | None = None
    remotes: tuple[str, ...] | None = None
    device: str | None = None
    port: int = PORT
    mtu: int | None = None
    learning: bool | None = None
    neigh_suppress: bool | None = None
    subnets: tuple[str, ...] = ()
    forwarding: str = "auto"
    state: str = "present"
    where: str = ""

    @classmethod
    def from_params(cls, params: t.Mapping[str, t.Any], where: str = "") -> Segment:
        """Checks one item's options; raises PipeworkError."""
        with blaming(where):
            return cls(**_normalized(params), where=where)


def segments_from_params(params: t.Mapping[str, t.Any]) -> list[Segment]:
    """The list of items, or the one that the top-level options describe; top-level options are the items' defaults."""
    found = items_of(params, "segments", Segment.from_params)
    for number, segment in enumerate(found):
        for other in found[:number]:
            _check_apart(segment, other)
    return found


def _check_apart(segment: Segment, other: Segment) -> None:
    """Two segments of one host have nothing in common."""
    also = f" (also in {other.where.rstrip(': ')})"
    for option in ("vni", "name"):
        if getattr(segment, option) == getattr(other, option):
            raise segment.refuse(f"{option}: {getattr(segment, option)} is listed twice{also}; each needs its own.")
    if "absent" in (segment.state, other.state):
        return
    if segment.bridge == other.bridge:
        raise segment.refuse(
            f"bridge: {segment.bridge} is listed twice{also}; two segments on one bridge would be one, "
            "and their frames would go round for ever."
        )
    for mine in map(ipaddress.ip_network, segment.subnets):
        for theirs in map(ipaddress.ip_network, other.subnets):
            if mine.version == theirs.version and mine.overlaps(theirs):
                both = f"{mine} of VNI {segment.vni} overlaps {theirs} of VNI {other.vni}"
                raise segment.refuse(f"subnets: {both}{also}.")


def _normalized(params: t.Mapping[str, t.Any]) -> dict[str, t.Any]:
    if params.get("vni") is None:
        raise PipeworkError("vni: say which VXLAN network identifier the segment has.")
    vni, port = norm.integer(params["vni"], "vni"), params.get("port")
    port = PORT if port in (None, "") else norm.integer(port, "port")
    for option, number, highest in (("vni", vni, VNI_MAX), ("port", port, 0xFFFF)):
        if not 1 <= number <= highest:
            raise PipeworkError(f"{option}: {number} is not possible; 1 to {highest} would be right.")
    state = params.get("state") or "present"
    for option in ("bridge", "local") if state == "present" else ():
        if not params.get(option):
            what = "bridge the segment is on" if option == "bridge" else "of this host's addresses the tunnel has"
            raise PipeworkError(f"{option}: say which {what}.")
    local = _host_address(params["local"], "local") if params.get("local") else None
    mtu = None if params.get("mtu") is None else norm.mtu(params["mtu"])
    names = {option: norm.interface_name(params[option], option) for option in ("name", "bridge", "device")
             if params.get(option)}
    names.update({"name": norm.new_name(names["name"], "name", state)} if "name" in names else {})
    if len({*names.values()}) < len(names):
        raise PipeworkError(f"name: {', '.join(f'{n} {v}' for n, v in names.items())}: each is another interface.")
    return {
        "name": f"vxlan{vni}", **names, "vni": vni, "local": local, "remotes": _remotes(params, local), "port": port,
        "mtu": mtu, "learning": params.get("learning"), "neigh_suppress": params.get("neigh_suppress"),
        "subnets": tuple(_subnet(value) for value in params.get("subnets") or ()),
        "forwarding": params.get("forwarding") or "auto", "state": state,
    }


def _remotes(params: t.Mapping[str, t.Any], local: str | None) -> tuple[str, ...] | None:
    """The other hosts: this one's own address in the list is passed over, so that all hosts may have the same list."""
    if params.get("remotes") is None:
        return None
    found = sorted({_host_address(value, "remotes") for value in params["remotes"]} - {local})
    for remote in found if local else ():
        if norm.family(remote) != norm.family(str(local)):
            raise PipeworkError(
                f"remotes: {remote} and local {local} are not of one family; a tunnel goes over IPv4 or over IPv6."
            )
    return tuple(found)


def _host_address(value: object, option: str) -> str:
    text = str(value).strip()
    try:
        parsed = ipaddress.ip_address(text)
    except ValueError:
        raise PipeworkError(
            f"{option}: {text!r} is not an IP address, such as 10.0.0.1; names are not looked up."
        ) from None
    if parsed.is_multicast:
        raise PipeworkError(
            f"{option}: {text!r} is a multicast address; the address of each host would be right, "
            "since the tunnel sends to one after the other."
        )
    if parsed.is_unspecified or parsed.is_loopback or parsed.is_link_local or "%" in text:
        raise PipeworkError(f"{option}: {text!r} is no address that other hosts reach this way.")
    return str(parsed)


def _subnet(value: object) -> str:
    text = str(value).strip()
    try:
        address = ipaddress.ip_address(text.partition("/")[0])
        meant = ipaddress.ip_interface(text if "/" in text else f"{text}/{24 if address.version == 4 else 64}").network
    except ValueError:
        raise PipeworkError(f"subnets: {text!r} is not a subnet, such as 10.1.0.0/24.") from None
    if "/" not in text:
        raise PipeworkError(f"subnets: {text!r}: a subnet should include a netmask. Maybe you meant {meant}?")
    if address != meant.network_address:
        raise PipeworkError(f"subnets: {text!r} is not a subnet: it has host bits set. Maybe you meant {meant}?")
    return str(meant)


def room(segment: Segment, device: str, mtu: int) -> int:
    """How much of a frame fits into the tunnel. Raises PipeworkError where that is less than was asked for."""
    version = norm.family(str(segment.local))
    most = mtu - OVERHEAD[version]
    why = f"{device} has an MTU of {mtu}, of which VXLAN over IPv{version} takes {OVERHEAD[version]}"
    if most < norm.MTU_MIN:
        raise segment.refuse(f"device: the tunnel does not fit: {why}, and {norm.MTU_MIN} have to be left.")
    if segment.mtu is not None and segment.mtu > most:
        raise segment.refuse(f"mtu: {segment.mtu} does not fit: {why}; {most} at most would be right.")
    return segment.mtu or most
