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

from .._core import normalize as norm
from .._core.errors import PipeworkError
from . import ip_route, ip_rule, tc
from .words import Words, address_of, meaning

USAGE = (
    "'HOSTINTERFACE [-i NAME] [-l NAME] [-a 4|6] CONTAINER ADDRESS/MASK[@GATEWAY] [MAC][@VLAN]', the same with "
    "dhcp, udhcpc, dhclient or dhcpcd in place of the address, 'route|rule|tc CONTAINER WORDS', or '--wait [-i NAME]'"
)
COMMANDS: dict[str, t.Callable[[Words], object]] = {
    "route": ip_route.parse, "rule": ip_rule.parse, "tc": tc.parse,
}
CLIENTS = {"dhcp": "docker", "udhcpc": "udhcpc", "dhclient": "dhclient", "dhcpcd": "dhcpcd"}
DHCP = re.compile(r"(dhcp|udhcpc|dhclient|dhcpcd)(-f)?(?::(.*))?", re.DOTALL)
BEFORE = re.compile(r"sudo|env|exec|time|nohup|command|-.*|[A-Za-z_]\w*=.*|(.*/)?(ba|da)?sh", re.DOTALL)
WITH_VALUE = ("-u", "-g", "--user", "--group")  # of sudo
OF_SHELLS = frozenset({  # what other lines of scripts begin with, which no host interface is called
    "if", "then", "else", "elif", "fi", "for", "while", "until", "do", "done", "case", "esac", "function", "export",
    "set", "unset", "local", "return", "exit", "cd", "echo", "sleep", "source", ".", "eval", "test", "[", "true",
    "trap", "docker", "podman", "lxc-start", "ip", "brctl", "ovs-vsctl", "ifconfig", "modprobe", "sysctl",
    "iptables",
})
ASSIGNMENT = re.compile(r"[A-Za-z_]\w*=.*", re.DOTALL)
PROGRAMS = ("pipework", "pipework.sh")
MACRO = re.compile(r"@[A-Z][A-Z_]*@")
NOWHERE = re.compile(r"(0|0\.0\.0\.0|::)/[0-9]{1,3}")  # as good as 0/0
VARIABLE = re.compile(r"\$(\w+|\{\w+\})", re.ASCII)
SHORT_MAC = re.compile(r"[0-9a-fA-F]{1,2}(:[0-9a-fA-F]{1,2}){5}")
SHOW = "pipework_show"  # which is no module: what the program prints is handed on
SHOW_VERBS = ("show", "list", "lst", "ls", "get")
SHOW_FLAGS = ("-s", "-statistics", "-d", "-details", "-j", "-json", "-p", "-pretty")
OF_FORKS = ("--save", "--restore")


@dataclasses.dataclass(frozen=True)
class Line:
    """What one line asks for: a module, and its options."""

    module: str
    params: dict[str, t.Any]


def parse(given: object, option: str = "cmd") -> Line:
    """The meaning of a line, or of a list of words. Raises PipeworkError."""
    words = Words.read(given, option)
    _skip_program(words)
    if not words:
        raise PipeworkError(f"{option}: the line is empty; {USAGE} would be right.")
    direct = words.skip("--direct-phys")
    if not direct and words.skip("--wait"):
        return _wait(words)
    if not direct and words.peek in COMMANDS:
        return _command(words)
    first = words.peek or ""
    try:
        return _attachment(words, direct)
    except PipeworkError:
        if not direct and (first in OF_SHELLS or ASSIGNMENT.fullmatch(first)):
            raise PipeworkError(
                f"{option}: {words.line!r}: {first!r} is for a shell, and nothing here is run by one; only lines of "
                "pipework are carried out, what else the script does belongs into tasks of its own."
            ) from None
        raise


def _skip_program(words: Words) -> None:
    """``sudo -n bash -e /usr/local/bin/pipework``, or how else the script is called."""
    left = list(words.words[words.place:])
    while left and BEFORE.fullmatch(left[0]):
        del left[:2 if left[0] in WITH_VALUE else 1]
    if left and left[0].rpartition("/")[2] in PROGRAMS:
        words.place = len(words.words) - len(left) + 1
    else:
        words.skip("sudo")


