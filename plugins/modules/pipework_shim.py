#!/usr/bin/python
# Copyright: pipework.containers contributors
# GNU General Public License v3.0+ (see LICENSE)
from __future__ import annotations

DOCUMENTATION = r"""
module: pipework_shim
short_description: Let the host talk to the containers on its NIC
version_added: 0.1.0
description:
  - The kernel keeps a NIC and the macvlan interfaces on it apart, so that the host does not reach containers on its own
    NIC. A shim is a macvlan interface of the host itself, beside theirs.
  - Without O(addresses), all static addresses and routes of the NIC (of all tables, both families) and the rules that
    name it move to the shim at once. The shim has the addresses before the NIC loses them,
    so that the host is reached throughout.
  - With O(addresses), the NIC stays as it is. The shim gets these, and O(routes) to the containers alone.
  - With O(confirm_timeout), a process on the host takes everything back unless the play comes back over a new
    connection and confirms in time, which the task does by itself. It needs neither the connection nor the controller.
  - What was changed is read back from the kernel and must be as wanted. When a step fails, the steps before it
    are taken back.
notes:
  - Addresses that routers gave by SLAAC stay on the NIC; the shim gets its own.
    An address that a DHCP server lent moves, but the client that renews it has to be told.
  - Rules of a packet filter that name the NIC do not know the shim.
extends_documentation_fragment:
  - pipework.containers.attributes
options:
  runtime:
    description: Not used. It is accepted so that C(module_defaults) can set it for all modules of the action group.
    type: str
  runtime_user:
    description: Not used, as O(runtime).
    type: str
  parent:
    description: The NIC of the host that the containers' interfaces are on, or V(mac:) and its address.
    type: str
  name:
    description: The shim. The default is the name of O(parent), at most 14 characters of it, and V(m).
    type: str
  mode:
    description:
      - The mode of the macvlan. In V(bridge), the default, the host reaches the containers directly; in V(vepa) only
        through a switch that sends frames back; in V(private) not at all.
    type: str
    choices: [bridge, private, vepa]
  mac_address:
    description: The shim's MAC address. The default is made from its name and the host, and the same each time.
    type: str
    aliases: [mac]
  addresses:
    description:
      - Addresses of the shim's own, such as V(192.168.1.250/32). The list is the whole set, and may be empty.
      - Without this option the addresses and routes of O(parent) move to the shim.
    type: list
    elements: str
    aliases: [address]
  routes:
    description: With O(addresses), the containers' prefixes or addresses, which the host then reaches through the shim.
    type: list
    elements: str
  persistence:
    description:
      - What is to bring the shim back when the host starts, by files that are ours alone and marked so, under
        C(/etc/network/interfaces.d), C(/etc/systemd/network) or C(/etc/NetworkManager/system-connections). It has to be
        what sets up O(parent), too. The files are read at the next start, or when that program is told to read them.
      - V(none) removes them, and so does O(state=absent). Without this option they are left as they are.
      - It goes with O(addresses). Where the NIC's own move, what sets up the NIC are files of others.
    type: str
    choices: [none, ifupdown, networkd, networkmanager]
  confirm_timeout:
    description:
      - Seconds after which the host takes everything back, unless it was confirmed over a new connection.
        V(0), the default, takes nothing back.
      - It needs a connection over the network. With C(ansible_connection=local) it is an error.
    type: int
  confirm:
    description:
      - Change nothing, but confirm what an earlier run with O(confirm_timeout) has done. The task does this by itself.
        It is an error when the time is over.
    type: bool
    default: false
  state:
    description:
      - V(absent) removes the shim. What had moved to it moves back.
      - The default is V(present).
    type: str
    choices: [present, absent]
  shims:
    description: Many shims in one run. The options of the task are the defaults of each.
    type: list
    elements: dict
    suboptions:
      parent: {description: See O(parent)., type: str}
      name: {description: See O(name)., type: str}
      mode: {description: See O(mode)., type: str, choices: [bridge, private, vepa]}
      mac_address: {description: See O(mac_address)., type: str, aliases: [mac]}
      addresses: {description: See O(addresses)., type: list, elements: str, aliases: [address]}
      routes: {description: See O(routes)., type: list, elements: str}
      persistence:
        description: See O(persistence).
        type: str
        choices: [none, ifupdown, networkd, networkmanager]
      confirm_timeout: {description: See O(confirm_timeout)., type: int}
      state: {description: See O(state)., type: str, choices: [present, absent]}
seealso:
  - module: pipework.containers.pipework_attach
author:
  - pipework.containers contributors (@pipework)
"""

