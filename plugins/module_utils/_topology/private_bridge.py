# Copyright: pipework.containers contributors
# GNU General Public License v3.0+ (see LICENSE)
"""The variables of the role private_bridge as lists that the modules take, each in one task. Pure."""
from __future__ import annotations

import dataclasses
import ipaddress
import typing as t

from .._core.errors import PipeworkError
from .._core.normalize import family, interface_address
from .._files.hosts import host_name
from .._ipam.dhcp4_grant import hostname_of

Json = dict[str, t.Any]
NETWORKS = "private_bridge_networks"
DEFAULTS = ("runtime", "mtu", "isolated", "masquerade", "forwarding")
ALONE = ("addresses", "containers")  # of a single network
OF_THE_ROLE = ("hostname", "aliases")  # what containers have beside the options of an attachment
BLOCK = "private_bridge."


@dataclasses.dataclass(frozen=True)
class Listed:
    """A container of a network. ``where``: how an error names it."""

    where: str
    given: Json
    runtime: str

    @property
    def whose(self) -> tuple[t.Any, ...]:
        return (self.given.get("container"), self.runtime, self.given.get("runtime_user") or None)

    @property
    def title(self) -> str:
        return f"{self.given.get('container') or 'host'}/{self.given.get('interface') or 'eth1'}"


def plan(variables: Json) -> Json:
    """``bridges``, ``attachments``, ``files``, and the bridges' ``names``. PipeworkError for what cannot be."""
    networks = _networks(variables)
    absent = variables.get("state") == "absent"
    found: Json = {"bridges": [], "attachments": [], "files": [], "names": []}
    seen: dict[t.Any, str] = {}
    for where, network in networks:
        name = str(network.get("name") or "")
        if not name:
            raise PipeworkError(f"{where}: name: say which bridge it is, such as br1.")
        also = seen.setdefault(name, where)
        if also != where:
            raise PipeworkError(f"{where}: name: {name} is listed twice (also in {also}); one bridge is one network.")
        found["names"].append(name)
        bridge = {each: network.get(each) for each in ("name", "addresses", "mtu", "masquerade", "forwarding")}
        found["bridges"].append({"name": name, "state": "absent"} if absent else bridge)
        listed = _listed(where, network)
        for each in listed:
            also = seen.setdefault((*each.whose, each.given.get("interface") or "eth1"), each.where)
            if also != each.where:
                raise PipeworkError(
                    f"{each.where}: interface: {each.title} is listed twice (also in {also}); give one of them another "
                    "'interface'."
                )
            found["attachments"].append(_attachment(each, network, absent))
        found["files"] += _files(listed, network, absent, variables)
    if not absent:
        _check_subnets(networks)
    return found


def _networks(variables: Json) -> list[tuple[str, Json]]:
    """Each network with how an error names it."""
    listed = variables.get("networks")
    defaults = {name: variables.get(name) for name in DEFAULTS}
    if listed is None:
        return [("private_bridge", {**defaults, **{name: variables.get(name) for name in ("name", *ALONE)}})]
    for name in ALONE:
        if variables.get(name):
            raise PipeworkError(
                f"private_bridge_{name}: with '{NETWORKS}' each network has its own; move it to the '{name}' of one."
            )
    return [(f"{NETWORKS}[{at}]", {**defaults, **_given(each)}) for at, each in enumerate(listed)]


def _given(options: Json | None) -> Json:
    return {name: value for name, value in (options or {}).items() if value is not None}


def _is_true(value: t.Any) -> bool:
    """Also of what a template or the command line has made a string."""
    return str(value).lower() in ("true", "yes", "on", "1")


def _listed(where: str, network: Json) -> list[Listed]:
    inner = f"{where}_containers" if where == "private_bridge" else f"{where}.containers"
    return [
        Listed(f"{inner}[{at}]", _given(given), _given(given).get("runtime") or network.get("runtime") or "auto")
        for at, given in enumerate(network.get("containers") or ())
    ]


def _attachment(each: Listed, network: Json, absent: bool) -> Json:
    """What the network says of it, and then the container itself."""
    own = {name: value for name, value in each.given.items() if name not in OF_THE_ROLE}
    made = {"host_interface": network["name"], "mtu": network.get("mtu"), "runtime": network.get("runtime"), **own}
    port = {**({"isolated": True} if _is_true(network.get("isolated")) else {}), **(own.get("port") or {})}
    return {**made, **({"port": port} if port else {}), **({"state": "absent"} if absent else {})}


def _check_subnets(networks: t.Sequence[tuple[str, Json]]) -> None:
    """Two bridges with one subnet of the host: it would reach the containers of one of them only."""
    seen: list[tuple[t.Any, str]] = []
    for where, network in networks:
        for text in network.get("addresses") or ():
            address = interface_address(text, f"{where}: addresses")
            subnet = ipaddress.ip_interface(address).network if address else None
            for other, also in seen:
                if subnet is not None and also != where and subnet.version == other.version and subnet.overlaps(other):
                    raise PipeworkError(
                        f"{where}: addresses: {text} is in {other}, which is the subnet of {also}; the host would "
                        "reach the containers of one of them only."
                    )
            seen += [(subnet, where)] if subnet is not None else []


# -- names

def _files(listed: t.Sequence[Listed], network: Json, absent: bool, variables: Json) -> t.Iterator[Json]:
    """A block for each container of a network, and for the host, with the names of all."""
    if not (_is_true(variables.get("hosts_files")) or _is_true(variables.get("host_names"))):
        return
    block = BLOCK + str(network["name"])
    entries = [] if absent else list(_entries(listed))
    if _is_true(variables.get("hosts_files")):
        for whose in dict.fromkeys(each.whose for each in listed if each.runtime != "host"):
            mine = [each for each in listed if each.whose == whose]
            stays = not absent and any(each.given.get("state") != "absent" for each in mine)
            container, runtime, user = whose
            yield {
                "container": container, "runtime": runtime, "runtime_user": user, "block": block,
                "entries": entries if stays else [], "state": "present" if stays else "absent",
            }
    if _is_true(variables.get("host_names")):
        yield {"runtime": "host", "block": block, "entries": entries, "state": "absent" if absent else "present"}


def _entries(listed: t.Sequence[Listed]) -> t.Iterator[Json]:
    """A line for each family of each container."""
    present = [each for each in listed if each.given.get("state") != "absent"]
    for whose in dict.fromkeys(each.whose for each in present):
        mine = [each for each in present if each.whose == whose]
        names = list(dict.fromkeys(name for each in mine for name in _names(each)))
        addresses = [
            interface_address(text, f"{each.where}: addresses") for each in mine
            for text in each.given.get("addresses") or ()
        ]
        for version in (4, 6):
            first = next((address for address in addresses if address and family(address) == version), None)
            if first is not None and names:
                yield {"address": first.split("/")[0], "names": names}


def _names(each: Listed) -> t.Iterator[str]:
    own, container = each.given.get("hostname"), each.given.get("container")
    if own:
        yield host_name(str(own), f"{each.where}: hostname")
    elif container:
        try:
            yield host_name(hostname_of(str(container)), "hostname")
        except PipeworkError:
            raise PipeworkError(
                f"{each.where}: hostname: the container's name {container!r} is not that of a host; say which one "
                "it shall have."
            ) from None
    for alias in each.given.get("aliases") or ():
        yield host_name(str(alias), f"{each.where}: aliases")
