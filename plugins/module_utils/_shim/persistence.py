# Copyright: pipework.containers contributors
# GNU General Public License v3.0+ (see LICENSE)
"""Files that bring a shim back when the host starts: of ifupdown, systemd-networkd or NetworkManager. Pure.

They are whole files of ours, marked in their first line. What others wrote is never changed.
"""

from __future__ import annotations

import dataclasses
import re
import typing as t

from .._core.normalize import family
from .._core.plan import Absent, KernelObject, State
from .._model.objects import HOST, OWNER_SHIM, Link, default_metric
from .options import Shim, Site

MARK = "# Made by pipework.containers for the shim {}. What is changed here is lost.\n"
FIRST_WORDS = MARK.partition(" for ")[0]
IFUPDOWN = "/etc/network/interfaces.d/pipework-{}"
NETWORKMANAGER = "/etc/NetworkManager/system-connections/pipework-{}.nmconnection"
NETDEV = "/etc/systemd/network/50-pipework-{}.netdev"
NETWORK = "/etc/systemd/network/50-pipework-{}.network"
DROP_IN = "/etc/systemd/network/{}.d/pipework-{}.conf"
PLACES = {"ifupdown": IFUPDOWN, "networkmanager": NETWORKMANAGER, "networkd": NETWORK}
NM_MODES = {"vepa": 1, "bridge": 2, "private": 3}
PLAIN = re.compile(r"[A-Za-z0-9_.-]+", re.ASCII)


@dataclasses.dataclass(frozen=True)
class HostFile(KernelObject):
    """A file of ours on the host, with all that is in it."""

    KIND = "file"
    IDENTITY = ("ns", "path")

    path: str
    content: str | None = None

    @property
    def name(self) -> str:
        return self.path

    @property
    def ours(self) -> bool:
        return (self.content or "").startswith(FIRST_WORDS)


def paths_of(name: str) -> list[str]:
    """Where files of a shim may be; the last is a pattern."""
    if not PLAIN.fullmatch(name):
        return []
    return [each.format(name) for each in (IFUPDOWN, NETWORKMANAGER, NETDEV, NETWORK)] + [DROP_IN.format("*", name)]


def brought_back(item: Shim, name: str, there: t.Iterable[HostFile]) -> HostFile | None:
    """The file of ours by which a shim is brought back, and will be: what that sets by itself is as it should."""
    ours = {each.path: each for each in there if each.ours}
    ways = PLACES.values() if item.persistence is None else [PLACES.get(item.persistence, "")]
    return next((ours[at.format(name)] for at in ways if at.format(name) in ours), None)


def routes_of_profile(file: HostFile) -> set[str]:
    """Those that NetworkManager makes; their protocol is its own."""
    if not file.path.endswith(".nmconnection"):
        return set()
    return set(re.findall(r"^route\d+=(\S+)$", file.content or "", re.MULTILINE))


def wanted_files(
    site: Site, there: t.Sequence[HostFile], after: State, network_file: str | None,
) -> t.Iterator[KernelObject | Absent]:
    """The files of a shim that will be as in ``after``. ``network_file``: networkd's, which the NIC is set up by."""
    item, files = site.item, {}
    if item.state == "present" and item.persistence not in (None, "none"):
        files = _files(site, after, network_file)
    elif item.state == "present" and item.persistence is None:
        return
    for file in there:
        if file.path in files and not file.ours:
            raise item.refuse(f"persistence: {file.path} exists and was not made here; rename or remove it first.")
        if file.ours and file.path not in files:
            yield Absent(file.key)
    for path, text in files.items():
        yield HostFile(HOST, path, MARK.format(site.name) + text)


def _files(site: Site, after: State, network_file: str | None) -> dict[str, str]:
    item = site.item
    link = t.cast(Link, after["link", HOST, site.name])
    for name in (link.ifname, str(link.parent)):
        if not PLAIN.fullmatch(name):
            raise item.refuse(f"persistence: {name!r} has characters that mean something in such files.")
    listed = sorted(item.addresses or ()), sorted(item.routes)
    if item.persistence == "ifupdown":
        return {IFUPDOWN.format(site.name): _ifupdown(link, *listed)}
    if item.persistence == "networkmanager":
        if any(family(r) == 4 for r in listed[1]) and not any(family(a) == 4 for a in listed[0]):
            raise item.refuse("persistence: NetworkManager takes IPv4 routes only beside an IPv4 address; give one.")
        return {NETWORKMANAGER.format(site.name): _networkmanager(link, *listed)}
    if network_file is None:
        raise item.refuse(
            f"persistence: networkd does not manage {link.parent}: no .network file applies to it; ifupdown or "
            "networkmanager may be what does."
        )
    return {
        NETDEV.format(site.name): _netdev(link),
        NETWORK.format(site.name): _network(link, *listed),
        DROP_IN.format(network_file, site.name): f"[Network]\nMACVLAN={link.ifname}\n",
    }


def _mode(link: Link) -> str:
    return str((link.settings or {}).get("mode"))


def _ifupdown(link: Link, addresses: list[str], routes: list[str]) -> str:
    name = link.ifname
    lines = [
        f"pre-up ip link set dev {link.parent} up",
        f"pre-up ip link show dev {name} >/dev/null 2>&1 || ip link add link {link.parent} name {name} "
        f"address {link.mac} mtu {link.mtu} type macvlan mode {_mode(link)}",  # it may be there: this run made it
        f"up ip link set dev {name} alias {OWNER_SHIM} up",
        *(f"up ip address replace {each} dev {name}" for each in addresses),
        *(f"up ip route replace {each} dev {name} proto 112" for each in routes),
        f"post-down ip link delete dev {name}",
    ]
    return f"auto {name}\niface {name} inet manual\n" + "".join(f"    {line}\n" for line in lines)


def _netdev(link: Link) -> str:
    head = f"[NetDev]\nName={link.ifname}\nKind=macvlan\nMACAddress={link.mac}\nMTUBytes={link.mtu}\n"
    return f"{head}\n[MACVLAN]\nMode={_mode(link)}\n"


def _network(link: Link, addresses: list[str], routes: list[str]) -> str:
    head = f"[Match]\nName={link.ifname}\n\n[Link]\nRequiredForOnline=no\n\n[Network]\nIPv6AcceptRA=no\n"
    scope = {4: "Scope=link\n", 6: ""}
    return head + "".join(f"Address={each}\n" for each in addresses) + "".join(
        f"\n[Route]\nDestination={each}\n{scope[family(each)]}Protocol=112\n" for each in routes
    )


def _networkmanager(link: Link, addresses: list[str], routes: list[str]) -> str:
    parts = [
        f"[connection]\nid=pipework-{link.ifname}\ntype=macvlan\ninterface-name={link.ifname}\nautoconnect=true\n",
        f"[ethernet]\ncloned-mac-address={link.mac}\nmtu={link.mtu}\n",
        f"[macvlan]\nmode={NM_MODES[_mode(link)]}\nparent={link.parent}\n",
    ]
    for version, without in ((4, "disabled"), (6, "link-local")):
        mine = [each for each in addresses if family(each) == version]
        metric = default_metric(version)  # not one of NetworkManager's own
        lines = [f"method={'manual' if mine else without}", "never-default=true", f"route-metric={metric}"]
        lines += [f"address{number}={each}" for number, each in enumerate(mine, 1)]
        lines += [f"route{n}={each}" for n, each in enumerate((r for r in routes if family(r) == version), 1)]
        parts.append(f"[ipv{version}]\n" + "".join(f"{line}\n" for line in lines))
    return "\n".join(parts)
