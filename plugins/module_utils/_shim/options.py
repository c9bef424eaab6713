# Copyright: pipework.containers contributors
# GNU General Public License v3.0+ (see LICENSE)
"""What a shim shall be: a macvlan of the host itself, beside those of its containers. The options, checked. Pure.

The kernel keeps a NIC and the macvlans on it apart, so the host reaches such containers through a macvlan of its own:
one that takes over the NIC's addresses and routes, or one with an address of its own and routes to the containers.
"""

from __future__ import annotations

import dataclasses
import difflib
import typing as t

from .._core import normalize as norm
from .._core.errors import PipeworkError
from .._core.items import Item, blaming, items_of
from .._delayed.confirm import timeout
from .._model import route_names as words
from .._model.objects import HOST, ON_A_NIC, OWNER_SHIM, UNFINISHED, Device
from .._model.observed import Facts, named, whose

PERSISTENCE = ("none", "ifupdown", "networkd", "networkmanager")
MODES = ("bridge", "private", "vepa")
MOVED = OWNER_SHIM + ":moved:"  # the mark of one with the NIC's addresses, and what the NIC's arp_ignore was


@dataclasses.dataclass(frozen=True)
class Shim(Item):
    """One item of ``shims``. ``addresses`` None: the NIC's own."""

    parent: str
    given_name: str | None = None
    mode: str | None = None
    mac_address: str | None = None
    addresses: tuple[str, ...] | None = None
    routes: tuple[str, ...] = ()
    confirm_timeout: int = 0
    persistence: str | None = None
    state: str = "present"
    where: str = ""

    @classmethod
    def from_params(cls, params: t.Mapping[str, t.Any], where: str = "") -> Shim:
        """Checks one item's options; raises PipeworkError."""
        with blaming(where):
            return cls(**_normalized(params), where=where)


def shims_from_params(params: t.Mapping[str, t.Any]) -> list[Shim]:
    """The list of items, or the one that the top-level options describe."""
    found = items_of(params, "shims", Shim.from_params, alone=("confirm",))
    addresses: dict[str, Shim] = {}
    for shim in found:
        for address in shim.addresses or () if shim.state == "present" else ():
            if addresses.setdefault(address.split("/")[0], shim) is not shim:
                raise shim.refuse(f"addresses: {address} is given to two shims; each needs its own.")
    return found


def _normalized(params: t.Mapping[str, t.Any]) -> dict[str, t.Any]:
    if not params.get("parent"):
        raise PipeworkError("parent: say which NIC of the host the containers' macvlans are on, such as eth0.")
    parent, name = str(params["parent"]).strip(), params.get("name") or None
    if parent.startswith("mac:"):
        parent = f"mac:{norm.mac_address(parent[4:], 'parent')}"
    else:
        parent = norm.interface_name(parent, "parent")
    state, addresses = params.get("state") or "present", params.get("addresses")
    listed = [norm.interface_address(each, "addresses") for each in addresses or () if str(each).strip()]
    routes = [words.prefix(each, "routes") for each in params.get("routes") or () if str(each).strip()]
    if routes and addresses is None and state == "present":
        raise PipeworkError(
            "routes: are those of a shim with addresses of its own; one that takes over the NIC's has the NIC's "
            "routes. Give 'addresses' as well, such as 192.168.1.250/32."
        )
    if "default" in routes:
        raise PipeworkError("routes: 'default' would lead all traffic there; list what the containers have.")
    mode = params.get("mode")
    if mode is not None and mode not in MODES:
        raise PipeworkError(f"mode: {mode!r} is not one of {', '.join(MODES)}.")
    return {
        "parent": parent,
        "given_name": name and norm.new_name(name, "name", state),
        "mode": mode,
        "mac_address": None if not params.get("mac_address") else norm.mac_address(params["mac_address"]),
        "addresses": None if addresses is None else tuple(dict.fromkeys(each for each in listed if each)),
        "routes": tuple(dict.fromkeys(routes)),
        "confirm_timeout": timeout(params.get("confirm_timeout")),
        "persistence": _persistence(params.get("persistence"), addresses is None and state == "present"),
        "state": state,
    }


