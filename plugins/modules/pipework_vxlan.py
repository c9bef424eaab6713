#!/usr/bin/python
# Copyright: pipework.containers contributors
# GNU General Public License v3.0+ (see LICENSE)
from __future__ import annotations

DOCUMENTATION = r"""
module: pipework_vxlan
short_description: Make one segment of bridges on several hosts, by VXLAN
version_added: 0.1.0
description:
  - Makes a VXLAN link on the host and a port of a bridge of it, so that the containers on that bridge and those on
    the bridges of other hosts are on one segment. The bridge is made if it is missing.
  - Each host gets the addresses of the others, to whom it sends what is for all; no multicast is needed between them.
    Or a routing daemon with EVPN tells it.
  - Changes in place what differs. Another VNI, port or device, or another family of addresses, makes a new link, on
    which what others put into the forwarding table is put back.
  - What was changed is read back from the kernel and must be as wanted. When a step fails, the steps before it
    are taken back.
extends_documentation_fragment:
  - pipework.containers.attributes
options:
  runtime:
    description: Not used. It is accepted so that C(module_defaults) can set it for all modules of the action group.
    type: str
  runtime_user:
    description: Not used, as O(runtime).
    type: str
  vni:
    description: The VXLAN network identifier of the segment, 1 to 16777215. A host has each once, whatever the port is.
    type: int
  name:
    description: The name of the VXLAN link. The default is C(vxlan) and the VNI.
    type: str
  bridge:
    description:
      - The Linux bridge that the segment is on. One that is missing is made, and goes with its last port, as with
        M(pipework.containers.pipework_attach).
      - A bridge takes part in one segment, unless it filters VLANs.
    type: str
  local:
    description: The address of this host to which the others send, which it has to have already. Needed.
    type: str
  remotes:
    description:
      - The addresses of the other hosts. This host's own is passed over, so that all hosts may have the same list.
      - The list is the whole set. Entries with a MAC address, and those of a routing daemon, are never touched.
      - Without it, whom frames for all are sent to is left as it is.
    type: list
    elements: str
  device:
    description:
      - The interface through which the tunnel goes, and with which it goes away. By default the host's routes decide,
        and the interface that has O(local) tells the MTU.
    type: str
  port:
    description: The UDP port, the same on all hosts. The default is 4789. A host's own firewall has to let it in.
    type: int
  mtu:
    description:
      - The largest packet that goes through. By default, and at most, the MTU of the interface below less 50 bytes
        with IPv4 and 70 with IPv6.
    type: int
  learning:
    description:
      - Whether the host learns from the frames that come behind which host an address is. New links do; a routing
        daemon with EVPN wants it off.
    type: bool
  neigh_suppress:
    description: Whether the bridge answers ARP and neighbour discovery for addresses that a routing daemon has told of.
    type: bool
  subnets:
    description:
      - The subnets of the segment, each with its length. They are only compared, with each other and with the addresses
        that the host has on other interfaces, and what overlaps is refused.
    type: list
    elements: str
  forwarding:
    description:
      - What to do where the host's packet filter would drop frames between the ports of the bridge, as
        O(pipework.containers.pipework_bridge#module:forwarding).
      - The default is V(auto).
    type: str
    choices: [auto, accept, unmanaged]
  state:
    description:
      - V(absent) takes the host out of the segment; O(vni), or O(name), is all that it needs.
      - The default is V(present).
    type: str
    choices: [present, absent]
  segments:
    description: Many segments in one run. The options of the task are the defaults of each.
    type: list
    elements: dict
    suboptions:
      vni: {description: See O(vni)., type: int}
      name: {description: See O(name)., type: str}
      bridge: {description: See O(bridge)., type: str}
      local: {description: See O(local)., type: str}
      remotes: {description: See O(remotes)., type: list, elements: str}
      device: {description: See O(device)., type: str}
      port: {description: See O(port)., type: int}
      mtu: {description: See O(mtu)., type: int}
      learning: {description: See O(learning)., type: bool}
      neigh_suppress: {description: See O(neigh_suppress)., type: bool}
      subnets: {description: See O(subnets)., type: list, elements: str}
      forwarding: {description: See O(forwarding)., type: str, choices: [auto, accept, unmanaged]}
      state: {description: See O(state)., type: str, choices: [present, absent]}
  purge:
    description: With O(segments), remove the VXLAN links that this module made and that are not listed.
    type: bool
    default: false
seealso:
  - module: pipework.containers.pipework_attach
  - module: pipework.containers.pipework_bridge
author:
  - pipework.containers contributors (@pipework)
"""

