# Copyright: pipework.containers contributors
# GNU General Public License v3.0+ (see LICENSE)
"""Words of the programs' own command lines, as options of pipework_attach. Pure.

Words are never handed to a program: what has no meaning here, such as another script, is refused.
"""
from __future__ import annotations

import re
import typing as t

from ..._core.errors import PipeworkError

HOSTNAME, SECONDS, TRIES, PAUSE, EXTRA, CLIENT_ID = "hostname", "seconds", "tries", "pause", "-x", "client-id"
ADDRESS, VENDOR, LEASE_TIME = "requested-address", "vendor-class", "lease-time"
SAME = {"-4": None, "-q": None, "-v": None, "-d": None}  # what changes nothing
WORDS: dict[str, dict[str, str | None]] = {
    "udhcpc": {
        "-r": ADDRESS, "-V": VENDOR, "-x": EXTRA, "-t": TRIES, "-T": PAUSE, "-n": None, "-q": None, "-v": None,
        "-B": None, "-R": None, "-S": None,
    },
    "dhclient": {**SAME, "-1": None, "-H": HOSTNAME, "-C": CLIENT_ID, "-V": VENDOR, "-timeout": SECONDS},
    "dhcpcd": {
        **SAME, "-1": None, "-B": None, "-A": None, "-L": None, "-p": None, "-h": HOSTNAME, "--hostname": HOSTNAME,
        "-I": CLIENT_ID, "--clientid": CLIENT_ID, "-i": VENDOR, "--vendorclassid": VENDOR, "-r": ADDRESS,
        "--request": ADDRESS, "-l": LEASE_TIME, "--leasetime": LEASE_TIME, "-t": SECONDS, "--timeout": SECONDS,
    },
}
TRIES_USUAL = PAUSE_USUAL = 3  # of udhcpc
OCTETS = re.compile(r"[0-9a-fA-F]{2}(:[0-9a-fA-F]{2})+")
CODE = re.compile(r"0x([0-9a-fA-F]{1,2}):([0-9a-fA-F]+)")


def options_of(client: str, words: t.Sequence[str]) -> dict[str, t.Any]:
    """The options of pipework_attach that a program's words stand for. Raises PipeworkError."""
    found: dict[str, t.Any] = {}
    listed: list[str] = []
    times: dict[str, str] = {}
    left = list(words)
    while left:
        word = left.pop(0)
        meaning = WORDS[client].get(word, "")
        if meaning is None:
            continue
        if not meaning:
            raise PipeworkError(
                f"{word!r} is not an option of {client} that is known here; {', '.join(WORDS[client])} are."
            )
        if not left:
            raise PipeworkError(f"{client}'s option {word!r} lacks its value.")
        name, value = _extra(left.pop(0)) if meaning == EXTRA else (meaning, left.pop(0))
        if name == HOSTNAME:
            found["dhcp_hostname"] = value
        elif name in (SECONDS, TRIES, PAUSE):
            times[name] = value
        else:
            listed.append(f"{name}={_octets(value) if name == CLIENT_ID else value}")
    if listed:
        found["dhcp_options"] = listed
    return {**found, **_timeout(client, times)}


def _extra(value: str) -> tuple[str, str]:
    """udhcpc's -x."""
    name, _colon, rest = value.partition(":")
    code = CODE.fullmatch(value)
    if code:
        return str(int(code[1], 16)), f"0x{code[2]}"
    if not rest or name not in ("hostname", "lease"):
        raise PipeworkError(
            f"udhcpc's option '-x {value}' is not known here; hostname:NAME, lease:SECONDS and 0xNUMBER:HEX are."
        )
    return (HOSTNAME if name == "hostname" else LEASE_TIME), rest


def _octets(value: str) -> str:
    return f"0x{value.replace(':', '')}" if OCTETS.fullmatch(value) else value


def _timeout(client: str, times: t.Mapping[str, str]) -> dict[str, float]:
    if not times:
        return {}
    try:
        if SECONDS in times:
            return {"dhcp_timeout": float(times[SECONDS])}
        return {"dhcp_timeout": float(times.get(TRIES, TRIES_USUAL)) * float(times.get(PAUSE, PAUSE_USUAL))}
    except ValueError:
        raise PipeworkError(f"{client}'s {' and '.join(times)} have to be numbers.") from None
