#!/usr/bin/python
# Copyright: pipework.containers contributors
# GNU General Public License v3.0+ (see LICENSE)
from __future__ import annotations

DOCUMENTATION = r"""
module: pipework_wait
short_description: Wait for interfaces of containers
version_added: 0.1.0
description:
  - Waits until an interface of a container is there, up, has an address, a default route, or reaches somebody;
    and for the container itself, where it does not run yet.
  - Nothing is asked again and again. The kernel tells what changes, and the module returns some milliseconds later.
  - Docker tells when a container starts, and the kernel when a named network namespace comes,
    or a first program runs in one.
    Where the kernel does not tell, as in a container, the runtimes are asked twice a second until the container runs.
  - A container that ends meanwhile is an error, as is one that shares the host's network.
  - Nothing is changed, except that for V(reachable) the kernel is made to ask for the neighbour.
    A check run waits as well.
  - Other modules of the collection can work meanwhile.
extends_documentation_fragment:
  - pipework.containers.attributes
  - pipework.containers.container
options:
  container:
    description:
      - The container, by the name or the ID that its runtime knows it by, as for
        M(pipework.containers.pipework_attach).
      - Without it, the network namespace that the module runs in is meant. That is the host's as a rule, or the
        container's where Ansible's connection leads into it.
    type: str
    aliases: [guest]
  interface:
    description: The interface. The default is V(eth1).
    type: str
    aliases: [container_interface]
  until:
    description:
      - V(present) - it is there.
      - V(carrier) - it is set up and has a carrier.
      - V(up) - its operational state is up too, or unknown as that of interfaces that have none.
        This is the default.
      - V(addressed) - it is up and has an address that can be used. One that is still looked for on other machines,
        or was found there, does not count. Nor does IPv6's address of the link, which every interface has.
      - V(routed) - it is up, and a default route leads through it, whose family is not one of which it has addresses
        that cannot be used yet.
      - V(reachable) - it is up, a route leads to O(target) through it, and the neighbour has answered to ARP or
        neighbour discovery. Where the target is behind a router, that is the router.
      - V(absent) - it is not there, or its container is not.
    type: str
    choices: [present, carrier, up, addressed, routed, reachable, absent]
  target:
    description: For O(until=reachable), the address to be reached.
    type: str
  timeout:
    description: Seconds after which it is an error, which says what was missing; V(0) looks once.
    type: float
    default: 300
  waits:
    description:
      - Many in one run. The options of the task are the defaults of each.
      - Each counts once it has come true; the module returns when all have.
    type: list
    elements: dict
    suboptions:
      container: {description: See O(container)., type: str, aliases: [guest]}
      runtime:
        description: See O(runtime).
        type: str
        choices: [auto, docker, podman, lxc, incus, containerd, cri, nspawn, netns, pid, host]
      runtime_user: {description: See O(runtime_user)., type: str}
      interface: {description: See O(interface)., type: str, aliases: [container_interface]}
      until:
        description: See O(until).
        type: str
        choices: [present, carrier, up, addressed, routed, reachable, absent]
      target: {description: See O(target)., type: str}
seealso:
  - module: pipework.containers.pipework_attach
notes:
  - Root is needed to look into containers and for V(reachable); not for the namespace that the module runs in.
  - For images without Python there is the script C(files/pipework-wait) of the collection.
author:
  - pipework.containers contributors (@pipework)
"""

EXAMPLES = r"""
- name: Wait for the container, and for its second interface
  pipework.containers.pipework_wait:
    container: web1
    timeout: 60

- name: Wait until the database can be spoken to
  pipework.containers.pipework_wait:
    container: web1
    until: reachable
    target: 192.168.1.2

- name: Wait for all of them
  pipework.containers.pipework_wait:
    runtime: docker
    until: addressed
    waits:
      - {container: web1}
      - {container: db1, interface: eth2}
"""

RETURN = r"""
elapsed:
  description: How long it took, in seconds.
  returned: always
  type: float
  sample: 0.012
waits:
  description: What was waited for, in the order of the list.
  returned: always
  type: list
  elements: dict
  contains:
    container: {description: The container's name., type: str, returned: always}
    container_id: {description: Its ID as the runtime has it., type: str, returned: always}
    runtime: {description: Who knows it., type: str, returned: always}
    interface: {description: The interface., type: str, returned: always}
    until: {description: What was waited for., type: str, returned: always}
    target: {description: Who was to be reached., type: str, returned: always}
    met: {description: Whether it has come true., type: bool, returned: always}
    elapsed: {description: "When it did, in seconds; null where it did not.", type: float, returned: always}
    saw:
      description:
        - What the kernel showed last. Always C(present); of an interface that is there C(carrier), C(up),
          C(mac_address) and C(mtu); as far as it was waited for, C(addresses), those that are C(unusable) and why,
          C(gateway), and the C(next_hop) to the target with the state of that C(neighbour).
      type: dict
      returned: always
  sample:
    - container: web1
      container_id: 3f2a9c41d0b7
      runtime: docker
      interface: eth1
      until: addressed
      target: null
      met: true
      elapsed: 0.012
      saw: {present: true, carrier: true, up: true, mtu: 1500, addresses: [192.168.1.1/24]}
before:
  description: Empty, since nothing is managed.
  returned: success
  type: dict
after:
  description: Empty.
  returned: success
  type: dict
operations:
  description: Empty, since nothing is changed.
  returned: success
  type: list
  elements: dict
"""

from ansible_collections.pipework.containers.plugins.module_utils._jobs.wait import WaitJob, wait
from ansible_collections.pipework.containers.plugins.module_utils._module import CONTAINER, run_module

ITEM = {
    **CONTAINER,
    "interface": {"type": "str", "aliases": ["container_interface"]},
    "until": {"type": "str", "choices": ["present", "carrier", "up", "addressed", "routed", "reachable", "absent"]},
    "target": {"type": "str"},
}


def main() -> None:
    run_module(
        {
            **ITEM,
            "timeout": {"type": "float", "default": 300},
            "waits": {"type": "list", "elements": "dict", "options": ITEM},
        },
        WaitJob,
        work=wait,
    )


if __name__ == "__main__":
    main()
