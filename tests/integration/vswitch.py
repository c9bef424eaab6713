# Copyright: pipework.containers contributors
# GNU General Public License v3.0+ (see LICENSE)
"""Open vSwitch on a host of one's own: a real database server and a real ovs-vswitchd, under the host's own /run."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import time
import typing as t

from tests.conftest import unavailable
from tests.integration.lab import Host

RUN = "/run/openvswitch"
SCHEMA = "/usr/share/openvswitch/vswitch.ovsschema"
# What a bridge has for a datapath where the kernel has none: frames pass through ovs-vswitchd itself.
NETDEV = "netdev"


class VSwitch:
    """The two servers of a host. ``folder``: where they have their sockets."""

    def __init__(self, host: Host, folder: str = RUN) -> None:
        if not shutil.which("ovs-vswitchd", path="/usr/sbin:/usr/bin:/sbin:/bin") or not os.path.exists(SCHEMA):
            unavailable("Open vSwitch is not installed: sudo make setup-system")
        self.host, self.folder = host, folder
        host.sh("mkdir", "-p", folder)
        host.sh("ovsdb-tool", "create", f"{folder}/conf.db", SCHEMA)
        self.start_database()
        self.vsctl("--no-wait", "init")
        while time.clock_gettime(time.CLOCK_BOOTTIME) < 12:  # before that it starts without the threads it needs
            time.sleep(0.5)
        self.start_switch()

    def start_database(self) -> None:
        """Also after a crash."""
        self.host.sh("find", self.folder, "-name", "ovsdb-server.*.ctl", "-delete")
        self._sh(
            "ovsdb-server", f"{self.folder}/conf.db", f"--remote=punix:{self.folder}/db.sock", "--detach",
            f"--pidfile={self.folder}/ovsdb-server.pid", f"--log-file={self.folder}/ovsdb-server.log", "-vconsole:off",
        )  # fmt: skip

    def start_switch(self) -> None:
        self._sh(
            "ovs-vswitchd", f"unix:{self.folder}/db.sock", "--detach", f"--pidfile={self.folder}/ovs-vswitchd.pid",
            f"--log-file={self.folder}/ovs-vswitchd.log", "-vconsole:off",
        )  # fmt: skip

    def _sh(self, *argv: str, check: bool = True) -> str:
        return self.host.sh("env", f"OVS_RUNDIR={self.folder}", f"OVS_LOGDIR={self.folder}", *argv, check=check)

    def vsctl(self, *words: str) -> str:
        return self._sh("ovs-vsctl", "--timeout=20", *words).strip()

    def pid(self, server: str) -> int:
        return int(self.host.sh("cat", f"{self.folder}/{server}.pid"))

    def signal(self, server: str, number: int) -> None:
        os.kill(self.pid(server), number)

    def close(self) -> None:
        for server in ("ovs-vswitchd", "ovsdb-server"):
            with contextlib.suppress(AssertionError, ValueError, ProcessLookupError):
                self.signal(server, signal.SIGKILL)

    # -- looking

    def bridge(self, name: str, datapath: str = NETDEV) -> None:
        """A bridge of somebody else."""
        self.vsctl("add-br", name, "--", "set", "Bridge", name, f"datapath_type={datapath}")

    def rows(self, table: str, *columns: str) -> list[dict[str, t.Any]]:
        shown = json.loads(self.vsctl("--format=json", f"--columns={','.join(columns)}", "list", table))
        return [dict(zip(shown["headings"], row)) for row in shown["data"]]

    def ids(self, port: str) -> dict[str, str]:
        """The external ids of a port's interface."""
        [row] = [row for row in self.rows("Interface", "name", "external_ids") if row["name"] == port]
        return dict(row["external_ids"][1])

    def ports(self, bridge: str) -> list[str]:
        return self.vsctl("list-ports", bridge).split()

    def column(self, port: str, *columns: str) -> list[t.Any]:
        [row] = [row for row in self.rows("Port", "name", *columns) if row["name"] == port]
        return [row[column] for column in columns]

    def snapshot(self) -> dict[str, t.Any]:
        """All of the database that somebody sets, without the numbers of processes."""
        bridges = self.rows("Bridge", "name", "external_ids", "other_config", "datapath_type", "fail_mode")
        ports = self.rows("Port", "name", "tag", "trunks", "vlan_mode", "protected", "external_ids", "other_config")
        ids = {row["name"]: dict(row["external_ids"][1]) for row in self.rows("Interface", "name", "external_ids")}
        for each in ids.values():
            each.pop("pipework.nspid", None)
        return {
            "bridges": {row["name"]: [row, sorted(self.ports(row["name"]))] for row in bridges},
            "ports": {row["name"]: [row, ids[row["name"]]] for row in ports},
        }