def _persistence(value: t.Any, moves: bool) -> str | None:
    if value is not None and value not in PERSISTENCE:
        raise PipeworkError(f"persistence: {value!r} is not one of {', '.join(PERSISTENCE)}.")
    if moves and value not in (None, "none"):
        raise PipeworkError(
            "persistence: goes with 'addresses' of the shim's own. What gives the NIC its addresses when the host "
            "starts are files of others, which are not changed here; run the task again after a start."
        )
    return None if value is None else str(value)


@dataclasses.dataclass(frozen=True)
class Site:
    """A shim where it is to be: the NIC and the name that are meant, and what stands there."""

    item: Shim
    parent: Device | None  # None where it is gone
    name: str
    device: Device | None  # of that name

    @property
    def ours(self) -> bool:
        return self.device is not None and is_shim(self.device)

    @property
    def moved(self) -> bool:
        """Whether it has the NIC's addresses."""
        return self.ours and str(self.device and self.device.owner).startswith(MOVED)

    @property
    def moves(self) -> bool:
        """Whether it shall have them."""
        return self.item.state == "present" and self.item.addresses is None


def is_shim(device: Device) -> bool:
    unfinished = device.owner == UNFINISHED and device.type == "macvlan"
    return unfinished or (device.owner or "").startswith(OWNER_SHIM)


def site_of(item: Shim, facts: Facts) -> Site:
    """Finds what is meant, and refuses what cannot be. Raises PipeworkError."""
    try:
        parent = facts.host.get(named(item.parent, facts))
    except PipeworkError as error:
        raise item.refuse(str(error).replace("host_interface:", "parent:", 1)) from None
    name = item.given_name or default_name(parent.name if parent else item.parent)
    site = Site(item, parent, name, facts.host.get(name))
    if item.state == "present":
        _check_parent(item, parent, facts)
    if parent is not None and name == parent.name:
        raise item.refuse(f"name: {name} is the NIC itself; choose another name, such as {default_name(name)}.")
    device = site.device
    if device is not None and not site.ours:
        theirs = whose(facts, HOST, device)
        raise item.refuse(f"name: {name} exists on the host, and {theirs}; choose another name.")
    below = facts.host_name(device.parent_index) if device else None
    if device is not None and parent is not None and below != parent.name:
        raise item.refuse(f"parent: {name} is a shim on {below or 'another NIC'}, not on {parent.name}.")
    if item.state == "present" and device is not None and device.owner != UNFINISHED and site.moved != site.moves:
        own, taken = "addresses of its own", "the NIC's addresses"
        now, then = (taken, own) if site.moved else (own, taken)
        raise item.refuse(
            f"addresses: the shim {name} has {now} and would get {then}; remove it first with 'state: absent'."
        )
    return site


def default_name(parent: str) -> str:
    """eth0m; a long name loses its end, but not the m."""
    return parent.encode()[:norm.NAME_MAX - 1].decode("utf-8", "ignore") + "m"


def _check_parent(item: Shim, parent: Device | None, facts: Facts) -> None:
    if parent is None:
        near = difflib.get_close_matches(item.parent, sorted(facts.host), 3, 0.5)
        listed = f"did you mean {' or '.join(near)}?" if near else f"it has {', '.join(sorted(facts.host)) or 'none'}."
        raise item.refuse(f"parent: the host has no interface {item.parent}; {listed}")
    if parent.master is not None:
        bridge = facts.host_name(parent.master)
        raise item.refuse(
            f"parent: {parent.name} is a port of {bridge}, and takes no macvlan; the host reaches what is attached to "
            f"{bridge} without a shim."
        )
    if parent.type in ON_A_NIC:
        below = facts.host_name(parent.parent_index) or "the interface that it stands on"
        raise item.refuse(f"parent: {parent.name} is a {parent.type} itself; {below} would be right.")
    if not parent.ethernet:
        raise item.refuse(f"parent: {parent.name} is not an Ethernet interface, which a macvlan needs.")
