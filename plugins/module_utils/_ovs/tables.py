# Copyright: pipework.containers contributors
# GNU General Public License v3.0+ (see LICENSE)
"""Bridges and ports of Open vSwitch: read from its database, and as commands that change it. Pure.

They live in a database on disk and not in the kernel: a port stays when the interface it stands for has gone, also
over a restart of the host. Ours are known by the key pipework.owner among their external ids. The other keys,
pipework.interface and so on, are the classic script's.
"""
from __future__ import annotations

import json
import re
import typing as t

from .._core.errors import PipeworkError
from .._core.plan import Operation
from .._model import vlans as model_vlans
from .._model.objects import HOST, MARK
from .._model.ovs import OvsBridge, OvsPort, Switch, VlanBridge
from . import settings

OWNER = "pipework.owner"
NAME = re.compile(r"[A-Za-z0-9_.][A-Za-z0-9_.-]{0,14}")  # that ovs-vsctl takes for nothing else
COLUMNS = {
    "Bridge": (
        "name", "ports", "datapath_type", "external_ids", "other_config", "stp_enable", "rstp_enable", "fail_mode",
    ),
    "Port": ("_uuid", "name", "interfaces", "tag", "trunks", "vlan_mode", "protected", "fake_bridge"),
    "Interface": ("_uuid", "error", "ofport", "external_ids", "type", "options", "mtu_request"),
}
NOT_SET_UP = "ovs-vswitchd has not set it up"
TUNNEL = "tunnel"  # of a port whose VLAN holds tagged frames of others


# -- reading

def look() -> list[str]:
    """The commands that show all."""
    words: list[str] = []
    for table, columns in COLUMNS.items():
        words += ["--", f"--columns={','.join(columns)}", "list", table]
    return words


def decode(text: str) -> Switch:
    """What those commands print. ValueError for anything else."""
    decoder, at, tables = json.JSONDecoder(), 0, []
    for columns in COLUMNS.values():
        at += len(text[at:]) - len(text[at:].lstrip())
        shown, at = decoder.raw_decode(text, at)
        if not isinstance(shown, dict) or set(shown.get("headings", ())) != set(columns):
            raise ValueError(f"a table without the columns {', '.join(columns)}")
        tables.append([dict(zip(shown["headings"], row)) for row in shown["data"]])
    bridges, ports, interfaces = tables
    of_port = {row["_uuid"][1]: row for row in ports}
    of_interface = {row["_uuid"][1]: row for row in interfaces}
    first: dict[str, dict[str, t.Any]] = {}  # the interface of each port; of a bond, one of them
    for row in ports:
        found = [of_interface[ref[1]] for ref in _set(row["interfaces"]) if ref[1] in of_interface]
        first[row["name"]] = found[0] if found else {"error": [], "ofport": -1, "external_ids": ["map", []]}
    known = {row["name"]: _bridge(row, first.get(row["name"])) for row in bridges}
    on: dict[str, str] = {}
    members: dict[str, list[str]] = {}
    for row in bridges:
        names = [of_port[ref[1]]["name"] for ref in _set(row["ports"]) if ref[1] in of_port]
        members[row["name"]] = [name for name in names if name != row["name"]]
        on.update((name, row["name"]) for name in names)
    others = [row for row in ports if row["name"] not in known]
    vlan_bridges = {
        row["name"]: VlanBridge(on[row["name"]], tag) for row in others
        for tag in _set(row["tag"])[:1] if row["fake_bridge"] is True and row["name"] in on
    }
    found_ports = {
        row["name"]: _port(row, first[row["name"]], on.get(row["name"]), vlan_bridges) for row in others
    }
    return Switch(known, found_ports, members, vlan_bridges)


def _set(value: t.Any) -> list[t.Any]:
    """A set of one stands there as that one."""
    return list(value[1]) if isinstance(value, list) and value[0] == "set" else [value]


def _map(value: t.Any) -> dict[str, t.Any]:
    return dict(value[1]) if isinstance(value, list) and value[0] == "map" else {}


