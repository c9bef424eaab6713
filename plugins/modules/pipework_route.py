#!/usr/bin/python
# Copyright: pipework.containers contributors
# GNU General Public License v3.0+ (see LICENSE)
from __future__ import annotations

DOCUMENTATION = r"""
module: pipework_route
short_description: Routes of containers
version_added: 0.1.0
description:
  - Adds, changes and removes routes in a container, as C(ip route) does, of all types and in all tables.
  - A route is found again by its destination, table and metric. One that stands there and differs is replaced in
    one step. What the options do not say is as the kernel has it by itself; only the device of a gateway, and
    O(protocol), are left open.
  - The routes that this module adds carry the protocol number 114, unless O(protocol) says otherwise.
    Routes that the kernel made by itself, and those of M(pipework.containers.pipework_attach), are never touched.
extends_documentation_fragment:
  - pipework.containers.attributes
  - pipework.containers.container
  - pipework.containers.missing
options:
  destination:
    description:
      - Where to, as a prefix such as V(10.0.0.0/8), an address, or V(default).
    type: str
    aliases: [to, dest]
  family:
    description:
      - Of what family the route is. Without it, that is seen from the addresses; for V(default) alone it is V(ipv4).
      - An IPv4 route through an IPv6 gateway needs it if its destination is V(default).
    type: str
    choices: [ipv4, ipv6]
  gateway:
    description: The address of the next router. It has to be on a network of the container, unless O(onlink=true).
    type: str
    aliases: [via]
  device:
    description: The interface in the container.
    type: str
    aliases: [dev]
  source:
    description: The address of the container that packets on this route come from; one that it has.
    type: str
    aliases: [src]
  source_prefix:
    description: The prefix that packets have to come from, for IPv6.
    type: str
    aliases: [from]
  metric:
    description: The lower, the better. The default is 0, for IPv6 1024.
    type: int
  table:
    description:
      - The routing table, as a name of the host's C(rt_tables) or a number.
      - The default is V(main), and V(local) for the types V(local) and V(broadcast).
    type: str
  scope:
    description:
      - How far the destination is, V(global), V(site), V(link), V(host) or a number, for IPv4.
      - The default is V(global) with a gateway and V(link) without.
    type: str
  protocol:
    description:
      - Who made the route, as a name of the host's C(rt_protos) or a number. A route that stands there already
        with all else the same is left alone where this is not given.
    type: str
  type:
    description:
      - What becomes of the packets. V(blackhole), V(unreachable), V(prohibit) and V(throw) need no way.
      - The default is V(unicast).
    type: str
    choices: [unicast, local, broadcast, multicast, blackhole, unreachable, prohibit, throw]
  onlink:
    description: The gateway is on the link, even if no network of the container holds it. Needs O(device).
    type: bool
  preference:
    description: Among IPv6 routers. The default is V(medium).
    type: str
    choices: [low, medium, high]
  tos:
    description: The type of service that packets have to have, for IPv4. A number; hex will do.
    type: str
  mtu:
    description: The greatest packet, in bytes.
    type: int
  advmss:
    description: The greatest TCP segment that others are told of, in bytes.
    type: int
  metrics:
    description:
      - What else the kernel shall know of the way. C(mtu), C(advmss), C(window), C(rtt), C(rttvar), C(rto_min) (times
        in ms, or such as V(1s)), C(ssthresh), C(cwnd), C(initcwnd), C(initrwnd), C(reordering), C(hoplimit),
        C(quickack), C(features) (a list; C(ecn)), C(congctl) (a name), and C(lock), a list of those that
        the kernel must not change.
    type: dict
  encap:
    description:
      - What packets are wrapped into.
    type: dict
    suboptions:
      type: {description: Which sort., type: str, choices: [mpls, seg6], required: true}
      labels: {description: "The stack of labels, for MPLS.", type: list, elements: int}
      ttl: {description: "The time to live, for MPLS.", type: int}
      mode: {description: "The mode, for segments. The default is V(encap).", type: str, choices: [encap, inline]}
      segments: {description: "The segments in their order.", type: list, elements: str}
  nexthops:
    description: Several ways, among which packets are divided.
    type: list
    elements: dict
    suboptions:
      gateway: {description: See O(gateway)., type: str, aliases: [via]}
      device: {description: See O(device)., type: str, aliases: [dev]}
      weight: {description: "Its share, from 1 to 256. The default is 1.", type: int}
      onlink: {description: See O(onlink)., type: bool}
      encap:
        description: See O(encap).
        type: dict
        suboptions:
          type: {description: See O(encap.type)., type: str, choices: [mpls, seg6], required: true}
          labels: {description: See O(encap.labels)., type: list, elements: int}
          ttl: {description: See O(encap.ttl)., type: int}
          mode: {description: See O(encap.mode)., type: str, choices: [encap, inline]}
          segments: {description: See O(encap.segments)., type: list, elements: str}
  cmd:
    description:
      - What stands after C(ip route), such as V(replace default via 192.168.1.254), as a string or a list of words,
        in place of the options above. The verbs are C(add), C(replace), C(change), C(append), C(prepend), C(del)
        and C(flush).
      - C(add) of what is there already changes nothing; where something else stands there, it is an error as with
        C(ip). C(del) of what is not there is no error. C(flush) needs a table, and leaves what belongs to attachments.
        What the kernel made by itself is refused by C(del) and C(flush).
    type: raw
  state:
    description:
      - V(present) adds the route or changes it.
      - V(absent) removes the routes that fit all options that are given; O(table) is V(main) if it is not.
        When several fit and not all were made by this module, it fails and lists them, unless O(protocol) is given.
      - A default route that takes the place of the engine's remembers that one. It comes back when yours goes by its
        gateway, or by O(purge). V(absent) without a gateway means that there is to be no default route.
      - The default is V(present).
    type: str
    choices: [present, absent]
  routes:
    description:
      - Many routes in one run, of one or several containers. The options of the task are the defaults of each.
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
      destination: {description: See O(destination)., type: str, aliases: [to, dest]}
      family: {description: See O(family)., type: str, choices: [ipv4, ipv6]}
      gateway: {description: See O(gateway)., type: str, aliases: [via]}
      device: {description: See O(device)., type: str, aliases: [dev]}
      source: {description: See O(source)., type: str, aliases: [src]}
      source_prefix: {description: See O(source_prefix)., type: str, aliases: [from]}
      metric: {description: See O(metric)., type: int}
      table: {description: See O(table)., type: str}
      scope: {description: See O(scope)., type: str}
      protocol: {description: See O(protocol)., type: str}
      type:
        description: See O(type).
        type: str
        choices: [unicast, local, broadcast, multicast, blackhole, unreachable, prohibit, throw]
      onlink: {description: See O(onlink)., type: bool}
      preference: {description: See O(preference)., type: str, choices: [low, medium, high]}
      tos: {description: See O(tos)., type: str}
      mtu: {description: See O(mtu)., type: int}
      advmss: {description: See O(advmss)., type: int}
      metrics: {description: See O(metrics)., type: dict}
      encap:
        description: See O(encap).
        type: dict
        suboptions:
          type: {description: See O(encap.type)., type: str, choices: [mpls, seg6], required: true}
          labels: {description: See O(encap.labels)., type: list, elements: int}
          ttl: {description: See O(encap.ttl)., type: int}
          mode: {description: See O(encap.mode)., type: str, choices: [encap, inline]}
          segments: {description: See O(encap.segments)., type: list, elements: str}
      nexthops:
        description: See O(nexthops).
        type: list
        elements: dict
        suboptions:
          gateway: {description: See O(gateway)., type: str, aliases: [via]}
          device: {description: See O(device)., type: str, aliases: [dev]}
          weight: {description: See O(nexthops.weight)., type: int}
          onlink: {description: See O(onlink)., type: bool}
          encap:
            description: See O(encap).
            type: dict
            suboptions:
              type: {description: See O(encap.type)., type: str, choices: [mpls, seg6], required: true}
              labels: {description: See O(encap.labels)., type: list, elements: int}
              ttl: {description: See O(encap.ttl)., type: int}
              mode: {description: See O(encap.mode)., type: str, choices: [encap, inline]}
              segments: {description: See O(encap.segments)., type: list, elements: str}
      cmd: {description: See O(cmd)., type: raw}
      state: {description: See O(state)., type: str, choices: [present, absent]}
  purge:
    description:
      - With O(routes), remove the routes that are not listed from the tables named by O(table) and by the items
        (V(main) if none is), of the protocol that is named by O(protocol), else those of this module.
        That is done in O(container) and those of the items. With O(table=all) it is all tables, and no item's default.
      - An item may name a container and nothing else; no routes are wanted there then.
    type: bool
    default: false
  passthrough:
    description:
      - Hand an O(cmd) with words that are not known here to the program itself, on the host, in the container's network
        namespace and without a shell.
      - What has changed is then told from what the program shows before and afterwards.
        A check run cannot know it; it is skipped and says so.
    type: bool
    default: false
seealso:
  - module: pipework.containers.pipework_rule
  - module: pipework.containers.pipework_attach
author:
  - pipework.containers contributors (@pipework)
"""

