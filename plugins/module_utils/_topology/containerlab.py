# Copyright: pipework.containers contributors
# GNU General Public License v3.0+ (see LICENSE)
"""Topology files of containerlab, read as far as links go: nodes become containers, links cables and attachments. Pure.

Containers are not started here, so what a file says of images and the like is left aside. What of the links and
addresses cannot be said in a topology of ours is left out with a remark, never guessed.
"""

from __future__ import annotations

import dataclasses
import re
import shlex
import typing as t

from .._core import normalize as norm
from .._core.errors import PipeworkError
from .._grammar import ip_route
from .._grammar.cmd_option import said
from .schema import near, violations

Item = dict[str, t.Any]
MTU = 9500  # containerlab's, where a link says none
BRIDGES = {"bridge": "bridge", "ovs-bridge": "openvswitch"}  # kinds of nodes that are bridges of the host
UNNAMED = ("k8s-kind",)  # of which a node is several containers
SPECIAL = ("host", "mgmt-net", "macvlan", "dummy", "vxlan", "vxlan-stitch")
SRLINUX = ("srl", "nokia_srlinux")
ABOUT_CONTAINERS = frozenset({
    "image", "type", "license", "startup-config", "binds", "ports", "env", "env-files", "cmd", "entrypoint", "user",
    "memory", "cpu", "cpu-set", "startup-delay", "stages", "config", "certificate", "healthcheck", "sysctls",
    "mgmt-ipv4", "mgmt-ipv6", "dns", "extras", "components", "enforce-startup-config", "suppress-startup-config",
    "image-pull-policy", "auto-remove", "restart-policy", "aliases", "cap-add", "shm-size", "devices", "position",
})

# The shape of what is read here; whether the values make sense is looked at where they are.
WORD = {"type": ["string", "number", "boolean", "null"]}
LAYER = {
    "type": ["object", "null"],
    "properties": {"kind": WORD, "group": WORD, "exec": {"type": ["array", "null"]}, "network-mode": WORD},
}
LAYERS = {"type": ["object", "null"], "additionalProperties": LAYER}
SHAPE: Item = {
    "properties": {
        "name": WORD, "prefix": WORD, "mgmt": {"type": ["object", "null"]},
        "topology": {"properties": {
            "nodes": LAYERS, "kinds": LAYERS, "groups": LAYERS, "defaults": LAYER,
            "links": {"type": ["array", "null"]},
        }},
    },
}


@dataclasses.dataclass
class Lab:
    """What is being made of a file. ``origin``: where in the file a part of the result comes from."""

    document: Item
    here: str
    found: Item = dataclasses.field(default_factory=dict)
    remarks: list[str] = dataclasses.field(default_factory=list)
    errors: list[str] = dataclasses.field(default_factory=list)
    origin: dict[str, str] = dataclasses.field(default_factory=dict)
    kinds: dict[str, str] = dataclasses.field(default_factory=dict)  # of the nodes
    aside: set[str] = dataclasses.field(default_factory=set)  # options of nodes that say how to start them

    @property
    def topology(self) -> Item:
        return t.cast(Item, self.document.get("topology") or {})

    def add(self, section: str, item: Item, where: str) -> None:
        items = self.found.setdefault(section, [])
        self.origin[f"{section}[{len(items)}]"] = where
        items.append(item)

    def left_out(self, where: str, why: str) -> None:
        self.remarks.append(f"{where}: {why}")

    def translated(self, words: str) -> str:
        """An error about the result as one about the file."""
        return re.sub(r"^(\w+\[\d+\])", lambda match: self.origin.get(match[0], match[0]), words)


def is_lab(document: t.Any) -> bool:
    return isinstance(document, dict) and isinstance(document.get("topology"), dict)


def convert(document: Item, here: str) -> Lab:
    """A topology of ours for the host ``here``."""
    lab = Lab(document, here)
    if document.get("name"):
        lab.found["name"] = document["name"]
    lab.errors += violations(SHAPE, document)
    if lab.errors:
        return lab
    nodes = lab.topology.get("nodes") or {}
    lab.found["containers"] = {}
    for name, said_of_it in nodes.items():
        _node(lab, str(name), said_of_it or {})
    if lab.aside:
        some = ", ".join(sorted(lab.aside)[:6]) + (", …" if len(lab.aside) > 6 else "")
        lab.left_out("topology.nodes", f"containers are not started here; what starts them is left aside ({some}).")
    for number, link in enumerate(lab.topology.get("links") or ()):
        where = f"topology.links[{number}]"
        if isinstance(link, dict):
            _link(lab, link, where)
        else:
            lab.errors.append(f"{where}: it is not a mapping.")
    for name, said_of_it in nodes.items():
        _commands(lab, str(name), said_of_it or {})
    bridges = [name for name, kind in lab.kinds.items() if kind in BRIDGES]
    management = (document.get("mgmt") or {}).get("bridge")
    lab.found["hosts"] = {here: {"interfaces": bridges + ([str(management)] if management else [])}}
    return lab


