# Copyright: pipework.containers contributors
# GNU General Public License v3.0+ (see LICENSE)
"""The classic pipework command line, as options of the modules. Pure.

    [--direct-phys] HOSTINTERFACE [-i NAME] [-l NAME] [-a 4|6] CONTAINER ADDRESS/MASK[@GATEWAY] [MAC][@VLAN]
    [--direct-phys] HOSTINTERFACE [-i NAME] [-l NAME] CONTAINER dhcp|udhcpc|dhclient|dhcpcd[-f][:OPTIONS] [MAC][@VLAN]
    route|rule|tc CONTAINER WORDS...
    --wait [-i NAME]
"""

from __future__ import annotations

import dataclasses
import re
import shlex
import typing as t

from .. import _normalize as norm
from .._errors import PipeworkError
from . import ip_route, ip_rule, tc
from .words import Words, address_of

USAGE = (
    "'HOSTINTERFACE [-i NAME] [-l NAME] [-a 4|6] CONTAINER ADDRESS/MASK[@GATEWAY] [MAC][@VLAN]', the same with "
    "dhcp, udhcpc, dhclient or dhcpcd in place of the address, 'route|rule|tc CONTAINER WORDS', or '--wait [-i NAME]'"
)
COMMANDS: dict[str, t.Callable[[Words], object]] = {
    "route": ip_route.parse, "rule": ip_rule.parse, "tc": tc.parse,
}
CLIENTS = {"dhcp": "docker", "udhcpc": "udhcpc", "dhclient": "dhclient", "dhcpcd": "dhcpcd"}
DHCP = re.compile(r"(dhcp|udhcpc|dhclient|dhcpcd)(-f)?(?::(.*))?", re.DOTALL)
OF_FORKS = ("--save", "--restore")


@dataclasses.dataclass(frozen=True)
class Line:
    """What one line asks for: a module, and its options."""

    module: str
    params: dict[str, t.Any]


def parse(given: object, option: str = "cmd") -> Line:
    """The meaning of a line, or of a list of words. Raises PipeworkError."""
    words = Words.read(given, option)
    words.skip("sudo")
    words.skip("pipework")
    if not words:
        raise PipeworkError(f"{option}: the line is empty; {USAGE} would be right.")
    direct = words.skip("--direct-phys")
    if not direct and words.skip("--wait"):
        return _wait(words)
    if not direct and words.peek in COMMANDS:
        return _command(words)
    return _attachment(words, direct)


def words_of(line: Line) -> tuple[str, ...]:
    """The classic words for what ``parse`` returns."""
    params = line.params
    if line.module == "pipework_wait":
        return ("--wait", "-i", params["interface"]) if "interface" in params else ("--wait",)
    if line.module != "pipework_attach":
        return (line.module.partition("_")[2], params["container"], *params["cmd"])
    found = ["--direct-phys"] if params.get("kind") == "phys" else []
    found.append(params["host_interface"])
    for flag, name in (("-i", "interface"), ("-l", "local_interface")):
        found += [flag, params[name]] if name in params else []
    tag = params.get("vlan") or str(params.get("pkey") or "")[2:]
    last = f"{params.get('mac_address', '')}{f'@{tag}' if tag else ''}"
    return (*found, params["container"], _third(params), *([last] if last else []))


def _third(params: t.Mapping[str, t.Any]) -> str:
    if "dhcp" in params:
        client = next(word for word, meant in CLIENTS.items() if meant == params["dhcp"])
        options = " ".join(params.get("dhcp_options", ()))
        return f"{client}{'-f' if 'dhcp_keep' in params else ''}{f':{options}' if options else ''}"
    address = params["addresses"][0] if "addresses" in params else "0/0"
    return f"{address}@{params['gateway'][0]}" if "gateway" in params else str(address)


def _wait(words: Words) -> Line:
    params = {}
    if words.skip("-i"):
        params["interface"] = norm.interface_name(words.take("the interface's name"), f"{words.option}: -i")
    if words:
        raise words.unknown("nothing more; --wait takes only '-i NAME'")
    return Line("pipework_wait", params)


def _command(words: Words) -> Line:
    name = words.take("a command")
    container = words.take("the container's name or ID")
    start = words.place
    COMMANDS[name](words)  # what is wrong with the words is said now
    return Line(f"pipework_{name}", {"container": container, "cmd": list(words.words[start:])})


