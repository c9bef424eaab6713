# Copyright: pipework.containers contributors
# GNU General Public License v3.0+ (see LICENSE)
"""Roy Marples' client, version 9.3 or newer: older ones cannot but configure the interface themselves. Pure."""
from __future__ import annotations

from .. import dhcp4_message as dhcp
from .client import FOLDER, HOOK, Ask, Client

CONFIG = f"{FOLDER}/dhcpcd.conf"
NAMES = {
    dhcp.MASK: "subnet_mask", dhcp.ROUTER: "routers", dhcp.DNS: "domain_name_servers", dhcp.DOMAIN: "domain_name",
    dhcp.MTU: "interface_mtu", dhcp.SECONDS: "dhcp_lease_time", dhcp.SERVER: "dhcp_server_identifier",
    dhcp.ROUTES: "classless_static_routes",
}
SENDS = (dhcp.REQUESTED, dhcp.SECONDS, dhcp.VENDOR, dhcp.CLIENT)


def _argv(ask: Ask) -> tuple[str, ...]:
    return ("-4", "-1", "-B", "--nodev", "--noconfigure", "-f", CONFIG, "-c", HOOK, ask.interface)


def _files(ask: Ask) -> dict[str, str]:
    vendor = "".join(f"\\x{octet:02x}" for octet in ask.options.get(dhcp.VENDOR, b""))
    lines = [
        "nodelay", "noarp", "noipv4ll", "noipv6", "broadcast", "persistent", f"timeout {ask.seconds}", "reboot 0",
        f"option {', '.join(NAMES.values())}", f"hostname {ask.options[dhcp.HOSTNAME].decode('ascii', 'replace')}",
        f"clientid {ask.hexadecimal(dhcp.CLIENT)}", f'vendorclassid "{vendor}"' if vendor else "vendorclassid",
    ]
    if ask.requested:
        lines.append(f"request {ask.requested}")
    if dhcp.SECONDS in ask.options:
        lines.append(f"leasetime {int.from_bytes(ask.options[dhcp.SECONDS], 'big')}")
    return {CONFIG: "\n".join(lines) + "\n"}


CLIENT = Client(
    "dhcpcd", "dhcpcd-base", _argv, _files, address="new_ip_address", sends=SENDS,
    names={code: f"new_{name}" for code, name in NAMES.items()},
)
