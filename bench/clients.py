# Copyright: pipework.containers contributors
# GNU General Public License v3.0+ (see LICENSE)
"""What the collection is measured against: the floor, iproute2's batches, the CNI bridge plugin."""

from __future__ import annotations

import json
import os
from pathlib import Path

import host

FLOOR_SOURCE = Path(__file__).with_name("floor.c")
CNI_DIRECTORIES = (Path("/usr/lib/cni"), Path("/opt/cni/bin"), Path("/usr/libexec/cni"))
BATCHES = ("ip -netns", "nsenter, ip")


def compile_floor(directory: Path) -> Path:
    program = directory / "floor"
    host.run(["gcc", "-O2", "-o", program, FLOOR_SOURCE])
    return program


def floor(program: Path, action: str, count: int) -> float:
    """Milliseconds, as the program itself measures them."""
    return float(host.run([program, action, host.BRIDGE, str(count)]))


class IpBatch:
    """One batch that makes the pairs, one `ip -batch` inside each namespace, one batch that joins and brings up."""

    def __init__(self, directory: Path, namespaces: list[str], addresses: list[str]) -> None:
        numbered = list(enumerate(namespaces))
        self.make = directory / "make.batch"
        self.join = directory / "join.batch"
        self.guests = directory / "guests"
        pair = "link add pwh{:04d} mtu 1500 type veth peer name eth1 mtu 1500 netns {}\n"
        self.make.write_text(
            f"link add {host.BRIDGE} mtu 1500 type bridge\n" + "".join(pair.format(*guest) for guest in numbered)
        )
        self.guests.write_text("".join(f"{name} {address}\n" for name, address in zip(namespaces, addresses)))
        self.join.write_text(
            "".join(f"link set pwh{number:04d} master {host.BRIDGE} up\n" for number, _name in numbered)
            + f"link set {host.BRIDGE} up\n"
        )

    def attach(self, form: str) -> float:
        inside = 'nsenter --net="/run/netns/$name" ip' if form.startswith("nsenter") else 'ip -netns "$name"'
        script = (
            f'set -e\nip -batch "{self.make}"\n'
            "while read -r name address; do\n"
            f'printf "link set eth1 up\\naddr add $address broadcast + dev eth1\\n" | {inside} -batch -\n'
            f'done < "{self.guests}"\nip -batch "{self.join}"\n'
        )
        return host.timed(lambda: host.run(["sh", "-c", script]))


def find_cni() -> Path | None:
    return next((directory for directory in CNI_DIRECTORIES if (directory / "bridge").exists()), None)


def cni_add(plugins: Path, namespaces: list[str], addresses: list[str]) -> float:
    """The plugin called as a runtime calls it; the bridge is up already."""

    def add(name: str, address: str) -> None:
        configuration = {
            "cniVersion": "0.4.0",
            "name": "pwb",
            "type": "bridge",
            "bridge": host.BRIDGE,
            "ipam": {"type": "static", "addresses": [{"address": address}]},
        }
        environment = {
            **os.environ,
            "CNI_COMMAND": "ADD",
            "CNI_CONTAINERID": name,
            "CNI_NETNS": f"/run/netns/{name}",
            "CNI_IFNAME": "eth1",
            "CNI_PATH": str(plugins),
        }
        host.run([plugins / "bridge"], input=json.dumps(configuration), env=environment)

    def add_all() -> None:
        for name, address in zip(namespaces, addresses):
            add(name, address)

    return host.timed(add_all)