EXAMPLES = r"""
- name: Three hosts on one segment
  pipework.containers.pipework_vxlan:
    bridge: br1
    vni: 100
    local: "{{ ansible_facts.default_ipv4.address }}"
    remotes: [10.0.0.1, 10.0.0.2, 10.0.0.3]

- name: The containers of this host on it
  pipework.containers.pipework_attach:
    host_interface: br1
    attachments:
      - {container: web1, addresses: [192.168.1.1/24]}

- name: Two segments, and no other of this collection
  pipework.containers.pipework_vxlan:
    purge: true
    local: 10.0.0.1
    remotes: [10.0.0.1, 10.0.0.2, 10.0.0.3]
    segments:
      - {vni: 100, bridge: office, subnets: [192.168.1.0/24]}
      - {vni: 200, bridge: shop, subnets: [192.168.2.0/24]}

- name: Take this host out of a segment
  pipework.containers.pipework_vxlan:
    vni: 100
    state: absent
"""

RETURN = r"""
before:
  description: The managed objects before the run, by kind and name. Empty when there were none.
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
    kind: {description: "One of C(link), C(port), C(fdb) and C(filter).", type: str, returned: always}
    name: {description: "The object, such as C(vxlan100 00:00:00:00:00:00 10.0.0.2).", type: str, returned: always}
    before: {description: The object before., type: dict, returned: always}
    after: {description: The object after., type: dict, returned: always}
  sample:
    - {action: create, kind: fdb, name: "vxlan100 00:00:00:00:00:00 10.0.0.2", before: {}, after: {}}
segments:
  description: The segments that are present, in the order of the list.
  returned: success
  type: list
  elements: dict
  contains:
    name: {description: The VXLAN link., type: str, returned: always}
    vni: {description: Its VNI., type: int, returned: always}
    bridge: {description: The bridge that it is a port of., type: str, returned: always}
    local: {description: This host's address., type: str, returned: always}
    remotes: {description: The other hosts that are listed., type: list, elements: str, returned: always}
    device: {description: The interface that it is bound to; null for none., type: str, returned: always}
    port: {description: The UDP port., type: int, returned: always}
    mtu: {description: Its MTU., type: int, returned: always}
    learning: {description: Whether it learns from frames., type: bool, returned: always}
    neigh_suppress: {description: Whether the bridge answers for the other hosts., type: bool, returned: always}
"""

from ansible_collections.pipework.containers.plugins.module_utils._engine.run import run
from ansible_collections.pipework.containers.plugins.module_utils._jobs.vxlan import VxlanJob
from ansible_collections.pipework.containers.plugins.module_utils._module import run_module

ITEM = {
    "vni": {"type": "int"},
    "name": {"type": "str"},
    "bridge": {"type": "str"},
    "local": {"type": "str"},
    "remotes": {"type": "list", "elements": "str"},
    "device": {"type": "str"},
    "port": {"type": "int"},
    "mtu": {"type": "int"},
    "learning": {"type": "bool"},
    "neigh_suppress": {"type": "bool"},
    "subnets": {"type": "list", "elements": "str"},
    "forwarding": {"type": "str", "choices": ["auto", "accept", "unmanaged"]},
    "state": {"type": "str", "choices": ["present", "absent"]},
}


def main() -> None:
    run_module(
        {
            **ITEM,
            "runtime": {"type": "str"},
            "runtime_user": {"type": "str"},
            "segments": {"type": "list", "elements": "dict", "options": ITEM},
            "purge": {"type": "bool", "default": False},
        },
        VxlanJob,
        run,
    )


if __name__ == "__main__":
    main()
