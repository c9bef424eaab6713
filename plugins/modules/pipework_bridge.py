#!/usr/bin/python
# Copyright: pipework.containers contributors
# GNU General Public License v3.0+ (see LICENSE)
from __future__ import annotations

DOCUMENTATION = r"""
module: pipework_bridge
short_description: Make bridges for containers on the host
version_added: 0.1.0
description:
  - Makes bridges on the host, Linux's own or those of Open vSwitch, with addresses, MTU, MAC address, STP and timers;
    changes in place what differs; removes them.
  - Lets frames pass between the ports of the bridge where the host's packet filter would drop them.
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
  name:
    description: The bridge.
    type: str
  kind:
    description:
      - What makes the bridge. The default is V(linux).
      - V(openvswitch) needs Open vSwitch on the managed host. The host's addresses are on the interface of the bridge's
        name. Bridges and ports of others are left alone.
    type: str
    choices: [linux, openvswitch]
  addresses:
    description:
      - The host's addresses on the bridge, such as V(192.168.1.254/24), so that the host reaches the containers.
      - The list is the whole set of static global addresses.
        On a bridge that this collection did not make they are only added.
      - A new one of a network that the host has on another interface is taken with a warning.
    type: list
    elements: str
    aliases: [address]
  mac_address:
    description:
      - The bridge's MAC address. V(U:) and any string gives an address that is the same each time for the same string.
      - A new bridge gets an address made from its name and the host, so that it does not change as ports come and go.
    type: str
    aliases: [mac]
  mtu:
    description: The bridge's MTU in bytes. Left to the kernel by default, which takes that of the smallest port.
    type: int
  stp:
    description: Whether the bridge takes part in the spanning tree protocol. New bridges do not.
    type: bool
  forward_delay:
    description:
      - Seconds in the listening and in the learning state, 2 to 30; with O(stp=false) also less.
      - Timers of a bridge of Open vSwitch are whole seconds, this one 4 to 30. With O(rstp), they are those of RSTP.
    type: float
  hello_time:
    description: Seconds between hello messages, 1 to 10.
    type: float
  max_age:
    description: Seconds until another bridge counts as gone, 6 to 40.
    type: float
  ageing_time:
    description: Seconds until an address that was not seen again is forgotten; for Open vSwitch, 15 to 3600.
    type: float
  ports:
    description:
      - NICs of the host that are ports of the bridge, each by its name, or as C({name, vlan, vlan_trunks}).
      - The list is the whole set of those that this module made ports of the bridge; an empty list takes them out.
        A NIC that leaves, also with the bridge, is what it was before.
      - A NIC that is a port of another bridge is refused, and one that the host's default route leads through unless
        O(move_addresses=true).
      - C(vlan) and C(vlan_trunks) are those of M(pipework.containers.pipework_attach). Without them, a port of a bridge
        of Open vSwitch carries all VLANs with their tags, and one of a Linux bridge is in the VLAN O(default_pvid).
    type: list
    elements: raw
  move_addresses:
    description:
      - Take the addresses of O(ports), and the routes that lead out of them, over to the bridge. A new bridge takes
        over the MAC address too. When the NIC leaves the bridge, they go back.
      - Each address is on the bridge before it leaves the NIC, and each route is exchanged in one step. When a step
        fails, all is as it was.
      - An address that a DHCP client renews is refused. IPv6 addresses that a router gave are left alone; the bridge
        gets its own from the router.
      - Rules of policy routing that name the NIC as C(iif) or C(oif), whoever made them, name the bridge then, and the
        NIC again when it leaves. Where others of the same priority stay, they are looked at first, and the run warns.
    type: bool
  rstp:
    description:
      - Whether a bridge of Open vSwitch takes part in the rapid spanning tree protocol. Not together with O(stp).
    type: bool
  datapath:
    description:
      - Who passes the frames of a bridge of Open vSwitch. V(system), the kernel; V(netdev), C(ovs-vswitchd) itself,
        which works on every kernel and is slower.
      - The default for a new bridge is V(system). It cannot be changed while the bridge is there.
      - With V(netdev), TCP between containers needs C(ethtool -K eth1 tx off) in each of them.
    type: str
    choices: [system, netdev]
  fail_mode:
    description:
      - What a bridge of Open vSwitch does while no controller tells it. V(standalone), what any switch does;
        V(secure), nothing but the flows that somebody added.
      - What is set nowhere works as V(standalone).
    type: str
    choices: [standalone, secure]
  tunnels:
    description:
      - Tunnels to other switches, as ports of a bridge of Open vSwitch.
      - The list is the whole set of those that this module made on the bridge; an empty list removes them.
    type: list
    elements: dict
    suboptions: &tunnel
      name: {description: The port., type: str, required: true}
      type: {description: What wraps the frames. The default is V(vxlan)., type: str, choices: [vxlan, gre, geneve]}
      remote: {description: The address of the other end., type: str, required: true}
      local: {description: The address that the frames come from. By default the routes decide., type: str}
      key: {description: "The network's number, VNI for vxlan and geneve.", type: int}
      port: {description: The UDP port of vxlan and geneve. By default their own., type: int}
      vlan: {description: The VLAN of its frames. By default it carries all VLANs with their tags., type: int}
      vlan_trunks: {description: "VLANs that pass with their tag, as IDs and ranges.", type: list, elements: str}
  vlan_filtering:
    description:
      - Whether the bridge tells VLANs apart. Unless the bridge has ports of others,
        O(pipework.containers.pipework_attach#module:vlan) switches it on by itself.
      - The host's own addresses on the bridge are in the VLAN O(default_pvid).
    type: bool
  default_pvid:
    description: The VLAN of ports that are given none, 1 to 4094, or V(0) for none at all. The kernel's default is 1.
    type: int
  masquerade:
    description:
      - Whether what comes from the bridge's IPv4 networks, and goes elsewhere, gets the address of the interface that
        it leaves by, so that containers reach what the host reaches. The networks are those of the host's addresses
        on the bridge.
      - The rules stand in a table of their own in nftables, C(ip pipework); in iptables where the host has no C(nft).
        Their comment is C(pipework:masquerade:) and the bridge's name. They go with the bridge, or with V(false).
      - The host has to forward IPv4, which is switched on and stays on, since others may rely on it by then.
        Where its packet filter would drop what is forwarded, rules for this bridge let it pass, and the answers, unless
        O(forwarding=unmanaged).
    type: bool
  forwarding:
    description:
      - What to do where the host's packet filter would drop frames between the ports of the bridge,
        as it does where Docker runs and C(br_netfilter) is loaded.
      - V(auto) adds a rule for this bridge alone to the chains that would drop, with the comment C(pipework:)
        and the bridge's name.
        It is removed with the bridge.
      - V(accept) adds it to each chain at the forward hook; V(unmanaged) leaves the filter alone.
      - The default is V(auto). Frames of a bridge of Open vSwitch do not pass the filter.
    type: str
    choices: [auto, accept, unmanaged]
  state:
    description:
      - V(absent) removes a bridge that this collection made. Attachments that are still on it stay, without a bridge.
      - The default is V(present).
    type: str
    choices: [present, absent]
  bridges:
    description: Many bridges in one run. The options of the task are the defaults of each.
    type: list
    elements: dict
    suboptions:
      name: {description: See O(name)., type: str}
      kind: {description: See O(kind)., type: str, choices: [linux, openvswitch]}
      addresses: {description: See O(addresses)., type: list, elements: str, aliases: [address]}
      mac_address: {description: See O(mac_address)., type: str, aliases: [mac]}
      mtu: {description: See O(mtu)., type: int}
      stp: {description: See O(stp)., type: bool}
      forward_delay: {description: See O(forward_delay)., type: float}
      hello_time: {description: See O(hello_time)., type: float}
      max_age: {description: See O(max_age)., type: float}
      ageing_time: {description: See O(ageing_time)., type: float}
      vlan_filtering: {description: See O(vlan_filtering)., type: bool}
      default_pvid: {description: See O(default_pvid)., type: int}
      ports: {description: See O(ports)., type: list, elements: raw}
      move_addresses: {description: See O(move_addresses)., type: bool}
      rstp: {description: See O(rstp)., type: bool}
      datapath: {description: See O(datapath)., type: str, choices: [system, netdev]}
      fail_mode: {description: See O(fail_mode)., type: str, choices: [standalone, secure]}
      tunnels: {description: See O(tunnels)., type: list, elements: dict, suboptions: *tunnel}
      masquerade: {description: See O(masquerade)., type: bool}
      forwarding: {description: See O(forwarding)., type: str, choices: [auto, accept, unmanaged]}
      state: {description: See O(state)., type: str, choices: [present, absent]}
  purge:
    description: With O(bridges), remove the bridges that this module made and that are not listed.
    type: bool
    default: false
seealso:
  - module: pipework.containers.pipework_attach
author:
  - pipework.containers contributors (@pipework)
"""