def _ours(ids: t.Mapping[str, t.Any]) -> str | None:
    owner = ids.get(OWNER)
    return owner if isinstance(owner, str) and owner.startswith(MARK) else None


def _error(interface: t.Mapping[str, t.Any] | None) -> str:
    if interface is None:
        return NOT_SET_UP
    said = [str(text) for text in _set(interface["error"]) if text]
    number = [n for n in _set(interface["ofport"]) if n > 0]
    return said[0] if said else ("" if number else NOT_SET_UP)


def _bridge(row: dict[str, t.Any], interface: dict[str, t.Any] | None) -> OvsBridge:
    return OvsBridge(
        ns=HOST, bridge=row["name"], owner=_ours(_map(row["external_ids"])), error=_error(interface),
        mac=_map(row["other_config"]).get("hwaddr"), datapath=row["datapath_type"],
        settings=settings.of_bridge(row, _map(row["other_config"]), interface or {}),
    )


def _port(
    row: dict[str, t.Any], interface: dict[str, t.Any], bridge: str | None, vlan_bridges: t.Mapping[str, VlanBridge],
) -> OvsPort:
    ids = _map(interface["external_ids"])
    plugged = str(ids.get("pipework.bridge", ""))
    through = [plugged] if vlan_bridges.get(plugged) in [(bridge, tag) for tag in _set(row["tag"])] else []
    pid = str(ids.get("pipework.nspid", ""))
    return OvsPort(
        ns=HOST, port=row["name"], bridge=bridge, vlans=_vlans_of(row), isolated=row["protected"] is True,
        owner=_ours(ids), container=ids.get("pipework.containerid"), error=_error(interface),
        interface=settings.of_interface(interface.get("type"), _map(interface.get("options"))),
        pid=int(pid) if pid.isascii() and pid.isdigit() else None,
        vlan_bridge=through[0] if through else "",
    )


def _vlans_of(row: dict[str, t.Any]) -> tuple[str, ...]:
    [tag] = _set(row["tag"]) or [None]
    [mode] = _set(row["vlan_mode"]) or ["trunk" if tag is None else "access"]
    flags = dict.fromkeys(_set(row["trunks"]) if mode != "access" else (), 0)
    flags.pop(tag, None)
    if mode == "dot1q-tunnel":
        return (f"{tag} {TUNNEL}",)
    if tag is not None and mode != "trunk":
        flags[tag] = model_vlans.PVID | (model_vlans.UNTAGGED if mode != "native-tagged" else 0)
    return model_vlans.spell(flags)


# -- changing

def commands(work: t.Sequence[Operation]) -> list[str]:
    """One transaction that does all of the operations, and may be done twice."""
    phases: list[list[list[str]]] = [[] for _phase in range(5)]  # ports go, bridges go, come, ports come or move, rest
    for number, operation in enumerate(work):
        before, after = operation.before, operation.after
        if isinstance(operation.subject, OvsBridge):
            _about_bridge(t.cast("OvsBridge | None", before), t.cast("OvsBridge | None", after), phases)
        elif after is None:
            phases[0].append(["--if-exists", "del-port", operation.subject.name])
        else:
            _about_port(t.cast("OvsPort | None", before), t.cast(OvsPort, after), f"@p{number}", phases)
    return [word for phase in phases for command in phase for word in ("--", *command)]


def requests_given_back(work: t.Sequence[Operation]) -> list[str]:
    """What comes first, in a transaction of its own, where a request for an MTU goes: ovs-vswitchd holds the interface
    to the last one that was asked for, also when nobody asks any more."""
    words: list[str] = []
    for operation in work:
        before, after = operation.before, operation.after
        if not isinstance(before, OvsBridge) or not isinstance(after, OvsBridge):
            continue
        gone = "mtu_request" in (before.settings or {}) and "mtu_request" not in (after.settings or {})
        if gone and after.mtu:
            words += ["--", "set", "Interface", after.bridge, f"mtu_request={after.mtu}"]
    return words


