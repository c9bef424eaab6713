# Copyright: pipework.containers contributors
# GNU General Public License v3.0+ (see LICENSE)
"""flower: a filter by the fields of a packet, by their names. Pure."""
from __future__ import annotations

import ipaddress
import typing as t

from .._core.errors import PipeworkError
from .._core.normalize import mac_address
from .spec import Layout, Settings, Tree

IP_PROTOCOLS = {"icmp": 1, "tcp": 6, "udp": 17, "icmpv6": 58, "sctp": 132}
FAMILIES = {4: 0x0800, 6: 0x86DD}
PORTS = {"tcp": "tcp", "udp": "udp", "sctp": "sctp"}
LAYOUT = Layout(attrs=(
    (1, "classid", "uint32"), (3, "actions", "actions"),
    (4, "dst_mac", "cdata"), (5, "dst_mac_mask", "cdata"), (6, "src_mac", "cdata"), (7, "src_mac_mask", "cdata"),
    (8, "eth_type", "be16"), (9, "ip_proto", "uint8"),
    (10, "src_ip4", "cdata"), (11, "src_ip4_mask", "cdata"), (12, "dst_ip4", "cdata"), (13, "dst_ip4_mask", "cdata"),
    (14, "src_ip6", "cdata"), (15, "src_ip6_mask", "cdata"), (16, "dst_ip6", "cdata"), (17, "dst_ip6_mask", "cdata"),
    (18, "tcp_src", "be16"), (19, "tcp_dst", "be16"), (20, "udp_src", "be16"), (21, "udp_dst", "be16"),
    (23, "vlan_id", "uint16"), (24, "vlan_prio", "uint8"), (41, "sctp_src", "be16"), (42, "sctp_dst", "be16"),
))
OPTIONS = ("dst_mac", "src_mac", "ip_proto", "src_ip", "dst_ip", "src_port", "dst_port", "vlan_id", "vlan_prio")
LIMITS = {"src_port": 0xFFFF, "dst_port": 0xFFFF, "vlan_id": 4095, "vlan_prio": 7}


def match(given: Settings, protocol: int) -> str:
    """What a user asks for, in one spelling: ``ip_proto tcp dst_ip 10.0.0.9/32 dst_port 80``."""
    words: list[str] = []
    for name in OPTIONS:
        if given.get(name) is None:
            continue
        try:
            words += [name, _spelled(name, given[name], protocol)]
        except ValueError:
            raise PipeworkError(f"{name}: {given[name]!r} is not possible for this protocol, or unclear.") from None
    if ("src_port" in given or "dst_port" in given) and str(given.get("ip_proto")) not in PORTS:
        raise PipeworkError("dst_port: a port is one of tcp, udp or sctp; say which with 'ip_proto'.")
    return " ".join(words)


def _spelled(name: str, value: t.Any, protocol: int) -> str:
    if name.endswith("_mac"):
        return str(mac_address(value, name))
    if name.endswith("_ip"):
        network = ipaddress.ip_network(str(value), strict=False)
        if FAMILIES[network.version] != protocol:
            raise ValueError
        return str(network)
    if name == "ip_proto":
        numbers = {number: word for word, number in IP_PROTOCOLS.items()}
        number = IP_PROTOCOLS.get(str(value)) or int(str(value), 0)
        if protocol not in FAMILIES.values() or not 0 < number < 256:
            raise ValueError
        return numbers.get(number, str(number))
    number = int(str(value), 0)
    if not 0 <= number <= LIMITS[name]:
        raise ValueError
    return str(number)


def encode(selector: str, protocol: int) -> Tree:
    words = selector.split()
    given = dict(zip(words[::2], words[1::2]))
    tree: Tree = {} if protocol == 3 else {"eth_type": protocol}
    for name, value in given.items():
        if name.endswith("_mac"):
            tree.update({name: bytes.fromhex(value.replace(":", "")), f"{name}_mask": b"\xff" * 6})
        elif name.endswith("_ip"):
            network = ipaddress.ip_network(value)
            key = f"{name}{network.version}"
            tree.update({key: network.network_address.packed, f"{key}_mask": network.netmask.packed})
        elif name == "ip_proto":
            tree[name] = IP_PROTOCOLS.get(value) or int(value)
        elif name.endswith("_port"):
            tree[f"{given['ip_proto']}_{name[:3]}"] = int(value)
        else:
            tree[name] = int(value)
    return tree


def decode(tree: Tree, _handle: int) -> str:
    found: dict[str, str] = {}
    numbers = {number: word for word, number in IP_PROTOCOLS.items()}
    for name in ("dst_mac", "src_mac"):
        if name in tree:
            found[name] = bytes(tree[name]).hex(":")
    if "ip_proto" in tree:
        found["ip_proto"] = numbers.get(tree["ip_proto"], str(tree["ip_proto"]))
    for name in ("src_ip", "dst_ip"):
        for version in (4, 6):
            key = f"{name}{version}"
            if key in tree:
                mask = int.from_bytes(tree[f"{key}_mask"], "big")
                found[name] = f"{ipaddress.ip_address(bytes(tree[key]))}/{bin(mask).count('1')}"
    for kind in PORTS:
        for side in ("src", "dst"):
            if f"{kind}_{side}" in tree:
                found[f"{side}_port"] = str(tree[f"{kind}_{side}"])
    found.update({name: str(tree[name]) for name in ("vlan_id", "vlan_prio") if name in tree})
    return " ".join(f"{name} {found[name]}" for name in OPTIONS if name in found)
