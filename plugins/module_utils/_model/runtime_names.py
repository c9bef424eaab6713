# Copyright: pipework.containers contributors
# GNU General Public License v3.0+ (see LICENSE)
"""The runtimes by their names. Pure."""
from __future__ import annotations

# ``auto`` asks those that name containers, in this order.
NAMES = ("docker", "podman", "lxc", "incus", "containerd", "cri", "nspawn", "netns", "pid", "host")
AUTO = ("docker", "podman", "lxc", "incus", "containerd", "cri", "nspawn", "netns")
OF_USERS = ("docker", "podman", "lxc")  # that run without root too
