# Copyright: pipework.containers contributors
# GNU General Public License v3.0+ (see LICENSE)
"""Lets a process outlive the session in which it was started: the end of a login, or of the service that runs Ansible,
may be the end of all that the kernel counts among its processes.
"""
from __future__ import annotations

import contextlib
import os

from .._core.errors import PipeworkError
from . import program

CGROUPS = ("/sys/fs/cgroup/cgroup.procs", "/sys/fs/cgroup/unified/cgroup.procs", "/sys/fs/cgroup/systemd/cgroup.procs")
SYSTEMD = ("org.freedesktop.systemd1", "/org/freedesktop/systemd1", "org.freedesktop.systemd1.Manager")


def let_outlive(pid: int, name: str, about: str) -> None:
    """Takes a process of ours out of where it is: into a unit of its own where systemd runs, else out of all groups.

    A scope, since its process is the one that was started: with the number that is noted, and the same namespaces.
    """
    if not _in_a_scope(pid, f"pipework-{name}-{os.urandom(4).hex()}.scope", about):
        for procs in CGROUPS:
            with contextlib.suppress(OSError), open(procs, "w", encoding="ascii") as handle:
                handle.write(str(pid))


def _in_a_scope(pid: int, unit: str, about: str) -> bool:
    if not runs_systemd("pid"):  # or the process has another number there
        return False
    words = [*SYSTEMD, "StartTransientUnit", "ssa(sv)a(sa(sv))", unit, "fail", "3", "PIDs", "au", "1", str(pid)]
    words += ["Description", "s", about, "CollectMode", "s", "inactive-or-failed", "0"]
    with contextlib.suppress(PipeworkError):
        return program.run("busctl", "--quiet", "call", *words).code == 0
    return False


def runs_systemd(*kinds: str) -> bool:
    """Whether systemd runs, and with these namespaces of ours: not those of a container or sandbox."""
    with contextlib.suppress(OSError):
        same = all(os.readlink(f"/proc/1/ns/{kind}") == os.readlink(f"/proc/self/ns/{kind}") for kind in kinds)
        return same and os.path.isdir("/run/systemd/system")
    return False