def words_of(line: Line) -> tuple[str, ...]:
    """The classic words for what ``parse`` returns."""
    params = line.params
    if line.module == "pipework_wait":
        return ("--wait", "-i", params["interface"]) if "interface" in params else ("--wait",)
    if line.module == SHOW:
        return (params["sort"], params["container"], *params["cmd"])
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
    container = _container(words)
    shown = _shown(words, name)
    if shown is not None:
        return Line(SHOW, {"container": container, "sort": name, "cmd": shown})
    start = words.place
    COMMANDS[name](words)  # what is wrong with the words is said now
    return Line(f"pipework_{name}", {"container": container, "cmd": list(words.words[start:])})


def _container(words: Words) -> str:
    name = words.take("the container's name or ID")
    variable = VARIABLE.fullmatch(name)
    if not name.strip() or variable:
        raise words.wrong(f"is no container's name{'; nobody here fills in variables' if variable else ''}")
    return name


def _shown(words: Words, sort: str) -> list[str] | None:
    """The words for the program, its options first, if they ask only for what there is; they are taken then."""
    left = list(words.words[words.place:])
    flags: list[str] = []
    program = ("sudo", "tc") if sort == "tc" else ("sudo", "ip")
    while left and (left[0] in program or left[0] in SHOW_FLAGS or sort != "tc" and left[0] in ("-4", "-6", sort)):
        word = left.pop(0)
        flags += [word] if word.startswith("-") else []
    verbs = left
    if sort == "tc" and left[:1] and meaning(left[0], {word: word for word in ("qdisc", "class", "filter")}):
        verbs = left[1:]
    table = {word: word for word in SHOW_VERBS if word != "get" or sort == "route"}
    if left[:2] == ["flush", "cache"] and sort == "route" or verbs and meaning(verbs[0], table) is not None:
        words.rest()
        return [*flags, *left]
    return None


def _mac(text: str) -> str:
    """With both digits of each octet."""
    return ":".join(part.zfill(2) for part in text.split(":")) if SHORT_MAC.fullmatch(text) else text


def _attachment(words: Words, direct: bool) -> Line:
    host = words.take("the host interface")
    if host.startswith("-"):
        if host in OF_FORKS:
            raise words.wrong("belongs to a fork of the script; 'commands' takes a list of lines")
        raise words.wrong(f"is not an option that is known; {USAGE} would be right")
    if host.startswith("mac:"):
        host = f"mac:{_mac(host[4:])}"
        norm.mac_address(host[4:], f"{words.option}: {words.line!r}: the card's address")
    else:
        norm.interface_name(host, f"{words.option}: host interface")
    params: dict[str, t.Any] = {"host_interface": host, **({"kind": "phys"} if direct else {})}
    family = _options(words, params)
    params["container"] = _container(words)
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
    macro = MACRO.search(text)
    if macro:
        raise words.wrong(f"has the macro {macro[0]}, which is not filled in here; write the value itself in its place")
    address, at, gateway = text.partition("@")
    if NOWHERE.fullmatch(address) and not at:
        return  # the container sees to its addresses itself
    if "/" in gateway and address_of(gateway.partition("/")[0]):
        host, _slash, mask = gateway.partition("/")
        right = f"{address}@{host}" if "/" in address else f"{address}/{mask}@{host}"
        raise words.wrong(f"has a mask after the gateway, which needs none; {right} would be right")
    if "/" not in address:
        found = address_of(address)
        if found is None:
            raise words.wrong("is neither an address such as 192.168.1.1/24, nor dhcp, udhcpc, dhclient or dhcpcd")
        if found in ("0.0.0.0", "::"):
            raise words.wrong("is no address; 0/0 would be right for none")
        length = 24 if norm.family(found) == 4 else 64
        raise words.wrong(
            f"has no netmask. The IP address should include a netmask. Maybe you meant {found}/{length}{at}{gateway}?"
        )
    where = f"{words.option}: {words.line!r}: address"
    cidr = norm.interface_address(address, where, classic=True)
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
        mac = _mac(mac)
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
