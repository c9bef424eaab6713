# Copyright: pipework.containers contributors
# GNU General Public License v3.0+ (see LICENSE)
"""Settings of bridges and interfaces in Open vSwitch's tables: from options, from rows, and as commands. Pure.

A setting is spelled as a column, or as a column and a key: ``stp_enable``, ``other_config:stp-max-age``; its value is
text. ``mtu_request`` is the one that stands in the bridge's own interface. What has its usual value is left out.
"""
from __future__ import annotations

import json
import typing as t

from .._core.errors import PipeworkError

Settings = dict[str, str]
USUAL = {"stp_enable": "false", "rstp_enable": "false", "fail_mode": "", "mtu_request": ""}
FAIL_MODES, DATAPATHS = ("standalone", "secure"), ("system", "netdev")
TUNNELS = ("vxlan", "gre", "geneve")
# The option, its keys among other_config for STP and for RSTP, and the seconds that ovs-vswitchd takes.
TIMERS: dict[str, tuple[str, str | None, int, int]] = {
    "forward_delay": ("stp-forward-delay", "rstp-forward-delay", 4, 30),
    "hello_time": ("stp-hello-time", None, 1, 10),
    "max_age": ("stp-max-age", "rstp-max-age", 6, 40),
    "ageing_time": ("mac-aging-time", "mac-aging-time", 15, 3600),
}
KEYS = {key for timer in TIMERS.values() for key in timer[:2] if key}


def from_options(options: t.Mapping[str, t.Any]) -> Settings:
    """What options say; raises PipeworkError for a timer that Open vSwitch does not take."""
    found: Settings = {}
    if options.get("stp") and options.get("rstp"):
        raise PipeworkError("rstp: stp and rstp are both true; a bridge runs one of them.")
    for name in ("stp", "rstp"):
        if options.get(name) is not None:
            found[f"{name}_enable"] = "true" if options[name] else "false"
    if options.get("fail_mode") is not None:
        found["fail_mode"] = options["fail_mode"]
    if options.get("mtu") is not None:
        found["mtu_request"] = str(options["mtu"])
    for name, (stp, rstp, low, high) in TIMERS.items():
        value = options.get(name)
        if value is None:
            continue
        key = rstp if options.get("rstp") else stp
        if key is None:
            raise PipeworkError(f"{name}: with rstp, Open vSwitch has no such timer; leave it out.")
        found[f"other_config:{key}"] = _seconds(value, name, low, high)
    return found


def _seconds(value: t.Any, option: str, low: int, high: int) -> str:
    try:
        number = float(value)
    except (TypeError, ValueError):
        raise PipeworkError(f"{option}: {value!r} is not a number of seconds.") from None
    if not (low <= number <= high and number == int(number)):
        raise PipeworkError(f"{option}: {number:g} s is not possible; Open vSwitch takes {low} to {high}, whole ones.")
    return str(int(number))


def _word(value: t.Any) -> str:
    if isinstance(value, list):  # a set: of one, which stands there as itself, or of none
        return ""
    return json.dumps(value) if isinstance(value, bool) else str(value)


def of_bridge(row: t.Mapping[str, t.Any], config: t.Mapping[str, str], interface: t.Mapping[str, t.Any]) -> t.Any:
    """The settings of a bridge, from its row, the map in it and the row of its own interface."""
    found = {name: _word((interface if name == "mtu_request" else row).get(name, [])) for name in USUAL}
    found = {name: word for name, word in found.items() if word not in (USUAL[name], "")}
    found.update((f"other_config:{key}", config[key]) for key in sorted(KEYS) if key in config)
    return found or None


def unusual(wanted: Settings, have: Settings | None) -> Settings | None:
    """Of what is wanted, what is not so anyway."""
    usual = {**USUAL, "fail_mode": "standalone"}
    found = {k: v for k, v in wanted.items() if k in (have or {}) or v != usual.get(k)}
    return found or None


def bridge_commands(name: str, before: Settings | None, after: Settings | None) -> list[list[str]]:
    """What makes the one of the other."""
    old, new = before or {}, after or {}
    changed = {key: value for key, value in new.items() if old.get(key) != value}
    changed.update((key, USUAL[key]) for key in old if key not in new and key in USUAL)
    commands = []
    for key, value in sorted(changed.items()):
        table, (column, _colon, inner) = "Interface" if key == "mtu_request" else "Bridge", key.partition(":")
        if inner:
            commands.append(["set", table, name, f"{column}:{inner}={json.dumps(value)}"])
        else:
            commands.append(["set", table, name, f"{column}={value}"] if value else ["clear", table, name, column])
    gone = [key.partition(":")[2] for key in old if key not in new and key not in USUAL]
    return commands + ([["remove", "Bridge", name, "other_config", *sorted(gone)]] if gone else [])


def of_interface(kind: t.Any, options: t.Mapping[str, str]) -> Settings | None:
    """Type and options of an interface that Open vSwitch makes; None of one that is the host's."""
    if kind in (None, "", "system"):
        return None
    return {"type": str(kind), **{f"options:{key}": str(value) for key, value in sorted(options.items())}}


def interface_commands(name: str, wanted: Settings, anew: bool) -> list[list[str]]:
    """What makes an interface so. ``anew``: it has other options, which go."""
    words = [f"{key}={json.dumps(value)}" for key, value in wanted.items()]
    first = [["clear", "Interface", name, "options"]] if anew else []
    return first + ([["set", "Interface", name, *words]] if words else [])