def _attachment(words: Words, direct: bool) -> Line:
    host = words.take("the host interface")
    if host.startswith("-"):
        if host in OF_FORKS:
            raise words.wrong("belongs to a fork of the script; 'commands' takes a list of lines")
        raise words.wrong(f"is not an option that is known; {USAGE} would be right")
    if host.startswith("mac:"):
        norm.mac_address(host[4:], f"{words.option}: mac:")
    else:
        norm.interface_name(host, f"{words.option}: host interface")
    params: dict[str, t.Any] = {"host_interface": host, **({"kind": "phys"} if direct else {})}
    family = _options(words, params)
    params["container"] = words.take("the container's name or ID")
    if not params["container"]:
        raise words.wrong("is no container's name")
    _address(words, family, params)
    if words:
        _last(words, params)
    if words:
        raise words.unknown("nothing more after [MAC][@VLAN]")
    return Line("pipework_attach", params)


def _options(words: Words, params: dict[str, t.Any]) -> int | None:
    family = None
    named = {"-i": "interface", "-l": "local_interface"}
    while str(words.peek).startswith("-"):
        flag = words.take("an option")
        if flag in named and named[flag] not in params:
            params[named[flag]] = norm.interface_name(words.take("a name"), f"{words.option}: {flag}")
        elif flag == "-a" and family is None:
            family = words.number("the address family", 4, 6)
            if family == 5:
                raise words.wrong("is not an address family; 4 or 6 would be right")
        else:
            twice = flag in named or flag == "-a"
            raise words.wrong("is given twice" if twice else "is not an option that is known; -i, -l and -a are")
    return family


def _address(words: Words, family: int | None, params: dict[str, t.Any]) -> None:
    text = words.take("an address with its netmask, such as 192.168.1.1/24, or 0/0, or dhcp,")
    client = DHCP.fullmatch(text)
    if client:
        options = (client[3] or "").split()
        keep = bool(client[2]) or "-f" in options
        params["dhcp"] = CLIENTS[client[1]]
        params.update({"dhcp_keep": True} if keep else {})
        left = [option for option in options if option != "-f"]
        params.update({"dhcp_options": left} if left else {})
        return
    address, at, gateway = text.partition("@")
    if "/" not in address:
        found = address_of(address)
        if found is None:
            raise words.wrong("is neither an address such as 192.168.1.1/24, nor dhcp, udhcpc, dhclient or dhcpcd")
        length = 24 if norm.family(found) == 4 else 64
        raise words.wrong(
            f"has no netmask. The IP address should include a netmask. Maybe you meant {found}/{length}{at}{gateway}?"
        )
    where = f"{words.option}: {words.line!r}: address"
    cidr = norm.interface_address(address, where)
    params.update({"addresses": [cidr]} if cidr else {})  # with 0/0 the container sees to its addresses itself
    if at:
        params["gateway"] = [norm.gateway(gateway, f"{words.option}: {words.line!r}: gateway")]
    for each in [*params.get("addresses", ()), *params.get("gateway", ())]:
        if family not in (None, norm.family(each)):
            raise words.wrong(f"does not belong to '-a {family}', which can be left out")


def _last(words: Words, params: dict[str, t.Any]) -> None:
    """``[MAC][@VLAN]``. On an IPoIB interface, whose name begins with ib, what follows the @ is a partition in hex."""
    text = words.take("[MAC][@VLAN]")
    mac, at, tag = text.partition("@")
    where = f"{words.option}: {words.line!r}: MAC address"
    ipoib = str(params["host_interface"]).startswith("ib")
    if mac:
        found = norm.mac_address(mac, where)
        if ipoib:
            raise words.wrong("is a MAC address. MACADDR configuration unsupported for IPoIB interfaces; leave it out")
        params["mac_address"] = mac if mac.startswith("U:") else found
    if at and ipoib:
        digits = re.fullmatch(r"(?:0[xX])?([0-9a-fA-F]{1,4})", tag, re.ASCII)
        if not digits:
            raise words.wrong("has no partition key after the '@'; up to four hex digits, such as @8001, are right")
        params["pkey"] = f"0x{digits[1].lower()}"
    elif at:
        if not re.fullmatch(r"[1-9][0-9]{0,3}", tag, re.ASCII) or int(tag) > 4094:
            raise words.wrong("has no VLAN ID after the '@'; a number from 1 to 4094, such as @10, would be right")
        params["vlan"] = int(tag)


def format_line(line: Line) -> str:
    """The line itself, quoted where it has to be."""
    return shlex.join(words_of(line))