def _layers(lab: Lab, node: Item) -> list[Item]:
    """What is said of a node, the strongest first: by itself, its group, its kind, and for all."""
    defaults = lab.topology.get("defaults") or {}
    group = node.get("group") or defaults.get("group")
    groups = (lab.topology.get("groups") or {}).get(group) or {}
    kind = node.get("kind") or groups.get("kind") or defaults.get("kind") or ""
    return [node, groups, (lab.topology.get("kinds") or {}).get(kind) or {}, {**defaults, "kind": kind}]


def _node(lab: Lab, name: str, node: Item) -> None:
    layers = _layers(lab, node)
    where = f"topology.nodes.{name}"

    def value(option: str) -> t.Any:
        return next((layer[option] for layer in layers if layer.get(option) is not None), None)

    kind = lab.kinds[name] = str(value("kind") or "").lower()
    if kind in BRIDGES or kind == "host":
        return
    if kind in UNNAMED:
        lab.left_out(where, f"a node of kind {kind} is several containers; name these as nodes of kind ext-container.")
    if str(value("network-mode") or "") == "host":
        lab.left_out(where, "it shares the host's network, which takes no links.")
    container: Item = {"name": name if kind == "ext-container" else _container(lab, name)}
    if value("runtime"):
        container["runtime"] = value("runtime")
    lab.found["containers"][name] = container
    lab.aside.update(option for layer in layers for option in layer if option in ABOUT_CONTAINERS)


def _container(lab: Lab, node: str) -> str:
    """What containerlab calls a node's container."""
    prefix, name = lab.document.get("prefix"), lab.document.get("name") or ""
    if prefix == "":
        return node
    return f"{name}-{node}" if prefix == "__lab-name" else f"{prefix or 'clab'}-{name}-{node}"


def _link(lab: Lab, link: Item, where: str) -> None:
    kind = str(link.get("type") or "")
    if kind in ("", "veth"):
        ends = link.get("endpoints")
        if not isinstance(ends, list) or len(ends) != 2:
            lab.errors.append(f"{where}.endpoints: a link has two.")
            return
        _cable(lab, link, [_end(lab, link, number, f"{where}.endpoints[{number}]") for number in (0, 1)], where)
    elif kind in SPECIAL:
        end = _end(lab, {"endpoints": [link.get("endpoint")]}, 0, f"{where}.endpoint")
        if end is not None:
            _special(lab, kind, str(link.get("host-interface") or ""), end, link, where)
    else:
        lab.left_out(where, f"links of type {kind} are not known here.")


def _end(lab: Lab, link: Item, number: int, where: str) -> Item | None:
    """One end: ``node``, ``interface``, and the options of an end of ours. None where it cannot be."""
    given = link["endpoints"][number]
    if isinstance(given, str):
        node, colon, interface = given.partition(":")
        if not colon:
            lab.errors.append(f"{where}: {given!r} is not NODE:INTERFACE, such as r1:eth1.")
            return None
        given = {"node": node, "interface": interface}
    if not isinstance(given, dict) or not given.get("node"):
        lab.errors.append(f"{where}: 'node' is missing.")
        return None
    node, interface = str(given["node"]), str(given.get("interface") or "")
    if node in SPECIAL and node not in lab.kinds:
        return {"special": node, "interface": interface}
    if node not in lab.kinds:
        lab.errors.append(f"{where}: no node {node!r}{near(node, lab.kinds)}")
        return None
    alias = re.fullmatch(r"ethernet-(\d+)/(\d+)(?:/(\d+))?", interface)
    if alias and lab.kinds[node] in SRLINUX:
        interface = "e" + "-".join(part for part in alias.groups() if part)
    try:
        norm.interface_name(interface, "interface")
    except PipeworkError:
        why = "is no name of a Linux interface; write the one that it has in the container."
        lab.left_out(where, f"{interface!r} {why}")
        return None
    addresses = []
    for family in ("ipv4", "ipv6"):
        of_link = link.get(family)  # in brief: one for each end
        listed = of_link[number] if isinstance(of_link, list) and len(of_link) > number else None
        addresses += [str(each) for each in (given.get(family), listed) if each]
    return {
        "node": node, "interface": interface, **({"addresses": addresses} if addresses else {}),
        **({"mac_address": str(given["mac"])} if given.get("mac") else {}),
    }


