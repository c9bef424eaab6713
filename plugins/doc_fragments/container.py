# Copyright: pipework.containers contributors
# GNU General Public License v3.0+ (see LICENSE)
from __future__ import annotations


class ModuleDocFragment:
    """The options that say which container is meant."""

    DOCUMENTATION = r"""
options:
  container:
    description:
      - The container, by the name or the ID that its runtime knows it by, also a short ID.
      - For O(runtime=lxc) its name, or the path of its folder where that is not in LXC's usual place. No folder on
        that path may be one that others than root can change, or than O(runtime_user).
      - For O(runtime=nspawn) the machine's name.
      - For O(runtime=incus) the name of an instance of Incus or LXD on this host, with its project before it
        (V(shop/web1)) unless that is the project default.
      - For O(runtime=containerd) an ID or the name that nerdctl gave, with containerd's namespace before it
        (V(other/web1)) where that is needed. Without it, all are searched but those of Docker and Kubernetes.
      - For O(runtime=cri) a pod of Kubernetes in containerd, with its namespace before it (V(shop/web1)) unless that is
        V(default), or the ID of a pod or of a container in it. CRI-O's pods are not found.
      - For O(runtime=netns) the name of a network namespace or an absolute path to one, for O(runtime=pid) a process
        ID. A path that a user can change leads to namespaces of that user's alone.
      - O(runtime=host) takes none. An item of a list that says so has nothing of the task's O(container).
    type: str
    aliases: [guest]
  runtime:
    description:
      - Who knows the container. V(auto) asks V(docker), V(podman), V(lxc), V(incus), V(containerd), V(cri),
        V(nspawn) and V(netns), as far as they are installed, and fails when several know the name.
      - V(host) is the host itself.
      - The default is V(auto).
    type: str
    choices: [auto, docker, podman, lxc, incus, containerd, cri, nspawn, netns, pid, host]
  runtime_user:
    description:
      - The user whose rootless Docker, Podman or LXC it is. Root's own containers are meant without it.
      - What that user's engine says is believed of network namespaces that belong to that user's user namespaces.
      - With other runtimes it is refused. An item of a list that names such a one has nothing of the task's.
    type: str
requirements:
  - the Python library docker, for O(runtime=docker)
  - the program podman, for O(runtime=podman)
  - the program ctr, for O(runtime=containerd) and O(runtime=cri)
  - the programs lxc-info and lxc-ls, for O(runtime=lxc)
"""