EXAMPLES = r"""
- name: As with ip route
  pipework.containers.pipework_route:
    container: web1
    cmd: replace default via 192.168.1.254

- name: A network behind a router
  pipework.containers.pipework_route:
    container: web1
    destination: 10.0.0.0/8
    gateway: 192.168.1.254

- name: Another default route than the one that Docker gave
  pipework.containers.pipework_route:
    container: web1
    destination: default
    gateway: 192.168.1.254

- name: Two routers, of which one gets three times as much
  pipework.containers.pipework_route:
    container: web1
    destination: 2001:db8:8::/48
    nexthops:
      - {gateway: "2001:db8:1::1", weight: 3}
      - {gateway: "2001:db8:2::1"}

- name: These are all routes of table 100, in all containers of the list
  pipework.containers.pipework_route:
    table: 100
    purge: true
    routes:
      - {container: web1, destination: default, gateway: 192.168.1.254, mtu: 1400}
      - {container: web1, destination: 10.66.0.0/16, type: blackhole}
      - {container: db1, destination: default, gateway: 192.168.2.254}

- name: No default route
  pipework.containers.pipework_route:
    container: web1
    destination: default
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
    kind: {description: "Always C(route).", type: str, returned: always}
    name: {description: "The route, such as C(docker:web1/10.0.0.0/8).", type: str, returned: always}
    before: {description: The route before., type: dict, returned: always}
    after: {description: The route after., type: dict, returned: always}
  sample:
    - action: create
      kind: route
      name: docker:web1/10.0.0.0/8
      before: {}
      after: {gateway: 192.168.1.254, protocol: "114", scope: global, type: unicast}
stdout:
  description: What the program printed.
  returned: with passthrough, when it was used
  type: str
routes:
  description: The routes that are present, in the order of the list.
  returned: success
  type: list
  elements: dict
  contains:
    container: {description: The container's name., type: str, returned: always}
    runtime: {description: The runtime that knows it., type: str, returned: always}
    family: {description: "C(ipv4) or C(ipv6).", type: str, returned: always}
    destination: {description: The destination., type: str, returned: always}
    table: {description: The number of the table., type: int, returned: always}
    metric: {description: The metric., type: int, returned: always}
    type: {description: The type., type: str, returned: always}
    gateway: {description: The gateway., type: str, returned: always}
    device: {description: "The interface; null in check mode where the kernel chooses.", type: str, returned: always}
    source: {description: The address that packets come from., type: str, returned: always}
    scope: {description: "The scope, of IPv4.", type: str, returned: always}
    protocol: {description: Who made it., type: str, returned: always}
    onlink: {description: Whether the gateway need not be on a network of the container., type: bool, returned: always}
    preference: {description: "The preference, of IPv6, if it is not C(medium).", type: str, returned: always}
    encap: {description: What packets are wrapped into., type: str, returned: always}
    metrics: {description: The metrics., type: dict, returned: always}
    nexthops: {description: The ways of a route that has several., type: list, elements: dict, returned: always}
"""

from ansible_collections.pipework.containers.plugins.module_utils._cli.passthrough import passing, run_or_pass
from ansible_collections.pipework.containers.plugins.module_utils._jobs.route import RouteJob
from ansible_collections.pipework.containers.plugins.module_utils._module import CONTAINER, MISSING, run_module
from ansible_collections.pipework.containers.plugins.module_utils._routing.options import ROUTE
from ansible_collections.pipework.containers.plugins.module_utils._routing.route_options import parse_command

ITEM = {
    **CONTAINER, **MISSING, **ROUTE,
    "cmd": {"type": "raw"}, "state": {"type": "str", "choices": ["present", "absent"]},
}


def main() -> None:
    run_module(
        {
            **ITEM,
            "routes": {"type": "list", "elements": "dict", "options": ITEM},
            "purge": {"type": "bool", "default": False},
            "passthrough": {"type": "bool", "default": False},
        },
        passing(RouteJob, "route", parse_command),
        work=run_or_pass,
    )


if __name__ == "__main__":
    main()
