#!/usr/bin/python
# Copyright: pipework.containers contributors
# GNU General Public License v3.0+ (see LICENSE)
from __future__ import annotations

DOCUMENTATION = r"""
module: pipework_hosts
short_description: Keep names of machines in hosts files of containers and of the host
version_added: 0.1.0
description:
  - Keeps a block of lines in a container's own C(/etc/hosts), between two comments that name it. All other lines stay
    as they are, byte for byte, and when the block goes, the file is as it was.
  - The container needs no program for it. Its files are read and written by a process that becomes the container's own
    root and may do no more than that. Links lead nowhere but inside the container.
  - For a named network namespace the file is C(/etc/netns/NAME/hosts), which C(ip netns exec) uses; it is made if it is
    missing, and goes with its last block.
  - Docker and Podman write the file anew when a container starts. The next run brings the block back.
  - What was changed is read back and must be as wanted. When a step fails, the steps before it are taken back.
extends_documentation_fragment:
  - pipework.containers.attributes
  - pipework.containers.container
  - pipework.containers.missing
options:
  block:
    description:
      - The name of the block, of letters, digits, C(-), C(_) and C(.). A file can have several. The default is
        V(pipework).
    type: str
  entries:
    description:
      - The lines of the block, all of them. An empty list takes the block away.
      - Needed with O(state=present).
    type: list
    elements: dict
    suboptions:
      address:
        description: An IPv4 or IPv6 address.
        type: str
        required: true
      names:
        description: The names that mean this address, at most 32. The first one is the machine's own by custom.
        type: list
        elements: str
        required: true
  state:
    description:
      - Whether the block shall be there. The default is V(present).
      - With V(present), a container that is missing or does not run is an error. With V(absent) it is none, and what is
        left of a network namespace under C(/etc/netns) is cleaned up.
    type: str
    choices: [present, absent]
  files:
    description:
      - Many blocks, of any containers, in one run. Top-level options are the defaults of all items.
    type: list
    elements: dict
    suboptions:
      container: {description: See O(container)., type: str, aliases: [guest]}
      runtime:
        description: See O(runtime).
        type: str
        choices: [auto, docker, podman, lxc, incus, containerd, cri, nspawn, netns, pid, host]
      runtime_user: {description: See O(runtime_user)., type: str}
      missing: {description: See O(missing)., type: str, choices: [fail, skip]}
      block: {description: See O(block)., type: str}
      entries:
        description: See O(entries).
        type: list
        elements: dict
        suboptions:
          address: {description: An IPv4 or IPv6 address., type: str, required: true}
          names: {description: The names that mean this address., type: list, elements: str, required: true}
      state: {description: See O(state)., type: str, choices: [present, absent]}
notes:
  - The role P(pipework.containers.private_bridge#role) does it for the containers of a network.
  - A file that is not the container's own (one that it shares with the host), that is no regular file, has more than
    64 KiB or is read-only, is refused, and so are pods and network namespaces without a name, which have no files.
seealso:
  - module: pipework.containers.pipework_attach
author:
  - pipework.containers contributors (@pipework)
"""

EXAMPLES = r"""
- name: The web server finds its database by name
  pipework.containers.pipework_hosts:
    container: web1
    entries:
      - {address: 192.168.1.2, names: [db1, db1.example.org]}
      - {address: "fd00:1::2", names: [db1, db1.example.org]}

- name: Both, and the host, know both
  pipework.containers.pipework_hosts:
    block: shop
    entries:
      - {address: 192.168.1.1, names: [web1]}
      - {address: 192.168.1.2, names: [db1]}
    files:
      - container: web1
      - container: db1
      - runtime: host

- name: Take a block away
  pipework.containers.pipework_hosts:
    container: web1
    block: shop
    state: absent
"""

RETURN = r"""
skipped:
  description: The containers that were left out, as O(missing) says, since they do not exist or do not run.
  returned: if there are such ones
  type: list
  elements: str
  sample: [web2]
before:
  description: The managed blocks before the run, by kind and name. Empty when there were none.
  returned: success
  type: dict
after:
  description: The same after the run; in check mode, as they would be.
  returned: success
  type: dict
operations:
  description: What was done, in this order; in check mode, what would be done.
  returned: success
  type: list
  elements: dict
  contains:
    action: {description: "One of C(create), C(update) and C(delete).", type: str, returned: always}
    kind: {description: C(hosts)., type: str, returned: always}
    name: {description: "The block, such as C(docker:web1/shop).", type: str, returned: always}
    before: {description: The block before., type: dict, returned: always}
    after: {description: The block after., type: dict, returned: always}
  sample:
    - {action: create, kind: hosts, name: "docker:web1/pipework", before: {}, after: {lines: [192.168.1.2 db1]}}
files:
  description: The blocks that are present, in the order of the list.
  returned: success
  type: list
  elements: dict
  contains:
    container: {description: The container's name., type: str, returned: always}
    runtime: {description: The runtime that knows it., type: str, returned: always}
    block: {description: See O(block)., type: str, returned: always}
    entries: {description: "See O(entries), in one spelling.", type: list, elements: dict, returned: always}
"""

from ansible_collections.pipework.containers.plugins.module_utils._engine.run import run
from ansible_collections.pipework.containers.plugins.module_utils._jobs.hosts import HostsJob
from ansible_collections.pipework.containers.plugins.module_utils._module import CONTAINER, MISSING, run_module

ENTRY = {
    "address": {"type": "str", "required": True},
    "names": {"type": "list", "elements": "str", "required": True},
}
ITEM = {
    **CONTAINER,
    **MISSING,
    "block": {"type": "str"},
    "entries": {"type": "list", "elements": "dict", "options": ENTRY},
    "state": {"type": "str", "choices": ["present", "absent"]},
}


def main() -> None:
    run_module({**ITEM, "files": {"type": "list", "elements": "dict", "options": ITEM}}, HostsJob, run)


if __name__ == "__main__":
    main()