EXAMPLES = r"""
- name: The host keeps its address, and has one more by which it talks to the containers
  pipework.containers.pipework_shim:
    parent: eth0
    addresses: [192.168.1.250/32]
    routes: [192.168.1.192/27]

- name: The host's addresses and routes move to eth0m, and back again if the host is not reached by then
  pipework.containers.pipework_shim:
    parent: eth0
    confirm_timeout: 60

- name: Back to the NIC
  pipework.containers.pipework_shim:
    parent: eth0
    state: absent
    confirm_timeout: 60
"""

RETURN = r"""
before:
  description: The managed objects before the run, by kind and name.
  returned: success
  type: dict
after:
  description: The same after the run; in check mode, as they would be. The watchdog is there until it is confirmed.
  returned: success
  type: dict
operations:
  description: What was done, in this order; in check mode, what would be done.
  returned: success
  type: list
  elements: dict
  contains:
    action: {description: "One of C(create), C(update) and C(delete).", type: str, returned: always}
    kind:
      description: "One of C(watchdog), C(link), C(sysctl), C(address), C(route), C(rule) and C(file)."
      type: str
      returned: always
    name: {description: "The object, such as C(eth0m).", type: str, returned: always}
    before: {description: The object before., type: dict, returned: always}
    after: {description: The object after., type: dict, returned: always}
  sample:
    - {action: create, kind: address, name: eth0m 192.168.1.10/24, before: {}, after: {broadcast: 192.168.1.255}}
pending:
  description: Whether something waits to be confirmed. After the task, when it was confirmed, it is false.
  returned: success
  type: bool
shims:
  description: The shims that are present.
  returned: success
  type: list
  elements: dict
  contains:
    name: {description: The shim., type: str, returned: always}
    parent: {description: The NIC., type: str, returned: always}
    mode: {description: The mode of the macvlan., type: str, returned: always}
    mac_address: {description: Its MAC address., type: str, returned: always}
    mtu: {description: Its MTU., type: int, returned: always}
    moved: {description: Whether it has the NIC's addresses., type: bool, returned: always}
    addresses: {description: The static addresses that it has., type: list, elements: str, returned: always}
    routes: {description: The routes through it., type: list, elements: str, returned: always}
    ends_in: {description: "Seconds until everything is taken back, or null.", type: float, returned: always}
"""

from ansible_collections.pipework.containers.plugins.module_utils._engine.run import run
from ansible_collections.pipework.containers.plugins.module_utils._jobs.shim import ShimJob
from ansible_collections.pipework.containers.plugins.module_utils._module import run_module

ITEM = {
    "parent": {"type": "str"},
    "name": {"type": "str"},
    "mode": {"type": "str", "choices": ["bridge", "private", "vepa"]},
    "mac_address": {"type": "str", "aliases": ["mac"]},
    "addresses": {"type": "list", "elements": "str", "aliases": ["address"]},
    "routes": {"type": "list", "elements": "str"},
    "persistence": {"type": "str", "choices": ["none", "ifupdown", "networkd", "networkmanager"]},
    "confirm_timeout": {"type": "int"},
    "state": {"type": "str", "choices": ["present", "absent"]},
}


def main() -> None:
    run_module(
        {
            **ITEM,
            "runtime": {"type": "str"},
            "runtime_user": {"type": "str"},
            "confirm": {"type": "bool", "default": False},
            "shims": {"type": "list", "elements": "dict", "options": ITEM},
        },
        ShimJob,
        run,
    )


if __name__ == "__main__":
    main()