EXAMPLES = r"""
- name: A bridge on which the host has an address
  pipework.containers.pipework_bridge:
    name: br1
    addresses: [192.168.1.254/24]

- name: A bridge for a virtual machine on ESXi, whose switch must not see spanning tree frames
  pipework.containers.pipework_bridge:
    name: br1
    stp: false
    forward_delay: 2

- name: A bridge with VLANs, on which a port that is given none has none
  pipework.containers.pipework_bridge:
    name: br1
    vlan_filtering: true
    default_pvid: 0

- name: A bridge with the host's card as a port, and with the host's addresses and routes
  pipework.containers.pipework_bridge:
    name: br0
    ports: [eth0]
    move_addresses: true

- name: A bridge with VLANs, and a card on which three of them pass with their tags
  pipework.containers.pipework_bridge:
    name: br2
    vlan_filtering: true
    ports:
      - {name: eth2, vlan_trunks: [10, 20-21]}

- name: A bridge of Open vSwitch, with a tunnel to the one on another host
  pipework.containers.pipework_bridge:
    name: ovsbr0
    kind: openvswitch
    addresses: [192.168.3.254/24]
    fail_mode: standalone
    tunnels:
      - {name: to-host2, type: vxlan, remote: 203.0.113.2, key: 100}

- name: Several bridges, and no other of this collection
  pipework.containers.pipework_bridge:
    purge: true
    bridges:
      - {name: br1, addresses: [192.168.1.254/24]}
      - {name: br2, addresses: [192.168.2.254/24], mtu: 9000}
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
    kind:
      description:
        - One of C(link), C(port), C(address), C(route), C(filter), C(masquerade), C(sysctl), C(ovs_bridge) and
          C(ovs_port).
      type: str
      returned: always
    name: {description: "The object, such as C(br1).", type: str, returned: always}
    before: {description: The object before., type: dict, returned: always}
    after: {description: The object after., type: dict, returned: always}
  sample:
    - {action: create, kind: address, name: br1 192.168.1.254/24, before: {}, after: {broadcast: 192.168.1.255}}
bridges:
  description:
    - The bridges that are present, in the order of the list, with their timers in seconds and,
      where the kernel has them, C(vlan_filtering) and C(default_pvid); those of Open vSwitch with C(datapath),
      C(fail_mode), C(stp), C(rstp), the timers that were set, and C(tunnels), the names of their tunnels.
  returned: success
  type: list
  elements: dict
  contains:
    name: {description: The bridge., type: str, returned: always}
    kind: {description: "C(linux) or C(openvswitch).", type: str, returned: always}
    mac_address:
      description: Its MAC address; null in check mode for a new one of Open vSwitch.
      type: str
      returned: always
    mtu: {description: Its MTU; null in check mode where the kernel will choose one., type: int, returned: always}
    ports: {description: "The NICs that are its ports, by this module.", type: list, elements: str, returned: always}
    addresses: {description: The host's addresses on it., type: list, elements: str, returned: always}
"""

