# Copyright: pipework.containers contributors
# GNU General Public License v3.0+ (see LICENSE)
"""ISC's client. Its files have the names that its AppArmor profile in Debian and Ubuntu lets it use. Pure."""
from __future__ import annotations

from .. import dhcp4_message as dhcp
from .client import PACE, Ask, Client

CONFIG, LEASES = "/var/lib/dhcp/dhclient.conf", "/var/lib/dhcp/dhclient.leases"
SCRIPT = "/sbin/dhclient-script"
NAMES = {
    dhcp.MASK: "subnet_mask", dhcp.ROUTER: "routers", dhcp.DNS: "domain_name_servers", dhcp.DOMAIN: "domain_name",
    dhcp.MTU: "interface_mtu", dhcp.SECONDS: "dhcp_lease_time", dhcp.SERVER: "dhcp_server_identifier",
    dhcp.ROUTES: "rfc3442_classless_static_routes",
}
# A lease that is over: its address is asked for, and no other is refused. 'send' would stand in the way of any other.
PAST = """lease {{
  interface "{interface}";
  fixed-address {address};
  renew 6 2000/01/01 00:00:00;
  rebind 6 2000/01/01 00:00:00;
  expire 6 2000/01/01 00:00:00;
}}
"""


def _argv(ask: Ask) -> tuple[str, ...]:
    files = ("-cf", CONFIG, "-lf", LEASES, "-sf", SCRIPT, "--no-pid")
    return ("-4", "-d", "-1", *files, ask.interface)


def _files(ask: Ask) -> dict[str, str]:
    lines = [
        f"timeout {ask.seconds};", f"initial-interval {PACE[0]};", f"backoff-cutoff {PACE[1]};",
        "option rfc3442-classless-static-routes code 121 = array of unsigned integer 8;",
        f"request {', '.join(name.replace('_', '-') for name in NAMES.values())};",
    ]
    for code in ask.options:
        if code == dhcp.SECONDS:
            lines.append(f"send dhcp-lease-time {int.from_bytes(ask.options[code], 'big')};")
        elif code != dhcp.REQUESTED:
            lines += [f"option own-{code} code {code} = string;", f"send own-{code} {ask.hexadecimal(code)};"]
    files = {CONFIG: "\n".join(lines) + "\n"}
    if ask.requested:
        name = "".join(f"\\{octet:03o}" for octet in ask.interface.encode("utf-8", "surrogateescape"))
        files[LEASES] = PAST.format(interface=name, address=ask.requested)
    return files


CLIENT = Client(
    "dhclient", "isc-dhcp-client", _argv, _files, address="new_ip_address", hook=SCRIPT, broadcasts=False,
    banner=("Internet Systems Consortium", "Copyright ", "All rights reserved", "For info, please visit"),
    names={code: f"new_{name}" for code, name in NAMES.items()},
)
