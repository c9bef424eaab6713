# Copyright: pipework.containers contributors
# GNU General Public License v3.0+ (see LICENSE)
"""ssh's ProxyCommand: connects from within the fleet's network and hands ssh the socket (ProxyUseFdpass).

proxy.py DIRECTORY HOST PORT
"""
from __future__ import annotations

import json
import os
import socket
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import boxes

PATIENCE = 10  # seconds


def main(directory: str, host: str, port: str) -> None:
    with open(os.path.join(directory, "fleet.json"), encoding="utf-8") as handle:
        fleet = json.load(handle)["underlay"]
    if not boxes.alive(fleet["pid"], fleet["mark"]):
        sys.exit(f"the fleet in {directory} does not run")
    boxes.join(fleet["pid"])
    try:
        with socket.create_connection((host, int(port)), PATIENCE) as found, socket.socket(fileno=os.dup(1)) as ssh:
            found.setblocking(True)
            socket.send_fds(ssh, [b"\\0"], [found.fileno()])
    except OSError as error:
        sys.exit(f"{host} port {port}: {error}")


if __name__ == "__main__":
    main(*sys.argv[1:])