def _cable(lab: Lab, link: Item, ends: list[Item | None], where: str) -> None:
    first, second = ends
    if first is None or second is None:
        return
    if "special" in first:
        first, second = second, first
    if "special" in first:
        lab.left_out(where, "neither end is a node.")
    elif "special" in second:
        _special(lab, second["special"], second["interface"], first, link, where)
    else:
        bridges = [end for end in (first, second) if lab.kinds[end["node"]] in BRIDGES]
        if len(bridges) == 2:
            lab.left_out(where, "a cable between two bridges of the host is not for containers.")
        elif bridges:
            bridge, end = bridges[0], second if bridges[0] is first else first
            _on_bridge(lab, bridge["node"], bridge["interface"], end, link, where)
        else:
            item = {"endpoints": [_inside(lab, first), _inside(lab, second)], "mtu": link.get("mtu", MTU)}
            lab.add("links", item, where)


def _inside(lab: Lab, end: Item) -> Item:
    """An end as one of ours."""
    own = {name: value for name, value in end.items() if name != "node"}
    return {"runtime": "host", **own} if lab.kinds[end["node"]] == "host" else {"container": end["node"], **own}


def _on_bridge(lab: Lab, bridge: str, port: str, end: Item, link: Item, where: str) -> None:
    kind = BRIDGES.get(lab.kinds.get(bridge, "bridge"), "bridge")
    item = {**_inside(lab, end), "host_interface": bridge, "kind": kind, "local_interface": port}
    lab.add("attachments", {**item, **({"mtu": link["mtu"]} if link.get("mtu") else {})}, where)


def _special(lab: Lab, kind: str, interface: str, end: Item, link: Item, where: str) -> None:
    """An end that is not a node's. ``interface``: what the link says of it, a NIC or the name of the host's end."""
    if "special" in end or lab.kinds[end["node"]] in (*BRIDGES, "host"):
        lab.left_out(where, f"a link of type {kind} needs a container at its other end.")
        return
    inside = _inside(lab, end)
    if kind == "host":
        ends = [inside, {"runtime": "host", "interface": interface}]
        lab.add("links", {"endpoints": ends, "mtu": link.get("mtu", MTU)}, where)
    elif kind == "macvlan":
        mode = {"mode": link["mode"]} if link.get("mode") else {}
        lab.add("attachments", {**inside, "host_interface": interface, "kind": "macvlan", **mode}, where)
    elif kind == "dummy":
        mtu = {"mtu": link["mtu"]} if link.get("mtu") else {}
        lab.add("attachments", {**inside, "kind": "dummy", **mtu}, where)
    elif kind == "mgmt-net":
        bridge = (lab.document.get("mgmt") or {}).get("bridge")
        if bridge:
            _on_bridge(lab, str(bridge), interface, end, link, where)
        else:
            lab.left_out(where, "the bridge of the management network has no name in the file; say it in mgmt.bridge.")
    else:
        lab.left_out(where, f"a {kind} link ends inside of one container; segments of a topology join hosts.")


def _commands(lab: Lab, name: str, node: Item) -> None:
    """``exec``: addresses and routes are taken over; nothing is run."""
    if name not in lab.found["containers"]:
        return
    layers = _layers(lab, node)
    number = 0
    for layer in reversed(layers):
        for line in layer.get("exec") or ():
            _command(lab, name, str(line), f"topology.nodes.{name}.exec[{number}]")
            number += 1


def _command(lab: Lab, name: str, line: str, where: str) -> None:
    try:
        words = shlex.split(line)
    except ValueError:
        words = []
    body = [word for word in words if word not in ("-4", "-6")]
    if body[:1] == ["ip"] and body[1:2] in (["addr"], ["address"], ["a"]) and body[2:3] in (["add"], ["replace"]):
        if len(body) == 6 and body[4] == "dev" and _add_address(lab, name, body[5], body[3]):
            return
    elif body[:1] == ["ip"] and body[1:2] in (["route"], ["ro"], ["r"]) and body[2:3] in (["add"], ["replace"]):
        try:
            _verb, params = said({"cmd": words}, ip_route.parse, ())
        except PipeworkError as error:
            lab.left_out(where, str(error))
            return
        lab.add("routes", {"container": name, **params}, where)
        return
    lab.left_out(where, f"{line!r} is not run here, and what it does is not known.")


def _add_address(lab: Lab, name: str, device: str, address: str) -> bool:
    """An address on an interface that a link makes; False where there is none of that name."""
    for link in lab.found.get("links", ()):
        for end in link["endpoints"]:
            if (end.get("container"), end["interface"]) == (name, device):
                end.setdefault("addresses", []).append(address)
                return True
    for item in lab.found.get("attachments", ()):
        if (item.get("container"), item["interface"]) == (name, device):
            item.setdefault("addresses", []).append(address)
            return True
    return False