from ansible_collections.pipework.containers.plugins.module_utils._engine.run import run
from ansible_collections.pipework.containers.plugins.module_utils._jobs.bridge import BridgeJob
from ansible_collections.pipework.containers.plugins.module_utils._module import run_module

TUNNEL = {
    "name": {"type": "str", "required": True},
    "type": {"type": "str", "choices": ["vxlan", "gre", "geneve"]},
    "remote": {"type": "str", "required": True},
    "local": {"type": "str"},
    "key": {"type": "int", "no_log": False},
    "port": {"type": "int"},
    "vlan": {"type": "int"},
    "vlan_trunks": {"type": "list", "elements": "str"},
}
ITEM = {
    "name": {"type": "str"},
    "kind": {"type": "str", "choices": ["linux", "openvswitch"]},
    "addresses": {"type": "list", "elements": "str", "aliases": ["address"]},
    "mac_address": {"type": "str", "aliases": ["mac"]},
    "mtu": {"type": "int"},
    "stp": {"type": "bool"},
    "forward_delay": {"type": "float"},
    "hello_time": {"type": "float"},
    "max_age": {"type": "float"},
    "ageing_time": {"type": "float"},
    "vlan_filtering": {"type": "bool"},
    "default_pvid": {"type": "int"},
    "ports": {"type": "list", "elements": "raw"},
    "move_addresses": {"type": "bool"},
    "rstp": {"type": "bool"},
    "datapath": {"type": "str", "choices": ["system", "netdev"]},
    "fail_mode": {"type": "str", "choices": ["standalone", "secure"]},
    "tunnels": {"type": "list", "elements": "dict", "options": TUNNEL},
    "masquerade": {"type": "bool"},
    "forwarding": {"type": "str", "choices": ["auto", "accept", "unmanaged"]},
    "state": {"type": "str", "choices": ["present", "absent"]},
}


def main() -> None:
    run_module(
        {
            **ITEM,
            "runtime": {"type": "str"},
            "runtime_user": {"type": "str"},
            "bridges": {"type": "list", "elements": "dict", "options": ITEM},
            "purge": {"type": "bool", "default": False},
        },
        BridgeJob,
        run,
    )


if __name__ == "__main__":
    main()
