# Copyright: pipework.containers contributors
# GNU General Public License v3.0+ (see LICENSE)
"""Netlink messages about routes. What a route is made of is read as it is written, so that it can be had back."""
from __future__ import annotations

import dataclasses
import functools
import ipaddress
import struct
import typing as t

from .._core.plan import Key
from .._model import encap as model_encap
from .._model.layer3 import Hop, Route
from .namespaces import LOOPBACK, Netns
from .rtnl import ACK, AF_INET, AF_INET6, CREATE, DUMP, EXCL, REPLACE, REQUEST, compose

try:
    from pyroute2.netlink.rtnl.rtmsg import rtmsg
except ImportError:  # said by require() in _netlink/rtnl, when it is needed
    rtmsg = None

RTM_NEWROUTE, RTM_DELROUTE, RTM_GETROUTE = 24, 25, 26
APPEND = 0x800
RT_SCOPE_NOWHERE = 255
RTPROT_UNSPEC, RTPROT_REDIRECT, RTPROT_KERNEL, RTPROT_STATIC, RTPROT_RA = 0, 1, 2, 4, 9
RTM_F_CLONED = 0x200
RT_TABLE_LOCAL = 255
RTNH_F_ONLINK = 4
NO_WAY = (6, 7, 8, 9)  # blackhole, unreachable, prohibit, throw: IPv6 shows them on the loopback
Attributes = list[tuple[str, t.Any]]
Index = t.Callable[[str], int]


@functools.cache
def dump_routes(version: int) -> bytes:
    """Of one family: asked for all, some kernels answer with IPv4 alone."""
    return compose(rtmsg, RTM_GETROUTE, REQUEST | DUMP, [], family=AF_INET6 if version == 6 else AF_INET)


def get_route(address: str, source: str | None = None) -> bytes:
    """Which way the kernel takes to an address, as ``ip route get`` asks. ``source``: of the same family."""
    length = 128 if ":" in address else 32
    attrs = [("RTA_DST", address), *([("RTA_SRC", source)] if source else [])]
    return compose(
        rtmsg, RTM_GETROUTE, REQUEST | ACK, attrs, family=AF_INET6 if ":" in address else AF_INET, dst_len=length,
        src_len=length if source else 0,
    )


def is_route(raw: bytes) -> bool:
    """Not a cached one."""
    return not struct.unpack_from("=I", raw, 24)[0] & RTM_F_CLONED


def is_static_route(raw: bytes) -> bool:
    """Not the kernel's own, not a cached one, not a router's."""
    table, protocol = struct.unpack_from("=BB", raw, 20)
    made = protocol not in (RTPROT_REDIRECT, RTPROT_KERNEL, RTPROT_RA) and table != RT_TABLE_LOCAL
    return made and is_route(raw)


def number_routes(routes: t.Iterable[Route]) -> list[Route]:
    """Routes that stand in the same place, numbered in the order in which the kernel looks at them."""
    found: dict[Key, Route] = {}
    count: dict[Key, int] = {}
    for route in routes:
        number = count.get(route.key, 0)
        count[route.key] = number + 1
        route = dataclasses.replace(route, nth=number + 1) if number else route  # the first is the one that counts
        found[route.key] = route
    return list(found.values())


def decode_route(raw: bytes, ns: str, names: t.Mapping[int, str]) -> Route:
    message = rtmsg(raw)
    message.decode()
    attrs: t.Callable[[str], t.Any] = {slot[0]: slot[1] for slot in message["attrs"]}.get
    version = 6 if message["family"] == AF_INET6 else 4
    destination, origin = attrs("RTA_DST"), attrs("RTA_SRC")
    device = names.get(attrs("RTA_OIF") or 0)
    metrics = attrs("RTA_METRICS")
    return Route(
        ns=ns, family=version, destination=f"{destination}/{message['dst_len']}" if destination else "default",
        table=attrs("RTA_TABLE") or message["table"], metric=attrs("RTA_PRIORITY") or 0, gateway=_gateway(attrs),
        device=None if version == 6 and message["type"] in NO_WAY else device,
        scope=message["scope"] if version == 4 else None,
        onlink=True if message["flags"] & RTNH_F_ONLINK else None, protocol=message["proto"], type=message["type"],
        source=attrs("RTA_PREFSRC"), preference=attrs("RTA_PREF") or None,
        metrics=tuple((slot[0], slot[1]) for slot in metrics["attrs"]) if metrics is not None else None,
        nexthops=tuple(_hop(hop, names) for hop in attrs("RTA_MULTIPATH") or ()) or None,
        encap=model_encap.shown(attrs("RTA_ENCAP_TYPE"), attrs("RTA_ENCAP")),
        origin=f"{origin}/{message['src_len']}" if origin else "", tos=message["tos"],
    )


def _gateway(attrs: t.Callable[[str], t.Any]) -> str | None:
    """RTA_VIA is a gateway of the other family."""
    via = attrs("RTA_VIA")
    return t.cast("str | None", via["addr"] if via else attrs("RTA_GATEWAY"))