def _about_bridge(before: OvsBridge | None, after: OvsBridge | None, phases: list[list[list[str]]]) -> None:
    if after is None:
        phases[1].append(["--if-exists", "del-br", t.cast(OvsBridge, before).bridge])
        return
    name = after.bridge
    phases[2].append(["--may-exist", "add-br", name])
    words = [_pair("external_ids", OWNER, after.owner)] if after.owner else []
    words += [_pair("other_config", "hwaddr", after.mac)] if after.mac else []
    words += [f"datapath_type={json.dumps(after.datapath)}"] if after.datapath is not None else []
    if words:
        phases[4].append(["set", "Bridge", name, *words])
    if before is not None:  # what an update, or its undoing, takes away
        phases[4] += [["remove", "Bridge", name, "external_ids", OWNER]] if before.owner and not after.owner else []
        phases[4] += [["remove", "Bridge", name, "other_config", "hwaddr"]] if before.mac and not after.mac else []
    phases[4] += settings.bridge_commands(name, before.settings if before else None, after.settings)


def _about_port(before: OvsPort | None, after: OvsPort, ident: str, phases: list[list[list[str]]]) -> None:
    port, bridge = after.port, str(after.bridge)
    ids: dict[str, str | None] = {}
    if before is None:
        phases[3].append(["--may-exist", "add-port", str(after.plugged), port])
        ids["pipework.interface"] = port
        ids["pipework.nspid"] = str(after.pid) if after.pid else None
    elif before.bridge != after.bridge:  # the row moves, with all that others may have set there
        phases[3] += [
            [f"--id={ident}", "get", "Port", port],
            ["remove", "Bridge", str(before.bridge), "ports", ident], ["add", "Bridge", bridge, "ports", ident],
        ]
    old = before or OvsPort(after.ns, port)
    columns = []
    if after.isolated is not None and after.isolated != old.isolated:
        columns.append(f"protected={'true' if after.isolated else 'false'}")
    if after.vlans is not None and after.vlans != old.vlans:
        if old.vlans:
            phases[4].append(["clear", "Port", port, "tag", "trunks", "vlan_mode"])
        columns += _vlan_columns(after.vlans)
        native = model_vlans.native(after.vlans)
        ids["pipework.vlan"] = str(native) if native else None
    if columns:
        phases[4].append(["set", "Port", port, *columns])
    if after.interface is not None and after.interface != (old.interface or {}):
        phases[4] += settings.interface_commands(port, after.interface, anew=bool(old.interface))
    ids.update({"pipework.bridge": after.plugged, "pipework.containerid": after.container, OWNER: after.owner})
    gone = [key for key, value in ids.items() if value is None]
    if before is not None and gone:
        phases[4].append(["remove", "Interface", port, "external_ids", *gone])
    words = [_pair("external_ids", key, value) for key, value in ids.items() if value is not None]
    phases[4].append(["set", "Interface", port, *words])


def _vlan_columns(vlans: tuple[str, ...]) -> list[str]:
    if not vlans:
        return []
    if vlans[0].endswith(TUNNEL):
        return ["vlan_mode=dot1q-tunnel", f"tag={vlans[0].split()[0]}"]
    native, trunks = model_vlans.native(vlans), ",".join(model_vlans.tagged(vlans))
    if native is None:
        return ["vlan_mode=trunk", f"trunks={trunks}"]
    tagged = any(flags == model_vlans.PVID for _first, _last, flags in model_vlans.read(vlans))
    if not trunks and not tagged:
        return [f"tag={native}"]
    mode = "native-tagged" if tagged else "native-untagged"
    return [f"vlan_mode={mode}", f"tag={native}", *([f"trunks={trunks}"] if trunks else [])]


def _pair(column: str, key: str, value: str) -> str:
    return f"{column}:{key}={json.dumps(value)}"


def check_name(name: str, option: str) -> str:
    """A name that Open vSwitch and its program can take."""
    if not NAME.fullmatch(name):
        raise PipeworkError(
            f"{option}: {name!r} is no name for Open vSwitch; "
            "letters, digits, '_', '.' and, not in front, '-' are right."
        )
    return name