def _hop(hop: t.Any, names: t.Mapping[int, str]) -> Hop:
    attrs: t.Callable[[str], t.Any] = {slot[0]: slot[1] for slot in hop["attrs"]}.get
    return Hop(
        _gateway(attrs), names.get(hop["oif"]), hop["hops"] + 1, bool(hop["flags"] & RTNH_F_ONLINK),
        model_encap.shown(attrs("RTA_ENCAP_TYPE"), attrs("RTA_ENCAP")),
    )


def _way(version: int, gateway: str | None, encap: str | None) -> Attributes:
    attrs: Attributes = []
    if gateway and version == 4 and ":" in gateway:
        attrs.append(("RTA_VIA", {"family": AF_INET6, "addr": gateway}))
    elif gateway:
        attrs.append(("RTA_GATEWAY", gateway))
    if encap:
        number, data = model_encap.attributes(encap)
        attrs += [("RTA_ENCAP_TYPE", number), ("RTA_ENCAP", {"attrs": data})]
    return attrs


def _route(kind: int, flags: int, route: Route, index_of_name: Index) -> bytes:
    attrs: Attributes = [("RTA_TABLE", route.table)]
    lengths = {"dst_len": 0, "src_len": 0}
    for attribute, field, prefix in (("RTA_DST", "dst_len", route.destination), ("RTA_SRC", "src_len", route.origin)):
        if prefix not in ("default", ""):
            network = ipaddress.ip_network(prefix)
            attrs.append((attribute, str(network.network_address)))
            lengths[field] = network.prefixlen
    if route.metric:
        attrs.append(("RTA_PRIORITY", route.metric))
    if route.nexthops:
        attrs.append(("RTA_MULTIPATH", [
            {"hops": hop.weight - 1, "oif": index_of_name(hop.device) if hop.device else 0,
             "flags": RTNH_F_ONLINK if hop.onlink else 0, "attrs": _way(route.family, hop.gateway, hop.encap)}
            for hop in route.nexthops
        ]))
    else:
        attrs += _way(route.family, route.gateway, route.encap)
        if route.device:
            attrs.append(("RTA_OIF", index_of_name(route.device)))
    if route.source:
        attrs.append(("RTA_PREFSRC", route.source))
    if route.preference:
        attrs.append(("RTA_PREF", route.preference))
    if route.metrics:
        attrs.append(("RTA_METRICS", {"attrs": list(route.metrics)}))
    return compose(
        rtmsg, kind, flags, attrs, family=AF_INET6 if route.family == 6 else AF_INET, **lengths, tos=route.tos,
        table=route.table if route.table < 256 else 0,
        proto=RTPROT_STATIC if route.protocol is None else route.protocol,
        type=1 if route.type is None else route.type, scope=route.scope or 0,
        flags=RTNH_F_ONLINK if route.onlink else 0,
    )


def new_route(route: Route, index_of_name: Index) -> bytes:
    """In IPv6 it may come beside one of a router's advertisement, which the kernel keeps up; see default_route.
    One of several in the same place goes before those that are there, or after them."""
    beside = route.nth != 0 or (route.family == 6 and route.destination == "default")
    how = APPEND if route.nth > 1 else 0 if beside else EXCL
    return _route(RTM_NEWROUTE, REQUEST | ACK | CREATE | how, route, index_of_name)


def replace_route(route: Route, index_of_name: Index) -> bytes:
    return _route(RTM_NEWROUTE, REQUEST | ACK | CREATE | REPLACE, route, index_of_name)


def delete_route(route: Route, index_of_name: Index, whole: bool = False) -> bytes:
    """By what tells a route apart. Where others can stand in the same place, the path says which one is meant, as it
    does in IPv6, and where the ``whole`` route is known."""
    path = route if whole or (route.family == 6 and not route.nexthops) else None
    bare = Route(
        ns=route.ns, family=route.family, destination=route.destination, table=route.table, metric=route.metric,
        origin=route.origin, tos=route.tos, scope=RT_SCOPE_NOWHERE if route.family == 4 else None,
        type=route.type, protocol=(route.protocol if whole else None) or RTPROT_UNSPEC,
        gateway=path.gateway if path else None, device=path.device if path else None,
        nexthops=path.nexthops if path and route.family == 4 else None,
    )
    return _route(RTM_DELROUTE, REQUEST | ACK, bare, index_of_name)


def routes_of(netns: Netns, names: t.Mapping[int, str], every: bool = False) -> list[Route]:
    """The routes that somebody made, in all tables; or every one, the kernel's own too."""
    known = {**names, LOOPBACK: "lo"}
    matters = is_route if every else is_static_route
    return number_routes(
        decode_route(raw, netns.label, known)
        for version in (4, 6) for raw in netns.dump(dump_routes(version)) if matters(raw)
    )
